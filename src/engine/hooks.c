/* The door of webhooks, on the reactor: see hooks.h. The thread is started with the first webhook
 * and stays. */
#include "engine/hooks_inner.h"

#include "base/alloc.h"
#include "base/log.h"
#include "engine/admin_parts.h"
#include "engine/state.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what comes from the thread */

void hooks_answer(struct hooks *h, struct link_request *r, json_t *data, const struct err *e)
{
    struct hooks_answer *a = alloc_one(struct hooks_answer);
    a->request = r;
    a->data = data;
    if (e)
        a->error = *e;
    pthread_mutex_lock(&h->lock);
    list_push_back(&h->answers, &a->link);
    pthread_mutex_unlock(&h->lock);
    wake_signal(h->back);
}

static struct list *take(struct hooks *h, struct list *from)
{
    pthread_mutex_lock(&h->lock);
    struct list *n = list_pop_front(from);
    pthread_mutex_unlock(&h->lock);
    return n;
}

static void on_back(void *arg)
{
    struct hooks *h = arg;
    for (struct list *n = take(h, &h->batches); n; n = take(h, &h->batches)) {
        struct hooks_batch *b = list_entry(n, struct hooks_batch, link);
        b->is_lost = !h->is_running;
        hooks_batch_post(b);
    }
    for (struct list *n = take(h, &h->answers); n; n = take(h, &h->answers)) {
        struct hooks_answer *a = list_entry(n, struct hooks_answer, link);
        link_answer(a->request, a->data ? link_answer_ok(a->data) : link_answer_error(&a->error));
        free(a);
    }
}

/* ---- to the thread */

void hooks_tell(struct hooks *h, struct hooks_note *note)
{
    pthread_mutex_lock(&h->lock);
    list_push_back(&h->notes, &note->link);
    pthread_mutex_unlock(&h->lock);
    wake_signal(h->wake);
}

static struct hooks *hooks_new(struct core *c)
{
    struct hooks *h = alloc_one(struct hooks);
    h->core = c;
    h->back = wake_new(c->loop, on_back, h);
    h->dns_servers = c->cfg->dns_servers;
    h->ca_file = c->cfg->ca_file;
    pthread_mutex_init(&h->lock, NULL);
    list_init(&h->notes);
    list_init(&h->batches);
    list_init(&h->answers);
    snprintf(h->db_path, sizeof h->db_path, "%s/postfleet.db", c->cfg->data_dir);
    return h;
}

static bool run(struct hooks *h)
{
    if (h->is_running)
        return true;
    h->loop = loop_new();
    if (!h->loop)
        return false;
    hooks_thread_prepare(h);
    h->is_running = pthread_create(&h->thread, NULL, hooks_thread_main, h) == 0;
    if (!h->is_running)
        log_event(LOG_ERROR, "webhook.thread", "it cannot be started: webhooks wait");
    return h->is_running;
}

/* ---- what is in force */

struct loading {
    struct ledger_job lj;
    struct core *core;
    struct webhook **webhooks;
    struct webhook_place *places;
    size_t n;
};

static bool read_places(struct loading *x, struct db *db, struct err *e)
{
    x->places = alloc_many(struct webhook_place, x->n + 1);
    for (size_t i = 0; i < x->n; i++) {
        bool found = false;
        if (!webhook_place_get(db, x->webhooks[i]->id, &x->places[i], &found, e))
            return false;
        x->places[i].webhook_id = x->webhooks[i]->id;
    }
    return true;
}

bool hooks_load(struct core *c, struct db *db, struct err *e)
{
    unsigned wanted = 0;
    if (!webhooks_wanted(db, &wanted, e))
        return false;
    results_want(c->results, wanted);
    return true;
}

static bool load_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct loading *x = container_of(lj, struct loading, lj);
    return hooks_load(x->core, db, e) &&
           webhooks_load(db, x->core->secrets, &x->webhooks, &x->n, e) && read_places(x, db, e);
}

static void put_in_force(struct loading *x)
{
    struct core *c = x->core;
    if (!c->hooks && x->n == 0)
        return;
    if (!c->hooks)
        c->hooks = hooks_new(c);
    if (!run(c->hooks))
        return;
    struct hooks_note *note = alloc_one(struct hooks_note);
    note->kind = NOTE_IN_FORCE;
    note->webhooks = x->webhooks;
    note->places = x->places;
    note->n = x->n;
    x->webhooks = NULL;
    x->places = NULL;
    x->n = 0;
    hooks_tell(c->hooks, note);
}

static void load_done(struct ledger_job *lj)
{
    struct loading *x = container_of(lj, struct loading, lj);
    if (!lj->ok)
        log_event(LOG_ERROR, "webhook.load", "%s", lj->error.text);
    else if (!x->core->is_stopping)
        put_in_force(x);
    webhooks_free_list(x->webhooks, x->n);
    free(x->places);
    free(x);
}

void hooks_reload(struct core *c)
{
    struct loading *x = alloc_one(struct loading);
    x->core = c;
    x->lj.order = LEDGER_ADMIN;
    x->lj.is_read = true;
    x->lj.work = load_work;
    x->lj.done = load_done;
    ledger_post(c->ledger, &x->lj);
}

/* ---- calls */

void hooks_test_start(struct core *c, struct link_request *r)
{
    struct err e;
    const char *name = json_string_value(json_object_get(r->args, "name"));
    if (!c->hooks || !c->hooks->is_running || !name) {
        err_set(&e, ERR_NOT_FOUND, "webhook \"%.80s\": there is none", name ? name : "");
        link_answer(r, link_answer_error(&e));
        return;
    }
    struct hooks_note *note = alloc_one(struct hooks_note);
    note->kind = NOTE_TEST;
    note->request = r;
    (void)str_copy(str_of(name), note->name, sizeof note->name);
    hooks_tell(c->hooks, note);
}

bool hooks_allow_call(const struct link_request *r, struct err *e)
{
    if (!str_is(str_of(r->op), "webhook.add") && !str_is(str_of(r->op), "webhook.set"))
        return true;
    const char *url = json_string_value(json_object_get(r->args, "url"));
    bool allow = str_is(str_of(r->op), "webhook.set"); /* it may be allowed already */
    return !url || (args_bool(r->args, "allow_private", allow, &allow, e) &&
                    fetch_check_url(url, allow, e));
}

/* ---- the end */

static void drop_notes(struct hooks *h)
{
    struct err e;
    for (struct list *n = list_pop_front(&h->notes); n; n = list_pop_front(&h->notes)) {
        struct hooks_note *note = list_entry(n, struct hooks_note, link);
        webhooks_free_list(note->webhooks, note->n);
        free(note->places);
        hooks_batch_free(&note->batch);
        err_set(&e, ERR_LATER, "the daemon is stopping: try again in a few seconds");
        if (note->request)
            link_answer(note->request, link_answer_error(&e));
        free(note);
    }
}

void hooks_stop(struct core *c)
{
    struct hooks *h = c->hooks;
    if (!h || !h->is_running)
        return;
    struct hooks_note *note = alloc_one(struct hooks_note);
    note->kind = NOTE_STOP;
    hooks_tell(h, note);
    pthread_join(h->thread, NULL);
    h->is_running = false;
    on_back(h); /* what it collected last */
    drop_notes(h);
}
