/* Warm-up curves, audiences and the gate: tables of cases, and a month of random days in which no
 * day's cap is ever above the curve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/map.h"
#include "fleet/warmup.h"

static void parse(const char *text, struct warmup_curve *c)
{
    struct err e = {0};
    if (!warmup_curve_parse(str_of(text), c, &e))
        fail_msg("%s: %s", text, e.text);
}

static void test_curves(void **state)
{
    struct warmup_curve c;
    (void)state;
    parse("50,100,200", &c);
    assert_int_equal(c.n, 3);
    assert_int_equal(warmup_cap(&c, 1), 50);
    assert_int_equal(warmup_cap(&c, 3), 200);
    assert_int_equal(warmup_cap(&c, 0), 50);
    assert_int_equal(warmup_cap(&c, 99), 200);
    parse(" 1k, 2k,1M ", &c);
    assert_int_equal(warmup_cap(&c, 1), 1000);
    assert_int_equal(warmup_cap(&c, 3), 1000000);
    parse("linear:50-10000/30", &c);
    assert_int_equal(c.n, 30);
    assert_int_equal(warmup_cap(&c, 1), 50);
    assert_int_equal(warmup_cap(&c, 15), 50 + 9950 * 14 / 29);
    assert_int_equal(warmup_cap(&c, 30), 10000);
    parse("linear:50-10000/1", &c);
    assert_int_equal(warmup_cap(&c, 1), 10000);
    parse("exponential:50-100000*1.3", &c);
    assert_int_equal(c.n, 30);
    assert_int_equal(warmup_cap(&c, 2), 65);
    assert_int_equal(warmup_cap(&c, 30), 100000);
    for (uint32_t d = 2; d <= c.n; d++)
        assert_true(warmup_cap(&c, d) >= warmup_cap(&c, d - 1));
}

static void test_bad_curves(void **state)
{
    static const char *const bad[] = {"",
                                      "50,",
                                      "0",
                                      "-5",
                                      "100,50",
                                      "1,2,x",
                                      "1.5",
                                      "linear:",
                                      "linear:50-10/30",
                                      "linear:50-100/0",
                                      "linear:50-100/367",
                                      "linear:50/30",
                                      "linear:100-50/3",
                                      "exponential:50-100*1",
                                      "exponential:50-100*x",
                                      "exponential:50-100*nan",
                                      "exponential:50-100*-2",
                                      "exponential:1-1000000000*1.01",
                                      "99999999999"};
    struct warmup_curve c;
    struct err e;
    (void)state;
    for (size_t i = 0; i < countof(bad); i++) {
        e = (struct err){0};
        assert_false(warmup_curve_parse(str_of(bad[i]), &c, &e));
        assert_int_equal(e.code, ERR_INVALID);
    }
}

static void test_share(void **state)
{
    struct warmup_curve whole, part;
    (void)state;
    parse("1,50,1000", &whole);
    warmup_curve_share(&whole, 40, &part);
    assert_int_equal(part.caps[0], 1);
    assert_int_equal(part.caps[1], 20);
    assert_int_equal(part.caps[2], 400);
}

static void test_audience(void **state)
{
    struct warmup_audience a = {.unknown = 4};
    struct err e = {0};
    (void)state;
    assert_true(warmup_audience_parse(STR("1:2 8:4 15:7"), &a, &e));
    assert_int_equal(warmup_classes(&a, 1, true), 0x06); /* 1 and 2, unknown ones not */
    assert_int_equal(warmup_classes(&a, 7, true), 0x06);
    assert_int_equal(warmup_classes(&a, 8, true), 0x1F); /* 4 is in: unknown ones too */
    assert_int_equal(warmup_classes(&a, 15, true), 0xFF);
    assert_int_equal(warmup_classes(&a, 1, false), 0x07); /* a house without classes */
    assert_true(warmup_audience_parse(STR(""), &a, &e));
    assert_int_equal(warmup_classes(&a, 1, true), WARMUP_ALL_CLASSES);
    static const char *const bad[] = {"1", "1:8", "0:2", "1:0", "3:2 3:4", "5:2 1:4", "a:b", ":2"};
    for (size_t i = 0; i < countof(bad); i++)
        assert_false(warmup_audience_parse(str_of(bad[i]), &a, &e));
}

