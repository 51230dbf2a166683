/* message and send: the commands. */
#include <stdlib.h>

#include "main/call.h"
#include "main/commands.h"

static const struct column message_columns[] = {
    {"ID", "id", FORM_TEXT, false},        {"STATE", "state", FORM_STATE, false},
    {"NEWS", "news", FORM_TEXT, true},     {"TO", "to", FORM_TEXT, false},
    {"STREAM", "stream", FORM_TEXT, true}, {"CAMPAIGN", "campaign", FORM_TEXT, true},
    {"GROUP", "group", FORM_TEXT, true},   {"SERVER", "server", FORM_TEXT, true},
    {"DUE", "due_at", FORM_TIME, true},    {NULL, NULL, FORM_TEXT, false},
};

int cmd_message_search(struct cmd *c)
{
    static const char *const filters[] = {"campaign", "state", "server", "to", "tag"};
    char *path = daemon_path("/v1/messages");
    for (size_t i = 0; i < countof(filters); i++)
        path = daemon_query(path, filters[i], cmd_text(c, filters[i]));
    return call_table(c, path, message_columns, "no such messages");
}

int cmd_message_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/messages/%s", cmd_arg(c, 0)));
}

int cmd_message_raw(struct cmd *c)
{
    return call_download(c, daemon_path("/v1/messages/%s/raw", cmd_arg(c, 0)));
}

/* For each id; what fails does not stop the others, and makes the exit status 4 when some went. */
static int for_each_id(struct cmd *c, const char *pattern, json_t *body, const char *done)
{
    size_t good = 0;
    int status = 0;
    for (size_t i = 0; i < c->n_args; i++) {
        int one = call_change(c, "POST", daemon_path(pattern, cmd_arg(c, i)), json_deep_copy(body),
                              "%s %s", cmd_arg(c, i), done);
        good += one == 0;
        if (one != 0)
            status = one;
        if (one == EXIT_UNREACHABLE || one == EXIT_INTERRUPTED)
            return one;
    }
    return status != 0 && good > 0 ? EXIT_PARTLY : status;
}

int cmd_message_cancel(struct cmd *c)
{
    return for_each_id(c, "/v1/messages/%s/cancel", NULL, "cancelled");
}

int cmd_message_retry(struct cmd *c)
{
    return for_each_id(c, "/v1/messages/%s/retry", NULL, "queued again");
}

int cmd_message_move(struct cmd *c)
{
    json_t *body = json_pack("{s:s}", "group", cmd_text(c, "group"));
    int status = for_each_id(c, "/v1/messages/%s/move", body, "moved");
    json_decref(body);
    return status;
}

int cmd_send(struct cmd *c)
{
    static const char *const options[] = {"from", "stream", "group"};
    json_t *answer = NULL;
    char *path = daemon_path("/v1/messages?to=%s", cmd_text(c, "to"));
    for (size_t i = 0; i < countof(options); i++)
        path = daemon_query(path, options[i], cmd_text(c, options[i]));
    const struct value *tag;
    for (size_t i = 0; (tag = cmd_value(c, "tag", i)) != NULL; i++)
        path = daemon_query(path, "tag", tag->text);
    int status = call_upload(c, path, cmd_arg(c, 0), "message/rfc822", NULL, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        output_line("%s queued", json_text(answer, "id"));
    json_decref(answer);
    return status;
}
