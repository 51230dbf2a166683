/* Limits are never exceeded by one: random reservations, dots, refusals and returns on a fleet,
 * held against a plain log of the times at which dots left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet_test.h"

#define HOUR_MS  INT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
#define MONTH_MS (30 * DAY_MS)
#define LOG_MAX  20000
#define SEEDS    30
#define FLYING   64

static const int64_t spans[QUOTA_WINDOWS] = {1000, 60000, HOUR_MS, DAY_MS, MONTH_MS};

struct trial {
    struct bed b;
    uint64_t limits[QUOTA_WINDOWS];
    int64_t log[LOG_MAX]; /* dots that count, in order; 0: given back */
    size_t n, first;
    int64_t pace[LOG_MAX]; /* every dot */
    size_t n_pace;
    struct {
        int64_t dot_at; /* 0: picked only */
        size_t at;
    } flying[FLYING];
    size_t n_flying;
};

static uint64_t in_span(const int64_t *log, size_t n, int64_t now, int64_t span)
{
    uint64_t k = 0;
    for (size_t i = n; i-- > 0;)
        k += log[i] && log[i] > now - span;
    return k;
}

static void never_over(struct trial *t)
{
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        bool pace = w <= QUOTA_MINUTE;
        uint64_t n = in_span(pace ? t->pace : t->log, pace ? t->n_pace : t->n, t->b.now, spans[w]);
        if (t->limits[w] && n > t->limits[w])
            fail_msg("%llu in the last %s, the limit is %llu", (unsigned long long)n,
                     quota_window_name((enum quota_window)w), (unsigned long long)t->limits[w]);
    }
}

static void fly(struct trial *t)
{
    if (t->n_flying < FLYING && bed_send(&t->b) == 1) {
        t->flying[t->n_flying].dot_at = 0;
        t->n_flying++;
    }
}

static void dot(struct trial *t, size_t i)
{
    int64_t when = 0;
    if (t->flying[i].dot_at || t->n_pace == LOG_MAX)
        return;
    if (!fleet_dot(t->b.f, &(struct hold){.server_num = 1, .lane = LANE_BULK}, t->b.now, &when)) {
        assert_true(when > t->b.now);
        return;
    }
    t->flying[i].dot_at = t->b.now;
    t->flying[i].at = t->n;
    t->log[t->n++] = t->b.now;
    t->pace[t->n_pace++] = t->b.now;
    never_over(t);
}

static void forget(struct trial *t, size_t i)
{
    t->flying[i] = t->flying[--t->n_flying];
}

static void finish(struct trial *t, size_t i, bool refused)
{
    struct report r = {.server_num = 1,
                       .is_message = true,
                       .verdict = refused ? VERDICT_SOFT_BOUNCE : VERDICT_ACCEPTED,
                       .phase = PHASE_DOT,
                       .reply_read = true,
                       .dot_left = true,
                       .dot_at = t->flying[i].dot_at,
                       .latency_ms = 1};
    if (refused)
        t->log[t->flying[i].at] = 0;
    bed_report(&t->b, &r);
    forget(t, i);
}

static void step(struct trial *t)
{
    uint64_t r = bed_rand(&t->b);
    size_t i = t->n_flying ? r / 64 % t->n_flying : 0;
    if (r % 16 < 6 || !t->n_flying)
        fly(t);
    else if (r % 16 < 11)
        dot(t, i);
    else if (r % 16 == 11 && !t->flying[i].dot_at) {
        bed_return(&t->b, 1);
        forget(t, i);
    } else if (r % 16 == 12 && t->flying[i].dot_at) { /* permitted, never written */
        fleet_undot(t->b.f, &(struct hold){.server_num = 1, .lane = LANE_BULK}, t->flying[i].dot_at,
                    t->b.now);
        t->log[t->flying[i].at] = 0;
        t->flying[i].dot_at = 0;
    } else if (t->flying[i].dot_at)
        finish(t, i, r % 16 == 13);
}

static void set_limits(struct trial *t)
{
    struct server *s = t->b.servers[1];
    s->limits.per_second = t->limits[QUOTA_SECOND];
    s->limits.per_minute = t->limits[QUOTA_MINUTE];
    s->limits.per_hour = t->limits[QUOTA_HOUR];
    s->limits.per_day = t->limits[QUOTA_DAY];
    s->limits.per_month = t->limits[QUOTA_MONTH];
    bed_apply(&t->b, 1);
}

