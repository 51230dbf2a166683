/* A group's failure matrix as it is stored: memory and names. */
#include "model/failover.h"

#include "base/alloc.h"

#include <stdlib.h>

static const char *const actions[FAILOVER_ACTIONS] = {
    "default", "retry_same", "next_server", "defer", "give_up", "suppress", "open", "quarantine"};

struct failover *failover_new(void)
{
    return alloc_one(struct failover);
}

void failover_free(struct failover **fp)
{
    struct failover *f = *fp;
    *fp = NULL;
    if (!f)
        return;
    for (size_t i = 0; i < f->n_rules; i++)
        free(f->rules[i]);
    free(f->rules);
    free(f->order);
    free(f);
}

void failover_add_rule(struct failover *f, const char *text)
{
    f->rules = alloc_resize(f->rules, (f->n_rules + 1) * sizeof *f->rules);
    f->rules[f->n_rules++] = alloc_copy(text);
}

void failover_add_server(struct failover *f, uint16_t server_num)
{
    f->order = alloc_resize(f->order, (f->n_order + 1) * sizeof *f->order);
    f->order[f->n_order++] = server_num;
}

bool failover_is_empty(const struct failover *f)
{
    return !f->n_rules && !f->n_order && !f->tries_per_round && !f->tries && !f->rounds &&
           !f->deadline_ms && !f->first_delay_ms && !f->max_delay_ms;
}

const char *failover_action_name(enum failover_action a)
{
    return (size_t)a < countof(actions) ? actions[a] : "?";
}

bool failover_action_parse(const char *s, enum failover_action *out)
{
    for (size_t i = 1; i < countof(actions); i++)
        if (!strcmp(actions[i], s)) {
            *out = (enum failover_action)i;
            return true;
        }
    return false;
}
