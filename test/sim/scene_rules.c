/* Scenes of rules: routes that change while mail flows, limits beside those of servers, deadlines,
 * sizes, and a campaign whose end is forecast. */
#include "scenario.h"

#include <stdio.h>

#define FORECAST_CONTACTS 120000

/* ---- routes */

static void draw_people(uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        W->people[i].country = (uint8_t)world_below(countof(sim_countries));
        W->people[i].engagement = world_chance(500) ? (uint8_t)world_below(8) : 0;
    }
}

static uint32_t draw_value(enum cond kind)
{
    static const uint8_t classes[] = {0, 1, 3, 7};
    switch (kind) {
    case COND_STREAM: return (uint32_t)world_below(countof(sim_lanes));
    case COND_TAG: return (uint32_t)world_between(1, countof(sim_tags) - 1);
    case COND_PROVIDER:
    case COND_DOMAIN: return (uint32_t)world_below(DOMAINS);
    case COND_COUNTRY: return (uint32_t)world_between(1, countof(sim_countries) - 1);
    case COND_ENGAGEMENT: return classes[world_below(countof(classes))];
    case COND_CAMPAIGN:
    case COND_LIST: return (uint32_t)world_below(W->n_campaigns);
    case COND_SIZE:
    case COND_CREDENTIAL:
    case COND_COUNT: break;
    }
    return 0;
}

static void draw_rule(void)
{
    struct vrule *r = &W->routing.rules[W->routing.n];
    snprintf(r->name, sizeof r->name, "r%u", ++W->routing.n);
    r->group = (uint32_t)world_below(W->n_groups);
    r->n_conds = world_chance(300) ? 2 : 1;
    for (uint32_t i = 0; i < r->n_conds; i++) {
        do
            r->conds[i].kind = (enum cond)world_below(COND_COUNT);
        while (i && r->conds[i].kind == r->conds[0].kind);
        r->conds[i].value = draw_value(r->conds[i].kind);
    }
}

static void draw_edits(uint32_t n, int64_t span_us)
{
    static const enum edit_kind ways[] = {EDIT_GROUP, EDIT_GROUP, EDIT_LAST, EDIT_REMOVE};
    for (uint32_t i = 0; i < n; i++) {
        struct edit *e = &W->edits[W->n_edits++];
        e->kind = ways[world_below(countof(ways))];
        e->at_us = world_between(2 * SECOND_US, span_us);
        e->group = (uint32_t)world_below(W->n_groups);
        snprintf(e->rule, sizeof e->rule, "r%u", (unsigned)world_between(1, W->routing.n));
    }
}

/* Rules of every kind over four groups that share servers; the user changes them meanwhile. */
void scene_routes(void)
{
    static const char *const names[] = {"default", "fast", "cheap", "far"};
    for (uint32_t i = 0; i < 5; i++) {
        struct vserver *s = scene_add_server();
        s->per_second = (uint64_t)world_between(2, 20); /* so that mail waits when rules change */
        if (world_chance(100))
            scene_misbehave(s);
    }
    for (uint32_t i = 0; i < countof(names); i++) {
        struct vgroup *g = scene_add_group(names[i], scene_any_strategy());
        scene_join_any(g, &W->servers[i]);
        for (uint32_t k = 0; k < W->n_servers; k++)
            if (k != i && (k == countof(names) + i || world_chance(300))) /* each is somewhere */
                scene_join_any(g, &W->servers[k]);
        g->fallback = i + 1 < countof(names) && world_chance(300) ? (int32_t)i + 1 : -1;
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct vcampaign *c =
            scene_add_campaign((uint32_t)world_below(W->n_groups), (uint32_t)world_between(30, 250),
                               world_between(1, 20) * SECOND_US);
        c->tag = (uint8_t)world_below(countof(sim_tags));
        draw_people(c->first, c->n);
    }
    W->with_key = true;
    scene_add_singles((uint32_t)world_between(30, 80), world_between(100, 1000) * 1000);
    for (uint64_t n = (uint64_t)world_between(2, RULES_MAX); n; n--)
        draw_rule();
    draw_edits((uint32_t)world_between(0, EDITS_MAX), 40 * SECOND_US);
    if (world_chance(300))
        scene_add_crashes((uint32_t)world_between(1, 3), MINUTE_US);
    W->end_us = 3 * HOUR_US;
}

