/* webhook: who is told of what happens. */
#include "main/call.h"
#include "main/commands.h"
#include "main/output.h"

#include <stdlib.h>

static const struct column webhook_columns[] = {
    {"NAME", "name", FORM_TEXT, false},       {"STATE", "state", FORM_STATE, false},
    {"URL", "url", FORM_TEXT, true},          {"DELIVERED", "delivered", FORM_TEXT, false},
    {"WAITING", "waiting", FORM_TEXT, false}, {"FAILING SINCE", "failing_since", FORM_TIME, true},
    {"REASON", "reason", FORM_TEXT, true},    {NULL, NULL, FORM_TEXT, false},
};

static const struct column log_columns[] = {
    {"AT", "at", FORM_TIME, false},        {"TYPE", "type", FORM_TEXT, false},
    {"EVENT", "event", FORM_TEXT, true},   {"TRY", "attempt", FORM_TEXT, false},
    {"STATUS", "status", FORM_TEXT, true}, {"MS", "ms", FORM_TEXT, false},
    {"DETAIL", "detail", FORM_TEXT, true}, {"NEXT", "next_at", FORM_TIME, true},
    {NULL, NULL, FORM_TEXT, false},
};

/* `--event none` takes a filter off. */
static void none_is_empty(json_t *body)
{
    static const char *const fields[] = {"events", "servers", "groups", "tags", NULL};
    for (size_t i = 0; fields[i]; i++) {
        json_t *a = json_object_get(body, fields[i]);
        if (json_array_size(a) == 1 && json_is_null(json_array_get(a, 0)))
            json_array_clear(a);
    }
}

static bool add_secret(struct cmd *c, json_t *body, struct err *e)
{
    const char *file = cmd_text(c, "secret-file");
    if (!file || !body_add_file(body, "secret", file, 1000, e))
        return file == NULL;
    const char *text = json_string_value(json_object_get(body, "secret"));
    json_object_set_new(body, "secret",
                        json_stringn(text, strcspn(text, "\r\n"))); /* one line of it */
    return true;
}

static int print_secret(int status, json_t *answer, const char *done)
{
    if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        output_note("keep it: the secret is shown this once");
        output_line("%s %s", json_text(answer, "name"), done);
        output_line("secret  %s", json_text(answer, "secret"));
    }
    json_decref(answer);
    return status;
}

int cmd_webhook_add(struct cmd *c)
{
    struct err e = {0};
    json_t *answer = NULL, *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    json_object_set_new(body, "url", json_string(cmd_arg(c, 1)));
    if (!add_secret(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    none_is_empty(body);
    if (!strncmp(cmd_arg(c, 1), "http://", 7))
        output_note("http:// is not encrypted: whoever is in between can read the addresses");
    int status = call_answer(c, "POST", daemon_path("/v1/webhooks"), body, &answer);
    return print_secret(status, answer, "is told from now on");
}

int cmd_webhook_rotate(struct cmd *c)
{
    struct err e = {0};
    json_t *answer = NULL, *body = cmd_body(c);
    if (!add_secret(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    int status =
        call_answer(c, "POST", daemon_path("/v1/webhooks/%s/rotate", cmd_arg(c, 0)), body, &answer);
    return print_secret(status, answer,
                        "has a new secret; the old one signs beside it for a while");
}

int cmd_webhook_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/webhooks"), webhook_columns,
                      "no webhooks: postfleet webhook add NAME https://... makes one");
}

int cmd_webhook_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/webhooks/%s", cmd_arg(c, 0)));
}

int cmd_webhook_set(struct cmd *c)
{
    json_t *body = cmd_body(c);
    none_is_empty(body);
    return call_change(c, "PATCH", daemon_path("/v1/webhooks/%s", cmd_arg(c, 0)), body,
                       "webhook %s changed", cmd_arg(c, 0));
}

int cmd_webhook_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove webhook %s? What was not delivered yet is not told any more.",
                   cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/webhooks/%s", cmd_arg(c, 0)), NULL,
                       "webhook %s removed", cmd_arg(c, 0));
}

int cmd_webhook_test(struct cmd *c)
{
    json_t *answer = NULL;
    int status =
        call_answer(c, "POST", daemon_path("/v1/webhooks/%s/test", cmd_arg(c, 0)), NULL, &answer);
    bool ok = json_is_true(json_object_get(answer, "ok"));
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0 && ok)
        output_line("%s took it: HTTP %lld in %lld ms", cmd_arg(c, 0),
                    (long long)json_number(answer, "status"), (long long)json_number(answer, "ms"));
    else if (status == 0)
        output_line("%s did not take it: %s (%lld ms)", cmd_arg(c, 0), json_text(answer, "detail"),
                    (long long)json_number(answer, "ms"));
    json_decref(answer);
    return status == 0 && !ok ? 1 : status;
}

int cmd_webhook_log(struct cmd *c)
{
    return call_table(c,
                      daemon_path("/v1/webhooks/%s/log%s", cmd_arg(c, 0),
                                  cmd_has(c, "failed") ? "?failed=yes" : ""),
                      log_columns, "nothing was delivered yet");
}

static bool add_past(struct cmd *c, json_t *body, const char *option, struct err *e)
{
    if (!cmd_has(c, option))
        return true;
    char *t = time_text(cmd_text(c, option), true, e);
    if (!t)
        return err_prefix(e, "--%s", option);
    json_object_set_new(body, option, json_string(t));
    free(t);
    return true;
}

int cmd_webhook_resend(struct cmd *c)
{
    struct err e = {0};
    json_t *answer = NULL, *body = cmd_body(c);
    if (cmd_arg(c, 1))
        json_object_set_new(body, "event", json_string(cmd_arg(c, 1)));
    if (!add_past(c, body, "since", &e) || !add_past(c, body, "until", &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    int status =
        call_answer(c, "POST", daemon_path("/v1/webhooks/%s/resend", cmd_arg(c, 0)), body, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        output_line("%lld events are sent again to %s", (long long)json_number(answer, "queued"),
                    cmd_arg(c, 0));
    json_decref(answer);
    return status;
}
