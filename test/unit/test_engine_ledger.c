/* Jobs of a transaction that a full disk undid as a whole, what a failed job takes back, and long
 * jobs in bites. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "engine/ledger.h"
#include "net/loop.h"
#include "store_test.h"

struct scene {
    struct place p;
    struct loop *loop;
    struct ledger *ledger;
    int left; /* jobs that are not done */
};

struct row {
    struct ledger_job lj;
    struct scene *scene;
    const char *sql;
    bool fails, is_done, is_undone;
};

static bool no_counters(void *arg, struct db *db, struct err *e)
{
    return true;
}

static void nothing_dropped(void *arg)
{
}

static void scene_open(struct scene *s)
{
    struct err e = {0};
    *s = (struct scene){0};
    place_open(&s->p);
    assert_ok(db_exec(s->p.db, "CREATE TABLE t (n INTEGER)", &e));
    s->loop = loop_new();
    struct ledger_config cfg = {.loop = s->loop,
                                .db = s->p.db,
                                .before_commit = no_counters,
                                .after_rollback = nothing_dropped};
    assert_ok(ledger_start(&cfg, &s->ledger, &e));
}

/* What lies in the table, by a connection of its own; the scene is over then. */
static int64_t scene_close(struct scene *s)
{
    struct err e = {0};
    ledger_stop(&s->ledger);
    loop_free(&s->loop);
    assert_ok(db_open(s->p.db_path, DB_READ_WRITE, &s->p.db, &e));
    int64_t n = number(s->p.db, "SELECT COUNT(*) FROM t");
    place_close(&s->p);
    return n;
}

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct row *r = container_of(lj, struct row, lj);
    if (!db_exec(db, r->sql, e))
        return false;
    return !r->fails || err_set(e, ERR_FULL, "the disk is full");
}

static void undo(struct ledger_job *lj)
{
    container_of(lj, struct row, lj)->is_undone = true;
}

static void done(struct ledger_job *lj)
{
    struct row *r = container_of(lj, struct row, lj);
    r->is_done = true;
    if (--r->scene->left == 0)
        loop_stop(r->scene->loop);
}

/* All of them are there before the thread looks: they go into one transaction. */
static void run_all(struct scene *s, struct row *rows, int n, enum ledger_order order)
{
    s->left = n;
    for (int i = 0; i < n; i++) {
        rows[i].scene = s;
        rows[i].lj = (struct ledger_job){.order = order, .work = work, .undo = undo, .done = done};
        ledger_post(s->ledger, &rows[i].lj);
    }
    loop_run(s->loop);
}

static void accepts_fail_alone(void **state)
{
    struct scene s;
    struct row rows[3] = {{.sql = "INSERT INTO t VALUES (1)"},
                          {.sql = "INSERT INTO t VALUES (2)", .fails = true},
                          {.sql = "INSERT INTO t VALUES (3)"}};
    scene_open(&s);
    run_all(&s, rows, 3, LEDGER_ACCEPT);
    assert_true(rows[0].lj.ok && !rows[1].lj.ok && rows[2].lj.ok);
    assert_int_equal(scene_close(&s), 2);
}

/* What is answered as failed is not there, whichever transaction each of them fell into. */
static void accepts_fail_together_when_the_transaction_is_gone(void **state)
{
    enum { N = 40 };
    struct scene s;
    static struct row rows[N];
    memset(rows, 0, sizeof rows);
    for (int i = 0; i < N; i++)
        rows[i].sql = "INSERT INTO t VALUES (1)";
    for (int i = 1; i < N; i += 10) { /* as SQLite does when the disk is full */
        rows[i].sql = "INSERT INTO t VALUES (2); ROLLBACK";
        rows[i].fails = true;
    }
    scene_open(&s);
    run_all(&s, rows, N, LEDGER_ACCEPT);
    int taken = 0;
    for (int i = 0; i < N; i++)
        taken += rows[i].lj.ok;
    assert_int_equal(scene_close(&s), taken);
    assert_true(taken < N - 4 + 1);
}

/* ---- a slice that rides with an accept */

struct journey {
    struct row accept, slice;
    atomic_bool is_posted; /* the slice, while the accept is at work */
};

static bool wait_and_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct journey *j = container_of(container_of(lj, struct row, lj), struct journey, accept);
    while (!atomic_load(&j->is_posted))
        sched_yield();
    return work(lj, db, e);
}

