/* Lanes on a server: the connection and the part of each quota that are kept for transactional
 * mail, and that what bulk has assigned never stands before it. And rotation: k of n members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/internal.h"
#include "fleet_test.h"

static const struct ask bulk = {.group_num = 1, .lane = LANE_BULK};
static const struct ask urgent = {.group_num = 1, .lane = LANE_TRANSACTIONAL};

static void begin(struct bed *b, uint16_t n, uint32_t connections, enum shares shares)
{
    bed_init(b);
    b->has_lanes = true;
    for (uint16_t i = 1; i <= n; i++) {
        bed_server(b, i)->limits.max_connections = connections;
        bed_apply(b, i);
    }
    bed_set_group(b, &(struct bed_group){.num = 1, .shares = shares, .n = n, .first = 1});
    bed_warm(b, n);
}

static void one_connection_is_kept(void **state)
{
    (void)state;
    struct bed b;
    begin(&b, 1, 4, SHARES_EXACT);
    assert_int_equal(fleet_transactions_of(b.f, 1, LANE_BULK, b.now), 4);
    fleet_expect_transactional(b.f, 1, b.now + 1000);
    assert_int_equal(fleet_transactions_of(b.f, 1, LANE_BULK, b.now), 3);
    assert_int_equal(fleet_transactions_of(b.f, 1, LANE_PRIORITY, b.now), 3);
    assert_int_equal(fleet_transactions_of(b.f, 1, LANE_TRANSACTIONAL, b.now), 4);
    b.now += 1000;
    assert_int_equal(fleet_transactions_of(b.f, 1, LANE_BULK, b.now), 4);
    bed_ask(&b, &urgent); /* an ask says so by itself, for an hour */
    assert_int_equal(fleet_transactions_of(b.f, 1, LANE_BULK, b.now + 3599000), 3);
    bed_free(&b);
}

/* Saturated with bulk whose turn has passed, in every way of sharing: it goes at once. */
static void bulk_that_waits_never_stands_before(void **state)
{
    (void)state;
    for (int shares = 0; shares < 2; shares++) {
        struct bed b;
        begin(&b, 2, 2, (enum shares)shares);
        for (int i = 0; i < 100; i++) {
            bed_ask(&b, &bulk);
            b.now += 10;
        }
        assert_int_equal(bed_ask(&b, &bulk).kind, PICK_WAIT);
        uint32_t got[3] = {0};
        for (int i = 0; i < 4; i++) {
            struct pick p = bed_ask(&b, &urgent);
            assert_int_equal(p.kind, PICK_SEND);
            got[p.server_num]++;
        }
        assert_int_equal(got[1], 2);
        assert_int_equal(got[2], 2);
        bed_free(&b);
    }
}

/* With one connection turns are taken; a priority message passes bulk, too. */
static void priority_passes_bulk(void **state)
{
    (void)state;
    struct bed b;
    begin(&b, 1, 1, SHARES_ELASTIC);
    for (int i = 0; i < 10; i++)
        bed_ask(&b, &bulk);
    assert_int_equal(bed_ask(&b, &bulk).kind, PICK_WAIT);
    assert_int_equal(bed_ask(&b, &(struct ask){.group_num = 1, .lane = LANE_PRIORITY}).kind,
                     PICK_SEND);
    assert_int_equal(bed_ask(&b, &urgent).kind, PICK_SEND);
    bed_free(&b);
}

static uint32_t carry_all(struct bed *b, const struct ask *a)
{
    uint32_t n = 0;
    while (n < 10000 && bed_carry_one(b, a))
        n++;
    return n;
}

static void a_fifth_of_a_quota_is_kept(void **state)
{
    (void)state;
    struct bed b;
    begin(&b, 1, 10, SHARES_EXACT);
    b.servers[1]->limits.per_hour = 1001;
    b.servers[1]->limits.per_day = 5000;
    bed_apply(&b, 1);
    fleet_expect_transactional(b.f, 1, b.now + 3600000);
    assert_int_equal(carry_all(&b, &bulk), 800);
    struct pick p = bed_ask(&b, &bulk);
    assert_int_equal(p.bound, BOUND_RESERVE);
    assert_int_equal(carry_all(&b, &urgent), 200);
    assert_int_equal(bed_ask(&b, &urgent).bound, BOUND_QUOTA);
    b.now += 2 * 3660000; /* nobody has asked for an hour: all of it is bulk's again */
    bed_tick(&b, 0);
    assert_int_equal(carry_all(&b, &bulk), 1001);
    bed_free(&b);
}

