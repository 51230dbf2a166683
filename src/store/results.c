/* Writing outcomes. About one row a campaign message; counters go out once a batch. */
#include "store/results.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "store/attempt_log.h"
#include "store/hours.h"
#include "store/latency.h"
#include "store/limits.h"
#include "store/outcome_log.h"
#include "store/suppression_filter.h"
#include "store/tally.h"

#include <stdio.h>
#include <stdlib.h>

#define SOFT_BOUNCES_MAX 3
#define SOFT_BOUNCE_SPAN (INT64_C(30) * 24 * 3600 * 1000)

struct count {
    uint32_t campaign_num;
    uint16_t server_num;
    uint32_t group_num; /* of table campaign_group; else 0 */
    char provider[32];
    int kind;
    int64_t n;
};

struct use {
    uint16_t server_num;
    int64_t span_s, start, taken, attempts, sent;
};

struct results {
    struct map_str *index; /* key -> place + 1 in counts or uses */
    struct count *counts;
    size_t n_counts, cap_counts;
    struct use *uses;
    size_t n_uses, cap_uses;
    struct hours *hours;
    struct limit_counts *limits;
    struct attempt_log *log;
    struct latencies *latencies;
    struct outcome_log *outcomes;
};

struct results *results_new(void)
{
    struct results *r = alloc_one(struct results);
    r->index = map_str_new();
    r->hours = hours_new();
    r->limits = limit_counts_new();
    r->log = attempt_log_new();
    r->latencies = latencies_new();
    r->outcomes = outcome_log_new();
    return r;
}

void results_free(struct results **rp)
{
    struct results *r = *rp;
    *rp = NULL;
    if (!r)
        return;
    map_str_free(&r->index);
    hours_free(&r->hours);
    limit_counts_free(&r->limits);
    attempt_log_free(&r->log);
    latencies_free(&r->latencies);
    outcome_log_free(&r->outcomes);
    free(r->counts);
    free(r->uses);
    free(r);
}

void results_drop(struct results *r)
{
    map_str_free(&r->index);
    r->index = map_str_new();
    r->n_counts = r->n_uses = 0;
    hours_drop(r->hours);
    limit_counts_drop(r->limits);
    attempt_log_drop(r->log);
    latencies_drop(r->latencies);
    outcome_log_drop(r->outcomes);
}

void results_want(struct results *r, unsigned wanted)
{
    outcome_log_want(r->outcomes, wanted);
}

/* The place of the counter with this key, a new one (all 0) when there is none. */
static struct count *counter(struct results *r, struct str key)
{
    uintptr_t at = (uintptr_t)map_str_get(r->index, key);
    if (at)
        return &r->counts[at - 1];
    if (r->n_counts == r->cap_counts) {
        r->cap_counts = MAX(r->cap_counts * 2, (size_t)64);
        r->counts = alloc_resize(r->counts, r->cap_counts * sizeof *r->counts);
    }
    struct count *c = &r->counts[r->n_counts++];
    *c = (struct count){0};
    map_str_set(r->index, key, (void *)(uintptr_t)r->n_counts);
    return c;
}

static void count(struct results *r, uint32_t campaign_num, uint16_t server_num,
                  struct str provider, int kind, int64_t n)
{
    char key[96];
    int len = snprintf(key, sizeof key, "c%u/%u/%.*s/%d", campaign_num, server_num,
                       (int)MIN(provider.n, (size_t)31), provider.p ? provider.p : "", kind);
    struct count *c = counter(r, str_from(key, (size_t)len));
    c->campaign_num = campaign_num;
    c->server_num = server_num;
    c->kind = kind;
    c->n += n;
    str_copy(provider, c->provider, sizeof c->provider);
}

static void count_group(struct results *r, uint32_t campaign_num, uint32_t group_num)
{
    char key[48];
    int len = snprintf(key, sizeof key, "g%u/%u", campaign_num, group_num);
    struct count *c = counter(r, str_from(key, (size_t)len));
    c->campaign_num = campaign_num;
    c->group_num = group_num;
    c->n++;
}

