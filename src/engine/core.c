/* The start, the turn and the stop of core. */
#include "engine/hooks.h"
#include "engine/intake.h"
#include "engine/regions.h"
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "engine/anchor.h"
#include "engine/cells.h"
#include "engine/checkpoint.h"
#include "engine/reputing.h"
#include "engine/suppressing.h"
#include "store/groups.h"
#include "store/migrate.h"
#include "store/people.h"
#include "store/settings.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int64_t core_steady(const struct core *c)
{
    return loop_now_ms(c->loop) + c->steady_offset;
}

int64_t core_boot_of(const struct core *c, int64_t steady_ms)
{
    return steady_ms == INT64_MAX ? INT64_MAX : steady_ms - c->steady_offset;
}

struct outlet *core_outlet(const struct core *c, uint16_t num)
{
    return num < c->n_outlets ? c->outlets[num] : NULL;
}

bool core_may_send(struct core *c)
{
    return !c->is_paused && !c->is_held && !c->is_stopping &&
           ledger_behind_ms(c->ledger, loop_now_ms(c->loop)) < LEDGER_BEHIND_MS &&
           !ledger_disk_full(c->ledger);
}

/* ---- the turn */

static void pump_outlets(struct core *c)
{
    for (int rounds = 0; rounds < 4 && !list_empty(&c->dirty_outlets); rounds++) {
        struct list now;
        list_init(&now);
        for (struct list *n = list_pop_front(&c->dirty_outlets); n;
             n = list_pop_front(&c->dirty_outlets))
            list_push_back(&now, n);
        for (struct list *n = list_pop_front(&now); n; n = list_pop_front(&now))
            outlet_pump(list_entry(n, struct outlet, dirty));
    }
}

static void unstick_all(struct core *c)
{
    c->is_back = false;
    for (size_t i = 0; i < c->n_outlets; i++)
        if (c->outlets[i] && c->outlets[i]->server)
            outlet_unstick(c->outlets[i]);
}

static void turn_end(void *arg)
{
    struct core *c = arg;
    campaigner_tick(c);
    if (c->is_back)
        unstick_all(c);
    due_run(c);
    pump_outlets(c);
    session_hurry_journal(c);
    settle_flush(c);
}

static void on_journal(void *arg)
{
    session_intents_durable(arg);
}

/* ---- what the fleet says */

static void fleet_ready(void *arg, uint16_t num)
{
    struct core *c = arg;
    struct outlet *o = core_outlet(c, num);
    due_wake_server(c, num);
    if (o)
        outlet_dirty(o);
}

static void fleet_state(void *arg, uint16_t num, enum oper_state from, enum oper_state to,
                        const char *reason, int64_t until)
{
    struct core *c = arg;
    struct outlet *o = core_outlet(c, num);
    char kind[64], data[256], when[32] = "";
    if (from == to || !o || !o->server)
        return;
    snprintf(kind, sizeof kind, "server.%s",
             to == OPER_HEALTHY ? "recovered"
             : to == OPER_OPEN  ? "opened"
                                : oper_state_name(to));
    if (until)
        clock_format(until - core_steady(c) + clock_wall_ms(), when);
    snprintf(data, sizeof data, "{\"from\":\"%s\",\"to\":\"%s\",\"until\":\"%s\"}",
             oper_state_name(from), oper_state_name(to), when);
    core_event(c, kind, o->server->server->name, reason, data);
    whose_changed(c, num, from, to, reason, until);
    outlet_dirty(o);
}

static void fleet_common(void *arg, bool began, const char *reason)
{
    struct core *c = arg;
    c->is_back |= !began;
    core_event(c, began ? "fleet.cut_off" : "fleet.back", "all servers", reason, NULL);
    due_wake_all(c);
}

static void fleet_cell(void *arg, const struct cell_change *x)
{
    cells_changed(arg, x);
}

static const struct fleet_events events = {fleet_ready, fleet_state, fleet_common, fleet_cell};

/* ---- start */

static bool open_database(struct core *c, struct db **out, struct err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/postfleet.db", c->cfg->data_dir);
    if (!secrets_load(c->cfg->data_dir, &c->secrets, e) || !db_open(path, DB_READ_WRITE, out, e) ||
        !migrate_to_latest(*out, e))
        return false;
    bool ok = db_begin(*out, e) && secrets_match(c->secrets, *out, e) &&
              ids_load(&c->ids, 0, *out, e) &&
              groups_ensure_default(*out, ids_next(&c->ids, clock_wall_ms()), clock_wall_ms(), e) &&
              db_commit(*out, e);
    if (!ok && db_in_transaction(*out))
        db_rollback(*out);
    secrets_derive(c->secrets, SECRETS_LABEL_TOKEN, c->token_key);
    return ok && people_open(*out, &c->people, e);
}