/* How many rows there are in the end. */
static int64_t travel(struct journey *j, uint64_t *transactions_out)
{
    struct scene s;
    struct ledger_stats stats;
    scene_open(&s);
    s.left = 2;
    j->accept.scene = j->slice.scene = &s;
    j->accept.lj = (struct ledger_job){.order = LEDGER_ACCEPT, .work = wait_and_work, .done = done};
    j->slice.lj = (struct ledger_job){
        .order = LEDGER_SLICE, .rides = true, .work = work, .undo = undo, .done = done};
    ledger_post(s.ledger, &j->accept.lj);
    ledger_post(s.ledger, &j->slice.lj);
    atomic_store(&j->is_posted, true);
    loop_run(s.loop);
    ledger_stats(s.ledger, &stats);
    *transactions_out = stats.transactions;
    return scene_close(&s);
}

static void a_slice_rides_with_accepts(void **state)
{
    uint64_t transactions = 0;
    struct journey j = {.accept.sql = "INSERT INTO t VALUES (1)",
                        .slice.sql = "INSERT INTO t VALUES (2)"};
    int64_t rows = travel(&j, &transactions);
    assert_true(j.accept.lj.ok && j.slice.lj.ok && !j.slice.is_undone);
    assert_int_equal(rows, 2);
    assert_int_equal(transactions, 1);
}

static void a_rider_that_fails_falls_alone(void **state)
{
    uint64_t transactions = 0;
    struct journey j = {.accept.sql = "INSERT INTO t VALUES (1)",
                        .slice = {.sql = "INSERT INTO t VALUES (2)", .fails = true}};
    int64_t rows = travel(&j, &transactions);
    assert_true(j.accept.lj.ok && !j.slice.lj.ok && j.slice.is_undone);
    assert_int_equal(rows, 1);
}

/* Nobody is told that rows are there which went with the transaction. */
static void a_rider_that_breaks_the_transaction(void **state)
{
    uint64_t transactions = 0;
    struct journey j = {.accept.sql = "INSERT INTO t VALUES (1)",
                        .slice = {.sql = "INSERT INTO t VALUES (2); ROLLBACK", .fails = true}};
    int64_t rows = travel(&j, &transactions);
    assert_true(!j.slice.lj.ok && j.slice.is_undone);
    assert_int_equal(rows, j.accept.lj.ok);
}

static void a_failed_slice_is_undone(void **state)
{
    struct scene s;
    struct row rows[2] = {{.sql = "INSERT INTO t VALUES (1)"},
                          {.sql = "INSERT INTO t VALUES (2)", .fails = true}};
    scene_open(&s);
    run_all(&s, rows, 2, LEDGER_SLICE);
    assert_true(rows[0].lj.ok && !rows[0].is_undone);
    assert_true(!rows[1].lj.ok && rows[1].is_undone);
    assert_int_equal(scene_close(&s), 1);
}

/* A long import: inserts a row a bite, and notes when the others had their turn. */
struct meal {
    struct ledger_job lj;
    struct scene *scene;
    int bites, bites_wanted, fails_at;
    int others_before; /* the bite at which the accept was there */
    bool is_done;
};

static bool bite(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct meal *m = container_of(lj, struct meal, lj);
    if (!m->others_before && number(db, "SELECT COUNT(*) FROM t WHERE n = 100") > 0)
        m->others_before = m->bites + 1;
    if (++m->bites == m->fails_at)
        return err_set(e, ERR_FULL, "the disk is full");
    lj->again = m->bites < m->bites_wanted;
    return db_exec(db, "INSERT INTO t VALUES (1)", e);
}

static void meal_done(struct ledger_job *lj)
{
    struct meal *m = container_of(lj, struct meal, lj);
    m->is_done = true;
    if (--m->scene->left == 0)
        loop_stop(m->scene->loop);
}

static void meal_post(struct scene *s, struct meal *m)
{
    m->scene = s;
    m->lj = (struct ledger_job){.order = LEDGER_IMPORT, .work = bite, .done = meal_done};
    ledger_post(s->ledger, &m->lj);
}

