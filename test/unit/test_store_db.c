/* The driver: binding by name, the statement cache, transactions, refusals with place and remedy,
 * counters, and what a full disk, a failed sync, a damaged file or a read-only folder do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/vfs.h"
#include "store_test.h"

#include <errno.h>

static void parameters_go_by_their_number(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    struct stmt *s = db_stmt(p.db, "SELECT $2 || '/' || $1 || '/' || $2, $4, $3", &e);
    assert_non_null(s);
    db_bind_cstr(s, 1, "one");
    db_bind_cstr(s, 2, "two");
    db_bind_f64(s, 3, 1.5);
    db_bind_i64(s, 4, INT64_MAX);
    bool row = false;
    assert_ok(db_step(s, &row, &e));
    assert_true(row);
    assert_true(str_is(db_text(s, 0), "two/one/two"));
    assert_int_equal(db_i64(s, 1), INT64_MAX);
    assert_true(db_f64(s, 2) == 1.5);
    assert_ok(db_step(s, &row, &e));
    assert_false(row);
    /* Found again by its text, with all parameters NULL. */
    struct stmt *again = db_stmt(p.db, "SELECT $2 || '/' || $1 || '/' || $2, $4, $3", &e);
    assert_ptr_equal(again, s);
    assert_ok(db_step(s, &row, &e));
    assert_true(db_is_null(s, 0) && db_is_null(s, 1) && db_text(s, 0).p == NULL);
    db_reset(s);
    place_close(&p);
}

static void values_come_back_as_they_went(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    assert_ok(db_exec(p.db, "CREATE TABLE t (a TEXT, b BLOB, c TEXT, d BLOB)", &e));
    struct stmt *s = db_stmt(p.db, "INSERT INTO t (a, b, c, d) VALUES ($1, $2, $3, $4)", &e);
    db_bind_text(s, 1, STR("x\0y"));
    db_bind_blob(s, 2, STR("\0\xff"));
    db_bind_text(s, 3, STR_NONE);
    db_bind_blob(s, 4, STR(""));
    assert_ok(db_run(s, &e));
    assert_int_equal(db_changes(p.db), 1);
    s = db_stmt(p.db, "SELECT a, b, c, d FROM t", &e);
    bool row = false;
    assert_ok(db_step(s, &row, &e));
    assert_true(str_eq(db_text(s, 0), STR("x\0y")));
    assert_true(str_eq(db_blob(s, 1), STR("\0\xff")));
    assert_true(db_is_null(s, 2));
    assert_true(!db_is_null(s, 3) && db_blob(s, 3).n == 0 && db_blob(s, 3).p);
    db_reset(s);
    place_close(&p);
}