static void test_gate(void **state)
{
    static const struct {
        const char *what;
        struct warmup_figures f;
        enum warmup_move move;
        uint32_t day; /* from day 5 of 10 */
    } cases[] = {
        {"a good day", {100, 100, 98, 2, 0, 0, 0}, WARMUP_ADVANCE, 6},
        {"next to nothing sent", {9, 9, 9, 0, 0, 0, 0}, WARMUP_STAY, 5},
        {"a tenth", {10, 10, 10, 0, 0, 0, 0}, WARMUP_ADVANCE, 6},
        {"nothing sent", {0, 0, 0, 0, 0, 0, 0}, WARMUP_STAY, 5},
        {"the server was down", {40, 0, 0, 0, 0, 0, 0}, WARMUP_STAY, 5},
        {"bounces", {100, 100, 97, 3, 0, 0, 0}, WARMUP_HOLD, 5},
        {"bounces, but few mails", {19, 19, 10, 9, 0, 0, 0}, WARMUP_ADVANCE, 6},
        {"one bounce of twenty", {20, 20, 19, 1, 0, 0, 0}, WARMUP_ADVANCE, 6},
        {"two bounces of twenty", {20, 20, 18, 2, 0, 0, 0}, WARMUP_HOLD, 5},
        {"deferrals", {100, 100, 89, 0, 11, 0, 0}, WARMUP_HOLD, 5},
        {"deferrals at the limit", {100, 100, 90, 0, 10, 0, 0}, WARMUP_ADVANCE, 6},
        {"all deferred", {100, 100, 0, 0, 100, 0, 0}, WARMUP_HOLD, 5},
        {"complaints", {1000, 1000, 1000, 0, 0, 0, 2}, WARMUP_HOLD, 5},
        {"one complaint", {1000, 1000, 1000, 0, 0, 0, 1}, WARMUP_ADVANCE, 6},
        {"blocked", {100, 100, 98, 0, 0, 2, 0}, WARMUP_STEP_BACK, 3},
        {"blocked once", {100, 100, 99, 0, 0, 1, 0}, WARMUP_ADVANCE, 6},
        {"blocked, few mails", {2, 2, 0, 0, 0, 2, 0}, WARMUP_STEP_BACK, 3},
    };
    struct warmup_gate g;
    struct warmup_curve c;
    struct warmup_step st;
    (void)state;
    warmup_gate_defaults(&g);
    parse("10,20,30,40,100,200,300,400,500,600", &c);
    for (size_t i = 0; i < countof(cases); i++) {
        warmup_judge(&g, &c, 5, &cases[i].f, &st);
        if (st.move != cases[i].move || st.day != cases[i].day)
            fail_msg("%s: %s to day %u: %s", cases[i].what, warmup_move_name(st.move), st.day,
                     st.why);
        assert_true(st.move == WARMUP_ADVANCE || *st.why);
    }
    warmup_judge(&g, &c, 10, &(struct warmup_figures){60, 60, 60, 0, 0, 0, 0}, &st);
    assert_int_equal(st.move, WARMUP_FINISH);
    warmup_judge(&g, &c, 2, &(struct warmup_figures){.blocked = 2}, &st);
    assert_int_equal(st.day, 1);
}

/* Years of days of any kind: the next day is one further only after a good one, never further. */
static void test_random_days(void **state)
{
    struct warmup_gate g;
    struct warmup_curve c;
    uint64_t seed = 7;
    uint32_t day = 1, finished = 0;
    (void)state;
    warmup_gate_defaults(&g);
    parse("linear:20-2000/14", &c);
    for (int i = 0; i < 20000; i++) {
        uint64_t r = seed = hash_u64(seed + 0x9E3779B97F4A7C15u);
        uint64_t cap = warmup_cap(&c, day), n = r % (cap + 1);
        struct warmup_figures f = {.attempts = n,
                                   .answers = n,
                                   .hard = (r >> 20) % 4 == 0 ? n / 30 : 0,
                                   .deferred = (r >> 30) % 8 == 0 ? n / 5 : 0,
                                   .blocked = (r >> 40) % 16 == 0 ? 2 : 0};
        f.sent = n - MIN(n, f.hard + f.deferred + f.blocked);
        struct warmup_step st;
        warmup_judge(&g, &c, day, &f, &st);
        bool good = st.move == WARMUP_ADVANCE || st.move == WARMUP_FINISH;
        assert_true(st.day <= day + 1 && st.day >= 1);
        assert_true(good == (st.day == day + 1));
        if (good) {
            assert_true(f.sent * 10 >= cap && f.blocked < 2);
            assert_true(f.answers < 20 || (f.hard < 2 || f.hard * 50 <= f.answers));
            assert_true(f.answers < 20 || f.deferred * 10 <= f.answers || f.deferred < 2);
        }
        finished += st.move == WARMUP_FINISH;
        day = st.move == WARMUP_FINISH ? 1 : st.day;
    }
    assert_true(finished > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves), cmocka_unit_test(test_bad_curves),
        cmocka_unit_test(test_share),  cmocka_unit_test(test_audience),
        cmocka_unit_test(test_gate),   cmocka_unit_test(test_random_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
