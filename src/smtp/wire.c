/* The dot-stuffing iterator. The place of the next leading dot is remembered, so a body is scanned
 * once for each peek that reaches further and never from its start again. Lines are taken to begin
 * behind any LF, a bare one included: such a dot is doubled too and can end nothing. */
#include "smtp/wire.h"

#include "base/check.h"

/* The first dot at or behind `from` that begins a line. */
static size_t find_dot(struct str body, size_t from)
{
    if (from < body.n && body.p[from] == '.' && (from == 0 || body.p[from - 1] == '\n'))
        return from;
    if (from >= body.n)
        return body.n;
    const char *hit = memmem(body.p + from, body.n - from, "\n.", 2);
    return hit != NULL ? (size_t)(hit - body.p) + 1 : body.n;
}

void smtp_wire_start(struct smtp_wire *w, struct str body, bool stuffed)
{
    *w = (struct smtp_wire){.body = body, .dot = body.n};
    if (stuffed)
        w->dot = find_dot(body, 0);
}

bool smtp_wire_done(const struct smtp_wire *w)
{
    return w->at == w->body.n;
}

/* The slice that starts here, up to and with the next doubled dot, or to the end. */
static struct str segment(const struct smtp_wire *w)
{
    size_t end = w->dot < w->body.n ? w->dot + 1 : w->body.n;

    return str_from(w->body.p + w->at, end - w->at);
}

static void step(struct smtp_wire *w, size_t n, size_t whole)
{
    if (n < whole || w->dot == w->body.n) {
        w->at += n;
        return;
    }
    w->at = w->dot;
    w->dot = find_dot(w->body, w->dot + 1);
}

size_t smtp_wire_peek(const struct smtp_wire *w, size_t bytes_max, struct str *slices, size_t max,
                      bool *complete_out)
{
    struct smtp_wire ahead = *w;
    size_t n = 0;

    while (n < max && bytes_max > 0 && !smtp_wire_done(&ahead)) {
        struct str s = segment(&ahead);
        size_t part = MIN(s.n, bytes_max);
        slices[n++] = str_cut(s, 0, part);
        bytes_max -= part;
        step(&ahead, part, s.n);
    }
    *complete_out = smtp_wire_done(&ahead);
    return n;
}

size_t smtp_wire_advance(struct smtp_wire *w, size_t n)
{
    size_t left = n;

    while (left > 0 && !smtp_wire_done(w)) {
        size_t whole = segment(w).n;
        size_t part = MIN(left, whole);
        check(part > 0);
        step(w, part, whole);
        left -= part;
    }
    return n - left;
}
