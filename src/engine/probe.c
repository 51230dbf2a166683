/* Health probes: connect, EHLO, AUTH, QUIT through the outlet, no mail. */
#include "engine/state.h"

/* There is no room for it: it says nothing of the server. */
static void not_made(struct core *c, uint16_t num)
{
    struct report r = {.server_num = num, .is_probe = true, .is_ours = true, .latency_ms = -1};
    fleet_report(c->fleet, &r, core_steady(c));
}

void probe_server(struct core *c, uint16_t num)
{
    struct outlet *o = core_outlet(c, num);
    if (!o || !o->server || o->is_removed)
        return;
    if (outlet_room_for_probe(o))
        session_open(o, true);
    else
        not_made(c, num);
}
