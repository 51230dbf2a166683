/* server: the commands but import and export (cmd_server_csv.c). A preset fills what the line left
 * open; the password is read from a file and never echoed. */
#include <stdlib.h>

#include "main/call.h"
#include "main/commands.h"
#include "main/presets.h"
#include "base/str.h"

static const struct column server_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"HOST", "host", FORM_TEXT, false},
    {"PORT", "port", FORM_TEXT, false},
    {"GROUPS", "groups", FORM_TEXT, true},
    {"ADMIN", "admin_state", FORM_STATE, true},
    {"STATE", "state", FORM_STATE, false},
    {"LIFECYCLE", "lifecycle", FORM_TEXT, true},
    {"SENT", "sent", FORM_COUNT, false},
    {"FLYING", "in_flight", FORM_COUNT, true},
    {"CONN", "connections", FORM_COUNT, true},
    {"WEIGHT", "weight", FORM_COUNT, true},
    {"QUOTA", "quota", FORM_QUOTA, true},
    {"P50", "latency_ms_p50", FORM_MS, true},
    {"P95", "latency_ms_p95", FORM_MS, true},
    {"UNTIL", "until", FORM_TIME, true},
    {"REASON", "reason", FORM_TEXT, true},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column preset_columns[] = {
    {"PRESET", "name", FORM_TEXT, false}, {"PROVIDER", "title", FORM_TEXT, false},
    {"HOST", "host", FORM_TEXT, false},   {"PORT", "port", FORM_TEXT, false},
    {"TLS", "tls", FORM_TEXT, false},     {NULL, NULL, FORM_TEXT, false},
};

/* ---- presets ---- */

/* The value of a preset as the JSON that the option itself would give. */
static bool add_preset_value(const struct option *o, const char *text, json_t *body, struct err *e)
{
    struct value v = {.option = o, .text = text};
    if (!option_check(&v, e))
        return err_prefix(e, "preset");
    json_object_set_new(body, o->field,
                        o->kind == ARG_COUNT ? json_integer(v.n) : json_string(text));
    return true;
}

static bool add_preset(struct cmd *c, json_t *body, struct err *e)
{
    const char *name = cmd_text(c, "preset");
    struct presets *all = NULL;
    if (!name)
        return true;
    if (!presets_load(presets_text(), &all, e))
        return false;
    const struct preset *p = presets_find(all, name);
    bool ok = p != NULL;
    if (!p) {
        const char *near = presets_suggest(all, name);
        err_set(e, ERR_INVALID, "unknown preset %.60s%s%s; postfleet server presets lists them",
                name, near ? "; did you mean " : "", near ? near : "");
    }
    for (const struct option *o = c->command->options; ok && o->name; o++) {
        const char *text = p && o->field ? preset_value(p, o->name) : NULL;
        if (text && !cmd_has(c, o->name))
            ok = add_preset_value(o, text, body, e);
    }
    if (ok && p->note)
        output_note("%s: %s", p->name, p->note);
    presets_free(&all);
    return ok;
}

int cmd_server_presets(struct cmd *c)
{
    struct presets *all = NULL;
    struct err e = {0};
    if (!presets_load(presets_text(), &all, &e))
        return output_fail(&e);
    struct table *t = table_new(preset_columns);
    for (unsigned i = 0; i < all->n; i++) {
        const struct preset *p = &all->all[i];
        const char *word = cmd_arg(c, 0);
        if (word && !strcasestr(p->name, word) && !(p->title && strcasestr(p->title, word)))
            continue;
        json_t *row = json_object();
        static const char *const names[] = {"provider", "host", "port", "tls", "profile", "region"};
        json_object_set_new(row, "name", json_string(p->name));
        json_object_set_new(row, "title", json_string(p->title ? p->title : p->name));
        for (size_t k = 0; k < countof(names); k++) {
            const char *v = preset_value(p, names[k]);
            json_object_set_new(row, names[k], v ? json_string(v) : json_null());
        }
        table_add(t, row);
        json_decref(row);
    }
    table_end(&t, "no such provider");
    presets_free(&all);
    return 0;
}

/* ---- adding and changing ---- */

/* Port and TLS have defaults (starttls; 587, 465 or 25 by it), a host has not. */
static bool need_host(const json_t *body, struct err *e)
{
    return json_object_get(body, "host") ||
           err_set(e, ERR_INVALID, "--host is missing (or name a --preset)");
}

