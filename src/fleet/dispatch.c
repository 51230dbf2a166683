/* Door one: which server for this message? One earliest-virtual-finish heap a tier keeps the shares
 * exact; a server that may not send leaves the heap with the reason and returns at the group's
 * time, so that nobody is flooded to make up for the past. */
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/internal.h"

#include <stdio.h>

#define OWED_MS      250  /* how long a busy healthy server keeps its turn */
#define OWED_COLD_MS 1000 /* the same for one whose first message is still under way */
#define AHEAD        2    /* messages a connection that may wait at a busy server */
#define ASK_AGAIN_MS 1000

static const char *const bounds[] = {"none",  "busy", "quota",    "health",       "admin",
                                     "tried", "from", "provider", "common_cause", "no_server"};

const char *bound_name(enum bound b)
{
    return (size_t)b < countof(bounds) ? bounds[b] : "?";
}

void place_leave(struct fleet *f, struct place *p, enum bound why, int64_t until)
{
    if (p->state == PLACE_IN) {
        p->finish = p->node.key;
        heap_remove(&p->tier->heap, &p->node);
    }
    p->state = why == BOUND_BUSY ? PLACE_PASSED : PLACE_OFF;
    p->off_bound = why;
    p->off_until = until;
    p->owed_since = 0;
    heap_remove(&f->wake, &p->wake);
    if (until != INT64_MAX)
        heap_add(&f->wake, &p->wake, until);
}

void place_return(struct fleet *f, struct place *p)
{
    if (p->state == PLACE_IN)
        return;
    heap_remove(&f->wake, &p->wake);
    p->finish = MAX(p->finish, p->tier->vtime);
    p->state = PLACE_IN;
    p->owed_since = 0;
    heap_add(&p->tier->heap, &p->node, p->finish);
}

void server_wake(struct fleet *f, struct fserver *s)
{
    list_each(it, &s->places)
    {
        struct place *p = list_entry(it, struct place, link);
        p->owed_since = 0;
        if (p->state != PLACE_IN)
            place_return(f, p);
    }
    f->events.on_ready(f->arg, s->num);
}

static void return_by_time(struct fleet *f, int64_t now_ms)
{
    for (struct heap_node *n = heap_min(&f->wake); n && n->key <= now_ms; n = heap_min(&f->wake)) {
        struct place *p = container_of(n, struct place, wake);
        place_return(f, p);
    }
}

/* ---- what speaks against a server for this one message */

static bool was_tried(const struct ask *a, uint16_t num)
{
    for (uint32_t i = 0; i < a->n_tried; i++)
        if (a->tried[i] == num)
            return true;
    return false;
}

static bool may_send_from(const struct fserver *s, struct str domain)
{
    if (s->n_from_domains == 0)
        return true;
    for (size_t i = 0; i < s->n_from_domains; i++)
        if (str_is(domain, s->from_domains[i]))
            return true;
    return false;
}

static enum bound against(const struct fserver *s, const struct ask *a, int64_t now_ms,
                          int64_t *until_out)
{
    *until_out = INT64_MAX;
    if (was_tried(a, s->num))
        return BOUND_TRIED;
    if (!may_send_from(s, a->from_domain) ||
        (a->from_domain.n &&
         health_cell_closed(s, health_from_key(a->from_domain), now_ms, until_out)))
        return BOUND_FROM;
    if (health_cell_closed(s, health_provider_key(a->provider), now_ms, until_out))
        return BOUND_PROVIDER;
    return BOUND_NONE;
}

/* ---- what speaks against a server for all */

static uint32_t capacity_with_ahead(struct fserver *s, int64_t now_ms)
{
    uint32_t c = health_capacity(s, now_ms);
    return c <= 1 && (s->is_cold || s->single || s->state == OPER_HALF_OPEN) ? c : c * (1 + AHEAD);
}

/* True: the place stays on the heap and can take a message now, or is `busy_out`. */
static bool is_eligible(struct fleet *f, struct place *p, int64_t now_ms, bool *busy_out)
{
    struct fserver *s = p->server;
    int64_t free_at = 0;
    enum quota_window w = QUOTA_HOUR;
    *busy_out = false;
    if (s->admin != ADMIN_ACTIVE) {
        place_leave(f, p, BOUND_ADMIN, INT64_MAX);
        return false;
    }
    if (!health_may_send(s, now_ms)) {
        place_leave(f, p, BOUND_HEALTH, s->until > now_ms ? s->until : now_ms + ASK_AGAIN_MS);
        return false;
    }
    if (!quota_may_reserve(&s->quota, now_ms, &free_at, &w)) {
        place_leave(f, p, BOUND_QUOTA, MIN(free_at, now_ms + 60 * ASK_AGAIN_MS));
        return false;
    }
    *busy_out = s->assigned >= capacity_with_ahead(s, now_ms);
    return true;
}

