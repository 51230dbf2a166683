/* The step after each verdict, the schedules, ages and resends: tables and jitter by seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "fleet/retry.h"

#define START_MS  INT64_C(1750000000000)
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)

static struct step after(const struct retry_ask *a, int64_t now)
{
    struct step s = {0};
    retry_after(a, now, &s);
    return s;
}

static void each_verdict_has_its_step(void **state)
{
    (void)state;
    static const struct {
        enum verdict v;
        bool permanent, fresh, blocked;
        enum step_kind kind;
        enum message_state state;
        bool hard, keep, counts;
    } rows[] = {
        {VERDICT_ACCEPTED, 0, 0, 0, STEP_END, MESSAGE_SENT, 0, 0, 0},
        {VERDICT_UNCERTAIN, 0, 0, 0, STEP_END, MESSAGE_UNCERTAIN, 0, 0, 0},
        {VERDICT_FAILOVER, 0, 0, 0, STEP_NEXT_SERVER, MESSAGE_QUEUED, 0, 0, 0},
        {VERDICT_FAILOVER, 1, 1, 0, STEP_NEXT_SERVER, MESSAGE_QUEUED, 0, 0, 0},
        {VERDICT_QUOTA, 1, 0, 0, STEP_NEXT_SERVER, MESSAGE_QUEUED, 0, 0, 0},
        {VERDICT_AUTH_CONFIG, 1, 0, 0, STEP_NEXT_SERVER, MESSAGE_QUEUED, 0, 0, 0},
        {VERDICT_RATE_LIMITED, 0, 0, 0, STEP_NEXT_SERVER, MESSAGE_QUEUED, 0, 0, 0},
        {VERDICT_BLOCKED, 1, 0, 0, STEP_NEXT_SERVER, MESSAGE_QUEUED, 0, 0, 0},
        {VERDICT_BLOCKED, 1, 0, 1, STEP_LATER, MESSAGE_QUEUED, 0, 0, 1},
        {VERDICT_TRY_LATER, 0, 0, 0, STEP_LATER, MESSAGE_QUEUED, 0, 1, 1},
        {VERDICT_SOFT_BOUNCE, 0, 0, 0, STEP_LATER, MESSAGE_QUEUED, 0, 1, 1},
        {VERDICT_SOFT_BOUNCE, 1, 0, 0, STEP_END, MESSAGE_BOUNCED, 0, 0, 0},
        {VERDICT_HARD_BOUNCE, 1, 0, 0, STEP_END, MESSAGE_BOUNCED, 1, 0, 0},
        {VERDICT_CONTENT, 1, 0, 0, STEP_END, MESSAGE_FAILED, 0, 0, 0},
        {VERDICT_UNKNOWN, 1, 0, 0, STEP_END, MESSAGE_FAILED, 0, 0, 0},
        {VERDICT_UNKNOWN, 0, 0, 0, STEP_LATER, MESSAGE_QUEUED, 0, 1, 1},
        {VERDICT_PROTOCOL, 1, 0, 0, STEP_SAME_SERVER, MESSAGE_QUEUED, 0, 0, 0},
        {VERDICT_PROTOCOL, 1, 1, 0, STEP_END, MESSAGE_FAILED, 0, 0, 0},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct retry_ask a = {.verdict = rows[i].v,
                              .permanent = rows[i].permanent,
                              .was_fresh = rows[i].fresh,
                              .was_blocked = rows[i].blocked,
                              .lane = LANE_BULK,
                              .uncertain_resends = 1,
                              .first_at = START_MS};
        struct step s = after(&a, START_MS);
        if (s.kind != rows[i].kind || s.state != rows[i].state || s.hard != rows[i].hard ||
            s.keep_server != rows[i].keep || s.counts != rows[i].counts || s.is_resend)
            fail_msg("row %zu: kind %d state %d hard %d keep %d counts %d", i, s.kind, s.state,
                     s.hard, s.keep_server, s.counts);
    }
}

/* No greylist lasts for half an hour: from then on another server may have a better word. */
static void the_same_server_until_half_an_hour(void **state)
{
    (void)state;
    static const uint32_t kept[LANE_COUNT] = {[LANE_TRANSACTIONAL] = 5, 3, 3};
    for (int lane = 0; lane < LANE_COUNT; lane++)
        for (uint32_t n = 0; n < 10; n++) {
            struct retry_ask a = {.verdict = VERDICT_TRY_LATER,
                                  .lane = (enum lane)lane,
                                  .attempts = n,
                                  .random = hash_u64(n),
                                  .first_at = START_MS};
            struct step s = after(&a, START_MS);
            assert_int_equal(s.kind, STEP_LATER);
            assert_int_equal(s.keep_server, n < kept[lane]);
            a.wait_ms = HOUR_MS; /* it said when: there, then */
            assert_true(after(&a, START_MS).keep_server);
        }
}

