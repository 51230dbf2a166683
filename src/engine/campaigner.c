/* Campaigns at work and the messages in memory: asks the ledger for slices of audiences and for due
 * messages of the queue, turns leases into jobs, and sees when a campaign is over. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

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

/* ---- leases become jobs */

static void make_job(struct core *c, struct box *b, uint32_t i)
{
    struct job *j = &b->jobs[i];
    j->core = c;
    j->box = b;
    j->item = &b->lease->items[i];
    j->run = j->item->campaign_num ? campaigner_run(c, j->item->campaign_num) : NULL;
    list_init(&j->link);
    list_init(&j->waiting);
    ptrdiff_t at = str_rchr(j->item->key, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(j->item->key, (size_t)at + 1);
    j->provider = provider_of_domain(providers_builtin(), domain);
    if (!j->run)
        str_copy(j->item->envelope_from, j->from, sizeof j->from);
    c->n_ready++;
    if (j->run)
        j->run->ready++;
}

static void start_job(struct core *c, struct job *j)
{
    bool orphan = j->item->campaign_num && (!j->run || j->run->state == RUN_OVER);
    j->place = JOB_OVER;
    if (orphan)
        settle_without_attempt(j, MESSAGE_CANCELLED, "its campaign was cancelled");
    else if (j->item->suppressed)
        settle_without_attempt(j, MESSAGE_SUPPRESSED, "the address is suppressed");
    else
        due_add(c, j, false);
}

void campaigner_take_lease(struct core *c, struct lease *l)
{
    struct box *b = alloc_one(struct box);
    b->lease = l;
    b->left = l->n;
    b->jobs = alloc_many(struct job, l->n);
    list_push_back(&c->boxes, &b->link);
    for (uint32_t i = 0; i < l->n; i++)
        make_job(c, b, i);
    for (uint32_t i = 0; i < l->n; i++)
        start_job(c, &b->jobs[i]);
}

void campaigner_forget(struct core *c, struct job *j)
{
    (void)c;
    list_remove(&j->waiting);
    list_init(&j->waiting);
}

void campaigner_box_empty(struct core *c, struct box *b)
{
    uint32_t campaign = b->lease->campaign_num;
    list_remove(&b->link);
    lease_free(&b->lease);
    free(b->jobs);
    free(b);
    if (campaign)
        campaigner_maybe_finished(c, campaign);
}

/* Few addresses are suppressed a second, and few messages are in memory: looking at all is cheap.
 */
void campaigner_suppressed(struct core *c, struct str key)
{
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++) {
            struct job *j = &b->jobs[i];
            if (j->place != JOB_OVER && str_eq(j->item->key, key))
                j->is_suppressed = true;
        }
    }
}

/* ---- asking the ledger */

struct claim {
    struct ledger_job lj;
    struct core *core;
    uint32_t campaign_num; /* 0: the queue */
    enum lane lane;
    uint64_t load_id; /* not 0: load this lease again */
    int64_t now;
    struct lease *lease;
    int64_t next_due;
};

static bool is_claimed(void *arg, uint64_t id)
{
    return map_u64_get(((struct core *)arg)->claimed, id) != NULL;
}

static bool claim_queue(struct claim *k, struct db *db, struct err *e)
{
    struct core *c = k->core;
    k->next_due = INT64_MAX;
    if (!outbox_claim_queue(db, &c->ids, k->lane, k->now, c->epoch, LEASE_MAX, &c->places[k->lane],
                            is_claimed, c, &k->lease, e))
        return false;
    if (!k->lease)
        return outbox_next_due(db, k->lane, &c->places[k->lane], &k->next_due, e);
    k->next_due = k->now;
    for (uint32_t i = 0; i < k->lease->n; i++)
        map_u64_set(c->claimed, k->lease->items[i].message_id, c);
    return true;
}

static bool claim_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct claim *k = container_of(lj, struct claim, lj);
    struct core *c = k->core;
    if (k->load_id)
        return outbox_load(db, k->load_id, &k->lease, e);
    if (!k->campaign_num)
        return claim_queue(k, db, e);
    return outbox_claim_campaign(db, &c->ids, k->campaign_num, LEASE_MAX, k->now, c->epoch,
                                 &k->lease, e);
}

static void close_empty_lease(struct core *c, uint64_t first_id);