/* Busy is not ineligible: the turn is kept for a while. True: wait for it. */
static bool keeps_turn(struct place *p, int64_t now_ms)
{
    struct fserver *s = p->server;
    if (p->group->shares == SHARES_ELASTIC || s->failures_in_row || s->slow_dot || s->single ||
        s->state == OPER_HALF_OPEN)
        return false;
    if (!p->owed_since)
        p->owed_since = now_ms;
    return now_ms - p->owed_since < (s->is_cold ? OWED_COLD_MS : OWED_MS);
}

static void take(struct fleet *f, struct place *p, int64_t now_ms, struct pick *out)
{
    struct fserver *s = p->server;
    double share = health_share(s, now_ms) * p->weight;
    int64_t step = (int64_t)((double)FINISH_SCALE / MAX(share, 0.001));
    p->owed_since = 0;
    if (p->state == PLACE_IN) {
        p->tier->vtime = MAX(p->tier->vtime, p->node.key);
        heap_rekey(&p->tier->heap, &p->node, p->node.key + MAX(step, 1));
    }
    s->assigned++;
    quota_reserve(&s->quota);
    if (s->state == OPER_HALF_OPEN)
        s->may_try = false;
    out->kind = PICK_SEND;
    out->server_num = s->num;
    out->group_num = p->group->num;
    out->bound = BOUND_NONE;
    (void)f;
}

static void put_aside(struct fleet *f, struct place *p, size_t at)
{
    if (at == f->cap_aside) {
        f->cap_aside = MAX(f->cap_aside * 2, (size_t)64);
        f->aside = alloc_resize(f->aside, f->cap_aside * sizeof *f->aside);
    }
    f->aside[at] = p;
}

/* SEND, or WAIT on a busy server whose turn it is; false: nobody of this tier can now. */
static bool pick_in_tier(struct fleet *f, struct tier *t, const struct ask *a, int64_t now_ms,
                         struct pick *out)
{
    size_t n_aside = 0;
    bool done = false;
    for (struct heap_node *n = heap_min(&t->heap); n && !done; n = heap_min(&t->heap)) {
        struct place *p = container_of(n, struct place, node);
        int64_t until = 0;
        bool busy = false;
        if (against(p->server, a, now_ms, &until) != BOUND_NONE) {
            heap_remove(&t->heap, n);
            put_aside(f, p, n_aside++);
            continue;
        }
        if (!is_eligible(f, p, now_ms, &busy))
            continue;
        if (!busy) {
            take(f, p, now_ms, out);
            done = true;
        } else if (keeps_turn(p, now_ms)) {
            out->kind = PICK_WAIT;
            out->bound = BOUND_BUSY;
            out->server_num = p->server->num;
            out->until = p->owed_since + (p->server->is_cold ? OWED_COLD_MS : OWED_MS);
            done = true;
        } else {
            place_leave(f, p, BOUND_BUSY, INT64_MAX);
        }
    }
    while (n_aside)
        heap_put_back(&t->heap, &f->aside[--n_aside]->node);
    return done;
}

/* When a server that is out comes back if nothing happens; INT64_MAX: time alone does not bring it
 * back. `until` is what the heap waits for, which is sooner than a quota says. */
static int64_t back_at(struct place *p, enum bound b, int64_t until, int64_t now_ms)
{
    int64_t free_at = INT64_MAX;
    enum quota_window w = QUOTA_HOUR;
    if (b == BOUND_QUOTA && quota_may_reserve(&p->server->quota, now_ms, &free_at, &w))
        return now_ms;
    if (b == BOUND_HEALTH)
        return p->server->until > now_ms ? p->server->until : INT64_MAX;
    return b == BOUND_FROM || b == BOUND_PROVIDER ? until : free_at;
}

/* Nobody can: on what does it hang? Fills bound, until and the reason from a look at every place.
 */
static void explain(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                    struct pick *out)
{
    size_t n[BOUND_NO_SERVER + 1] = {0};
    int64_t soonest = INT64_MAX, from_until = INT64_MAX, free_at = INT64_MAX;
    for (size_t i = 0; i < g->n_places; i++) {
        struct place *p = &g->places[i];
        int64_t until = INT64_MAX;
        enum bound b = against(p->server, a, now_ms, &until);
        if (b == BOUND_NONE) {
            b = p->state == PLACE_IN ? BOUND_BUSY : p->off_bound;
            until = p->state == PLACE_OFF ? p->off_until : INT64_MAX;
        }
        n[b]++;
        if (b != BOUND_TRIED)
            soonest = MIN(soonest, until);
        if (b == BOUND_FROM)
            from_until = MIN(from_until, until);
        free_at = MIN(free_at, back_at(p, b, until, now_ms));
    }
    static const enum bound order[] = {BOUND_BUSY,  BOUND_QUOTA, BOUND_HEALTH, BOUND_PROVIDER,
                                       BOUND_ADMIN, BOUND_FROM,  BOUND_TRIED};
    out->bound = BOUND_NO_SERVER;
    for (size_t i = 0; i < countof(order) && out->bound == BOUND_NO_SERVER; i++)
        if (n[order[i]])
            out->bound = order[i];
    /* A From that no server is configured for never goes; one that is barred for a while does. */
    bool by_time = out->bound == BOUND_HEALTH || out->bound == BOUND_PROVIDER ||
                   out->bound == BOUND_ADMIN || out->bound == BOUND_NO_SERVER ||
                   (out->bound == BOUND_FROM && from_until != INT64_MAX);
    bool waits =
        out->bound == BOUND_BUSY || out->bound == BOUND_QUOTA || (by_time && a->n_tried == 0);
    out->kind = waits ? PICK_WAIT : PICK_GIVE_UP;
    out->until = MIN(MAX(soonest, now_ms + 1), now_ms + ASK_AGAIN_MS);
    out->free_at = out->bound == BOUND_BUSY || free_at == INT64_MAX ? 0 : free_at;
    snprintf(out->why, sizeof out->why,
             "%zu of %zu busy, %zu at a quota, %zu out by health, %zu paused, %zu tried",
             n[BOUND_BUSY], g->n_places, n[BOUND_QUOTA], n[BOUND_HEALTH], n[BOUND_ADMIN],
             n[BOUND_TRIED]);
    (void)f;
}

