/* Table api_key: see keys.h. A key has 256 random bits, so a plain hash is enough to look it up by,
 * and a comparison in the index tells nothing that helps to guess one. */
#include "store/keys.h"

#include "base/alloc.h"
#include "base/codec.h"
#include "base/rand.h"
#include "base/secret.h"
#include "store/fields.h"
#include "store/names.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_BYTES  32
#define KEY_BYTES   32
#define PREFIX_LIVE "pf_live_"
#define PREFIX_TEST "pf_test_"
#define HINT_BYTES  12
#define LISTS_MAX   16384
#define COLUMNS     "id, name, hint, test, scopes, groups, created_at, expires_at, revoked_at"

struct api_key *keys_new(void)
{
    return alloc_one(struct api_key);
}

static void free_strings(char **s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(s[i]);
    free(s);
}

void keys_free(struct api_key **kp)
{
    struct api_key *k = *kp;
    *kp = NULL;
    if (!k)
        return;
    free(k->name);
    free_strings(k->scopes, k->n_scopes);
    free_strings(k->groups, k->n_groups);
    free(k);
}

static void hash_key(struct str key, uint8_t out[HASH_BYTES])
{
    (void)crypto_generichash(out, HASH_BYTES, (const uint8_t *)key.p, key.n, NULL, 0);
}

static void make_key(bool test, char out[KEYS_TEXT_MAX])
{
    uint8_t bytes[KEY_BYTES];
    struct buf b;
    buf_init(&b, KEYS_TEXT_MAX);
    rand_secret(bytes, sizeof bytes);
    (void)buf_adds(&b, test ? PREFIX_TEST : PREFIX_LIVE);
    (void)codec_base64url_add(&b, bytes, sizeof bytes);
    (void)str_copy(buf_str(&b), out, KEYS_TEXT_MAX);
    secret_wipe(bytes, sizeof bytes);
    secret_wipe(b.p, b.n);
    buf_free(&b);
}

static bool bind_lists(struct stmt *st, const struct api_key *k, struct err *e)
{
    struct buf b;
    buf_init(&b, LISTS_MAX);
    bool ok = fields_write_strings(k->scopes, k->n_scopes, &b);
    db_bind_text(st, 5, buf_str(&b));
    buf_clear(&b);
    ok = ok && fields_write_strings(k->groups, k->n_groups, &b);
    db_bind_text(st, 6, b.n ? buf_str(&b) : STR_NONE);
    buf_free(&b);
    return ok || err_set(e, ERR_TOO_BIG, "key %s: scopes or groups are too long", k->name);
}

static bool check_key(const struct api_key *k, struct err *e)
{
    if (!names_check("key", k->name, e))
        return false;
    if (!k->n_scopes || k->n_scopes > KEYS_SCOPES_MAX || k->n_groups > KEYS_GROUPS_MAX)
        return err_set(e, ERR_INVALID, "key %s: from 1 to %d scopes and at most %d groups", k->name,
                       KEYS_SCOPES_MAX, KEYS_GROUPS_MAX);
    return true;
}

bool keys_create(struct db *db, struct api_key *k, char key_out[KEYS_TEXT_MAX], struct err *e)
{
    uint8_t hash[HASH_BYTES];
    struct err own = {0};
    key_out[0] = 0;
    if (!check_key(k, e))
        return false;
    struct stmt *st = db_stmt(db,
                              "INSERT INTO api_key (id, name, hint, test, scopes, groups, "
                              "created_at, expires_at, hash, num) VALUES ($1, $2, $3, $4, $5, "
                              "$6, $7, $8, $9, (SELECT COALESCE(max(num), 0) + 1 FROM api_key))",
                              e);
    if (!st || !bind_lists(st, k, e))
        return false;
    make_key(k->test, key_out);
    (void)snprintf(k->hint, sizeof k->hint, "%.*s", HINT_BYTES, key_out);
    hash_key(str_of(key_out), hash);
    db_bind_i64(st, 1, (int64_t)k->id);
    db_bind_cstr(st, 2, k->name);
    db_bind_cstr(st, 3, k->hint);
    db_bind_i64(st, 4, k->test);
    db_bind_i64(st, 7, k->created_at);
    if (k->expires_at)
        db_bind_i64(st, 8, k->expires_at);
    db_bind_blob(st, 9, str_from((const char *)hash, sizeof hash));
    if (db_run(st, &own))
        return true;
    secret_wipe(key_out, KEYS_TEXT_MAX);
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a key named %s already", k->name);
    return err_set(e, own.code, "%s", own.text);
}

