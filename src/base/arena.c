/* Bump allocation in blocks that double up to 256 KB. */
#include "base/arena.h"
#include "base/alloc.h"

#include <stdlib.h>

#define FIRST_BLOCK   2048
#define LARGEST_BLOCK (256 * 1024)

struct block {
    struct block *next;
    size_t size, used;
    _Alignas(16) char bytes[];
};

struct arena {
    struct block *blocks; /* newest first */
    size_t max, used;
};

static struct block *block_new(size_t size)
{
    struct block *b = alloc_resize(NULL, sizeof *b + size);
    b->next = NULL;
    b->size = size;
    b->used = 0;
    return b;
}

struct arena *arena_new(size_t max)
{
    struct arena *a = alloc_one(struct arena);
    a->max = max;
    a->blocks = block_new(FIRST_BLOCK);
    return a;
}

static void free_blocks(struct block *b)
{
    while (b) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_free(struct arena **a)
{
    if (*a) {
        free_blocks((*a)->blocks);
        free(*a);
        *a = NULL;
    }
}

void arena_reset(struct arena *a)
{
    struct block *b = a->blocks;
    while (b->next) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
    b->used = 0;
    a->blocks = b;
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t need = (MAX(n, (size_t)1) + 15) & ~(size_t)15;
    if (need < n || need > a->max || a->used > a->max - need)
        return NULL;
    struct block *b = a->blocks;
    if (b->size - b->used < need) {
        size_t size = MIN(b->size * 2, (size_t)LARGEST_BLOCK);
        struct block *fresh = block_new(MAX(size, need));
        fresh->next = b;
        a->blocks = b = fresh;
    }
    void *p = b->bytes + b->used;
    b->used += need;
    a->used += need;
    memset(p, 0, n);
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return STR_NONE;
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

char *arena_cstr(struct arena *a, struct str s)
{
    return (char *)arena_str(a, s).p;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}
