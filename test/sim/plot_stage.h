/* What the scenes of the plots share: a fleet on a clock of milliseconds, servers, one group. A
 * server is whatever its scene makes of it; what it gets, and when, is the fleet's own decision. */
#ifndef PLOT_STAGE_H
#define PLOT_STAGE_H

#include "base/check.h"
#include "fleet/fleet.h"
#include "plot.h"

#define START_MS INT64_C(1764547200000) /* a midnight, UTC */
#define SECOND   INT64_C(1000)
#define HOUR     (3600 * SECOND)
#define DAY      (24 * HOUR)
#define SERVERS  3

struct stage {
    struct fleet *f;
    int64_t now;
    struct server *servers[SERVERS + 1];
    enum oper_state state[SERVERS + 1];
    double open_s[8]; /* how long it stays open, each time */
    uint32_t n_open;
};

void stage_open(struct stage *s);
void stage_close(struct stage *s);
/* Its settings, owned by the stage; they act with stage_apply. */
struct server *stage_server(struct stage *s, uint16_t num);
void stage_apply(struct stage *s, uint16_t num);
/* Group 1 of servers 1 to n; weights NULL: all 1. */
void stage_group(struct stage *s, enum strategy strategy, enum shares shares, uint16_t n,
                 const uint32_t *weights);
/* Asks for one message; tried: a server that refused it, or 0. */
struct pick stage_ask(struct stage *s, enum lane lane, uint16_t tried);
/* A picked message is accepted, or refused at the greeting. */
void stage_end(struct stage *s, const struct hold *h, bool ok);
void stage_end_after(struct stage *s, const struct hold *h, bool ok, int64_t latency_ms);

/* The scenes, each in the file of its kind. */
void scene_turns(struct plot *p);
void scene_shares(struct plot *p);
void scene_breaker(struct plot *p);
void scene_exact(struct plot *p);
void scene_lanes(struct plot *p);
void scene_spread(struct plot *p);
void scene_warmup(struct plot *p);

#endif
