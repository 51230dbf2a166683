/* Configuration of the fleet: servers, groups, their places; and what passes between the two doors.
 * Choosing is in dispatch.c, operational state in health.c, looking in view.c. */
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/internal.h"

#include <stdlib.h>

uint64_t fleet_rand(struct fleet *f)
{
    f->rng += 0x9E3779B97F4A7C15u;
    return hash_u64(f->rng);
}

struct fserver *fleet_find(const struct fleet *f, uint16_t num)
{
    return num < f->n_servers ? f->servers[num] : NULL;
}

struct fgroup *fleet_find_group(const struct fleet *f, uint32_t num)
{
    return map_u64_get(f->groups, num);
}

struct fleet *fleet_new(const struct fleet_events *ev, void *arg, uint64_t seed, int64_t now_ms)
{
    struct fleet *f = alloc_one(struct fleet);
    f->events = *ev;
    f->arg = arg;
    f->rng = seed;
    f->groups = map_u64_new();
    f->answered_at = now_ms;
    heap_init(&f->wake);
    return f;
}

static void free_domains(struct fserver *s)
{
    for (size_t i = 0; i < s->n_from_domains; i++)
        free(s->from_domains[i]);
    free(s->from_domains);
    s->from_domains = NULL;
    s->n_from_domains = 0;
}

static void free_group(struct fleet *f, struct fgroup *g)
{
    for (size_t i = 0; i < g->n_places; i++) {
        list_remove(&g->places[i].link);
        heap_remove(&f->wake, &g->places[i].wake);
    }
    for (size_t t = 0; t < g->n_tiers; t++)
        heap_free(&g->tiers[t].heap);
    free(g->tiers);
    free(g->places);
    free(g->fallbacks);
    free(g);
}

static void free_server(struct fserver *s)
{
    free_domains(s);
    quota_free(&s->quota);
    free(s);
}

void fleet_free(struct fleet **fp)
{
    struct fleet *f = *fp;
    *fp = NULL;
    if (!f)
        return;
    size_t pos = 0;
    uint64_t key = 0;
    void *g = NULL;
    while (map_u64_next(f->groups, &pos, &key, &g))
        free_group(f, g);
    map_u64_free(&f->groups);
    for (size_t i = 0; i < f->n_servers; i++)
        if (f->servers[i])
            free_server(f->servers[i]);
    free(f->servers);
    heap_free(&f->wake);
    free(f->aside);
    free(f);
}

static struct fserver *add_server(struct fleet *f, uint16_t num, int64_t now_ms)
{
    if (num >= f->n_servers) {
        size_t n = MAX((size_t)num + 1, f->n_servers * 2);
        f->servers = alloc_resize(f->servers, n * sizeof *f->servers);
        memset(f->servers + f->n_servers, 0, (n - f->n_servers) * sizeof *f->servers);
        f->n_servers = n;
    }
    struct fserver *s = alloc_one(struct fserver);
    s->num = num;
    s->is_cold = true;
    s->healthy_since = now_ms;
    list_init(&s->places);
    quota_init(&s->quota);
    f->servers[num] = s;
    return s;
}

/* Somebody changed how we reach it: what we held against it may be over. */
static void forgive(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    s->failures_in_row = s->dot_losses_in_row = s->openings = s->misconfigured_times = 0;
    s->single = s->is_probing = s->may_try = false;
    s->is_cold = true;
    memset(s->cells, 0, sizeof s->cells);
    s->has_cells = false;
    if (s->state != OPER_HEALTHY)
        health_set_state(f, s, OPER_HEALTHY, "its settings were changed", 0, now_ms);
}

void fleet_set_server(struct fleet *f, const struct server *c, bool loaded_at_start, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, c->num);
    bool is_new = s == NULL;
    if (is_new)
        s = add_server(f, c->num, now_ms);
    s->limits = c->limits;
    s->limits.calendar = NULL;
    s->admin = c->admin;
    s->connect_timeout_ms = c->connect_timeout_ms;
    free_domains(s);
    s->from_domains = alloc_many(char *, c->n_from_domains);
    for (size_t i = 0; i < c->n_from_domains; i++)
        s->from_domains[s->n_from_domains++] = alloc_copy(c->from_domains[i]);
    quota_configure(&s->quota, &c->limits, now_ms);
    if (loaded_at_start)
        quota_fill_pace(&s->quota, now_ms);
    if (!is_new && s->settings != c->updated_at)
        forgive(f, s, now_ms);
    s->settings = c->updated_at;
    server_wake(f, s);
}

void fleet_remove_server(struct fleet *f, uint16_t num, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    (void)now_ms;
    if (!s)
        return;
    s->admin = ADMIN_DISABLED;
    list_each(it, &s->places)
    {
        struct place *p = list_entry(it, struct place, link);
        place_leave(f, p, BOUND_ADMIN, INT64_MAX);
    }
}

