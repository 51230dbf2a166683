/* Mailbox providers: who receives for a recipient domain ("gmail", "outlook" ...), by a table from
 * rules/providers.yaml. Used for every message: one hash look-up, no allocation. Knows no DNS: a
 * company's own domain hosted at a provider is "other" here. */
#ifndef FEEDBACK_PROVIDER_H
#define FEEDBACK_PROVIDER_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

struct providers;

enum { PROVIDER_OTHER = 0, PROVIDERS_MAX = 4096 };

/* Section `providers:`, each with `id`, `domains` (blank-separated or a list) and `suffixes` (these
 * and all below). Errors name the line. A domain in two providers is an error. */
bool providers_compile(struct str data, struct providers **out, struct err *e) MUST_USE;
const struct providers *providers_builtin(void);
void providers_free(struct providers **p);

/* Number of the provider, 1 up to providers_count; PROVIDER_OTHER: not in the table. The domain is
 * compared without regard to ASCII case; a dot at its end is ignored. */
unsigned provider_of_domain(const struct providers *p, struct str domain);
/* "other" for PROVIDER_OTHER. Lives as long as the table. */
const char *provider_name(const struct providers *p, unsigned number);
/* PROVIDER_OTHER when there is none of that name. */
unsigned provider_by_name(const struct providers *p, struct str name);
size_t providers_count(const struct providers *p);

#endif
