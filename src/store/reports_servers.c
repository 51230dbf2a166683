/* Servers and groups as JSON: what the user set, what was counted, and what core says is going on.
 * The password is never read here, only whether there is one. */
#include "model/server.h"
#include "store/reports.h"
#include "store/reports_parts.h"
#include "store/tally.h"

#define SERVER_COLUMNS                                                                             \
    "num, id, name, host, port, tls, tls_verify, user_name, password IS NOT NULL, from_address, "  \
    "reply_to, return_path, helo, per_second, per_minute, per_hour, per_day, per_month, "          \
    "calendar, pause_between_ms, counts, max_connections, max_messages_per_connection, "           \
    "connect_timeout_ms, reply_timeout_ms, dot_timeout_ms, chunking_off, region, ip_type, "        \
    "cost_per_1000, provider, profile, headers, from_domains, notes, admin, created_at, "          \
    "updated_at, spread, included_per_month, dkim"

enum {
    C_NUM,
    C_ID,
    C_NAME,
    C_HOST,
    C_PORT,
    C_TLS,
    C_TLS_VERIFY,
    C_USER,
    C_PASSWORD,
    C_FROM,
    C_REPLY_TO,
    C_RETURN_PATH,
    C_HELO,
    C_PER_SECOND,
    C_PER_MINUTE,
    C_PER_HOUR,
    C_PER_DAY,
    C_PER_MONTH,
    C_CALENDAR,
    C_PAUSE,
    C_COUNTS,
    C_MAX_CONNECTIONS,
    C_MAX_MESSAGES,
    C_CONNECT,
    C_REPLY,
    C_DOT,
    C_CHUNKING_OFF,
    C_REGION,
    C_IP_TYPE,
    C_COST,
    C_PROVIDER,
    C_PROFILE,
    C_HEADERS,
    C_FROM_DOMAINS,
    C_NOTES,
    C_ADMIN,
    C_CREATED,
    C_UPDATED,
    C_SPREAD,
    C_INCLUDED,
    C_DKIM
};

struct server_view {
    const json_t *live;
    bool full;
};

/* Core names its servers in order of num. */
static const json_t *live_of(const json_t *live, int64_t num)
{
    const json_t *all = json_object_get(live, "servers");
    size_t from = 0, to = json_array_size(all);
    while (from < to) {
        size_t at = from + (to - from) / 2;
        json_t *item = json_array_get(all, at);
        int64_t n = json_integer_value(json_object_get(item, "num"));
        if (n == num)
            return item;
        n < num ? (from = at + 1) : (to = at);
    }
    return NULL;
}

/* A copy of a live field; null without core. */
static json_t *live_field(const json_t *live, const char *name)
{
    json_t *v = json_object_get(live, name);
    return v ? json_incref(v) : json_null();
}

/* Limits without use, for when core is not there to tell. */
static json_t *quota_of(struct stmt *s)
{
    static const struct {
        const char *window;
        int column;
    } windows[] = {{"second", C_PER_SECOND},
                   {"minute", C_PER_MINUTE},
                   {"hour", C_PER_HOUR},
                   {"day", C_PER_DAY},
                   {"month", C_PER_MONTH}};
    json_t *quota = json_array();
    for (size_t i = 0; i < countof(windows); i++)
        if (db_i64(s, windows[i].column))
            json_array_append_new(
                quota, json_pack("{s:s, s:n, s:I, s:n}", "window", windows[i].window, "used",
                                 "limit", (json_int_t)db_i64(s, windows[i].column), "free_at"));
    return quota;
}

/* The groups of a server by name, with weight and priority; the first one's weight by *weight. */
static json_t *memberships_of(struct db *db, int64_t num, json_t *names, int64_t *weight,
                              int64_t *priority)
{
    json_t *all = json_array();
    struct err e;
    struct stmt *s = db_stmt(db,
                             "SELECT g.name, m.weight, m.priority, m.role FROM membership m"
                             " JOIN server_group g ON g.num = m.group_num"
                             " WHERE m.server_num = $1 AND g.removed_at IS NULL ORDER BY g.num",
                             &e);
    bool row = false;
    if (!s)
        return all;
    db_bind_i64(s, 1, num);
    while (db_step(s, &row, &e) && row) {
        if (!json_array_size(names)) {
            *weight = db_i64(s, 1);
            *priority = db_i64(s, 2);
        }
        json_array_append_new(names, part_column(s, 0));
        json_array_append_new(all, json_pack("{s:o, s:I, s:I, s:s}", "group", part_column(s, 0),
                                             "weight", (json_int_t)db_i64(s, 1), "priority",
                                             (json_int_t)db_i64(s, 2), "role",
                                             role_name((enum role)db_i64(s, 3))));
    }
    db_reset(s);
    return all;
}

