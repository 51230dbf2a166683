/* Operations that web asks for: most run on the ledger thread by engine/admin, looking is answered
 * at once, tests of servers are run here. After a commit the reactor hears what changed. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/log.h"
#include "engine/admin.h"
#include "engine/server_test.h"

#include <stdio.h>
#include <stdlib.h>

struct call_job {
    struct ledger_job lj;
    struct core *core;
    struct link_request *request;
    struct admin_context ctx;
    struct admin_answer answer;
    char spool[4200];
    uint64_t random;
};

static void fill_context(struct call_job *k, struct db *db)
{
    struct core *c = k->core;
    k->ctx = (struct admin_context){.db = db,
                                    .secrets = c->secrets,
                                    .token_key = c->token_key,
                                    .ids = &c->ids,
                                    .people = c->people,
                                    .wall_ms = core_steady(c),
                                    .random = k->random,
                                    .spool_dir = k->spool,
                                    .host = c->host,
                                    .public_url = c->public_url,
                                    .http_url = c->cfg->http_url,
                                    .actor = k->request->actor};
}

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct call_job *k = container_of(lj, struct call_job, lj);
    fill_context(k, db);
    admin_execute(&k->ctx, k->request->op, k->request->args, k->request->tail, &k->answer);
    if (!k->answer.ok)
        *e = k->answer.error;
    return k->answer.ok;
}

static void cancel_messages(struct core *c, const uint64_t *ids, size_t n)
{
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++)
            for (size_t k = 0; k < n; k++)
                if (b->jobs[i].place != JOB_OVER && b->jobs[i].item->message_id == ids[k])
                    b->jobs[i].is_cancelled = true;
    }
    due_wake_all(c);
}

/* Somebody left a list: claimed mail of its campaigns to them does not leave any more. */
static void left_list(struct core *c, const struct admin_left *x)
{
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++) {
            struct job *j = &b->jobs[i];
            if (j->place != JOB_OVER && j->item->contact_id == x->contact_id && j->run &&
                j->run->content && j->run->content->list_id == x->list_id)
                j->is_suppressed = true;
        }
    }
}

/* Whole-queue operations may move messages to a time before the place that claims have reached. */
struct rewind_job {
    struct ledger_job lj;
    struct core *core;
};

static bool rewind_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct core *c = container_of(lj, struct rewind_job, lj)->core;
    (void)db, (void)e;
    memset(c->places, 0, sizeof c->places);
    return true;
}

static void rewind_done(struct ledger_job *lj)
{
    struct rewind_job *k = container_of(lj, struct rewind_job, lj);
    campaigner_want_queue(k->core);
    campaigner_tick(k->core);
    free(k);
}

static void rewind_queue(struct core *c)
{
    struct rewind_job *k = alloc_one(struct rewind_job);
    k->core = c;
    k->lj.order = LEDGER_ADMIN;
    k->lj.is_read = true;
    k->lj.work = rewind_work;
    k->lj.done = rewind_done;
    ledger_post(c->ledger, &k->lj);
}

static void resumed(struct core *c, const char *op)
{
    if (!str_is(str_of(op), "system.resume"))
        return;
    c->is_held = c->jump_held = false;
    c->held_why[0] = 0;
    poison_release(c->poison);
}

static void apply_changes(struct core *c, const char *op, const struct admin_changes *ch)
{
    if (ch->bits & (ADMIN_CHANGED_SERVERS | ADMIN_CHANGED_GROUPS | ADMIN_CHANGED_PAUSE))
        config_reload(c, false);
    if (ch->bits & ADMIN_CHANGED_PAUSE)
        resumed(c, op);
    if (ch->bits & ADMIN_CHANGED_CAMPAIGNS)
        campaigner_reload(c);
    for (size_t i = 0; i < ch->n_suppressed; i++)
        campaigner_suppressed(c, str_of(ch->suppressed[i]));
    for (size_t i = 0; i < ch->n_left; i++)
        left_list(c, &ch->left[i]);
    if (ch->n_messages)
        cancel_messages(c, ch->messages, ch->n_messages);
    if (!(ch->bits & ADMIN_CHANGED_QUEUE))
        return;
    if (str_is(str_of(op), "message.send")) {
        campaigner_want_queue(c);
        campaigner_tick(c);
    } else {
        rewind_queue(c);
    }
}

