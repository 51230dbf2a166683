/* Throttling moves pace: what is learned, how it is kept, how it recovers; and connections where
 * they are what is too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/cells.h"
#include "fleet/internal.h"
#include "fleet_test.h"

#define GMAIL 7

/* Server 1 takes `most` a second of what is asked for each 10 ms, and says 454 to what is more.
 * What is picked waits on its connection until its dot may leave. */
struct mouth {
    double most;
    double credit;
    uint32_t taken, refused, others;
    struct hold waiting[64];
    uint32_t n;
};

static void answer(struct bed *b, struct mouth *m, const struct hold *h, enum fault fault)
{
    bool is_first = h->server_num == 1, ok = !is_first || m->credit >= 1;
    m->credit -= is_first && ok;
    m->taken += is_first && ok;
    m->others += !is_first;
    m->refused += !ok;
    bed_report(b, &(struct report){.server_num = h->server_num,
                                   .hold = *h,
                                   .is_message = true,
                                   .verdict = ok ? VERDICT_ACCEPTED : VERDICT_RATE_LIMITED,
                                   .fault = ok ? FAULT_NOBODY : fault,
                                   .phase = PHASE_DOT,
                                   .reply_read = true,
                                   .dot_left = true,
                                   .dot_at = b->now,
                                   .provider = h->provider,
                                   .latency_ms = 5,
                                   .why = "dot: 454 too fast"});
}

static void feed(struct bed *b, struct mouth *m, int64_t ms, uint32_t provider, enum fault fault)
{
    m->taken = m->refused = m->others = 0;
    for (int64_t until = b->now + ms; b->now < until; b->now += 10) {
        int64_t when = 0;
        m->credit = MIN(m->credit + m->most / 100, 3.0);
        bed_tick(b, 0);
        struct pick p = bed_ask(b, &(struct ask){.group_num = 1, .provider = provider});
        if (p.kind == PICK_SEND) {
            assert_true(m->n < countof(m->waiting));
            m->waiting[m->n++] = p.hold;
        }
        for (uint32_t i = m->n; i-- > 0;)
            if (fleet_dot(b->f, &m->waiting[i], b->now, &when)) {
                struct hold h = m->waiting[i];
                m->waiting[i] = m->waiting[--m->n];
                answer(b, m, &h, fault);
            }
    }
}

static void give_back(struct bed *b, struct mouth *m)
{
    while (m->n)
        fleet_return(b->f, &m->waiting[--m->n], b->now);
}

/* It can take 20 a second of 100 that want to leave. A handful of refusals, then its own pace. */
static void learns_what_a_server_takes(void **state)
{
    (void)state;
    struct bed b;
    struct mouth m = {.most = 1000};
    bed_begin(&b, 1);
    feed(&b, &m, 20000, 1, FAULT_SERVER);
    assert_in_range(m.taken, 1900, 2000);
    m.most = 20;
    feed(&b, &m, 30000, 1, FAULT_SERVER);
    assert_int_equal(b.state[1], OPER_DEGRADED);
    assert_non_null(strstr(bed_view(&b, 1).reason, "slow down"));
    feed(&b, &m, 300000, 1, FAULT_SERVER);
    assert_in_range(m.taken, 300 * 14, 300 * 20);
    if (m.refused > 60) /* of 30,000 that wanted to leave */
        fail_msg("%u were refused beside %u", m.refused, m.taken);
    struct server_view v = bed_view(&b, 1);
    assert_true(v.pace_per_s > 12 && v.pace_per_s < 25);
    assert_true(v.pace_seen_per_s >= v.pace_per_s * 0.7);
    assert_string_equal(v.pace_reason, "dot: 454 too fast");
    bed_free(&b);
}

