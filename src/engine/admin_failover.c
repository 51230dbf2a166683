/* Operations on a group's failure matrix: show (with every default and what it does), set, dry run.
 * A set replaces the whole matrix. Decides nothing: texts are read by fleet/policy_text. */
#include "engine/admin_failover.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "store/failover.h"
#include "store/groups.h"
#include "store/servers.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND_MS 1000
#define DAY_MS    86400000

#define COUNT(label, member, most)                                                                 \
    {                                                                                              \
        .name = label, .kind = FIELD_U32, .offset = offsetof(struct failover, member), .min = 1,   \
        .max = most                                                                                \
    }
#define TIME(label, member, most)                                                                  \
    {                                                                                              \
        .name = label, .kind = FIELD_DURATION, .offset = offsetof(struct failover, member),        \
        .min = SECOND_MS, .max = most                                                              \
    }

static const struct field_spec specs[] = {
    COUNT("tries_per_round", tries_per_round, 64),
    COUNT("tries", tries, 10000),
    COUNT("rounds", rounds, 1000),
    TIME("deadline", deadline_ms, UINT64_C(30) * DAY_MS),
    TIME("first_delay", first_delay_ms, DAY_MS),
    TIME("max_delay", max_delay_ms, UINT64_C(7) * DAY_MS),
};

static const char *const known[] = {"name",   "rules",    "order",       "tries_per_round", "tries",
                                    "rounds", "deadline", "first_delay", "max_delay",       NULL};

/* ---- rules from JSON */

/* "552,4xx", 552 or ["552","4xx"] */
static bool add_condition(struct policy_rule *r, const char *field, json_t *value, struct err *e)
{
    size_t i;
    json_t *item;
    char number[24];
    if (json_is_string(value))
        return policy_rule_set(r, str_of(field), str_of(json_string_value(value)), e);
    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        return policy_rule_set(r, str_of(field), str_of(number), e);
    }
    if (!json_is_array(value))
        return err_set(e, ERR_INVALID, "%.40s: must be a text or a list of texts", field);
    json_array_foreach(value, i, item)
    {
        if (json_is_array(item) || !add_condition(r, field, item, e))
            return err_set(e, ERR_INVALID, "%.40s: entry %zu cannot be read", field, i + 1);
    }
    return true;
}

static bool read_rule(json_t *item, struct policy_rule *r, struct err *e)
{
    const char *field;
    json_t *value;
    if (json_is_string(item))
        return text_check("rule", str_of(json_string_value(item)), FAILOVER_RULE_MAX - 1, false,
                          e) &&
               policy_rule_parse(str_of(json_string_value(item)), r, e);
    if (!json_is_object(item))
        return err_set(e, ERR_INVALID, "must be a text like \"552 -> next_server\" or an object");
    *r = (struct policy_rule){0};
    json_object_foreach(item, field, value)
    {
        if (!add_condition(r, field, value, e))
            return false;
    }
    return policy_rule_check(r, e);
}

static bool read_rules(json_t *args, struct failover *f, struct err *e)
{
    size_t i;
    json_t *rules = json_object_get(args, "rules"), *item;
    if (!rules || json_is_null(rules))
        return true;
    if (!json_is_array(rules) || json_array_size(rules) > FAILOVER_RULES_MAX)
        return err_set(e, ERR_INVALID, "rules: must be a list of at most %d", FAILOVER_RULES_MAX);
    json_array_foreach(rules, i, item)
    {
        struct policy_rule r;
        char text[FAILOVER_RULE_MAX];
        if (!read_rule(item, &r, e))
            return err_prefix(e, "rule %zu", i + 1);
        policy_rule_format(&r, text);
        failover_add_rule(f, text);
    }
    return true;
}

struct ordering {
    struct admin_context *c;
    struct failover *f;
};

static bool add_server(void *arg, const char *name, struct err *e)
{
    struct ordering *o = arg;
    struct server *s = NULL;
    if (o->f->n_order == FAILOVER_ORDER_MAX)
        return err_set(e, ERR_INVALID, "order: at most %d servers", FAILOVER_ORDER_MAX);
    if (!servers_get(o->c->db, NULL, name, &s, e))
        return err_prefix(e, "order");
    uint16_t num = s->num;
    server_free(&s);
    for (size_t i = 0; i < o->f->n_order; i++)
        if (o->f->order[i] == num)
            return err_set(e, ERR_INVALID, "order: %.80s is named twice", name);
    failover_add_server(o->f, num);
    return true;
}

