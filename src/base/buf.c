/* The growing buffer. Invariant: p == base + head, head + n <= cap, n <= max. */
#include "base/buf.h"
#include "base/alloc.h"
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

static char *base_of(const struct buf *b)
{
    return b->p ? b->p - b->head : NULL;
}

void buf_free(struct buf *b)
{
    free(base_of(b));
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->p = base_of(b);
    b->head = 0;
    b->n = 0;
    b->overflow = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->overflow || n > b->max || b->n > b->max - n) {
        b->overflow = true;
        return NULL;
    }
    if (b->p && b->cap - b->head - b->n > n)
        return b->p + b->n;
    char *base = base_of(b);
    if (base && b->head >= b->n && b->cap - b->n > n) {
        memmove(base, b->p, b->n);
    } else {
        size_t cap = MAX(b->cap * 2, (size_t)256);
        while (cap <= b->n + n)
            cap *= 2;
        if (b->head) {
            char *fresh = alloc_bytes(cap);
            memcpy(fresh, b->p, b->n);
            free(base);
            base = fresh;
        } else {
            base = alloc_resize(base, cap);
        }
        b->cap = cap;
    }
    b->head = 0;
    b->p = base;
    return b->p + b->n;
}

void buf_commit(struct buf *b, size_t n)
{
    check(b->head + b->n + n < b->cap || n == 0);
    b->n += n;
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
    char *to = buf_reserve(b, n);
    if (!to)
        return false;
    if (n)
        memcpy(to, p, n);
    b->n += n;
    return true;
}

bool buf_adds(struct buf *b, const char *cstr)
{
    return buf_add(b, cstr, strlen(cstr));
}

bool buf_addstr(struct buf *b, struct str s)
{
    return buf_add(b, s.p, s.n);
}

bool buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

bool buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    check(n >= 0);
    char *to = buf_reserve(b, (size_t)n + 1);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return to != NULL;
}

void buf_consume(struct buf *b, size_t n)
{
    check(n <= b->n);
    b->n -= n;
    if (b->n == 0) {
        b->p = base_of(b);
        b->head = 0;
        return;
    }
    b->p += n;
    b->head += n;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

const char *buf_cstr(struct buf *b)
{
    if (!b->p)
        return "";
    if (b->head + b->n >= b->cap) { /* cannot be: reserve keeps one byte */
        check(false);
    }
    b->p[b->n] = 0;
    return b->p;
}

char *buf_steal(struct buf *b, size_t *n_out)
{
    char *out = NULL;
    if (n_out)
        *n_out = b->n;
    if (b->p && b->head == 0) {
        b->p[b->n] = 0;
        out = b->p;
        b->p = NULL;
        b->cap = 0;
        b->n = 0;
    } else {
        out = str_dup(buf_str(b));
        buf_free(b);
    }
    return out;
}