static int64_t sent_by(struct db *db, int64_t num)
{
    struct err e;
    struct stmt *s = db_stmt(
        db, "SELECT sum(n) FROM tally WHERE server_num = $1 AND provider = '' AND kind = $2", &e);
    bool row = false;
    int64_t n = 0;
    if (!s)
        return 0;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, TALLY_SENT);
    if (db_step(s, &row, &e) && row)
        n = db_i64(s, 0);
    db_reset(s);
    return n;
}

static void add_limits(json_t *j, struct stmt *s)
{
    static const struct {
        const char *name;
        int column;
        bool zero_is_null;
    } numbers[] = {{"per_second", C_PER_SECOND, true},
                   {"per_minute", C_PER_MINUTE, true},
                   {"per_hour", C_PER_HOUR, true},
                   {"per_day", C_PER_DAY, true},
                   {"per_month", C_PER_MONTH, true},
                   {"max_connections", C_MAX_CONNECTIONS, false},
                   {"max_messages_per_connection", C_MAX_MESSAGES, true}};
    for (size_t i = 0; i < countof(numbers); i++)
        json_object_set_new(
            j, numbers[i].name,
            part_count((uint64_t)db_i64(s, numbers[i].column), numbers[i].zero_is_null));
    static const struct {
        const char *name;
        int column;
    } durations[] = {{"pause_between", C_PAUSE},
                     {"connect_timeout", C_CONNECT},
                     {"reply_timeout", C_REPLY},
                     {"dot_timeout", C_DOT}};
    for (size_t i = 0; i < countof(durations); i++)
        json_object_set_new(j, durations[i].name,
                            json_sprintf("%lldms", (long long)db_i64(s, durations[i].column)));
}

static void add_settings(json_t *j, struct stmt *s)
{
    static const struct {
        const char *name;
        int column;
    } texts[] = {{"user", C_USER},
                 {"from", C_FROM},
                 {"reply_to", C_REPLY_TO},
                 {"helo", C_HELO},
                 {"return_path", C_RETURN_PATH},
                 {"calendar", C_CALENDAR},
                 {"region", C_REGION},
                 {"ip_type", C_IP_TYPE},
                 {"provider", C_PROVIDER},
                 {"profile", C_PROFILE},
                 {"notes", C_NOTES}};
    json_object_set_new(j, "tls", json_string(tls_mode_name((enum tls_mode)db_i64(s, C_TLS))));
    json_object_set_new(j, "tls_verify", json_string(db_i64(s, C_TLS_VERIFY) ? "full" : "none"));
    json_object_set_new(j, "password_set", json_boolean(db_i64(s, C_PASSWORD)));
    for (size_t i = 0; i < countof(texts); i++)
        json_object_set_new(j, texts[i].name, part_column(s, texts[i].column));
    add_limits(j, s);
    json_object_set_new(j, "counts", json_string(counts_name((enum counts)db_i64(s, C_COUNTS))));
    json_object_set_new(j, "chunking", json_boolean(!db_i64(s, C_CHUNKING_OFF)));
    json_object_set_new(j, "spread", json_string(spread_name((enum spread)db_i64(s, C_SPREAD))));
    json_object_set_new(j, "dkim", json_string(dkim_use_name((enum dkim_use)db_i64(s, C_DKIM))));
    json_object_set_new(j, "cost_per_1000", json_real(db_f64(s, C_COST)));
    json_object_set_new(j, "included_per_month", part_count((uint64_t)db_i64(s, C_INCLUDED), true));
    json_object_set_new(j, "header", part_json(s, C_HEADERS));
    json_object_set_new(j, "from_domain", part_json(s, C_FROM_DOMAINS));
    json_object_set_new(j, "created_at", part_time(db_i64(s, C_CREATED)));
    json_object_set_new(j, "updated_at", part_time(db_i64(s, C_UPDATED)));
}

/* Core says which part of its weight is in use. */
static json_t *effective_weight(const json_t *live, int64_t weight)
{
    const json_t *part = json_object_get(live, "effective_weight");
    return part ? json_real(json_number_value(part) * (double)weight) : json_null();
}

