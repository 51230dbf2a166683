/* campaign: the commands but waiting (campaign_wait.c). */
#include <stdlib.h>

#include "main/call.h"
#include "main/campaign_wait.h"
#include "main/commands.h"

static const struct column campaign_columns[] = {
    {"NAME", "name", FORM_TEXT, false},         {"STATE", "state", FORM_STATE, false},
    {"LIST", "list", FORM_TEXT, true},          {"TEMPLATE", "template", FORM_TEXT, true},
    {"GROUP", "group", FORM_TEXT, true},        {"RECIPIENTS", "recipients", FORM_COUNT, true},
    {"SENT", "sent", FORM_COUNT, true},         {"PENDING", "pending", FORM_COUNT, true},
    {"STARTED", "started_at", FORM_TIME, true}, {"FINISHED", "finished_at", FORM_TIME, true},
    {"REASON", "reason", FORM_TEXT, true},      {NULL, NULL, FORM_TEXT, false},
};

static const struct column by_server_columns[] = {
    {"SERVER", "server", FORM_TEXT, false},
    {"SENT", "sent", FORM_COUNT, false},
    {"DEFERRED", "deferred", FORM_COUNT, false},
    {"FAILED", "failed", FORM_COUNT, false},
    {"HARD", "bounced_hard", FORM_COUNT, false},
    {"SOFT", "bounced_soft", FORM_COUNT, false},
    {"SHARE", "share", FORM_SHARE, false},
    {"PLANNED", "planned_share", FORM_SHARE, true},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column by_group_columns[] = {
    {"GROUP", "group", FORM_TEXT, false},  {"SENT", "sent", FORM_COUNT, false},
    {"SHARE", "share", FORM_SHARE, false}, {"PLANNED", "planned_share", FORM_SHARE, false},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column by_provider_columns[] = {
    {"PROVIDER", "provider", FORM_TEXT, false},
    {"SENT", "sent", FORM_COUNT, true},
    {"DEFERRED", "deferred", FORM_COUNT, true},
    {"FAILED", "failed", FORM_COUNT, true},
    {"HARD", "bounced_hard", FORM_COUNT, true},
    {"SOFT", "bounced_soft", FORM_COUNT, true},
    {NULL, NULL, FORM_TEXT, false},
};

int cmd_campaign_create(struct cmd *c)
{
    struct err e = {0};
    json_t *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    if (!body_add_time(c, body, "deadline", "deadline", &e)) {
        json_decref(body);
        return output_fail(&e);
    }
    return call_change(c, "POST", daemon_path("/v1/campaigns"), body,
                       "campaign %s created; postfleet campaign start %s sends it", cmd_arg(c, 0),
                       cmd_arg(c, 0));
}

int cmd_campaign_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/campaigns"), campaign_columns, "no campaigns");
}

int cmd_campaign_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/campaigns/%s", cmd_arg(c, 0)));
}

/* "errors" hinder a start, "warnings" do not; both are lists of texts or of {"text"}. */
static void print_findings(const char *kind, const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *text = json_string_value(one);
        if (!text)
            text = json_text(one, json_object_get(one, "message") ? "message" : "text");
        output_line("%s: %s", kind, text);
    }
}

int cmd_campaign_check(struct cmd *c)
{
    json_t *answer = NULL;
    int status =
        call_answer(c, "POST", daemon_path("/v1/campaigns/%s/check", cmd_arg(c, 0)), NULL, &answer);
    const json_t *ok = json_object_get(answer, "ok");
    bool bad = json_is_false(ok) || json_array_size(json_object_get(answer, "errors")) > 0;
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0) {
        print_findings("error", json_object_get(answer, "errors"));
        print_findings("warning", json_object_get(answer, "warnings"));
        if (json_object_get(answer, "recipients"))
            output_line("%lld recipients", (long long)json_number(answer, "recipients"));
        output_line(bad ? "not ready to start" : "ready to start");
    }
    if (status == 0 && bad)
        status = err_exit_status(ERR_REFUSED);
    json_decref(answer);
    return status;
}

int cmd_campaign_test(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/campaigns/%s/test", cmd_arg(c, 0)), cmd_body(c),
                       "test mail to %s accepted", cmd_text(c, "to"));
}

int cmd_campaign_preview(struct cmd *c)
{
    json_t *answer = NULL;
    char *path = daemon_query(daemon_path("/v1/campaigns/%s/preview", cmd_arg(c, 0)), "contact",
                              cmd_text(c, "contact"));
    int status = call_answer(c, "GET", path, NULL, &answer);
    if (status == 0 && cmd_has(c, "part") && !output_is_json())
        printf("%s\n", json_text(answer, cmd_text(c, "part")));
    else if (status == 0)
        output_record(answer);
    json_decref(answer);
    return status;
}

int cmd_campaign_start(struct cmd *c)
{
    const char *name = cmd_arg(c, 0);
    if (cmd_has(c, "dry-run"))
        return cmd_campaign_check(c);
    if (!cmd_has(c, "wait"))
        return call_change(c, "POST", daemon_path("/v1/campaigns/%s/start", name), cmd_body(c),
                           "campaign %s started; postfleet campaign report %s follows it", name,
                           name);
    return campaign_start_and_wait(c, name);
}

int cmd_campaign_pause(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/campaigns/%s/pause", cmd_arg(c, 0)), NULL,
                       "campaign %s paused", cmd_arg(c, 0));
}

int cmd_campaign_resume(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/campaigns/%s/resume", cmd_arg(c, 0)), NULL,
                       "campaign %s goes on", cmd_arg(c, 0));
}

