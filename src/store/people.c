/* Contacts, one at a time and by walking: see people.h. Import is people_import.c, export is
 * people_export.c. */
#include "store/people_inner.h"

#include "base/alloc.h"
#include "store/settings.h"

#include <stdlib.h>

#define HIGHEST_SETTING                                                                            \
    "contact.highest" /* set when the contact with the highest id is removed                       \
                       */
#define ROW_ARENA_MAX (8u << 20)
#define COLUMNS       "id, email, address, fields, created_at, updated_at"

bool people_policy_parse(const char *s, enum people_policy *out)
{
    static const char *const names[] = {"update", "new", "skip"};
    for (size_t i = 0; i < countof(names); i++)
        if (strcmp(s, names[i]) == 0) {
            *out = (enum people_policy)i;
            return true;
        }
    return false;
}

bool people_highest(struct db *db, uint64_t *out, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT max(id) FROM contact", e);
    if (!st || !db_step(st, &row, e))
        return false;
    *out = (uint64_t)db_i64(st, 0);
    db_reset(st);
    return true;
}

bool people_open(struct db *db, struct people **out, struct err *e)
{
    uint64_t highest = 0;
    int64_t removed = 0;
    *out = NULL;
    if (!people_highest(db, &highest, e) || !settings_get_i64(db, HIGHEST_SETTING, 0, &removed, e))
        return false;
    struct people *p = alloc_one(struct people);
    p->db = db;
    p->next_id = MAX(highest, (uint64_t)removed) + 1;
    p->arena = arena_new(ROW_ARENA_MAX);
    buf_init(&p->json, PEOPLE_FIELDS_JSON_MAX);
    *out = p;
    return true;
}

void people_close(struct people **pp)
{
    struct people *p = *pp;
    *pp = NULL;
    if (!p)
        return;
    arena_free(&p->arena);
    buf_free(&p->json);
    free(p);
}

static void read_person(struct stmt *st, struct person *out)
{
    *out = (struct person){.id = (uint64_t)db_i64(st, 0),
                           .key = db_text(st, 1),
                           .address = db_text(st, 2),
                           .fields = db_text(st, 3),
                           .created_at = db_i64(st, 4),
                           .updated_at = db_i64(st, 5)};
    if (!out->address.p)
        out->address = out->key;
}

static bool keep(struct arena *a, struct str *s)
{
    if (!s->p)
        return true;
    *s = arena_str(a, *s);
    return s->p != NULL;
}

static bool read_one(struct stmt *st, struct arena *a, struct person *out, bool *found_out,
                     struct err *e)
{
    if (!db_step(st, found_out, e))
        return false;
    if (!*found_out)
        return true;
    read_person(st, out);
    bool ok = keep(a, &out->key) && keep(a, &out->address) && keep(a, &out->fields);
    db_reset(st);
    return ok || err_set(e, ERR_TOO_BIG, "a contact is larger than expected");
}

bool people_find(struct db *db, struct str key, struct arena *a, struct person *out,
                 bool *found_out, struct err *e)
{
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM contact WHERE email = $1", e);
    if (!st)
        return false;
    db_bind_text(st, 1, key);
    return read_one(st, a, out, found_out, e);
}

bool people_get(struct db *db, uint64_t id, struct arena *a, struct person *out, bool *found_out,
                struct err *e)
{
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM contact WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    return read_one(st, a, out, found_out, e);
}

static const char *const each_contact_sql =
    "SELECT " COLUMNS " FROM contact WHERE id > $1 ORDER BY id LIMIT $2";
static const char *const each_subscribed_sql =
    "SELECT c.id, c.email, c.address, c.fields, c.created_at, c.updated_at, m.unsubscribed_at "
    "FROM list_member m JOIN contact c ON c.id = m.contact_id WHERE m.list_id = $3 AND "
    "m.contact_id > $1 AND m.unsubscribed_at IS NULL ORDER BY m.contact_id LIMIT $2";
static const char *const each_member_sql =
    "SELECT c.id, c.email, c.address, c.fields, c.created_at, c.updated_at, m.unsubscribed_at "
    "FROM list_member m JOIN contact c ON c.id = m.contact_id WHERE m.list_id = $3 AND "
    "m.contact_id > $1 ORDER BY m.contact_id LIMIT $2";

bool people_each(struct db *db, uint64_t list_id, bool all, uint64_t after, size_t limit,
                 bool (*each)(void *arg, const struct person *p), void *arg, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db,
                              !list_id ? each_contact_sql
                              : all    ? each_member_sql
                                       : each_subscribed_sql,
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)after);
    db_bind_i64(st, 2, (int64_t)MIN(limit, (size_t)INT32_MAX));
    if (list_id)
        db_bind_i64(st, 3, (int64_t)list_id);
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        struct person p;
        read_person(st, &p);
        p.unsubscribed = list_id && !db_is_null(st, 6);
        if (!each(arg, &p)) {
            db_reset(st);
            return true;
        }
    }
    return false;
}

bool people_field_names(struct db *db, struct arena *a, struct str **out, size_t *n_out,
                        struct err *e)
{
    bool row = false;
    *n_out = 0;
    *out = arena_alloc(a, PEOPLE_FIELD_NAMES_MAX * sizeof(**out));
    struct stmt *st = db_stmt(db, "SELECT name FROM contact_field ORDER BY position, name", e);
    if (!st)
        return false;
    while (*out && db_step(st, &row, e)) {
        if (!row)
            return true;
        struct str name = arena_str(a, db_text(st, 0));
        if (!name.p)
            break;
        if (*n_out < PEOPLE_FIELD_NAMES_MAX)
            (*out)[(*n_out)++] = name;
    }
    db_reset(st);
    return err_set(e, ERR_FAILED, "the field names of contacts cannot be read");
}

static bool run_for_id(struct db *db, const char *sql, uint64_t id, struct err *e)
{
    struct stmt *st = db_stmt(db, sql, e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    return db_run(st, e);
}

bool people_remove(struct people *p, struct str key, struct err *e)
{
    struct person who;
    bool found = false;
    arena_reset(p->arena);
    if (!people_find(p->db, key, p->arena, &who, &found, e))
        return false;
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "there is no contact " STR_F, STR_A(key));
    /* The id stays used up: results and audience bitmaps of campaigns know it. */
    if (who.id + 1 == p->next_id && !settings_set_i64(p->db, HIGHEST_SETTING, (int64_t)who.id, e))
        return false;
    return run_for_id(p->db,
                      "UPDATE list SET members = members - 1, unsubscribed = unsubscribed - "
                      "(SELECT count(*) FROM list_member m WHERE m.list_id = list.id AND "
                      "m.contact_id = $1 AND m.unsubscribed_at IS NOT NULL) WHERE id IN (SELECT "
                      "l.id FROM list l JOIN list_member m ON m.list_id = l.id AND "
                      "m.contact_id = $1)",
                      who.id, e) &&
           run_for_id(p->db,
                      "DELETE FROM list_member WHERE list_id IN (SELECT id FROM list) AND "
                      "contact_id = $1",
                      who.id, e) &&
           run_for_id(p->db, "DELETE FROM contact WHERE id = $1", who.id, e);
}