static void map_poison_page(struct core *c)
{
    void *p = c->cfg->poison_fd < 0 ? MAP_FAILED
                                    : mmap(NULL, sizeof(struct poison_page), PROT_READ | PROT_WRITE,
                                           MAP_SHARED, c->cfg->poison_fd, 0);
    if (p != MAP_FAILED && ((struct poison_page *)p)->magic == POISON_MAGIC)
        c->poison = p;
}

/* What reading and settling needs; no sockets, no threads. */
static void make_books(struct core *c)
{
    c->loop = loop_new();
    c->rules = rules_builtin();
    c->group_names = map_u64_new();
    c->warmings = map_u64_new();
    c->reputed = map_u64_new();
    c->policies = map_u64_new();
    c->runs = map_u64_new();
    c->claimed = map_u64_new();
    c->classes = map_str_new();
    c->turns = map_u64_new();
    c->owners = map_u64_new();
    c->results = results_new();
    list_init(&c->boxes);
    list_init(&c->waiting_intents);
    list_init(&c->dirty_outlets);
    heap_init(&c->parked);
    for (int i = 0; i < LANE_COUNT; i++)
        list_init(&c->lanes[i]);
    rand_seed(&c->rand, rand_secret_u64());
    c->journal_wake = wake_new(c->loop, on_journal, c);
}

static void make_parts(struct core *c)
{
    struct net_config net = {.dns_servers = c->cfg->dns_servers, .ca_file = c->cfg->ca_file};
    make_books(c);
    c->net = net_new(c->loop, &net);
    c->desks = pool_new(c->loop, c->cfg->desk_threads);
    if (gethostname(c->host, sizeof c->host - 1) != 0 || !c->host[0])
        snprintf(c->host, sizeof c->host, "localhost");
    if (c->cfg->public_url)
        c->public_url = alloc_copy(c->cfg->public_url);
    map_poison_page(c);
}

static bool flush_results(void *arg, struct db *db, struct err *e)
{
    struct core *c = arg;
    return results_flush(c->results, db, e);
}

static void drop_results(void *arg)
{
    results_drop(((struct core *)arg)->results);
}

static bool start_ledger(struct core *c, struct db *db, struct err *e)
{
    struct ledger_config cfg = {.loop = c->loop,
                                .db = db,
                                .before_commit = flush_results,
                                .after_rollback = drop_results,
                                .arg = c};
    return checkpoint_start(db_path(db), &c->checkpoint, e) && ledger_start(&cfg, &c->ledger, e);
}

static bool start_link(struct core *c, struct err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/link.sock", c->cfg->data_dir);
    return link_server_new(c->loop, c->net, path, calls_handle, c, &c->link, e);
}

static void hold_if_needed(struct core *c)
{
    if (c->cfg->held)
        snprintf(c->held_why, sizeof c->held_why,
                 "three crashes in a minute: look at the log, then `postfleet resume`");
    else if (c->jump_held)
        snprintf(
            c->held_why, sizeof c->held_why,
            "the clock is over a day ahead of the last run: check it, then `postfleet resume`");
    else if (c->restored_held)
        snprintf(
            c->held_why, sizeof c->held_why,
            "an older database was put back: what it shows as waiting may have left since; look, "
            "then `postfleet resume`");
    c->is_held = c->cfg->held || c->jump_held || c->restored_held;
    if (c->is_held)
        core_event(c, "sending.held", "everything", c->held_why, NULL);
}

static void on_stop_signal(void *arg, int signum);
static void on_hup(void *arg, int signum)
{
    (void)signum;
    config_reload(arg, false);
    campaigner_reload(arg);
}

static bool start(struct core *c, struct err *e)
{
    struct db *db = NULL;
    make_parts(c);
    if (!open_database(c, &db, e) || !anchor_open(c, db, e))
        return false;
    loop_refresh(c->loop);
    c->started_boot = loop_now_ms(c->loop);
    c->fleet = fleet_new(&events, c, rand_u64(&c->rand), core_steady(c));
    fleet_set_regions(c->fleet, regions_builtin());
    if (!hooks_load(c, db, e) || !recover_ledger(c, db, e) || !config_load_first(c, db, e) ||
        !quarantine_load(c, db, e) || !whose_load(c, db, e) || !cells_load(c, db, e) ||
        !start_ledger(c, db, e) || !suppressing_start(c, db, e) || !start_link(c, e) ||
        !intake_start(c, db, e) || !loop_on_signal(c->loop, SIGTERM, on_stop_signal, c, e) ||
        !loop_on_signal(c->loop, SIGHUP, on_hup, c, e))
        return false;
    loop_set_turn_end(c->loop, turn_end, c);
    reputing_start(c);
    campaigner_reload(c);
    hooks_reload(c);
    janitor_start(c);
    whose_start(c);
    hold_if_needed(c);
    log_event(LOG_NOTICE, "core.ready", "data=%s", c->cfg->data_dir);
    return true;
}

