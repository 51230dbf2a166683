/* The fault that is ours: network, DNS, disk. When every server in use fails without a word and
 * nobody has answered for 5 s while somebody was asked, nobody is to blame and nothing is picked;
 * one server is probed every 2 s, and the first answer ends it. Servers that are well and idle are
 * asked for a word first (witnesses): while any of them answers the fault is not ours. */
#include "fleet/internal.h"

#include <stdio.h>

#define SILENCE_MS         5000
#define PROBE_MS           2000
#define WAITING_SILENCE_MS 20000 /* dots may take their time: no answer at all for so long */
#define IN_USE_MS          60000
#define WITNESS_AFTER_MS   2000 /* of silence */
#define WITNESS_EVERY_MS   500
#define WITNESSES          3
#define WITNESS_MS         2000 /* to answer */

struct survey { /* of servers in use */
    size_t failing, refused;
    size_t idle;   /* well, not in use, not asked yet */
    int64_t since; /* of the silence */
    bool answers;  /* one of them is not silent */
    bool pending;  /* a witness may still answer */
};

/* Did the peer say nothing at all? Behind a greeting, a login or an envelope there was a reply,
 * even when the last one is missing: such a host is there, and the network to it too. */
bool common_was_silent(const struct report *r)
{
    return !r->reply_read && (r->phase <= PHASE_GREETING || r->phase == PHASE_MAIL);
}

static bool is_witness(const struct fleet *f, const struct fserver *s)
{
    return s->witness_at && f->asking_since && s->witness_at >= f->asking_since;
}

static bool in_use(const struct fserver *s, int64_t now_ms)
{
    return s->admin == ADMIN_ACTIVE &&
           (s->assigned > 0 || s->is_probing ||
            (s->transport_failed_at && now_ms - s->transport_failed_at < IN_USE_MS) ||
            (s->answered_at && now_ms - s->answered_at < IN_USE_MS));
}

static bool waits(const struct fleet *f, const struct fserver *s, int64_t now_ms)
{
    return s->waiting_since && now_ms - s->waiting_since >= WAITING_SILENCE_MS &&
           now_ms - f->answered_at >= WAITING_SILENCE_MS;
}

/* Nothing but silence from it: faults without a word, or dots that wait for long. */
static bool is_silent(const struct fleet *f, const struct fserver *s, int64_t now_ms)
{
    bool is_out = s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED;
    return s->transport_failed_at || waits(f, s, now_ms) || (is_out && s->opened_silently);
}

static void survey_one(const struct fleet *f, struct fserver *s, int64_t now_ms, struct survey *out)
{
    bool is_out = s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED;
    bool silent = is_silent(f, s, now_ms);
    if (is_witness(f, s) && !silent) {
        out->pending |= now_ms - s->witness_at < WITNESS_MS;
        out->failing++;
        return;
    }
    if (!in_use(s, now_ms)) {
        out->idle += s->admin == ADMIN_ACTIVE && health_may_send(s, now_ms);
        return;
    }
    if (is_out && !silent)
        return;
    out->answers |= !silent;
    out->failing++;
    out->refused += silent && s->refused_by_host;
    if (waits(f, s, now_ms))
        out->since = MIN(out->since, s->waiting_since);
}

static void survey(const struct fleet *f, int64_t now_ms, struct survey *out)
{
    *out = (struct survey){.since = f->asking_since ? f->asking_since : INT64_MAX};
    for (size_t i = 0; i < f->n_servers && !out->answers; i++)
        if (f->servers[i])
            survey_one(f, f->servers[i], now_ms, out);
}

static void begin(struct fleet *f, size_t failing, int64_t now_ms)
{
    f->common_cause = true;
    f->common_since = f->answered_at - SILENCE_MS;
    f->common_probe_at = now_ms;
    char why[128];
    snprintf(why, sizeof why, "all %zu servers in use fail and none answered for %lld s", failing,
             (long long)(now_ms - f->answered_at) / 1000);
    for (size_t i = 0; i < f->n_servers; i++) {
        struct fserver *s = f->servers[i];
        bool is_out =
            s && (s->state == OPER_OPEN || s->state == OPER_HALF_OPEN || s->state == OPER_RAMP);
        if (is_out && s->opened_silently && s->opened_at >= f->common_since) {
            s->breaker.openings -= s->breaker.openings > 0;
            health_set_state(f, s, OPER_HEALTHY, "common cause: not its fault", 0, now_ms);
        }
    }
    f->events.on_common_cause(f->arg, true, why);
}

