/* A ring under one mutex with two conditions. */
#include "base/queue.h"
#include "base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    void **ring;
    size_t cap, head, n;
    bool closed;
    void (*wake)(void *);
    void *wake_arg;
};

struct queue *queue_new(size_t capacity, void (*wake)(void *), void *wake_arg)
{
    struct queue *q = alloc_one(struct queue);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_empty, &attr);
    pthread_cond_init(&q->not_full, &attr);
    pthread_condattr_destroy(&attr);
    q->cap = capacity;
    q->ring = alloc_many(void *, capacity);
    q->wake = wake;
    q->wake_arg = wake_arg;
    return q;
}

void queue_free(struct queue **qp)
{
    struct queue *q = *qp;
    *qp = NULL;
    if (!q)
        return;
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    free(q->ring);
    free(q);
}

static bool push(struct queue *q, void *item, bool wait)
{
    pthread_mutex_lock(&q->lock);
    while (wait && q->n == q->cap && !q->closed)
        pthread_cond_wait(&q->not_full, &q->lock);
    bool ok = q->n < q->cap && !q->closed;
    bool was_empty = q->n == 0;
    if (ok) {
        q->ring[(q->head + q->n) % q->cap] = item;
        q->n++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    if (ok && was_empty && q->wake)
        q->wake(q->wake_arg);
    return ok;
}

bool queue_try_push(struct queue *q, void *item)
{
    return push(q, item, false);
}

bool queue_push(struct queue *q, void *item)
{
    return push(q, item, true);
}

static void *take(struct queue *q)
{
    void *item = q->ring[q->head];
    q->head = (q->head + 1) % q->cap;
    q->n--;
    pthread_cond_signal(&q->not_full);
    return item;
}

void *queue_try_pop(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    void *item = q->n ? take(q) : NULL;
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *queue_pop(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->closed)
        pthread_cond_wait(&q->not_empty, &q->lock);
    void *item = q->n ? take(q) : NULL;
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *queue_pop_wait(struct queue *q, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->closed)
        if (pthread_cond_timedwait(&q->not_empty, &q->lock, &until) == ETIMEDOUT)
            break;
    void *item = q->n ? take(q) : NULL;
    pthread_mutex_unlock(&q->lock);
    return item;
}

size_t queue_pop_many(struct queue *q, void **items, size_t max)
{
    pthread_mutex_lock(&q->lock);
    size_t got = 0;
    while (got < max && q->n)
        items[got++] = take(q);
    pthread_mutex_unlock(&q->lock);
    return got;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_length(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->n;
    pthread_mutex_unlock(&q->lock);
    return n;
}
