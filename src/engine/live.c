/* Looking at what is in memory: servers, queue classes and what limits them, campaigns. */
#include "base/alloc.h"
#include "engine/cells.h"
#include "engine/limiting.h"
#include "engine/state.h"
#include "fleet/cells.h"
#include "fleet/glance.h"

#include <stdio.h>
#include <stdlib.h>

#define STILL_MS    2000 /* a campaign that sent nothing for so long waits */
#define GROUPS_MOST 64   /* of a server */

static json_t *time_or_null(struct core *c, int64_t steady)
{
    char text[32];
    if (steady <= 0 || steady == INT64_MAX)
        return json_null();
    clock_format(steady - core_steady(c) + clock_wall_ms(), text);
    return json_string(text);
}

/* name: instead of the window's; NULL: the window's. */
static void add_quota(struct core *c, struct quota *q, const char *name, json_t *out)
{
    int64_t now = core_steady(c);
    for (int w = 0; q && w < QUOTA_WINDOWS; w++) {
        if (!q->lines[w].limit)
            continue;
        int64_t free_at = quota_free_at(q, (enum quota_window)w, now);
        json_array_append_new(
            out, json_pack("{s:s,s:I,s:I,s:o}", "window",
                           name ? name : quota_window_name((enum quota_window)w), "used",
                           (json_int_t)quota_used(q, (enum quota_window)w, now), "limit",
                           (json_int_t)q->lines[w].limit, "free_at",
                           free_at > now ? time_or_null(c, free_at) : json_null()));
    }
}

static json_t *quota_lines(struct core *c, struct quota *q)
{
    json_t *out = json_array();
    add_quota(c, q, NULL, out);
    return out;
}

/* Its own windows, and the cap of the day while it warms up. */
static json_t *server_quota(struct core *c, uint16_t num)
{
    struct limit_key warmup = {LIMIT_WARMUP, num, 0};
    json_t *out = quota_lines(c, fleet_quota(c->fleet, num));
    add_quota(c, fleet_limit(c->fleet, &warmup), "warmup", out);
    return out;
}

static json_t *number_or_null(int64_t v)
{
    return v < 0 ? json_null() : json_integer(v);
}

/* Of its effective weight, each with its reason. */
static json_t *factors_of(struct core *c, uint16_t num)
{
    json_t *all = json_array();
    for (int k = 0; k < FACTORS; k++) {
        double value = 1;
        const char *reason = "";
        if (fleet_factor(c->fleet, num, (enum factor)k, &value, &reason))
            json_array_append_new(all, json_pack("{s:s, s:f, s:s}", "factor",
                                                 factor_name((enum factor)k), "value", value,
                                                 "reason", reason));
    }
    return all;
}

/* Where it rests by rotation; when it does everywhere, that is its reason. */
static void add_resting(struct core *c, uint16_t num, json_t *j)
{
    uint32_t groups[GROUPS_MOST];
    bool all = false;
    int64_t until = INT64_MAX;
    json_t *names = json_array();
    size_t n = fleet_resting_in(c->fleet, num, groups, countof(groups), &all);
    for (size_t i = 0; i < n; i++) {
        struct rotation_glance r;
        const char *name = map_u64_get(c->group_names, groups[i]);
        if (name)
            json_array_append_new(names, json_string(name));
        if (fleet_rotation(c->fleet, groups[i], &r) && r.changes_at)
            until = MIN(until, r.changes_at);
    }
    json_object_set_new(j, "resting", names);
    json_object_set_new(j, "rests", json_boolean(all));
    const char *reason = json_string_value(json_object_get(j, "reason"));
    if (!all || (reason && *reason))
        return;
    json_object_set_new(j, "reason", json_string("rests by rotation"));
    json_object_set_new(j, "until", time_or_null(c, until));
}

/* A server that is well, but not for everybody, says so. */
static void add_cells(struct core *c, uint16_t num, enum oper_state state, json_t *j)
{
    json_t *cells = cells_json(c, num), *one;
    struct buf why;
    size_t i;
    buf_init(&why, 1024);
    json_array_foreach(cells, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "state")), "degraded"))
            buf_addf(&why, "%s%s", why.n ? ", " : "not for ",
                     json_string_value(json_object_get(one, "provider")));
    }
    if (state == OPER_HEALTHY && why.n)
        json_object_set_new(j, "reason", json_stringn(why.p, why.n));
    buf_free(&why);
    json_object_set_new(j, "cells", cells);
}

