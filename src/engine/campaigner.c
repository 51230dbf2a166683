/* Campaigns at work: reads them, sees when one is over, pauses one that has too much uncertain.
 * What the disk refuses is tried again each second. Their messages: claims.c. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define CONTENT_LEAST  20 /* refusals for content pause a campaign: at least so many, */
#define CONTENT_ONE_IN 50 /* and one for so many sent */

struct run *campaigner_run(struct core *c, uint32_t num)
{
    return map_u64_get(c->runs, num);
}

void campaigner_park_lease(struct run *r, uint64_t first_id)
{
    if (r->n_parked_leases == r->cap_parked_leases) {
        r->cap_parked_leases = MAX(r->cap_parked_leases * 2, (size_t)16);
        r->parked_leases =
            alloc_resize(r->parked_leases, r->cap_parked_leases * sizeof *r->parked_leases);
    }
    r->parked_leases[r->n_parked_leases++] = first_id;
}

static const char *run_name(const struct run *r)
{
    return r->content ? r->content->campaign_name : "a campaign";
}

/* ---- too much is uncertain */

struct pausing {
    struct ledger_job lj;
    struct core *core;
    uint32_t num;
    bool is_posted;
    char why[300];
};

/* The run goes; what is posted frees itself. */
static void pausing_forget(struct run *r)
{
    if (r->pausing && !r->pausing->is_posted)
        free(r->pausing);
    r->pausing = NULL;
}

static bool pause_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct pausing *p = container_of(lj, struct pausing, lj);
    struct stmt *s = db_stmt(
        db, "UPDATE campaign SET state = 3, state_reason = $2 WHERE num = $1 AND state = 2", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, p->num);
    db_bind_cstr(s, 2, p->why);
    return db_run(s, e);
}

static void pause_done(struct ledger_job *lj)
{
    struct pausing *p = container_of(lj, struct pausing, lj);
    struct core *c = p->core;
    struct run *r = campaigner_run(c, p->num);
    bool is_ours = r && r->pausing == p;
    p->is_posted = false;
    if (is_ours && !lj->ok) { /* see campaigner_second */
        log_event(LOG_ERROR, "campaign.pause", "%s", lj->error.text);
        return;
    }
    if (is_ours)
        r->pausing = NULL;
    campaigner_reload(c);
    free(p);
}

static void post_pause(struct core *c, struct pausing *p)
{
    p->lj = (struct ledger_job){.order = LEDGER_ADMIN, .work = pause_work, .done = pause_done};
    p->is_posted = true;
    ledger_post(c->ledger, &p->lj);
}

static void pause_run(struct core *c, struct run *r, const char *why)
{
    struct pausing *p = alloc_one(struct pausing);
    r->state = RUN_PAUSED;
    p->core = c;
    p->num = r->num;
    snprintf(p->why, sizeof p->why, "%s", why);
    pausing_forget(r);
    r->pausing = p;
    core_event(c, "campaign.paused", run_name(r), p->why, NULL);
    post_pause(c, p);
}

void campaigner_uncertain(struct core *c, struct run *r)
{
    char why[160];
    r->uncertain++;
    if (r->state != RUN_RUNNING || r->uncertain <= MAX((uint64_t)20, r->sent / 1000))
        return;
    snprintf(why, sizeof why, "%u messages are uncertain: look at the servers, then resume",
             r->uncertain);
    r->uncertain = 0;
    pause_run(c, r, why);
}

void campaigner_content(struct core *c, struct run *r, const char *reason)
{
    char why[300];
    r->content_refused++;
    if (r->state != RUN_RUNNING ||
        r->content_refused < MAX((uint64_t)CONTENT_LEAST, r->sent / CONTENT_ONE_IN))
        return;
    snprintf(why, sizeof why,
             "%u messages were refused for their content or From domain (%.120s): mend that, then "
             "resume",
             r->content_refused, reason);
    r->content_refused = 0;
    pause_run(c, r, why);
}

