/* Adaptive weights: base x warm-up x health x reputation, each in bounded steps with its reason,
 * and all of them still while a breaker moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/internal.h"
#include "fleet_test.h"

static const struct ask bulk = {.group_num = 1, .lane = LANE_BULK};

static double health_of(struct bed *b, uint16_t num)
{
    return fleet_find(b->f, num)->factors[FACTOR_HEALTH].value;
}

/* 30 answers of server 1 in a weighing, so many of them transport failures, never 3 in a row. */
static void answer(struct bed *b, uint16_t num, int bad)
{
    struct fserver *s = fleet_find(b->f, num);
    for (int i = 0; i < 30; i++) {
        int64_t slot = b->now / HEALTH_SLOT_MS;
        if (s->breaker.slots[(uint64_t)slot % HEALTH_SLOTS].slot != slot)
            memset(&s->breaker.slots[(uint64_t)slot % HEALTH_SLOTS], 0, sizeof s->breaker.slots[0]);
        s->breaker.slots[(uint64_t)slot % HEALTH_SLOTS].slot = slot;
        s->breaker.slots[(uint64_t)slot % HEALTH_SLOTS].ok += i >= bad;
        s->breaker.slots[(uint64_t)slot % HEALTH_SLOTS].bad += i < bad;
    }
}

static void weigh(struct bed *b, int bad)
{
    b->now += 5000;
    if (bad >= 0)
        answer(b, 1, bad);
    bed_tick(b, 0);
}

static void begin_adaptive(struct bed *b)
{
    bed_init(b);
    bed_simple(b, STRATEGY_ADAPTIVE, 2, NULL);
    bed_warm(b, 2);
}

static void adaptive_moves_in_bounded_steps_to_its_floor_and_back(void **state)
{
    (void)state;
    struct bed b;
    begin_adaptive(&b);
    double was = 1;
    for (int i = 0; i < 40; i++, was = health_of(&b, 1)) {
        weigh(&b, 30);
        assert_true(health_of(&b, 1) >= was * 0.75 - 1e-9);
        assert_true(health_of(&b, 1) >= 0.05 - 1e-9);
    }
    assert_true(health_of(&b, 1) < 0.051);
    const char *why = fleet_find(b.f, 1)->factors[FACTOR_HEALTH].reason;
    assert_non_null(strstr(why, "answered well"));
    assert_true(health_of(&b, 2) > 0.999);
    for (int i = 0; i < 40; i++, was = health_of(&b, 1)) {
        weigh(&b, 0);
        assert_true(health_of(&b, 1) <= was + 0.1 + 1e-9);
    }
    assert_true(health_of(&b, 1) > 0.999);
    bed_free(&b);
}

/* In two adaptive groups it is weighed once, not once a group. */
static void adaptive_steps_are_bounded_in_several_groups(void **state)
{
    (void)state;
    struct bed b;
    begin_adaptive(&b);
    bed_set_group(&b,
                  &(struct bed_group){.num = 2, .strategy = STRATEGY_ADAPTIVE, .n = 2, .first = 1});
    weigh(&b, 30);
    assert_true(health_of(&b, 1) >= 0.75 - 1e-9);
    assert_true(health_of(&b, 1) < 1);
    bed_free(&b);
}

static void adaptive_is_frozen_while_the_breaker_moves(void **state)
{
    (void)state;
    struct bed b;
    begin_adaptive(&b);
    weigh(&b, 15);
    double was = health_of(&b, 1);
    assert_true(was < 1);
    assert_true(fleet_open(b.f, 1, "test", b.now));
    for (int i = 0; i < 3; i++)
        weigh(&b, 30);
    assert_true(health_of(&b, 1) == was);
    bed_free(&b);
}

/* So little weight brings so little mail that no sum of answers ever speaks for it. */
static void adaptive_recovers_on_little_mail(void **state)
{
    (void)state;
    struct bed b;
    begin_adaptive(&b);
    for (int i = 0; i < 40; i++)
        weigh(&b, 30);
    assert_true(health_of(&b, 1) < 0.051);
    b.now += 60000;
    for (int i = 0; i < 200; i++) { /* 1 message a second for the group */
        weigh(&b, -1);
        for (int k = 0; k < 5; k++)
            bed_carry_one(&b, &bulk);
    }
    assert_true(health_of(&b, 1) > 0.9);
    bed_free(&b);
}

static void adaptive_shares_follow_the_factors(void **state)
{
    (void)state;
    struct bed b;
    uint32_t got[3] = {0};
    begin_adaptive(&b);
    fleet_set_factor(b.f, 1, FACTOR_WARMUP, 0.5, "day 3 of 14");
    fleet_set_factor(b.f, 1, FACTOR_REPUTATION, 0.5, "listed");
    for (int i = 0; i < 5000; i++)
        got[bed_carry_one(&b, &bulk)]++;
    assert_in_range(got[1], 980, 1020);
    assert_string_equal(fleet_find(b.f, 1)->factors[FACTOR_REPUTATION].reason, "listed");
    bed_free(&b);
}

static double warmup_of(struct bed *b, uint16_t num)
{
    return fleet_find(b->f, num)->factors[FACTOR_WARMUP].value;
}