static void the_schedules(void **state)
{
    (void)state;
    static const int64_t bulk[] = {5, 10, 20, 40, 80, 160, 240, 240, 240};
    static const int64_t seconds[] = {30, 60, 120, 300, 900, 1800, 3600, 3600};
    for (uint64_t seed = 0; seed < 500; seed++)
        for (uint32_t n = 0; n < 40; n++) {
            struct retry_ask a = {.verdict = VERDICT_TRY_LATER,
                                  .attempts = n,
                                  .first_at = START_MS,
                                  .random = hash_u64(seed * 100 + n)};
            for (int lane = 0; lane < LANE_COUNT; lane++) {
                a.lane = (enum lane)lane;
                int64_t plain = lane == LANE_TRANSACTIONAL
                                    ? seconds[MIN(n, countof(seconds) - 1)] * 1000
                                    : bulk[MIN(n, countof(bulk) - 1)] * MINUTE_MS;
                int64_t ms = after(&a, START_MS).due - START_MS;
                assert_in_range(ms, plain - plain / 10, plain + plain / 10);
            }
        }
}

static void jitter_differs(void **state)
{
    (void)state;
    struct retry_ask a = {.verdict = VERDICT_TRY_LATER, .lane = LANE_BULK, .first_at = START_MS};
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        a.random = hash_u64(i);
        int64_t ms = after(&a, START_MS).due - START_MS;
        least = MIN(least, ms);
        most = MAX(most, ms);
    }
    assert_true(least < 280000 && most > 320000);
}

static void a_stated_delay_is_honoured(void **state)
{
    (void)state;
    struct retry_ask a = {.verdict = VERDICT_TRY_LATER,
                          .lane = LANE_TRANSACTIONAL,
                          .first_at = START_MS,
                          .wait_ms = 20 * MINUTE_MS};
    assert_int_equal(after(&a, START_MS).due, START_MS + 20 * MINUTE_MS);
    a.wait_ms = 1000; /* shorter than ours: ours */
    assert_true(after(&a, START_MS).due >= START_MS + 27000);
}

static void too_old_is_over(void **state)
{
    (void)state;
    static const struct {
        enum verdict v;
        enum lane lane;
        int64_t age_h, expires_h;
        enum step_kind kind;
        enum message_state state;
    } rows[] = {
        {VERDICT_TRY_LATER, LANE_BULK, 71, 0, STEP_LATER, MESSAGE_QUEUED},
        {VERDICT_TRY_LATER, LANE_BULK, 72, 0, STEP_END, MESSAGE_BOUNCED},
        {VERDICT_SOFT_BOUNCE, LANE_PRIORITY, 72, 0, STEP_END, MESSAGE_BOUNCED},
        {VERDICT_UNKNOWN, LANE_BULK, 72, 0, STEP_END, MESSAGE_FAILED},
        {VERDICT_BLOCKED, LANE_BULK, 72, 0, STEP_END, MESSAGE_FAILED},
        {VERDICT_TRY_LATER, LANE_TRANSACTIONAL, 23, 0, STEP_LATER, MESSAGE_QUEUED},
        {VERDICT_TRY_LATER, LANE_TRANSACTIONAL, 24, 0, STEP_END, MESSAGE_BOUNCED},
        {VERDICT_TRY_LATER, LANE_TRANSACTIONAL, 2, 2, STEP_END, MESSAGE_BOUNCED},
        {VERDICT_TRY_LATER, LANE_TRANSACTIONAL, 1, 2, STEP_LATER, MESSAGE_QUEUED},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct retry_ask a = {.verdict = rows[i].v,
                              .lane = rows[i].lane,
                              .was_blocked = true,
                              .first_at = START_MS - rows[i].age_h * HOUR_MS};
        a.expires_at = rows[i].expires_h ? a.first_at + rows[i].expires_h * HOUR_MS : 0;
        struct step s = after(&a, START_MS);
        if (s.kind != rows[i].kind || s.state != rows[i].state || s.hard)
            fail_msg("row %zu: kind %d state %d", i, s.kind, s.state);
    }
    assert_int_equal(retry_age_limit_ms(LANE_BULK), 72 * HOUR_MS);
    assert_int_equal(retry_age_limit_ms(LANE_TRANSACTIONAL), 24 * HOUR_MS);
}

