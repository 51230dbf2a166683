/* A growing buffer with a hard maximum from birth. Going over the maximum is an operation that
 * fails: nothing is added, `overflow` stays set, every later add fails too until buf_clear.
 * Bytes are taken from the front with buf_consume (amortised O(1)). */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"
#include "base/str.h"

struct buf {
    char *p;     /* first live byte; NULL when nothing was ever added */
    size_t n;    /* live bytes */
    size_t max;  /* hard maximum of n */
    size_t head; /* consumed bytes before p (internal) */
    size_t cap;  /* allocated (internal) */
    bool overflow;
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* keeps max, may be used again */
void buf_clear(struct buf *b); /* keeps the memory */
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_adds(struct buf *b, const char *cstr);
bool buf_addstr(struct buf *b, struct str s);
bool buf_addc(struct buf *b, char c);
bool buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Room for n more bytes, to be filled by the caller and then committed; NULL over the maximum. */
char *buf_reserve(struct buf *b, size_t n) MUST_USE;
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n);
struct str buf_str(const struct buf *b);
/* Terminates with NUL (not counted in n) and gives the C string; never NULL. */
const char *buf_cstr(struct buf *b);
/* Hands the malloc'd, NUL-terminated memory over and empties the buffer. */
char *buf_steal(struct buf *b, size_t *n_out);

#endif
