/* Limits beside those of servers (tables limit_rule, limit_usage): of groups, campaigns,
 * credentials, mailbox providers, and of a server with one mailbox provider; and what was used of
 * each, by span, for the quotas of the next start. */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#include "base/err.h"
#include "model/server.h"
#include "store/db.h"

/* Kinds are those of fleet/fleet.h, stored as numbers. */
struct limit_row {
    int kind;
    uint32_t num;       /* 0: none */
    char provider[128]; /* "" : none */
    struct limits limits;
};

#define LIMITS_MAX 10000

enum limits_of { LIMITS_OF_CAMPAIGN, LIMITS_OF_CREDENTIAL, LIMITS_OF_SERVER };
/* The num of a campaign, a live API key, or a server by its name. */
bool limits_num_of(struct db *db, enum limits_of of, const char *name, uint32_t *num_out,
                   struct err *e) MUST_USE;

/* Adds or replaces. */
bool limits_set(struct db *db, const struct limit_row *l, int64_t wall_ms, struct err *e) MUST_USE;
/* Takes away the limits of a thing that is no more, with what was counted: kind as in the row. */
bool limits_forget(struct db *db, int kind, uint32_t num, struct err *e) MUST_USE;
bool limits_remove(struct db *db, int kind, uint32_t num, const char *provider,
                   struct err *e) MUST_USE;
/* All of them; limits_free_rows frees. */
bool limits_load(struct db *db, struct limit_row **out, size_t *n_out, struct err *e) MUST_USE;
void limits_free_rows(struct limit_row *rows, size_t n);
/* Use in spans of span_s since `since` (steady ms). */
bool limits_usage(struct db *db, const struct limit_row *l, int64_t span_s, int64_t since,
                  void (*each)(void *arg, int64_t start_ms, uint64_t taken), void *arg,
                  struct err *e) MUST_USE;
/* Moves all use, of servers and of limits, forwards by so many ms that did not pass though the
 * clock says so. In a transaction. */
bool limits_shift(struct db *db, int64_t ms, struct err *e) MUST_USE;
/* Removes spans that no window reaches any more, of servers and of limits. */
bool limits_sweep(struct db *db, int64_t now_ms, struct err *e) MUST_USE;

/* ---- counting, within a batch of results */

struct limit_counts; /* what a batch took of the limits in force */

struct limit_counts *limit_counts_new(void) MUST_USE;
void limit_counts_free(struct limit_counts **c);
struct limit_take {     /* a message that was accepted, or may have been */
    uint32_t group_num; /* 0: not known any more: counts in every group, so that none is exceeded */
    uint32_t campaign_num, credential_num, server_num;
    struct str provider;
    int64_t at; /* steady ms */
};
/* Counts it against every limit that concerns it. The limits are read again when they changed. */
bool limit_counts_add(struct limit_counts *c, struct db *db, const struct limit_take *t,
                      struct err *e) MUST_USE;
bool limit_counts_flush(struct limit_counts *c, struct db *db, struct err *e) MUST_USE;
void limit_counts_drop(struct limit_counts *c);

#endif
