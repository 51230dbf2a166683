/* Failure matrices of groups: tables failover, failover_rule, failover_server. Rules are kept as
 * text and are not looked into here. Writers call within a transaction of theirs. */
#ifndef STORE_FAILOVER_H
#define STORE_FAILOVER_H

#include "base/err.h"
#include "model/failover.h"
#include "model/message.h"
#include "store/db.h"

/* An empty one when the group has none. *out is the caller's (failover_free). */
bool failover_load(struct db *db, uint32_t group_num, struct failover **out,
                   struct err *e) MUST_USE;
/* Those of all groups that have one. */
bool failover_load_all(struct db *db, struct failover ***out, size_t *n_out,
                       struct err *e) MUST_USE;
void failovers_free_list(struct failover **list, size_t n);
/* Replaces the group's; an empty one removes it. */
bool failover_save(struct db *db, const struct failover *f, int64_t now_ms, struct err *e) MUST_USE;

/* ---- what happened, for dry runs (failover_history.c) */

struct past_attempt {
    struct attempt a;   /* rule, why and conversation are left out; borrowed */
    uint32_t group_num; /* of its campaign or message; 0: default */
    enum lane lane;
    bool is_whole; /* false: neither message nor lease is known any more */
};

/* Attempts of messages with after < id < before, by message and number. `each` ends the walk with
 * false. */
bool failover_history(struct db *db, uint64_t after, uint64_t before,
                      bool (*each)(void *arg, const struct past_attempt *p), void *arg,
                      struct err *e) MUST_USE;

#endif