/* What throttling taught; null: nothing. */
static json_t *pace_of(struct core *c, const struct server_view *v)
{
    if (v->pace_per_s <= 0)
        return json_null();
    return json_pack("{s:f, s:f, s:o, s:s}", "per_second", v->pace_per_s, "accepted_per_second",
                     v->pace_seen_per_s, "until", time_or_null(c, v->pace_until), "reason",
                     v->pace_reason);
}

json_t *live_server(struct core *c, struct outlet *o)
{
    struct server_view v;
    if (!fleet_view(c->fleet, o->num, core_steady(c), &v))
        return NULL;
    uint32_t weight = 1;
    json_t *j = json_pack("{s:i,s:s,s:s,s:o,s:i,s:i,s:I,s:o,s:f,s:o,s:o,s:I,s:I,s:i}", "num",
                          o->num, "state", oper_state_name(v.state), "reason", v.reason, "until",
                          time_or_null(c, v.until), "in_flight", (int)v.in_flight, "connections",
                          (int)o->n_sessions, "sent", (json_int_t)v.answered, "quota",
                          server_quota(c, o->num), "effective_weight", v.effective_weight * weight,
                          "latency_ms_p50", number_or_null(v.latency_p50_ms), "latency_ms_p95",
                          number_or_null(v.latency_p95_ms), "handshakes", (json_int_t)o->handshakes,
                          "resumed", (json_int_t)o->resumed, "backlog", (int)o->n_backlog);
    if (j) {
        json_object_set_new(j, "refusals", whose_figures(c, o->num));
        json_object_set_new(j, "factors", factors_of(c, o->num));
        add_resting(c, o->num, j);
        add_cells(c, o->num, v.state, j);
        json_object_set_new(j, "pace", pace_of(c, &v));
    }
    return j;
}

json_t *live_limits(struct core *c)
{
    json_t *all = json_array();
    for (size_t i = 0; i < c->n_limits; i++) {
        const struct limit_row *l = &c->limits[i];
        struct limit_key k = limiting_key(l);
        json_array_append_new(all,
                              json_pack("{s:s, s:I, s:s, s:o}", "kind", limit_kind_name(k.kind),
                                        "num", (json_int_t)l->num, "provider", l->provider, "quota",
                                        quota_lines(c, fleet_limit(c->fleet, &k))));
    }
    return json_pack("{s:o}", "limits", all);
}

static json_t *rotations(struct core *c)
{
    json_t *all = json_array();
    size_t pos = 0;
    uint64_t num = 0;
    void *name = NULL;
    while (map_u64_next(c->group_names, &pos, &num, &name)) {
        struct rotation_glance r;
        if (fleet_rotation(c->fleet, (uint32_t)num, &r))
            json_array_append_new(
                all, json_pack("{s:s, s:i, s:o, s:o}", "group", (const char *)name, "active",
                               (int)r.active, "changes_at", time_or_null(c, r.changes_at),
                               "messages_left",
                               r.messages_left ? json_integer((json_int_t)r.messages_left)
                                               : json_null()));
    }
    return all;
}

static void add_server(struct core *c, int64_t num, json_t *servers)
{
    struct outlet *o = num >= 0 && num < (int64_t)c->n_outlets ? c->outlets[num] : NULL;
    json_t *j = o && o->server && !o->is_removed ? live_server(c, o) : NULL;
    if (j)
        json_array_append_new(servers, j);
}

static int by_number(const void *a, const void *b)
{
    return *(const int64_t *)a < *(const int64_t *)b ? -1
                                                     : *(const int64_t *)a > *(const int64_t *)b;
}

