/* failover show and set: a group's failure matrix with all that holds by default, changed as a
 * whole or in parts, or tried against the last day's attempts. */
#include <stdlib.h>

#include "base/buf.h"
#include "main/call.h"
#include "main/commands.h"
#include "main/failover_file.h"

static const struct column default_columns[] = {
    {"VERDICT", "verdict", FORM_TEXT, false}, {"WHEN", "when", FORM_TEXT, true},
    {"ACTION", "action", FORM_TEXT, false},   {"ALSO", "also", FORM_TEXT, true},
    {NULL, NULL, FORM_TEXT, false},
};

static const char *const settings[] = {"tries_per_round", "tries",       "rounds",
                                       "deadline",        "first_delay", "max_delay"};

static const char *group_of(const struct cmd *c)
{
    const char *group = cmd_text(c, "group");
    return group ? group : "default";
}

/* ---- showing */

static void print_rules(const json_t *m)
{
    size_t i;
    json_t *rule;
    output_line("rules of group %s, first match wins:", json_text(m, "group"));
    json_array_foreach(json_object_get(m, "rules"), i, rule)
    {
        output_line("  %2zu  %s", i + 1, json_string_value(rule));
    }
    if (i == 0)
        output_line("  none");
}

static void value_text(const json_t *v, char *out, size_t size)
{
    if (json_is_integer(v))
        snprintf(out, size, "%lld", (long long)json_integer_value(v));
    else
        snprintf(out, size, "%s", json_is_string(v) ? json_string_value(v) : "no limit");
}

/* One figure when the streams agree, else one each. */
static void print_by_stream(const char *title, const json_t *m, const char *field)
{
    static const char *const streams[] = {"transactional", "priority", "bulk"};
    json_t *all = json_object_get(json_object_get(m, "effective"), "streams");
    const char *own = json_is_null(json_object_get(m, field)) ? "" : "   (set)";
    const char *v[3];
    for (size_t i = 0; i < 3; i++)
        v[i] = json_text(json_object_get(all, streams[i]), field);
    if (!strcmp(v[0], v[2]))
        output_line("  %-16s %s%s", title, v[0], own);
    else
        output_line("  %-16s %s, transactional %s%s", title, v[2], v[0], own);
}

static void print_settings(const json_t *m)
{
    static const char *const titles[] = {"tries a round", "tries in all", "rounds"};
    char text[64];
    struct buf order;
    size_t i;
    json_t *name;
    output_line("settings:");
    for (size_t k = 0; k < countof(titles); k++) {
        json_t *v = json_object_get(json_object_get(m, "effective"), settings[k]);
        value_text(v, text, sizeof text);
        output_line("  %-16s %s%s", titles[k], text,
                    json_is_null(json_object_get(m, settings[k])) ? "" : "   (set)");
    }
    print_by_stream("deadline", m, "deadline");
    print_by_stream("first delay", m, "first_delay");
    print_by_stream("longest delay", m, "max_delay");
    buf_init(&order, 16384);
    json_array_foreach(json_object_get(m, "order"), i, name)
    {
        buf_addf(&order, "%s%s", i ? ", " : "", json_string_value(name));
    }
    output_line("  %-16s %s", "order", i ? buf_cstr(&order) : "as the group shares");
    buf_free(&order);
}

static void print_warnings(const json_t *m)
{
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(m, "warnings"), i, text)
    {
        output_warn("%s", json_string_value(text));
    }
}

static void print_matrix(const json_t *m)
{
    size_t i;
    json_t *row;
    if (output_is_json()) {
        output_json(m);
        return;
    }
    print_rules(m);
    print_settings(m);
    output_line("without a rule:");
    struct table *t = table_new(default_columns);
    json_array_foreach(json_object_get(m, "defaults"), i, row)
    {
        table_add(t, row);
    }
    table_end(&t, NULL);
    print_warnings(m);
}

int cmd_failover_show(struct cmd *c)
{
    json_t *m = NULL;
    int status =
        call_answer(c, "GET", daemon_path("/v1/groups/%s/failover", group_of(c)), NULL, &m);
    if (status == 0)
        print_matrix(m);
    json_decref(m);
    return status;
}

/* ---- what a dry run found */

static void print_example(const json_t *x)
{
    output_line("         %s to %s by %s: %s %lld %s %s", json_text(x, "message"),
                json_text(x, "to"), json_text(x, "server"), json_text(x, "phase"),
                (long long)json_number(x, "code"), json_text(x, "enhanced"), json_text(x, "reply"));
}

