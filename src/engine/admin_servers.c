/* Operations on servers: add, set, clone, remove, pause, resume, drain.
 * Checks every option, keeps memberships, warns where credentials would travel in clear.
 * Passwords come in, are sealed by store/servers, and never come out. */
#include "base/alloc.h"
#include "engine/admin_parts.h"
#include "mail/addr.h"
#include "model/server.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/reports.h"
#include "store/servers.h"

#include <stdio.h>
#include <stdlib.h>

#define HOURS(n)   ((uint64_t)(n)*3600000)
#define COUNT_MAX  1000000000000u
#define GROUPS_MAX 64

static bool word_tls(const char *s, void *at)
{
    return tls_mode_parse(s, at);
}

static bool word_spread(const char *s, void *at)
{
    return spread_parse(s, at);
}

static bool word_dkim(const char *s, void *at)
{
    return dkim_use_parse(s, at);
}

static bool word_counts(const char *s, void *at)
{
    return counts_parse(s, at);
}

#define AT(member) offsetof(struct server, member)
#define TEXT(label, member, bytes)                                                                 \
    {                                                                                              \
        .name = label, .kind = FIELD_TEXT, .offset = AT(member), .max = bytes                      \
    }
#define COUNT(label, member)                                                                       \
    {                                                                                              \
        .name = label, .kind = FIELD_COUNT, .offset = AT(member), .min = 0, .max = COUNT_MAX       \
    }
#define DURATION(label, member, least, most, otherwise)                                            \
    {                                                                                              \
        .name = label, .kind = FIELD_DURATION, .offset = AT(member), .min = least, .max = most,    \
        .fallback = otherwise                                                                      \
    }

static const struct field_spec specs[] = {
    {.name = "host", .kind = FIELD_HOST, .offset = AT(host), .max = 253},
    {.name = "port", .kind = FIELD_U16, .offset = AT(port), .min = 1, .max = 65535},
    {.name = "tls",
     .kind = FIELD_WORD,
     .offset = AT(tls),
     .word = word_tls,
     .words = "none, starttls, tls",
     .fallback = TLS_MODE_STARTTLS},
    TEXT("user", user, 512),
    {.name = "from", .kind = FIELD_MAILBOX, .offset = AT(from), .max = 600},
    {.name = "reply_to", .kind = FIELD_MAILBOX, .offset = AT(reply_to), .max = 600},
    {.name = "return_path", .kind = FIELD_PATH, .offset = AT(return_path), .max = 600},
    {.name = "helo", .kind = FIELD_HOST, .offset = AT(helo), .max = 253},
    COUNT("per_second", limits.per_second),
    COUNT("per_minute", limits.per_minute),
    COUNT("per_hour", limits.per_hour),
    COUNT("per_day", limits.per_day),
    COUNT("per_month", limits.per_month),
    {.name = "calendar", .kind = FIELD_ZONE, .offset = AT(limits.calendar), .max = 100},
    DURATION("pause_between", limits.pause_between_ms, 0, HOURS(24), 0),
    {.name = "counts",
     .kind = FIELD_WORD,
     .offset = AT(limits.counts),
     .word = word_counts,
     .words = "accepted, attempts, recipients"},
    {.name = "max_connections",
     .kind = FIELD_U32,
     .offset = AT(limits.max_connections),
     .min = 1,
     .max = 10000,
     .fallback = 10},
    {.name = "max_messages_per_connection",
     .kind = FIELD_U32,
     .offset = AT(limits.max_messages_per_connection),
     .max = 1000000},
    DURATION("connect_timeout", connect_timeout_ms, 100, HOURS(1), 30000),
    DURATION("reply_timeout", reply_timeout_ms, 100, HOURS(1), 300000),
    DURATION("dot_timeout", dot_timeout_ms, 100, HOURS(1), 600000),
    TEXT("region", region, 64),
    TEXT("provider", provider, 64),
    TEXT("profile", profile, 64),
    {.name = "notes", .kind = FIELD_LINES, .offset = AT(notes), .max = 4096},
    {.name = "cost_per_1000", .kind = FIELD_REAL, .offset = AT(cost_per_1000)},
    COUNT("included_per_month", included_per_month),
    {.name = "spread",
     .kind = FIELD_WORD,
     .offset = AT(limits.spread),
     .word = word_spread,
     .words = "asap, even"},
    {.name = "dkim",
     .kind = FIELD_WORD,
     .offset = AT(dkim),
     .word = word_dkim,
     .words = "auto, on, off"},
};

