/* Outcomes become rows: the attempt, the queue, suppression, counters and use, in one transaction
 * of the caller. The reactor decided what they are (engine/settle); here they are only written
 * down. */
#ifndef STORE_RESULTS_H
#define STORE_RESULTS_H

#include "base/err.h"
#include "model/message.h"
#include "store/db.h"

enum outcome_kind {
    OUTCOME_ATTEMPT, /* an attempt ended, the message goes on now (failover) */
    OUTCOME_END,     /* the message took a.state */
    OUTCOME_LATER,   /* back to the queue until due */
};

struct outcome {
    enum outcome_kind kind;
    struct attempt a; /* strings borrowed until the write is over */
    bool has_attempt; /* false: no server was asked (suppressed, cancelled, expired ...) */
    uint64_t contact_id;
    uint32_t campaign_num, group_num;
    enum lane lane;
    struct str key;      /* recipient, as suppression knows it */
    struct str provider; /* mailbox provider name */
    bool in_queue;       /* a row in `queue` exists */
    bool was_deferred;   /* counted as deferred until now */
    int64_t due;         /* LATER: steady ms */
    uint32_t attempts, tries, resends;
    uint16_t keep_server;
    int64_t first_at, expires_at;
    struct str queue_why; /* LATER: what it waits for */
    uint32_t via_group;   /* the group whose server it was given to; 0: not known (after a crash) */
    uint32_t route_num;   /* the rule that led there; 0: none, or not known */
    uint32_t credential_num;
    int64_t sent_after_ms; /* END, sent, single: since its acceptance, at least 1; 0: not known */
    bool took;             /* counts in its server's quota */
    int64_t took_at;       /* steady ms */
    struct str rule;       /* END, hard: the failover rule that suppresses; empty: none does */
    int64_t provisional_until; /* hard bounce: wall ms until which the suppression is provisional */
    bool round_over; /* LATER: every server was tried, so it is deferred without attempt */
};

struct results; /* collects counters of one batch */

struct results *results_new(void) MUST_USE;
void results_free(struct results **r);
/* What webhooks want to hear of, a bit for each enum hook_event (model/hook.h): noted from now on.
 */
void results_want(struct results *r, unsigned wanted);
/* Writes one outcome's rows; counters are kept until results_flush. *suppressed_out: the address
 * was suppressed by this outcome (for the reactor). */
bool results_add(struct results *r, struct db *db, const struct outcome *o, int64_t wall_ms,
                 bool *suppressed_out, struct err *e) MUST_USE;
/* Writes the batch's counters (tally, usage); same transaction. On false the caller rolls back and
 * calls results_drop. */
bool results_flush(struct results *r, struct db *db, struct err *e) MUST_USE;
void results_drop(struct results *r);

/* A walked campaign whose messages all have an end: finished. Contacts that left the list between
 * start and their turn are counted as cancelled. *finished_out. */
bool results_finish_campaign(struct db *db, uint32_t campaign_num, int64_t wall_ms,
                             bool *finished_out, struct err *e) MUST_USE;

/* Use of a server since `since` (steady ms) in spans of span_s: for loading quotas. */
bool results_usage(struct db *db, uint16_t server_num, int64_t span_s, int64_t since,
                   void (*each)(void *arg, int64_t start_ms, uint64_t taken), void *arg,
                   struct err *e) MUST_USE;

#endif
