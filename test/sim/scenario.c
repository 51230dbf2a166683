/* A seed becomes a fleet, a load and faults. The seed's rest by the number of kinds chooses the
 * kind of scenario, so that N seeds hold each about equally often; all else is drawn inside it. */
#include "world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;

/* ---- parts */

static struct vserver *add_server(void)
{
    struct vserver *s = &w->servers[w->n_servers];
    s->port = (uint16_t)(PORT_FIRST + w->n_servers);
    snprintf(s->name, sizeof s->name, "s%u", ++w->n_servers);
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

static struct vgroup *add_group(const char *name, const char *strategy)
{
    struct vgroup *g = &w->groups[w->n_groups++];
    snprintf(g->name, sizeof g->name, "%s", name);
    snprintf(g->strategy, sizeof g->strategy, "%s", strategy);
    g->fallback = -1;
    g->elastic = world_chance(200);
    g->sticky = world_chance(100);
    return g;
}

static const char *any_strategy(void)
{
    static const char *const names[] = {"weighted",     "round-robin", "priority",
                                        "least-loaded", "adaptive",    "cheapest"};
    return names[world_below(countof(names))];
}

static void join(struct vgroup *g, const struct vserver *s, uint32_t weight, uint32_t tier)
{
    g->servers[g->n_servers] = (uint32_t)(s - w->servers);
    g->weights[g->n_servers] = weight;
    g->tiers[g->n_servers++] = tier;
}

static void join_any(struct vgroup *g, const struct vserver *s)
{
    join(g, s, (uint32_t)world_between(1, 20), (uint32_t)world_between(1, 3));
}

static void add_campaign(uint32_t group, uint32_t n, int64_t start_us)
{
    struct vcampaign *c = &w->campaigns[w->n_campaigns];
    snprintf(c->name, sizeof c->name, "c%u", ++w->n_campaigns);
    c->group = group;
    c->first = w->n_people;
    c->n = n;
    c->start_us = start_us;
    c->is_priority = world_chance(200);
    w->n_people += n;
}

static void add_singles(uint32_t n, int64_t every_us)
{
    w->n_singles = n;
    w->singles_from_us = SECOND_US;
    w->singles_every_us = every_us;
}

static void behave(struct vserver *s, enum verb v, int64_t from_us, int64_t to_us, uint32_t share,
                   uint32_t n)
{
    if (s->n_behaviours < BEHAVIOURS_MAX)
        s->behaviours[s->n_behaviours++] = (struct behaviour){v, from_us, to_us, share, n};
}

/* One of the villains, for some time within the first 20 minutes. */
static void misbehave(struct vserver *s)
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
        {VERB_PER_CONN, 0, 1, 10},   {VERB_DROP_DOT, 1000, 0, 0}};
    size_t i = world_below(countof(ways));
    int64_t from = world_chance(500) ? 0 : world_between(0, 60 * SECOND_US);
    int64_t to = from + world_between(5, 1200) * SECOND_US;
    behave(s, ways[i].verb, from, to, ways[i].share,
           (uint32_t)world_between(ways[i].low, ways[i].high));
}

static void limit(struct vserver *s)
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
        s->calendar = world_chance(500);
        s->spread = world_chance(300);
    }
}

static struct fault_plan *add_fault(enum fault_kind kind, int64_t at_us, int64_t for_us)
{
    struct fault_plan *f = &w->faults[w->n_faults++];
    *f = (struct fault_plan){.kind = kind, .at_us = at_us, .for_us = for_us};
    return f;
}

static void add_crashes(uint32_t n, int64_t span_us)
{
    for (uint32_t i = 0; i < n; i++) {
        enum fault_kind kind = world_chance(150)   ? FAULT_REBOOT
                               : world_chance(150) ? FAULT_STOP
                                                   : FAULT_CRASH;
        struct fault_plan *f =
            add_fault(kind, world_between(SECOND_US, span_us), world_between(10000, 5 * SECOND_US));
        f->steps = (uint32_t)world_between(1, 3000);
    }
}

