/* Operational state of servers: what moves it, and its one door, health_set_state. Counts faults,
 * opens, probes, ramps; finds the common cause. Administrative state is the user's and lies apart.
 */
#include "base/check.h"
#include "fleet/internal.h"

#include <stdio.h>

#define FAILURES_TO_OPEN   3
#define RATE_LEAST         10
#define OPEN_FIRST_MS      15000
#define OPEN_MOST_MS       3600000
#define CLEAN_MS           3600000 /* healthy that long: openings are forgotten */
#define RAMP_MS            60000
#define RAMP_LEAST         0.1
#define SINGLE_ANSWERS     3
#define MISCONFIGURED_MS   900000 /* first probe; doubles up to six hours */
#define MISCONFIGURED_MOST 21600000
#define QUOTA_MS           3600000 /* exhausted without a stated time */
#define SLOW_MS            600000
#define BLOCKED_MS         3600000
#define BLOCKED_MOST       14400000
#define BARRED_MS          3600000 /* a From that the server says it does not know */
#define MAIL_BARRED_MS     900000  /* MAIL refused for good three times in a row */
#define COMMON_SILENCE_MS  5000
#define COMMON_PROBE_MS    2000
#define WAITING_SILENCE_MS 20000 /* dots may take their time: no answer at all for so long */
#define IN_USE_MS          60000

/* Which moves exist; everything else is a bug. Administrative state is no part of it. */
static const uint16_t allowed[OPER_COUNT] = {
#define TO(s) (1u << OPER_##s)
    [OPER_HEALTHY] =
        TO(DEGRADED) | TO(SUSPECT) | TO(OPEN) | TO(EXHAUSTED) | TO(MISCONFIGURED) | TO(QUARANTINED),
    [OPER_DEGRADED] =
        TO(HEALTHY) | TO(SUSPECT) | TO(OPEN) | TO(EXHAUSTED) | TO(MISCONFIGURED) | TO(QUARANTINED),
    [OPER_SUSPECT] =
        TO(HEALTHY) | TO(RAMP) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED) | TO(QUARANTINED),
    [OPER_OPEN] = TO(HALF_OPEN) | TO(HEALTHY) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED),
    [OPER_HALF_OPEN] = TO(RAMP) | TO(OPEN) | TO(HEALTHY) | TO(MISCONFIGURED) | TO(EXHAUSTED),
    [OPER_RAMP] =
        TO(HEALTHY) | TO(SUSPECT) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED) | TO(QUARANTINED),
    [OPER_EXHAUSTED] = TO(HEALTHY) | TO(OPEN) | TO(MISCONFIGURED) | TO(EXHAUSTED),
    [OPER_MISCONFIGURED] = TO(HALF_OPEN) | TO(HEALTHY) | TO(MISCONFIGURED) | TO(OPEN),
    [OPER_QUARANTINED] = TO(HEALTHY) | TO(RAMP) | TO(QUARANTINED),
#undef TO
};

void health_set_state(struct fleet *f, struct fserver *s, enum oper_state to, const char *reason,
                      int64_t until, int64_t now_ms)
{
    enum oper_state from = s->state;
    check(from == to || (allowed[from] & (1u << to)));
    s->state = to;
    s->until = until;
    if (reason != s->reason)
        snprintf(s->reason, sizeof s->reason, "%s", reason);
    if (from == OPER_SUSPECT && to != from)
        suspect_over(s, to, now_ms);
    if (to == OPER_HEALTHY)
        s->healthy_since = now_ms;
    if (to == OPER_OPEN)
        s->opened_at = now_ms;
    s->may_try = s->probe_passed = false;
    if (to == OPER_RAMP)
        s->ramp_from = now_ms;
    f->events.on_state(f->arg, s->num, from, to, s->reason, until);
    if (health_may_send(s, now_ms))
        server_wake(f, s);
}

bool health_may_send(struct fserver *s, int64_t now_ms)
{
    (void)now_ms;
    if (s->slow_dot)
        return false;
    switch (s->state) {
    case OPER_HEALTHY:
    case OPER_DEGRADED:
    case OPER_RAMP: return true;
    case OPER_SUSPECT: return suspect_is_testing(s);
    case OPER_HALF_OPEN: return s->probe_passed && (s->may_try || s->assigned > 0);
    default: return false;
    }
}

uint32_t health_capacity(struct fserver *s, int64_t now_ms)
{
    if (s->is_cold || s->single || s->state == OPER_HALF_OPEN || s->state == OPER_SUSPECT)
        return 1;
    uint32_t n = concurrency_cap(s, MAX(s->limits.max_connections, 1u));
    return s->slow_until > now_ms ? MAX(n / MAX(s->slow_divisor, 1u), 1u) : n;
}

