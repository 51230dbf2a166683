/* Table credential and its rows in api_key: see credentials.h. */
#include "store/credentials.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/secret.h"
#include "model/message.h"
#include "store/fields.h"
#include "store/latency.h"
#include "store/names.h"
#include "store/reports_parts.h"

#include <stdlib.h>

#define LISTS_MAX 32768
#define COLUMNS                                                                                    \
    "k.id, k.num, k.name, c.group_num, COALESCE(g.name, ''), c.lane, c.from_domains, c.ips,"       \
    " c.size_max, k.created_at, k.expires_at, c.salt, c.iterations, c.stored_key, c.server_key,"   \
    " k.revoked_at"
#define FROM                                                                                       \
    " FROM api_key k JOIN credential c ON c.num = k.num LEFT JOIN server_group g ON"               \
    " g.num = c.group_num AND g.removed_at IS NULL WHERE k.kind = 1"

struct credential *credentials_new(void)
{
    return alloc_one(struct credential);
}

static void free_strings(char **s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(s[i]);
    free(s);
}

void credentials_free(struct credential **cp)
{
    struct credential *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    free(c->name);
    free(c->group);
    free_strings(c->from_domains, c->n_from_domains);
    free_strings(c->ips, c->n_ips);
    secret_wipe(c, sizeof *c);
    free(c);
}

/* ---- writing */

