/* See quarantine.h. */
#include "store/quarantine.h"

bool quarantine_remove(struct db *db, uint16_t server_num, bool *was_out, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM quarantine WHERE server_num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    if (!db_run(s, e))
        return false;
    *was_out = db_changes(db) > 0;
    return true;
}

bool quarantine_put(struct db *db, const struct quarantine *q, int64_t wall_ms, struct err *e)
{
    bool was;
    struct stmt *s = NULL;
    if (!quarantine_remove(db, q->server_num, &was, e) ||
        !(s = db_stmt(db,
                      "INSERT INTO quarantine (server_num, reason, until, at)"
                      " VALUES ($1, $2, $3, $4)",
                      e)))
        return false;
    db_bind_i64(s, 1, q->server_num);
    db_bind_cstr(s, 2, q->reason);
    if (q->until)
        db_bind_i64(s, 3, q->until);
    db_bind_i64(s, 4, wall_ms);
    return db_run(s, e);
}

bool quarantine_all(struct db *db, int64_t wall_ms,
                    void (*each)(void *arg, const struct quarantine *q), void *arg, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT server_num, until, reason FROM quarantine"
                             " WHERE until IS NULL OR until > $1",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, wall_ms);
    while ((ok = db_step(s, &row, e)) && row) {
        struct quarantine q = {.server_num = (uint16_t)db_i64(s, 0), .until = db_i64(s, 1)};
        str_copy(db_text(s, 2), q.reason, sizeof(q.reason));
        each(arg, &q);
    }
    db_reset(s);
    return ok;
}
