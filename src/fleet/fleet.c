/* Configuration of the fleet: servers, groups, their places; and what passes between the two doors.
 * Choosing is in dispatch.c, what ends mean in report.c, states in health.c, looking in view.c. */
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
    f->scopes = map_u64_new();
    f->answered_at = now_ms;
    f->patience = 1;
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
    free(s->suspicion);
    ailing_forget(s);
    pace_free(&s->pace);
    cells_free(s);
    free(s->bars);
    free(s);
}

void fleet_set_regions(struct fleet *f, const struct regions *r)
{
    f->regions = r;
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
    limits_free(f);
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
    s->breaker.healthy_since = now_ms;
    list_init(&s->places);
    quota_init(&s->quota);
    s->quota.phase = (double)(hash_u64(num) >> 40) / (1 << 24);
    for (int k = 0; k < FACTORS; k++)
        s->factors[k] = (struct factor_value){.value = 1, .want = 1};
    f->servers[num] = s;
    return s;
}

/* Somebody changed how we reach it: what we held against it may be over. */
static void forgive(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    breaker_clear(&s->breaker);
    s->breaker.openings = s->dot_losses_in_row = s->misconfigured_times = s->parks = 0;
    s->single = s->is_probing = s->may_try = false;
    s->is_cold = true;
    s->concurrency = 0;
    s->learned_most = s->n_ended_after = 0;
    s->max_size = 0;
    s->lacks_utf8 = false;
    s->slow_divisor = 0;
    s->n_bars = 0;
    pace_free(&s->pace);
    cells_forgive(f, s, "its settings were changed", now_ms);
    ailing_forget(s);
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
    s->region = f->regions ? region_of_word(f->regions, str_of(c->region)) : 0;
    s->cost_per_1000 = c->cost_per_1000;
    s->included_per_month = c->included_per_month;
    free_domains(s);
    s->from_domains = alloc_many(char *, c->n_from_domains);
    for (size_t i = 0; i < c->n_from_domains; i++)
        s->from_domains[s->n_from_domains++] = alloc_copy(c->from_domains[i]);
    quota_configure(&s->quota, &c->limits, now_ms);
    if (c->included_per_month)
        quota_count_month(&s->quota, c->limits.calendar != NULL, now_ms);
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
    if (!s)
        return;
    cells_forgive(f, s, "the server was removed", now_ms);
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

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* A tier for each level in use, and for those that a place may move to. */
static void make_tiers(struct fgroup *g, int64_t now_ms)
{
    uint64_t *levels = alloc_many(uint64_t, g->n_places * 2 + 1);
    size_t n = 0;
    for (size_t i = 0; i < g->n_places; i++) {
        uint64_t included = 0, level = strategy_levels(&g->places[i], &included);
        levels[n++] = level;
        if (included != level)
            levels[n++] = included;
    }
    qsort(levels, n, sizeof *levels, compare_u64);
    g->tiers = alloc_many(struct tier, n + 1);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || levels[i] != levels[i - 1]) {
            heap_init(&g->tiers[g->n_tiers].heap);
            g->tiers[g->n_tiers++].level = levels[i];
        }
    free(levels);
    for (size_t i = 0; i < g->n_places; i++)
        g->places[i].tier = strategy_tier(&g->places[i], now_ms);
}

/* Its settings are read again for every change of anything: the turn of a member that stays goes on
 * where it was. */
static void inherit_turn(struct place *p, const struct fgroup *old)
{
    list_each(it, &p->server->places)
    {
        const struct place *o = list_entry(it, struct place, link);
        if (o->group != old || o->tier->level != p->tier->level)
            continue;
        int64_t at = o->state == PLACE_IN ? o->node.key : o->finish;
        double behind = (double)MAX(at - o->tier->vtime, INT64_C(0)) * o->weight / p->weight;
        p->finish = (int64_t)behind; /* the new tier's time begins at zero */
    }
}

static void inherit_time(struct fgroup *g, const struct fgroup *old)
{
    bool same = old && old->strategy == g->strategy && !strategy_has_key(g);
    for (size_t i = 0; same && i < g->n_places; i++)
        inherit_turn(&g->places[i], old);
}

static void add_places(struct fleet *f, struct fgroup *g, const struct group *c,
                       const struct fgroup *old, int64_t now_ms)
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
        p->priority = m->priority;
        p->role = m->role;
        p->weight = c->strategy == STRATEGY_ROUND_ROBIN ? 1 : MAX(m->weight, 1u);
        list_init(&p->link);
    }
    make_tiers(g, now_ms);
    inherit_time(g, old);
    for (size_t i = 0; i < g->n_places; i++) {
        list_push_back(&g->places[i].server->places, &g->places[i].link);
        place_return(f, &g->places[i]);
    }
}