static const char *const known[] = {"name",
                                    "host",
                                    "port",
                                    "tls",
                                    "tls_verify",
                                    "user",
                                    "password",
                                    "from",
                                    "reply_to",
                                    "return_path",
                                    "helo",
                                    "group",
                                    "groups",
                                    "leave_group",
                                    "weight",
                                    "priority",
                                    "per_second",
                                    "per_minute",
                                    "per_hour",
                                    "per_day",
                                    "per_month",
                                    "calendar",
                                    "pause_between",
                                    "counts",
                                    "max_connections",
                                    "max_messages_per_connection",
                                    "connect_timeout",
                                    "reply_timeout",
                                    "dot_timeout",
                                    "chunking",
                                    "region",
                                    "ip_type",
                                    "cost_per_1000",
                                    "included_per_month",
                                    "spread",
                                    "dkim",
                                    "role",
                                    "provider",
                                    "profile",
                                    "from_domain",
                                    "header",
                                    "notes",
                                    "new_name",
                                    NULL};

/* ---- single options ---- */

static bool read_verify(json_t *args, struct server *s, struct err *e)
{
    const char *v = json_string_value(json_object_get(args, "tls_verify"));
    if (v && !strcmp(v, "full")) {
        s->tls_verify = true;
        return true;
    }
    if (v && !strcmp(v, "none")) {
        s->tls_verify = false;
        return true;
    }
    if (v && *v)
        return err_set(e, ERR_INVALID, "tls_verify: \"%.40s\" is none of full, none", v);
    return args_bool(args, "tls_verify", s->tls_verify, &s->tls_verify, e);
}

static bool read_ip_type(json_t *args, struct server *s, struct err *e)
{
    const char *v = NULL;
    if (!json_object_get(args, "ip_type"))
        return true;
    if (!args_text(args, "ip_type", 20, &v, e))
        return false;
    if (v && strcmp(v, "shared") != 0 && strcmp(v, "dedicated") != 0)
        return err_set(e, ERR_INVALID, "ip_type: \"%s\" is none of shared, dedicated", v);
    free(s->ip_type);
    s->ip_type = alloc_copy(v);
    return true;
}

static bool read_password(json_t *args, struct server *s, struct err *e)
{
    json_t *v = json_object_get(args, "password");
    if (!v)
        return true;
    if (!json_is_null(v) && !json_is_string(v))
        return err_set(e, ERR_INVALID, "password: must be a text");
    struct str p = str_from(json_string_value(v), json_string_length(v));
    if (p.n > 4096 || memchr(p.p ? p.p : "", '\0', p.n))
        return err_set(e, ERR_INVALID, "password: over 4096 bytes, or with a NUL");
    secret_free(&s->password);
    s->password = p.n ? secret_new(p.p, p.n) : NULL;
    return true;
}

struct text_list {
    char ***at;
    size_t *n;
    size_t max;
    const char *field;
};

static void texts_clear(struct text_list *l)
{
    for (size_t i = 0; i < *l->n; i++)
        free((*l->at)[i]);
    free(*l->at);
    *l->at = NULL;
    *l->n = 0;
}

static bool texts_add(struct text_list *l, struct str text, struct err *e)
{
    if (*l->n >= l->max)
        return err_set(e, ERR_INVALID, "%s: over %zu entries", l->field, l->max);
    *l->at = alloc_resize(*l->at, (*l->n + 1) * sizeof(char *));
    (*l->at)[(*l->n)++] = str_dup(text);
    return true;
}

static const char *const reserved_headers[] = {"from",
                                               "to",
                                               "cc",
                                               "bcc",
                                               "subject",
                                               "date",
                                               "message-id",
                                               "reply-to",
                                               "return-path",
                                               "mime-version",
                                               "received",
                                               "sender",
                                               "dkim-signature",
                                               "list-unsubscribe",
                                               "list-unsubscribe-post",
                                               NULL};

