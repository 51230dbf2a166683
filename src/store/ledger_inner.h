/* Inside the store: what the files of the ledger check share. */
#ifndef STORE_LEDGER_INNER_H
#define STORE_LEDGER_INNER_H

#include "base/map.h"
#include "model/message.h"
#include "store/ledger_check.h"
#include "store/tally.h"

enum ledger_fault {
    FAULT_LOST,
    FAULT_AFTER_END,
    FAULT_QUEUED_END,
    FAULT_NUMBERS,
    FAULT_DOUBLED,
    FAULT_OWNERLESS,
    FAULT_AUDIENCE,
    FAULT_TALLY,
    FAULT_SUPPRESSED,
    FAULT_USE,
    FAULT_LIMIT,
    LEDGER_FAULTS
};

struct ledger_campaign { /* and, under 0, the single messages */
    uint32_t num;
    enum lane lane;
    char name[80];
    int64_t recipients, leased, contact_max;
    bool walked;
    int64_t counted[TALLY_DEFERRED + 1]; /* by the results */
    int64_t lease_sum;
};

struct ledger_server {
    int64_t attempts, accepted, uncertain; /* by the results */
};

struct ledger_look {
    struct db *db;
    void (*finding)(void *arg, const char *text);
    void *arg;
    size_t n_findings, n_of[LEDGER_FAULTS];
    struct map_u64 *campaigns, *servers;
    struct map_u64 *suppressed; /* contact id -> since + 1, as a number */
    int64_t dot_most_ms;        /* the longest that a dot waits for its reply */
};

void ledger_say(struct ledger_look *k, enum ledger_fault f, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct ledger_campaign *ledger_campaign_of(struct ledger_look *k, uint32_t num);
struct ledger_server *ledger_server_of(struct ledger_look *k, uint16_t num);

/* ledger_walk.c: messages with their results and places in the queue */
bool ledger_walk(struct ledger_look *k, struct err *e) MUST_USE;
/* ledger_sums.c: audiences, counters, use */
bool ledger_audiences(struct ledger_look *k, struct err *e) MUST_USE;
bool ledger_tallies(struct ledger_look *k, struct err *e) MUST_USE;
bool ledger_uses(struct ledger_look *k, struct err *e) MUST_USE;

#endif
