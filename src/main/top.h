/* The parts of `postfleet top`: a frame of text lines cut to the screen (top_frame.c), the picture
 * of one answer of /v1/top (top_view.c), and the terminal itself (top_tty.c). cmd_top.c is the
 * loop. One thread only. */
#ifndef MAIN_TOP_H
#define MAIN_TOP_H

#include <jansson.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

/* ---- a frame ---- */

enum ink { INK_PLAIN, INK_DIM, INK_BOLD, INK_GOOD, INK_WARN, INK_BAD, INK_HEAD };

struct frame {
    struct buf out;
    unsigned columns, rows; /* of the screen; rows 0: no end */
    unsigned used;          /* cells of the line at work */
    unsigned lines;
    bool is_screen, has_color, is_utf8;
};

void frame_init(struct frame *f, unsigned columns, unsigned rows);
void frame_free(struct frame *f);
void frame_clear(struct frame *f);
/* Text at the place reached, cut at the screen's edge; control bytes are made visible. */
void frame_text(struct frame *f, enum ink ink, struct str text);
void frame_textf(struct frame *f, enum ink ink, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same in exactly `width` cells: cut (with a mark) or filled; right: text stands at the right
 * edge. One blank follows. */
void frame_cell(struct frame *f, enum ink ink, unsigned width, bool right, struct str text);
/* `width` cells of which a share (0..1) is full. */
void frame_bar(struct frame *f, enum ink ink, unsigned width, double share);
void frame_line(struct frame *f); /* ends the line */
/* Lines that are still free above `kept` ones. */
unsigned frame_left(const struct frame *f, unsigned kept);

/* ---- the picture ---- */

struct pace { /* of a campaign between two answers, for its time left */
    char name[132];
    int64_t done, at;
    double per_s;
    bool is_first; /* the mean since the start so far */
};

struct top_view {
    const char *sort;
    char filter[64];
    bool filters; /* the filter is being typed */
    int64_t offset;
    const char *question; /* asked at the bottom; NULL: none */
    const char *trouble;  /* the daemon is not reached; NULL: it is */
    char shown_trouble[300];
    struct pace paces[16];
};

/* Server lines that fit; what to ask the daemon for. */
unsigned top_view_limit(const struct frame *f);
/* Draws; answer may be NULL (nothing was read yet). now: boot ms. */
void top_view_draw(struct frame *f, struct top_view *v, const json_t *answer, int64_t now);

/* ---- the terminal ---- */

enum key {
    KEY_NONE,
    KEY_CHAR,
    KEY_UP,
    KEY_DOWN,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_ESCAPE,
    KEY_ENTER,
    KEY_ERASE,
    KEY_RESIZED,
    KEY_END_OF_INPUT
};

/* Enters the alternate screen and reads keys one by one; false: standard output or input is no
 * terminal. Signals: SIGWINCH gives KEY_RESIZED, SIGTSTP leaves the screen and comes back. */
bool tty_enter(void);
void tty_leave(void);
void tty_size(unsigned *columns_out, unsigned *rows_out);
/* Waits at most ms. *char_out: the byte of KEY_CHAR. */
enum key tty_key(int64_t ms, char *char_out);
/* The frame in one write. */
void tty_show(struct frame *f);

#endif