/* Whatever stands before an import goes in between its bites, and it is done once, at its end. */
static void others_go_between_bites(void **state)
{
    struct scene s;
    struct meal m = {.bites_wanted = 500};
    struct row accept = {.sql = "INSERT INTO t VALUES (100)"},
               slice = {.sql = "INSERT INTO t VALUES (100)"};
    struct row *rows[] = {&accept, &slice};
    static const enum ledger_order orders[] = {LEDGER_ACCEPT, LEDGER_SLICE};
    scene_open(&s);
    s.left = 3;
    meal_post(&s, &m);
    for (int i = 0; i < 2; i++) {
        rows[i]->scene = &s;
        rows[i]->lj = (struct ledger_job){.order = orders[i], .work = work, .done = done};
        ledger_post(s.ledger, &rows[i]->lj);
    }
    loop_run(s.loop);
    assert_true(m.is_done && m.lj.ok && m.bites == 500);
    assert_true(m.others_before > 0 && m.others_before < 500);
    struct ledger_stats stats;
    ledger_stats(s.ledger, &stats);
    assert_true(stats.db.syncs < 100); /* not one a bite */
    assert_int_equal(scene_close(&s), 502);
}

static void a_failed_bite_leaves_those_before(void **state)
{
    struct scene s;
    struct meal m = {.bites_wanted = 20, .fails_at = 8};
    scene_open(&s);
    s.left = 1;
    meal_post(&s, &m);
    loop_run(s.loop);
    assert_true(m.is_done && !m.lj.ok && m.bites == 8);
    assert_int_equal(scene_close(&s), 7);
}

/* More than 5 ms of accepts go into several transactions; all of them are done. */
static bool slow_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    int64_t until = clock_boot_us() + 2000;
    while (clock_boot_us() < until)
        ;
    return work(lj, db, e);
}

static void accepts_are_cut_by_time(void **state)
{
    enum { N = 12 };
    struct scene s;
    static struct row rows[N];
    struct ledger_stats before, after;
    scene_open(&s);
    ledger_stats(s.ledger, &before);
    s.left = N;
    for (int i = 0; i < N; i++) {
        rows[i] = (struct row){.sql = "INSERT INTO t VALUES (1)", .scene = &s};
        rows[i].lj = (struct ledger_job){.order = LEDGER_ACCEPT, .work = slow_work, .done = done};
        ledger_post(s.ledger, &rows[i].lj);
    }
    loop_run(s.loop);
    ledger_stats(s.ledger, &after);
    assert_true(after.transactions - before.transactions >= N / 3);
    assert_int_equal(scene_close(&s), N);
}

static atomic_bool disk_is_full;

static bool work_unless_full(struct ledger_job *lj, struct db *db, struct err *e)
{
    return atomic_load(&disk_is_full) ? err_set(e, ERR_FULL, "no space") : work(lj, db, e);
}

/* Results wait for the disk; who waits for an answer does not. */
static void accepts_do_not_wait_for_a_full_disk(void **state)
{
    struct scene s;
    struct row result = {.sql = "INSERT INTO t VALUES (1)"},
               taken = {.sql = "INSERT INTO t VALUES (2)"};
    char why[300];
    scene_open(&s);
    atomic_store(&disk_is_full, true);
    result.scene = &s;
    result.lj = (struct ledger_job){
        .order = LEDGER_RESULT, .rows = 1, .work = work_unless_full, .done = done};
    ledger_post(s.ledger, &result.lj);
    ledger_hurry(s.ledger);
    while (!ledger_disk_full(s.ledger))
        sched_yield();
    assert_true(ledger_stuck(s.ledger, why, sizeof why) > 0);
    assert_non_null(strstr(why, "disk full"));
    run_all(&s, &taken, 1, LEDGER_ACCEPT);
    assert_true(taken.is_done && !taken.lj.ok && taken.lj.error.code == ERR_FULL);
    assert_false(result.is_done);
    atomic_store(&disk_is_full, false);
    s.left = 1;
    loop_run(s.loop);
    assert_true(result.is_done && result.lj.ok);
    assert_int_equal(ledger_stuck(s.ledger, why, sizeof why), 0);
    assert_int_equal(scene_close(&s), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_fail_alone),
        cmocka_unit_test(accepts_fail_together_when_the_transaction_is_gone),
        cmocka_unit_test(a_failed_slice_is_undone),
        cmocka_unit_test(a_slice_rides_with_accepts),
        cmocka_unit_test(a_rider_that_fails_falls_alone),
        cmocka_unit_test(a_rider_that_breaks_the_transaction),
        cmocka_unit_test(others_go_between_bites),
        cmocka_unit_test(a_failed_bite_leaves_those_before),
        cmocka_unit_test(accepts_are_cut_by_time),
        cmocka_unit_test(accepts_do_not_wait_for_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
