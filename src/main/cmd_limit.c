/* limit: the commands. */
#include "main/call.h"
#include "main/commands.h"

static const struct column columns[] = {
    {"KIND", "kind", FORM_TEXT, false},         {"GROUP", "group", FORM_TEXT, true},
    {"CAMPAIGN", "campaign", FORM_TEXT, true},  {"CREDENTIAL", "credential", FORM_TEXT, true},
    {"SERVER", "server", FORM_TEXT, true},      {"PROVIDER", "provider", FORM_TEXT, true},
    {"SECOND", "per_second", FORM_COUNT, true}, {"MINUTE", "per_minute", FORM_COUNT, true},
    {"HOUR", "per_hour", FORM_COUNT, true},     {"DAY", "per_day", FORM_COUNT, true},
    {"MONTH", "per_month", FORM_COUNT, true},   {"CALENDAR", "calendar", FORM_TEXT, true},
    {"USED", "quota", FORM_QUOTA, true},        {NULL, NULL, FORM_TEXT, false},
};

int cmd_limit_set(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/limits"), cmd_body(c), "limit set");
}

int cmd_limit_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/limits"), columns, "no limits beside those of servers");
}

int cmd_limit_remove(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/limits:remove"), cmd_body(c), "limit removed");
}
