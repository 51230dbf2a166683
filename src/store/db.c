/* The driver on SQLite: see db.h for the contract. Knows nothing of our tables. Every failure comes
 * out as a struct err with place and remedy; a failed sync ends the process (store/vfs.c).
 * A handle and its statements belong to one thread. */
#include "store/db.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "store/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARAMETERS_MAX  99
#define BUSY_TIMEOUT_MS 5000

struct stmt {
    struct db *db;
    sqlite3_stmt *h;
    int bind_rc;                       /* the first bind that failed since db_stmt */
    uint8_t index[PARAMETERS_MAX + 1]; /* SQLite's index of $n; 0: the text has no $n */
};

struct db {
    sqlite3 *h;
    enum db_mode mode;
    char *path;
    struct vfs *vfs;
    struct map_str *stmts; /* text -> struct stmt */
    uint64_t commits;
    int wal_frames; /* after the last commit of this handle */
    bool is_lazy;   /* the transaction at hand is not synced by its commit */
    bool owes_sync; /* one before was not */
};

static void configure_library(void)
{
    /* Memory statistics cost a global lock at each allocation. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    check(sqlite3_initialize() == SQLITE_OK);
}

/* Table of SQLite's primary result codes to ours, with the remedy. */
static const struct {
    int rc;
    enum err_code code;
    const char *remedy;
} failures[] = {
    {SQLITE_FULL, ERR_FULL, "no space is left on its disk; free some and try again"},
    {SQLITE_CORRUPT, ERR_CORRUPT, "it is damaged; restore a backup (postfleet db restore)"},
    {SQLITE_NOTADB, ERR_CORRUPT, "it is no database or is damaged; restore a backup"},
    {SQLITE_BUSY, ERR_LATER, "another process is using it; try again"},
    {SQLITE_LOCKED, ERR_LATER, "it is in use; try again"},
    {SQLITE_READONLY, ERR_FAILED,
     "it cannot be written; check owner and permissions of its folder"},
    {SQLITE_CANTOPEN, ERR_FAILED, "it cannot be opened; check path, owner and permissions"},
    {SQLITE_PERM, ERR_FAILED, "permission denied; check owner and permissions"},
    {SQLITE_CONSTRAINT, ERR_CONFLICT, "it is there already or would break a rule of the table"},
    {SQLITE_TOOBIG, ERR_TOO_BIG, "a value is too large"},
    {SQLITE_IOERR, ERR_FAILED, "its disk could not be read or written; check the disk"},
};

static bool fail(const struct db *db, int rc, const char *what, struct err *e)
{
    enum err_code code = ERR_FAILED;
    const char *remedy = "";
    int primary = rc & 0xff;
    for (size_t i = 0; i < countof(failures); i++)
        if (failures[i].rc == primary) {
            code = failures[i].code;
            remedy = failures[i].remedy;
        }
    return err_set(e, code, "database %s: %s: %s%s%s", db->path, what,
                   db->h ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc), *remedy ? "; " : "", remedy);
}

