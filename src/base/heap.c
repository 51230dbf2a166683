/* The binary heap; place is 1-based so that a zeroed node is in no heap. */
#include "base/heap.h"
#include "base/alloc.h"
#include "base/check.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_free(struct heap *h)
{
    free(h->at);
    heap_init(h);
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void put(struct heap *h, uint32_t place, struct heap_node *n)
{
    h->at[place - 1] = n;
    n->place = place;
}

static void sift_up(struct heap *h, struct heap_node *n)
{
    uint32_t place = n->place;
    while (place > 1 && before(n, h->at[place / 2 - 1])) {
        put(h, place, h->at[place / 2 - 1]);
        place /= 2;
    }
    put(h, place, n);
}

static void sift_down(struct heap *h, struct heap_node *n)
{
    uint32_t place = n->place;
    for (;;) {
        uint32_t child = place * 2;
        if (child > h->n)
            break;
        if (child < h->n && before(h->at[child], h->at[child - 1]))
            child++;
        if (!before(h->at[child - 1], n))
            break;
        put(h, place, h->at[child - 1]);
        place = child;
    }
    put(h, place, n);
}

void heap_add(struct heap *h, struct heap_node *n, int64_t key)
{
    n->key = key;
    n->order = h->next_order++;
    heap_put_back(h, n);
}

void heap_put_back(struct heap *h, struct heap_node *n)
{
    check(n->place == 0);
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->at = alloc_resize(h->at, h->cap * sizeof *h->at);
    }
    h->n++;
    put(h, h->n, n);
    sift_up(h, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (n->place == 0)
        return;
    struct heap_node *last = h->at[h->n - 1];
    uint32_t place = n->place;
    h->n--;
    n->place = 0;
    if (last == n)
        return;
    put(h, place, last);
    sift_up(h, last);
    sift_down(h, last);
}

void heap_rekey(struct heap *h, struct heap_node *n, int64_t key)
{
    if (n->place == 0) {
        heap_add(h, n, key);
        return;
    }
    n->key = key;
    n->order = h->next_order++;
    sift_up(h, n);
    sift_down(h, n);
}

struct heap_node *heap_min(const struct heap *h)
{
    return h->n ? h->at[0] : NULL;
}

struct heap_node *heap_pop(struct heap *h)
{
    struct heap_node *n = heap_min(h);
    if (n)
        heap_remove(h, n);
    return n;
}
