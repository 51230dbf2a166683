/* contact and suppression: the commands. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "main/call.h"
#include "main/commands.h"

static const struct column contact_columns[] = {
    {"EMAIL", "email", FORM_TEXT, false},
    {"SINCE", "since", FORM_TIME, true},
    {"UNSUBSCRIBED", "unsubscribed_at", FORM_TIME, true},
    {"CREATED", "created_at", FORM_TIME, true},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column suppression_columns[] = {
    {"ADDRESS", "address", FORM_TEXT, false},
    {"REASON", "reason", FORM_TEXT, false},
    {"SOURCE", "source", FORM_TEXT, true},
    {"SINCE", "since", FORM_TIME, false},
    {"PROVISIONAL UNTIL", "provisional_until", FORM_TIME, true},
    {"SERVER", "server", FORM_TEXT, true},
    {NULL, NULL, FORM_TEXT, false},
};

int cmd_contact_add(struct cmd *c)
{
    json_t *body = cmd_body(c);
    json_object_set_new(body, "email", json_string(cmd_arg(c, 0)));
    body_add_pairs(c, body, "field", "fields");
    return call_change(c, "POST", daemon_path("/v1/contacts"), body, "contact %s added",
                       cmd_arg(c, 0));
}

int cmd_contact_list(struct cmd *c)
{
    const char *list = cmd_text(c, "list");
    return call_table(
        c, list ? daemon_path("/v1/lists/%s/contacts", list) : daemon_path("/v1/contacts"),
        contact_columns, "no contacts");
}

int cmd_contact_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/contacts/%s", cmd_arg(c, 0)));
}

int cmd_contact_export(struct cmd *c)
{
    return call_download(c, daemon_path("/v1/contacts:export?list=%s", cmd_text(c, "list")));
}

int cmd_contact_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove contact %s from all lists?", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/contacts/%s", cmd_arg(c, 0)), NULL,
                       "contact %s removed", cmd_arg(c, 0));
}

/* ---- imports ---- */

/* A CSV cell, quoted always, harmless in spreadsheets. */
static void add_cell(struct buf *b, const char *text)
{
    buf_adds(b, strchr("=+-@\t\r", text[0]) && text[0] ? "\"'" : "\"");
    for (; *text; text++) {
        if (*text == '"')
            buf_addc(b, '"');
        buf_addc(b, *text);
    }
    buf_addc(b, '"');
}

static const char *first_text(const json_t *o, const char *a, const char *b, const char *c)
{
    if (json_is_string(json_object_get(o, a)))
        return json_text(o, a);
    return json_is_string(json_object_get(o, b)) ? json_text(o, b) : json_text(o, c);
}

static bool write_whole(const char *path, struct str s, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t done = 0; fd >= 0 && done < s.n;) {
        ssize_t n = write(fd, s.p + done, s.n - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
        if (done == s.n)
            return close(fd) == 0 || err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    }
    err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return false;
}

/* Takes the list of wrong rows out of the answer and writes it beside the input; errors_file says
 * where, or is null. */
static bool write_errors(json_t *answer, const char *file, struct err *e)
{
    const json_t *errors = json_object_get(answer, "errors");
    size_t i;
    json_t *one;
    bool ok = true;
    if (json_array_size(errors) == 0) {
        json_object_del(answer, "errors");
        json_object_set_new(answer, "errors_file", json_null());
        return true;
    }
    struct buf b, path;
    buf_init(&b, 1u << 30);
    buf_init(&path, 1 << 16);
    buf_adds(&b, "line,email,error\n");
    json_array_foreach(errors, i, one)
    {
        int64_t line = json_number(one, json_object_get(one, "line") ? "line" : "row");
        buf_addf(&b, "%lld,", (long long)line);
        add_cell(&b, first_text(one, "email", "value", "address"));
        buf_addc(&b, ',');
        add_cell(&b, first_text(one, "error", "message", "reason"));
        buf_addc(&b, '\n');
    }
    buf_addf(&path, "%s.errors.csv", strcmp(file, "-") ? file : "stdin");
    ok = write_whole(buf_cstr(&path), buf_str(&b), e);
    json_object_del(answer, "errors");
    json_object_set_new(answer, "errors_file", ok ? json_string(buf_cstr(&path)) : json_null());
    buf_free(&b);
    buf_free(&path);
    return ok;
}

