/* Reputation in force: see reputing.h. Weight goes through one factor of the fleet, rest and
 * quarantine through its one door of states, a provider's through its cell; a standing that the
 * fleet could not take yet (the server was out for another reason) is offered again each minute. */
#include "engine/reputing.h"
#include "base/alloc.h"
#include "base/log.h"
#include "engine/reputation_round.h"
#include "fleet/cells.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUND_MS   60000
#define ROUND_PART 200 /* a round takes at most this part of the ledger's time */

bool reputing_read(struct db *db, struct reputing_load *out, struct err *e)
{
    *out = (struct reputing_load){0};
    return reputation_standings(db, &out->rows, &out->n, e);
}

void reputing_load_free(struct reputing_load *l)
{
    free(l->rows);
    *l = (struct reputing_load){0};
}

static bool is_out(const struct reputation_row *r)
{
    return r->stage == STAGE_RESTING || r->stage == STAGE_QUARANTINED;
}

/* In c->reputed while we hold the server out: 1, else absent. */
static void apply_row(struct core *c, const struct reputation_row *r)
{
    struct reputation_standing s = reputation_standing_of(r);
    int64_t now = core_steady(c);
    struct server_view v;
    if (*r->provider) {
        if (is_out(r))
            fleet_bar_provider(c->fleet, r->server_num,
                               provider_by_name(providers_builtin(), str_of(r->provider)),
                               r->reason, r->until ? r->until : now + 2 * ROUND_MS, now);
        return;
    }
    char why[330];
    snprintf(why, sizeof why, "%s: %s", reputation_stage_name(s.stage), r->reason);
    fleet_set_factor(c->fleet, r->server_num, FACTOR_REPUTATION,
                     is_out(r) ? 1 : reputation_factor(&s, now), why);
    bool held = map_u64_get(c->reputed, r->server_num) != NULL;
    bool is_quarantined =
        fleet_view(c->fleet, r->server_num, now, &v) && v.state == OPER_QUARANTINED;
    if (is_out(r) && !is_quarantined)
        (void)fleet_quarantine(c->fleet, r->server_num, why, 0, now);
    if (is_out(r))
        map_u64_set(c->reputed, r->server_num, c);
    else if (held && !map_u64_get(c->quarantines, r->server_num)) /* nor does the user */
        (void)fleet_release(c->fleet, r->server_num, why, now);
    if (!is_out(r))
        map_u64_remove(c->reputed, r->server_num);
}

static bool is_listed(const struct reputing_load *l, uint64_t num)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->rows[i].server_num == num && !*l->rows[i].provider)
            return true;
    return false;
}

void reputing_apply(struct core *c, struct reputing_load *l)
{
    if (!c->ledger) {
        c->reputed_first = alloc_one(struct reputing_load);
        *c->reputed_first = *l;
        *l = (struct reputing_load){0};
        return;
    }
    for (size_t i = 0; i < c->n_outlets; i++) {
        if (!c->outlets[i] || is_listed(l, i))
            continue;
        fleet_set_factor(c->fleet, (uint16_t)i, FACTOR_REPUTATION, 1, "");
        if (map_u64_remove(c->reputed, i) && !map_u64_get(c->quarantines, i))
            (void)fleet_release(c->fleet, (uint16_t)i, "in good standing again", core_steady(c));
    }
    for (size_t i = 0; i < l->n; i++)
        if (core_outlet(c, l->rows[i].server_num))
            apply_row(c, &l->rows[i]);
}

void reputing_start(struct core *c)
{
    if (!c->reputed_first)
        return;
    reputing_apply(c, c->reputed_first);
    reputing_load_free(c->reputed_first);
    free(c->reputed_first);
    c->reputed_first = NULL;
}

struct round_job {
    struct ledger_job lj;
    struct core *core;
    struct reputing_load load;
    int64_t now, took;
};

static bool round_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct round_job *j = container_of(lj, struct round_job, lj);
    struct reputation_context x = {.db = db, .ids = &j->core->ids, .now_ms = j->now};
    int64_t start = clock_boot_ms();
    bool ok = reputation_round(&x, e) && reputing_read(db, &j->load, e);
    j->took = clock_boot_ms() - start;
    return ok;
}

static void round_done(struct ledger_job *lj)
{
    struct round_job *j = container_of(lj, struct round_job, lj);
    struct core *c = j->core;
    if (lj->ok)
        reputing_apply(c, &j->load);
    else
        log_event(LOG_ERROR, "reputation.failed", "%s: tried again", lj->error.text);
    c->reputed_at = loop_now_ms(c->loop) + MAX((int64_t)ROUND_MS, j->took * ROUND_PART);
    reputing_load_free(&j->load);
    free(j);
}

void reputing_minute(struct core *c)
{
    if (loop_now_ms(c->loop) < c->reputed_at)
        return;
    struct round_job *j = alloc_one(struct round_job);
    j->core = c;
    j->now = core_steady(c);
    j->lj.order = LEDGER_ADMIN;
    j->lj.work = round_work;
    j->lj.done = round_done;
    c->reputed_at = INT64_MAX;
    ledger_post(c->ledger, &j->lj);
}