static void print_change(const json_t *change)
{
    char who[1200];
    size_t i, k;
    json_t *move, *x;
    const char *setting = json_text(change, "setting");
    if (!strcmp(setting, "rule_gone"))
        snprintf(who, sizeof who, "a rule that is there now and would be gone");
    else if (setting[0])
        snprintf(who, sizeof who, "%s", setting);
    else
        snprintf(who, sizeof who, "rule %lld (%s)", (long long)json_number(change, "rule"),
                 json_text(change, "text"));
    output_line("%s would have changed %lld attempts:", who,
                (long long)json_number(change, "changed"));
    json_array_foreach(json_object_get(change, "moves"), i, move)
    {
        output_line("    %6lld  %s -> %s", (long long)json_number(move, "attempts"),
                    json_text(move, "from"), json_text(move, "to"));
        json_array_foreach(json_object_get(move, "examples"), k, x)
        {
            print_example(x);
        }
    }
}

static void print_trial(const json_t *answer)
{
    size_t i;
    json_t *change;
    if (output_is_json()) {
        output_json(answer);
        return;
    }
    output_line("%lld attempts of group %s in the last day, %lld would have gone another way",
                (long long)json_number(answer, "attempts"), json_text(answer, "group"),
                (long long)json_number(answer, "changed"));
    json_array_foreach(json_object_get(answer, "changes"), i, change)
    {
        print_change(change);
    }
    if (!json_is_true(json_object_get(answer, "complete")))
        output_warn("the time was up before all attempts were looked at");
    print_warnings(answer);
}

/* ---- setting */

static bool read_file(struct cmd *c, json_t **out, struct err *e)
{
    const char *path = cmd_text(c, "file");
    json_t *raw = json_object();
    bool ok = body_add_file(raw, "text", path, FAILOVER_FILE_MAX, e) &&
              failover_file_read(str_from(json_string_value(json_object_get(raw, "text")),
                                          json_string_length(json_object_get(raw, "text"))),
                                 !strcmp(path, "-") ? "standard input" : path, out, e);
    json_decref(raw);
    return ok;
}

/* What the group has now, without what is only shown. */
static int present_matrix(struct cmd *c, json_t **out)
{
    json_t *m = NULL;
    int status =
        call_answer(c, "GET", daemon_path("/v1/groups/%s/failover", group_of(c)), NULL, &m);
    if (status != 0)
        return status;
    *out = json_object();
    json_object_set(*out, "rules", json_object_get(m, "rules"));
    json_object_set(*out, "order", json_object_get(m, "order"));
    for (size_t i = 0; i < countof(settings); i++)
        json_object_set(*out, settings[i], json_object_get(m, settings[i]));
    json_decref(m);
    return 0;
}

static void set_order(const char *text, json_t *body)
{
    struct str rest = str_of(text), name;
    json_t *order = json_array();
    while (strcmp(text, "none") != 0 && str_split(&rest, ',', &name)) {
        name = str_trim(name);
        if (name.n)
            json_array_append_new(order, json_stringn(name.p, name.n));
    }
    json_object_set_new(body, "order", order);
}

static void apply_options(struct cmd *c, json_t *body)
{
    const struct value *v;
    json_t *given = cmd_body(c), *rules = NULL;
    json_object_update(body, given);
    json_decref(given);
    for (size_t i = 0; (v = cmd_value(c, "rule", i)) != NULL; i++) {
        rules = rules ? rules : json_array();
        json_array_append_new(rules, json_string(v->text));
    }
    if (rules)
        json_object_set_new(body, "rules", rules);
    if (cmd_has(c, "order"))
        set_order(cmd_text(c, "order"), body);
}

static bool says_something(const struct cmd *c)
{
    static const char *const options[] = {"file",      "rule",           "order",    "reset",
                                          "tries",     "rounds",         "deadline", "first-delay",
                                          "max-delay", "tries-per-round"};
    for (size_t i = 0; i < countof(options); i++)
        if (cmd_has(c, options[i]))
            return true;
    return false;
}

static int send_matrix(struct cmd *c, json_t *body)
{
    json_t *answer = NULL;
    bool dry = cmd_has(c, "dry-run");
    char *path = dry ? daemon_path("/v1/groups/%s/failover:dry-run", group_of(c))
                     : daemon_path("/v1/groups/%s/failover", group_of(c));
    int status = call_answer(c, dry ? "POST" : "PUT", path, body, &answer);
    if (status == 0 && dry) {
        print_trial(answer);
    } else if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        output_line("failover of group %s changed: %zu rules", group_of(c),
                    json_array_size(json_object_get(answer, "rules")));
        print_warnings(answer);
    }
    json_decref(answer);
    return status;
}

int cmd_failover_set(struct cmd *c)
{
    struct err e = {0};
    json_t *body = NULL;
    int status = 0;
    if (!says_something(c)) {
        err_set(&e, ERR_INVALID, "nothing to set: give --file, --rule, --reset or a setting");
        return output_fail(&e);
    }
    if (cmd_has(c, "file")) {
        if (!read_file(c, &body, &e))
            return output_fail(&e);
    } else if (cmd_has(c, "reset")) {
        body = json_object();
    } else if ((status = present_matrix(c, &body)) != 0) {
        return status;
    }
    apply_options(c, body);
    return send_matrix(c, body);
}
