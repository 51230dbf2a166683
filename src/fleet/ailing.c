/* A mailbox provider that puts off (4xx) or holds up nearly everybody at a server must not hold up
 * the rest of a campaign. While others find that server busy, or more of its campaign are on their
 * way, its bulk and priority mail goes there one message at a time, at most ten a second and a 32nd
 * of the server's connection time: enough to see that it is well again. When nobody else waits it
 * goes as ever, so greylisting loses nothing. Blocks and faults are the cell's: cells.c. About 400
 * bytes a server. */
#include "base/alloc.h"
#include "fleet/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PROVIDERS  8      /* of a server; the one that was heard of longest ago makes room */
#define LEAST      8      /* answers before anything is said, */
#define PART       8      /* all of the last 32 but an eighth */
#define EVERY_MS   100    /* between two trials, at least */
#define TIME_PART  32     /* of the connection time */
#define WANTED_MS  1000   /* so long after others found the server busy it yields to them */
#define FORGET_MS  600000 /* after so long without an answer */
#define SLOW_TIMES 8      /* as long as the quickest other provider takes here, */
#define SLOW_MORE  300    /* and so many ms longer */
#define SMOOTH     8      /* answers */

struct ailment { /* of a mailbox provider at a server, well or not */
    bool is_used;
    uint32_t provider;
    uint32_t last;     /* a bit each answer, newest lowest: put off or held up */
    uint8_t n;         /* answers in `last` */
    uint32_t on_trial; /* under way */
    int64_t busy_us;   /* an accepted one takes a connection for so long, smoothed; 0: none yet */
    int64_t heard_at;
    int64_t next_at; /* the next trial */
};

struct ailments {
    struct ailment of[PROVIDERS];
};

static struct ailment *find(const struct fserver *s, uint32_t provider)
{
    for (size_t i = 0; s->ailments && i < PROVIDERS; i++)
        if (s->ailments->of[i].is_used && s->ailments->of[i].provider == provider)
            return &s->ailments->of[i];
    return NULL;
}

static struct ailment *find_or_make(struct fserver *s, uint32_t provider, int64_t now_ms)
{
    struct ailment *a = find(s, provider);
    if (a && now_ms - a->heard_at <= FORGET_MS)
        return a;
    if (!s->ailments)
        s->ailments = alloc_one(struct ailments);
    for (size_t i = 0; !a && i < PROVIDERS; i++)
        if (!s->ailments->of[i].is_used)
            a = &s->ailments->of[i];
    if (!a)
        a = &s->ailments->of[0];
    for (size_t i = 1; a->is_used && a->provider != provider && i < PROVIDERS; i++)
        if (s->ailments->of[i].heard_at < a->heard_at)
            a = &s->ailments->of[i];
    *a = (struct ailment){.is_used = true, .provider = provider};
    return a;
}

static uint32_t bad_of(const struct ailment *a)
{
    return (uint32_t)__builtin_popcount(a->last);
}

static bool is_ailing(const struct ailment *a, int64_t now_ms)
{
    return a->provider && a->n >= LEAST && (a->n - bad_of(a)) * PART <= a->n &&
           now_ms - a->heard_at <= FORGET_MS;
}

static const struct ailment *ailing_of(const struct fserver *s, uint32_t provider, int64_t now_ms)
{
    const struct ailment *x = find(s, provider);
    return x && is_ailing(x, now_ms) ? x : NULL;
}

/* To those that wait for this server, and for any of the group: what a server takes of the sick
 * ones puts the others' next turn off, so that all would wait for the one that takes none. */
static bool yields(const struct place *p, const struct ask *a, int64_t now_ms)
{
    bool wanted = a->others_come;
    for (int l = 0; l <= (int)a->lane; l++) {
        int64_t at = MAX(p->server->wanted_at[l], p->group->wanted_at[l]);
        wanted = wanted || (at && now_ms - at < WANTED_MS);
    }
    return wanted && a->lane != LANE_TRANSACTIONAL;
}

bool ailing_holds(const struct place *p, const struct ask *a, int64_t now_ms, struct limit_bar *out)
{
    const struct ailment *x = ailing_of(p->server, a->provider, now_ms);
    if (!x || !yields(p, a, now_ms) || (x->on_trial == 0 && now_ms >= x->next_at))
        return false;
    out->bound = BOUND_YIELD;
    out->until = x->next_at > now_ms ? x->next_at : now_ms + EVERY_MS;
    snprintf(out->why, sizeof out->why,
             "this mailbox provider put off or held up %u of its last %u here: others go first",
             bad_of(x), (unsigned)x->n);
    return true;
}

