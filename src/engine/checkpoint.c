/* One thread, one handle, one loop. A failed checkpoint costs nothing but a longer log. */
#include "engine/checkpoint.h"
#include "base/alloc.h"
#include "base/log.h"
#include "store/db.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_MS    250
#define FROM_BYTES (4u << 20)

struct checkpoint {
    struct db *db;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
};

static bool wait_a_while(struct checkpoint *c)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&c->lock);
    if (!c->stopping)
        pthread_cond_timedwait(&c->wake, &c->lock, &until);
    bool go_on = !c->stopping;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct checkpoint *c = arg;
    struct err e;
    while (wait_a_while(c))
        if (db_wal_bytes(c->db) >= FROM_BYTES && !db_checkpoint(c->db, &e))
            log_event(LOG_WARNING, "ledger.checkpoint", "%s", e.text);
    return NULL;
}

bool checkpoint_start(const char *path, struct checkpoint **out, struct err *e)
{
    struct checkpoint *c = alloc_one(struct checkpoint);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (!db_open(path, DB_READ_WRITE, &c->db, e)) {
        free(c);
        return false;
    }
    int rc = pthread_create(&c->thread, NULL, run, c);
    if (rc != 0) {
        db_close(&c->db);
        free(c);
        return err_set(e, ERR_FAILED, "checkpoint thread: %s", strerror(rc));
    }
    *out = c;
    return true;
}

void checkpoint_stop(struct checkpoint **cp)
{
    struct checkpoint *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    db_close(&c->db);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
