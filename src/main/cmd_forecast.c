/* campaign forecast: when it ends, what holds it up, who sends how much each day. */
#include <stdlib.h>

#include "main/call.h"
#include "main/commands.h"

#define BAR_CELLS 30

static const struct column by_server_columns[] = {
    {"SERVER", "server", FORM_TEXT, false},
    {"SENDS", "sent", FORM_COUNT, false},
    {"SHARE", "share", FORM_SHARE, false},
    {"MS A MESSAGE", "ms_per_message", FORM_TEXT, false},
    {"MEASURED", "measured", FORM_TEXT, false},
    {NULL, NULL, FORM_TEXT, false},
};

static const struct column limit_columns[] = {
    {"WHAT HOLDS IT UP", "limit", FORM_TEXT, false},
    {"OF THE TIME", "share", FORM_SHARE, false},
    {NULL, NULL, FORM_TEXT, false},
};

static void print_table(const json_t *rows, const struct column *columns)
{
    size_t i;
    json_t *row;
    if (json_array_size(rows) == 0)
        return;
    struct table *t = table_new(columns);
    output_line("%s", "");
    json_array_foreach(rows, i, row)
    {
        table_add(t, row);
    }
    table_end(&t, NULL);
}

/* A bar for each day, the longest the day that most leave on. */
static void print_days(const json_t *days)
{
    size_t i;
    json_t *day;
    int64_t most = 1;
    const char *cell = output_is_utf8() ? "█" : "#";
    json_array_foreach(days, i, day)
    {
        most = MAX(most, json_number(day, "n"));
    }
    output_line("%s", "");
    json_array_foreach(days, i, day)
    {
        struct buf bar;
        char count[32];
        buf_init(&bar, 1000);
        for (int64_t k = 0; k < (json_number(day, "n") * BAR_CELLS + most - 1) / most; k++)
            buf_adds(&bar, cell);
        output_count(json_number(day, "n"), count);
        output_line("%s %12s  %s", json_text(day, "date"), count, buf_cstr(&bar));
        buf_free(&bar);
    }
}

static void print_end(const json_t *f)
{
    char took[32], count[32];
    output_count(json_number(f, "pending"), count);
    output_line("campaign %s: %s to send", json_text(f, "name"), count);
    if (json_is_true(json_object_get(f, "ends"))) {
        double seconds = json_number_value(json_object_get(f, "seconds"));
        output_duration((int64_t)(seconds * 1000), took);
        output_line("%-12s %s (%s%s)", "ends", json_text(f, "finishes_at"), took,
                    !strcmp(json_text(f, "state"), "draft") ? " if it starts now" : "");
    } else {
        output_line("%-12s %s", "ends", "not within 400 days as things are");
    }
    output_line("%-12s %s", "held up by", json_text(f, "bottleneck"));
    if (json_text(f, "sending_waits")[0])
        output_line("%-12s %s", "but", json_text(f, "sending_waits"));
    if (!json_text(f, "deadline")[0])
        return;
    output_count(json_number(f, "sent_by_deadline"), count);
    output_line("%-12s %s: %s%s%s", "deadline", json_text(f, "deadline"),
                json_is_true(json_object_get(f, "meets_deadline")) ? "met" : "not met, only ",
                json_is_true(json_object_get(f, "meets_deadline")) ? "" : count,
                json_is_true(json_object_get(f, "meets_deadline")) ? "" : " by then");
}

int cmd_campaign_forecast(struct cmd *c)
{
    json_t *f = NULL;
    int status =
        call_answer(c, "GET", daemon_path("/v1/campaigns/%s/forecast", cmd_arg(c, 0)), NULL, &f);
    if (status == 0 && output_is_json()) {
        output_json(f);
    } else if (status == 0) {
        print_end(f);
        print_days(json_object_get(f, "by_day"));
        print_table(json_object_get(f, "by_server"), by_server_columns);
        print_table(json_object_get(f, "limits"), limit_columns);
    }
    json_decref(f);
    return status;
}
