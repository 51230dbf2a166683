/* The fault that is ours: silence of all, witnesses, what ends it; and when it is not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet_test.h"

static void all_silent_for_5_s_is_our_fault(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    b.now += 100;
    for (int i = 0; i < 4; i++)
        for (uint16_t num = 1; num <= 3; num++) {
            bed_no_connection(&b, num, false);
            bed_tick(&b, 0);
        }
    assert_int_equal(b.state[1], OPER_OPEN);
    assert_int_equal(b.common, 0); /* 5 s are not over */
    b.now += 4999;
    bed_tick(&b, 0);
    assert_int_equal(b.common, 0);
    b.now += 1;
    assert_true(bed_tick(&b, 0)); /* begins, and probes one server */
    assert_int_equal(b.common, 1);
    for (uint16_t num = 1; num <= 3; num++)
        assert_int_equal(b.state[num], OPER_HEALTHY); /* nobody is blamed */
    struct pick p = bed_pick(&b);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_COMMON_CAUSE);
    for (int i = 0; i < 30; i++) { /* one probe in 2 s; health is frozen */
        b.now += 1000;
        bool probes = bed_tick(&b, 0);
        assert_int_equal(probes, i % 2);
        for (uint16_t num = 1; num <= 3; num++)
            bed_probe(&b, num, VERDICT_FAILOVER, false);
    }
    for (uint16_t num = 1; num <= 3; num++)
        assert_int_equal(b.state[num], OPER_HEALTHY);
    bed_probe(&b, 2, VERDICT_ACCEPTED, true);
    assert_int_equal(b.common, 0);
    assert_int_not_equal(bed_send(&b), 0);
    bed_free(&b);
}

static void never_while_any_answers(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    for (int i = 0; i < 100; i++) {
        b.now += 1000;
        for (uint16_t num = 1; num <= 2; num++)
            if (b.state[num] == OPER_HEALTHY)
                bed_no_connection(&b, num, false);
        if (i % 4 == 0) { /* less than 5 s apart */
            struct pick p = bed_ask(&b, &(struct ask){.group_num = 1, .keep_server = 3});
            assert_int_equal(p.server_num, 3);
            bed_end(&b, 3, VERDICT_HARD_BOUNCE, PHASE_RCPT, true);
        }
        bed_tick(&b, 0);
        assert_int_equal(b.n_common, 0);
    }
    bed_free(&b);
}

/* Fails for so long, a tick each 100 ms; the servers asked for a word answer as `well` says.
 * Returns when (ms) the fault was said to be ours; -1: not. */
static int64_t fail_for(struct bed *b, uint16_t from, uint16_t to, bool refused, int64_t ms,
                        bool well)
{
    int64_t began = b->now;
    for (; b->now < began + ms; b->now += 100) {
        uint16_t nums[8];
        for (uint16_t num = from; num <= to; num++)
            if (b->state[num] == OPER_HEALTHY && !b->common)
                bed_no_connection(b, num, refused);
        size_t n = fleet_tick(b->f, b->now, nums, 8);
        if (b->common)
            return b->now - began;
        for (size_t i = 0; i < n; i++)
            if (well && nums[i] > to)
                bed_probe(b, nums[i], VERDICT_ACCEPTED, true);
            else if (nums[i] >= from && nums[i] <= to)
                bed_no_connection(b, nums[i], refused);
    }
    return -1;
}

/* Idle for an hour: the first failures are no silence yet, and an idle server is asked for a word
 * before it is said to be us. */
static void the_first_failures_are_no_silence_yet(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    b.now += 3600000;
    assert_int_equal(fail_for(&b, 1, 2, false, 10000, false), 5000);
    bed_free(&b);
}

static void an_idle_server_is_a_witness(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    b.now += 3600000;
    assert_int_equal(fail_for(&b, 1, 2, true, 600000, true), -1); /* it answers each time */
    assert_int_equal(b.n_common, 0);
    assert_int_equal(b.state[1], OPER_OPEN); /* each bears its own */
    assert_int_equal(b.state[2], OPER_OPEN);
    bed_free(&b);
    bed_begin(&b, 3);
    b.now += 3600000;
    assert_in_range(fail_for(&b, 1, 2, true, 20000, false), 5000, 7000); /* it keeps silent too */
    assert_int_equal(b.state[1], OPER_HEALTHY);
    bed_free(&b);
}

/* Two hosts refuse the first messages after a pause: the idle fallback carries them at once. */
static void an_idle_fallback_does_not_wait(void **state)
{
    (void)state;
    struct bed b;
    static const uint32_t fallbacks[] = {2};
    bed_init(&b);
    for (uint16_t i = 1; i <= 3; i++)
        bed_server(&b, i);
    bed_set_group(&b, &(struct bed_group){.num = 2, .n = 1, .first = 3});
    bed_set_group(&b, &(struct bed_group){
                          .num = 1, .n = 2, .first = 1, .fallbacks = fallbacks, .n_fallbacks = 1});
    b.now += 3600000;
    uint32_t sent = 0;
    for (int i = 0; i < 600; i++, b.now += 100) {
        uint16_t nums[8];
        struct ask a = {.group_num = 1};
        for (struct pick p = bed_ask(&b, &a); p.kind == PICK_SEND; p = bed_ask(&b, &a)) {
            if (p.server_num == 3) {
                bed_accept(&b, 3);
                sent++;
                break;
            }
            bed_report(&b, &(struct report){.server_num = p.server_num,
                                            .hold = p.hold,
                                            .is_message = true,
                                            .verdict = VERDICT_FAILOVER,
                                            .fault = FAULT_SERVER,
                                            .phase = PHASE_CONNECT,
                                            .refused_by_host = true,
                                            .latency_ms = -1});
            a.tried[a.n_tried++] = p.server_num;
        }
        size_t n = fleet_tick(b.f, b.now, nums, 8);
        for (size_t k = 0; k < n; k++)
            bed_no_connection(&b, nums[k], true);
    }
    assert_int_equal(b.n_common, 0);
    assert_int_equal(sent, 600);
    bed_free(&b);
}

