/* Table attempt_log: attempts in the order their results were written, a row a batch, about two
 * bytes an attempt. With it the newest attempts, those of a span of time and those behind a place
 * are found without an index over all results. Written in the transaction of the results. */
#ifndef STORE_ATTEMPT_LOG_H
#define STORE_ATTEMPT_LOG_H

#include "base/err.h"
#include "model/message.h"
#include "store/db.h"

#define ATTEMPT_LOG_MAX 1000 /* attempts a row */

/* ---- writing */

struct attempt_log; /* attempts of a batch that are not written yet */

struct attempt_log *attempt_log_new(void) MUST_USE;
void attempt_log_free(struct attempt_log **l);
void attempt_log_add(struct attempt_log *l, const struct attempt *a);
/* In the caller's transaction; on false the caller rolls back and drops. */
bool attempt_log_flush(struct attempt_log *l, struct db *db, struct err *e) MUST_USE;
void attempt_log_drop(struct attempt_log *l);

/* ---- reading */

struct attempt_log_row {
    int64_t seq;
    uint32_t n;
    uint64_t ids[ATTEMPT_LOG_MAX];     /* of messages */
    uint64_t numbers[ATTEMPT_LOG_MAX]; /* of their attempts, 1 first */
};

/* The rows that can hold attempts of this span (wall ms, both included; 0 and INT64_MAX: all);
 * *last_out < *first_out: none. */
bool attempt_log_range(struct db *db, int64_t since, int64_t until, int64_t *first_out,
                       int64_t *last_out, struct err *e) MUST_USE;
/* The nearest row within first..last, from the low end or (down) from the high one. */
bool attempt_log_read(struct db *db, int64_t first, int64_t last, bool down,
                      struct attempt_log_row *out, bool *found_out, struct err *e) MUST_USE;

#endif
