/* Outcomes as rows: attempts, queue, suppression, counts and use; random lives whose counters must
 * be what the rows say; the end of a campaign. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "store_test.h"

#include "ledger_test.h"

static void an_attempt_becomes_a_row(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 1);
    campaign(&b, 1, LANE_BULK);
    struct lease *l = claim(&b, 1, 10);
    struct outcome o =
        outcome(&b, &l->items[0], 3, OUTCOME_END, VERDICT_HARD_BOUNCE, MESSAGE_BOUNCED);
    o.a.hard = true;
    o.a.code = 550;
    o.a.enhanced[0] = 5;
    o.a.enhanced[1] = o.a.enhanced[2] = 1;
    o.a.phase = PHASE_RCPT;
    o.a.ms = 17;
    o.a.rule = STR("r.1");
    o.a.reply = STR("550 5.1.1 no such user");
    o.a.why = STR("its turn");
    o.a.conversation = STR("C: MAIL\n");
    o.provisional_until = b.now + 900000;
    assert_true(post(&b, &o));
    assert_int_equal(
        ask(b.p.db,
            "SELECT COUNT(*) FROM result WHERE message_id = %llu AND n = 1 AND server_num ="
            " 3 AND state = 4 AND verdict = 8 AND phase = %d AND hard = 1 AND code = 550 "
            "AND enhanced = '5.1.1' AND at = %lld AND ms = 17 AND rule = 'r.1' AND reply = "
            "'550 5.1.1 no such user' AND why = 'its turn' AND conversation = 'C: MAIL' || "
            "char(10)",
            (unsigned long long)l->first_id, PHASE_RCPT, (long long)b.now),
        1);
    assert_int_equal(ask(b.p.db,
                         "SELECT COUNT(*) FROM suppression WHERE address = "
                         "'c1@example.com' AND reason = 'hard_bounce' AND server_num = 3 "
                         "AND provisional_until = %lld AND since = %lld",
                         (long long)b.now + 900000, (long long)b.now),
                     1);
    lease_free(&l);
    book_close(&b);
}

static void three_soft_bounces_suppress(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 1);
    for (uint32_t k = 1; k <= 5; k++) {
        campaign(&b, k, LANE_BULK);
        struct lease *l = claim(&b, k, 10);
        struct outcome o =
            outcome(&b, &l->items[0], 3, OUTCOME_END, VERDICT_SOFT_BOUNCE, MESSAGE_BOUNCED);
        bool suppressed = post(&b, &o);
        /* the first one is out of the 30 days when the third comes */
        assert_int_equal(suppressed, k == 4 || k == 5);
        lease_free(&l);
        b.now += k == 1 ? INT64_C(31) * 86400000 : 86400000;
    }
    assert_int_equal(ask(b.p.db, "SELECT COUNT(*) FROM suppression WHERE reason = 'soft_bounces'"),
                     1);
    book_close(&b);
}

static void a_policy_bounce_suppresses_nobody(void **state)
{
    static const struct {
        enum verdict v;
        enum message_state s;
    } rows[] = {{VERDICT_CONTENT, MESSAGE_FAILED},
                {VERDICT_UNKNOWN, MESSAGE_FAILED},
                {VERDICT_TRY_LATER, MESSAGE_BOUNCED},
                {VERDICT_FAILOVER, MESSAGE_FAILED},
                {VERDICT_UNCERTAIN, MESSAGE_UNCERTAIN}};
    struct book b;
    book_open(&b);
    people(&b, 1, 5);
    campaign(&b, 1, LANE_BULK);
    struct lease *l = claim(&b, 1, 10);
    for (uint32_t i = 0; i < 5; i++) {
        struct outcome o = outcome(&b, &l->items[i], 3, OUTCOME_END, rows[i].v, rows[i].s);
        assert_false(post(&b, &o));
    }
    assert_int_equal(ask(b.p.db, "SELECT COUNT(*) FROM suppression"), 0);
    lease_free(&l);
    book_close(&b);
}

/* ---- lives by seed: after each batch the counters are what the rows say */

struct life {
    struct lease_item *it;
    uint32_t campaign_num;
    bool over;
};

