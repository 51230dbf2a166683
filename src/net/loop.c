/* The event loop: libuv, with timers of our own on boot time and a hook before each sleep.
 *
 * A turn is: sockets, wake-ups and signals that are ready; work deferred from the last turn; timers
 * that are due; the turn-end hook; sleep. All in the thread that calls loop_run; only wake_signal
 * is for other threads. libuv's own timers run on a clock that stands still while the machine is
 * suspended, so one of them only bounds the sleep (1 s) and what is due is decided here. */
#include "net/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/heap.h"
#include "net/loop_inner.h"

/* After a suspend a timer is late by at most this. */
#define SLEEP_MAX_MS 1000

struct timer {
    struct heap_node node;
    struct loop *l;
    void (*fire)(void *arg);
    void *arg;
};

struct wake {
    uv_async_t async;
    void (*fire)(void *arg);
    void *arg;
};

struct signal_watch {
    uv_signal_t handle;
    struct list link;
    void (*fire)(void *arg, int signum);
    void *arg;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t before_sleep;
    uv_timer_t alarm;
    uv_idle_t spin; /* active while work is deferred: no sleep then */
    struct heap timers;
    struct list deferred;
    struct list signals;
    void (*turn_end)(void *arg);
    void *turn_end_arg;
    int64_t now_ms;
    bool now_known;
};

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

int64_t loop_now_ms(const struct loop *l)
{
    /* Read at the first question of a turn, so that time asleep never counts as the turn's. The
     * loop is never a const object. */
    if (!l->now_known)
        loop_refresh((struct loop *)(uintptr_t)l);
    return l->now_ms;
}

void loop_refresh(struct loop *l)
{
    l->now_ms = clock_boot_ms();
    l->now_known = true;
}

/* Timers armed by a callback wait for the next turn, or one at "now" would starve the sockets. */
static void fire_due_timers(struct loop *l)
{
    uint64_t limit = l->timers.next_order;
    for (;;) {
        struct heap_node *n = heap_min(&l->timers);
        if (!n || n->key > l->now_ms || n->order >= limit)
            return;
        heap_pop(&l->timers);
        struct timer *t = container_of(n, struct timer, node);
        t->fire(t->arg);
    }
}

static void on_alarm(uv_timer_t *h)
{
    (void)h;
}

static void set_alarm(struct loop *l)
{
    struct heap_node *n = heap_min(&l->timers);
    if (!n) {
        uv_timer_stop(&l->alarm);
        return;
    }
    int64_t wait_ms = n->key - clock_boot_ms();
    wait_ms = MAX(0, MIN(wait_ms, SLEEP_MAX_MS));
    check(uv_timer_start(&l->alarm, on_alarm, (uint64_t)wait_ms, 0) == 0);
}

static void on_before_sleep(uv_prepare_t *h)
{
    struct loop *l = h->data;
    loop_refresh(l);
    fire_due_timers(l);
    if (l->turn_end)
        l->turn_end(l->turn_end_arg);
    set_alarm(l);
    l->now_known = false;
}

static void on_spin(uv_idle_t *h)
{
    struct loop *l = h->data;
    struct list batch;
    list_init(&batch);
    while (!list_empty(&l->deferred))
        list_push_back(&batch, list_pop_front(&l->deferred));
    struct list *n;
    while ((n = list_pop_front(&batch)) != NULL) {
        struct loop_task *t = list_entry(n, struct loop_task, link);
        t->fire(t);
    }
    if (list_empty(&l->deferred))
        uv_idle_stop(&l->spin);
}

void loop_task_init(struct loop_task *t, void (*fire)(struct loop_task *t))
{
    list_init(&t->link);
    t->fire = fire;
}

void loop_defer(struct loop *l, struct loop_task *t)
{
    if (!list_empty(&t->link))
        return;
    list_push_back(&l->deferred, &t->link);
    check(uv_idle_start(&l->spin, on_spin) == 0);
}

void loop_task_cancel(struct loop_task *t)
{
    list_remove(&t->link);
}

struct loop *loop_new(void)
{
    struct loop *l = alloc_one(struct loop);
    if (uv_loop_init(&l->uv) != 0) {
        free(l);
        return NULL;
    }
    heap_init(&l->timers);
    list_init(&l->deferred);
    list_init(&l->signals);
    check(uv_prepare_init(&l->uv, &l->before_sleep) == 0);
    check(uv_timer_init(&l->uv, &l->alarm) == 0);
    check(uv_idle_init(&l->uv, &l->spin) == 0);
    l->before_sleep.data = l->alarm.data = l->spin.data = l;
    check(uv_prepare_start(&l->before_sleep, on_before_sleep) == 0);
    return l;
}

static void on_signal_closed(uv_handle_t *h)
{
    free(container_of(h, struct signal_watch, handle));
}

static void signals_close(struct loop *l)
{
    struct list *n;
    while ((n = list_pop_front(&l->signals)) != NULL) {
        struct signal_watch *s = list_entry(n, struct signal_watch, link);
        uv_close((uv_handle_t *)&s->handle, on_signal_closed);
    }
}

