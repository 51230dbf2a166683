/* Routes as JSON: in their order, each with its conditions as lists of texts ([]: not looked at)
 * and once more as a sentence. */
#include "base/alloc.h"
#include "model/message.h"
#include "model/route.h"
#include "store/reports.h"
#include "store/reports_parts.h"

#define WHEN_MAX 2000

static const char *name_sql(enum route_field field)
{
    switch (field) {
    case ROUTE_CAMPAIGN: return "SELECT name FROM campaign WHERE num = $1";
    case ROUTE_LIST: return "SELECT name FROM list WHERE id = $1";
    default: return "SELECT name FROM api_key WHERE num = $1";
    }
}

/* What a number stands for; a thing that was removed since has no name any more. */
static json_t *name_of(struct db *db, enum route_field field, int64_t value)
{
    struct err e;
    struct stmt *s = db_stmt(db, name_sql(field), &e);
    bool row = false;
    if (!s)
        return json_string("(removed)");
    db_bind_i64(s, 1, value);
    json_t *j = db_step(s, &row, &e) && row ? part_column(s, 0) : json_string("(removed)");
    db_reset(s);
    return j;
}

static json_t *term_json(struct db *db, struct stmt *s)
{
    enum route_field field = (enum route_field)db_i64(s, 0);
    int64_t low = db_i64(s, 1);
    if (!db_is_null(s, 2))
        return part_column(s, 2);
    if (field == ROUTE_STREAM)
        return json_string(lane_name((enum lane)low));
    return name_of(db, field, low);
}

static void add_sentence(struct buf *b, enum route_field field, const json_t *values)
{
    size_t i;
    json_t *v;
    json_array_foreach(values, i, v)
    {
        if (i == 0)
            buf_addf(b, "%s%s ", b->n ? ", " : "", route_field_name(field));
        buf_addf(b, "%s%s", i ? " or " : "", json_string_value(v));
    }
}

static json_t *when_of(const json_t *route)
{
    struct buf b;
    buf_init(&b, WHEN_MAX);
    for (int f = 0; f < ROUTE_FIELDS; f++)
        add_sentence(&b, (enum route_field)f,
                     json_object_get(route, route_field_name((enum route_field)f)));
    json_t *j = b.overflow ? json_sprintf(STR_F " ...", STR_A(buf_str(&b)))
                : b.n      ? part_text(buf_str(&b))
                           : json_string("always");
    buf_free(&b);
    return j;
}

static void add_terms(struct db *db, int64_t num, json_t *route)
{
    struct err e;
    struct stmt *s = db_stmt(db,
                             "SELECT field, low, text FROM route_term WHERE route_num = $1 "
                             "ORDER BY position",
                             &e);
    bool row = false;
    for (int f = 0; f < ROUTE_FIELDS; f++)
        json_object_set_new(route, route_field_name((enum route_field)f), json_array());
    if (!s)
        return;
    db_bind_i64(s, 1, num);
    while (db_step(s, &row, &e) && row) {
        const char *field = route_field_name((enum route_field)db_i64(s, 0));
        json_array_append_new(json_object_get(route, field), term_json(db, s));
    }
    db_reset(s);
}

static json_t *route_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg;
    json_t *j = json_pack("{s:o, s:o, s:o}", "name", part_column(s, 0), "id",
                          part_id("rte", (uint64_t)db_i64(s, 2)), "group", part_column(s, 4));
    add_terms(db, db_i64(s, 1), j);
    json_object_set_new(j, "when", when_of(j));
    json_object_set_new(j, "created_at", part_time(db_i64(s, 5)));
    json_object_set_new(j, "updated_at", part_time(db_i64(s, 6)));
    return j;
}

#define ROUTE_COLUMNS                                                                              \
    "r.name, r.num, r.id, CAST(r.position AS TEXT), g.name, r.created_at, r.updated_at FROM "      \
    "route r LEFT JOIN server_group g ON g.num = r.group_num "

bool report_routes(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    struct report_page page = *p;
    uint64_t after = 0;
    if (!page.after || !*page.after)
        page.after = "0";
    if (!str_to_u64(str_of(page.after), INT64_MAX, &after))
        return err_set(e, ERR_INVALID, "after: \"%.40s\" is no cursor", page.after);
    return part_select(db,
                       "SELECT " ROUTE_COLUMNS
                       "WHERE r.position > CAST($1 AS BIGINT) ORDER BY r.position LIMIT $2",
                       &page, 3, route_json, NULL, out, e);
}

