/* See accept.h. Writes message, queue, result and tally. Decides nothing. */
#include "store/accept.h"

#include "base/alloc.h"
#include "model/campaign.h"
#include "store/outbox.h"
#include "store/outcome_log.h"
#include "store/tally.h"

#include <stdlib.h>

static bool insert_message(struct db *db, const struct accepted *m, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO message (id, lane, group_num, from_address, rcpt,"
                             " rcpt_key, header_from, subject, message_id, facts, body, expires_at,"
                             " created_at, tags, credential_num, size, body_of, metadata, dsn)"
                             " VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,"
                             "$18,$19)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)m->id);
    db_bind_i64(s, 2, m->lane);
    db_bind_i64(s, 3, m->group_num);
    db_bind_text(s, 4, m->from.p ? m->from : STR(""));
    db_bind_text(s, 5, m->rcpt);
    db_bind_text(s, 6, m->rcpt_key);
    db_bind_text(s, 7, m->header_from);
    db_bind_text(s, 8, m->subject);
    db_bind_text(s, 9, m->message_id);
    db_bind_i64(s, 10, m->facts);
    db_bind_blob(s, 11, m->body);
    if (m->expires_at)
        db_bind_i64(s, 12, m->expires_at);
    db_bind_i64(s, 13, m->created_at);
    db_bind_text(s, 14, m->tags);
    db_bind_i64(s, 15, m->credential_num);
    db_bind_i64(s, 16, (int64_t)m->size);
    db_bind_i64(s, 17, (int64_t)m->body_of);
    db_bind_text(s, 18, m->metadata);
    db_bind_text(s, 19, m->dsn);
    return db_run(s, e);
}

struct queued {
    uint64_t id, contact_id;
    enum lane lane;
    uint32_t campaign_num, group_num, tries, credential_num;
    int64_t due, first_at, expires_at;
    const char *why;
};

static bool insert_queue(struct db *db, const struct queued *q, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO queue (id, lane, due, campaign_num, group_num,"
                             " contact_id, attempts, tries, resends, server_num, first_at,"
                             " expires_at, why, credential_num) VALUES"
                             " ($1,$2,$3,$4,$5,$6,0,$7,0,0,$8,$9,$10,$11)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)q->id);
    db_bind_i64(s, 2, q->lane);
    db_bind_i64(s, 3, q->due);
    db_bind_i64(s, 4, q->campaign_num);
    db_bind_i64(s, 5, q->group_num);
    db_bind_i64(s, 6, (int64_t)q->contact_id);
    db_bind_i64(s, 7, q->tries);
    db_bind_i64(s, 8, q->first_at);
    if (q->expires_at)
        db_bind_i64(s, 9, q->expires_at);
    db_bind_cstr(s, 10, q->why);
    db_bind_i64(s, 11, q->credential_num);
    return db_run(s, e);
}

bool accept_message(struct db *db, const struct accepted *m, struct err *e)
{
    struct queued q = {.id = m->id,
                       .lane = m->lane,
                       .group_num = m->group_num,
                       .credential_num = m->credential_num,
                       .due = m->due,
                       .first_at = MAX(m->created_at, m->send_at),
                       .expires_at = m->expires_at};
    return insert_message(db, m, e) && insert_queue(db, &q, e);
}

/* ---- where a message stands ---- */

static bool read_queue(struct db *db, uint64_t id, struct standing *out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT campaign_num, group_num, lane, contact_id, tries FROM queue"
                             " WHERE id = $1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        out->found = out->in_queue = true;
        out->campaign_num = (uint32_t)db_i64(s, 0);
        out->group_num = (uint32_t)db_i64(s, 1);
        out->lane = (enum lane)db_i64(s, 2);
        out->contact_id = (uint64_t)db_i64(s, 3);
        out->tries = (uint32_t)db_i64(s, 4);
        out->is_deferred = out->tries > 0;
        out->single = !out->campaign_num;
    }
    db_reset(s);
    return true;
}

static bool read_message(struct db *db, uint64_t id, struct standing *out, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT lane, group_num, rcpt_key, expires_at FROM message WHERE id = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        out->found = out->single = true;
        out->lane = (enum lane)db_i64(s, 0);
        out->group_num = (uint32_t)db_i64(s, 1);
        str_copy(db_text(s, 2), out->key, sizeof(out->key));
        out->expires_at = db_i64(s, 3);
    }
    db_reset(s);
    return true;
}

