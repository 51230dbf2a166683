/* Forecasts against arithmetic, and against a plain simulation that moves the same fleet on in
 * small steps and knows nothing of jumps, batches or accounts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/forecast.h"
#include "fleet_test.h"

#define HOUR_MS  INT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
/* A day's begin, UTC. */
#define MIDNIGHT (START_MS / DAY_MS * DAY_MS)

struct ask_for {
    uint64_t n;
    uint64_t picks_max;
    int64_t service_us;
    const struct forecast_class *classes;
    size_t n_classes;
    const struct forecast_warmup *warmups;
    size_t n_warmups;
};

static void forecast(struct bed *b, const struct ask_for *a, struct forecast *out)
{
    static const char *const names[] = {"", "s1", "s2", "s3", "s4"};
    struct forecast_class one = {.group_num = 1,
                                 .campaign_num = 7,
                                 .provider_name = "other",
                                 .lane = LANE_BULK,
                                 .from_domain = "",
                                 .n = a->n};
    int64_t days[] = {MIDNIGHT, MIDNIGHT + DAY_MS};
    int64_t months[] = {MIDNIGHT, MIDNIGHT + 30 * DAY_MS};
    struct forecast_calendar utc = {days, months, 2, 2};
    struct forecast_server servers[SERVERS];
    uint16_t nums[SERVERS];
    struct fleet *copy = fleet_copy(b->f, (const uint32_t[]){1}, 1, b->now);
    size_t n = fleet_servers(copy, nums, SERVERS);
    for (size_t i = 0; i < n; i++)
        servers[i] = (struct forecast_server){nums[i], nums[i] < 5 ? names[nums[i]] : "s",
                                              a->service_us ? a->service_us : 50000, 0};
    struct forecast_in in = {.fleet = copy,
                             .now_ms = b->now,
                             .classes = a->classes ? a->classes : &one,
                             .n_classes = a->classes ? a->n_classes : 1,
                             .servers = servers,
                             .n_servers = n,
                             .calendars = &utc,
                             .n_calendars = 1,
                             .warmups = a->warmups,
                             .n_warmups = a->n_warmups,
                             .picks_max = a->picks_max};
    forecast_run(&in, out);
    fleet_free(&copy);
}

static double hours(const struct bed *b, const struct forecast *r)
{
    return (double)(r->finishes_at - b->now) / HOUR_MS;
}

