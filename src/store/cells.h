/* Servers closed to a mailbox provider (fleet/cells.h), kept so that a start does not send again to
 * one that blocks us for hours. Writers call within a transaction of theirs. */
#ifndef STORE_CELLS_H
#define STORE_CELLS_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

struct cell_row {
    uint16_t server_num;
    char provider[32];
    int64_t until;     /* steady ms: one message tries it then */
    uint32_t openings; /* in a row */
    char reason[160];
};

/* Adds or changes. */
bool cells_put(struct db *db, const struct cell_row *r, struct err *e) MUST_USE;
bool cells_remove(struct db *db, uint16_t server_num, const char *provider, struct err *e) MUST_USE;
/* Those that would have been tried before then (steady ms) and were not. */
bool cells_sweep(struct db *db, int64_t before_ms, struct err *e) MUST_USE;
/* In order of server and provider. */
bool cells_all(struct db *db, void (*each)(void *arg, const struct cell_row *r), void *arg,
               struct err *e) MUST_USE;

#endif
