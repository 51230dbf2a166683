/* What a verdict or a rule means, and what to do, in a sentence for people: rules/verdicts.yaml.
 * Pure; used by engine/patterns and engine/evidence. */
#ifndef FEEDBACK_EXPLAIN_H
#define FEEDBACK_EXPLAIN_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "model/verdict.h"

struct explain;

struct explanation { /* texts live as long as the table; "" when it has none */
    const char *means, *advice;
};

/* Section `explain:`, each with `id`, `means`, `do`. Errors name the line. */
bool explain_compile(struct str data, struct explain **out, struct err *e) MUST_USE;
const struct explain *explain_builtin(void);
void explain_free(struct explain **x);
/* By the rule, then by the part of it before the dot, then by the verdict. */
struct explanation explain_find(const struct explain *x, struct str rule, enum verdict v);

#endif
