/* Strategies and their shares: exact weights with servers that leave and return, least loaded,
 * adaptive, cheapest, priority with reserves, and what sticks to a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/internal.h"
#include "fleet_test.h"

#define PICKS 100000

static const struct ask bulk = {.group_num = 1, .lane = LANE_BULK};

static void set_admin(struct bed *b, uint16_t num, enum admin_state to)
{
    b->servers[num]->admin = to;
    bed_apply(b, num);
}

/* ---- shares */

static bool is_in(const struct bed *b, int i)
{
    return b->servers[i + 1]->admin == ADMIN_ACTIVE;
}

/* Each picks in turn what its weight says among those that can send then. */
static void shares_hold_while_servers_leave_and_return(void **state)
{
    (void)state;
    static const uint32_t weights[] = {10, 5, 1};
    struct bed b;
    double want[3] = {0};
    uint32_t got[3] = {0};
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 3, weights);
    bed_warm(&b, 3);
    for (int i = 0; i < PICKS; i++) {
        if (i % 977 == 976) { /* one of them, but never the last, goes or comes */
            uint16_t num = (uint16_t)(1 + bed_below(&b, 3));
            bool others = is_in(&b, num % 3) || is_in(&b, (num + 1) % 3);
            set_admin(&b, num, is_in(&b, num - 1) && others ? ADMIN_PAUSED : ADMIN_ACTIVE);
        }
        uint32_t sum = 0;
        for (int k = 0; k < 3; k++)
            sum += is_in(&b, k) ? weights[k] : 0;
        for (int k = 0; k < 3; k++)
            want[k] += is_in(&b, k) ? (double)weights[k] / sum : 0;
        uint16_t num = bed_carry_one(&b, &bulk);
        assert_true(num && is_in(&b, num - 1));
        got[num - 1]++;
    }
    for (int k = 0; k < 3; k++)
        if (got[k] < want[k] * 0.99 || got[k] > want[k] * 1.01)
            fail_msg("server %d: %u of %.1f", k + 1, got[k], want[k]);
    bed_free(&b);
}

struct flight {
    struct hold holds[64];
    size_t n;
};

/* Equal connections, all of them in use: the turns are kept, so the shares are too. */
static void shares_hold_when_all_are_saturated(void **state)
{
    (void)state;
    static const uint32_t weights[] = {10, 5, 1};
    struct bed b;
    struct flight f = {.n = 0};
    uint32_t got[4] = {0}, done = 0;
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 3, weights);
    for (uint16_t i = 1; i <= 3; i++)
        b.servers[i]->limits.max_connections = 4, bed_apply(&b, i);
    bed_warm(&b, 3);
    while (done < PICKS) {
        struct pick p = bed_ask(&b, &bulk);
        if (p.kind == PICK_SEND) {
            got[p.server_num]++;
            done++;
            f.holds[f.n++] = p.hold;
            continue;
        }
        assert_int_equal(p.bound, BOUND_BUSY);
        b.now += 5;
        size_t i = bed_below(&b, f.n);
        bed_carry(&b, &f.holds[i], 5);
        f.holds[i] = f.holds[--f.n];
    }
    for (int k = 0; k < 3; k++) {
        double want = (double)PICKS * weights[k] / 16;
        if (got[k + 1] < want * 0.99 || got[k + 1] > want * 1.01)
            fail_msg("server %d: %u of %.1f", k + 1, got[k + 1], want);
    }
    bed_free(&b);
}

/* The widest weights there are keep their proportion. */
static void large_weights_are_exact_too(void **state)
{
    (void)state;
    static const uint32_t weights[] = {1000000, 700000, 1};
    struct bed b;
    uint32_t got[4] = {0};
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 3, weights);
    bed_warm(&b, 3);
    for (int i = 0; i < 17000; i++)
        got[bed_carry_one(&b, &bulk)]++;
    assert_in_range(got[1], 9900, 10100);
    assert_in_range(got[2], 6930, 7070);
    assert_true(got[3] <= 1);
    bed_free(&b);
}

