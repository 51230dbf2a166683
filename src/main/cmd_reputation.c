/* reputation: the commands. */
#include "main/call.h"
#include "main/commands.h"

static const struct column rule_columns[] = {
    {"RULE", "name", FORM_TEXT, false},
    {"WHEN", "when", FORM_TEXT, false},
    {"OF", "scope", FORM_TEXT, false},
    {"WINDOW", "window_ms", FORM_MS, false},
    {"VOLUME", "volume", FORM_COUNT, false},
    {"ACTION", "action", FORM_TEXT, false},
    {"FOR", "for_ms", FORM_MS, false},
    {"WEIGHT", "weight", FORM_SHARE, true},
    {"APPROVAL", "approval", FORM_TEXT, true},
    {"ON", "enabled", FORM_TEXT, false},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column standing_columns[] = {
    {"SERVER", "server", FORM_TEXT, false},   {"PROVIDER", "provider", FORM_TEXT, true},
    {"STANDING", "stage", FORM_STATE, false}, {"WEIGHT", "factor", FORM_SHARE, false},
    {"SINCE", "since", FORM_TIME, false},     {"UNTIL", "until", FORM_TIME, true},
    {"REASON", "reason", FORM_TEXT, true},    {NULL, NULL, FORM_TEXT, false},
};

static const struct column deed_columns[] = {
    {"ID", "id", FORM_TEXT, false},         {"AT", "at", FORM_TIME, false},
    {"SERVER", "server", FORM_TEXT, false}, {"PROVIDER", "provider", FORM_TEXT, true},
    {"ACTION", "action", FORM_TEXT, false}, {"STATE", "state", FORM_STATE, false},
    {"REASON", "reason", FORM_TEXT, true},  {NULL, NULL, FORM_TEXT, false},
};

int cmd_reputation_rules(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/reputation/rules"), rule_columns, "no rules");
}

int cmd_reputation_add(struct cmd *c)
{
    json_t *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    return call_change(c, "POST", daemon_path("/v1/reputation/rules"), body, "rule %s added",
                       cmd_arg(c, 0));
}

int cmd_reputation_set(struct cmd *c)
{
    return call_change(c, "PATCH", daemon_path("/v1/reputation/rules/%s", cmd_arg(c, 0)),
                       cmd_body(c), "rule %s changed", cmd_arg(c, 0));
}

int cmd_reputation_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove rule %s?", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/reputation/rules/%s", cmd_arg(c, 0)), NULL,
                       "rule %s removed", cmd_arg(c, 0));
}

static void show_rows(const struct column *columns, const json_t *rows, const char *nothing)
{
    size_t i;
    const json_t *row;
    struct table *t = table_new(columns);
    json_array_foreach(rows, i, row)
    {
        table_add(t, row);
    }
    table_end(&t, nothing);
}

static int show_status(struct cmd *c, const char *method, char *path)
{
    json_t *answer = NULL;
    int status = call_answer(c, method, path, NULL, &answer);
    if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        show_rows(standing_columns, json_object_get(answer, "servers"),
                  "all servers are in good standing");
        if (json_array_size(json_object_get(answer, "actions"))) {
            output_line("%s", "");
            show_rows(deed_columns, json_object_get(answer, "actions"), NULL);
        }
    }
    json_decref(answer);
    return status;
}

int cmd_reputation_status(struct cmd *c)
{
    return show_status(c, "GET", daemon_path("/v1/reputation"));
}

int cmd_reputation_check(struct cmd *c)
{
    return show_status(c, "POST", daemon_path("/v1/reputation:check"));
}

int cmd_reputation_approve(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/reputation/actions/%s/approve", cmd_arg(c, 0)),
                       NULL, "%s approved", cmd_arg(c, 0));
}

int cmd_reputation_release(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/reputation/servers/%s/release", cmd_arg(c, 0)),
                       NULL, "server %s is in good standing", cmd_arg(c, 0));
}

int cmd_reputation_signal(struct cmd *c)
{
    json_t *body = cmd_body(c);
    json_object_set_new(body, "server", json_string(cmd_arg(c, 0)));
    return call_change(c, "POST", daemon_path("/v1/reputation/signals"), body, "noted for %s",
                       cmd_arg(c, 0));
}