static void use(struct results *r, const struct outcome *o, int64_t span_s)
{
    int64_t start = o->took_at / (span_s * 1000) * (span_s * 1000);
    char key[64];
    int len = snprintf(key, sizeof key, "u%u/%lld/%lld", o->a.server_num, (long long)span_s,
                       (long long)start);
    uintptr_t at = (uintptr_t)map_str_get(r->index, str_from(key, (size_t)len));
    if (!at) {
        if (r->n_uses == r->cap_uses) {
            r->cap_uses = MAX(r->cap_uses * 2, (size_t)32);
            r->uses = alloc_resize(r->uses, r->cap_uses * sizeof *r->uses);
        }
        r->uses[r->n_uses++] =
            (struct use){.server_num = o->a.server_num, .span_s = span_s, .start = start};
        at = r->n_uses;
        map_str_set(r->index, str_from(key, (size_t)len), (void *)at);
    }
    struct use *u = &r->uses[at - 1];
    u->taken += o->took;
    u->attempts++;
    u->sent += o->a.verdict == VERDICT_ACCEPTED;
}

/* ---- rows */

static bool insert_result(struct db *db, const struct outcome *o, struct err *e)
{
    const struct attempt *a = &o->a;
    struct stmt *s =
        db_stmt(db,
                "INSERT INTO result (message_id, n, server_num, state, verdict, phase, "
                "hard, code, enhanced, at, ms, rule, reply, why, conversation, group_num,"
                " route_num) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17)",
                e);
    char enhanced[16] = "";
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)a->message_id);
    db_bind_i64(s, 2, a->n);
    db_bind_i64(s, 3, a->server_num);
    db_bind_i64(s, 4, a->state);
    db_bind_i64(s, 5, a->verdict);
    db_bind_i64(s, 6, a->phase);
    db_bind_i64(s, 7, a->hard);
    db_bind_i64(s, 8, a->code);
    if (a->enhanced[0]) {
        snprintf(enhanced, sizeof enhanced, "%u.%u.%u", a->enhanced[0], a->enhanced[1],
                 a->enhanced[2]);
        db_bind_cstr(s, 9, enhanced);
    }
    db_bind_i64(s, 10, a->at);
    db_bind_i64(s, 11, a->ms);
    if (a->rule.n)
        db_bind_text(s, 12, a->rule);
    if (a->reply.n)
        db_bind_text(s, 13, a->reply);
    if (a->why.n)
        db_bind_text(s, 14, a->why);
    if (a->conversation.n)
        db_bind_text(s, 15, a->conversation);
    if (o->via_group)
        db_bind_i64(s, 16, o->via_group);
    if (o->route_num)
        db_bind_i64(s, 17, o->route_num);
    return db_run(s, e);
}

static bool remove_from_queue(struct db *db, uint64_t id, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM queue WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    return db_run(s, e);
}

static bool put_in_queue(struct db *db, const struct outcome *o, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO queue (id, lane, due, campaign_num, group_num, "
                             "contact_id, attempts, tries, resends, server_num, first_at, "
                             "expires_at, why) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13) "
                             "ON CONFLICT (id) DO UPDATE SET due = $3, attempts = $7, tries = $8, "
                             "resends = $9, server_num = $10, why = $13",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)o->a.message_id);
    db_bind_i64(s, 2, o->lane);
    db_bind_i64(s, 3, o->due);
    db_bind_i64(s, 4, o->campaign_num);
    db_bind_i64(s, 5, o->group_num);
    db_bind_i64(s, 6, (int64_t)o->contact_id);
    db_bind_i64(s, 7, o->attempts);
    db_bind_i64(s, 8, o->tries);
    db_bind_i64(s, 9, o->resends);
    db_bind_i64(s, 10, o->keep_server);
    db_bind_i64(s, 11, o->first_at);
    if (o->expires_at)
        db_bind_i64(s, 12, o->expires_at);
    if (o->queue_why.n)
        db_bind_text(s, 13, o->queue_why);
    return db_run(s, e);
}

