/* Templates that messages of the API name, compiled and kept in memory; counted, because desks hold
 * them while they render. Reactor's, but for what is counted. */
#ifndef ENGINE_DRAFTS_H
#define ENGINE_DRAFTS_H

#include "base/base.h"

struct core;
struct draft;
struct drafts;
struct kept_draft;

#define DRAFTS_AT_ONCE 16 /* different templates of a request */

struct err;
/* failed: NULL, or why nothing could be read. */
typedef void drafts_ready(void *arg, const struct err *failed);

/* Fills out[i] for each name: a counted template, or NULL when there is none of that name (or it
 * does not compile). Calls ready on the reactor, at once when all are in memory. names: borrowed
 * until then. */
void drafts_get(struct core *c, const char *const *names, size_t n, struct kept_draft **out,
                drafts_ready *ready, void *arg);
const struct draft *kept_draft_of(const struct kept_draft *k);
void kept_draft_drop(struct kept_draft *k); /* NULL is fine; any thread */
/* A template was changed: all are read again when they are asked for. */
void drafts_forget(struct core *c);

#endif
