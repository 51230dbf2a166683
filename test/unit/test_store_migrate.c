/* Migrations: from nothing, step by step with a copy beside, all or nothing, and the refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store_test.h"

static const struct migration two[] = {
    {"0001-a", "CREATE TABLE a (x INTEGER); INSERT INTO a (x) VALUES (1);"},
    {"0002-b", "CREATE TABLE b (x INTEGER); INSERT INTO b (x) SELECT x FROM a;"},
};
static const struct migration broken[] = {
    {"0001-a", "CREATE TABLE a (x INTEGER)"},
    {"0002-b", "CREATE TABLE b (x INTEGER); INSERT INTO nowhere (x) VALUES (1);"},
};

static void open_empty(struct place *p)
{
    struct err e = {0};
    place_open(p);
    db_close(&p->db);
    (void)snprintf(p->db_path, sizeof p->db_path, "%s/other.db", p->dir);
    assert_ok(db_open(p->db_path, DB_READ_WRITE, &p->db, &e));
}

static int version_of(struct db *db)
{
    struct err e = {0};
    int version = -1;
    assert_ok(migrate_version(db, &version, &e));
    return version;
}

static void the_house_is_built_once(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    assert_int_equal(version_of(p.db), migrate_latest());
    assert_ok(migrate_to_latest(p.db, &e));
    assert_ok(migrate_require_latest(p.db, &e));
    assert_int_equal(number(p.db, "SELECT count(*) FROM schema_version"), migrate_latest());
    assert_true(number(p.db, "SELECT count(*) FROM sqlite_master WHERE name = 'contact'") == 1);
    place_close(&p);
}

static void an_older_one_is_copied_and_brought_on(void **state)
{
    struct place p;
    struct err e = {0};
    char copy[128];
    struct db *old = NULL;
    open_empty(&p);
    assert_int_equal(version_of(p.db), 0);
    assert_ok(migrate_with(p.db, two, 1, &e));
    assert_int_equal(version_of(p.db), 1);
    (void)snprintf(copy, sizeof copy, "%s.version-1", p.db_path);
    assert_int_not_equal(access(copy, F_OK), 0);
    assert_ok(migrate_with(p.db, two, 2, &e));
    assert_int_equal(version_of(p.db), 2);
    assert_int_equal(number(p.db, "SELECT x FROM b"), 1);
    assert_ok(db_open(copy, DB_READ_WRITE, &old, &e));
    assert_int_equal(version_of(old), 1);
    db_close(&old);
    place_close(&p);
}

static void a_broken_one_leaves_all_as_it_was(void **state)
{
    struct place p;
    struct err e = {0};
    open_empty(&p);
    assert_ok(migrate_with(p.db, broken, 1, &e));
    assert_false(migrate_with(p.db, broken, 2, &e));
    assert_non_null(strstr(e.text, "0002-b"));
    assert_int_equal(version_of(p.db), 1);
    assert_int_equal(number(p.db, "SELECT count(*) FROM sqlite_master WHERE name = 'b'"), 0);
    assert_false(db_in_transaction(p.db));
    /* Again: the copy that is there stays, another is made. */
    assert_false(migrate_with(p.db, broken, 2, &e));
    char copy[128];
    (void)snprintf(copy, sizeof copy, "%s.version-1.1", p.db_path);
    assert_int_equal(access(copy, F_OK), 0);
    assert_ok(migrate_with(p.db, two, 2, &e));
    place_close(&p);
}

static void a_newer_one_is_refused(void **state)
{
    struct place p;
    struct err e = {0};
    place_open(&p);
    char later[100];
    (void)snprintf(later, sizeof later, "INSERT INTO schema_version VALUES (%d, 'later', 1)",
                   migrate_latest() + 5);
    assert_ok(db_exec(p.db, later, &e));
    assert_false(migrate_to_latest(p.db, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    char words[80];
    (void)snprintf(words, sizeof words, "has version %d, this postfleet knows %d",
                   migrate_latest() + 5, migrate_latest());
    assert_non_null(strstr(e.text, words));
    assert_non_null(strstr(e.text, p.db_path));
    assert_false(migrate_require_latest(p.db, &e));
    place_close(&p);
}

static void a_foreign_one_is_refused(void **state)
{
    struct place p;
    struct err e = {0};
    open_empty(&p);
    assert_false(migrate_require_latest(p.db, &e));
    assert_ok(db_exec(p.db, "CREATE TABLE bookmarks (x INTEGER)", &e));
    assert_false(migrate_to_latest(p.db, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    assert_non_null(strstr(e.text, "another program"));
    assert_int_equal(number(p.db, "SELECT count(*) FROM sqlite_master"), 1);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_house_is_built_once),
        cmocka_unit_test(an_older_one_is_copied_and_brought_on),
        cmocka_unit_test(a_broken_one_leaves_all_as_it_was),
        cmocka_unit_test(a_newer_one_is_refused),
        cmocka_unit_test(a_foreign_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
