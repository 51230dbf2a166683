/* API keys: "pf_live_" or "pf_test_" and 256 random bits. Only a hash is stored, so a key is shown
 * once, when it is made. */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

#define KEYS_TEXT_MAX   64 /* bytes of a key with its NUL */
#define KEYS_SCOPES_MAX 32
#define KEYS_GROUPS_MAX 64

struct api_key { /* strings are malloc'd */
    uint64_t id;
    char *name;
    char hint[16]; /* first characters, to tell keys apart */
    bool test;     /* rendered, never leaves */
    char **scopes; /* "messages:send" ... */
    size_t n_scopes;
    char **groups; /* names of groups it may use; none: all */
    size_t n_groups;
    int64_t created_at;
    int64_t expires_at; /* 0: never */
    int64_t revoked_at; /* 0: not revoked */
};

struct api_key *keys_new(void) MUST_USE;
void keys_free(struct api_key **k);
/* id, name, test, scopes, groups and times are the caller's; hint is set. key_out: the key itself,
 * for the user, once: wipe it afterwards. ERR_CONFLICT: name taken; ERR_INVALID: no scope. */
bool keys_create(struct db *db, struct api_key *k, char key_out[KEYS_TEXT_MAX],
                 struct err *e) MUST_USE;
/* ERR_NOT_ALLOWED: unknown, revoked or expired (which is not told). The caller frees *out. */
bool keys_check(struct db *db, struct str key, int64_t now_ms, struct api_key **out,
                struct err *e) MUST_USE;
bool keys_has_scope(const struct api_key *k, const char *scope);
/* In the order of names, revoked ones too; the callback borrows k and returns false to stop. */
bool keys_each(struct db *db, bool (*each)(void *arg, const struct api_key *k), void *arg,
               struct err *e) MUST_USE;
/* ERR_NOT_FOUND when there is none of that name that is not revoked. The row stays; its name is
 * freed by a suffix. */
bool keys_revoke(struct db *db, const char *name, int64_t now_ms, struct err *e) MUST_USE;

/* The num of the live key that acts: actor is "key:NAME" as web says it; anything else gives 0. */
bool keys_num_of_actor(struct db *db, const char *actor, uint32_t *num_out, struct err *e) MUST_USE;

#endif
