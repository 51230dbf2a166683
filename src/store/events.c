/* Table event: see events.h. */
#include "store/events.h"

#define COLUMNS "id, at, kind, subject, reason, data"

bool events_append(struct db *db, const struct event *ev, struct err *e)
{
    struct stmt *st =
        db_stmt(db, "INSERT INTO event (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6)", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)ev->id);
    db_bind_i64(st, 2, ev->at);
    db_bind_text(st, 3, ev->kind);
    db_bind_text(st, 4, ev->subject.p ? ev->subject : STR(""));
    db_bind_text(st, 5, ev->reason.p ? ev->reason : STR(""));
    db_bind_text(st, 6, ev->data);
    return db_run(st, e);
}

static bool walk(struct stmt *st, bool (*each)(void *arg, const struct event *ev), void *arg,
                 struct err *e)
{
    bool row = false;
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        struct event ev = {.id = (uint64_t)db_i64(st, 0),
                           .at = db_i64(st, 1),
                           .kind = db_text(st, 2),
                           .subject = db_text(st, 3),
                           .reason = db_text(st, 4),
                           .data = db_text(st, 5)};
        if (!each(arg, &ev)) {
            db_reset(st);
            return true;
        }
    }
    return false;
}

bool events_after(struct db *db, uint64_t after, size_t limit,
                  bool (*each)(void *arg, const struct event *ev), void *arg, struct err *e)
{
    struct stmt *st =
        db_stmt(db, "SELECT " COLUMNS " FROM event WHERE id > $1 ORDER BY id LIMIT $2", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)after);
    db_bind_i64(st, 2, (int64_t)MIN(limit, (size_t)INT32_MAX));
    return walk(st, each, arg, e);
}

bool events_latest(struct db *db, struct str subject, size_t limit,
                   bool (*each)(void *arg, const struct event *ev), void *arg, struct err *e)
{
    struct stmt *st =
        subject.p
            ? db_stmt(db,
                      "SELECT " COLUMNS " FROM event WHERE subject = $2 ORDER BY id DESC LIMIT $1",
                      e)
            : db_stmt(db, "SELECT " COLUMNS " FROM event ORDER BY id DESC LIMIT $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)MIN(limit, (size_t)INT32_MAX));
    if (subject.p)
        db_bind_text(st, 2, subject);
    return walk(st, each, arg, e);
}

bool events_trim(struct db *db, int64_t before_ms, size_t limit, size_t *removed_out, struct err *e)
{
    struct stmt *st = db_stmt(db,
                              "DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id "
                              "LIMIT $2) AND at < $1",
                              e);
    *removed_out = 0;
    if (!st)
        return false;
    db_bind_i64(st, 1, before_ms);
    db_bind_i64(st, 2, (int64_t)MIN(limit, (size_t)INT32_MAX));
    if (!db_run(st, e))
        return false;
    *removed_out = (size_t)db_changes(db);
    return true;
}
