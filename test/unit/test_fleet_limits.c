/* Limits of every kind at once, against an oracle that keeps the time of every dot: never one over,
 * and all are taken or none. And how a day's quota is spread, and what waits or spills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/internal.h"
#include "fleet_test.h"

#define SERVERS_USED 3
#define KEYS         24
#define DOTS         60000
#define HOLDS        64
#define STEPS        2500

static const int64_t spans[] = {1000, 60000, 3600000, INT64_C(86400000), INT64_C(2592000000)};

/* ---- the oracle: exact times of the dots that count under one limit */

struct rule {
    struct limit_key key;
    struct limits limits;
    bool is_set;
    int64_t *dots;
    size_t n;
};

struct carried { /* picked, and perhaps its dot has left */
    struct hold hold;
    int64_t dot_at;
};

struct trial {
    struct bed bed;
    struct rule rules[KEYS];
    size_t n_rules;
    struct carried held[HOLDS];
    size_t n_held;
    uint32_t n_sent;
};

static bool is_under(const struct rule *r, const struct hold *h)
{
    const struct limit_key *k = &r->key;
    switch (k->kind) {
    case LIMIT_SERVER: return k->num == h->server_num;
    case LIMIT_GROUP: return k->num == h->group_num;
    case LIMIT_CAMPAIGN: return k->num == h->campaign_num;
    case LIMIT_CREDENTIAL: return k->num == h->credential_num;
    case LIMIT_PROVIDER: return k->provider == h->provider;
    case LIMIT_WARMUP: return k->num == h->server_num;
    default: return k->num == h->server_num && k->provider == h->provider;
    }
}

static uint64_t limit_of(const struct limits *l, int w)
{
    const uint64_t all[] = {l->per_second, l->per_minute, l->per_hour, l->per_day, l->per_month};
    return all[w];
}

/* Dots of the window that ends now: one over is one too many. */
static void judge(const struct rule *r, int64_t now)
{
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        uint64_t limit = limit_of(&r->limits, w), n = 0;
        for (size_t i = r->n; limit && i > 0 && r->dots[i - 1] > now - spans[w]; i--)
            n++;
        if (limit && n > limit)
            fail_msg("%s %u/%u: %llu in a %s, %llu allowed", limit_kind_name(r->key.kind),
                     r->key.num, r->key.provider, (unsigned long long)n,
                     quota_window_name((enum quota_window)w), (unsigned long long)limit);
    }
}

static void count_dot(struct trial *t, const struct hold *h)
{
    for (size_t i = 0; i < t->n_rules; i++) {
        struct rule *r = &t->rules[i];
        if (!is_under(r, h))
            continue;
        assert_true(r->n < DOTS);
        r->dots[r->n++] = t->bed.now;
        if (r->is_set)
            judge(r, t->bed.now);
    }
}

/* A refused or withdrawn one does not count: its dot is struck out. */
static void forget_dot(struct trial *t, const struct hold *h, int64_t at)
{
    for (size_t i = 0; i < t->n_rules; i++) {
        struct rule *r = &t->rules[i];
        size_t k = r->n;
        while (is_under(r, h) && k > 0 && r->dots[k - 1] != at)
            k--;
        if (is_under(r, h) && k > 0)
            memmove(&r->dots[k - 1], &r->dots[k], (r->n-- - k) * sizeof *r->dots);
    }
}

/* ---- a life */

static struct limits random_limits(struct bed *b)
{
    struct limits l = {.spread = SPREAD_ASAP, .max_connections = 10};
    if (bed_below(b, 3) == 0)
        l.per_second = 1 + bed_below(b, 20);
    if (bed_below(b, 3) == 0)
        l.per_minute = 1 + bed_below(b, 100);
    if (bed_below(b, 2) == 0)
        l.per_hour = 1 + bed_below(b, 300);
    if (bed_below(b, 2) == 0)
        l.per_day = 1 + bed_below(b, 600);
    if (bed_below(b, 4) == 0)
        l.per_month = 1 + bed_below(b, 900);
    return l;
}

static void add_rule(struct trial *t, struct limit_key k)
{
    struct rule *r = &t->rules[t->n_rules++];
    struct bed *b = &t->bed;
    *r = (struct rule){.key = k, .limits = random_limits(b), .is_set = true};
    r->dots = alloc_many(int64_t, DOTS);
    if (k.kind == LIMIT_SERVER) {
        b->servers[k.num]->limits = r->limits;
        bed_apply(b, (uint16_t)k.num);
    } else {
        fleet_set_limit(b->f, &k, &r->limits, b->now);
    }
}

