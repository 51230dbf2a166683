/* Door one: which server for this message? One earliest-virtual-finish heap a tier keeps the shares
 * exact; a server that may not send leaves the heap with the reason and returns at the group's
 * time, so that nobody is flooded to make up for the past. */
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/internal.h"

#include <stdio.h>

#define OWED_MS      250  /* how long a busy healthy server keeps its turn */
#define OWED_AHEAD   2    /* messages a connection that it may be owed */
#define OWED_COLD_MS 1000 /* the same for one whose first message is still under way */
#define EARLY_MS     1000 /* a message is not picked whose pace would hold its dot for longer */

static const char *const bounds[BOUND_COUNT] = {
    "none",       "busy",     "quota",        "health",    "admin",  "tried",
    "from",       "provider", "common_cause", "no_server", "pace",   "resting",
    "engagement", "size",     "charset",      "reserve",   "spread", "yield"};

const char *bound_name(enum bound b)
{
    return (size_t)b < countof(bounds) ? bounds[b] : "?";
}

/* ---- what speaks against a server for all */

/* The reserve and the even pace are for lanes, not for all: the place stays on the heap. */
enum bound dispatch_quota_bound(struct fserver *s, enum lane lane, int64_t now_ms,
                                int64_t *free_at_out, enum quota_window *w)
{
    switch (quota_may_reserve(&s->quota, lane, now_ms, free_at_out, w)) {
    case QUOTA_USED_UP: return BOUND_QUOTA;
    case QUOTA_RESERVED: return BOUND_RESERVE;
    case QUOTA_SPREAD: return BOUND_SPREAD;
    default: return BOUND_NONE;
    }
}

/* Against a server for all; *until_out: when time alone may end it. */
enum bound dispatch_against_all(struct place *p, int64_t now_ms, int64_t *until_out)
{
    struct fserver *s = p->server;
    enum quota_window w = QUOTA_HOUR;
    *until_out = INT64_MAX;
    if (s->admin != ADMIN_ACTIVE)
        return BOUND_ADMIN;
    if (!health_may_send(s, now_ms)) {
        *until_out = s->until > now_ms ? s->until : now_ms + DISPATCH_ASK_AGAIN_MS;
        return BOUND_HEALTH;
    }
    if (p->is_resting || p->role == ROLE_RESTING)
        return BOUND_RESTING;
    enum bound b = dispatch_quota_bound(s, LANE_TRANSACTIONAL, now_ms, until_out, &w);
    *until_out = MIN(*until_out, now_ms + 60 * DISPATCH_ASK_AGAIN_MS);
    if (b != BOUND_NONE || !s->pace)
        return b;
    int64_t when = pace_when(s->pace, fserver_moving(s), now_ms);
    *until_out = when - EARLY_MS;
    return when > now_ms + EARLY_MS ? BOUND_PACE : BOUND_NONE;
}

/* False: it cannot take a message of anybody and has left the heap. */
static bool stays(struct fleet *f, struct place *p, int64_t now_ms)
{
    int64_t until = 0;
    enum bound b = dispatch_against_all(p, now_ms, &until);
    if (b != BOUND_NONE && !f->is_dry)
        place_leave(f, p, b, until);
    return b == BOUND_NONE;
}

enum bound dispatch_standing(struct place *p, enum lane lane, int64_t now_ms)
{
    int64_t until = 0;
    enum bound b = dispatch_against_all(p, now_ms, &until);
    if (b == BOUND_NONE && lanes_busy(p->server, lane, now_ms))
        b = BOUND_BUSY;
    return b;
}

/* Busy is not ineligible: the turn is kept for a while. True: wait for it. */
static bool keeps_turn(struct fleet *f, struct place *p, enum lane lane, int64_t now_ms)
{
    struct fserver *s = p->server;
    if (p->group->shares == SHARES_ELASTIC || strategy_has_key(p->group) ||
        s->breaker.failures_in_row || s->is_parked || s->single || s->pace ||
        s->state == OPER_HALF_OPEN || s->state == OPER_SUSPECT)
        return false;
    int64_t since = p->owed_since[lane] ? p->owed_since[lane] : now_ms;
    if (!f->is_dry)
        p->owed_since[lane] = since;
    return now_ms - since < (s->is_cold ? OWED_COLD_MS : OWED_MS) * (int64_t)f->patience;
}

static void fill_hold(struct hold *h, const struct place *p, const struct ask *a)
{
    *h = (struct hold){.server_num = p->server->num,
                       .lane = (uint8_t)a->lane,
                       .group_num = p->group->num,
                       .campaign_num = a->campaign_num,
                       .credential_num = a->credential_num,
                       .provider = a->provider};
}

