/* See breaker.h. */
#include "fleet/breaker.h"

#define RATE_LEAST    10
#define OPEN_FIRST_MS 15000
#define OPEN_MOST_MS  3600000
#define CLEAN_MS      3600000 /* healthy that long: openings are forgotten */
#define RAMP_LEAST    0.1

bool breaker_may_move(enum oper_state from, enum oper_state to)
{
    static const uint16_t allowed[OPER_COUNT] = {
#define TO(s) (1u << OPER_##s)
        [OPER_HEALTHY] = TO(DEGRADED) | TO(SUSPECT) | TO(OPEN) | TO(EXHAUSTED) | TO(MISCONFIGURED) |
                         TO(QUARANTINED),
        [OPER_DEGRADED] = TO(HEALTHY) | TO(SUSPECT) | TO(OPEN) | TO(EXHAUSTED) | TO(MISCONFIGURED) |
                          TO(QUARANTINED),
        [OPER_SUSPECT] =
            TO(HEALTHY) | TO(RAMP) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED) | TO(QUARANTINED),
        [OPER_OPEN] = TO(HALF_OPEN) | TO(HEALTHY) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED),
        [OPER_HALF_OPEN] = TO(RAMP) | TO(OPEN) | TO(HEALTHY) | TO(MISCONFIGURED) | TO(EXHAUSTED),
        [OPER_RAMP] = TO(HEALTHY) | TO(SUSPECT) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED) |
                      TO(QUARANTINED),
        [OPER_EXHAUSTED] = TO(HEALTHY) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED),
        [OPER_MISCONFIGURED] = TO(HALF_OPEN) | TO(HEALTHY) | TO(MISCONFIGURED) | TO(OPEN),
        [OPER_QUARANTINED] = TO(HEALTHY) | TO(RAMP) | TO(QUARANTINED),
#undef TO
    };
    return from == to || (allowed[from] & (1u << to));
}

/* ---- counting */

static void count(struct breaker *b, bool ok, int64_t now_ms)
{
    int64_t slot = now_ms / HEALTH_SLOT_MS;
    typeof(b->slots[0]) *x = &b->slots[(uint64_t)slot % HEALTH_SLOTS];
    if (x->slot != slot)
        *x = (typeof(*x)){.slot = slot};
    ok ? x->ok++ : x->bad++;
}

void breaker_ok(struct breaker *b, int64_t now_ms)
{
    count(b, true, now_ms);
    b->failures_in_row = 0;
}

void breaker_fail(struct breaker *b, int64_t now_ms)
{
    count(b, false, now_ms);
    b->failures_in_row++;
}

void breaker_counts(const struct breaker *b, int64_t now_ms, uint32_t *ok_out, uint32_t *bad_out)
{
    int64_t slot = now_ms / HEALTH_SLOT_MS;
    *ok_out = *bad_out = 0;
    for (size_t i = 0; i < HEALTH_SLOTS; i++)
        if (slot - b->slots[i].slot < HEALTH_SLOTS) {
            *ok_out += b->slots[i].ok;
            *bad_out += b->slots[i].bad;
        }
}

bool breaker_trips(const struct breaker *b, int64_t now_ms)
{
    uint32_t ok = 0, bad = 0;
    breaker_counts(b, now_ms, &ok, &bad);
    return b->failures_in_row >= FAILURES_TO_OPEN || (ok + bad >= RATE_LEAST && bad >= ok);
}

void breaker_clear(struct breaker *b)
{
    memset(b->slots, 0, sizeof b->slots);
    b->failures_in_row = 0;
}

/* A slot that has just begun says little alone, and the one before may have been half idle: the
 * better of both is believed. */
double breaker_rate(const struct breaker *b, bool *known_out, int64_t now_ms)
{
    int64_t slot = now_ms / HEALTH_SLOT_MS, passed_ms = now_ms - slot * HEALTH_SLOT_MS;
    uint32_t now = 0, before = 0;
    for (size_t i = 0; i < HEALTH_SLOTS; i++) {
        now += b->slots[i].slot == slot ? b->slots[i].ok : 0;
        before += b->slots[i].slot == slot - 1 ? b->slots[i].ok : 0;
    }
    double alone = (double)now * 1000 / (double)MAX(passed_ms, INT64_C(1000));
    double both = (double)(now + before) * 1000 / (double)(HEALTH_SLOT_MS + passed_ms);
    if (known_out)
        *known_out = before > 0;
    return MAX(alone, both);
}

/* ---- opening and the way back */

int64_t breaker_open(struct breaker *b, bool is_healthy, uint64_t random, int64_t now_ms)
{
    if (is_healthy && now_ms - b->healthy_since > CLEAN_MS)
        b->openings = 0;
    b->openings++;
    int64_t n = MIN(b->openings, 16u);
    int64_t ms = MIN(OPEN_FIRST_MS * n * n, (int64_t)OPEN_MOST_MS);
    int64_t jitter = ms / 5;
    breaker_clear(b);
    return ms + (int64_t)(random % (uint64_t)(2 * jitter + 1)) - jitter;
}

double breaker_ramp(const struct breaker *b, int64_t now_ms)
{
    double part = (double)(now_ms - b->ramp_from) / RAMP_MS;
    return MIN(MAX(RAMP_LEAST + (1 - RAMP_LEAST) * part, RAMP_LEAST), 1.0);
}
