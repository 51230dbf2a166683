/* What the user wants to happen after an answer, per group: rules in order, and how long to try.
 * Plain data as it is stored; fleet/policy compiles it. 0 means "as by default" everywhere. */
#ifndef MODEL_FAILOVER_H
#define MODEL_FAILOVER_H

#include "base/base.h"

#define FAILOVER_RULES_MAX 64
#define FAILOVER_ORDER_MAX 64
#define FAILOVER_RULE_MAX  1000 /* bytes of a rule's text */

enum failover_action {
    FAILOVER_DEFAULT = 0, /* no rule: by verdict */
    FAILOVER_RETRY_SAME,
    FAILOVER_NEXT_SERVER,
    FAILOVER_DEFER,
    FAILOVER_GIVE_UP,
    FAILOVER_SUPPRESS,
    FAILOVER_OPEN,
    FAILOVER_QUARANTINE,
    FAILOVER_ACTIONS
};

struct failover {
    uint32_t group_num;
    char **rules; /* texts like "552 -> next_server", n_rules of them, first match wins */
    size_t n_rules;
    uint16_t *order; /* server nums: asked first once a server has failed, in this order */
    size_t n_order;
    uint32_t tries_per_round; /* servers asked in a round */
    uint32_t tries;           /* attempts in all */
    uint32_t rounds;
    int64_t deadline_ms;    /* age limit, from the first attempt or the acceptance */
    int64_t first_delay_ms; /* the first pause; doubles */
    int64_t max_delay_ms;   /* the longest pause */
};

struct failover *failover_new(void) MUST_USE;
void failover_free(struct failover **f);
void failover_add_rule(struct failover *f, const char *text); /* copies */
void failover_add_server(struct failover *f, uint16_t server_num);
/* True: it says nothing at all, so every default holds. */
bool failover_is_empty(const struct failover *f);

const char *failover_action_name(enum failover_action a); /* "retry_same" ... */
bool failover_action_parse(const char *s, enum failover_action *out);

#endif
