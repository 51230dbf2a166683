/* What requests with an Idempotency-Key were answered, so that a repeated one does nothing twice.
 * A batch is kept in parts, each in the transaction of its messages: after a crash the repeated
 * request goes on where the first one ended. */
#ifndef STORE_IDEMPOTENCY_H
#define STORE_IDEMPOTENCY_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

#define IDEMPOTENCY_KEY_MAX 255      /* bytes */
#define IDEMPOTENCY_KEPT_MS 86400000 /* a day */
#define IDEMPOTENCY_HASH    32       /* BLAKE2b-256 of the request */

struct idempotent {          /* strings are borrowed */
    uint32_t credential_num; /* keys of different callers do not meet */
    struct str key;
    uint32_t part;
    const uint8_t *request; /* IDEMPOTENCY_HASH bytes */
};

/* What a request is told apart by: what it asks for and all of its bytes. */
void idempotency_hash(struct str what, struct str body, uint8_t out[IDEMPOTENCY_HASH]);
/* *found_out: answered before, *answer_out is the answer (malloc'd JSON text). ERR_REFUSED:
 * the same key came with another request. */
bool idempotency_find(struct db *db, const struct idempotent *i, bool *found_out, char **answer_out,
                      struct err *e) MUST_USE;
bool idempotency_keep(struct db *db, const struct idempotent *i, struct str answer, int64_t now_ms,
                      struct err *e) MUST_USE;
/* Forgets those older than a day, at most max of them. */
bool idempotency_sweep(struct db *db, int64_t now_ms, uint32_t max, struct err *e) MUST_USE;

#endif