/* A second, empty turn through the ledger: what apply_changes reads again is in force by then, so
 * that the next call of the user finds it. */
static bool nothing(struct ledger_job *lj, struct db *db, struct err *e)
{
    (void)lj, (void)db, (void)e;
    return true;
}

static void answer_ok(struct ledger_job *lj)
{
    struct call_job *k = container_of(lj, struct call_job, lj);
    link_answer(k->request, link_answer_ok(k->answer.data));
    admin_changes_free(&k->ctx.changed);
    free(k);
}

static void answer_after_reload(struct call_job *k)
{
    k->lj.order = LEDGER_ADMIN;
    k->lj.is_read = true;
    k->lj.work = nothing;
    k->lj.done = answer_ok;
    ledger_post(k->core->ledger, &k->lj);
}

static void done(struct ledger_job *lj)
{
    struct call_job *k = container_of(lj, struct call_job, lj);
    if (lj->ok) {
        apply_changes(k->core, k->request->op, &k->ctx.changed);
        if (k->ctx.changed.bits & (ADMIN_CHANGED_SERVERS | ADMIN_CHANGED_GROUPS |
                                   ADMIN_CHANGED_CAMPAIGNS | ADMIN_CHANGED_PAUSE)) {
            answer_after_reload(k);
            return;
        }
        link_answer(k->request, link_answer_ok(k->answer.data));
    } else {
        if (k->answer.ok)
            json_decref(k->answer.data);
        link_answer(k->request, link_answer_error(&lj->error));
    }
    admin_changes_free(&k->ctx.changed);
    free(k);
}

static void run_on_ledger(struct core *c, struct link_request *r)
{
    struct call_job *k = alloc_one(struct call_job);
    bool is_import = str_is(str_of(r->op), "people.import_rows");
    k->core = c;
    k->request = r;
    k->random = rand_u64(&c->rand);
    snprintf(k->spool, sizeof k->spool, "%s/spool", c->cfg->data_dir);
    k->lj.order = str_is(str_of(r->op), "message.send") ? LEDGER_ACCEPT
                  : is_import                           ? LEDGER_SLICE
                                                        : LEDGER_ADMIN;
    k->lj.is_read = admin_reads_only(r->op);
    k->lj.work = work;
    k->lj.done = done;
    ledger_post(c->ledger, &k->lj);
}

static bool answer_live(struct core *c, struct link_request *r)
{
    static const struct {
        const char *op;
        json_t *(*look)(struct core *c);
    } live[] = {{"live.fleet", live_fleet},
                {"live.queue", live_queue},
                {"live.status", live_status},
                {"live.campaigns", live_campaigns}};
    for (size_t i = 0; i < countof(live); i++)
        if (str_is(str_of(r->op), live[i].op)) {
            link_answer(r, link_answer_ok(live[i].look(c)));
            return true;
        }
    return false;
}

void calls_handle(void *arg, struct link_request *r)
{
    struct core *c = arg;
    struct err e;
    if (answer_live(c, r))
        return;
    if (c->is_stopping) {
        err_set(&e, ERR_LATER, "the daemon is stopping: try again in a few seconds");
    } else if (str_is(str_of(r->op), "server.test") || str_is(str_of(r->op), "server.send_test")) {
        server_test_start(c, r);
        return;
    } else if (!admin_has(r->op)) {
        err_set(&e, ERR_NOT_FOUND, "there is no operation '%s' here", r->op);
    } else if (ledger_disk_full(c->ledger) && !admin_reads_only(r->op)) {
        err_set(&e, ERR_FULL, "the disk is full: nothing can be accepted until there is space");
    } else {
        run_on_ledger(c, r);
        return;
    }
    link_answer(r, link_answer_error(&e));
}
