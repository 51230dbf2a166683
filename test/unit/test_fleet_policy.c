/* The failure matrix: an empty one changes nothing at all (retry.c is the oracle), every action and
 * setting does what it says, no rule breaks a promise, and rules survive being written and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "fleet/policy.h"
#include "fleet_test.h"

#define HOUR_MS INT64_C(3600000)

static struct failover *given(const char *rule)
{
    struct failover *f = failover_new();
    if (rule)
        failover_add_rule(f, rule);
    return f;
}

static struct policy *compiled(struct failover *f)
{
    struct policy *p = NULL;
    struct err e = {0};
    if (!policy_compile(f, &p, &e))
        fail_msg("%s", e.text);
    failover_free(&f);
    return p;
}

static struct policy *one_rule(const char *rule)
{
    return compiled(given(rule));
}

static struct step step_of(const struct retry_ask *a)
{
    struct step s = {0};
    retry_after(a, START_MS, &s);
    return s;
}

/* Every verdict x lane x counters, by seed. */
static struct retry_ask any_ask(uint64_t seed)
{
    uint64_t r = hash_u64(seed);
    static const int codes[] = {0, 421, 450, 452, 535, 550, 552, 554};
    static const char *const texts[] = {"", "Try another server", "no such user", "quota exceeded"};
    return (struct retry_ask){
        .verdict = (enum verdict)(r % VERDICT_COUNT),
        .permanent = r >> 8 & 1,
        .lane = (enum lane)((r >> 9) % LANE_COUNT),
        .attempts = (uint32_t)(r >> 12 & 15),
        .resends = (uint32_t)(r >> 16 & 1),
        .uncertain_resends = 1,
        .was_fresh = r >> 17 & 1,
        .was_blocked = r >> 18 & 1,
        .first_at = START_MS - (int64_t)(r >> 20 & 127) * HOUR_MS,
        .expires_at = r >> 28 & 1 ? START_MS + (int64_t)(r >> 29 & 7) * HOUR_MS : 0,
        .wait_ms = r >> 33 & 1 ? 90000 : 0,
        .random = hash_u64(seed + 1),
        .phase = (enum phase)((r >> 34) % PHASE_COUNT),
        .code = codes[r >> 40 & 7],
        .enhanced = {(uint8_t)(r >> 43 & 1 ? 5 : 0), 7, 1},
        .text = str_of(texts[r >> 44 & 3]),
        .tries = (uint32_t)(r >> 46 & 15) + 1,
        .n_tried = (uint32_t)(r >> 50 & 7),
        .same_once = r >> 53 & 1,
    };
}

static bool same_step(const struct step *a, const struct step *b)
{
    return a->kind == b->kind && a->state == b->state && a->hard == b->hard && a->due == b->due &&
           a->keep_server == b->keep_server && a->counts == b->counts &&
           a->is_resend == b->is_resend && a->rule == b->rule && a->by == b->by;
}

static void an_empty_matrix_changes_nothing(void **state)
{
    (void)state;
    struct policy *p = one_rule(NULL);
    for (uint64_t i = 0; i < 200000; i++) {
        struct retry_ask a = any_ask(i);
        struct step plain = step_of(&a), round = {0}, round_with = {0};
        retry_round_over(&a, START_MS, &round);
        a.policy = p;
        struct step with = step_of(&a);
        retry_round_over(&a, START_MS, &round_with);
        if (!same_step(&plain, &with) || !same_step(&round, &round_with) || with.rule || with.by)
            fail_msg("seed %d: %s", (int)i, verdict_name(a.verdict));
    }
    policy_free(&p);
}

