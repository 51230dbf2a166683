/* The loop: timers on boot time and their order, wake-ups from threads, the turn-end hook, signals.
 * Nothing here measures time: order and counts are what is asserted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"

struct probe {
    struct loop *l;
    struct timer *timers[4];
    int order[16];
    int n;
    int turns;
    int wakes;
    int stop_at;
};

static void note(struct probe *p, int what)
{
    if (p->n < 16)
        p->order[p->n] = what;
    if (++p->n == p->stop_at)
        loop_stop(p->l);
}

static void fire_0(void *arg)
{
    note(arg, 0);
}

static void fire_1(void *arg)
{
    note(arg, 1);
}

static void fire_2(void *arg)
{
    note(arg, 2);
}

static void timers_fire_in_order_of_due(void **state)
{
    (void)state;
    struct probe p = {.l = loop_new(), .stop_at = 3};
    int64_t now = clock_boot_ms();
    struct timer *a = timer_new(p.l, fire_0, &p);
    struct timer *b = timer_new(p.l, fire_1, &p);
    struct timer *c = timer_new(p.l, fire_2, &p);
    struct timer *never = timer_new(p.l, fire_2, &p);
    timer_at(c, now + 30);
    timer_at(a, now + 10);
    timer_at(b, now + 500);
    timer_at(b, now + 20); /* moved */
    timer_at(never, now + 15);
    timer_at(never, INT64_MAX); /* disarmed */
    loop_run(p.l);
    assert_int_equal(p.n, 3);
    assert_int_equal(p.order[0], 0);
    assert_int_equal(p.order[1], 1);
    assert_int_equal(p.order[2], 2);
    assert_true(loop_now_ms(p.l) >= now + 30);
    timer_free(&a);
    timer_free(&b);
    timer_free(&c);
    timer_free(&never);
    assert_null(a);
    loop_free(&p.l);
}

static void fire_again(void *arg)
{
    struct probe *p = arg;
    note(p, 7);
    timer_at(p->timers[0], 0); /* long past: due at once, yet the loop must go round */
}

static void count_turn(void *arg)
{
    ((struct probe *)arg)->turns++;
}

static void a_timer_always_due_does_not_hold_the_turn(void **state)
{
    (void)state;
    struct probe p = {.l = loop_new(), .stop_at = 5};
    p.timers[0] = timer_new(p.l, fire_again, &p);
    loop_set_turn_end(p.l, count_turn, &p);
    timer_at(p.timers[0], 0);
    loop_run(p.l);
    assert_int_equal(p.n, 5);
    assert_int_equal(p.turns, 5);
    timer_free(&p.timers[0]);
    loop_free(&p.l);
}

static void fire_and_free(void *arg)
{
    struct probe *p = arg;
    timer_free(&p->timers[0]);
    timer_free(&p->timers[1]); /* due in the same turn: must not fire any more */
    note(p, 9);
}

static void timers_may_be_freed_by_a_callback(void **state)
{
    (void)state;
    struct probe p = {.l = loop_new(), .stop_at = 1};
    p.timers[0] = timer_new(p.l, fire_and_free, &p);
    p.timers[1] = timer_new(p.l, fire_1, &p);
    timer_at(p.timers[0], 1);
    timer_at(p.timers[1], 2);
    loop_run(p.l);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.order[0], 9);
    loop_free(&p.l);
}

static void turn_end_arms(void *arg)
{
    struct probe *p = arg;
    if (p->turns++ == 0)
        timer_at(p->timers[0], 0);
}

static void a_timer_armed_by_the_turn_end_is_not_slept_over(void **state)
{
    (void)state;
    struct probe p = {.l = loop_new(), .stop_at = 1};
    p.timers[0] = timer_new(p.l, fire_0, &p);
    loop_set_turn_end(p.l, turn_end_arms, &p);
    loop_run(p.l);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.turns, 2);
    timer_free(&p.timers[0]);
    loop_free(&p.l);
}

#define PUSHERS 4
#define PUSHES  2000

struct shared {
    struct loop *l;
    struct wake *wake;
    pthread_mutex_t lock;
    int posted;
    int seen;
    int calls;
};

static void *push_main(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < PUSHES; i++) {
        pthread_mutex_lock(&s->lock);
        s->posted++;
        pthread_mutex_unlock(&s->lock);
        wake_signal(s->wake);
    }
    return NULL;
}

static void on_wake(void *arg)
{
    struct shared *s = arg;
    pthread_mutex_lock(&s->lock);
    s->seen = s->posted;
    pthread_mutex_unlock(&s->lock);
    s->calls++;
    if (s->seen == PUSHERS * PUSHES)
        loop_stop(s->l);
}

static void no_wake_is_lost_between_threads(void **state)
{
    (void)state;
    struct shared s = {.l = loop_new(), .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[PUSHERS];
    s.wake = wake_new(s.l, on_wake, &s);
    for (int i = 0; i < PUSHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, push_main, &s), 0);
    loop_run(s.l);
    for (int i = 0; i < PUSHERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.seen, PUSHERS * PUSHES);
    assert_in_range(s.calls, 1, PUSHERS * PUSHES);
    wake_free(&s.wake);
    assert_null(s.wake);
    loop_free(&s.l);
}

static void on_signal(void *arg, int signum)
{
    struct probe *p = arg;
    note(p, signum);
}

static void raise_hup(void *arg)
{
    (void)arg;
    kill(getpid(), SIGHUP);
}

static void signals_arrive_on_the_loop(void **state)
{
    (void)state;
    struct probe p = {.l = loop_new(), .stop_at = 1};
    struct err e;
    assert_true(loop_on_signal(p.l, SIGHUP, on_signal, &p, &e));
    assert_true(loop_on_signal(p.l, SIGHUP, on_signal, &p, &e)); /* replaces */
    struct timer *t = timer_new(p.l, raise_hup, &p);
    timer_at(t, 0);
    loop_run(p.l);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.order[0], SIGHUP);
    assert_false(loop_on_signal(p.l, SIGKILL, on_signal, &p, &e));
    assert_non_null(strstr(e.text, "signal 9"));
    timer_free(&t);
    loop_free(&p.l);
}

static void now_stands_still_within_a_turn(void **state)
{
    (void)state;
    struct probe p = {.l = loop_new()};
    int64_t before = loop_now_ms(p.l);
    usleep(5000);
    assert_int_equal(loop_now_ms(p.l), before);
    loop_refresh(p.l);
    assert_true(loop_now_ms(p.l) >= before + 5);
    loop_free(&p.l);
    assert_null(p.l);
    loop_free(&p.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_of_due),
        cmocka_unit_test(a_timer_always_due_does_not_hold_the_turn),
        cmocka_unit_test(timers_may_be_freed_by_a_callback),
        cmocka_unit_test(a_timer_armed_by_the_turn_end_is_not_slept_over),
        cmocka_unit_test(no_wake_is_lost_between_threads),
        cmocka_unit_test(signals_arrive_on_the_loop),
        cmocka_unit_test(now_stands_still_within_a_turn),
    };
    return cmocka_run_group_tests_name("net_loop", tests, NULL, NULL);
}
