/* Bodies too large for a row: a file each, named by message id, in two levels of folders. A body
 * is written and synced, with its folders, before the row that names it is; a file without a row is
 * an orphan that the janitor sweeps. Never writes over a body. */
#ifndef STORE_SPOOL_H
#define STORE_SPOOL_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

#define SPOOL_FROM 65536u      /* bodies above this many bytes go here */
#define SPOOL_MAX  (64u << 20) /* bytes of a body */

/* dir: DATA/spool, made (0700) when missing. Durable when it returns true. ERR_CONFLICT: the id has
 * a body; ERR_FULL; ERR_TOO_BIG. A failed sync ends the process. */
bool spool_write(const char *dir, uint64_t id, struct str body, struct err *e) MUST_USE;

struct spool_body {
    struct str bytes; /* read-only memory, as long as it is open */
    void *map;        /* internal */
};
/* ERR_NOT_FOUND when there is none. */
bool spool_open(const char *dir, uint64_t id, struct spool_body *out, struct err *e) MUST_USE;
void spool_close(struct spool_body *b);
/* Absent is fine. */
bool spool_remove(const char *dir, uint64_t id, struct err *e) MUST_USE;
/* Asks for every body, one that is half-written included (by a crash, or right now), whether to
 * keep it, and removes it when not. *removed_out counts. */
bool spool_sweep(const char *dir, bool (*keep)(void *arg, uint64_t id), void *arg,
                 size_t *removed_out, struct err *e) MUST_USE;

#endif