static void a_return_is_no_burst(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    for (int round = 0; round < 20; round++) {
        set_admin(&b, 2, ADMIN_PAUSED);
        for (uint64_t n = bed_below(&b, 5000); n; n--)
            assert_int_not_equal(bed_carry_one(&b, &bulk), 2);
        set_admin(&b, 2, ADMIN_ACTIVE);
        int in_row = 0, all = 0;
        for (int i = 0; i < 30; i++) {
            bool second = bed_carry_one(&b, &bulk) == 2;
            in_row = second ? in_row + 1 : 0;
            all += second;
            assert_true(in_row <= 1);
        }
        assert_in_range(all, 9, 11);
    }
    bed_free(&b);
}

/* The configuration is read again for every change of anything: turns and shares go on. */
static void a_reload_of_the_group_keeps_the_turn(void **state)
{
    (void)state;
    static const uint32_t weights[] = {10, 5, 1};
    struct bed b;
    uint32_t got[4] = {0};
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 3, weights);
    bed_warm(&b, 3);
    for (int i = 0; i < 16000; i++) {
        if (i % 3 == 0)
            bed_set_group(&b, &(struct bed_group){.num = 1,
                                                  .strategy = STRATEGY_WEIGHTED,
                                                  .n = 3,
                                                  .first = 1,
                                                  .weights = weights});
        got[bed_carry_one(&b, &bulk)]++;
    }
    assert_in_range(got[1], 9900, 10100);
    assert_in_range(got[2], 4950, 5050);
    assert_in_range(got[3], 990, 1010);
    bed_free(&b);
}

/* Turns in tiny steps for years: the group's time does not run out. */
static void a_groups_time_never_ends(void **state)
{
    (void)state;
    static const uint32_t weights[] = {3, 1};
    struct bed b;
    uint32_t got[3] = {0};
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 2, weights);
    bed_warm(&b, 2);
    struct fgroup *g = fleet_find_group(b.f, 1);
    int64_t far = INT64_MAX / 2 - 1000;
    for (size_t i = 0; i < 2; i++)
        heap_rekey(&g->tiers[0].heap, &g->places[i].node, g->places[i].node.key + far);
    g->tiers[0].vtime += far;
    for (int i = 0; i < 4000; i++)
        got[bed_carry_one(&b, &bulk)]++;
    assert_in_range(got[1], 2998, 3002);
    assert_true(g->tiers[0].vtime < far);
    bed_free(&b);
}

/* ---- least loaded */

struct worker {
    int64_t ms;
    bool refuses;
};

struct busy {
    struct hold hold;
    int64_t ends_at;
};

/* Work arrives every `every` ms for so many messages; each takes as long as its server does. */
static void run_workers(struct bed *b, const struct worker *w, int n_messages, int64_t every,
                        uint32_t *got)
{
    struct busy *all = alloc_many(struct busy, 4096);
    size_t n = 0;
    for (int i = 0; i < n_messages; i++) {
        b->now += every;
        for (size_t k = 0; k < n; k++) {
            const struct worker *x = &w[all[k].hold.server_num];
            if (all[k].ends_at > b->now)
                continue;
            if (x->refuses)
                bed_finish(b, &all[k].hold, VERDICT_TRY_LATER, 0, -1);
            else
                bed_carry(b, &all[k].hold, x->ms);
            all[k--] = all[--n];
        }
        struct pick p = bed_ask(b, &bulk);
        if (p.kind != PICK_SEND || n == 4096)
            continue;
        got[p.server_num]++;
        all[n++] = (struct busy){p.hold, b->now + w[p.server_num].ms};
        if (i % 500 == 0)
            bed_tick(b, 0);
    }
    for (size_t k = 0; k < n; k++)
        fleet_return(b->f, &all[k].hold, b->now);
    free(all);
}

static void least_loaded_prefers_the_fast(void **state)
{
    (void)state;
    static const struct worker w[] = {{0}, {100, false}, {20, false}};
    struct bed b;
    uint32_t got[3] = {0};
    bed_init(&b);
    bed_simple(&b, STRATEGY_LEAST_LOADED, 2, NULL);
    bed_warm(&b, 2);
    run_workers(&b, w, 6000, 5, got);
    if (got[2] < 3 * got[1] || got[1] == 0)
        fail_msg("fast %u, slow %u", got[2], got[1]);
    bed_free(&b);
}

