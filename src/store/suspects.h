/* Servers under suspicion (doc/DISPATCH.md, "Whose fault"), kept so that a crash ends neither the
 * suspicion nor what is being taken back. Writers call within a transaction of theirs. */
#ifndef STORE_SUSPECTS_H
#define STORE_SUSPECTS_H

#include "base/base.h"
#include "base/err.h"
#include "model/verdict.h"
#include "store/db.h"

struct suspect_row {
    uint16_t server_num;
    enum verdict verdict; /* what it says too often */
    int64_t since;        /* wall ms: what it suppressed from then on is taken back */
    int64_t until;        /* steady ms of its probation */
    bool reverting;       /* not all of it is taken back yet */
    char reason[160];
};

/* Adds or changes; `since` of a row that is still being reverted stays when it is earlier. */
bool suspects_set(struct db *db, const struct suspect_row *r, struct err *e) MUST_USE;
bool suspects_reverted(struct db *db, uint16_t server_num, struct err *e) MUST_USE;
/* It is believed again. A row whose work is not done stays until suspects_reverted. */
bool suspects_remove(struct db *db, uint16_t server_num, struct err *e) MUST_USE;
/* By number of the server, those above `after`, at most max. */
bool suspects_list(struct db *db, uint16_t after, struct suspect_row *out, size_t max,
                   size_t *n_out, struct err *e) MUST_USE;

/* Mail that would wait for this server goes to any, now; held mail stays held. At most max. */
bool suspects_free_queue(struct db *db, uint16_t server_num, int64_t now_ms, const char *why,
                         size_t max, size_t *n_out, struct err *e) MUST_USE;
/* How many suppressions by hard bounce of this server since then (wall ms), and how many of their
 * messages are bounced and would be queued again. */
bool suspects_count(struct db *db, uint16_t server_num, int64_t since_ms, uint64_t *suppressed_out,
                    uint64_t *bounced_out, struct err *e) MUST_USE;

#endif