static void campaign_claimed(struct claim *k)
{
    struct core *c = k->core;
    struct run *r = campaigner_run(c, k->campaign_num);
    if (r) {
        r->claiming = false;
        r->walked |= !k->load_id && (!k->lease || k->lease->walked);
    }
    if (k->lease && k->lease->n) {
        campaigner_take_lease(c, k->lease);
    } else if (k->lease) {
        close_empty_lease(c, k->lease->first_id);
        lease_free(&k->lease);
    }
    campaigner_maybe_finished(c, k->campaign_num);
}

static void claim_done(struct ledger_job *lj)
{
    struct claim *k = container_of(lj, struct claim, lj);
    struct core *c = k->core;
    if (!lj->ok) {
        log_event(LOG_ERROR, "engine.claim", "%s", lj->error.text);
        lease_free(&k->lease);
        struct run *r = k->campaign_num ? campaigner_run(c, k->campaign_num) : NULL;
        if (r) {
            r->claiming = false;
            r->retry_claim_at = loop_now_ms(c->loop) + 1000;
        } else {
            c->claiming[k->lane] = false;
            c->next_due[k->lane] = core_steady(c) + 1000;
        }
    } else if (k->campaign_num) {
        campaign_claimed(k);
    } else {
        c->claiming[k->lane] = false;
        c->next_due[k->lane] = c->claim_again[k->lane] ? 0 : k->next_due;
        c->claim_again[k->lane] = false;
        if (k->lease)
            campaigner_take_lease(c, k->lease);
    }
    free(k);
}

static struct claim *claim_new(struct core *c)
{
    struct claim *k = alloc_one(struct claim);
    k->core = c;
    k->now = core_steady(c);
    k->lj.order = LEDGER_SLICE;
    k->lj.work = claim_work;
    k->lj.done = claim_done;
    return k;
}

struct close_job {
    struct ledger_job lj;
    struct core *core;
    uint64_t first_id;
};

static bool close_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    return outbox_close(db, container_of(lj, struct close_job, lj)->first_id, true, e);
}

static void close_done(struct ledger_job *lj)
{
    free(container_of(lj, struct close_job, lj));
}

static void close_empty_lease(struct core *c, uint64_t first_id)
{
    struct close_job *k = alloc_one(struct close_job);
    k->core = c;
    k->first_id = first_id;
    k->lj.order = LEDGER_ADMIN;
    k->lj.work = close_work;
    k->lj.done = close_done;
    ledger_post(c->ledger, &k->lj);
}

static void claim_campaign(struct core *c, struct run *r)
{
    uint32_t window = MIN((uint32_t)READY_PER_CAMPAIGN, (uint32_t)READY_MAX / 8);
    bool cancels = r->state == RUN_OVER && r->n_parked_leases;
    if (r->claiming || loop_now_ms(c->loop) < r->retry_claim_at ||
        (r->state != RUN_RUNNING && !cancels) || r->ready >= MIN(window, (uint32_t)READY_LOW) ||
        (r->walked && !r->n_parked_leases))
        return;
    struct claim *k = claim_new(c);
    k->campaign_num = r->num;
    if (r->n_parked_leases) {
        k->load_id = r->parked_leases[--r->n_parked_leases];
        k->lj.is_read = true;
    }
    r->claiming = true;
    ledger_post(c->ledger, &k->lj);
}

void campaigner_look_at(struct core *c, enum lane lane, int64_t due)
{
    c->next_due[lane] = MIN(c->next_due[lane], due);
    if (c->claiming[lane])
        c->claim_again[lane] = true;
}

void campaigner_want_queue(struct core *c)
{
    for (int lane = 0; lane < LANE_COUNT; lane++)
        campaigner_look_at(c, (enum lane)lane, 0);
}

void campaigner_tick(struct core *c)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *r = NULL;
    if (c->is_stopping || !c->runs_loaded || c->n_ready >= READY_MAX)
        return;
    while (map_u64_next(c->runs, &pos, &num, &r))
        claim_campaign(c, r);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        if (c->claiming[lane] || c->next_due[lane] > core_steady(c) || !core_may_send(c) ||
            c->n_ready >= READY_MAX / 2)
            continue;
        struct claim *k = claim_new(c);
        k->lane = (enum lane)lane;
        c->claiming[lane] = true;
        ledger_post(c->ledger, &k->lj);
    }
}

/* ---- giving back what waits too long, when others need the room */

static bool box_is_idle(const struct box *b, int64_t now)
{
    if (!b->lease->campaign_num)
        return false;
    for (uint32_t i = 0; i < b->lease->n; i++) {
        const struct job *j = &b->jobs[i];
        bool parked = j->place == JOB_READY && j->n_tried == 0 && heap_has(&j->class->parked) &&
                      now - j->class->parked_since > PARKED_MAX_MS;
        if (j->place != JOB_OVER && !parked)
            return false;
    }
    return true;
}

