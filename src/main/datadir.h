/* The data directory: making one, recognising one, and the lock that keeps a second daemon out.
 * Knows files, not processes. */
#ifndef MAIN_DATADIR_H
#define MAIN_DATADIR_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

#define DATADIR_LOCK     "lock"
#define DATADIR_DATABASE "postfleet.db"

enum datadir_kind {
    DATADIR_MISSING,
    DATADIR_EMPTY,   /* nothing but what may be put there before the first start */
    DATADIR_OURS,    /* has our database */
    DATADIR_FOREIGN, /* something else */
};

/* What lies at dir. ERR_FAILED when it cannot be looked at (no folder, no right). */
bool datadir_look(const char *dir, enum datadir_kind *out, struct err *e) MUST_USE;
/* Makes a missing or empty one ours: folder 0700, key file, database, group `default`; brings an
 * older database of ours to this version. Foreign: ERR_REFUSED. *made_out: it was not there. The
 * caller holds the lock when the directory is one that a daemon may run on. */
bool datadir_prepare(const char *dir, bool *made_out, struct err *e) MUST_USE;
/* Takes DIR/lock for this process and writes its id; waits wait_ms for a dying daemon's children.
 * *fd_out is inherited by children on purpose: the lock lasts until the last of them is gone.
 * ERR_CONFLICT: another daemon runs. */
bool datadir_lock(const char *dir, int wait_ms, int *fd_out, struct err *e) MUST_USE;
/* Does the process that wrote DIR/lock live? It is a daemon, perhaps one that only starts. The lock
 * itself is not touched. dir_fd: the folder's descriptor, O_PATH will do. */
bool datadir_is_held(int dir_fd);
/* Opens the database of an existing data directory; ERR_NOT_FOUND when there is none. */
bool datadir_open(const char *dir, enum db_mode mode, struct db **out, struct err *e) MUST_USE;
/* "DIR/name", malloc'd. */
char *datadir_path(const char *dir, const char *name) MUST_USE;

#endif