/* The limit is gone: the pace rises in bounded steps and is over when it binds no more. */
static void recovers_in_bounded_steps(void **state)
{
    (void)state;
    struct bed b;
    struct mouth m = {.most = 1000};
    bed_begin(&b, 1);
    feed(&b, &m, 20000, 1, FAULT_SERVER);
    m.most = 20;
    feed(&b, &m, 60000, 1, FAULT_SERVER);
    double was = bed_view(&b, 1).pace_per_s, least = was;
    assert_true(was > 0);
    m.most = 1000;
    int64_t over_at = 0, slow_until = bed_view(&b, 1).until;
    for (int i = 0; i < 3600 && !over_at; i++) {
        feed(&b, &m, 1000, 1, FAULT_SERVER);
        double is = bed_view(&b, 1).pace_per_s;
        if (is <= 0)
            over_at = b.now;
        else
            assert_true(is >= least && is <= was * 1.25 + 1e-9);
        was = is > 0 ? is : was;
        if (b.now < slow_until)
            assert_true(is > 0 && b.state[1] == OPER_DEGRADED);
    }
    assert_true(over_at > slow_until);
    assert_true(was > 100); /* twice what wants to leave */
    assert_int_equal(b.state[1], OPER_HEALTHY);
    feed(&b, &m, 10000, 1, FAULT_SERVER);
    assert_in_range(m.taken, 990, 1000);
    bed_free(&b);
}

/* One storm of refusals is one step. */
static void one_storm_is_one_step(void **state)
{
    (void)state;
    struct bed b;
    struct hold held[10];
    struct mouth m = {.most = 1000};
    bed_begin(&b, 1);
    feed(&b, &m, 20000, 1, FAULT_SERVER);
    for (int i = 0; i < 10; i++)
        held[i] = bed_ask(&b, &(struct ask){.group_num = 1, .provider = 1}).hold;
    bed_said(&b, &held[0], VERDICT_RATE_LIMITED, FAULT_SERVER, PHASE_RCPT);
    double first = bed_view(&b, 1).pace_per_s;
    assert_true(first > 70 && first < 80); /* three quarters of 100 */
    for (int i = 1; i < 10; i++)
        bed_said(&b, &held[i], VERDICT_RATE_LIMITED, FAULT_SERVER, PHASE_RCPT);
    assert_true(bed_view(&b, 1).pace_per_s == first);
    bed_free(&b);
}

/* Nothing was ever accepted: slow, but never not at all. */
static void never_to_nothing(void **state)
{
    (void)state;
    struct bed b;
    struct mouth m = {.most = 0};
    bed_begin(&b, 1);
    feed(&b, &m, 600000, 1, FAULT_SERVER);
    assert_true(bed_view(&b, 1).pace_per_s >= 0.2 - 1e-9);
    assert_in_range(m.refused, 60, 300); /* of 60,000 */
    give_back(&b, &m);
    struct server_reason r[4];
    struct pick p;
    size_t n = 0;
    p = bed_pick(&b);
    fleet_explain(b.f, &(struct ask){.group_num = 1, .lane = LANE_BULK}, b.now, &p, r, 4, &n);
    assert_int_equal(r[0].bound, BOUND_PACE);
    assert_non_null(strstr(r[0].why, "at most 0.2"));
    bed_free(&b);
}

static void elsewhere_meanwhile(void **state)
{
    (void)state;
    struct bed b;
    struct mouth m = {.most = 10};
    bed_begin(&b, 2);
    feed(&b, &m, 90000, 1, FAULT_SERVER); /* its first guess was too slow: it rose until refused */
    feed(&b, &m, 60000, 1, FAULT_SERVER);
    assert_in_range(m.taken, 60 * 6, 60 * 10);
    /* Of 100 a second nothing waits for the slow one. */
    assert_true(m.others + m.taken + m.refused >= 60 * 99);
    bed_free(&b);
}

