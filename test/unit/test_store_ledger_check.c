/* The ledger check: silent over a book in which everything that may happen has happened, and loud
 * about each invariant that is broken on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "store/accept.h"
#include "store/ledger_check.h"
#include "store_test.h"

#include "ledger_test.h"

struct findings {
    char text[16384];
    size_t n, told;
};

static void on_finding(void *arg, const char *text)
{
    struct findings *f = arg;
    size_t at = strlen(f->text);
    f->told++;
    (void)snprintf(f->text + at, sizeof f->text - at, "%s\n", text);
}

static void look(struct db *db, struct findings *f)
{
    struct err e = {0};
    *f = (struct findings){.n = 0};
    assert_ok(ledger_check(db, on_finding, f, &f->n, &e));
    assert_false(db_in_transaction(db));
}

/* ---- a book with everything in it */

static void post_kind(struct book *b, struct lease_item *it, uint16_t num, enum outcome_kind kind,
                      enum verdict v, enum message_state s)
{
    struct outcome o = outcome(b, it, num, kind, v, s);
    o.a.hard = v == VERDICT_HARD_BOUNCE;
    post(b, &o);
    if (kind == OUTCOME_LATER)
        it->in_queue = it->was_deferred = true;
    b->now += 1000;
}

static void ask_again(struct book *b, uint64_t id)
{
    struct err e = {0};
    struct standing st;
    begin(b);
    assert_ok(accept_standing(b->p.db, id, &st, &e));
    assert_true(st.found && !st.in_queue);
    st.provider = "other"; /* as its outcome said */
    assert_ok(accept_again(b->p.db, id, &st, b->now, "asked for by the user", &e));
    assert_ok(db_commit(b->p.db, &e));
}

static struct lease_item *item_of(struct lease *l, uint64_t id)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (l->items[i].message_id == id)
            return &l->items[i];
    return NULL;
}

static void first_slice(struct book *b)
{
    struct lease *l = claim(b, 1, 20);
    struct lease_item *it = l->items;
    uint64_t failed = it[5].message_id, bulk_again = it[6].message_id;
    post_sent(b, &it[0], 1);
    post_kind(b, &it[1], 1, OUTCOME_END, VERDICT_HARD_BOUNCE, MESSAGE_BOUNCED);
    post_kind(b, &it[2], 2, OUTCOME_END, VERDICT_SOFT_BOUNCE, MESSAGE_BOUNCED);
    post_kind(b, &it[3], 1, OUTCOME_ATTEMPT, VERDICT_FAILOVER, MESSAGE_QUEUED);
    post_sent(b, &it[3], 2);
    post_kind(b, &it[4], 1, OUTCOME_END, VERDICT_UNCERTAIN, MESSAGE_UNCERTAIN);
    post_kind(b, &it[5], 1, OUTCOME_END, VERDICT_UNKNOWN, MESSAGE_FAILED);
    post_kind(b, &it[6], 2, OUTCOME_END, VERDICT_UNCERTAIN, MESSAGE_UNCERTAIN);
    post_kind(b, &it[7], 0, OUTCOME_END, VERDICT_NONE, MESSAGE_SUPPRESSED);
    post_kind(b, &it[8], 0, OUTCOME_END, VERDICT_NONE, MESSAGE_CANCELLED);
    post_kind(b, &it[9], 0, OUTCOME_END, VERDICT_NONE, MESSAGE_EXPIRED);
    post_kind(b, &it[10], 2, OUTCOME_LATER, VERDICT_TRY_LATER, MESSAGE_QUEUED); /* waits */
    post_kind(b, &it[11], 2, OUTCOME_LATER, VERDICT_TRY_LATER, MESSAGE_QUEUED);
    post_sent(b, &it[11], 2);
    for (uint32_t i = 12; i < 20; i++)
        post_sent(b, &it[i], (uint16_t)(1 + i % 2));
    close_lease(b, &l);
    ask_again(b, failed);
    ask_again(b, bulk_again);
    l = claim_due(b, LANE_BULK, 10);
    post_sent(b, item_of(l, failed), 1);
    post_sent(b, item_of(l, bulk_again), 1);
    lease_free(&l); /* stays open */
}