/* ---- limits beside those of servers */

/* Midnights around the nights in which New York changes its clocks, as days since 1970 and hours of
 * UTC: the days are 25 and 23 hours long. */
static void near_midnight(void)
{
    static const struct {
        int64_t day, hour;
    } midnights[] = {{20758, 4}, {20759, 5}, {20891, 5}, {20892, 4}, {20700, 4}};
    size_t i = world_below(countof(midnights));
    int64_t at = (midnights[i].day * 24 + midnights[i].hour) * HOUR_US;
    W->wall_offset_us = at - world_between(2, 50) * MINUTE_US - W->boot_us;
}

static void draw_limit(bool by_zone)
{
    static const uint64_t seconds[] = {1, 3, 10}, minutes[] = {10, 50, 200},
                          hours[] = {30, 100, 300};
    struct vlimit *l = &W->limits[W->n_limits++];
    uint64_t which = world_between(1, 15);
    /* Each kind once: what a second call sets would change the first. */
    l->of = (enum limit_of)(W->n_limits - 1);
    l->num = l->of == OF_GROUP             ? (uint32_t)world_below(W->n_groups)
             : l->of == OF_CAMPAIGN        ? (uint32_t)world_below(W->n_campaigns)
             : l->of == OF_SERVER_PROVIDER ? (uint32_t)world_below(W->n_servers)
                                           : 0;
    l->domain = (uint32_t)world_below(DOMAINS);
    l->per_second = which & 1 ? seconds[world_below(countof(seconds))] : 0;
    l->per_minute = which & 2 ? minutes[world_below(countof(minutes))] : 0;
    l->per_hour = which & 4 ? hours[world_below(countof(hours))] : 0;
    l->per_day = which & 8 ? (uint64_t)world_between(20, 300) : 0;
    l->zone = by_zone ? "America/New_York" : NULL;
}

/* The wall clock is set forwards, then the machine starts anew: no hour has passed for that. */
static void jump_and_reboot(void)
{
    int64_t at = world_between(2, 20) * MINUTE_US;
    scene_add_fault(FAULT_WALL, at, world_between(600, 3600) * SECOND_US);
    scene_add_fault(FAULT_REBOOT, at + world_between(2, 600) * SECOND_US, 5 * SECOND_US);
}

void scene_quotas(void)
{
    bool by_zone = world_chance(500);
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    struct vgroup *h = scene_add_group("other", scene_any_strategy());
    g->fallback = world_chance(300) ? 1 : -1;
    g->spill = world_chance(300);
    for (uint32_t i = 0; i < 3; i++) {
        struct vserver *s = scene_add_server();
        if (by_zone && world_chance(500)) {
            s->per_day = (uint64_t)world_between(20, 200);
            s->zone = "America/New_York";
        }
        if (i < 2)
            scene_join_any(g, s);
        if (i > 0)
            scene_join_any(h, s);
    }
    W->with_key = true;
    scene_add_campaign(0, (uint32_t)world_between(100, 500), SECOND_US);
    scene_add_campaign(1, (uint32_t)world_between(100, 300), world_between(1, 60) * SECOND_US);
    scene_add_singles((uint32_t)world_between(50, 150), world_between(10, 2000) * 1000);
    for (int of = OF_GROUP; of <= OF_SERVER_PROVIDER; of++)
        draw_limit(by_zone);
    if (by_zone)
        near_midnight();
    else if (world_chance(500))
        scene_add_jumps((uint32_t)world_between(1, 4), HOUR_US);
    if (world_chance(600))
        scene_add_crashes((uint32_t)world_between(1, 4), (world_chance(500) ? 1 : 30) * MINUTE_US);
    if (!by_zone && world_chance(400))
        jump_and_reboot();
    for (uint32_t i = 0; by_zone && i < W->n_faults; i++)
        W->faults[i].kind = FAULT_CRASH;
}

