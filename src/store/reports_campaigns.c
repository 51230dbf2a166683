/* Campaigns and their figures as JSON. The sum rule: recipients = sent + bounced + failed +
 * uncertain + suppressed + cancelled + expired + pending holds in every snapshot, because all comes
 * from one read transaction and pending is what is left. */
#include "base/alloc.h"
#include "base/clock.h"
#include "model/campaign.h"
#include "store/reports.h"
#include "store/reports_parts.h"
#include "store/tally.h"

#include <stdlib.h>

#define KINDS 32

#define CAMPAIGN_COLUMNS                                                                           \
    "c.name, c.num, c.id, c.state, c.state_reason, l.name, t.name, g.name, c.lane,"                \
    " c.from_address, c.reply_to, c.deadline, c.recipients, c.created_at, c.started_at,"           \
    " c.finished_at, c.group_num, c.tags"
#define CAMPAIGN_FROM                                                                              \
    " FROM campaign c LEFT JOIN list l ON l.id = c.list_id"                                        \
    " LEFT JOIN template t ON t.id = c.template_id"                                                \
    " LEFT JOIN server_group g ON g.num = c.group_num"

enum {
    C_NAME,
    C_NUM,
    C_ID,
    C_STATE,
    C_REASON,
    C_LIST,
    C_TEMPLATE,
    C_GROUP,
    C_LANE,
    C_FROM,
    C_REPLY_TO,
    C_DEADLINE,
    C_RECIPIENTS,
    C_CREATED,
    C_STARTED,
    C_FINISHED,
    C_GROUP_NUM,
    C_TAGS
};

/* What core says about a campaign: {"num","stalled","reason"}. */
static const json_t *live_of(const json_t *live, int64_t num)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(live, "campaigns"), i, item)
    {
        if (json_integer_value(json_object_get(item, "num")) == num)
            return item;
    }
    return NULL;
}

/* Stalled is never stored: core says that a running campaign can send nothing. */
static const char *state_of(enum campaign_state stored, const json_t *live)
{
    bool is_stalled = json_is_true(json_object_get(live, "stalled"));
    if (stored == CAMPAIGN_RUNNING && is_stalled)
        return campaign_state_name(CAMPAIGN_STALLED);
    return campaign_state_name(stored);
}

static json_t *reason_of(struct stmt *s, const json_t *live)
{
    const char *now = json_string_value(json_object_get(live, "reason"));
    if (now && *now && db_i64(s, C_STATE) == CAMPAIGN_RUNNING)
        return json_string(now);
    return part_column(s, C_REASON);
}

struct campaigns_wanted {
    const json_t *live;
    const char *state; /* as shown, so stalled too; NULL: any */
};

static json_t *campaign_json(void *arg, struct db *db, struct stmt *s)
{
    (void)db;
    const struct campaigns_wanted *wanted = arg;
    const json_t *live = live_of(wanted->live, db_i64(s, C_NUM));
    const char *state = state_of((enum campaign_state)db_i64(s, C_STATE), live);
    if (wanted->state && strcmp(wanted->state, state) != 0)
        return NULL;
    json_t *group = db_i64(s, C_GROUP_NUM) ? part_column(s, C_GROUP) : json_null();
    return json_pack(
        "{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o}", "name",
        part_column(s, C_NAME), "id", part_id("cmp", (uint64_t)db_i64(s, C_ID)), "state", state,
        "reason", reason_of(s, live), "list", part_column(s, C_LIST), "template",
        part_column(s, C_TEMPLATE), "group", group, "stream",
        lane_name((enum lane)db_i64(s, C_LANE)), "from", part_column(s, C_FROM), "reply_to",
        part_column(s, C_REPLY_TO), "deadline", part_time(db_i64(s, C_DEADLINE)), "recipients",
        (json_int_t)db_i64(s, C_RECIPIENTS), "created_at", part_time(db_i64(s, C_CREATED)),
        "started_at", part_time(db_i64(s, C_STARTED)), "finished_at",
        part_time(db_i64(s, C_FINISHED)), "tags", part_lines(s, C_TAGS));
}

