/* See routes.h. Positions have gaps, so that most rules move by one update. */
#include "store/routes.h"

#include "base/alloc.h"
#include "store/names.h"
#include "store/reports_parts.h"

#include <stdlib.h>

#define GAP (1 << 20)

void route_rows_free(struct route **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        route_free(&list[i]);
    free(list);
}

/* ---- places ---- */

static bool one_number(struct db *db, const char *sql, int64_t a, int64_t b, int64_t *out,
                       bool *found_out, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, a);
    db_bind_i64(s, 2, b);
    if (!db_step(s, &row, e))
        return false;
    *out = row ? db_i64(s, 0) : 0;
    *found_out = row && !db_is_null(s, 0);
    db_reset(s);
    return true;
}

static bool set_position(struct db *db, uint32_t num, int64_t position, struct err *e)
{
    struct stmt *s = db_stmt(db, "UPDATE route SET position = $2 WHERE num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, position);
    return db_run(s, e);
}

static bool spread_out(struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT num FROM route ORDER BY position, num", e);
    uint32_t *nums = alloc_many(uint32_t, ROUTES_MAX + 1);
    size_t n = 0;
    bool row = false, ok = s != NULL;
    while (ok && n <= ROUTES_MAX && (ok = db_step(s, &row, e)) && row)
        nums[n++] = (uint32_t)db_i64(s, 0);
    if (s)
        db_reset(s);
    for (size_t i = 0; ok && i < n; i++)
        ok = set_position(db, nums[i], (int64_t)(i + 1) * GAP, e);
    free(nums);
    return ok;
}

static bool position_of(struct db *db, const char *name, int64_t *out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT position FROM route WHERE name = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "route", name, e))
        return false;
    *out = db_i64(s, 0);
    db_reset(s);
    return true;
}

static bool last_place(struct db *db, uint32_t but, int64_t *out, struct err *e)
{
    int64_t last = 0;
    bool found = false;
    if (!one_number(db, "SELECT max(position) FROM route WHERE num <> $1 AND position > $2", but,
                    -1, &last, &found, e))
        return false;
    *out = last + GAP;
    return true;
}

/* A place right before the named rule, for rule `but`, which leaves its own. */
static bool place_before(struct db *db, const char *before, uint32_t but, int64_t *out,
                         struct err *e)
{
    int64_t next = 0, last = 0;
    bool found = false;
    if (!before)
        return last_place(db, but, out, e);
    for (int turn = 0; turn < 2; turn++) {
        if (!position_of(db, before, &next, e) ||
            !one_number(db, "SELECT max(position) FROM route WHERE position < $1 AND num <> $2",
                        next, but, &last, &found, e))
            return false;
        *out = last + (next - last) / 2;
        if (*out > last && *out < next)
            return true;
        if (!spread_out(db, e))
            return false;
    }
    return err_set(e, ERR_FAILED, "route %.80s: there is no room before it", before);
}

/* ---- writing ---- */

static bool write_terms(struct db *db, const struct route *r, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM route_term WHERE route_num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->num);
    if (!db_run(s, e))
        return false;
    for (size_t i = 0; i < r->n_terms; i++) {
        const struct route_term *t = &r->terms[i];
        s = db_stmt(db,
                    "INSERT INTO route_term (route_num, position, field, low, high, text) "
                    "VALUES ($1, $2, $3, $4, $5, $6)",
                    e);
        if (!s)
            return false;
        db_bind_i64(s, 1, r->num);
        db_bind_i64(s, 2, (int64_t)i);
        db_bind_i64(s, 3, t->field);
        db_bind_i64(s, 4, (int64_t)t->low);
        db_bind_i64(s, 5, (int64_t)t->high);
        db_bind_cstr(s, 6, t->text);
        if (!db_run(s, e))
            return false;
    }
    return true;
}

