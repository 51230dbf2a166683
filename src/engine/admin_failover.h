/* Private to engine/admin_failover*.c: a matrix from arguments, and as JSON. */
#ifndef ENGINE_ADMIN_FAILOVER_H
#define ENGINE_ADMIN_FAILOVER_H

#include "engine/admin_parts.h"
#include "fleet/policy.h"
#include "model/server.h"

/* The matrix that the fields of args describe (what is not there is default), checked and compiled.
 * The caller frees both outs. */
bool failover_of_args(struct admin_context *c, json_t *args, const struct group *g,
                      struct failover **out, struct policy **policy_out, struct err *e) MUST_USE;
/* {"group","is_default","rules","order", settings, "effective","defaults","warnings"}. */
bool failover_to_json(struct admin_context *c, const struct group *g, const struct failover *f,
                      const struct policy *p, json_t **out, struct err *e) MUST_USE;
/* "failover.dry_run" (admin_failover_trial.c). */
bool failover_dry_run(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e);

#endif