/* ---- the end of a campaign */

struct finish {
    struct ledger_job lj;
    struct core *core;
    uint32_t num;
    bool finished;
};

static bool finish_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct finish *f = container_of(lj, struct finish, lj);
    return results_finish_campaign(db, f->num, clock_wall_ms(), &f->finished, e);
}

static void remove_run(struct core *c, struct run *r)
{
    map_u64_remove(c->runs, r->num);
    pausing_forget(r);
    content_drop(r->content);
    free(r->parked_leases);
    free(r->aside_leases);
    free(r);
}

static void finish_done(struct ledger_job *lj)
{
    struct finish *f = container_of(lj, struct finish, lj);
    struct core *c = f->core;
    struct run *r = campaigner_run(c, f->num);
    if (!lj->ok)
        log_event(LOG_ERROR, "campaign.finish", "%s", lj->error.text);
    if (r) {
        r->is_finishing = false;
        r->finish_failed = !lj->ok;
    }
    if (r && lj->ok && f->finished) {
        core_event(c, "campaign.finished", run_name(r), "every message has its end", NULL);
        if (r->ready == 0)
            remove_run(c, r);
        else
            r->state = RUN_OVER;
    }
    free(f);
}

static bool has_boxes(const struct core *c, uint32_t num)
{
    list_each(it, &c->boxes) if (list_entry(it, struct box, link)->lease->campaign_num ==
                                 num) return true;
    return false;
}

void campaigner_maybe_finished(struct core *c, uint32_t num)
{
    struct run *r = campaigner_run(c, num);
    if (!r || r->ready || r->claiming || r->n_parked_leases || r->n_aside_leases || r->is_finishing)
        return;
    if (r->state == RUN_OVER) {
        if (!has_boxes(c, num))
            remove_run(c, r);
        return;
    }
    if (!r->walked || has_boxes(c, num))
        return;
    struct finish *f = alloc_one(struct finish);
    f->core = c;
    f->num = num;
    f->lj.order = LEDGER_ADMIN;
    f->lj.work = finish_work;
    f->lj.done = finish_done;
    r->is_finishing = true;
    ledger_post(c->ledger, &f->lj);
}

/* ---- reading campaigns */

struct reading {
    struct ledger_job lj;
    struct core *core;
    struct campaign **list;
    char **list_names;
    size_t n, cap;
};

static char *text_or_null(struct stmt *s, int col)
{
    return db_is_null(s, col) ? NULL : str_dup(db_text(s, col));
}

static void read_row(struct reading *r, struct stmt *s)
{
    struct campaign *k = alloc_one(struct campaign);
    k->num = (uint32_t)db_i64(s, 0);
    k->name = text_or_null(s, 1);
    k->list_id = (uint64_t)db_i64(s, 2);
    k->group_num = (uint32_t)db_i64(s, 3);
    k->lane = (enum lane)db_i64(s, 4);
    k->from = text_or_null(s, 5);
    k->reply_to = text_or_null(s, 6);
    k->state = (enum campaign_state)db_i64(s, 7);
    k->walked = db_i64(s, 8) != 0;
    k->subject = text_or_null(s, 9);
    k->html = text_or_null(s, 10);
    k->text = text_or_null(s, 11);
    k->started_at = db_i64(s, 12);
    k->tags = text_or_null(s, 15);
    if (r->n == r->cap) {
        r->cap = MAX(r->cap * 2, (size_t)16);
        r->list = alloc_resize(r->list, r->cap * sizeof *r->list);
        r->list_names = alloc_resize(r->list_names, r->cap * sizeof *r->list_names);
    }
    r->list_names[r->n] = str_dup(db_text(s, 13));
    k->deadline = db_i64(s, 14);
    r->list[r->n++] = k;
}

