/* The spool: see spool.h. A body is written under a name of its own ("ID.new"), synced, renamed and
 * its folder synced, so that a file under its final name is always whole. */
#include "store/spool.h"

#include "base/log.h"
#include "base/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES       4096
#define FOLDERS          64 /* on each of the two levels */
#define NEW_SUFFIX       ".new"
#define SYNC_FAILED_EXIT 74 /* as the database does: store/vfs.h */

struct spool_path {
    unsigned place; /* of the folder among all */
    char first[PATH_BYTES], folder[PATH_BYTES], file[PATH_BYTES], fresh[PATH_BYTES];
};

static bool join(char out[PATH_BYTES], const char *dir, const char *name, struct err *e)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
    return (n > 0 && n < PATH_BYTES) || err_set(e, ERR_INVALID, "path %.80s... is too long", dir);
}

/* Ids made one after the other would all share their high or low bits: the hash spreads them. */
static bool path_of(const char *dir, uint64_t id, struct spool_path *out, struct err *e)
{
    uint64_t h = hash_u64(id);
    char a[8], b[8], name[32], fresh[40];
    (void)snprintf(a, sizeof a, "%02x", (unsigned)(h % FOLDERS));
    (void)snprintf(b, sizeof b, "%02x", (unsigned)(h / FOLDERS % FOLDERS));
    out->place = (unsigned)(h % (FOLDERS * FOLDERS));
    (void)snprintf(name, sizeof name, "%llu", (unsigned long long)id);
    (void)snprintf(fresh, sizeof fresh, "%s" NEW_SUFFIX, name);
    return join(out->first, dir, a, e) && join(out->folder, out->first, b, e) &&
           join(out->file, out->folder, name, e) && join(out->fresh, out->folder, fresh, e);
}

static bool failed(struct err *e, const char *what, const char *path)
{
    int error = errno;
    return err_set(e, error == ENOSPC || error == EDQUOT ? ERR_FULL : ERR_FAILED,
                   "spool: %s %s: %s", what, path, strerror(error));
}

/* After a failed sync nobody knows what the disk holds. */
static void sync_or_end(int fd, const char *path)
{
    if (fsync(fd) == 0)
        return;
    log_event(LOG_ERROR, "spool.sync_failed", "file=%s errno=%d remedy=check_the_disk", path,
              errno);
    _exit(SYNC_FAILED_EXIT);
}

static bool sync_folder(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(e, "cannot open folder", path);
    sync_or_end(fd, path);
    close(fd);
    return true;
}

static bool make_folder(const char *path, bool *made, struct err *e)
{
    if (mkdir(path, 0700) == 0)
        *made = true;
    else if (errno != EEXIST)
        return failed(e, "cannot make folder", path);
    return true;
}