static bool suppress(struct db *db, const struct outcome *o, const char *reason, int64_t wall_ms,
                     bool *done_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO suppression (address, reason, source, since, "
                             "provisional_until, server_num, message_id) VALUES ($1,$2,$3,$4,$5,$6,"
                             "$7) ON CONFLICT (address) DO NOTHING",
                             e);
    if (!s)
        return false;
    suppression_note(o->key);
    db_bind_text(s, 1, o->key);
    db_bind_cstr(s, 2, reason);
    db_bind_text(s, 3, o->rule.n ? o->rule : o->campaign_num ? STR("campaign") : STR("message"));
    db_bind_i64(s, 4, wall_ms);
    if (o->provisional_until)
        db_bind_i64(s, 5, o->provisional_until);
    db_bind_i64(s, 6, o->a.server_num);
    db_bind_i64(s, 7, (int64_t)o->a.message_id);
    *done_out = true;
    return db_run(s, e);
}

/* Three distinct messages in 30 days: the address is dead enough. */
static bool count_soft(struct db *db, const struct outcome *o, int64_t wall_ms, bool *done_out,
                       struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO soft_bounce (address, message_id, at) VALUES ($1,$2,$3) "
                             "ON CONFLICT (address, message_id) DO NOTHING",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_text(s, 1, o->key);
    db_bind_i64(s, 2, (int64_t)o->a.message_id);
    db_bind_i64(s, 3, wall_ms);
    if (!db_run(s, e) ||
        !(s = db_stmt(db, "SELECT COUNT(*) FROM soft_bounce WHERE address = $1 AND at > $2", e)))
        return false;
    db_bind_text(s, 1, o->key);
    db_bind_i64(s, 2, wall_ms - SOFT_BOUNCE_SPAN);
    if (!db_step(s, &row, e))
        return false;
    int64_t n = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return n < SOFT_BOUNCES_MAX || suppress(db, o, "soft_bounces", wall_ms, done_out, e);
}

/* ---- counting */

static int message_kind(const struct outcome *o)
{
    switch (o->a.state) {
    case MESSAGE_SENT: return TALLY_SENT;
    case MESSAGE_BOUNCED: return o->a.hard ? TALLY_BOUNCED_HARD : TALLY_BOUNCED_SOFT;
    case MESSAGE_FAILED: return TALLY_FAILED;
    case MESSAGE_UNCERTAIN: return TALLY_UNCERTAIN;
    case MESSAGE_SUPPRESSED: return TALLY_SUPPRESSED;
    case MESSAGE_CANCELLED: return TALLY_CANCELLED;
    case MESSAGE_EXPIRED: return TALLY_EXPIRED;
    default: return 0;
    }
}

static int attempt_kind(const struct outcome *o)
{
    if (o->a.verdict == VERDICT_ACCEPTED)
        return TALLY_SENT;
    if (o->a.verdict == VERDICT_UNCERTAIN)
        return TALLY_UNCERTAIN;
    if (o->kind == OUTCOME_ATTEMPT)
        return TALLY_FAILOVER;
    if (o->kind == OUTCOME_END && o->a.state == MESSAGE_BOUNCED)
        return o->a.hard ? TALLY_BOUNCED_HARD : TALLY_BOUNCED_SOFT;
    return o->kind == OUTCOME_LATER ? TALLY_DEFERRED : TALLY_FAILED;
}

