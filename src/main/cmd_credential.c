/* credential: logins of applications for SMTP. */
#include "main/call.h"
#include "main/commands.h"
#include "main/output.h"

static const struct column credential_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"GROUP", "group", FORM_TEXT, true},
    {"STREAM", "stream", FORM_TEXT, true},
    {"FROM", "from_domains", FORM_TEXT, true},
    {"NETWORKS", "ips", FORM_TEXT, true},
    {"CREATED", "created_at", FORM_TIME, true},
    {"EXPIRES", "expires_at", FORM_TIME, true},
    {"REVOKED", "revoked_at", FORM_TIME, true},
    {NULL, NULL, FORM_TEXT, false},
};

int cmd_credential_create(struct cmd *c)
{
    struct err e = {0};
    json_t *answer = NULL, *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    if (!body_add_time(c, body, "expires", "expires_at", &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    int status = call_answer(c, "POST", daemon_path("/v1/credentials"), body, &answer);
    if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        output_note("keep it: the password is shown this once");
        output_line("user      %s", json_text(answer, "user"));
        output_line("password  %s", json_text(answer, "password"));
    }
    json_decref(answer);
    return status;
}

int cmd_credential_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/credentials"), credential_columns, "no credentials");
}

int cmd_credential_revoke(struct cmd *c)
{
    if (!ask_first(c, "Revoke credential %s? What uses it is refused at once.", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/credentials/%s", cmd_arg(c, 0)), NULL,
                       "credential %s revoked", cmd_arg(c, 0));
}

int cmd_credential_test(struct cmd *c)
{
    struct err e = {0};
    json_t *body = json_object();
    if (!body_add_password(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    return call_change(c, "POST", daemon_path("/v1/credentials/%s/test", cmd_arg(c, 0)), body,
                       "%s: the password is right", cmd_arg(c, 0));
}