/* Promises 3 and 4, and who may be suppressed: whatever the matrix says. */
static void no_matrix_breaks_a_promise(void **state)
{
    (void)state;
    static const char *const rules[] = {"!content -> retry_same",  "!content -> next_server",
                                        "!content -> defer",       "!content -> suppress",
                                        "phase=dot -> quarantine", "text '*r*' -> open",
                                        "4xx,5xx -> give_up"};
    for (size_t k = 0; k < countof(rules); k++) {
        struct failover *f = given(rules[k]);
        f->tries = k % 2 ? 2 : 0;
        f->tries_per_round = k % 3 ? 2 : 0;
        f->rounds = 2;
        f->deadline_ms = HOUR_MS;
        struct policy *p = compiled(f);
        for (uint64_t i = 0; i < 60000; i++) {
            struct retry_ask a = any_ask(i);
            struct step plain = step_of(&a);
            a.policy = p;
            struct step s = step_of(&a);
            bool fixed = a.verdict == VERDICT_ACCEPTED || a.verdict == VERDICT_UNCERTAIN;
            if (fixed && !same_step(&plain, &s))
                fail_msg("%s changed %s", rules[k], verdict_name(a.verdict));
            if (s.rule && s.hard && (a.code < 400 || a.phase < PHASE_RCPT))
                fail_msg("%s suppressed without a word about the recipient", rules[k]);
            if (s.kind == STEP_SAME_SERVER && a.same_once && s.rule)
                fail_msg("%s: the same server without end", rules[k]);
        }
        policy_free(&p);
    }
}

static void each_action_does_what_it_says(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        enum verdict v;
        int code;
        enum phase phase;
        bool same_once;
        enum step_kind kind;
        enum message_state state;
        bool hard, keep, ruled;
    } rows[] = {
        {"552 -> next_server", VERDICT_SOFT_BOUNCE, 552, PHASE_RCPT, 0, STEP_NEXT_SERVER,
         MESSAGE_QUEUED, 0, 0, 1},
        {"552 -> next_server", VERDICT_SOFT_BOUNCE, 553, PHASE_RCPT, 0, STEP_END, MESSAGE_BOUNCED,
         0, 0, 0},
        {"unknown -> defer", VERDICT_UNKNOWN, 554, PHASE_DOT, 0, STEP_LATER, MESSAGE_QUEUED, 0, 0,
         1},
        {"try_later -> defer", VERDICT_TRY_LATER, 450, PHASE_RCPT, 0, STEP_LATER, MESSAGE_QUEUED, 0,
         1, 1},
        {"450 -> retry_same", VERDICT_TRY_LATER, 450, PHASE_RCPT, 0, STEP_SAME_SERVER,
         MESSAGE_QUEUED, 0, 0, 1},
        {"450 -> retry_same", VERDICT_TRY_LATER, 450, PHASE_RCPT, 1, STEP_LATER, MESSAGE_QUEUED, 0,
         1, 1},
        {"450 -> give_up", VERDICT_TRY_LATER, 450, PHASE_RCPT, 0, STEP_END, MESSAGE_BOUNCED, 0, 0,
         1},
        {"hard_bounce -> give_up", VERDICT_HARD_BOUNCE, 550, PHASE_RCPT, 0, STEP_END,
         MESSAGE_BOUNCED, 0, 0, 1},
        {"failover -> give_up", VERDICT_FAILOVER, 421, PHASE_EHLO, 0, STEP_END, MESSAGE_FAILED, 0,
         0, 1},
        {"unknown -> suppress", VERDICT_UNKNOWN, 550, PHASE_RCPT, 0, STEP_END, MESSAGE_BOUNCED, 1,
         0, 1},
        {"5xx -> suppress", VERDICT_FAILOVER, 554, PHASE_GREETING, 0, STEP_NEXT_SERVER,
         MESSAGE_QUEUED, 0, 0, 0},
        {"content -> open", VERDICT_CONTENT, 554, PHASE_DOT, 0, STEP_NEXT_SERVER, MESSAGE_QUEUED, 0,
         0, 1},
        {"content -> quarantine", VERDICT_CONTENT, 554, PHASE_DOT, 0, STEP_NEXT_SERVER,
         MESSAGE_QUEUED, 0, 0, 1},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct policy *p = one_rule(rows[i].rule);
        struct retry_ask a = {.verdict = rows[i].v,
                              .permanent = rows[i].code >= 500,
                              .lane = LANE_BULK,
                              .first_at = START_MS,
                              .policy = p,
                              .phase = rows[i].phase,
                              .code = rows[i].code,
                              .same_once = rows[i].same_once,
                              .tries = 1};
        struct step s = step_of(&a);
        if (s.kind != rows[i].kind || s.state != rows[i].state || s.hard != rows[i].hard ||
            s.keep_server != rows[i].keep || (s.rule == 1) != rows[i].ruled)
            fail_msg("row %zu (%s): kind %d state %d hard %d keep %d rule %u", i, rows[i].rule,
                     s.kind, s.state, s.hard, s.keep_server, s.rule);
        policy_free(&p);
    }
}

