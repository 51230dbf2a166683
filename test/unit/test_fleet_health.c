/* What opens a server, how it comes back, losses behind the dot, dots that wait, wrong logins, From
 * domains that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet_test.h"

/* Fails with a word, so that it cannot be our own network. */
static void go_wrong(struct bed *b, uint16_t num)
{
    bed_give(b, num);
    bed_end(b, num, VERDICT_FAILOVER, PHASE_MAIL, true);
}

static void open_it(struct bed *b, uint16_t num)
{
    for (int i = 0; i < 3; i++)
        go_wrong(b, num);
    assert_int_equal(b->state[num], OPER_OPEN);
}

/* OPEN: waits until it may be probed, and the probe passes. */
static void to_half_open(struct bed *b, uint16_t num)
{
    assert_false(bed_tick(b, num));
    b->now = bed_view(b, num).until;
    assert_true(bed_tick(b, num));
    assert_int_equal(b->state[num], OPER_HALF_OPEN);
    assert_false(bed_tick(b, num)); /* one probe at a time */
    assert_int_equal(fleet_transactions(b->f, num, b->now), 0);
    bed_probe(b, num, VERDICT_ACCEPTED, true);
    assert_int_equal(fleet_transactions(b->f, num, b->now), 1);
}

static void opens_on_three_in_a_row(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    for (int round = 0; round < 4; round++) { /* two are not enough */
        go_wrong(&b, 1);
        go_wrong(&b, 1);
        bed_give(&b, 1);
        bed_accept(&b, 1);
        b.now += 60000;
    }
    assert_int_equal(b.state[1], OPER_HEALTHY);
    open_it(&b, 1);
    assert_int_equal(bed_view(&b, 1).effective_weight * 100, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bed_send(&b), 2);
        bed_accept(&b, 2);
    }
    bed_free(&b);
}

static void opens_on_half_of_ten(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    b.now += 120000; /* the canary is no part of it */
    for (int i = 0; i < 8; i++) {
        bed_give(&b, 1);
        i % 2 ? bed_end(&b, 1, VERDICT_FAILOVER, PHASE_MAIL, true) : bed_accept(&b, 1);
        b.now += 5000;
    }
    assert_int_equal(b.state[1], OPER_HEALTHY); /* half, but of eight */
    bed_give(&b, 1);
    bed_accept(&b, 1);
    go_wrong(&b, 1);
    assert_int_equal(b.state[1], OPER_OPEN);
    bed_free(&b);
    bed_begin(&b, 1);
    for (int i = 0; i < 60; i++) { /* half, but spread: never ten in a minute */
        bed_give(&b, 1);
        i % 2 ? bed_end(&b, 1, VERDICT_FAILOVER, PHASE_MAIL, true) : bed_accept(&b, 1);
        b.now += 10000;
    }
    assert_int_equal(b.state[1], OPER_HEALTHY);
    bed_free(&b);
}

static void what_the_recipient_says_is_no_fault(void **state)
{
    (void)state;
    static const enum verdict verdicts[] = {VERDICT_TRY_LATER,   VERDICT_HARD_BOUNCE,
                                            VERDICT_SOFT_BOUNCE, VERDICT_CONTENT,
                                            VERDICT_UNKNOWN,     VERDICT_PROTOCOL};
    struct bed b;
    bed_begin(&b, 1);
    for (int i = 0; i < 60; i++) {
        bed_give(&b, 1);
        bed_end(&b, 1, verdicts[(size_t)i % countof(verdicts)], PHASE_RCPT, true);
    }
    assert_int_equal(b.state[1], OPER_HEALTHY);
    bed_free(&b);
}

static void stays_open_for_15_s_times_n_squared(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    bool differs = false;
    int64_t last = 0;
    for (int64_t n = 1; n <= 20; n++) {
        if (n == 1)
            open_it(&b, 1);
        else
            bed_probe(&b, 1, VERDICT_FAILOVER, true);
        int64_t ms = bed_view(&b, 1).until - b.now, plain = MIN(15000 * n * n, 3600000);
        assert_in_range(ms, plain * 8 / 10, plain * 12 / 10);
        differs |= n > 18 && ms != last;
        last = ms;
        b.now += ms - 1;
        assert_false(bed_tick(&b, 1));
        b.now += 1;
        assert_true(bed_tick(&b, 1));
        bed_report(&b, &(struct report){.server_num = 2, /* the other one is well */
                                        .verdict = VERDICT_ACCEPTED,
                                        .reply_read = true,
                                        .latency_ms = -1});
    }
    assert_true(differs); /* jitter */
    bed_free(&b);
}

