/* A dry run of an import of contacts: what would become of a row, without asking core to write.
 * Remembers the addresses it has seen by a 64-bit hash. */
#ifndef API_TRIAL_H
#define API_TRIAL_H

#include "base/base.h"
#include "base/err.h"

struct db;
struct trial;

struct trial *trial_new(struct db *db, const char *policy) MUST_USE;
void trial_free(struct trial **t);
/* *verdict_out: "imported", "updated", "skipped" or "suppressed". */
bool trial_look(struct trial *t, const char *key, const char **verdict_out, struct err *e) MUST_USE;

#endif