double health_share(const struct fserver *s, int64_t now_ms)
{
    if (s->state != OPER_RAMP)
        return 1;
    double part = (double)(now_ms - s->ramp_from) / RAMP_MS;
    return MIN(MAX(RAMP_LEAST + (1 - RAMP_LEAST) * part, RAMP_LEAST), 1.0);
}

/* ---- cells */

uint64_t health_from_key(struct str from_domain)
{
    return hash_bytes(from_domain.p, from_domain.n, 1) | 1;
}

uint64_t health_provider_key(uint32_t provider)
{
    return ((uint64_t)provider + 1) << 1;
}

bool health_cell_closed(const struct fserver *s, uint64_t key, int64_t now_ms, int64_t *until_out)
{
    for (size_t i = 0; i < countof(s->cells); i++)
        if (s->cells[i].key == key && s->cells[i].until > now_ms) {
            *until_out = s->cells[i].until;
            return true;
        }
    return false;
}

/* The cell of a key; a new one takes the place of the one that is open again first. */
static struct cell *cell_of(struct fserver *s, uint64_t key)
{
    struct cell *oldest = &s->cells[0];
    for (size_t i = 0; i < countof(s->cells); i++) {
        if (s->cells[i].key == key)
            return &s->cells[i];
        if (s->cells[i].until < oldest->until)
            oldest = &s->cells[i];
    }
    *oldest = (struct cell){.key = key};
    s->has_cells = true;
    return oldest;
}

/* Each closing in a row is twice as long, up to `most`. What came from messages that were on their
 * way when it closed is no further one. */
static void close_cell(struct fserver *s, uint64_t key, int64_t least_ms, int64_t most_ms,
                       int64_t wait_ms, int64_t now_ms)
{
    struct cell *c = cell_of(s, key);
    c->failures = 0;
    if (c->until > now_ms) {
        c->until = MAX(c->until, now_ms + wait_ms);
        return;
    }
    int64_t ms = MIN(least_ms << MIN(c->closings, 10u), most_ms);
    c->closings++;
    c->until = now_ms + MAX(ms, wait_ms);
}

void fleet_bar_provider(struct fleet *f, uint16_t num, uint32_t provider, int64_t until)
{
    struct fserver *s = fleet_find(f, num);
    if (!s)
        return;
    struct cell *c = cell_of(s, health_provider_key(provider));
    c->until = MAX(c->until, until);
}

static void fail_cell(struct fserver *s, uint64_t key, int64_t now_ms)
{
    if (++cell_of(s, key)->failures >= FAILURES_TO_OPEN)
        close_cell(s, key, MAIL_BARRED_MS, BARRED_MS, 0, now_ms);
}

/* An answer from behind an open cell ends its row; one from before its closing does not. */
static void pass_cell(struct fserver *s, uint64_t key, int64_t now_ms)
{
    for (size_t i = 0; i < countof(s->cells); i++)
        if (s->cells[i].key == key && s->cells[i].until <= now_ms)
            s->cells[i] = (struct cell){0};
}

/* ---- faults */

static void count_slot(struct fserver *s, bool ok, int64_t now_ms)
{
    int64_t slot = now_ms / HEALTH_SLOT_MS;
    typeof(s->slots[0]) *x = &s->slots[(uint64_t)slot % HEALTH_SLOTS];
    if (x->slot != slot)
        *x = (typeof(*x)){.slot = slot};
    ok ? x->ok++ : x->bad++;
}

void health_counts(const struct fserver *s, int64_t now_ms, uint32_t *ok_out, uint32_t *bad_out)
{
    int64_t slot = now_ms / HEALTH_SLOT_MS;
    *ok_out = *bad_out = 0;
    for (size_t i = 0; i < HEALTH_SLOTS; i++)
        if (slot - s->slots[i].slot < HEALTH_SLOTS) {
            *ok_out += s->slots[i].ok;
            *bad_out += s->slots[i].bad;
        }
}

static bool half_failed(const struct fserver *s, int64_t now_ms)
{
    uint32_t ok = 0, bad = 0;
    health_counts(s, now_ms, &ok, &bad);
    return ok + bad >= RATE_LEAST && bad >= ok;
}

