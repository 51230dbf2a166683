/* Nobody of a group can take a message now: on what does it hang, and until when? A look at every
 * place, in words and figures for people. */
#include "fleet/internal.h"

#include <stdio.h>

struct census { /* of the places of a group */
    size_t n[BOUND_COUNT];
    int64_t soonest, from_until;
    int64_t free_at; /* for people: when time alone lets a message go on */
    char why[120];   /* of the first limit met */
};

/* An hourly or longer limit of its own that it is at, in words. */
static enum bound own_quota(struct fserver *s, enum lane lane, int64_t now_ms,
                            struct limit_bar *bar)
{
    enum quota_window w = QUOTA_HOUR;
    enum bound b = dispatch_quota_bound(s, lane, now_ms, &bar->until, &w);
    if (b != BOUND_NONE)
        snprintf(bar->why, sizeof bar->why, "%llu in the %s %s",
                 (unsigned long long)s->quota.lines[w].limit, quota_window_name(w),
                 b == BOUND_SPREAD    ? "are spread evenly"
                 : b == BOUND_RESERVE ? "are used but for what transactional mail keeps"
                                      : "are used");
    return b;
}

enum bound census_bound(struct fleet *f, struct place *p, const struct look *k, int64_t now_ms,
                        struct limit_bar *bar)
{
    enum bound b = against(f, p, k, now_ms, bar);
    if (b != BOUND_NONE)
        return b;
    b = dispatch_against_all(p, now_ms,
                             &bar->until); /* what it is off for may have changed since */
    if (b == BOUND_PACE)
        pace_words(p->server->pace, bar->why, sizeof bar->why);
    if (b != BOUND_NONE && b != BOUND_QUOTA)
        return b;
    if (b == BOUND_NONE && p->state == PLACE_OFF) {
        bar->until = p->off_until;
        return p->off_bound;
    }
    b = own_quota(p->server, k->ask->lane, now_ms, bar);
    if (b != BOUND_NONE)
        return b;
    bar->until = INT64_MAX;
    return BOUND_BUSY;
}

/* When a server that is out comes back if nothing happens; INT64_MAX: time alone does not bring it
 * back. The bar's time is what the heap waits for, which is sooner than a quota says. */
static int64_t back_at(struct fserver *s, enum bound b, const struct limit_bar *bar, enum lane lane,
                       int64_t now_ms)
{
    int64_t free_at = INT64_MAX;
    enum quota_window w = QUOTA_HOUR;
    if (b == BOUND_QUOTA && quota_may_reserve(&s->quota, lane, now_ms, &free_at, &w) == QUOTA_FREE)
        return bar->until; /* a limit beside its own */
    if (b == BOUND_HEALTH)
        return s->until > now_ms ? s->until : INT64_MAX;
    bool timed = b == BOUND_FROM || b == BOUND_PROVIDER || b == BOUND_SPREAD || b == BOUND_PACE;
    return timed ? bar->until : free_at;
}

static void count_places(struct fleet *f, struct fgroup *g, const struct look *k, int64_t now_ms,
                         struct census *c)
{
    *c = (struct census){.soonest = INT64_MAX, .from_until = INT64_MAX, .free_at = INT64_MAX};
    for (size_t i = 0; i < g->n_places; i++) {
        struct limit_bar bar;
        enum bound b = census_bound(f, &g->places[i], k, now_ms, &bar);
        c->n[b]++;
        if (b != BOUND_TRIED)
            c->soonest = MIN(c->soonest, bar.until);
        if (b == BOUND_FROM)
            c->from_until = MIN(c->from_until, bar.until);
        c->free_at = MIN(c->free_at, back_at(g->places[i].server, b, &bar, k->ask->lane, now_ms));
        if (bar.why[0] && !c->why[0])
            snprintf(c->why, sizeof c->why, "; %.100s", bar.why);
    }
}

