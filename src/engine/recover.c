/* After a start: what the journal says about messages that were on the wire, against what the
 * database knows. Runs before the reactor, on its thread, with the database to itself.
 *   result in the database      nothing to do
 *   outcome in the journal      its result is written
 *   intent, neither outcome nor withdrawal: the dot may have left: uncertain
 *   else                        not begun: the message is ready again
 * A lost journal: every message of an open lease without a durable result is uncertain. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "store/events.h"
#include "store/ledger_check.h"
#include "store/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CHECK_BYTES_MAX  (INT64_C(128) << 20) /* of the database: a start shall not take minutes */
#define CHECK_EVENTS_MAX 100

struct fate { /* the last word of the journal on a message */
    struct journal_record r;
};

struct recovery {
    struct core *core;
    struct map_u64 *fates;
    struct map_u64 *counts_all; /* nums of servers whose limits count refused ones too */
    enum journal_health health;
    size_t n_outcomes, n_uncertain, n_ready;
};

static void tell_id(uint64_t **ids, size_t *n, uint64_t id)
{
    if ((*n & (*n - 1)) == 0) /* a power of two: full */
        *ids = alloc_resize(*ids, MAX(*n * 2, (size_t)1) * sizeof **ids);
    (*ids)[(*n)++] = id;
}

static void tell_uncertain(struct recovery *x, uint64_t id)
{
    struct engine_recovered *r = x->core->recovered;
    x->n_uncertain++;
    if (r)
        tell_id(&r->uncertain, &r->n_uncertain, id);
}

static void tell_ready(struct recovery *x, uint64_t id)
{
    struct engine_recovered *r = x->core->recovered;
    x->n_ready++;
    if (r)
        tell_id(&r->ready, &r->n_ready, id);
}

static void tell_end(const struct recovery *x)
{
    struct engine_recovered *r = x->core->recovered;
    if (r) {
        r->results = x->n_outcomes;
        r->journal_lost = x->health >= JOURNAL_LOST;
    }
}

static void on_record(void *arg, const struct journal_record *r)
{
    struct recovery *x = arg;
    struct fate *f = map_u64_get(x->fates, r->message_id);
    if (!f) {
        f = alloc_one(struct fate);
        map_u64_set(x->fates, r->message_id, f);
    }
    f->r = *r;
}

static void free_fates(struct recovery *x)
{
    size_t pos = 0;
    uint64_t key = 0;
    void *f = NULL;
    while (map_u64_next(x->fates, &pos, &key, &f))
        free(f);
    map_u64_free(&x->fates);
}

