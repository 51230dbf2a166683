/* Sharing on a virtual clock: see simulate.h. */
#include "fleet/simulate.h"

#include "base/alloc.h"
#include "fleet/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SPAN_MAX_MS     (INT64_C(31) * 24 * 3600000)
#define LOOKS           200 /* at what limits the servers, over the run */
#define TURNS_A_MESSAGE 200 /* waits of a message, on average, before nobody looks any further */

struct flight {            /* a message on a virtual connection */
    struct heap_node node; /* key: us of its dot and answer */
    struct hold hold;
    struct flight *next; /* of those that are free */
};

struct running {
    const struct simulate_in *in;
    struct simulation *out;
    struct heap heap;
    struct flight *all, *idle;
    int64_t *slots; /* of each server: when its virtual connection is free again, us */
    size_t *first_slot, *n_slots;
    int64_t now_us;
};

static int64_t now_ms(const struct running *r)
{
    return r->now_us / 1000;
}

static size_t place_of(const struct running *r, uint16_t num)
{
    for (size_t i = 0; i < r->in->n_servers; i++)
        if (r->in->servers[i].num == num)
            return i;
    return 0;
}

static void make_slots(struct running *r)
{
    size_t total = 0;
    r->first_slot = alloc_many(size_t, r->in->n_servers + 1);
    r->n_slots = alloc_many(size_t, r->in->n_servers + 1);
    for (size_t i = 0; i < r->in->n_servers; i++) {
        struct fserver *s = fleet_find(r->in->fleet, r->in->servers[i].num);
        r->first_slot[i] = total;
        r->n_slots[i] = s ? MAX(s->limits.max_connections, 1u) : 1;
        total += r->n_slots[i];
    }
    r->slots = alloc_many(int64_t, total + 1);
}

static int64_t *free_slot(struct running *r, size_t at)
{
    int64_t *best = &r->slots[r->first_slot[at]];
    for (size_t k = 1; k < r->n_slots[at]; k++)
        if (r->slots[r->first_slot[at] + k] < *best)
            best = &r->slots[r->first_slot[at] + k];
    return best;
}

static void begin(struct running *r, const struct pick *p)
{
    size_t at = place_of(r, p->server_num);
    int64_t *slot = free_slot(r, at), us = MAX(r->in->servers[at].service_us, INT64_C(1));
    struct flight *f = r->idle;
    r->idle = f->next;
    f->hold = p->hold;
    *slot = MAX(*slot, r->now_us) + us;
    r->out->lines[at].busy_ms += us / 1000;
    if (r->out->n_first < SIMULATE_FIRST)
        r->out->first[r->out->n_first++] = p->server_num;
    heap_add(&r->heap, &f->node, *slot);
}

/* The dot leaves, or waits for its pace. */
static void land(struct running *r)
{
    struct flight *f = container_of(heap_pop(&r->heap), struct flight, node);
    int64_t when = 0;
    r->now_us = MAX(r->now_us, f->node.key);
    if (!fleet_dot(r->in->fleet, &f->hold, now_ms(r), &when)) {
        heap_add(&r->heap, &f->node, MAX(when * 1000, r->now_us + 1000));
        return;
    }
    size_t at = place_of(r, f->hold.server_num);
    struct report rep = {.server_num = f->hold.server_num,
                         .hold = f->hold,
                         .is_message = true,
                         .verdict = VERDICT_ACCEPTED,
                         .phase = PHASE_DOT,
                         .reply_read = true,
                         .dot_left = true,
                         .dot_at = now_ms(r),
                         .latency_ms = r->in->servers[at].service_us / 1000,
                         .provider = f->hold.provider,
                         .from_domain = r->in->ask.from_domain};
    fleet_report(r->in->fleet, &rep, now_ms(r));
    r->out->lines[at].n++;
    r->out->sent++;
    r->out->ms = now_ms(r) - r->in->now_ms;
    f->next = r->idle;
    r->idle = f;
}

/* What first stands against each server, but for being busy. */
static void note_bounds(struct running *r)
{
    struct server_reason reasons[256];
    struct pick p;
    size_t n = 0;
    fleet_explain(r->in->fleet, &r->in->ask, now_ms(r), &p, reasons, countof(reasons), &n);
    for (size_t i = 0; i < n; i++) {
        struct simulate_line *l = &r->out->lines[place_of(r, reasons[i].server_num)];
        if (l->bound == BOUND_NONE && reasons[i].bound != BOUND_NONE &&
            reasons[i].bound != BOUND_BUSY) {
            l->bound = reasons[i].bound;
            l->bound_ms = now_ms(r) - r->in->now_ms;
        }
    }
}

