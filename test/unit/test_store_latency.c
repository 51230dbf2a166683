/* Histograms of accept-to-sent: buckets without gaps, percentiles within their eighth, hour and
 * day, streams and credentials apart, and what is thrown away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "store/latency.h"
#include "store_test.h"

#define MINUTE INT64_C(60000)
#define NOW    (INT64_C(1790000000000) / (10 * MINUTE) * (10 * MINUTE) + 5 * MINUTE)

static void buckets_have_no_gaps(void **state)
{
    (void)state;
    int last = 0;
    for (int64_t ms = 0; ms < 100000; ms++) {
        int b = latency_bucket(ms);
        assert_true(b == last || b == last + 1);
        assert_true(latency_bucket_low(b) <= ms && ms < latency_bucket_low(b + 1));
        last = b;
    }
    for (int64_t ms = 16; ms < INT64_C(1) << 38; ms = ms * 3 / 2) {
        int64_t low = latency_bucket_low(latency_bucket(ms));
        assert_true(latency_bucket_low(latency_bucket(ms) + 1) - low <= MAX(low / 8, 1));
    }
    assert_int_equal(latency_bucket(-5), 0);
    assert_true(latency_bucket(INT64_MAX) < LATENCY_BUCKETS);
}

static int64_t figure(const json_t *report, const char *span, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(report, span), name));
}

static void flush(struct place *p, struct latencies *l)
{
    struct err e = {0};
    assert_ok(db_begin(p->db, &e));
    assert_ok(latencies_flush(l, p->db, &e));
    assert_ok(db_commit(p->db, &e));
}

static void percentiles_are_told(void **state)
{
    (void)state;
    struct err e = {0};
    struct place p;
    json_t *j = NULL;
    struct latencies *l = latencies_new();
    place_open(&p);
    for (int i = 1; i <= 1000; i++) { /* 1 to 1000 ms, in two flushes */
        latencies_count(l, 7, LANE_TRANSACTIONAL, NOW, i);
        if (i == 500)
            flush(&p, l);
    }
    latencies_count(l, 7, LANE_BULK, NOW - 120 * MINUTE, 60000);
    latencies_count(l, 8, LANE_BULK, NOW, 1);
    flush(&p, l);
    assert_ok(latency_report(p.db, 7, NOW, &j, &e));
    assert_int_equal(figure(j, "hour", "messages"), 1000);
    assert_int_equal(figure(j, "day", "messages"), 1001);
    assert_in_range(figure(j, "hour", "p50_ms"), 490, 510);
    assert_in_range(figure(j, "hour", "p95_ms"), 930, 970);
    assert_in_range(figure(j, "hour", "p99_ms"), 970, 1010);
    json_t *streams = json_object_get(j, "streams");
    assert_int_equal(json_object_size(streams), 2);
    assert_true(json_is_null(json_object_get(json_object_get(streams, "bulk"), "hour")));
    assert_in_range(figure(json_object_get(streams, "bulk"), "day", "p50_ms"), 53000, 61440);
    json_decref(j);
    assert_ok(latency_report(p.db, 9, NOW, &j, &e));
    assert_true(json_is_null(j));
    json_decref(j);
    assert_ok(latency_report_all(p.db, NOW, &j, &e));
    assert_int_equal(figure(j, "hour", "messages"), 1001);
    json_decref(j);
    latencies_free(&l);
    place_close(&p);
}

static void old_ones_go(void **state)
{
    (void)state;
    struct err e = {0};
    struct place p;
    json_t *j = NULL;
    struct latencies *l = latencies_new();
    place_open(&p);
    latencies_count(l, 1, LANE_BULK, NOW, 10);
    latencies_drop(l); /* a transaction that was rolled back */
    latencies_count(l, 1, LANE_BULK, NOW - 25 * 60 * MINUTE, 10);
    latencies_count(l, 1, LANE_BULK, NOW - 23 * 60 * MINUTE, 10);
    flush(&p, l);
    assert_ok(latency_report(p.db, 1, NOW, &j, &e));
    assert_int_equal(figure(j, "day", "messages"), 1);
    json_decref(j);
    assert_ok(latencies_trim(p.db, NOW, &e));
    assert_int_equal(number(p.db, "SELECT count(*) FROM latency"), 1);
    latencies_free(&l);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(buckets_have_no_gaps),
                                       cmocka_unit_test(percentiles_are_told),
                                       cmocka_unit_test(old_ones_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
