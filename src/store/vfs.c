/* The counting file layer: see vfs.h. Every method hands on to SQLite's default layer; the real
 * file object lies right behind ours in the memory that SQLite gave. */
#include "store/vfs.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct vfs {
    sqlite3_vfs layer;
    sqlite3_vfs *real;
    struct vfs_counts counts;
    char name[40];
};

struct file {
    sqlite3_file head;
    struct vfs *vfs;
    const char *path;
    void *pad; /* keeps the real file behind us aligned */
};

static const struct vfs_watch *watch;

static struct file *file_of(sqlite3_file *f)
{
    return (struct file *)(void *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return (sqlite3_file *)(void *)(file_of(f) + 1);
}

static int file_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 offset)
{
    return real_of(f)->pMethods->xRead(real_of(f), p, n, offset);
}

static int file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 offset)
{
    struct file *file = file_of(f);
    if (watch && watch->on_write) {
        int refused = watch->on_write(watch->arg, file->path, offset, p, (size_t)n);
        if (refused)
            return refused == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    file->vfs->counts.writes++;
    file->vfs->counts.bytes_written += (uint64_t)n;
    return real_of(f)->pMethods->xWrite(real_of(f), p, n, offset);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

/* After a failed sync the kernel may have dropped the dirty pages and report success next time:
 * only a new process that reads the files again knows what is there. */
static int file_sync(sqlite3_file *f, int flags)
{
    struct file *file = file_of(f);
    int refused = watch && watch->on_sync ? watch->on_sync(watch->arg, file->path) : 0;
    file->vfs->counts.syncs++;
    int rc = refused ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
    if (rc == SQLITE_OK)
        return rc;
    log_event(LOG_ERROR, "db.sync_failed", "file=%s errno=%d remedy=check_the_disk",
              file->path ? file->path : "temporary", refused ? refused : errno);
    _exit(VFS_SYNC_FAILED_EXIT);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *out)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), out);
}

static int file_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int file_check_lock(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int file_sector_size(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int file_shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static int file_fetch(sqlite3_file *f, sqlite3_int64 offset, int n, void **out)
{
    return real_of(f)->pMethods->xFetch(real_of(f), offset, n, out);
}

static int file_unfetch(sqlite3_file *f, sqlite3_int64 offset, void *p)
{
    return real_of(f)->pMethods->xUnfetch(real_of(f), offset, p);
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 3,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
    .xFetch = file_fetch,
    .xUnfetch = file_unfetch,
};

static sqlite3_vfs *real_layer(sqlite3_vfs *v)
{
    return ((struct vfs *)(void *)v)->real;
}

static int layer_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *flags_out)
{
    struct file *file = file_of(f);
    file->vfs = (struct vfs *)(void *)v;
    file->path = path;
    int rc = real_layer(v)->xOpen(real_layer(v), path, real_of(f), flags, flags_out);
    /* No methods means to SQLite that there is nothing to close. */
    f->pMethods = real_of(f)->pMethods ? &file_methods : NULL;
    return rc;
}

static int layer_delete(sqlite3_vfs *v, const char *path, int sync_folder)
{
    return real_layer(v)->xDelete(real_layer(v), path, sync_folder);
}

static int layer_access(sqlite3_vfs *v, const char *path, int flags, int *out)
{
    return real_layer(v)->xAccess(real_layer(v), path, flags, out);
}

static int layer_full_path(sqlite3_vfs *v, const char *path, int n, char *out)
{
    return real_layer(v)->xFullPathname(real_layer(v), path, n, out);
}

static int layer_randomness(sqlite3_vfs *v, int n, char *out)
{
    return real_layer(v)->xRandomness(real_layer(v), n, out);
}

static int layer_sleep(sqlite3_vfs *v, int us)
{
    return real_layer(v)->xSleep(real_layer(v), us);
}

static int layer_time(sqlite3_vfs *v, double *out)
{
    return real_layer(v)->xCurrentTime(real_layer(v), out);
}

static int layer_time_ms(sqlite3_vfs *v, sqlite3_int64 *out)
{
    return real_layer(v)->xCurrentTimeInt64(real_layer(v), out);
}

static int layer_last_error(sqlite3_vfs *v, int n, char *out)
{
    return real_layer(v)->xGetLastError(real_layer(v), n, out);
}

struct vfs *vfs_new(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    check(real && real->iVersion >= 2);
    struct vfs *v = alloc_one(struct vfs);
    v->real = real;
    (void)snprintf(v->name, sizeof v->name, "postfleet-%p", (void *)v);
    v->layer = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = real->szOsFile + (int)sizeof(struct file),
        .mxPathname = real->mxPathname,
        .zName = v->name,
        .xOpen = layer_open,
        .xDelete = layer_delete,
        .xAccess = layer_access,
        .xFullPathname = layer_full_path,
        .xRandomness = layer_randomness,
        .xSleep = layer_sleep,
        .xCurrentTime = layer_time,
        .xCurrentTimeInt64 = layer_time_ms,
        .xGetLastError = layer_last_error,
    };
    check(sqlite3_vfs_register(&v->layer, 0) == SQLITE_OK);
    return v;
}

void vfs_free(struct vfs **vp)
{
    struct vfs *v = *vp;
    *vp = NULL;
    if (!v)
        return;
    (void)sqlite3_vfs_unregister(&v->layer);
    free(v);
}

const char *vfs_name(const struct vfs *v)
{
    return v->name;
}

void vfs_counts(const struct vfs *v, struct vfs_counts *out)
{
    *out = v->counts;
}

void vfs_watch_set(const struct vfs_watch *w)
{
    watch = w;
}
