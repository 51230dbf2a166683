/* One delivery: its body, signed, goes out as a POST; what the receiver says decides what follows:
 * through, again later, or the webhook is disabled. Every attempt stands in the log. */
#include "engine/hooks_inner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 5000
#define TIMEOUT_MS         15000
#define HEADERS_MAX        1024

void deliver_drop(struct delivery *d)
{
    struct err e;
    if (d->test) {
        err_set(&e, ERR_LATER, "the webhook was changed meanwhile: try again");
        hooks_answer(d->ep->hooker->hooks, d->test, NULL, &e);
    }
    list_remove(&d->link);
    free(d);
}

/* ---- what became of it */

static void log_attempt(const struct delivery *d, const struct fetch_answer *a, const char *detail,
                        int64_t now, int64_t next_at)
{
    struct endpoint *ep = d->ep;
    struct hooks_batch *b = hooker_batch(ep->hooker);
    char reply[WEBHOOK_REPLY_KEPT + 1];
    struct str text = str_cut(a->reply, 0, WEBHOOK_REPLY_KEPT);
    bool utf8 = str_is_utf8(text);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char ch = (unsigned char)text.p[i];
        bool plain = (ch >= 32 && ch < 127) || ch == '\n' || ch == '\t' || (ch > 127 && utf8);
        reply[i] = plain ? (char)ch : '?';
    }
    struct hooks_op *op = hooks_batch_add(b, OP_LOG, ep->w->id);
    op->log = (struct webhook_delivery){.webhook_id = ep->w->id,
                                        .event = hooks_batch_text(b, str_of(d->event)),
                                        .type = hooks_batch_text(b, str_of(d->type)),
                                        .at = now,
                                        .ms = a->ms,
                                        .next_at = next_at,
                                        .attempt = d->attempt,
                                        .status = a->status,
                                        .detail = hooks_batch_text(b, str_of(detail))};
    const char *kept = hooks_batch_text(b, str_from(reply, text.n));
    op->log.reply = str_from(kept, *kept ? text.n : 0);
}

static void disable(struct endpoint *ep, const char *why)
{
    struct hooks_batch *b = hooker_batch(ep->hooker);
    if (ep->w->state != WEBHOOK_ACTIVE)
        return;
    ep->w->state = WEBHOOK_DISABLED;
    struct hooks_op *op = hooks_batch_add(b, OP_DISABLE, ep->w->id);
    op->name = hooks_batch_text(b, str_of(ep->w->name));
    op->log.detail = hooks_batch_text(b, str_of(why));
}

static void wait_until(struct delivery *d, int64_t due, uint32_t attempts)
{
    struct endpoint *ep = d->ep;
    struct hooks_op *op = hooks_batch_add(hooker_batch(ep->hooker), OP_WAIT, ep->w->id);
    (void)str_copy(str_of(d->event), op->wait.event, sizeof op->wait.event);
    op->was_due = d->due;
    op->wait.attempts = attempts;
    op->wait.due = due;
    ep->waiting += d->from_stream;
    ep->wait_due = MIN(ep->wait_due, due);
}

static void waits_no_more(struct delivery *d)
{
    struct endpoint *ep = d->ep;
    if (d->from_stream)
        return;
    struct hooks_op *op = hooks_batch_add(hooker_batch(ep->hooker), OP_WAIT_OVER, ep->w->id);
    (void)str_copy(str_of(d->event), op->wait.event, sizeof op->wait.event);
    op->was_due = d->due;
    ep->waiting -= ep->waiting > 0;
}

static void went_through(struct delivery *d, const struct fetch_answer *a, int64_t now)
{
    struct endpoint *ep = d->ep;
    log_attempt(d, a, "", now, 0);
    waits_no_more(d);
    if (ep->place.failing_since) { /* it answers again: what waits need not */
        hooks_batch_add(hooker_batch(ep->hooker), OP_HURRY, ep->w->id);
        ep->wait_due = 0;
    }
    ep->place.delivered++;
    ep->place.failing_since = 0;
    ep->place_dirty = true;
    ep->fails = 0;
}

static const char *words_for(const struct fetch_answer *a, char out[64])
{
    if (!a->status)
        return a->why && *a->why ? a->why : "no answer";
    snprintf(out, 64, "HTTP %d%s", a->status,
             a->status >= 300 && a->status < 400 ? ": redirects are not followed" : "");
    return out;
}

static void give_up(struct delivery *d, int64_t now)
{
    struct endpoint *ep = d->ep;
    char why[200];
    waits_no_more(d);
    ep->place.skipped++;
    /* The jitter of a schedule is a tenth. */
    if (now - ep->place.failing_since < hooks_schedule_ms() / 10 * 9)
        return;
    snprintf(why, sizeof why,
             "nothing was delivered for %lld hours, in %u attempts at the oldest event",
             (long long)((now - ep->place.failing_since) / 3600000), hooks_attempts());
    disable(ep, why);
}