static void singles(struct book *b)
{
    uint64_t id[5];
    for (size_t i = 0; i < countof(id); i++) {
        id[i] = ids_next(&b->ids, b->now);
        single(b, id[i], i == 4 ? LANE_BULK : LANE_TRANSACTIONAL,
               i == 3 ? b->now + 900000 : b->now);
    }
    struct lease *l = claim_due(b, LANE_TRANSACTIONAL, 10);
    post_sent(b, item_of(l, id[0]), 2);
    for (size_t i = 1; i <= 2; i++) { /* sent again; one waits for that still */
        struct lease_item *it = item_of(l, id[i]);
        struct outcome o = outcome(b, it, 2, OUTCOME_LATER, VERDICT_UNCERTAIN, MESSAGE_UNCERTAIN);
        o.resends = it->resends = 1;
        post(b, &o);
        it->in_queue = it->was_deferred = true;
    }
    b->now += 60000;
    post_sent(b, item_of(l, id[1]), 1);
    close_lease(b, &l);
}

static void full_book(struct book *b)
{
    book_open(b);
    server(b, 1);
    server(b, 2);
    sql(b->p.db, "UPDATE server SET per_hour = 40, per_day = 50, per_month = 60");
    people(b, 1, 40);
    campaign(b, 1, LANE_BULK);
    campaign(b, 2, LANE_BULK);
    first_slice(b);
    b->now += 10;
    struct lease *l = claim(b, 1, 15); /* open, half done */
    for (uint32_t i = 0; i < 5; i++)
        post_sent(b, &l->items[i], 1);
    post_kind(b, &l->items[5], 1, OUTCOME_ATTEMPT, VERDICT_FAILOVER, MESSAGE_QUEUED);
    lease_free(&l);
    b->now += 10;
    l = claim(b, 2, 7);
    lease_free(&l);
    b->now += 10;
    singles(b);
    b->now += 3600000;
    sql(b->p.db,
        "INSERT INTO suppression (address, reason, source, since) VALUES ('c1@example.com', "
        "'manual', 'user', %lld)",
        (long long)b->now);
    sql(b->p.db, "UPDATE campaign SET state = 3 WHERE num = 2");
}

static void a_full_book_is_right(void **state)
{
    struct book b;
    struct findings f;
    full_book(&b);
    look(b.p.db, &f);
    if (f.n)
        fail_msg("%s", f.text);
    struct db *reader = NULL; /* as the command does it */
    struct err e = {0};
    assert_ok(db_open(b.p.db_path, DB_READ_ONLY, &reader, &e));
    look(reader, &f);
    assert_int_equal(f.n, 0);
    db_close(&reader);
    book_close(&b);
}

static void an_empty_book_is_right(void **state)
{
    struct book b;
    struct findings f;
    book_open(&b);
    look(b.p.db, &f);
    assert_int_equal(f.n, 0);
    book_close(&b);
}

static void a_finished_campaign_that_lost_contacts_is_right(void **state)
{
    struct book b;
    struct findings f;
    struct err e = {0};
    bool finished = false;
    book_open(&b);
    server(&b, 1);
    people(&b, 1, 5);
    campaign(&b, 1, LANE_BULK);
    sql(b.p.db, "DELETE FROM list_member WHERE contact_id = 3");
    struct lease *l = claim(&b, 1, 10);
    for (uint32_t i = 0; i < 4; i++)
        post_sent(&b, &l->items[i], 1);
    close_lease(&b, &l);
    begin(&b);
    assert_ok(results_finish_campaign(b.p.db, 1, b.now, &finished, &e));
    commit(&b);
    assert_true(finished);
    look(b.p.db, &f);
    if (f.n)
        fail_msg("%s", f.text);
    sql(b.p.db, "UPDATE tally SET n = n + 1 WHERE kind = %d", TALLY_CANCELLED);
    look(b.p.db, &f);
    assert_true(f.n > 0);
    book_close(&b);
}

#define QUEUE                                                                                      \
    "INSERT INTO queue (id, lane, due, campaign_num, group_num, contact_id, attempts, tries, "     \
    "resends, server_num, first_at, expires_at, why) "

/* ---- each invariant broken once */

#define LEASE_1   "(SELECT MIN(first_id) FROM lease WHERE campaign_num = 1)"
#define SENT      "(" LEASE_1 " + 12)"
#define UNCERTAIN "(" LEASE_1 " + 4)"
#define WAITING   "(" LEASE_1 " + 10)"
#define ATTEMPT                                                                                    \
    "INSERT INTO result (message_id, n, server_num, state, verdict, phase, hard, code, at, ms) "
#define SENT_SINGLE                                                                                \
    "(SELECT message_id FROM result WHERE message_id IN (SELECT id FROM message)"                  \
    " AND n = 1 AND state = 2)"