int cmd_campaign_cancel(struct cmd *c)
{
    if (!ask_first(c, "Cancel campaign %s? What is not sent yet is given up.", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "POST", daemon_path("/v1/campaigns/%s/cancel", cmd_arg(c, 0)), NULL,
                       "campaign %s cancelled", cmd_arg(c, 0));
}

/* In bites, each durable: `after` of an answer goes into the next call until it is null. */
int cmd_campaign_retry_failed(struct cmd *c)
{
    int64_t queued = 0;
    int status = 0;
    json_t *after = NULL;
    if (cmd_has(c, "uncertain") &&
        !ask_first(c, "Some of these may have arrived and would arrive twice. Go on?"))
        return 1;
    do {
        json_t *answer = NULL, *body = cmd_body(c);
        if (after)
            json_object_set_new(body, "after", after);
        status = call_answer(c, "POST", daemon_path("/v1/campaigns/%s/retry-failed", cmd_arg(c, 0)),
                             body, &answer);
        queued += json_number(answer, "queued");
        after = json_incref(json_object_get(answer, "after"));
        json_decref(answer);
    } while (status == 0 && after && !json_is_null(after));
    if (status != 0)
        return status;
    json_t *o = json_pack("{s:s, s:I}", "name", cmd_arg(c, 0), "queued", (json_int_t)queued);
    if (output_is_json())
        output_json(o);
    else
        output_line("%lld messages queued again", (long long)queued);
    json_decref(o);
    return 0;
}

static void print_table(const char *title, const json_t *rows, const struct column *columns)
{
    size_t i;
    json_t *row;
    if (json_array_size(rows) == 0)
        return;
    struct table *t = table_new(columns);
    printf("\n%s\n", title);
    json_array_foreach(rows, i, row)
    {
        table_add(t, row);
    }
    table_end(&t, NULL);
}

static void print_count(const char *label, int64_t n, int64_t of)
{
    char text[32];
    output_count(n, text);
    if (of > 0 && n > 0)
        output_line("%-14s %12s  %5.1f %%", label, text, 100.0 * (double)n / (double)of);
    else
        output_line("%-14s %12s", label, text);
}

/* When it will be over, by the forecast. */
static void print_eta(const json_t *eta)
{
    char left[32];
    const json_t *seconds = json_object_get(eta, "seconds");
    if (!json_is_object(eta))
        return;
    if (json_is_number(seconds)) {
        output_duration((int64_t)(json_number_value(seconds) * 1000), left);
        output_line("%-14s %s, in %s", "ends", json_text(eta, "finishes_at"), left);
    } else {
        output_line("%-14s %s", "ends", "not within 400 days as things are");
    }
    output_line("%-14s %s", "held up by", json_text(eta, "bottleneck"));
}

static void print_costs(const json_t *groups)
{
    size_t i;
    json_t *one;
    char text[32];
    json_array_foreach(groups, i, one)
    {
        double share = json_number_value(json_object_get(one, "costs_share"));
        output_duration((int64_t)(json_number_value(json_object_get(one, "costs_seconds")) * 1000),
                        text);
        if (share >= 0.01)
            output_line("%-14s %.0f %% of the time (%s) in group %s: the others wait for %s; "
                        "group set %s --shares elastic passes it by while it is busy",
                        "exact shares", share * 100, text, json_text(one, "group"),
                        json_text(one, "slowest"), json_text(one, "group"));
    }
}

void campaign_report_print(const json_t *r)
{
    static const char *const counts[] = {
        "sent",    "delivered", "failed", "uncertain", "suppressed", "cancelled",   "expired",
        "pending", "deferred",  "opened", "clicked",   "complained", "unsubscribed"};
    const json_t *bounced = json_object_get(r, "bounced");
    int64_t all = json_number(r, "recipients");
    const char *reason = json_text(r, "reason");
    output_line("campaign %s: %s%s%s", json_text(r, "name"), json_text(r, "state"),
                reason[0] ? ": " : "", reason);
    print_count("recipients", all, 0);
    for (size_t i = 0; i < countof(counts); i++) {
        if (i < 9 || json_number(r, counts[i]) > 0)
            print_count(counts[i], json_number(r, counts[i]), all);
        if (i == 1) {
            print_count("bounced hard", json_number(bounced, "hard"), all);
            print_count("bounced soft", json_number(bounced, "soft"), all);
        }
    }
    if (json_number(r, "bounced_later") > 0)
        print_count("bounced later", json_number(r, "bounced_later"), all);
    if (json_is_number(json_object_get(r, "rate_per_s")))
        output_line("%-14s %10.0f/s", "rate", json_number_value(json_object_get(r, "rate_per_s")));
    if (json_text(r, "started_at")[0])
        output_line("%-14s %s", "started", json_text(r, "started_at"));
    if (json_text(r, "finished_at")[0])
        output_line("%-14s %s", "finished", json_text(r, "finished_at"));
    print_eta(json_object_get(r, "eta"));
    print_costs(json_object_get(r, "exact_shares"));
    if (json_array_size(json_object_get(r, "by_group")) > 1)
        print_table("Sent by group", json_object_get(r, "by_group"), by_group_columns);
    print_table("Attempts by server", json_object_get(r, "by_server"), by_server_columns);
    print_table("By mailbox provider", json_object_get(r, "by_provider"), by_provider_columns);
}

int cmd_campaign_report(struct cmd *c)
{
    json_t *answer = NULL;
    int status =
        call_answer(c, "GET", daemon_path("/v1/campaigns/%s/report?forecast=yes", cmd_arg(c, 0)),
                    NULL, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        campaign_report_print(answer);
    json_decref(answer);
    return status;
}