static void run_seed(uint64_t seed, int kind)
{
    static struct trial t;
    static const int64_t most[] = {40, 2000, 60000, 4 * HOUR_MS / 10, DAY_MS / 2};
    t = (struct trial){0};
    bed_init(&t.b);
    t.b.seed = seed;
    bed_simple(&t.b, STRATEGY_ROUND_ROBIN, 1, NULL);
    t.b.servers[1]->limits.max_connections = 20;
    t.limits[kind] = 1 + bed_below(&t.b, 30);
    if (kind > QUOTA_MINUTE)
        t.limits[bed_below(&t.b, 2)] = 1 + bed_below(&t.b, 10);
    set_limits(&t);
    for (int i = 0; i < 6000 && t.n < LOG_MAX; i++) {
        step(&t);
        t.b.now += (int64_t)bed_below(&t.b, (uint64_t)most[kind]);
    }
    assert_true(t.n > t.limits[kind]); /* it worked more than one window full */
    bed_free(&t.b);
}

static void never_exceeded_by_one(void **state)
{
    (void)state;
    for (int kind = 0; kind < QUOTA_WINDOWS; kind++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            run_seed(seed * 1000 + (uint64_t)kind, kind);
}

/* A limit that is set or lowered at work counts what went before it. */
static void a_limit_set_at_work_knows_the_past(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    for (int i = 0; i < 80; i++) {
        b.now += 1000;
        assert_int_equal(bed_send(&b), 1);
        bed_accept(&b, 1);
    }
    b.servers[1]->limits.per_hour = 100;
    bed_apply(&b, 1);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(bed_send(&b), 1);
        bed_accept(&b, 1);
    }
    struct pick p = bed_pick(&b);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_QUOTA);
    b.servers[1]->limits.per_hour = 0;
    b.servers[1]->limits.per_day = 101;
    b.servers[1]->limits.calendar = alloc_copy("UTC");
    bed_apply(&b, 1);
    assert_int_equal(bed_send(&b), 1); /* not opened: everything known counts */
    bed_accept(&b, 1);
    assert_int_equal(bed_send(&b), 0);
    b.servers[1]->limits.per_second = 1;
    b.servers[1]->limits.per_day = 0;
    bed_apply(&b, 1);
    assert_int_equal(bed_send(&b), 1);
    assert_false(bed_dot(&b, 1)); /* one left in this very millisecond */
    bed_free(&b);
}

static void calendar_window_counts_from_its_opening(void **state)
{
    (void)state;
    struct quota q;
    struct limits l = {.per_day = 3, .calendar = (char *)"UTC", .spread = SPREAD_ASAP};
    int64_t midnight = START_MS - START_MS % DAY_MS, free_at = 0;
    enum quota_window w;
    quota_init(&q);
    quota_configure(&q, &l, START_MS);
    quota_open_calendar(&q, QUOTA_DAY, midnight, midnight + DAY_MS);
    quota_load(&q, QUOTA_DAY, START_MS, midnight - 1, 50); /* yesterday's */
    assert_int_equal(quota_used(&q, QUOTA_DAY, START_MS), 0);
    quota_load(&q, QUOTA_DAY, START_MS, midnight, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(quota_may_reserve(&q, LANE_BULK, START_MS, &free_at, &w), QUOTA_FREE);
        quota_reserve(&q, LANE_BULK, START_MS);
    }
    assert_int_equal(quota_may_reserve(&q, LANE_BULK, START_MS, &free_at, &w), QUOTA_USED_UP);
    assert_int_equal(free_at, midnight + DAY_MS);
    assert_int_equal(w, QUOTA_DAY);
    quota_take(&q, LANE_BULK, START_MS);
    quota_return(&q, LANE_BULK);
    assert_int_equal(quota_may_reserve(&q, LANE_BULK, START_MS, &free_at, &w), QUOTA_FREE);
    quota_give_back(&q, LANE_BULK, START_MS, START_MS);
    assert_int_equal(quota_used(&q, QUOTA_DAY, START_MS), 1);
    /* the next day begins empty, and a message of the day before gives nothing back to it */
    quota_reserve(&q, LANE_BULK, START_MS);
    quota_take(&q, LANE_BULK, START_MS);
    int64_t next = midnight + DAY_MS;
    quota_open_calendar(&q, QUOTA_DAY, next, next + DAY_MS);
    assert_int_equal(quota_used(&q, QUOTA_DAY, next), 0);
    quota_reserve(&q, LANE_BULK, START_MS);
    quota_take(&q, LANE_BULK, next + 5);
    quota_give_back(&q, LANE_BULK, next + 10, START_MS);
    assert_int_equal(quota_used(&q, QUOTA_DAY, next + 10), 1);
    quota_free(&q);
}