/* False: nothing more will come of waiting. */
static bool wait_for_more(struct running *r, const struct pick *p)
{
    struct heap_node *n = heap_min(&r->heap);
    int64_t until = p->until == INT64_MAX ? INT64_MAX : p->until * 1000;
    uint16_t probes[64];
    if (p->bound != BOUND_BUSY)
        note_bounds(r);
    if (n && n->key <= until) {
        land(r);
        return true;
    }
    if (until == INT64_MAX || until / 1000 - r->in->now_ms > SPAN_MAX_MS)
        return false;
    r->now_us = MAX(r->now_us + 1000, MAX(until, p->free_at * 1000));
    size_t n_probes = fleet_tick(r->in->fleet, now_ms(r), probes, countof(probes));
    for (size_t i = 0; i < n_probes; i++) {
        struct report rep = {.server_num = probes[i],
                             .is_probe = true,
                             .verdict = VERDICT_ACCEPTED,
                             .reply_read = true,
                             .latency_ms = -1};
        fleet_report(r->in->fleet, &rep, now_ms(r));
    }
    return true;
}

static void run(struct running *r)
{
    uint64_t picked = 0;
    uint64_t turns = r->in->messages * TURNS_A_MESSAGE + 1000;
    while (r->out->sent < r->in->messages && turns--) {
        struct pick p = {.kind = PICK_WAIT, .bound = BOUND_BUSY, .until = INT64_MAX};
        if (picked < r->in->messages && r->idle)
            fleet_pick(r->in->fleet, &r->in->ask, now_ms(r), &p);
        if (p.kind == PICK_SEND) {
            begin(r, &p);
            if (++picked % (r->in->messages / LOOKS + 1) == 0)
                note_bounds(r);
        } else if (p.kind == PICK_GIVE_UP ? heap_min(&r->heap) == NULL : !wait_for_more(r, &p)) {
            snprintf(r->out->why, sizeof r->out->why, "%s", p.why);
            return;
        } else if (p.kind == PICK_GIVE_UP) {
            land(r);
        }
    }
}

/* By weight among the places of the group's first tier. */
static void plan(struct running *r, const struct fgroup *g)
{
    double sum = 0;
    for (size_t i = 0; i < g->n_places; i++)
        if (g->places[i].tier == &g->tiers[0])
            sum += g->places[i].weight;
    for (size_t i = 0; i < g->n_places; i++) {
        const struct place *p = &g->places[i];
        struct simulate_line *l = &r->out->lines[place_of(r, p->server->num)];
        l->most = p->server->limits.max_connections;
        if (p->tier == &g->tiers[0] && sum > 0 && g->strategy <= STRATEGY_PRIORITY &&
            !g->rotate_active)
            l->planned = p->weight / sum;
    }
}

void simulate_run(const struct simulate_in *in, struct simulation *out)
{
    struct running r = {.in = in, .out = out, .now_us = in->now_ms * 1000};
    struct fgroup *g = fleet_find_group(in->fleet, in->ask.group_num);
    size_t n = (size_t)MIN(in->messages, (uint64_t)SIMULATE_MESSAGES_MAX);
    *out = (struct simulation){.n_lines = in->n_servers};
    out->lines = alloc_many(struct simulate_line, in->n_servers + 1);
    for (size_t i = 0; i < in->n_servers; i++)
        out->lines[i] = (struct simulate_line){.num = in->servers[i].num, .planned = -1};
    if (!g || in->n_servers == 0) {
        snprintf(out->why, sizeof out->why, "the group has no server");
        return;
    }
    if (in->elastic)
        g->shares = SHARES_ELASTIC;
    heap_init(&r.heap);
    make_slots(&r);
    plan(&r, g);
    r.all = alloc_many(struct flight, n + 1);
    for (size_t i = 0; i < n; i++) {
        r.all[i].next = r.idle;
        r.idle = &r.all[i];
    }
    run(&r);
    heap_free(&r.heap);
    free(r.all);
    free(r.slots);
    free(r.first_slot);
    free(r.n_slots);
}

void simulation_free(struct simulation *s)
{
    free(s->lines);
    *s = (struct simulation){0};
}
