/* Intrusive binary min-heap over a 64-bit key; equal keys come out in order of insertion.
 * O(log n) for all; a node knows its place, so it can be removed or re-keyed. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/base.h"

struct heap_node {
    int64_t key;
    uint64_t order;
    uint32_t place; /* 1-based index; 0: in no heap */
};

struct heap {
    struct heap_node **at;
    uint32_t n, cap;
    uint64_t next_order;
};

void heap_init(struct heap *h);
void heap_free(struct heap *h); /* frees the index only, never the nodes */
void heap_add(struct heap *h, struct heap_node *n, int64_t key);
void heap_remove(struct heap *h, struct heap_node *n); /* a node in no heap is ignored */
/* Puts back what heap_remove took out, with its key and its turn among equal keys. */
void heap_put_back(struct heap *h, struct heap_node *n);
void heap_rekey(struct heap *h, struct heap_node *n, int64_t key); /* adds when absent */
struct heap_node *heap_min(const struct heap *h);                  /* NULL when empty */
struct heap_node *heap_pop(struct heap *h);
static inline bool heap_has(const struct heap_node *n)
{
    return n->place != 0;
}

#endif