static void assert_messages_add_up(struct book *b, uint32_t num)
{
    static const struct {
        int kind, state, hard;
    } kinds[] = {
        {TALLY_SENT, MESSAGE_SENT, -1},           {TALLY_BOUNCED_HARD, MESSAGE_BOUNCED, 1},
        {TALLY_BOUNCED_SOFT, MESSAGE_BOUNCED, 0}, {TALLY_FAILED, MESSAGE_FAILED, -1},
        {TALLY_UNCERTAIN, MESSAGE_UNCERTAIN, -1}, {TALLY_SUPPRESSED, MESSAGE_SUPPRESSED, -1},
        {TALLY_CANCELLED, MESSAGE_CANCELLED, -1}, {TALLY_EXPIRED, MESSAGE_EXPIRED, -1}};
    for (size_t i = 0; i < countof(kinds); i++) {
        int64_t counted = ask(b->p.db,
                              "SELECT COALESCE(SUM(n), 0) FROM tally WHERE campaign_num = %u AND "
                              "server_num = 0 AND provider = '' AND kind = %d",
                              num, kinds[i].kind);
        int64_t there =
            ask(b->p.db,
                "SELECT COUNT(*) FROM result r JOIN lease l ON l.campaign_num = %u AND "
                "r.message_id >= l.first_id AND r.message_id < l.first_id + l.n WHERE r.state = %d "
                "AND (%d < 0 OR r.hard = %d) AND r.n = (SELECT MAX(n) FROM result x WHERE "
                "x.message_id = r.message_id) AND r.message_id NOT IN (SELECT id FROM queue)",
                num, kinds[i].state, kinds[i].hard, kinds[i].hard);
        assert_int_equal(counted, there);
    }
    int64_t deferred = ask(b->p.db,
                           "SELECT COALESCE(SUM(n), 0) FROM tally WHERE campaign_num = %u AND "
                           "server_num = 0 AND provider = '' AND kind = %d",
                           num, TALLY_DEFERRED);
    assert_int_equal(deferred,
                     ask(b->p.db, "SELECT COUNT(*) FROM queue WHERE campaign_num = %u", num));
}

static void assert_use_adds_up(struct book *b)
{
    static const int spans[] = {60, 3600, 86400};
    for (size_t i = 0; i < countof(spans); i++)
        for (int s = 1; s <= 3; s++) {
            assert_int_equal(
                ask(b->p.db,
                    "SELECT COALESCE(SUM(attempts), 0) FROM usage WHERE span_s = %d AND "
                    "server_num = %d",
                    spans[i], s),
                ask(b->p.db, "SELECT COUNT(*) FROM result WHERE server_num = %d", s));
            assert_int_equal(ask(b->p.db,
                                 "SELECT COALESCE(SUM(taken), 0) FROM usage WHERE span_s = %d AND "
                                 "server_num = %d",
                                 spans[i], s),
                             ask(b->p.db,
                                 "SELECT COUNT(*) FROM result WHERE server_num = %d AND verdict IN "
                                 "(1, 3)",
                                 s));
            assert_int_equal(ask(b->p.db,
                                 "SELECT COUNT(*) FROM usage WHERE span_s = %d AND "
                                 "start %% (span_s * 1000) <> 0",
                                 spans[i]),
                             0);
        }
}

static void live_on(struct book *b, struct life *x, uint64_t r)
{
    static const struct {
        enum outcome_kind kind;
        enum verdict v;
        enum message_state s;
    } steps[] = {
        {OUTCOME_END, VERDICT_ACCEPTED, MESSAGE_SENT},
        {OUTCOME_ATTEMPT, VERDICT_FAILOVER, MESSAGE_QUEUED},
        {OUTCOME_LATER, VERDICT_TRY_LATER, MESSAGE_QUEUED},
        {OUTCOME_END, VERDICT_HARD_BOUNCE, MESSAGE_BOUNCED},
        {OUTCOME_END, VERDICT_SOFT_BOUNCE, MESSAGE_BOUNCED},
        {OUTCOME_END, VERDICT_UNCERTAIN, MESSAGE_UNCERTAIN},
        {OUTCOME_END, VERDICT_UNKNOWN, MESSAGE_FAILED},
        {OUTCOME_END, VERDICT_NONE, MESSAGE_SUPPRESSED},
        {OUTCOME_END, VERDICT_NONE, MESSAGE_CANCELLED},
        {OUTCOME_END, VERDICT_NONE, MESSAGE_EXPIRED},
    };
    size_t i = r % 3 ? r / 8 % countof(steps) : r / 8 % 3;
    uint16_t s = steps[i].v == VERDICT_NONE ? 0 : (uint16_t)(1 + r / 128 % 3);
    struct err e = {0};
    bool suppressed = false;
    struct outcome o = outcome(b, x->it, s, steps[i].kind, steps[i].v, steps[i].s);
    o.a.hard = steps[i].v == VERDICT_HARD_BOUNCE;
    assert_ok(results_add(b->results, b->p.db, &o, b->now, &suppressed, &e));
    if (o.kind == OUTCOME_LATER)
        x->it->in_queue = x->it->was_deferred = true;
    x->over = o.kind == OUTCOME_END;
}

