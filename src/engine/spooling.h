/* Bodies that are too big for a row (SPOOL_FROM): named by the ledger, then written and synced on
 * threads of their own, several at a time, before their rows are; so that the ledger never waits
 * for a file. Whose rows are not written in the end leaves a file that the sweep takes away.
 * Reactor. */
#ifndef ENGINE_SPOOLING_H
#define ENGINE_SPOOLING_H

#include "engine/compose.h"

struct core;

/* failed: NULL, or why none of them may be stored. */
typedef void spooled_fn(void *owner, const struct err *failed);

bool spooling_is_needed(const struct composed *m);
/* Those of `mails` that need it; done is called later, and the mails must live until then. At a
 * daemon's end it may be called no more. */
void spooling_start(struct core *c, struct composed *mails, size_t n, int64_t wall_ms,
                    spooled_fn *done, void *owner);

#endif
