/* Counting over time: a sliding window as buckets. The oldest bucket counts whole until it is out,
 * so a limit is never exceeded and at most one bucket's worth is left unused. Pure. */
#ifndef FLEET_WINDOW_H
#define FLEET_WINDOW_H

#include "base/base.h"

struct window {
    int64_t span_ms;   /* length of the window */
    int64_t bucket_ms; /* span / n_buckets */
    uint32_t n_buckets;
    uint32_t *counts; /* n_buckets + 1, ring by bucket number */
    int64_t newest;   /* number of the newest bucket (time / bucket_ms) */
    uint64_t sum;
};

void window_init(struct window *w, int64_t span_ms, uint32_t n_buckets);
void window_free(struct window *w);
void window_add(struct window *w, int64_t now_ms, uint32_t n);
/* Counts something that happened at `at_ms` (used when rebuilding); too old is ignored. */
void window_add_at(struct window *w, int64_t now_ms, int64_t at_ms, uint32_t n);
/* Takes back what was counted at `at_ms`; what is out of the window already is ignored. */
void window_take_back(struct window *w, int64_t now_ms, int64_t at_ms, uint32_t n);
uint64_t window_used(struct window *w, int64_t now_ms);
/* What was counted at `at_ms` or later; the bucket that at_ms lies in counts whole. */
uint64_t window_used_since(struct window *w, int64_t now_ms, int64_t at_ms);
/* Earliest time at which fewer than `limit` are counted; now_ms when that is so already. */
int64_t window_free_at(struct window *w, int64_t now_ms, uint64_t limit);

#endif
