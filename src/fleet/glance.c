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