static void every_condition_must_hold(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        bool hits;
    } rows[] = {
        {"550 -> defer", true},
        {"551,550 -> defer", true},
        {"5xx -> defer", true},
        {"540-549 -> defer", false},
        {"550-559 -> defer", true},
        {"4xx -> defer", false},
        {"5.7.1 -> defer", true},
        {"5.7.* -> defer", true},
        {"5.* -> defer", true},
        {"5.1.*,5.7.2 -> defer", false},
        {"content -> defer", true},
        {"!content -> defer", false},
        {"blocked,unknown -> defer", false},
        {"rcpt -> defer", false},
        {"phase=rcpt,dot -> defer", true},
        {"'message refused' -> defer", true},
        {"text 'MESSAGE*policy' -> defer", true},
        {"text='policy*message' -> defer", false},
        {"text \"Message  refused for\" -> defer", true},
        {"550 'policy' phase=dot content 5.7.1 -> defer", true},
        {"550 'policy' phase=rcpt content 5.7.1 -> defer", false},
    };
    struct retry_ask a = {.verdict = VERDICT_CONTENT,
                          .phase = PHASE_DOT,
                          .code = 550,
                          .enhanced = {5, 7, 1},
                          .text = STR("Message\r\n refused  for Policy reasons"),
                          .lane = LANE_BULK,
                          .first_at = START_MS};
    for (size_t i = 0; i < countof(rows); i++) {
        struct policy *p = one_rule(rows[i].rule);
        if (policy_find(p, &a) != rows[i].hits)
            fail_msg("%s", rows[i].rule);
        policy_free(&p);
    }
}

static void the_first_rule_wins(void **state)
{
    (void)state;
    struct failover *f = given("551 -> defer");
    failover_add_rule(f, "550 -> give_up");
    failover_add_rule(f, "5xx -> next_server");
    struct policy *p = compiled(f);
    struct retry_ask a = {
        .verdict = VERDICT_UNKNOWN, .code = 550, .phase = PHASE_RCPT, .policy = p};
    assert_int_equal(step_of(&a).rule, 2);
    a.code = 554;
    struct step s = step_of(&a);
    char why[200];
    assert_int_equal(s.rule, 3);
    policy_why(&s, "eu", why, sizeof why);
    assert_string_equal(why, "failover rule 3 of group eu: next_server");
    policy_free(&p);
}

static void tries_rounds_and_deadline(void **state)
{
    (void)state;
    struct failover *f = given(NULL);
    f->tries_per_round = 2;
    f->tries = 5;
    f->rounds = 3;
    f->deadline_ms = 10 * 60000;
    f->first_delay_ms = 1000;
    f->max_delay_ms = 4000;
    struct policy *p = compiled(f);
    struct retry_ask a = {.verdict = VERDICT_FAILOVER,
                          .lane = LANE_BULK,
                          .first_at = START_MS,
                          .policy = p,
                          .tries = 1};
    assert_int_equal(step_of(&a).kind, STEP_NEXT_SERVER);
    a.n_tried = 1;
    a.tries = 2;
    struct step s = step_of(&a); /* two servers were asked: the round is over */
    assert_int_equal(s.kind, STEP_LATER);
    assert_int_equal(s.by, STEP_BY_TRIES_PER_ROUND);
    assert_in_range(s.due - START_MS, 900, 1100);
    a.attempts = 2; /* it would be the fourth round */
    s = step_of(&a);
    assert_int_equal(s.kind, STEP_END);
    assert_int_equal(s.state, MESSAGE_FAILED);
    assert_int_equal(s.by, STEP_BY_ROUNDS);
    a.n_tried = a.attempts = 0;
    a.tries = 5;
    s = step_of(&a);
    assert_int_equal(s.kind, STEP_END);
    assert_int_equal(s.by, STEP_BY_TRIES);
    a.verdict = VERDICT_RATE_LIMITED; /* asks for patience only */
    assert_int_equal(step_of(&a).kind, STEP_NEXT_SERVER);
    a.verdict = VERDICT_TRY_LATER;
    a.tries = 1;
    a.first_at = START_MS - 10 * 60000;
    s = step_of(&a);
    assert_int_equal(s.state, MESSAGE_BOUNCED);
    assert_false(s.hard);
    assert_int_equal(s.by, STEP_BY_DEADLINE);
    a.first_at = START_MS;
    for (uint32_t n = 0; n < 40; n++) { /* 1, 2, 4, 4 ... s */
        a.attempts = n;
        p->rounds = 0;
        int64_t plain = MIN(1000 << MIN(n, 10u), 4000);
        assert_in_range(step_of(&a).due - START_MS, plain - plain / 10, plain + plain / 10);
    }
    policy_free(&p);
}

