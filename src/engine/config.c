/* Servers, groups and settings as the database has them, brought to the fleet and the outlets. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/log.h"
#include "engine/limiting.h"
#include "engine/reputing.h"
#include "engine/signing.h"
#include "engine/warming.h"
#include "store/failover.h"
#include "store/groups.h"
#include "store/servers.h"
#include "store/settings.h"

#include <stdlib.h>

struct loading {
    struct ledger_job lj;
    struct core *core;
    struct server **servers;
    size_t n_servers;
    struct group **groups;
    size_t n_groups;
    struct failover **failovers;
    size_t n_failovers;
    struct routing *routing;
    char *public_url;
    bool paused, at_start;
    struct warming_load warmups;
    struct reputing_load reputation;
    struct signing *signing;
    struct limit_row *limits;
    size_t n_limits;
};

void server_ref_drop(struct server_ref *r)
{
    if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    server_free(&r->server);
    free(r);
}

static bool load_settings(struct loading *x, struct db *db, struct err *e)
{
    struct buf b;
    bool found = false;
    bool paused = false;
    buf_init(&b, SETTINGS_VALUE_MAX);
    bool ok = settings_get(db, "public_url", &b, &found, e) &&
              (x->public_url = found && b.n ? alloc_copy(buf_cstr(&b)) : NULL, true) &&
              settings_get(db, "pause", &b, &paused, e);
    x->paused = paused;
    buf_free(&b);
    return ok;
}

static bool load(struct loading *x, struct db *db, struct err *e)
{
    return store_load_fleet(db, x->core->secrets, &x->servers, &x->n_servers, &x->groups,
                            &x->n_groups, e) &&
           signing_load(db, x->core->secrets, &x->signing, e) &&
           limits_load(db, &x->limits, &x->n_limits, e) &&
           policies_load(db, &x->failovers, &x->n_failovers, e) &&
           warming_read(db, warming_started(x->core), &x->warmups, e) &&
           routing_load(db, &x->routing, e) && reputing_read(db, &x->reputation, e) &&
           load_settings(x, db, e);
}

static struct outlet *outlet_for(struct core *c, uint16_t num)
{
    if (num >= c->n_outlets) {
        size_t n = MAX((size_t)num + 1, c->n_outlets * 2);
        c->outlets = alloc_resize(c->outlets, n * sizeof *c->outlets);
        memset(c->outlets + c->n_outlets, 0, (n - c->n_outlets) * sizeof *c->outlets);
        c->n_outlets = n;
    }
    if (!c->outlets[num])
        c->outlets[num] = outlet_new(c, num);
    return c->outlets[num];
}

/* Sessions speak with settings of their beginning; a change of address or login ends idle ones. */
static void apply_server(struct core *c, const struct server *s, bool at_start)
{
    struct outlet *o = outlet_for(c, s->num);
    bool changed = !o->server || o->server->server->updated_at != s->updated_at ||
                   o->server->server->admin != s->admin;
    if (!changed)
        return;
    bool settings = o->server && o->server->server->updated_at != s->updated_at;
    struct server_ref *r = alloc_one(struct server_ref);
    r->refs = 1;
    r->server = server_clone(s);
    if (o->server)
        server_ref_drop(o->server);
    o->server = r;
    o->is_removed = false;
    fleet_set_server(c->fleet, s, at_start, core_steady(c));
    if (settings)
        list_each_safe(it, &o->sessions)
        {
            struct session *x = list_entry(it, struct session, link);
            x->is_old = true;
            if (x->is_ready && x->n_jobs == 0)
                session_quit(x);
        }
    outlet_dirty(o);
}

static void remove_missing(struct core *c, const struct loading *x)
{
    bool *listed = alloc_many(bool, c->n_outlets + 1);
    for (size_t i = 0; i < x->n_servers; i++)
        listed[x->servers[i]->num] = true; /* apply_server made an outlet of that number */
    for (size_t num = 0; num < c->n_outlets; num++) {
        struct outlet *o = c->outlets[num];
        if (!o || !o->server || o->is_removed || listed[num])
            continue;
        o->is_removed = true;
        fleet_remove_server(c->fleet, (uint16_t)num, core_steady(c));
        outlet_dirty(o);
    }
    free(listed);
}

