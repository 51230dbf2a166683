/* A mailbox provider that puts everybody off or holds them up yields to the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet_test.h"

#define SICK  7
#define OTHER 8

static void begin(struct bed *b, uint16_t n, uint32_t connections)
{
    bed_init(b);
    for (uint16_t i = 1; i <= n; i++) {
        bed_server(b, i);
        b->servers[i]->limits.max_connections = connections;
        bed_apply(b, i);
    }
    bed_set_group(b, &(struct bed_group){.num = 1, .n = n, .first = 1});
    b->has_lanes = true;
}

static struct pick ask(struct bed *b, uint32_t provider, enum lane lane)
{
    return bed_ask(b, &(struct ask){.group_num = 1, .lane = lane, .provider = provider});
}

static void answer(struct bed *b, const struct hold *h, enum verdict v, int64_t busy_ms)
{
    int64_t when = 0;
    bool accepted = v == VERDICT_ACCEPTED;
    if (accepted)
        assert_true(fleet_dot(b->f, h, b->now, &when));
    bed_report(b, &(struct report){.server_num = h->server_num,
                                   .hold = *h,
                                   .is_message = true,
                                   .verdict = v,
                                   .fault = v == VERDICT_FAILOVER ? FAULT_SERVER : FAULT_NOBODY,
                                   .phase = accepted ? PHASE_DOT : PHASE_RCPT,
                                   .code = accepted ? 250 : 451,
                                   .reply_read = true,
                                   .dot_left = accepted,
                                   .dot_at = accepted ? b->now : 0,
                                   .latency_ms = accepted ? busy_ms : -1,
                                   .busy_ms = busy_ms,
                                   .provider = h->provider});
}

static void meet(struct bed *b, uint32_t provider, enum verdict v, int64_t busy_ms)
{
    struct pick p = ask(b, provider, LANE_BULK);
    assert_int_equal(p.kind, PICK_SEND);
    answer(b, &p.hold, v, busy_ms);
}

/* Warm, and the sick one is known as sick at every server. */
static void fall_sick(struct bed *b, uint16_t n, enum verdict v, int64_t busy_ms)
{
    for (uint16_t i = 0; i < n; i++)
        meet(b, OTHER, VERDICT_ACCEPTED, 10);
    for (int i = 0; i < 8 * n; i++)
        meet(b, SICK, v, busy_ms);
}

/* The others take all there is and wait; how many left. */
static uint32_t fill(struct bed *b, struct hold *holds)
{
    uint32_t n = 0;
    struct pick p = ask(b, OTHER, LANE_BULK);
    for (; p.kind == PICK_SEND; p = ask(b, OTHER, LANE_BULK))
        holds[n++] = p.hold;
    assert_int_equal(p.bound, BOUND_BUSY);
    return n;
}

static void one_that_puts_all_off_yields_to_others(void **state)
{
    (void)state;
    struct bed b;
    struct hold holds[64];
    begin(&b, 1, 4);
    fall_sick(&b, 1, VERDICT_TRY_LATER, 1);
    assert_int_equal(ask(&b, SICK, LANE_BULK).kind, PICK_SEND); /* nobody waits: as ever */
    uint32_t n = fill(&b, holds);
    answer(&b, &holds[--n], VERDICT_ACCEPTED, 10);
    struct pick p = ask(&b, SICK, LANE_BULK);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_YIELD);
    assert_non_null(strstr(p.why, "others go first"));
    assert_int_equal(ask(&b, SICK, LANE_TRANSACTIONAL).kind, PICK_SEND);
    while (n)
        answer(&b, &holds[--n], VERDICT_ACCEPTED, 10);
    b.now += 1000; /* nobody has waited for so long */
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(&b, SICK, LANE_BULK).kind, PICK_SEND);
    bed_free(&b);
}

static void it_yields_while_more_of_its_campaign_come(void **state)
{
    (void)state;
    struct bed b;
    begin(&b, 1, 4);
    fall_sick(&b, 1, VERDICT_TRY_LATER, 1);
    struct ask a = {.group_num = 1, .lane = LANE_BULK, .provider = SICK, .others_come = true};
    b.now += 100;
    struct pick p = bed_ask(&b, &a);
    assert_int_equal(p.kind, PICK_SEND);
    assert_true(p.is_trial);
    assert_int_equal(bed_ask(&b, &a).bound, BOUND_YIELD);
    a.others_come = false;
    p = bed_ask(&b, &a);
    assert_int_equal(p.kind, PICK_SEND);
    assert_false(p.is_trial);
    bed_free(&b);
}