static void begin(struct trial *t, uint64_t seed)
{
    struct bed *b = &t->bed;
    bed_init(b);
    b->has_lanes = true;
    b->seed = seed;
    bed_simple(b, (enum strategy)bed_below(b, 6), SERVERS_USED, NULL);
    t->n_rules = t->n_held = t->n_sent = 0;
    for (uint32_t num = 1; num <= SERVERS_USED; num++) {
        add_rule(t, (struct limit_key){LIMIT_SERVER, num, 0});
        for (uint32_t p = 1; p <= 2; p++)
            if (bed_below(b, 2))
                add_rule(t, (struct limit_key){LIMIT_SERVER_PROVIDER, num, p});
    }
    static const enum limit_kind kinds[] = {LIMIT_GROUP, LIMIT_CAMPAIGN, LIMIT_CAMPAIGN,
                                            LIMIT_CREDENTIAL, LIMIT_PROVIDER};
    for (uint32_t i = 0; i < countof(kinds); i++)
        if (bed_below(b, 3))
            add_rule(t, (struct limit_key){kinds[i], 1 + (i == 2), kinds[i] == LIMIT_PROVIDER});
}

static void end(struct trial *t)
{
    for (size_t i = 0; i < t->n_held; i++)
        if (t->held[i].dot_at)
            bed_finish(&t->bed, &t->held[i].hold, VERDICT_ACCEPTED, t->held[i].dot_at, 5);
        else
            fleet_return(t->bed.f, &t->held[i].hold, t->bed.now);
    for (size_t i = 0; i < t->n_rules; i++) {
        struct rule *r = &t->rules[i];
        struct quota *q = r->key.kind == LIMIT_SERVER ? fleet_quota(t->bed.f, (uint16_t)r->key.num)
                                                      : fleet_limit(t->bed.f, &r->key);
        if (q)
            assert_int_equal(q->reserved, 0); /* all are given back */
        free(r->dots);
    }
    bed_free(&t->bed);
}

static void pick_some(struct trial *t)
{
    struct bed *b = &t->bed;
    struct ask a = {.group_num = 1,
                    .lane = (enum lane)bed_below(b, LANE_COUNT),
                    .provider = (uint32_t)bed_below(b, 3),
                    .campaign_num = (uint32_t)bed_below(b, 3),
                    .credential_num = (uint32_t)bed_below(b, 2)};
    struct pick p = bed_ask(b, &a);
    if (p.kind == PICK_SEND && t->n_held < HOLDS)
        t->held[t->n_held++] = (struct carried){.hold = p.hold};
    else if (p.kind == PICK_SEND)
        fleet_return(b->f, &p.hold, b->now);
}

static void drop(struct trial *t, size_t i)
{
    t->held[i] = t->held[--t->n_held];
}

/* One of the dots that has left: accepted, lost, refused, or never written after all. */
static void answer(struct trial *t, size_t i)
{
    struct bed *b = &t->bed;
    struct carried *c = &t->held[i];
    uint64_t what = bed_below(b, 10);
    if (what == 0) {
        fleet_undot(b->f, &c->hold, c->dot_at, b->now);
        forget_dot(t, &c->hold, c->dot_at);
        c->dot_at = 0;
        return;
    }
    enum verdict v = what == 1   ? VERDICT_UNCERTAIN
                     : what == 2 ? VERDICT_HARD_BOUNCE
                     : what == 3 ? VERDICT_TRY_LATER
                                 : VERDICT_ACCEPTED;
    struct hold h = c->hold;
    int64_t at = c->dot_at;
    if (v == VERDICT_HARD_BOUNCE || v == VERDICT_TRY_LATER)
        forget_dot(t, &h, at);
    drop(t, i);
    bed_finish(b, &h, v, at, 5);
}

static void live_on(struct trial *t)
{
    struct bed *b = &t->bed;
    if (t->n_held == 0)
        return;
    size_t i = bed_below(b, t->n_held);
    struct carried *c = &t->held[i];
    int64_t when = 0;
    if (c->dot_at) {
        answer(t, i);
    } else if (bed_below(b, 12) == 0) {
        struct hold h = c->hold;
        drop(t, i);
        if (bed_below(b, 2))
            fleet_return(b->f, &h, b->now);
        else
            bed_finish(b, &h, VERDICT_TRY_LATER, 0, -1);
    } else if (fleet_dot(b->f, &c->hold, b->now, &when)) {
        c->dot_at = b->now;
        t->n_sent++;
        count_dot(t, &c->hold);
    } else {
        assert_true(when > b->now);
    }
}