static void least_loaded_prefers_the_idle(void **state)
{
    (void)state;
    struct bed b;
    struct hold held[4];
    bed_init(&b);
    bed_simple(&b, STRATEGY_LEAST_LOADED, 2, NULL);
    bed_warm(&b, 2);
    for (int i = 0; i < 4; i++) /* equal and idle: turn and turn about */
        held[i] = bed_ask(&b, &bulk).hold;
    for (int i = 0; i < 4; i++)
        if (held[i].server_num == 1)
            bed_carry(&b, &held[i], 5);
    for (int i = 0; i < 2; i++)
        assert_int_equal(bed_ask(&b, &bulk).server_num, 1);
    bed_free(&b);
}

/* A server that says no at once is idle at once; that must not make it the favourite. */
static void least_loaded_is_not_drawn_to_refusals(void **state)
{
    (void)state;
    static const struct worker well[] = {{0}, {60, false}, {10, false}};
    static const struct worker ill[] = {{0}, {60, false}, {1, true}};
    struct bed b;
    uint32_t before[3] = {0}, got[3] = {0};
    bed_init(&b);
    bed_simple(&b, STRATEGY_LEAST_LOADED, 2, NULL);
    bed_warm(&b, 2);
    run_workers(&b, well, 2000, 20, before);
    run_workers(&b, ill, 6000, 20, got);
    if (got[2] > got[1])
        fail_msg("refuses fast %u, carries %u", got[2], got[1]);
    bed_free(&b);
}

/* ---- cheapest */

static void set_cost(struct bed *b, uint16_t num, double cost, uint64_t included)
{
    b->servers[num]->cost_per_1000 = cost;
    b->servers[num]->included_per_month = included;
    bed_apply(b, num);
}

static void begin_cheapest(struct bed *b, const char *zone)
{
    bed_init(b);
    for (uint16_t i = 1; i <= 3; i++) {
        bed_server(b, i);
        if (zone)
            b->servers[i]->limits.calendar = alloc_copy(zone);
    }
    set_cost(b, 1, 0.5, 0);
    set_cost(b, 2, 0.1, 0);
    set_cost(b, 3, 2.0, 1000);
    bed_set_group(b,
                  &(struct bed_group){.num = 1, .strategy = STRATEGY_CHEAPEST, .n = 3, .first = 1});
}

static void cheapest_takes_the_included_volume_first_and_exactly(void **state)
{
    (void)state;
    struct bed b;
    begin_cheapest(&b, NULL);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bed_carry_one(&b, &bulk), 3);
    for (int i = 0; i < 100; i++)
        assert_int_equal(bed_carry_one(&b, &bulk), 2);
    set_admin(&b, 2, ADMIN_PAUSED);
    assert_int_equal(bed_carry_one(&b, &bulk), 1);
    set_admin(&b, 1, ADMIN_PAUSED);
    assert_int_equal(bed_carry_one(&b, &bulk), 3);
    bed_free(&b);
}

/* What is in flight counts, and what was refused is included again. */
static void cheapest_counts_what_is_in_flight(void **state)
{
    (void)state;
    struct bed b;
    struct hold held[50];
    begin_cheapest(&b, NULL);
    b.servers[3]->limits.max_connections = 100;
    bed_apply(&b, 3);
    for (int i = 0; i < 950; i++)
        bed_carry_one(&b, &bulk);
    for (int i = 0; i < 50; i++) {
        struct pick p = bed_ask(&b, &bulk);
        assert_int_equal(p.kind, PICK_SEND);
        assert_int_equal(p.server_num, 3);
        held[i] = p.hold;
    }
    assert_int_equal(bed_carry_one(&b, &bulk), 2);
    for (int i = 0; i < 50; i++)
        fleet_return(b.f, &held[i], b.now);
    for (int i = 0; i < 50; i++)
        assert_int_equal(bed_carry_one(&b, &bulk), 3);
    assert_int_equal(bed_carry_one(&b, &bulk), 2);
    bed_free(&b);
}

