/* Bounded queue between threads (any number of pushers and poppers). Full means wait or refuse,
 * never drop. The wake callback runs on the pusher's thread when the queue was empty. */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include "base/base.h"

struct queue;

struct queue *queue_new(size_t capacity, void (*wake)(void *), void *wake_arg) MUST_USE;
void queue_free(struct queue **q); /* must be empty or its content owned elsewhere */
bool queue_try_push(struct queue *q, void *item) MUST_USE; /* false: full or closed */
bool queue_push(struct queue *q, void *item);              /* waits for room; false: closed */
void *queue_try_pop(struct queue *q);                      /* NULL: empty */
void *queue_pop(struct queue *q);                          /* waits; NULL: closed and empty */
/* As queue_pop, at most timeout_ms; NULL on timeout too. */
void *queue_pop_wait(struct queue *q, int timeout_ms);
size_t queue_pop_many(struct queue *q, void **items, size_t max); /* does not wait */
void queue_close(struct queue *q);                                /* poppers drain, then get NULL */
size_t queue_length(struct queue *q);

#endif
