/* The thread of webhooks: its loop, what is in force, its turns. A turn looks what is new in the
 * tables, lets every webhook start what it may, and hands what is to be written to the reactor. It
 * runs at a lower priority than the rest of core: what is sent goes first. */
#include "engine/hooks_inner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICENESS 10

/* ---- batches */

struct hooks_batch *hooker_batch(struct hooker *h)
{
    if (!h->batch)
        h->batch = hooks_batch_new(h->hooks);
    return h->batch;
}

static void hand_over(struct hooker *h)
{
    struct hooks *to = h->hooks;
    h->writing = h->batch;
    h->batch = NULL;
    h->flushed_at = loop_now_ms(h->loop);
    pthread_mutex_lock(&to->lock);
    list_push_back(&to->batches, &h->writing->link);
    pthread_mutex_unlock(&to->lock);
    wake_signal(to->back);
}

static void add_places(struct hooker *h)
{
    list_each(it, &h->endpoints)
    {
        struct endpoint *ep = list_entry(it, struct endpoint, link);
        if (!ep->place_dirty)
            continue;
        ep->place_dirty = false;
        hooks_batch_add(hooker_batch(h), OP_PLACE, ep->w->id)->place = ep->place;
    }
}

static void flush(struct hooker *h)
{
    if (h->writing || loop_now_ms(h->loop) - h->flushed_at < HOOKS_FLUSH_MS)
        return;
    add_places(h);
    if (h->batch)
        hand_over(h);
}

static bool batch_has(const struct hooks_batch *b, uint64_t webhook_id, const char *event)
{
    for (size_t i = 0; b && i < b->n; i++) {
        const struct hooks_op *op = &b->ops[i];
        if (op->webhook_id == webhook_id && (op->kind == OP_WAIT || op->kind == OP_WAIT_OVER) &&
            !strcmp(op->wait.event, event))
            return true;
    }
    return false;
}

bool endpoint_is_at(const struct endpoint *ep, const char *event)
{
    const struct list *both[] = {&ep->stream, &ep->alone};
    for (size_t i = 0; i < countof(both); i++)
        for (const struct list *n = both[i]->next; n != both[i]; n = n->next)
            if (!strcmp(list_entry(n, const struct delivery, link)->event, event))
                return true;
    return batch_has(ep->hooker->batch, ep->w->id, event) ||
           batch_has(ep->hooker->writing, ep->w->id, event);
}

/* ---- endpoints */

bool endpoint_may_start(const struct endpoint *ep)
{
    const struct hooker *h = ep->hooker;
    uint32_t most = ep->fails >= 5 ? 1 : HOOKS_FLYING_MAX;
    return ep->w->state == WEBHOOK_ACTIVE && ep->flying < most && h->dns && !h->is_stopping &&
           (!h->batch || h->batch->n < HOOKS_OPS_MAX);
}

static void drop_all(struct list *deliveries)
{
    for (struct list *n = list_pop_front(deliveries); n; n = list_pop_front(deliveries))
        deliver_drop(list_entry(n, struct delivery, link));
}

/* What is under way counts as not begun. */
static void endpoint_rest(struct endpoint *ep)
{
    fetcher_free(&ep->fetcher);
    drop_all(&ep->stream);
    drop_all(&ep->alone);
    free(ep->row);
    ep->row = NULL;
    ep->flying = 0;
    ep->reading = ep->place;
}

static void endpoint_free(struct endpoint *ep)
{
    endpoint_rest(ep);
    list_remove(&ep->link);
    webhook_free(&ep->w);
    free(ep);
}

static struct endpoint *find(struct hooker *h, uint64_t id)
{
    list_each(it, &h->endpoints)
    {
        struct endpoint *ep = list_entry(it, struct endpoint, link);
        if (ep->w->id == id)
            return ep;
    }
    return NULL;
}

static void count_waiting(struct endpoint *ep)
{
    struct err e;
    ep->wait_due = 0;
    if (ep->hooker->db && !webhook_wait_count(ep->hooker->db, ep->w->id, &ep->waiting, &e))
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
}

static void put_in_force(struct hooker *h, struct webhook **w, const struct webhook_place *place)
{
    struct endpoint *ep = find(h, (*w)->id);
    bool is_new = !ep;
    if (is_new) {
        ep = alloc_one(struct endpoint);
        ep->hooker = h;
        ep->place = ep->reading = *place;
        list_init(&ep->stream);
        list_init(&ep->alone);
        list_push_back(&h->endpoints, &ep->link);
    } else if (ep->w->updated_at != (*w)->updated_at || ep->w->state != (*w)->state) {
        endpoint_rest(ep);
    }
    if (!is_new && ep->w->state != WEBHOOK_ACTIVE && (*w)->state == WEBHOOK_ACTIVE) {
        ep->fails = 0;
        ep->place.failing_since = 0;
        ep->place_dirty = true;
    }
    webhook_free(&ep->w);
    ep->w = *w;
    *w = NULL;
    count_waiting(ep);
}

static bool is_listed(const struct hooks_note *note, uint64_t id)
{
    for (size_t i = 0; i < note->n; i++)
        if (note->places[i].webhook_id == id)
            return true;
    return false;
}