/* What time or an event ends; a message with servers tried in this round does not wait for it. */
static bool ends_by_time(enum bound b, const struct census *c)
{
    return b == BOUND_HEALTH || b == BOUND_PROVIDER || b == BOUND_ADMIN || b == BOUND_NO_SERVER ||
           b == BOUND_RESTING || b == BOUND_ENGAGEMENT ||
           (b == BOUND_FROM && c->from_until != INT64_MAX);
}

bool census_is_limit(enum bound b)
{
    return b == BOUND_QUOTA || b == BOUND_PACE || b == BOUND_RESERVE || b == BOUND_SPREAD;
}

/* "1 of 3 busy, 2 paused; 500 in the hour are used". */
static void say_census(const struct fgroup *g, const struct census *c, char *why, size_t size)
{
    const struct {
        size_t n;
        const char *what;
    } parts[] = {
        {c->n[BOUND_BUSY], "busy"},
        {c->n[BOUND_QUOTA] + c->n[BOUND_PACE] + c->n[BOUND_SPREAD] + c->n[BOUND_RESERVE],
         "at a limit"},
        {c->n[BOUND_HEALTH], "out by health"},
        {c->n[BOUND_PROVIDER], "closed for this mailbox provider"},
        {c->n[BOUND_YIELD], "put off by this mailbox provider, others go first"},
        {c->n[BOUND_ADMIN], "paused"},
        {c->n[BOUND_RESTING], "resting"},
        {c->n[BOUND_ENGAGEMENT], "warming up without this class"},
        {c->n[BOUND_FROM], "not for this From domain"},
        {c->n[BOUND_SIZE] + c->n[BOUND_CHARSET], "not for such a message"},
        {c->n[BOUND_TRIED], "tried"},
    };
    size_t at = 0;
    for (size_t i = 0; i < countof(parts) && at < size; i++)
        if (parts[i].n && at == 0)
            at += (size_t)snprintf(why, size, "%zu of %zu %s", parts[i].n, g->n_places,
                                   parts[i].what);
        else if (parts[i].n)
            at += (size_t)snprintf(why + at, size - at, ", %zu %s", parts[i].n, parts[i].what);
    if (at == 0)
        at = (size_t)snprintf(why, size, "no server is in the group");
    if (at < size)
        snprintf(why + at, size - at, "%s", c->why);
}

/* Fills bound, until and the reason from a look at every place. */
void census_explain(struct fleet *f, struct fgroup *g, const struct look *k, int64_t now_ms,
                    struct pick *out)
{
    static const enum bound order[] = {
        BOUND_BUSY,       BOUND_YIELD,  BOUND_PACE,     BOUND_QUOTA,   BOUND_SPREAD,
        BOUND_RESERVE,    BOUND_HEALTH, BOUND_PROVIDER, BOUND_ADMIN,   BOUND_RESTING,
        BOUND_ENGAGEMENT, BOUND_FROM,   BOUND_SIZE,     BOUND_CHARSET, BOUND_TRIED};
    struct census c;
    count_places(f, g, k, now_ms, &c);
    out->bound = BOUND_NO_SERVER;
    for (size_t i = 0; i < countof(order) && out->bound == BOUND_NO_SERVER; i++)
        if (c.n[order[i]])
            out->bound = order[i];
    bool waits = out->bound == BOUND_BUSY || out->bound == BOUND_YIELD ||
                 census_is_limit(out->bound) ||
                 (ends_by_time(out->bound, &c) && k->ask->n_tried == 0);
    out->kind = waits ? PICK_WAIT : PICK_GIVE_UP;
    out->until = MIN(MAX(c.soonest, now_ms + 1), now_ms + DISPATCH_ASK_AGAIN_MS);
    out->free_at = out->bound == BOUND_BUSY || c.free_at == INT64_MAX ? 0 : c.free_at;
    say_census(g, &c, out->why, sizeof out->why);
}
