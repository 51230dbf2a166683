/* Secrets in locked memory, wiped on free. */
#include "base/secret.h"
#include "base/alloc.h"

#include <sodium.h>
#include <stdlib.h>

struct secret {
    size_t n;
    char bytes[];
};

struct secret *secret_new(const void *p, size_t n)
{
    struct secret *s = alloc_bytes(sizeof *s + n + 1);
    sodium_mlock(s, sizeof *s + n + 1); /* best effort: a low RLIMIT_MEMLOCK is no failure */
    s->n = n;
    if (n)
        memcpy(s->bytes, p, n);
    return s;
}

struct secret *secret_clone(const struct secret *s)
{
    return s ? secret_new(s->bytes, s->n) : NULL;
}

void secret_free(struct secret **s)
{
    if (*s) {
        sodium_munlock(*s, sizeof **s + (*s)->n + 1);
        free(*s);
        *s = NULL;
    }
}

struct str secret_reveal(const struct secret *s)
{
    return s ? (struct str){s->bytes, s->n} : STR_NONE;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    return a && b && a->n == b->n && sodium_memcmp(a->bytes, b->bytes, a->n) == 0;
}

void secret_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}