static bool sync_folder_of(const char *path, struct err *e)
{
    char *copy = alloc_copy(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        err_set(e, ERR_FAILED, "folder of %s cannot be synced: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(copy);
    return ok;
}

/* A missing database is made here, readable by nobody else: SQLite gives its helper files the
 * permissions of the main one. */
static bool create_if_missing(const char *path, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return true;
    if (fd < 0)
        return err_set(e, errno == ENOSPC ? ERR_FULL : ERR_FAILED,
                       "database %s cannot be created: %s; check that its folder exists and may be "
                       "written",
                       path, strerror(errno));
    close(fd);
    return sync_folder_of(path, e);
}

static int count_commit(void *arg)
{
    ((struct db *)arg)->commits++;
    return 0;
}

static int note_wal(void *arg, sqlite3 *h, const char *name, int frames)
{
    (void)h, (void)name;
    ((struct db *)arg)->wal_frames = frames;
    return SQLITE_OK;
}

/* Without mmap a bad sector is an error and not a signal, and resident memory is the cache. */
static const char *const common_pragmas =
    "PRAGMA foreign_keys=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
    "PRAGMA case_sensitive_like=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;";

static bool set_up_writer(struct db *db, struct err *e)
{
    if (sqlite3_db_readonly(db->h, "main") == 1)
        return err_set(e, ERR_FAILED,
                       "database %s cannot be written; check owner and permissions of the file and "
                       "its folder",
                       db->path);
    if (!db_exec(db, "PRAGMA page_size=4096", e))
        return false;
    struct stmt *s = db_stmt(db, "PRAGMA journal_mode=WAL", e);
    bool row = false;
    if (!s || !db_step(s, &row, e))
        return false;
    bool wal = row && str_is(db_text(s, 0), "wal");
    db_reset(s);
    if (!wal)
        return err_set(e, ERR_FAILED,
                       "database %s: its file system has no shared memory for write-ahead logging; "
                       "keep the data folder on a local disk",
                       db->path);
    (void)sqlite3_commit_hook(db->h, count_commit, db);
    if (!db_exec(db,
                 "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-16384;"
                 "PRAGMA journal_size_limit=67108864; PRAGMA secure_delete=FAST;",
                 e))
        return false;
    (void)sqlite3_wal_hook(db->h, note_wal, db);
    return true;
}

static bool set_up(struct db *db, struct err *e)
{
    (void)sqlite3_extended_result_codes(db->h, 1);
    (void)sqlite3_busy_timeout(db->h, BUSY_TIMEOUT_MS);
    (void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    if (!db_exec(db, common_pragmas, e))
        return false;
    bool ok = db->mode == DB_READ_WRITE ? set_up_writer(db, e)
                                        : db_exec(db, "PRAGMA cache_size=-4096", e);
    /* Reads the first page and opens the log, so that a damaged file shows here. */
    return ok && db_exec(db, "SELECT count(*) FROM sqlite_master", e);
}

bool db_open(const char *path, enum db_mode mode, struct db **out, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, configure_library);
    *out = NULL;
    if (mode == DB_READ_WRITE && !create_if_missing(path, e))
        return false;
    if (mode == DB_READ_ONLY && access(path, F_OK) != 0)
        return err_set(e, ERR_NOT_FOUND, "database %s: %s; run 'postfleet init' first", path,
                       strerror(errno));
    struct db *db = alloc_one(struct db);
    db->mode = mode;
    db->path = alloc_copy(path);
    db->vfs = vfs_new();
    db->stmts = map_str_new();
    int flags = (mode == DB_READ_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, &db->h, flags, vfs_name(db->vfs));
    if (rc != SQLITE_OK)
        fail(db, rc, "open", e);
    if (rc != SQLITE_OK || !set_up(db, e)) {
        db_close(&db);
        return false;
    }
    *out = db;
    return true;
}

void db_close(struct db **dbp)
{
    struct db *db = *dbp;
    *dbp = NULL;
    if (!db)
        return;
    size_t pos = 0;
    struct str key;
    void *value = NULL;
    while (map_str_next(db->stmts, &pos, &key, &value)) {
        struct stmt *s = value;
        (void)sqlite3_finalize(s->h);
        free(s);
    }
    map_str_free(&db->stmts);
    check(sqlite3_close(db->h) == SQLITE_OK);
    vfs_free(&db->vfs);
    free(db->path);
    free(db);
}

const char *db_path(const struct db *db)
{
    return db->path;
}

static bool run_text(struct db *db, const char *sql, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    return s && db_run(s, e);
}

/* SQLite takes this outside of transactions only. */
static bool set_lazy(struct db *db, bool is_lazy, struct err *e)
{
    if (db->is_lazy == is_lazy)
        return true;
    if (!db_exec(db, is_lazy ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL", e))
        return false;
    db->is_lazy = is_lazy;
    return true;
}

bool db_begin(struct db *db, struct err *e)
{
    check(!db_in_transaction(db));
    return set_lazy(db, false, e) &&
           run_text(db, db->mode == DB_READ_WRITE ? "BEGIN IMMEDIATE" : "BEGIN", e);
}

bool db_commit(struct db *db, struct err *e)
{
    if (!db_in_transaction(db))
        return err_set(e, ERR_FAILED, "database %s: the transaction was rolled back before its end",
                       db->path);
    if (run_text(db, "COMMIT", e)) {
        db->owes_sync |= db->is_lazy;
        return true;
    }
    db_rollback(db);
    return false;
}

bool db_begin_lazy(struct db *db, struct err *e)
{
    check(!db_in_transaction(db));
    return set_lazy(db, true, e) && run_text(db, "BEGIN IMMEDIATE", e);
}

bool db_sync(struct db *db, struct err *e)
{
    sqlite3_file *wal = NULL;
    if (!db->owes_sync)
        return true;
    int rc = sqlite3_file_control(db->h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (rc == SQLITE_OK && wal && wal->pMethods)
        rc = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
    db->owes_sync = rc != SQLITE_OK;
    return rc == SQLITE_OK || fail(db, rc, "sync", e);
}

void db_rollback(struct db *db)
{
    /* SQLite rolls some failures back itself; then there is nothing left to undo. */
    if (db_in_transaction(db))
        (void)sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
}

bool db_in_transaction(const struct db *db)
{
    return sqlite3_get_autocommit(db->h) == 0;
}

/* SQLite takes $1 for a name: its place is looked up once and kept. */
static bool index_parameters(struct stmt *s, struct err *e)
{
    int n = sqlite3_bind_parameter_count(s->h);
    for (int i = 1; i <= n; i++) {
        const char *name = sqlite3_bind_parameter_name(s->h, i);
        uint64_t number = 0;
        bool fits = name && name[0] == '$' && str_to_u64(str_of(name + 1), PARAMETERS_MAX, &number);
        if (!fits || number == 0 || i > UINT8_MAX)
            return err_set(e, ERR_FAILED, "database %s: parameter %s is none of $1..$%d",
                           s->db->path, name ? name : "?", PARAMETERS_MAX);
        s->index[number] = (uint8_t)i;
    }
    return true;
}

static struct stmt *prepare(struct db *db, const char *sql, struct err *e)
{
    sqlite3_stmt *h = NULL;
    int rc = sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &h, NULL);
    if (rc != SQLITE_OK || !h) {
        fail(db, rc, "statement", e);
        return NULL;
    }
    struct stmt *s = alloc_one(struct stmt);
    s->db = db;
    s->h = h;
    if (!index_parameters(s, e)) {
        (void)sqlite3_finalize(h);
        free(s);
        return NULL;
    }
    map_str_set(db->stmts, str_of(sql), s);
    return s;
}

struct stmt *db_stmt(struct db *db, const char *sql, struct err *e)
{
    struct stmt *s = map_str_get(db->stmts, str_of(sql));
    if (!s)
        return prepare(db, sql, e);
    (void)sqlite3_reset(s->h);
    (void)sqlite3_clear_bindings(s->h);
    s->bind_rc = SQLITE_OK;
    return s;
}

static int index_of(const struct stmt *s, int n)
{
    check(n >= 1 && n <= PARAMETERS_MAX && s->index[n]);
    return s->index[n];
}

static void note_bind(struct stmt *s, int rc)
{
    if (rc != SQLITE_OK && s->bind_rc == SQLITE_OK)
        s->bind_rc = rc;
}

void db_bind_i64(struct stmt *s, int n, int64_t v)
{
    note_bind(s, sqlite3_bind_int64(s->h, index_of(s, n), v));
}

void db_bind_f64(struct stmt *s, int n, double v)
{
    note_bind(s, sqlite3_bind_double(s->h, index_of(s, n), v));
}

void db_bind_text(struct stmt *s, int n, struct str v)
{
    int at = index_of(s, n);
    note_bind(s, v.p ? sqlite3_bind_text64(s->h, at, v.p, v.n, SQLITE_TRANSIENT, SQLITE_UTF8)
                     : sqlite3_bind_null(s->h, at));
}

void db_bind_cstr(struct stmt *s, int n, const char *v)
{
    db_bind_text(s, n, str_of(v));
}

void db_bind_blob(struct stmt *s, int n, struct str v)
{
    int at = index_of(s, n);
    note_bind(s, v.p ? sqlite3_bind_blob64(s->h, at, v.p, v.n, SQLITE_TRANSIENT)
                     : sqlite3_bind_null(s->h, at));
}

void db_bind_text_ref(struct stmt *s, int n, struct str v)
{
    int at = index_of(s, n);
    note_bind(s, v.p ? sqlite3_bind_text64(s->h, at, v.p, v.n, SQLITE_STATIC, SQLITE_UTF8)
                     : sqlite3_bind_null(s->h, at));
}

bool db_step(struct stmt *s, bool *row_out, struct err *e)
{
    *row_out = false;
    if (s->bind_rc != SQLITE_OK)
        return fail(s->db, s->bind_rc, "parameter", e);
    int rc = sqlite3_step(s->h);
    if (rc == SQLITE_ROW) {
        *row_out = true;
        return true;
    }
    bool ok = rc == SQLITE_DONE || fail(s->db, rc, "statement", e);
    (void)sqlite3_reset(s->h);
    return ok;
}

bool db_run(struct stmt *s, struct err *e)
{
    bool row = false;
    do {
        if (!db_step(s, &row, e))
            return false;
    } while (row);
    return true;
}

void db_reset(struct stmt *s)
{
    (void)sqlite3_reset(s->h);
}

int64_t db_i64(struct stmt *s, int col)
{
    return sqlite3_column_int64(s->h, col);
}

double db_f64(struct stmt *s, int col)
{
    return sqlite3_column_double(s->h, col);
}

struct str db_text(struct stmt *s, int col)
{
    if (db_is_null(s, col))
        return STR_NONE;
    const char *p = (const char *)sqlite3_column_text(s->h, col);
    return str_from(p ? p : "", (size_t)sqlite3_column_bytes(s->h, col));
}

struct str db_blob(struct stmt *s, int col)
{
    if (db_is_null(s, col))
        return STR_NONE;
    const char *p = sqlite3_column_blob(s->h, col);
    return str_from(p ? p : "", (size_t)sqlite3_column_bytes(s->h, col));
}

bool db_is_null(struct stmt *s, int col)
{
    return sqlite3_column_type(s->h, col) == SQLITE_NULL;
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->h);
}

bool db_exec(struct db *db, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK || fail(db, rc, "statement", e);
}

bool db_checkpoint(struct db *db, struct err *e)
{
    int log = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(db->h, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &moved);
    /* Busy: somebody else is at it, and what he moves need not be moved again. */
    return rc == SQLITE_OK || rc == SQLITE_BUSY || fail(db, rc, "checkpoint", e);
}

uint64_t db_wal_bytes(const struct db *db)
{
    return (uint64_t)db->wal_frames * (4096 + 24);
}

bool db_backup(struct db *db, const char *path, struct err *e)
{
    if (access(path, F_OK) == 0)
        return err_set(e, ERR_CONFLICT, "backup %s is there already; name another file", path);
    if (!create_if_missing(path, e))
        return false;
    sqlite3 *to = NULL;
    int rc =
        sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs_name(db->vfs));
    sqlite3_backup *b = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", db->h, "main") : NULL;
    if (b) {
        (void)sqlite3_backup_step(b, -1);
        rc = sqlite3_backup_finish(b);
    } else if (rc == SQLITE_OK) {
        rc = sqlite3_errcode(to);
    }
    bool ok = rc == SQLITE_OK;
    if (!ok)
        err_set(e, rc == SQLITE_FULL ? ERR_FULL : ERR_FAILED, "backup to %s failed: %s", path,
                to ? sqlite3_errmsg(to) : sqlite3_errstr(rc));
    (void)sqlite3_close(to);
    if (!ok)
        (void)unlink(path);
    return ok;
}

bool db_check(struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, "PRAGMA quick_check(1)", e);
    bool row = false;
    if (!s || !db_step(s, &row, e))
        return false;
    bool ok = row && str_is(db_text(s, 0), "ok");
    if (!ok)
        err_set(e, ERR_CORRUPT, "database %s is damaged: " STR_F "; restore a backup", db->path,
                STR_A(db_text(s, 0)));
    db_reset(s);
    return ok;
}

void db_stats(const struct db *db, struct db_stats *out)
{
    struct vfs_counts counts;
    vfs_counts(db->vfs, &counts);
    *out = (struct db_stats){
        .commits = db->commits,
        .syncs = counts.syncs,
        .bytes_written = counts.bytes_written,
        .rows_changed = (uint64_t)sqlite3_total_changes64(db->h),
    };
}
