/* A seed becomes a fleet, a load and faults. The seed's rest by the number of scenes chooses the
 * scene, so that N seeds hold each about equally often; all else is drawn inside it. Here are the
 * table of scenes and the parts that they are made of. */
#include "scenario.h"

#include <stdio.h>

struct vserver *scene_add_server(void)
{
    struct vserver *s = &W->servers[W->n_servers];
    s->port = (uint16_t)(PORT_FIRST + W->n_servers);
    snprintf(s->name, sizeof s->name, "s%u", ++W->n_servers);
    s->half_rtt_us = world_between(100, 40000);
    s->think_us = world_between(50, 5000);
    s->chunking = world_chance(300);
    s->starttls = world_chance(300);
    s->login = world_chance(300);
    s->max_connections = (uint32_t)world_between(1, 8);
    if (world_chance(200))
        s->max_messages = (uint32_t)world_between(1, 30);
    if (world_chance(100))
        s->pause_us = world_between(1, 100) * 10000;
    return s;
}

struct vgroup *scene_add_group(const char *name, const char *strategy)
{
    struct vgroup *g = &W->groups[W->n_groups++];
    snprintf(g->name, sizeof g->name, "%s", name);
    snprintf(g->strategy, sizeof g->strategy, "%s", strategy);
    g->fallback = -1;
    g->elastic = world_chance(200);
    g->sticky = world_chance(100);
    return g;
}

const char *scene_any_strategy(void)
{
    static const char *const names[] = {"weighted",     "round-robin", "priority",
                                        "least-loaded", "adaptive",    "cheapest"};
    return names[world_below(countof(names))];
}

void scene_join(struct vgroup *g, const struct vserver *s, uint32_t weight, uint32_t tier)
{
    g->servers[g->n_servers] = (uint32_t)(s - W->servers);
    g->weights[g->n_servers] = weight;
    g->tiers[g->n_servers++] = tier;
}

void scene_join_any(struct vgroup *g, const struct vserver *s)
{
    scene_join(g, s, (uint32_t)world_between(1, 20), (uint32_t)world_between(1, 3));
}

struct vcampaign *scene_add_campaign(uint32_t group, uint32_t n, int64_t start_us)
{
    struct vcampaign *c = &W->campaigns[W->n_campaigns];
    snprintf(c->name, sizeof c->name, "c%u", ++W->n_campaigns);
    c->group = group;
    c->first = W->n_people;
    c->n = n;
    c->start_us = start_us;
    c->is_priority = world_chance(200);
    for (uint32_t i = 0; i < n; i++)
        W->people[W->n_people++].campaign = (uint8_t)(c - W->campaigns);
    return c;
}

void scene_add_singles(uint32_t n, int64_t every_us)
{
    W->n_singles = n;
    W->singles_from_us = SECOND_US;
    W->singles_every_us = every_us;
}

void scene_behave(struct vserver *s, enum verb v, int64_t from_us, int64_t to_us, uint32_t share,
                  uint32_t n)
{
    if (s->n_behaviours < BEHAVIOURS_MAX)
        s->behaviours[s->n_behaviours++] = (struct behaviour){v, from_us, to_us, share, n};
}

/* One of the villains, for some time within the first 20 minutes. */
void scene_misbehave(struct vserver *s)
{
    static const struct {
        enum verb verb;
        uint32_t share, low, high;
    } ways[] = {
        {VERB_GREYLIST, 0, 30, 400}, {VERB_HOURLY, 0, 5, 80},      {VERB_QUOTA, 0, 5, 200},
        {VERB_LOGIN, 0, 0, 0},       {VERB_SLOW, 0, 500, 20000},   {VERB_DROP_DOT, 100, 0, 0},
        {VERB_LOSE_DOT, 200, 0, 0},  {VERB_DROP_EARLY, 300, 0, 0}, {VERB_TLS, 0, 0, 0},
        {VERB_GARBAGE, 0, 0, 0},     {VERB_VANISH, 0, 0, 0},       {VERB_REFUSE, 0, 0, 0},
        {VERB_RCPT, 0, 451, 451},    {VERB_RCPT, 0, 550, 550},     {VERB_BLOCK, 0, 0, 3},
        {VERB_DOT, 300, 451, 451},   {VERB_DOT, 100, 554, 554},    {VERB_BUSY, 0, 0, 0},
        {VERB_PER_CONN, 0, 1, 10},   {VERB_DROP_DOT, 1000, 0, 0},  {VERB_LIE, 0, 0, 0},
        {VERB_AHEAD, 300, 0, 0},     {VERB_HANG, 50, 0, 0}};
    size_t i = world_below(countof(ways));
    int64_t from = world_chance(500) ? 0 : world_between(0, 60 * SECOND_US);
    int64_t to = from + world_between(5, 1200) * SECOND_US;
    scene_behave(s, ways[i].verb, from, to, ways[i].share,
                 (uint32_t)world_between(ways[i].low, ways[i].high));
}