static void bad_statements_are_told(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    assert_null(db_stmt(p.db, "SELEKT 1", &e));
    assert_int_equal(e.code, ERR_FAILED);
    assert_non_null(strstr(e.text, p.db_path));
    assert_null(db_stmt(p.db, "SELECT ?1", &e));
    assert_null(db_stmt(p.db, "SELECT $0", &e));
    assert_null(db_stmt(p.db, "SELECT \"no such column is no text\"", &e));
    assert_false(db_exec(p.db, "INSERT INTO setting (key) VALUES ('a')", &e));
    assert_ok(db_exec(p.db, "INSERT INTO setting (key, value) VALUES ('a', 'b')", &e));
    assert_false(db_exec(p.db, "INSERT INTO setting (key, value) VALUES ('a', 'b')", &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    place_close(&p);
}

static void transactions_keep_or_undo(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    assert_ok(db_begin(p.db, &e));
    assert_true(db_in_transaction(p.db));
    assert_ok(db_exec(p.db, "INSERT INTO setting (key, value) VALUES ('a', '1')", &e));
    db_rollback(p.db);
    assert_false(db_in_transaction(p.db));
    assert_int_equal(number(p.db, "SELECT count(*) FROM setting"), 0);
    assert_ok(db_begin(p.db, &e));
    assert_ok(db_exec(p.db, "INSERT INTO setting (key, value) VALUES ('a', '1')", &e));
    assert_ok(db_commit(p.db, &e));
    struct db *reader = NULL;
    assert_ok(db_open(p.db_path, DB_READ_ONLY, &reader, &e));
    assert_int_equal(number(reader, "SELECT count(*) FROM setting"), 1);
    assert_false(db_exec(reader, "DELETE FROM setting", &e));
    db_close(&reader);
    place_close(&p);
}

static void a_second_writer_waits_and_is_told(void **state)
{
    struct place p;
    struct err e = {0};
    struct db *other = NULL;
    place_open(&p);
    assert_ok(db_open(p.db_path, DB_READ_WRITE, &other, &e));
    assert_ok(db_exec(other, "PRAGMA busy_timeout=20", &e));
    assert_ok(db_begin(p.db, &e));
    assert_false(db_begin(other, &e));
    assert_int_equal(e.code, ERR_LATER);
    assert_ok(db_commit(p.db, &e));
    assert_ok(db_begin(other, &e));
    db_rollback(other);
    db_close(&other);
    place_close(&p);
}

static void pragmas_are_set(void **state)
{
    struct place p;
    place_open(&p);
    assert_int_equal(number(p.db, "PRAGMA synchronous"), 2);
    assert_int_equal(number(p.db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(p.db, "PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(number(p.db, "PRAGMA page_size"), 4096);
    assert_int_equal(number(p.db, "PRAGMA busy_timeout"), 5000);
    assert_int_equal(number(p.db, "SELECT 'a' LIKE 'A'"), 0);
    struct stat st;
    assert_int_equal(stat(p.db_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    place_close(&p);
}

static void work_is_counted(void **state)
{
    struct place p;
    struct err e = {0};
    struct db_stats before, after;
    place_open(&p);
    db_stats(p.db, &before);
    assert_ok(db_begin(p.db, &e));
    for (int i = 0; i < 10; i++) {
        struct stmt *s = db_stmt(p.db, "INSERT INTO setting (key, value) VALUES ($1, $2)", &e);
        db_bind_i64(s, 1, i);
        db_bind_i64(s, 2, i);
        assert_ok(db_run(s, &e));
    }
    assert_ok(db_commit(p.db, &e));
    db_stats(p.db, &after);
    assert_int_equal(after.commits - before.commits, 1);
    assert_int_equal(after.syncs - before.syncs, 1);
    assert_int_equal(after.rows_changed - before.rows_changed, 10);
    assert_true(after.bytes_written - before.bytes_written >= 4096);
    assert_true(db_wal_bytes(p.db) > 0);
    assert_ok(db_checkpoint(p.db, &e));
    place_close(&p);
}

struct refusal {
    int writes_left, error;
    bool syncs;
};

static int refuse_write(void *arg, const char *path, int64_t offset, const void *b, size_t n)
{
    struct refusal *r = arg;
    return r->writes_left-- > 0 ? 0 : r->error;
}

static int refuse_sync(void *arg, const char *path)
{
    return ((struct refusal *)arg)->syncs ? EIO : 0;
}

/* The k-th write fails, for each k: the transaction is undone, the next one goes through. */
static void a_full_disk_undoes_the_transaction(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    bool failed = true;
    int k = 0;
    for (; failed && k < 100; k++) {
        struct refusal r = {k, k % 2 ? ENOSPC : EIO, false};
        struct vfs_watch w = {&r, refuse_write, NULL};
        int64_t before = number(p.db, "SELECT count(*) FROM setting");
        vfs_watch_set(&w);
        assert_ok(db_begin(p.db, &e));
        struct stmt *s = db_stmt(p.db, "INSERT INTO setting (key, value) VALUES ($1, $2)", &e);
        db_bind_i64(s, 1, k);
        db_bind_blob(s, 2, (struct str){p.dir, sizeof p.dir});
        failed = !db_run(s, &e) || !db_commit(p.db, &e);
        vfs_watch_set(NULL);
        db_rollback(p.db);
        if (failed)
            assert_int_equal(e.code, k % 2 ? ERR_FULL : ERR_FAILED);
        assert_int_equal(number(p.db, "SELECT count(*) FROM setting"), before + (failed ? 0 : 1));
    }
    assert_true(k > 1 && !failed);
    assert_ok(db_check(p.db, &e));
    place_close(&p);
}

static void a_failed_sync_ends_the_process(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    pid_t pid = fork();
    if (pid == 0) {
        struct refusal r = {0, 0, true};
        struct vfs_watch w = {&r, NULL, refuse_sync};
        struct db *db = NULL;
        if (!db_open(p.db_path, DB_READ_WRITE, &db, &e))
            _exit(1);
        vfs_watch_set(&w);
        _exit(db_exec(db, "INSERT INTO setting (key, value) VALUES ('a', 'b')", &e) ? 2 : 3);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), VFS_SYNC_FAILED_EXIT);
    place_close(&p);
}

static void what_cannot_be_opened_is_told(void **state)
{
    struct place p;
    struct err e = {0};
    struct db *db = NULL;
    place_open(&p);
    assert_false(db_open("/no/such/folder/postfleet.db", DB_READ_WRITE, &db, &e));
    assert_non_null(strstr(e.text, "/no/such/folder/postfleet.db"));
    assert_null(db);
    assert_false(db_open("/no/such/folder/postfleet.db", DB_READ_ONLY, &db, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    db_close(&p.db);
    spoil(p.db_path, 0, 4096);
    assert_false(db_open(p.db_path, DB_READ_WRITE, &db, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    assert_non_null(strstr(e.text, "restore"));
    assert_false(db_open(p.db_path, DB_READ_ONLY, &db, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    place_close(&p);
}

static void damage_inside_is_found(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    for (int i = 0; i < 200; i++) {
        struct stmt *s = db_stmt(p.db, "INSERT INTO setting (key, value) VALUES ($1, $2)", &e);
        db_bind_i64(s, 1, i);
        db_bind_cstr(s, 2, "a value that takes some room in the page, so that there are several");
        assert_ok(db_run(s, &e));
    }
    assert_ok(db_check(p.db, &e));
    int64_t page = number(p.db, "SELECT rootpage FROM sqlite_master WHERE name = 'setting'");
    db_close(&p.db);
    spoil(p.db_path, (off_t)(page - 1) * 4096, 4096);
    assert_ok(db_open(p.db_path, DB_READ_WRITE, &p.db, &e));
    assert_false(db_check(p.db, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    assert_false(db_exec(p.db, "SELECT count(*) FROM setting", &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    place_close(&p);
}

/* Root may write everywhere, so a child becomes somebody else first. */
static int in_read_only_folder(const struct place *p)
{
    struct err e = {0};
    struct db *db = NULL;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 10;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/new.db", p->dir);
    if (db_open(path, DB_READ_WRITE, &db, &e) || e.code != ERR_FAILED)
        return 11;
    if (db_open(p->db_path, DB_READ_WRITE, &db, &e) || !strstr(e.text, "check"))
        return 12;
    return 0;
}

static void a_read_only_folder_is_told(void **state)
{
    struct place p;
    place_open(&p);
    db_close(&p.db);
    assert_int_equal(chmod(p.db_path, 0444), 0);
    assert_int_equal(chmod(p.dir, 0555), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(in_read_only_folder(&p));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(chmod(p.dir, 0755), 0);
    place_close(&p);
}

static uint64_t syncs_of(struct db *db)
{
    struct db_stats stats;
    db_stats(db, &stats);
    return stats.syncs;
}

static void insert_lazily(struct db *db, bool lazily)
{
    struct err e = {0};
    assert_ok(lazily ? db_begin_lazy(db, &e) : db_begin(db, &e));
    assert_ok(db_exec(db, "INSERT INTO t VALUES (1)", &e));
    assert_ok(db_commit(db, &e));
}

static void lazy_commits_are_synced_at_once(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    assert_ok(db_exec(p.db, "CREATE TABLE t (n INTEGER)", &e));
    uint64_t before = syncs_of(p.db);
    for (int i = 0; i < 20; i++)
        insert_lazily(p.db, true);
    assert_true(syncs_of(p.db) == before);
    assert_ok(db_sync(p.db, &e));
    assert_true(syncs_of(p.db) == before + 1);
    assert_ok(db_sync(p.db, &e)); /* nothing is owed */
    assert_true(syncs_of(p.db) == before + 1);
    insert_lazily(p.db, false);
    assert_true(syncs_of(p.db) == before + 2);
    assert_int_equal(number(p.db, "SELECT COUNT(*) FROM t"), 21);
    place_close(&p);
}

static void a_backup_is_whole(void **state)
{
    struct place p;
    struct err e = {0};
    struct db *copy = NULL;
    char path[128];
    place_open(&p);
    assert_ok(db_exec(p.db, "INSERT INTO setting (key, value) VALUES ('a', 'b')", &e));
    (void)snprintf(path, sizeof path, "%s/copy.db", p.dir);
    assert_ok(db_backup(p.db, path, &e));
    assert_false(db_backup(p.db, path, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_ok(db_open(path, DB_READ_WRITE, &copy, &e));
    assert_int_equal(number(copy, "SELECT count(*) FROM setting"), 1);
    assert_ok(db_check(copy, &e));
    db_close(&copy);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_go_by_their_number),
        cmocka_unit_test(values_come_back_as_they_went),
        cmocka_unit_test(bad_statements_are_told),
        cmocka_unit_test(transactions_keep_or_undo),
        cmocka_unit_test(a_second_writer_waits_and_is_told),
        cmocka_unit_test(pragmas_are_set),
        cmocka_unit_test(work_is_counted),
        cmocka_unit_test(a_full_disk_undoes_the_transaction),
        cmocka_unit_test(a_failed_sync_ends_the_process),
        cmocka_unit_test(what_cannot_be_opened_is_told),
        cmocka_unit_test(damage_inside_is_found),
        cmocka_unit_test(a_read_only_folder_is_told),
        cmocka_unit_test(lazy_commits_are_synced_at_once),
        cmocka_unit_test(a_backup_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