static const struct {
    const char *sql, *finding;
} faults[] = {
    /* 1: everything has an honest end */
    {"DELETE FROM result WHERE message_id = " SENT, "has no end and is neither"},
    {"DELETE FROM queue WHERE id = " WAITING, "has no end and is neither"},
    {"UPDATE lease SET open = 0 WHERE campaign_num = 2", "has no end and is neither"},
    {"DELETE FROM queue WHERE campaign_num = 0 AND tries = 0 AND lane = 0",
     "has no end and is neither"},
    {ATTEMPT "VALUES (" SENT ", 2, 0, 7, 0, 0, 0, 0, 1, 0)", "was sent at attempt 1, yet"},
    {ATTEMPT "VALUES (" UNCERTAIN ", 2, 1, 2, 1, 11, 0, 250, 1, 0)",
     "was uncertain at attempt 1, yet"},
    {QUEUE "SELECT " SENT ", lane, due, campaign_num, group_num, 13, 0, 1, 0, 0, 1, "
           "NULL, NULL FROM queue WHERE id = " WAITING,
     "is sent, yet waits in the queue"},
    {"UPDATE queue SET resends = 0 WHERE resends = 1", "is uncertain, yet waits in the queue"},
    {"UPDATE result SET n = 7 WHERE message_id = " SENT, "attempt 7 follows attempt 0"},
    {"UPDATE result SET n = 3 WHERE n = 2 AND message_id = " LEASE_1 " + 3",
     "attempt 3 follows attempt 1"},
    {"UPDATE queue SET tries = 5 WHERE id = " WAITING, "the queue knows of 5 attempts"},
    {ATTEMPT "VALUES (77, 1, 1, 2, 1, 11, 0, 250, 1, 0)", "which is no message"},
    {ATTEMPT "VALUES (9000000000000000000, 1, 1, 2, 1, 11, 0, 250, 1, 0)", "which is no message"},
    {QUEUE "SELECT 78, lane, due, 0, group_num, 0, 0, 0, 0, 0, 1, NULL, NULL FROM "
           "queue WHERE id = " WAITING,
     "the queue holds"},
    {"UPDATE queue SET contact_id = 39 WHERE id = " WAITING, "another campaign or contact"},
    {"DELETE FROM lease WHERE campaign_num = 2", "but no message"},
    {"UPDATE lease SET n = n - 1 WHERE first_id = " LEASE_1, "contacts of 19"},
    {"DELETE FROM campaign WHERE num = 2", "which is none"},
    /* 2: nothing doubled */
    {ATTEMPT "VALUES (" SENT ", 2, 1, 2, 1, 11, 0, 250, 1, 0)", "was accepted 2 times"},
    {"UPDATE result SET verdict = 1 WHERE n = 1 AND message_id = " LEASE_1 " + 3",
     "was accepted 2 times"},
    {ATTEMPT "VALUES (" UNCERTAIN ", 2, 1, 2, 1, 11, 0, 250, 1, 0)",
     "sent again although it was uncertain"},
    {"UPDATE result SET server_num = 1, verdict = 2 WHERE server_num = 0 AND verdict = 0 AND state "
     "= 0",
     "sent again although it was uncertain"},
    {ATTEMPT "SELECT message_id, n + 1, 1, 3, 3, 11, 0, 0, 1, 0 FROM result WHERE n = 1 AND state "
             "= 3 AND message_id IN (SELECT id FROM queue WHERE resends = 1) UNION ALL SELECT "
             "message_id, n + 2, 1, 3, 3, 11, 0, 0, 1, 0 FROM result WHERE n = 1 AND state = 3 AND "
             "message_id IN (SELECT id FROM queue WHERE resends = 1)",
     "sent again after being uncertain 2 times"},
    {ATTEMPT "VALUES (" SENT_SINGLE ", 2, 1, 2, 1, 11, 0, 250, 1, 0), (" SENT_SINGLE
             ", 3, 1, 2, 1, 11, 0, 250, 1, 0)",
     "was accepted 3 times"},
    {"UPDATE lease SET ids = (SELECT ids FROM lease WHERE first_id = " LEASE_1 ") WHERE "
     "campaign_num = 1 AND n = 15",
     "has two messages"},
    {"UPDATE audience SET bits = zeroblob(4096) WHERE campaign_num = 1", "but no bit"},
    {"DELETE FROM audience WHERE campaign_num = 2", "but no bit"},
    {"UPDATE audience SET bits = x'ffffffffffff' || substr(bits, 7) WHERE campaign_num = 2",
     "has its bit, but no message"},
    {"UPDATE audience SET bits = x'00' WHERE campaign_num = 2", "has 1 bytes"},
    {"UPDATE campaign SET leased = leased + 1 WHERE num = 1", "its leases hold 35"},
    /* the counters that reports are made of */
    {"UPDATE tally SET n = n + 1 WHERE campaign_num = 1 AND server_num = 0 AND kind = 1 AND "
     "provider = ''",
     "counted as sent"},
    {"UPDATE tally SET n = n - 1 WHERE campaign_num = 0 AND server_num = 0 AND kind = 1 AND "
     "provider = ''",
     "single messages"},
    {"DELETE FROM tally WHERE kind = 9 AND campaign_num = 1 AND server_num = 0",
     "counted as deferred"},
    {"UPDATE tally SET n = n + 1 WHERE server_num = 0 AND kind = 1 AND provider = 'other' AND "
     "campaign_num = 1",
     "by provider"},
    {"UPDATE tally SET n = n + 1 WHERE server_num = 2 AND kind = 1 AND campaign_num = 1",
     "attempts counted"},
    {"UPDATE campaign SET recipients = 3 WHERE num = 1", "3 recipients, but"},
    /* 5: limits */
    {"UPDATE usage SET attempts = attempts + 1 WHERE span_s = 60 AND server_num = 1 AND start = "
     "(SELECT MIN(start) FROM usage WHERE span_s = 60 AND server_num = 1)",
     "server \"s1\", spans of 60 s"},
    {"UPDATE usage SET taken = 0 WHERE span_s = 3600 AND server_num = 2",
     "server \"s2\", spans of 3600 s"},
    {"UPDATE usage SET sent = sent - 1 WHERE span_s = 86400 AND server_num = 1",
     "server \"s1\", spans of 86400 s"},
    {"DELETE FROM usage WHERE server_num = 1", "server \"s1\""},
    {"UPDATE server SET per_hour = 10 WHERE num = 1", "in the hour from"},
    {"UPDATE server SET per_day = 10 WHERE num = 1", "in the day from"},
    {"UPDATE server SET per_month = 10 WHERE num = 1", "in the month from"},
    /* 7: suppression */
    {"UPDATE suppression SET since = 5 WHERE address = 'c1@example.com'",
     "after its address was suppressed"},
    {"INSERT INTO suppression (address, reason, source, since) SELECT rcpt_key, 'manual', 'user', "
     "5 FROM message WHERE id = " SENT_SINGLE,
     "after its address was suppressed"},
};

