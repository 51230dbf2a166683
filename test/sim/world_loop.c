/* net/loop.h on virtual time: the reactor's turn runs what is due, then the hook at its end, then
 * waits for the next event as any other thread. */
#include "world.h"

#include "base/alloc.h"
#include "net/loop.h"

#include <signal.h>
#include <stdlib.h>

struct timer {
    struct event event;
    struct due due;
    void (*fire)(void *arg);
    void *arg;
};

struct wake {
    struct due due;
    void (*fire)(void *arg);
    void *arg;
};

struct loop {
    struct list due;
    void (*turn_end)(void *arg);
    void *turn_end_arg;
    void (*on_term)(void *arg, int signum);
    void *on_term_arg;
    struct due term;
    bool is_stopped, sleeps;
};

static struct loop *reactor; /* one a process */

/* ---- what is due */

void due_init(struct due *d, void (*run)(struct due *d))
{
    list_init(&d->link);
    d->run = run;
}

void due_post(struct due *d)
{
    if (!list_empty(&d->link))
        return;
    list_push_back(&reactor->due, &d->link);
    if (reactor->sleeps)
        threads_wake(reactor);
}

void due_cancel(struct due *d)
{
    list_remove(&d->link);
    list_init(&d->link);
}

/* ---- the loop */

struct loop *loop_new(void)
{
    reactor = alloc_one(struct loop);
    list_init(&reactor->due);
    return reactor;
}

void loop_free(struct loop **l)
{
    free(*l);
    *l = NULL;
}

static void run_due(struct loop *l)
{
    struct list now;
    list_init(&now);
    for (struct list *n = list_pop_front(&l->due); n; n = list_pop_front(&l->due))
        list_push_back(&now, n);
    for (struct list *n = list_pop_front(&now); n; n = list_pop_front(&now)) {
        struct due *d = list_entry(n, struct due, link);
        list_init(&d->link);
        d->run(d);
    }
}

void loop_run(struct loop *l)
{
    l->is_stopped = false;
    while (!l->is_stopped) {
        run_due(l);
        if (!l->is_stopped && l->turn_end)
            l->turn_end(l->turn_end_arg);
        while (list_empty(&l->due) && !l->is_stopped) {
            l->sleeps = true;
            threads_wait(l);
            l->sleeps = false;
        }
    }
}

void loop_stop(struct loop *l)
{
    l->is_stopped = true;
}

int64_t loop_now_ms(const struct loop *l)
{
    (void)l;
    return world_machine_us() / 1000;
}

void loop_refresh(struct loop *l)
{
    (void)l;
}

void loop_set_turn_end(struct loop *l, void (*fire)(void *arg), void *arg)
{
    l->turn_end = fire;
    l->turn_end_arg = arg;
}

static void run_term(struct due *d)
{
    struct loop *l = container_of(d, struct loop, term);
    l->on_term(l->on_term_arg, SIGTERM);
}

bool loop_on_signal(struct loop *l, int signum, void (*fire)(void *arg, int signum), void *arg,
                    struct err *e)
{
    (void)e;
    if (signum != SIGTERM)
        return true;
    l->on_term = fire;
    l->on_term_arg = arg;
    due_init(&l->term, run_term);
    return true;
}

void loop_signal(int signum)
{
    if (signum == SIGTERM && reactor->on_term)
        due_post(&reactor->term);
}

/* ---- timers */

static void timer_due(struct event *e)
{
    due_post(&container_of(e, struct timer, event)->due);
}

static void timer_run(struct due *d)
{
    struct timer *t = container_of(d, struct timer, due);
    t->fire(t->arg);
}

struct timer *timer_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    struct timer *t = alloc_one(struct timer);
    (void)l;
    t->event.fire = timer_due;
    t->fire = fire;
    t->arg = arg;
    due_init(&t->due, timer_run);
    return t;
}

void timer_at(struct timer *t, int64_t due_ms)
{
    due_cancel(&t->due);
    if (due_ms > INT64_MAX / 1000)
        event_cancel(&t->event);
    else
        event_at(&t->event, due_ms * 1000 + W->boot_base_us);
}

void timer_free(struct timer **tp)
{
    struct timer *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    event_cancel(&t->event);
    due_cancel(&t->due);
    free(t);
}

/* ---- wake-ups */

static void wake_run(struct due *d)
{
    struct wake *w = container_of(d, struct wake, due);
    w->fire(w->arg);
}

struct wake *wake_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    struct wake *w = alloc_one(struct wake);
    (void)l;
    w->fire = fire;
    w->arg = arg;
    due_init(&w->due, wake_run);
    return w;
}

void wake_signal(struct wake *w)
{
    due_post(&w->due);
}

void wake_free(struct wake **wp)
{
    if (*wp)
        due_cancel(&(*wp)->due);
    free(*wp);
    *wp = NULL;
}