struct quota *fleet_quota(struct fleet *f, uint16_t num)
{
    struct fserver *s = fleet_find(f, num);
    return s ? &s->quota : NULL;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* One tier for each priority in use; one tier in all for other strategies. */
static void make_tiers(struct fgroup *g, const struct group *c)
{
    uint32_t *levels = alloc_many(uint32_t, c->n_members + 1);
    size_t n = 0;
    for (size_t i = 0; i < c->n_members; i++)
        levels[n++] = c->strategy == STRATEGY_PRIORITY ? c->members[i].priority : 1;
    qsort(levels, n, sizeof *levels, compare_u32);
    g->tiers = alloc_many(struct tier, n + 1);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || levels[i] != levels[i - 1]) {
            heap_init(&g->tiers[g->n_tiers].heap);
            g->tiers[g->n_tiers++].priority = levels[i];
        }
    free(levels);
}

static struct tier *tier_of(struct fgroup *g, uint32_t priority)
{
    for (size_t t = 0; t < g->n_tiers; t++)
        if (g->tiers[t].priority == priority)
            return &g->tiers[t];
    return &g->tiers[0];
}

static void add_places(struct fleet *f, struct fgroup *g, const struct group *c)
{
    g->places = alloc_many(struct place, c->n_members);
    for (size_t i = 0; i < c->n_members; i++) {
        const struct membership *m = &c->members[i];
        struct fserver *s = fleet_find(f, m->server_num);
        if (!s)
            continue;
        struct place *p = &g->places[g->n_places++];
        p->server = s;
        p->group = g;
        p->tier = tier_of(g, c->strategy == STRATEGY_PRIORITY ? m->priority : 1);
        p->weight = c->strategy == STRATEGY_ROUND_ROBIN ? 1 : MAX(m->weight, 1u);
        list_push_back(&s->places, &p->link);
        place_return(f, p);
    }
}

void fleet_set_group(struct fleet *f, const struct group *c, int64_t now_ms)
{
    (void)now_ms;
    struct fgroup *old = fleet_find_group(f, c->num);
    struct fgroup *g = alloc_one(struct fgroup);
    g->num = c->num;
    g->strategy = c->strategy;
    g->at_limit = c->at_limit;
    g->shares = c->shares;
    g->n_fallbacks = c->n_fallbacks;
    g->fallbacks = alloc_many(uint32_t, c->n_fallbacks);
    for (size_t i = 0; i < c->n_fallbacks; i++)
        g->fallbacks[i] = c->fallbacks[i];
    make_tiers(g, c);
    if (old)
        free_group(f, old);
    add_places(f, g, c);
    map_u64_set(f->groups, c->num, g);
    for (size_t i = 0; i < g->n_places; i++)
        f->events.on_ready(f->arg, g->places[i].server->num);
}

void fleet_remove_group(struct fleet *f, uint32_t num)
{
    struct fgroup *g = map_u64_remove(f->groups, num);
    if (g)
        free_group(f, g);
}

/* ---- between the doors */

void fleet_return(struct fleet *f, uint16_t num, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    (void)now_ms;
    check(s && s->assigned > 0);
    s->assigned--;
    quota_return(&s->quota);
    if (s->state == OPER_HALF_OPEN && s->probe_passed && s->assigned == 0)
        s->may_try = true; /* its one message never went: another may */
    server_wake(f, s);
}

bool fleet_dot(struct fleet *f, uint16_t num, int64_t now_ms, int64_t *when_out)
{
    struct fserver *s = fleet_find(f, num);
    check(s != NULL);
    if (!quota_may_dot(&s->quota, now_ms, 0, when_out))
        return false;
    quota_take(&s->quota, now_ms);
    return true;
}

int64_t fleet_dot_at(struct fleet *f, uint16_t num, uint32_t ahead, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    int64_t when = now_ms;
    if (s)
        quota_may_dot(&s->quota, now_ms, ahead, &when);
    return when;
}

uint32_t fleet_transactions(struct fleet *f, uint16_t num, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    bool may = s && s->admin == ADMIN_ACTIVE && !f->common_cause && health_may_send(s, now_ms);
    return may ? health_capacity(s, now_ms) : 0;
}

bool fleet_one_at_a_time(struct fleet *f, uint16_t num)
{
    struct fserver *s = fleet_find(f, num);
    return !s || s->is_cold || s->single || s->state == OPER_HALF_OPEN;
}

void fleet_undot(struct fleet *f, uint16_t num, int64_t dot_at, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    check(s != NULL);
    quota_give_back(&s->quota, now_ms, dot_at);
    quota_reserve(&s->quota);
}

uint32_t fleet_connections(struct fleet *f, uint16_t num, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || f->common_cause || s->admin != ADMIN_ACTIVE)
        return 0;
    if (s->is_cold || s->state == OPER_HALF_OPEN)
        return health_may_send(s, now_ms) ? 1 : 0;
    if (!health_may_send(s, now_ms) && s->state != OPER_EXHAUSTED)
        return 0;
    uint32_t n = s->limits.max_connections;
    return s->slow_until > now_ms ? MAX(n / MAX(s->slow_divisor, 1u), 1u) : n;
}
