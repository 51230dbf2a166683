/* Scenes of servers: shares and turns, limits of their own, villains, crashes, a cut network,
 * fallbacks, a sick one, lanes, a warm-up, a liar, and all at once. */
#include "scenario.h"

#include <stdio.h>

/* Healthy servers without limits: the shares are the weights. */
void scene_shares(void)
{
    bool saturated = world_chance(300);
    struct vgroup *g = scene_add_group("main", "weighted");
    g->elastic = g->sticky = false;
    uint32_t n = (uint32_t)world_between(2, 5);
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = scene_add_server();
        s->max_messages = 0;
        s->pause_us = 0;
        s->max_connections = saturated ? 2 : 8;
        s->half_rtt_us = saturated ? 10000 : s->half_rtt_us;
        scene_join(g, s, (uint32_t)world_between(1, 10), 1);
    }
    scene_add_campaign(0, (uint32_t)world_between(600, 1500), SECOND_US);
    W->expects = EXPECT_DONE | EXPECT_SHARES;
}

void scene_round_robin(void)
{
    struct vgroup *g = scene_add_group("main", "round-robin");
    g->elastic = g->sticky = false;
    uint32_t n = (uint32_t)world_between(2, 8);
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = scene_add_server();
        s->half_rtt_us = MIN(s->half_rtt_us, 10000); /* a busy one keeps its turn for 250 ms */
        s->pause_us = 0;
        scene_join(g, s, (uint32_t)world_between(1, 9), 1);
    }
    scene_add_campaign(0, (uint32_t)world_between(100, 900), SECOND_US);
    W->expects = EXPECT_DONE | EXPECT_ROUND;
}

void scene_limits(void)
{
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    uint32_t n = (uint32_t)world_between(1, 4);
    g->spill = world_chance(300);
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = scene_add_server();
        scene_limit_server(s);
        scene_join_any(g, s);
    }
    scene_add_campaign(0, (uint32_t)world_between(50, 800), SECOND_US);
    scene_add_singles((uint32_t)world_between(0, 50), world_between(100, 20000) * 1000);
    if (world_chance(500))
        scene_add_jumps((uint32_t)world_between(1, 4), HOUR_US);
    if (world_chance(600))
        scene_add_crashes((uint32_t)world_between(1, 4), (world_chance(500) ? 1 : 20) * MINUTE_US);
}

void scene_villains(void)
{
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    uint32_t good = (uint32_t)world_between(1, 3), bad = (uint32_t)world_between(1, 4);
    for (uint32_t i = 0; i < good; i++)
        scene_join_any(g, scene_add_server());
    for (uint32_t i = 0; i < bad; i++) {
        struct vserver *s = scene_add_server();
        scene_misbehave(s);
        if (world_chance(300))
            scene_misbehave(s);
        scene_join_any(g, s);
    }
    scene_add_campaign(0, (uint32_t)world_between(100, 900), SECOND_US);
    scene_add_singles((uint32_t)world_between(0, 60), world_between(50, 5000) * 1000);
    W->end_us = 5 * HOUR_US;
    W->expects = EXPECT_DONE;
}

void scene_crashes(void)
{
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    uint32_t n = (uint32_t)world_between(1, 4);
    for (uint32_t i = 0; i < n; i++)
        scene_join_any(g, scene_add_server());
    scene_add_campaign(0, (uint32_t)world_between(300, 1500), SECOND_US);
    scene_add_campaign(0, (uint32_t)world_between(50, 200), world_between(0, 20) * SECOND_US);
    scene_add_singles((uint32_t)world_between(10, 80), world_between(10, 500) * 1000);
    scene_add_crashes((uint32_t)world_between(1, 8), world_between(5, 40) * SECOND_US);
    W->expects = EXPECT_DONE;
}

