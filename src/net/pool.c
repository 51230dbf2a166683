/* Desk threads. One mutex guards the lanes and the finished list; jobs carry their own links, so
 * nothing is allocated and nothing refused. A desk takes the job of the lowest lane number.
 * Finished jobs are handed to the loop in batches: one wake-up however many are waiting. */
#include "net/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "net/loop.h"

#define LANES       8
#define THREADS_MAX 64

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work_there;
    struct list lanes[LANES];
    struct list finished;
    unsigned idle;
    bool stop;
    size_t finished_n;
    size_t pending; /* submitted and not handed to done() yet */
    struct wake *wake;
    unsigned threads;
    pthread_t thread[THREADS_MAX];
};

static struct pool_job *take_job(struct pool *p)
{
    for (int i = 0; i < LANES; i++) {
        struct list *n = list_pop_front(&p->lanes[i]);
        if (n)
            return list_entry(n, struct pool_job, link);
    }
    return NULL;
}

static struct pool_job *wait_for_job(struct pool *p)
{
    while (!p->stop) {
        struct pool_job *job = take_job(p);
        if (job)
            return job;
        p->idle++;
        pthread_cond_wait(&p->work_there, &p->lock);
        p->idle--;
    }
    return NULL;
}

static void *desk_main(void *arg)
{
    struct pool *p = arg;
    struct pool_job *job;
    pthread_mutex_lock(&p->lock);
    while ((job = wait_for_job(p)) != NULL) {
        pthread_mutex_unlock(&p->lock);
        job->work(job);
        pthread_mutex_lock(&p->lock);
        bool first = list_empty(&p->finished);
        list_push_back(&p->finished, &job->link);
        p->finished_n++;
        if (first)
            wake_signal(p->wake);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void list_take_all(struct list *from, struct list *to)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* A done() may submit again or free its job. */
static void call_done(struct list *batch)
{
    struct list *n;
    while ((n = list_pop_front(batch)) != NULL) {
        struct pool_job *job = list_entry(n, struct pool_job, link);
        job->done(job);
    }
}

static void on_finished(void *arg)
{
    struct pool *p = arg;
    struct list batch;
    pthread_mutex_lock(&p->lock);
    list_take_all(&p->finished, &batch);
    p->pending -= p->finished_n;
    p->finished_n = 0;
    pthread_mutex_unlock(&p->lock);
    call_done(&batch);
}

static void start_threads(struct pool *p, unsigned threads)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the loop's */
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&p->thread[p->threads], NULL, desk_main, p) != 0)
            break;
        char name[16];
        snprintf(name, sizeof name, "desk-%u", i);
        pthread_setname_np(p->thread[p->threads], name);
        p->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct pool *pool_new(struct loop *l, unsigned threads)
{
    if (threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        threads = cores > 0 ? (unsigned)cores : 1;
    }
    struct pool *p = alloc_one(struct pool);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work_there, NULL);
    for (int i = 0; i < LANES; i++)
        list_init(&p->lanes[i]);
    list_init(&p->finished);
    p->wake = wake_new(l, on_finished, p);
    start_threads(p, MIN(threads, THREADS_MAX));
    if (p->threads == 0)
        pool_free(&p);
    return p;
}

void pool_submit(struct pool *p, struct pool_job *job)
{
    int lane = MAX(0, MIN(job->lane, LANES - 1));
    pthread_mutex_lock(&p->lock);
    p->pending++;
    list_push_back(&p->lanes[lane], &job->link);
    if (p->idle > 0)
        pthread_cond_signal(&p->work_there);
    pthread_mutex_unlock(&p->lock);
}

size_t pool_pending(const struct pool *p)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&p->lock;
    pthread_mutex_lock(lock);
    size_t n = p->pending;
    pthread_mutex_unlock(lock);
    return n;
}

void pool_free(struct pool **pp)
{
    struct pool *p = *pp;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work_there);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    on_finished(p);
    for (int i = 0; i < LANES; i++) {
        struct list *n;
        while ((n = list_pop_front(&p->lanes[i])) != NULL) {
            struct pool_job *job = list_entry(n, struct pool_job, link);
            p->pending--;
            job->done(job);
        }
    }
    check(p->pending == 0); /* a done() must not submit to a pool that is being freed */
    wake_free(&p->wake);
    pthread_cond_destroy(&p->work_there);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *pp = NULL;
}
