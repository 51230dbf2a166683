/* Mailbox providers: who receives for a recipient domain ("gmail", "outlook" ...), by a table from
 * rules/providers.yaml. Used for every message: one hash look-up, no allocation. Knows no DNS: for
 * a company's own domain hosted at a provider, engine/mailboxes asks for the MX and tells it. */
#ifndef FEEDBACK_PROVIDER_H
#define FEEDBACK_PROVIDER_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

struct providers;

enum { PROVIDER_OTHER = 0, PROVIDERS_MAX = 4096 };

/* Section `providers:`, each with `id`, `domains` (blank-separated or a list) `suffixes` (these
 * and all below) and `mx` (suffixes of mail exchangers). Errors name the line. A domain in two
 * providers is an error. */
bool providers_compile(struct str data, struct providers **out, struct err *e) MUST_USE;
const struct providers *providers_builtin(void);
void providers_free(struct providers **p);

/* Number of the provider, 1 up to providers_count; PROVIDER_OTHER: not in the table. The domain is
 * compared without regard to ASCII case; a dot at its end is ignored. */
unsigned provider_of_domain(const struct providers *p, struct str domain);
/* The same by the name of a mail exchanger: `mx` suffixes of the table. */
unsigned provider_of_mx(const struct providers *p, struct str host);
/* "other" for PROVIDER_OTHER. Lives as long as the table. */
const char *provider_name(const struct providers *p, unsigned number);
/* PROVIDER_OTHER when there is none of that name. */
unsigned provider_by_name(const struct providers *p, struct str name);
/* True: one of that name is in the table, or it is "other". */
bool provider_known(const struct providers *p, struct str name);
size_t providers_count(const struct providers *p);

#endif
