/* Draws a chart: rows of block characters for a page of text, panels of bars for a browser. */
#include "plot.h"
#include "base/check.h"

#include <math.h>

#define BAR_W   10
#define PANEL_H 80
#define LEFT    110

struct plot_series *plot_add(struct plot *p, const char *name)
{
    check(p->n_series < PLOT_SERIES);
    struct plot_series *s = &p->series[p->n_series++];
    snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

static double height(const struct plot *p, double y)
{
    return p->is_log ? log10(1 + MAX(y, 0.0)) : y;
}

/* Series of one chart share one scale, so that their bars may be compared. */
static double highest(const struct plot *p)
{
    double most = 0;
    for (uint32_t s = 0; s < p->n_series; s++)
        for (uint32_t i = 0; i < p->n; i++)
            most = MAX(most, height(p, p->series[s].y[i]));
    return most > 0 ? most : 1;
}

static void row(const struct plot *p, const struct plot_series *s, double most, FILE *out)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    fprintf(out, "%-9s ", s->name);
    for (uint32_t i = 0; i < p->n; i++) {
        double eighths = height(p, s->y[i]) / most * 8;
        int level = s->y[i] > 0 ? MAX((int)(eighths + 0.5), 1) : 0;
        if (s->mark[i])
            fputc(s->mark[i], out);
        else
            fputs(blocks[MIN(level, 8)], out);
    }
    fprintf(out, "  %s\n", s->note);
}

void plot_text(const struct plot *p, FILE *out)
{
    char axis[PLOT_COLUMNS + 16] = "";
    double most = highest(p);
    memset(axis, ' ', sizeof axis - 1);
    for (uint32_t i = 0; i < p->n; i += p->every) {
        char label[16];
        int n = snprintf(label, sizeof label, i ? "%g" : "%g %s", i * p->column, p->unit);
        memcpy(axis + i, label, (size_t)n);
    }
    size_t end = sizeof axis - 1;
    while (end && axis[end - 1] == ' ')
        end--;
    fprintf(out, "%s\n%-9s %.*s\n", p->title, "", (int)end, axis);
    for (uint32_t s = 0; s < p->n_series; s++)
        row(p, &p->series[s], most, out);
}

static void panel(const struct plot *p, uint32_t at, double most, FILE *out)
{
    static const char *const colours[PLOT_SERIES] = {"#2563a8", "#b4541a", "#2e7d4f", "#7a4a9e",
                                                     "#667085"};
    const struct plot_series *s = &p->series[at];
    int base = 40 + (int)(at + 1) * (PANEL_H + 30);
    fprintf(out, "<text x='8' y='%d'>%s</text>\n", base - 4, s->name);
    fprintf(out, "<text x='%d' y='%d' fill='#555'>%s</text>\n", LEFT, base - PANEL_H - 4, s->note);
    for (uint32_t i = 0; i < p->n; i++) {
        int x = LEFT + (int)i * BAR_W, h = (int)(height(p, s->y[i]) / most * PANEL_H + 0.5);
        if (s->mark[i])
            fprintf(out, "<text x='%d' y='%d'>%c</text>\n", x, base - 4, s->mark[i]);
        else if (h > 0)
            fprintf(out, "<rect x='%d' y='%d' width='%d' height='%d' fill='%s'/>\n", x, base - h,
                    BAR_W - 1, h, colours[at]);
    }
    fprintf(out, "<line x1='%d' y1='%d' x2='%d' y2='%d' stroke='#999'/>\n", LEFT, base,
            LEFT + (int)p->n * BAR_W, base);
}

void plot_svg(const struct plot *p, FILE *out)
{
    int bottom = 40 + (int)p->n_series * (PANEL_H + 30);
    int width = LEFT + PLOT_COLUMNS * BAR_W + 40;
    double most = highest(p);
    fprintf(
        out,
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' "
        "font-size='12'>\n<rect width='100%%' height='100%%' fill='white'/>\n",
        width, bottom + 30);
    fprintf(out, "<text x='8' y='20' font-size='15'>%s</text>\n", p->title);
    for (uint32_t s = 0; s < p->n_series; s++)
        panel(p, s, most, out);
    for (uint32_t i = 0; i < p->n; i += p->every)
        fprintf(out, "<text x='%d' y='%d'>%g%s%s</text>\n", LEFT + (int)i * BAR_W, bottom + 16,
                i * p->column, i ? "" : " ", i ? "" : p->unit);
    fputs("</svg>\n", out);
}
