/* Virtual time and cooperative threads. The engine's own thread code runs as it is: the linker
 * sends its calls of pthread, sleep, sync, clock and randomness here (--wrap), where a thread is a
 * context of its own on one kernel thread. Which of the ready ones goes on is drawn from the seed;
 * when none is ready the clock jumps to the next event. */
#include "world.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define THREADS_MAX   32
#define STACK_BYTES   (1u << 20)
#define SWITCH_CHANCE 30 /* of 1000: a lock is a place where another thread may go first */
#define TURNS_AT_ONCE 2000000

struct thread {
    ucontext_t context;
    void *(*run)(void *);
    void *arg, *stack;
    const void *stack_bottom; /* for the sanitizer */
    size_t stack_size;
    void *fake_stack;
    void *token; /* what it waits on; NULL: ready or running */
    struct event alarm;
    bool timed_out, is_over, is_ready;
};

static struct thread threads[THREADS_MAX];
static uint32_t n_threads;
static struct thread *current;
static struct thread *ready[THREADS_MAX];
static uint32_t n_ready;
static struct heap events;

/* ---- events */

void event_at(struct event *e, int64_t us)
{
    heap_rekey(&events, &e->node, MAX(us, W->boot_us));
}

void event_cancel(struct event *e)
{
    heap_remove(&events, &e->node);
}

static void next_event(void)
{
    struct heap_node *n = heap_pop(&events);
    static uint64_t at_once;
    if (!n)
        world_fail("nothing is left to happen: every thread waits");
    if (n->key > W->boot_us) {
        W->boot_us = n->key;
        at_once = 0;
    }
    if (++at_once > TURNS_AT_ONCE)
        world_fail("time does not go on: a loop without end");
    struct event *e = container_of(n, struct event, node);
    e->fire(e);
}

/* ---- switching */

static void make_ready(struct thread *t)
{
    t->token = NULL;
    if (t->is_ready || t->is_over)
        return;
    t->is_ready = true;
    ready[n_ready++] = t;
}

static void switched(void)
{
#ifdef __SANITIZE_ADDRESS__
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(current->fake_stack, &bottom, &size);
#endif
}

static void switch_to(struct thread *t)
{
    struct thread *from = current;
    if (t == from)
        return;
    current = t;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(from->is_over ? NULL : &from->fake_stack, t->stack_bottom,
                                   t->stack_size);
#endif
    swapcontext(&from->context, &t->context);
    switched();
}

/* Lets others go on until somebody has made this thread ready and the draw falls on it. */
static void run_others(void)
{
    while (n_ready == 0)
        next_event();
    uint32_t i = n_ready == 1 ? 0 : (uint32_t)world_below(n_ready);
    struct thread *t = ready[i];
    ready[i] = ready[--n_ready];
    t->is_ready = false;
    switch_to(t);
}

static void maybe_switch(void)
{
    if (n_ready == 0 || !world_chance(SWITCH_CHANCE))
        return;
    make_ready(current);
    run_others();
}

void threads_wait(void *token)
{
    current->token = token;
    run_others();
}

void threads_wake(void *token)
{
    for (uint32_t i = 0; i < n_threads; i++)
        if (threads[i].token == token)
            make_ready(&threads[i]);
}

static void on_alarm(struct event *e)
{
    struct thread *t = container_of(e, struct thread, alarm);
    t->timed_out = true;
    make_ready(t);
}

void threads_sleep_us(int64_t us)
{
    current->alarm.fire = on_alarm;
    event_at(&current->alarm, W->boot_us + us);
    threads_wait(current);
}

/* ---- beginning and ending */

static void thread_main(void)
{
    switched();
    current->run(current->arg);
    current->is_over = true;
    threads_wake(&current->is_over);
    run_others();
    abort(); /* nobody switches to a thread that is over */
}

static struct thread *thread_new(void)
{
    if (n_threads == THREADS_MAX)
        world_fail("over %d threads", THREADS_MAX);
    return &threads[n_threads++];
}