static bool read_campaign(struct db *db, struct standing *out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT group_num, lane FROM campaign WHERE num = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, out->campaign_num);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        out->group_num = (uint32_t)db_i64(s, 0);
        out->lane = (enum lane)db_i64(s, 1);
    }
    db_reset(s);
    if (!(s = db_stmt(db, "SELECT email FROM contact WHERE id = $1", e)))
        return false;
    db_bind_i64(s, 1, (int64_t)out->contact_id);
    if (!db_step(s, &row, e))
        return false;
    if (row)
        str_copy(db_text(s, 0), out->key, sizeof(out->key));
    db_reset(s);
    return true;
}

static bool read_result(struct db *db, uint64_t id, struct standing *out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT n, state, hard FROM result WHERE message_id = $1"
                             " ORDER BY n DESC LIMIT 1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        out->tries = MAX(out->tries, (uint32_t)db_i64(s, 0));
        out->state = (enum message_state)db_i64(s, 1);
        out->hard = db_i64(s, 2) != 0;
    }
    db_reset(s);
    out->leased_now = !out->single && !out->in_queue && !message_state_is_final(out->state);
    return true;
}

bool accept_standing(struct db *db, uint64_t id, struct standing *out, struct err *e)
{
    *out = (struct standing){.state = MESSAGE_QUEUED};
    if (!read_queue(db, id, out, e) || !read_message(db, id, out, e))
        return false;
    if (!out->found) {
        if (!outbox_contact_of(db, id, &out->contact_id, &out->campaign_num, e))
            return false;
        out->found = out->contact_id != 0;
    }
    if (!out->found)
        return true;
    if (!out->single && !read_campaign(db, out, e))
        return false;
    if (!read_result(db, id, out, e))
        return false;
    if (out->in_queue)
        out->state = MESSAGE_QUEUED;
    return true;
}

/* ---- changes ---- */

static bool count_for(struct db *db, uint32_t campaign_num, const char *provider, int kind, int n,
                      struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO tally (campaign_num, server_num, provider, kind, n)"
                             " VALUES ($1, 0, $4, $2, $3) ON CONFLICT (campaign_num, server_num,"
                             " provider, kind) DO UPDATE SET n = tally.n + $3",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    db_bind_i64(s, 2, kind);
    db_bind_i64(s, 3, n);
    db_bind_cstr(s, 4, provider);
    return db_run(s, e);
}

static bool count(struct db *db, uint32_t campaign_num, int kind, int n, struct err *e)
{
    return count_for(db, campaign_num, "", kind, n, e);
}

/* An end: of all, and of its mailbox provider. */
static bool count_end(struct db *db, const struct standing *st, int kind, int n, struct err *e)
{
    return count(db, st->campaign_num, kind, n, e) &&
           (!st->provider || count_for(db, st->campaign_num, st->provider, kind, n, e));
}

static int kind_of(const struct standing *st)
{
    static const int kinds[MESSAGE_STATE_COUNT] = {
        [MESSAGE_SENT] = TALLY_SENT,           [MESSAGE_UNCERTAIN] = TALLY_UNCERTAIN,
        [MESSAGE_FAILED] = TALLY_FAILED,       [MESSAGE_SUPPRESSED] = TALLY_SUPPRESSED,
        [MESSAGE_CANCELLED] = TALLY_CANCELLED, [MESSAGE_EXPIRED] = TALLY_EXPIRED};
    if (st->state == MESSAGE_BOUNCED)
        return st->hard ? TALLY_BOUNCED_HARD : TALLY_BOUNCED_SOFT;
    return kinds[st->state];
}

