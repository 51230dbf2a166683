/* Lines of cells. Width is counted as a terminal shows it, so wide letters and bars stay aligned.
 */
#include "main/top.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/output.h"

#define FRAME_MAX (1u << 20)
#define TEXT_MAX  2000

void frame_init(struct frame *f, unsigned columns, unsigned rows)
{
    *f = (struct frame){.columns = columns, .rows = rows, .is_utf8 = output_is_utf8()};
    buf_init(&f->out, FRAME_MAX);
}

void frame_free(struct frame *f)
{
    buf_free(&f->out);
}

void frame_clear(struct frame *f)
{
    buf_clear(&f->out);
    f->used = f->lines = 0;
}

static void set_ink(struct frame *f, enum ink ink)
{
    static const char *const codes[] = {"0", "2", "1", "32", "33", "31", "7"};
    if (f->has_color)
        buf_addf(&f->out, "\033[%sm", codes[ink]);
}

/* The longest start of text that takes at most `cells`. */
static struct str fitting(struct str text, size_t cells)
{
    while (text.n && output_width(text) > cells)
        do
            text.n--;
        while (text.n && ((unsigned char)text.p[text.n] & 0xc0) == 0x80);
    return text;
}

static void add_safe(struct frame *f, enum ink ink, struct str text)
{
    struct buf b;
    buf_init(&b, 4 * TEXT_MAX);
    output_safe_add(&b, text);
    if (ink != INK_PLAIN)
        set_ink(f, ink);
    buf_addstr(&f->out, buf_str(&b));
    if (ink != INK_PLAIN)
        set_ink(f, INK_PLAIN);
    buf_free(&b);
}

void frame_text(struct frame *f, enum ink ink, struct str text)
{
    text = fitting(str_cut(text, 0, TEXT_MAX), f->columns - MIN(f->used, f->columns));
    if (!text.n)
        return;
    f->used += (unsigned)output_width(text);
    add_safe(f, ink, text);
}

void frame_textf(struct frame *f, enum ink ink, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    frame_text(f, ink, str_of(text));
}

static void pad(struct frame *f, size_t cells)
{
    for (; cells && f->used < f->columns; cells--, f->used++)
        buf_addc(&f->out, ' ');
}

void frame_cell(struct frame *f, enum ink ink, unsigned width, bool right, struct str text)
{
    text = str_cut(text, 0, TEXT_MAX);
    struct str fits = fitting(text, width);
    bool is_cut = fits.n < text.n && width > 1;
    if (is_cut)
        fits = fitting(text, width - 1);
    size_t cells = output_width(fits) + is_cut;
    if (right)
        pad(f, width - cells);
    frame_text(f, ink, fits);
    if (is_cut)
        frame_text(f, ink, f->is_utf8 ? STR("…") : STR("~"));
    if (!right)
        pad(f, width - cells);
    pad(f, 1);
}

void frame_bar(struct frame *f, enum ink ink, unsigned width, double share)
{
    char text[400] = "";
    size_t n = 0;
    unsigned full = (unsigned)(MAX(0.0, MIN(share, 1.0)) * width + 0.5);
    full = share > 0 && !full ? 1 : share < 1 && full == width && full ? full - 1 : full;
    for (unsigned i = 0; i < MIN(width, 100u); i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
                              i < full ? (f->is_utf8 ? "█" : "#") : (f->is_utf8 ? "░" : "."));
    frame_text(f, ink, str_from(text, n));
}

void frame_line(struct frame *f)
{
    f->lines++;
    f->used = 0;
    if (f->is_screen)
        buf_adds(&f->out, f->lines < f->rows ? "\033[K\r\n" : "\033[K");
    else
        buf_addc(&f->out, '\n');
}

unsigned frame_left(const struct frame *f, unsigned kept)
{
    if (!f->rows)
        return 1000;
    return f->lines + kept < f->rows ? f->rows - f->lines - kept : 0;
}
