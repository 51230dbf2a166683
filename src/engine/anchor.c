/* See anchor.h. */
#include "engine/anchor.h"
#include "base/alloc.h"
#include "store/limits.h"
#include "store/settings.h"

#include <stdlib.h>

#define HOLD_MS  (24 * INT64_C(3600000)) /* a jump that asks for the user */
#define EVERY_MS 60000
#define MOVED_MS 1000 /* less is slewing: the wall clock was not set */

static bool set_anchor(struct db *db, int64_t wall, int64_t boot, struct err *e)
{
    return settings_set(db, "clock_boot_id", str_of(clock_boot_id()), e) &&
           settings_set_i64(db, "clock_anchor_wall", wall, e) &&
           settings_set_i64(db, "clock_anchor_boot", boot, e);
}

/* Another boot. `latest` is the steady time that was reached, at `at_wall` of the wall clock. */
static bool anchor_anew(struct core *c, struct db *db, int64_t *wall_out, struct err *e)
{
    int64_t latest = 0, at_wall = 0, now = clock_wall_ms();
    if (!settings_get_i64(db, "clock_latest", 0, &latest, e) ||
        !settings_get_i64(db, "clock_latest_wall", latest, &at_wall, e))
        return false;
    int64_t passed = MAX(now - at_wall, (int64_t)0);
    *wall_out = MAX(now, latest);
    int64_t moved = latest ? *wall_out - latest - passed : 0;
    c->jump_held = latest && now - latest > HOLD_MS;
    bool ok = db_begin(db, e) && (moved < MOVED_MS || limits_shift(db, moved, e)) &&
              set_anchor(db, *wall_out, clock_boot_ms(), e) && db_commit(db, e);
    if (!ok && db_in_transaction(db))
        db_rollback(db);
    return ok;
}

bool anchor_open(struct core *c, struct db *db, struct err *e)
{
    struct buf id;
    bool found = false;
    int64_t wall = 0, boot = 0;
    buf_init(&id, SETTINGS_VALUE_MAX);
    bool ok = settings_get(db, "clock_boot_id", &id, &found, e) &&
              settings_get_i64(db, "clock_anchor_wall", 0, &wall, e) &&
              settings_get_i64(db, "clock_anchor_boot", 0, &boot, e);
    bool same = ok && found && str_is(buf_str(&id), clock_boot_id());
    buf_free(&id);
    if (ok && !same) {
        boot = clock_boot_ms();
        ok = anchor_anew(c, db, &wall, e);
    }
    c->steady_offset = wall - boot;
    return ok;
}

/* ---- how far it has come */

struct reached {
    struct ledger_job lj;
    int64_t steady, wall;
};

static bool reached_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    const struct reached *r = container_of(lj, struct reached, lj);
    return settings_set_i64(db, "clock_latest", r->steady, e) &&
           settings_set_i64(db, "clock_latest_wall", r->wall, e);
}

static void reached_done(struct ledger_job *lj)
{
    free(container_of(lj, struct reached, lj));
}

void anchor_second(struct core *c)
{
    int64_t steady = core_steady(c), wall = clock_wall_ms();
    int64_t off = (wall - steady) - (c->anchored_wall - c->anchored_at);
    if (c->anchored_at && steady - c->anchored_at < EVERY_MS && off < MOVED_MS && off > -MOVED_MS)
        return;
    c->anchored_at = steady;
    c->anchored_wall = wall;
    struct reached *r = alloc_one(struct reached);
    r->steady = steady;
    r->wall = wall;
    r->lj.order = LEDGER_RESULT;
    r->lj.rows = 1;
    r->lj.work = reached_work;
    r->lj.done = reached_done;
    ledger_post(c->ledger, &r->lj);
}