/* Folders of `dir` of which this process knows that all above them is on the disk. */
static struct {
    pthread_mutex_t lock;
    char dir[PATH_BYTES];
    bool has[FOLDERS * FOLDERS];
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_known(const char *dir, unsigned place)
{
    pthread_mutex_lock(&known.lock);
    bool has = !strcmp(known.dir, dir) && known.has[place];
    pthread_mutex_unlock(&known.lock);
    return has;
}

static void now_known(const char *dir, unsigned place)
{
    pthread_mutex_lock(&known.lock);
    if (strcmp(known.dir, dir) != 0) {
        memset(known.has, 0, sizeof known.has);
        (void)str_copy(str_of(dir), known.dir, sizeof known.dir);
    }
    known.has[place] = true;
    pthread_mutex_unlock(&known.lock);
}

/* A folder that is there may have been made by a process that died before it synced: so all levels
 * are synced once by each process, and again when one was made. */
static bool sync_folders(const char *dir, const struct spool_path *p, bool made, struct err *e)
{
    char above[PATH_BYTES];
    if (!sync_folder(p->folder, e))
        return false;
    if (!made && is_known(dir, p->place))
        return true;
    if (!sync_folder(p->first, e) || !sync_folder(dir, e) || !join(above, dir, "..", e) ||
        !sync_folder(above, e))
        return false;
    now_known(dir, p->place);
    return true;
}

static bool write_whole(int fd, struct str body)
{
    while (body.n > 0) {
        ssize_t n = write(fd, body.p, body.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        body = str_from_index(body, (size_t)n);
    }
    return true;
}

static bool write_fresh(const char *path, struct str body, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(e, "cannot create", path);
    bool ok = write_whole(fd, body) || failed(e, "cannot write", path);
    if (ok)
        sync_or_end(fd, path);
    close(fd);
    if (!ok)
        (void)unlink(path);
    return ok;
}

bool spool_write(const char *dir, uint64_t id, struct str body, struct err *e)
{
    struct spool_path p;
    if (body.n > SPOOL_MAX)
        return err_set(e, ERR_TOO_BIG, "spool: a body has at most %u bytes", SPOOL_MAX);
    bool made = false;
    if (!path_of(dir, id, &p, e) || !make_folder(dir, &made, e) ||
        !make_folder(p.first, &made, e) || !make_folder(p.folder, &made, e))
        return false;
    if (access(p.file, F_OK) == 0)
        return err_set(e, ERR_CONFLICT, "spool: %s is there already", p.file);
    if (!write_fresh(p.fresh, body, e))
        return false;
    if (rename(p.fresh, p.file) != 0) {
        failed(e, "cannot rename", p.fresh);
        (void)unlink(p.fresh);
        return false;
    }
    return sync_folders(dir, &p, made, e);
}

bool spool_open(const char *dir, uint64_t id, struct spool_body *out, struct err *e)
{
    struct spool_path p;
    struct stat st;
    *out = (struct spool_body){.bytes = STR("")};
    if (!path_of(dir, id, &p, e))
        return false;
    int fd = open(p.file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "spool: body %s is missing", p.file);
    if (fd < 0)
        return failed(e, "cannot open", p.file);
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= (off_t)SPOOL_MAX;
    if (ok && st.st_size > 0) {
        out->map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = out->map != MAP_FAILED;
        if (ok)
            out->bytes = str_from(out->map, (size_t)st.st_size);
        else
            out->map = NULL;
    }
    close(fd);
    return ok || err_set(e, ERR_CORRUPT, "spool: %s cannot be read as a body", p.file);
}

void spool_close(struct spool_body *b)
{
    if (b->map)
        (void)munmap(b->map, b->bytes.n);
    *b = (struct spool_body){.bytes = STR("")};
}

bool spool_remove(const char *dir, uint64_t id, struct err *e)
{
    struct spool_path p;
    if (!path_of(dir, id, &p, e))
        return false;
    return unlink(p.file) == 0 || errno == ENOENT || failed(e, "cannot remove", p.file);
}

struct sweep {
    bool (*keep)(void *arg, uint64_t id);
    void *arg;
    size_t removed;
};

static bool sweep_file(struct sweep *s, const char *path, const char *name, struct err *e)
{
    uint64_t id = 0;
    struct str number = str_of(name);
    if (str_ends(number, STR(NEW_SUFFIX)))
        number.n -= sizeof(NEW_SUFFIX) - 1;
    if (!str_to_u64(number, UINT64_MAX, &id) || !id || s->keep(s->arg, id))
        return true; /* not ours, or in use, or just being written */
    if (unlink(path) != 0 && errno != ENOENT)
        return failed(e, "cannot remove", path);
    s->removed++;
    return true;
}

/* level 0 and 1: folders; level 2: bodies. */
static bool sweep_folder(struct sweep *s, const char *dir, int level, struct err *e)
{
    char path[PATH_BYTES];
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR || failed(e, "cannot read folder", dir);
    bool ok = true;
    struct dirent *it = NULL;
    while (ok && (it = readdir(d)) != NULL) {
        if (it->d_name[0] == '.')
            continue;
        ok = join(path, dir, it->d_name, e) &&
             (level < 2 ? sweep_folder(s, path, level + 1, e) : sweep_file(s, path, it->d_name, e));
    }
    closedir(d);
    return ok;
}

bool spool_sweep(const char *dir, bool (*keep)(void *arg, uint64_t id), void *arg,
                 size_t *removed_out, struct err *e)
{
    struct sweep s = {.keep = keep, .arg = arg};
    bool ok = sweep_folder(&s, dir, 0, e);
    *removed_out = s.removed;
    return ok;
}
