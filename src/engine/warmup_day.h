/* The turn of a warming server's day, on the ledger thread: yesterday's figures are judged, the new
 * day's caps written, the past kept, what happened told as an event; all in one transaction, so
 * that a crash finds either day whole. */
#ifndef ENGINE_WARMUP_DAY_H
#define ENGINE_WARMUP_DAY_H

#include "base/err.h"
#include "store/db.h"
#include "store/ids.h"
#include "store/warmup.h"

struct warmup_turn {
    struct db *db;
    struct ids *ids;
    uint16_t server_num;
    int64_t now_ms;               /* steady */
    int64_t opened_at, closes_at; /* of the day that begins */
};

/* Does nothing when that day (or a later one) is open already. */
bool warmup_day_turn(const struct warmup_turn *t, struct err *e) MUST_USE;
/* Fills caps and classes of a row for the days its lines stand at. */
struct warmup_plan;
void warmup_day_caps(const struct warmup_plan *p, bool knows_engagement, struct warmup_row *r);
/* Appends event KIND about a server. */
bool warmup_event(struct db *db, struct ids *ids, int64_t now_ms, uint16_t server_num,
                  const char *kind, const char *reason, struct err *e) MUST_USE;

#endif
