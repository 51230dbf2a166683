/* What time does: states of servers, probes, calendar windows, old intents. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/log.h"
#include "engine/anchor.h"
#include "engine/calendar.h"
#include "engine/domain_check.h"
#include "engine/limiting.h"
#include "engine/reputing.h"
#include "engine/warming.h"
#include "store/cells.h"
#include "store/events.h"
#include "store/hours.h"
#include "store/idempotency.h"
#include "store/latency.h"
#include "store/limits.h"
#include "store/settings.h"
#include "store/spool.h"
#include "store/suppression.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWERS_BITE   2000 /* a minute */
#define TICK_MS        100
#define PROBES         64
#define MINUTE_MS      60000
#define SPOOL_YOUNG_MS HOUR_MS
#define EVENTS_KEPT_MS (INT64_C(90) * 24 * HOUR_MS)
#define EVENTS_BITE    1000
#define CELLS_KEPT_MS  (INT64_C(24) * HOUR_MS)
#define SETTLE_BITE    500

void janitor_day(const char *zone, int64_t wall_ms, int64_t *opened_out, int64_t *closes_out)
{
    struct calendar k = calendar_of(zone, false, wall_ms);
    *opened_out = k.opened_at;
    *closes_out = k.closes_at;
}

void janitor_month(const char *zone, int64_t wall_ms, int64_t *opened_out, int64_t *closes_out)
{
    struct calendar k = calendar_of(zone, true, wall_ms);
    *opened_out = k.opened_at;
    *closes_out = k.closes_at;
}

/* A window opens when the wall clock says so and our own clock confirms that the last one passed.
 */
static void open_calendar(struct core *c, struct quota *q, const char *zone, enum quota_window w)
{
    if (!q || !zone || !q->lines[w].is_calendar)
        return;
    struct quota_line *l = &q->lines[w];
    int64_t now = core_steady(c);
    if (l->opened_at && now < l->closes_at) /* a zone is read from its file: not each second */
        return;
    struct calendar k = calendar_of(zone, w == QUOTA_MONTH, clock_wall_ms());
    if (l->opened_at == 0 || k.opened_at >= l->closes_at) {
        quota_open_calendar(q, w, k.opened_at, k.closes_at);
        due_wake_all(c);
    }
}

void janitor_open_calendar(struct core *c, struct quota *q, const char *zone)
{
    open_calendar(c, q, zone, QUOTA_DAY);
    open_calendar(c, q, zone, QUOTA_MONTH);
}

void janitor_calendars(struct core *c)
{
    for (size_t i = 0; i < c->n_outlets; i++) {
        struct outlet *o = c->outlets[i];
        if (!o || !o->server || o->is_removed || !o->server->server->limits.calendar)
            continue;
        janitor_open_calendar(c, fleet_quota(c->fleet, o->num), o->server->server->limits.calendar);
    }
    limiting_calendars(c);
}

/* Intents in old segments are written again, so that the journal stays short while a dot waits. */
static void renew_intents(struct core *c)
{
    for (size_t i = 0; i < c->n_outlets; i++) {
        struct outlet *o = c->outlets[i];
        if (!o)
            continue;
        list_each(it, &o->sessions)
        {
            struct session *s = list_entry(it, struct session, link);
            for (uint32_t k = 0; k < s->n_jobs; k++) {
                struct job *j = s->jobs[k];
                if (!j->has_intent || !j->dot_permitted || !journal_is_old(c->journal, j->ticket))
                    continue;
                struct journal_record r = {.message_id = j->item->message_id,
                                           .kind = JOURNAL_INTENT,
                                           .n = (uint8_t)(j->item->tries + 1),
                                           .server_num = o->num,
                                           .at = core_steady(c)};
                uint64_t old = j->ticket;
                j->ticket = journal_add(c->journal, &r);
                journal_settle(c->journal, old);
            }
        }
    }
}

static void settle_provisional(struct core *c);
static void post_sweep(struct core *c);

