/* Ordering jobs into transactions. Knows nothing of what the jobs do. */
#include "engine/ledger.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RESULT_WAIT_MS 200
#define RESULT_ROWS    5000
#define RETRY_MS       500
#define GIVE_UP_MS     2000 /* a full disk that stays full while the daemon stops */
#define TOLD_EVERY_MS  60000

struct ledger {
    struct ledger_config cfg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list waiting[LEDGER_ORDERS];
    struct list finished;
    uint32_t result_rows;
    int64_t oldest_result; /* boot ms; 0: none; atomic */
    bool hurry, stopping, disk_full;
    int64_t stuck_since; /* boot ms; 0: results can be written */
    char stuck_why[640];
    int64_t told_at; /* the thread's own */
    bool gave_up;    /* the thread's own until it has ended */
    bool import_is_next;
    struct wake *reactor;
    struct ledger_stats stats;
};

/* ---- reactor's side */

void ledger_post(struct ledger *l, struct ledger_job *j)
{
    j->posted_at = clock_boot_ms();
    pthread_mutex_lock(&l->lock);
    list_push_back(&l->waiting[j->order], &j->link);
    bool wake = true;
    if (j->order == LEDGER_RESULT) {
        wake = l->result_rows == 0 || l->result_rows + j->rows >= RESULT_ROWS;
        l->result_rows += j->rows;
        if (!l->oldest_result)
            __atomic_store_n(&l->oldest_result, j->posted_at, __ATOMIC_RELAXED);
    }
    if (wake)
        pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

void ledger_hurry(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    l->hurry = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

int64_t ledger_behind_ms(struct ledger *l, int64_t boot_ms)
{
    int64_t oldest = __atomic_load_n(&l->oldest_result, __ATOMIC_RELAXED);
    return oldest ? MAX(boot_ms - oldest, (int64_t)0) : 0;
}

bool ledger_disk_full(struct ledger *l)
{
    return __atomic_load_n(&l->disk_full, __ATOMIC_RELAXED);
}

int64_t ledger_stuck(struct ledger *l, char *why_out, size_t size)
{
    pthread_mutex_lock(&l->lock);
    int64_t since = l->stuck_since;
    snprintf(why_out, size, "%s", since ? l->stuck_why : "");
    pthread_mutex_unlock(&l->lock);
    return since;
}

void ledger_stats(struct ledger *l, struct ledger_stats *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->stats;
    pthread_mutex_unlock(&l->lock);
}

static void deliver(void *arg)
{
    struct ledger *l = arg;
    struct list mine;
    list_init(&mine);
    pthread_mutex_lock(&l->lock);
    for (struct list *n = list_pop_front(&l->finished); n; n = list_pop_front(&l->finished))
        list_push_back(&mine, n);
    pthread_mutex_unlock(&l->lock);
    for (struct list *n = list_pop_front(&mine); n; n = list_pop_front(&mine)) {
        struct ledger_job *j = list_entry(n, struct ledger_job, link);
        j->done(j);
    }
}

/* ---- ledger's side */

/* In front of what came since, in their order. Lock held. */
static void put_back(struct ledger *l, struct list *jobs, enum ledger_order order)
{
    for (struct list *n = jobs->prev; n != jobs; n = jobs->prev) {
        list_remove(n);
        list_push_front(&l->waiting[order], n);
    }
}

/* What of a list of jobs does not fit into the transaction any more. */
static void cut_rest(struct list *n, const struct list *jobs, struct list *rest)
{
    while (n != jobs) {
        struct list *next = n->next;
        list_remove(n);
        list_push_back(rest, n);
        n = next;
    }
}

static void note_work(struct ledger *l, enum ledger_order order, int64_t started_us)
{
    uint64_t us = (uint64_t)MAX(clock_boot_us() - started_us, (int64_t)0);
    pthread_mutex_lock(&l->lock);
    l->stats.over[order] += us > LEDGER_WORK_US;
    l->stats.longest_us[order] = MAX(l->stats.longest_us[order], us);
    pthread_mutex_unlock(&l->lock);
}

static void hand_back(struct ledger *l, struct list *jobs)
{
    pthread_mutex_lock(&l->lock);
    for (struct list *n = list_pop_front(jobs); n; n = list_pop_front(jobs))
        list_push_back(&l->finished, n);
    db_stats(l->cfg.db, &l->stats.db);
    l->stats.transactions++;
    pthread_mutex_unlock(&l->lock);
    wake_signal(l->reactor);
}

static void fail_all(struct list *jobs, const struct err *e)
{
    list_each(it, jobs)
    {
        struct ledger_job *j = list_entry(it, struct ledger_job, link);
        j->ok = false;
        j->error = *e;
    }
}

static bool savepoint(struct db *db, const char *sql, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    return s && db_run(s, e);
}

/* A job whose failure must not undo its neighbours. */
static void work_alone(struct ledger_job *j, struct db *db)
{
    struct err e = {0};
    if (j->is_read) {
        j->ok = j->work(j, db, &j->error);
        return;
    }
    j->ok = savepoint(db, "SAVEPOINT job", &j->error) && j->work(j, db, &j->error);
    if (!j->ok && db_in_transaction(db) && !savepoint(db, "ROLLBACK TO job", &e))
        log_event(LOG_ERROR, "ledger.savepoint", "%s", e.text);
    if (db_in_transaction(db) && !savepoint(db, "RELEASE job", &e))
        log_event(LOG_ERROR, "ledger.savepoint", "%s", e.text);
}

/* ---- slices that ride with accepts: what is accepted wants to be claimed, again and again, and a
 * transaction of its own would be a sync of its own. */

static void take_riders(struct ledger *l, struct list *riders)
{
    pthread_mutex_lock(&l->lock);
    list_each_safe(it, &l->waiting[LEDGER_SLICE])
    {
        if (!list_entry(it, struct ledger_job, link)->rides)
            continue;
        list_remove(it);
        list_push_back(riders, it);
    }
    pthread_mutex_unlock(&l->lock);
}

/* False with *e: the whole transaction is gone. */
static bool ride(struct ledger *l, struct list *riders, struct err *e)
{
    bool ok = true;
    take_riders(l, riders);
    list_each(it, riders)
    {
        struct ledger_job *j = list_entry(it, struct ledger_job, link);
        j->again = j->ok = false;
        if (ok)
            work_alone(j, l->cfg.db);
        else
            j->error = *e;
        if (!j->ok && j->undo)
            j->undo(j);
        if (ok && !db_in_transaction(l->cfg.db)) {
            ok = false;
            *e = j->error;
        }
    }
    return ok;
}

static void riders_arrive(struct list *riders, struct list *jobs, bool ok, const struct err *e)
{
    for (struct list *n = list_pop_front(riders); n; n = list_pop_front(riders)) {
        struct ledger_job *j = list_entry(n, struct ledger_job, link);
        if (!ok && j->ok) {
            j->ok = false;
            j->error = *e;
            if (j->undo)
                j->undo(j);
        }
        list_push_back(jobs, n);
    }
}

static void run_accepts(struct ledger *l, struct list *jobs)
{
    struct err e = {0};
    struct list rest, riders;
    int64_t start = clock_boot_us();
    bool ok = db_begin(l->cfg.db, &e);
    struct list *n = jobs->next;
    list_init(&rest);
    list_init(&riders);
    while (ok && n != jobs && clock_boot_us() - start < LEDGER_WORK_US) {
        struct ledger_job *j = list_entry(n, struct ledger_job, link);
        n = n->next;
        work_alone(j, l->cfg.db);
        ok = db_in_transaction(l->cfg.db);
        if (!ok) /* a full disk undid the whole transaction, the rows of all before included */
            e = j->error;
    }
    if (ok)
        cut_rest(n, jobs, &rest);
    note_work(l, LEDGER_ACCEPT, start);
    ok = ok && ride(l, &riders, &e) && db_commit(l->cfg.db, &e);
    if (!ok && db_in_transaction(l->cfg.db))
        db_rollback(l->cfg.db);
    if (!ok)
        fail_all(jobs, &e);
    riders_arrive(&riders, jobs, ok, &e);
    pthread_mutex_lock(&l->lock);
    put_back(l, &rest, LEDGER_ACCEPT);
    pthread_mutex_unlock(&l->lock);
    hand_back(l, jobs);
}

/* Also of an import that has come to its end: the sync that its bites did without. */
static bool run_bite(struct ledger *l, struct ledger_job *j)
{
    struct db *db = l->cfg.db;
    int64_t start = clock_boot_us();
    bool ok = db_begin_lazy(db, &j->error) && j->work(j, db, &j->error) && db_commit(db, &j->error);
    note_work(l, j->order, start);
    return ok && (j->again || db_sync(db, &j->error));
}

static bool run_whole(struct ledger *l, struct ledger_job *j)
{
    struct db *db = l->cfg.db;
    int64_t start = clock_boot_us();
    if (j->is_read)
        return j->work(j, db, &j->error);
    bool ok = db_begin(db, &j->error) && j->work(j, db, &j->error);
    note_work(l, j->order, start);
    return ok && db_commit(db, &j->error);
}

static void run_one(struct ledger *l, struct ledger_job *j)
{
    struct list jobs;
    list_init(&jobs);
    list_push_back(&jobs, &j->link);
    j->again = false;
    j->ok = j->order == LEDGER_IMPORT ? run_bite(l, j) : run_whole(l, j);
    if (!j->ok && db_in_transaction(l->cfg.db))
        db_rollback(l->cfg.db);
    if (!j->ok && j->undo)
        j->undo(j);
    if (j->ok && j->again) {
        pthread_mutex_lock(&l->lock);
        put_back(l, &jobs, j->order);
        l->stats.transactions++;
        pthread_mutex_unlock(&l->lock);
        return;
    }
    hand_back(l, &jobs);
}

static bool try_results(struct ledger *l, struct list *jobs, struct list *rest, struct err *e)
{
    int64_t start = clock_boot_us();
    struct list *n = jobs->next;
    if (!db_begin(l->cfg.db, e))
        return false;
    bool ok = true;
    while (ok && n != jobs && clock_boot_us() - start < LEDGER_WORK_US) {
        struct ledger_job *j = list_entry(n, struct ledger_job, link);
        n = n->next;
        ok = j->ok = j->work(j, l->cfg.db, e);
    }
    if (ok) /* over the time: they go into the next one */
        cut_rest(n, jobs, rest);
    ok = ok && l->cfg.before_commit(l->cfg.arg, l->cfg.db, e);
    note_work(l, LEDGER_RESULT, start);
    ok = ok && db_commit(l->cfg.db, e);
    if (!ok) {
        if (db_in_transaction(l->cfg.db))
            db_rollback(l->cfg.db);
        l->cfg.after_rollback(l->cfg.arg);
    }
    return ok;
}

static void nap(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static uint32_t count_rows(const struct list *jobs)
{
    uint32_t n = 0;
    list_each(it, jobs) n += list_entry(it, struct ledger_job, link)->rows;
    return n;
}

/* Told at the beginning, then once a minute. */
static void note_stuck(struct ledger *l, const struct err *e)
{
    int64_t now = clock_boot_ms();
    pthread_mutex_lock(&l->lock);
    bool begins = l->stuck_since == 0;
    if (begins)
        l->stuck_since = now;
    snprintf(l->stuck_why, sizeof l->stuck_why, "%s: %s",
             e->code == ERR_FULL ? "disk full" : "database busy", e->text);
    pthread_mutex_unlock(&l->lock);
    __atomic_store_n(&l->disk_full, true, __ATOMIC_RELAXED);
    if (!begins && now - l->told_at < TOLD_EVERY_MS)
        return;
    l->told_at = now;
    log_event(LOG_ERROR, e->code == ERR_FULL ? "ledger.full" : "ledger.busy",
              "sending waits and goes on by itself: %s", e->text);
}

static void note_unstuck(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    int64_t since = l->stuck_since;
    l->stuck_since = 0;
    pthread_mutex_unlock(&l->lock);
    __atomic_store_n(&l->disk_full, false, __ATOMIC_RELAXED);
    if (since)
        log_event(LOG_NOTICE, "ledger.free", "results are written again after %.1f s",
                  (double)(clock_boot_ms() - since) / 1000);
}

static bool gives_up(struct ledger *l, struct list *jobs, int64_t failing_since)
{
    pthread_mutex_lock(&l->lock);
    l->gave_up = l->stopping && clock_boot_ms() - failing_since >= GIVE_UP_MS;
    if (l->gave_up)
        put_back(l, jobs, LEDGER_RESULT);
    pthread_mutex_unlock(&l->lock);
    return l->gave_up;
}

static void results_written(struct ledger *l, struct list *jobs, struct list *rest)
{
    uint32_t rows = count_rows(jobs);
    note_unstuck(l);
    pthread_mutex_lock(&l->lock);
    put_back(l, rest, LEDGER_RESULT);
    l->result_rows -= rows;
    l->stats.results += rows;
    int64_t oldest =
        list_empty(&l->waiting[LEDGER_RESULT])
            ? 0
            : list_first(&l->waiting[LEDGER_RESULT], struct ledger_job, link)->posted_at;
    __atomic_store_n(&l->oldest_result, oldest, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&l->lock);
    hand_back(l, jobs);
}

/* They would wait behind the results for as long as the disk is full, while somebody waits for the
 * answer: refused, so that nothing is done later that its sender has given up. */
static void refuse_accepts(struct ledger *l, const struct err *e)
{
    struct list jobs;
    list_init(&jobs);
    pthread_mutex_lock(&l->lock);
    for (struct list *n = list_pop_front(&l->waiting[LEDGER_ACCEPT]); n;
         n = list_pop_front(&l->waiting[LEDGER_ACCEPT]))
        list_push_back(&jobs, n);
    pthread_mutex_unlock(&l->lock);
    if (list_empty(&jobs))
        return;
    fail_all(&jobs, e);
    hand_back(l, &jobs);
}

/* Results are facts: they are tried again until the disk takes them, or the daemon stops: then the
 * next start reads them from the journal. */
static void run_results(struct ledger *l, struct list *jobs)
{
    struct err e = {0};
    struct list rest;
    int64_t failing_since = 0;
    list_init(&rest);
    while (!try_results(l, jobs, &rest, &e)) {
        if (e.code != ERR_FULL && e.code != ERR_LATER) {
            log_event(LOG_ERROR, "ledger.failed", "results cannot be written: %s", e.text);
            _Exit(74);
        }
        note_stuck(l, &e);
        refuse_accepts(l, &e);
        for (struct list *n = list_pop_front(&rest); n; n = list_pop_front(&rest))
            list_push_back(jobs, n);
        failing_since = failing_since ? failing_since : clock_boot_ms();
        if (gives_up(l, jobs, failing_since))
            return;
        nap(RETRY_MS);
    }
    results_written(l, jobs, &rest);
}

static bool results_are_due(const struct ledger *l)
{
    return !list_empty(&l->waiting[LEDGER_RESULT]) &&
           (l->hurry || l->stopping || l->result_rows >= RESULT_ROWS ||
            clock_boot_ms() - l->oldest_result >= RESULT_WAIT_MS);
}

/* Lock held. What goes next, or NONE. */
static int choose(const struct ledger *l)
{
    if (!list_empty(&l->waiting[LEDGER_ACCEPT]))
        return LEDGER_ACCEPT;
    if (results_are_due(l))
        return LEDGER_RESULT;
    if (!list_empty(&l->waiting[LEDGER_ADMIN]))
        return LEDGER_ADMIN;
    bool slice = !list_empty(&l->waiting[LEDGER_SLICE]);
    bool import = !list_empty(&l->waiting[LEDGER_IMPORT]);
    if (!slice && !import)
        return -1;
    return import && (!slice || l->import_is_next) ? LEDGER_IMPORT : LEDGER_SLICE;
}

static void wait_for_work(struct ledger *l)
{
    if (list_empty(&l->waiting[LEDGER_RESULT])) {
        pthread_cond_wait(&l->wake, &l->lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t left = RESULT_WAIT_MS - (clock_boot_ms() - l->oldest_result);
    int64_t ns = until.tv_nsec + MAX(left, (int64_t)1) * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(&l->wake, &l->lock, &until);
}

static void *ledger_thread(void *arg)
{
    struct ledger *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->gave_up) {
        int order = choose(l);
        if (order < 0) {
            l->hurry = false;
            if (l->stopping)
                break;
            wait_for_work(l);
            continue;
        }
        struct list jobs;
        list_init(&jobs);
        l->import_is_next = order == LEDGER_SLICE || (l->import_is_next && order != LEDGER_IMPORT);
        bool all = order == LEDGER_ACCEPT || order == LEDGER_RESULT;
        for (struct list *n = list_pop_front(&l->waiting[order]); n;
             n = all ? list_pop_front(&l->waiting[order]) : NULL)
            list_push_back(&jobs, n);
        pthread_mutex_unlock(&l->lock);
        if (order == LEDGER_ACCEPT)
            run_accepts(l, &jobs);
        else if (order == LEDGER_RESULT)
            run_results(l, &jobs);
        else
            run_one(l, list_entry(list_pop_front(&jobs), struct ledger_job, link));
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

bool ledger_start(const struct ledger_config *cfg, struct ledger **out, struct err *e)
{
    struct ledger *l = alloc_one(struct ledger);
    pthread_condattr_t attr;
    l->cfg = *cfg;
    for (int i = 0; i < LEDGER_ORDERS; i++)
        list_init(&l->waiting[i]);
    list_init(&l->finished);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    l->reactor = wake_new(cfg->loop, deliver, l);
    int rc = pthread_create(&l->thread, NULL, ledger_thread, l);
    if (rc != 0)
        return err_set(e, ERR_FAILED, "ledger thread: %s", strerror(rc));
    *out = l;
    return true;
}

uint32_t ledger_stop(struct ledger **lp)
{
    struct ledger *l = *lp;
    if (!l)
        return 0;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    *lp = NULL;
    if (l->gave_up) {
        static struct ledger *kept; /* with all that was not written: the process ends now */
        log_event(LOG_ERROR, "ledger.left",
                  "the disk is full: the next start reads %u results "
                  "from the journal",
                  l->result_rows);
        kept = l;
        (void)kept;
        return l->result_rows;
    }
    deliver(l); /* what they post now is not run: a start sees to it */
    wake_free(&l->reactor);
    db_close(&l->cfg.db);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
    return 0;
}