static void each_planted_fault_is_found(void **state)
{
    for (size_t i = 0; i < countof(faults); i++) {
        struct book b;
        struct findings f;
        struct err e = {0};
        full_book(&b);
        if (!db_exec(b.p.db, faults[i].sql, &e))
            fail_msg("%s: %s", faults[i].sql, e.text);
        look(b.p.db, &f);
        if (f.n == 0 || !strstr(f.text, faults[i].finding))
            fail_msg("%s\nwants: %s\nfound: %s", faults[i].sql, faults[i].finding, f.text);
        book_close(&b);
    }
}

/* What is allowed looks much like a fault: it must not be one. */
static void what_may_be_is_no_finding(void **state)
{
    static const char *const allowed[] = {
        /* the limit was lowered after the fact */
        "UPDATE server SET per_hour = 1, per_day = 1, per_month = 1, updated_at = 9000000000000",
        "UPDATE server SET per_day = 1, per_month = 1, calendar = 'Europe/Vienna'",
        "UPDATE suppression SET since = 9000000000000",
        "DELETE FROM contact WHERE id = 2",
        "UPDATE campaign SET state = 6, state_reason = 'cancelled' WHERE num = 2",
        /* suppressed between pick and reply: the dot had left */
        "UPDATE suppression SET since = (SELECT at - 500000 FROM result WHERE message_id = " LEASE_1
        "); UPDATE result SET ms = 600000 WHERE message_id = " LEASE_1,
    };
    for (size_t i = 0; i < countof(allowed); i++) {
        struct book b;
        struct findings f;
        struct err e = {0};
        full_book(&b);
        assert_ok(db_exec(b.p.db, allowed[i], &e));
        look(b.p.db, &f);
        if (f.n)
            fail_msg("%s\n%s", allowed[i], f.text);
        book_close(&b);
    }
}

static void many_findings_are_counted_not_told(void **state)
{
    struct book b;
    struct findings f;
    book_open(&b);
    people(&b, 1, 400);
    campaign(&b, 1, LANE_BULK);
    struct lease *l = claim(&b, 1, 400);
    close_lease(&b, &l);
    look(b.p.db, &f);
    assert_int_equal(f.n, 400);
    assert_int_equal(f.told, LEDGER_CHECK_TEXTS + 1);
    book_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_book_is_right),
        cmocka_unit_test(an_empty_book_is_right),
        cmocka_unit_test(a_finished_campaign_that_lost_contacts_is_right),
        cmocka_unit_test(each_planted_fault_is_found),
        cmocka_unit_test(what_may_be_is_no_finding),
        cmocka_unit_test(many_findings_are_counted_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
