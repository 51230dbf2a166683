/* See glance.h. */
#include "fleet/glance.h"
#include "fleet/internal.h"

bool fleet_glance(const struct fleet *f, uint16_t num, struct glance *out)
{
    const struct fserver *s = fleet_find(f, num);
    if (!s)
        return false;
    *out = (struct glance){.state = s->state,
                           .admin = s->admin,
                           .in_flight = s->assigned,
                           .answered = s->answered,
                           .failures = s->failures};
    return true;
}

size_t fleet_resting_in(const struct fleet *f, uint16_t num, uint32_t *groups, size_t max,
                        bool *all_out)
{
    const struct fserver *s = fleet_find(f, num);
    size_t n = 0, places = 0;
    *all_out = false;
    if (!s)
        return 0;
    list_each(it, &s->places)
    {
        const struct place *p = list_entry(it, struct place, link);
        places++;
        if (p->is_resting && n < max)
            groups[n++] = p->group->num;
    }
    *all_out = n > 0 && n == places;
    return n;
}

bool fleet_rotation(const struct fleet *f, uint32_t group_num, struct rotation_glance *out)
{
    const struct fgroup *g = fleet_find_group(f, group_num);
    if (!g || !g->rotate_active || !g->n_places)
        return false;
    bool timed = g->rotate_every_ms && g->rotated_at;
    uint64_t sent = MIN(g->rotate_sent, g->rotate_messages);
    *out = (struct rotation_glance){.active = g->rotate_active,
                                    .changes_at = timed ? g->rotated_at + g->rotate_every_ms : 0,
                                    .messages_left = g->rotate_messages - sent};
    return true;
}

bool fleet_group_servers(const struct fleet *f, uint32_t group_num, uint16_t *nums, size_t max,
                         size_t *n_out)
{
    const struct fgroup *g = fleet_find_group(f, group_num);
    *n_out = 0;
    if (!g)
        return true;
    if (g->n_places > max)
        return false;
    for (size_t i = 0; i < g->n_places; i++)
        nums[(*n_out)++] = g->places[i].server->num;
    return true;
}