static void give_back(struct core *c, struct box *b)
{
    struct run *r = campaigner_run(c, b->lease->campaign_num);
    for (uint32_t i = 0; i < b->lease->n; i++) {
        struct job *j = &b->jobs[i];
        if (j->place != JOB_READY)
            continue;
        due_remove(c, j);
        free(j->tried);
        c->n_ready--;
        r->ready--;
    }
    campaigner_park_lease(r, b->lease->first_id);
    list_remove(&b->link);
    lease_free(&b->lease);
    free(b->jobs);
    free(b);
}

/* Only boxes none of whose outcomes is under way: their strings are borrowed by the ledger. */
void campaigner_give_back(struct core *c)
{
    int64_t now = core_steady(c);
    if (c->n_ready < READY_MAX / 8 || c->batch || ledger_behind_ms(c->ledger, clock_boot_ms()) > 0)
        return;
    list_each_safe(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        if (b->left == 0 || !box_is_idle(b, now) || !campaigner_run(c, b->lease->campaign_num))
            continue;
        give_back(c, b);
    }
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
    content_drop(r->content);
    free(r->parked_leases);
    free(r);
}

static void finish_done(struct ledger_job *lj)
{
    struct finish *f = container_of(lj, struct finish, lj);
    struct core *c = f->core;
    struct run *r = campaigner_run(c, f->num);
    if (!lj->ok)
        log_event(LOG_ERROR, "campaign.finish", "%s", lj->error.text);
    if (r)
        r->is_finishing = false;
    if (r && f->finished) {
        core_event(c, "campaign.finished", r->content->campaign_name, "every message has its end",
                   NULL);
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
    if (!r || r->ready || r->claiming || r->n_parked_leases || r->is_finishing)
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

/* ---- too much is uncertain */

struct pausing {
    struct ledger_job lj;
    struct core *core;
    uint32_t num;
    char why[160];
};

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
    campaigner_reload(p->core);
    free(p);
}

void campaigner_uncertain(struct core *c, struct run *r)
{
    r->uncertain++;
    if (r->state != RUN_RUNNING || r->uncertain <= MAX((uint64_t)20, r->sent / 1000))
        return;
    r->state = RUN_PAUSED;
    struct pausing *p = alloc_one(struct pausing);
    p->core = c;
    p->num = r->num;
    snprintf(p->why, sizeof p->why, "%u messages are uncertain: look at the servers, then resume",
             r->uncertain);
    r->uncertain = 0;
    p->lj.order = LEDGER_ADMIN;
    p->lj.work = pause_work;
    p->lj.done = pause_done;
    core_event(c, "campaign.paused", r->content->campaign_name, p->why, NULL);
    ledger_post(c->ledger, &p->lj);
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
    if (r->n == r->cap) {
        r->cap = MAX(r->cap * 2, (size_t)16);
        r->list = alloc_resize(r->list, r->cap * sizeof *r->list);
        r->list_names = alloc_resize(r->list_names, r->cap * sizeof *r->list_names);
    }
    r->list_names[r->n] = str_dup(db_text(s, 13));
    r->list[r->n++] = k;
}

static bool read_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct reading *r = container_of(lj, struct reading, lj);
    struct stmt *s =
        db_stmt(db,
                "SELECT c.num, c.name, c.list_id, c.group_num, c.lane, c.from_address, "
                "c.reply_to, c.state, c.walked, c.subject, c.html, c.text, "
                "c.started_at, l.name FROM campaign c JOIN list l ON l.id = c.list_id "
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
    if (!r || !r->content) {
        struct content *content = content_new(k, list_name, core_steady(c), &e);
        if (!content) {
            log_event(LOG_ERROR, "campaign.content", "%s: %s", k->name, e.text);
            return;
        }
        if (!r) {
            r = alloc_one(struct run);
            r->num = k->num;
            map_u64_set(c->runs, k->num, r);
        }
        r->content = content;
        r->walked = k->walked;
    }
    r->lane = k->lane;
    r->group_num = k->group_num;
    r->state = k->state == CAMPAIGN_RUNNING ? RUN_RUNNING : RUN_PAUSED;
    if (k->state == CAMPAIGN_RUNNING && !k->walked)
        r->walked = false;
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
        if (!listed)
            ((struct run *)v)->state = RUN_OVER;
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
    for (size_t i = 0; i < r->n; i++) {
        if (lj->ok)
            apply_campaign(c, r->list[i], r->list_names[i]);
    }
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