bool failover_of_args(struct admin_context *c, json_t *args, const struct group *g,
                      struct failover **out, struct policy **policy_out, struct err *e)
{
    struct failover *f = failover_new();
    struct ordering o = {c, f};
    f->group_num = g->num;
    if (args_known(args, known, e) && read_rules(args, f, e) &&
        args_each(args, "order", 4096, add_server, &o, e) &&
        specs_read(args, specs, countof(specs), f, e) && policy_compile(f, policy_out, e)) {
        *out = f;
        return true;
    }
    failover_free(&f);
    return false;
}

/* ---- as JSON */

/* "72h", "90s": as codec_duration_parse reads it; 0 is null. */
static json_t *duration_json(int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    char text[32];
    if (!ms)
        return json_null();
    for (size_t i = 0; i < countof(units); i++)
        if (ms % units[i].ms == 0) {
            snprintf(text, sizeof text, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
            break;
        }
    return json_string(text);
}

static json_t *count_json(uint32_t n)
{
    return n ? json_integer(n) : json_null();
}

/* What each verdict does without a rule, asked of the code that does it. */
static json_t *defaults_json(void)
{
    static const struct {
        enum verdict v;
        bool permanent, again; /* again: it was blocked, or tried on a fresh connection, before */
        const char *when, *also;
    } rows[] = {
        {VERDICT_ACCEPTED, false, false, NULL, "no rule may touch it"},
        {VERDICT_UNCERTAIN, false, false, NULL,
         "no rule may touch it; transactional: once more after a minute"},
        {VERDICT_FAILOVER, false, false, NULL, "counts against the server"},
        {VERDICT_TRY_LATER, false, false, NULL, "keeps its server"},
        {VERDICT_RATE_LIMITED, false, false, NULL, "fewer connections there; no attempt"},
        {VERDICT_QUOTA, false, false, NULL, "the server is exhausted; no attempt"},
        {VERDICT_AUTH_CONFIG, true, false, NULL, "the server is misconfigured"},
        {VERDICT_HARD_BOUNCE, true, false, NULL, "provisionally for 15 minutes"},
        {VERDICT_SOFT_BOUNCE, false, false, "4xx", "keeps its server"},
        {VERDICT_SOFT_BOUNCE, true, false, "5xx",
         "bounced; suppressed after 3 messages in 30 days"},
        {VERDICT_BLOCKED, true, false, "first", "closed for this mailbox provider"},
        {VERDICT_BLOCKED, true, true, "again", NULL},
        {VERDICT_CONTENT, false, false, "4xx", NULL},
        {VERDICT_CONTENT, true, false, "5xx", "to no other server"},
        {VERDICT_PROTOCOL, true, false, "first", "on a fresh connection"},
        {VERDICT_PROTOCOL, true, true, "again", NULL},
        {VERDICT_UNKNOWN, false, false, "4xx", NULL},
        {VERDICT_UNKNOWN, true, false, "5xx", "nobody is suppressed"},
    };
    json_t *all = json_array();
    for (size_t i = 0; i < countof(rows); i++) {
        struct retry_ask a = {.verdict = rows[i].v,
                              .permanent = rows[i].permanent,
                              .was_blocked = rows[i].again,
                              .was_fresh = rows[i].again,
                              .lane = LANE_BULK};
        struct step st = {0};
        retry_after(&a, 0, &st);
        json_array_append_new(
            all, json_pack("{s:s, s:s?, s:s, s:s?}", "verdict", verdict_name(rows[i].v), "when",
                           rows[i].when, "action", policy_step_name(&st), "also", rows[i].also));
    }
    return all;
}

/* The figures that hold, per stream where they differ. */
static json_t *effective_json(const struct policy *p)
{
    json_t *streams = json_object();
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        int64_t deadline = p->deadline_ms ? p->deadline_ms : retry_age_limit_ms((enum lane)lane);
        json_object_set_new(
            streams, lane_name((enum lane)lane),
            json_pack("{s:o, s:o, s:o}", "deadline", duration_json(deadline), "first_delay",
                      duration_json(retry_delay_ms(p, (enum lane)lane, 0)), "max_delay",
                      duration_json(retry_delay_ms(p, (enum lane)lane, 100))));
    }
    return json_pack("{s:I, s:o, s:o, s:o}", "tries_per_round",
                     (json_int_t)(p->tries_per_round ? p->tries_per_round : 64), "tries",
                     count_json(p->tries), "rounds", count_json(p->rounds), "streams", streams);
}