static void count_outcome(struct results *r, const struct outcome *o)
{
    uint32_t c = o->campaign_num;
    if (o->kind == OUTCOME_END) {
        int kind = message_kind(o);
        count(r, c, 0, STR_NONE, kind, 1);
        if (o->provider.n)
            count(r, c, 0, o->provider, kind, 1);
        if (o->was_deferred)
            count(r, c, 0, STR_NONE, TALLY_DEFERRED, -1);
    } else if (o->kind == OUTCOME_LATER && !o->was_deferred && o->tries > 0) {
        count(r, c, 0, STR_NONE, TALLY_DEFERRED, 1);
    }
    if (o->sent_after_ms)
        latencies_count(r->latencies, o->credential_num, o->lane, o->a.at, o->sent_after_ms);
    if (!o->has_attempt || !o->a.server_num)
        return;
    attempt_log_add(r->log, &o->a);
    count(r, c, o->a.server_num, STR_NONE, attempt_kind(o), 1);
    if (c && o->via_group && o->a.verdict == VERDICT_ACCEPTED)
        count_group(r, c, o->via_group);
    use(r, o, 60);
    use(r, o, 3600);
    use(r, o, 86400);
    hours_count(r->hours, o);
}

/* Limits beside the server's own count what was accepted, or may have been. */
static bool count_limits(struct results *r, struct db *db, const struct outcome *o, struct err *e)
{
    bool took = o->has_attempt && o->a.server_num &&
                (o->a.verdict == VERDICT_ACCEPTED || o->a.verdict == VERDICT_UNCERTAIN);
    struct limit_take t = {.group_num = o->via_group,
                           .campaign_num = o->campaign_num,
                           .credential_num = o->credential_num,
                           .server_num = o->a.server_num,
                           .provider = o->provider,
                           .at = o->took_at};
    return !took || limit_counts_add(r->limits, db, &t, e);
}

static bool write_rows(struct results *r, struct db *db, const struct outcome *o, int64_t wall_ms,
                       bool *suppressed_out, struct err *e)
{
    if (!count_limits(r, db, o, e))
        return false;
    if ((o->has_attempt || o->kind == OUTCOME_END) && !insert_result(db, o, e))
        return false;
    if (o->kind == OUTCOME_LATER) {
        if (!put_in_queue(db, o, e))
            return false;
    } else if (o->kind == OUTCOME_END && o->in_queue) {
        if (!remove_from_queue(db, o->a.message_id, e))
            return false;
    }
    count_outcome(r, o);
    if (o->kind != OUTCOME_END || o->a.state != MESSAGE_BOUNCED || !o->key.n)
        return true;
    if (o->a.hard)
        return suppress(db, o, o->rule.n ? "rule" : "hard_bounce", wall_ms, suppressed_out, e);
    return o->a.verdict != VERDICT_SOFT_BOUNCE || count_soft(db, o, wall_ms, suppressed_out, e);
}

bool results_add(struct results *r, struct db *db, const struct outcome *o, int64_t wall_ms,
                 bool *suppressed_out, struct err *e)
{
    *suppressed_out = false;
    if (!write_rows(r, db, o, wall_ms, suppressed_out, e))
        return false;
    bool is_new = *suppressed_out && db_changes(db) > 0; /* its row was the last one written */
    outcome_log_note(r->outcomes, o, is_new, wall_ms);
    return true;
}

static bool flush_count(const struct count *c, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO tally (campaign_num, server_num, provider, kind, n) "
                             "VALUES ($1,$2,$3,$4,$5) ON CONFLICT (campaign_num, server_num, "
                             "provider, kind) DO UPDATE SET n = tally.n + $5",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, c->campaign_num);
    db_bind_i64(s, 2, c->server_num);
    db_bind_cstr(s, 3, c->provider);
    db_bind_i64(s, 4, c->kind);
    db_bind_i64(s, 5, c->n);
    return db_run(s, e);
}

static bool flush_group(const struct count *c, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO campaign_group (campaign_num, group_num, sent) "
                             "VALUES ($1,$2,$3) ON CONFLICT (campaign_num, group_num) DO UPDATE "
                             "SET sent = campaign_group.sent + $3",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, c->campaign_num);
    db_bind_i64(s, 2, c->group_num);
    db_bind_i64(s, 3, c->n);
    return db_run(s, e);
}

