/* A copy of a part of the fleet, to try out what would come: the groups asked for, with their
 * fallbacks and servers, their settings, use of limits and health as they are now. What is in
 * flight is not copied: it counts as not sent. The copy says nothing to anybody. */
#include "base/alloc.h"
#include "fleet/forecast.h"
#include "fleet/internal.h"

#include <stdlib.h>

#define GROUPS_MAX 256

static void no_ready(void *arg, uint16_t num)
{
    (void)arg, (void)num;
}

static void no_state(void *arg, uint16_t num, enum oper_state from, enum oper_state to,
                     const char *reason, int64_t until)
{
    (void)arg, (void)num, (void)from, (void)to, (void)reason, (void)until;
}

static void no_common_cause(void *arg, bool began, const char *reason)
{
    (void)arg, (void)began, (void)reason;
}

static void copy_window(struct window *to, const struct window *from)
{
    uint32_t *counts = NULL;
    if (from->counts) {
        counts = alloc_many(uint32_t, from->n_buckets + 1);
        memcpy(counts, from->counts, (from->n_buckets + 1) * sizeof *counts);
    }
    window_free(to);
    *to = *from;
    to->counts = counts;
}

static void copy_quota(struct quota *to, const struct quota *from)
{
    for (int w = 0; w < QUOTA_WINDOWS; w++) {
        struct quota_line *t = &to->lines[w];
        struct window window = t->window, urgent = t->urgent;
        copy_window(&window, &from->lines[w].window);
        copy_window(&urgent, &from->lines[w].urgent);
        *t = from->lines[w];
        t->window = window;
        t->urgent = urgent;
    }
    to->reserved = 0;
    to->even_at_us = from->even_at_us;
    to->counts = from->counts;
    to->spread = from->spread;
    to->phase = from->phase;
    to->counts_month = from->counts_month;
    to->keeps_reserve = from->keeps_reserve;
}

static void copy_health(struct fserver *t, const struct fserver *from)
{
    t->state = from->state;
    str_copy(str_of(from->reason), t->reason, sizeof t->reason);
    t->until = from->until;
    t->is_cold = from->is_cold;
    t->probe_passed = from->probe_passed;
    t->may_try = from->state == OPER_HALF_OPEN && from->probe_passed;
    t->single = from->single;
    t->single_left = from->single_left;
    t->breaker.openings = from->breaker.openings;
    t->breaker.healthy_since = from->breaker.healthy_since;
    t->breaker.ramp_from = from->breaker.ramp_from;
    t->slow_until = from->slow_until;
    t->slow_divisor = from->slow_divisor;
    t->opened_at = from->opened_at;
    if (from->state == OPER_SUSPECT) /* what it is suspected of goes with the state */
        t->suspicion = suspect_copy(from->suspicion);
    pace_copy(&t->pace, from->pace);
    t->n_bars = from->n_bars;
    t->bars = alloc_many(struct bar, from->n_bars + 1);
    if (from->n_bars)
        memcpy(t->bars, from->bars, from->n_bars * sizeof *t->bars);
}

/* Everything but what is in flight, and what others than suspect ones may be suspected of. */
static void copy_server(struct fleet *to, const struct fserver *from, int64_t now_ms)
{
    struct server s = {.num = from->num,
                       .limits = from->limits,
                       .admin = from->admin,
                       .from_domains = from->from_domains,
                       .n_from_domains = from->n_from_domains,
                       .updated_at = from->settings};
    fleet_set_server(to, &s, false, now_ms);
    struct fserver *t = fleet_find(to, from->num);
    copy_quota(&t->quota, &from->quota);
    copy_health(t, from);
    cells_copy(to, t, from);
    t->warmup = from->warmup;
    t->region = from->region;
    t->included_per_month = from->included_per_month;
    t->cost_per_1000 = from->cost_per_1000;
    t->max_size = from->max_size;
    t->lacks_utf8 = from->lacks_utf8;
    t->engagement = from->engagement;
    memcpy(t->factors, from->factors, sizeof t->factors);
    t->urgent_until = from->urgent_until;
    t->latency_us = from->latency_us;
    t->concurrency = from->concurrency;
    memcpy(t->latencies, from->latencies, sizeof t->latencies);
    t->n_latencies = from->n_latencies;
}