static void remove_missing_groups(struct core *c, const struct loading *x)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *name = NULL;
    while (map_u64_next(c->group_names, &pos, &num, &name)) {
        bool listed = false;
        for (size_t i = 0; i < x->n_groups && !listed; i++)
            listed = x->groups[i]->num == num;
        if (!listed)
            fleet_remove_group(c->fleet, (uint32_t)num);
    }
}

static void apply_groups(struct core *c, const struct loading *x)
{
    remove_missing_groups(c, x);
    c->n_nearest = 0;
    for (size_t i = 0; i < x->n_groups; i++) {
        const struct group *g = x->groups[i];
        char *old = map_u64_get(c->group_names, g->num);
        free(old);
        map_u64_set(c->group_names, g->num, alloc_copy(g->name));
        if (str_is(str_of(g->name), GROUPS_DEFAULT))
            c->default_group = g->num;
        c->n_nearest += g->nearest;
        fleet_set_group(c->fleet, g, core_steady(c));
    }
}

static bool all_on_loopback(const struct loading *x)
{
    for (size_t i = 0; i < x->n_servers; i++)
        if (!server_on_loopback(x->servers[i]))
            return false;
    return true;
}

static void apply(struct core *c, struct loading *x)
{
    for (size_t i = 0; i < x->n_servers; i++)
        apply_server(c, x->servers[i], x->at_start);
    remove_missing(c, x);
    apply_groups(c, x);
    limiting_apply(c, x->limits, x->n_limits);
    x->limits = NULL;
    x->n_limits = 0;
    policies_apply(c, x->failovers, x->n_failovers);
    warming_apply(c, &x->warmups);
    mailboxes_configure(c, all_on_loopback(x));
    routing_apply(c, x->routing);
    x->routing = NULL;
    reputing_apply(c, &x->reputation);
    signing_drop(c->signing); /* desks may hold it still */
    c->signing = x->signing;
    x->signing = NULL;
    if (!x->at_start || !c->public_url) {
        /* Desks may read the old text now: it stays until the end. A change is rare. */
        if (x->public_url && (!c->public_url || !str_is(str_of(x->public_url), c->public_url)))
            __atomic_store_n(&c->public_url, alloc_copy(x->public_url), __ATOMIC_RELEASE);
    }
    c->is_paused = x->paused;
    janitor_calendars(c);
    due_wake_all(c);
}

static void clear(struct loading *x)
{
    servers_free_list(x->servers, x->n_servers);
    groups_free_list(x->groups, x->n_groups);
    failovers_free_list(x->failovers, x->n_failovers);
    warming_load_free(&x->warmups);
    routing_free(&x->routing);
    reputing_load_free(&x->reputation);
    limits_free_rows(x->limits, x->n_limits);
    signing_drop(x->signing);
    free(x->public_url);
}

static bool work(struct ledger_job *lj, struct db *db, struct err *e)
{
    return load(container_of(lj, struct loading, lj), db, e);
}

static void done(struct ledger_job *lj)
{
    struct loading *x = container_of(lj, struct loading, lj);
    if (lj->ok)
        apply(x->core, x);
    else
        log_event(LOG_ERROR, "engine.config", "%s", lj->error.text);
    clear(x);
    free(x);
}

void config_reload(struct core *c, bool at_start)
{
    struct loading *x = alloc_one(struct loading);
    x->core = c;
    x->at_start = at_start;
    x->lj.order = LEDGER_ADMIN;
    x->lj.is_read = true;
    x->lj.work = work;
    x->lj.done = done;
    ledger_post(c->ledger, &x->lj);
}

/* ---- use of the past, for quotas */

static bool read_use(void *arg, struct db *db, int64_t span_s, int64_t since, limiting_span *each,
                     void *to, struct err *e)
{
    const uint16_t *num = arg;
    return results_usage(db, *num, span_s, since, each, to, e);
}

static bool load_use(struct core *c, struct db *db, uint16_t num, struct err *e)
{
    struct quota *q = fleet_quota(c->fleet, num);
    return !q || limiting_load_past(q, db, core_steady(c), read_use, &num, e);
}

bool config_load_first(struct core *c, struct db *db, struct err *e)
{
    struct loading x = {.core = c, .at_start = true};
    bool ok = load(&x, db, e);
    if (ok)
        apply(c, &x);
    for (size_t i = 0; ok && i < x.n_servers; i++)
        ok = load_use(c, db, x.servers[i]->num, e);
    ok = ok && limiting_load_use(c, db, e);
    clear(&x);
    return ok;
}