/* All rows are looked at until the page is full: the state that is shown is not in the table. */
bool report_campaigns(struct db *db, const struct report_page *p, const json_t *live, json_t **out,
                      struct err *e)
{
    struct campaigns_wanted wanted = {.live = live, .state = p->filter};
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    struct stmt *s = db_stmt(
        db, "SELECT " CAMPAIGN_COLUMNS CAMPAIGN_FROM " WHERE c.name > $1 ORDER BY c.name", e);
    if (s)
        db_bind_cstr(s, 1, p->after ? p->after : "");
    bool ok = s && part_page(db, s, part_limit(p), C_NAME, campaign_json, &wanted, out, e);
    part_end(db, begun);
    return ok;
}

bool report_campaign(struct db *db, const char *name, const json_t *live, json_t **out,
                     struct err *e)
{
    struct campaigns_wanted wanted = {.live = live};
    return part_select_one(db, "SELECT " CAMPAIGN_COLUMNS CAMPAIGN_FROM " WHERE c.name = $1",
                           "campaign", name, campaign_json, &wanted, out, e);
}

/* ---- figures ---- */

struct by_server {
    int64_t num;
    int64_t n[KINDS];
    double planned;
};

struct by_provider {
    char name[64];
    int64_t n[KINDS];
};

struct figures {
    int64_t num, state, recipients, started_at, finished_at;
    int64_t n[KINDS];
    struct plan plan;
    struct by_server *servers;
    size_t n_servers;
    struct by_provider *providers;
    size_t n_providers;
};

static struct by_server *server_of(struct figures *f, int64_t num)
{
    for (size_t i = 0; i < f->n_servers; i++)
        if (f->servers[i].num == num)
            return &f->servers[i];
    f->servers = alloc_resize(f->servers, (f->n_servers + 1) * sizeof(*f->servers));
    f->servers[f->n_servers] = (struct by_server){.num = num};
    return &f->servers[f->n_servers++];
}

static struct by_provider *provider_of(struct figures *f, struct str name)
{
    for (size_t i = 0; i < f->n_providers; i++)
        if (str_is(name, f->providers[i].name))
            return &f->providers[i];
    f->providers = alloc_resize(f->providers, (f->n_providers + 1) * sizeof(*f->providers));
    struct by_provider *p = &f->providers[f->n_providers++];
    *p = (struct by_provider){.name = ""};
    str_copy(name, p->name, sizeof(p->name));
    return p;
}

static bool read_tally(struct db *db, struct figures *f, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT server_num, provider, kind, n FROM tally WHERE campaign_num = $1", e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, f->num);
    while ((ok = db_step(s, &row, e)) && row) {
        int64_t server = db_i64(s, 0), kind = db_i64(s, 2);
        struct str provider = db_text(s, 1);
        if (kind < 1 || kind >= KINDS)
            continue;
        if (server && !provider.n)
            server_of(f, server)->n[kind] += db_i64(s, 3);
        else if (provider.n && !server)
            provider_of(f, provider)->n[kind] += db_i64(s, 3);
        else if (!provider.n)
            f->n[kind] += db_i64(s, 3);
    }
    db_reset(s);
    return ok;
}

/* A server can be in several groups; where one of them finds its shares by itself nothing is
 * planned for it. */
static void add_planned(void *arg, int64_t server_num, double share)
{
    struct by_server *b = server_of(arg, server_num);
    b->planned = share < 0 || b->planned < 0 ? -1 : b->planned + share;
}

static bool read_plan(struct db *db, struct figures *f, const json_t *given, struct err *e)
{
    bool ok = plan_read(db, f->num, given, &f->plan, e);
    for (size_t i = 0; ok && i < f->plan.n; i++)
        if (f->plan.groups[i].share > 0)
            ok = plan_servers(db, &f->plan.groups[i], add_planned, f, e);
    return ok;
}

static json_t *server_name(struct db *db, int64_t num)
{
    struct err e;
    struct stmt *s = db_stmt(db, "SELECT name, removed_at FROM server WHERE num = $1", &e);
    bool row = false;
    if (!s)
        return json_null();
    db_bind_i64(s, 1, num);
    if (!db_step(s, &row, &e) || !row)
        return json_sprintf("#%lld", (long long)num);
    json_t *j = part_name(s, 0, 1);
    db_reset(s);
    return j;
}

double part_share(double x)
{
    return (double)(int64_t)(x * 10000 + 0.5) / 10000;
}

