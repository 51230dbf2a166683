/* The ledger thread: the only writer of the database. Jobs come with their own work; the ledger
 * decides the order (accepts, results, admin, slices and imports), puts them into transactions of
 * at most 5 ms of work, commits, and hands every job back to the reactor after the commit.
 * A long job works in bites: it watches the clock, asks to be called again, and between two bites
 * all that stands before it in the order has its turn. */
#ifndef ENGINE_LEDGER_H
#define ENGINE_LEDGER_H

#include "base/err.h"
#include "base/list.h"
#include "store/db.h"
#include "store/ids.h"

#define LEDGER_WORK_US 5000 /* of a transaction; its sync is not counted */

struct loop;
struct ledger;

enum ledger_order {
    LEDGER_ACCEPT = 0, /* many in a transaction, each undone alone when it fails */
    LEDGER_RESULT, /* kept until 200 ms or 5,000 rows, in order, tried again until they are in */
    LEDGER_ADMIN,  /* a transaction each */
    LEDGER_SLICE,  /* a transaction each; in turns with imports */
    LEDGER_IMPORT, /* in bites, a transaction each; synced once, before the job is done */
    LEDGER_ORDERS
};

struct ledger_job {
    struct list link;
    enum ledger_order order;
    bool is_read;      /* needs no transaction */
    bool rides;        /* SLICE: may share the transaction of accepts, and so its sync */
    uint32_t rows;     /* RESULT: how many it counts for */
    int64_t posted_at; /* boot ms, set by ledger_post */
    /* On the ledger thread, inside a transaction. False with *e: undone and reported (RESULT: the
     * process goes on trying when the disk is full, and ends when the rows are impossible). */
    bool (*work)(struct ledger_job *j, struct db *db, struct err *e);
    /* IMPORT, set by work(): commit this bite, then call work() again in a transaction of its own.
     */
    bool again;
    /* On the ledger thread, of a single job (ADMIN, SLICE, IMPORT) that failed, in its work or its
     * commit: takes back what work() did outside the database. May be NULL. */
    void (*undo)(struct ledger_job *j);
    void (*done)(struct ledger_job *j); /* on the reactor; frees the job */
    bool ok;
    struct err error;
};

struct ledger_config {
    struct loop *loop; /* of the reactor: done() runs there */
    struct db *db;     /* owned by the ledger from here on */
    /* Called in every RESULT transaction before its commit (counters), and after it. */
    bool (*before_commit)(void *arg, struct db *db, struct err *e);
    void (*after_rollback)(void *arg);
    void *arg;
};

bool ledger_start(const struct ledger_config *cfg, struct ledger **out, struct err *e) MUST_USE;
/* From the reactor thread. Never refused. */
void ledger_post(struct ledger *l, struct ledger_job *j);
/* Write what waits now (a graceful stop, a finishing campaign). */
void ledger_hurry(struct ledger *l);
/* Age of the oldest result not written yet, ms; 0: none. */
int64_t ledger_behind_ms(struct ledger *l, int64_t boot_ms);
bool ledger_disk_full(struct ledger *l);
/* Since when (boot ms) results cannot be written, and why; 0: they can be. */
int64_t ledger_stuck(struct ledger *l, char *why_out, size_t size);
/* Writes all that was posted, runs their done(), closes the database. Where the disk stays full for
 * two seconds it gives up: what was not written stays in the journal, and nothing of it is done.
 * Returns how many results it left there. */
uint32_t ledger_stop(struct ledger **l);

struct ledger_stats {
    uint64_t transactions, results;
    uint64_t over[LEDGER_ORDERS];       /* transactions with more than LEDGER_WORK_US of work */
    uint64_t longest_us[LEDGER_ORDERS]; /* the work of the longest one, its sync not counted */
    struct db_stats db;
};
void ledger_stats(struct ledger *l, struct ledger_stats *out);

#endif
