/* Reputation in force (reputing.c): standings brought to the fleet as weight, quarantine or a
 * closed cell, and a round of the rules once a minute. */
#ifndef ENGINE_REPUTING_H
#define ENGINE_REPUTING_H

#include "engine/state.h"
#include "store/reputation.h"

struct reputing_load {
    struct reputation_row *rows;
    size_t n;
};

/* On the ledger thread (or at the start). */
bool reputing_read(struct db *db, struct reputing_load *out, struct err *e) MUST_USE;
void reputing_load_free(struct reputing_load *l);
/* On the reactor, behind fleet_set_server. Those that are not listed are in good standing. */
void reputing_apply(struct core *c, struct reputing_load *l);
/* What was read before there was a ledger to write events by. */
void reputing_start(struct core *c);
void reputing_minute(struct core *c);

#endif