static json_t *server_json(void *arg, struct db *db, struct stmt *s)
{
    struct server_view *v = arg;
    int64_t num = db_i64(s, C_NUM), weight = 0, priority = 0;
    const json_t *live = live_of(v->live, num);
    json_t *names = json_array(), *quota = json_object_get(live, "quota");
    json_t *memberships = memberships_of(db, num, names, &weight, &priority);
    enum admin_state admin = (enum admin_state)db_i64(s, C_ADMIN);
    json_t *j = json_pack(
        "{s:o, s:o, s:I, s:o, s:s, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "name",
        part_column(s, C_NAME), "host", part_column(s, C_HOST), "port",
        (json_int_t)db_i64(s, C_PORT), "groups", names, "admin_state", admin_state_name(admin),
        "state", live_field(live, "state"), "reason", live_field(live, "reason"), "until",
        live_field(live, "until"), "sent", (json_int_t)sent_by(db, num), "in_flight",
        live_field(live, "in_flight"), "connections", live_field(live, "connections"), "quota",
        quota ? json_incref(quota) : quota_of(s), "weight", (json_int_t)weight, "effective_weight",
        effective_weight(live, weight), "latency_ms_p50", live_field(live, "latency_ms_p50"),
        "latency_ms_p95", live_field(live, "latency_ms_p95"));
    const char *lifecycle = report_lifecycle(db, (uint16_t)num);
    bool rests = !strcmp(lifecycle, "active") && json_is_true(json_object_get(live, "rests"));
    json_object_set_new(j, "lifecycle", json_string(rests ? "resting" : lifecycle));
    if (!v->full) {
        json_decref(memberships);
        return j;
    }
    json_object_set_new(j, "id", part_id("srv", (uint64_t)db_i64(s, C_ID)));
    json_object_set_new(j, "priority", json_integer(priority));
    json_object_set_new(j, "memberships", memberships);
    json_object_set_new(j, "resting", live_field(live, "resting"));
    json_object_set_new(j, "refusals", live_field(live, "refusals"));
    json_object_set_new(j, "factors", live_field(live, "factors"));
    json_object_set_new(j, "cells", live_field(live, "cells"));
    json_object_set_new(j, "pace", live_field(live, "pace"));
    add_settings(j, s);
    return j;
}

bool report_server_nums(struct db *db, const struct report_page *p, const char *name, json_t **out,
                        struct err *e)
{
    struct stmt *s = db_stmt(db,
                             name ? "SELECT num FROM server WHERE removed_at IS NULL AND name = $1"
                                  : "SELECT num FROM server WHERE removed_at IS NULL AND name > $1"
                                    " ORDER BY name LIMIT $2",
                             e);
    bool row = true, ok = s != NULL;
    json_t *nums = json_array();
    if (s && name)
        db_bind_cstr(s, 1, name);
    else if (s) {
        db_bind_cstr(s, 1, p->after ? p->after : "");
        db_bind_i64(s, 2, (int64_t)part_limit(p));
    }
    while (ok && (ok = db_step(s, &row, e)) && row)
        json_array_append_new(nums, json_integer(db_i64(s, 0)));
    if (s)
        db_reset(s);
    if (ok)
        *out = nums;
    else
        json_decref(nums);
    return ok;
}

bool report_servers(struct db *db, const struct report_page *p, const json_t *live, json_t **out,
                    struct err *e)
{
    struct server_view v = {.live = live};
    return part_select(db,
                       "SELECT " SERVER_COLUMNS " FROM server WHERE removed_at IS NULL"
                       " AND name > $1 ORDER BY name LIMIT $2",
                       p, C_NAME, server_json, &v, out, e);
}

bool report_server(struct db *db, const char *name, const json_t *live, json_t **out, struct err *e)
{
    struct server_view v = {.live = live, .full = true};
    return part_select_one(
        db, "SELECT " SERVER_COLUMNS " FROM server WHERE removed_at IS NULL AND name = $1",
        "server", name, server_json, &v, out, e);
}

/* ---- groups ---- */

