/* Tables suppression and soft_bounce: see suppression.h. */
#include "store/suppression.h"

#include "store/suppression_filter.h"

#define COLUMNS "address, reason, source, since, provisional_until, server_num, message_id"

bool suppression_reason_ok(struct str reason)
{
    static const char *const reasons[] = {"hard_bounce", "complaint",    "unsubscribe",
                                          "manual",      "soft_bounces", "rule"};
    for (size_t i = 0; i < countof(reasons); i++)
        if (str_is(reason, reasons[i]))
            return true;
    return false;
}

static void bind_or_null(struct stmt *st, int n, int64_t v)
{
    if (v)
        db_bind_i64(st, n, v);
}

static bool run_with(struct db *db, const char *sql, const struct suppression *s, struct err *e)
{
    struct stmt *st = db_stmt(db, sql, e);
    if (!st)
        return false;
    db_bind_text(st, 1, s->address);
    db_bind_text(st, 2, s->reason);
    db_bind_text(st, 3, s->source.p ? s->source : STR(""));
    db_bind_i64(st, 4, s->since);
    bind_or_null(st, 5, s->provisional_until);
    bind_or_null(st, 6, s->server_num);
    bind_or_null(st, 7, (int64_t)s->message_id);
    return db_run(st, e);
}

bool suppression_add(struct db *db, const struct suppression *s, bool *added_out, struct err *e)
{
    *added_out = false;
    if (!s->address.n || !suppression_reason_ok(s->reason))
        return err_set(e, ERR_INVALID, "a suppression needs an address and a known reason");
    suppression_note(s->address);
    if (!run_with(db,
                  "INSERT INTO suppression (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7) "
                  "ON CONFLICT (address) DO NOTHING",
                  s, e))
        return false;
    *added_out = db_changes(db) == 1;
    if (*added_out || s->provisional_until)
        return true;
    return run_with(db,
                    "UPDATE suppression SET reason = $2, source = $3, since = $4, "
                    "provisional_until = $5, server_num = $6, message_id = $7 WHERE address = $1 "
                    "AND provisional_until IS NOT NULL",
                    s, e);
}

bool suppression_remove(struct db *db, struct str address, struct err *e)
{
    struct stmt *st = db_stmt(db, "DELETE FROM suppression WHERE address = $1", e);
    if (!st)
        return false;
    db_bind_text(st, 1, address);
    if (!db_run(st, e))
        return false;
    return db_changes(db) == 1 ||
           err_set(e, ERR_NOT_FOUND, STR_F " is not suppressed", STR_A(address));
}

static void read_row(struct stmt *st, struct suppression *out)
{
    *out = (struct suppression){.address = db_text(st, 0),
                                .reason = db_text(st, 1),
                                .source = db_text(st, 2),
                                .since = db_i64(st, 3),
                                .provisional_until = db_i64(st, 4),
                                .server_num = (uint16_t)db_i64(st, 5),
                                .message_id = (uint64_t)db_i64(st, 6)};
}

bool suppression_check(struct db *db, struct str address, struct arena *a, struct suppression *out,
                       bool *found_out, struct err *e)
{
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM suppression WHERE address = $1", e);
    if (!st)
        return false;
    db_bind_text(st, 1, address);
    if (!db_step(st, found_out, e))
        return false;
    bool ok = true;
    if (*found_out && out) {
        read_row(st, out);
        out->address = arena_str(a, out->address);
        out->reason = arena_str(a, out->reason);
        out->source = arena_str(a, out->source);
        ok = out->address.p && out->reason.p && out->source.p;
    }
    db_reset(st);
    return ok || err_set(e, ERR_TOO_BIG, "a suppression is larger than expected");
}

static bool walk(struct stmt *st, bool (*each)(void *arg, const struct suppression *s), void *arg,
                 size_t *n_out, struct err *e)
{
    bool row = false;
    *n_out = 0;
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        struct suppression s;
        read_row(st, &s);
        ++*n_out;
        if (each && !each(arg, &s)) {
            db_reset(st);
            return true;
        }
    }
    return false;
}

bool suppression_each(struct db *db, struct str after, size_t limit,
                      bool (*each)(void *arg, const struct suppression *s), void *arg,
                      struct err *e)
{
    size_t n = 0;
    struct stmt *st = db_stmt(
        db, "SELECT " COLUMNS " FROM suppression WHERE address > $1 ORDER BY address LIMIT $2", e);
    if (!st)
        return false;
    db_bind_text(st, 1, after.p ? after : STR(""));
    db_bind_i64(st, 2, (int64_t)MIN(limit, (size_t)INT32_MAX));
    return walk(st, each, arg, &n, e);
}

