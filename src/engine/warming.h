/* Warm-ups in force (warming.c): read from the database with the fleet's configuration, brought to
 * the fleet as limits, engagement classes and a reason, and turned at the end of each day. */
#ifndef ENGINE_WARMING_H
#define ENGINE_WARMING_H

#include "engine/state.h"
#include "store/warmup.h"

struct warming_entry { /* a warm-up and what was taken of its day */
    struct warmup_row row;
    uint64_t before, after;           /* by the server, until this process started and since */
    uint64_t taken[WARMUP_LINES_MAX]; /* by line of a provider */
    uint64_t last_cap;                /* of its plan */
};

struct warming_load {
    struct warming_entry *entries;
    size_t n;
};

/* On the ledger thread (or at the start). started: warming_started. */
bool warming_read(struct db *db, int64_t started, struct warming_load *out, struct err *e) MUST_USE;
void warming_load_free(struct warming_load *l);
/* On the reactor, behind fleet_set_server. Those that are not listed are over. */
void warming_apply(struct core *c, const struct warming_load *l);
void warming_second(struct core *c); /* each second: has a day ended? */
void warming_free(struct core *c);
int64_t warming_started(const struct core *c); /* steady ms of this process's start */

#endif