static void cheapest_is_back_in_a_new_month(void **state)
{
    (void)state;
    struct bed b;
    int64_t day = INT64_C(24) * 3600000;
    begin_cheapest(&b, "UTC");
    struct quota *q = fleet_quota(b.f, 3);
    assert_true(q->lines[QUOTA_MONTH].is_calendar);
    quota_open_calendar(q, QUOTA_MONTH, b.now, b.now + 10 * day);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bed_carry_one(&b, &bulk), 3);
    assert_int_equal(bed_carry_one(&b, &bulk), 2);
    b.now += 10 * day;
    bed_apply(&b, 3); /* any change of its settings: the month goes on being counted as it was */
    assert_int_equal(bed_carry_one(&b, &bulk), 2);
    quota_open_calendar(q, QUOTA_MONTH, b.now, b.now + 28 * day);
    bed_tick(&b, 0);
    for (int i = 0; i < 1000; i++) {
        if (i % 100 == 50)
            bed_apply(&b, 3);
        assert_int_equal(bed_carry_one(&b, &bulk), 3);
    }
    assert_int_equal(bed_carry_one(&b, &bulk), 2);
    bed_free(&b);
}

/* ---- priority and reserve */

static void reserves_stand_behind_all_tiers(void **state)
{
    (void)state;
    static const uint32_t priorities[] = {1, 2, 1};
    static const enum role roles[] = {ROLE_ACTIVE, ROLE_ACTIVE, ROLE_RESERVE};
    struct bed b;
    bed_init(&b);
    for (uint16_t i = 1; i <= 3; i++)
        bed_server(&b, i);
    bed_set_group(&b, &(struct bed_group){.num = 1,
                                          .strategy = STRATEGY_PRIORITY,
                                          .n = 3,
                                          .first = 1,
                                          .priorities = priorities,
                                          .roles = roles});
    for (uint16_t i = 1; i <= 3; i++) {
        for (int k = 0; k < 20; k++)
            assert_int_equal(bed_carry_one(&b, &bulk), i);
        set_admin(&b, i, ADMIN_PAUSED);
    }
    assert_int_equal(bed_carry_one(&b, &bulk), 0);
    set_admin(&b, 1, ADMIN_ACTIVE);
    assert_int_equal(bed_carry_one(&b, &bulk), 1);
    bed_free(&b);
}

static void resting_members_never_send(void **state)
{
    (void)state;
    static const enum role roles[] = {ROLE_ACTIVE, ROLE_RESTING};
    struct bed b;
    bed_init(&b);
    for (uint16_t i = 1; i <= 2; i++)
        bed_server(&b, i);
    bed_set_group(
        &b, &(struct bed_group){
                .num = 1, .strategy = STRATEGY_ROUND_ROBIN, .n = 2, .first = 1, .roles = roles});
    for (int i = 0; i < 20; i++)
        assert_int_equal(bed_carry_one(&b, &bulk), 1);
    set_admin(&b, 1, ADMIN_PAUSED);
    struct pick p = bed_ask(&b, &bulk);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_ADMIN);
    bed_free(&b);
}

/* ---- stickiness */

#define PEOPLE 10000

static void set_sticky(struct bed *b, uint16_t n, const uint32_t *weights)
{
    bed_set_group(b, &(struct bed_group){.num = 1,
                                         .strategy = STRATEGY_WEIGHTED,
                                         .n = n,
                                         .first = 1,
                                         .weights = weights,
                                         .sticky = STICKY_RECIPIENT});
}

static void recipients_stick_by_weight_and_few_move(void **state)
{
    (void)state;
    static const uint32_t weights[] = {10, 5, 5, 5};
    struct bed b;
    static uint16_t home[PEOPLE];
    uint32_t got[5] = {0}, moved = 0;
    bed_init(&b);
    for (uint16_t i = 1; i <= 4; i++)
        bed_server(&b, i);
    set_sticky(&b, 3, weights);
    for (uint64_t i = 0; i < PEOPLE; i++) {
        home[i] = fleet_home(b.f, 1, hash_u64(i));
        assert_int_equal(home[i], fleet_home(b.f, 1, hash_u64(i)));
        got[home[i]]++;
    }
    assert_in_range(got[1], PEOPLE / 2 - 300, PEOPLE / 2 + 300);
    assert_in_range(got[2], PEOPLE / 4 - 300, PEOPLE / 4 + 300);
    assert_in_range(got[3], PEOPLE / 4 - 300, PEOPLE / 4 + 300);
    set_sticky(&b, 4, weights);
    for (uint64_t i = 0; i < PEOPLE; i++) {
        uint16_t now = fleet_home(b.f, 1, hash_u64(i));
        assert_true(now == home[i] || now == 4);
        moved += now == 4;
    }
    assert_in_range(moved, PEOPLE / 5 - 300, PEOPLE / 5 + 300);
    bed_free(&b);
}

