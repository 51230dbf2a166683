/* Charts of doc/DISPATCH.md: scenes fill them from the fleet's own functions on a virtual clock,
 * plot_draw.c writes them as text and as SVG. The same numbers give the same bytes. */
#ifndef PLOT_H
#define PLOT_H

#include "base/base.h"

#include <stdio.h>

#define PLOT_COLUMNS 60
#define PLOT_SERIES  5

struct plot_series {
    char name[24];
    char note[80];           /* what the reader should see, with its figures */
    double y[PLOT_COLUMNS];  /* bars */
    char mark[PLOT_COLUMNS]; /* or a letter a column; 0: a bar */
};

struct plot {
    char title[120];
    char unit[12];  /* of the x axis */
    double column;  /* how much of the x axis a column is */
    uint32_t every; /* columns between two labels */
    uint32_t n;     /* columns in use */
    bool is_log;    /* bars by the logarithm */
    struct plot_series series[PLOT_SERIES];
    uint32_t n_series;
};

struct plot_series *plot_add(struct plot *p, const char *name);
void plot_text(const struct plot *p, FILE *out);
void plot_svg(const struct plot *p, FILE *out);

struct plot_scene {
    const char *name;
    void (*fill)(struct plot *p);
};

extern const struct plot_scene plot_scenes[]; /* ends with an empty one */

#endif
