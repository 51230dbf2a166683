/* template: the commands. Files are read here and go as text. */
#include <stdlib.h>

#include "main/call.h"
#include "main/commands.h"

#define PART_MAX (8u << 20)

static const struct column template_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"SUBJECT", "subject", FORM_TEXT, false},
    {"CREATED", "created_at", FORM_TIME, true},
    {"CHANGED", "updated_at", FORM_TIME, true},
    {NULL, NULL, FORM_TEXT, false},
};

static bool add_parts(struct cmd *c, json_t *body, struct err *e)
{
    static const char *const parts[] = {"html", "text", "markdown"};
    if (cmd_has(c, "markdown") && cmd_has(c, "html"))
        return err_set(e, ERR_INVALID,
                       "give --markdown or --html, not both: HTML is made from "
                       "Markdown");
    for (size_t i = 0; i < countof(parts); i++)
        if (cmd_has(c, parts[i]) &&
            !body_add_file(body, parts[i], cmd_text(c, parts[i]), PART_MAX, e))
            return false;
    return true;
}

int cmd_template_add(struct cmd *c)
{
    struct err e = {0};
    json_t *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    bool ok = cmd_has(c, "html") || cmd_has(c, "text") || cmd_has(c, "markdown") ||
              err_set(&e, ERR_INVALID, "a template needs --html, --text or --markdown FILE");
    if (!ok || !add_parts(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    return call_change(c, "POST", daemon_path("/v1/templates"), body, "template %s added",
                       cmd_arg(c, 0));
}

int cmd_template_set(struct cmd *c)
{
    struct err e = {0};
    json_t *body = cmd_body(c);
    if (!add_parts(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    return call_change(c, "PATCH", daemon_path("/v1/templates/%s", cmd_arg(c, 0)), body,
                       "template %s changed", cmd_arg(c, 0));
}

int cmd_template_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/templates"), template_columns, "no templates");
}

int cmd_template_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/templates/%s", cmd_arg(c, 0)));
}

int cmd_template_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove template %s?", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/templates/%s", cmd_arg(c, 0)), NULL,
                       "template %s removed", cmd_arg(c, 0));
}

int cmd_template_render(struct cmd *c)
{
    json_t *answer = NULL, *body = cmd_body(c);
    body_add_pairs(c, body, "field", "fields");
    int status = call_answer(c, "POST", daemon_path("/v1/templates/%s/render", cmd_arg(c, 0)), body,
                             &answer);
    if (status == 0 && cmd_has(c, "part") && !output_is_json())
        printf("%s\n", json_text(answer, cmd_text(c, "part")));
    else if (status == 0)
        output_record(answer);
    json_decref(answer);
    return status;
}

static void print_findings(const char *kind, const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        if (json_is_string(one))
            output_line("%s: %s", kind, json_string_value(one));
        else
            output_line("%s: %s%sline %lld, column %lld: %s", kind, json_text(one, "part"),
                        json_text(one, "part")[0] ? ", " : "", (long long)json_number(one, "line"),
                        (long long)json_number(one, "column"),
                        json_text(one, json_object_get(one, "message") ? "message" : "text"));
    }
}

int cmd_template_lint(struct cmd *c)
{
    struct err e = {0};
    json_t *answer = NULL, *body = cmd_body(c);
    if (!add_parts(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    char *path = cmd_arg(c, 0) ? daemon_path("/v1/templates/%s/lint", cmd_arg(c, 0))
                               : daemon_path("/v1/templates:lint");
    int status = call_answer(c, "POST", path, body, &answer);
    const json_t *errors = json_object_get(answer, "errors");
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0) {
        print_findings("error", errors);
        print_findings("warning", json_object_get(answer, "warnings"));
        if (json_array_size(errors) == 0)
            output_line("no errors");
    }
    if (status == 0 && json_array_size(errors) > 0)
        status = 1;
    json_decref(answer);
    return status;
}