void scene_network_cut(void)
{
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    uint32_t n = (uint32_t)world_between(2, 5);
    for (uint32_t i = 0; i < n; i++)
        scene_join_any(g, scene_add_server());
    scene_add_campaign(0, (uint32_t)world_between(300, 1500), SECOND_US);
    scene_add_singles(40, SECOND_US);
    scene_add_fault(FAULT_CUT, world_between(1, 8) * SECOND_US, world_between(1, 90) * SECOND_US);
    if (world_chance(300))
        scene_add_crashes(1, 60 * SECOND_US);
    W->end_us = 4 * HOUR_US;
}

/* Three groups in a row; the first, and sometimes the second, goes away for a while. */
void scene_fallbacks(void)
{
    static const char *const names[] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++) {
        struct vgroup *g = scene_add_group(names[i], scene_any_strategy());
        g->fallback = i < 2 ? i + 1 : -1;
        uint32_t n = (uint32_t)world_between(1, 2);
        enum verb away = world_chance(500) ? VERB_REFUSE : VERB_BUSY;
        for (uint32_t k = 0; k < n; k++) {
            struct vserver *s = scene_add_server();
            if (i == 0 || (i == 1 && W->seed % 2))
                scene_behave(s, away, world_between(0, 4) * SECOND_US, 300 * SECOND_US, 0, 0);
            scene_join_any(g, s);
        }
    }
    scene_add_campaign(0, (uint32_t)world_between(100, 700), SECOND_US);
    scene_add_singles(30, SECOND_US);
    W->expects = EXPECT_DONE | EXPECT_FALLBACK;
}

/* One of three goes sick under a steady load and is cured. */
void scene_sick(void)
{
    static const enum verb ways[] = {VERB_REFUSE,  VERB_BUSY,   VERB_TLS,
                                     VERB_GARBAGE, VERB_VANISH, VERB_DROP_EARLY};
    struct vgroup *g = scene_add_group("main", world_chance(500) ? "round-robin" : "weighted");
    g->sticky = false;
    enum verb way = ways[world_below(countof(ways))];
    for (int i = 0; i < 3; i++) {
        struct vserver *s = scene_add_server();
        s->per_second = 2;
        s->max_connections = 3;
        s->max_messages = 4; /* what shows in new connections only shows soon */
        s->pause_us = 0;
        s->starttls |= way == VERB_TLS;
        scene_join(g, s, 1, 1);
    }
    W->sick_from_us = world_between(15, 30) * SECOND_US;
    W->sick_to_us = W->sick_from_us + world_between(30, 100) * SECOND_US;
    W->quiet_us = way == VERB_VANISH ? 45 * SECOND_US : 15 * SECOND_US;
    /* A dot into a black hole is waited for ten minutes, and its server gets nothing meanwhile. */
    W->back_us = way == VERB_VANISH ? 850 * SECOND_US : 400 * SECOND_US;
    scene_behave(&W->servers[0], way, W->sick_from_us, W->sick_to_us, 0, 0);
    scene_add_campaign(0, way == VERB_VANISH ? 4500 : 2900, SECOND_US);
    W->expects = EXPECT_DONE | EXPECT_SICK;
}

/* Bulk saturates two servers; transactional mail comes between. */
void scene_lanes(void)
{
    struct vgroup *g = scene_add_group("main", scene_any_strategy());
    for (int i = 0; i < 2; i++) {
        struct vserver *s = scene_add_server();
        s->half_rtt_us = world_between(100, 2000);
        s->think_us = world_between(100, 2000);
        s->max_connections = (uint32_t)world_between(2, 5);
        s->max_messages = 0;
        s->pause_us = 0;
        scene_join_any(g, s);
    }
    scene_add_campaign(0, 4000, SECOND_US);
    scene_add_singles(30, 30000);
    W->singles_from_us = 1500000;
    W->expects = EXPECT_DONE | EXPECT_QUICK;
}

/* More transactional mail than the servers' pace: bulk keeps its floor. */
void scene_flood(void)
{
    struct vgroup *g = scene_add_group("main", "weighted");
    for (int i = 0; i < 2; i++) {
        struct vserver *s = scene_add_server();
        s->half_rtt_us = world_between(100, 2000);
        s->max_connections = (uint32_t)world_between(2, 5);
        s->per_second = 10;
        s->max_messages = 0;
        s->pause_us = 0;
        scene_join_any(g, s);
    }
    scene_add_campaign(0, 800, SECOND_US);
    scene_add_singles(1200, 1);
    W->expects = EXPECT_DONE | EXPECT_FLOOR;
}