/* Of args.nums; of all where none are given. In order of num, for those who look one up. */
json_t *live_fleet(struct core *c, const json_t *args)
{
    json_t *servers = json_array(), *nums = json_object_get(args, "nums");
    size_t n = json_is_array(nums) ? json_array_size(nums) : c->n_outlets;
    int64_t *of = alloc_many(int64_t, n + 1);
    for (size_t i = 0; i < n; i++)
        of[i] = json_is_array(nums) ? json_integer_value(json_array_get(nums, i)) : (int64_t)i;
    qsort(of, n, sizeof *of, by_number);
    for (size_t i = 0; i < n; i++)
        add_server(c, of[i], servers);
    free(of);
    return json_pack("{s:o,s:o,s:b}", "servers", servers, "rotations", rotations(c), "common_cause",
                     fleet_in_common_cause(c->fleet));
}

/* Limits of mailbox providers are numbers to the fleet: here they have names. */
static void say_why(const struct class *k, char *out, size_t size)
{
    static const char prefix[] = "provider: ";
    bool is_provider = !strncmp(k->why, prefix, sizeof prefix - 1);
    snprintf(out, size, "%s%s", is_provider ? provider_name(providers_builtin(), k->provider) : "",
             is_provider ? k->why + sizeof prefix - 3 : k->why);
}

static json_t *class_line(struct core *c, const struct class *k)
{
    const char *group = map_u64_get(c->group_names, k->group_num);
    struct run *r = k->campaign_num ? campaigner_run(c, k->campaign_num) : NULL;
    struct outlet *o = k->bound_server ? core_outlet(c, k->bound_server) : NULL;
    const char *bound = k->is_runnable || !k->n ? "none" : bound_name(k->bound);
    char why[400] = "";
    if (!k->is_runnable)
        say_why(k, why, sizeof why);
    return json_pack(
        "{s:s,s:s,s:s?,s:s,s:i,s:s,s:s?,s:o,s:s}", "lane", lane_name(k->lane), "group",
        group ? group : "", "campaign", r && r->content ? r->content->campaign_name : NULL,
        "provider", provider_name(providers_builtin(), k->provider), "ready", (int)k->n,
        "limited_by", bound, "server", o && o->server ? o->server->server->name : NULL, "until",
        heap_has(&k->parked) ? time_or_null(c, k->free_at) : json_null(), "why", why);
}

void live_sending_waits(struct core *c, char *out, size_t size)
{
    char why[640];
    int64_t since = ledger_stuck(c->ledger, why, sizeof why), now = clock_boot_ms();
    out[0] = 0;
    if (c->is_stopping)
        snprintf(out, size, "the daemon is stopping");
    else if (since)
        snprintf(out, size, "%s (since %lld s; it goes on by itself)", why,
                 (long long)((now - since) / 1000));
    else if (c->is_held)
        snprintf(out, size, "held: %s", c->held_why);
    else if (c->is_paused)
        snprintf(out, size, "paused by the user: `postfleet resume`");
    else if (fleet_in_common_cause(c->fleet))
        snprintf(out, size, "no server answers: network, DNS or disk of ours");
    else if (ledger_behind_ms(c->ledger, now) >= LEDGER_BEHIND_MS)
        snprintf(out, size, "the database is over a second behind: its disk is slow");
}

/* Adds a class to its line: classes that differ only in what a line does not show are one line,
 * with all their messages and the soonest time. */
static void add_class(struct core *c, json_t *lines, json_t *all, const struct class *k)
{
    static const char *const shown[] = {"lane",       "group",  "campaign", "provider",
                                        "limited_by", "server", "why"};
    json_t *line = class_line(c, k);
    struct buf key;
    buf_init(&key, 4096);
    for (size_t i = 0; i < countof(shown); i++) {
        const char *text = json_string_value(json_object_get(line, shown[i]));
        buf_addf(&key, "%s\n", text ? text : "");
    }
    buf_addc(&key, 0);
    json_t *first = json_object_get(lines, key.p);
    if (!first) {
        json_object_set(lines, key.p, line);
        json_array_append_new(all, line);
    } else {
        const char *a = json_string_value(json_object_get(first, "until"));
        const char *b = json_string_value(json_object_get(line, "until"));
        json_int_t n = json_integer_value(json_object_get(first, "ready")) + (json_int_t)k->n;
        json_object_set_new(first, "ready", json_integer(n));
        if (b && (!a || strcmp(b, a) < 0))
            json_object_set(first, "until", json_object_get(line, "until"));
        json_decref(line);
    }
    buf_free(&key);
}

