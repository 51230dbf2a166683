/* A pace learned from throttling (rate_limited): what was accepted a second just before, less a
 * quarter. It stands for ten minutes at least, rising by a twentieth of what was seen each half
 * minute up to that; then by a quarter each half minute, until it binds no more. Where too little
 * was seen to know, it is a guess that rises by half each ten seconds until the next refusal. A
 * server and each of its cells may have one; made when it is needed, gone when it is over. */
#include "base/alloc.h"
#include "fleet/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DOWN       0.75 /* of what was accepted */
#define DOWN_MOST  0.5  /* of the pace in force, in one step */
#define UP         0.05 /* of what was accepted, while it is new */
#define UP_LATER   1.25
#define STEP_MS    30000
#define UP_GUESS   1.5
#define GUESS_MS   10000
#define AGAIN_MS   10000 /* one storm of refusals is one step */
#define SLOW_MS    600000
#define LEAST      0.2 /* a second: one in five seconds shows whether it is over */
#define SEEN_LEAST 1.0 /* nothing was accepted yet */

static void begin(struct pace **pp, const struct pace_seen *seen)
{
    struct pace *p = *pp = alloc_one(struct pace);
    p->seen_per_s = MAX(seen->per_s, SEEN_LEAST);
    p->is_guess = !seen->is_known;
}

/* A step down, bounded. What came through a pace is known. */
static void lower(struct pace *p, const struct pace_seen *seen)
{
    p->seen_per_s = MIN(MAX(seen->per_s, p->per_s * DOWN_MOST / DOWN), p->per_s);
    p->is_guess = false;
}

void pace_throttle(struct pace **pp, const struct pace_seen *seen, const char *why, int64_t wait_ms,
                   int64_t now_ms)
{
    struct pace *p = *pp;
    int64_t until = now_ms + MAX((int64_t)SLOW_MS, wait_ms);
    if (p && now_ms - p->lowered_at < AGAIN_MS) {
        p->until = MAX(p->until, until);
        return;
    }
    p ? lower(p, seen) : begin(pp, seen);
    p = *pp;
    p->per_s = MAX(p->seen_per_s * DOWN, LEAST);
    p->until = MAX(p->until, until);
    p->lowered_at = now_ms;
    p->step_at = now_ms + (p->is_guess ? GUESS_MS : STEP_MS);
    p->next_us = MAX(p->next_us, (now_ms + MIN(wait_ms, (int64_t)SLOW_MS)) * 1000);
    snprintf(p->reason, sizeof p->reason, "%s", why);
}

void pace_tick(struct pace **pp, double rate, int64_t now_ms)
{
    struct pace *p = *pp;
    if (!p || now_ms < p->step_at)
        return;
    p->step_at = now_ms + (p->is_guess ? GUESS_MS : STEP_MS);
    if (now_ms < p->until && p->is_guess)
        p->per_s *= rate * 2 > p->per_s ? UP_GUESS : 1;
    else if (now_ms < p->until)
        p->per_s = MAX(p->per_s, MIN(p->per_s + p->seen_per_s * UP, p->seen_per_s));
    else if (rate * 2 < p->per_s)
        pace_free(pp); /* it holds nothing back any more */
    else
        p->per_s *= UP_LATER;
}

void pace_free(struct pace **pp)
{
    free(*pp);
    *pp = NULL;
}

void pace_copy(struct pace **to, const struct pace *from)
{
    pace_free(to);
    if (!from)
        return;
    *to = alloc_one(struct pace);
    **to = *from;
}

/* As with a limit a second: dots leave evenly, a tenth of it at once. */
int64_t pace_when(const struct pace *p, uint32_t ahead, int64_t now_ms)
{
    if (!p)
        return now_ms;
    double step_us = 1e6 / p->per_s, burst = MAX(p->per_s / 10, 1.0);
    double when_us = (double)p->next_us + step_us * ((double)ahead - burst + 1);
    return MAX(now_ms, (int64_t)(when_us / 1000 + 0.999));
}

void pace_take(struct pace *p, int64_t now_ms)
{
    if (p)
        p->next_us = MAX(p->next_us, now_ms * 1000) + (int64_t)(1e6 / p->per_s);
}

/* Twice those that would carry it, so that the pace is what binds. */
uint32_t pace_connections(const struct pace *p, int64_t latency_us, uint32_t most)
{
    if (!p)
        return most;
    double n = 1 + ceil(2 * p->per_s * (double)MAX(latency_us, INT64_C(50000)) / 1e6);
    return n < most ? (uint32_t)n : most;
}

void pace_words(const struct pace *p, char *out, size_t size)
{
    snprintf(out, size, "asks us to slow down: at most %.3g a second, %.3g were accepted; %s",
             p->per_s, p->seen_per_s, p->reason);
}
