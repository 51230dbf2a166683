/* Keeps the filter over suppressed addresses (store/suppression_filter.h) for this process: read in
 * bites after the start, noted by every write. */
#ifndef ENGINE_SUPPRESSING_H
#define ENGINE_SUPPRESSING_H

#include "base/err.h"

struct core;
struct db;

/* After the ledger has started; db: a handle of its database. */
bool suppressing_start(struct core *c, struct db *db, struct err *e);
/* After the ledger has stopped. */
void suppressing_stop(struct core *c);

#endif