/* ---- deadlines */

/* Too slow, too sick or too few: whatever is not done in time is given up. */
void scene_deadlines(void)
{
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    uint32_t n = (uint32_t)world_between(1, 3);
    int64_t last = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = scene_add_server();
        if (world_chance(500))
            s->per_minute = (uint64_t)world_between(5, 60);
        if (world_chance(500))
            scene_misbehave(s);
        scene_join_any(g, s);
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct vcampaign *c = scene_add_campaign(0, (uint32_t)world_between(50, 900),
                                                 world_between(1, 30) * SECOND_US);
        c->deadline_us = c->start_us + world_between(5, 1500) * SECOND_US;
        last = MAX(last, c->deadline_us);
    }
    scene_add_singles((uint32_t)world_between(5, 40), world_between(100, 5000) * 1000);
    W->singles_for_us = world_between(5, 900) * SECOND_US;
    last = MAX(last, W->n_singles * W->singles_every_us + W->singles_for_us);
    if (world_chance(400))
        scene_add_crashes((uint32_t)world_between(1, 3), last / 2 + SECOND_US);
    for (uint32_t i = 0; i < W->n_faults; i++)
        W->faults[i].kind = FAULT_CRASH; /* one that stops takes its time */
    W->end_us = last + 15 * MINUTE_US;   /* a dot is waited for ten minutes */
    W->expects = EXPECT_DONE | EXPECT_ENDS;
}

/* ---- sizes */

/* Large messages beside servers that take less: each goes where it fits. */
void scene_sizes(void)
{
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    W->singles_size = (uint32_t)world_between(1100000, 3000000);
    for (uint32_t i = 0; i < 3; i++) {
        struct vserver *s = scene_add_server();
        s->max_size = (uint64_t)world_between(600, 2900) * W->singles_size / 1000;
        s->chunking = false; /* short writes of megabytes: enough of them */
        scene_join_any(g, s);
    }
    W->servers[0].max_size = (uint64_t)W->singles_size * 11 / 10; /* line ends take two bytes */
    scene_add_singles((uint32_t)world_between(3, 8), world_between(100, 5000) * 1000);
    scene_add_campaign(0, 20, SECOND_US);
    W->expects = EXPECT_DONE | EXPECT_SERVED;
}

/* ---- a forecast */

/* 120,000 contacts (or a part of that, and of each quota), four servers: a warm-up, an hour's
 * quota, one that opens with the day of a zone, one spread over the day. Asked for two minutes
 * after the start. */
static void forecast(uint32_t part)
{
    char *curve = W->servers[0].curve;
    struct vgroup *g = scene_add_group("main", "weighted");
    static const uint32_t weights[] = {4, 2, 1, 1};
    g->elastic = g->sticky = false;
    for (uint32_t i = 0; i < countof(weights); i++) {
        struct vserver *s = scene_add_server();
        s->pause_us = 0;
        s->max_messages = 0;
        s->max_connections = 4;
        s->starttls = false;
        scene_join(g, s, weights[i], 1);
    }
    snprintf(curve, sizeof W->servers[0].curve, "%u,%u,%u", 10000 / part, 20000 / part,
             40000 / part);
    W->servers[1].per_hour = 5000 / part;
    W->servers[2].per_day = 15000 / part;
    W->servers[2].zone = "America/New_York";
    W->servers[3].per_minute = 20 / part;
    W->wall_offset_us = INT64_C(20800) * 24 * HOUR_US + 22 * HOUR_US - W->boot_us;
    scene_add_campaign(0, FORECAST_CONTACTS / part, SECOND_US);
    W->foreseen_at_us = 2 * MINUTE_US;
    W->end_us = INT64_C(20) * 24 * HOUR_US;
    W->expects = EXPECT_DONE | EXPECT_FORESEEN;
}

void scene_forecast(void)
{
    forecast(1);
}

void scene_forecast_small(void)
{
    forecast(10);
}
