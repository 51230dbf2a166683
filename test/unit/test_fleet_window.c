/* Sliding windows against a plain log of times: never under, at most one bucket over, and the time
 * at which it is free again is true and not late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "fleet/window.h"

#include <stdlib.h>

#define START_MS INT64_C(1750000000000)
#define LOG_MAX  4000
#define SEEDS    40

struct past {
    int64_t at[LOG_MAX];
    size_t n;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed += 0x9E3779B97F4A7C15u;
    return hash_u64(*seed);
}

static uint64_t counted_after(const struct past *l, int64_t since)
{
    uint64_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        n += l->at[i] > since;
    return n;
}

static void compare_with_log(struct window *w, const struct past *l, int64_t now)
{
    uint64_t used = window_used(w, now);
    assert_true(used >= counted_after(l, now - w->span_ms));
    assert_true(used <= counted_after(l, now - w->span_ms - 2 * w->bucket_ms));
}

/* At free_at there is room by the window's own count, one millisecond before there is none. */
static void check_free_at(struct window *w, int64_t now, uint64_t limit)
{
    int64_t at = window_free_at(w, now, limit);
    struct window copy = *w;
    copy.counts = malloc((w->n_buckets + 1) * sizeof *w->counts);
    memcpy(copy.counts, w->counts, (w->n_buckets + 1) * sizeof *w->counts);
    if (at > now)
        assert_true(window_used(&copy, at - 1) >= limit);
    assert_true(window_used(&copy, at) < limit);
    free(copy.counts);
}

static void run_seed(uint64_t seed, int64_t span_ms, uint32_t n_buckets)
{
    struct window w;
    static struct past l;
    int64_t now = START_MS;
    l.n = 0;
    window_init(&w, span_ms, n_buckets);
    while (l.n < 1500) {
        uint64_t r = next_random(&seed);
        now += (int64_t)(r % 16 ? r / 16 % (uint64_t)(span_ms / 200 + 1)
                                : r / 16 % (uint64_t)(2 * span_ms));
        if (r >> 60 == 0 && l.n) { /* takes back one of the last ten */
            size_t i = l.n - 1 - r / 7 % (l.n < 10 ? l.n : 10);
            window_take_back(&w, now, l.at[i], 1);
            l.at[i] = 0;
        } else if (r >> 60 == 1) { /* something that is known only now */
            int64_t at = now - (int64_t)(r / 7 % (uint64_t)(span_ms + span_ms / 2));
            window_add_at(&w, now, at, 1);
            l.at[l.n++] = at;
        } else {
            window_add(&w, now, 1);
            l.at[l.n++] = now;
        }
        compare_with_log(&w, &l, now);
        check_free_at(&w, now, 1 + r / 11 % 50);
    }
    window_free(&w);
}

static void agrees_with_a_log(void **state)
{
    (void)state;
    static const struct {
        int64_t span_ms;
        uint32_t n;
    } kinds[] = {{1000, 50}, {60000, 60}, {3600000, 60}, {86400000, 24}, {2592000000, 720}};
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
            run_seed(seed, kinds[k].span_ms, kinds[k].n);
}

static void tells_when_it_is_free(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, 1000, 50);
    assert_int_equal(window_free_at(&w, START_MS, 1), START_MS);
    window_add(&w, START_MS, 3);
    assert_int_equal(window_free_at(&w, START_MS, 4), START_MS);
    assert_int_equal(window_free_at(&w, START_MS, 3), START_MS + 1020); /* bucket out */
    window_add(&w, START_MS + 500, 2);
    assert_int_equal(window_free_at(&w, START_MS + 500, 3), START_MS + 1020);
    assert_int_equal(window_free_at(&w, START_MS + 500, 2), START_MS + 1520);
    assert_true(window_free_at(&w, START_MS + 500, 0) > START_MS + 1000);
    window_free(&w);
}

static void counts_from_a_time_on(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, 3600000, 60);
    window_add(&w, START_MS, 5);
    window_add(&w, START_MS + 60000, 7);
    window_add(&w, START_MS + 120000, 11);
    int64_t now = START_MS + 120000;
    assert_int_equal(window_used_since(&w, now, now), 11);
    assert_int_equal(window_used_since(&w, now, START_MS + 60000), 18);
    assert_int_equal(window_used_since(&w, now, START_MS - 999999999), 23);
    assert_int_equal(window_used_since(&w, now, now + 600000), 0);
    window_free(&w);
}

static void works_near_time_zero(void **state)
{
    (void)state;
    struct window w;
    window_init(&w, 1000, 50);
    window_add(&w, 0, 2);
    window_add(&w, 100, 1);
    assert_int_equal(window_used_since(&w, 100, 0), 3);
    assert_int_equal(window_free_at(&w, 100, 3), 1020);
    window_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_log),
        cmocka_unit_test(tells_when_it_is_free),
        cmocka_unit_test(counts_from_a_time_on),
        cmocka_unit_test(works_near_time_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
