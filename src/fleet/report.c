/* Door two: the end of a message, a connection or a probe. Takes the reservation back, finds the
 * owner of what was said (server, cell, From domain, pace, quota, login, nobody) and moves that. */
#include "fleet/internal.h"

#include <stdio.h>

#define SINGLE_ANSWERS     3
#define MISCONFIGURED_MS   900000 /* first probe; doubles up to six hours */
#define MISCONFIGURED_MOST 21600000
#define QUOTA_MS           3600000 /* exhausted without a stated time */
#define SLOW_MS            600000
#define SLOW_AGAIN_MS      30000 /* one storm of refusals is one step */
#define SLOW_MOST          8     /* times fewer connections */

/* ---- faults and answers */

static void count_failure(struct fleet *f, struct fserver *s, const struct report *r,
                          int64_t now_ms)
{
    s->failures++;
    if (common_was_silent(r))
        common_silent(f, s, r, now_ms);
    if (cells_fault(f, s, r, now_ms))
        return;
    if (r->verdict == VERDICT_UNCERTAIN) {
        s->dot_losses_in_row++;
        s->single = true;
        s->single_left = SINGLE_ANSWERS;
    }
    common_look(f, now_ms);
    if (f->common_cause)
        return;
    bool same = s->breaker.failures_in_row == 0 || s->row_provider == r->provider;
    s->row_provider = same ? r->provider : 0;
    breaker_fail(&s->breaker, now_ms);
    bool again = s->state == OPER_HALF_OPEN || s->state == OPER_RAMP;
    bool sends = s->state == OPER_HEALTHY || s->state == OPER_DEGRADED;
    s->opened_silently = common_was_silent(r);
    if (again ||
        (sends && (s->dot_losses_in_row >= FAILURES_TO_OPEN || breaker_trips(&s->breaker, now_ms))))
        health_open(f, s, r->why ? r->why : "failed", now_ms);
}

static void count_answer(struct fserver *s, const struct report *r)
{
    s->answered++;
    s->is_cold = false;
    s->dot_losses_in_row = 0;
    if (s->single && --s->single_left == 0) {
        s->single = false;
        s->parks = 0;
    }
    if (r->latency_ms < 0)
        return;
    uint32_t at = s->n_latencies++ % LATENCIES;
    s->latencies[at] = (int32_t)MIN(r->latency_ms, (int64_t)INT32_MAX);
    s->carried[at] = (uint16_t)r->provider;
}

static void count_success(struct fleet *f, struct fserver *s, const struct report *r,
                          int64_t now_ms)
{
    breaker_ok(&s->breaker, now_ms);
    if (r->verdict == VERDICT_ACCEPTED && r->is_message) {
        bars_passed(s, r->from_domain, now_ms);
        cells_accepted(f, s, r, now_ms);
    }
    if (!r->dot_left)
        return;
    count_answer(s, r);
    if (s->state == OPER_HALF_OPEN)
        health_set_state(f, s, OPER_RAMP, "answered again", now_ms + RAMP_MS, now_ms);
}

/* ---- verdicts that have an owner of their own */

static void misconfigured(struct fleet *f, struct fserver *s, const struct report *r,
                          int64_t now_ms)
{
    if (s->state == OPER_MISCONFIGURED)
        return; /* a login that was under way when the first one was refused */
    uint32_t n = MIN(s->misconfigured_times, 5u);
    int64_t ms = MIN((int64_t)MISCONFIGURED_MS << n, (int64_t)MISCONFIGURED_MOST);
    s->misconfigured_times++;
    health_set_state(f, s, OPER_MISCONFIGURED, r->why ? r->why : "refuses our login", now_ms + ms,
                     now_ms);
}

static void fewer_connections(struct fserver *s, int64_t now_ms)
{
    if (s->slow_until <= now_ms || !s->slow_divisor)
        s->slow_divisor = 2;
    else if (s->slow_until - now_ms < SLOW_MS - SLOW_AGAIN_MS)
        s->slow_divisor = MIN(s->slow_divisor * 2, (uint32_t)SLOW_MOST);
}

/* Too many connections: fewer. Too many messages: slower, by a pace learned from what was accepted,
 * of the server or, where the reply speaks for a mailbox provider, of its cell. Neither is a fault:
 * no breaker moves. */
