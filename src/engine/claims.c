/* What is in memory: asks the ledger for slices of audiences and for due messages of the queue,
 * turns leases into jobs, and marks those that must not leave. How much of it there may be: room.c.
 */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- leases become jobs */

/* Cancelled before it came to memory, and not sent for again since. */
static bool is_cancelled(const struct core *c, const struct lease_item *it)
{
    int64_t at = c->cancelled ? (intptr_t)map_u64_get(c->cancelled, it->message_id) : 0;
    return at && it->first_at <= at;
}

static void make_job(struct core *c, struct box *b, uint32_t i)
{
    struct job *j = &b->jobs[i];
    j->core = c;
    j->box = b;
    j->item = &b->lease->items[i];
    j->place = JOB_EARLY;
    j->is_cancelled = is_cancelled(c, j->item);
    list_init(&j->link);
    list_init(&j->waiting);
    ptrdiff_t at = str_rchr(j->item->key, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(j->item->key, (size_t)at + 1);
    j->provider = mailboxes_provider(c, domain);
    routing_read(j);
    b->hashes[i] = hash_bytes(j->item->key.p, j->item->key.n, 0);
    if (!j->item->campaign_num)
        str_copy(j->item->envelope_from, j->from, sizeof j->from);
    c->n_ready++;
}

static void start_job(struct core *c, struct job *j)
{
    j->run = j->item->campaign_num ? campaigner_run(c, j->item->campaign_num) : NULL;
    bool left = j->run && j->run->content && j->left_list == j->run->content->list_id;
    bool orphan = j->item->campaign_num && (!j->run || j->run->state == RUN_OVER);
    if (j->run)
        j->run->ready++;
    if (j->run && j->run->deadline && !j->item->expires_at)
        j->item->expires_at = j->run->deadline;
    j->place = JOB_OVER;
    if (orphan)
        settle_without_attempt(j, MESSAGE_CANCELLED, "its campaign was cancelled");
    else if (j->item->suppressed || left)
        settle_without_attempt(j, MESSAGE_SUPPRESSED, "the address is suppressed");
    else
        due_add(c, j, false);
}

static void start_box(struct core *c, struct box *b)
{
    b->is_early = false;
    for (uint32_t i = 0; i < b->lease->n; i++)
        start_job(c, &b->jobs[i]);
}

/* A row of the queue may be of a campaign that was finished until a moment ago and runs again: what
 * it is now says the next reading of campaigns. */
static bool is_early(struct core *c, const struct lease *l)
{
    for (uint32_t i = 0; i < l->n && !l->campaign_num; i++) {
        uint32_t num = l->items[i].campaign_num;
        struct run *r = num ? campaigner_run(c, num) : NULL;
        if (num && (!r || !r->content || r->state == RUN_OVER))
            return true;
    }
    return false;
}

void campaigner_take_lease(struct core *c, struct lease *l)
{
    struct box *b = alloc_one(struct box);
    b->lease = l;
    b->left = l->n;
    b->jobs = alloc_many(struct job, l->n);
    b->hashes = alloc_many(uint64_t, l->n);
    list_push_back(&c->boxes, &b->link);
    for (uint32_t i = 0; i < l->n; i++)
        make_job(c, b, i);
    b->is_early = is_early(c, l);
    if (b->is_early)
        campaigner_reload(c);
    else
        start_box(c, b);
}

void campaigner_start_early(struct core *c)
{
    list_each_safe(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        if (b->is_early)
            start_box(c, b);
    }
}

void campaigner_forget(struct core *c, struct job *j)
{
    (void)c;
    list_remove(&j->waiting);
    list_init(&j->waiting);
}

void campaigner_box_free(struct box *b)
{
    list_remove(&b->link);
    lease_free(&b->lease);
    free(b->jobs);
    free(b->hashes);
    free(b);
}

void campaigner_box_empty(struct core *c, struct box *b)
{
    uint32_t campaign = b->lease->campaign_num;
    campaigner_box_free(b);
    if (campaign)
        campaigner_maybe_finished(c, campaign);
}

/* ---- marks */

/* Every message in memory is looked at for each address: by hashes that lie side by side. */
void campaigner_suppressed(struct core *c, struct str key)
{
    uint64_t hash = hash_bytes(key.p, key.n, 0);
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++) {
            struct job *j = &b->jobs[i];
            if (b->hashes[i] == hash && j->place != JOB_OVER && str_eq(j->item->key, key))
                j->is_suppressed = true;
        }
    }
}

static void mark_cancelled(struct core *c, uint64_t id)
{
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++)
            if (b->jobs[i].place != JOB_OVER && b->jobs[i].item->message_id == id)
                b->jobs[i].is_cancelled = true;
    }
}

/* The word is kept beside the mark: the message may be in a lease that is not in memory, or leave
 * memory for a later attempt. */
void campaigner_cancel(struct core *c, const uint64_t *ids, size_t n)
{
    if (!c->cancelled)
        c->cancelled = map_u64_new();
    for (size_t i = 0; i < n; i++) {
        map_u64_set(c->cancelled, ids[i], (void *)(intptr_t)core_steady(c));
        mark_cancelled(c, ids[i]);
    }
    due_wake_all(c);
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
    struct outbox_place before; /* of the queue: where it was */
};

