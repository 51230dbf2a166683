/* Looking after a database file as a whole: is it intact, and a copy of it while others use it. */
#ifndef STORE_UPKEEP_H
#define STORE_UPKEEP_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

/* SQLite's own check of every page, index and foreign key. found is called with one line for each
 * defect, at most 40 of them. false: the check itself could not run. */
bool upkeep_check(struct db *db, void (*found)(void *ctx, const char *text), void *ctx,
                  struct err *e) MUST_USE;
/* A whole, compact copy as of one moment, in a file that must not exist; readable by its owner
 * only. Writers go on meanwhile. */
bool upkeep_backup(struct db *db, const char *file, struct err *e) MUST_USE;

#endif
