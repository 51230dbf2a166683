/* Table latency: how long single messages took from their acceptance to the 250 of the server that
 * took them, by credential, stream and ten minutes, as a histogram of which only used buckets are
 * rows. Counted in memory for a batch of results and written in its transaction. */
#ifndef STORE_LATENCY_H
#define STORE_LATENCY_H

#include "base/err.h"
#include "model/message.h"
#include "store/db.h"

#include <jansson.h>

/* Milliseconds up to 15 have a bucket each, then there are eight to a doubling: a bucket is at most
 * an eighth of its value wide. */
enum { LATENCY_BUCKETS = 16 + 8 * 36 };
int latency_bucket(int64_t ms);
int64_t latency_bucket_low(int bucket); /* its least value; that of the next one ends it */

struct latencies;

struct latencies *latencies_new(void) MUST_USE;
void latencies_free(struct latencies **l);
void latencies_count(struct latencies *l, uint32_t credential_num, enum lane lane, int64_t wall_ms,
                     int64_t took_ms);
/* In the caller's transaction; on false the caller rolls back and calls latencies_drop. */
bool latencies_flush(struct latencies *l, struct db *db, struct err *e) MUST_USE;
void latencies_drop(struct latencies *l);
/* Removes what nobody is shown any more. */
bool latencies_trim(struct db *db, int64_t wall_ms, struct err *e) MUST_USE;

/* {"hour":F,"day":F,"streams":{NAME:{"hour":F,"day":F}}} of the last hour and day before wall_ms,
 * by whole ten minutes; F is {"messages","p50_ms","p95_ms","p99_ms"}, or null without messages.
 * Streams without messages are left out; null: there were none at all. */
bool latency_report(struct db *db, uint32_t credential_num, int64_t wall_ms, json_t **out,
                    struct err *e) MUST_USE;
/* The same over all credentials. */
bool latency_report_all(struct db *db, int64_t wall_ms, json_t **out, struct err *e) MUST_USE;

#endif