void threads_begin(void)
{
    pthread_attr_t attr;
    void *bottom = NULL;
    heap_init(&events);
    current = thread_new();
    if (pthread_getattr_np(pthread_self(), &attr) == 0)
        pthread_attr_getstack(&attr, &bottom, &current->stack_size);
    pthread_attr_destroy(&attr);
    current->stack_bottom = bottom;
}

static struct thread *spawn(void *(*run)(void *), void *arg)
{
    struct thread *t = thread_new();
    t->run = run;
    t->arg = arg;
    t->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->stack == MAP_FAILED)
        world_fail("no memory for a stack");
    t->stack_bottom = t->stack;
    t->stack_size = STACK_BYTES;
    getcontext(&t->context);
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = STACK_BYTES;
    t->context.uc_link = NULL;
    makecontext(&t->context, thread_main, 0);
    make_ready(t);
    return t;
}

void threads_spawn(void *(*run)(void *), void *arg)
{
    spawn(run, arg);
}

/* ---- what the linker sends here */

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *a, void *(*run)(void *), void *arg);
int __wrap_pthread_join(pthread_t t, void **out);
int __wrap_pthread_setname_np(pthread_t t, const char *name);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_usleep(useconds_t us);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);
const char *__wrap_clock_boot_id(void);
int __wrap_gethostname(char *out, size_t size);
void __wrap_randombytes_buf(void *p, size_t n);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
    (void)a;
    *out = (pthread_t)(uintptr_t)spawn(run, arg);
    return 0;
}

int __wrap_pthread_join(pthread_t id, void **out)
{
    struct thread *t = (struct thread *)(uintptr_t)id;
    while (!t->is_over)
        threads_wait(&t->is_over);
    if (out)
        *out = NULL;
    return 0;
}

int __wrap_pthread_setname_np(pthread_t t, const char *name)
{
    (void)t, (void)name;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    world_step();
    maybe_switch();
    while (pthread_mutex_trylock(m) != 0)
        threads_wait(m);
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    __real_pthread_mutex_unlock(m);
    threads_wake(m);
    return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    __wrap_pthread_mutex_unlock(m);
    threads_wait(c);
    return __wrap_pthread_mutex_lock(m);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
    struct thread *me = current;
    me->timed_out = false;
    me->alarm.fire = on_alarm;
    event_at(&me->alarm,
             (int64_t)t->tv_sec * SECOND_US + (t->tv_nsec + 999) / 1000 + W->boot_base_us);
    __wrap_pthread_mutex_unlock(m);
    threads_wait(c);
    event_cancel(&me->alarm);
    __wrap_pthread_mutex_lock(m);
    return me->timed_out ? ETIMEDOUT : 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
    world_step();
    for (uint32_t i = 0; i < n_threads; i++)
        if (threads[i].token == c) {
            make_ready(&threads[i]);
            break;
        }
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
    threads_wake(c);
    return 0;
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
    (void)left;
    threads_sleep_us((int64_t)t->tv_sec * SECOND_US + t->tv_nsec / 1000);
    return 0;
}

int __wrap_usleep(useconds_t us)
{
    threads_sleep_us(us);
    return 0;
}

/* What was written stays when the engine crashes (it lies in the page cache): a sync is time. */
static int sync_takes_time(void)
{
    world_step();
    threads_sleep_us(world_chance(20) ? world_between(5000, 60000) : world_between(50, 2000));
    world_step();
    return 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return current ? sync_takes_time() : 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return current ? sync_takes_time() : 0;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
    int64_t us = id == CLOCK_REALTIME ? world_wall_us() : world_machine_us();
    out->tv_sec = us / SECOND_US;
    out->tv_nsec = (long)(us % SECOND_US) * 1000;
    return 0;
}

const char *__wrap_clock_boot_id(void)
{
    static char id[40];
    snprintf(id, sizeof id, "simulated-boot-%u", W->boots);
    return id;
}

int __wrap_gethostname(char *out, size_t size)
{
    snprintf(out, size, "sim.example.net");
    return 0;
}

void __wrap_randombytes_buf(void *p, size_t n)
{
    for (unsigned char *at = p; n; n--)
        *at++ = (unsigned char)(rand_u64(&W->rand) >> 32);
}
