/* See cells.h. An event rides in a batch of results, as the row does: a crash in between finds the
 * cell as it was before, which costs one message that is refused again. */
#include "engine/cells.h"
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/cells.h"
#include "store/cells.h"

#include <stdio.h>
#include <stdlib.h>

struct keeping {
    struct ledger_job lj;
    struct cell_row row;
    bool is_over;
};

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct keeping *k = container_of(lj, struct keeping, lj);
    return k->is_over ? cells_remove(db, k->row.server_num, k->row.provider, e)
                      : cells_put(db, &k->row, e);
}

static void done(struct ledger_job *lj)
{
    free(container_of(lj, struct keeping, lj));
}

/* Half open and ramp stay as open: after a start one message tries it again. */
static void keep(struct core *c, const struct cell_change *x)
{
    struct keeping *k = alloc_one(struct keeping);
    k->is_over = x->to != OPER_OPEN;
    k->row =
        (struct cell_row){.server_num = x->server_num, .until = x->until, .openings = x->openings};
    (void)str_copy(str_of(provider_name(providers_builtin(), x->provider)), k->row.provider,
                   sizeof k->row.provider);
    (void)str_copy(str_of(x->reason), k->row.reason, sizeof k->row.reason);
    k->lj.order = LEDGER_RESULT;
    k->lj.rows = 1;
    k->lj.work = work;
    k->lj.done = done;
    ledger_post(c->ledger, &k->lj);
}

void cells_changed(struct core *c, const struct cell_change *x)
{
    char kind[40], reason[240], data[256], when[32] = "";
    struct outlet *o = core_outlet(c, x->server_num);
    const char *provider = provider_name(providers_builtin(), x->provider);
    if (!o || !o->server || !c->ledger)
        return;
    snprintf(kind, sizeof kind, "cell.%s",
             x->to == OPER_HEALTHY ? "recovered"
             : x->to == OPER_OPEN  ? "opened"
                                   : oper_state_name(x->to));
    snprintf(reason, sizeof reason, "%s: %s", provider, x->reason);
    if (x->until)
        clock_format(x->until - core_steady(c) + clock_wall_ms(), when);
    snprintf(data, sizeof data,
             "{\"provider\":\"%s\",\"from\":\"%s\",\"to\":\"%s\",\"until\":\"%s\"}", provider,
             oper_state_name(x->from), oper_state_name(x->to), when);
    core_event(c, kind, o->server->server->name, reason, data);
    if (x->to == OPER_OPEN || x->to == OPER_HEALTHY)
        keep(c, x);
}

/* ---- the start */

static void restore(void *arg, const struct cell_row *r)
{
    struct core *c = arg;
    uint32_t provider = provider_by_name(providers_builtin(), str_of(r->provider));
    fleet_restore_cell(c->fleet, r->server_num, provider, r->reason, r->until, r->openings,
                       core_steady(c));
}

bool cells_load(struct core *c, struct db *db, struct err *e)
{
    return cells_all(db, restore, c, e);
}

/* ---- looking */

static json_t *time_or_null(struct core *c, int64_t steady)
{
    char text[32];
    if (steady <= 0)
        return json_null();
    clock_format(steady - core_steady(c) + clock_wall_ms(), text);
    return json_string(text);
}

json_t *cells_json(struct core *c, uint16_t num)
{
    struct cell_view all[FLEET_CELLS_MAX];
    size_t n = fleet_cells(c->fleet, num, all, FLEET_CELLS_MAX);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            out, json_pack("{s:s,s:s,s:s,s:o,s:i,s:i,s:o}", "provider",
                           provider_name(providers_builtin(), all[i].provider), "state",
                           oper_state_name(all[i].state), "reason", all[i].reason, "until",
                           time_or_null(c, all[i].until), "openings", (int)all[i].openings,
                           "in_flight", (int)all[i].in_flight, "per_second",
                           all[i].per_s > 0 ? json_real(all[i].per_s) : json_null()));
    return out;
}