/* By lane, group, campaign and provider; the most messages first among what is alike. */
static int compare_lines(const void *a, const void *b)
{
    static const char *const keys[] = {"group", "campaign", "provider"};
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    enum lane lanes[2] = {LANE_BULK, LANE_BULK};
    (void)lane_parse(json_string_value(json_object_get(x, "lane")), &lanes[0]);
    (void)lane_parse(json_string_value(json_object_get(y, "lane")), &lanes[1]);
    int by = (int)lanes[0] - (int)lanes[1];
    for (size_t i = 0; !by && i < countof(keys); i++) {
        const char *s = json_string_value(json_object_get(x, keys[i]));
        const char *t = json_string_value(json_object_get(y, keys[i]));
        by = strcmp(s ? s : "", t ? t : "");
    }
    json_int_t n = json_integer_value(json_object_get(x, "ready"));
    json_int_t m = json_integer_value(json_object_get(y, "ready"));
    return by ? by : n < m ? 1 : n > m ? -1 : 0;
}

static json_t *sorted(json_t *lines)
{
    size_t n = json_array_size(lines);
    json_t **at = alloc_many(json_t *, n + 1), *out = json_array();
    for (size_t i = 0; i < n; i++)
        at[i] = json_array_get(lines, i);
    qsort(at, n, sizeof *at, compare_lines);
    for (size_t i = 0; i < n; i++)
        json_array_append(out, at[i]);
    free(at);
    json_decref(lines);
    return out;
}

json_t *live_queue(struct core *c)
{
    json_t *classes = json_array(), *lines = json_object();
    char waits[800];
    size_t pos = 0;
    struct str key;
    void *v = NULL;
    while (map_str_next(c->classes, &pos, &key, &v))
        if (((struct class *)v)->n)
            add_class(c, lines, classes, v);
    json_decref(lines);
    live_sending_waits(c, waits, sizeof waits);
    return json_pack("{s:i,s:o,s:s}", "ready", (int)c->n_ready, "classes", sorted(classes),
                     "sending_waits", waits);
}

/* By order: how long the work of the longest transaction took, and how many took over 5 ms. */
static json_t *ledger_work(const struct ledger_stats *ls)
{
    static const char *const names[LEDGER_ORDERS] = {"accepts", "results", "admin", "slices",
                                                     "imports"};
    json_t *out = json_object();
    for (int i = 0; i < LEDGER_ORDERS; i++)
        json_object_set_new(out, names[i],
                            json_pack("{s:f,s:I}", "longest_ms", (double)ls->longest_us[i] / 1000,
                                      "over", (json_int_t)ls->over[i]));
    return out;
}

json_t *live_status(struct core *c)
{
    struct journal_stats js;
    struct ledger_stats ls;
    char since[32], waits[800];
    live_sending_waits(c, waits, sizeof waits);
    journal_stats(c->journal, &js);
    ledger_stats(c->ledger, &ls);
    clock_format(clock_wall_ms() - (loop_now_ms(c->loop) - c->started_boot), since);
    json_t *j = json_pack(
        "{s:b,s:s,s:b,s:b,s:s,s:b,s:s,s:i,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}",
        "ready", !c->is_stopping, "sending_waits", waits, "disk_full", ledger_disk_full(c->ledger),
        "paused", c->is_paused || c->is_held, "held_why", c->held_why, "common_cause",
        fleet_in_common_cause(c->fleet), "since", since, "messages_in_memory", (int)c->n_ready,
        "cancels_kept", c->cancelled ? (int)map_u64_count(c->cancelled) : 0, "sent",
        (json_int_t)c->sent, "uncertain", (json_int_t)c->uncertain, "failovers",
        (json_int_t)c->failovers, "ledger_behind_ms",
        (json_int_t)ledger_behind_ms(c->ledger, clock_boot_ms()), "ledger_results",
        (json_int_t)ls.results, "ledger_transactions", (json_int_t)ls.transactions, "db_syncs",
        (json_int_t)ls.db.syncs, "db_bytes", (json_int_t)ls.db.bytes_written, "db_rows",
        (json_int_t)ls.db.rows_changed, "journal_syncs", (json_int_t)js.syncs, "journal_bytes",
        (json_int_t)js.bytes, "cpu_us", (json_int_t)clock_cpu_us(), "ledger_work",
        ledger_work(&ls));
    json_object_set_new(j, "cells_closed", json_integer((json_int_t)fleet_cells_closed(c->fleet)));
    return j;
}