static bool read_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct reading *r = container_of(lj, struct reading, lj);
    struct stmt *s =
        db_stmt(db,
                "SELECT c.num, c.name, c.list_id, c.group_num, c.lane, c.from_address, "
                "c.reply_to, c.state, c.walked, c.subject, c.html, c.text, "
                "c.started_at, l.name, c.deadline, c.tags "
                "FROM campaign c JOIN list l ON l.id = c.list_id "
                "WHERE c.state IN (2, 3)",
                e);
    bool row = true, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row)
        read_row(r, s);
    if (s)
        db_reset(s);
    return ok;
}

static void apply_campaign(struct core *c, const struct campaign *k, const char *list_name)
{
    struct run *r = campaigner_run(c, k->num);
    struct err e = {0};
    if (!r) {
        r = alloc_one(struct run);
        r->num = k->num;
        map_u64_set(c->runs, k->num, r);
    }
    if (!r->content) {
        r->content = content_new(k, list_name, core_steady(c), &e);
        r->walked = k->walked;
        if (!r->content)
            log_event(LOG_ERROR, "campaign.content", "%s: %s", k->name, e.text);
    }
    bool runs = k->state == CAMPAIGN_RUNNING && r->content && !r->pausing;
    bool was_paused = r->state == RUN_PAUSED;
    r->lane = k->lane;
    r->group_num = k->group_num;
    r->deadline = k->deadline;
    r->state = runs ? RUN_RUNNING : RUN_PAUSED;
    if (k->state == CAMPAIGN_RUNNING && !k->walked)
        r->walked = false;
    if (runs && was_paused) /* claims passed its rows over while it was paused */
        campaigner_rewind(c);
}

static void end_others(struct core *c, const struct reading *rd)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *v = NULL;
    while (map_u64_next(c->runs, &pos, &num, &v)) {
        bool listed = false;
        for (size_t i = 0; i < rd->n && !listed; i++)
            listed = rd->list[i]->num == num;
        struct run *r = v;
        if (!listed && r->state == RUN_PAUSED) /* its rows are to be cancelled */
            campaigner_rewind(c);
        if (!listed)
            r->state = RUN_OVER;
    }
}

static void read_done(struct ledger_job *lj)
{
    struct reading *r = container_of(lj, struct reading, lj);
    struct core *c = r->core;
    if (!lj->ok)
        log_event(LOG_ERROR, "campaign.read", "%s", lj->error.text);
    else
        end_others(c, r);
    c->runs_loaded |= lj->ok;
    c->read_failed = !lj->ok;
    for (size_t i = 0; i < r->n; i++) {
        if (lj->ok)
            apply_campaign(c, r->list[i], r->list_names[i]);
    }
    if (lj->ok)
        campaigner_start_early(c);
    for (size_t i = 0; i < r->n; i++) {
        if (lj->ok)
            campaigner_maybe_finished(c, r->list[i]->num);
        campaign_free(&r->list[i]);
        free(r->list_names[i]);
    }
    free(r->list);
    free(r->list_names);
    free(r);
    due_wake_all(c);
    for (size_t i = 0; i < c->n_outlets; i++)
        if (c->outlets[i])
            outlet_dirty(c->outlets[i]);
}

void campaigner_reload(struct core *c)
{
    struct reading *r = alloc_one(struct reading);
    r->core = c;
    r->lj.order = LEDGER_ADMIN;
    r->lj.is_read = true;
    r->lj.work = read_work;
    r->lj.done = read_done;
    ledger_post(c->ledger, &r->lj);
}

void campaigner_second(struct core *c)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *v = NULL;
    cancels_sweep(c);
    if (c->read_failed) {
        c->read_failed = false;
        campaigner_reload(c);
    }
    while (map_u64_next(c->runs, &pos, &num, &v)) {
        struct run *r = v;
        if (r->pausing && !r->pausing->is_posted)
            post_pause(c, r->pausing);
        if (r->finish_failed) {
            r->finish_failed = false;
            campaigner_maybe_finished(c, (uint32_t)num);
        }
    }
}
