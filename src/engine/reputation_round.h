/* A round of reputation, on the ledger thread in one transaction: rules that come with Postfleet
 * and the user's are held against the hour counters and signals, standings move, and everything
 * done or wanted is written down and told as an event. */
#ifndef ENGINE_REPUTATION_ROUND_H
#define ENGINE_REPUTATION_ROUND_H

#include "fleet/reputation.h"
#include "store/ids.h"
#include "store/reputation.h"

#include <jansson.h>

struct reputation_context {
    struct db *db;
    struct ids *ids;
    int64_t now_ms; /* steady */
};

/* All rules, the built-in ones first; the caller frees *out. */
bool reputation_rules_all(struct db *db, struct reputation_rule_row **out, size_t *n_out,
                          struct err *e) MUST_USE;
bool reputation_rule_is_builtin(const char *name);
bool reputation_round(const struct reputation_context *x, struct err *e) MUST_USE;
/* Does what waited for the user's word. */
bool reputation_approve(const struct reputation_context *x, uint64_t id, struct err *e) MUST_USE;
/* Back to good standing at once, all providers too. *was_out: there was something. */
bool reputation_release(const struct reputation_context *x, uint16_t server_num, bool *was_out,
                        struct err *e) MUST_USE;
struct reputation_standing reputation_standing_of(const struct reputation_row *r);

#endif