/* What transactional mail has used of its part is not kept a second time; what was refused is. */
static void a_refused_one_gives_its_part_back(void **state)
{
    (void)state;
    struct bed b;
    int64_t when = 0;
    begin(&b, 1, 10, SHARES_EXACT);
    b.servers[1]->limits.per_hour = 101; /* one was used by the canary */
    bed_apply(&b, 1);
    for (int i = 0; i < 20; i++) {
        struct pick p = bed_ask(&b, &urgent);
        assert_int_equal(p.kind, PICK_SEND);
        assert_true(fleet_dot(b.f, &p.hold, b.now, &when));
        bed_finish(&b, &p.hold, VERDICT_HARD_BOUNCE, b.now, 5);
    }
    assert_int_equal(carry_all(&b, &bulk), 80);
    assert_int_equal(carry_all(&b, &urgent), 20);
    bed_free(&b);
}

static void used_of_its_part_is_not_kept_again(void **state)
{
    (void)state;
    struct bed b;
    begin(&b, 1, 10, SHARES_EXACT);
    b.servers[1]->limits.per_hour = 101;
    bed_apply(&b, 1);
    for (int i = 0; i < 15; i++)
        assert_int_equal(bed_carry_one(&b, &urgent), 1);
    assert_int_equal(carry_all(&b, &bulk), 80);
    assert_int_equal(carry_all(&b, &urgent), 5);
    bed_free(&b);
}

/* ---- rotation */

static void begin_rotation(struct bed *b, struct bed_group *k)
{
    bed_init(b);
    for (uint16_t i = 1; i <= k->n; i++)
        bed_server(b, i);
    bed_set_group(b, k);
}

/* Bit n: server n got mail. */
static uint32_t who_sends(struct bed *b, int n)
{
    uint32_t set = 0;
    for (int i = 0; i < n; i++) {
        uint16_t num = bed_carry_one(b, &bulk);
        assert_int_not_equal(num, 0);
        set |= 1u << num;
    }
    return set;
}

static void rotates_by_time(void **state)
{
    (void)state;
    struct bed b;
    struct bed_group k = {
        .num = 1, .n = 5, .first = 1, .rotate_active = 2, .rotate_every_ms = 60000};
    static const uint32_t sets[] = {1 << 1 | 1 << 2, 1 << 3 | 1 << 4, 1 << 5 | 1 << 1};
    begin_rotation(&b, &k);
    assert_int_equal(who_sends(&b, 20), sets[0]); /* before any tick */
    bed_tick(&b, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(who_sends(&b, 20), sets[i]);
        b.now += 30000;
        bed_tick(&b, 0);
        bed_set_group(&b, &k); /* any change of the configuration */
        assert_int_equal(who_sends(&b, 20), sets[i]);
        b.now += 30000;
        bed_tick(&b, 0);
    }
    bed_free(&b);
}

static void rotates_by_volume(void **state)
{
    (void)state;
    struct bed b;
    struct bed_group k = {.num = 1, .n = 3, .first = 1, .rotate_active = 1, .rotate_messages = 100};
    begin_rotation(&b, &k);
    bed_tick(&b, 0);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(who_sends(&b, 100), 1u << (i % 3 + 1));
        b.now += 100;
        bed_tick(&b, 0);
    }
    bed_free(&b);
}