bool ailing_trial_due(const struct place *p, const struct ask *a, int64_t now_ms)
{
    const struct fserver *s = p->server;
    const struct ailment *x = ailing_of(s, a->provider, now_ms);
    return x && yields(p, a, now_ms) && x->on_trial == 0 && now_ms >= x->next_at && !s->is_cold &&
           !s->single && s->state != OPER_HALF_OPEN && s->state != OPER_SUSPECT;
}

void ailing_wanted(struct place *p, const struct ask *a, int64_t now_ms)
{
    if (p->server->has_ailing && ailing_of(p->server, a->provider, now_ms))
        return;
    p->server->wanted_at[a->lane] = now_ms;
    p->group->wanted_at[a->lane] = now_ms;
}

bool ailing_take(struct place *p, const struct ask *a, int64_t now_ms)
{
    struct ailment *x = find(p->server, a->provider);
    if (!x || !is_ailing(x, now_ms))
        return false;
    x->on_trial++;
    x->next_at = now_ms + EVERY_MS;
    return yields(p, a, now_ms);
}

void ailing_unassign(struct fserver *s, uint32_t provider)
{
    struct ailment *a = find(s, provider);
    if (a && a->on_trial) /* those picked before it was known are not counted */
        a->on_trial--;
}

static bool is_held_up(const struct fserver *s, const struct ailment *a, int64_t busy_ms)
{
    int64_t quickest_us = INT64_MAX;
    for (size_t i = 0; i < PROVIDERS; i++) {
        const struct ailment *x = &s->ailments->of[i];
        if (x != a && x->busy_us && x->heard_at + FORGET_MS > a->heard_at)
            quickest_us = MIN(quickest_us, x->busy_us);
    }
    return quickest_us != INT64_MAX && busy_ms * 1000 > SLOW_TIMES * quickest_us &&
           busy_ms * 1000 > quickest_us + SLOW_MORE * 1000;
}

static void note_busy(struct ailment *a, const struct report *r)
{
    if (r->busy_ms < 0 || r->verdict != VERDICT_ACCEPTED)
        return;
    int64_t us = MAX(r->busy_ms * 1000, (int64_t)1);
    a->busy_us = a->busy_us ? MAX(a->busy_us + (us - a->busy_us) / SMOOTH, (int64_t)1) : us;
}

/* What the recipient's side said, not the server of its own. */
static bool is_answer(const struct report *r)
{
    switch (r->verdict) {
    case VERDICT_ACCEPTED:
    case VERDICT_TRY_LATER:
    case VERDICT_HARD_BOUNCE:
    case VERDICT_SOFT_BOUNCE:
    case VERDICT_CONTENT:
    case VERDICT_UNKNOWN: return r->reply_read;
    default: return false;
    }
}

static bool is_put_off(const struct report *r)
{
    return r->verdict == VERDICT_TRY_LATER ||
           (r->verdict == VERDICT_SOFT_BOUNCE && r->code / 100 == 4);
}

void ailing_report(struct fserver *s, const struct report *r, int64_t now_ms)
{
    if (!is_answer(r))
        return;
    struct ailment *a = find_or_make(s, r->provider, now_ms);
    bool was = is_ailing(a, now_ms);
    a->heard_at = now_ms;
    a->last = a->last << 1 | (is_put_off(r) || is_held_up(s, a, r->busy_ms));
    a->n = (uint8_t)MIN(a->n + 1u, 32u);
    note_busy(a, r);
    int64_t connections = MAX(s->limits.max_connections, 1u);
    if (r->busy_ms > 0)
        a->next_at = MAX(a->next_at, now_ms + r->busy_ms * TIME_PART / connections);
    if (was == is_ailing(a, now_ms))
        return;
    s->has_ailing = false;
    for (size_t i = 0; i < PROVIDERS; i++)
        s->has_ailing = s->has_ailing || is_ailing(&s->ailments->of[i], now_ms);
}

void ailing_forget(struct fserver *s)
{
    free(s->ailments);
    s->ailments = NULL;
    s->has_ailing = false;
}