static void step(struct trial *t)
{
    struct bed *b = &t->bed;
    uint64_t what = bed_below(b, 100);
    if (what < 45)
        pick_some(t);
    else if (what < 90)
        live_on(t);
    else if (what < 98)
        b->now += (int64_t)bed_below(b, 300);
    else
        b->now += (int64_t)bed_below(b, what == 98 ? 60000 : 1800000);
    if (what % 10 == 0)
        bed_tick(b, 0);
}

static void never_one_over_in_any_window(void **state)
{
    (void)state;
    static struct trial t;
    uint64_t sent = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        begin(&t, seed);
        for (int i = 0; i < STEPS; i++)
            step(&t);
        sent += t.n_sent;
        end(&t);
    }
    assert_true(sent > 3000); /* else this would prove nothing */
}

/* Every limit is counted for each message, or, when one bars it, none is. */
static void all_are_taken_or_none(void **state)
{
    (void)state;
    static const enum limit_kind kinds[] = {
        LIMIT_GROUP,           LIMIT_CAMPAIGN, LIMIT_CREDENTIAL,     LIMIT_PROVIDER,
        LIMIT_SERVER_PROVIDER, LIMIT_WARMUP,   LIMIT_WARMUP_PROVIDER};
    const struct ask a = {
        .group_num = 1, .lane = LANE_BULK, .provider = 2, .campaign_num = 1, .credential_num = 1};
    for (size_t tight = 0; tight < countof(kinds); tight++) {
        struct bed b;
        bed_init(&b);
        bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
        for (size_t i = 0; i < countof(kinds); i++) {
            struct limits l = {.per_hour = i == tight ? 7 : 50, .spread = SPREAD_ASAP};
            fleet_set_limit(b.f, &(struct limit_key){kinds[i], 1, 2}, &l, b.now);
        }
        int n = 0;
        while (n < 100 && bed_carry_one(&b, &a))
            n++;
        assert_int_equal(n, 7);
        for (size_t i = 0; i < countof(kinds); i++) {
            struct quota *q = fleet_limit(b.f, &(struct limit_key){kinds[i], 1, 2});
            assert_int_equal(quota_used(q, QUOTA_HOUR, b.now), 7);
        }
        assert_int_equal(quota_counted(fleet_quota(b.f, 1), QUOTA_HOUR, b.now), 7);
        struct pick p = bed_ask(&b, &a);
        assert_int_equal(p.bound, BOUND_QUOTA);
        assert_non_null(strstr(p.why, "7 in the hour are used"));
        bed_free(&b);
    }
}

/* What is on its way when a limit is set may still go; it counts, so nothing is picked beyond. */
static void a_limit_set_at_work_counts_what_is_on_its_way(void **state)
{
    (void)state;
    struct bed b;
    struct pick p[10];
    const struct ask a = {.group_num = 1, .lane = LANE_BULK, .campaign_num = 1};
    const struct limit_key key = {LIMIT_CAMPAIGN, 1, 0};
    struct limits l = {.per_hour = 5, .spread = SPREAD_ASAP};
    bed_begin(&b, 1);
    for (int i = 0; i < 10; i++)
        p[i] = bed_ask(&b, &a);
    fleet_set_limit(b.f, &key, &l, b.now);
    for (int i = 0; i < 10; i++)
        bed_carry(&b, &p[i].hold, 5);
    assert_int_equal(bed_ask(&b, &a).bound, BOUND_QUOTA);
    l.per_hour = 13; /* more: at once */
    fleet_set_limit(b.f, &key, &l, b.now);
    int n = 0;
    while (n < 20 && bed_carry_one(&b, &a))
        n++;
    assert_int_equal(n, 3);
    fleet_set_limit(b.f, &key, NULL, b.now);
    assert_int_equal(bed_carry_one(&b, &a), 1);
    assert_null(fleet_limit(b.f, &key));
    fleet_set_limit(b.f, &key, &l,
                    b.now); /* set again: what it missed is not known, what it saw is */
    assert_int_equal(quota_used(fleet_limit(b.f, &key), QUOTA_HOUR, b.now), 13);
    bed_free(&b);
}

/* ---- even spreading */

static void spread(struct bed *b, uint64_t per_day, bool is_calendar)
{
    struct limits *l = &b->servers[1]->limits;
    l->per_day = per_day;
    l->spread = SPREAD_EVEN;
    l->calendar = is_calendar ? alloc_copy("UTC") : NULL;
    bed_apply(b, 1);
}

/* How many leave in so many seconds, asked every 10 ms. */
static uint32_t leave(struct bed *b, const struct ask *a, int seconds)
{
    uint32_t n = 0;
    for (int i = 0; i < seconds * 100; i++, b->now += 10)
        while (bed_carry_one(b, a))
            n++;
    return n;
}