/* The hash of no key: whoever finds a key with it has broken more than us. */
static bool insert_key(struct db *db, struct credential *c, struct err *e)
{
    uint8_t nobody[CREDENTIALS_KEY_BYTES];
    struct err own = {0};
    struct stmt *s = db_stmt(db,
                             "INSERT INTO api_key (id, name, hint, test, scopes, groups,"
                             " created_at, expires_at, hash, num, kind) VALUES ($1, $2, 'SMTP', 0,"
                             " '[]', NULL, $3, $4, $5, $6, 1)",
                             e);
    if (!s)
        return false;
    rand_secret(nobody, sizeof nobody);
    db_bind_i64(s, 1, (int64_t)c->id);
    db_bind_cstr(s, 2, c->name);
    db_bind_i64(s, 3, c->created_at);
    if (c->expires_at)
        db_bind_i64(s, 4, c->expires_at);
    db_bind_blob(s, 5, str_from((const char *)nobody, sizeof nobody));
    db_bind_i64(s, 6, c->num);
    if (db_run(s, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a credential or key named %s already", c->name);
    return err_set(e, own.code, "%s", own.text);
}

static bool next_num(struct db *db, uint32_t *out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT COALESCE(max(num), 0) + 1 FROM api_key", e);
    if (!s || !db_step(s, &row, e))
        return false;
    *out = (uint32_t)db_i64(s, 0);
    db_reset(s);
    return true;
}

static bool bind_list(struct stmt *s, int at, char *const *list, size_t n, struct err *e)
{
    struct buf b;
    buf_init(&b, LISTS_MAX);
    bool ok = fields_write_strings(list, n, &b);
    db_bind_text(s, at, n ? buf_str(&b) : STR_NONE);
    buf_free(&b);
    return ok || err_set(e, ERR_TOO_BIG, "the From domains or networks are too long");
}

static bool insert_rights(struct db *db, const struct credential *c, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO credential (num, group_num, lane, from_domains, ips,"
                             " size_max, salt, iterations, stored_key, server_key) VALUES ($1, $2,"
                             " $3, $4, $5, $6, $7, $8, $9, $10)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, c->num);
    db_bind_i64(s, 2, c->group_num);
    db_bind_i64(s, 3, c->lane);
    if (!bind_list(s, 4, c->from_domains, c->n_from_domains, e) ||
        !bind_list(s, 5, c->ips, c->n_ips, e))
        return false;
    db_bind_i64(s, 6, (int64_t)c->size_max);
    db_bind_blob(s, 7, str_from((const char *)c->salt, sizeof c->salt));
    db_bind_i64(s, 8, c->iterations);
    db_bind_blob(s, 9, str_from((const char *)c->stored_key, sizeof c->stored_key));
    db_bind_blob(s, 10, str_from((const char *)c->server_key, sizeof c->server_key));
    return db_run(s, e);
}

bool credentials_create(struct db *db, struct credential *c, struct err *e)
{
    return names_check("credential", c->name, e) && next_num(db, &c->num, e) &&
           insert_key(db, c, e) && insert_rights(db, c, e);
}

bool credentials_revoke(struct db *db, const char *name, int64_t now_ms, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE api_key SET revoked_at = $2, name = name || '~' ||"
                             " CAST(id AS TEXT) WHERE name = $1 AND revoked_at IS NULL AND"
                             " kind = 1",
                             e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    db_bind_i64(s, 2, now_ms);
    return db_run(s, e) &&
           (db_changes(db) == 1 || err_set(e, ERR_NOT_FOUND, "there is no credential %.80s", name));
}

/* ---- reading */

static bool copy_bytes(struct str s, uint8_t *out, size_t n)
{
    if (s.n != n)
        return false;
    memcpy(out, s.p, n);
    return true;
}

static bool read_row(struct stmt *s, struct credential **out, struct err *e)
{
    struct credential *c = credentials_new();
    c->id = (uint64_t)db_i64(s, 0);
    c->num = (uint32_t)db_i64(s, 1);
    c->name = str_dup(db_text(s, 2));
    c->group_num = (uint32_t)db_i64(s, 3);
    c->group = str_dup(db_text(s, 4));
    c->lane = (enum lane)db_i64(s, 5);
    c->size_max = (uint64_t)db_i64(s, 8);
    c->created_at = db_i64(s, 9);
    c->expires_at = db_i64(s, 10);
    c->iterations = (uint32_t)db_i64(s, 12);
    bool ok = copy_bytes(db_blob(s, 11), c->salt, sizeof c->salt) &&
              copy_bytes(db_blob(s, 13), c->stored_key, sizeof c->stored_key) &&
              copy_bytes(db_blob(s, 14), c->server_key, sizeof c->server_key);
    if (!ok)
        err_set(e, ERR_CORRUPT, "credential %s: its keys cannot be read", c->name);
    ok = ok &&
         fields_read_strings(db_text(s, 6), CREDENTIALS_LIST_MAX, &c->from_domains,
                             &c->n_from_domains, e) &&
         fields_read_strings(db_text(s, 7), CREDENTIALS_LIST_MAX, &c->ips, &c->n_ips, e);
    if (!ok)
        credentials_free(&c);
    *out = c;
    return ok;
}

bool credentials_load(struct db *db, struct credential ***out, size_t *n_out, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT " COLUMNS FROM " AND k.revoked_at IS NULL ORDER BY k.name", e);
    size_t n = 0, cap = 0;
    struct credential **all = NULL;
    bool row = false, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row && n < CREDENTIALS_MAX) {
        if (n == cap)
            all = alloc_resize(all, (cap = cap ? 2 * cap : 16) * sizeof *all);
        ok = read_row(s, &all[n], e);
        n += ok;
    }
    if (s)
        db_reset(s);
    for (size_t i = 0; !ok && i < n; i++)
        credentials_free(&all[i]);
    if (!ok) {
        free(all);
        return false;
    }
    *out = all;
    *n_out = n;
    return true;
}

bool credentials_get(struct db *db, const char *name, struct credential **out, struct err *e)
{
    bool row = false;
    struct stmt *s =
        db_stmt(db, "SELECT " COLUMNS FROM " AND k.revoked_at IS NULL AND k.name = $1", e);
    *out = NULL;
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!db_step(s, &row, e))
        return false;
    bool ok =
        row ? read_row(s, out, e) : err_set(e, ERR_NOT_FOUND, "there is no credential %.80s", name);
    db_reset(s);
    return ok;
}

static json_t *credential_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg;
    json_t *latency = NULL;
    struct err e;
    int64_t expires = db_i64(s, 10), revoked = db_i64(s, 15);
    json_t *domains = part_json(s, 6), *ips = part_json(s, 7);
    if (!latency_report(db, (uint32_t)db_i64(s, 1), clock_wall_ms(), &latency, &e))
        latency = json_null();
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:o}", "name",
                     part_column(s, 2), "user", part_column(s, 2), "group", part_column(s, 4),
                     "stream", lane_name((enum lane)db_i64(s, 5)), "from_domains", domains, "ips",
                     ips, "size_max", (json_int_t)db_i64(s, 8), "created_at",
                     part_time(db_i64(s, 9)), "expires_at", part_time(expires), "revoked_at",
                     part_time(revoked), "latency", latency);
}

bool report_credentials(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db, "SELECT " COLUMNS FROM " AND k.name > $1 ORDER BY k.name LIMIT $2", p, 2,
                       credential_json, NULL, out, e);
}

bool report_credential(struct db *db, const char *name, json_t **out, struct err *e)
{
    return part_select_one(db, "SELECT " COLUMNS FROM " AND k.name = $1", "credential", name,
                           credential_json, NULL, out, e);
}
