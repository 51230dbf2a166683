/* Events: what happened to servers, campaigns and the house, into the log and the database. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/log.h"
#include "store/events.h"

#include <stdlib.h>

struct event_job {
    struct ledger_job lj;
    struct core *core;
    char *kind, *subject, *reason, *data;
    int64_t at;
};

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct event_job *x = container_of(lj, struct event_job, lj);
    struct event ev = {.id = ids_next(&x->core->ids, x->at),
                       .at = x->at,
                       .kind = str_of(x->kind),
                       .subject = str_of(x->subject),
                       .reason = str_of(x->reason),
                       .data = str_of(x->data)};
    return events_append(db, &ev, e);
}

static void done(struct ledger_job *lj)
{
    struct event_job *x = container_of(lj, struct event_job, lj);
    free(x->kind);
    free(x->subject);
    free(x->reason);
    free(x->data);
    free(x);
}

void core_event(struct core *c, const char *kind, const char *subject, const char *reason,
                const char *data)
{
    log_event(LOG_NOTICE, kind, "%s: %s", subject, reason);
    struct event_job *x = alloc_one(struct event_job);
    x->core = c;
    x->kind = alloc_copy(kind);
    x->subject = alloc_copy(subject);
    x->reason = alloc_copy(reason);
    x->data = alloc_copy(data);
    x->at = clock_wall_ms();
    x->lj.order = LEDGER_RESULT; /* rides in a batch: no sync of its own */
    x->lj.rows = 1;
    x->lj.work = work;
    x->lj.done = done;
    ledger_post(c->ledger, &x->lj);
}
