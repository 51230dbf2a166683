/* What the command line prints: data on standard output, progress and remarks on standard error.
 * Tables are aligned by terminal cells, so wide characters stand straight; text that came from
 * outside cannot move the cursor or change colours. JSON goes out as one object a line. Colour and
 * progress only on a terminal (NO_COLOR is respected). One thread only. */
#ifndef MAIN_OUTPUT_H
#define MAIN_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

void output_setup(bool json, bool quiet);
bool output_is_json(void);
bool output_is_quiet(void);
/* A remark for people on standard error; silent with --quiet. */
void output_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A warning on standard error, also with --quiet. */
void output_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The error text on standard error (with --json an RFC 9457 object); gives its exit status. */
int output_fail(const struct err *e);
/* The same for a problem document of the daemon. */
void output_problem(const json_t *problem);
/* A line of text for people on standard output; silent with --json. */
void output_line(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* One object on one line of standard output; NULL is {"ok":true}. */
void output_json(const json_t *value);
/* With --json the object as it is, else its fields one a line; nested lists as small tables. */
void output_record(const json_t *object);
/* Does the locale speak UTF-8 (LC_ALL, LC_CTYPE, LANG)? */
bool output_is_utf8(void);
/* Flushes standard output; false when it could not be written (disk full, closed pipe). */
bool output_end(void);

/* Adds s with every control, direction-changing and malformed byte made visible. */
void output_safe_add(struct buf *b, struct str s);
/* Terminal cells that s takes once made safe. */
size_t output_width(struct str s);
/* "54 412", "1.2 s", "4m 10s", "12.5 MB": out has at least 32 bytes. */
void output_count(int64_t n, char out[32]);
void output_duration(int64_t ms, char out[32]);
void output_bytes(uint64_t n, char out[32]);

enum column_form {
    FORM_TEXT,  /* strings, numbers, true and false; lists joined with commas */
    FORM_COUNT, /* grouped digits, right-aligned */
    FORM_MS,    /* a duration given in ms, right-aligned */
    FORM_SHARE, /* a fraction as per cent, right-aligned */
    FORM_TIME,  /* RFC 3339 shortened to seconds */
    FORM_WHEN,  /* RFC 3339 as "in 5m 10s" or "5m 10s ago" */
    FORM_AGE,   /* a duration given in seconds, right-aligned */
    FORM_STATE, /* a state word, coloured by what it means */
    FORM_QUOTA, /* [{"window","used","limit"}] as "hour 82/100" */
};
struct column {
    const char *title;
    const char *key; /* field; a dot goes into a nested object */
    enum column_form form;
    bool optional; /* dropped when no row of the first page has it */
};
struct table;
/* Columns end with title NULL and outlive the table. Rows are printed in pages of 500, so that
 * memory stays flat. With --json rows go out as they are. */
struct table *table_new(const struct column *columns) MUST_USE;
void table_add(struct table *t, const json_t *row);
/* Prints what is left (and `nothing` on standard error when there was no row) and frees. */
void table_end(struct table **t, const char *nothing);

/* A bar with rate and time left on standard error; silent when that is no terminal. */
struct progress {
    const char *label;
    int64_t total; /* 0: not known */
    bool bytes;    /* counts bytes, not things */
    int64_t started_ms, shown_ms;
    int64_t left_ms; /* time left by a better word than the rate; 0: by the rate */
    int64_t base;    /* what was done before the start, for the rate */
    size_t width;
};
void progress_start(struct progress *p, const char *label, int64_t total, bool bytes);
/* tail: shown behind the figures; may be NULL. now: show even when the last picture is young. */
void progress_show(struct progress *p, int64_t done, const char *tail, bool now);
void progress_end(struct progress *p); /* wipes the line */

#endif