void scene_limit_server(struct vserver *s)
{
    static const uint64_t seconds[] = {1, 2, 5, 20}, minutes[] = {10, 60, 200},
                          hours[] = {20, 100, 500};
    uint64_t which = world_below(8);
    s->all_attempts = world_chance(200);
    if (which & 1 || which == 0)
        s->per_second = seconds[world_below(countof(seconds))];
    if (which & 2)
        s->per_minute = minutes[world_below(countof(minutes))];
    if (which & 4)
        s->per_hour = hours[world_below(countof(hours))];
    if (world_chance(200)) {
        s->per_day = (uint64_t)world_between(20, 400);
        s->zone = world_chance(500) ? "UTC" : NULL;
        s->spread = world_chance(300);
    }
}

struct fault_plan *scene_add_fault(enum fault_kind kind, int64_t at_us, int64_t for_us)
{
    struct fault_plan *f = &W->faults[W->n_faults++];
    *f = (struct fault_plan){.kind = kind, .at_us = at_us, .for_us = for_us};
    return f;
}

void scene_add_crashes(uint32_t n, int64_t span_us)
{
    for (uint32_t i = 0; i < n; i++) {
        enum fault_kind kind = world_chance(150)   ? FAULT_REBOOT
                               : world_chance(150) ? FAULT_STOP
                                                   : FAULT_CRASH;
        struct fault_plan *f = scene_add_fault(kind, world_between(SECOND_US, span_us),
                                               world_between(10000, 5 * SECOND_US));
        f->steps = (uint32_t)world_between(1, 3000);
    }
}

void scene_add_jumps(uint32_t n, int64_t span_us)
{
    for (uint32_t i = 0; i < n; i++)
        scene_add_fault(FAULT_WALL, world_between(0, span_us),
                        world_between(-3700, 3700) * SECOND_US);
}

/* ---- scenes */

static const struct {
    const char *name;
    void (*make)(void);
} scenes[] = {{"shares", scene_shares},
              {"round robin", scene_round_robin},
              {"limits", scene_limits},
              {"villains", scene_villains},
              {"crashes", scene_crashes},
              {"network cut", scene_network_cut},
              {"fallbacks", scene_fallbacks},
              {"storm", scene_storm},
              {"sick", scene_sick},
              {"lanes", scene_lanes},
              {"flood", scene_flood},
              {"warm-up", scene_warm_up},
              {"liar", scene_liar},
              {"routes", scene_routes},
              {"quotas", scene_quotas},
              {"deadlines", scene_deadlines},
              {"sizes", scene_sizes},
              {"forecast", scene_forecast},
              {"forecast small", scene_forecast_small}};
#define BY_SEED (countof(scenes) - 2) /* the last ones by their names only: they are long */

static size_t find_scene(const char *name)
{
    for (size_t i = 0; i < countof(scenes); i++)
        if (!strcmp(scenes[i].name, name))
            return i;
    return countof(scenes);
}

bool scenario_make(uint64_t seed, const char *scene)
{
    size_t kind = scene ? find_scene(scene) : seed % BY_SEED;
    if (kind == countof(scenes))
        return false;
    W->seed = seed;
    W->trace_hash = UINT64_C(0xCBF29CE484222325);
    rand_seed(&W->rand, seed);
    W->boot_us = world_between(10, 5000) * SECOND_US;
    W->wall_offset_us = (INT64_C(1790000000) + world_between(0, 86400)) * SECOND_US;
    W->boots = 1;
    W->end_us = 2 * HOUR_US;
    snprintf(W->scenario, sizeof W->scenario, "%s", scenes[kind].name);
    scenes[kind].make();
    W->singles_first = W->n_people;
    W->n_people += W->n_singles;
    return true;
}
