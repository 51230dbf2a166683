/* Explaining is choosing: in random states of a fleet fleet_explain gives the answer that
 * fleet_pick then gives, and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/internal.h"
#include "fleet_test.h"

#define N       6
#define STATES  60
#define STEPS   250
#define HOLDS   40
#define REASONS 64

struct dump {
    char text[32768];
    size_t n;
};

#define PUT(d, ...)                                                                                \
    ((d)->n += (size_t)snprintf((d)->text + (d)->n, sizeof(d)->text - (d)->n, __VA_ARGS__))

static void put_quota(struct dump *d, struct quota *q, int64_t now)
{
    PUT(d, " [r%llu e%lld", (unsigned long long)q->reserved, (long long)q->even_at_us);
    for (int w = 0; w < QUOTA_WINDOWS; w++)
        PUT(d, " %llu/%lld", (unsigned long long)quota_counted(q, (enum quota_window)w, now),
            (long long)q->lines[w].spread_at_us);
    PUT(d, "]\n");
}

static void put_server(struct dump *d, struct fserver *s, int64_t now)
{
    PUT(d, "s%u %d %u urgent %lld try %d probe %d conc %.6f f%u", s->num, s->state, s->assigned,
        (long long)s->urgent_until, s->may_try, s->is_probing, s->concurrency,
        s->breaker.failures_in_row);
    put_quota(d, &s->quota, now);
    list_each(it, &s->places)
    {
        const struct place *p = list_entry(it, struct place, link);
        int64_t at = p->state == PLACE_IN ? p->node.key : p->finish;
        PUT(d, "  in g%u: %d %lld owed %lld off %lld %d rest %d tier %llu at %lld\n", p->group->num,
            p->state, (long long)at, (long long)p->owed_since[LANE_BULK], (long long)p->off_until,
            p->off_bound, p->is_resting, (unsigned long long)p->tier->level,
            (long long)p->tier->vtime);
    }
}

static void dump(struct fleet *f, int64_t now, struct dump *d)
{
    d->n = 0;
    PUT(d, "rng %llu common %d\n", (unsigned long long)f->rng, f->common_cause);
    for (uint16_t num = 1; num <= N; num++)
        put_server(d, fleet_find(f, num), now);
    for (uint32_t num = 1; num <= 2; num++) {
        struct fgroup *g = fleet_find_group(f, num);
        struct quota *q = fleet_limit(f, &(struct limit_key){LIMIT_GROUP, num, 0});
        PUT(d, "g%u urgent %lld sent %llu at %zu passed %u\n", num, (long long)g->urgent_until,
            (unsigned long long)g->rotate_sent, g->rotate_at, g->n_passed);
        if (q)
            put_quota(d, q, now);
    }
    assert_true(d->n < sizeof d->text - 1);
}

struct life {
    struct bed bed;
    struct hold held[HOLDS];
    size_t n;
    uint32_t n_sends, n_waits, n_gives_up;
};

static void set_groups(struct bed *b)
{
    static const uint32_t fallbacks[] = {2}, weights[] = {5, 1, 3, 2};
    static const uint32_t priorities[] = {1, 1, 2, 3};
    bed_set_group(b, &(struct bed_group){
                         .num = 2, .strategy = (enum strategy)bed_below(b, 6), .n = 2, .first = 5});
    bed_set_group(b, &(struct bed_group){.num = 1,
                                         .strategy = (enum strategy)bed_below(b, 6),
                                         .at_limit = (enum at_limit)bed_below(b, 2),
                                         .shares = (enum shares)bed_below(b, 2),
                                         .n = 4,
                                         .first = 1,
                                         .weights = weights,
                                         .priorities = priorities,
                                         .sticky = (enum sticky)bed_below(b, 3),
                                         .fallbacks = fallbacks,
                                         .n_fallbacks = 1,
                                         .rotate_active = (uint32_t)bed_below(b, 4)});
}

static void begin(struct life *x, uint64_t seed)
{
    struct bed *b = &x->bed;
    bed_init(b);
    b->has_lanes = true;
    b->seed = seed;
    x->n = 0;
    for (uint16_t i = 1; i <= N; i++) {
        struct server *s = bed_server(b, i);
        s->limits.max_connections = (uint32_t)(1 + bed_below(b, 4));
        s->limits.per_hour = bed_below(b, 2) ? 5 + bed_below(b, 60) : 0;
        s->limits.per_day = bed_below(b, 2) ? 500 : 0;
        s->limits.per_second = bed_below(b, 3) ? 0 : 5;
        s->limits.spread = (enum spread)bed_below(b, 2);
        s->cost_per_1000 = (double)bed_below(b, 3);
        s->included_per_month = bed_below(b, 2) ? bed_below(b, 30) : 0;
        bed_apply(b, i);
        fleet_learn(b->f, i, bed_below(b, 2) ? 1000 : 0, bed_below(b, 2));
        if (bed_below(b, 4) == 0)
            fleet_set_engagement(b->f, i, 1u << 1 | 1u << 2, b->now);
    }
    set_groups(b);
    static const enum limit_kind kinds[] = {LIMIT_GROUP, LIMIT_CAMPAIGN, LIMIT_PROVIDER,
                                            LIMIT_SERVER_PROVIDER, LIMIT_WARMUP};
    for (size_t i = 0; i < countof(kinds); i++) {
        struct limits l = {.per_hour = 20 + bed_below(b, 100),
                           .per_second = bed_below(b, 2) ? 10 : 0,
                           .spread = SPREAD_ASAP};
        if (bed_below(b, 2))
            fleet_set_limit(b->f, &(struct limit_key){kinds[i], 1, 1}, &l, b->now);
    }
}

static struct ask random_ask(struct bed *b)
{
    static const uint16_t prefer[] = {4, 6};
    struct ask a = {.group_num = bed_below(b, 8) ? 1 : 2,
                    .lane = (enum lane)bed_below(b, LANE_COUNT),
                    .provider = (uint32_t)bed_below(b, 3),
                    .campaign_num = (uint32_t)bed_below(b, 2),
                    .size = bed_below(b, 4) ? 0 : 2000,
                    .needs_utf8 = bed_below(b, 6) == 0,
                    .engagement = (uint8_t)bed_below(b, 4),
                    .from_domain = STR("shop.example")};
    for (uint64_t n = bed_below(b, 3) ? 0 : bed_below(b, N); n > 0; n--)
        a.tried[a.n_tried++] = (uint16_t)(1 + bed_below(b, N));
    if (bed_below(b, 4) == 0) {
        a.prefer = prefer;
        a.n_prefer = countof(prefer);
    }
    if (bed_below(b, 6) == 0)
        a.keep_server = (uint16_t)(1 + bed_below(b, N));
    a.home = fleet_home(b->f, a.group_num, bed_rand(b));
    return a;
}

static void compare(struct life *x)
{
    static struct dump before, after;
    struct bed *b = &x->bed;
    struct server_reason why[REASONS];
    struct pick said, done;
    size_t n = 0;
    struct ask a = random_ask(b);
    fleet_explain(b->f, &a, b->now, &said, why, REASONS, &n); /* places come back by time */
    dump(b->f, b->now, &before);
    fleet_explain(b->f, &a, b->now, &said, why, REASONS, &n);
    dump(b->f, b->now, &after);
    assert_string_equal(before.text, after.text);
    fleet_pick(b->f, &a, b->now, &done);
    assert_int_equal(said.kind, done.kind);
    assert_int_equal(said.server_num, done.server_num);
    assert_int_equal(said.bound, done.bound);
    assert_int_equal(said.group_num, done.group_num);
    x->n_sends += done.kind == PICK_SEND;
    x->n_waits += done.kind == PICK_WAIT;
    x->n_gives_up += done.kind == PICK_GIVE_UP;
    bool listed = done.kind != PICK_SEND;
    for (size_t i = 0; i < n; i++) {
        assert_true(why[i].why[0] != 0);
        assert_int_equal(why[i].eligible, why[i].bound == BOUND_NONE);
        if (done.kind == PICK_SEND && why[i].server_num == done.server_num)
            listed |= why[i].eligible;
    }
    if (!listed)
        fail_msg("server %u was chosen and not said to be eligible", done.server_num);
    if (done.kind == PICK_SEND && x->n < HOLDS)
        x->held[x->n++] = done.hold;
    else if (done.kind == PICK_SEND)
        fleet_return(b->f, &done.hold, b->now);
}

