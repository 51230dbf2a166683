/* See suspects.h. */
#include "store/suspects.h"

#include "model/message.h"

bool suspects_set(struct db *db, const struct suspect_row *r, struct err *e)
{
    struct stmt *s = db_stmt(
        db,
        "INSERT INTO suspect (server_num, verdict, since, until, reverting, reason) VALUES"
        " ($1,$2,$3,$4,$5,$6) ON CONFLICT (server_num) DO UPDATE SET verdict = $2, since ="
        " CASE WHEN suspect.reverting > 0 AND suspect.since < $3 THEN suspect.since ELSE $3 END,"
        " until = $4, reverting = $5, reason = $6",
        e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->server_num);
    db_bind_i64(s, 2, r->verdict);
    db_bind_i64(s, 3, r->since);
    db_bind_i64(s, 4, r->until);
    db_bind_i64(s, 5, r->reverting);
    db_bind_cstr(s, 6, r->reason);
    return db_run(s, e);
}

static bool run_for(struct db *db, const char *sql, uint16_t server_num, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    return db_run(s, e);
}

bool suspects_reverted(struct db *db, uint16_t server_num, struct err *e)
{
    return run_for(db, "DELETE FROM suspect WHERE server_num = $1 AND reverting = 2", server_num,
                   e) &&
           run_for(db, "UPDATE suspect SET reverting = 0 WHERE server_num = $1", server_num, e);
}

bool suspects_remove(struct db *db, uint16_t server_num, struct err *e)
{
    return run_for(db, "DELETE FROM suspect WHERE server_num = $1 AND reverting = 0", server_num,
                   e) &&
           run_for(db, "UPDATE suspect SET reverting = 2, until = 0 WHERE server_num = $1",
                   server_num, e);
}

static void read_row(struct stmt *s, struct suspect_row *out)
{
    *out = (struct suspect_row){.server_num = (uint16_t)db_i64(s, 0),
                                .verdict = (enum verdict)db_i64(s, 1),
                                .since = db_i64(s, 2),
                                .until = db_i64(s, 3),
                                .reverting = db_i64(s, 4) != 0};
    if (!str_copy(db_text(s, 5), out->reason, sizeof(out->reason)))
        out->reason[sizeof(out->reason) - 1] = 0;
    if (out->verdict <= VERDICT_NONE || out->verdict >= VERDICT_COUNT)
        out->verdict = VERDICT_HARD_BOUNCE;
}

bool suspects_list(struct db *db, uint16_t after, struct suspect_row *out, size_t max,
                   size_t *n_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT server_num, verdict, since, until, reverting, reason FROM"
                             " suspect WHERE server_num > $1 ORDER BY server_num LIMIT $2",
                             e);
    bool row = true, ok = true;
    *n_out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, after);
    db_bind_i64(s, 2, (int64_t)max);
    while (*n_out < max && (ok = db_step(s, &row, e)) && row)
        read_row(s, &out[(*n_out)++]);
    db_reset(s);
    return ok;
}

/* ---- what waits for it */

static bool count_of(struct stmt *s, uint64_t *out, struct err *e)
{
    bool row = false;
    if (!db_step(s, &row, e))
        return false;
    *out = row ? (uint64_t)db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

bool suspects_free_queue(struct db *db, uint16_t server_num, int64_t now_ms, const char *why,
                         size_t max, size_t *n_out, struct err *e)
{
    struct stmt *s =
        db_stmt(db,
                "UPDATE queue SET server_num = 0, why = CASE WHEN due = 9223372036854775807 THEN"
                " why ELSE $3 END, due = CASE WHEN due = 9223372036854775807 OR due < $2 THEN due"
                " ELSE $2 END WHERE id IN (SELECT id FROM queue WHERE server_num = $1 AND"
                " server_num <> 0 LIMIT $4)",
                e);
    *n_out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    db_bind_i64(s, 2, now_ms);
    db_bind_cstr(s, 3, why);
    db_bind_i64(s, 4, (int64_t)max);
    if (!db_run(s, e))
        return false;
    *n_out = (size_t)db_changes(db);
    return true;
}

bool suspects_count(struct db *db, uint16_t server_num, int64_t since_ms, uint64_t *suppressed_out,
                    uint64_t *bounced_out, struct err *e)
{
    static const char *const sql[] = {
        "SELECT count(*) FROM suppression WHERE server_num = $1 AND since >= $2 AND reason"
        " IN ('hard_bounce', 'rule')",
        "SELECT count(*) FROM suppression p JOIN result r ON r.message_id = p.message_id WHERE"
        " p.server_num = $1 AND p.since >= $2 AND p.reason IN ('hard_bounce', 'rule') AND r.state "
        "= $3 AND"
        " r.n = (SELECT max(x.n) FROM result x WHERE x.message_id = p.message_id) AND NOT EXISTS"
        " (SELECT 1 FROM queue q WHERE q.id = p.message_id)"};
    uint64_t *out[] = {suppressed_out, bounced_out};
    for (size_t i = 0; i < countof(sql); i++) {
        struct stmt *s = db_stmt(db, sql[i], e);
        if (!s)
            return false;
        db_bind_i64(s, 1, server_num);
        db_bind_i64(s, 2, since_ms);
        if (i == 1)
            db_bind_i64(s, 3, MESSAGE_BOUNCED);
        if (!count_of(s, out[i], e))
            return false;
    }
    return true;
}