static void add_jumps(uint32_t n, int64_t span_us)
{
    for (uint32_t i = 0; i < n; i++)
        add_fault(FAULT_WALL, world_between(0, span_us), world_between(-3700, 3700) * SECOND_US);
}

/* ---- kinds */

/* Healthy servers without limits: the shares are the weights. */
static void shares(void)
{
    bool saturated = world_chance(300);
    struct vgroup *g = add_group("main", "weighted");
    g->elastic = g->sticky = false;
    uint32_t n = (uint32_t)world_between(2, 5);
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = add_server();
        s->max_messages = 0;
        s->pause_us = 0;
        s->max_connections = saturated ? 2 : 8;
        s->half_rtt_us = saturated ? 10000 : s->half_rtt_us;
        join(g, s, (uint32_t)world_between(1, 10), 1);
    }
    add_campaign(0, (uint32_t)world_between(600, 1500), SECOND_US);
    w->expects = EXPECT_DONE | EXPECT_SHARES;
}

static void round_robin(void)
{
    struct vgroup *g = add_group("main", "round-robin");
    g->elastic = g->sticky = false;
    uint32_t n = (uint32_t)world_between(2, 8);
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = add_server();
        s->half_rtt_us = MIN(s->half_rtt_us, 10000); /* a busy one keeps its turn for 250 ms */
        s->pause_us = 0;
        join(g, s, (uint32_t)world_between(1, 9), 1);
    }
    add_campaign(0, (uint32_t)world_between(100, 900), SECOND_US);
    w->expects = EXPECT_DONE | EXPECT_ROUND;
}

static void limits(void)
{
    struct vgroup *g = add_group("main", any_strategy());
    uint32_t n = (uint32_t)world_between(1, 4);
    g->spill = world_chance(300);
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = add_server();
        limit(s);
        join_any(g, s);
    }
    add_campaign(0, (uint32_t)world_between(50, 800), SECOND_US);
    add_singles((uint32_t)world_between(0, 50), world_between(100, 20000) * 1000);
    if (world_chance(500))
        add_jumps((uint32_t)world_between(1, 4), HOUR_US);
    if (world_chance(600))
        add_crashes((uint32_t)world_between(1, 4), (world_chance(500) ? 1 : 20) * MINUTE_US);
}

static void villains(void)
{
    struct vgroup *g = add_group("main", any_strategy());
    uint32_t good = (uint32_t)world_between(1, 3), bad = (uint32_t)world_between(1, 4);
    for (uint32_t i = 0; i < good; i++)
        join_any(g, add_server());
    for (uint32_t i = 0; i < bad; i++) {
        struct vserver *s = add_server();
        misbehave(s);
        if (world_chance(300))
            misbehave(s);
        join_any(g, s);
    }
    add_campaign(0, (uint32_t)world_between(100, 900), SECOND_US);
    add_singles((uint32_t)world_between(0, 60), world_between(50, 5000) * 1000);
    w->end_us = 5 * HOUR_US;
    w->expects = EXPECT_DONE;
}

static void crashes(void)
{
    struct vgroup *g = add_group("main", any_strategy());
    uint32_t n = (uint32_t)world_between(1, 4);
    for (uint32_t i = 0; i < n; i++)
        join_any(g, add_server());
    add_campaign(0, (uint32_t)world_between(300, 1500), SECOND_US);
    add_campaign(0, (uint32_t)world_between(50, 200), world_between(0, 20) * SECOND_US);
    add_singles((uint32_t)world_between(10, 80), world_between(10, 500) * 1000);
    add_crashes((uint32_t)world_between(1, 8), world_between(5, 40) * SECOND_US);
    w->expects = EXPECT_DONE;
}

static void network_cut(void)
{
    struct vgroup *g = add_group("main", any_strategy());
    uint32_t n = (uint32_t)world_between(2, 5);
    for (uint32_t i = 0; i < n; i++)
        join_any(g, add_server());
    add_campaign(0, (uint32_t)world_between(300, 1500), SECOND_US);
    add_singles(40, SECOND_US);
    add_fault(FAULT_CUT, world_between(1, 8) * SECOND_US, world_between(1, 90) * SECOND_US);
    if (world_chance(300))
        add_crashes(1, 60 * SECOND_US);
    w->end_us = 4 * HOUR_US;
}