/* Long before the tier's time runs out it begins again at zero. */
static void begin_time_again(struct fgroup *g, struct tier *t)
{
    int64_t by = t->vtime;
    for (size_t i = 0; i < g->n_places; i++) {
        struct place *p = &g->places[i];
        if (p->tier != t)
            continue;
        p->finish = MAX(p->finish - by, INT64_C(0));
        if (p->state == PLACE_IN)
            p->node.key = MAX(p->node.key - by, INT64_C(0));
    }
    t->vtime = 0;
}

static void advance(struct place *p, enum lane lane, int64_t now_ms)
{
    int64_t step = (int64_t)((double)FINISH_SCALE / MAX(strategy_weight(p, now_ms), 0.001));
    p->owed_since[lane] = 0;
    p->group->rotate_sent++;
    if (strategy_has_key(p->group))
        return;
    if (p->state == PLACE_IN) {
        p->tier->vtime = MAX(p->tier->vtime, p->node.key);
        heap_rekey(&p->tier->heap, &p->node, p->node.key + MAX(step, 1));
    } else {
        p->finish = MAX(p->finish, p->tier->vtime) + MAX(step, 1);
    }
    if (p->tier->vtime > INT64_MAX / 2)
        begin_time_again(p->group, p->tier);
}

static void take(struct fleet *f, struct place *p, const struct ask *a, int64_t now_ms,
                 struct pick *out)
{
    struct fserver *s = p->server;
    out->kind = PICK_SEND;
    out->server_num = s->num;
    out->group_num = p->group->num;
    out->bound = BOUND_NONE;
    fill_hold(&out->hold, p, a);
    if (f->is_dry)
        return;
    advance(p, a->lane, now_ms);
    s->assigned++;
    s->assigned_in[a->lane]++;
    out->is_trial = s->has_ailing && ailing_take(p, a, now_ms);
    quota_reserve(&s->quota, a->lane, now_ms);
    limits_reserve(f, &out->hold, now_ms);
    common_asked(f, now_ms);
    if (s->n_cells)
        out->hold.cell = cells_take(f, s, a->provider, now_ms);
    if (s->state == OPER_HALF_OPEN)
        s->may_try = false;
    strategy_update(f, s, now_ms);
}

static void put_aside(struct fleet *f, struct place *p, size_t at)
{
    if (at == f->cap_aside) {
        f->cap_aside = MAX(f->cap_aside * 2, (size_t)64);
        f->aside = alloc_resize(f->aside, f->cap_aside * sizeof *f->aside);
    }
    f->aside[at] = p;
}

/* How far the server's region is from the contact's country; 0: at home, or nobody knows. */
static int rank_of(const struct fleet *f, const struct place *p, const struct ask *a)
{
    return f->regions ? (int)region_rank(f->regions, a->country, p->server->region) : 0;
}

static bool is_barred(struct fleet *f, struct place *p, const struct look *k, int64_t now_ms)
{
    struct limit_bar bar;
    int64_t free_at = 0;
    enum quota_window w = QUOTA_HOUR;
    if (k->rank >= 0 && k->rank != rank_of(f, p, k->ask))
        return true;
    return against(f, p, k, now_ms, &bar) != BOUND_NONE ||
           dispatch_quota_bound(p->server, k->ask->lane, now_ms, &free_at, &w) != BOUND_NONE;
}

static void wait_for(struct fleet *f, struct place *p, enum lane lane, int64_t now_ms,
                     struct pick *out)
{
    int64_t since = p->owed_since[lane] ? p->owed_since[lane] : now_ms;
    out->kind = PICK_WAIT;
    out->bound = BOUND_BUSY;
    out->server_num = p->server->num;
    out->until = since + (p->server->is_cold ? OWED_COLD_MS : OWED_MS) * (int64_t)f->patience;
}

/* One that may not take these messages keeps its turn for others, but is owed no more than a busy
 * one: what it misses beyond that is not made up. */
static void put_back(struct tier *t, struct place *p, int64_t now_ms)
{
    double owed = OWED_AHEAD * (double)MAX(health_capacity(p->server, now_ms), 1u);
    double lag = owed * FINISH_SCALE / MAX(strategy_weight(p, now_ms), 0.001);
    int64_t least = t->vtime - (int64_t)lag;
    if (strategy_has_key(p->group) || p->node.key >= least)
        heap_put_back(&t->heap, &p->node);
    else
        heap_add(&t->heap, &p->node, least);
}

