/* Table server_hour: what became of attempts, by server, mailbox provider and hour. Counted in
 * memory for a batch of results and written in its transaction. Gates of warm-up and rules of
 * reputation are judged by it. */
#ifndef STORE_HOURS_H
#define STORE_HOURS_H

#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

#define HOUR_MS INT64_C(3600000)

struct outcome;
struct hours;

struct hour_sum { /* attempts by what they meant */
    uint64_t taken, attempts, sent, hard, soft, deferred, limited, blocked, content, unknown;
    uint64_t complaints, opened, clicked; /* later news of what was sent */
};
/* Attempts that say something of the recipients' side; the others failed on the way. */
uint64_t hour_answers(const struct hour_sum *s);

struct hours *hours_new(void) MUST_USE;
void hours_free(struct hours **h);
/* o->has_attempt and its server are given; its time is took_at. */
void hours_count(struct hours *h, const struct outcome *o);
enum hour_news { HOUR_COMPLAINT = 0, HOUR_OPEN, HOUR_CLICK };
/* News of a message that this server sent, counted in the hour of the news. */
void hours_news(struct hours *h, uint16_t server_num, struct str provider, int64_t at_ms,
                enum hour_news kind);
/* In the caller's transaction; on false the caller rolls back and calls hours_drop. */
bool hours_flush(struct hours *h, struct db *db, struct err *e) MUST_USE;
void hours_drop(struct hours *h);

/* Sums of a server over hours that begin in [since, until) (steady ms); provider NULL: all. */
bool hours_sum(struct db *db, uint16_t server_num, const char *provider, int64_t since,
               int64_t until, struct hour_sum *out, struct err *e) MUST_USE;
/* The same for each provider of each server that is not removed. */
bool hours_walk(struct db *db, int64_t since, int64_t until,
                void (*each)(void *arg, uint16_t server_num, struct str provider,
                             const struct hour_sum *s),
                void *arg, struct err *e) MUST_USE;
/* Removes hours that began before. */
bool hours_trim(struct db *db, int64_t before_ms, struct err *e) MUST_USE;

#endif