static json_t *servers_json(struct db *db, const struct figures *f)
{
    json_t *all = json_array();
    int64_t sent = 0;
    for (size_t i = 0; i < f->n_servers; i++)
        sent += f->servers[i].n[TALLY_SENT];
    for (size_t i = 0; i < f->n_servers; i++) {
        const struct by_server *b = &f->servers[i];
        double share = sent ? (double)b->n[TALLY_SENT] / (double)sent : 0;
        json_array_append_new(
            all, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "server",
                           server_name(db, b->num), "sent", (json_int_t)b->n[TALLY_SENT],
                           "deferred", (json_int_t)b->n[TALLY_DEFERRED], "failed",
                           (json_int_t)(b->n[TALLY_FAILED] + b->n[TALLY_FAILOVER]), "bounced_hard",
                           (json_int_t)b->n[TALLY_BOUNCED_HARD], "bounced_soft",
                           (json_int_t)b->n[TALLY_BOUNCED_SOFT], "uncertain",
                           (json_int_t)b->n[TALLY_UNCERTAIN], "share", part_share(share),
                           "planned_share",
                           b->planned < 0 ? json_null() : json_real(part_share(b->planned))));
    }
    return all;
}

static json_t *providers_json(const struct figures *f)
{
    json_t *all = json_array();
    for (size_t i = 0; i < f->n_providers; i++) {
        const struct by_provider *p = &f->providers[i];
        json_array_append_new(all, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "provider",
                                             part_text(str_of(p->name)), "sent",
                                             (json_int_t)p->n[TALLY_SENT], "failed",
                                             (json_int_t)p->n[TALLY_FAILED], "bounced_hard",
                                             (json_int_t)p->n[TALLY_BOUNCED_HARD], "bounced_soft",
                                             (json_int_t)p->n[TALLY_BOUNCED_SOFT], "uncertain",
                                             (json_int_t)p->n[TALLY_UNCERTAIN]));
    }
    return all;
}

/* Ends a second since the start, while it runs as core sees it. */
static double rate_of(const struct figures *f, const json_t *live, int64_t ends, int64_t wall_ms)
{
    const json_t *now = json_object_get(live, "rate_per_s");
    if (f->state == CAMPAIGN_RUNNING && json_is_number(now))
        return json_number_value(now);
    int64_t until = f->finished_at ? f->finished_at : wall_ms;
    int64_t ms = MAX((int64_t)1, until - f->started_at);
    return f->started_at ? (double)ends * 1000 / (double)ms : 0;
}

/* Nothing of a running campaign is in memory: what is left was tried and waits for its next try. */
static json_t *deferred_reason(struct db *db, const struct figures *f, int64_t wall_ms)
{
    struct err e;
    char at[40];
    struct stmt *s = db_stmt(
        db, "SELECT count(*), min(due) FROM queue WHERE campaign_num = $1 AND due < $2", &e);
    bool row = false;
    json_t *reason = NULL;
    if (!s)
        return NULL;
    db_bind_i64(s, 1, f->num);
    db_bind_i64(s, 2, INT64_MAX);
    if (db_step(s, &row, &e) && row && db_i64(s, 0) && db_i64(s, 1) > wall_ms) {
        clock_format(db_i64(s, 1), at);
        reason = json_sprintf("waiting: %lld messages were deferred, the next one is tried %s",
                              (long long)db_i64(s, 0), at);
    }
    db_reset(s);
    return reason;
}