static void add_warning(void *arg, const char *text)
{
    json_array_append_new(arg, json_string(text));
}

static bool is_reached(struct admin_context *c, const struct group *g, uint16_t num, bool *out,
                       struct err *e)
{
    for (size_t i = 0; i < g->n_members; i++)
        *out = *out || g->members[i].server_num == num;
    for (size_t i = 0; !*out && i < g->n_fallbacks; i++) {
        struct group *fb = NULL;
        if (!groups_get_num(c->db, g->fallbacks[i], &fb, e))
            return false;
        for (size_t k = 0; k < fb->n_members; k++)
            *out = *out || fb->members[k].server_num == num;
        group_free(&fb);
    }
    return true;
}

static bool order_json(struct admin_context *c, const struct group *g, const struct failover *f,
                       json_t *order, json_t *warnings, struct err *e)
{
    for (size_t i = 0; i < f->n_order; i++) {
        char name[128], text[300];
        bool reached = false;
        if (!servers_name(c->db, f->order[i], name, e) ||
            !is_reached(c, g, f->order[i], &reached, e))
            return false;
        json_array_append_new(order, json_string(name));
        if (reached)
            continue;
        snprintf(text, sizeof text,
                 "server %s of the order is in neither the group nor its fallback groups: it is "
                 "passed over",
                 name);
        add_warning(warnings, text);
    }
    return true;
}

bool failover_to_json(struct admin_context *c, const struct group *g, const struct failover *f,
                      const struct policy *p, json_t **out, struct err *e)
{
    json_t *rules = json_array(), *order = json_array(), *warnings = json_array();
    for (size_t i = 0; i < f->n_rules; i++)
        json_array_append_new(rules, json_string(f->rules[i]));
    policy_warn(p, add_warning, warnings);
    bool ok = order_json(c, g, f, order, warnings, e);
    if (ok)
        *out = json_pack(
            "{s:s, s:b, s:O, s:O, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O}", "group", g->name,
            "is_default", failover_is_empty(f), "rules", rules, "order", order, "tries_per_round",
            count_json(f->tries_per_round), "tries", count_json(f->tries), "rounds",
            count_json(f->rounds), "deadline", duration_json(f->deadline_ms), "first_delay",
            duration_json(f->first_delay_ms), "max_delay", duration_json(f->max_delay_ms),
            "effective", effective_json(p), "defaults", defaults_json(), "warnings", warnings);
    json_decref(rules);
    json_decref(order);
    json_decref(warnings);
    return ok;
}

/* ---- operations */

static bool run_show(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    (void)tail;
    const char *name = NULL;
    struct group *g = NULL;
    struct failover *f = NULL;
    struct policy *p = NULL;
    if (!args_only(args, "name", &name, e) || !groups_get(c->db, name, &g, e))
        return false;
    bool ok = failover_load(c->db, g->num, &f, e) && policy_compile(f, &p, e) &&
              failover_to_json(c, g, f, p, data_out, e);
    policy_free(&p);
    failover_free(&f);
    group_free(&g);
    return ok;
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL;
    struct group *g = NULL;
    struct failover *f = NULL;
    struct policy *p = NULL;
    if (!args_need(args, "name", 4096, &name, e) || !groups_get(c->db, name, &g, e))
        return false;
    bool ok = failover_of_args(c, args, g, &f, &p, e) && failover_save(c->db, f, c->wall_ms, e) &&
              note_event(c, "failover.changed", g->name, e) &&
              failover_to_json(c, g, f, p, data_out, e);
    if (ok)
        c->changed.bits |= ADMIN_CHANGED_GROUPS;
    policy_free(&p);
    failover_free(&f);
    group_free(&g);
    return ok;
}

static const struct admin_entry entries[] = {{"failover.show", run_show, true, false},
                                             {"failover.set", run_set, false, false},
                                             {"failover.dry_run", failover_dry_run, true, false}};
const struct admin_noun admin_failovers = {entries, countof(entries)};