/* 10,000 went by two equal servers yesterday: warm, each would carry 5,000. */
static void adaptive_weighs_a_warming_server_by_its_cap(void **state)
{
    (void)state;
    struct bed b;
    begin_adaptive(&b);
    for (uint16_t num = 1; num <= 2; num++)
        quota_load(fleet_quota(b.f, num), QUOTA_DAY, b.now, b.now - 3600000, 4999);
    fleet_set_warmup(b.f, 1, &(struct warmup_stand){3, 1000, 150000});
    double was = warmup_of(&b, 1);
    assert_true(was < 0.051); /* the first day is not waited for: by the plan's last cap */
    for (int i = 0; i < 10; i++, was = warmup_of(&b, 1)) {
        weigh(&b, -1);
        assert_true(warmup_of(&b, 1) <= was + 0.1 + 1e-9);
    }
    assert_true(was > 0.198 && was < 0.202);
    const char *why = fleet_find(b.f, 1)->factors[FACTOR_WARMUP].reason;
    assert_string_equal(why, "warm-up: day 3, at most 1000; warm it would carry 5000");
    uint32_t got[3] = {0};
    for (int i = 0; i < 6000; i++)
        got[bed_carry_one(&b, &bulk)]++;
    assert_in_range(got[1], 980, 1020); /* 0.2 : 1, so 10,000 a day would bring it over its cap */
    fleet_set_warmup(b.f, 1, &(struct warmup_stand){9, 5000, 150000});
    for (int i = 0; i < 10; i++)
        weigh(&b, -1);
    assert_true(warmup_of(&b, 1) > 0.6 && warmup_of(&b, 1) < 0.65);    /* of 8,000 by now */
    fleet_set_warmup(b.f, 1, &(struct warmup_stand){4, 2000, 150000}); /* stepped back */
    for (int i = 0; i < 3; i++, was = warmup_of(&b, 1)) {
        was = warmup_of(&b, 1);
        weigh(&b, -1);
        assert_true(warmup_of(&b, 1) >= was * 0.75 - 1e-9);
    }
    fleet_set_warmup(b.f, 1, &(struct warmup_stand){0});
    for (int i = 0; i < 10; i++)
        weigh(&b, -1);
    assert_true(warmup_of(&b, 1) > 0.999);
    assert_string_equal(fleet_find(b.f, 1)->factors[FACTOR_WARMUP].reason, "");
    bed_free(&b);
}

/* Its cap holds a warming server back, not its weight; and only `adaptive` weighs. */
static void only_adaptive_weighs_a_warm_up(void **state)
{
    (void)state;
    struct bed b;
    uint32_t got[3] = {0};
    bed_init(&b);
    bed_simple(&b, STRATEGY_WEIGHTED, 2, NULL);
    bed_warm(&b, 2);
    fleet_set_warmup(b.f, 1, &(struct warmup_stand){1, 50, 150000});
    weigh(&b, -1);
    assert_true(bed_view(&b, 1).effective_weight > 0.999);
    for (int i = 0; i < 1000; i++)
        got[bed_carry_one(&b, &bulk)]++;
    assert_in_range(got[1], 499, 501);
    bed_free(&b);
}

/* Reputation's word waits until the breaker stands; so does the warm-up's. */
static void weights_stand_while_a_breaker_moves(void **state)
{
    (void)state;
    struct bed b;
    begin_adaptive(&b);
    assert_true(fleet_open(b.f, 1, "test", b.now));
    fleet_set_factor(b.f, 1, FACTOR_REPUTATION, 0.5, "listed");
    fleet_set_warmup(b.f, 1, &(struct warmup_stand){1, 50, 100});
    const struct factor_value *v = fleet_find(b.f, 1)->factors;
    double warm = v[FACTOR_WARMUP].value;
    for (int i = 0; i < 3 && b.state[1] != OPER_HEALTHY; i++) { /* open, half open, ramp */
        assert_true(v[FACTOR_REPUTATION].value > 0.999);
        assert_true(v[FACTOR_WARMUP].value == warm);
        assert_string_equal(v[FACTOR_REPUTATION].reason, "listed");
        b.now = i ? b.now + 30000 : bed_view(&b, 1).until;
        if (bed_tick(&b, 1)) {
            bed_probe(&b, 1, VERDICT_ACCEPTED, true);
            struct pick p = bed_ask(&b, &(struct ask){.group_num = 1, .keep_server = 1});
            assert_int_equal(p.server_num, 1);
            bed_accept(&b, 1);
            assert_int_equal(b.state[1], OPER_RAMP);
        }
    }
    b.now += 60000;
    bed_tick(&b, 0);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    b.now += 5000;
    bed_tick(&b, 0);
    assert_true(v[FACTOR_REPUTATION].value > 0.499 && v[FACTOR_REPUTATION].value < 0.501);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adaptive_moves_in_bounded_steps_to_its_floor_and_back),
        cmocka_unit_test(adaptive_steps_are_bounded_in_several_groups),
        cmocka_unit_test(adaptive_is_frozen_while_the_breaker_moves),
        cmocka_unit_test(adaptive_recovers_on_little_mail),
        cmocka_unit_test(adaptive_shares_follow_the_factors),
        cmocka_unit_test(adaptive_weighs_a_warming_server_by_its_cap),
        cmocka_unit_test(only_adaptive_weighs_a_warm_up),
        cmocka_unit_test(weights_stand_while_a_breaker_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
