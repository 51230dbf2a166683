/* Our ids: 63 bits, ordered by time, with the node inside:
 *     41 bits milliseconds since 2024-01-01 | 7 bits node | 15 bits sequence
 * Never backwards, also when the wall clock is; never 0. Belongs to the ledger thread. */
#ifndef STORE_IDS_H
#define STORE_IDS_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

#define IDS_BLOCK_MAX 1024
#define IDS_NODE_MAX  127
#define IDS_EPOCH_MS  INT64_C(1704067200000) /* 2024-01-01T00:00:00Z */

struct ids {
    int64_t ms;   /* since IDS_EPOCH_MS, of the id given last */
    uint32_t seq; /* next sequence within ms */
    uint32_t node;
};

/* Every later id is greater than `greatest` (0: there is none yet). */
void ids_init(struct ids *g, uint32_t node, uint64_t greatest);
/* ids_init with the greatest id that the database holds. */
bool ids_load(struct ids *g, uint32_t node, struct db *db, struct err *e) MUST_USE;
/* The first of n consecutive ids, 1 <= n <= IDS_BLOCK_MAX. now_ms: wall clock, epoch ms. */
uint64_t ids_block(struct ids *g, int64_t now_ms, uint32_t n) MUST_USE;
uint64_t ids_next(struct ids *g, int64_t now_ms) MUST_USE;
/* Wall ms at which an id was made, and its node. */
int64_t ids_time_ms(uint64_t id);
uint32_t ids_node(uint64_t id);
/* No id made at or after this wall time is smaller. */
uint64_t ids_least(int64_t wall_ms);

#endif
