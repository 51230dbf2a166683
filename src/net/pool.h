/* Desk threads: N workers that take jobs by lane and hand them back. A job belongs to exactly one
 * thread at a time. */
#ifndef NET_POOL_H
#define NET_POOL_H

#include "base/base.h"
#include "base/list.h"

struct pool;

struct pool_job {
    void (*work)(struct pool_job *job); /* on a desk */
    void (*done)(struct pool_job *job); /* on the loop thread that owns the pool */
    struct list link;
    int lane; /* 0 first */
};

struct loop;
/* threads: 0 means the number of cores. done() callbacks run on l in batches. */
struct pool *pool_new(struct loop *l, unsigned threads) MUST_USE;
void pool_submit(struct pool *p, struct pool_job *job); /* never refused */
size_t pool_pending(const struct pool *p);
/* Waits for running jobs; queued and finished ones are dropped with their done() called. */
void pool_free(struct pool **p);

#endif
