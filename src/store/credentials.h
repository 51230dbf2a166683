/* Credentials: who may submit by SMTP, to which group and lane, from where, in whose name. Kept are
 * SCRAM's stored key and server key, so that what a thief of the database has is no password. */
#ifndef STORE_CREDENTIALS_H
#define STORE_CREDENTIALS_H

#include "base/base.h"
#include "base/err.h"
#include "model/message.h"
#include "store/db.h"
#include "store/reports.h"

#define CREDENTIALS_MAX       10000 /* live ones */
#define CREDENTIALS_LIST_MAX  64    /* From domains, networks */
#define CREDENTIALS_KEY_BYTES 32
#define CREDENTIALS_SALT      16

struct credential { /* strings are malloc'd */
    uint64_t id;
    uint32_t num, group_num;
    char *name, *group;
    enum lane lane;
    char **from_domains; /* lower case; none: any */
    size_t n_from_domains;
    char **ips; /* "192.0.2.0/24"; none: any */
    size_t n_ips;
    uint64_t size_max;  /* 0: as the listener says */
    int64_t created_at; /* wall ms */
    int64_t expires_at; /* 0: never */
    uint8_t salt[CREDENTIALS_SALT];
    uint32_t iterations;
    uint8_t stored_key[CREDENTIALS_KEY_BYTES], server_key[CREDENTIALS_KEY_BYTES];
};

struct credential *credentials_new(void) MUST_USE;
void credentials_free(struct credential **c);
/* num is set. ERR_CONFLICT: the name is taken, by a key too. */
bool credentials_create(struct db *db, struct credential *c, struct err *e) MUST_USE;
/* All that are not revoked, by name; the caller frees each and the array. */
bool credentials_load(struct db *db, struct credential ***out, size_t *n_out,
                      struct err *e) MUST_USE;
/* ERR_NOT_FOUND: none of that name that is not revoked. */
bool credentials_get(struct db *db, const char *name, struct credential **out,
                     struct err *e) MUST_USE;
/* The row stays; its name is freed by a suffix. */
bool credentials_revoke(struct db *db, const char *name, int64_t now_ms, struct err *e) MUST_USE;
/* {"name","user","group","stream","from_domains","ips","size_max","created_at","expires_at",
 * "revoked_at","latency"} a row, for people; latency: store/latency.h. */
bool report_credentials(struct db *db, const struct report_page *p, json_t **out,
                        struct err *e) MUST_USE;
/* The same of one; ERR_NOT_FOUND. */
bool report_credential(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;

#endif
