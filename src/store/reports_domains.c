/* Domains as JSON: keys without their private half, and what the last check found. */
#include "model/domain.h"
#include "store/reports.h"
#include "store/reports_parts.h"

#define COLUMNS "name, num, lifetime_ms, checked_at, findings, created_at"

static json_t *key_json(struct stmt *s)
{
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "selector", part_column(s, 0), "algorithm",
                     dkim_algorithm_name((enum dkim_algorithm)db_i64(s, 1)), "state",
                     dkim_key_state_name((enum dkim_key_state)db_i64(s, 2)), "public",
                     part_column(s, 3), "created_at", part_time(db_i64(s, 4)), "changed_at",
                     part_time(db_i64(s, 5)));
}

static json_t *keys_json(struct db *db, int64_t num)
{
    struct err e;
    bool row = false;
    json_t *list = json_array();
    struct stmt *s = db_stmt(db,
                             "SELECT selector, algorithm, state, public, created_at, changed_at "
                             "FROM dkim_key WHERE domain_num = $1 ORDER BY id",
                             &e);
    if (!s)
        return list;
    db_bind_i64(s, 1, num);
    while (db_step(s, &row, &e) && row)
        json_array_append_new(list, key_json(s));
    db_reset(s);
    return list;
}

static json_t *domain_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg;
    json_t *findings = part_json(s, 4);
    json_t *state = json_object_get(findings, "state");
    json_t *j =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", part_column(s, 0), "state",
                  state ? json_incref(state) : json_string("unchecked"), "expires_ms",
                  part_count((uint64_t)db_i64(s, 2), true), "checked_at", part_time(db_i64(s, 3)),
                  "created_at", part_time(db_i64(s, 5)), "keys", keys_json(db, db_i64(s, 1)));
    json_object_set_new(j, "check", findings);
    return j;
}

bool report_domains(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db, "SELECT " COLUMNS " FROM domain WHERE name > $1 ORDER BY name LIMIT $2",
                       p, 0, domain_json, NULL, out, e);
}

bool report_domain(struct db *db, const char *name, json_t **out, struct err *e)
{
    return part_select_one(db, "SELECT " COLUMNS " FROM domain WHERE name = $1", "domain", name,
                           domain_json, NULL, out, e);
}