static void in_force(struct hooker *h, struct hooks_note *note)
{
    list_each_safe(it, &h->endpoints)
    {
        struct endpoint *ep = list_entry(it, struct endpoint, link);
        if (!is_listed(note, ep->w->id))
            endpoint_free(ep);
    }
    for (size_t i = 0; i < note->n; i++)
        put_in_force(h, &note->webhooks[i], &note->places[i]);
    h->newest_event = h->newest_message = 0;
    h->newest_row = 0;
}

static void test(struct hooker *h, const struct hooks_note *note)
{
    struct err e;
    list_each(it, &h->endpoints)
    {
        struct endpoint *ep = list_entry(it, struct endpoint, link);
        if (!strcmp(ep->w->name, note->name)) {
            deliver_test(ep, note->request);
            return;
        }
    }
    err_set(&e, ERR_NOT_FOUND, "webhook \"%.80s\": there is none", note->name);
    hooks_answer(h->hooks, note->request, NULL, &e);
}

/* ---- turns */

static void open_database(struct hooker *h)
{
    struct err e;
    if (h->db || db_open(h->hooks->db_path, DB_READ_ONLY, &h->db, &e))
        return;
    log_event(LOG_ERROR, "webhook.read", "%s: tried again", e.text);
}

static void turn(void *arg)
{
    struct hooker *h = arg;
    if (h->is_stopping)
        return;
    h->more = false;
    open_database(h);
    if (h->db) {
        stream_look(h);
        list_each(it, &h->endpoints)
        {
            struct endpoint *ep = list_entry(it, struct endpoint, link);
            stream_age(ep);
            stream_pump(ep);
        }
    }
    flush(h);
    if (!h->is_stopping)
        timer_at(h->tick, loop_now_ms(h->loop) + (h->more ? 0 : HOOKS_LOOK_MS));
}

void hooker_soon(struct hooker *h)
{
    timer_at(h->tick, loop_now_ms(h->loop));
}

static void stop(struct hooker *h)
{
    h->is_stopping = true;
    timer_at(h->tick, INT64_MAX);
    add_places(h);
    while (!list_empty(&h->endpoints))
        endpoint_free(list_entry(h->endpoints.next, struct endpoint, link));
    if (h->batch)
        hand_over(h);
    loop_stop(h->loop);
}

/* What waits is due now: the tables say so from here on. */
static void written(struct hooker *h, struct hooks_note *note)
{
    h->writing = NULL;
    for (size_t i = 0; i < note->batch->n; i++) {
        const struct hooks_op *op = &note->batch->ops[i];
        struct endpoint *ep = op->kind == OP_HURRY ? find(h, op->webhook_id) : NULL;
        if (ep)
            ep->wait_due = 0;
    }
    hooks_batch_free(&note->batch);
}

static void take_note(struct hooker *h, struct hooks_note *note)
{
    switch (note->kind) {
    case NOTE_IN_FORCE: in_force(h, note); break;
    case NOTE_WRITTEN: written(h, note); break;
    case NOTE_TEST: test(h, note); break;
    case NOTE_STOP: stop(h); break;
    }
    webhooks_free_list(note->webhooks, note->n);
    free(note->places);
    free(note);
}

static void on_wake(void *arg)
{
    struct hooks *hooks = arg;
    struct hooker *h = hooks->hooker;
    for (;;) {
        pthread_mutex_lock(&hooks->lock);
        struct list *n = h->is_stopping ? NULL : list_pop_front(&hooks->notes);
        pthread_mutex_unlock(&hooks->lock);
        if (!n)
            break;
        take_note(h, list_entry(n, struct hooks_note, link));
    }
    if (!h->is_stopping)
        hooker_soon(h);
}

/* ---- the thread */

void hooks_thread_prepare(struct hooks *hooks)
{
    struct hooker *h = alloc_one(struct hooker);
    hooks->hooker = h;
    h->hooks = hooks;
    h->loop = hooks->loop;
    list_init(&h->endpoints);
    rand_seed(&h->rand, rand_secret_u64());
    hooks->wake = wake_new(hooks->loop, on_wake, hooks);
    h->tick = timer_new(h->loop, turn, h);
}

/* Without it nothing is delivered, and all waits. */
static void make_dns(struct hooker *h)
{
    struct dns_config cfg = {.servers = h->hooks->dns_servers};
    struct err e;
    h->dns = dns_new(h->loop, &cfg, &e);
    if (!h->dns)
        log_event(LOG_ERROR, "webhook.dns", "%s", e.text);
}

void *hooks_thread_main(void *arg)
{
    struct hooks *hooks = arg;
    struct hooker *h = hooks->hooker;
    (void)pthread_setname_np(pthread_self(), "webhooks");
    /* Of this thread only, on Linux. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
    make_dns(h);
    loop_run(h->loop);
    dns_free(&h->dns);
    timer_free(&h->tick);
    wake_free(&hooks->wake);
    loop_free(&h->loop);
    hooks->loop = NULL;
    db_close(&h->db);
    free(h);
    return NULL;
}