static void end_one(struct life *x)
{
    struct bed *b = &x->bed;
    if (x->n == 0)
        return;
    size_t i = bed_below(b, x->n);
    struct hold h = x->held[i];
    int64_t when = 0;
    x->held[i] = x->held[--x->n];
    uint64_t what = bed_below(b, 8);
    if (what == 0)
        fleet_return(b->f, &h, b->now);
    else if (what == 1)
        bed_finish(b, &h, VERDICT_TRY_LATER, 0, -1);
    else if (what == 2)
        bed_report(b, &(struct report){.server_num = h.server_num,
                                       .hold = h,
                                       .is_message = true,
                                       .verdict = VERDICT_FAILOVER,
                                       .fault = FAULT_SERVER,
                                       .phase = PHASE_GREETING,
                                       .reply_read = true,
                                       .latency_ms = -1});
    else if (fleet_dot(b->f, &h, b->now, &when))
        bed_finish(b, &h, VERDICT_ACCEPTED, b->now, (int64_t)(1 + bed_below(b, 200)));
    else
        fleet_return(b->f, &h, b->now);
}

static void change(struct life *x)
{
    struct bed *b = &x->bed;
    uint16_t num = (uint16_t)(1 + bed_below(b, N));
    uint64_t what = bed_below(b, 6);
    if (what < 2) {
        b->servers[num]->admin = b->servers[num]->admin ? ADMIN_ACTIVE : ADMIN_PAUSED;
        bed_apply(b, num);
    } else if (what == 2) {
        fleet_open(b->f, num, "test", b->now);
    } else if (what == 3) {
        fleet_stuck(b->f, num, bed_below(b, 3) == 0, true, b->now);
    } else if (what == 4) {
        fleet_set_factor(b->f, num, FACTOR_REPUTATION, (double)bed_below(b, 5) / 4, "test");
    } else if (bed_tick(b, num)) {
        bed_probe(b, num, VERDICT_ACCEPTED, true);
    }
}

static void explained_is_picked_and_nothing_changes(void **state)
{
    (void)state;
    static struct life x;
    for (uint64_t seed = 1; seed <= STATES; seed++) {
        begin(&x, seed);
        for (int i = 0; i < STEPS; i++) {
            compare(&x);
            if (bed_below(&x.bed, 3))
                end_one(&x);
            if (bed_below(&x.bed, 12) == 0)
                change(&x);
            x.bed.now += (int64_t)bed_below(&x.bed, bed_below(&x.bed, 50) ? 80 : 100000);
        }
        for (size_t i = 0; i < x.n; i++)
            fleet_return(x.bed.f, &x.held[i], x.bed.now);
        bed_free(&x.bed);
    }
    assert_true(x.n_sends > 1000);
    assert_true(x.n_waits > 1000);
    assert_true(x.n_gives_up > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explained_is_picked_and_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
