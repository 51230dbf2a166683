/* What follows when a server turns suspect: what it suppressed in the last minutes is taken back,
 * the messages go to the other servers, and so does the mail that waited to be tried there again.
 * First all results of before are durable and a row says what is to be done; then bites, each a
 * transaction; so a crash at any point is gone on from at the next start. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/log.h"
#include "engine/revert.h"
#include "store/events.h"
#include "store/suspects.h"

#include <stdio.h>
#include <stdlib.h>

#define QUEUE_BITE 500
#define RETRY_MS   1000

struct whose { /* one server's matter, until it is in the books */
    struct whose *next;
    struct ledger_job lj;
    struct core *core;
    struct suspect_row row;
    char *name;         /* of the server */
    bool is_cleared;    /* it is believed again */
    int64_t not_before; /* boot ms */
    struct revert bite;
    size_t reverted, queued, freed; /* in all */
    bool more;
};

static void whose_free(struct whose *w)
{
    free(w->name);
    free(w);
}

static void put_off(struct whose *w, int64_t ms)
{
    struct core *c = w->core;
    struct whose **at = &c->suspects;
    w->not_before = loop_now_ms(c->loop) + ms;
    while (*at)
        at = &(*at)->next;
    w->next = NULL;
    *at = w;
}

/* ---- bites */

static bool free_waiting(struct whose *w, struct db *db, struct err *e)
{
    char why[200];
    size_t n = 0;
    snprintf(why, sizeof why, "%s is suspect: goes to any other server", w->name);
    if (!suspects_free_queue(db, w->row.server_num, w->bite.now, why, QUEUE_BITE, &n, e))
        return false;
    w->freed += n;
    w->more |= n == QUEUE_BITE;
    return true;
}

static bool tell(struct whose *w, struct db *db, struct err *e)
{
    char reason[200], data[200];
    int64_t at = clock_wall_ms();
    if (w->reverted + w->freed == 0)
        return true;
    snprintf(reason, sizeof reason,
             "%zu addresses not suppressed any more, %zu messages queued again, %zu that waited "
             "for it go elsewhere",
             w->reverted, w->queued, w->freed);
    snprintf(data, sizeof data, "{\"reverted\":%zu,\"queued\":%zu,\"moved\":%zu}", w->reverted,
             w->queued, w->freed);
    log_event(LOG_NOTICE, "suppression.reverted", "%s: %s", w->name, reason);
    struct event ev = {.id = ids_next(&w->core->ids, at),
                       .at = at,
                       .kind = STR("suppression.reverted"),
                       .subject = str_of(w->name),
                       .reason = str_of(reason),
                       .data = str_of(data)};
    return events_append(db, &ev, e);
}

static bool bite_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct whose *w = container_of(lj, struct whose, lj);
    w->bite.now = core_steady(w->core);
    if (!revert_bite(db, &w->bite, e))
        return false;
    w->more = w->bite.more;
    w->reverted += w->bite.reverted;
    w->queued += w->bite.queued;
    return free_waiting(w, db, e) &&
           (w->more || (suspects_reverted(db, w->row.server_num, e) && tell(w, db, e)));
}

static void post_bite(struct whose *w);

static void bite_done(struct ledger_job *lj)
{
    struct whose *w = container_of(lj, struct whose, lj);
    struct core *c = w->core;
    if (!lj->ok) { /* a full disk, say: the row stays, and it begins anew */
        log_event(LOG_ERROR, "engine.whose", "%s: %s", w->name, lj->error.text);
        w->reverted = w->queued = w->freed = 0;
        put_off(w, RETRY_MS);
        return;
    }
    if (w->bite.queued)
        campaigner_reload(c); /* a finished campaign runs again */
    if (w->bite.queued || w->freed)
        campaigner_rewind(c);
    if (w->more)
        post_bite(w);
    else
        whose_free(w);
}

static void post_bite(struct whose *w)
{
    w->lj = (struct ledger_job){.order = LEDGER_ADMIN, .work = bite_work, .done = bite_done};
    ledger_post(w->core->ledger, &w->lj);
}

