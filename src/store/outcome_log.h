/* Table outcome_log: ends and deferrals of messages in the order they were written, for webhooks. A
 * row a batch, about four bytes an entry, written in the transaction of the results and only of
 * kinds that somebody wants: without webhooks nothing is collected and nothing is written. */
#ifndef STORE_OUTCOME_LOG_H
#define STORE_OUTCOME_LOG_H

#include "base/err.h"
#include "model/hook.h"
#include "store/db.h"

#define OUTCOME_LOG_MAX 1000 /* entries a row */

/* ---- writing */

struct outcome_log; /* entries of a batch that are not written yet */

struct outcome_log *outcome_log_new(void) MUST_USE;
void outcome_log_free(struct outcome_log **l);
/* wanted: a bit for each enum hook_event; 0 (as at first): none is collected. */
void outcome_log_want(struct outcome_log *l, unsigned wanted);
/* Notes what the outcome means to receivers; nothing when that is not wanted. is_new_suppression:
 * its address was suppressed by it. */
struct outcome;
void outcome_log_note(struct outcome_log *l, const struct outcome *o, bool is_new_suppression,
                      int64_t wall_ms);
/* In the caller's transaction; on false the caller rolls back and drops. */
bool outcome_log_flush(struct outcome_log *l, struct db *db, struct err *e) MUST_USE;
void outcome_log_drop(struct outcome_log *l);

/* One that no batch of results writes: nothing when there is no webhook at all. */
bool outcome_log_append(struct db *db, enum hook_event v, uint64_t message_id, uint32_t number,
                        int64_t wall_ms, struct err *e) MUST_USE;

/* ---- reading */

struct outcome_log_row {
    int64_t seq, at; /* wall ms of the batch */
    uint32_t n;
    uint64_t ids[OUTCOME_LOG_MAX];   /* of messages */
    uint64_t marks[OUTCOME_LOG_MAX]; /* see the functions below */
};

static inline enum hook_event outcome_event(uint64_t mark)
{
    return (enum hook_event)(mark & 15);
}
static inline uint32_t outcome_number(uint64_t mark)
{
    return (uint32_t)(mark >> 4);
}

/* The first row behind `after`. */
bool outcome_log_read(struct db *db, int64_t after, struct outcome_log_row *out, bool *found_out,
                      struct err *e) MUST_USE;
/* The last row; 0: none. */
bool outcome_log_last(struct db *db, int64_t *seq_out, struct err *e) MUST_USE;
/* Removes at most limit rows up to and with seq `through`. The last row stays: numbers go on. */
bool outcome_log_trim(struct db *db, int64_t through, size_t limit, struct err *e) MUST_USE;

#endif