static json_t *fallbacks_of(struct db *db, int64_t num)
{
    json_t *names = json_array();
    struct err e;
    struct stmt *s = db_stmt(db,
                             "SELECT g.name FROM group_fallback f"
                             " JOIN server_group g ON g.num = f.fallback_num"
                             " WHERE f.group_num = $1 ORDER BY f.position",
                             &e);
    bool row = false;
    if (!s)
        return names;
    db_bind_i64(s, 1, num);
    while (db_step(s, &row, &e) && row)
        json_array_append_new(names, part_column(s, 0));
    db_reset(s);
    return names;
}

/* Does this server rest in this group by rotation? null without core. */
static json_t *rests_in(const json_t *live, int64_t server_num, const char *group)
{
    size_t i;
    json_t *one;
    const json_t *server = live_of(live, server_num);
    bool rests = false;
    json_array_foreach(json_object_get(server, "resting"), i, one)
    {
        rests = rests || !strcmp(json_string_value(one), group);
    }
    return server ? json_boolean(rests) : json_null();
}

/* {"active","changes_at","messages_left"}; null: it does not rotate, or core is not there. */
static json_t *rotation_of(const json_t *live, const char *group)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(live, "rotations"), i, one)
    {
        if (!strcmp(json_string_value(json_object_get(one, "group")), group)) {
            json_t *j = json_copy(one);
            json_object_del(j, "group");
            return j;
        }
    }
    return json_null();
}

static json_t *members_of(struct db *db, int64_t num, const json_t *live, const char *group)
{
    json_t *members = json_array();
    struct err e;
    struct stmt *s = db_stmt(db,
                             "SELECT s.name, m.weight, m.priority, m.role, s.num FROM membership m"
                             " JOIN server s ON s.num = m.server_num"
                             " WHERE m.group_num = $1 AND s.removed_at IS NULL ORDER BY s.num",
                             &e);
    bool row = false;
    if (!s)
        return members;
    db_bind_i64(s, 1, num);
    while (db_step(s, &row, &e) && row)
        json_array_append_new(
            members, json_pack("{s:o, s:I, s:I, s:s, s:o}", "server", part_column(s, 0), "weight",
                               (json_int_t)db_i64(s, 1), "priority", (json_int_t)db_i64(s, 2),
                               "role", role_name((enum role)db_i64(s, 3)), "resting",
                               rests_in(live, db_i64(s, 4), group)));
    db_reset(s);
    return members;
}

#define GROUP_COLUMNS                                                                              \
    "name, num, id, strategy, at_limit, shares, sticky, created_at, rotate_active, "               \
    "rotate_every_ms, rotate_messages, nearest"

static json_t *group_json(void *arg, struct db *db, struct stmt *s)
{
    const json_t *live = arg;
    int64_t num = db_i64(s, 1);
    char name[132];
    str_copy(db_text(s, 0), name, sizeof name);
    json_t *j = json_pack("{s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "name",
                          part_column(s, 0), "id", part_id("grp", (uint64_t)db_i64(s, 2)),
                          "strategy", strategy_name((enum strategy)db_i64(s, 3)), "at_limit",
                          at_limit_name((enum at_limit)db_i64(s, 4)), "shares",
                          shares_name((enum shares)db_i64(s, 5)), "sticky",
                          sticky_name((enum sticky)db_i64(s, 6)), "fallback", fallbacks_of(db, num),
                          "servers", members_of(db, num, live, name), "created_at",
                          part_time(db_i64(s, 7)));
    json_object_set_new(j, "rotate_active", part_count((uint64_t)db_i64(s, 8), true));
    json_object_set_new(j, "rotate_every_ms", part_count((uint64_t)db_i64(s, 9), true));
    json_object_set_new(j, "rotate_messages", part_count((uint64_t)db_i64(s, 10), true));
    json_object_set_new(j, "nearest", json_boolean(db_i64(s, 11) != 0));
    json_object_set_new(j, "rotation", rotation_of(live, name));
    return j;
}

bool report_groups(struct db *db, const struct report_page *p, const json_t *live, json_t **out,
                   struct err *e)
{
    return part_select(db,
                       "SELECT " GROUP_COLUMNS " FROM server_group"
                       " WHERE removed_at IS NULL AND name > $1 ORDER BY name LIMIT $2",
                       p, 0, group_json, (void *)(uintptr_t)live, out, e);
}

bool report_group(struct db *db, const char *name, const json_t *live, json_t **out, struct err *e)
{
    return part_select_one(
        db, "SELECT " GROUP_COLUMNS " FROM server_group WHERE removed_at IS NULL AND name = $1",
        "group", name, group_json, (void *)(uintptr_t)live, out, e);
}
