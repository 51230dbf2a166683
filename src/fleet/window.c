/* Sliding windows in a ring of n + 1 buckets; moving on clears what fell out. */
#include "fleet/window.h"
#include "base/alloc.h"

#include <stdlib.h>

void window_init(struct window *w, int64_t span_ms, uint32_t n_buckets)
{
    *w = (struct window){.span_ms = span_ms,
                         .bucket_ms = span_ms / n_buckets,
                         .n_buckets = n_buckets,
                         .newest = INT64_MIN};
    w->counts = alloc_many(uint32_t, n_buckets + 1);
}

void window_free(struct window *w)
{
    free(w->counts);
    *w = (struct window){0};
}

static uint32_t *bucket(struct window *w, int64_t number)
{
    return &w->counts[(uint64_t)number % (w->n_buckets + 1)];
}

static void move_on(struct window *w, int64_t now_ms)
{
    int64_t number = now_ms / w->bucket_ms;
    if (number <= w->newest)
        return;
    if (w->newest == INT64_MIN || number - w->newest > (int64_t)w->n_buckets) {
        memset(w->counts, 0, (w->n_buckets + 1) * sizeof *w->counts);
        w->sum = 0;
    } else {
        for (int64_t b = w->newest + 1; b <= number; b++) {
            w->sum -= *bucket(w, b);
            *bucket(w, b) = 0;
        }
    }
    w->newest = number;
}

void window_add(struct window *w, int64_t now_ms, uint32_t n)
{
    move_on(w, now_ms);
    *bucket(w, w->newest) += n;
    w->sum += n;
}

void window_add_at(struct window *w, int64_t now_ms, int64_t at_ms, uint32_t n)
{
    move_on(w, now_ms);
    int64_t number = at_ms / w->bucket_ms;
    if (number > w->newest)
        number = w->newest;
    if (w->newest - number > (int64_t)w->n_buckets)
        return;
    *bucket(w, number) += n;
    w->sum += n;
}

void window_take_back(struct window *w, int64_t now_ms, int64_t at_ms, uint32_t n)
{
    move_on(w, now_ms);
    int64_t number = MIN(at_ms / w->bucket_ms, w->newest);
    if (w->newest - number > (int64_t)w->n_buckets)
        return;
    uint32_t back = MIN(n, *bucket(w, number));
    *bucket(w, number) -= back;
    w->sum -= back;
}

uint64_t window_used(struct window *w, int64_t now_ms)
{
    move_on(w, now_ms);
    return w->sum;
}

uint64_t window_used_since(struct window *w, int64_t now_ms, int64_t at_ms)
{
    move_on(w, now_ms);
    uint64_t n = 0;
    int64_t first = MAX(at_ms / w->bucket_ms, w->newest - w->n_buckets);
    for (int64_t b = MAX(first, 0); b <= w->newest; b++)
        n += *bucket(w, b);
    return n;
}

int64_t window_free_at(struct window *w, int64_t now_ms, uint64_t limit)
{
    move_on(w, now_ms);
    uint64_t left = w->sum;
    if (left < limit)
        return now_ms;
    for (int64_t b = MAX(w->newest - w->n_buckets, 0); b <= w->newest; b++) {
        left -= *bucket(w, b);
        if (left < limit)
            return (b + w->n_buckets + 1) * w->bucket_ms;
    }
    return now_ms + w->span_ms;
}