static void open_server(struct fleet *f, struct fserver *s, const char *why, int64_t now_ms)
{
    if (s->state == OPER_HEALTHY && now_ms - s->healthy_since > CLEAN_MS)
        s->openings = 0;
    s->openings++;
    int64_t n = MIN(s->openings, 16u);
    int64_t ms = MIN(OPEN_FIRST_MS * n * n, (int64_t)OPEN_MOST_MS);
    int64_t jitter = ms / 5;
    ms += (int64_t)(fleet_rand(f) % (uint64_t)(2 * jitter + 1)) - jitter;
    memset(s->slots, 0, sizeof s->slots);
    s->failures_in_row = 0;
    s->dot_losses_in_row = 0;
    health_set_state(f, s, OPER_OPEN, why, now_ms + ms, now_ms);
}

bool fleet_open(struct fleet *f, uint16_t num, const char *reason, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || f->common_cause || s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED ||
        s->state == OPER_QUARANTINED)
        return false;
    open_server(f, s, reason, now_ms);
    return true;
}

bool fleet_quarantine(struct fleet *f, uint16_t num, const char *reason, int64_t until,
                      int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || !(allowed[s->state] & (1u << OPER_QUARANTINED)))
        return false;
    health_set_state(f, s, OPER_QUARANTINED, reason, until, now_ms);
    return true;
}

static bool in_use(const struct fserver *s, int64_t now_ms)
{
    return s->admin == ADMIN_ACTIVE &&
           (s->assigned > 0 || s->is_probing ||
            (s->transport_failed_at && now_ms - s->transport_failed_at < IN_USE_MS) ||
            (s->answered_at && now_ms - s->answered_at < IN_USE_MS));
}

/* Nothing but silence from it: faults without a word, or dots that wait for long. */
static bool is_silent(const struct fleet *f, const struct fserver *s, int64_t now_ms)
{
    bool is_out = s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED;
    bool waits = s->waiting_since && now_ms - s->waiting_since >= WAITING_SILENCE_MS &&
                 now_ms - f->answered_at >= WAITING_SILENCE_MS;
    return s->transport_failed_at || waits || (is_out && s->opened_silently);
}

/* Every server in use fails without a word and none has answered for a while: the fault is ours. */
static void look_for_common_cause(struct fleet *f, int64_t now_ms)
{
    size_t failing = 0, refused = 0;
    if (f->common_cause || now_ms - f->answered_at < COMMON_SILENCE_MS)
        return;
    for (size_t i = 0; i < f->n_servers; i++) {
        struct fserver *s = f->servers[i];
        bool is_out = s && (s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED);
        if (!s || !in_use(s, now_ms) || (is_out && !is_silent(f, s, now_ms)))
            continue;
        if (!is_silent(f, s, now_ms))
            return;
        failing++;
        refused += s->refused_by_host;
    }
    if (failing == 0 || (failing == 1 && refused == 1))
        return;
    f->common_cause = true;
    f->common_since = f->answered_at - COMMON_SILENCE_MS;
    f->common_probe_at = now_ms;
    char why[128];
    snprintf(why, sizeof why, "all %zu servers in use fail and none answered for %lld s", failing,
             (long long)(now_ms - f->answered_at) / 1000);
    for (size_t i = 0; i < f->n_servers; i++) {
        struct fserver *s = f->servers[i];
        bool is_out =
            s && (s->state == OPER_OPEN || s->state == OPER_HALF_OPEN || s->state == OPER_RAMP);
        if (is_out && s->opened_silently && s->opened_at >= f->common_since) {
            s->openings -= s->openings > 0;
            health_set_state(f, s, OPER_HEALTHY, "common cause: not its fault", 0, now_ms);
        }
    }
    f->events.on_common_cause(f->arg, true, why);
}

static void end_common_cause(struct fleet *f, int64_t now_ms)
{
    f->common_cause = false;
    for (size_t i = 0; i < f->n_servers; i++) {
        struct fserver *s = f->servers[i];
        if (!s)
            continue;
        s->transport_failed_at = s->waiting_since = 0;
        s->failures_in_row = s->dot_losses_in_row = 0;
        memset(s->slots, 0, sizeof s->slots);
        server_wake(f, s);
    }
    f->events.on_common_cause(f->arg, false, "a server answered");
    (void)now_ms;
}

/* Did the peer say nothing at all? Behind a greeting, a login or an envelope there was a reply,
 * even when the last one is missing: such a host is there, and the network to it too. */
static bool was_silent(const struct report *r)
{
    return !r->reply_read && (r->phase <= PHASE_GREETING || r->phase == PHASE_MAIL);
}

