/* Sharing on a virtual clock: shares as planned, the limit that binds, what exactness costs, and
 * that nothing of the fleet looked at changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/simulate.h"
#include "fleet_test.h"

static void simulate(struct bed *b, uint64_t messages, bool elastic, const int64_t *service_us,
                     uint16_t n, struct simulation *out)
{
    uint32_t group = 1;
    struct forecast_server servers[SERVERS];
    for (uint16_t i = 0; i < n; i++)
        servers[i] =
            (struct forecast_server){.num = (uint16_t)(i + 1), .service_us = service_us[i]};
    struct simulate_in in = {.fleet = fleet_copy(b->f, &group, 1, b->now),
                             .ask = {.group_num = 1, .lane = LANE_BULK},
                             .messages = messages,
                             .now_ms = b->now,
                             .servers = servers,
                             .n_servers = n,
                             .elastic = elastic};
    simulate_run(&in, out);
    fleet_free(&in.fleet);
}

static void weights_are_shares(void **state)
{
    (void)state;
    static const uint32_t weights[] = {10, 5, 1};
    static const int64_t us[] = {20000, 20000, 20000};
    struct bed b;
    struct simulation s;
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 3, weights);
    simulate(&b, 16000, false, us, 3, &s);
    assert_int_equal(s.sent, 16000);
    for (int i = 0; i < 3; i++) {
        double want = 16000.0 * weights[i] / 16;
        assert_true(s.lines[i].n > want * 0.99 - 2 && s.lines[i].n < want * 1.01 + 2);
        assert_true(s.lines[i].planned > weights[i] / 16.0 - 0.001);
    }
    simulation_free(&s);
    bed_free(&b);
}

static void a_limit_is_named_and_kept(void **state)
{
    (void)state;
    static const int64_t us[] = {1000, 1000};
    struct bed b;
    struct simulation s;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    b.servers[2]->limits.per_hour = 50;
    bed_apply(&b, 2);
    simulate(&b, 1000, false, us, 2, &s);
    assert_int_equal(s.sent, 1000);
    assert_int_equal(s.lines[1].n, 50);
    assert_int_equal(s.lines[1].bound, BOUND_QUOTA);
    assert_int_equal(s.lines[0].bound, BOUND_NONE);
    simulation_free(&s);
    bed_free(&b);
}

static void exact_shares_wait_for_the_slowest(void **state)
{
    (void)state;
    static const int64_t us[] = {1000, 200000};
    struct bed b;
    struct simulation exact, elastic;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    simulate(&b, 2000, false, us, 2, &exact);
    simulate(&b, 2000, true, us, 2, &elastic);
    assert_int_equal(exact.sent, 2000);
    assert_int_equal(elastic.sent, 2000);
    assert_true(exact.ms > 2 * elastic.ms);
    simulation_free(&exact);
    simulation_free(&elastic);
    bed_free(&b);
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    static const int64_t us[] = {1000, 1000, 1000};
    struct bed b;
    struct simulation s;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 3, NULL);
    bed_warm(&b, 3);
    uint16_t first = bed_send(&b);
    bed_accept(&b, first);
    simulate(&b, 100, false, us, 3, &s);
    simulation_free(&s);
    for (uint16_t i = 1; i <= 3; i++) {
        uint16_t num = bed_send(&b);
        assert_int_equal(num, (first + i - 1) % 3 + 1);
        bed_accept(&b, num);
    }
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_shares),
        cmocka_unit_test(a_limit_is_named_and_kept),
        cmocka_unit_test(exact_shares_wait_for_the_slowest),
        cmocka_unit_test(looking_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