static void comes_back_by_probe_one_message_and_ramp(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    open_it(&b, 1);
    to_half_open(&b, 1);
    bed_give(&b, 1);
    struct pick p = bed_ask(&b, &(struct ask){.group_num = 1, .tried = {2}, .n_tried = 1});
    assert_int_not_equal(p.kind, PICK_SEND); /* one, not two */
    bed_accept(&b, 1);
    assert_int_equal(b.state[1], OPER_RAMP);
    uint32_t early = 0, late = 0;
    for (int i = 0; i < 110; i++) {
        uint16_t num = bed_send(&b);
        early += num == 1;
        bed_accept(&b, num);
    }
    assert_in_range(early, 5, 20); /* a tenth of its weight */
    b.now += 54000;
    for (int i = 0; i < 110; i++) {
        uint16_t num = bed_send(&b);
        late += num == 1;
        bed_accept(&b, num);
    }
    assert_in_range(late, 40, 56);
    b.now += 6001;
    bed_tick(&b, 0);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    bed_free(&b);
}

static void a_failure_in_half_open_or_ramp_opens_again(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    open_it(&b, 1);
    to_half_open(&b, 1);
    go_wrong(&b, 1);
    assert_int_equal(b.state[1], OPER_OPEN);
    assert_in_range(bed_view(&b, 1).until - b.now, 48000, 72000);
    to_half_open(&b, 1);
    bed_give(&b, 1);
    bed_accept(&b, 1);
    assert_int_equal(b.state[1], OPER_RAMP);
    go_wrong(&b, 1);
    assert_int_equal(b.state[1], OPER_OPEN);
    assert_in_range(bed_view(&b, 1).until - b.now, 108000, 162000);
    bed_free(&b);
}

/* The one message of a half open server ends without a dot: it is neither well nor lost for ever.
 */
static void half_open_goes_on_asking(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    open_it(&b, 1);
    to_half_open(&b, 1);
    bed_give(&b, 1);
    bed_end(&b, 1, VERDICT_HARD_BOUNCE, PHASE_RCPT, true);
    assert_int_equal(b.state[1], OPER_HALF_OPEN);
    bed_give(&b, 1);
    bed_return(&b, 1);
    bed_give(&b, 1);
    bed_end(&b, 1, VERDICT_RATE_LIMITED, PHASE_RCPT, true);
    bed_give(&b, 1);
    bed_accept(&b, 1);
    assert_int_equal(b.state[1], OPER_RAMP);
    bed_free(&b);
    static const enum verdict refusals[] = {VERDICT_RATE_LIMITED, VERDICT_TRY_LATER,
                                            VERDICT_BLOCKED, VERDICT_UNKNOWN, VERDICT_PROTOCOL};
    for (size_t i = 0; i < countof(refusals); i++) { /* the probe is refused: open, asked again */
        bed_begin(&b, 2);
        open_it(&b, 1);
        b.now = bed_view(&b, 1).until;
        assert_true(bed_tick(&b, 1));
        bed_probe(&b, 1, refusals[i], true);
        assert_int_equal(b.state[1], OPER_OPEN);
        to_half_open(&b, 1);
        bed_free(&b);
    }
}

static void losses_behind_the_dot(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    bed_give(&b, 1);
    bed_lose(&b, 1);
    assert_true(fleet_one_at_a_time(b.f, 1));
    assert_int_equal(fleet_transactions(b.f, 1, b.now), 1);
    for (int i = 0; i < 3; i++) {
        assert_true(fleet_one_at_a_time(b.f, 1));
        bed_give(&b, 1);
        struct pick p = bed_ask(&b, &(struct ask){.group_num = 1, .tried = {2}, .n_tried = 1});
        assert_int_not_equal(p.kind, PICK_SEND);
        bed_accept(&b, 1);
    }
    assert_false(fleet_one_at_a_time(b.f, 1));
    for (int i = 0; i < 3; i++) { /* three in a row, envelopes answered all the while */
        assert_int_equal(b.state[1], OPER_HEALTHY);
        bed_give(&b, 1);
        bed_lose(&b, 1);
    }
    assert_int_equal(b.state[1], OPER_OPEN);
    to_half_open(&b, 1);
    bed_give(&b, 1);
    bed_lose(&b, 1);
    assert_int_equal(b.state[1], OPER_OPEN); /* one try, one loss */
    bed_free(&b);
}

static void a_slow_dot_parks_the_server(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    bed_give(&b, 1);
    assert_true(bed_dot(&b, 1));
    fleet_stuck(b.f, 1, 1, false, b.now);
    assert_int_equal(b.state[1], OPER_DEGRADED);
    assert_int_equal(bed_send(&b), 0);
    b.now += 600000;
    bed_tick(&b, 0);
    assert_int_equal(bed_send(&b), 0);
    fleet_stuck(b.f, 1, 0, true, b.now);
    bed_report(&b, &(struct report){.server_num = 1,
                                    .is_message = true,
                                    .verdict = VERDICT_ACCEPTED,
                                    .reply_read = true,
                                    .dot_left = true,
                                    .dot_at = b.now - 600000});
    bed_tick(&b, 0);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    assert_int_equal(bed_send(&b), 1);
    bed_free(&b);
}

