/* Operations that web asks for: most run on the ledger thread by engine/admin, looking is answered
 * at once, tests of servers are run here. After a commit the reactor hears what changed. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/log.h"
#include "engine/admin.h"
#include "engine/domain_check.h"
#include "engine/foresee.h"
#include "engine/hooks.h"
#include "engine/intake.h"
#include "engine/isolate.h"
#include "engine/look.h"
#include "engine/server_test.h"
#include "engine/submitting.h"
#include "engine/drafts.h"
#include "store/domains.h"

#include <stdio.h>
#include <stdlib.h>

struct call_job {
    struct ledger_job lj;
    struct pool_job desk; /* makes keys of DKIM beforehand */
    struct core *core;
    struct link_request *request;
    struct admin_context ctx;
    struct admin_answer answer;
    char spool[4200];
    char *public_url; /* of the moment of the call: the reactor may replace its own */
};

/* On the ledger thread, which owns the map. */
static bool is_at_work(void *arg, uint64_t message_id)
{
    return map_u64_get(((struct core *)arg)->claimed, message_id) != NULL;
}

/* On the reactor: its clock and its settings are its own. */
static void fill_context(struct call_job *k)
{
    struct core *c = k->core;
    snprintf(k->spool, sizeof k->spool, "%s/spool", c->cfg->data_dir);
    k->public_url = alloc_copy(c->public_url);
    k->ctx = (struct admin_context){.secrets = c->secrets,
                                    .token_key = c->token_key,
                                    .ids = &c->ids,
                                    .people = c->people,
                                    .wall_ms = core_steady(c),
                                    .random = rand_u64(&c->rand),
                                    .spool_dir = k->spool,
                                    .host = c->host,
                                    .public_url = k->public_url,
                                    .http_url = c->cfg->http_url,
                                    .actor = k->request->actor,
                                    .is_at_work = is_at_work,
                                    .is_at_work_arg = c};
}

static void call_free(struct call_job *k)
{
    admin_changes_free(&k->ctx.changed);
    admin_kept_free(&k->ctx);
    for (size_t i = 0; i < countof(k->ctx.fresh_keys); i++)
        secret_free(&k->ctx.fresh_keys[i]);
    free(k->public_url);
    free(k);
}

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct call_job *k = container_of(lj, struct call_job, lj);
    k->ctx.db = db;
    k->ctx.until_us = clock_boot_us() + LEDGER_WORK_US;
    admin_execute(&k->ctx, k->request->op, k->request->args, k->request->tail, &k->answer);
    if (!k->answer.ok)
        *e = k->answer.error;
    lj->again = k->answer.ok && k->ctx.again;
    return k->answer.ok;
}

/* Somebody left a list: claimed mail of its campaigns to them does not leave any more. */
static void left_list(struct core *c, const struct admin_left *x)
{
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++) {
            struct job *j = &b->jobs[i];
            if (j->place == JOB_EARLY && j->item->contact_id == x->contact_id)
                j->left_list = x->list_id;
            if (j->place != JOB_OVER && j->item->contact_id == x->contact_id && j->run &&
                j->run->content && j->run->content->list_id == x->list_id)
                j->is_suppressed = true;
        }
    }
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
    if (str_starts(str_of(op), STR("template.")) && !admin_reads_only(op))
        drafts_forget(c);
    if (ch->bits & (ADMIN_CHANGED_SERVERS | ADMIN_CHANGED_GROUPS | ADMIN_CHANGED_PAUSE))
        config_reload(c, false);
    if (ch->bits & ADMIN_CHANGED_PAUSE)
        resumed(c, op);
    if (ch->bits & ADMIN_CHANGED_CAMPAIGNS)
        campaigner_reload(c);
    if (ch->bits & (ADMIN_CHANGED_CREDENTIALS | ADMIN_CHANGED_GROUPS))
        intake_reload(c);
    if (ch->bits & ADMIN_CHANGED_WEBHOOKS)
        hooks_reload(c);
    for (size_t i = 0; i < ch->n_suppressed; i++)
        campaigner_suppressed(c, str_of(ch->suppressed[i]));
    for (size_t i = 0; i < ch->n_left; i++)
        left_list(c, &ch->left[i]);
    if (ch->bits & ADMIN_CHANGED_MOVED)
        due_move(c, ch->moved_id, ch->moved_group);
    if (ch->n_messages)
        campaigner_cancel(c, ch->messages, ch->n_messages);
    if (!(ch->bits & ADMIN_CHANGED_QUEUE))
        return;
    campaigner_rewind(c); /* messages may have become due before the place of claims */
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
    call_free(k);
}

static void answer_after_reload(struct call_job *k)
{
    k->lj.order = LEDGER_ADMIN;
    k->lj.is_read = true;
    k->lj.work = nothing;
    k->lj.done = answer_ok;
    ledger_post(k->core->ledger, &k->lj);
}

/* Bites before are in: what they did is answered, and why it did not go on. */
static json_t *answer_failed(struct call_job *k, const struct err *e)
{
    json_t *why = link_answer_error(e);
    if (!k->ctx.so_far)
        return why;
    json_object_set(k->ctx.so_far, "failed", json_object_get(why, "error"));
    json_decref(why);
    return link_answer_ok(json_incref(k->ctx.so_far));
}

