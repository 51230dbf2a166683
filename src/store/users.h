/* People who may log in, and their sessions. A password is kept as an Argon2id hash, a session's
 * token as a hash only. */
#ifndef STORE_USERS_H
#define STORE_USERS_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "model/user.h"
#include "store/db.h"

#define USERS_TOKEN_MAX  64  /* bytes of a session's token with its NUL */
#define USERS_HASH_MAX   128 /* bytes of a password's hash with its NUL */
#define USERS_SESSION_MS (12ll * 3600 * 1000)
#define USERS_TOKEN      "pf_sess_" /* how a token begins */

struct user {
    uint64_t id;
    uint32_t num;
    char name[USER_NAME_MAX + 1];
    enum user_role role;
    char password[USERS_HASH_MAX];
    int64_t created_at, updated_at, last_login_at; /* wall ms; 0: never */
};

/* id, name, role, password and times are the caller's; num is set. ERR_CONFLICT: name taken. */
bool users_create(struct db *db, struct user *u, struct err *e) MUST_USE;
/* ERR_NOT_FOUND when there is none of that name that is not revoked. */
bool users_get(struct db *db, const char *name, struct user *out, struct err *e) MUST_USE;
/* role, password and updated_at. */
bool users_update(struct db *db, const struct user *u, struct err *e) MUST_USE;
/* The name becomes free; all sessions end. */
bool users_revoke(struct db *db, const struct user *u, int64_t now_ms, struct err *e) MUST_USE;
bool users_count_owners(struct db *db, uint64_t *out, struct err *e) MUST_USE;

/* ---- passwords; slow on purpose (about 0.1 s and 64 MB), so never on the reactor or the ledger */

bool users_hash_password(struct str password, char out[USERS_HASH_MAX], struct err *e) MUST_USE;
/* hash NULL: of a user who is not there; takes as long and is false. */
bool users_check_password(struct str password, const char *hash);

/* ---- sessions ---- */

void users_token(char out[USERS_TOKEN_MAX]);
bool users_login(struct db *db, const struct user *u, const char *token, int64_t now_ms,
                 struct err *e) MUST_USE;
/* ERR_NOT_ALLOWED: unknown, over, or its user revoked. */
bool users_of_token(struct db *db, struct str token, int64_t now_ms, struct user *out,
                    struct err *e) MUST_USE;
bool users_logout(struct db *db, struct str token, bool *was_in, struct err *e) MUST_USE;
/* Ends every session of a user: a password or role was changed. */
bool users_end_sessions(struct db *db, uint32_t num, struct err *e) MUST_USE;
bool users_sweep_sessions(struct db *db, int64_t now_ms, struct err *e) MUST_USE;

#endif