/* Three groups in a row; the first, and sometimes the second, goes away for a while. */
static void fallbacks(void)
{
    static const char *const names[] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++) {
        struct vgroup *g = add_group(names[i], any_strategy());
        g->fallback = i < 2 ? i + 1 : -1;
        uint32_t n = (uint32_t)world_between(1, 2);
        enum verb away = world_chance(500) ? VERB_REFUSE : VERB_BUSY;
        for (uint32_t k = 0; k < n; k++) {
            struct vserver *s = add_server();
            if (i == 0 || (i == 1 && w->seed % 2))
                behave(s, away, world_between(0, 4) * SECOND_US, 300 * SECOND_US, 0, 0);
            join_any(g, s);
        }
    }
    add_campaign(0, (uint32_t)world_between(100, 700), SECOND_US);
    add_singles(30, SECOND_US);
    w->expects = EXPECT_DONE | EXPECT_FALLBACK;
}

/* One of three goes sick under a steady load and is cured. */
static void sick(void)
{
    static const enum verb ways[] = {VERB_REFUSE,  VERB_BUSY,   VERB_TLS,
                                     VERB_GARBAGE, VERB_VANISH, VERB_DROP_EARLY};
    struct vgroup *g = add_group("main", world_chance(500) ? "round-robin" : "weighted");
    g->sticky = false;
    enum verb way = ways[world_below(countof(ways))];
    for (int i = 0; i < 3; i++) {
        struct vserver *s = add_server();
        s->per_second = 2;
        s->max_connections = 3;
        s->max_messages = 4; /* what shows in new connections only shows soon */
        s->pause_us = 0;
        s->starttls |= way == VERB_TLS;
        join(g, s, 1, 1);
    }
    w->sick_from_us = world_between(15, 30) * SECOND_US;
    w->sick_to_us = w->sick_from_us + world_between(30, 100) * SECOND_US;
    w->quiet_us = way == VERB_VANISH ? 45 * SECOND_US : 15 * SECOND_US;
    /* A dot into a black hole is waited for ten minutes, and its server gets nothing meanwhile. */
    w->back_us = way == VERB_VANISH ? 850 * SECOND_US : 400 * SECOND_US;
    behave(&w->servers[0], way, w->sick_from_us, w->sick_to_us, 0, 0);
    add_campaign(0, way == VERB_VANISH ? 4500 : 2900, SECOND_US);
    w->expects = EXPECT_DONE | EXPECT_SICK;
}

/* Bulk saturates two servers; transactional mail comes between. */
static void lanes(void)
{
    struct vgroup *g = add_group("main", any_strategy());
    for (int i = 0; i < 2; i++) {
        struct vserver *s = add_server();
        s->half_rtt_us = world_between(100, 2000);
        s->think_us = world_between(100, 2000);
        s->max_connections = (uint32_t)world_between(2, 5);
        s->max_messages = 0;
        s->pause_us = 0;
        join_any(g, s);
    }
    add_campaign(0, 4000, SECOND_US);
    add_singles(30, 30000);
    w->singles_from_us = 1500000;
    w->expects = EXPECT_DONE | EXPECT_QUICK;
}

/* More transactional mail than the servers' pace: bulk keeps its floor. */
static void flood(void)
{
    struct vgroup *g = add_group("main", "weighted");
    for (int i = 0; i < 2; i++) {
        struct vserver *s = add_server();
        s->half_rtt_us = world_between(100, 2000);
        s->max_connections = (uint32_t)world_between(2, 5);
        s->per_second = 10;
        s->max_messages = 0;
        s->pause_us = 0;
        join_any(g, s);
    }
    add_campaign(0, 800, SECOND_US);
    add_singles(1200, 1);
    w->expects = EXPECT_DONE | EXPECT_FLOOR;
}