static bool is_busy(struct fleet *f, struct place *p, const struct ask *a, int64_t now_ms)
{
    if (!lanes_busy(p->server, a->lane, now_ms) ||
        (p->server->has_ailing && ailing_trial_due(p, a, now_ms)))
        return false;
    if (!f->is_dry)
        ailing_wanted(p, a, now_ms);
    return true;
}

/* SEND, or WAIT on a busy server whose turn it is; false: nobody of this tier can now. */
static bool pick_in_tier(struct fleet *f, struct tier *t, const struct look *k, int64_t now_ms,
                         struct pick *out)
{
    size_t n_aside = 0;
    bool done = false;
    for (struct heap_node *n = heap_min(&t->heap); n && !done; n = heap_min(&t->heap)) {
        struct place *p = container_of(n, struct place, node);
        bool out_for_all = !stays(f, p, now_ms);
        if (out_for_all && !f->is_dry)
            continue;
        bool barred = out_for_all || is_barred(f, p, k, now_ms);
        bool busy = !barred && is_busy(f, p, k->ask, now_ms);
        if (!barred && !busy) {
            take(f, p, k->ask, now_ms, out);
            done = true;
        } else if (busy && keeps_turn(f, p, k->ask->lane, now_ms)) {
            wait_for(f, p, k->ask->lane, now_ms, out);
            done = true;
        } else if (busy && !f->is_dry && k->ask->lane == LANE_BULK) {
            place_leave(f, p, BOUND_BUSY, INT64_MAX);
        } else {
            heap_remove(&t->heap, n);
            put_aside(f, p, n_aside++);
        }
    }
    while (n_aside)
        put_back(t, f->aside[--n_aside], now_ms);
    return done;
}

/* Bulk has passed a busy server by; what is kept of it for a higher lane is there all the same. */
static bool pick_passed(struct fleet *f, struct fgroup *g, struct tier *t, const struct look *k,
                        int64_t now_ms, struct pick *out)
{
    struct place *best = NULL;
    if (k->ask->lane == LANE_BULK || g->n_passed == 0)
        return false;
    for (size_t i = 0; i < g->n_places; i++) {
        struct place *p = &g->places[i];
        if (p->state != PLACE_PASSED || p->tier != t || (best && best->finish <= p->finish) ||
            lanes_busy(p->server, k->ask->lane, now_ms) || !stays(f, p, now_ms) ||
            is_barred(f, p, k, now_ms))
            continue;
        best = p;
    }
    if (best)
        take(f, best, k->ask, now_ms, out);
    return best != NULL;
}

/* ---- one server first: the one that was asked before, or the one it sticks to */

static struct place *place_of(struct fgroup *g, uint16_t num)
{
    for (size_t i = 0; num && i < g->n_places; i++)
        if (g->places[i].server->num == num)
            return &g->places[i];
    return NULL;
}

/* False: it cannot, so anybody may. */
static bool pick_one(struct fleet *f, struct place *p, const struct look *k, const char *why,
                     int64_t now_ms, struct pick *out)
{
    if (!p || !stays(f, p, now_ms) || is_barred(f, p, k, now_ms))
        return false;
    if (lanes_busy(p->server, k->ask->lane, now_ms)) {
        wait_for(f, p, k->ask->lane, now_ms, out);
        out->until = now_ms + OWED_MS;
        return true;
    }
    take(f, p, k->ask, now_ms, out);
    snprintf(out->why, sizeof out->why, "%s", why);
    return true;
}

/* ---- a group */

static bool pick_in_tiers(struct fleet *f, struct fgroup *g, struct look *k, int64_t now_ms,
                          struct pick *out)
{
    for (size_t t = 0; t < g->n_tiers; t++)
        if (pick_in_tier(f, &g->tiers[t], k, now_ms, out) ||
            pick_passed(f, g, &g->tiers[t], k, now_ms, out))
            return true;
    return false;
}

/* The nearest rank beyond `rank` that a server of the group has; -1: none. */
static int next_rank(const struct fleet *f, const struct fgroup *g, const struct ask *a, int rank)
{
    int next = -1;
    for (size_t i = 0; i < g->n_places; i++) {
        int r = rank_of(f, &g->places[i], a);
        if (r > rank && (next < 0 || r < next))
            next = r;
    }
    return next;
}

