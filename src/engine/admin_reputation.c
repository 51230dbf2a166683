/* Operations on reputation: rules, status, approve, release, check, and `signal`, by which what is
 * known elsewhere (blocklists, seed mailboxes) comes in. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "engine/reputation_round.h"
#include "model/server.h"
#include "store/servers.h"

#include <stdio.h>
#include <stdlib.h>

#define DAYS(n)     ((uint64_t)(n)*86400000)
#define DEEDS_SHOWN 50

static bool word_action(const char *s, void *at)
{
    return reputation_action_parse(s, at);
}

/* What a rule is read into by the table. */
struct draft {
    char *condition;
    enum reputation_action action;
    int64_t window_ms, duration_ms, cooldown_ms;
    uint64_t volume;
    double weight;
};

#define AT(member) offsetof(struct draft, member)
static const struct field_spec specs[] = {
    {.name = "when", .kind = FIELD_TEXT, .offset = AT(condition), .max = 399},
    {.name = "action",
     .kind = FIELD_WORD,
     .offset = AT(action),
     .word = word_action,
     .words = "notify, lower, rest, quarantine, graded, step-back"},
    {.name = "window",
     .kind = FIELD_DURATION,
     .offset = AT(window_ms),
     .min = 3600000,
     .max = DAYS(30),
     .fallback = DAYS(1)},
    {.name = "for", .kind = FIELD_DURATION, .offset = AT(duration_ms), .max = DAYS(30)},
    {.name = "cooldown",
     .kind = FIELD_DURATION,
     .offset = AT(cooldown_ms),
     .max = DAYS(30),
     .fallback = 6 * 3600000},
    {.name = "volume", .kind = FIELD_COUNT, .offset = AT(volume), .max = 1000000000},
    {.name = "weight", .kind = FIELD_REAL, .offset = AT(weight)},
};
static const char *const known[] = {"name",   "when",   "action", "window",   "for",     "cooldown",
                                    "volume", "weight", "scope",  "approval", "enabled", NULL};

static json_t *rule_json(const struct reputation_rule_row *r)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:b, s:b, s:b}", "name", r->name, "when",
        r->condition, "action", reputation_action_name((enum reputation_action)r->action), "scope",
        r->by_provider ? "provider" : "server", "window_ms", (json_int_t)r->window_ms, "volume",
        (json_int_t)r->volume, "for_ms", (json_int_t)r->duration_ms, "cooldown_ms",
        (json_int_t)r->cooldown_ms, "weight", r->weight, "approval", (int)r->approval, "enabled",
        (int)r->enabled, "builtin", (int)reputation_rule_is_builtin(r->name));
}

static bool run_rules(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    struct reputation_rule_row *rules = NULL;
    size_t n = 0;
    (void)tail;
    if (!args_known(args, (const char *const[]){NULL}, e) ||
        !reputation_rules_all(c->db, &rules, &n, e))
        return false;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, rule_json(&rules[i]));
    free(rules);
    *data_out = json_pack("{s:o, s:n, s:b}", "data", list, "next", "has_more", 0);
    return true;
}

static bool find_rule(struct admin_context *c, const char *name, struct reputation_rule_row *out,
                      bool *found_out, struct err *e)
{
    struct reputation_rule_row *rules = NULL;
    size_t n = 0;
    *found_out = false;
    if (!reputation_rules_all(c->db, &rules, &n, e))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(rules[i].name, name)) {
            *out = rules[i];
            *found_out = true;
        }
    free(rules);
    return true;
}

static bool check_rule(const struct draft *d, const struct reputation_rule_row *r, struct err *e)
{
    struct reputation_when w;
    bool lowers = d->action == REPUTATION_LOWER || d->action == REPUTATION_GRADED;
    if (!d->condition)
        return err_set(e, ERR_INVALID, "when: must be given, as \"hard_bounce_rate > 5%%\"");
    if (!reputation_when_parse(str_of(d->condition), &w, e))
        return false;
    if (lowers && !(d->weight >= 0.01 && d->weight < 1))
        return err_set(e, ERR_INVALID, "weight: the share of its weight that stays, 0.01 to 0.99");
    if (r->by_provider && lowers)
        return err_set(e, ERR_INVALID,
                       "action: a weight is the server's; for a provider: notify, rest, "
                       "quarantine, step-back");
    return true;
}

static bool read_scope(json_t *args, struct reputation_rule_row *r, struct err *e)
{
    const char *scope = NULL;
    if (!args_text(args, "scope", 20, &scope, e))
        return false;
    if (scope && strcmp(scope, "server") != 0 && strcmp(scope, "provider") != 0)
        return err_set(e, ERR_INVALID, "scope: \"%s\" is none of server, provider", scope);
    if (scope)
        r->by_provider = !strcmp(scope, "provider");
    return true;
}

