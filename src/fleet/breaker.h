/* The arithmetic of the small machine, the same for a server and for each of its cells (server x
 * mailbox provider): what is counted, when that opens, for how long, how much it takes on its way
 * back. The states themselves and their doors: health.c for servers, cells.c for cells. Pure. */
#ifndef FLEET_BREAKER_H
#define FLEET_BREAKER_H

#include "base/base.h"
#include "model/server.h"

#define HEALTH_SLOTS     6
#define HEALTH_SLOT_MS   10000
#define FAILURES_TO_OPEN 3
#define RAMP_MS          60000

struct breaker {
    uint32_t failures_in_row;
    uint32_t openings;     /* the n-th in a row */
    int64_t healthy_since; /* steady ms; when it is healthy */
    int64_t ramp_from;
    struct {
        int64_t slot;
        uint32_t ok, bad;
    } slots[HEALTH_SLOTS]; /* the last minute */
};

/* Is this move of a state one that exists? Everything else is a bug. */
bool breaker_may_move(enum oper_state from, enum oper_state to);

void breaker_ok(struct breaker *b, int64_t now_ms);
void breaker_fail(struct breaker *b, int64_t now_ms);
/* What was counted in the last minute. */
void breaker_counts(const struct breaker *b, int64_t now_ms, uint32_t *ok_out, uint32_t *bad_out);
/* Three in a row, or half of at least ten in a minute. */
bool breaker_trips(const struct breaker *b, int64_t now_ms);
/* What was counted is forgotten; openings are not. */
void breaker_clear(struct breaker *b);
/* It opens once more: for how long (15 s x n^2 up to an hour, +-20 % by `random`). An hour of
 * health forgets the openings before. */
int64_t breaker_open(struct breaker *b, bool is_healthy, uint64_t random, int64_t now_ms);
/* The share it takes while it is on a ramp: 0.1 .. 1. */
double breaker_ramp(const struct breaker *b, int64_t now_ms);
/* Answers without a fault a second, of the last ten to twenty seconds; *known_out (NULL: not
 * asked): there were any before the last ten. */
double breaker_rate(const struct breaker *b, bool *known_out, int64_t now_ms);

#endif
