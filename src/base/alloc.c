/* Heap memory or a clean end of the process: see alloc.h for why that is enough. */
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Noreturn void out_of_memory(size_t n)
{
    char line[128];
    int len = snprintf(line, sizeof line, "postfleet: out of memory (%zu bytes wanted)\n", n);
    if (len > 0 && write(2, line, (size_t)len) < 0)
        _exit(71);
    _exit(71);
}

void *alloc_bytes(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    if (!p)
        out_of_memory(n);
    return p;
}

void *alloc_resize(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (!q)
        out_of_memory(n);
    return q;
}

char *alloc_copy(const char *cstr)
{
    if (!cstr)
        return NULL;
    size_t n = strlen(cstr) + 1;
    char *p = alloc_bytes(n);
    memcpy(p, cstr, n);
    return p;
}

void *alloc_array(size_t n, size_t size)
{
    size_t all = 0;
    if (__builtin_mul_overflow(n, size, &all))
        out_of_memory(SIZE_MAX);
    return alloc_bytes(all);
}