static bool read_rule(json_t *args, struct reputation_rule_row *r, struct err *e)
{
    struct draft d = {.condition = *r->condition ? alloc_copy(r->condition) : NULL,
                      .action = (enum reputation_action)r->action,
                      .window_ms = r->window_ms,
                      .duration_ms = r->duration_ms,
                      .cooldown_ms = r->cooldown_ms,
                      .volume = r->volume,
                      .weight = r->weight};
    bool ok = specs_read(args, specs, countof(specs), &d, e) && read_scope(args, r, e) &&
              args_bool(args, "approval", r->approval, &r->approval, e) &&
              args_bool(args, "enabled", r->enabled, &r->enabled, e) && check_rule(&d, r, e);
    if (ok) {
        str_copy(str_of(d.condition), r->condition, sizeof r->condition);
        r->action = d.action;
        r->window_ms = d.window_ms;
        r->duration_ms = d.duration_ms;
        r->cooldown_ms = d.cooldown_ms;
        r->volume = d.volume;
        r->weight = d.weight;
    }
    free(d.condition);
    return ok;
}

static bool put_rule(struct admin_context *c, const struct reputation_rule_row *r, const char *kind,
                     json_t **data_out, struct err *e)
{
    if (!reputation_rule_put(c->db, r, e) || !note_event(c, kind, r->name, e))
        return false;
    *data_out = rule_json(r);
    return true;
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    struct reputation_rule_row r = {.enabled = true,
                                    .window_ms = (int64_t)DAYS(1),
                                    .duration_ms = 6 * 3600000,
                                    .cooldown_ms = 6 * 3600000,
                                    .volume = 1000,
                                    .weight = 0.5},
                               old;
    const char *name = NULL;
    bool found = false;
    (void)tail;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e) ||
        !find_rule(c, name, &old, &found, e))
        return false;
    if (found)
        return err_set(e, ERR_CONFLICT, "rule \"%s\" is there: `reputation set` changes it", name);
    if (!json_is_string(json_object_get(args, "action")))
        return err_set(e, ERR_INVALID, "action: must be given");
    str_copy(str_of(name), r.name, sizeof r.name);
    return read_rule(args, &r, e) && put_rule(c, &r, "reputation.rule_added", data_out, e);
}

static bool need_rule(struct admin_context *c, json_t *args, const char *const *fields,
                      struct reputation_rule_row *r, struct err *e)
{
    const char *name = NULL;
    bool found = false;
    return args_known(args, fields, e) && args_need(args, "name", 64, &name, e) &&
           find_rule(c, name, r, &found, e) &&
           (found || err_set(e, ERR_NOT_FOUND, "rule \"%s\": there is none", name));
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    struct reputation_rule_row r;
    (void)tail;
    return need_rule(c, args, known, &r, e) && read_rule(args, &r, e) &&
           put_rule(c, &r, "reputation.rule_changed", data_out, e);
}

/* A rule that comes with Postfleet falls back to what it was; off is `set --enabled no`. */
static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    struct reputation_rule_row r;
    bool was = false;
    (void)tail;
    if (!need_rule(c, args, (const char *const[]){"name", NULL}, &r, e) ||
        !reputation_rule_remove(c->db, r.name, &was, e))
        return false;
    if (!was)
        return err_set(e, ERR_CONFLICT,
                       "rule \"%s\" comes with Postfleet: `reputation set %s --enabled no`", r.name,
                       r.name);
    *data_out = json_pack("{s:s, s:b}", "name", r.name, "removed", 1);
    return note_event(c, "reputation.rule_removed", r.name, e);
}

/* ---- status */

static json_t *when_json(int64_t at)
{
    char text[40];
    if (at <= 0)
        return json_null();
    clock_format(at, text);
    return json_string(text);
}

static bool add_standings(struct admin_context *c, json_t *list, struct err *e)
{
    struct reputation_row *rows = NULL;
    size_t n = 0;
    bool ok = reputation_standings(c->db, &rows, &n, e);
    for (size_t i = 0; ok && i < n; i++) {
        struct reputation_standing s = reputation_standing_of(&rows[i]);
        char name[128];
        ok = servers_name(c->db, rows[i].server_num, name, e);
        if (ok)
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:f, s:o, s:o, s:s}", "server", name, "provider",
                                rows[i].provider, "stage", reputation_stage_name(s.stage), "factor",
                                reputation_factor(&s, c->wall_ms), "since", when_json(s.since),
                                "until", when_json(s.until), "reason", rows[i].reason));
    }
    free(rows);
    return ok;
}