static json_t *figures_json(struct db *db, struct stmt *s, struct figures *f, const json_t *live,
                            int64_t wall_ms)
{
    const int64_t *n = f->n;
    int64_t ends = n[TALLY_SENT] + n[TALLY_BOUNCED_HARD] + n[TALLY_BOUNCED_SOFT] + n[TALLY_FAILED] +
                   n[TALLY_UNCERTAIN] + n[TALLY_SUPPRESSED] + n[TALLY_EXPIRED];
    int64_t cancelled = n[TALLY_CANCELLED], pending = f->recipients - ends - cancelled;
    int64_t deferred = n[TALLY_DEFERRED];
    if (f->state == CAMPAIGN_CANCELLED) { /* one flag: what has no other end is cancelled */
        cancelled = f->recipients - ends;
        pending = deferred = 0;
    }
    deferred = MAX((int64_t)0, MIN(deferred, pending));
    const json_t *now = live_of(live, f->num);
    double rate = rate_of(f, now, ends, wall_ms);
    json_t *j = json_pack(
        "{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
        part_column(s, C_NAME), "state", state_of((enum campaign_state)f->state, now), "recipients",
        (json_int_t)f->recipients, "pending", (json_int_t)pending, "deferred", (json_int_t)deferred,
        "sent", (json_int_t)n[TALLY_SENT], "delivered", (json_int_t)n[TALLY_DELIVERED], "bounced",
        "hard", (json_int_t)n[TALLY_BOUNCED_HARD], "soft", (json_int_t)n[TALLY_BOUNCED_SOFT],
        "bounced_later", (json_int_t)n[TALLY_BOUNCED_LATER], "failed", (json_int_t)n[TALLY_FAILED],
        "uncertain", (json_int_t)n[TALLY_UNCERTAIN], "suppressed", (json_int_t)n[TALLY_SUPPRESSED],
        "cancelled", (json_int_t)cancelled, "expired", (json_int_t)n[TALLY_EXPIRED]);
    json_t *more = json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:f, s:o, s:o, s:o, s:o}", "opened",
                             (json_int_t)n[TALLY_OPENED], "clicked", (json_int_t)n[TALLY_CLICKED],
                             "complained", (json_int_t)n[TALLY_COMPLAINED], "unsubscribed",
                             (json_int_t)n[TALLY_UNSUBSCRIBED], "started_at",
                             part_time(f->started_at), "finished_at", part_time(f->finished_at),
                             "rate_per_s", (double)(int64_t)(rate * 10 + 0.5) / 10, "by_server",
                             servers_json(db, f), "by_provider", providers_json(f), "by_group",
                             plan_groups_json(db, &f->plan), "reason", reason_of(s, now));
    json_object_update(j, more);
    json_decref(more);
    const char *reason = json_string_value(json_object_get(j, "reason"));
    bool idle = now && json_integer_value(json_object_get(now, "ready")) == 0 && pending > 0;
    json_t *why = f->state == CAMPAIGN_RUNNING && idle && !(reason && *reason)
                      ? deferred_reason(db, f, wall_ms)
                      : NULL;
    if (why)
        json_object_set_new(j, "reason", why);
    return j;
}

static int by_num(const void *a, const void *b)
{
    const struct by_server *x = a, *y = b;
    return x->num < y->num ? -1 : x->num > y->num;
}

static bool collect(struct db *db, const char *name, const json_t *live, const json_t *plan,
                    int64_t wall_ms, json_t **out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT " CAMPAIGN_COLUMNS CAMPAIGN_FROM " WHERE c.name = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "campaign", name, e))
        return false;
    struct figures f = {.num = db_i64(s, C_NUM),
                        .state = db_i64(s, C_STATE),
                        .recipients = db_i64(s, C_RECIPIENTS),
                        .started_at = db_i64(s, C_STARTED),
                        .finished_at = db_i64(s, C_FINISHED)};
    bool ok = read_tally(db, &f, e) && read_plan(db, &f, plan, e);
    if (ok) {
        if (f.n_servers)
            qsort(f.servers, f.n_servers, sizeof(*f.servers), by_num);
        *out = figures_json(db, s, &f, live, wall_ms);
    }
    db_reset(s);
    plan_free(&f.plan);
    free(f.servers);
    free(f.providers);
    return ok;
}

bool report_campaign_figures(struct db *db, const char *name, const json_t *live,
                             const json_t *plan, int64_t wall_ms, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    bool ok = collect(db, name, live, plan, wall_ms, out, e);
    part_end(db, begun);
    return ok;
}

bool report_running(struct db *db, uint64_t limit, json_t **names_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT name FROM campaign WHERE state IN (2, 3)"
                             " ORDER BY started_at DESC LIMIT $1",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    *names_out = json_array();
    db_bind_i64(s, 1, (int64_t)limit);
    while ((ok = db_step(s, &row, e)) && row)
        json_array_append_new(*names_out, part_column(s, 0));
    db_reset(s);
    if (!ok)
        json_decref(*names_out);
    return ok;
}