static void done(struct ledger_job *lj)
{
    struct call_job *k = container_of(lj, struct call_job, lj);
    if (lj->ok) {
        apply_changes(k->core, k->request->op, &k->ctx.changed);
        quarantine_changed(k->core, k->request->op, k->answer.data);
        if (k->ctx.changed.bits &
            (ADMIN_CHANGED_SERVERS | ADMIN_CHANGED_GROUPS | ADMIN_CHANGED_CAMPAIGNS |
             ADMIN_CHANGED_PAUSE | ADMIN_CHANGED_CREDENTIALS | ADMIN_CHANGED_WEBHOOKS)) {
            answer_after_reload(k);
            return;
        }
        link_answer(k->request, link_answer_ok(k->answer.data));
    } else {
        if (k->ctx.so_far) /* bites before this one are in */
            apply_changes(k->core, k->request->op, &k->ctx.changed);
        if (k->answer.ok)
            json_decref(k->answer.data);
        link_answer(k->request, answer_failed(k, &lj->error));
    }
    call_free(k);
}

/* ---- an RSA key takes a tenth of a second or more: not on the ledger's time ---- */

static bool may_need_keys(const struct link_request *r)
{
    return str_is(str_of(r->op), "domain.add") ||
           (str_is(str_of(r->op), "dkim.keygen") && !json_object_get(r->args, "private_key"));
}

static void make_keys(struct pool_job *d)
{
    struct call_job *k = container_of(d, struct call_job, desk);
    struct err e; /* one that is missing is made, or fails, later on */
    for (int a = 0; a < DKIM_ALGORITHMS; a++)
        (void)!domain_key_make((enum dkim_algorithm)a, &k->ctx.fresh_keys[a], &e);
}

static void keys_made(struct pool_job *d)
{
    struct call_job *k = container_of(d, struct call_job, desk);
    ledger_post(k->core->ledger, &k->lj);
}

static void run_on_ledger(struct core *c, struct link_request *r)
{
    struct call_job *k = alloc_one(struct call_job);
    k->core = c;
    k->request = r;
    fill_context(k);
    k->lj.order = admin_in_bites(r->op) ? LEDGER_IMPORT : LEDGER_ADMIN;
    k->lj.is_read = admin_reads_only(r->op);
    k->lj.work = work;
    k->lj.done = done;
    if (may_need_keys(r)) {
        k->desk.work = make_keys;
        k->desk.done = keys_made;
        pool_submit(c->desks, &k->desk);
        return;
    }
    ledger_post(c->ledger, &k->lj);
}

static bool answer_live(struct core *c, struct link_request *r)
{
    static const struct {
        const char *op;
        json_t *(*look)(struct core *c);
    } live[] = {{"live.limits", live_limits},
                {"live.queue", live_queue},
                {"live.status", live_status},
                {"live.campaigns", live_campaigns}};
    for (size_t i = 0; i < countof(live); i++)
        if (str_is(str_of(r->op), live[i].op)) {
            link_answer(r, link_answer_ok(live[i].look(c)));
            return true;
        }
    if (str_is(str_of(r->op), "live.route_explain")) {
        struct err e;
        json_t *data = NULL;
        link_answer(r, routing_explain(c, r->args, &data, &e) ? link_answer_ok(data)
                                                              : link_answer_error(&e));
        return true;
    }
    if (str_is(str_of(r->op), "live.plan")) {
        link_answer(r, link_answer_ok(foresee_plan(c, r->args)));
        return true;
    }
    if (str_is(str_of(r->op), "live.fleet")) {
        link_answer(r, link_answer_ok(live_fleet(c, r->args)));
        return true;
    }
    if (!str_is(str_of(r->op), "live.top"))
        return false;
    link_answer(r, link_answer_ok(live_top(c, r->args)));
    return true;
}

/* What runs beside the ledger: conversations with servers, and looking at many rows. */
static bool run_aside(struct core *c, struct link_request *r)
{
    if (str_is(str_of(r->op), "server.test") || str_is(str_of(r->op), "server.send_test"))
        server_test_start(c, r);
    else if (str_is(str_of(r->op), "server.isolate"))
        isolate_start(c, r);
    else if (str_is(str_of(r->op), "log.patterns"))
        look_start(c, r, look_patterns, NULL);
    else if (str_is(str_of(r->op), "audit.verify"))
        look_start(c, r, look_audit, NULL);
    else if (str_is(str_of(r->op), "server.evidence"))
        evidence_start(c, r);
    else if (str_is(str_of(r->op), "live.forecast"))
        foresee_start(c, r);
    else if (str_is(str_of(r->op), "domain.check"))
        domain_check_start(c, json_string_value(json_object_get(r->args, "name")), r);
    else if (str_is(str_of(r->op), "live.simulate"))
        simulating_start(c, r);
    else if (str_is(str_of(r->op), "webhook.test"))
        hooks_test_start(c, r);
    else
        return false;
    return true;
}

void calls_handle(void *arg, struct link_request *r)
{
    struct core *c = arg;
    struct err e;
    if (answer_live(c, r))
        return;
    if (c->is_stopping) {
        err_set(&e, ERR_LATER, "the daemon is stopping: try again in a few seconds");
    } else if (run_aside(c, r) || submitting_start(c, r)) {
        return;
    } else if (!admin_has(r->op)) {
        err_set(&e, ERR_NOT_FOUND, "there is no operation '%s' here", r->op);
    } else if (ledger_disk_full(c->ledger) && !admin_reads_only(r->op)) {
        err_set(&e, ERR_FULL, "the disk is full: nothing can be accepted until there is space");
    } else if (hooks_allow_call(r, &e)) {
        run_on_ledger(c, r);
        return;
    }
    link_answer(r, link_answer_error(&e));
}
