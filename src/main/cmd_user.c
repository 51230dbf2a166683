/* user, audit: the commands. */
#include "main/call.h"
#include "main/commands.h"

static const struct column user_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"ROLE", "role", FORM_TEXT, false},
    {"CREATED", "created_at", FORM_TIME, true},
    {"LAST LOGIN", "last_login_at", FORM_TIME, true},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column audit_columns[] = {
    {"SEQ", "seq", FORM_TEXT, false},        {"AT", "at", FORM_TIME, false},
    {"ACTOR", "actor", FORM_TEXT, false},    {"OP", "op", FORM_TEXT, false},
    {"SUBJECT", "subject", FORM_TEXT, true}, {NULL, NULL, FORM_TEXT, false},
};

static json_t *body_of(struct cmd *c, struct err *e)
{
    json_t *body = cmd_body(c);
    if (body_add_password(c, body, e))
        return body;
    json_decref(body);
    return NULL;
}

int cmd_user_create(struct cmd *c)
{
    struct err e = {0};
    json_t *body = body_of(c, &e);
    if (!body)
        return output_fail(&e);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    return call_change(c, "POST", daemon_path("/v1/users"), body, "user %s created", cmd_arg(c, 0));
}

int cmd_user_set(struct cmd *c)
{
    struct err e = {0};
    json_t *body = body_of(c, &e);
    if (!body)
        return output_fail(&e);
    return call_change(c, "PATCH", daemon_path("/v1/users/%s", cmd_arg(c, 0)), body,
                       "user %s changed; every login of it is over", cmd_arg(c, 0));
}

int cmd_user_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/users"), user_columns, "no users");
}

int cmd_user_revoke(struct cmd *c)
{
    if (!ask_first(c, "Revoke user %s? Every login of it ends at once.", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/users/%s", cmd_arg(c, 0)), NULL,
                       "user %s revoked", cmd_arg(c, 0));
}

/* Logs in and drops the token: the session ends by itself. */
int cmd_user_test(struct cmd *c)
{
    struct err e = {0};
    json_t *body = body_of(c, &e);
    if (!body)
        return output_fail(&e);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    json_t *answer = NULL;
    int status = call_answer(c, "POST", daemon_path("/v1/sessions"), body, &answer);
    json_object_del(answer, "token");
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        output_line("user %s may log in (%s)", cmd_arg(c, 0), json_text(answer, "role"));
    json_decref(answer);
    return status;
}

int cmd_audit_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/audit"), audit_columns, "nothing was changed yet");
}

int cmd_audit_verify(struct cmd *c)
{
    json_t *answer = NULL;
    int status = call_answer(c, "GET", daemon_path("/v1/audit:verify"), NULL, &answer);
    bool whole = json_is_true(json_object_get(answer, "whole"));
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0 && whole)
        output_line("the audit log is whole: %lld rows", (long long)json_number(answer, "rows"));
    else if (status == 0)
        output_line("the audit log is NOT whole: %s", json_text(answer, "why"));
    if (status == 0 && !whole)
        status = 1;
    json_decref(answer);
    return status;
}
