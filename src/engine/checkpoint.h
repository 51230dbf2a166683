/* The thread that moves the write-ahead log into the database file, so that the ledger never waits
 * for it. Has a handle of its own; a checkpoint here never blocks a writer. */
#ifndef ENGINE_CHECKPOINT_H
#define ENGINE_CHECKPOINT_H

#include "base/err.h"

struct checkpoint;

/* path: the database file. Looks at the log four times a second, acts from 4 MB on. */
bool checkpoint_start(const char *path, struct checkpoint **out, struct err *e) MUST_USE;
void checkpoint_stop(struct checkpoint **c); /* NULL is fine */

#endif