bool report_route(struct db *db, const char *name, json_t **out, struct err *e)
{
    return part_select_one(db, "SELECT " ROUTE_COLUMNS "WHERE r.name = $1", "route", name,
                           route_json, NULL, out, e);
}

/* ---- what explain asks for ---- */

static bool add_campaign(struct db *db, const char *name, json_t *j, struct err *e)
{
    struct stmt *s = db_stmt(
        db,
        "SELECT c.num, c.list_id, c.group_num, c.lane, c.tags, c.from_address, "
        "COALESCE(c.subject, t.subject), COALESCE(c.html, t.html), COALESCE(c.text, t.text) "
        "FROM campaign c LEFT JOIN template t ON t.id = c.template_id WHERE c.name = $1",
        e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "campaign", name, e))
        return false;
    json_object_set_new(j, "campaign_num", json_integer(db_i64(s, 0)));
    json_object_set_new(j, "list_id", json_integer(db_i64(s, 1)));
    json_object_set_new(j, "group_num", json_integer(db_i64(s, 2)));
    json_object_set_new(j, "stream", json_string(lane_name((enum lane)db_i64(s, 3))));
    json_object_set_new(j, "tags", part_column(s, 4));
    json_object_set_new(j, "from", part_column(s, 5));
    json_object_set_new(
        j, "size", json_integer((json_int_t)(db_text(s, 6).n + db_text(s, 7).n + db_text(s, 8).n)));
    db_reset(s);
    return true;
}

static bool add_fields(struct db *db, const char *key, json_t *j, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT fields FROM contact WHERE email = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_cstr(s, 1, key);
    if (!db_step(s, &row, e))
        return false;
    if (row)
        json_object_set_new(j, "fields", part_column(s, 0));
    db_reset(s);
    return true;
}

static bool add_credential(struct db *db, const char *name, json_t *j, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT num FROM api_key WHERE name = $1 AND revoked_at IS NULL", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "credential", name, e))
        return false;
    json_object_set_new(j, "credential_num", json_integer(db_i64(s, 0)));
    db_reset(s);
    return true;
}

static bool add_single(struct db *db, uint64_t id, json_t *j, char *key, size_t size, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT group_num, lane, COALESCE(header_from, from_address), tags,"
                             " size, credential_num, rcpt_key FROM message WHERE id = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!part_row(s, "message", "by that id", e))
        return false;
    json_object_set_new(j, "own_group", json_integer(db_i64(s, 0)));
    json_object_set_new(j, "stream", json_string(lane_name((enum lane)db_i64(s, 1))));
    json_object_set_new(j, "from", part_column(s, 2));
    json_object_set_new(j, "tags", part_column(s, 3));
    json_object_set_new(j, "size", json_integer(db_i64(s, 4)));
    json_object_set_new(j, "credential_num", json_integer(db_i64(s, 5)));
    str_copy(db_text(s, 6), key, size);
    db_reset(s);
    return true;
}

static bool add_of_campaign(struct db *db, const struct message_view *v, json_t *j, char *key,
                            size_t size, struct err *e)
{
    struct campaign_view c = {0};
    bool row = false;
    if (!message_view_campaign(db, v->campaign_num, &c, e) || !add_campaign(db, c.name, j, e))
        return false;
    struct stmt *s = db_stmt(db, "SELECT email FROM contact WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, v->contact_id);
    if (!db_step(s, &row, e))
        return false;
    str_copy(row ? db_text(s, 0) : STR_NONE, key, size);
    db_reset(s);
    return true;
}

bool report_message_facts(struct db *db, uint64_t id, json_t **out, struct err *e)
{
    bool begun, found = false;
    char key[400] = "";
    struct message_view v;
    *out = NULL;
    if (!part_begin(db, &begun, e))
        return false;
    json_t *j = json_object();
    bool ok = message_view_find(db, id, &v, &found, e) &&
              (v.campaign_num ? add_of_campaign(db, &v, j, key, sizeof key, e)
                              : add_single(db, id, j, key, sizeof key, e)) &&
              add_fields(db, key, j, e);
    part_end(db, begun);
    json_object_set_new(j, "to", json_string(key));
    if (!ok)
        json_decref(j);
    *out = ok ? j : NULL;
    return ok;
}

bool report_route_facts(struct db *db, const char *campaign, const char *credential,
                        const char *key, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    json_t *j = json_object();
    bool ok = (!campaign || add_campaign(db, campaign, j, e)) &&
              (!credential || add_credential(db, credential, j, e)) && add_fields(db, key, j, e);
    part_end(db, begun);
    if (!ok)
        json_decref(j);
    *out = ok ? j : NULL;
    return ok;
}
