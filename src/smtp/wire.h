/* A message body on its way to the wire, as slices of the body itself: nothing is copied. With
 * stuffing (DATA, RFC 5321 4.5.2) a dot that begins a line goes out twice: one slice ends with it
 * and the next one begins with the same byte. The final dot is not made here.
 * The body must outlive the iterator. */
#ifndef SMTP_WIRE_H
#define SMTP_WIRE_H

#include "base/base.h"
#include "base/str.h"

struct smtp_wire {
    struct str body;
    size_t at;  /* next byte to go out */
    size_t dot; /* the next dot that is still to be doubled, at or behind `at`; body.n: none */
};

void smtp_wire_start(struct smtp_wire *w, struct str body, bool stuffed);
/* The next slices, at most `max` of them and `bytes_max` bytes; *complete_out: they reach the end
 * of the body. Does not move. */
size_t smtp_wire_peek(const struct smtp_wire *w, size_t bytes_max, struct str *slices, size_t max,
                      bool *complete_out);
/* The first n bytes of what peek gave have gone out. Gives how many of n were the body's. */
size_t smtp_wire_advance(struct smtp_wire *w, size_t n);
bool smtp_wire_done(const struct smtp_wire *w);

#endif
