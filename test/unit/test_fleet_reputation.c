/* Reputation rules: what can be written, when a condition holds, the graded way out and back, and
 * the half of a group that never leaves without a word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/map.h"
#include "fleet/reputation.h"

#define HOUR INT64_C(3600000)

static void test_words(void **state)
{
    static const char *const bad[] = {"",
                                      "hard_bounce_rate",
                                      "hard_bounce_rate >",
                                      "hard_bounce_rate = 5%",
                                      "bounces > 5%",
                                      "hard_bounce_rate > five",
                                      "hard_bounce_rate > -1%",
                                      "hard_bounce_rate > 101%",
                                      "hard_bounce_rate > 5",
                                      "dnsbl_listed > 5%",
                                      "dnsbl_listed > 2x",
                                      "hard_bounce_rate > 5% and",
                                      "hard_bounce_rate > 5% & open_rate < 1%",
                                      "hard_bounce_rate > 5% and open_rate < 1% or click_rate < 1%",
                                      "hard_bounce_rate > 5% open_rate < 1%"};
    struct reputation_when w;
    struct err e = {0};
    (void)state;
    for (size_t i = 0; i < countof(bad); i++)
        if (reputation_when_parse(str_of(bad[i]), &w, &e))
            fail_msg("\"%s\" was read", bad[i]);
    assert_true(reputation_when_parse(
        STR(" hard_bounce_rate > 5%  and open_rate < 0.5x and dnsbl_listed > 0"), &w, &e));
    assert_int_equal(w.n, 3);
    assert_false(w.any);
    assert_true(w.conditions[0].value > 0.0499 && w.conditions[0].value < 0.0501);
    assert_true(w.conditions[1].times_group && w.conditions[1].is_under);
    assert_true(reputation_when_parse(STR("block_rate > 0.01 or block_providers > 2"), &w, &e));
    assert_true(w.any);
}

static bool holds(const char *text, const struct reputation_facts *own,
                  const struct reputation_facts *rest)
{
    struct reputation_when w;
    struct err e = {0};
    char why[300];
    assert_true(reputation_when_parse(str_of(text), &w, &e));
    bool is = reputation_when_holds(&w, own, rest, 1000, why, sizeof why);
    if (is)
        assert_true(*why);
    return is;
}

static void test_conditions(void **state)
{
    struct reputation_facts own = {.answers = 2000, .sent = 1900};
    struct reputation_facts rest = {.answers = 9000, .sent = 8900};
    (void)state;
    own.of[METRIC_HARD_BOUNCE_RATE] = 100;
    rest.of[METRIC_HARD_BOUNCE_RATE] = 90;
    own.of[METRIC_OPEN_RATE] = 100;
    rest.of[METRIC_OPEN_RATE] = 1780;
    assert_false(holds("hard_bounce_rate > 5%", &own, &rest)); /* just 5 */
    assert_true(holds("hard_bounce_rate > 4.9%", &own, &rest));
    assert_true(holds("hard_bounce_rate > 4x", &own, &rest)); /* 5 % against 1 % */
    assert_false(holds("hard_bounce_rate > 5.1x", &own, &rest));
    assert_true(holds("open_rate < 0.5x", &own, &rest)); /* 5.3 % against 20 % */
    assert_false(holds("open_rate < 0.2x", &own, &rest));
    assert_true(holds("open_rate < 0.5x and hard_bounce_rate > 4%", &own, &rest));
    assert_false(holds("open_rate < 0.5x and hard_bounce_rate > 6%", &own, &rest));
    assert_true(holds("open_rate < 0.5x or hard_bounce_rate > 6%", &own, &rest));
    own.answers = 999;
    assert_false(holds("hard_bounce_rate > 4.9%", &own, &rest)); /* too few to say */
    own.of[METRIC_DNSBL_LISTED] = 1;
    assert_true(holds("dnsbl_listed > 0", &own, &rest)); /* counts need no volume */
    own.answers = 2000;
    rest.answers = 10;
    assert_false(holds("hard_bounce_rate > 4x", &own, &rest)); /* nobody to compare with */
}