void loop_free(struct loop **lp)
{
    struct loop *l = *lp;
    if (!l)
        return;
    signals_close(l);
    uv_close((uv_handle_t *)&l->before_sleep, NULL);
    uv_close((uv_handle_t *)&l->alarm, NULL);
    uv_close((uv_handle_t *)&l->spin, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    /* Busy means that a wake, a connection or a listener was not freed before its loop. */
    check(uv_loop_close(&l->uv) == 0);
    heap_free(&l->timers);
    free(l);
    *lp = NULL;
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

void loop_set_turn_end(struct loop *l, void (*fire)(void *arg), void *arg)
{
    l->turn_end = fire;
    l->turn_end_arg = arg;
}

struct timer *timer_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    struct timer *t = alloc_one(struct timer);
    t->l = l;
    t->fire = fire;
    t->arg = arg;
    return t;
}

void timer_at(struct timer *t, int64_t due_ms)
{
    if (due_ms == INT64_MAX)
        heap_remove(&t->l->timers, &t->node);
    else
        heap_rekey(&t->l->timers, &t->node, due_ms);
}

void timer_free(struct timer **tp)
{
    struct timer *t = *tp;
    if (!t)
        return;
    heap_remove(&t->l->timers, &t->node);
    free(t);
    *tp = NULL;
}

static void on_wake(uv_async_t *h)
{
    struct wake *w = container_of(h, struct wake, async);
    w->fire(w->arg);
}

struct wake *wake_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    struct wake *w = alloc_one(struct wake);
    w->fire = fire;
    w->arg = arg;
    check(uv_async_init(&l->uv, &w->async, on_wake) == 0);
    return w;
}

void wake_signal(struct wake *w)
{
    uv_async_send(&w->async);
}

static void on_wake_closed(uv_handle_t *h)
{
    free(container_of(h, struct wake, async));
}

void wake_free(struct wake **wp)
{
    if (*wp)
        uv_close((uv_handle_t *)&(*wp)->async, on_wake_closed);
    *wp = NULL;
}

static void on_signal(uv_signal_t *h, int signum)
{
    struct signal_watch *s = container_of(h, struct signal_watch, handle);
    s->fire(s->arg, signum);
}

bool loop_on_signal(struct loop *l, int signum, void (*fire)(void *arg, int signum), void *arg,
                    struct err *e)
{
    list_each(n, &l->signals)
    {
        struct signal_watch *s = list_entry(n, struct signal_watch, link);
        if (s->handle.signum == signum) {
            s->fire = fire;
            s->arg = arg;
            return true;
        }
    }
    struct signal_watch *s = alloc_one(struct signal_watch);
    s->fire = fire;
    s->arg = arg;
    check(uv_signal_init(&l->uv, &s->handle) == 0);
    list_push_back(&l->signals, &s->link);
    int rc = uv_signal_start(&s->handle, on_signal, signum);
    if (rc != 0) {
        list_remove(&s->link);
        uv_close((uv_handle_t *)&s->handle, on_signal_closed);
        return err_set(e, ERR_FAILED, "signal %d cannot be watched: %s", signum, uv_strerror(rc));
    }
    return true;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct sock *s = container_of(h, struct sock, poll);
    int got = 0;
    if (status < 0) {
        /* libuv has stopped the handle: an error waits on the descriptor, behind what is still
         * to be read. */
        s->events = 0;
        got = SOCK_ERROR | SOCK_READABLE;
    }
    if (events & UV_READABLE)
        got |= SOCK_READABLE;
    if (events & UV_WRITABLE)
        got |= SOCK_WRITABLE;
    s->ready(s, got);
}

struct sock *sock_new(struct loop *l, int fd, void (*ready)(struct sock *s, int events),
                      void *owner)
{
    struct sock *s = alloc_one(struct sock);
    s->fd = fd;
    s->ready = ready;
    s->owner = owner;
    if (uv_poll_init(&l->uv, &s->poll, fd) != 0) {
        free(s);
        return NULL;
    }
    return s;
}

void sock_watch(struct sock *s, int events)
{
    if (s->events == events)
        return;
    s->events = events;
    if (events == 0) {
        uv_poll_stop(&s->poll);
        return;
    }
    int mask =
        (events & SOCK_READABLE ? UV_READABLE : 0) | (events & SOCK_WRITABLE ? UV_WRITABLE : 0);
    check(uv_poll_start(&s->poll, mask, on_poll) == 0);
}

static void on_sock_closed(uv_handle_t *h)
{
    free(container_of(h, struct sock, poll));
}

void sock_forget(struct sock **sp)
{
    if (*sp)
        uv_close((uv_handle_t *)&(*sp)->poll, on_sock_closed);
    *sp = NULL;
}

void sock_close(struct sock **sp)
{
    if (!*sp)
        return;
    int fd = (*sp)->fd;
    sock_forget(sp);
    close(fd);
}
