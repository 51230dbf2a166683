/* See drafts.h. The database is read by the ledger, in a job that reads only. */
#include "engine/drafts.h"
#include "base/alloc.h"
#include "engine/state.h"
#include "mail/draft.h"
#include "store/templates.h"

#include <stdlib.h>

#define KEPT_MAX 256 /* templates in memory */

struct kept_draft {
    int refs; /* atomic */
    struct draft draft;
};

struct drafts {
    struct map_str *by_name;
    uint32_t turn; /* of changes: what was read before the last one is not kept */
};

struct loading {
    struct ledger_job lj;
    struct core *core;
    const char *const *names;
    size_t n;
    struct kept_draft **out;
    uint32_t turn;
    drafts_ready *ready;
    void *arg;
};

const struct draft *kept_draft_of(const struct kept_draft *k)
{
    return &k->draft;
}

static struct kept_draft *keep(struct kept_draft *k)
{
    __atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
    return k;
}

void kept_draft_drop(struct kept_draft *k)
{
    if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    draft_free(&k->draft);
    free(k);
}

static struct drafts *drafts_of(struct core *c)
{
    if (!c->drafts) {
        c->drafts = alloc_one(struct drafts);
        c->drafts->by_name = map_str_new();
    }
    return c->drafts;
}

static void empty(struct drafts *d)
{
    size_t pos = 0;
    struct str name;
    void *v = NULL;
    while (map_str_next(d->by_name, &pos, &name, &v))
        kept_draft_drop(v);
    map_str_free(&d->by_name);
}

void drafts_forget(struct core *c)
{
    struct drafts *d = drafts_of(c);
    empty(d);
    d->by_name = map_str_new();
    d->turn++;
}

/* ---- on the ledger thread ---- */

static bool load(struct db *db, const char *name, struct kept_draft **out, struct err *e)
{
    struct stored_template *t = NULL;
    struct err why;
    if (!templates_get(db, name, &t, &why))
        return why.code == ERR_NOT_FOUND || err_set(e, why.code, "%s", why.text);
    struct kept_draft *k = alloc_one(struct kept_draft);
    k->refs = 1;
    if (draft_compile(t->subject, t->html, t->text, &k->draft, &why))
        *out = k;
    else
        kept_draft_drop(k);
    templates_free(&t);
    return true;
}

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct loading *l = container_of(lj, struct loading, lj);
    for (size_t i = 0; i < l->n; i++)
        if (!l->out[i] && !load(db, l->names[i], &l->out[i], e))
            return false;
    return true;
}

/* ---- on the reactor ---- */

static void done(struct ledger_job *lj)
{
    struct loading *l = container_of(lj, struct loading, lj);
    struct drafts *d = drafts_of(l->core);
    if (map_str_count(d->by_name) + l->n > KEPT_MAX)
        drafts_forget(l->core);
    for (size_t i = 0; i < l->n && l->turn == d->turn; i++)
        if (l->out[i] && !map_str_get(d->by_name, str_of(l->names[i])))
            map_str_set(d->by_name, str_of(l->names[i]), keep(l->out[i]));
    l->ready(l->arg, lj->ok ? NULL : &lj->error);
    free(l);
}

void drafts_get(struct core *c, const char *const *names, size_t n, struct kept_draft **out,
                drafts_ready *ready, void *arg)
{
    struct drafts *d = drafts_of(c);
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        struct kept_draft *k = map_str_get(d->by_name, str_of(names[i]));
        out[i] = k ? keep(k) : NULL;
        all = all && k;
    }
    if (all) {
        ready(arg, NULL);
        return;
    }
    struct loading *l = alloc_one(struct loading);
    *l = (struct loading){
        .core = c, .names = names, .n = n, .out = out, .turn = d->turn, .ready = ready, .arg = arg};
    l->lj.order = LEDGER_ADMIN;
    l->lj.is_read = true;
    l->lj.work = work;
    l->lj.done = done;
    ledger_post(c->ledger, &l->lj);
}
