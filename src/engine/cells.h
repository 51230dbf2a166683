/* Cells on the engine's side (cells.c): what the fleet says of a server for one mailbox provider
 * becomes an event and a row, and at the start the rows become cells again. */
#ifndef ENGINE_CELLS_H
#define ENGINE_CELLS_H

#include "engine/state.h"

void cells_changed(struct core *c, const struct cell_change *x); /* the fleet's door */
/* At the start, when the servers are known. */
bool cells_load(struct core *c, struct db *db, struct err *e) MUST_USE;
json_t *cells_json(struct core *c, uint16_t num); /* those of a server that are not healthy */

#endif