static bool add_header(void *arg, const char *text, struct err *e)
{
    struct str line = str_of(text);
    ptrdiff_t colon = str_chr(line, ':');
    if (colon <= 0)
        return err_set(e, ERR_INVALID, "header: \"%.60s\" must look like 'Name: value'", text);
    struct str name = str_cut(line, 0, (size_t)colon);
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~')
            return err_set(e, ERR_INVALID, "header: \"%.60s\" is no header name", text);
    for (const char *const *r = reserved_headers; *r; r++)
        if (str_iis(name, *r))
            return err_set(e, ERR_INVALID, "header: %.60s is set by Postfleet itself", *r);
    if (str_istarts(name, STR("content-")))
        return err_set(e, ERR_INVALID, "header: Content- fields are set by Postfleet itself");
    return texts_add(arg, line, e);
}

static bool add_from_domain(void *arg, const char *text, struct err *e)
{
    char with_local[300];
    struct addr a;
    bool fits = snprintf(with_local, sizeof(with_local), "x@%s", text) < (int)sizeof(with_local);
    if (!fits || !addr_parse(str_of(with_local), &a, e))
        return err_set(e, ERR_INVALID, "from_domain: \"%.100s\" is no domain", text);
    return texts_add(arg, addr_domain(&a), e);
}

static bool read_lists(json_t *args, struct server *s, struct err *e)
{
    struct text_list headers = {&s->headers, &s->n_headers, SERVER_HEADERS_MAX, "header"};
    struct text_list domains = {&s->from_domains, &s->n_from_domains, SERVER_FROM_DOMAINS_MAX,
                                "from_domain"};
    if (json_object_get(args, "header"))
        texts_clear(&headers);
    if (json_object_get(args, "from_domain"))
        texts_clear(&domains);
    return args_each(args, "header", 998, add_header, &headers, e) &&
           args_each(args, "from_domain", 253, add_from_domain, &domains, e);
}

static bool read_options(json_t *args, struct server *s, struct err *e)
{
    bool chunking = !s->chunking_off;
    if (!specs_read(args, specs, countof(specs), s, e) || !read_verify(args, s, e) ||
        !read_ip_type(args, s, e) || !read_password(args, s, e) || !read_lists(args, s, e) ||
        !args_bool(args, "chunking", chunking, &chunking, e))
        return false;
    s->chunking_off = !chunking;
    if (s->password && !s->user)
        return err_set(e, ERR_INVALID, "password: there is no user it belongs to; give user too");
    return true;
}

/* ---- memberships ---- */

struct joining {
    struct admin_context *c;
    uint32_t nums[GROUPS_MAX];
    size_t n;
};

static bool join_named(void *arg, const char *name, struct err *e)
{
    struct joining *j = arg;
    struct group *g = NULL;
    if (j->n >= GROUPS_MAX)
        return err_set(e, ERR_INVALID, "group: over %d groups", GROUPS_MAX);
    if (!groups_get(j->c->db, name, &g, e))
        return false;
    j->nums[j->n++] = g->num;
    group_free(&g);
    return true;
}

/* Weight and priority go to the groups named, else to all that the server is in. A new server
 * without a group joins the default one. */