static void rate_limited(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    char why[160];
    bool is_theirs = r->is_message && r->provider && r->fault == FAULT_SERVER_PROVIDER;
    if (is_theirs) {
        cells_throttled(f, s, r, now_ms);
        return;
    }
    snprintf(why, sizeof why, "%s", r->why ? r->why : "asks us to slow down");
    if (r->phase <= PHASE_AUTH) {
        fewer_connections(s, now_ms);
    } else {
        struct pace_seen seen = {0};
        seen.per_s = breaker_rate(&s->breaker, &seen.is_known, now_ms);
        pace_throttle(&s->pace, &seen, r->why ? r->why : "", r->wait_ms, now_ms);
        pace_words(s->pace, why, sizeof why);
    }
    s->slow_until = now_ms + MAX((int64_t)SLOW_MS, r->wait_ms);
    if (s->state == OPER_HEALTHY || (s->state == OPER_DEGRADED && !s->is_parked))
        health_set_state(f, s, OPER_DEGRADED, why, s->slow_until, now_ms);
}

static void report_owned(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    switch (r->verdict) {
    case VERDICT_AUTH_CONFIG:
        if (r->fault == FAULT_SERVER_FROM && r->from_domain.n)
            bars_unknown(s, r->from_domain, r->wait_ms, now_ms);
        else if (s->state != OPER_QUARANTINED)
            misconfigured(f, s, r, now_ms);
        break;
    case VERDICT_QUOTA:
        if (s->state != OPER_QUARANTINED && s->state != OPER_MISCONFIGURED &&
            s->state != OPER_SUSPECT)
            health_set_state(f, s, OPER_EXHAUSTED, r->why ? r->why : "its quota is used up",
                             now_ms + (r->wait_ms ? r->wait_ms : QUOTA_MS), now_ms);
        break;
    case VERDICT_RATE_LIMITED: rate_limited(f, s, r, now_ms); break;
    case VERDICT_BLOCKED: cells_blocked(f, s, r, now_ms); break;
    default: break;
    }
}

/* Still half open after a report: another message may go, or it was no answer to rely on. */
static void look_at_half_open(struct fleet *f, struct fserver *s, const struct report *r,
                              int64_t now_ms)
{
    if (f->common_cause || fserver_moving(s) > 0)
        return;
    if (r->is_probe && r->verdict != VERDICT_ACCEPTED)
        health_open(f, s, r->why ? r->why : "its probe was refused", now_ms);
    else if (r->is_probe)
        s->may_try = s->probe_passed = true;
    else if (r->is_message && s->probe_passed)
        s->may_try = true;
}

/* ---- the door */

static bool has_owner(enum verdict v)
{
    return v == VERDICT_AUTH_CONFIG || v == VERDICT_QUOTA || v == VERDICT_RATE_LIMITED ||
           v == VERDICT_BLOCKED;
}

static void judge(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    bool counted = r->verdict == VERDICT_UNCERTAIN ||
                   (r->verdict == VERDICT_FAILOVER && r->fault != FAULT_SERVER_FROM);
    if (counted)
        count_failure(f, s, r, now_ms);
    else if (has_owner(r->verdict))
        report_owned(f, s, r, now_ms);
    else if (r->verdict == VERDICT_FAILOVER && r->from_domain.n)
        bars_refused(s, r->from_domain, now_ms);
    else if (!r->is_probe || s->state == OPER_HEALTHY)
        count_success(f, s, r, now_ms);
    if (r->is_probe && r->verdict == VERDICT_ACCEPTED)
        health_unpark(f, s, now_ms);
    else if (r->is_probe)
        s->parks += s->is_parked;
    if (s->state == OPER_HALF_OPEN)
        look_at_half_open(f, s, r, now_ms);
    suspect_report(f, s, r, now_ms);
}

void fleet_report(struct fleet *f, const struct report *r, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, r->server_num);
    if (!s)
        return;
    if (r->is_message) {
        fleet_unassign(s, &r->hold);
        limits_settle(f, s, r, now_ms);
    }
    if (!r->is_ours) {
        strategy_latency(f, s, r);
        concurrency_report(s, r);
        if (r->is_message)
            ailing_report(s, r, now_ms);
    }
    strategy_update(f, s, now_ms);
    if (r->is_probe)
        s->is_probing = false;
    if (r->reply_read)
        common_answered(f, s, now_ms);
    if (!r->is_ours)
        judge(f, s, r, now_ms);
    if (r->is_ours || r->is_message || r->is_probe)
        server_wake(f, s);
}