static bool is_ours(const struct fleet *f, const struct survey *x, int64_t now_ms)
{
    bool is_long = now_ms - f->answered_at >= SILENCE_MS && x->since <= now_ms - SILENCE_MS;
    bool is_lone_refusal = x->failing == 1 && x->refused == 1;
    return is_long && !x->answers && !x->pending && x->failing && !is_lone_refusal &&
           (!x->idle || f->n_witnesses);
}

void common_look(struct fleet *f, int64_t now_ms)
{
    struct survey x;
    if (f->common_cause || now_ms - f->answered_at < SILENCE_MS)
        return;
    survey(f, now_ms, &x);
    if (is_ours(f, &x, now_ms))
        begin(f, x.failing, now_ms);
}

static void end(struct fleet *f)
{
    f->common_cause = false;
    for (size_t i = 0; i < f->n_servers; i++) {
        struct fserver *s = f->servers[i];
        if (!s)
            continue;
        s->transport_failed_at = s->waiting_since = 0;
        s->dot_losses_in_row = 0;
        breaker_clear(&s->breaker);
        server_wake(f, s);
    }
    f->events.on_common_cause(f->arg, false, "a server answered");
}

/* ---- what happened */

void common_asked(struct fleet *f, int64_t now_ms)
{
    if (!f->asking_since)
        f->asking_since = now_ms;
}

void common_silent(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    common_asked(f, now_ms);
    s->transport_failed_at = now_ms;
    s->refused_by_host = r->refused_by_host;
}

void common_answered(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    s->answered_at = f->answered_at = now_ms;
    s->transport_failed_at = s->witness_at = 0;
    f->asking_since = 0;
    f->n_witnesses = 0;
    if (f->common_cause)
        end(f);
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

/* ---- probes */

/* The next one, of those that may be asked: one that is well, or (`any`) any. */
static struct fserver *next_of(struct fleet *f, bool any, bool idle, int64_t now_ms)
{
    for (size_t i = 1; i <= f->n_servers; i++) {
        size_t at = (f->common_next + i) % f->n_servers;
        struct fserver *s = f->servers[at];
        if (!s || s->admin != ADMIN_ACTIVE || s->state == OPER_MISCONFIGURED ||
            (!any && !health_may_send(s, now_ms)) ||
            (idle && (in_use(s, now_ms) || is_witness(f, s))))
            continue;
        f->common_next = (uint16_t)at;
        return s;
    }
    return NULL;
}

static size_t probe(struct fserver *s, uint16_t *nums)
{
    if (!s)
        return 0;
    s->is_probing = true;
    nums[0] = s->num;
    return 1;
}

/* Everybody in use is silent: one that is idle is asked for a word, before it is said to be us. */
static struct fserver *witness(struct fleet *f, const struct survey *x, int64_t now_ms)
{
    bool soon = f->n_witnesses && now_ms - f->witness_at < WITNESS_EVERY_MS;
    if (x->answers || !x->failing || !x->idle || x->since > now_ms - WITNESS_AFTER_MS || soon ||
        f->n_witnesses >= WITNESSES)
        return NULL;
    struct fserver *s = next_of(f, false, true, now_ms);
    if (!s)
        return NULL;
    common_asked(f, x->since);
    s->witness_at = f->witness_at = now_ms;
    f->n_witnesses++;
    return s;
}

static size_t look_and_ask(struct fleet *f, int64_t now_ms, uint16_t *nums)
{
    struct survey x;
    if (now_ms - f->answered_at < WITNESS_AFTER_MS)
        return 0;
    survey(f, now_ms, &x);
    if (!is_ours(f, &x, now_ms))
        return probe(witness(f, &x, now_ms), nums);
    begin(f, x.failing, now_ms);
    return 0;
}

size_t common_tick(struct fleet *f, int64_t now_ms, uint16_t *nums, size_t max)
{
    size_t n = 0;
    if (max && !f->common_cause)
        n = look_and_ask(f, now_ms, nums);
    if (max == 0 || !f->common_cause || now_ms < f->common_probe_at)
        return n;
    f->common_probe_at = now_ms + PROBE_MS;
    struct fserver *s = next_of(f, false, false, now_ms);
    return probe(s ? s : next_of(f, true, false, now_ms), nums);
}
