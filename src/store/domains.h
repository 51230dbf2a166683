/* Domains and their DKIM keys. Private keys are sealed like passwords ("dkim_key|id|private", see
 * secrets.h) and leave here only as secrets; what they sign is nobody's business here. */
#ifndef STORE_DOMAINS_H
#define STORE_DOMAINS_H

#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "model/domain.h"
#include "store/db.h"
#include "store/secrets.h"

#define DOMAIN_KEYS_MAX 32 /* of a domain, retired ones too */

struct domain {
    uint64_t id;
    uint32_t num;
    char name[DOMAIN_MAX + 1];
    int64_t lifetime_ms, checked_at, created_at;
};

struct domain_key {
    uint64_t id;
    uint32_t domain_num;
    char domain[DOMAIN_MAX + 1], selector[64];
    enum dkim_algorithm algorithm;
    enum dkim_key_state state;
    char *public;       /* malloc'd */
    struct secret *der; /* PKCS #8; NULL when it was not asked for */
    int64_t lifetime_ms, created_at;
};

/* id, name and lifetime are the caller's; num is set. ERR_CONFLICT: it is there already. */
bool domains_add(struct db *db, struct domain *d, int64_t now_ms, struct err *e) MUST_USE;
/* ERR_NOT_FOUND */
bool domains_get(struct db *db, const char *name, struct domain *out, struct err *e) MUST_USE;
bool domains_set_lifetime(struct db *db, uint32_t num, int64_t lifetime_ms, int64_t now_ms,
                          struct err *e) MUST_USE;
/* With its keys. */
bool domains_remove(struct db *db, const char *name, struct err *e) MUST_USE;
/* findings: JSON text. Nothing when the domain is gone. */
bool domains_keep_check(struct db *db, const char *name, int64_t at, struct str findings,
                        struct err *e) MUST_USE;
/* Names of all, as a list of lines; for the schedule: only those not checked since. */
bool domains_names(struct db *db, int64_t not_since, struct buf *out, struct err *e) MUST_USE;

/* id, domain_num, selector, algorithm, state, public and der are the caller's. ERR_CONFLICT: the
 * selector is in use; ERR_REFUSED: DOMAIN_KEYS_MAX. */
bool domain_keys_add(struct db *db, const struct secrets *s, const struct domain_key *k,
                     int64_t now_ms, struct err *e) MUST_USE;
bool domain_keys_has(struct db *db, uint32_t domain_num, const char *selector, bool *out,
                     struct err *e) MUST_USE;
/* Is there an active key of this algorithm? */
bool domain_keys_has_active(struct db *db, uint32_t domain_num, enum dkim_algorithm a, bool *out,
                            struct err *e) MUST_USE;
/* Active: the one that was until now is retired. ERR_NOT_FOUND. */
bool domain_keys_set_state(struct db *db, uint32_t domain_num, const char *selector,
                           enum dkim_key_state state, int64_t now_ms, struct err *e) MUST_USE;
bool domain_keys_remove(struct db *db, uint32_t domain_num, const char *selector,
                        struct err *e) MUST_USE;
/* All active keys by domain, RSA first, opened. One that does not open is left out, and logged. */
bool domain_keys_load(struct db *db, const struct secrets *s, struct domain_key **out,
                      size_t *n_out, struct err *e) MUST_USE;
void domain_keys_free(struct domain_key *list, size_t n);

/* A fresh private key as PKCS #8. */
bool domain_key_make(enum dkim_algorithm a, struct secret **der_out, struct err *e) MUST_USE;

#endif