#define assert_between(x, low, high)                                                               \
    do {                                                                                           \
        double x_ = (x);                                                                           \
        if (x_ < (low) || x_ > (high))                                                             \
            fail_msg("%s is %g, not in %g to %g", #x, x_, (double)(low), (double)(high));          \
    } while (0)

static void set_limits(struct bed *b, uint16_t num, struct limits l)
{
    struct server *s = b->servers[num];
    l.max_connections = l.max_connections ? l.max_connections : 10;
    l.calendar = alloc_copy(l.calendar);
    free(s->limits.calendar);
    s->limits = l;
    bed_apply(b, num);
}

/* ---- arithmetic */

static void connections_alone(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    forecast(&b, &(struct ask_for){.n = 40000, .service_us = 100000}, &r);
    assert_true(r.ends);
    assert_int_equal(r.sent, 40000);
    assert_between(hours(&b, &r) * 3600, 199.0, 204.0); /* 20 at 100 ms: 200 a second */
    assert_non_null(strstr(r.bottleneck, "10 connections"));
    forecast_free(&r);
    bed_free(&b);
}

static void an_hour_quota(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    set_limits(&b, 1, (struct limits){.per_hour = 100, .spread = SPREAD_ASAP});
    forecast(&b, &(struct ask_for){.n = 1000}, &r);
    assert_true(r.ends);
    assert_between(hours(&b, &r), 9.0, 10.0);
    assert_string_equal(r.bottleneck, "s1: 100 an hour");
    forecast_free(&r);
    bed_free(&b);
}

static void two_quotas_share_by_what_they_may(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    set_limits(&b, 1, (struct limits){.per_hour = 1000, .spread = SPREAD_ASAP});
    set_limits(&b, 2, (struct limits){.per_hour = 3000, .spread = SPREAD_ASAP});
    forecast(&b, &(struct ask_for){.n = 40000}, &r);
    assert_between(hours(&b, &r), 9.0, 10.0);
    assert_int_equal(r.servers[0].sent, 10000);
    assert_int_equal(r.servers[1].sent, 30000);
    forecast_free(&r);
    bed_free(&b);
}

static void use_before_counts(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    set_limits(&b, 1, (struct limits){.per_hour = 100, .spread = SPREAD_ASAP});
    quota_load(fleet_quota(b.f, 1), QUOTA_HOUR, b.now, b.now, 60);
    forecast(&b, &(struct ask_for){.n = 40}, &r);
    assert_between(hours(&b, &r), 0.0, 0.01);
    forecast_free(&r);
    forecast(&b, &(struct ask_for){.n = 41}, &r);
    assert_between(hours(&b, &r), 0.98, 1.02);
    forecast_free(&r);
    assert_int_equal(quota_used(fleet_quota(b.f, 1), QUOTA_HOUR, b.now), 60); /* only a copy */
    bed_free(&b);
}

static void pace_and_calendar_days(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    b.now = MIDNIGHT + 18 * HOUR_MS;
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    set_limits(&b, 1, (struct limits){.per_second = 20, .spread = SPREAD_ASAP});
    forecast(&b, &(struct ask_for){.n = 7200}, &r);
    assert_between(hours(&b, &r) * 60, 5.9, 6.2);
    assert_string_equal(r.bottleneck, "s1: 20 a second");
    forecast_free(&r);
    set_limits(
        &b, 1,
        (struct limits){
            .per_second = 20, .per_day = 7200, .calendar = (char[]){"UTC"}, .spread = SPREAD_ASAP});
    forecast(&b, &(struct ask_for){.n = 18000}, &r);
    /* today, tomorrow, and 3,600 on the day after: 30 hours to that midnight, and 3 minutes */
    assert_between(hours(&b, &r), 30.0, 30.15);
    assert_int_equal(r.servers[0].n_days, 3);
    assert_int_equal(r.servers[0].days[0], 7200);
    assert_int_equal(r.servers[0].days[1], 7200);
    assert_int_equal(r.servers[0].days[2], 3600);
    assert_int_equal(r.first_day, MIDNIGHT / DAY_MS);
    forecast_free(&r);
    bed_free(&b);
}

static void a_spread_day(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    set_limits(&b, 1, (struct limits){.per_day = 2400, .spread = SPREAD_EVEN});
    forecast(&b, &(struct ask_for){.n = 1200}, &r);
    assert_between(hours(&b, &r), 11.5, 12.5);
    assert_string_equal(r.bottleneck, "s1: 2,400 a day, spread evenly");
    forecast_free(&r);
    bed_free(&b);
}

static void warm_up(struct bed *b, uint64_t cap)
{
    struct limit_key key = {LIMIT_WARMUP, 1, 0};
    struct limits cap_of = {.per_day = cap, .calendar = (char[]){"UTC"}, .spread = SPREAD_ASAP};
    fleet_set_limit(b->f, &key, &cap_of, b->now);
    quota_open_calendar(fleet_limit(b->f, &key), QUOTA_DAY, MIDNIGHT, MIDNIGHT + DAY_MS);
}

static void a_warm_up_doubles_each_day(void **state)
{
    static const uint64_t caps[] = {100, 200, 400, 800, 1600, 3200};
    static const uint64_t expected[] = {100, 200, 400, 800, 1500};
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    b.now = MIDNIGHT + HOUR_MS;
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    warm_up(&b, 100);
    struct forecast_warmup w = {
        .server_num = 1, .day = 1, .caps = caps, .n = 6, .closes_at = MIDNIGHT + DAY_MS};
    forecast(&b, &(struct ask_for){.n = 3000, .warmups = &w, .n_warmups = 1}, &r);
    assert_true(r.ends);
    assert_between(hours(&b, &r), 95.0, 95.1); /* 23 hours to midnight, then three days */
    assert_int_equal(r.servers[0].n_days, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(r.servers[0].days[i], expected[i]);
    assert_string_equal(r.bottleneck, "s1: the cap of its warm-up");
    forecast_free(&r);
    w.holds = true; /* 100 a day: 30 days */
    forecast(&b, &(struct ask_for){.n = 3000, .warmups = &w, .n_warmups = 1}, &r);
    assert_between(hours(&b, &r), 29 * 24 - 1.1, 29 * 24);
    forecast_free(&r);
    bed_free(&b);
}

static void a_provider_binds_its_part_only(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    struct limit_key key = {LIMIT_PROVIDER, 0, 3};
    struct limits l = {.per_hour = 1000, .spread = SPREAD_ASAP};
    fleet_set_limit(b.f, &key, &l, b.now);
    struct forecast_class k[] = {
        {.group_num = 1, .provider_name = "other", .lane = LANE_BULK, .from_domain = "", .n = 7000},
        {.group_num = 1,
         .provider = 3,
         .provider_name = "gmail",
         .lane = LANE_BULK,
         .from_domain = "",
         .n = 3000}};
    forecast(&b, &(struct ask_for){.classes = k, .n_classes = 2}, &r);
    assert_between(hours(&b, &r), 2.0, 2.2);
    assert_string_equal(r.bottleneck, "gmail: mailbox provider: 1000 in the hour are used");
    assert_int_equal(r.servers[0].days[0] + r.servers[1].days[0], 10000);
    forecast_free(&r);
    bed_free(&b);
}

static void others_share_the_servers(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    struct forecast_class k[] = {{.group_num = 1,
                                  .provider_name = "other",
                                  .lane = LANE_BULK,
                                  .from_domain = "",
                                  .n = 10000},
                                 {.campaign = 1,
                                  .campaign_num = 8,
                                  .group_num = 1,
                                  .provider_name = "other",
                                  .lane = LANE_BULK,
                                  .from_domain = "",
                                  .n = 50000}};
    forecast(&b, &(struct ask_for){.classes = k, .n_classes = 2, .service_us = 100000}, &r);
    assert_between(hours(&b, &r) * 3600, 198.0, 204.0); /* half of 100 a second */
    assert_int_equal(r.sent, 10000);
    forecast_free(&r);
    bed_free(&b);
}

static void one_that_never_ends(void **state)
{
    struct bed b;
    struct forecast r;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    b.servers[1]->admin = ADMIN_PAUSED;
    bed_apply(&b, 1);
    forecast(&b, &(struct ask_for){.n = 10}, &r);
    assert_false(r.ends);
    assert_int_equal(r.sent, 0);
    assert_string_equal(r.bottleneck, "s1: paused");
    forecast_free(&r);
    bed_free(&b);
}

/* A part of it is led where nobody can send: that is named, not what the rest was held up by. */
static void a_part_that_never_leaves_is_named(void **state)
{
    struct bed b;
    struct forecast r;
    struct forecast_class k[] = {
        {.group_num = 1, .provider_name = "other", .lane = LANE_BULK, .from_domain = "", .n = 700},
        {.group_num = 2, .provider_name = "other", .lane = LANE_BULK, .from_domain = "", .n = 30}};
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    forecast(&b, &(struct ask_for){.classes = k, .n_classes = 2}, &r);
    assert_false(r.ends);
    assert_int_equal(r.sent, 700);
    assert_int_equal(r.stuck_group, 2);
    assert_true(r.stuck[0]);
    forecast_free(&r);
    forecast(&b, &(struct ask_for){.classes = k, .n_classes = 1}, &r);
    assert_true(r.ends && !r.stuck[0]);
    forecast_free(&r);
    bed_free(&b);
}

/* ---- batches against single messages */

static void batches_end_when_single_messages_do(void **state)
{
    struct bed b;
    struct forecast single, batches;
    (void)state;
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 3, (const uint32_t[]){10, 5, 1});
    set_limits(&b, 1, (struct limits){.per_hour = 9000, .spread = SPREAD_ASAP});
    set_limits(&b, 2, (struct limits){.per_minute = 100, .spread = SPREAD_ASAP});
    set_limits(&b, 3, (struct limits){.per_second = 2, .spread = SPREAD_ASAP});
    forecast(&b, &(struct ask_for){.n = 100000, .picks_max = 1000000}, &single);
    forecast(&b, &(struct ask_for){.n = 100000, .picks_max = 2000}, &batches);
    assert_int_equal(single.batch, 1);
    assert_int_equal(batches.batch, 50);
    assert_int_equal(batches.sent, 100000);
    double apart = hours(&b, &batches) / hours(&b, &single);
    assert_between(apart, 0.97, 1.03);
    for (size_t i = 0; i < 3; i++)
        assert_between((double)batches.servers[i].sent / (double)single.servers[i].sent, 0.97,
                       1.03);
    forecast_free(&single);
    forecast_free(&batches);
    /* ten million: exact is out of the question, the arithmetic is not */
    forecast(&b, &(struct ask_for){.n = 10000000}, &batches);
    assert_true(batches.batch <= 200);
    assert_between(hours(&b, &batches), 10e6 / 22500 * 0.95, 10e6 / 22200 * 1.05);
    forecast_free(&batches);
    bed_free(&b);
}

/* ---- a plain simulation: small steps, the same doors */

struct plain {
    struct bed *b;
    int64_t service_ms;
    uint64_t left, sent;
    struct hold wire[SERVERS][10]; /* by server: what is on its connections ... */
    int64_t ends[SERVERS][10], dot_at[SERVERS][10];
    uint32_t n_wire[SERVERS];
    struct hold waiting[SERVERS][40]; /* ... and what waits for one */
    uint32_t n_waiting[SERVERS];
    uint32_t warm_day;
    int64_t midnight;
};

static void plain_ends(struct plain *p, uint16_t num)
{
    for (uint32_t i = 0; i < p->n_wire[num];) {
        if (p->ends[num][i] > p->b->now) {
            i++;
            continue;
        }
        struct report r = {.server_num = num,
                           .hold = p->wire[num][i],
                           .is_message = true,
                           .verdict = VERDICT_ACCEPTED,
                           .phase = PHASE_DOT,
                           .reply_read = true,
                           .dot_left = true,
                           .dot_at = p->dot_at[num][i],
                           .latency_ms = p->service_ms,
                           .code = 250,
                           .why = ""};
        fleet_report(p->b->f, &r, p->b->now);
        uint32_t last = --p->n_wire[num];
        p->wire[num][i] = p->wire[num][last];
        p->ends[num][i] = p->ends[num][last];
        p->dot_at[num][i] = p->dot_at[num][last];
    }
}

static void plain_begins(struct plain *p, uint16_t num)
{
    int64_t when = 0;
    while (p->n_waiting[num] &&
           p->n_wire[num] < MIN(fleet_transactions(p->b->f, num, p->b->now), 10u) &&
           fleet_dot(p->b->f, &p->waiting[num][0], p->b->now, &when)) {
        uint32_t i = p->n_wire[num]++;
        p->wire[num][i] = p->waiting[num][0];
        p->dot_at[num][i] = p->b->now;
        p->ends[num][i] = p->b->now + p->service_ms;
        memmove(&p->waiting[num][0], &p->waiting[num][1],
                --p->n_waiting[num] * sizeof p->waiting[num][0]);
        p->sent++;
    }
}

/* Midnight: windows open anew, the warm-up of server 1 doubles. */
static void plain_midnight(struct plain *p, uint64_t first_cap)
{
    struct limit_key key = {LIMIT_WARMUP, 1, 0};
    struct limits l = {.calendar = (char[]){"UTC"}, .spread = SPREAD_ASAP};
    int64_t from = p->midnight;
    p->midnight += DAY_MS;
    for (uint16_t num = 1; num <= 4; num++) {
        struct quota *q = fleet_quota(p->b->f, num);
        if (q->lines[QUOTA_DAY].is_calendar)
            quota_open_calendar(q, QUOTA_DAY, from, p->midnight);
    }
    if (!first_cap)
        return;
    l.per_day = first_cap << ++p->warm_day;
    fleet_set_limit(p->b->f, &key, &l, p->b->now);
    quota_open_calendar(fleet_limit(p->b->f, &key), QUOTA_DAY, from, p->midnight);
}

static int64_t plain_run(struct plain *p, uint16_t n_servers, uint64_t first_cap)
{
    p->midnight = MIDNIGHT + DAY_MS;
    for (bool work = true; work;) {
        struct pick k = {.kind = PICK_SEND};
        uint32_t busy = 0;
        if (p->b->now >= p->midnight)
            plain_midnight(p, first_cap);
        for (uint16_t num = 1; num <= n_servers; num++) {
            plain_ends(p, num);
            plain_begins(p, num);
        }
        while (p->left && k.kind == PICK_SEND) {
            k = bed_pick(p->b);
            if (k.kind != PICK_SEND)
                break;
            p->waiting[k.server_num][p->n_waiting[k.server_num]++] = k.hold;
            p->left--;
            plain_begins(p, k.server_num);
        }
        for (uint16_t num = 1; num <= n_servers; num++)
            busy += p->n_wire[num] + p->n_waiting[num];
        work = p->left || busy;
        p->b->now += !work ? 0 : busy ? 50 : 2000;
    }
    return p->b->now;
}

/* The issue's: 120,000 contacts, 4 servers, different quotas, a warm-up and a window. */
static void what_is_forecast_happens(void **state)
{
    static const uint64_t caps[] = {2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000};
    struct bed b;
    struct forecast r;
    struct plain *p = alloc_one(struct plain);
    (void)state;
    bed_init(&b);
    b.now = MIDNIGHT + 20 * HOUR_MS;
    bed_simple(&b, STRATEGY_WEIGHTED, 4, (const uint32_t[]){4, 2, 1, 1});
    set_limits(&b, 2, (struct limits){.per_hour = 1000, .spread = SPREAD_ASAP});
    set_limits(
        &b, 3,
        (struct limits){.per_day = 10000, .calendar = (char[]){"UTC"}, .spread = SPREAD_ASAP});
    set_limits(&b, 4, (struct limits){.per_day = 12000, .spread = SPREAD_EVEN});
    quota_open_calendar(fleet_quota(b.f, 3), QUOTA_DAY, MIDNIGHT, MIDNIGHT + DAY_MS);
    warm_up(&b, 2000);
    struct forecast_warmup w = {
        .server_num = 1, .day = 1, .caps = caps, .n = 8, .closes_at = MIDNIGHT + DAY_MS};
    struct ask_for a = {.n = 120000, .warmups = &w, .n_warmups = 1, .service_us = 50000};
    forecast(&b, &a, &r);
    assert_true(r.ends);
    int64_t begun = b.now;
    *p = (struct plain){.b = &b, .service_ms = 50, .left = 120000};
    double happened = (double)(plain_run(p, 4, 2000) - begun);
    double said = (double)(r.finishes_at - begun);
    print_message("said %.2f h, happened %.2f h; batch %llu; %s\n", said / HOUR_MS,
                  happened / HOUR_MS, (unsigned long long)r.batch, r.bottleneck);
    for (size_t i = 0; i < r.n_servers; i++) /* the table of doc/DISPATCH.md */
        for (size_t d = 0; d < r.servers[i].n_days; d++)
            print_message("s%zu %llu%s", i + 1, (unsigned long long)r.servers[i].days[d],
                          d + 1 < r.servers[i].n_days ? " | " : "\n");
    assert_int_equal(p->sent, 120000);
    assert_between(said / happened, 0.95, 1.05);
    forecast_free(&r);
    free(p);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_alone),
        cmocka_unit_test(an_hour_quota),
        cmocka_unit_test(two_quotas_share_by_what_they_may),
        cmocka_unit_test(use_before_counts),
        cmocka_unit_test(pace_and_calendar_days),
        cmocka_unit_test(a_spread_day),
        cmocka_unit_test(a_warm_up_doubles_each_day),
        cmocka_unit_test(a_provider_binds_its_part_only),
        cmocka_unit_test(others_share_the_servers),
        cmocka_unit_test(one_that_never_ends),
        cmocka_unit_test(a_part_that_never_leaves_is_named),
        cmocka_unit_test(batches_end_when_single_messages_do),
        cmocka_unit_test(what_is_forecast_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