static struct outcome outcome_of(const struct lease_item *it)
{
    struct outcome o = {.kind = OUTCOME_END,
                        .contact_id = it->contact_id,
                        .campaign_num = it->campaign_num,
                        .group_num = it->group_num,
                        .credential_num = it->credential_num,
                        .lane = it->lane,
                        .key = it->key,
                        .in_queue = it->in_queue,
                        .was_deferred = it->was_deferred,
                        .attempts = it->attempts,
                        .tries = it->tries + 1,
                        .resends = it->resends,
                        .first_at = it->first_at,
                        .expires_at = it->expires_at,
                        .has_attempt = true};
    ptrdiff_t at = str_rchr(it->key, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(it->key, (size_t)at + 1);
    o.provider =
        str_of(provider_name(providers_builtin(), provider_of_domain(providers_builtin(), domain)));
    o.a.message_id = it->message_id;
    o.a.n = it->tries + 1;
    return o;
}

static bool add(struct recovery *x, struct db *db, const struct outcome *o, struct err *e)
{
    bool suppressed = false;
    return results_add(x->core->results, db, o, clock_wall_ms(), &suppressed, e);
}

static void later(struct recovery *x, struct outcome *o, enum verdict v, bool is_resend)
{
    struct retry_ask ask = {.verdict = v,
                            .lane = o->lane,
                            .attempts = o->attempts,
                            .first_at = o->first_at,
                            .expires_at = o->expires_at,
                            .random = rand_u64(&x->core->rand)};
    struct step st;
    retry_round_over(&ask, core_steady(x->core), &st);
    o->kind = OUTCOME_LATER;
    o->queue_why = o->a.why;
    o->due = is_resend ? core_steady(x->core) + 60000 : st.due;
    o->attempts += !is_resend;
    o->resends += is_resend;
    if (st.kind == STEP_END && !is_resend) {
        o->kind = OUTCOME_END;
        o->a.state = st.state;
    }
}

static bool settle_uncertain(struct recovery *x, struct db *db, const struct lease_item *it,
                             const struct journal_record *r, struct err *e);

static bool settle_outcome(struct recovery *x, struct db *db, const struct lease_item *it,
                           const struct journal_record *r, struct err *e)
{
    if (r->verdict == VERDICT_UNCERTAIN)
        return settle_uncertain(x, db, it, r, e);
    struct outcome o = outcome_of(it);
    o.a.state = (enum message_state)r->state;
    o.a.verdict = (enum verdict)r->verdict;
    o.a.hard = r->hard;
    o.a.phase = PHASE_DOT;
    o.a.server_num = r->server_num;
    o.a.code = r->code;
    o.a.at = r->at;
    o.a.rule = STR("journal");
    o.a.why = STR("read from the journal after a crash");
    o.took = r->verdict == VERDICT_ACCEPTED || r->verdict == VERDICT_UNCERTAIN ||
             map_u64_get(x->counts_all, r->server_num);
    o.took_at = r->at;
    o.provisional_until = r->hard ? clock_wall_ms() + PROVISIONAL_MS : 0;
    if (!message_state_is_final(o.a.state))
        later(x, &o, o.a.verdict, false);
    x->n_outcomes++;
    return add(x, db, &o, e);
}

static bool settle_uncertain(struct recovery *x, struct db *db, const struct lease_item *it,
                             const struct journal_record *r, struct err *e)
{
    struct outcome o = outcome_of(it);
    o.a.state = MESSAGE_UNCERTAIN; /* without a record too: the journal that would tell is lost */
    o.a.verdict = VERDICT_UNCERTAIN;
    o.a.phase = PHASE_DOT;
    o.a.server_num = r ? r->server_num : 0;
    o.a.at = r ? r->at : core_steady(x->core);
    o.a.rule = STR("journal");
    o.a.why = r ? STR("this daemon ended between its dot and the reply")
                : STR("the journal was lost: it may have been sent");
    o.took = r != NULL;
    o.took_at = o.a.at;
    tell_uncertain(x, it->message_id);
    bool again = it->lane == LANE_TRANSACTIONAL && it->resends < UNCERTAIN_RESENDS &&
                 (!it->expires_at || it->expires_at > core_steady(x->core) + 60000);
    if (again)
        later(x, &o, VERDICT_UNCERTAIN, true);
    return add(x, db, &o, e);
}

/* A record of an attempt that the database does not know. Its number may be more than one ahead:
 * a refusal at MAIL leaves no record here, and its row may have come too late. */
static bool is_ahead(const struct journal_record *r, const struct lease_item *it)
{
    uint8_t d = (uint8_t)(r->n - (uint8_t)it->tries);
    return d >= 1 && d <= 127;
}

/* *open_out: the message is not settled and goes on. */
static bool settle_item(struct recovery *x, struct db *db, const struct lease_item *it,
                        bool *open_out, struct err *e)
{
    struct fate *f = map_u64_get(x->fates, it->message_id);
    const struct journal_record *r = f ? &f->r : NULL;
    *open_out = false;
    if (x->health >= JOURNAL_LOST)
        return settle_uncertain(x, db, it, r && is_ahead(r, it) ? r : NULL, e);
    if (r && is_ahead(r, it)) { /* the journal knows more than the database */
        if (r->kind == JOURNAL_OUTCOME)
            return settle_outcome(x, db, it, r, e);
        if (r->kind == JOURNAL_INTENT)
            return settle_uncertain(x, db, it, r, e);
    }
    *open_out = true;
    tell_ready(x, it->message_id);
    return true;
}

static bool settle_lease(struct recovery *x, struct db *db, uint64_t first_id, struct err *e)
{
    struct lease *l = NULL;
    bool any_open = false;
    if (!outbox_load(db, first_id, &l, e))
        return false;
    bool ok = true;
    for (uint32_t i = 0; ok && i < l->n; i++) {
        bool is_open = false;
        ok = settle_item(x, db, &l->items[i], &is_open, e);
        any_open |= is_open;
    }
    /* Messages of the queue still stand there: their lease is simply over. */
    if (ok && (!any_open || !l->campaign_num))
        ok = outbox_close(db, first_id, l->campaign_num != 0, e);
    lease_free(&l);
    return ok;
}

static bool read_counts(struct recovery *x, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT num FROM server WHERE counts <> $1", e);
    bool row = true, ok = s != NULL;
    if (s)
        db_bind_i64(s, 1, COUNTS_ACCEPTED);
    while (ok && (ok = db_step(s, &row, e)) && row)
        map_u64_set(x->counts_all, (uint64_t)db_i64(s, 0), x);
    if (s)
        db_reset(s);
    return ok;
}

static bool settle_all(struct recovery *x, struct db *db, struct err *e)
{
    uint64_t *ids = NULL;
    size_t n = 0;
    bool ok = outbox_open_leases(db, &ids, &n, e);
    for (size_t i = 0; ok && i < n; i++) {
        ok = db_begin(db, e) && settle_lease(x, db, ids[i], e) &&
             results_flush(x->core->results, db, e) && db_commit(db, e);
        if (!ok && db_in_transaction(db))
            db_rollback(db);
    }
    free(ids);
    return ok;
}

static bool park_open_leases(struct core *c, struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT first_id, campaign_num FROM lease WHERE open = 1 AND "
                             "campaign_num <> 0 ORDER BY first_id DESC",
                             e);
    bool row = true, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        uint32_t num = (uint32_t)db_i64(s, 1);
        struct run *r = campaigner_run(c, num);
        if (!r) { /* its content comes with campaigner_reload */
            r = alloc_one(struct run);
            r->num = num;
            r->state = RUN_PAUSED;
            map_u64_set(c->runs, num, r);
        }
        campaigner_park_lease(r, (uint64_t)db_i64(s, 0));
    }
    if (s)
        db_reset(s);
    return ok;
}

