/* domain check: what DNS says of a domain, held against what our mail needs, as a page for people.
 * The findings come from the daemon. */
#include "main/call.h"
#include "main/commands.h"

static const char *mark_of(const char *state)
{
    if (!strcmp(state, "good"))
        return "ok  ";
    return !strcmp(state, "bad") ? "BAD " : "note";
}

static void print_findings(const json_t *findings)
{
    size_t i;
    const json_t *f;
    json_array_foreach(findings, i, f)
    {
        output_line("%s  %-10s %s", mark_of(json_text(f, "state")), json_text(f, "about"),
                    json_text(f, "text"));
    }
}

static void print_publish(const json_t *records)
{
    size_t i, k;
    const json_t *r, *s;
    if (!json_array_size(records))
        return;
    output_line("%s", "");
    output_line("records to publish:");
    json_array_foreach(records, i, r)
    {
        output_line("  name   %s", json_text(r, "name"));
        output_line("  type   %s", json_text(r, "type"));
        output_line("  value  %s", json_text(r, "value"));
        if (json_array_size(json_object_get(r, "strings")) > 1)
            json_array_foreach(json_object_get(r, "strings"), k, s)
                output_line("         string %zu: \"%s\"", k + 1, json_string_value(s));
        output_line("  why    %s", json_text(r, "why"));
        output_line("%s", "");
    }
}

/* Exits 0 when nothing is bad, 4 when something is. */
int cmd_domain_check(struct cmd *c)
{
    json_t *answer = NULL;
    int status = call_answer(c, "POST", daemon_path("/v1/domains/%s/check", cmd_arg(c, 0)),
                             json_object(), &answer);
    if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        output_line("%s: %s", json_text(answer, "name"), json_text(answer, "state"));
        print_findings(json_object_get(answer, "findings"));
        print_publish(json_object_get(answer, "publish"));
    }
    if (status == 0 && !strcmp(json_text(answer, "state"), "bad"))
        status = EXIT_PARTLY;
    json_decref(answer);
    return status;
}
