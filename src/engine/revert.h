/* Taking back what one server did to recipients: its suppressions by hard bounce, and the messages
 * that bounced with them. In bites, each in a transaction of its caller; results stay, the way back
 * is a result of its own. For the user's word (admin_suppressions) and for a suspect server
 * (whose). On the ledger thread. */
#ifndef ENGINE_REVERT_H
#define ENGINE_REVERT_H

#include "base/err.h"
#include "store/db.h"

#define REVERT_BITE 25 /* suppressions; the clock is read after as many */

struct revert {
    uint16_t server_num;
    int64_t since;   /* wall ms: suppressions from then on */
    int64_t now;     /* steady ms: when what is queued again is due */
    const char *why; /* it is queued again */
    /* of this bite */
    size_t reverted, queued;
    bool more;
};

/* Takes one bite. A message that is not bounced (any more) stays what it is. */
bool revert_bite(struct db *db, struct revert *r, struct err *e) MUST_USE;

#endif