/* Rebuilding from roll-ups never gives less than what a log has. */
static void loaded_use_is_never_less(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct quota q;
        struct limits l = {.per_hour = 1000000, .per_day = 1000000, .per_month = 1000000};
        int64_t now = START_MS + (int64_t)(seed * 7919 % 3600000), at[500];
        uint64_t s = seed;
        quota_init(&q);
        quota_configure(&q, &l, now);
        for (int i = 0; i < 500; i++) {
            s += 0x9E3779B97F4A7C15u;
            at[i] = now - (int64_t)(hash_u64(s) % (uint64_t)(i % 2 ? MONTH_MS : 2 * HOUR_MS));
            int64_t minute = at[i] - at[i] % 60000, hour = at[i] - at[i] % HOUR_MS;
            quota_load(&q, QUOTA_HOUR, now, MIN(minute + 59999, now), 1);
            quota_load(&q, QUOTA_DAY, now, MIN(hour + HOUR_MS - 1, now), 1);
            quota_load(&q, QUOTA_MONTH, now, MIN(hour + HOUR_MS - 1, now), 1);
        }
        for (int w = QUOTA_HOUR; w < QUOTA_WINDOWS; w++)
            assert_true(quota_used(&q, (enum quota_window)w, now) >=
                        in_span(at, 500, now, spans[w]));
        quota_free(&q);
    }
}

static void pace_begins_used_up(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    struct server *s = bed_server(&b, 1);
    s->limits.per_second = 20;
    fleet_set_server(b.f, s, true, b.now);
    bed_set_group(&b, &(struct bed_group){.num = 1, .n = 1, .first = 1});
    assert_int_equal(bed_send(&b), 1);
    int64_t when = 0;
    assert_false(fleet_dot(b.f, &(struct hold){.server_num = 1, .lane = LANE_BULK}, b.now, &when));
    assert_in_range(when - b.now, 1000, 1020);
    b.now = when;
    assert_true(bed_dot(&b, 1));
    fleet_undot(b.f, &(struct hold){.server_num = 1, .lane = LANE_BULK}, b.now, b.now);
    bed_return(&b, 1);
    bed_free(&b);
}

/* Those ahead take their places first; the answer is never too early. */
static void a_dot_behind_others_waits_for_them(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    struct server *s = bed_server(&b, 1);
    s->limits.per_second = 5;
    bed_apply(&b, 1);
    assert_int_equal(fleet_dot_at(b.f, 1, 0, b.now), b.now);
    assert_int_equal(fleet_dot_at(b.f, 1, 4, b.now), b.now);
    assert_true(fleet_dot_at(b.f, 1, 5, b.now) >= b.now + 1000);
    assert_true(fleet_dot_at(b.f, 1, 12, b.now) >= b.now + 2000);
    bed_free(&b);
}

/* What is counted: accepted ones, or every attempt that reached MAIL. */
static void counts_what_the_server_counts(void **state)
{
    (void)state;
    static const struct {
        enum counts counts;
        enum phase phase;
        bool dot, reply, accepted;
        uint64_t used;
    } rows[] = {
        {COUNTS_ACCEPTED, PHASE_DOT, true, true, true, 1},
        {COUNTS_ACCEPTED, PHASE_DOT, true, true, false, 0},
        {COUNTS_ACCEPTED, PHASE_RCPT, false, true, false, 0},
        {COUNTS_ATTEMPTS, PHASE_DOT, true, true, false, 1},
        {COUNTS_ATTEMPTS, PHASE_RCPT, false, true, false, 1},
        {COUNTS_ATTEMPTS, PHASE_MAIL, false, false, false, 1}, /* MAIL may have been counted */
        {COUNTS_ATTEMPTS, PHASE_AUTH, false, true, false, 0},
        {COUNTS_ATTEMPTS, PHASE_CONNECT, false, false, false, 0},
        {COUNTS_RECIPIENTS, PHASE_RCPT, false, true, false, 1},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct bed b;
        bed_init(&b);
        bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
        b.servers[1]->limits.per_hour = 10;
        b.servers[1]->limits.counts = rows[i].counts;
        bed_apply(&b, 1);
        assert_int_equal(bed_send(&b), 1);
        if (rows[i].dot)
            assert_true(bed_dot(&b, 1));
        bed_report(
            &b, &(struct report){.server_num = 1,
                                 .is_message = true,
                                 .verdict = rows[i].accepted ? VERDICT_ACCEPTED : VERDICT_TRY_LATER,
                                 .phase = rows[i].phase,
                                 .reply_read = rows[i].reply,
                                 .dot_left = rows[i].dot,
                                 .dot_at = b.now,
                                 .latency_ms = -1});
        uint64_t used = quota_used(fleet_quota(b.f, 1), QUOTA_HOUR, b.now);
        if (used != rows[i].used)
            fail_msg("row %zu: %llu used", i, (unsigned long long)used);
        bed_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_exceeded_by_one),
        cmocka_unit_test(a_limit_set_at_work_knows_the_past),
        cmocka_unit_test(calendar_window_counts_from_its_opening),
        cmocka_unit_test(loaded_use_is_never_less),
        cmocka_unit_test(pace_begins_used_up),
        cmocka_unit_test(a_dot_behind_others_waits_for_them),
        cmocka_unit_test(counts_what_the_server_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
