/* Operations on routes: add, set (what is named changes), move, remove. Every value is looked up
 * and checked here; a rule that an earlier one makes useless is a warning in the answer. */
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "engine/regions.h"
#include "feedback/provider.h"
#include "fleet/route.h"
#include "mail/addr.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/reports.h"
#include "store/routes.h"

#include <stdio.h>
#include <stdlib.h>

#define ENGAGEMENT_MAX 7
#define WARNINGS_MAX   10

static const char *const known[] = {"name",  "new_name",   "before",      "last",
                                    "group", "stream",     "campaign",    "list",
                                    "tag",   "provider",   "country",     "engagement",
                                    "size",  "credential", "from_domain", "recipient_domain",
                                    NULL};

/* ---- what a name stands for ---- */

struct nearest {
    const char *typed;
    char best[80];
    size_t distance;
};

static void look_at_name(void *arg, const char *name)
{
    struct nearest *x = arg;
    size_t d = word_distance(x->typed, name);
    if (d < x->distance) {
        x->distance = d;
        str_copy(str_of(name), x->best, sizeof x->best);
    }
}

/* "campaign: there is no campaign spring; did you mean spring-24?" */
static bool no_such(struct admin_context *c, enum route_field field, const char *what,
                    const char *typed, struct err *e)
{
    struct nearest x = {.typed = typed, .distance = MAX(strlen(typed) / 3 + 1, (size_t)3)};
    if (!route_rows_names(c->db, field, look_at_name, &x, e))
        return false;
    if (x.best[0])
        return err_set(e, ERR_NOT_FOUND, "%s: there is no %s %.80s; did you mean %s?", what, what,
                       typed, x.best);
    return err_set(e, ERR_NOT_FOUND, "%s: there is no %s %.80s", what, what, typed);
}

static bool find_group(struct admin_context *c, const char *name, uint32_t *num_out, struct err *e)
{
    struct group *g = NULL;
    struct err own = {0};
    if (!groups_get(c->db, name, &g, &own))
        return own.code == ERR_NOT_FOUND ? no_such(c, ROUTE_FIELDS, "group", name, e)
                                         : err_set(e, own.code, "%s", own.text);
    *num_out = g->num;
    group_free(&g);
    return true;
}

/* ---- the values of conditions ---- */

struct reading {
    struct admin_context *c;
    struct route *r;
    enum route_field field;
};

static bool add_stream(struct reading *x, const char *text, struct err *e)
{
    enum lane lane;
    if (!lane_parse(text, &lane))
        return err_set(e, ERR_INVALID, "stream: \"%.40s\" is none of transactional, priority, bulk",
                       text);
    route_add_term(x->r, ROUTE_STREAM, lane, lane, NULL);
    return true;
}

static bool add_named(struct reading *x, const char *text, struct err *e)
{
    uint64_t value = 0;
    if (!route_rows_value(x->c->db, x->field, text, &value, e))
        return false;
    if (!value)
        return no_such(x->c, x->field, route_field_name(x->field), text, e);
    route_add_term(x->r, x->field, value, value, NULL);
    return true;
}

static bool add_tag(struct reading *x, const char *text, struct err *e)
{
    if (!tag_check("tag", text, e))
        return false;
    route_add_term(x->r, ROUTE_TAG, 0, 0, alloc_copy(text));
    return true;
}

/* "example.com", or "*.example.com" for every domain below it; IDN in its ASCII form. */
static bool add_domain(struct reading *x, const char *text, struct err *e)
{
    bool is_below = !strncmp(text, "*.", 2);
    char probe[ADDR_MAX + 1], key[ADDR_MAX + 1];
    struct addr a;
    int n =
        snprintf(probe, sizeof probe, "x@%s%s", is_below ? "a." : "", is_below ? text + 2 : text);
    if (n < 3 || n > ADDR_MAX || strchr(text, '@') || !addr_parse(str_of(probe), &a, e))
        return err_set(e, ERR_INVALID,
                       "%s: \"%.80s\" is no domain; write example.com, or *.example.com for those "
                       "below it",
                       route_field_name(x->field), text);
    addr_key(&a, key);
    if (is_below)
        key[2] = '*';
    route_add_term(x->r, x->field, 0, 0, alloc_copy(key + 2));
    return true;
}

static bool add_provider(struct reading *x, const char *text, struct err *e)
{
    const struct providers *p = providers_builtin();
    struct nearest near = {.typed = text, .distance = 4};
    if (!provider_known(p, str_of(text))) {
        for (unsigned i = 0; i <= providers_count(p); i++)
            look_at_name(&near, provider_name(p, i));
        return err_set(e, ERR_INVALID,
                       "provider: \"%.40s\" is no mailbox provider known here%s%s%s", text,
                       near.best[0] ? "; did you mean " : "", near.best,
                       near.best[0] ? "?" : "; see rules/providers.yaml, or use the domain");
    }
    route_add_term(x->r, ROUTE_PROVIDER, 0, 0, alloc_copy(text));
    return true;
}

