/* db restore: puts a backup in the place of the database, while no daemon runs. The backup is
 * looked at first (whole, of this version or older, sealed with the key of the folder); what was
 * there is moved aside, never removed; sending is paused until the user resumes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "main/call.h"
#include "main/commands.h"
#include "main/datadir.h"
#include "store/migrate.h"
#include "store/secrets.h"
#include "store/settings.h"
#include "store/upkeep.h"

/* All that a run wrote and that does not belong to the backup. Bodies in spool/ stay: the backup
 * may name them. */
static const char *const replaced[] = {DATADIR_DATABASE, DATADIR_DATABASE "-wal",
                                       DATADIR_DATABASE "-shm", "journal"};

static void count_defect(void *ctx, const char *text)
{
    int *n = ctx;
    output_warn("%s", text);
    ++*n;
}

static bool check_backup(const char *dir, struct db *backup, struct err *e)
{
    struct secrets *key = NULL;
    int defects = 0, version = 0;
    bool ok =
        migrate_version(backup, &version, e) && upkeep_check(backup, count_defect, &defects, e);
    if (ok && version == 0)
        ok = err_set(e, ERR_INVALID, "%s is no Postfleet database", db_path(backup));
    if (ok && version > migrate_latest())
        ok = err_set(e, ERR_REFUSED,
                     "%s has version %d, this postfleet knows %d: restore it with the newer one",
                     db_path(backup), version, migrate_latest());
    if (ok && defects)
        ok = err_set(e, ERR_CORRUPT, "%s is damaged: take an older backup", db_path(backup));
    ok = ok && secrets_load(dir, &key, e);
    if (ok && !secrets_check(key, backup, e))
        ok =
            err_prefix(e, "the key in %s is not that of %s; put the key file that was kept with it",
                       dir, db_path(backup));
    secrets_free(&key);
    return ok;
}

/* DIR/before-restore-YYYYMMDD-HHMMSS */
static bool make_aside(const char *dir, char *out, size_t size, struct err *e)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    char when[32];
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &tm);
    snprintf(out, size, "%s/before-restore-%s", dir, when);
    return mkdir(out, 0700) == 0 ||
           err_set(e, ERR_FAILED, "%s cannot be made: %s", out, strerror(errno));
}

static bool move(const char *dir, const char *aside, const char *name, bool back, struct err *e)
{
    char from[4300], to[4300];
    snprintf(from, sizeof from, "%s/%s", back ? aside : dir, name);
    snprintf(to, sizeof to, "%s/%s", back ? dir : aside, name);
    return rename(from, to) == 0 || errno == ENOENT ||
           err_set(e, ERR_FAILED, "%s cannot be moved to %s: %s", from, to, strerror(errno));
}

static bool move_all(const char *dir, const char *aside, bool back, struct err *e)
{
    for (size_t i = 0; i < countof(replaced); i++)
        if (!move(dir, aside, replaced[i], back, e))
            return false;
    return true;
}

static bool sync_folder(const char *dir, struct err *e)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        err_set(e, ERR_FAILED, "%s cannot be synced: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The copy in place, brought to this version and paused. */
static bool put_in_place(const char *dir, struct db *backup, struct err *e)
{
    struct db *db = NULL;
    char *path = datadir_path(dir, DATADIR_DATABASE);
    bool ok = upkeep_backup(backup, path, e) && datadir_open(dir, DB_READ_WRITE, &db, e) &&
              migrate_to_latest(db, e) && db_begin(db, e) &&
              settings_set(db, "pause", STR("1"), e) && db_commit(db, e);
    db_close(&db);
    free(path);
    return ok && sync_folder(dir, e);
}

static bool restore(const char *dir, const char *file, char *aside, size_t size, struct err *e)
{
    struct db *backup = NULL;
    struct err own = {0};
    int lock = -1;
    enum datadir_kind kind;
    bool ok =
        datadir_look(dir, &kind, e) &&
        (kind == DATADIR_OURS ||
         err_set(e, ERR_NOT_FOUND, "%s holds no Postfleet data: run postfleet init first", dir)) &&
        datadir_lock(dir, 0, &lock, e) && db_open(file, DB_READ_ONLY, &backup, e) &&
        check_backup(dir, backup, e) && make_aside(dir, aside, size, e);
    if (ok && (!move_all(dir, aside, false, e) || !put_in_place(dir, backup, e))) {
        char *path = datadir_path(dir, DATADIR_DATABASE);
        unlink(path); /* of this attempt: what was there lies aside */
        free(path);
        if (!move_all(dir, aside, true, &own))
            err_prefix(e, "what was there lies in %s", aside);
        ok = false;
    }
    db_close(&backup);
    if (lock >= 0)
        close(lock);
    return ok;
}

int cmd_db_restore(struct cmd *c)
{
    struct err e = {0};
    char aside[4200] = "";
    const char *dir = data_dir(c), *file = cmd_arg(c, 0);
    if (!ask_first(c, "Put %s in the place of the database in %s?", file, dir))
        return EXIT_INTERRUPTED;
    if (!restore(dir, file, aside, sizeof aside, &e))
        return output_fail(&e);
    if (output_is_json()) {
        json_t *o = json_pack("{s:s, s:s, s:b}", "restored", file, "before", aside, "paused", 1);
        output_json(o);
        json_decref(o);
    }
    output_line("%s is in place; what was there lies in %s", file, aside);
    output_line("sending is paused: start serve, look at campaigns and queue (mail of after the "
                "backup is not known to it), then postfleet resume");
    return 0;
}