/* The one server that must be kept; false: it cannot, so anybody may. */
static bool pick_kept(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                      struct pick *out)
{
    for (size_t i = 0; i < g->n_places; i++) {
        struct place *p = &g->places[i];
        int64_t until = 0;
        bool busy = false;
        if (p->server->num != a->keep_server)
            continue;
        if (against(p->server, a, now_ms, &until) != BOUND_NONE ||
            !is_eligible(f, p, now_ms, &busy))
            return false;
        if (!busy) {
            take(f, p, now_ms, out);
            snprintf(out->why, sizeof out->why, "kept: it was asked before");
            return true;
        }
        out->kind = PICK_WAIT;
        out->bound = BOUND_BUSY;
        out->until = now_ms + OWED_MS;
        return true;
    }
    return false;
}

static bool pick_in_group(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                          struct pick *out)
{
    out->group_num = g->num;
    if (a->keep_server && pick_kept(f, g, a, now_ms, out))
        return true;
    for (size_t t = 0; t < g->n_tiers; t++)
        if (pick_in_tier(f, &g->tiers[t], a, now_ms, out))
            return true;
    explain(f, g, a, now_ms, out);
    return out->bound == BOUND_BUSY || (out->bound == BOUND_QUOTA && g->at_limit == AT_LIMIT_WAIT);
}

static struct place *place_of(struct fgroup *g, uint16_t num)
{
    for (size_t i = 0; g && i < g->n_places; i++)
        if (g->places[i].server->num == num)
            return &g->places[i];
    return NULL;
}

/* The user's own order of servers once one has failed: members of the group or its fallbacks. */
static bool pick_preferred(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                           struct pick *out)
{
    for (uint32_t k = 0; a->n_tried && k < a->n_prefer; k++) {
        struct place *p = place_of(g, a->prefer[k]);
        int64_t until = 0;
        bool busy = false;
        for (size_t i = 0; !p && i < g->n_fallbacks; i++)
            p = place_of(fleet_find_group(f, g->fallbacks[i]), a->prefer[k]);
        if (!p || against(p->server, a, now_ms, &until) != BOUND_NONE ||
            !is_eligible(f, p, now_ms, &busy) || busy)
            continue;
        take(f, p, now_ms, out);
        snprintf(out->why, sizeof out->why, "number %u in the order of failover", (unsigned)k + 1);
        return true;
    }
    return false;
}

void fleet_pick(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out)
{
    *out = (struct pick){.kind = PICK_GIVE_UP, .bound = BOUND_NO_SERVER, .until = INT64_MAX};
    return_by_time(f, now_ms);
    struct fgroup *g = fleet_find_group(f, a->group_num);
    if (f->common_cause) {
        out->kind = PICK_WAIT;
        out->bound = BOUND_COMMON_CAUSE;
        out->until = now_ms + ASK_AGAIN_MS;
        snprintf(out->why, sizeof out->why, "no server answers: network, DNS or disk of ours");
        return;
    }
    if (!g) {
        out->kind = a->n_tried ? PICK_GIVE_UP : PICK_WAIT;
        out->until = now_ms + ASK_AGAIN_MS;
        snprintf(out->why, sizeof out->why, "the group does not exist (any more)");
        return;
    }
    if (pick_preferred(f, g, a, now_ms, out) || pick_in_group(f, g, a, now_ms, out))
        return;
    struct pick first = *out;
    for (size_t i = 0; i < g->n_fallbacks; i++) {
        struct fgroup *fb = fleet_find_group(f, g->fallbacks[i]);
        if (fb && pick_in_group(f, fb, a, now_ms, out)) {
            if (out->kind == PICK_SEND)
                snprintf(out->why, sizeof out->why, "fallback: in its own group %.200s", first.why);
            return;
        }
        if (fb && out->kind == PICK_WAIT && first.kind == PICK_GIVE_UP)
            first = *out;
    }
    *out = first;
}