/* None of the groups that its ready messages go to can send; without ready ones: its own. */
static bool is_stalled(struct core *c, const struct run *r)
{
    size_t pos = 0;
    struct str key;
    void *v = NULL;
    bool any = false;
    while (map_str_next(c->classes, &pos, &key, &v)) {
        const struct class *k = v;
        if (!k->n || k->campaign_num != r->num)
            continue;
        if (!fleet_group_stalled(c->fleet, k->group_num, core_steady(c)))
            return false;
        any = true;
    }
    uint32_t group = r->group_num ? r->group_num : c->default_group;
    return any || fleet_group_stalled(c->fleet, group, core_steady(c));
}

/* What most of its messages wait for; NULL: it moves, or waits for nothing but free connections. */
static const struct class *waits_for(struct core *c, const struct run *r)
{
    const struct class *most = NULL;
    size_t pos = 0;
    struct str key;
    void *v = NULL;
    while (map_str_next(c->classes, &pos, &key, &v)) {
        const struct class *k = v;
        if (!k->n || k->campaign_num != r->num)
            continue;
        if (k->is_runnable || k->bound == BOUND_BUSY || k->bound == BOUND_NONE)
            return NULL;
        most = !most || k->n > most->n ? k : most;
    }
    return most;
}

/* Does this keep a group from sending at all, until somebody or its servers' health changes? */
static bool is_standing(enum bound b)
{
    return b == BOUND_HEALTH || b == BOUND_ADMIN || b == BOUND_NO_SERVER || b == BOUND_RESTING ||
           b == BOUND_FROM || b == BOUND_COMMON_CAUSE;
}

/* Why a campaign that runs sends nothing; "": it does, or has nothing ready. */
static void why_still(struct core *c, const struct run *r, bool stalled, char *out, size_t size)
{
    char until[32] = "", why[400] = "";
    live_sending_waits(c, out, size);
    if (out[0])
        return;
    bool moves = loop_now_ms(c->loop) - r->flowed_at < STILL_MS;
    const struct class *k = stalled || !moves ? waits_for(c, r) : NULL;
    const char *group = k ? map_u64_get(c->group_names, k->group_num) : NULL;
    if (k)
        say_why(k, why, sizeof why);
    if (stalled)
        snprintf(out, size, "no server of %s%s can send%s%s", group ? "group " : "its group",
                 group ? group : "", k && is_standing(k->bound) ? ": " : "",
                 k && is_standing(k->bound) ? why : "");
    if (stalled || !k)
        return;
    if (k->free_at > core_steady(c) && k->free_at != INT64_MAX)
        clock_format(k->free_at - core_steady(c) + clock_wall_ms(), until);
    snprintf(out, size, "waiting (%s): %s%s%s", bound_name(k->bound), why,
             until[0] ? ", until " : "", until);
}

json_t *live_campaigns(struct core *c)
{
    json_t *out = json_array();
    size_t pos = 0;
    uint64_t num = 0;
    void *v = NULL;
    while (map_u64_next(c->runs, &pos, &num, &v)) {
        struct run *r = v;
        char why[800] = "";
        bool runs = r->state == RUN_RUNNING;
        bool stalled = runs && (c->is_paused || c->is_held || is_stalled(c, r));
        if (runs)
            why_still(c, r, stalled, why, sizeof why);
        json_array_append_new(out, json_pack("{s:i,s:b,s:i,s:s}", "num", (int)num, "stalled",
                                             stalled, "ready", (int)r->ready, "reason", why));
    }
    return json_pack("{s:o}", "campaigns", out);
}
