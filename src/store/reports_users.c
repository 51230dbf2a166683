/* People who log in, and what was changed by whom. */
#include "store/reports_parts.h"

#include "model/user.h"

static json_t *user_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg, (void)db;
    return json_pack("{s:o, s:s, s:o, s:o}", "name", part_column(s, 0), "role",
                     user_role_name((enum user_role)db_i64(s, 1)), "created_at",
                     part_time(db_i64(s, 2)), "last_login_at", part_time(db_i64(s, 3)));
}

bool report_users(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db,
                       "SELECT name, role, created_at, last_login_at FROM user_account"
                       " WHERE name > $1 AND revoked_at IS NULL ORDER BY name LIMIT $2",
                       p, 0, user_json, NULL, out, e);
}

static json_t *audit_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg, (void)db;
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "seq", (json_int_t)db_i64(s, 0), "at",
                     part_time(db_i64(s, 1)), "actor", part_column(s, 2), "op", part_column(s, 3),
                     "subject", part_column(s, 4), "detail", part_json(s, 5));
}

/* Without a cursor the newest ones, in the order they came. */
bool report_audit(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    bool begun;
    uint64_t after = 0;
    bool given = p->after && *p->after;
    if (given && !str_to_u64(str_of(p->after), INT64_MAX, &after))
        return err_set(e, ERR_INVALID, "after: \"%.40s\" is no cursor", p->after);
    if (!part_begin(db, &begun, e))
        return false;
    struct stmt *s = db_stmt(db,
                             "SELECT seq, at, actor, op, subject, detail FROM audit WHERE seq >"
                             " CASE WHEN $1 < 0 THEN (SELECT COALESCE(max(seq), 0) FROM audit) -"
                             " $2 + 1 ELSE $1 END ORDER BY seq LIMIT $2",
                             e);
    bool ok = s != NULL;
    if (s) {
        db_bind_i64(s, 1, given ? (int64_t)after : -1);
        db_bind_i64(s, 2, (int64_t)part_limit(p) + 1);
        ok = part_page(db, s, part_limit(p), 0, audit_json, NULL, out, e);
    }
    part_end(db, begun);
    return ok;
}