static bool run_named(struct stmt *s, const char *name, struct err *e)
{
    struct err own = {0};
    if (db_run(s, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a route named %s already", name);
    return err_set(e, own.code, "%s", own.text);
}

static bool check_rule(const struct route *r, struct err *e)
{
    if (!names_check("route", r->name, e))
        return false;
    return r->n_terms <= ROUTE_TERMS_MAX ||
           err_set(e, ERR_INVALID, "route %s: over %d values in its conditions", r->name,
                   ROUTE_TERMS_MAX);
}

bool route_rows_add(struct db *db, struct route *r, const char *before, int64_t now_ms,
                    struct err *e)
{
    int64_t count = 0, num = 0, position = 0;
    bool found = false;
    if (!check_rule(r, e) ||
        !one_number(db, "SELECT count(*) FROM route WHERE num > $1 AND num <> $2", 0, 0, &count,
                    &found, e) ||
        !one_number(db, "SELECT max(num) FROM route WHERE num > $1 AND num <> $2", 0, 0, &num,
                    &found, e))
        return false;
    if (count >= ROUTES_MAX)
        return err_set(e, ERR_REFUSED, "there are %d routes already, which is the most",
                       ROUTES_MAX);
    if (!place_before(db, before, 0, &position, e))
        return false;
    r->num = (uint32_t)num + 1;
    struct stmt *s = db_stmt(db,
                             "INSERT INTO route (num, id, name, position, group_num, created_at, "
                             "updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->num);
    db_bind_i64(s, 2, (int64_t)r->id);
    db_bind_cstr(s, 3, r->name);
    db_bind_i64(s, 4, position);
    db_bind_i64(s, 5, r->group_num);
    db_bind_i64(s, 6, now_ms);
    return run_named(s, r->name, e) && write_terms(db, r, e);
}

bool route_rows_update(struct db *db, const struct route *r, int64_t now_ms, struct err *e)
{
    if (!check_rule(r, e))
        return false;
    struct stmt *s = db_stmt(
        db, "UPDATE route SET name = $2, group_num = $3, updated_at = $4 WHERE num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->num);
    db_bind_cstr(s, 2, r->name);
    db_bind_i64(s, 3, r->group_num);
    db_bind_i64(s, 4, now_ms);
    return run_named(s, r->name, e) && write_terms(db, r, e);
}

bool route_rows_move(struct db *db, uint32_t num, const char *before, struct err *e)
{
    int64_t position = 0;
    return place_before(db, before, num, &position, e) && set_position(db, num, position, e);
}

bool route_rows_remove(struct db *db, const char *name, struct err *e)
{
    struct route *r = NULL;
    if (!route_rows_get(db, name, &r, e))
        return false;
    uint32_t num = r->num;
    route_free(&r);
    struct stmt *s = db_stmt(db, "DELETE FROM route_term WHERE route_num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    if (!db_run(s, e) || !(s = db_stmt(db, "DELETE FROM route WHERE num = $1", e)))
        return false;
    db_bind_i64(s, 1, num);
    return db_run(s, e);
}

/* ---- reading ---- */

static struct route *read_row(struct stmt *s)
{
    struct route *r = route_new();
    r->num = (uint32_t)db_i64(s, 0);
    r->id = (uint64_t)db_i64(s, 1);
    r->name = str_dup(db_text(s, 2));
    r->group_num = (uint32_t)db_i64(s, 3);
    return r;
}

static bool read_term(struct stmt *s, struct route *r, struct err *e)
{
    int64_t field = db_i64(s, 1);
    bool needs_text =
        field >= 0 && field < ROUTE_FIELDS && route_field_is_text((enum route_field)field);
    if (field < 0 || field >= ROUTE_FIELDS || (needs_text && db_is_null(s, 4)))
        return err_set(e, ERR_CORRUPT, "route %s: its stored conditions make no sense", r->name);
    route_add_term(r, (enum route_field)field, (uint64_t)db_i64(s, 2), (uint64_t)db_i64(s, 3),
                   db_is_null(s, 4) ? NULL : str_dup(db_text(s, 4)));
    return true;
}

bool route_rows_get(struct db *db, const char *name, struct route **out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT num, id, name, group_num FROM route WHERE name = $1", e);
    bool row = false, ok = true;
    *out = NULL;
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "route", name, e))
        return false;
    *out = read_row(s);
    db_reset(s);
    s = db_stmt(db,
                "SELECT route_num, field, low, high, text FROM route_term WHERE route_num = $1 "
                "ORDER BY position",
                e);
    if (s)
        db_bind_i64(s, 1, (*out)->num);
    while (s && (ok = db_step(s, &row, e)) && row && (ok = read_term(s, *out, e)))
        ;
    if (s)
        db_reset(s);
    if (!s || !ok)
        route_free(out);
    return s && ok;
}

static bool read_rules(struct db *db, struct route ***list, size_t *n, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT num, id, name, group_num FROM route ORDER BY position, num", e);
    size_t cap = 0;
    bool row = false, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        if (*n == cap)
            *list = alloc_resize(*list, (cap = MAX(cap * 2, (size_t)16)) * sizeof **list);
        (*list)[(*n)++] = read_row(s);
    }
    if (s)
        db_reset(s);
    return ok;
}

static bool read_terms(struct db *db, struct route **list, size_t n, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT t.route_num, t.field, t.low, t.high, t.text FROM route r JOIN "
                             "route_term t ON t.route_num = r.num ORDER BY r.position, r.num, "
                             "t.position",
                             e);
    size_t i = 0;
    bool row = false, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        while (i < n && list[i]->num != (uint32_t)db_i64(s, 0))
            i++;
        ok = i < n && read_term(s, list[i], e);
    }
    if (s)
        db_reset(s);
    return ok;
}