static bool read_row(struct stmt *st, struct api_key **out, struct err *e)
{
    struct api_key *k = keys_new();
    k->id = (uint64_t)db_i64(st, 0);
    k->name = str_dup(db_text(st, 1));
    (void)str_copy(db_text(st, 2), k->hint, sizeof k->hint);
    k->test = db_i64(st, 3) != 0;
    k->created_at = db_i64(st, 6);
    k->expires_at = db_i64(st, 7);
    k->revoked_at = db_i64(st, 8);
    if (!fields_read_strings(db_text(st, 4), KEYS_SCOPES_MAX, &k->scopes, &k->n_scopes, e) ||
        !fields_read_strings(db_text(st, 5), KEYS_GROUPS_MAX, &k->groups, &k->n_groups, e))
        keys_free(&k);
    *out = k;
    return k != NULL;
}

bool keys_check(struct db *db, struct str key, int64_t now_ms, struct api_key **out, struct err *e)
{
    uint8_t hash[HASH_BYTES];
    bool row = false;
    *out = NULL;
    bool shaped = key.n < KEYS_TEXT_MAX &&
                  (str_starts(key, STR(PREFIX_LIVE)) || str_starts(key, STR(PREFIX_TEST)));
    if (shaped) {
        struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM api_key WHERE hash = $1", e);
        if (!st)
            return false;
        hash_key(key, hash);
        db_bind_blob(st, 1, str_from((const char *)hash, sizeof hash));
        if (!db_step(st, &row, e) || (row && !read_row(st, out, e)))
            return false;
        db_reset(st);
    }
    struct api_key *k = *out;
    if (k && !k->revoked_at && (!k->expires_at || now_ms < k->expires_at))
        return true;
    keys_free(out);
    return err_set(e, ERR_NOT_ALLOWED, "the key is not valid");
}

bool keys_has_scope(const struct api_key *k, const char *scope)
{
    for (size_t i = 0; i < k->n_scopes; i++)
        if (strcmp(k->scopes[i], scope) == 0)
            return true;
    return false;
}

bool keys_each(struct db *db, bool (*each)(void *arg, const struct api_key *k), void *arg,
               struct err *e)
{
    bool row = false, more = true, ok = true;
    struct stmt *st =
        db_stmt(db, "SELECT " COLUMNS " FROM api_key WHERE kind = 0 ORDER BY name", e);
    if (!st)
        return false;
    while (more && (ok = db_step(st, &row, e)) && row) {
        struct api_key *k = NULL;
        ok = read_row(st, &k, e);
        more = ok && each(arg, k);
        keys_free(&k);
    }
    db_reset(st);
    return ok;
}

bool keys_revoke(struct db *db, const char *name, int64_t now_ms, struct err *e)
{
    struct stmt *st = db_stmt(db,
                              "UPDATE api_key SET revoked_at = $2, name = name || '~' || "
                              "CAST(id AS TEXT) WHERE name = $1 AND revoked_at IS NULL"
                              " AND kind = 0",
                              e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    db_bind_i64(st, 2, now_ms);
    return db_run(st, e) &&
           (db_changes(db) == 1 || err_set(e, ERR_NOT_FOUND, "there is no key %.80s", name));
}

bool keys_num_of_actor(struct db *db, const char *actor, uint32_t *num_out, struct err *e)
{
    bool row = false;
    *num_out = 0;
    if (!actor || strncmp(actor, "key:", 4) != 0)
        return true;
    struct stmt *st =
        db_stmt(db, "SELECT num FROM api_key WHERE name = $1 AND revoked_at IS NULL", e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, actor + 4);
    if (!db_step(st, &row, e))
        return false;
    *num_out = row ? (uint32_t)db_i64(st, 0) : 0;
    db_reset(st);
    return true;
}