/* What the group knew and its settings do not say. */
static void inherit(struct fgroup *g, const struct fgroup *old)
{
    g->urgent_until = old->urgent_until;
    g->rotate_at = g->n_places ? old->rotate_at % g->n_places : 0;
    g->rotated_at = old->rotated_at;
    g->rotate_sent = old->rotate_sent;
}

void fleet_set_group(struct fleet *f, const struct group *c, int64_t now_ms)
{
    struct fgroup *old = fleet_find_group(f, c->num);
    struct fgroup *g = alloc_one(struct fgroup);
    g->num = c->num;
    g->strategy = c->strategy;
    g->at_limit = c->at_limit;
    g->shares = c->shares;
    g->sticky = c->sticky;
    g->nearest = c->nearest;
    g->rotate_active = c->rotate_active;
    g->rotate_every_ms = c->rotate_every_ms;
    g->rotate_messages = c->rotate_messages;
    g->n_fallbacks = c->n_fallbacks;
    g->fallbacks = alloc_many(uint32_t, c->n_fallbacks);
    for (size_t i = 0; i < c->n_fallbacks; i++)
        g->fallbacks[i] = c->fallbacks[i];
    add_places(f, g, c, old, now_ms);
    if (old) {
        inherit(g, old);
        free_group(f, old);
    }
    map_u64_set(f->groups, c->num, g);
    if (g->urgent_until)
        fleet_expect_transactional(f, g->num, g->urgent_until);
    rotation_begin(f, g, now_ms);
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

void fleet_unassign(struct fserver *s, const struct hold *h)
{
    check(s->assigned > 0 && s->assigned_in[h->lane] > 0);
    s->assigned--;
    s->assigned_in[h->lane]--;
    ailing_unassign(s, h->provider);
    if (s->n_cells)
        cells_leave(s, h);
}

void fleet_return(struct fleet *f, const struct hold *h, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, h->server_num);
    check(s != NULL);
    fleet_unassign(s, h);
    quota_return(&s->quota, (enum lane)h->lane);
    limits_return(f, h);
    if (s->state == OPER_HALF_OPEN && s->probe_passed && fserver_moving(s) == 0)
        s->may_try = true; /* its one message never went: another may */
    strategy_update(f, s, now_ms);
    server_wake(f, s);
}

bool fleet_dot(struct fleet *f, const struct hold *h, int64_t now_ms, int64_t *when_out)
{
    struct fserver *s = fleet_find(f, h->server_num);
    check(s != NULL);
    bool may = quota_may_dot(&s->quota, now_ms, 0, when_out);
    int64_t others = MAX(fleet_pace_at(f, h, now_ms), pace_when(s->pace, 0, now_ms));
    if (!may || others > now_ms) {
        *when_out = MAX(*when_out, others);
        return false;
    }
    pace_take(s->pace, now_ms);
    cells_dot(s, h, now_ms);
    quota_take(&s->quota, (enum lane)h->lane, now_ms);
    limits_take(f, h, now_ms);
    return true;
}

int64_t fleet_pace_at(struct fleet *f, const struct hold *h, int64_t now_ms)
{
    const struct fserver *s = fleet_find(f, h->server_num);
    int64_t when = h->kinds ? limits_dot_at(f, h, now_ms) : now_ms;
    return s && s->n_cells ? MAX(when, cells_dot_at(s, h, now_ms)) : when;
}

int64_t fleet_dot_at(struct fleet *f, uint16_t num, uint32_t ahead, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    int64_t when = now_ms;
    if (s)
        quota_may_dot(&s->quota, now_ms, ahead, &when);
    return s ? MAX(when, pace_when(s->pace, ahead, now_ms)) : when;
}

void fleet_undot(struct fleet *f, const struct hold *h, int64_t dot_at, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, h->server_num);
    check(s != NULL);
    quota_give_back(&s->quota, (enum lane)h->lane, now_ms, dot_at);
    quota_reserve(&s->quota, (enum lane)h->lane, now_ms);
    limits_undot(f, h, dot_at, now_ms);
}

void fleet_learn(struct fleet *f, uint16_t num, uint64_t max_size, bool has_utf8)
{
    struct fserver *s = fleet_find(f, num);
    if (!s)
        return;
    s->max_size = max_size;
    s->lacks_utf8 = !has_utf8;
}

void fleet_set_engagement(struct fleet *f, uint16_t num, uint32_t classes, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    (void)now_ms;
    if (!s || s->engagement == classes)
        return;
    s->engagement = classes;
    server_wake(f, s);
}