/* ---- the row */

static bool row_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct whose *w = container_of(lj, struct whose, lj);
    struct suspect_row now;
    size_t n = 0;
    if (w->is_cleared)
        return suspects_remove(db, w->row.server_num, e);
    if (!suspects_set(db, &w->row, e) ||
        !suspects_list(db, (uint16_t)(w->row.server_num - 1), &now, 1, &n, e))
        return false;
    w->bite.since = n ? now.since : w->row.since;
    return true;
}

static void row_done(struct ledger_job *lj)
{
    struct whose *w = container_of(lj, struct whose, lj);
    if (w->is_cleared)
        whose_free(w);
    else
        post_bite(w);
}

/* Rides with the results: when it is done, every earlier one is in the database. */
static void post_row(struct whose *w)
{
    w->lj =
        (struct ledger_job){.order = LEDGER_RESULT, .rows = 1, .work = row_work, .done = row_done};
    ledger_post(w->core->ledger, &w->lj);
}

void whose_tick(struct core *c)
{
    int64_t now = loop_now_ms(c->loop);
    struct whose *all = c->suspects, *w;
    if (!all)
        return;
    c->suspects = NULL;
    settle_flush(c);
    while ((w = all)) {
        all = w->next;
        w->next = NULL;
        if (now >= w->not_before)
            post_row(w);
        else
            put_off(w, w->not_before - now);
    }
}

/* ---- changes */

void whose_changed(struct core *c, uint16_t num, enum oper_state from, enum oper_state to,
                   const char *reason, int64_t until)
{
    struct outlet *o = core_outlet(c, num);
    if ((from != OPER_SUSPECT) == (to != OPER_SUSPECT) || !o || !o->server)
        return;
    struct whose *w = alloc_one(struct whose);
    w->core = c;
    w->name = alloc_copy(o->server->server->name);
    w->is_cleared = to != OPER_SUSPECT;
    w->row = (struct suspect_row){.server_num = num,
                                  .verdict = fleet_suspected_of(c->fleet, num),
                                  .since = clock_wall_ms() - PROVISIONAL_MS,
                                  .until = until,
                                  .reverting = true};
    snprintf(w->row.reason, sizeof w->row.reason, "%s", reason);
    w->bite = (struct revert){.server_num = num,
                              .why = "its server is suspect: the bounce is not believed"};
    put_off(w, 0);
}

/* ---- the start: what the last run had begun goes on */

bool whose_load(struct core *c, struct db *db, struct err *e)
{
    struct suspect_row rows[16];
    uint16_t after = 0;
    for (size_t n = countof(rows); n == countof(rows);) {
        if (!suspects_list(db, after, rows, countof(rows), &n, e))
            return false;
        for (size_t i = 0; i < n; i++) {
            struct whose *w = alloc_one(struct whose);
            w->core = c;
            w->row = rows[i];
            put_off(w, 0);
            after = rows[i].server_num;
        }
    }
    return true;
}

void whose_start(struct core *c)
{
    struct whose *all = c->suspects, *w;
    c->suspects = NULL;
    while ((w = all)) {
        const struct suspect_row *r = &w->row;
        all = w->next;
        (void)fleet_suspect(c->fleet, r->server_num, r->verdict, r->reason, r->until,
                            core_steady(c)); /* whose_changed takes it from here */
        whose_free(w);
    }
}

/* ---- looking */

json_t *whose_figures(struct core *c, uint16_t num)
{
    struct blame all[FLEET_SIGHTS_MAX];
    size_t n = fleet_sights(c->fleet, num, all, FLEET_SIGHTS_MAX);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            out, json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "verdict", verdict_name(all[i].verdict),
                           "recipients", (json_int_t)all[i].own.bad, "of", (json_int_t)all[i].own.n,
                           "domains", (json_int_t)all[i].own.domains, "others",
                           (json_int_t)all[i].rest.bad, "others_of", (json_int_t)all[i].rest.n));
    return out;
}
