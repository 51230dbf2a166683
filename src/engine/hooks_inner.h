/* Inside engine/hooks*: what the reactor and the thread of webhooks hand each other, and the
 * thread's own structs.
 *   hooks.c          the door, on the reactor: start, reload, stop, test
 *   hooks_write.c    batches for the ledger
 *   hooks_thread.c   the thread: its loop, its turns, what is in force
 *   hooks_stream.c   from the tables to deliveries, by cursor
 *   hooks_deliver.c  one delivery: body, signature, request, what follows
 *   hooks_rules.c    signatures and the schedule of retries */
#ifndef ENGINE_HOOKS_INNER_H
#define ENGINE_HOOKS_INNER_H

#include "base/arena.h"
#include "base/list.h"
#include "base/rand.h"
#include "engine/hooks.h"
#include "engine/hooks_rules.h"
#include "engine/ledger.h"
#include "net/dns.h"
#include "net/fetch.h"
#include "net/loop.h"
#include "store/db.h"
#include "store/outcome_log.h"
#include "store/webhook_event.h"
#include "store/webhooks.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#define HOOKS_FLYING_MAX 8    /* deliveries of a webhook at a time */
#define HOOKS_LOOK_MS    250  /* between looks at the tables when nothing is left there */
#define HOOKS_FLUSH_MS   200  /* between batches */
#define HOOKS_OPS_MAX    2000 /* of a batch that cannot be written yet: no new deliveries then */
#define HOOKS_STEP       200  /* entries looked at in a turn */
#define HOOKS_KEPT_MS    (INT64_C(7) * 24 * 3600000) /* what is older is told no more */
#define HOOKS_PROBE_MS   300000 /* a webhook that is full is tried with one of those that wait */

struct link_request;

/* ---- what is written (hooks_write.c) */

enum hooks_op_kind { OP_PLACE, OP_WAIT, OP_WAIT_OVER, OP_LOG, OP_DISABLE, OP_HURRY };

struct hooks_op {
    enum hooks_op_kind kind;
    uint64_t webhook_id;
    const char *name; /* DISABLE: of the webhook */
    struct webhook_place place;
    int64_t was_due;          /* WAIT, WAIT_OVER: of the row as it was read; 0: there was none */
    struct webhook_wait wait; /* WAIT_OVER: its event only */
    struct webhook_delivery log;
};

struct hooks_batch {
    struct ledger_job lj;
    struct list link;
    struct hooks *hooks;
    struct arena *arena; /* texts */
    struct hooks_op *ops;
    size_t n, cap;
    int64_t wall_ms;
    bool disables; /* committed: what is in force is read again */
    bool is_lost;  /* the thread is gone: nobody asks for it again */
};

struct hooks_batch *hooks_batch_new(struct hooks *h) MUST_USE;
void hooks_batch_free(struct hooks_batch **b);
struct hooks_op *hooks_batch_add(struct hooks_batch *b, enum hooks_op_kind kind,
                                 uint64_t webhook_id);
/* Copies into the batch's arena. */
const char *hooks_batch_text(struct hooks_batch *b, struct str s);
/* On the reactor: to the ledger; then it goes back to the thread. */
void hooks_batch_post(struct hooks_batch *b);

/* ---- between the threads */

enum hooks_note_kind { NOTE_IN_FORCE, NOTE_WRITTEN, NOTE_TEST, NOTE_STOP };

struct hooks_note { /* to the thread, which frees it */
    struct list link;
    enum hooks_note_kind kind;
    struct webhook **webhooks; /* IN_FORCE, with their places */
    struct webhook_place *places;
    size_t n;
    struct hooks_batch *batch;    /* WRITTEN */
    struct link_request *request; /* TEST */
    char name[132];
};

struct hooks_answer { /* to the reactor */
    struct list link;
    struct link_request *request;
    json_t *data; /* NULL: the error */
    struct err error;
};

struct hooks {
    struct core *core;
    pthread_t thread;
    bool is_running;       /* the reactor's */
    struct wake *wake;     /* of the thread's loop */
    struct wake *back;     /* of the reactor's */
    struct loop *loop;     /* the thread's */
    struct hooker *hooker; /* the thread's own */
    pthread_mutex_t lock;  /* of the three lists */
    struct list notes, batches, answers;
    char db_path[4200];
    const char *dns_servers, *ca_file;
};

void hooks_tell(struct hooks *h, struct hooks_note *note); /* to the thread */
void hooks_thread_prepare(struct hooks *h);                /* before it starts */
void *hooks_thread_main(void *hooks);

/* ---- the thread's own */

struct endpoint { /* a webhook in force */
    struct list link;
    struct hooker *hooker;
    struct webhook *w;
    struct fetcher *fetcher;      /* NULL until the first delivery */
    struct webhook_place place;   /* all before it is through */
    struct webhook_place reading; /* all before it was looked at */
    struct list stream;           /* deliveries from the tables, in their order */
    struct list alone;            /* those that waited, and tests */
    struct outcome_log_row *row;  /* the row that is read; NULL: none */
    uint32_t flying, waiting;     /* deliveries under way; rows of webhook_wait, as far as known */
    uint32_t fails;               /* in a row */
    int64_t wait_due;             /* wall ms of the first that waits; 0: look */
    int64_t tried_at;             /* wall ms of the last attempt's end */
    int64_t aged_at;              /* boot ms: looked for what is too old, of one at rest */
    bool place_dirty, read_failed;
};

struct delivery {
    struct list link; /* in endpoint->stream or endpoint->alone */
    struct endpoint *ep;
    struct hook_ref ref;
    char event[WEBHOOK_EVENT_MAX], type[40];
    uint32_t attempt; /* this one */
    int64_t due;      /* of its row in webhook_wait; 0: it has none */
    bool from_stream, is_probe, is_over;
    struct webhook_place after; /* from_stream: the place behind it */
    struct link_request *test;  /* a test: who asked */
};

struct hooker {
    struct hooks *hooks;
    struct loop *loop;
    struct dns *dns;
    struct db *db;
    struct timer *tick;
    struct list endpoints;
    struct hooks_batch *batch;   /* collected; NULL: nothing */
    struct hooks_batch *writing; /* with the ledger: only looked at; NULL: none */
    int64_t flushed_at;          /* boot ms */
    struct campaign_view view;
    struct rand rand;
    uint64_t newest_event, newest_message; /* as last looked at */
    int64_t newest_row;
    bool is_stopping, more; /* more: another turn at once */
};

struct hooks_batch *hooker_batch(struct hooker *h); /* the one that is collected */
/* May it begin a delivery? */
bool endpoint_may_start(const struct endpoint *ep);
void hooker_soon(struct hooker *h); /* a turn as soon as may be */
/* Is what the tables say of this waiting event out of date? */
bool endpoint_is_at(const struct endpoint *ep, const char *event);

/* hooks_stream.c */
void stream_look(struct hooker *h);       /* what is new in the tables? */
void stream_pump(struct endpoint *ep);    /* starts what may be started */
void stream_through(struct endpoint *ep); /* moves the place behind all that is through */
void stream_age(struct endpoint *ep);     /* leaves behind what is too old, of one at rest too */

/* hooks_deliver.c */
/* Takes d over. body: stolen. */
void deliver_start(struct delivery *d, json_t *body);
void deliver_test(struct endpoint *ep, struct link_request *r);
/* Frees it as if it had never begun. */
void deliver_drop(struct delivery *d);
void hooks_answer(struct hooks *h, struct link_request *r, json_t *data, const struct err *e);

#endif
