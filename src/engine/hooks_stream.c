/* From the tables to deliveries: a webhook reads events, outcomes of messages and accepted messages
 * behind its place, leaves out what it does not want, and starts the rest. A place moves only when
 * all before it is through; so a crash repeats what was under way and loses nothing. */
#include "engine/hooks_inner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/ids.h"

#include <stdlib.h>

#define AGE_LOOK_MS 60000

/* ---- what is new */

void stream_look(struct hooker *h)
{
    struct err e;
    if (!webhook_newest(h->db, &h->newest_event, &h->newest_message, &e) ||
        !outcome_log_last(h->db, &h->newest_row, &e))
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
}

/* ---- one entry */

static bool is_too_old(int64_t at)
{
    return at < clock_wall_ms() - HOOKS_KEPT_MS;
}

static bool has_type(const struct endpoint *ep, const char *type)
{
    return hook_patterns_have(str_of(ep->w->events), str_of(type));
}

/* Begins the delivery of an event that lies before ep->reading, when it is wanted. */
static void begin(struct endpoint *ep, const struct hook_ref *ref)
{
    struct hooker *h = ep->hooker;
    struct hook_facts f;
    struct err e;
    json_t *body = NULL;
    bool found = false;
    if (!webhook_event_make(h->db, ref, &h->view, &f, &body, &found, &e)) {
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
        ep->read_failed = true;
        return;
    }
    if (!found || !webhook_wants(ep->w, &f)) {
        json_decref(body);
        return;
    }
    struct delivery *d = alloc_one(struct delivery);
    d->ep = ep;
    d->ref = *ref;
    d->from_stream = true;
    d->attempt = 1;
    d->after = ep->reading;
    hook_ref_format(ref, d->event);
    (void)str_copy(str_of(f.type), d->type, sizeof d->type);
    list_push_back(&ep->stream, &d->link);
    deliver_start(d, body);
}

static bool next_event(struct endpoint *ep)
{
    struct hooker *h = ep->hooker;
    struct err e;
    bool row = false;
    if (ep->reading.event_id >= h->newest_event)
        return false;
    struct hook_ref ref = {0};
    int64_t at = 0;
    const char *type = NULL;
    if (!webhook_next_event(h->db, ep->reading.event_id, &ref.id, &at, &type, &row, &e)) {
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
        return false;
    }
    ep->reading.event_id = row ? ref.id : h->newest_event;
    if (row && type && is_too_old(at))
        ep->place.skipped += has_type(ep, type);
    else if (row && type && has_type(ep, type))
        begin(ep, &ref);
    return true;
}

static bool read_row(struct endpoint *ep)
{
    struct err e;
    bool found = false;
    if (ep->row)
        return true;
    if (ep->reading.log_seq >= ep->hooker->newest_row)
        return false;
    ep->row = alloc_one(struct outcome_log_row);
    if (!outcome_log_read(ep->hooker->db, ep->reading.log_seq, ep->row, &found, &e))
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
    if (!found) {
        free(ep->row);
        ep->row = NULL;
    }
    return found;
}

static void leave_row(struct endpoint *ep)
{
    ep->reading.log_seq = ep->row->seq;
    ep->reading.log_at = 0;
    free(ep->row);
    ep->row = NULL;
}

static bool next_outcome(struct endpoint *ep)
{
    if (!read_row(ep))
        return false;
    uint32_t at = ep->reading.log_at++;
    bool is_old = is_too_old(ep->row->at), has = at < ep->row->n;
    struct hook_ref ref = {.is_message = true};
    if (has) {
        ref.id = ep->row->ids[at];
        ref.event = outcome_event(ep->row->marks[at]);
        ref.number = outcome_number(ep->row->marks[at]);
    }
    if (at + 1 >= ep->row->n)
        leave_row(ep);
    if (!has || !has_type(ep, hook_event_name(ref.event)))
        return true;
    if (is_old)
        ep->place.skipped++;
    else
        begin(ep, &ref);
    return true;
}

static bool next_message(struct endpoint *ep)
{
    struct hooker *h = ep->hooker;
    struct err e;
    uint32_t n = 0;
    struct hook_ref ref = {.is_message = true, .event = HOOK_QUEUED};
    if (ep->reading.message_id >= h->newest_message)
        return false;
    if (!has_type(ep, hook_event_name(HOOK_QUEUED))) {
        ep->reading.message_id = h->newest_message;
        return true;
    }
    if (!webhook_messages_after(h->db, ep->reading.message_id, 1, &ref.id, &n, &e)) {
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
        return false;
    }
    ep->reading.message_id = n ? ref.id : h->newest_message;
    if (n && is_too_old(ids_time_ms(ref.id)))
        ep->place.skipped++;
    else if (n)
        begin(ep, &ref);
    return true;
}

