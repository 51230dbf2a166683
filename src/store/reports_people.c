/* Lists, contacts, suppressions, templates and keys as JSON. Reads only; pages by name or id. */
#include "base/clock.h"
#include "store/latency.h"
#include "store/reports.h"
#include "store/reports_parts.h"

/* ---- lists ---- */

#define LIST_COLUMNS                                                                               \
    "l.name, l.id, l.created_at, l.members, l.unsubscribed, (SELECT g.name FROM server_group g "   \
    "WHERE g.num = l.group_num AND g.removed_at IS NULL)"

static json_t *list_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg, (void)db;
    return json_pack("{s:o, s:o, s:I, s:I, s:o, s:o}", "name", part_column(s, 0), "id",
                     part_id("lst", (uint64_t)db_i64(s, 1)), "contacts", (json_int_t)db_i64(s, 3),
                     "unsubscribed", (json_int_t)db_i64(s, 4), "created_at",
                     part_time(db_i64(s, 2)), "group", part_column(s, 5));
}

bool report_lists(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db,
                       "SELECT " LIST_COLUMNS " FROM list l WHERE l.name > $1"
                       " ORDER BY l.name LIMIT $2",
                       p, 0, list_json, NULL, out, e);
}

bool report_list(struct db *db, const char *name, json_t **out, struct err *e)
{
    return part_select_one(db, "SELECT " LIST_COLUMNS " FROM list l WHERE l.name = $1", "list",
                           name, list_json, NULL, out, e);
}

static bool list_id_of(struct db *db, const char *name, int64_t *id_out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT id FROM list WHERE name = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "list", name, e))
        return false;
    *id_out = db_i64(s, 0);
    db_reset(s);
    return true;
}

/* ---- contacts ---- */

#define CONTACT_COLUMNS "c.id, c.email, c.address, c.fields, c.created_at, c.updated_at"

static json_t *lists_of(struct db *db, int64_t contact_id)
{
    json_t *lists = json_array();
    struct err e;
    struct stmt *s = db_stmt(db,
                             "SELECT l.name, m.since, m.unsubscribed_at FROM list l"
                             " JOIN list_member m ON m.list_id = l.id AND m.contact_id = $1"
                             " ORDER BY l.name",
                             &e);
    bool row = false;
    if (!s)
        return lists;
    db_bind_i64(s, 1, contact_id);
    while (db_step(s, &row, &e) && row)
        json_array_append_new(lists, json_pack("{s:o, s:o, s:o}", "list", part_column(s, 0),
                                               "since", part_time(db_i64(s, 1)), "unsubscribed_at",
                                               part_time(db_i64(s, 2))));
    db_reset(s);
    return lists;
}

/* arg not NULL: with the lists. A list's own contacts have two columns more. */
static json_t *contact_json(void *arg, struct db *db, struct stmt *s)
{
    struct str address = db_text(s, 2).p ? db_text(s, 2) : db_text(s, 1);
    json_t *fields = part_json(s, 3);
    if (!json_is_object(fields)) {
        json_decref(fields);
        fields = json_object();
    }
    json_t *j = json_pack("{s:o, s:o, s:o, s:o, s:o}", "email", part_column(s, 1), "address",
                          part_text(address), "fields", fields, "created_at",
                          part_time(db_i64(s, 4)), "updated_at", part_time(db_i64(s, 5)));
    if (arg)
        json_object_set_new(j, "lists", lists_of(db, db_i64(s, 0)));
    return j;
}

static json_t *member_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg;
    json_t *j = contact_json(NULL, db, s);
    json_object_set_new(j, "since", part_time(db_i64(s, 6)));
    json_object_set_new(j, "unsubscribed_at", part_time(db_i64(s, 7)));
    return j;
}

