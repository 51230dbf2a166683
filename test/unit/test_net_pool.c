/* Desks: every job comes back once, lanes go first, jobs of one thread at a time, freeing with work
 * still queued. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/loop.h"
#include "net/pool.h"

#define JOBS 5000

struct bench {
    struct loop *l;
    struct pool *p;
    int done;
    int want;
    int again;
    int order[16];
    pthread_t loop_thread;
};

struct job {
    struct pool_job base;
    struct bench *b;
    int id;
    uint64_t value; /* touched by desk and loop in turns, without a lock */
    int rounds;
};

static void work(struct pool_job *base)
{
    struct job *j = container_of(base, struct job, base);
    assert_false(pthread_equal(pthread_self(), j->b->loop_thread));
    j->value = j->value * 31 + (uint64_t)j->id;
}

static void done(struct pool_job *base)
{
    struct job *j = container_of(base, struct job, base);
    struct bench *b = j->b;
    assert_true(pthread_equal(pthread_self(), b->loop_thread));
    j->value++;
    if (j->rounds-- > 0) {
        pool_submit(b->p, &j->base);
        return;
    }
    if (b->done < 16)
        b->order[b->done] = j->id;
    if (++b->done == b->want)
        loop_stop(b->l);
}

static void jobs_init(struct bench *b, struct job *jobs, int n, int rounds)
{
    for (int i = 0; i < n; i++)
        jobs[i] = (struct job){
            .base = {.work = work, .done = done, .lane = i % 3}, .b = b, .id = i, .rounds = rounds};
}

static void every_job_comes_back_once(void **state)
{
    (void)state;
    struct bench b = {.l = loop_new(), .want = JOBS, .loop_thread = pthread_self()};
    struct job *jobs = alloc_many(struct job, JOBS);
    b.p = pool_new(b.l, 3);
    jobs_init(&b, jobs, JOBS, 2);
    for (int i = 0; i < JOBS; i++)
        pool_submit(b.p, &jobs[i].base);
    loop_run(b.l);
    assert_int_equal(b.done, JOBS);
    assert_int_equal(pool_pending(b.p), 0);
    for (int i = 0; i < JOBS; i++) {
        uint64_t want = 0;
        for (int r = 0; r < 3; r++)
            want = want * 31 + (uint64_t)i + 1;
        assert_true(jobs[i].value == want);
    }
    pool_free(&b.p);
    assert_null(b.p);
    loop_free(&b.l);
    free(jobs);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_int started;

static void work_behind_the_gate(struct pool_job *base)
{
    (void)base;
    atomic_fetch_add(&started, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void lower_lanes_go_first(void **state)
{
    (void)state;
    struct bench b = {.l = loop_new(), .want = 5, .loop_thread = pthread_self()};
    struct job jobs[5];
    b.p = pool_new(b.l, 1);
    jobs_init(&b, jobs, 5, 0);
    jobs[0].base.work = work_behind_the_gate;
    jobs[1].base.lane = 2;
    jobs[2].base.lane = 1;
    jobs[3].base.lane = 99; /* the last lane there is */
    jobs[4].base.lane = 0;
    atomic_store(&started, 0);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 5; i++) {
        pool_submit(b.p, &jobs[i].base);
        while (atomic_load(&started) == 0)
            usleep(1000);
    }
    pthread_mutex_unlock(&gate);
    loop_run(b.l);
    const int want[] = {0, 4, 2, 1, 3};
    assert_memory_equal(b.order, want, sizeof want);
    pool_free(&b.p);
    loop_free(&b.l);
}

static void freeing_calls_done_for_all(void **state)
{
    (void)state;
    struct bench b = {.l = loop_new(), .want = -1, .loop_thread = pthread_self()};
    struct job jobs[40];
    b.p = pool_new(b.l, 2);
    jobs_init(&b, jobs, 40, 0);
    for (int i = 0; i < 40; i++)
        pool_submit(b.p, &jobs[i].base);
    pool_free(&b.p); /* the loop never ran */
    assert_int_equal(b.done, 40);
    pool_free(&b.p);
    loop_free(&b.l);
}

static void zero_threads_means_one_a_core(void **state)
{
    (void)state;
    struct bench b = {.l = loop_new(), .want = 1, .loop_thread = pthread_self()};
    struct job job;
    b.p = pool_new(b.l, 0);
    assert_non_null(b.p);
    jobs_init(&b, &job, 1, 0);
    pool_submit(b.p, &job.base);
    loop_run(b.l);
    assert_int_equal(b.done, 1);
    pool_free(&b.p);
    loop_free(&b.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_comes_back_once),
        cmocka_unit_test(lower_lanes_go_first),
        cmocka_unit_test(freeing_calls_done_for_all),
        cmocka_unit_test(zero_threads_means_one_a_core),
    };
    return cmocka_run_group_tests_name("net_pool", tests, NULL, NULL);
}
