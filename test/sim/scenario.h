/* What scenes are made of, see scenario.c. All of them draw from the world's randomness and write
 * the world's plan. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "world.h"

struct vserver *scene_add_server(void); /* well, with what servers differ in drawn */
struct vgroup *scene_add_group(const char *name, const char *strategy);
const char *scene_any_strategy(void);
void scene_join(struct vgroup *g, const struct vserver *s, uint32_t weight, uint32_t tier);
void scene_join_any(struct vgroup *g, const struct vserver *s);
struct vcampaign *scene_add_campaign(uint32_t group, uint32_t n, int64_t start_us);
void scene_add_singles(uint32_t n, int64_t every_us);
void scene_behave(struct vserver *s, enum verb v, int64_t from_us, int64_t to_us, uint32_t share,
                  uint32_t n);
void scene_misbehave(struct vserver *s);    /* any way */
void scene_limit_server(struct vserver *s); /* any limits */
struct fault_plan *scene_add_fault(enum fault_kind kind, int64_t at_us, int64_t for_us);
void scene_add_crashes(uint32_t n, int64_t span_us);
void scene_add_jumps(uint32_t n, int64_t span_us);

/* scene_basic.c */
void scene_shares(void);
void scene_round_robin(void);
void scene_limits(void);
void scene_villains(void);
void scene_crashes(void);
void scene_network_cut(void);
void scene_fallbacks(void);
void scene_storm(void);
void scene_sick(void);
void scene_lanes(void);
void scene_flood(void);
void scene_warm_up(void);
void scene_liar(void);

/* scene_rules.c */
void scene_routes(void);
void scene_quotas(void);
void scene_deadlines(void);
void scene_sizes(void);
void scene_forecast(void);
void scene_forecast_small(void);

#endif