static bool insert_result(struct db *db, uint64_t id, uint32_t n, enum message_state state,
                          int64_t wall_ms, const char *why, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO result (message_id, n, server_num, state, verdict, phase,"
                             " hard, code, at, ms, why) VALUES ($1,$2,0,$3,0,0,0,0,$4,0,$5)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, n);
    db_bind_i64(s, 3, state);
    db_bind_i64(s, 4, wall_ms);
    db_bind_cstr(s, 5, why);
    return db_run(s, e);
}

bool accept_cancel(struct db *db, uint64_t id, const struct standing *st, int64_t wall_ms,
                   const char *why, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM queue WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    return db_run(s, e) &&
           insert_result(db, id, st->tries + 1, MESSAGE_CANCELLED, wall_ms, why, e) &&
           outcome_log_append(db, HOOK_CANCELLED, id, st->tries + 1, wall_ms, e) &&
           count_end(db, st, TALLY_CANCELLED, 1, e) &&
           (!st->is_deferred || count(db, st->campaign_num, TALLY_DEFERRED, -1, e));
}

/* A finished campaign has something to send again. */
static bool reopen(struct db *db, uint32_t campaign_num, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE campaign SET state = $2, state_reason = NULL,"
                             " finished_at = NULL WHERE num = $1 AND state = $3",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    db_bind_i64(s, 2, CAMPAIGN_RUNNING);
    db_bind_i64(s, 3, CAMPAIGN_FINISHED);
    return db_run(s, e);
}

bool accept_again(struct db *db, uint64_t id, const struct standing *st, int64_t wall_ms,
                  const char *why, struct err *e)
{
    struct queued q = {.id = id,
                       .contact_id = st->contact_id,
                       .lane = st->lane,
                       .campaign_num = st->campaign_num,
                       .group_num = st->group_num,
                       .tries = st->tries + 1,
                       .due = wall_ms,
                       .first_at = wall_ms,
                       .expires_at = st->expires_at,
                       .why = why};
    return insert_queue(db, &q, e) &&
           insert_result(db, id, q.tries, MESSAGE_QUEUED, wall_ms, why, e) &&
           count_end(db, st, kind_of(st), -1, e) &&
           count(db, st->campaign_num, TALLY_DEFERRED, 1, e) &&
           (!st->campaign_num || reopen(db, st->campaign_num, e));
}

static bool set_group(struct db *db, const char *sql, uint64_t id, uint32_t group_num,
                      struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, group_num);
    return db_run(s, e);
}

bool accept_move(struct db *db, uint64_t id, uint32_t group_num, struct err *e)
{
    return set_group(db, "UPDATE queue SET group_num = $2 WHERE id = $1", id, group_num, e) &&
           set_group(db, "UPDATE message SET group_num = $2 WHERE id = $1", id, group_num, e);
}

bool accept_unsubscribed(struct db *db, uint32_t campaign_num, struct err *e)
{
    return count(db, campaign_num, TALLY_UNSUBSCRIBED, 1, e);
}

/* ---- what of a campaign is over ---- */

struct over {
    unsigned states;
    uint64_t *ids;
    size_t n, max;
    uint64_t last;
};

static bool over_in_lease(struct db *db, uint64_t first, uint64_t end, uint64_t after,
                          struct over *o, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT r.message_id, r.state, r.hard FROM result r"
                             " WHERE r.message_id >= $1 AND r.message_id < $2 AND r.n ="
                             " (SELECT max(x.n) FROM result x WHERE x.message_id = r.message_id)"
                             " AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.id = r.message_id)"
                             " ORDER BY r.message_id",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)MAX(first, after + 1));
    db_bind_i64(s, 2, (int64_t)end);
    while (o->n < o->max && (ok = db_step(s, &row, e)) && row) {
        o->last = (uint64_t)db_i64(s, 0);
        bool is_hard = db_i64(s, 1) == MESSAGE_BOUNCED && db_i64(s, 2);
        if ((o->states & 1u << db_i64(s, 1)) && !is_hard)
            o->ids[o->n++] = o->last;
    }
    db_reset(s);
    return ok;
}

/* The first lease that ends behind `after`. */
static bool next_lease(struct db *db, uint32_t campaign_num, uint64_t after, uint64_t *first,
                       uint64_t *end, bool *row_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT first_id, n FROM lease WHERE +campaign_num = $1"
                             " AND first_id > $2 ORDER BY first_id LIMIT 1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    /* a lease that begins before `after` and reaches behind it begins less than LEASE_MAX earlier
     */
    db_bind_i64(s, 2, (int64_t)(after > LEASE_MAX ? after - LEASE_MAX : 0));
    for (;;) {
        if (!db_step(s, row_out, e))
            return false;
        if (!*row_out)
            return true;
        *first = (uint64_t)db_i64(s, 0);
        *end = *first + (uint64_t)db_i64(s, 1);
        db_reset(s);
        if (*end > after + 1)
            return true;
        db_bind_i64(s, 2, (int64_t)*first);
    }
}

bool accept_over(struct db *db, uint32_t campaign_num, unsigned states, uint64_t after, size_t max,
                 uint64_t *ids, size_t *n_out, uint64_t *last_out, struct err *e)
{
    struct over o = {.states = states, .ids = ids, .max = max};
    uint64_t first = 0, end = 0;
    bool row = false;
    *n_out = 0;
    *last_out = 0;
    if (!next_lease(db, campaign_num, after, &first, &end, &row, e))
        return false;
    if (!row)
        return true;
    if (!over_in_lease(db, first, end, after, &o, e))
        return false;
    *n_out = o.n;
    *last_out = o.n >= o.max ? o.last : end - 1;
    return true;
}