/* A server in its first days beside a grown one; midnight comes within the hour. */
void scene_warm_up(void)
{
    struct vgroup *g = scene_add_group("main", world_chance(500) ? "round-robin" : "weighted");
    int64_t midnight = world_between(10, 50) * MINUTE_US;
    for (int i = 0; i < 2; i++) {
        struct vserver *s = scene_add_server();
        s->pause_us = 0;
        scene_join(g, s, 1, 1);
    }
    g->sticky = false;
    snprintf(W->servers[0].curve, sizeof W->servers[0].curve, "20,40,80");
    if (world_chance(500))
        snprintf(W->servers[0].gmail_curve, sizeof W->servers[0].gmail_curve, "3,6,12");
    W->wall_offset_us = INT64_C(20800) * 24 * HOUR_US - midnight - W->boot_us;
    scene_add_campaign(0, (uint32_t)world_between(100, 300), SECOND_US);
    scene_add_campaign(0, (uint32_t)world_between(100, 300),
                       midnight + world_between(-20, 300) * SECOND_US);
    scene_add_singles(30, world_between(1, 100) * SECOND_US);
    scene_add_crashes((uint32_t)world_between(0, 3), 70 * MINUTE_US);
    for (uint32_t i = 0; i < W->n_faults; i++)
        W->faults[i].kind = FAULT_CRASH;
    W->expects = EXPECT_DONE | EXPECT_WARM;
}

/* A relay that says of every recipient that there is none, or none at present, beside two good
 * ones.
 */
void scene_liar(void)
{
    struct vgroup *g = scene_add_group("main", world_chance(500) ? "round-robin" : "weighted");
    for (int i = 0; i < 3; i++) {
        struct vserver *s = scene_add_server();
        s->pause_us = 0;
        scene_join(g, s, 1, 1);
    }
    g->sticky = false;
    scene_behave(&W->servers[0], VERB_RCPT, 0, 6 * HOUR_US, 0, world_chance(500) ? 550 : 451);
    scene_add_campaign(0, (uint32_t)world_between(600, 1200), SECOND_US);
    W->end_us = 3 * HOUR_US;
    W->expects = EXPECT_DONE | EXPECT_TOLD;
}

/* All at once. */
void scene_storm(void)
{
    uint32_t n = (uint32_t)world_between(3, 8);
    struct vgroup *g = scene_add_group("main", scene_any_strategy()),
                  *h = scene_add_group("other", scene_any_strategy());
    g->fallback = world_chance(500) ? 1 : -1;
    g->spill = world_chance(500);
    g->rotate = world_chance(200) ? 1 : 0;
    for (uint32_t i = 0; i < n; i++) {
        struct vserver *s = scene_add_server();
        if (world_chance(500))
            scene_misbehave(s);
        if (world_chance(300))
            scene_limit_server(s);
        if (i == 0 || world_chance(600))
            scene_join_any(g, s);
        if (i == 1 || world_chance(500))
            scene_join_any(h, s);
    }
    scene_add_campaign(0, (uint32_t)world_between(100, 600), SECOND_US);
    scene_add_campaign(1, (uint32_t)world_between(100, 600), world_between(0, 60) * SECOND_US);
    scene_add_singles((uint32_t)world_between(10, 100), world_between(10, 2000) * 1000);
    scene_add_crashes((uint32_t)world_between(0, 5), 2 * MINUTE_US);
    scene_add_jumps((uint32_t)world_between(0, 3), HOUR_US);
    if (world_chance(400))
        scene_add_fault(FAULT_CUT, world_between(1, 60) * SECOND_US,
                        world_between(1, 60) * SECOND_US);
    W->end_us = 3 * HOUR_US;
}