static void a_home_is_kept_while_it_can_send(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    for (uint16_t i = 1; i <= 3; i++)
        bed_server(&b, i);
    set_sticky(&b, 3, NULL);
    struct ask a = bulk;
    a.home = fleet_home(b.f, 1, 12345);
    for (int i = 0; i < 50; i++)
        assert_int_equal(bed_carry_one(&b, &a), a.home);
    set_admin(&b, a.home, ADMIN_PAUSED);
    uint16_t other = bed_carry_one(&b, &a);
    assert_true(other && other != a.home);
    set_admin(&b, a.home, ADMIN_ACTIVE);
    assert_int_equal(bed_carry_one(&b, &a), a.home);
    a.tried[a.n_tried++] = a.home;
    assert_int_not_equal(bed_carry_one(&b, &a), a.home);
    assert_false(fleet_sticks(b.f, 1));
    bed_set_group(&b, &(struct bed_group){.num = 1, .n = 3, .first = 1, .sticky = STICKY_MESSAGE});
    assert_true(fleet_sticks(b.f, 1));
    assert_int_equal(fleet_home(b.f, 1, 12345), 0);
    bed_free(&b);
}

/* ---- abilities */

static void size_characters_and_engagement(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    fleet_learn(b.f, 1, 1000, false);
    fleet_learn(b.f, 2, 2000, true);
    struct ask large = bulk, utf8 = bulk, cold = bulk;
    large.size = 1001;
    utf8.needs_utf8 = true;
    cold.engagement = 5;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bed_carry_one(&b, &large), 2);
        assert_int_equal(bed_carry_one(&b, &utf8), 2);
    }
    large.size = 1000; /* what it says is what it takes */
    assert_int_equal(bed_carry_one(&b, &large), 1);
    large.size = 2001;
    struct pick p = bed_ask(&b, &large);
    assert_int_equal(p.kind, PICK_GIVE_UP);
    assert_int_equal(p.bound, BOUND_SIZE);
    fleet_set_engagement(b.f, 1, 1u << 1 | 1u << 2, b.now);
    for (int i = 0; i < 10; i++)
        assert_int_equal(bed_carry_one(&b, &cold), 2);
    cold.engagement = 2;
    assert_int_equal(bed_carry_one(&b, &cold), 1);
    fleet_set_engagement(b.f, 2, 1u << 1, b.now);
    cold.engagement = 5;
    p = bed_ask(&b, &cold);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_ENGAGEMENT);
    fleet_set_engagement(b.f, 1, 0, b.now);
    assert_int_equal(bed_carry_one(&b, &cold), 1);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_hold_while_servers_leave_and_return),
        cmocka_unit_test(shares_hold_when_all_are_saturated),
        cmocka_unit_test(large_weights_are_exact_too),
        cmocka_unit_test(a_return_is_no_burst),
        cmocka_unit_test(a_reload_of_the_group_keeps_the_turn),
        cmocka_unit_test(a_groups_time_never_ends),
        cmocka_unit_test(least_loaded_prefers_the_fast),
        cmocka_unit_test(least_loaded_prefers_the_idle),
        cmocka_unit_test(least_loaded_is_not_drawn_to_refusals),
        cmocka_unit_test(cheapest_takes_the_included_volume_first_and_exactly),
        cmocka_unit_test(cheapest_counts_what_is_in_flight),
        cmocka_unit_test(cheapest_is_back_in_a_new_month),
        cmocka_unit_test(reserves_stand_behind_all_tiers),
        cmocka_unit_test(resting_members_never_send),
        cmocka_unit_test(recipients_stick_by_weight_and_few_move),
        cmocka_unit_test(a_home_is_kept_while_it_can_send),
        cmocka_unit_test(size_characters_and_engagement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