/* Promise 3. */
static void uncertain_is_sent_again_only_as_promised(void **state)
{
    (void)state;
    for (int lane = 0; lane < LANE_COUNT; lane++)
        for (uint32_t allowed = 0; allowed <= 2; allowed++)
            for (uint32_t resends = 0; resends <= 3; resends++) {
                struct retry_ask a = {.verdict = VERDICT_UNCERTAIN,
                                      .lane = (enum lane)lane,
                                      .resends = resends,
                                      .uncertain_resends = allowed,
                                      .first_at = START_MS};
                struct step s = after(&a, START_MS);
                bool again = lane == LANE_TRANSACTIONAL && resends < allowed;
                assert_int_equal(s.kind, again ? STEP_LATER : STEP_END);
                assert_int_equal(s.is_resend, again);
                if (again)
                    assert_true(s.due >= START_MS + MINUTE_MS);
                else
                    assert_int_equal(s.state, MESSAGE_UNCERTAIN);
            }
    struct retry_ask a = {.verdict = VERDICT_UNCERTAIN,
                          .lane = LANE_TRANSACTIONAL,
                          .uncertain_resends = 1,
                          .first_at = START_MS,
                          .expires_at = START_MS + MINUTE_MS};
    assert_int_equal(after(&a, START_MS).kind, STEP_END); /* it would be over by then */
}

static void a_round_that_is_over(void **state)
{
    (void)state;
    struct step s;
    struct retry_ask a = {.verdict = VERDICT_FAILOVER, .lane = LANE_BULK, .first_at = START_MS};
    retry_round_over(&a, START_MS, &s);
    assert_int_equal(s.kind, STEP_LATER);
    assert_true(s.counts && !s.keep_server);
    assert_int_equal(s.due - START_MS, 30000); /* soon: servers come back */
    a.attempts = 3;
    retry_round_over(&a, START_MS, &s);
    assert_int_equal(s.due - START_MS, 240000);
    a.attempts = 0;
    a.verdict = VERDICT_RATE_LIMITED; /* no attempt of the schedule */
    a.wait_ms = 10 * MINUTE_MS;
    retry_round_over(&a, START_MS, &s);
    assert_false(s.counts);
    assert_int_equal(s.due, START_MS + 10 * MINUTE_MS);
    a = (struct retry_ask){
        .verdict = VERDICT_FAILOVER, .lane = LANE_BULK, .first_at = START_MS - 73 * HOUR_MS};
    retry_round_over(&a, START_MS, &s);
    assert_int_equal(s.kind, STEP_END);
    assert_int_equal(s.state, MESSAGE_FAILED); /* a server's fault bounces nobody */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verdict_has_its_step),
        cmocka_unit_test(the_same_server_until_half_an_hour),
        cmocka_unit_test(the_schedules),
        cmocka_unit_test(jitter_differs),
        cmocka_unit_test(a_stated_delay_is_honoured),
        cmocka_unit_test(too_old_is_over),
        cmocka_unit_test(uncertain_is_sent_again_only_as_promised),
        cmocka_unit_test(a_round_that_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