/* Nearest region first: the tiers are asked once a rank. */
static bool pick_nearest(struct fleet *f, struct fgroup *g, struct look *k, int64_t now_ms,
                         struct pick *out)
{
    if (!g->nearest || !f->regions || !k->ask->country[0])
        return pick_in_tiers(f, g, k, now_ms, out);
    bool done = false;
    for (int r = next_rank(f, g, k->ask, -1); r >= 0 && !done; r = next_rank(f, g, k->ask, r)) {
        k->rank = r;
        done = pick_in_tiers(f, g, k, now_ms, out);
    }
    k->rank = -1;
    return done;
}

static bool group_allows(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                         struct pick *out)
{
    struct hold h = {.group_num = g->num, .lane = (uint8_t)a->lane};
    struct limit_bar bar;
    if (limits_allow(f, &h, 1u << LIMIT_GROUP, now_ms, &bar))
        return true;
    out->kind = PICK_WAIT;
    out->bound = bar.bound;
    out->free_at = bar.until == INT64_MAX ? 0 : bar.until;
    out->until = MIN(MAX(bar.until, now_ms + 1), now_ms + DISPATCH_ASK_AGAIN_MS);
    snprintf(out->why, sizeof out->why, "%s", bar.why);
    return false;
}

static bool pick_in_group(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                          struct pick *out)
{
    struct look k = {a, -1};
    out->group_num = g->num;
    rotation_by_volume(f, g, now_ms);
    lanes_note_ask(f, g, a->lane, now_ms);
    if (group_allows(f, g, a, now_ms, out)) {
        if (pick_one(f, place_of(g, a->keep_server), &k, "kept: it was asked before", now_ms,
                     out) ||
            pick_one(f, place_of(g, a->home), &k, "its recipient sticks to it", now_ms, out) ||
            pick_nearest(f, g, &k, now_ms, out))
            return true;
        census_explain(f, g, &k, now_ms, out);
    }
    return out->bound == BOUND_BUSY || out->bound == BOUND_YIELD ||
           (census_is_limit(out->bound) && g->at_limit == AT_LIMIT_WAIT);
}

/* ---- the user's own order of servers once one has failed: of the group or its fallbacks */

static bool pick_preferred(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                           struct pick *out)
{
    struct look look = {a, -1};
    for (uint32_t k = 0; a->n_tried && k < a->n_prefer; k++) {
        struct place *p = place_of(g, a->prefer[k]);
        for (size_t i = 0; !p && i < g->n_fallbacks; i++) {
            struct fgroup *fb = fleet_find_group(f, g->fallbacks[i]);
            p = fb ? place_of(fb, a->prefer[k]) : NULL;
        }
        if (!p || !stays(f, p, now_ms) || is_barred(f, p, &look, now_ms) ||
            lanes_busy(p->server, a->lane, now_ms) || !group_allows(f, p->group, a, now_ms, out))
            continue;
        take(f, p, a, now_ms, out);
        snprintf(out->why, sizeof out->why, "number %u in the order of failover", (unsigned)k + 1);
        return true;
    }
    return false;
}

/* ---- the door */

static bool waits_for_us(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out)
{
    struct hold h = {.lane = (uint8_t)a->lane,
                     .campaign_num = a->campaign_num,
                     .credential_num = a->credential_num,
                     .provider = a->provider};
    struct limit_bar bar;
    out->kind = PICK_WAIT;
    out->until = now_ms + DISPATCH_ASK_AGAIN_MS;
    if (f->common_cause) {
        out->bound = BOUND_COMMON_CAUSE;
        snprintf(out->why, sizeof out->why, "no server answers: network, DNS or disk of ours");
        return true;
    }
    if (limits_allow(f, &h, LIMITS_OF_MESSAGE, now_ms, &bar))
        return false;
    out->bound = bar.bound;
    out->free_at = bar.until == INT64_MAX ? 0 : bar.until;
    out->until = MIN(MAX(bar.until, now_ms + 1), out->until);
    snprintf(out->why, sizeof out->why, "%s", bar.why);
    return true;
}

static void pick_in_groups(struct fleet *f, struct fgroup *g, const struct ask *a, int64_t now_ms,
                           struct pick *out)
{
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

void fleet_pick(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out)
{
    *out = (struct pick){.kind = PICK_GIVE_UP, .bound = BOUND_NO_SERVER, .until = INT64_MAX};
    place_return_by_time(f, now_ms);
    if (waits_for_us(f, a, now_ms, out))
        return;
    struct fgroup *g = fleet_find_group(f, a->group_num);
    if (!g) {
        out->kind = a->n_tried ? PICK_GIVE_UP : PICK_WAIT;
        out->bound = BOUND_NO_SERVER;
        snprintf(out->why, sizeof out->why, "the group does not exist (any more)");
        return;
    }
    pick_in_groups(f, g, a, now_ms, out);
}
