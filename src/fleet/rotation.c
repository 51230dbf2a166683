/* Rotation: k of a group's n active members send, the others rest; the set moves on by time or by
 * volume. A member that is out by health or by the user gives its turn to the next. */
#include "fleet/internal.h"

static bool may_rotate(const struct place *p)
{
    return p->role == ROLE_ACTIVE && p->server->admin == ADMIN_ACTIVE;
}

static bool is_due(const struct fgroup *g, int64_t now_ms)
{
    return (g->rotate_every_ms && now_ms - g->rotated_at >= g->rotate_every_ms) ||
           (g->rotate_messages && g->rotate_sent >= g->rotate_messages);
}

static void set_resting(struct fleet *f, struct place *p, bool rests)
{
    if (p->is_resting == rests)
        return;
    p->is_resting = rests;
    if (rests) {
        place_leave(f, p, BOUND_RESTING, INT64_MAX);
    } else {
        place_return(f, p);
        f->events.on_ready(f->arg, p->server->num);
    }
}

/* The next k that can send, from where the set begins. */
static void choose_set(struct fleet *f, struct fgroup *g, int64_t now_ms)
{
    uint32_t left = g->rotate_active;
    for (size_t i = 0; i < g->n_places; i++) {
        struct place *p = &g->places[(g->rotate_at + i) % g->n_places];
        bool counts = may_rotate(p) && (health_may_send(p->server, now_ms) || p->server->is_parked);
        bool rests = p->role == ROLE_ACTIVE && left == 0;
        left -= counts && left > 0;
        set_resting(f, p, rests);
    }
}

static void move_on(struct fgroup *g, int64_t now_ms)
{
    for (uint32_t moved = 0, i = 0; moved < g->rotate_active && i < g->n_places; i++) {
        moved += may_rotate(&g->places[g->rotate_at]);
        g->rotate_at = (g->rotate_at + 1) % g->n_places;
    }
    g->rotated_at = now_ms;
    g->rotate_sent = 0;
}

void rotation_begin(struct fleet *f, struct fgroup *g, int64_t now_ms)
{
    if (g->rotate_active && g->n_places)
        choose_set(f, g, now_ms);
}

static void rotate(struct fleet *f, struct fgroup *g, int64_t now_ms)
{
    if (!g->rotate_active || g->n_places == 0)
        return;
    if (g->rotated_at == 0)
        g->rotated_at = now_ms;
    else if (is_due(g, now_ms))
        move_on(g, now_ms);
    choose_set(f, g, now_ms);
}

void rotation_by_volume(struct fleet *f, struct fgroup *g, int64_t now_ms)
{
    if (g->rotate_messages && g->rotate_sent >= g->rotate_messages && !f->is_dry)
        rotate(f, g, now_ms);
}

void rotation_tick(struct fleet *f, int64_t now_ms)
{
    size_t pos = 0;
    uint64_t key = 0;
    void *g = NULL;
    while (map_u64_next(f->groups, &pos, &key, &g))
        rotate(f, g, now_ms);
}
