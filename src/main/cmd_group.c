/* group and list: the commands. */
#include "main/call.h"
#include "main/commands.h"

static const struct column group_columns[] = {
    {"NAME", "name", FORM_TEXT, false},        {"STRATEGY", "strategy", FORM_TEXT, false},
    {"SERVERS", "servers", FORM_TEXT, true},   {"FALLBACK", "fallback", FORM_TEXT, true},
    {"AT LIMIT", "at_limit", FORM_TEXT, true}, {"SHARES", "shares", FORM_TEXT, true},
    {"STICKY", "sticky", FORM_TEXT, true},     {NULL, NULL, FORM_TEXT, false},
};

static const struct column list_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"CONTACTS", "contacts", FORM_COUNT, true},
    {"UNSUBSCRIBED", "unsubscribed", FORM_COUNT, true},
    {"GROUP", "group", FORM_TEXT, true},
    {"CREATED", "created_at", FORM_TIME, true},
    {NULL, NULL, FORM_TEXT, false},
};

static json_t *named_body(struct cmd *c)
{
    json_t *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    return body;
}

int cmd_group_add(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/groups"), named_body(c), "group %s added",
                       cmd_arg(c, 0));
}

int cmd_group_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/groups"), group_columns, "no groups");
}

int cmd_group_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/groups/%s", cmd_arg(c, 0)));
}

int cmd_group_set(struct cmd *c)
{
    return call_change(c, "PATCH", daemon_path("/v1/groups/%s", cmd_arg(c, 0)), cmd_body(c),
                       "group %s changed", cmd_arg(c, 0));
}

int cmd_group_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove group %s?", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/groups/%s", cmd_arg(c, 0)), NULL,
                       "group %s removed", cmd_arg(c, 0));
}

int cmd_list_add(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/lists"), named_body(c), "list %s added",
                       cmd_arg(c, 0));
}

int cmd_list_set(struct cmd *c)
{
    return call_change(c, "PATCH", daemon_path("/v1/lists/%s", cmd_arg(c, 0)), cmd_body(c),
                       "list %s changed", cmd_arg(c, 0));
}

int cmd_list_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/lists"), list_columns, "no lists");
}

int cmd_list_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/lists/%s", cmd_arg(c, 0)));
}

/* A long list goes in bites: the daemon says whether it is gone. */
int cmd_list_remove(struct cmd *c)
{
    json_t *answer = NULL;
    int status = 0;
    bool gone = false;
    if (!ask_first(c, "Remove list %s? Its contacts stay.", cmd_arg(c, 0)))
        return 1;
    while (status == 0 && !gone) {
        json_decref(answer);
        status =
            call_answer(c, "DELETE", daemon_path("/v1/lists/%s", cmd_arg(c, 0)), NULL, &answer);
        gone = !json_is_false(json_object_get(answer, "removed"));
    }
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        output_line("list %s removed", cmd_arg(c, 0));
    json_decref(answer);
    return status;
}
