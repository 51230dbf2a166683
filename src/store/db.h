/* The driver: a dozen functions behind which SQLite stands today and PostgreSQL can stand. One
 * SQL text for both: parameters are $1, $2 ... (bound by name in SQLite), ids are ours, times are
 * epoch milliseconds, no ON CONFLICT trick or type that only one of them has. A handle belongs to
 * one thread. Every statement is prepared once per handle and found again by its text. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

struct db;
struct stmt;

enum db_mode { DB_READ_WRITE, DB_READ_ONLY };

/* path: the SQLite file. WAL, synchronous FULL, foreign keys on, busy timeout 5 s.
 * Read-only opening of a missing file fails. Does not migrate: see store/migrate.h. */
bool db_open(const char *path, enum db_mode mode, struct db **out, struct err *e) MUST_USE;
void db_close(struct db **db);

bool db_begin(struct db *db, struct err *e) MUST_USE;  /* IMMEDIATE on a read-write handle */
bool db_commit(struct db *db, struct err *e) MUST_USE; /* false: rolled back; ERR_FULL on ENOSPC;
                                                         a failed fsync ends the process */
/* As db_begin, but the commit is not synced: after a power failure the newest such transactions may
 * be gone, from the end and each as a whole. The next synced commit of the handle, or db_sync,
 * makes all before it durable. For long work in bites (imports) that is answered once, at its end.
 */
bool db_begin_lazy(struct db *db, struct err *e) MUST_USE;
bool db_sync(struct db *db, struct err *e) MUST_USE; /* outside of a transaction */
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);

/* The statement for this text, reset and with all parameters NULL; owned by the handle. The same
 * statement must not be in use twice at a time. NULL and *e on bad SQL. */
struct stmt *db_stmt(struct db *db, const char *sql, struct err *e) MUST_USE;
void db_bind_i64(struct stmt *s, int n, int64_t v); /* n: 1 for $1 */
void db_bind_f64(struct stmt *s, int n, double v);
void db_bind_text(struct stmt *s, int n, struct str v); /* NULL when v.p is NULL; copied */
void db_bind_cstr(struct stmt *s, int n, const char *v);
void db_bind_blob(struct stmt *s, int n, struct str v);
/* Not copied: v must stay as it is until the statement has run or is bound again. */
void db_bind_text_ref(struct stmt *s, int n, struct str v);
/* One step: *row_out true when a row stands. */
bool db_step(struct stmt *s, bool *row_out, struct err *e) MUST_USE;
/* Runs a statement that gives no row (or whose rows do not matter) to its end and resets it. */
bool db_run(struct stmt *s, struct err *e) MUST_USE;
void db_reset(struct stmt *s);           /* end reading early */
int64_t db_i64(struct stmt *s, int col); /* col: 0 first; NULL reads as 0 */
double db_f64(struct stmt *s, int col);
struct str db_text(struct stmt *s, int col); /* valid until the next step; NULL: STR_NONE */
struct str db_blob(struct stmt *s, int col);
bool db_is_null(struct stmt *s, int col);
int64_t db_changes(struct db *db); /* rows changed by the last statement */
/* Text of several statements without parameters (migrations, pragmas). */
bool db_exec(struct db *db, const char *sql, struct err *e) MUST_USE;
/* Moves the write-ahead log into the main file as far as readers allow. */
bool db_checkpoint(struct db *db, struct err *e);
/* Size of the write-ahead log as this handle's last commit left it, in bytes. */
uint64_t db_wal_bytes(const struct db *db);
const char *db_path(const struct db *db);
/* A consistent copy as a new file (readable by us only), synced; ERR_CONFLICT when it is there. */
bool db_backup(struct db *db, const char *path, struct err *e) MUST_USE;
/* Reads every page: ERR_CORRUPT when the file does not hold together. Slow. */
bool db_check(struct db *db, struct err *e) MUST_USE;
/* What the handle did so far, for the bench: syncs, bytes written, rows changed. */
struct db_stats {
    uint64_t commits, syncs, bytes_written, rows_changed;
};
void db_stats(const struct db *db, struct db_stats *out);

#endif