static void trials_show_that_it_is_well_again(void **state)
{
    (void)state;
    struct bed b;
    struct hold holds[64];
    begin(&b, 1, 4);
    fall_sick(&b, 1, VERDICT_TRY_LATER, 1);
    uint32_t n = fill(&b, holds);
    for (int i = 0; i < 2; i++) { /* behind a busy server's others, one at a time, ten a second */
        b.now += 100;
        struct pick p = ask(&b, SICK, LANE_BULK);
        assert_int_equal(p.kind, PICK_SEND);
        assert_true(p.is_trial);
        assert_int_equal(ask(&b, SICK, LANE_BULK).bound, BOUND_YIELD);
        answer(&b, &p.hold, VERDICT_ACCEPTED, 10);
        b.now += 99;
        assert_int_equal(ask(&b, OTHER, LANE_BULK).kind, PICK_WAIT);
        p = ask(&b, SICK, LANE_BULK);
        assert_int_equal(p.bound, i == 0 ? BOUND_YIELD : BOUND_BUSY); /* two of ten: well */
        b.now += 1;
    }
    while (n)
        answer(&b, &holds[--n], VERDICT_ACCEPTED, 10);
    assert_false(ask(&b, SICK, LANE_BULK).is_trial);
    bed_free(&b);
}

static void one_that_holds_up_gets_a_32nd_of_the_time(void **state)
{
    (void)state;
    struct bed b;
    struct hold holds[64];
    begin(&b, 1, 8);
    fall_sick(&b, 1, VERDICT_ACCEPTED, 2000);
    b.now += 60000;
    uint32_t n = fill(&b, holds);
    struct pick p = ask(&b, SICK, LANE_BULK);
    assert_true(p.kind == PICK_SEND && p.is_trial);
    b.now += 2000;
    answer(&b, &p.hold, VERDICT_ACCEPTED, 2000);
    assert_int_equal(ask(&b, OTHER, LANE_BULK).kind, PICK_WAIT);
    p = ask(&b, SICK, LANE_BULK);
    assert_int_equal(p.bound, BOUND_YIELD);
    assert_int_equal(p.until, b.now + 1000);
    b.now += 2000 * 32 / 8 - 1;
    assert_int_equal(ask(&b, OTHER, LANE_BULK).kind, PICK_WAIT);
    assert_int_equal(ask(&b, SICK, LANE_BULK).bound, BOUND_YIELD);
    b.now += 1;
    answer(&b, &holds[--n], VERDICT_ACCEPTED, 10); /* one of theirs goes, another one comes */
    assert_int_equal(ask(&b, OTHER, LANE_BULK).kind, PICK_SEND);
    assert_int_equal(ask(&b, OTHER, LANE_BULK).kind, PICK_WAIT);
    assert_true(ask(&b, SICK, LANE_BULK).is_trial);
    bed_free(&b);
}

/* What is slow for all is nobody's sickness; nor is one refusal in five. */
static void who_is_like_the_others_does_not_yield(void **state)
{
    (void)state;
    struct bed b;
    struct hold holds[64];
    begin(&b, 1, 4);
    for (int i = 0; i < 40; i++) {
        meet(&b, OTHER, VERDICT_ACCEPTED, 2000);
        meet(&b, SICK, i % 5 ? VERDICT_ACCEPTED : VERDICT_TRY_LATER, 2000);
    }
    (void)fill(&b, holds);
    assert_int_equal(ask(&b, SICK, LANE_BULK).bound, BOUND_BUSY);
    bed_free(&b);
}

/* Else each it takes at a free server would put the others' turn there off. */
static void it_yields_at_every_server_of_the_group(void **state)
{
    (void)state;
    struct bed b;
    struct hold holds[64];
    begin(&b, 2, 2);
    fall_sick(&b, 2, VERDICT_TRY_LATER, 1);
    uint32_t n = fill(&b, holds);
    for (uint32_t i = 0; i < n; i++)
        if (holds[i].server_num == 2)
            answer(&b, &holds[i], VERDICT_ACCEPTED, 10);
    struct pick p = ask(&b, SICK, LANE_BULK);
    assert_int_equal(p.bound, BOUND_YIELD);
    bed_free(&b);
}

static void it_asks_no_fallback(void **state)
{
    (void)state;
    static const uint32_t fallbacks[] = {2};
    struct bed b;
    struct hold holds[64];
    begin(&b, 1, 4);
    bed_server(&b, 2);
    bed_set_group(&b, &(struct bed_group){.num = 2, .n = 1, .first = 2});
    bed_set_group(&b, &(struct bed_group){
                          .num = 1, .n = 1, .first = 1, .fallbacks = fallbacks, .n_fallbacks = 1});
    fall_sick(&b, 1, VERDICT_TRY_LATER, 1);
    (void)fill(&b, holds);
    assert_int_equal(ask(&b, SICK, LANE_BULK).bound, BOUND_YIELD);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_puts_all_off_yields_to_others),
        cmocka_unit_test(it_yields_while_more_of_its_campaign_come),
        cmocka_unit_test(trials_show_that_it_is_well_again),
        cmocka_unit_test(one_that_holds_up_gets_a_32nd_of_the_time),
        cmocka_unit_test(who_is_like_the_others_does_not_yield),
        cmocka_unit_test(it_yields_at_every_server_of_the_group),
        cmocka_unit_test(it_asks_no_fallback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
