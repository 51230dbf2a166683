/* warmup: the commands. */
#include "main/call.h"
#include "main/commands.h"

static const struct column plan_columns[] = {
    {"PLAN", "name", FORM_TEXT, false},    {"DAYS", "days", FORM_COUNT, false},
    {"FIRST", "first", FORM_COUNT, false}, {"LAST", "last", FORM_COUNT, false},
    {"WHAT", "title", FORM_TEXT, false},   {NULL, NULL, FORM_TEXT, false},
};

static const struct column warmup_columns[] = {
    {"SERVER", "server", FORM_TEXT, false},
    {"STATE", "state", FORM_STATE, false},
    {"PLAN", "plan", FORM_TEXT, false},
    {"DAY", "day", FORM_COUNT, true},
    {"OF", "days", FORM_COUNT, true},
    {"CAP", "cap", FORM_COUNT, true},
    {"USED", "used", FORM_COUNT, true},
    {"NEXT", "next_cap", FORM_COUNT, true},
    {"HARD", "today.hard_bounce_rate", FORM_SHARE, true},
    {"DEFERRED", "today.deferral_rate", FORM_SHARE, true},
    {"BLOCKS", "today.blocks", FORM_COUNT, true},
    {"DAY ENDS", "day_ends_at", FORM_TIME, true},
    {"LAST DAY", "last_day", FORM_TEXT, true},
    {"WHY", "why", FORM_TEXT, true},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column provider_columns[] = {
    {"PROVIDER", "provider", FORM_TEXT, false}, {"DAY", "day", FORM_COUNT, false},
    {"OF", "days", FORM_COUNT, false},          {"CAP", "cap", FORM_COUNT, false},
    {"USED", "used", FORM_COUNT, false},        {"NEXT", "next_cap", FORM_COUNT, false},
    {"LAST DAY", "last_day", FORM_TEXT, true},  {NULL, NULL, FORM_TEXT, false},
};

static const struct column past_columns[] = {
    {"BEGAN", "began_at", FORM_TIME, false},     {"PROVIDER", "provider", FORM_TEXT, true},
    {"DAY", "day", FORM_COUNT, false},           {"PLANNED", "cap", FORM_COUNT, false},
    {"SENT", "sent", FORM_COUNT, false},         {"HARD", "hard", FORM_COUNT, false},
    {"DEFERRED", "deferred", FORM_COUNT, false}, {"BLOCKS", "blocks", FORM_COUNT, false},
    {"LED TO", "led_to", FORM_TEXT, true},       {NULL, NULL, FORM_TEXT, false},
};

int cmd_warmup_plans(struct cmd *c)
{
    json_t *answer = NULL, *plan;
    size_t i;
    int status = call_answer(c, "GET", daemon_path("/v1/warmups:plans"), NULL, &answer);
    if (status)
        return status;
    struct table *t = table_new(plan_columns);
    json_array_foreach(json_object_get(answer, "data"), i, plan)
    {
        const json_t *caps = json_object_get(plan, "caps");
        size_t n = json_array_size(caps);
        json_object_set_new(plan, "days", json_integer((json_int_t)n));
        json_object_set(plan, "first", json_array_get(caps, 0));
        json_object_set(plan, "last", json_array_get(caps, n ? n - 1 : 0));
        table_add(t, plan);
    }
    table_end(&t, "no plans");
    json_decref(answer);
    return 0;
}

int cmd_warmup_start(struct cmd *c)
{
    json_t *body = cmd_body(c);
    json_object_set_new(body, "server", json_string(cmd_arg(c, 0)));
    return call_change(c, "POST", daemon_path("/v1/warmups"), body,
                       "server %s is warming up; postfleet warmup status %s", cmd_arg(c, 0),
                       cmd_arg(c, 0));
}

static void show_table(const struct column *columns, const json_t *rows)
{
    size_t i;
    const json_t *row;
    if (!json_array_size(rows))
        return;
    output_line("%s", "");
    struct table *t = table_new(columns);
    json_array_foreach(rows, i, row)
    {
        table_add(t, row);
    }
    table_end(&t, NULL);
}

static int show_one(struct cmd *c)
{
    json_t *answer = NULL;
    int status = call_answer(c, "GET", daemon_path("/v1/warmups/%s", cmd_arg(c, 0)), NULL, &answer);
    if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        struct table *t = table_new(warmup_columns);
        table_add(t, answer);
        table_end(&t, NULL);
        show_table(provider_columns, json_object_get(answer, "providers"));
        show_table(past_columns, json_object_get(answer, "past"));
    }
    json_decref(answer);
    return status;
}

int cmd_warmup_status(struct cmd *c)
{
    if (cmd_arg(c, 0))
        return show_one(c);
    return call_table(c, daemon_path("/v1/warmups"), warmup_columns, "no server is warming up");
}

int cmd_warmup_hold(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/warmups/%s/hold", cmd_arg(c, 0)), NULL,
                       "the warm-up of %s stays at its day", cmd_arg(c, 0));
}

int cmd_warmup_release(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/warmups/%s/release", cmd_arg(c, 0)), NULL,
                       "the warm-up of %s goes on", cmd_arg(c, 0));
}

int cmd_warmup_skip(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/warmups/%s/skip", cmd_arg(c, 0)), cmd_body(c),
                       "the warm-up of %s goes forward", cmd_arg(c, 0));
}

int cmd_warmup_stop(struct cmd *c)
{
    if (!ask_first(c, "End the warm-up of %s? It will send without a cap.", cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/warmups/%s", cmd_arg(c, 0)), NULL,
                       "the warm-up of %s is over", cmd_arg(c, 0));
}
