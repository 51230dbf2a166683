/* The limits beside those of servers, as people see them: what each is for, by name. */
#include "store/reports.h"
#include "store/reports_parts.h"

#include "model/server.h"
#include "store/limits.h"

static json_t *name_of(struct db *db, const char *sql, uint32_t num)
{
    bool row = false;
    struct err e;
    struct stmt *s = db_stmt(db, sql, &e);
    if (!s)
        return json_null();
    db_bind_i64(s, 1, num);
    json_t *name = db_step(s, &row, &e) && row ? part_column(s, 0) : json_null();
    db_reset(s);
    return name;
}

/* By kind, as fleet/fleet.h numbers them: the word and where its name is. */
static const struct {
    const char *kind, *field, *sql;
} subjects[] = {[1] = {"group", "group", "SELECT name FROM server_group WHERE num = $1"},
                [2] = {"campaign", "campaign", "SELECT name FROM campaign WHERE num = $1"},
                [3] = {"credential", "credential", "SELECT name FROM api_key WHERE num = $1"},
                [4] = {"provider", NULL, NULL},
                [5] = {"server_provider", "server", "SELECT name FROM server WHERE num = $1"}};

static json_t *live_of(const json_t *live, const struct limit_row *l, const char *kind)
{
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(live, "limits"), i, x)
    {
        const char *provider = json_string_value(json_object_get(x, "provider"));
        if (!strcmp(json_string_value(json_object_get(x, "kind")), kind) &&
            json_integer_value(json_object_get(x, "num")) == l->num && provider &&
            !strcmp(provider, l->provider))
            return json_incref(json_object_get(x, "quota"));
    }
    return json_array();
}

static json_t *limit_json(struct db *db, const json_t *live, const struct limit_row *l)
{
    const char *const fields[] = {"group", "campaign", "credential", "server"};
    const char *kind = l->kind >= 1 && l->kind <= 5 ? subjects[l->kind].kind : "?";
    json_t *j = json_pack("{s:s}", "kind", kind);
    for (size_t i = 0; i < countof(fields); i++) {
        bool is_it = l->kind >= 1 && l->kind <= 5 && subjects[l->kind].field &&
                     !strcmp(subjects[l->kind].field, fields[i]);
        json_object_set_new(j, fields[i],
                            is_it ? name_of(db, subjects[l->kind].sql, l->num) : json_null());
    }
    const struct limits *m = &l->limits;
    json_object_set_new(j, "provider", *l->provider ? json_string(l->provider) : json_null());
    json_object_set_new(j, "per_second", part_count(m->per_second, true));
    json_object_set_new(j, "per_minute", part_count(m->per_minute, true));
    json_object_set_new(j, "per_hour", part_count(m->per_hour, true));
    json_object_set_new(j, "per_day", part_count(m->per_day, true));
    json_object_set_new(j, "per_month", part_count(m->per_month, true));
    json_object_set_new(j, "calendar", m->calendar ? json_string(m->calendar) : json_null());
    json_object_set_new(j, "spread", json_string(spread_name(m->spread)));
    json_object_set_new(j, "quota", live_of(live, l, kind));
    return j;
}

bool report_limits(struct db *db, const json_t *live, json_t **out, struct err *e)
{
    struct limit_row *rows = NULL;
    size_t n = 0;
    bool ok = limits_load(db, &rows, &n, e);
    json_t *all = json_array();
    for (size_t i = 0; ok && i < n; i++)
        json_array_append_new(all, limit_json(db, live, &rows[i]));
    limits_free_rows(rows, n);
    *out = json_pack("{s:o, s:n, s:b}", "data", all, "next", "has_more", 0);
    return ok;
}