static void tick(void *arg)
{
    struct core *c = arg;
    uint16_t nums[PROBES];
    static int64_t seconds, minutes;
    int64_t boot = loop_now_ms(c->loop);
    timer_at(c->tick, boot + TICK_MS);
    if (c->is_stopping)
        return;
    size_t n = fleet_tick(c->fleet, core_steady(c), nums, PROBES);
    for (size_t i = 0; i < n; i++)
        probe_server(c, nums[i]);
    campaigner_tick(c);
    whose_tick(c);
    if (boot - seconds < 1000)
        return;
    seconds = boot;
    anchor_second(c);
    renew_intents(c);
    janitor_calendars(c);
    warming_second(c);
    reputing_minute(c);
    room_second(c);
    campaigner_second(c);
    quarantine_second(c);
    mailboxes_second(c);
    for (size_t i = 0; i < c->n_outlets; i++)
        if (c->outlets[i])
            outlet_second(c->outlets[i]);
    if (boot - minutes >= MINUTE_MS) {
        minutes = boot;
        settle_provisional(c);
        domain_check_minute(c);
        if (c->swept_at == 0 || boot - c->swept_at >= HOUR_MS) {
            c->swept_at = boot;
            post_sweep(c);
            due_sweep(c);
        }
    }
}

/* ---- once an hour: events and hour counters over 90 days old, bodies in the spool that no message
 * names */

struct sweep {
    struct ledger_job lj;
    struct core *core;
    struct db *db;
    int64_t now;
};

/* A body is written before its row: a young one may be without. */
static bool has_message(void *arg, uint64_t id)
{
    struct sweep *w = arg;
    if (ids_time_ms(id) > w->now - SPOOL_YOUNG_MS)
        return true;
    struct err e;
    struct stmt *s = db_stmt(w->db, "SELECT 1 FROM message WHERE id = $1", &e);
    bool row = true;
    if (!s)
        return true;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, &e))
        return true; /* in doubt it stays */
    db_reset(s);
    return row;
}

static bool sweep_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct sweep *w = container_of(lj, struct sweep, lj);
    char dir[4200];
    size_t n = 0;
    w->db = db;
    snprintf(dir, sizeof dir, "%s/spool", w->core->cfg->data_dir);
    return events_trim(db, w->now - EVENTS_KEPT_MS, EVENTS_BITE, &n, e) &&
           hours_trim(db, w->now - EVENTS_KEPT_MS, e) && limits_sweep(db, w->now, e) &&
           latencies_trim(db, clock_wall_ms(), e) && cells_sweep(db, w->now - CELLS_KEPT_MS, e) &&
           (access(dir, F_OK) != 0 || spool_sweep(dir, has_message, w, &n, e));
}

static void sweep_done(struct ledger_job *lj)
{
    if (!lj->ok)
        log_event(LOG_WARNING, "engine.sweep", "%s", lj->error.text);
    free(container_of(lj, struct sweep, lj));
}

static void post_sweep(struct core *c)
{
    struct sweep *w = alloc_one(struct sweep);
    w->core = c;
    w->now = clock_wall_ms();
    w->lj.order = LEDGER_SLICE;
    w->lj.work = sweep_work;
    w->lj.done = sweep_done;
    ledger_post(c->ledger, &w->lj);
}

/* ---- each minute: provisional suppressions become settled when their time is over, answers of a
 * day ago are forgotten */

struct minute {
    struct ledger_job lj;
    int64_t wall;
};

static bool provisional_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    const struct minute *m = container_of(lj, struct minute, lj);
    return suppression_settle(db, m->wall, SETTLE_BITE, &lj->again, e) &&
           idempotency_sweep(db, m->wall, ANSWERS_BITE, e);
}

static void provisional_done(struct ledger_job *lj)
{
    free(container_of(lj, struct minute, lj));
}

static void settle_provisional(struct core *c)
{
    struct minute *m = alloc_one(struct minute);
    m->wall = clock_wall_ms();
    m->lj.order = LEDGER_ADMIN;
    m->lj.work = provisional_work;
    m->lj.done = provisional_done;
    ledger_post(c->ledger, &m->lj);
}

void janitor_start(struct core *c)
{
    c->tick = timer_new(c->loop, tick, c);
    timer_at(c->tick, loop_now_ms(c->loop) + TICK_MS);
}
