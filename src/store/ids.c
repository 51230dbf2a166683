/* The id generator: see ids.h. Time comes in as an argument; when it stands still or goes back, the
 * generator goes on from its own last millisecond and borrows the next when a sequence is used up.
 */
#include "store/ids.h"

#include "base/check.h"

#define SEQ_BITS  15
#define NODE_BITS 7
#define SEQ_COUNT (1u << SEQ_BITS)
#define MS_MAX    ((INT64_C(1) << 41) - 1)

void ids_init(struct ids *g, uint32_t node, uint64_t greatest)
{
    check(node <= IDS_NODE_MAX);
    *g = (struct ids){.ms = (int64_t)(greatest >> (SEQ_BITS + NODE_BITS)), .node = node};
    /* Ids of this millisecond may exist on any node: begin behind all of them. */
    if (greatest)
        g->ms++;
}

uint64_t ids_block(struct ids *g, int64_t now_ms, uint32_t n)
{
    check(n >= 1 && n <= IDS_BLOCK_MAX);
    int64_t ms = now_ms - IDS_EPOCH_MS;
    /* Millisecond 0 would make node 0 begin with id 0. */
    ms = MIN(MAX(ms, 1), MS_MAX);
    if (ms > g->ms) {
        g->ms = ms;
        g->seq = 0;
    }
    if (g->seq + n > SEQ_COUNT) {
        g->ms++;
        g->seq = 0;
    }
    check(g->ms <= MS_MAX);
    uint64_t first =
        (uint64_t)g->ms << (SEQ_BITS + NODE_BITS) | (uint64_t)g->node << SEQ_BITS | g->seq;
    g->seq += n;
    return first;
}

uint64_t ids_next(struct ids *g, int64_t now_ms)
{
    return ids_block(g, now_ms, 1);
}

int64_t ids_time_ms(uint64_t id)
{
    return (int64_t)(id >> (SEQ_BITS + NODE_BITS)) + IDS_EPOCH_MS;
}

uint32_t ids_node(uint64_t id)
{
    return (uint32_t)(id >> SEQ_BITS) & IDS_NODE_MAX;
}

uint64_t ids_least(int64_t wall_ms)
{
    return (uint64_t)MAX(wall_ms - IDS_EPOCH_MS, 1) << (SEQ_BITS + NODE_BITS);
}

/* Each is a look at the end of an index. */
static const char *const greatest_of[] = {
    "SELECT max(id) FROM server",   "SELECT max(id) FROM server_group",
    "SELECT max(id) FROM list",     "SELECT max(id) FROM template",
    "SELECT max(id) FROM campaign", "SELECT max(id) FROM message",
    "SELECT max(id) FROM queue",    "SELECT max(message_id) FROM result",
    "SELECT max(id) FROM event",    "SELECT max(id) FROM api_key",
    "SELECT max(id) FROM webhook",  "SELECT first_id + n FROM lease ORDER BY first_id DESC LIMIT 1",
};

bool ids_load(struct ids *g, uint32_t node, struct db *db, struct err *e)
{
    uint64_t greatest = 0;
    for (size_t i = 0; i < countof(greatest_of); i++) {
        struct stmt *s = db_stmt(db, greatest_of[i], e);
        bool row = false;
        if (!s || !db_step(s, &row, e))
            return false;
        int64_t id = row ? db_i64(s, 0) : 0;
        db_reset(s);
        greatest = MAX(greatest, (uint64_t)MAX(id, 0));
    }
    ids_init(g, node, greatest);
    return true;
}