/* ---- stop: before the dot back to queued, after it up to 8 s for the reply */

static bool any_dot_out(struct core *c)
{
    for (size_t i = 0; i < c->n_outlets; i++)
        if (c->outlets[i] && (c->outlets[i]->n_wire || c->outlets[i]->n_rendering))
            return true;
    return false;
}

static void stop_now(struct core *c)
{
    for (size_t i = 0; i < c->n_outlets; i++)
        if (c->outlets[i])
            outlet_free(&c->outlets[i]);
    settle_flush(c);
    ledger_hurry(c->ledger);
    loop_stop(c->loop);
}

static void stop_tick(void *arg)
{
    struct core *c = arg;
    int64_t now = loop_now_ms(c->loop);
    if ((!any_dot_out(c) && !intake_is_busy(c)) || now >= c->stop_deadline)
        stop_now(c);
    else
        timer_at(c->stop_timer, now + 20);
}

static void withdraw_all(struct core *c)
{
    for (size_t i = 0; i < c->n_outlets; i++) {
        struct outlet *o = c->outlets[i];
        if (!o)
            continue;
        list_each_safe(it, &o->sessions)
        {
            struct session *s = list_entry(it, struct session, link);
            for (uint32_t k = s->n_jobs; k > 0 && s->smtp; k--)
                smtp_client_withdraw(s->smtp, s->jobs[k - 1]->item->message_id,
                                     loop_now_ms(c->loop));
            if (!s->is_ready)
                session_close(s);
            else
                session_pump(s);
        }
        outlet_return_backlog(o);
    }
}

static void on_stop_signal(void *arg, int signum)
{
    struct core *c = arg;
    if (c->is_stopping)
        return;
    log_event(LOG_NOTICE, "core.stopping", "signal %d", signum);
    c->is_stopping = true;
    c->stop_deadline = loop_now_ms(c->loop) + STOP_DOT_MS;
    link_server_close(c->link);
    intake_stop(c);
    withdraw_all(c);
    c->stop_timer = timer_new(c->loop, stop_tick, c);
    timer_at(c->stop_timer, loop_now_ms(c->loop) + 1);
}

struct clean_job {
    struct ledger_job lj;
};

static bool clean_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    (void)lj;
    return settings_set_i64(db, "unclean", 0, e);
}

static void clean_done(struct ledger_job *lj)
{
    (void)lj;
}

int engine_core_main(const struct engine_core_config *cfg)
{
    static struct core core; /* one a process; as long as the process */
    static struct clean_job clean;
    struct core *c = &core;
    struct err e = {0};
    c->cfg = cfg;
    signal(SIGPIPE, SIG_IGN);
    if (!start(c, &e)) {
        log_event(LOG_ERROR, "core.start", "%s", e.text);
        fprintf(stderr, "postfleet: %s\n", e.text);
        return err_exit_status(e.code) == 2 ? 1 : err_exit_status(e.code);
    }
    loop_run(c->loop);
    hooks_stop(c);
    clean.lj = (struct ledger_job){
        .order = LEDGER_RESULT, .rows = 1, .work = clean_work, .done = clean_done};
    ledger_post(c->ledger, &clean.lj);
    checkpoint_stop(&c->checkpoint);
    uint32_t left = ledger_stop(&c->ledger);
    if (!left)
        suppressing_stop(c);
    journal_close(&c->journal);
    if (left)
        log_event(LOG_ERROR, "core.stopped",
                  "not clean: %u results are in the journal only; make room before the next start",
                  left);
    else
        log_event(LOG_NOTICE, "core.stopped", "clean");
    return c->exit_status;
}

static bool mark_clean(struct db *db, struct err *e)
{
    bool ok = db_begin(db, e) && settings_set_i64(db, "unclean", 0, e) && db_commit(db, e);
    if (!ok && db_in_transaction(db))
        db_rollback(db);
    return ok;
}

bool engine_recover(const char *data_dir, struct engine_recovered *out, struct err *e)
{
    static struct core core; /* as in engine_core_main */
    static struct engine_core_config cfg;
    struct core *c = &core;
    struct db *db = NULL;
    *out = (struct engine_recovered){0};
    cfg = (struct engine_core_config){.data_dir = data_dir, .poison_fd = -1};
    c->cfg = &cfg;
    c->recovered = out;
    make_books(c);
    bool ok = open_database(c, &db, e) && anchor_open(c, db, e);
    loop_refresh(c->loop);
    ok = ok && hooks_load(c, db, e) && recover_ledger(c, db, e);
    journal_close(&c->journal);
    ok = ok && mark_clean(db, e);
    db_close(&db);
    return ok;
}
