/* queue, pause, resume, events, status: the commands. */
#include <stdlib.h>

#include "base/alloc.h"
#include "main/call.h"
#include "main/commands.h"

#define EVENTS_EVERY_MS 500

/* Of lanes, campaigns and classes alike: what a table has not is left out. */
static const struct column queue_columns[] = {
    {"LANE", "lane", FORM_TEXT, true},
    {"GROUP", "group", FORM_TEXT, true},
    {"CAMPAIGN", "campaign", FORM_TEXT, true},
    {"PROVIDER", "provider", FORM_TEXT, true},
    {"STATE", "state", FORM_STATE, true},
    {"MESSAGES", "messages", FORM_COUNT, true},
    {"DEFERRED", "deferred", FORM_COUNT, true},
    {"HELD", "held", FORM_COUNT, true},
    {"TO COME", "to_come", FORM_COUNT, true},
    {"READY", "ready", FORM_COUNT, true},
    {"OLDEST", "oldest_seconds", FORM_AGE, true},
    {"NEXT DUE", "next_due_at", FORM_WHEN, true},
    {"LIMITED BY", "limited_by", FORM_TEXT, true},
    {"SERVER", "server", FORM_TEXT, true},
    {"UNTIL", "until", FORM_WHEN, true},
    {"WHY", "why", FORM_TEXT, true},
    {NULL, NULL, FORM_TEXT, false},
};

static void print_rows(const char *title, const json_t *rows)
{
    size_t i;
    json_t *row;
    if (!json_array_size(rows))
        return;
    struct table *t = table_new(queue_columns);
    output_line("%s", title);
    json_array_foreach(rows, i, row)
    {
        table_add(t, row);
    }
    table_end(&t, NULL);
    output_line("%s", "");
}

static void print_queue(const json_t *q)
{
    static const struct {
        const char *key, *title;
    } parts[] = {{"lanes", "In the queue, by lane"},
                 {"classes", "Ready in memory, and what holds it up"},
                 {"campaigns", "Campaigns with messages to come"}};
    const char *waits = json_text(q, "sending_waits");
    bool any = false;
    if (waits[0])
        output_line("sending waits: %s", waits);
    else if (json_is_null(json_object_get(q, "classes")))
        output_line("%s", "core does not answer: what is in memory is not known");
    for (size_t i = 0; i < countof(parts); i++) {
        const json_t *rows = json_object_get(q, parts[i].key);
        any = any || json_array_size(rows) > 0;
        print_rows(parts[i].title, rows);
    }
    if (!any)
        output_line("%s", "nothing waits");
}

int cmd_queue_summary(struct cmd *c)
{
    json_t *answer = NULL;
    int status = call_answer(c, "GET", daemon_path("/v1/queue"), NULL, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        print_queue(answer);
    json_decref(answer);
    return status;
}

int cmd_pause(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/pause"), NULL, "all sending is paused");
}

int cmd_resume(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/resume"), NULL, "sending goes on");
}

int cmd_status(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/status"));
}

/* ---- events ---- */

struct follow {
    char *after;
    int64_t left; /* 0: no bound */
    bool skip;    /* only find where the end is */
    bool done;
};

static bool on_event(void *ctx, const json_t *event)
{
    struct follow *f = ctx;
    const char *id = json_text(event, "id");
    if (id[0]) {
        free(f->after);
        f->after = alloc_copy(id);
    }
    if (f->skip)
        return true;
    if (output_is_json())
        output_json(event);
    else
        output_line("%s  %-22s %s%s%s", json_text(event, "at"), json_text(event, "kind"),
                    json_text(event, "subject"), json_text(event, "reason")[0] ? ": " : "",
                    json_text(event, "reason"));
    f->done = f->left > 0 && --f->left == 0;
    return !f->done;
}

int cmd_events_follow(struct cmd *c)
{
    struct follow f = {.left = cmd_number(c, "limit", 0),
                       .after = alloc_copy(cmd_text(c, "after"))};
    int status = 0;
    struct daemon *cl = daemon_new(c, &status);
    f.skip = !f.after;
    while (cl && status == 0 && !f.done) {
        char *path = daemon_query(daemon_path("/v1/events"), "after", f.after);
        status = daemon_list(cl, path, 0, on_event, &f);
        f.skip = false;
        if (status == 0 && !output_end())
            break;
        if (status == 0 && !f.done && !interrupt_sleep(EVENTS_EVERY_MS))
            status = EXIT_INTERRUPTED;
    }
    free(f.after);
    daemon_free(&cl);
    return status;
}