static void a_sick_one_gives_its_turn_away(void **state)
{
    (void)state;
    struct bed b;
    struct bed_group k = {
        .num = 1, .n = 3, .first = 1, .rotate_active = 1, .rotate_every_ms = 3600000};
    begin_rotation(&b, &k);
    bed_tick(&b, 0);
    assert_int_equal(who_sends(&b, 10), 1 << 1);
    assert_true(fleet_open(b.f, 1, "test", b.now));
    bed_tick(&b, 0);
    assert_int_equal(who_sends(&b, 10), 1 << 2);
    b.servers[2]->admin = ADMIN_PAUSED;
    bed_apply(&b, 2);
    bed_tick(&b, 0);
    assert_int_equal(who_sends(&b, 10), 1 << 3);
    assert_true(fleet_open(b.f, 3, "test", b.now));
    bed_tick(&b, 0);
    struct pick p = bed_ask(&b, &bulk); /* the last one leaves: it waits and says so */
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_HEALTH);
    assert_true(fleet_group_stalled(b.f, 1, b.now));
    b.servers[2]->admin = ADMIN_ACTIVE;
    bed_apply(&b, 2);
    bed_tick(&b, 0);
    assert_int_equal(who_sends(&b, 10), 1 << 2);
    bed_free(&b);
}

/* ---- learning */

static struct report pressure(uint16_t num)
{
    return (struct report){.server_num = num,
                           .verdict = VERDICT_FAILOVER,
                           .fault = FAULT_SERVER,
                           .phase = PHASE_CONNECT,
                           .refused_by_host = true,
                           .latency_ms = -1};
}

static void concurrency_moves_by_one_nth(void **state)
{
    (void)state;
    struct bed b;
    begin(&b, 1, 10, SHARES_EXACT);
    for (int i = 0; i < 12; i++) { /* 10 - 1/10 - 1/9.9 ... never three failures in a row */
        struct report r = pressure(1);
        bed_report(&b, &r);
        double n = fleet_find(b.f, 1)->concurrency;
        bed_report(&b, &r);
        assert_true(fleet_find(b.f, 1)->concurrency >= n - 1 / n - 1e-9);
        assert_true(fleet_find(b.f, 1)->concurrency < n);
        n = fleet_find(b.f, 1)->concurrency;
        assert_int_equal(bed_carry_one(&b, &bulk), 1);
        assert_true(fleet_find(b.f, 1)->concurrency <= n + 1 / n + 1e-9);
        b.now += 61000;
    }
    uint32_t low = fleet_connections(b.f, 1, b.now);
    assert_in_range(low, 7, 9);
    for (int i = 0; i < 40; i++)
        assert_int_equal(bed_carry_one(&b, &bulk), 1);
    assert_int_equal(fleet_connections(b.f, 1, b.now), 10);
    bed_free(&b);
}

static void messages_of_a_connection_are_learned(void **state)
{
    (void)state;
    struct bed b;
    begin(&b, 1, 10, SHARES_EXACT);
    assert_int_equal(fleet_messages_per_connection(b.f, 1, b.now), 0);
    fleet_ended_after(b.f, 1, 20, b.now);
    fleet_ended_after(b.f, 1, 7, b.now);
    assert_int_equal(fleet_messages_per_connection(b.f, 1, b.now), 0);
    fleet_ended_after(b.f, 1, 7, b.now);
    assert_int_equal(fleet_messages_per_connection(b.f, 1, b.now), 7);
    b.servers[1]->limits.max_messages_per_connection = 5;
    bed_apply(&b, 1);
    assert_int_equal(fleet_messages_per_connection(b.f, 1, b.now), 5);
    b.servers[1]->limits.max_messages_per_connection = 50;
    bed_apply(&b, 1);
    assert_int_equal(fleet_messages_per_connection(b.f, 1, b.now), 7);
    b.now += INT64_C(24) * 3600000;
    assert_int_equal(fleet_messages_per_connection(b.f, 1, b.now), 50);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_is_kept),
        cmocka_unit_test(bulk_that_waits_never_stands_before),
        cmocka_unit_test(priority_passes_bulk),
        cmocka_unit_test(a_fifth_of_a_quota_is_kept),
        cmocka_unit_test(a_refused_one_gives_its_part_back),
        cmocka_unit_test(used_of_its_part_is_not_kept_again),
        cmocka_unit_test(rotates_by_time),
        cmocka_unit_test(rotates_by_volume),
        cmocka_unit_test(a_sick_one_gives_its_turn_away),
        cmocka_unit_test(concurrency_moves_by_one_nth),
        cmocka_unit_test(messages_of_a_connection_are_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
