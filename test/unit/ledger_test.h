/* What the tests of leases, results and the ledger check share: people, campaigns and outcomes made
 * in a few words. Include after store_test.h. */
#ifndef LEDGER_TEST_H
#define LEDGER_TEST_H

#include "base/map.h"
#include "store/ids.h"
#include "store/outbox.h"
#include "store/results.h"
#include "store/tally.h"

#define NOW_MS INT64_C(1750000000000)

struct book {
    struct place p;
    struct ids ids;
    struct results *results;
    int64_t now; /* steady and wall */
};

static inline void sql(struct db *db, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void sql(struct db *db, const char *fmt, ...)
{
    char text[2000];
    struct err e = {0};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!db_exec(db, text, &e))
        fail_msg("%s: %s", text, e.text);
}

static inline int64_t ask(struct db *db, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline int64_t ask(struct db *db, const char *fmt, ...)
{
    char text[1000];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return number(db, text);
}

static inline void book_open(struct book *b)
{
    *b = (struct book){.now = NOW_MS};
    place_open(&b->p);
    ids_init(&b->ids, 0, 0);
    b->results = results_new();
    sql(b->p.db, "INSERT INTO list (id, name, created_at, members, unsubscribed) "
                 "VALUES (1, 'all', 1, 0, 0)");
}

static inline void book_close(struct book *b)
{
    results_free(&b->results);
    place_close(&b->p);
}

static inline void begin(struct book *b)
{
    struct err e = {0};
    assert_ok(db_begin(b->p.db, &e));
}

static inline void commit(struct book *b)
{
    struct err e = {0};
    assert_ok(results_flush(b->results, b->p.db, &e));
    assert_ok(db_commit(b->p.db, &e));
}

/* Contacts from .. to, cN@example.com, members of list 1. */
static inline void people(struct book *b, int from, int to)
{
    sql(b->p.db,
        "WITH RECURSIVE k(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM k WHERE i < %d) INSERT INTO "
        "contact (id, email, fields, created_at, updated_at) SELECT i, 'c' || i || '@example.com', "
        "'{\"n\":\"' || i || '\"}', 1, 1 FROM k",
        from, to);
    sql(b->p.db,
        "INSERT INTO list_member (list_id, contact_id, since) SELECT 1, id, 1 FROM contact WHERE "
        "id BETWEEN %d AND %d",
        from, to);
}

/* A running campaign over list 1. */
static inline void campaign(struct book *b, uint32_t num, enum lane lane)
{
    sql(b->p.db,
        "INSERT INTO campaign (num, id, name, list_id, template_id, group_num, lane, state, "
        "contact_max, cursor, walked, recipients, leased, created_at, started_at) SELECT %u, %u, "
        "'k%u', 1, 1, 1, %d, 2, COALESCE(MAX(contact_id), 0), 0, 0, COUNT(*), 0, 1, %lld FROM "
        "list_member WHERE list_id = 1 AND unsubscribed_at IS NULL",
        num, num + 1000, num, lane, (long long)b->now);
}

static inline void server(struct book *b, uint16_t num)
{
    sql(b->p.db,
        "INSERT INTO server (num, id, name, host, port, tls, tls_verify, per_second, per_minute, "
        "per_hour, per_day, per_month, pause_between_ms, counts, max_connections, "
        "max_messages_per_connection, connect_timeout_ms, reply_timeout_ms, dot_timeout_ms, "
        "chunking_off, cost_per_1000, admin, created_at, updated_at) VALUES (%u, %u, 's%u', 'h', "
        "25, 0, 1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 1, 1, 1, 0, 0, 0, 1, 1)",
        num, num + 5000, num);
}

/* A single message in the queue. */
static inline void single(struct book *b, uint64_t id, enum lane lane, int64_t due)
{
    sql(b->p.db,
        "INSERT INTO message (id, lane, group_num, from_address, rcpt, rcpt_key, message_id, "
        "facts, "
        "body, created_at) VALUES (%llu, %d, 1, 'a@b.example', 'M%llu@example.com', "
        "'m%llu@example.com', 'i%llu@x', 5, x'4142', 1)",
        (unsigned long long)id, lane, (unsigned long long)id, (unsigned long long)id,
        (unsigned long long)id);
    sql(b->p.db,
        "INSERT INTO queue (id, lane, due, campaign_num, group_num, contact_id, attempts, tries, "
        "resends, server_num, first_at) VALUES (%llu, %d, %lld, 0, 1, 0, 0, 0, 0, 0, %lld)",
        (unsigned long long)id, lane, (long long)due, (long long)b->now);
}

static inline struct lease *claim(struct book *b, uint32_t campaign_num, uint32_t max)
{
    struct err e = {0};
    struct lease *l = NULL;
    begin(b);
    assert_ok(outbox_claim_campaign(b->p.db, &b->ids, campaign_num, max, b->now, 1, &l, &e));
    commit(b);
    return l;
}

static inline bool never_claimed(void *arg, uint64_t id)
{
    return false;
}

static inline struct lease *claim_due(struct book *b, enum lane lane, uint32_t max)
{
    struct err e = {0};
    struct lease *l = NULL;
    struct outbox_place at = {.due = INT64_MIN};
    begin(b);
    assert_ok(outbox_claim_queue(b->p.db, &b->ids, lane, b->now, 1, max, &at, never_claimed, NULL,
                                 &l, &e));
    commit(b);
    return l;
}

static inline void close_lease(struct book *b, struct lease **l)
{
    struct err e = {0};
    begin(b);
    assert_ok(outbox_close(b->p.db, (*l)->first_id, (*l)->campaign_num != 0, &e));
    commit(b);
    lease_free(l);
}

/* An attempt of an item on a server, as the engine would post it. */
static inline struct outcome outcome(struct book *b, struct lease_item *it, uint16_t server_num,
                                     enum outcome_kind kind, enum verdict v,
                                     enum message_state state)
{
    struct outcome o = {.kind = kind,
                        .has_attempt = server_num != 0,
                        .contact_id = it->contact_id,
                        .campaign_num = it->campaign_num,
                        .group_num = it->group_num,
                        .lane = it->lane,
                        .key = it->key,
                        .provider = STR("other"),
                        .in_queue = it->in_queue,
                        .was_deferred = it->was_deferred,
                        .attempts = it->attempts,
                        .resends = it->resends,
                        .first_at = it->first_at,
                        .due = b->now + 60000,
                        .took = v == VERDICT_ACCEPTED || v == VERDICT_UNCERTAIN,
                        .took_at = b->now};
    o.a = (struct attempt){.message_id = it->message_id,
                           .n = ++it->tries,
                           .server_num = server_num,
                           .state = state,
                           .verdict = v,
                           .phase = server_num ? PHASE_DOT : PHASE_NONE,
                           .at = b->now};
    o.tries = it->tries;
    return o;
}

static inline bool post(struct book *b, const struct outcome *o)
{
    struct err e = {0};
    bool suppressed = false;
    begin(b);
    assert_ok(results_add(b->results, b->p.db, o, b->now, &suppressed, &e));
    commit(b);
    return suppressed;
}

static inline void post_sent(struct book *b, struct lease_item *it, uint16_t server_num)
{
    struct outcome o = outcome(b, it, server_num, OUTCOME_END, VERDICT_ACCEPTED, MESSAGE_SENT);
    post(b, &o);
}

#endif
