/* Migrations: see migrate.h. The files are part of the binary (tools/embed.py); adding one means a
 * file in sql/, a line in meson.build and a line in the table below, never a change of an old one.
 */
#include "store/migrate.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

extern const unsigned char sql_0001[];
extern const unsigned char sql_0002[];
extern const unsigned char sql_0003[];
extern const unsigned char sql_0004[];
extern const unsigned char sql_0005[];
extern const unsigned char sql_0006[];
extern const unsigned char sql_0007[];
extern const unsigned char sql_0008[];
extern const unsigned char sql_0009[];
extern const unsigned char sql_0010[];

static const struct migration migrations[] = {
    {"0001-house", (const char *)sql_0001},        {"0002-dispatcher", (const char *)sql_0002},
    {"0003-applications", (const char *)sql_0003}, {"0004-attempts", (const char *)sql_0004},
    {"0005-dkim", (const char *)sql_0005},         {"0006-cells", (const char *)sql_0006},
    {"0007-credentials", (const char *)sql_0007},  {"0008-latency", (const char *)sql_0008},
    {"0009-webhooks", (const char *)sql_0009},     {"0010-dsn", (const char *)sql_0010},
};

int migrate_latest(void)
{
    return (int)countof(migrations);
}

static bool read_number(struct db *db, const char *sql, int64_t *out, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    bool row = false;
    if (!s || !db_step(s, &row, e))
        return false;
    *out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

bool migrate_version(struct db *db, int *out, struct err *e)
{
    int64_t versioned = 0, tables = 0, version = 0;
    if (!read_number(db, "SELECT count(*) FROM sqlite_master WHERE name = 'schema_version'",
                     &versioned, e) ||
        !read_number(db, "SELECT count(*) FROM sqlite_master WHERE type = 'table'", &tables, e))
        return false;
    if (!versioned && tables)
        return err_set(e, ERR_REFUSED,
                       "database %s holds tables of another program; name another data folder",
                       db_path(db));
    if (versioned && !read_number(db, "SELECT max(version) FROM schema_version", &version, e))
        return false;
    *out = (int)version;
    return true;
}

bool migrate_made_at(struct db *db, int64_t *out, struct err *e)
{
    return read_number(db, "SELECT min(applied_at) FROM schema_version", out, e);
}

static bool refuse_newer(struct db *db, int version, int known, struct err *e)
{
    return err_set(
        e, ERR_REFUSED,
        "database %s has version %d, this postfleet knows %d: start the newer postfleet, "
        "or restore the copy made before the upgrade (%s.version-%d)",
        db_path(db), version, known, db_path(db), known);
}

/* An older copy of the same version stays; the new one gets a number behind it. */
static bool copy_beside(struct db *db, int version, struct err *e)
{
    for (int i = 0; i < 100; i++) {
        struct err ce = {0};
        char path[4200];
        if (i == 0)
            (void)snprintf(path, sizeof path, "%s.version-%d", db_path(db), version);
        else
            (void)snprintf(path, sizeof path, "%s.version-%d.%d", db_path(db), version, i);
        if (db_backup(db, path, &ce)) {
            log_event(LOG_NOTICE, "db.copied", "path=%s version=%d", path, version);
            return true;
        }
        if (ce.code != ERR_CONFLICT)
            return err_set(e, ce.code, "%s; nothing was migrated", ce.text);
    }
    return err_set(e, ERR_FAILED, "%s has 100 copies of version %d beside it: remove some",
                   db_path(db), version);
}

static bool note_version(struct db *db, int version, const char *name, struct err *e)
{
    struct stmt *s = db_stmt(
        db, "INSERT INTO schema_version (version, name, applied_at) VALUES ($1, $2, $3)", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, version);
    db_bind_cstr(s, 2, name);
    db_bind_i64(s, 3, clock_wall_ms());
    return db_run(s, e);
}

static bool apply(struct db *db, int version, const struct migration *m, struct err *e)
{
    if (!db_begin(db, e))
        return false;
    bool ok = db_exec(db,
                      "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, "
                      "name TEXT NOT NULL, applied_at INTEGER NOT NULL)",
                      e) &&
              db_exec(db, m->sql, e) && note_version(db, version, m->name, e);
    if (!ok) {
        db_rollback(db);
        return err_prefix(e, "migration %s", m->name);
    }
    if (!db_commit(db, e))
        return err_prefix(e, "migration %s", m->name);
    log_event(LOG_INFO, "db.migrated", "name=%s version=%d", m->name, version);
    return true;
}

bool migrate_with(struct db *db, const struct migration *list, int n, struct err *e)
{
    int version = 0;
    if (!migrate_version(db, &version, e))
        return false;
    if (version > n)
        return refuse_newer(db, version, n, e);
    if (version > 0 && version < n && !copy_beside(db, version, e))
        return false;
    for (int v = version + 1; v <= n; v++)
        if (!apply(db, v, &list[v - 1], e))
            return false;
    return true;
}

bool migrate_to_latest(struct db *db, struct err *e)
{
    return migrate_with(db, migrations, migrate_latest(), e);
}

bool migrate_require_latest(struct db *db, struct err *e)
{
    int version = 0, known = migrate_latest();
    if (!migrate_version(db, &version, e))
        return false;
    if (version > known)
        return refuse_newer(db, version, known, e);
    return version == known ||
           err_set(
               e, ERR_REFUSED,
               "database %s has version %d, this postfleet needs %d: run 'postfleet db migrate'",
               db_path(db), version, known);
}
