/* Relaxed canonicalisation, one pass over the bytes: see dkim_canon.h. Called by mail/dkim for
 * every signature; knows nothing of keys. */
#include "mail/dkim_canon.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_end(char c)
{
    return c == '\r' || c == '\n';
}

/* ---- fields ---- */

/* Unfolds, makes one blank of each run of blanks, and drops those at both ends. */
static bool add_value(struct str value, struct buf *out)
{
    bool owed = false, any = false;
    size_t i = 0;
    while (i < value.n) {
        size_t from = i;
        while (i < value.n && !is_blank(value.p[i]) && !is_end(value.p[i]))
            i++;
        if (i > from) {
            if (owed && any && !buf_addc(out, ' '))
                return false;
            if (!buf_add(out, value.p + from, i - from))
                return false;
            any = true;
            owed = false;
        }
        for (; i < value.n && (is_blank(value.p[i]) || is_end(value.p[i])); i++)
            owed = owed || is_blank(value.p[i]);
    }
    return true;
}

bool canon_field(struct str field, struct buf *out)
{
    ptrdiff_t colon = str_chr(field, ':');
    if (colon < 0)
        return true;
    struct str name = str_trim(str_cut(field, 0, (size_t)colon));
    char *p = buf_reserve(out, name.n + 1);
    if (!p)
        return false;
    for (size_t i = 0; i < name.n; i++)
        p[i] = ascii_lower(name.p[i]);
    p[name.n] = ':';
    buf_commit(out, name.n + 1);
    return add_value(str_from_index(field, (size_t)colon + 1), out);
}

/* ---- bodies ---- */

void canon_body_begin(struct canon_body *c, void (*emit)(void *arg, const char *p, size_t n),
                      void *arg)
{
    c->emit = emit;
    c->arg = arg;
    c->blank_lines = c->n = 0;
    c->has_cr = c->has_blank = c->in_line = false;
}

static void flush(struct canon_body *c)
{
    if (c->n)
        c->emit(c->arg, c->stage, c->n);
    c->n = 0;
}

static void put(struct canon_body *c, const char *p, size_t n)
{
    if (n > CANON_STAGE - c->n)
        flush(c);
    if (n > CANON_STAGE) {
        c->emit(c->arg, p, n);
        return;
    }
    memcpy(c->stage + c->n, p, n);
    c->n += n;
}

static void end_line(struct canon_body *c)
{
    c->has_blank = false;
    if (c->in_line)
        put(c, "\r\n", 2);
    else
        c->blank_lines++;
    c->in_line = false;
}

/* A run of bytes that are neither blanks nor line ends. */
static void put_run(struct canon_body *c, const char *p, size_t n)
{
    for (; c->blank_lines; c->blank_lines--)
        put(c, "\r\n", 2);
    if (c->has_blank)
        put(c, " ", 1);
    put(c, p, n);
    c->has_blank = false;
    c->in_line = true;
}

void canon_body_add(struct canon_body *c, struct str chunk)
{
    size_t i = 0;
    while (i < chunk.n) {
        char b = chunk.p[i];
        if (c->has_cr) {
            c->has_cr = false;
            end_line(c);
            i += b == '\n';
            continue;
        }
        if (b == '\r') {
            c->has_cr = true;
            i++;
        } else if (b == '\n') {
            end_line(c);
            i++;
        } else if (is_blank(b)) {
            c->has_blank = true;
            i++;
        } else {
            size_t from = i;
            while (i < chunk.n && !is_blank(chunk.p[i]) && !is_end(chunk.p[i]))
                i++;
            put_run(c, chunk.p + from, i - from);
        }
    }
}

void canon_body_end(struct canon_body *c)
{
    if (c->has_cr || c->in_line)
        end_line(c);
    c->has_cr = false;
    c->blank_lines = 0;
    flush(c);
}
