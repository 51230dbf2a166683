/* Brings a database to the schema that this binary knows: the numbered files of sql/, built in.
 * Each runs once, in one transaction, noted in table schema_version. A database that holds data is
 * copied beside itself first. A newer, foreign or damaged one is refused and left as it is. */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

struct migration {
    const char *name; /* "0001-house" */
    const char *sql;
};

/* ERR_REFUSED: of a newer version, or not ours. The copy is PATH.version-N. */
bool migrate_to_latest(struct db *db, struct err *e) MUST_USE;
/* The version the database has: 0 when empty; *out untouched on failure. */
bool migrate_version(struct db *db, int *out, struct err *e) MUST_USE;
/* When the first migration ran, epoch ms: the age of the database; 0: none has. */
bool migrate_made_at(struct db *db, int64_t *out, struct err *e) MUST_USE;
/* The version this binary knows. */
int migrate_latest(void);
/* False unless the database has exactly the version this binary knows (read-only openers). */
bool migrate_require_latest(struct db *db, struct err *e) MUST_USE;
/* As migrate_to_latest with another list; the first makes version 1. For tests. */
bool migrate_with(struct db *db, const struct migration *list, int n, struct err *e) MUST_USE;

#endif