static int finish_import(json_t *answer, const char *file, int status)
{
    struct err e = {0};
    if (status != 0)
        return status;
    int64_t invalid = json_number(answer, "invalid");
    bool written = write_errors(answer, file, &e);
    if (output_is_json())
        output_json(answer);
    else {
        const char *key;
        json_t *v;
        json_object_foreach(answer, key, v)
        {
            if (json_is_integer(v))
                output_line("%-10s %lld", key, (long long)json_integer_value(v));
        }
        if (json_is_string(json_object_get(answer, "errors_file")))
            output_line("see %s", json_text(answer, "errors_file"));
    }
    if (!written)
        return output_fail(&e);
    return invalid > 0 ? EXIT_PARTLY : 0;
}

int cmd_contact_import(struct cmd *c)
{
    json_t *answer = NULL;
    const struct value *v;
    const char *file = cmd_arg(c, 0);
    char *path = daemon_path("/v1/contacts:import?list=%s", cmd_text(c, "list"));
    path = daemon_query(path, "policy", cmd_text(c, "policy"));
    for (size_t i = 0; (v = cmd_value(c, "map", i)) != NULL; i++)
        path = daemon_query(path, "map", v->text);
    path = daemon_query(path, "dry_run", cmd_has(c, "dry-run") ? "1" : NULL);
    int status = call_upload(c, path, file, "text/csv", "importing", &answer);
    status = finish_import(answer, file, status);
    json_decref(answer);
    return status;
}

int cmd_suppression_import(struct cmd *c)
{
    json_t *answer = NULL;
    const char *file = cmd_arg(c, 0);
    char *path =
        daemon_query(daemon_path("/v1/suppressions:import"), "reason", cmd_text(c, "reason"));
    path = daemon_query(path, "dry_run", cmd_has(c, "dry-run") ? "1" : NULL);
    int status = call_upload(c, path, file, "text/csv", "importing", &answer);
    status = finish_import(answer, file, status);
    json_decref(answer);
    return status;
}

/* ---- suppression ---- */

int cmd_suppression_add(struct cmd *c)
{
    int status = 0;
    for (size_t i = 0; i < c->n_args && status == 0; i++) {
        json_t *body = cmd_body(c);
        json_object_set_new(body, "address", json_string(cmd_arg(c, i)));
        status = call_change(c, "POST", daemon_path("/v1/suppressions"), body, "%s is suppressed",
                             cmd_arg(c, i));
    }
    return status;
}

int cmd_suppression_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/suppressions"), suppression_columns,
                      "nobody is suppressed");
}

int cmd_suppression_check(struct cmd *c)
{
    json_t *answer = NULL, *problem = NULL;
    int status = 0;
    struct daemon *cl = daemon_new(c, &status);
    if (!cl)
        return status;
    status = daemon_try(cl, "GET", daemon_path("/v1/suppressions/%s", cmd_arg(c, 0)), NULL, &answer,
                        &problem);
    if (status == 0)
        output_record(answer);
    else if (status == EXIT_NOT_FOUND && !output_is_json())
        output_line("%s is not suppressed", cmd_arg(c, 0));
    else
        output_problem(problem);
    json_decref(answer);
    json_decref(problem);
    daemon_free(&cl);
    return status;
}

int cmd_suppression_remove(struct cmd *c)
{
    int status = 0;
    if (!ask_first(c, "Allow sending to %s%s again?", cmd_arg(c, 0), c->n_args > 1 ? " ..." : ""))
        return 1;
    for (size_t i = 0; i < c->n_args && status == 0; i++)
        status = call_change(c, "DELETE", daemon_path("/v1/suppressions/%s", cmd_arg(c, i)), NULL,
                             "%s is suppressed no more", cmd_arg(c, i));
    return status;
}

int cmd_suppression_revert(struct cmd *c)
{
    struct err e = {0};
    json_t *answer = NULL;
    char *since = time_text(cmd_text(c, "since"), true, &e);
    if (!since)
        return output_fail(&e);
    json_t *body = cmd_body(c);
    json_object_set_new(body, "since", json_string(since));
    bool go =
        ask_first(c, "Undo what server %s suppressed since %s?", cmd_text(c, "server"), since);
    free(since);
    if (!go) {
        json_decref(body);
        return 1;
    }
    int status = call_answer(c, "POST", daemon_path("/v1/suppressions:revert"), body, &answer);
    if (status == 0)
        output_record(answer);
    json_decref(answer);
    return status;
}