/* Sends the change; the daemon's warnings (credentials in clear ...) go to standard error. */
static int change_server(struct cmd *c, const char *method, char *path, json_t *body,
                         const char *done)
{
    json_t *answer = NULL, *one;
    size_t i;
    int status = call_answer(c, method, path, body, &answer);
    json_array_foreach(json_object_get(answer, "warnings"), i, one)
    {
        output_warn("%s: %s", json_text(answer, "name"), json_string_value(one));
    }
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0 && !output_is_quiet())
        output_line("server %s %s", json_text(answer, "name"), done);
    json_decref(answer);
    return status;
}

int cmd_server_add(struct cmd *c)
{
    struct err e = {0};
    json_t *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    bool ok = add_preset(c, body, &e) && need_host(body, &e) && body_add_password(c, body, &e);
    if (!ok) {
        json_decref(body);
        return output_fail(&e);
    }
    return change_server(c, "POST", daemon_path("/v1/servers"), body, "added");
}

int cmd_server_set(struct cmd *c)
{
    struct err e = {0};
    json_t *body = cmd_body(c);
    bool ok = body_add_password(c, body, &e);
    if (ok && json_object_size(body) == 0)
        ok = err_set(&e, ERR_INVALID, "nothing to change; see postfleet server set --help");
    if (!ok) {
        json_decref(body);
        return output_fail(&e);
    }
    return change_server(c, "PATCH", daemon_path("/v1/servers/%s", cmd_arg(c, 0)), body, "changed");
}

int cmd_server_clone(struct cmd *c)
{
    struct err e = {0};
    json_t *body = json_object();
    json_object_set_new(body, "new_name", json_string(cmd_arg(c, 1)));
    if (!body_add_password(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    return change_server(c, "POST", daemon_path("/v1/servers/%s/clone", cmd_arg(c, 0)), body,
                         "added");
}

int cmd_server_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/servers"), server_columns,
                      "no servers; postfleet server add makes the first");
}

int cmd_server_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/servers/%s", cmd_arg(c, 0)));
}

int cmd_server_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove server %s?", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/servers/%s", cmd_arg(c, 0)), NULL,
                       "server %s removed", cmd_arg(c, 0));
}

int cmd_server_pause(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/servers/%s/pause", cmd_arg(c, 0)), NULL,
                       "server %s paused", cmd_arg(c, 0));
}

int cmd_server_resume(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/servers/%s/resume", cmd_arg(c, 0)), NULL,
                       "server %s active", cmd_arg(c, 0));
}

int cmd_server_drain(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/servers/%s/drain", cmd_arg(c, 0)), NULL,
                       "server %s draining", cmd_arg(c, 0));
}

/* ---- tests ---- */

static void print_steps(const json_t *answer)
{
    size_t i;
    json_t *one;
    char took[32];
    json_array_foreach(json_object_get(answer, "steps"), i, one)
    {
        const char *state = json_text(one, "state");
        output_duration(json_number(one, "ms"), took);
        output_line("%-9s %-8s %8s  %s", strcmp(state, "failed") ? state : "FAILED",
                    json_text(one, "step"), strcmp(state, "not_tried") ? took : "",
                    json_text(one, "detail"));
    }
}

static void print_lines(const char *title, const char *text)
{
    struct str rest = str_of(text), line;
    if (!text[0])
        return;
    output_line("%s", title);
    while (str_split(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.n)
            output_line("    " STR_F, STR_A(str_cut(line, 0, 3000)));
    }
}

/* Exit 0 when every step went well, 1 when one failed: the answer itself is the finding. */
static int show_test(const json_t *answer)
{
    const json_t *ok = json_object_get(answer, "ok");
    if (output_is_json()) {
        output_json(answer);
    } else {
        print_steps(answer);
        if (json_text(answer, "tls")[0])
            output_line("%s", json_text(answer, "tls"));
        print_lines("conversation:", json_text(answer, "conversation"));
        if (json_text(answer, "error")[0])
            output_line("failed: %s", json_text(answer, "error"));
        if (json_text(answer, "remedy")[0])
            output_line("%s", json_text(answer, "remedy"));
        output_line("%s", json_is_false(ok) ? "the test failed" : "all steps went well");
    }
    return json_is_false(ok) ? 1 : 0;
}

static int run_test(struct cmd *c, const char *pattern)
{
    json_t *answer = NULL;
    int status = call_answer(c, "POST", daemon_path(pattern, cmd_arg(c, 0)), cmd_body(c), &answer);
    if (status == 0)
        status = show_test(answer);
    json_decref(answer);
    return status;
}

int cmd_server_test(struct cmd *c)
{
    return run_test(c, "/v1/servers/%s/test");
}

int cmd_server_send_test(struct cmd *c)
{
    return run_test(c, "/v1/servers/%s/send-test");
}