/* All refuse at once, as behind a router that says no: it is us, and nobody is blamed. */
static void all_cut_off_by_resets_is_our_fault(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    assert_int_equal(fail_for(&b, 1, 3, true, 60000, false), 5000);
    for (uint16_t num = 1; num <= 3; num++)
        assert_int_equal(b.state[num], OPER_HEALTHY);
    b.now += 60000;
    bed_tick(&b, 0);
    bed_probe(&b, 2, VERDICT_ACCEPTED, true);
    assert_int_equal(b.common, 0);
    assert_int_not_equal(bed_send(&b), 0);
    bed_free(&b);
}

static void one_in_use_speaks_against_it(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    b.now += 6000; /* the other one answered in the last minute */
    assert_int_equal(fail_for(&b, 1, 1, false, 20000, false), -1);
    assert_int_equal(b.state[1], OPER_OPEN);
    bed_free(&b);
}

static void a_lone_server_that_refuses_is_not_our_fault(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    b.now += 10000;
    for (int i = 0; i < 3; i++)
        bed_no_connection(&b, 1, true);
    bed_tick(&b, 0);
    assert_int_equal(b.n_common, 0);
    assert_int_equal(b.state[1], OPER_OPEN);
    bed_free(&b);
}

/* It takes envelopes and drops at the dot: somebody is there. Three are lost, not every five
 * seconds three more. */
static void a_lone_server_that_drops_after_the_dot_is_opened(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    int lost = 0;
    for (int i = 0; i < 115; i++) {
        b.now += 100;
        uint16_t nums[8];
        size_t n = fleet_tick(b.f, b.now, nums, 8);
        for (size_t k = 0; k < n; k++)
            bed_probe(&b, nums[k], VERDICT_ACCEPTED, true);
        if (bed_send(&b)) {
            bed_lose(&b, 1);
            lost++;
        }
    }
    assert_int_equal(b.n_common, 0);
    assert_int_equal(lost, 3);
    bed_free(&b);
}

/* Only sick servers are left when the network goes: it is noticed when it comes back all the same.
 */
static void only_open_servers_are_probed_too(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    b.now += 1000;
    for (int i = 0; i < 3; i++)
        bed_no_connection(&b, 1, false);
    assert_int_equal(b.state[1], OPER_OPEN);
    bed_give(&b, 2);
    b.now += 7000;
    bed_accept(&b, 2); /* answered long after 1 had been opened */
    b.servers[2]->admin = ADMIN_PAUSED;
    bed_apply(&b, 2);
    b.now = bed_view(&b, 1).until;
    bool probed = false;
    for (int i = 0; i < 10; i++, b.now += 1000) { /* its probe and the common one fail */
        probed |= bed_tick(&b, 1);
        bed_probe(&b, 1, VERDICT_FAILOVER, false);
    }
    assert_true(probed);
    uint32_t sent = 0;
    for (int i = 0; i < 60; i++, b.now += 1000) { /* back */
        if (bed_tick(&b, 1))
            bed_probe(&b, 1, VERDICT_ACCEPTED, true);
        if (bed_send(&b)) {
            bed_accept(&b, 1);
            sent++;
        }
    }
    assert_int_equal(b.common, 0);
    assert_true(sent > 50);
    bed_free(&b);
}

static void changes_by_time_are_frozen_meanwhile(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    bed_give(&b, 2);
    bed_end(&b, 2, VERDICT_QUOTA, PHASE_RCPT, true);
    b.now += 70000;
    assert_int_equal(fail_for(&b, 1, 1, false, 20000, false), 5000);
    b.now += 7200000;
    bed_tick(&b, 0);
    assert_int_equal(b.state[2], OPER_EXHAUSTED);
    bed_probe(&b, 1, VERDICT_ACCEPTED, true);
    bed_tick(&b, 0);
    assert_int_equal(b.state[2], OPER_HEALTHY);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_silent_for_5_s_is_our_fault),
        cmocka_unit_test(never_while_any_answers),
        cmocka_unit_test(the_first_failures_are_no_silence_yet),
        cmocka_unit_test(an_idle_server_is_a_witness),
        cmocka_unit_test(an_idle_fallback_does_not_wait),
        cmocka_unit_test(all_cut_off_by_resets_is_our_fault),
        cmocka_unit_test(one_in_use_speaks_against_it),
        cmocka_unit_test(a_lone_server_that_refuses_is_not_our_fault),
        cmocka_unit_test(a_lone_server_that_drops_after_the_dot_is_opened),
        cmocka_unit_test(only_open_servers_are_probed_too),
        cmocka_unit_test(changes_by_time_are_frozen_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
