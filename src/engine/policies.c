/* The groups' failure matrices in the reactor: read with the configuration, compiled, looked up for
 * each attempt; and what a rule says of a server, which goes through fleet's own doors. */
#include "engine/state.h"
#include "base/log.h"
#include "store/failover.h"

#include <stdio.h>

#define QUARANTINE_MS INT64_C(3600000) /* by a rule: looked at again after that */

const struct policy *core_policy(const struct core *c, uint32_t group_num)
{
    return map_u64_get(c->policies, group_num);
}

uint32_t core_group_of(const struct job *j)
{
    if (j->class)
        return j->class->group_num;
    return j->item->group_num ? j->item->group_num : j->core->default_group;
}

bool policies_load(struct db *db, struct failover ***out, size_t *n_out, struct err *e)
{
    return failover_load_all(db, out, n_out, e);
}

static void free_all(struct core *c)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *at = NULL;
    while (map_u64_next(c->policies, &pos, &num, &at)) {
        struct policy *p = at;
        policy_free(&p);
    }
    map_u64_free(&c->policies);
}

void policies_apply(struct core *c, struct failover *const *list, size_t n)
{
    free_all(c);
    c->policies = map_u64_new();
    for (size_t i = 0; i < n; i++) {
        struct policy *p = NULL;
        struct err e;
        if (policy_compile(list[i], &p, &e))
            map_u64_set(c->policies, list[i]->group_num, p);
        else /* checked when it was set: an older or a newer version wrote it */
            log_event(LOG_ERROR, "engine.failover", "group %u: %s; its defaults hold",
                      (unsigned)list[i]->group_num, e.text);
    }
}

void policies_act(struct job *j, const struct step *st, const char *reply)
{
    struct core *c = j->core;
    const char *group = map_u64_get(c->group_names, core_group_of(j));
    char why[320], by[200];
    if (st->action != FAILOVER_OPEN && st->action != FAILOVER_QUARANTINE)
        return;
    policy_why(&(struct step){.rule = st->rule, .action = st->action}, group ? group : "?", by,
               sizeof by);
    snprintf(why, sizeof why, "%s (%.100s)", by, reply);
    if (st->action == FAILOVER_OPEN)
        (void)fleet_open(c->fleet, j->outlet->num, why, core_steady(c));
    else
        (void)fleet_quarantine(c->fleet, j->outlet->num, why, core_steady(c) + QUARANTINE_MS,
                               core_steady(c));
}