static bool join_groups(struct admin_context *c, json_t *args, uint16_t num, bool is_new,
                        struct err *e)
{
    struct joining j = {.c = c}, leaving = {.c = c};
    struct membership m = {.server_num = num};
    uint64_t weight = 0, priority = 0;
    const json_t *given = json_object_get(args, "role");
    const char *word = json_is_null(given) ? "active" : json_string_value(given);
    enum role role = ROLE_ACTIVE;
    if (given && (!word || !role_parse(*word ? word : "active", &role)))
        return err_set(e, ERR_INVALID, "role: one of active, reserve, resting");
    if (!args_each(args, "group", 4096, join_named, &j, e) ||
        !args_each(args, "groups", 4096, join_named, &j, e) ||
        !args_each(args, "leave_group", 4096, join_named, &leaving, e) ||
        !args_count(args, "weight", 0, 1, GROUPS_WEIGHT_MAX, &weight, e) ||
        !args_count(args, "priority", 0, 1, 1000, &priority, e))
        return false;
    if (!j.n && is_new &&
        (!groups_ensure_default(c->db, ids_next(c->ids, c->wall_ms), c->wall_ms, e) ||
         !join_named(&j, GROUPS_DEFAULT, e)))
        return false;
    if (!j.n && (weight || priority || word) && !groups_of(c->db, num, j.nums, GROUPS_MAX, &j.n, e))
        return false;
    j.n = MIN(j.n, (size_t)GROUPS_MAX);
    for (size_t i = 0; i < j.n; i++) {
        struct group *g = NULL;
        if (!groups_get_num(c->db, j.nums[i], &g, e))
            return false;
        m.weight = m.priority = 1;
        m.role = ROLE_ACTIVE;
        for (size_t k = 0; k < g->n_members; k++)
            if (g->members[k].server_num == num)
                m = g->members[k];
        group_free(&g);
        m.weight = weight ? (uint32_t)weight : m.weight;
        m.priority = priority ? (uint32_t)priority : m.priority;
        m.role = word ? role : m.role;
        if (!groups_join(c->db, j.nums[i], &m, e))
            return false;
    }
    for (size_t i = 0; i < leaving.n; i++)
        if (!groups_leave(c->db, leaving.nums[i], num, e))
            return false;
    return true;
}

/* ---- operations ---- */

static void warn_no_password(const struct server *s, json_t *warnings)
{
    char text[400];
    snprintf(text, sizeof text,
             "user %s has no password, so the server will refuse the login: give it with "
             "`postfleet server set %s --password-file FILE`",
             s->user, s->name);
    json_array_append_new(warnings, json_string(text));
}

/* The server as GET shows it, with warnings. */
static bool answer_server(struct admin_context *c, const struct server *s, json_t **data_out,
                          struct err *e)
{
    if (!report_server(c->db, s->name, NULL, data_out, e))
        return false;
    json_t *warnings = json_array();
    if (s->tls == TLS_MODE_NONE && s->user)
        json_array_append_new(warnings,
                              json_string("tls is none: user and password travel in clear to this "
                                          "server; use starttls or tls unless the way is private"));
    else if (s->tls == TLS_MODE_NONE && !server_on_loopback(s))
        json_array_append_new(warnings, json_string("tls is none: mail travels in clear"));
    if (s->tls != TLS_MODE_NONE && !s->tls_verify)
        json_array_append_new(warnings, json_string("tls_verify is none: anybody on the way can "
                                                    "pose as this server"));
    if (s->user && !s->password)
        warn_no_password(s, warnings);
    json_object_set_new(*data_out, "warnings", warnings);
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    return true;
}

static bool insert(struct admin_context *c, json_t *args, struct server *s, json_t **data_out,
                   struct err *e)
{
    s->id = ids_next(c->ids, c->wall_ms);
    s->created_at = s->updated_at = c->wall_ms;
    return servers_add(c->db, c->secrets, s, e) && join_groups(c, args, s->num, true, e) &&
           note_event(c, "server.added", s->name, e) && answer_server(c, s, data_out, e);
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e))
        return false;
    if (json_object_get(args, "new_name") || json_object_get(args, "leave_group"))
        return err_set(e, ERR_INVALID, "new_name and leave_group are for `server set`");
    struct server *s = server_new();
    s->tls = TLS_MODE_STARTTLS;
    s->name = alloc_copy(name);
    bool ok = read_options(args, s, e);
    if (ok && !s->host)
        ok = err_set(e, ERR_INVALID, "host: is needed (the server's name or address)");
    if (ok && !s->port)
        s->port = s->tls == TLS_MODE_TLS ? 465 : s->tls == TLS_MODE_STARTTLS ? 587 : 25;
    ok = ok && insert(c, args, s, data_out, e);
    server_free(&s);
    return ok;
}

static bool get(struct admin_context *c, json_t *args, struct server **out, struct err *e)
{
    const char *name = NULL;
    return args_need(args, "name", 4096, &name, e) && servers_get(c->db, c->secrets, name, out, e);
}

