/* credential, key: logins of applications, for SMTP and for the API. */
#include "main/call.h"
#include "main/commands.h"
#include "main/output.h"

#include <stdlib.h>

static const struct column credential_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"GROUP", "group", FORM_TEXT, true},
    {"STREAM", "stream", FORM_TEXT, true},
    {"FROM", "from_domains", FORM_TEXT, true},
    {"NETWORKS", "ips", FORM_TEXT, true},
    {"CREATED", "created_at", FORM_TIME, true},
    {"EXPIRES", "expires_at", FORM_TIME, true},
    {"REVOKED", "revoked_at", FORM_TIME, true},
    {"SENT/H", "latency.hour.messages", FORM_COUNT, true},
    {"P50", "latency.hour.p50_ms", FORM_MS, true},
    {"P95", "latency.hour.p95_ms", FORM_MS, true},
    {"P99", "latency.hour.p99_ms", FORM_MS, true},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column key_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"KEY", "hint", FORM_TEXT, true},
    {"SCOPES", "scopes", FORM_TEXT, true},
    {"GROUPS", "groups", FORM_TEXT, true},
    {"TEST", "test", FORM_TEXT, true},
    {"CREATED", "created_at", FORM_TIME, true},
    {"EXPIRES", "expires_at", FORM_TIME, true},
    {"REVOKED", "revoked_at", FORM_TIME, true},
    {"SENT/H", "latency.hour.messages", FORM_COUNT, true},
    {"P50", "latency.hour.p50_ms", FORM_MS, true},
    {"P95", "latency.hour.p95_ms", FORM_MS, true},
    {"P99", "latency.hour.p99_ms", FORM_MS, true},
    {NULL, NULL, FORM_TEXT, false},
};

/* Made, and its secret shown this once: `fields` of the answer, each behind its name unless alone.
 * Takes the path. */
static int create(struct cmd *c, char *path, const char *what, const char *const *fields)
{
    struct err e = {0};
    json_t *answer = NULL, *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    if (!body_add_time(c, body, "expires", "expires_at", &e)) {
        json_decref(body);
        free(path);
        return output_fail(&e);
    }
    int status = call_answer(c, "POST", path, body, &answer);
    if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        output_note("keep it: the %s is shown this once", what);
        for (size_t i = 0; fields[i]; i++)
            if (fields[1])
                output_line("%-9s %s", fields[i], json_text(answer, fields[i]));
            else
                output_line("%s", json_text(answer, fields[i]));
    }
    json_decref(answer);
    return status;
}

static int revoke(struct cmd *c, char *path, const char *what)
{
    if (ask_first(c, "Revoke %s %s? What uses it is refused at once.", what, cmd_arg(c, 0)))
        return call_change(c, "DELETE", path, NULL, "%s %s revoked", what, cmd_arg(c, 0));
    free(path);
    return 1;
}

int cmd_credential_create(struct cmd *c)
{
    static const char *const fields[] = {"user", "password", NULL};
    return create(c, daemon_path("/v1/credentials"), "password", fields);
}

int cmd_credential_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/credentials"), credential_columns, "no credentials");
}

int cmd_credential_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/credentials/%s", cmd_arg(c, 0)));
}

int cmd_credential_revoke(struct cmd *c)
{
    return revoke(c, daemon_path("/v1/credentials/%s", cmd_arg(c, 0)), "credential");
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

int cmd_key_create(struct cmd *c)
{
    static const char *const fields[] = {"key", NULL};
    return create(c, daemon_path("/v1/keys"), "key", fields);
}

int cmd_key_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/keys"), key_columns, "no keys");
}

int cmd_key_revoke(struct cmd *c)
{
    return revoke(c, daemon_path("/v1/keys/%s", cmd_arg(c, 0)), "key");
}