/* What could not be read stays to be read. */
static bool next_entry(struct endpoint *ep)
{
    struct webhook_place was = ep->reading;
    ep->read_failed = false;
    bool any = next_event(ep) || next_outcome(ep) || next_message(ep);
    if (!ep->read_failed)
        return any;
    ep->reading = was;
    free(ep->row);
    ep->row = NULL;
    return false;
}

/* ---- places */

static void move_place(struct endpoint *ep, const struct webhook_place *to)
{
    struct webhook_place *p = &ep->place;
    ep->place_dirty |= p->event_id != to->event_id || p->message_id != to->message_id ||
                       p->log_seq != to->log_seq || p->log_at != to->log_at;
    p->event_id = to->event_id;
    p->message_id = to->message_id;
    p->log_seq = to->log_seq;
    p->log_at = to->log_at;
}

void stream_through(struct endpoint *ep)
{
    for (;;) {
        struct delivery *d = list_first(&ep->stream, struct delivery, link);
        if (!d || !d->is_over)
            break;
        move_place(ep, &d->after);
        deliver_drop(d);
    }
    if (list_empty(&ep->stream))
        move_place(ep, &ep->reading);
}

/* ---- what waits */

static bool begin_waiting(struct endpoint *ep, const struct webhook_wait *w, bool is_probe)
{
    struct hooker *h = ep->hooker;
    struct hook_facts f;
    struct err e;
    json_t *body = NULL;
    bool found = false;
    struct delivery *d = alloc_one(struct delivery);
    d->ep = ep;
    d->attempt = w->attempts + 1;
    d->is_probe = is_probe;
    d->due = w->due;
    (void)str_copy(str_of(w->event), d->event, sizeof d->event);
    list_push_back(&ep->alone, &d->link);
    if (hook_ref_parse(w->event, &d->ref) &&
        !webhook_event_make(h->db, &d->ref, &h->view, &f, &body, &found, &e)) {
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
        deliver_drop(d);
        return false;
    }
    if (found) {
        (void)str_copy(str_of(f.type), d->type, sizeof d->type);
        deliver_start(d, body);
        return true;
    }
    /* What it was about is gone: nobody can be told any more. */
    struct hooks_op *op = hooks_batch_add(hooker_batch(h), OP_WAIT_OVER, ep->w->id);
    op->wait = *w;
    op->was_due = w->due;
    ep->waiting -= ep->waiting > 0;
    deliver_drop(d);
    return true;
}

static void start_waiting(struct endpoint *ep)
{
    struct webhook_wait first[2 * HOOKS_FLYING_MAX];
    uint32_t n = 0;
    struct err e;
    int64_t now = clock_wall_ms();
    bool full = ep->waiting >= WEBHOOK_WAIT_MAX;
    bool probes = full && ep->flying == 0 && now - ep->tried_at >= HOOKS_PROBE_MS;
    if (ep->wait_due > now && !probes)
        return;
    if (!webhook_wait_first(ep->hooker->db, ep->w->id, countof(first), first, &n, &e)) {
        log_event(LOG_ERROR, "webhook.read", "%s", e.text);
        return;
    }
    ep->wait_due = n < countof(first) ? INT64_MAX : now + HOOKS_LOOK_MS;
    for (uint32_t i = 0; i < n; i++) {
        bool due = first[i].due <= now;
        if (!due && !probes) {
            ep->wait_due = MIN(ep->wait_due, first[i].due);
            continue;
        }
        if (!endpoint_may_start(ep) || endpoint_is_at(ep, first[i].event)) {
            ep->wait_due = MIN(ep->wait_due, now + HOOKS_LOOK_MS);
            continue;
        }
        (void)begin_waiting(ep, &first[i], !due);
        probes = false;
    }
}

/* ---- turns */

void stream_age(struct endpoint *ep)
{
    struct outcome_log_row *row;
    int64_t now = loop_now_ms(ep->hooker->loop);
    if (ep->w->state == WEBHOOK_ACTIVE || !list_empty(&ep->stream) || now < ep->aged_at)
        return;
    ep->aged_at = now + AGE_LOOK_MS;
    if (!read_row(ep))
        return;
    ep->aged_at = now; /* there may be more */
    row = ep->row;
    if (is_too_old(row->at)) {
        ep->place.skipped += row->n - MIN(ep->reading.log_at, row->n);
        ep->place_dirty = true;
        leave_row(ep);
        move_place(ep, &ep->reading);
        return;
    }
    ep->aged_at = now + AGE_LOOK_MS;
    free(ep->row);
    ep->row = NULL;
}

void stream_pump(struct endpoint *ep)
{
    int steps = HOOKS_STEP;
    if (!endpoint_may_start(ep)) {
        stream_through(ep);
        return;
    }
    start_waiting(ep);
    while (steps > 0 && endpoint_may_start(ep) && ep->waiting + ep->flying < WEBHOOK_WAIT_MAX &&
           next_entry(ep))
        steps--;
    ep->hooker->more |= steps == 0;
    stream_through(ep);
}