static void test_graded(void **state)
{
    const struct reputation_answer a = {REPUTATION_GRADED, 0.5, 6 * HOUR};
    struct reputation_standing s = {.weight = 1}, next;
    int64_t now = 1000 * HOUR;
    (void)state;
    assert_true(reputation_respond(&a, &s, now, &next));
    assert_int_equal(next.stage, STAGE_LOWERED);
    assert_int_equal(next.until, now + 6 * HOUR);
    assert_true(reputation_factor(&next, now) == 0.5);
    s = next;
    assert_true(reputation_respond(&a, &s, now + HOUR, &next));
    assert_int_equal(next.stage, STAGE_RESTING);
    assert_int_equal(next.until, now + HOUR + 12 * HOUR); /* twice as long */
    assert_true(reputation_factor(&next, now + HOUR) == 0);
    s = next;
    assert_false(reputation_return(&s, s.until - 1, &next));
    now = s.until;
    assert_true(reputation_return(&s, now, &next));
    assert_int_equal(next.stage, STAGE_PROBATION);
    assert_true(reputation_factor(&next, now) == PROBATION_LOW);
    assert_true(reputation_factor(&next, now + 12 * HOUR) > 0.5);
    s = next;
    assert_true(reputation_respond(&a, &s, now + HOUR, &next)); /* again on probation: harder */
    assert_int_equal(next.stage, STAGE_QUARANTINED);
    assert_false(reputation_respond(&a, &next, now + 2 * HOUR, &s)); /* nothing is harder */
    s = next;
    assert_true(reputation_return(&s, s.until, &next));
    s = next;
    assert_true(reputation_return(&s, s.until, &next));
    assert_int_equal(next.stage, STAGE_GOOD);
    assert_int_equal(next.worst, STAGE_GOOD);
    assert_true(reputation_factor(&next, now) == 1);
}

static void test_never_softer(void **state)
{
    const struct reputation_answer lower = {REPUTATION_LOWER, 0.5, HOUR};
    const struct reputation_answer for_good = {REPUTATION_QUARANTINE, 0, 0};
    struct reputation_standing s = {.weight = 1}, next;
    (void)state;
    assert_true(reputation_respond(&for_good, &s, HOUR, &next));
    assert_int_equal(next.until, 0);
    assert_false(reputation_return(&next, 1000000 * HOUR, &s)); /* till released */
    assert_false(reputation_respond(&lower, &next, HOUR, &s));
}

static void test_half(void **state)
{
    struct reputation_share g[] = {{1, 10, 1}, {2, 5, 1}, {3, 5, 0}};
    (void)state;
    assert_true(reputation_takes_too_much(g, 3, 1, 0));    /* 5 are gone, 10 more: 15 of 20 */
    assert_false(reputation_takes_too_much(g, 3, 1, 0.5)); /* 10 of 20: just half */
    assert_false(reputation_takes_too_much(g, 3, 2, 0));
    assert_true(reputation_takes_too_much(g, 3, 1, 0.49));
    assert_true(reputation_takes_too_much(g, 1, 1, 0)); /* the only one */
}

/* Random answers and times: never above its weight, never out for ever but on request, and never
 * more than half of a group where the half rule is asked first. */
static void test_random(void **state)
{
    struct reputation_standing s[4];
    uint64_t seed = 11;
    int64_t now = HOUR;
    (void)state;
    for (int i = 0; i < 4; i++)
        s[i] = (struct reputation_standing){.weight = 1};
    for (int step = 0; step < 50000; step++) {
        seed = hash_u64(seed + (uint64_t)step);
        uint32_t who = seed % 4;
        struct reputation_standing next;
        struct reputation_share g[4];
        now += (int64_t)(seed >> 40) % (4 * HOUR);
        for (uint32_t i = 0; i < 4; i++) {
            if (reputation_return(&s[i], now, &next))
                s[i] = next;
            g[i] = (struct reputation_share){i, 1, reputation_factor(&s[i], now)};
            assert_true(g[i].factor >= 0 && g[i].factor <= 1);
        }
        const struct reputation_answer a = {(enum reputation_action)(1 + (seed >> 8) % 4), 0.5,
                                            (1 + (int64_t)(seed >> 16) % 24) * HOUR};
        if (!reputation_respond(&a, &s[who], now, &next))
            continue;
        assert_true(next.until > now && next.until <= now + 32 * 24 * HOUR);
        if (reputation_takes_too_much(g, 4, who, reputation_factor(&next, now)))
            continue;
        s[who] = next;
        double gone = 0;
        for (uint32_t i = 0; i < 4; i++)
            gone += 1 - reputation_factor(&s[i], now);
        assert_true(gone <= 2.0001);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),  cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_graded), cmocka_unit_test(test_never_softer),
        cmocka_unit_test(test_half),   cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