/* Its dot still waits, yet a probe without mail passes: one message at a time until three dots are
 * answered, then all of it. */
static void a_probe_ends_the_park(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    bed_give(&b, 1);
    assert_true(bed_dot(&b, 1));
    fleet_stuck(b.f, 1, 1, false, b.now);
    int64_t at = bed_view(&b, 1).until;
    assert_int_equal(at - b.now, 15000);
    b.now = at - 1;
    assert_false(bed_tick(&b, 1));
    b.now = at;
    assert_true(bed_tick(&b, 1));
    assert_false(bed_tick(&b, 1)); /* one probe at a time */
    assert_int_equal(bed_send(&b), 0);
    bed_probe(&b, 1, VERDICT_ACCEPTED, true);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    for (int i = 0; i < 3; i++) {
        assert_true(fleet_one_at_a_time(b.f, 1));
        bed_give(&b, 1);
        assert_int_equal(bed_send(&b), 0);
        bed_accept(&b, 1);
    }
    assert_false(fleet_one_at_a_time(b.f, 1));
    for (int i = 0; i < 5; i++)
        bed_give(&b, 1);
    fleet_stuck(b.f, 1, 0, true, b.now); /* at last its timeout */
    bed_report(&b, &(struct report){.server_num = 1,
                                    .is_message = true,
                                    .verdict = VERDICT_UNCERTAIN,
                                    .phase = PHASE_DOT,
                                    .dot_left = true,
                                    .dot_at = b.now - 540000});
    assert_int_equal(bed_view(&b, 1).in_flight, 5);
    bed_free(&b);
}

/* It is really dead: three probes that fail open it, each asked later than the last. */
static void a_parked_server_whose_probes_fail_opens(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    bed_give(&b, 1);
    assert_true(bed_dot(&b, 1));
    fleet_stuck(b.f, 1, 1, false, b.now);
    int64_t asked = b.now, waits[3] = {0};
    for (int i = 0; i < 3; i++) {
        for (; !bed_tick(&b, 1); b.now += 1000)
            if (bed_send(&b) == 2) /* the other one is well */
                bed_accept(&b, 2);
        waits[i] = b.now - asked;
        asked = b.now;
        assert_int_equal(b.state[1], OPER_DEGRADED);
        bed_probe(&b, 1, VERDICT_FAILOVER, false);
    }
    assert_true(waits[0] >= 15000 && waits[1] >= 15000 && waits[2] > 30000);
    assert_int_equal(b.state[1], OPER_OPEN);
    bed_free(&b);
}

/* We give its one dot up to have a connection for the probe: that answers nothing. */
static void a_dot_given_up_does_not_end_the_park(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    bed_give(&b, 1);
    assert_true(bed_dot(&b, 1));
    fleet_stuck(b.f, 1, 1, false, b.now);
    fleet_stuck(b.f, 1, 0, false, b.now);
    bed_report(&b, &(struct report){.server_num = 1,
                                    .is_message = true,
                                    .is_ours = true,
                                    .verdict = VERDICT_UNCERTAIN,
                                    .phase = PHASE_DOT,
                                    .dot_left = true,
                                    .dot_at = b.now});
    assert_int_equal(bed_send(&b), 0);
    b.now += 15000;
    assert_true(bed_tick(&b, 1));
    bed_probe(&b, 1, VERDICT_ACCEPTED, true);
    assert_int_equal(bed_send(&b), 1);
    bed_free(&b);
}

/* Open while a dot waits on: the dot does not keep it from coming back. */
static void half_open_beside_a_dot_that_waits(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    bed_give(&b, 1);
    assert_true(bed_dot(&b, 1));
    open_it(&b, 1);
    fleet_stuck(b.f, 1, 1, false, b.now);
    to_half_open(&b, 1);
    bed_give(&b, 1);
    bed_accept(&b, 1);
    assert_int_equal(b.state[1], OPER_RAMP);
    bed_free(&b);
}