static void count_failure(struct fleet *f, struct fserver *s, const struct report *r,
                          int64_t now_ms)
{
    s->failures++;
    if (was_silent(r)) {
        s->transport_failed_at = now_ms;
        s->refused_by_host = r->refused_by_host;
    }
    if (r->verdict == VERDICT_UNCERTAIN) {
        s->dot_losses_in_row++;
        s->single = true;
        s->single_left = SINGLE_ANSWERS;
    }
    look_for_common_cause(f, now_ms);
    if (f->common_cause)
        return;
    s->failures_in_row++;
    count_slot(s, false, now_ms);
    bool again = s->state == OPER_HALF_OPEN || s->state == OPER_RAMP;
    bool sends = s->state == OPER_HEALTHY || s->state == OPER_DEGRADED;
    s->opened_silently = was_silent(r);
    if (again || (sends && (s->failures_in_row >= FAILURES_TO_OPEN ||
                            s->dot_losses_in_row >= FAILURES_TO_OPEN || half_failed(s, now_ms))))
        open_server(f, s, r->why ? r->why : "failed", now_ms);
}

static void count_success(struct fleet *f, struct fserver *s, const struct report *r,
                          int64_t now_ms)
{
    count_slot(s, true, now_ms);
    s->failures_in_row = 0;
    if (s->has_cells && r->verdict == VERDICT_ACCEPTED && r->is_message) {
        pass_cell(s, health_from_key(r->from_domain), now_ms);
        pass_cell(s, health_provider_key(r->provider), now_ms);
    }
    if (!r->dot_left)
        return;
    s->answered++;
    s->is_cold = false;
    s->dot_losses_in_row = 0;
    if (s->single && --s->single_left == 0)
        s->single = false;
    if (r->latency_ms >= 0)
        s->latencies[s->n_latencies++ % LATENCIES] =
            (int32_t)MIN(r->latency_ms, (int64_t)INT32_MAX);
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

static void rate_limited(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    if (s->slow_until <= now_ms)
        s->slow_divisor = 2;
    else if (s->slow_until - now_ms < SLOW_MS - 30000)
        s->slow_divisor = MIN(MAX(s->slow_divisor, 1u) * 2, 8u);
    s->slow_until = now_ms + MAX((int64_t)SLOW_MS, r->wait_ms);
    if (s->state == OPER_HEALTHY)
        health_set_state(f, s, OPER_DEGRADED, r->why ? r->why : "asks us to slow down",
                         s->slow_until, now_ms);
}

static void report_owned(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    int64_t wait = r->wait_ms;
    switch (r->verdict) {
    case VERDICT_AUTH_CONFIG:
        if (r->fault == FAULT_SERVER_FROM && r->from_domain.n)
            close_cell(s, health_from_key(r->from_domain), BARRED_MS, BARRED_MS, wait, now_ms);
        else if (s->state != OPER_QUARANTINED)
            misconfigured(f, s, r, now_ms);
        break;
    case VERDICT_QUOTA:
        if (s->state != OPER_QUARANTINED && s->state != OPER_MISCONFIGURED &&
            s->state != OPER_SUSPECT)
            health_set_state(f, s, OPER_EXHAUSTED, r->why ? r->why : "its quota is used up",
                             now_ms + (wait ? wait : QUOTA_MS), now_ms);
        break;
    case VERDICT_RATE_LIMITED: rate_limited(f, s, r, now_ms); break;
    case VERDICT_BLOCKED:
        close_cell(s, health_provider_key(r->provider), BLOCKED_MS, BLOCKED_MOST, wait, now_ms);
        break;
    default: break;
    }
}

/* Still half open after a report: another message may go, or it was no answer to rely on. */
static void look_at_half_open(struct fleet *f, struct fserver *s, const struct report *r,
                              int64_t now_ms)
{
    if (f->common_cause || s->assigned > 0)
        return;
    if (r->is_probe && r->verdict != VERDICT_ACCEPTED)
        open_server(f, s, r->why ? r->why : "its probe was refused", now_ms);
    else if (r->is_probe)
        s->may_try = s->probe_passed = true;
    else if (r->is_message && s->probe_passed)
        s->may_try = true;
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
    }
    strategy_update(f, s, now_ms);
    if (r->is_probe)
        s->is_probing = false;
    if (r->reply_read) {
        s->answered_at = f->answered_at = now_ms;
        s->transport_failed_at = 0;
        if (f->common_cause)
            end_common_cause(f, now_ms);
    }
    if (r->is_ours) {
        server_wake(f, s);
        return;
    }
    bool counted = r->verdict == VERDICT_UNCERTAIN ||
                   (r->verdict == VERDICT_FAILOVER && r->fault != FAULT_SERVER_FROM);
    if (counted)
        count_failure(f, s, r, now_ms);
    else if (r->verdict == VERDICT_AUTH_CONFIG || r->verdict == VERDICT_QUOTA ||
             r->verdict == VERDICT_RATE_LIMITED || r->verdict == VERDICT_BLOCKED)
        report_owned(f, s, r, now_ms);
    else if (r->verdict == VERDICT_FAILOVER && r->from_domain.n)
        fail_cell(s, health_from_key(r->from_domain), now_ms);
    else if (!r->is_probe || s->state == OPER_HEALTHY)
        count_success(f, s, r, now_ms);
    if (s->state == OPER_HALF_OPEN)
        look_at_half_open(f, s, r, now_ms);
    suspect_report(f, s, r, now_ms);
    if (!r->is_message && !r->is_probe)
        return;
    server_wake(f, s);
}

