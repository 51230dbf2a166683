/* Tables user_account and session: see users.h. */
#include "store/users.h"

#include "base/buf.h"
#include "base/codec.h"
#include "base/rand.h"
#include "base/secret.h"
#include "store/names.h"

#include <sodium.h>

#define HASH_BYTES  32
#define TOKEN_BYTES 32
#define COLUMNS     "id, num, name, role, password, created_at, updated_at, last_login_at"

static bool read_row(struct stmt *s, struct user *u)
{
    *u = (struct user){.id = (uint64_t)db_i64(s, 0),
                       .num = (uint32_t)db_i64(s, 1),
                       .role = (enum user_role)db_i64(s, 3),
                       .created_at = db_i64(s, 5),
                       .updated_at = db_i64(s, 6),
                       .last_login_at = db_i64(s, 7)};
    return str_copy(db_text(s, 2), u->name, sizeof(u->name)) &&
           str_copy(db_text(s, 4), u->password, sizeof(u->password)) &&
           (unsigned)u->role < USER_ROLE_COUNT;
}

bool users_create(struct db *db, struct user *u, struct err *e)
{
    struct err own = {0};
    if (!names_check("user", u->name, e))
        return false;
    struct stmt *s = db_stmt(db,
                             "INSERT INTO user_account (num, id, name, role, password, created_at,"
                             " updated_at) VALUES ((SELECT COALESCE(max(num), 0) + 1 FROM"
                             " user_account), $1, $2, $3, $4, $5, $5)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)u->id);
    db_bind_cstr(s, 2, u->name);
    db_bind_i64(s, 3, u->role);
    db_bind_cstr(s, 4, u->password);
    db_bind_i64(s, 5, u->created_at);
    if (db_run(s, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a user named %s already", u->name);
    return err_set(e, own.code, "%s", own.text);
}

bool users_get(struct db *db, const char *name, struct user *out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(
        db, "SELECT " COLUMNS " FROM user_account WHERE name = $1 AND revoked_at IS NULL", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!db_step(s, &row, e))
        return false;
    bool ok = row && read_row(s, out);
    db_reset(s);
    if (row && !ok)
        return err_set(e, ERR_CORRUPT, "user %.80s: its row cannot be read", name);
    return ok || err_set(e, ERR_NOT_FOUND, "there is no user %.80s", name);
}

bool users_update(struct db *db, const struct user *u, struct err *e)
{
    struct stmt *s = db_stmt(
        db, "UPDATE user_account SET role = $2, password = $3, updated_at = $4 WHERE num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, u->num);
    db_bind_i64(s, 2, u->role);
    db_bind_cstr(s, 3, u->password);
    db_bind_i64(s, 4, u->updated_at);
    return db_run(s, e);
}

bool users_revoke(struct db *db, const struct user *u, int64_t now_ms, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE user_account SET revoked_at = $2, name = name || '~' ||"
                             " CAST(id AS TEXT) WHERE num = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, u->num);
    db_bind_i64(s, 2, now_ms);
    return db_run(s, e) && users_end_sessions(db, u->num, e);
}

bool users_count_owners(struct db *db, uint64_t *out, struct err *e)
{
    bool row = false;
    struct stmt *s =
        db_stmt(db, "SELECT count(*) FROM user_account WHERE role = $1 AND revoked_at IS NULL", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, USER_OWNER);
    if (!db_step(s, &row, e))
        return false;
    *out = (uint64_t)db_i64(s, 0);
    db_reset(s);
    return true;
}

/* ---- passwords ---- */

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

bool users_hash_password(struct str password, char out[USERS_HASH_MAX], struct err *e)
{
    _Static_assert(USERS_HASH_MAX >= crypto_pwhash_STRBYTES, "room for the hash");
    if (!str_is_utf8(password) || characters(password) < USER_PASSWORD_MIN ||
        password.n > USER_PASSWORD_MAX)
        return err_set(e, ERR_INVALID,
                       "password: must have %d characters at least, %d bytes at most",
                       USER_PASSWORD_MIN, USER_PASSWORD_MAX);
    if (crypto_pwhash_str(out, password.p, password.n, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                          crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0)
        return true;
    return err_set(e, ERR_LATER, "password: no memory is left to hash it; try again");
}

/* Of no password: what a login of an unknown user is measured against, so that it takes as long. */
static const char *nobody(void)
{
    return "$argon2id$v=19$m=65536,t=2,p=1$"
           "c29tZSBzYWx0IG9mIG91cg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
}

bool users_check_password(struct str password, const char *hash)
{
    if (password.n > USER_PASSWORD_MAX)
        return false;
    bool same = crypto_pwhash_str_verify(hash ? hash : nobody(), password.p ? password.p : "",
                                         password.n) == 0;
    return hash && same;
}

/* ---- sessions ---- */

static void hash_token(struct str token, uint8_t out[HASH_BYTES])
{
    (void)crypto_generichash(out, HASH_BYTES, (const uint8_t *)token.p, token.n, NULL, 0);
}

void users_token(char out[USERS_TOKEN_MAX])
{
    uint8_t bytes[TOKEN_BYTES];
    struct buf b;
    buf_init(&b, USERS_TOKEN_MAX);
    rand_secret(bytes, sizeof(bytes));
    (void)buf_adds(&b, USERS_TOKEN);
    (void)codec_base64url_add(&b, bytes, sizeof(bytes));
    (void)str_copy(buf_str(&b), out, USERS_TOKEN_MAX);
    secret_wipe(bytes, sizeof(bytes));
    secret_wipe(b.p, b.n);
    buf_free(&b);
}

static bool note_login(struct db *db, uint32_t num, int64_t now_ms, struct err *e)
{
    struct stmt *s = db_stmt(db, "UPDATE user_account SET last_login_at = $2 WHERE num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, now_ms);
    return db_run(s, e);
}

bool users_login(struct db *db, const struct user *u, const char *token, int64_t now_ms,
                 struct err *e)
{
    uint8_t hash[HASH_BYTES];
    struct stmt *s = db_stmt(
        db, "INSERT INTO session (hash, user_num, created_at, expires_at) VALUES ($1,$2,$3,$4)", e);
    if (!s)
        return false;
    hash_token(str_of(token), hash);
    db_bind_blob(s, 1, str_from((const char *)hash, sizeof(hash)));
    db_bind_i64(s, 2, u->num);
    db_bind_i64(s, 3, now_ms);
    db_bind_i64(s, 4, now_ms + USERS_SESSION_MS);
    return db_run(s, e) && note_login(db, u->num, now_ms, e) && users_sweep_sessions(db, now_ms, e);
}

bool users_of_token(struct db *db, struct str token, int64_t now_ms, struct user *out,
                    struct err *e)
{
    uint8_t hash[HASH_BYTES];
    bool row = false, ok = false;
    struct stmt *s = db_stmt(db,
                             "SELECT u.id, u.num, u.name, u.role, u.password, u.created_at,"
                             " u.updated_at, u.last_login_at FROM session s JOIN user_account u"
                             " ON u.num = s.user_num WHERE s.hash = $1 AND s.expires_at > $2"
                             " AND u.revoked_at IS NULL",
                             e);
    if (!s)
        return false;
    hash_token(token, hash);
    db_bind_blob(s, 1, str_from((const char *)hash, sizeof(hash)));
    db_bind_i64(s, 2, now_ms);
    if (!db_step(s, &row, e))
        return false;
    ok = row && read_row(s, out);
    db_reset(s);
    return ok || err_set(e, ERR_NOT_ALLOWED, "the session is over: log in again");
}

bool users_logout(struct db *db, struct str token, bool *was_in, struct err *e)
{
    uint8_t hash[HASH_BYTES];
    struct stmt *s = db_stmt(db, "DELETE FROM session WHERE hash = $1", e);
    if (!s)
        return false;
    hash_token(token, hash);
    db_bind_blob(s, 1, str_from((const char *)hash, sizeof(hash)));
    if (!db_run(s, e))
        return false;
    *was_in = db_changes(db) > 0;
    return true;
}

bool users_end_sessions(struct db *db, uint32_t num, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM session WHERE user_num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    return db_run(s, e);
}

bool users_sweep_sessions(struct db *db, int64_t now_ms, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM session WHERE expires_at <= $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, now_ms);
    return db_run(s, e);
}