static bool add_deeds(struct admin_context *c, json_t *list, struct err *e)
{
    struct reputation_deed *deeds = NULL;
    size_t n = 0;
    bool ok = reputation_deeds(c->db, DEEDS_SHOWN, &deeds, &n, e);
    for (size_t i = 0; ok && i < n; i++) {
        char name[128], id[32];
        ok = servers_name(c->db, deeds[i].server_num, name, e);
        codec_id_format("rep", deeds[i].id, id);
        if (ok)
            json_array_append_new(
                list, json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "id", id, "at",
                                when_json(deeds[i].at), "server", name, "provider",
                                deeds[i].provider, "rule", deeds[i].rule, "action",
                                reputation_action_name((enum reputation_action)deeds[i].action),
                                "state", deeds[i].state, "reason", deeds[i].reason));
    }
    free(deeds);
    return ok;
}

static bool run_status(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    if (!args_known(args, (const char *const[]){NULL}, e))
        return false;
    *data_out = json_pack("{s:[], s:[]}", "servers", "actions");
    return add_standings(c, json_object_get(*data_out, "servers"), e) &&
           add_deeds(c, json_object_get(*data_out, "actions"), e);
}

/* ---- the user's word, and signals */

static struct reputation_context context_of(struct admin_context *c)
{
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    return (struct reputation_context){.db = c->db, .ids = c->ids, .now_ms = c->wall_ms};
}

static bool run_approve(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                        struct err *e)
{
    const char *text = NULL;
    uint64_t id = 0;
    (void)tail;
    if (!args_known(args, (const char *const[]){"id", NULL}, e) ||
        !args_need(args, "id", 64, &text, e))
        return false;
    if (!codec_id_parse("rep", str_of(text), &id))
        return err_set(e, ERR_INVALID, "id: \"%s\" is no id of an action (rep_...)", text);
    struct reputation_context x = context_of(c);
    *data_out = json_pack("{s:s, s:s}", "id", text, "state", "approved");
    return reputation_approve(&x, id, e);
}

static bool server_num_of(struct admin_context *c, json_t *args, const char **name_out,
                          uint16_t *num_out, struct err *e)
{
    struct server *s = NULL;
    if (!args_need(args, "server", 4096, name_out, e) ||
        !servers_get(c->db, NULL, *name_out, &s, e))
        return false;
    *num_out = s->num;
    server_free(&s);
    return true;
}

static bool run_release(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                        struct err *e)
{
    const char *name = NULL;
    uint16_t num = 0;
    bool was = false;
    (void)tail;
    if (!args_known(args, (const char *const[]){"server", NULL}, e) ||
        !server_num_of(c, args, &name, &num, e))
        return false;
    struct reputation_context x = context_of(c);
    if (!reputation_release(&x, num, &was, e))
        return false;
    *data_out = json_pack("{s:s, s:b}", "server", name, "released", (int)was);
    return was || err_set(e, ERR_CONFLICT, "server \"%s\" is in good standing", name);
}

static bool run_check(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    struct reputation_context x = context_of(c);
    return reputation_round(&x, e) && run_status(c, args, tail, data_out, e);
}

static bool run_signal(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    const char *name = NULL, *kind = NULL, *source = NULL;
    uint16_t num = 0;
    uint64_t value = 1;
    (void)tail;
    if (!args_known(args, (const char *const[]){"server", "kind", "source", "value", NULL}, e) ||
        !server_num_of(c, args, &name, &num, e) || !args_need(args, "kind", 20, &kind, e) ||
        !args_need(args, "source", 200, &source, e) ||
        !args_count(args, "value", 1, 0, 1000000000, &value, e))
        return false;
    if (strcmp(kind, "dnsbl") != 0 && strcmp(kind, "inbound") != 0)
        return err_set(e, ERR_INVALID, "kind: \"%s\" is none of dnsbl, inbound", kind);
    struct reputation_context x = context_of(c);
    *data_out = json_pack("{s:s, s:s, s:s, s:I}", "server", name, "kind", kind, "source", source,
                          "value", (json_int_t)value);
    return reputation_signal_put(c->db, num, kind, source, (double)value, c->wall_ms, e) &&
           reputation_round(&x, e);
}

static const struct admin_entry entries[] = {
    {"reputation.rules", run_rules, true, false},
    {"reputation.add", run_add, false, false},
    {"reputation.set", run_set, false, false},
    {"reputation.remove", run_remove, false, false},
    {"reputation.status", run_status, true, false},
    {"reputation.approve", run_approve, false, false},
    {"reputation.release", run_release, false, false},
    {"reputation.check", run_check, false, false},
    {"signal", run_signal, false, false},
};
const struct admin_noun admin_reputation = {entries, countof(entries)};