static void copy_group(struct fleet *to, const struct fgroup *from, int64_t now_ms)
{
    struct group g = {.num = from->num,
                      .strategy = from->strategy,
                      .at_limit = from->at_limit,
                      .shares = from->shares,
                      .sticky = from->sticky,
                      .rotate_active = from->rotate_active,
                      .rotate_every_ms = from->rotate_every_ms,
                      .rotate_messages = from->rotate_messages,
                      .nearest = from->nearest,
                      .fallbacks = from->fallbacks,
                      .n_fallbacks = from->n_fallbacks,
                      .n_members = from->n_places};
    g.members = alloc_many(struct membership, from->n_places + 1);
    for (size_t i = 0; i < from->n_places; i++) {
        const struct place *p = &from->places[i];
        g.members[i] = (struct membership){.server_num = p->server->num,
                                           .weight = p->weight,
                                           .priority = p->priority,
                                           .role = p->role};
        if (!fleet_find(to, p->server->num))
            copy_server(to, p->server, now_ms);
    }
    fleet_set_group(to, &g, now_ms);
    struct fgroup *t = fleet_find_group(to, from->num);
    t->rotate_at = from->rotate_at;
    t->rotated_at = from->rotated_at;
    t->rotate_sent = from->rotate_sent;
    for (size_t i = 0; i < t->n_places && t->n_places == from->n_places; i++)
        t->places[i].is_resting = from->places[i].is_resting;
    free(g.members);
}

/* Limits of what was copied; those of campaigns, credentials and providers all. */
static void copy_scopes(struct fleet *to, const struct fleet *from)
{
    size_t pos = 0;
    uint64_t key = 0;
    void *v = NULL;
    while (map_u64_next(from->scopes, &pos, &key, &v)) {
        const struct scope *s = v;
        enum limit_kind kind = (enum limit_kind)(key >> 56);
        uint32_t num = (uint32_t)(key >> 24);
        bool of_server =
            kind == LIMIT_SERVER_PROVIDER || kind == LIMIT_WARMUP || kind == LIMIT_WARMUP_PROVIDER;
        if (!s->is_set || (of_server && !fleet_find(to, (uint16_t)num)) ||
            (kind == LIMIT_GROUP && !fleet_find_group(to, num)))
            continue;
        struct scope *t = alloc_one(struct scope);
        quota_init(&t->quota);
        copy_quota(&t->quota, &s->quota);
        t->is_set = true;
        map_u64_set(to->scopes, key, t);
        to->n_scopes[kind]++;
    }
}

struct fleet *fleet_copy(const struct fleet *of, const uint32_t *groups, size_t n, int64_t now_ms)
{
    static const struct fleet_events quiet = {
        .on_ready = no_ready, .on_state = no_state, .on_common_cause = no_common_cause};
    uint32_t open[GROUPS_MAX];
    size_t n_open = MIN(n, (size_t)GROUPS_MAX);
    struct fleet *f = fleet_new(&quiet, NULL, of->rng, now_ms);
    f->regions = of->regions;
    memcpy(open, groups, n_open * sizeof *open);
    while (n_open) {
        const struct fgroup *g = fleet_find_group(of, open[--n_open]);
        if (!g || fleet_find_group(f, g->num))
            continue;
        copy_group(f, g, now_ms);
        for (size_t i = 0; i < g->n_fallbacks && n_open < GROUPS_MAX; i++)
            open[n_open++] = g->fallbacks[i];
    }
    copy_scopes(f, of);
    return f;
}