bool route_rows_list(struct db *db, struct route ***out, size_t *n_out, struct err *e)
{
    struct route **list = NULL;
    size_t n = 0;
    *out = NULL;
    *n_out = 0;
    if (!read_rules(db, &list, &n, e) || !read_terms(db, list, n, e)) {
        route_rows_free(list, n);
        return false;
    }
    *out = list;
    *n_out = n;
    return true;
}

/* ---- what names stand for ---- */

static const char *value_sql(enum route_field field)
{
    switch (field) {
    case ROUTE_CAMPAIGN: return "SELECT num FROM campaign WHERE name = $1";
    case ROUTE_LIST: return "SELECT id FROM list WHERE name = $1";
    default: return "SELECT num FROM api_key WHERE name = $1 AND revoked_at IS NULL";
    }
}

bool route_rows_value(struct db *db, enum route_field field, const char *name, uint64_t *value_out,
                      struct err *e)
{
    struct stmt *s = db_stmt(db, value_sql(field), e);
    bool row = false;
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!db_step(s, &row, e))
        return false;
    *value_out = row ? (uint64_t)db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

static const char *names_sql(enum route_field field)
{
    switch (field) {
    case ROUTE_CAMPAIGN: return "SELECT name FROM campaign ORDER BY num DESC LIMIT 1000";
    case ROUTE_LIST: return "SELECT name FROM list ORDER BY id DESC LIMIT 1000";
    case ROUTE_CREDENTIAL:
        return "SELECT name FROM api_key WHERE revoked_at IS NULL ORDER BY num DESC LIMIT 1000";
    default:
        return "SELECT name FROM server_group WHERE removed_at IS NULL ORDER BY num DESC LIMIT "
               "1000";
    }
}

bool route_rows_names(struct db *db, enum route_field field,
                      void (*each)(void *arg, const char *name), void *arg, struct err *e)
{
    struct stmt *s = db_stmt(db, names_sql(field), e);
    char name[NAMES_MAX + 1];
    bool row = false, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        (void)str_copy(db_text(s, 0), name, sizeof name);
        each(arg, name);
    }
    if (s)
        db_reset(s);
    return ok;
}

bool route_rows_of_lists(struct db *db,
                         void (*each)(void *arg, uint64_t list_id, uint32_t group_num), void *arg,
                         struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT l.id, l.group_num FROM list l JOIN server_group g "
                             "ON g.num = l.group_num WHERE g.removed_at IS NULL",
                             e);
    bool row = false, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row)
        each(arg, (uint64_t)db_i64(s, 0), (uint32_t)db_i64(s, 1));
    if (s)
        db_reset(s);
    return ok;
}
