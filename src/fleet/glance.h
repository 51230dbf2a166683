/* A cheap look at a server, for pictures of thousands of them; fleet_view shows one in full. Pure.
 */
#ifndef FLEET_GLANCE_H
#define FLEET_GLANCE_H

#include "fleet/fleet.h"

struct glance {
    enum oper_state state; /* exhausted ones show as healthy here: that costs a look at quotas */
    enum admin_state admin;
    uint32_t in_flight;
    uint64_t answered, failures; /* since the start */
};

bool fleet_glance(const struct fleet *f, uint16_t num, struct glance *out);
/* The servers of a group, fallbacks not followed. False: over max. */
bool fleet_group_servers(const struct fleet *f, uint32_t group_num, uint16_t *nums, size_t max,
                         size_t *n_out);

/* The groups in which the server rests by rotation now; *all_out: every group it is in. */
size_t fleet_resting_in(const struct fleet *f, uint16_t num, uint32_t *groups, size_t max,
                        bool *all_out);

struct rotation_glance {
    uint32_t active;        /* members that send at a time */
    int64_t changes_at;     /* steady ms; 0: not by time */
    uint64_t messages_left; /* until it changes by volume; 0: not by volume */
};
/* False: the group does not rotate. */
bool fleet_rotation(const struct fleet *f, uint32_t group_num, struct rotation_glance *out);

#endif
