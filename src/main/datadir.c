/* See datadir.h. */
#include "main/datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "store/db.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/migrate.h"
#include "store/secrets.h"

#define HOLDER_GRACE_MS 500 /* a killed holder may take this long to vanish */
#define NODE            1   /* SQLite: one node owns all */

char *datadir_path(const char *dir, const char *name)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_addf(&b, "%s/%s", dir, name);
    return buf_steal(&b, NULL);
}

/* What a user or a package may put there before the first start. */
static bool may_precede(const char *name)
{
    static const char *const names[] = {".",          "..",         "postfleet.yaml",
                                        "lock",       "secret.key", "secret.key.new",
                                        "lost+found", ".gitignore"};
    for (size_t i = 0; i < countof(names); i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

bool datadir_look(const char *dir, enum datadir_kind *out, struct err *e)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    if (!d && errno == ENOENT) {
        *out = DATADIR_MISSING;
        return true;
    }
    if (!d)
        return err_set(e, ERR_FAILED, "data directory %s: %s", dir, strerror(errno));
    *out = DATADIR_EMPTY;
    while ((entry = readdir(d)) != NULL) {
        if (!strcmp(entry->d_name, DATADIR_DATABASE)) {
            *out = DATADIR_OURS;
            break;
        }
        if (!may_precede(entry->d_name))
            *out = DATADIR_FOREIGN;
    }
    closedir(d);
    return true;
}

static bool make_folder(const char *dir, struct err *e)
{
    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return true;
    return err_set(e, ERR_FAILED, "cannot make data directory %s: %s", dir, strerror(errno));
}

/* Schema, key check and the group that everything else falls back to. */
static bool fill_database(struct db *db, const struct secrets *key, struct err *e)
{
    struct ids ids;
    int64_t now = clock_wall_ms();
    if (!migrate_to_latest(db, e) || !db_begin(db, e))
        return false;
    bool ok = ids_load(&ids, NODE, db, e) && secrets_match(key, db, e) &&
              groups_ensure_default(db, ids_next(&ids, now), now, e);
    if (ok)
        return db_commit(db, e);
    db_rollback(db);
    return false;
}

static bool open_key(const char *dir, bool may_make, struct secrets **out, struct err *e)
{
    struct err none = {0};
    if (secrets_load(dir, out, &none))
        return true;
    if (none.code == ERR_NOT_FOUND && may_make)
        return secrets_create(dir, e) && secrets_load(dir, out, e);
    *e = none;
    if (none.code == ERR_NOT_FOUND)
        err_set(e, ERR_FAILED,
                "%s: the key file " SECRETS_FILE " of this database is missing; put it back", dir);
    return false;
}

bool datadir_prepare(const char *dir, bool *made_out, struct err *e)
{
    enum datadir_kind kind;
    struct db *db = NULL;
    struct secrets *key = NULL;
    if (!datadir_look(dir, &kind, e))
        return false;
    if (kind == DATADIR_FOREIGN)
        return err_set(e, ERR_REFUSED,
                       "%s holds other files and no Postfleet database; name an empty or new "
                       "directory with --data",
                       dir);
    *made_out = kind != DATADIR_OURS;
    if (!make_folder(dir, e) || !open_key(dir, kind != DATADIR_OURS, &key, e))
        return false;
    char *path = datadir_path(dir, DATADIR_DATABASE);
    bool ok = db_open(path, DB_READ_WRITE, &db, e) && fill_database(db, key, e);
    db_close(&db);
    secrets_free(&key);
    free(path);
    if (!ok && e->code == ERR_REFUSED)
        e->code = ERR_FAILED; /* no policy, but a database or key that cannot be used */
    return ok;
}

/* The id in the file; 0 when there is none. */
static long holder_of(int fd)
{
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

/* A process that is there and no zombie. */
static bool is_alive(long pid)
{
    char path[48], text[400] = "";
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    const char *after_name = n > 0 ? strrchr(text, ')') : NULL;
    return after_name && after_name[1] == ' ' && after_name[2] != 'Z';
}

bool datadir_is_held(int dir_fd)
{
    int fd = openat(dir_fd, DATADIR_LOCK, O_RDONLY | O_CLOEXEC);
    bool held = fd >= 0 && is_alive(holder_of(fd));
    if (fd >= 0)
        close(fd);
    return held;
}

/* While the holder lives there is nothing to wait for; when it was killed, its children go soon. */
static bool try_lock(int fd, int wait_ms)
{
    int64_t begin = clock_boot_ms();
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int64_t waited = clock_boot_ms() - begin;
        if (errno != EWOULDBLOCK || waited >= wait_ms)
            return false;
        if (waited > HOLDER_GRACE_MS && is_alive(holder_of(fd)))
            return false;
        poll(NULL, 0, 20);
    }
    return true;
}

bool datadir_lock(const char *dir, int wait_ms, int *fd_out, struct err *e)
{
    char *path = datadir_path(dir, DATADIR_LOCK), text[24];
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    free(path);
    if (fd < 0)
        return err_set(e, ERR_FAILED, "%s/" DATADIR_LOCK ": %s; is the folder writable?", dir,
                       strerror(errno));
    if (!try_lock(fd, wait_ms)) {
        long pid = holder_of(fd);
        close(fd);
        return err_set(e, ERR_CONFLICT,
                       "another daemon (process %ld) runs on %s; stop it first, or choose another "
                       "--data",
                       pid, dir);
    }
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        err_set(e, errno == ENOSPC ? ERR_FULL : ERR_FAILED, "%s/" DATADIR_LOCK ": %s", dir,
                strerror(errno));
        close(fd);
        return false;
    }
    *fd_out = fd;
    return true;
}

bool datadir_open(const char *dir, enum db_mode mode, struct db **out, struct err *e)
{
    enum datadir_kind kind;
    if (!datadir_look(dir, &kind, e))
        return false;
    if (kind != DATADIR_OURS)
        return err_set(e, ERR_NOT_FOUND, "%s holds no Postfleet database; postfleet init makes one",
                       dir);
    char *path = datadir_path(dir, DATADIR_DATABASE);
    bool ok = db_open(path, mode, out, e);
    free(path);
    return ok;
}