/* The reply speaks for a mailbox provider: its cell is slowed, the rest of the server is not. */
static void a_providers_throttle_slows_its_cell(void **state)
{
    (void)state;
    struct bed b;
    struct mouth gmail = {.most = 20}, rest = {.most = 1000};
    bed_begin(&b, 1);
    for (int i = 0; i < 300; i++) {
        feed(&b, &gmail, 100, GMAIL, FAULT_SERVER_PROVIDER);
        feed(&b, &rest, 100, 1, FAULT_SERVER);
        assert_int_equal(rest.refused, 0);
        if (i > 100)
            assert_in_range(rest.taken, 9, 10);
    }
    assert_int_equal(b.state[1], OPER_HEALTHY);
    assert_true(bed_view(&b, 1).pace_per_s <= 0);
    struct cell_view v[4];
    assert_int_equal(fleet_cells(b.f, 1, v, 4), 1);
    assert_int_equal(v[0].provider, GMAIL);
    assert_int_equal(v[0].state, OPER_DEGRADED);
    assert_true(v[0].per_s > 5 && v[0].per_s < 25);
    assert_non_null(strstr(v[0].reason, "slow down"));
    bed_free(&b);
}

/* Too many connections: fewer of them for ten minutes, and no pace. */
static void too_many_connections_are_fewer(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    for (int round = 0; round < 2; round++) {
        struct hold h = bed_pick(&b).hold;
        bed_said(&b, &h, VERDICT_RATE_LIMITED, FAULT_SERVER, PHASE_GREETING);
        assert_int_equal(b.state[1], OPER_DEGRADED);
        assert_int_equal(fleet_connections(b.f, 1, b.now), 5);
        h = bed_pick(&b).hold;
        bed_said(&b, &h, VERDICT_RATE_LIMITED, FAULT_SERVER, PHASE_GREETING); /* the same storm */
        assert_int_equal(fleet_connections(b.f, 1, b.now), 5);
        b.now += 40000;
        h = bed_pick(&b).hold;
        bed_said(&b, &h, VERDICT_RATE_LIMITED, FAULT_SERVER, PHASE_GREETING); /* still too many */
        assert_int_equal(fleet_connections(b.f, 1, b.now), 2);
        assert_true(bed_view(&b, 1).pace_per_s <= 0);
        b.now += 600001;
        bed_tick(&b, 0);
        assert_int_equal(b.state[1], OPER_HEALTHY);
        assert_int_equal(fleet_connections(b.f, 1, b.now), 10);
    }
    bed_free(&b);
}

/* Throttling moves neither breaker nor weight, a pace uses no more connections than it needs. */
static void one_owner_a_signal(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    for (int i = 0; i < 50; i++, b.now += 5000) {
        struct pick p = bed_pick(&b);
        if (p.kind != PICK_SEND)
            continue;
        bed_said(&b, &p.hold, VERDICT_RATE_LIMITED, FAULT_SERVER, PHASE_RCPT);
        bed_tick(&b, 0);
        assert_int_equal(b.state[1], OPER_DEGRADED);
    }
    assert_int_equal(fleet_find(b.f, 1)->breaker.failures_in_row, 0);
    assert_true(bed_view(&b, 1).effective_weight > 0.999);
    assert_in_range(fleet_connections(b.f, 1, b.now), 1, 2);
    bed_free(&b);
}

static void a_stated_wait_is_kept(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    struct hold h = bed_pick(&b).hold;
    bed_report(&b, &(struct report){.server_num = 1,
                                    .hold = h,
                                    .is_message = true,
                                    .verdict = VERDICT_RATE_LIMITED,
                                    .fault = FAULT_SERVER,
                                    .phase = PHASE_RCPT,
                                    .reply_read = true,
                                    .wait_ms = 60000});
    struct pick p = bed_pick(&b);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_PACE);
    b.now += 60000;
    assert_int_equal(bed_pick(&b).kind, PICK_SEND);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_what_a_server_takes),
        cmocka_unit_test(recovers_in_bounded_steps),
        cmocka_unit_test(one_storm_is_one_step),
        cmocka_unit_test(never_to_nothing),
        cmocka_unit_test(elsewhere_meanwhile),
        cmocka_unit_test(a_providers_throttle_slows_its_cell),
        cmocka_unit_test(too_many_connections_are_fewer),
        cmocka_unit_test(one_owner_a_signal),
        cmocka_unit_test(a_stated_wait_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
