/* A thin layer over SQLite's own file layer, one per handle: it counts syncs and bytes, ends the
 * process when a sync fails (what the disk holds is then no longer known), and lets the bench and
 * the fault tests look at, delay or refuse each write and sync. It changes nothing that is written.
 */
#ifndef STORE_VFS_H
#define STORE_VFS_H

#include "base/base.h"

struct sqlite3_vfs;
struct vfs;

struct vfs_counts {
    uint64_t syncs, writes, bytes_written;
};

/* Registered with SQLite under vfs_name() until freed; every file opened through it must be closed
 * by then. */
struct vfs *vfs_new(void) MUST_USE;
void vfs_free(struct vfs **v);
const char *vfs_name(const struct vfs *v);
void vfs_counts(const struct vfs *v, struct vfs_counts *out);

/* Called before each write and sync of any handle: 0 lets it happen, an errno refuses it (ENOSPC
 * as a full disk, anything else as an I/O error). path may be NULL for a temporary file. */
struct vfs_watch {
    void *arg;
    int (*on_write)(void *arg, const char *path, int64_t offset, const void *p, size_t n);
    int (*on_sync)(void *arg, const char *path);
};
/* For tests and the bench; set while no handle is at work. NULL takes it away. */
void vfs_watch_set(const struct vfs_watch *w);

#define VFS_SYNC_FAILED_EXIT 74 /* exit status of a process whose sync failed (EX_IOERR) */

#endif