/* A server in its first days beside a grown one; midnight comes within the hour. */
static void warm_up(void)
{
    struct vgroup *g = add_group("main", world_chance(500) ? "round-robin" : "weighted");
    int64_t midnight = world_between(10, 50) * MINUTE_US;
    for (int i = 0; i < 2; i++) {
        struct vserver *s = add_server();
        s->pause_us = 0;
        join(g, s, 1, 1);
    }
    g->sticky = false;
    snprintf(w->servers[0].curve, sizeof w->servers[0].curve, "20,40,80");
    w->wall_offset_us = INT64_C(20800) * 24 * HOUR_US - midnight - w->boot_us;
    add_campaign(0, (uint32_t)world_between(100, 300), SECOND_US);
    add_campaign(0, (uint32_t)world_between(100, 300),
                 midnight + world_between(-20, 300) * SECOND_US);
    add_singles(30, world_between(1, 100) * SECOND_US);
    add_crashes((uint32_t)world_between(0, 3), 70 * MINUTE_US);
    for (uint32_t i = 0; i < w->n_faults; i++)
        w->faults[i].kind = FAULT_CRASH;
    w->expects = EXPECT_DONE | EXPECT_WARM;
}

/* A relay that says of every recipient that there is none, or none at present, beside two good
 * ones.
 */
static void liar(void)
{
    struct vgroup *g = add_group("main", world_chance(500) ? "round-robin" : "weighted");
    for (int i = 0; i < 3; i++) {
        struct vserver *s = add_server();
        s->pause_us = 0;
        join(g, s, 1, 1);
    }
    g->sticky = false;
    behave(&w->servers[0], VERB_RCPT, 0, 6 * HOUR_US, 0, world_chance(500) ? 550 : 451);
    add_campaign(0, (uint32_t)world_between(600, 1200), SECOND_US);
    w->end_us = 3 * HOUR_US;
}

/* All at once. */
static void storm(void)
{
    uint32_t n = (uint32_t)world_between(3, 8);
    struct vgroup *g = add_group("main", any_strategy()), *h = add_group("other", any_strategy());
    g->fallback = world_chance(500) ? 1 : -1;
    g->spill = world_chance(500);
    g->rotate = world_chance(200) ? 1 : 0;
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = add_server();
        if (world_chance(500))
            misbehave(s);
        if (world_chance(300))
            limit(s);
        if (i == 0 || world_chance(600))
            join_any(g, s);
        if (i == 1 || world_chance(500))
            join_any(h, s);
    }
    add_campaign(0, (uint32_t)world_between(100, 600), SECOND_US);
    add_campaign(1, (uint32_t)world_between(100, 600), world_between(0, 60) * SECOND_US);
    add_singles((uint32_t)world_between(10, 100), world_between(10, 2000) * 1000);
    add_crashes((uint32_t)world_between(0, 5), 2 * MINUTE_US);
    add_jumps((uint32_t)world_between(0, 3), HOUR_US);
    if (world_chance(400))
        add_fault(FAULT_CUT, world_between(1, 60) * SECOND_US, world_between(1, 60) * SECOND_US);
    w->end_us = 3 * HOUR_US;
}

void scenario_make(struct world *to, uint64_t seed)
{
    static const struct {
        const char *name;
        void (*make)(void);
    } kinds[] = {{"shares", shares},
                 {"round robin", round_robin},
                 {"limits", limits},
                 {"villains", villains},
                 {"crashes", crashes},
                 {"network cut", network_cut},
                 {"fallbacks", fallbacks},
                 {"storm", storm},
                 {"sick", sick},
                 {"lanes", lanes},
                 {"flood", flood},
                 {"warm-up", warm_up},
                 {"liar", liar}};
    size_t kind = seed % countof(kinds);
    w = to;
    w->seed = seed;
    w->trace_hash = UINT64_C(0xCBF29CE484222325);
    rand_seed(&w->rand, seed);
    w->boot_us = world_between(10, 5000) * SECOND_US;
    w->wall_offset_us = (INT64_C(1790000000) + world_between(0, 86400)) * SECOND_US;
    w->boots = 1;
    w->end_us = 2 * HOUR_US;
    snprintf(w->scenario, sizeof w->scenario, "%s", kinds[kind].name);
    kinds[kind].make();
    w->singles_first = w->n_people;
    w->n_people += w->n_singles;
}