bool suppression_count(struct db *db, uint64_t *out, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT count(*) FROM suppression", e);
    if (!st || !db_step(st, &row, e))
        return false;
    *out = (uint64_t)db_i64(st, 0);
    db_reset(st);
    return true;
}

/* $3: the time up to which provisional ones are settled, or 0 to take settled ones too. */
#define REVERT_WHERE                                                                               \
    " FROM suppression WHERE server_num = $1 AND since >= $2 AND reason IN ('hard_bounce', "       \
    "'rule') AND "                                                                                 \
    "($3 = 0 OR provisional_until > $3) ORDER BY address LIMIT $4"

static struct stmt *revert_stmt(struct db *db, const char *sql, uint16_t server_num,
                                int64_t since_ms, int64_t settled_ms, size_t limit, struct err *e)
{
    struct stmt *st = db_stmt(db, sql, e);
    if (!st)
        return NULL;
    db_bind_i64(st, 1, server_num);
    db_bind_i64(st, 2, since_ms);
    db_bind_i64(st, 3, settled_ms);
    db_bind_i64(st, 4, (int64_t)limit);
    return st;
}

bool suppression_revert(struct db *db, uint16_t server_num, int64_t since_ms, bool only_provisional,
                        int64_t now_ms, size_t limit,
                        bool (*each)(void *arg, const struct suppression *s), void *arg,
                        bool *more_out, struct err *e)
{
    int64_t settled_ms = only_provisional ? MAX(now_ms, 1) : 0;
    size_t n = 0;
    *more_out = false;
    limit = MIN(limit, (size_t)INT32_MAX);
    struct stmt *st =
        revert_stmt(db, "SELECT " COLUMNS REVERT_WHERE, server_num, since_ms, settled_ms, limit, e);
    if (!st || !walk(st, each, arg, &n, e))
        return false;
    st =
        revert_stmt(db, "DELETE FROM suppression WHERE address IN (SELECT address" REVERT_WHERE ")",
                    server_num, since_ms, settled_ms, n, e);
    if (!st || !db_run(st, e))
        return false;
    *more_out = n == limit;
    return true;
}

bool suppression_settle(struct db *db, int64_t now_ms, size_t limit, bool *more_out, struct err *e)
{
    struct stmt *st =
        db_stmt(db,
                "UPDATE suppression SET provisional_until = NULL WHERE address IN (SELECT address "
                "FROM suppression WHERE provisional_until IS NOT NULL AND provisional_until <= $1 "
                "ORDER BY provisional_until LIMIT $2)",
                e);
    if (!st)
        return false;
    db_bind_i64(st, 1, now_ms);
    db_bind_i64(st, 2, (int64_t)MIN(limit, (size_t)INT32_MAX));
    if (!db_run(st, e))
        return false;
    *more_out = (size_t)db_changes(db) == limit;
    return true;
}

static struct stmt *soft_stmt(struct db *db, const char *sql, struct str address, int64_t at,
                              struct err *e)
{
    struct stmt *st = db_stmt(db, sql, e);
    if (!st)
        return NULL;
    db_bind_text(st, 1, address);
    db_bind_i64(st, 2, at);
    return st;
}

bool suppression_soft_bounce(struct db *db, struct str address, uint64_t message_id, int64_t at,
                             uint32_t *messages_out, struct err *e)
{
    bool row = false;
    struct stmt *st = soft_stmt(db, "DELETE FROM soft_bounce WHERE address = $1 AND at < $2",
                                address, at - SUPPRESSION_SOFT_SPAN_MS, e);
    if (!st || !db_run(st, e))
        return false;
    st = soft_stmt(db,
                   "INSERT INTO soft_bounce (address, at, message_id) VALUES ($1, $2, $3) "
                   "ON CONFLICT (address, message_id) DO NOTHING",
                   address, at, e);
    if (!st)
        return false;
    db_bind_i64(st, 3, (int64_t)message_id);
    if (!db_run(st, e))
        return false;
    st = soft_stmt(db, "SELECT count(*) FROM soft_bounce WHERE address = $1 AND at <= $2", address,
                   at, e);
    if (!st || !db_step(st, &row, e))
        return false;
    *messages_out = (uint32_t)db_i64(st, 0);
    db_reset(st);
    return true;
}
