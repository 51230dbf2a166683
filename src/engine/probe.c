/* Health probes: connect, EHLO, AUTH, QUIT through the outlet, no mail. */
#include "engine/state.h"

void probe_server(struct core *c, uint16_t num)
{
    struct outlet *o = core_outlet(c, num);
    if (!o || !o->server || o->is_removed)
        return;
    outlet_unstick(o); /* a probe is a connection too: it stays inside the limit */
    session_open(o, true);
}