static bool rename_to(json_t *args, struct server *s, struct err *e)
{
    const char *name = NULL;
    if (!json_object_get(args, "new_name"))
        return true;
    if (!args_name(args, "new_name", &name, e))
        return false;
    free(s->name);
    s->name = alloc_copy(name);
    return true;
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    struct server *s = NULL;
    if (!args_known(args, known, e) || !get(c, args, &s, e))
        return false;
    s->updated_at = c->wall_ms;
    bool ok = read_options(args, s, e) && rename_to(args, s, e);
    if (ok && (!s->host || !s->port))
        ok = err_set(e, ERR_INVALID, "%s: cannot be empty", s->host ? "port" : "host");
    ok = ok && servers_update(c->db, c->secrets, s, e) && join_groups(c, args, s->num, false, e) &&
         note_event(c, "server.changed", s->name, e) && answer_server(c, s, data_out, e);
    server_free(&s);
    return ok;
}

static bool copy_memberships(struct admin_context *c, uint16_t from, uint16_t to, struct err *e)
{
    uint32_t nums[GROUPS_MAX];
    size_t n = 0;
    if (!groups_of(c->db, from, nums, GROUPS_MAX, &n, e))
        return false;
    for (size_t i = 0; i < MIN(n, (size_t)GROUPS_MAX); i++) {
        struct group *g = NULL;
        if (!groups_get_num(c->db, nums[i], &g, e))
            return false;
        struct membership m = {.weight = 1, .priority = 1};
        for (size_t k = 0; k < g->n_members; k++)
            if (g->members[k].server_num == from)
                m = g->members[k];
        group_free(&g);
        m.server_num = to;
        if (!groups_join(c->db, nums[i], &m, e))
            return false;
    }
    return true;
}

/* A copy under another name, with any option changed on the way. */
static bool run_clone(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    const char *to = NULL;
    struct server *s = NULL;
    if (!args_known(args, known, e) || !args_name(args, "new_name", &to, e) || !get(c, args, &s, e))
        return false;
    uint16_t from = s->num;
    free(s->name);
    s->name = alloc_copy(to);
    s->id = ids_next(c->ids, c->wall_ms);
    s->created_at = s->updated_at = c->wall_ms;
    bool ok = read_options(args, s, e) && servers_add(c->db, c->secrets, s, e) &&
              copy_memberships(c, from, s->num, e) && join_groups(c, args, s->num, false, e) &&
              note_event(c, "server.added", s->name, e) && answer_server(c, s, data_out, e);
    server_free(&s);
    return ok;
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_only(args, "name", &name, e) || !servers_remove(c->db, name, c->wall_ms, e) ||
        !note_event(c, "server.removed", name, e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    *data_out = answer_removed(name);
    return true;
}

static bool set_admin(struct admin_context *c, json_t *args, enum admin_state to, const char *kind,
                      json_t **data_out, struct err *e)
{
    struct server *s = NULL;
    if (!args_known(args, (const char *const[]){"name", NULL}, e) || !get(c, args, &s, e))
        return false;
    s->admin = to;
    s->updated_at = c->wall_ms;
    bool ok = servers_update(c->db, c->secrets, s, e) && note_event(c, kind, s->name, e) &&
              answer_server(c, s, data_out, e);
    server_free(&s);
    return ok;
}

static bool run_pause(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    return set_admin(c, args, ADMIN_PAUSED, "server.paused", data_out, e);
}

static bool run_resume(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    return set_admin(c, args, ADMIN_ACTIVE, "server.resumed", data_out, e);
}

static bool run_drain(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    return set_admin(c, args, ADMIN_DRAINING, "server.draining", data_out, e);
}

static const struct admin_entry entries[] = {
    {"server.add", run_add, false, true},      {"server.set", run_set, false, true},
    {"server.clone", run_clone, false, false}, {"server.remove", run_remove, false, false},
    {"server.pause", run_pause, false, false}, {"server.resume", run_resume, false, false},
    {"server.drain", run_drain, false, false},
};
const struct admin_noun admin_servers = {entries, countof(entries)};
