/* The audit log: every change that somebody asked for, in the transaction of the change. A row's
 * mac covers the row and the mac before it, under a key that is not in the database; the newest
 * row is named in a setting under a mac of its own. So rows that were changed, left out, put in or
 * cut off at the end are found by who has the key. (A whole older copy of the database is whole.)
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

#define AUDIT_KEY_BYTES 32
#define AUDIT_LABEL     "audit" /* of the key, for secrets_derive */

struct audit_entry { /* strings are borrowed */
    int64_t at;      /* wall ms */
    struct str actor, op, subject, detail;
};

bool audit_append(struct db *db, const uint8_t key[AUDIT_KEY_BYTES], const struct audit_entry *a,
                  struct err *e) MUST_USE;

struct audit_found {
    uint64_t rows;
    uint64_t broken; /* seq of the first row that is not as it was written; 0: all are */
    char why[200];
};
bool audit_verify(struct db *db, const uint8_t key[AUDIT_KEY_BYTES], struct audit_found *out,
                  struct err *e) MUST_USE;

#endif