void fleet_slow_dot(struct fleet *f, uint16_t num, bool is_slow, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || s->slow_dot == is_slow)
        return;
    s->slow_dot = is_slow;
    if (s->state == OPER_HEALTHY && is_slow)
        health_set_state(f, s, OPER_DEGRADED, "does not answer a dot for 60 s", 0, now_ms);
    if (!is_slow)
        server_wake(f, s);
}

/* ---- the way back from quarantine */

bool fleet_release(struct fleet *f, uint16_t num, const char *reason, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || (s->state != OPER_QUARANTINED && s->state != OPER_SUSPECT))
        return false;
    health_set_state(f, s, OPER_RAMP, reason, now_ms + RAMP_MS, now_ms);
    return true;
}

/* ---- time */

static bool tick_server(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    if (s->state == OPER_SUSPECT) {
        suspect_tick(f, s, now_ms);
        return false;
    }
    bool due = (s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED) && now_ms >= s->until;
    /* A probe that ended while the fault was ours has decided nothing. */
    bool again = s->state == OPER_HALF_OPEN && !s->may_try && s->assigned == 0;
    bool probe = (due || again) && s->admin == ADMIN_ACTIVE && !s->is_probing;
    if (probe) {
        if (due)
            health_set_state(f, s, OPER_HALF_OPEN, s->reason, 0, now_ms);
        s->is_probing = true;
    } else if (s->state == OPER_EXHAUSTED && now_ms >= s->until) {
        health_set_state(f, s, OPER_HEALTHY, "its quota is open again", 0, now_ms);
    } else if (s->state == OPER_QUARANTINED && s->until && now_ms >= s->until) {
        health_set_state(f, s, OPER_RAMP, "its quarantine is over", 0, now_ms);
    } else if (s->state == OPER_RAMP && now_ms - s->ramp_from >= RAMP_MS) {
        health_set_state(f, s, OPER_HEALTHY, "recovered", 0, now_ms);
        s->misconfigured_times = 0;
    } else if (s->state == OPER_DEGRADED && s->slow_until <= now_ms && !s->slow_dot) {
        s->slow_divisor = 1;
        health_set_state(f, s, OPER_HEALTHY, "recovered", 0, now_ms);
    }
    return probe;
}

static size_t probe_for_common_cause(struct fleet *f, int64_t now_ms, uint16_t *nums, size_t max)
{
    if (now_ms < f->common_probe_at || max == 0)
        return 0;
    f->common_probe_at = now_ms + COMMON_PROBE_MS;
    for (int sick = 0; sick < 2; sick++) /* one that was well, or, when none was, any */
        for (size_t i = 1; i <= f->n_servers; i++) {
            size_t at = (f->common_next + i) % f->n_servers;
            struct fserver *s = f->servers[at];
            if (!s || s->admin != ADMIN_ACTIVE || s->state == OPER_MISCONFIGURED ||
                (!sick && !health_may_send(s, now_ms)))
                continue;
            f->common_next = (uint16_t)at;
            s->is_probing = true;
            nums[0] = s->num;
            return 1;
        }
    return 0;
}

size_t fleet_tick(struct fleet *f, int64_t now_ms, uint16_t *probe_nums, size_t max)
{
    size_t n = 0;
    strategy_tick(f, now_ms);
    rotation_tick(f, now_ms);
    look_for_common_cause(f, now_ms);
    if (f->common_cause)
        return probe_for_common_cause(f, now_ms, probe_nums, max);
    for (size_t i = 0; i < f->n_servers && n < max; i++)
        if (f->servers[i] && tick_server(f, f->servers[i], now_ms))
            probe_nums[n++] = f->servers[i]->num;
    return n;
}

void fleet_waiting(struct fleet *f, uint16_t num, int64_t since_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (s)
        s->waiting_since = since_ms;
}

bool fleet_in_common_cause(const struct fleet *f)
{
    return f->common_cause;
}
