/* See upkeep.h. */
#include "store/upkeep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool run_check(struct db *db, const char *sql, int columns,
                      void (*found)(void *ctx, const char *text), void *ctx, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    bool row = false, ok = s != NULL;
    char text[600];
    while (ok && (ok = db_step(s, &row, e)) && row) {
        if (columns == 1)
            str_copy(db_text(s, 0), text, sizeof(text));
        else
            snprintf(text, sizeof(text),
                     "row %lld of table " STR_F " points to a missing row of " STR_F,
                     (long long)db_i64(s, 1), STR_A(db_text(s, 0)), STR_A(db_text(s, 2)));
        if (strcmp(text, "ok") != 0)
            found(ctx, text);
    }
    if (s)
        db_reset(s);
    return ok;
}

bool upkeep_check(struct db *db, void (*found)(void *ctx, const char *text), void *ctx,
                  struct err *e)
{
    return run_check(db, "PRAGMA integrity_check(20)", 1, found, ctx, e) &&
           run_check(db, "SELECT \"table\", rowid, parent FROM pragma_foreign_key_check LIMIT 20",
                     3, found, ctx, e);
}

bool upkeep_backup(struct db *db, const char *file, struct err *e)
{
    /* Made first, so that it is never readable by others; VACUUM INTO takes an empty file. */
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno == EEXIST ? ERR_CONFLICT : ERR_FAILED, "%s: %s", file,
                       strerror(errno));
    struct stmt *s = db_stmt(db, "VACUUM INTO $1", e);
    if (s)
        db_bind_cstr(s, 1, file);
    bool ok = s && db_run(s, e);
    if (ok && fsync(fd) != 0)
        ok = err_set(e, ERR_FAILED, "%s: %s", file, strerror(errno));
    close(fd);
    if (!ok)
        unlink(file);
    return ok;
}