static void rules_are_written_as_they_are_read(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "552 -> next_server",
        "4xx,550-559 -> defer",
        "5.7.* -> quarantine",
        "4.*,5.1.1 -> give_up",
        "blocked,content -> defer",
        "!content -> next_server",
        "!content,!blocked 5xx -> next_server",
        "phase=rcpt,dot -> defer",
        "text 'try another' -> next_server",
        "text \"it's full\" -> defer",
        "unknown 5xx 5.7.1 phase=dot text 'a*b' -> open",
    };
    for (size_t i = 0; i < countof(rules); i++) {
        struct policy_rule r, again;
        struct err e;
        char text[FAILOVER_RULE_MAX], twice[FAILOVER_RULE_MAX];
        assert_true(policy_rule_parse(str_of(rules[i]), &r, &e));
        policy_rule_format(&r, text);
        assert_true(policy_rule_parse(str_of(text), &again, &e));
        policy_rule_format(&again, twice);
        assert_string_equal(text, twice);
        if (strncmp(rules[i], "unknown", 7) && strncmp(rules[i], "!content,!b", 11))
            assert_string_equal(text, rules[i]);
        assert_memory_equal(&r, &again, sizeof r);
    }
}

static void what_is_no_rule_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *says;
    } rows[] = {
        {"552", "CONDITION"},
        {"-> defer", "condition"},
        {"552 ->", "action"},
        {"552 -> explode", "explode"},
        {"552 -> defer defer", "twice"},
        {"250 -> defer", "refusal"},
        {"6xx -> defer", "refusal"},
        {"559-550 -> defer", "refusal"},
        {"5.7 -> defer", "5.7.1"},
        {"2.1.1 -> defer", "5.7.1"},
        {"5.7.606 -> defer", "quotes"},
        {"accepted -> next_server", "sent"},
        {"uncertain -> next_server", "may have arrived"},
        {"bogus -> defer", "bogus"},
        {"phase=moon -> defer", "moon"},
        {"color=red -> defer", "color"},
        {"'open -> defer", "closing"},
        {"'' -> defer", "empty"},
        {"'a' 'b' -> defer", "one in a rule"},
        {"code=1,2,3 -> defer", "refusal"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct policy_rule r;
        struct err e = {0};
        if (policy_rule_parse(str_of(rows[i].rule), &r, &e) || !strstr(e.text, rows[i].says))
            fail_msg("%s: %s", rows[i].rule, e.text);
    }
}

static void count_warning(void *arg, const char *text)
{
    assert_non_null(text);
    ++*(int *)arg;
}