static void a_wrong_login_is_misconfigured_at_once(void **state)
{
    (void)state;
    static const int64_t minutes[] = {15, 30, 60, 120, 240, 360, 360, 360};
    struct bed b;
    bed_begin(&b, 2);
    for (int i = 0; i < 5; i++)
        bed_give(&b, 1);
    for (int i = 0; i < 5; i++) /* five connections hear it: one finding, not five */
        bed_end(&b, 1, VERDICT_AUTH_CONFIG, PHASE_AUTH, true);
    assert_int_equal(b.state[1], OPER_MISCONFIGURED);
    for (size_t i = 0; i < countof(minutes); i++) {
        assert_int_equal(bed_view(&b, 1).until - b.now, minutes[i] * 60000);
        assert_int_equal(fleet_connections(b.f, 1, b.now), 0);
        b.now = bed_view(&b, 1).until - 1;
        assert_false(bed_tick(&b, 1));
        b.now++;
        assert_true(bed_tick(&b, 1));
        bed_report(&b, &(struct report){.server_num = 1,
                                        .is_probe = true,
                                        .verdict = VERDICT_AUTH_CONFIG,
                                        .fault = FAULT_SERVER,
                                        .phase = PHASE_AUTH,
                                        .reply_read = true});
    }
    b.servers[1]->updated_at++; /* the user corrects the password: at once */
    bed_apply(&b, 1);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    assert_true(fleet_one_at_a_time(b.f, 1));
    bed_free(&b);
}

static void a_used_up_quota_rests_until_its_time(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    bed_give(&b, 1);
    bed_report(&b, &(struct report){.server_num = 1,
                                    .is_message = true,
                                    .verdict = VERDICT_QUOTA,
                                    .phase = PHASE_RCPT,
                                    .reply_read = true,
                                    .wait_ms = 120000});
    assert_int_equal(b.state[1], OPER_EXHAUSTED);
    assert_int_equal(bed_view(&b, 1).until, b.now + 120000);
    assert_int_equal(bed_send(&b), 2);
    bed_accept(&b, 2);
    b.now += 120000;
    bed_tick(&b, 0);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    bed_free(&b);
}

static void a_barred_from_waits_and_does_not_fail(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    struct ask a = {.group_num = 1, .from_domain = STR("a.example")};
    for (uint16_t num = 1; num <= 2; num++) {
        a.keep_server = num;
        assert_int_equal(bed_ask(&b, &a).server_num, num);
        bed_report(&b, &(struct report){.server_num = num,
                                        .is_message = true,
                                        .verdict = VERDICT_AUTH_CONFIG,
                                        .fault = FAULT_SERVER_FROM,
                                        .phase = PHASE_MAIL,
                                        .reply_read = true,
                                        .from_domain = a.from_domain});
        assert_int_equal(b.state[num], OPER_HEALTHY);
    }
    a.keep_server = 0;
    struct pick p = bed_ask(&b, &a);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_FROM);
    assert_int_not_equal(bed_send(&b), 0); /* others go on */
    b.now += 3600000;
    assert_int_equal(bed_ask(&b, &a).kind, PICK_SEND);
    bed_free(&b);
}

/* MAIL refused for good: server x From domain, after three in a row; never the server's state. */
static void mail_refused_for_good_bars_the_from(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    struct ask a = {.group_num = 1, .from_domain = STR("a.example"), .keep_server = 1};
    struct report r = {.server_num = 1,
                       .is_message = true,
                       .verdict = VERDICT_FAILOVER,
                       .fault = FAULT_SERVER_FROM,
                       .phase = PHASE_MAIL,
                       .reply_read = true,
                       .from_domain = a.from_domain};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bed_ask(&b, &a).server_num, 1);
        bed_report(&b, &r);
    }
    assert_int_equal(b.state[1], OPER_HEALTHY);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(bed_ask(&b, &a).server_num, 2);
        bed_accept(&b, 2);
    }
    bed_give(&b, 1);
    bed_accept(&b, 1);
    b.now += 15 * 60000;
    assert_int_equal(bed_ask(&b, &a).server_num, 1);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_on_three_in_a_row),
        cmocka_unit_test(opens_on_half_of_ten),
        cmocka_unit_test(what_the_recipient_says_is_no_fault),
        cmocka_unit_test(stays_open_for_15_s_times_n_squared),
        cmocka_unit_test(comes_back_by_probe_one_message_and_ramp),
        cmocka_unit_test(a_failure_in_half_open_or_ramp_opens_again),
        cmocka_unit_test(half_open_goes_on_asking),
        cmocka_unit_test(losses_behind_the_dot),
        cmocka_unit_test(a_slow_dot_parks_the_server),
        cmocka_unit_test(a_probe_ends_the_park),
        cmocka_unit_test(a_parked_server_whose_probes_fail_opens),
        cmocka_unit_test(a_dot_given_up_does_not_end_the_park),
        cmocka_unit_test(half_open_beside_a_dot_that_waits),
        cmocka_unit_test(a_wrong_login_is_misconfigured_at_once),
        cmocka_unit_test(a_used_up_quota_rests_until_its_time),
        cmocka_unit_test(a_barred_from_waits_and_does_not_fail),
        cmocka_unit_test(mail_refused_for_good_bars_the_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