static bool add_country(struct reading *x, const char *text, struct err *e)
{
    char *code = alloc_copy(text);
    for (char *p = code; *p; p++)
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
    if (!regions_has_country(regions_builtin(), str_of(code))) {
        free(code);
        return err_set(e, ERR_INVALID,
                       "country: \"%.40s\" is no country code of ISO 3166-1 (two letters, like AT)",
                       text);
    }
    route_add_term(x->r, ROUTE_COUNTRY, 0, 0, code);
    return true;
}

/* ">5M" ">=5M" "<10k" "<=10k" "10k-5M" "5M" as an interval with both ends. */
static bool parse_range(const char *text, bool (*number)(struct str s, uint64_t *out), uint64_t max,
                        uint64_t *low, uint64_t *high)
{
    struct str s = str_trim(str_of(text)), left;
    char op = s.n && (s.p[0] == '<' || s.p[0] == '>') ? s.p[0] : 0;
    bool with = op && s.n > 1 && s.p[1] == '=';
    struct str rest = str_trim(str_from_index(s, (op != 0) + with));
    *low = 0;
    *high = max;
    if (!op && str_chr(rest, '-') > 0)
        return str_split(&rest, '-', &left) && number(str_trim(left), low) &&
               number(str_trim(rest), high) && *low <= *high && *high <= max;
    uint64_t v = 0;
    if (!number(rest, &v) || v > max || (op == '<' && !with && v == 0) ||
        (op == '>' && !with && v == max))
        return false;
    *low = op == '>' ? v + !with : op ? 0 : v;
    *high = op == '<' ? v - !with : op ? max : v;
    return true;
}

static bool add_range(struct reading *x, const char *text, struct err *e)
{
    uint64_t low = 0, high = 0;
    bool is_size = x->field == ROUTE_SIZE;
    if (!parse_range(text, is_size ? codec_size_parse : codec_count_parse,
                     is_size ? (uint64_t)INT64_MAX : ENGAGEMENT_MAX, &low, &high))
        return is_size ? err_set(e, ERR_INVALID,
                                 "size: \"%.40s\" is none; write \">5M\", \"<=100k\" or \"1M-5M\"",
                                 text)
                       : err_set(e, ERR_INVALID,
                                 "engagement: \"%.40s\" is none; classes are 1 (best) to 7, 0 for "
                                 "not known: write 1, 1-3 or \">=5\"",
                                 text);
    route_add_term(x->r, x->field, low, high, alloc_copy(text));
    return true;
}

static bool add_value(void *arg, const char *text, struct err *e)
{
    struct reading *x = arg;
    if (!*text)
        return true; /* an empty value takes the condition away */
    if (x->r->n_terms >= ROUTE_TERMS_MAX)
        return err_set(e, ERR_INVALID, "%s: over %d values in one rule", route_field_name(x->field),
                       ROUTE_TERMS_MAX);
    switch (x->field) {
    case ROUTE_STREAM: return add_stream(x, text, e);
    case ROUTE_TAG: return add_tag(x, text, e);
    case ROUTE_FROM_DOMAIN:
    case ROUTE_RECIPIENT_DOMAIN: return add_domain(x, text, e);
    case ROUTE_PROVIDER: return add_provider(x, text, e);
    case ROUTE_COUNTRY: return add_country(x, text, e);
    case ROUTE_ENGAGEMENT:
    case ROUTE_SIZE: return add_range(x, text, e);
    default: return add_named(x, text, e);
    }
}

/* A JSON number is as good as its text. */
static void numbers_to_texts(json_t *args, const char *field)
{
    json_t *v = json_object_get(args, field);
    if (json_is_integer(v))
        json_object_set_new(args, field, json_sprintf("%lld", (long long)json_integer_value(v)));
}

static bool read_conditions(struct admin_context *c, json_t *args, struct route *r, struct err *e)
{
    for (int f = 0; f < ROUTE_FIELDS; f++) {
        struct reading x = {c, r, (enum route_field)f};
        const char *name = route_field_name(x.field);
        if (!json_object_get(args, name))
            continue;
        numbers_to_texts(args, name);
        route_drop_field(r, x.field);
        if (!args_each(args, name, 4096, add_value, &x, e))
            return false;
    }
    return true;
}

/* ---- rules that can never match ---- */