static void journal_dir(const struct core *c, char *out, size_t size)
{
    snprintf(out, size, "%s/journal", c->cfg->data_dir);
}

static void on_durable(void *arg)
{
    wake_signal(((struct core *)arg)->journal_wake);
}

static bool set_epoch(struct core *c, struct db *db, struct err *e)
{
    bool ok = db_begin(db, e) && settings_set_i64(db, "journal_epoch", (int64_t)c->epoch, e) &&
              settings_set_i64(db, "unclean", 1, e) &&
              (!c->restored_held || settings_set(db, "pause", STR("1"), e)) && db_commit(db, e);
    if (!ok && db_in_transaction(db))
        db_rollback(db);
    return ok;
}

/* ---- after an unclean start the ledger is checked; what it finds is told, nothing is held */

struct checking {
    char *texts[CHECK_EVENTS_MAX];
    size_t n;
};

static void on_finding(void *arg, const char *text)
{
    struct checking *k = arg;
    log_event(LOG_ERROR, "ledger.finding", "%s", text);
    if (k->n < CHECK_EVENTS_MAX)
        k->texts[k->n++] = alloc_copy(text);
}

static bool keep_findings(struct core *c, struct db *db, const struct checking *k, struct err *e)
{
    bool ok = db_begin(db, e);
    for (size_t i = 0; ok && i < k->n; i++) {
        int64_t now = clock_wall_ms();
        struct event ev = {.id = ids_next(&c->ids, now),
                           .at = now,
                           .kind = STR("ledger.finding"),
                           .subject = STR("ledger"),
                           .reason = str_of(k->texts[i])};
        ok = events_append(db, &ev, e);
    }
    ok = ok && db_commit(db, e);
    if (!ok && db_in_transaction(db))
        db_rollback(db);
    return ok;
}

static void check_ledger(struct core *c, struct db *db)
{
    struct checking k = {.n = 0};
    struct stat st;
    struct err e = {0};
    size_t n = 0;
    int64_t start = clock_boot_ms();
    if (stat(db_path(db), &st) == 0 && st.st_size > CHECK_BYTES_MAX) {
        log_event(LOG_NOTICE, "ledger.unchecked",
                  "the database is large: `postfleet db check --ledger` looks at all of it");
        return;
    }
    bool ok =
        ledger_check(db, on_finding, &k, &n, &e) && (k.n == 0 || keep_findings(c, db, &k, &e));
    if (!ok)
        log_event(LOG_ERROR, "ledger.unchecked", "%s", e.text);
    else
        log_event(LOG_NOTICE, "ledger.checked", "%zu findings, %lld ms", n,
                  (long long)(clock_boot_ms() - start));
    for (size_t i = 0; i < k.n; i++)
        free(k.texts[i]);
}

bool recover_ledger(struct core *c, struct db *db, struct err *e)
{
    char dir[4200];
    int64_t epoch = 0, unclean = 0;
    journal_dir(c, dir, sizeof dir);
    if (!settings_get_i64(db, "journal_epoch", 0, &epoch, e) ||
        !settings_get_i64(db, "unclean", 0, &unclean, e))
        return false;
    struct recovery x = {.core = c, .fates = map_u64_new(), .counts_all = map_u64_new()};
    struct journal_config cfg = {
        .dir = dir, .epoch = (uint64_t)epoch, .on_durable = on_durable, .arg = c};
    struct journal *old = NULL;
    bool ok = journal_open(&cfg, epoch != 0 && unclean, on_record, &x, &old, &x.health, e);
    if (ok && x.health == JOURNAL_LOST)
        log_event(LOG_ERROR, "journal.lost",
                  "%s is damaged or missing: what was leased and has no "
                  "result is uncertain",
                  dir);
    if (ok && x.health == JOURNAL_AHEAD) {
        c->restored_held = true;
        log_event(LOG_ERROR, "database.restored",
                  "the database is older than the journal in %s: what was leased is uncertain, and "
                  "sending is held",
                  dir);
    }
    uint64_t seen = ok ? journal_epoch_seen(old) : 0;
    ok = ok && read_counts(&x, db, e) && settle_all(&x, db, e);
    if (ok && (x.n_outcomes || x.n_uncertain || x.n_ready || unclean))
        log_event(LOG_NOTICE, "engine.recovered",
                  "%zu results from the journal, %zu uncertain, %zu messages go on", x.n_outcomes,
                  x.n_uncertain, x.n_ready);
    if (ok && unclean)
        check_ledger(c, db);
    tell_end(&x);
    free_fates(&x);
    map_u64_free(&x.counts_all);
    journal_close(&old);
    c->epoch = MAX((uint64_t)epoch, seen) + 1;
    cfg.epoch = c->epoch;
    enum journal_health health = JOURNAL_NEW;
    return ok && set_epoch(c, db, e) &&
           journal_open(&cfg, false, NULL, NULL, &c->journal, &health, e) &&
           journal_start(c->journal, e) && park_open_leases(c, db, e);
}