static bool flush_counts(struct results *r, struct db *db, struct err *e)
{
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_counts; i++)
        ok = r->counts[i].group_num ? flush_group(&r->counts[i], db, e)
                                    : flush_count(&r->counts[i], db, e);
    return ok;
}

bool results_flush(struct results *r, struct db *db, struct err *e)
{
    if (!flush_counts(r, db, e) || !hours_flush(r->hours, db, e) ||
        !limit_counts_flush(r->limits, db, e) || !attempt_log_flush(r->log, db, e) ||
        !latencies_flush(r->latencies, db, e) || !outcome_log_flush(r->outcomes, db, e))
        return false;
    for (size_t i = 0; i < r->n_uses; i++) {
        struct use *u = &r->uses[i];
        struct stmt *s =
            db_stmt(db,
                    "INSERT INTO usage (server_num, span_s, start, taken, attempts, "
                    "sent) VALUES ($1,$2,$3,$4,$5,$6) ON CONFLICT (server_num, span_s, "
                    "start) DO UPDATE SET taken = usage.taken + $4, "
                    "attempts = usage.attempts + $5, sent = usage.sent + $6",
                    e);
        if (!s)
            return false;
        db_bind_i64(s, 1, u->server_num);
        db_bind_i64(s, 2, u->span_s);
        db_bind_i64(s, 3, u->start);
        db_bind_i64(s, 4, u->taken);
        db_bind_i64(s, 5, u->attempts);
        db_bind_i64(s, 6, u->sent);
        if (!db_run(s, e))
            return false;
    }
    results_drop(r);
    return true;
}

bool results_usage(struct db *db, uint16_t server_num, int64_t span_s, int64_t since,
                   void (*each)(void *arg, int64_t start_ms, uint64_t taken), void *arg,
                   struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT start, taken FROM usage WHERE server_num = $1 AND span_s = $2 "
                             "AND start >= $3",
                             e);
    bool row = true, ok = s != NULL;
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    db_bind_i64(s, 2, span_s);
    db_bind_i64(s, 3, since);
    while ((ok = db_step(s, &row, e)) && row)
        each(arg, db_i64(s, 0), (uint64_t)db_i64(s, 1));
    db_reset(s);
    return ok;
}

/* ---- the end of a campaign */

static bool sum_ends(struct db *db, uint32_t campaign_num, int64_t *sum_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT COALESCE(SUM(n), 0) FROM tally WHERE campaign_num = $1 AND "
                             "server_num = 0 AND provider = '' AND kind BETWEEN 1 AND 8",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    if (!db_step(s, &row, e))
        return false;
    *sum_out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

bool results_finish_campaign(struct db *db, uint32_t campaign_num, int64_t wall_ms,
                             bool *finished_out, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT walked, recipients, leased, state FROM campaign WHERE num = $1", e);
    bool row = false;
    int64_t ends = 0;
    *finished_out = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    if (!db_step(s, &row, e))
        return false;
    bool walked = row && db_i64(s, 0) && (db_i64(s, 3) == 2 || db_i64(s, 3) == 3);
    int64_t recipients = row ? db_i64(s, 1) : 0, leased = row ? db_i64(s, 2) : 0;
    db_reset(s);
    if (!walked)
        return true;
    if (!sum_ends(db, campaign_num, &ends, e))
        return false;
    int64_t gone = recipients - leased;
    if (ends - (ends > leased ? gone : 0) < leased)
        return true;
    if (gone > 0 && ends == leased) {
        struct results *r = results_new();
        count(r, campaign_num, 0, STR_NONE, TALLY_CANCELLED, gone);
        bool ok = flush_counts(r, db, e);
        results_free(&r);
        if (!ok)
            return false;
    }
    if (!(s = db_stmt(db,
                      "UPDATE campaign SET state = 5, state_reason = NULL, finished_at = $2 "
                      "WHERE num = $1",
                      e)))
        return false;
    db_bind_i64(s, 1, campaign_num);
    db_bind_i64(s, 2, wall_ms);
    *finished_out = true;
    return db_run(s, e);
}