static void dangers_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        int n;
    } rows[] = {
        {"content -> next_server", 1},
        {"5.7.* -> quarantine", 1},
        {"552 -> next_server", 1},
        {"552 !content -> next_server", 0},
        {"5.2.2 -> next_server", 0},
        {"content -> defer", 0},
        {"failover -> next_server", 0},
        {"5xx -> suppress", 1},
        {"hard_bounce,unknown -> suppress", 0},
        {"phase=connect -> next_server", 0},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        int n = 0;
        struct policy *p = one_rule(rows[i].rule);
        policy_warn(p, count_warning, &n);
        if (n != rows[i].n)
            fail_msg("%s: %d warnings", rows[i].rule, n);
        policy_free(&p);
    }
    struct failover *f = given("450 -> defer");
    failover_add_rule(f, "450 -> give_up"); /* never reached */
    f->first_delay_ms = 7200000;
    f->deadline_ms = HOUR_MS;
    struct policy *p = compiled(f);
    int n = 0;
    policy_warn(p, count_warning, &n);
    assert_int_equal(n, 2);
    policy_free(&p);
}

/* ---- the fleet's part */

static void the_order_of_failover_is_kept(void **state)
{
    (void)state;
    struct bed b;
    static const uint16_t order[] = {4, 2, 77};
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 4, NULL);
    for (int i = 0; i < 40; i++) {
        struct ask a = {.group_num = 1, .lane = LANE_BULK, .prefer = order, .n_prefer = 3};
        struct pick p = bed_ask(&b, &a);
        assert_int_equal(p.kind, PICK_SEND); /* the first one by its turn */
        bed_accept(&b, p.server_num);
        a.tried[a.n_tried++] = p.server_num;
        if (p.server_num != 4) {
            p = bed_ask(&b, &a);
            assert_int_equal(p.server_num, 4);
            assert_non_null(strstr(p.why, "number 1"));
            bed_accept(&b, 4);
            a.tried[a.n_tried++] = 4;
        }
        if (a.tried[0] != 2) {
            p = bed_ask(&b, &a);
            assert_int_equal(p.server_num, 2);
            bed_accept(&b, 2);
        }
        b.now += 100;
    }
    bed_free(&b);
}

static void one_of_the_order_that_cannot_is_passed_over(void **state)
{
    (void)state;
    struct bed b;
    static const uint16_t order[] = {4, 3};
    struct ask a = {.group_num = 1,
                    .lane = LANE_BULK,
                    .tried = {1},
                    .n_tried = 1,
                    .prefer = order,
                    .n_prefer = 2};
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 4, NULL);
    assert_true(fleet_open(b.f, 4, "sick", b.now));
    assert_int_equal(bed_ask(&b, &a).server_num, 3);
    assert_int_equal(bed_ask(&b, &a).server_num, 2); /* 3 is cold and busy now */
    bed_free(&b);
}

static void a_rule_opens_and_quarantines(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    assert_true(fleet_open(b.f, 1, "failover rule 1", b.now));
    assert_int_equal(b.state[1], OPER_OPEN);
    assert_false(fleet_open(b.f, 1, "again", b.now));
    assert_false(fleet_open(b.f, 9, "unknown", b.now));
    assert_true(fleet_quarantine(b.f, 2, "failover rule 2", b.now + HOUR_MS, b.now));
    assert_int_equal(b.state[2], OPER_QUARANTINED);
    assert_false(fleet_open(b.f, 2, "it is quarantined", b.now));
    assert_int_equal(bed_pick(&b).kind, PICK_WAIT);
    uint16_t probes[4];
    b.now += HOUR_MS;
    (void)fleet_tick(b.f, b.now, probes, 4);
    assert_int_equal(b.state[2], OPER_RAMP);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_matrix_changes_nothing),
        cmocka_unit_test(no_matrix_breaks_a_promise),
        cmocka_unit_test(each_action_does_what_it_says),
        cmocka_unit_test(every_condition_must_hold),
        cmocka_unit_test(the_first_rule_wins),
        cmocka_unit_test(tries_rounds_and_deadline),
        cmocka_unit_test(rules_are_written_as_they_are_read),
        cmocka_unit_test(what_is_no_rule_is_told),
        cmocka_unit_test(dangers_are_told),
        cmocka_unit_test(the_order_of_failover_is_kept),
        cmocka_unit_test(one_of_the_order_that_cannot_is_passed_over),
        cmocka_unit_test(a_rule_opens_and_quarantines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