static void warn(json_t *warnings, const struct route *late, const struct route *early)
{
    if (json_array_size(warnings) < WARNINGS_MAX)
        json_array_append_new(
            warnings,
            json_sprintf("route %s can never match: route %s, before it, catches all that it would",
                         late->name, early->name));
}

/* Mail that is led to a group without a server waits there. */
static bool warn_empty(struct admin_context *c, const struct route *r, json_t *warnings,
                       struct err *e)
{
    struct group *g = NULL;
    if (!groups_get_num(c->db, r->group_num, &g, e))
        return false;
    if (g->n_members == 0 && g->n_fallbacks == 0)
        json_array_append_new(
            warnings, json_sprintf("group %s has no server: what route %s leads there waits",
                                   g->name, r->name));
    group_free(&g);
    return true;
}

/* The new or changed rule against those before it, and those behind it against it. */
static bool find_useless(struct admin_context *c, const char *name, json_t *data, struct err *e)
{
    struct route **list = NULL;
    size_t n = 0, at = 0;
    if (!route_rows_list(c->db, &list, &n, e))
        return false;
    while (at < n && strcmp(list[at]->name, name) != 0)
        at++;
    json_t *warnings = json_array();
    for (size_t i = 0; i < at && at < n && !json_array_size(warnings); i++)
        if (route_covers(list[i], list[at]))
            warn(warnings, list[at], list[i]);
    for (size_t i = at + 1; i < n; i++)
        if (route_covers(list[at], list[i]))
            warn(warnings, list[i], list[at]);
    bool ok = at >= n || warn_empty(c, list[at], warnings, e);
    json_object_set_new(data, "warnings", warnings);
    route_rows_free(list, n);
    return ok;
}

/* ---- operations ---- */

static bool answer_route(struct admin_context *c, const char *name, json_t **data_out,
                         struct err *e)
{
    c->changed.bits |= ADMIN_CHANGED_GROUPS;
    return report_route(c->db, name, data_out, e) && find_useless(c, name, *data_out, e);
}

static bool read_place(json_t *args, const char **before_out, bool *moves_out, struct err *e)
{
    bool last = false;
    if (!args_text(args, "before", 4096, before_out, e) ||
        !args_bool(args, "last", false, &last, e))
        return false;
    if (last && *before_out)
        return err_set(e, ERR_INVALID, "last: give either before or last");
    *moves_out = last || *before_out;
    return true;
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL, *group = NULL, *before = NULL;
    bool moves = false;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e) ||
        !args_need(args, "group", 4096, &group, e) || !read_place(args, &before, &moves, e))
        return false;
    struct route *r = route_new();
    r->name = alloc_copy(name);
    r->id = ids_next(c->ids, c->wall_ms);
    bool ok = find_group(c, group, &r->group_num, e) && read_conditions(c, args, r, e) &&
              route_rows_add(c->db, r, before, c->wall_ms, e) &&
              note_event(c, "route.added", name, e) && answer_route(c, name, data_out, e);
    route_free(&r);
    return ok;
}

static bool change(struct admin_context *c, json_t *args, struct route *r, struct err *e)
{
    const char *group = NULL, *before = NULL, *new_name = NULL;
    bool moves = false;
    if ((json_object_get(args, "new_name") && !args_name(args, "new_name", &new_name, e)) ||
        !args_text(args, "group", 4096, &group, e) || !read_place(args, &before, &moves, e) ||
        (group && !find_group(c, group, &r->group_num, e)) || !read_conditions(c, args, r, e))
        return false;
    if (before && !strcmp(before, r->name))
        return err_set(e, ERR_INVALID, "before: a route cannot stand before itself");
    if (new_name) {
        free(r->name);
        r->name = alloc_copy(new_name);
    }
    return route_rows_update(c->db, r, c->wall_ms, e) &&
           (!moves || route_rows_move(c->db, r->num, before, e));
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL;
    struct route *r = NULL;
    if (!args_known(args, known, e) || !args_need(args, "name", 4096, &name, e) ||
        !route_rows_get(c->db, name, &r, e))
        return false;
    bool ok = change(c, args, r, e) && note_event(c, "route.changed", r->name, e) &&
              answer_route(c, r->name, data_out, e);
    route_free(&r);
    return ok;
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_only(args, "name", &name, e) || !route_rows_remove(c->db, name, e) ||
        !note_event(c, "route.removed", name, e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_GROUPS;
    *data_out = answer_removed(name);
    return true;
}

static const struct admin_entry entries[] = {{"route.add", run_add, false, true},
                                             {"route.set", run_set, false, true},
                                             {"route.remove", run_remove, false, false}};
const struct admin_noun admin_routes = {entries, countof(entries)};
