/* Quarantines by the user on the reactor: brought into force at the start and when one is set; a
 * server in a state that says more (open, misconfigured) is taken out as soon as it leaves it. */
#include "engine/state.h"
#include "base/alloc.h"
#include "feedback/provider.h"
#include "fleet/cells.h"
#include "store/quarantine.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t steady_of(struct core *c, int64_t wall)
{
    return wall ? wall - clock_wall_ms() + core_steady(c) : 0;
}

static void remember(void *arg, const struct quarantine *q)
{
    struct core *c = arg;
    struct quarantine *mine = map_u64_remove(c->quarantines, q->server_num);
    if (!mine)
        mine = alloc_one(struct quarantine);
    *mine = *q;
    mine->until = steady_of(c, q->until);
    map_u64_set(c->quarantines, q->server_num, mine);
}

bool quarantine_load(struct core *c, struct db *db, struct err *e)
{
    c->quarantines = map_u64_new();
    return quarantine_all(db, clock_wall_ms(), remember, c, e);
}

/* True: it is in force or over, so the fleet does the rest. */
static bool enforce(struct core *c, const struct quarantine *q)
{
    struct server_view v;
    if (q->until && core_steady(c) >= q->until)
        return true;
    return fleet_view(c->fleet, q->server_num, core_steady(c), &v) &&
           (v.state == OPER_QUARANTINED ||
            fleet_quarantine(c->fleet, q->server_num, q->reason, q->until, core_steady(c)));
}

void quarantine_second(struct core *c)
{
    uint16_t over[64];
    size_t n = 0, pos = 0;
    uint64_t num;
    void *q;
    while (map_u64_next(c->quarantines, &pos, &num, &q))
        if (n < countof(over) && enforce(c, q))
            over[n++] = (uint16_t)num;
    while (n > 0)
        free(map_u64_remove(c->quarantines, over[--n]));
}

static void release_cell(struct core *c, uint16_t num, const char *provider, json_t *data)
{
    uint32_t p = provider_by_name(providers_builtin(), str_of(provider));
    if (!fleet_release_cell(c->fleet, num, p, "released by the user", core_steady(c)))
        json_object_set_new(data, "nothing_to_do",
                            json_string("it is neither closed nor slowed for this provider"));
}

/* Says so when there was nothing to release. */
static void release(struct core *c, uint16_t num, json_t *data)
{
    struct server_view v;
    char why[160];
    free(map_u64_remove(c->quarantines, num));
    bool released = fleet_release(c->fleet, num, "released by the user", core_steady(c));
    if (released || json_is_true(json_object_get(data, "was_quarantined")))
        return;
    bool known = fleet_view(c->fleet, num, core_steady(c), &v);
    snprintf(why, sizeof why, "it is neither quarantined nor suspect, but %s",
             known ? oper_state_name(v.state) : "not at work");
    json_object_set_new(data, "nothing_to_do", json_string(why));
}

void quarantine_changed(struct core *c, const char *op, json_t *data)
{
    uint16_t num = (uint16_t)json_integer_value(json_object_get(data, "num"));
    const char *provider = json_string_value(json_object_get(data, "provider"));
    if (str_is(str_of(op), "server.release") && provider) {
        release_cell(c, num, provider, data);
        return;
    }
    if (str_is(str_of(op), "server.release")) {
        release(c, num, data);
        return;
    }
    if (!str_is(str_of(op), "server.quarantine"))
        return;
    const char *reason = json_string_value(json_object_get(data, "reason"));
    int64_t ms = json_integer_value(json_object_get(data, "for_ms"));
    struct quarantine q = {.server_num = num, .until = ms ? clock_wall_ms() + ms : 0};
    str_copy(str_of(reason ? reason : ""), q.reason, sizeof q.reason);
    (void)fleet_quarantine(c->fleet, num, q.reason, steady_of(c, q.until), core_steady(c));
    remember(c, &q);
    quarantine_second(c);
}