static struct stmt *contacts_stmt(struct db *db, const char *list, int64_t after, uint64_t rows,
                                  struct err *e)
{
    int64_t list_id = 0;
    if (list && !list_id_of(db, list, &list_id, e))
        return NULL;
    struct stmt *s =
        db_stmt(db,
                list ? "SELECT " CONTACT_COLUMNS ", m.since, m.unsubscribed_at FROM list_member m"
                       " JOIN contact c ON c.id = m.contact_id"
                       " WHERE m.contact_id > $1 AND m.list_id = $3 ORDER BY m.contact_id LIMIT $2"
                     : "SELECT " CONTACT_COLUMNS " FROM contact c WHERE c.id > $1 ORDER BY c.id"
                       " LIMIT $2",
                e);
    if (!s)
        return NULL;
    db_bind_i64(s, 1, after);
    db_bind_i64(s, 2, (int64_t)rows);
    if (list)
        db_bind_i64(s, 3, list_id);
    return s;
}

static bool cursor_of(const struct report_page *p, int64_t *out, struct err *e)
{
    *out = 0;
    if (!p->after || str_to_i64(str_of(p->after), out))
        return true;
    return err_set(e, ERR_INVALID, "after: \"%.40s\" is no cursor; use `next` of the last page",
                   p->after);
}

bool report_contacts(struct db *db, const char *list, const struct report_page *p, json_t **out,
                     struct err *e)
{
    int64_t after;
    bool begun;
    if (!cursor_of(p, &after, e) || !part_begin(db, &begun, e))
        return false;
    struct stmt *s = contacts_stmt(db, list, after, part_limit(p) + 1, e);
    bool ok =
        s && part_page(db, s, part_limit(p), 0, list ? member_json : contact_json, NULL, out, e);
    part_end(db, begun);
    return ok;
}

bool report_walk_contacts(struct db *db, const char *list,
                          bool (*each)(void *arg, const json_t *contact, struct err *e), void *arg,
                          struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    struct stmt *s = contacts_stmt(db, list, 0, INT64_MAX, e);
    bool row = false, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        json_t *j = list ? member_json(NULL, db, s) : contact_json(NULL, db, s);
        ok = each(arg, j, e);
        json_decref(j);
    }
    if (s)
        db_reset(s);
    part_end(db, begun);
    return ok;
}

bool report_contact(struct db *db, const char *key, json_t **out, struct err *e)
{
    return part_select_one(db, "SELECT " CONTACT_COLUMNS " FROM contact c WHERE c.email = $1",
                           "contact", key, contact_json, db, out, e);
}

bool report_subscription(struct db *db, uint64_t list_id, uint64_t contact_id, json_t **out,
                         struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT c.email, l.name, m.unsubscribed_at FROM contact c"
                             " LEFT JOIN list l ON l.id = $1"
                             " LEFT JOIN list_member m ON m.list_id = $1 AND m.contact_id = c.id"
                             " WHERE c.id = $2",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)list_id);
    db_bind_i64(s, 2, (int64_t)contact_id);
    if (!part_row(s, "subscription", "of this link", e))
        return false;
    *out = json_pack("{s:o, s:o, s:b}", "email", part_column(s, 0), "list", part_column(s, 1),
                     "unsubscribed", !db_is_null(s, 2));
    db_reset(s);
    return true;
}

/* ---- suppressions ---- */

#define SUPPRESSION_COLUMNS                                                                        \
    "p.address, p.reason, p.source, p.since, p.provisional_until, s.name, p.message_id"

static json_t *suppression_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg, (void)db;
    json_t *message =
        db_is_null(s, 6) || !db_i64(s, 6) ? json_null() : part_id("msg", (uint64_t)db_i64(s, 6));
    return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "address", part_column(s, 0),
                     "reason", part_column(s, 1), "source", part_column(s, 2), "since",
                     part_time(db_i64(s, 3)), "provisional", !db_is_null(s, 4), "provisional_until",
                     part_time(db_i64(s, 4)), "server", part_column(s, 5), "message", message);
}

