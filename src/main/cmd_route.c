/* route: the commands. */
#include "main/call.h"
#include "main/commands.h"

static const struct column route_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"WHEN", "when", FORM_TEXT, false},
    {"GROUP", "group", FORM_TEXT, false},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column rejected_columns[] = {
    {"NOT BY", "server", FORM_TEXT, false},
    {"GROUP", "group", FORM_TEXT, true},
    {"WHY", "why", FORM_TEXT, false},
    {NULL, NULL, FORM_TEXT, false},
};

static int change(struct cmd *c, const char *method, char *path, json_t *body, const char *done)
{
    json_t *answer = NULL, *text;
    size_t i;
    int status = call_answer(c, method, path, body, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0 && !output_is_quiet())
        output_line("route %s %s", cmd_arg(c, 0), done);
    json_array_foreach(json_object_get(answer, "warnings"), i, text)
        output_warn("%s", json_string_value(text));
    json_decref(answer);
    return status;
}

int cmd_route_add(struct cmd *c)
{
    json_t *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    return change(c, "POST", daemon_path("/v1/routes"), body, "added");
}

int cmd_route_set(struct cmd *c)
{
    return change(c, "PATCH", daemon_path("/v1/routes/%s", cmd_arg(c, 0)), cmd_body(c), "changed");
}

int cmd_route_move(struct cmd *c)
{
    if (!cmd_has(c, "before") && !cmd_has(c, "last")) {
        struct err e;
        (void)err_set(&e, ERR_INVALID, "route move: give --before R or --last");
        return output_fail(&e);
    }
    return change(c, "PATCH", daemon_path("/v1/routes/%s", cmd_arg(c, 0)), cmd_body(c), "moved");
}

int cmd_route_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/routes"), route_columns,
                      "no routes: mail goes to the group of its campaign, else to default");
}

int cmd_route_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/routes/%s", cmd_arg(c, 0)));
}

int cmd_route_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove route %s?", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/routes/%s", cmd_arg(c, 0)), NULL,
                       "route %s removed", cmd_arg(c, 0));
}

static void print_explanation(const json_t *a)
{
    size_t i;
    json_t *one;
    const char *rule = json_text(a, "rule"), *server = json_text(a, "server");
    output_line("rule    %s", *rule ? rule : "(none)");
    output_line("group   %s", json_text(a, "group"));
    output_line("server  %s", *server ? server : "(none now)");
    output_line("why     %s", json_text(a, "why"));
    if (!json_array_size(json_object_get(a, "rejected")))
        return;
    output_line("%s", "");
    struct table *t = table_new(rejected_columns);
    json_array_foreach(json_object_get(a, "rejected"), i, one) table_add(t, one);
    table_end(&t, NULL);
}

int cmd_route_explain(struct cmd *c)
{
    static const char *const options[] = {"from", "stream", "campaign", "credential", "size"};
    json_t *answer = NULL;
    const struct value *tag;
    char *path = daemon_path("/v1/routes:explain?to=%s", cmd_text(c, "to"));
    for (size_t i = 0; i < countof(options); i++)
        path = daemon_query(path, options[i], cmd_text(c, options[i]));
    for (size_t i = 0; (tag = cmd_value(c, "tag", i)) != NULL; i++)
        path = daemon_query(path, "tag", tag->text);
    int status = call_answer(c, "GET", path, NULL, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        print_explanation(answer);
    json_decref(answer);
    return status;
}
