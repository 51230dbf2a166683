/* See suppressing.h. Until all is read every address is asked about, as without a filter. */
#include "engine/suppressing.h"

#include "base/alloc.h"
#include "base/log.h"
#include "engine/state.h"
#include "store/suppression.h"
#include "store/suppression_filter.h"

#include <stdlib.h>

#define BITE 1000 /* rows: about a millisecond */

struct reading {
    struct ledger_job lj;
    struct suppression_filter *filter;
};

static bool read_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct reading *r = container_of(lj, struct reading, lj);
    bool done = false;
    bool ok = suppression_filter_load(r->filter, db, BITE, &done, e);
    lj->again = ok && !done;
    return ok;
}

static void read_done(struct ledger_job *lj)
{
    if (!lj->ok)
        log_event(LOG_ERROR, "engine.suppressed", "%s", lj->error.text);
    free(container_of(lj, struct reading, lj));
}

bool suppressing_start(struct core *c, struct db *db, struct err *e)
{
    uint64_t n = 0;
    if (!suppression_count(db, &n, e))
        return false;
    c->suppressible = suppression_filter_new(n);
    if (!c->suppressible)
        return true;
    suppression_filter_follow(c->suppressible);
    struct reading *r = alloc_one(struct reading);
    r->filter = c->suppressible;
    r->lj.order = LEDGER_IMPORT;
    r->lj.work = read_work;
    r->lj.done = read_done;
    ledger_post(c->ledger, &r->lj);
    return true;
}

void suppressing_stop(struct core *c)
{
    suppression_filter_follow(NULL);
    suppression_filter_free(&c->suppressible);
}
