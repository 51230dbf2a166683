/* Tables list and list_member: see lists.h. */
#include "store/lists.h"

#include "store/names.h"

#define COLUMNS "id, name, created_at, members, unsubscribed, group_num"

bool lists_add(struct db *db, const struct contact_list *l, struct err *e)
{
    struct err own = {0};
    if (!names_check("list", l->name, e))
        return false;
    struct stmt *st = db_stmt(db,
                              "INSERT INTO list (id, name, created_at, members, unsubscribed, "
                              "group_num) VALUES ($1, $2, $3, 0, 0, $4)",
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)l->id);
    db_bind_cstr(st, 2, l->name);
    db_bind_i64(st, 3, l->created_at);
    db_bind_i64(st, 4, l->group_num);
    if (db_run(st, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a list named %s already", l->name);
    return err_set(e, own.code, "%s", own.text);
}

bool lists_set_group(struct db *db, uint64_t id, uint32_t group_num, struct err *e)
{
    struct stmt *st = db_stmt(db, "UPDATE list SET group_num = $2 WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    db_bind_i64(st, 2, group_num);
    return db_run(st, e);
}

static void read_list(struct stmt *st, struct contact_list *out)
{
    *out = (struct contact_list){.id = (uint64_t)db_i64(st, 0),
                                 .created_at = db_i64(st, 2),
                                 .members = (uint64_t)MAX(db_i64(st, 3), 0),
                                 .unsubscribed = (uint64_t)MAX(db_i64(st, 4), 0),
                                 .group_num = (uint32_t)db_i64(st, 5)};
    (void)str_copy(db_text(st, 1), out->name, sizeof out->name);
}

bool lists_get(struct db *db, const char *name, struct contact_list *out, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM list WHERE name = $1", e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    if (!db_step(st, &row, e))
        return false;
    if (!row)
        return err_set(e, ERR_NOT_FOUND, "there is no list %.80s", name);
    read_list(st, out);
    db_reset(st);
    return true;
}

bool lists_get_id(struct db *db, uint64_t id, struct contact_list *out, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM list WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    if (!db_step(st, &row, e))
        return false;
    if (!row)
        return err_set(e, ERR_NOT_FOUND, "the list is there no more");
    read_list(st, out);
    db_reset(st);
    return true;
}

bool lists_each(struct db *db, bool (*each)(void *arg, const struct contact_list *l), void *arg,
                struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM list ORDER BY name", e);
    if (!st)
        return false;
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        struct contact_list l;
        read_list(st, &l);
        if (!each(arg, &l)) {
            db_reset(st);
            return true;
        }
    }
    return false;
}

/* States up to stalled in enum campaign_state are those of a campaign that may still send. */
static bool refuse_when_used(struct db *db, const struct contact_list *l, struct err *e)
{
    bool row = false;
    struct stmt *st =
        db_stmt(db, "SELECT name FROM campaign WHERE list_id = $1 AND state <= 4 LIMIT 1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)l->id);
    if (!db_step(st, &row, e))
        return false;
    if (row)
        err_set(e, ERR_CONFLICT,
                "list %s is used by campaign " STR_F ": cancel it or let it finish first", l->name,
                STR_A(db_text(st, 0)));
    db_reset(st);
    return !row;
}

static bool remove_members(struct db *db, uint64_t id, size_t max, int64_t *removed_out,
                           struct err *e)
{
    struct stmt *st = db_stmt(
        db,
        "DELETE FROM list_member WHERE list_id = $1 AND contact_id IN (SELECT contact_id FROM "
        "list_member WHERE list_id = $1 ORDER BY contact_id LIMIT $2)",
        e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    db_bind_i64(st, 2, (int64_t)MIN(max, (size_t)INT32_MAX));
    if (!db_run(st, e))
        return false;
    *removed_out = db_changes(db);
    return true;
}

bool lists_remove(struct db *db, const char *name, size_t max, bool *done_out, struct err *e)
{
    struct contact_list l;
    int64_t removed = 0;
    *done_out = false;
    if (!lists_get(db, name, &l, e) || !refuse_when_used(db, &l, e) ||
        !remove_members(db, l.id, max, &removed, e))
        return false;
    *done_out = (size_t)removed < max;
    struct stmt *st = *done_out
                          ? db_stmt(db, "DELETE FROM list WHERE id = $1", e)
                          : db_stmt(db, "UPDATE list SET members = members - $2 WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)l.id);
    if (!*done_out)
        db_bind_i64(st, 2, removed);
    return db_run(st, e);
}

static bool count(struct db *db, uint64_t list_id, int members, int unsubscribed, struct err *e)
{
    struct stmt *st = db_stmt(db,
                              "UPDATE list SET members = members + $2, unsubscribed = "
                              "unsubscribed + $3 WHERE id = $1",
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)list_id);
    db_bind_i64(st, 2, members);
    db_bind_i64(st, 3, unsubscribed);
    return db_run(st, e) &&
           (db_changes(db) == 1 || err_set(e, ERR_NOT_FOUND, "the list is there no more"));
}

bool lists_has(struct db *db, uint64_t list_id, uint64_t contact_id, bool *member_out,
               bool *unsubscribed_out, struct err *e)
{
    struct stmt *st = db_stmt(
        db, "SELECT unsubscribed_at FROM list_member WHERE list_id = $1 AND contact_id = $2", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)list_id);
    db_bind_i64(st, 2, (int64_t)contact_id);
    if (!db_step(st, member_out, e))
        return false;
    *unsubscribed_out = *member_out && !db_is_null(st, 0);
    db_reset(st);
    return true;
}

static bool run_member(struct db *db, const char *sql, uint64_t list_id, uint64_t contact_id,
                       int64_t now_ms, struct err *e)
{
    struct stmt *st = db_stmt(db, sql, e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)list_id);
    db_bind_i64(st, 2, (int64_t)contact_id);
    db_bind_i64(st, 3, now_ms);
    return db_run(st, e);
}

bool lists_subscribe(struct db *db, uint64_t list_id, uint64_t contact_id, bool again,
                     int64_t now_ms, struct err *e)
{
    bool member = false, unsubscribed = false;
    if (!lists_has(db, list_id, contact_id, &member, &unsubscribed, e))
        return false;
    if (!member)
        return run_member(
                   db, "INSERT INTO list_member (list_id, contact_id, since) VALUES ($1, $2, $3)",
                   list_id, contact_id, now_ms, e) &&
               count(db, list_id, 1, 0, e);
    if (!unsubscribed || !again)
        return true;
    return run_member(db,
                      "UPDATE list_member SET unsubscribed_at = NULL, since = $3 WHERE "
                      "list_id = $1 AND contact_id = $2",
                      list_id, contact_id, now_ms, e) &&
           count(db, list_id, 0, -1, e);
}

bool lists_unsubscribe(struct db *db, uint64_t list_id, uint64_t contact_id, int64_t now_ms,
                       bool *changed_out, struct err *e)
{
    *changed_out = false;
    if (!run_member(db,
                    "UPDATE list_member SET unsubscribed_at = $3 WHERE list_id = $1 AND "
                    "contact_id = $2 AND unsubscribed_at IS NULL",
                    list_id, contact_id, now_ms, e))
        return false;
    *changed_out = db_changes(db) == 1;
    return !*changed_out || count(db, list_id, 0, 1, e);
}

bool lists_name(struct db *db, uint64_t list_id, char *out, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT name FROM list WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)list_id);
    if (!db_step(st, &row, e))
        return false;
    (void)str_copy(row ? db_text(st, 0) : STR_NONE, out, NAMES_MAX + 1);
    if (row)
        db_reset(st);
    return true;
}