static void counters_are_what_the_rows_say(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct book b;
        struct life lives[120];
        struct lease *leases[2];
        size_t n = 0;
        uint64_t rnd = seed;
        book_open(&b);
        people(&b, 1, 60);
        for (uint32_t k = 0; k < 2; k++) {
            campaign(&b, k + 1, LANE_BULK);
            leases[k] = claim(&b, k + 1, 100);
            for (uint32_t i = 0; i < leases[k]->n; i++)
                lives[n++] = (struct life){&leases[k]->items[i], k + 1, false};
        }
        for (int batch = 0; batch < 30; batch++) {
            begin(&b);
            for (size_t i = 0; i < n; i++)
                if (!lives[i].over && (rnd = hash_u64(rnd + i)) % 4 == 0)
                    live_on(&b, &lives[i], rnd >> 8);
            b.now += (int64_t)(rnd % 4000000);
            if (batch == 29) { /* rolled back: as if it had never been */
                db_rollback(b.p.db);
                results_drop(b.results);
                break;
            }
            commit(&b);
            for (uint32_t k = 1; k <= 2; k++)
                assert_messages_add_up(&b, k);
            assert_use_adds_up(&b);
        }
        for (uint32_t k = 1; k <= 2; k++)
            assert_messages_add_up(&b, k);
        assert_use_adds_up(&b);
        lease_free(&leases[0]);
        lease_free(&leases[1]);
        book_close(&b);
    }
}

struct sum {
    uint64_t n;
    int64_t least;
};

static void add_use(void *arg, int64_t start_ms, uint64_t taken)
{
    struct sum *s = arg;
    s->n += taken;
    s->least = MIN(s->least, start_ms);
}

static void use_is_read_by_span(void **state)
{
    struct book b;
    struct err e = {0};
    book_open(&b);
    people(&b, 1, 30);
    campaign(&b, 1, LANE_BULK);
    struct lease *l = claim(&b, 1, 100);
    for (uint32_t i = 0; i < 30; i++) {
        post_sent(&b, &l->items[i], (uint16_t)(1 + i % 2));
        b.now += 60000;
    }
    struct sum s = {0, INT64_MAX};
    assert_ok(results_usage(b.p.db, 1, 60, 0, add_use, &s, &e));
    assert_int_equal(s.n, 15);
    assert_int_equal(s.least, NOW_MS / 60000 * 60000);
    s.n = 0;
    assert_ok(results_usage(b.p.db, 1, 60, s.least + 10 * 60000, add_use, &s, &e));
    assert_int_equal(s.n, 10);
    s.n = 0;
    assert_ok(results_usage(b.p.db, 2, 86400, 0, add_use, &s, &e));
    assert_int_equal(s.n, 15);
    lease_free(&l);
    book_close(&b);
}

static bool finish(struct book *b, uint32_t num)
{
    struct err e = {0};
    bool finished = false;
    begin(b);
    assert_ok(results_finish_campaign(b->p.db, num, b->now, &finished, &e));
    commit(b);
    return finished;
}

static void finished_when_everybody_has_an_end(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 10);
    campaign(&b, 1, LANE_BULK);
    sql(b.p.db, "DELETE FROM list_member WHERE contact_id IN (3, 4)"); /* left after the start */
    assert_false(finish(&b, 1));
    struct lease *l = claim(&b, 1, 100);
    assert_int_equal(l->n, 8);
    for (uint32_t i = 0; i < 7; i++)
        post_sent(&b, &l->items[i], 1);
    assert_false(finish(&b, 1));
    post_sent(&b, &l->items[7], 1);
    assert_true(finish(&b, 1));
    assert_int_equal(ask(b.p.db, "SELECT state FROM campaign"), 5);
    assert_int_equal(ask(b.p.db, "SELECT finished_at FROM campaign"), b.now);
    assert_int_equal(ask(b.p.db,
                         "SELECT n FROM tally WHERE server_num = 0 AND provider = '' AND "
                         "kind = %d",
                         TALLY_CANCELLED),
                     2); /* the report adds up: 8 + 2 = 10 */
    assert_false(finish(&b, 1));
    assert_false(finish(&b, 99));
    /* running again, for one of them: those that left are not counted twice */
    sql(b.p.db, "UPDATE campaign SET state = 2");
    sql(b.p.db, "UPDATE tally SET n = n - 1 WHERE kind = 1 AND server_num = 0");
    assert_false(finish(&b, 1));
    sql(b.p.db, "UPDATE tally SET n = n + 1 WHERE kind = 1 AND server_num = 0");
    assert_true(finish(&b, 1));
    assert_int_equal(ask(b.p.db,
                         "SELECT n FROM tally WHERE server_num = 0 AND provider = '' AND "
                         "kind = %d",
                         TALLY_CANCELLED),
                     2);
    lease_free(&l);
    book_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attempt_becomes_a_row),
        cmocka_unit_test(three_soft_bounces_suppress),
        cmocka_unit_test(a_policy_bounce_suppresses_nobody),
        cmocka_unit_test(counters_are_what_the_rows_say),
        cmocka_unit_test(use_is_read_by_span),
        cmocka_unit_test(finished_when_everybody_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