bool report_suppressions(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db,
                       "SELECT " SUPPRESSION_COLUMNS " FROM suppression p"
                       " LEFT JOIN server s ON s.num = p.server_num"
                       " WHERE p.address > $1 AND ($3 IS NULL OR p.reason = $3)"
                       " ORDER BY p.address LIMIT $2",
                       p, 0, suppression_json, NULL, out, e);
}

bool report_suppression(struct db *db, const char *key, json_t **out, struct err *e)
{
    return part_select_one(db,
                           "SELECT " SUPPRESSION_COLUMNS " FROM suppression p"
                           " LEFT JOIN server s ON s.num = p.server_num WHERE p.address = $1",
                           "suppression", key, suppression_json, NULL, out, e);
}

/* ---- templates ---- */

#define TEMPLATE_COLUMNS "name, id, subject, html, text, markdown, created_at, updated_at"

/* arg not NULL: with the bodies. */
static json_t *template_json(void *arg, struct db *db, struct stmt *s)
{
    (void)db;
    json_t *j =
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", part_column(s, 0), "id",
                  part_id("tpl", (uint64_t)db_i64(s, 1)), "subject", part_column(s, 2),
                  "created_at", part_time(db_i64(s, 6)), "updated_at", part_time(db_i64(s, 7)));
    if (!arg) {
        json_object_set_new(j, "html_bytes", json_integer((json_int_t)db_text(s, 3).n));
        json_object_set_new(j, "text_bytes", json_integer((json_int_t)db_text(s, 4).n));
        return j;
    }
    json_object_set_new(j, "html", part_column(s, 3));
    json_object_set_new(j, "text", part_column(s, 4));
    json_object_set_new(j, "markdown", part_column(s, 5));
    return j;
}

bool report_templates(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db,
                       "SELECT " TEMPLATE_COLUMNS " FROM template WHERE name > $1"
                       " ORDER BY name LIMIT $2",
                       p, 0, template_json, NULL, out, e);
}

bool report_template(struct db *db, const char *name, json_t **out, struct err *e)
{
    return part_select_one(db, "SELECT " TEMPLATE_COLUMNS " FROM template WHERE name = $1",
                           "template", name, template_json, db, out, e);
}

/* ---- keys ---- */

#define KEY_COLUMNS "name, hint, test, scopes, groups, created_at, expires_at, revoked_at, num"

static json_t *key_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg, (void)db;
    return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}", "name", part_column(s, 0), "hint",
                     part_column(s, 1), "test", (int)db_i64(s, 2), "scopes", part_json(s, 3),
                     "groups", part_json(s, 4), "created_at", part_time(db_i64(s, 5)), "expires_at",
                     part_time(db_i64(s, 6)), "revoked_at", part_time(db_i64(s, 7)));
}

/* In the list alone: a key is looked up with each request. */
static json_t *key_row(void *arg, struct db *db, struct stmt *s)
{
    json_t *latency = NULL, *row = NULL;
    struct err e;
    if (!latency_report(db, (uint32_t)db_i64(s, 8), clock_wall_ms(), &latency, &e))
        latency = json_null();
    row = key_json(arg, db, s);
    json_object_set_new(row, "latency", latency);
    return row;
}

bool report_keys(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db,
                       "SELECT " KEY_COLUMNS
                       " FROM api_key WHERE kind = 0 AND name > $1 ORDER BY name LIMIT $2",
                       p, 0, key_row, NULL, out, e);
}

bool report_key_by_hash(struct db *db, struct str hash, int64_t wall_ms, json_t **out,
                        struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT " KEY_COLUMNS " FROM api_key WHERE hash = $1"
                             " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
                             e);
    if (!s)
        return false;
    db_bind_blob(s, 1, hash);
    db_bind_i64(s, 2, wall_ms);
    if (!part_row(s, "key", "given", e))
        return false;
    *out = key_json(NULL, db, s);
    db_reset(s);
    return true;
}
