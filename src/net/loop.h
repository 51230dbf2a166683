/* The event loop of a thread: a thin face over libuv. Timers in boot milliseconds, wake-ups from
 * other threads, one "now" a turn. Only net/ and the starts in main/ see libuv itself. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include "base/base.h"
#include "base/err.h"

struct loop;
struct timer;
struct wake;

struct loop *loop_new(void) MUST_USE;
void loop_free(struct loop **l);
void loop_run(struct loop *l);             /* until loop_stop */
void loop_stop(struct loop *l);            /* from the loop's own thread */
int64_t loop_now_ms(const struct loop *l); /* boot ms; refreshed once a turn and by loop_refresh */
void loop_refresh(struct loop *l);

/* One-shot timer; the callback may arm it again. due_ms: boot ms; INT64_MAX disarms. */
struct timer *timer_new(struct loop *l, void (*fire)(void *arg), void *arg) MUST_USE;
void timer_at(struct timer *t, int64_t due_ms);
void timer_free(struct timer **t);

/* wake_signal may be called from any thread; the callback runs once or more on the loop after it.
 */
struct wake *wake_new(struct loop *l, void (*fire)(void *arg), void *arg) MUST_USE;
void wake_signal(struct wake *w);
void wake_free(struct wake **w);

/* Called at the end of every turn, before the loop sleeps: batches flush here. One hook a loop. */
void loop_set_turn_end(struct loop *l, void (*fire)(void *arg), void *arg);
/* SIGTERM, SIGINT, SIGHUP, SIGCHLD: the callback runs on the loop. */
bool loop_on_signal(struct loop *l, int signum, void (*fire)(void *arg, int signum), void *arg,
                    struct err *e);

#endif
