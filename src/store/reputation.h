/* Reputation as the database keeps it: the user's rules, standings, what rules did or want to do,
 * and signals from elsewhere. Numbers of actions and stages are fleet/reputation.h's. Writers call
 * within a transaction of theirs. */
#ifndef STORE_REPUTATION_H
#define STORE_REPUTATION_H

#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

struct reputation_rule_row {
    char name[65];
    char condition[400];
    bool enabled, by_provider, approval;
    int64_t window_ms, duration_ms, cooldown_ms;
    uint64_t volume;
    int action;
    double weight;
};
/* Those of the user; the caller frees *out. */
bool reputation_rules(struct db *db, struct reputation_rule_row **out, size_t *n_out,
                      struct err *e) MUST_USE;
bool reputation_rule_put(struct db *db, const struct reputation_rule_row *r,
                         struct err *e) MUST_USE;
bool reputation_rule_remove(struct db *db, const char *name, bool *was_out, struct err *e) MUST_USE;

struct reputation_row {
    uint16_t server_num;
    char provider[32];
    int stage, worst;
    double weight;
    int64_t since, until;
    uint32_t times;
    char reason[300];
};
bool reputation_standings(struct db *db, struct reputation_row **out, size_t *n_out,
                          struct err *e) MUST_USE;
/* stage 0 removes it. */
bool reputation_standing_put(struct db *db, const struct reputation_row *r, struct err *e) MUST_USE;

struct reputation_deed {
    uint64_t id;
    int64_t at;
    uint16_t server_num;
    char provider[32], rule[65], state[12];
    int action;
    char reason[300];
};
bool reputation_deed_add(struct db *db, const struct reputation_deed *d, struct err *e) MUST_USE;
bool reputation_deed_get(struct db *db, uint64_t id, struct reputation_deed *out, bool *found_out,
                         struct err *e) MUST_USE;
bool reputation_deed_settle(struct db *db, uint64_t id, const char *state, struct err *e) MUST_USE;
/* Settles all that wait for the user's word about a server. */
bool reputation_deeds_dismiss(struct db *db, uint16_t server_num, struct err *e) MUST_USE;
/* When this rule last did or wanted something there; 0: never. */
bool reputation_last_at(struct db *db, uint16_t server_num, const char *provider, const char *rule,
                        int64_t *out, struct err *e) MUST_USE;
/* The youngest first, at most limit. */
bool reputation_deeds(struct db *db, size_t limit, struct reputation_deed **out, size_t *n_out,
                      struct err *e) MUST_USE;

/* value 0 takes it back; the same again counts as one more time. */
bool reputation_signal_put(struct db *db, uint16_t server_num, const char *kind, const char *source,
                           double value, int64_t at, struct err *e) MUST_USE;
bool reputation_signals(struct db *db,
                        void (*each)(void *arg, uint16_t server_num, struct str kind,
                                     uint32_t times),
                        void *arg, struct err *e) MUST_USE;
/* Servers in groups with the weight they have there (1 each in a round robin), group by group. */
bool reputation_places(struct db *db,
                       void (*each)(void *arg, uint32_t group_num, uint16_t server_num,
                                    double weight),
                       void *arg, struct err *e) MUST_USE;

#endif