static bool is_claimed(void *arg, uint64_t id)
{
    return map_u64_get(((struct core *)arg)->claimed, id) != NULL;
}

static bool claim_queue(struct claim *k, struct db *db, struct err *e)
{
    struct core *c = k->core;
    k->before = c->places[k->lane];
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

/* On the ledger thread: the disk did not take the claim, so nothing was claimed. */
static void claim_undo(struct ledger_job *lj)
{
    struct claim *k = container_of(lj, struct claim, lj);
    struct core *c = k->core;
    if (k->campaign_num)
        return;
    c->places[k->lane] = k->before;
    for (uint32_t i = 0; k->lease && i < k->lease->n; i++)
        map_u64_remove(c->claimed, k->lease->items[i].message_id);
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

static void close_empty_lease(struct core *c, uint32_t campaign_num, uint64_t first_id);

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
        close_empty_lease(c, k->campaign_num, k->lease->first_id);
        lease_free(&k->lease);
    }
    campaigner_maybe_finished(c, k->campaign_num);
}

static void claim_failed(struct claim *k)
{
    struct core *c = k->core;
    struct run *r = k->campaign_num ? campaigner_run(c, k->campaign_num) : NULL;
    log_event(LOG_ERROR, "engine.claim", "%s", k->lj.error.text);
    lease_free(&k->lease);
    if (r) {
        r->claiming = false;
        r->retry_claim_at = loop_now_ms(c->loop) + 1000;
        if (k->load_id)
            campaigner_park_lease(r, k->load_id);
    } else if (!k->campaign_num) {
        c->claiming[k->lane] = false;
        c->next_due[k->lane] = core_steady(c) + 1000;
    }
}

static void claim_done(struct ledger_job *lj)
{
    struct claim *k = container_of(lj, struct claim, lj);
    struct core *c = k->core;
    if (!lj->ok) {
        claim_failed(k);
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
    k->lj.undo = claim_undo;
    k->lj.done = claim_done;
    return k;
}

struct close_job {
    struct ledger_job lj;
    struct core *core;
    uint32_t campaign_num;
    uint64_t first_id;
};

static bool close_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    return outbox_close(db, container_of(lj, struct close_job, lj)->first_id, true, e);
}

static void close_done(struct ledger_job *lj)
{
    struct close_job *k = container_of(lj, struct close_job, lj);
    struct core *c = k->core;
    struct run *r = campaigner_run(c, k->campaign_num);
    if (!lj->ok && r) {
        campaigner_park_lease(r, k->first_id);
        r->retry_claim_at = loop_now_ms(c->loop) + 1000;
    }
    free(k);
}

static void close_empty_lease(struct core *c, uint32_t campaign_num, uint64_t first_id)
{
    struct close_job *k = alloc_one(struct close_job);
    k->core = c;
    k->campaign_num = campaign_num;
    k->first_id = first_id;
    k->lj.order = LEDGER_ADMIN;
    k->lj.work = close_work;
    k->lj.done = close_done;
    ledger_post(c->ledger, &k->lj);
}

/* What the last run left first, then the audience, then what was set aside; 0: the audience. */
static uint64_t next_lease(struct run *r)
{
    if (r->n_parked_leases)
        return r->parked_leases[--r->n_parked_leases];
    bool turn = r->walked || r->state == RUN_OVER;
    return turn && r->n_aside_leases ? r->aside_leases[--r->n_aside_leases] : 0;
}

static void claim_campaign(struct core *c, struct run *r)
{
    bool cancels = r->state == RUN_OVER && (r->n_parked_leases || r->n_aside_leases);
    if (r->claiming || loop_now_ms(c->loop) < r->retry_claim_at ||
        (r->state != RUN_RUNNING && !cancels) || room_is_enough(c, r) ||
        (r->walked && !r->n_parked_leases && !r->n_aside_leases) ||
        (!cancels && c->n_ready >= room_of_slices(r->lane)))
        return;
    struct claim *k = claim_new(c);
    k->campaign_num = r->num;
    k->load_id = next_lease(r);
    k->lj.is_read = k->load_id != 0;
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
    if (c->is_stopping || !c->runs_loaded)
        return;
    while (c->n_ready < READY_MAX && map_u64_next(c->runs, &pos, &num, &r))
        claim_campaign(c, r);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        if (c->claiming[lane] || c->next_due[lane] > core_steady(c) || !core_may_send(c) ||
            c->n_ready >= room_of_queue((enum lane)lane))
            continue;
        struct claim *k = claim_new(c);
        k->lj.rides = true;
        k->lane = (enum lane)lane;
        c->claiming[lane] = true;
        ledger_post(c->ledger, &k->lj);
    }
}

/* ---- the place that claims have reached goes back to the begin */

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

void campaigner_rewind(struct core *c)
{
    struct rewind_job *k = alloc_one(struct rewind_job);
    k->core = c;
    k->lj.order = LEDGER_ADMIN;
    k->lj.is_read = true;
    k->lj.work = rewind_work;
    k->lj.done = rewind_done;
    ledger_post(c->ledger, &k->lj);
}
