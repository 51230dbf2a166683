/* What net/ itself needs of a loop beyond net/loop.h: libuv's own handle, work put off to the next
 * turn, and watched descriptors. No other room includes this file. */
#ifndef NET_LOOP_INNER_H
#define NET_LOOP_INNER_H

#include <uv.h>

#include "base/base.h"
#include "base/list.h"
#include "net/loop.h"

uv_loop_t *loop_uv(struct loop *l);

/* Work for the next turn, which then comes without sleep. Deferring it twice is once. */
struct loop_task {
    struct list link;
    void (*fire)(struct loop_task *t);
};

void loop_task_init(struct loop_task *t, void (*fire)(struct loop_task *t));
void loop_defer(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop_task *t);

/* A descriptor under the loop's eye; level-triggered. */
enum sock_event { SOCK_READABLE = 1, SOCK_WRITABLE = 2, SOCK_ERROR = 4 };

struct sock {
    uv_poll_t poll;
    int fd;
    int events;                                /* asked for */
    void (*ready)(struct sock *s, int events); /* after SOCK_ERROR nothing is watched any more */
    void *owner;
};

/* Takes fd (made non-blocking). NULL when the loop refuses it; fd stays the caller's then. */
struct sock *sock_new(struct loop *l, int fd, void (*ready)(struct sock *s, int events),
                      void *owner) MUST_USE;
void sock_watch(struct sock *s, int events); /* 0: nothing */
void sock_close(struct sock **s);            /* closes fd; safe inside ready; NULL is fine */
/* As sock_close, but leaves fd open to its owner (a library's socket). */
void sock_forget(struct sock **s);

#endif
