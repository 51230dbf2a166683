/* Servers that the user took out, with reason and end: kept over restarts. */
#ifndef STORE_QUARANTINE_H
#define STORE_QUARANTINE_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

struct quarantine {
    uint16_t server_num;
    int64_t until; /* wall ms; 0: until released */
    char reason[160];
};

/* Sets or replaces that of the server. */
bool quarantine_put(struct db *db, const struct quarantine *q, int64_t wall_ms,
                    struct err *e) MUST_USE;
/* *was_out: there was one. */
bool quarantine_remove(struct db *db, uint16_t server_num, bool *was_out, struct err *e) MUST_USE;
/* All whose end lies ahead. */
bool quarantine_all(struct db *db, int64_t wall_ms,
                    void (*each)(void *arg, const struct quarantine *q), void *arg,
                    struct err *e) MUST_USE;

#endif