static const struct ask bulk = {.group_num = 1, .lane = LANE_BULK};
static const struct ask urgent = {.group_num = 1, .lane = LANE_TRANSACTIONAL};

static void a_sliding_day_is_spread(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    spread(&b, 86400, false); /* one a second */
    for (int i = 0; i < 5; i++)
        assert_in_range(leave(&b, &bulk, 60), 59, 62);
    b.now += 600000; /* what was not used is not made up in a burst */
    assert_in_range(leave(&b, &bulk, 60), 59, 62);
    bed_free(&b);
}

static void a_calendar_day_is_spread_over_its_rest(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    spread(&b, 86401, true);
    int64_t opens = b.now;
    struct quota *q = fleet_quota(b.f, 1);
    quota_open_calendar(q, QUOTA_DAY, opens, opens + spans[QUOTA_DAY]);
    assert_in_range(leave(&b, &bulk, 600), 594, 604);
    b.now = opens + spans[QUOTA_DAY] / 2; /* half the day is over: twice the pace */
    assert_in_range(leave(&b, &bulk, 600), 1170, 1212);
    b.now = opens + spans[QUOTA_DAY] - 3600000; /* much is left: four times and no more */
    assert_in_range(leave(&b, &bulk, 600), 2390, 2420);
    bed_free(&b);
}

static void transactional_mail_is_not_spread(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    b.has_lanes = true;
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    bed_warm(&b, 1);
    spread(&b, 8640, false);
    assert_in_range(leave(&b, &bulk, 9), 1, 2);
    struct pick p = bed_ask(&b, &bulk);
    assert_int_equal(p.bound, BOUND_SPREAD);
    for (int i = 0; i < 500; i++)
        assert_int_equal(bed_carry_one(&b, &urgent), 1);
    bed_free(&b);
}

/* A new day does not open with everybody at once: each has a phase of its own. */
static void new_days_are_no_stampede(void **state)
{
    (void)state;
    struct bed b;
    uint32_t in_first_second = 0;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 100, NULL);
    for (uint16_t i = 1; i <= 100; i++) {
        b.servers[i]->limits.per_day = 144; /* one in ten minutes */
        b.servers[i]->limits.spread = SPREAD_EVEN;
        b.servers[i]->limits.calendar = alloc_copy("UTC");
        bed_apply(&b, i);
        quota_open_calendar(fleet_quota(b.f, i), QUOTA_DAY, b.now, b.now + spans[QUOTA_DAY]);
    }
    in_first_second = leave(&b, &bulk, 1);
    assert_true(in_first_second < 10);
    uint32_t rest = leave(&b, &bulk, 660);
    assert_in_range(rest, 80, 220);
    bed_free(&b);
}

/* ---- wait or spill: the whole group */

static void waits_or_spills_as_a_whole(void **state)
{
    (void)state;
    static const uint32_t fallbacks[] = {2};
    for (int spills = 0; spills < 2; spills++) {
        struct bed b;
        bed_init(&b);
        for (uint16_t i = 1; i <= 3; i++) {
            bed_server(&b, i);
            b.servers[i]->limits.per_hour = i < 3 ? 10 : 0;
            bed_apply(&b, i);
        }
        bed_set_group(&b, &(struct bed_group){.num = 2, .n = 1, .first = 3});
        bed_set_group(&b, &(struct bed_group){.num = 1,
                                              .n = 2,
                                              .first = 1,
                                              .at_limit = (enum at_limit)spills,
                                              .fallbacks = fallbacks,
                                              .n_fallbacks = 1});
        uint32_t got[4] = {0};
        for (int i = 0; i < 20; i++)
            got[bed_carry_one(&b, &bulk)]++;
        assert_int_equal(got[1], 10);
        assert_int_equal(got[2], 10); /* while one of the group may send nobody spills */
        struct pick p = bed_ask(&b, &bulk);
        assert_int_equal(p.kind, spills ? PICK_SEND : PICK_WAIT);
        if (spills)
            assert_int_equal(p.server_num, 3);
        else
            assert_true(p.free_at > b.now);
        bed_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_one_over_in_any_window),
        cmocka_unit_test(all_are_taken_or_none),
        cmocka_unit_test(a_limit_set_at_work_counts_what_is_on_its_way),
        cmocka_unit_test(a_sliding_day_is_spread),
        cmocka_unit_test(a_calendar_day_is_spread_over_its_rest),
        cmocka_unit_test(transactional_mail_is_not_spread),
        cmocka_unit_test(new_days_are_no_stampede),
        cmocka_unit_test(waits_or_spills_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
