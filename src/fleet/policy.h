/* A group's failure matrix, compiled: which rule of the user takes an answer, and what it makes of
 * the step. Without a rule and without settings every step is that of fleet/retry. Pure; called by
 * fleet/retry (the engine's steps), by the dry run and by `failover show`.
 *
 * No matrix reaches an accepted or an uncertain message: those two verdicts are never asked. */
#ifndef FLEET_POLICY_H
#define FLEET_POLICY_H

#include "base/err.h"
#include "fleet/retry.h"
#include "model/failover.h"

#define POLICY_TESTS_MAX 16
#define POLICY_TEXT_MAX  200
#define POLICY_LOOK_MAX  1000 /* bytes of a reply that a text is looked for in: what is stored */
#define POLICY_ANY       0xFFFF

struct policy_codes {
    uint16_t lo, hi;
};

struct policy_enhanced {
    uint16_t part[3]; /* POLICY_ANY: any */
};

struct policy_rule {   /* all that is given must hold */
    uint32_t verdicts; /* bits by enum verdict; 0: any */
    uint32_t phases;   /* bits by enum phase; 0: any */
    struct policy_codes codes[POLICY_TESTS_MAX];
    struct policy_enhanced enhanced[POLICY_TESTS_MAX];
    uint8_t n_codes, n_enhanced;
    char text[POLICY_TEXT_MAX + 1]; /* "": any; folded: see policy_fold */
    enum failover_action action;
};

struct policy {
    struct policy_rule *rules;
    size_t n_rules;
    uint16_t *order;
    uint32_t n_order;
    uint32_t tries_per_round, tries, rounds;
    int64_t deadline_ms, first_delay_ms, max_delay_ms;
};

/* ---- rules as text (policy_text.c) */

/* "552,4xx rcpt 'try another' -> next_server"; the grammar stands in doc/DISPATCH.md. */
bool policy_rule_parse(struct str text, struct policy_rule *out, struct err *e) MUST_USE;
/* Adds one condition (verdict, code, enhanced, phase, text; a comma-separated list) or sets the
 * action. */
bool policy_rule_set(struct policy_rule *r, struct str field, struct str value,
                     struct err *e) MUST_USE;
/* Has it a condition and an action, and may it be? */
bool policy_rule_check(const struct policy_rule *r, struct err *e) MUST_USE;
/* The rule as policy_rule_parse reads it, always in the same form. */
void policy_rule_format(const struct policy_rule *r, char out[FAILOVER_RULE_MAX]);
/* Lower-case ASCII, every run of blanks and line breaks one blank, at most size - 1 bytes. */
void policy_fold(struct str text, char *out, size_t size);

/* ---- the matrix */

/* Errors name the rule by its number, 1 first. */
bool policy_compile(const struct failover *f, struct policy **out, struct err *e) MUST_USE;
void policy_free(struct policy **p);
/* What is allowed but likely to hurt; calls `each` with a sentence for the user. */
void policy_warn(const struct policy *p, void (*each)(void *arg, const char *text), void *arg);

/* Changes *step, which is the default's, as the matrix says: first rule, then tries and rounds. */
void policy_apply(const struct retry_ask *a, int64_t now_ms, struct step *step);
/* The first rule that takes this answer, 1 first; 0: none does. */
uint32_t policy_find(const struct policy *p, const struct retry_ask *a);
/* A step in the words of the actions; "sent" and "uncertain" for what no rule reaches. */
const char *policy_step_name(const struct step *step);
/* "failover rule 3 of group eu: next_server", or "" when the default decided. */
void policy_why(const struct step *step, const char *group, char *out, size_t size);

#endif
