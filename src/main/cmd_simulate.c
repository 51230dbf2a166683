/* group simulate: how the next messages of a group would be shared. */
#include "main/call.h"
#include "main/commands.h"

#include <stdlib.h>

static const struct column columns[] = {
    {"SERVER", "server", FORM_TEXT, false},
    {"MESSAGES", "messages", FORM_COUNT, false},
    {"SHARE", "share", FORM_SHARE, false},
    {"PLANNED", "planned_share", FORM_SHARE, true},
    {"BUSY", "busy", FORM_SHARE, false},
    {"LIMITED BY", "limited_by", FORM_TEXT, false},
    {"AFTER s", "limited_after_s", FORM_TEXT, true},
    {NULL, NULL, FORM_TEXT, false},
};

static void print_order(const json_t *first)
{
    struct buf line;
    size_t i;
    json_t *name;
    buf_init(&line, 4096);
    json_array_foreach(first, i, name)
    {
        buf_addf(&line, " %s", json_string_value(name));
    }
    output_line("%-14s%s", "first ones to", buf_cstr(&line));
    buf_free(&line);
}

static void print(const json_t *s, const char *group)
{
    double seconds = json_number_value(json_object_get(s, "seconds"));
    const json_t *elastic = json_object_get(s, "elastic_seconds");
    output_line("group %s: %lld of %lld messages, by the servers' pace in %.1f s", group,
                (long long)json_number(s, "sent"), (long long)json_number(s, "messages"), seconds);
    if (json_array_size(json_object_get(s, "first")))
        print_order(json_object_get(s, "first"));
    if (json_is_number(elastic) && json_number_value(elastic) < seconds * 0.99)
        output_line("%-14s %.1f s: with elastic shares %.1f s; the slowest is %s",
                    "exact shares cost", seconds - json_number_value(elastic),
                    json_number_value(elastic), json_text(s, "slowest"));
    if (json_text(s, "why")[0])
        output_line("%-14s %s", "it stops", json_text(s, "why"));
    struct table *t = table_new(columns);
    size_t i;
    json_t *l;
    json_array_foreach(json_object_get(s, "by_server"), i, l)
    {
        table_add(t, l);
    }
    table_end(&t, "no servers");
}

int cmd_group_simulate(struct cmd *c)
{
    json_t *s = NULL;
    char *path = daemon_path("/v1/groups/%s/simulate", cmd_arg(c, 0));
    path = daemon_query(path, "messages", cmd_text(c, "messages"));
    path = daemon_query(path, "stream", cmd_text(c, "stream"));
    int status = call_answer(c, "GET", path, NULL, &s);
    if (status == 0 && output_is_json())
        output_json(s);
    else if (status == 0)
        print(s, cmd_arg(c, 0));
    json_decref(s);
    return status;
}
