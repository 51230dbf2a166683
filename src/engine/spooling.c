/* See spooling.h. */
#include "engine/spooling.h"

#include "base/alloc.h"
#include "engine/state.h"
#include "store/spool.h"

#include <stdio.h>
#include <stdlib.h>

#define THREADS 16 /* they wait for the disk, which syncs many as fast as one */

struct spooling {
    struct ledger_job lj;
    struct pool_job job;
    struct core *core;
    struct composed *mails;
    size_t n;
    int64_t wall_ms;
    char dir[4200];
    spooled_fn *done;
    void *owner;
    bool ok;
    struct err error;
};

bool spooling_is_needed(const struct composed *m)
{
    return m->mail.n > SPOOL_FROM;
}

static void finish(struct spooling *s, const struct err *failed)
{
    s->done(s->owner, failed);
    free(s);
}

/* ---- on a thread of the spool */

static void write_work(struct pool_job *p)
{
    struct spooling *s = container_of(p, struct spooling, job);
    s->ok = true;
    for (size_t i = 0; s->ok && i < s->n; i++) {
        struct composed *m = &s->mails[i];
        if (!m->spooled_id)
            continue;
        composed_name(m, m->spooled_id);
        s->ok = spool_write(s->dir, m->spooled_id, buf_str(&m->mail), &s->error);
    }
}

static void write_done(struct pool_job *p)
{
    struct spooling *s = container_of(p, struct spooling, job);
    finish(s, s->ok ? NULL : &s->error);
}

/* ---- on the ledger: ids are its own */

static bool name_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct spooling *s = container_of(lj, struct spooling, lj);
    (void)db, (void)e;
    for (size_t i = 0; i < s->n; i++)
        if (spooling_is_needed(&s->mails[i]))
            s->mails[i].spooled_id = ids_next(&s->core->ids, s->wall_ms);
    return true;
}

static void name_done(struct ledger_job *lj)
{
    struct spooling *s = container_of(lj, struct spooling, lj);
    if (!lj->ok) {
        finish(s, &lj->error);
        return;
    }
    if (!s->core->spoolers)
        s->core->spoolers = pool_new(s->core->loop, THREADS);
    s->job = (struct pool_job){.work = write_work, .done = write_done};
    pool_submit(s->core->spoolers, &s->job);
}

void spooling_start(struct core *c, struct composed *mails, size_t n, int64_t wall_ms,
                    spooled_fn *done, void *owner)
{
    struct spooling *s = alloc_one(struct spooling);
    s->core = c;
    s->mails = mails;
    s->n = n;
    s->wall_ms = wall_ms;
    s->done = done;
    s->owner = owner;
    snprintf(s->dir, sizeof s->dir, "%s/spool", c->cfg->data_dir);
    s->lj = (struct ledger_job){
        .order = LEDGER_ACCEPT, .is_read = true, .work = name_work, .done = name_done};
    ledger_post(c->ledger, &s->lj);
}