static void failed(struct delivery *d, const struct fetch_answer *a, int64_t now)
{
    struct endpoint *ep = d->ep;
    char words[64];
    const char *detail = words_for(a, words);
    int64_t wait = hooks_retry_ms(d->attempt, a->retry_after, rand_u64(&ep->hooker->rand));
    ep->fails++;
    ep->place.failed++;
    if (!ep->place.failing_since)
        ep->place.failing_since = now;
    ep->place_dirty = true;
    log_attempt(d, a, detail, now, a->status == 410 || wait < 0 || d->is_probe ? 0 : now + wait);
    if (a->status == 410) {
        wait_until(d, now, d->attempt - 1);
        disable(ep, "the receiver says that it is gone for good (HTTP 410)");
    } else if (d->is_probe) {
        return;
    } else if (wait < 0) {
        give_up(d, now);
    } else {
        wait_until(d, now + wait, d->attempt);
    }
}

static void answer_test(struct delivery *d, const struct fetch_answer *a)
{
    char words[64];
    bool ok = a->status >= 200 && a->status < 300;
    json_t *reply = json_stringn(a->reply.p ? a->reply.p : "", a->reply.n);
    json_t *j = json_pack(
        "{s:b, s:s, s:o, s:I, s:o, s:o}", "ok", ok, "event", d->event, "status",
        a->status ? json_integer(a->status) : json_null(), "ms", (json_int_t)a->ms, "detail",
        ok ? json_null() : json_string(words_for(a, words)), "reply", reply ? reply : json_null());
    log_attempt(d, a, ok ? "" : words_for(a, words), clock_wall_ms(), 0);
    hooks_answer(d->ep->hooker->hooks, d->test, j, NULL);
    d->test = NULL;
}

static void done(void *arg, const struct fetch_answer *a)
{
    struct delivery *d = arg;
    struct endpoint *ep = d->ep;
    int64_t now = clock_wall_ms();
    if (d->test) {
        answer_test(d, a);
        deliver_drop(d);
        hooker_soon(ep->hooker);
        return;
    }
    ep->flying--;
    ep->tried_at = now;
    if (a->status >= 200 && a->status < 300)
        went_through(d, a, now);
    else
        failed(d, a, now);
    if (d->from_stream)
        d->is_over = true;
    else
        deliver_drop(d);
    hooker_soon(ep->hooker);
}

/* ---- the request */

static bool add_signatures(const struct endpoint *ep, const char *event, int64_t now,
                           struct str body, struct buf *b)
{
    const struct webhook *w = ep->w;
    struct buf all;
    buf_init(&all, HEADERS_MAX);
    bool ok = hooks_sign(w->secret, event, now / 1000, body, &all) &&
              (!w->old_secret || now >= w->old_until ||
               hooks_sign(w->old_secret, event, now / 1000, body, &all)) &&
              buf_addf(b, "webhook-signature: %s", buf_cstr(&all));
    buf_free(&all);
    return ok;
}

static bool make_fetcher(struct endpoint *ep)
{
    struct hooker *h = ep->hooker;
    struct err e;
    struct fetch_config cfg = {.ca_file = h->hooks->ca_file,
                               .allow_private = ep->w->allow_private,
                               .connections = HOOKS_FLYING_MAX,
                               .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                               .timeout_ms = TIMEOUT_MS};
    if (!ep->fetcher)
        ep->fetcher = fetcher_new(h->loop, h->dns, &cfg, &e);
    if (!ep->fetcher)
        log_event(LOG_ERROR, "webhook.request", "%s", e.text);
    return ep->fetcher != NULL;
}

static bool post(struct delivery *d, struct str body)
{
    struct endpoint *ep = d->ep;
    int64_t now = clock_wall_ms();
    char id[80], at[48];
    struct buf signature;
    buf_init(&signature, HEADERS_MAX);
    snprintf(id, sizeof id, "webhook-id: %s", d->event);
    snprintf(at, sizeof at, "webhook-timestamp: %lld", (long long)(now / 1000));
    bool ok = make_fetcher(ep) && add_signatures(ep, d->event, now, body, &signature);
    const char *const headers[] = {"Content-Type: application/json",
                                   "User-Agent: Postfleet",
                                   "Expect:",
                                   id,
                                   at,
                                   buf_cstr(&signature),
                                   NULL};
    struct fetch_ask ask = {.url = ep->w->url, .headers = headers, .body = body};
    ok = ok && fetch_post(ep->fetcher, &ask, done, d) != NULL;
    buf_free(&signature);
    return ok;
}

void deliver_start(struct delivery *d, json_t *body)
{
    struct fetch_answer none = {.why = "the request could not be made"};
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    d->ep->flying += d->test == NULL;
    if (!text || !post(d, str_of(text)))
        done(d, &none);
    free(text);
}

void deliver_test(struct endpoint *ep, struct link_request *r)
{
    char at[32];
    struct delivery *d = alloc_one(struct delivery);
    d->ep = ep;
    d->test = r;
    d->attempt = 1;
    snprintf(d->event, sizeof d->event, "evt_test_%016llx",
             (unsigned long long)rand_u64(&ep->hooker->rand));
    snprintf(d->type, sizeof d->type, "webhook.test");
    list_push_back(&ep->alone, &d->link);
    clock_format(clock_wall_ms(), at);
    deliver_start(d, json_pack("{s:s, s:s, s:s, s:{s:s}}", "id", d->event, "type", d->type,
                               "timestamp", at, "data", "webhook", ep->w->name));
}
