/* log patterns, server isolate, server evidence: looking closer, from alarm to evidence. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "main/call.h"
#include "main/commands.h"
#include "main/tar.h"

/* ---- log patterns ---- */

static void print_pattern(const json_t *p)
{
    char count[32];
    size_t i;
    json_t *one;
    struct buf names;
    bool unknown = !strcmp(json_text(p, "verdict"), "unknown");
    buf_init(&names, 4096);
    json_array_foreach(json_object_get(p, "servers"), i, one)
    {
        buf_addf(&names, "%s%s", i ? ", " : "", json_string_value(one));
    }
    if (json_is_true(json_object_get(p, "more_servers")))
        buf_adds(&names, ", ...");
    json_array_foreach(json_object_get(p, "providers"), i, one)
    {
        buf_addf(&names, "%s%s", i ? ", " : "  to ", json_string_value(one));
    }
    output_count(json_number(p, "count"), count);
    int64_t code = json_number(p, "code");
    char codes[40] = "";
    if (code)
        snprintf(codes, sizeof(codes), "%lld %s%s", (long long)code, json_text(p, "enhanced"),
                 json_text(p, "enhanced")[0] ? " " : "");
    output_line("%9s x %s %s%s%s", count, json_is_true(json_object_get(p, "new")) ? "NEW" : "   ",
                codes, json_text(p, "shape"), unknown ? "" : "");
    output_line("              %s at %s by %s; %s", json_text(p, "verdict"), json_text(p, "phase"),
                json_text(p, "rule")[0] ? json_text(p, "rule") : "no rule", buf_cstr(&names));
    output_line("              %.19s to %.19s", json_text(p, "first_at"), json_text(p, "last_at"));
    if (unknown)
        output_line("              unknown: worth a rule. Example: %.200s", json_text(p, "sample"));
    output_line("              %s; %s", json_text(p, "means"), json_text(p, "do"));
    buf_free(&names);
}

static void print_patterns(const json_t *answer)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(answer, "data"), i, one)
    {
        if (output_is_json())
            output_json(one);
        else
            print_pattern(one);
    }
    if (!i)
        output_note("no reply but \"accepted\" since %.19s", json_text(answer, "since"));
    if (json_is_false(json_object_get(answer, "complete")))
        output_note("only the newest %lld attempts were looked at",
                    (long long)json_number(answer, "looked_at"));
    if (json_number(answer, "left_out"))
        output_note("%lld replies of still other shapes are not shown",
                    (long long)json_number(answer, "left_out"));
    if (json_is_true(json_object_get(answer, "has_more")))
        output_note("%lld kinds in all; --limit shows more",
                    (long long)json_number(answer, "patterns"));
}

int cmd_log_patterns(struct cmd *c)
{
    json_t *answer = NULL;
    char limit[24];
    char *path = daemon_query(daemon_path("/v1/log/patterns"), "since", cmd_text(c, "since"));
    path = daemon_query(path, "server", cmd_text(c, "server"));
    snprintf(limit, sizeof(limit), "%lld", (long long)cmd_number(c, "limit", 0));
    if (cmd_has(c, "limit"))
        path = daemon_query(path, "limit", limit);
    int status = call_answer(c, "GET", path, NULL, &answer);
    if (status == 0)
        print_patterns(answer);
    json_decref(answer);
    return status;
}

/* ---- server isolate ---- */

static void add_step(struct buf *b, const json_t *step)
{
    const char *state = json_text(step, "state");
    char text[48], mark = !strcmp(state, "failed") ? '!' : ' ';
    int64_t code = json_number(step, "code");
    if (!strcmp(state, "not_tried") || !strcmp(state, "skipped"))
        snprintf(text, sizeof(text), "-");
    else if (code)
        snprintf(text, sizeof(text), "%lld %lldms%c", (long long)code,
                 (long long)json_number(step, "ms"), mark);
    else
        snprintf(text, sizeof(text), "%s %lldms%c", mark == '!' ? "no" : "ok",
                 (long long)json_number(step, "ms"), mark);
    buf_addf(b, " %-11s", text);
}

static void print_probe(const json_t *p)
{
    struct buf b;
    size_t i;
    json_t *one;
    buf_init(&b, 4096);
    bool deviates = json_is_true(json_object_get(p, "deviates"));
    buf_addf(&b, "%s %-16.40s %-26.60s", deviates ? ">" : " ", json_text(p, "server"),
             json_text(p, "to"));
    if (json_is_false(json_object_get(p, "ran")))
        buf_addf(&b, " not tried: %s", json_text(p, "why_not"));
    json_array_foreach(json_object_get(p, "steps"), i, one)
    {
        if (strcmp(json_text(one, "step"), "name") != 0)
            add_step(&b, one);
    }
    output_line("%s", buf_cstr(&b));
    if (json_text(p, "failed_step")[0])
        output_line("      %s: %s", json_text(p, "failed_step"), json_text(p, "reply"));
    else if (json_is_true(json_object_get(p, "slow")))
        output_line("      much slower than the others: %lld ms", (long long)json_number(p, "ms"));
    buf_free(&b);
}

static void print_talk(const json_t *p)
{
    struct str rest = str_of(json_text(p, "conversation")), line;
    if (!rest.n)
        return;
    output_line("%s", "");
    output_line("%s to %s:", json_text(p, "server"), json_text(p, "to"));
    while (str_split(&rest, '\n', &line))
        if (line.n)
            output_line("    " STR_F, STR_A(str_cut(str_trim(line), 0, 2000)));
}

static void print_isolation(struct cmd *c, const json_t *answer)
{
    static const char *const steps[] = {"connect", "tls", "ehlo", "auth", "mail", "rcpt", "dot"};
    struct buf head;
    size_t i;
    json_t *one;
    buf_init(&head, 1024);
    buf_addf(&head, "  %-16s %-26s", "SERVER", "TO");
    for (i = 0; i < countof(steps); i++)
        buf_addf(&head, " %-11s", steps[i]);
    output_line("%s", buf_cstr(&head));
    buf_free(&head);
    json_array_foreach(json_object_get(answer, "probes"), i, one)
    {
        print_probe(one);
    }
    json_array_foreach(json_object_get(answer, "probes"), i, one)
    {
        if (cmd_has(c, "verbose"))
            print_talk(one);
    }
    output_line("%s", "");
    output_line("%s", json_text(answer, "text"));
}

/* "a,b" of a repeatable option as an array. */
static void add_split(json_t *body, struct cmd *c, const char *option)
{
    json_t *all = json_array();
    const struct value *v;
    for (size_t i = 0; (v = cmd_value(c, option, i)); i++) {
        struct str rest = str_of(v->text), part;
        while (str_split(&rest, ',', &part))
            if (str_trim(part).n)
                json_array_append_new(all, json_stringn(str_trim(part).p, str_trim(part).n));
    }
    if (json_array_size(all))
        json_object_set(body, option, all);
    json_decref(all);
}

int cmd_server_isolate(struct cmd *c)
{
    json_t *answer = NULL, *body = json_object();
    add_split(body, c, "to");
    add_split(body, c, "server");
    if (cmd_text(c, "group"))
        json_object_set_new(body, "group", json_string(cmd_text(c, "group")));
    if (cmd_text(c, "from"))
        json_object_set_new(body, "from", json_string(cmd_text(c, "from")));
    if (cmd_has(c, "verbose"))
        json_object_set_new(body, "verbose", json_true());
    int status = call_answer(c, "POST", daemon_path("/v1/servers:isolate"), body, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0)
        print_isolation(c, answer);
    if (status == 0 && strcmp(json_text(answer, "verdict"), "well") != 0)
        status = 1;
    json_decref(answer);
    return status;
}

/* ---- server evidence ---- */

static void add_json_file(struct tar *t, const char *name, const json_t *j)
{
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    struct buf b;
    buf_init(&b, 64u << 20);
    buf_adds(&b, text ? text : "null");
    buf_addc(&b, '\n');
    tar_add(t, name, buf_str(&b));
    buf_free(&b);
    free(text);
}

static void add_hours(struct tar *t, const json_t *answer)
{
    struct buf b;
    size_t i;
    json_t *one;
    buf_init(&b, 1 << 20);
    buf_adds(&b, "hour_utc,attempts,accepted,not_accepted\n");
    json_array_foreach(json_object_get(answer, "hours"), i, one)
    {
        buf_addf(&b, "%s,%lld,%lld,%lld\n", json_text(one, "hour"),
                 (long long)json_number(one, "attempts"), (long long)json_number(one, "accepted"),
                 (long long)json_number(one, "not_accepted"));
    }
    tar_add(t, "counts-per-hour.csv", buf_str(&b));
    buf_free(&b);
}

static void add_conversations(struct tar *t, const json_t *answer)
{
    struct buf b;
    size_t i;
    json_t *one;
    buf_init(&b, 16u << 20);
    json_array_foreach(json_object_get(answer, "attempts"), i, one)
    {
        if (!json_text(one, "conversation")[0])
            continue;
        buf_addf(&b, "==== %s  Message-ID <%s>  to %s\n%s\n", json_text(one, "at"),
                 json_text(one, "message_id"), json_text(one, "to"),
                 json_text(one, "conversation"));
    }
    tar_add(t, "conversations.txt", buf_str(&b));
    buf_free(&b);
}

/* A folder when it is one or the name does not end with .tar. */
static int write_bundle(struct cmd *c, const json_t *answer)
{
    struct err e = {0};
    struct stat st;
    char name[300], folder[200];
    const char *to = cmd_text(c, "to"), *until = json_text(answer, "until");
    snprintf(folder, sizeof(folder), "evidence-%.64s-%.10s", cmd_arg(c, 0), until);
    snprintf(name, sizeof(name), "%s.tar", folder);
    to = to ? to : name;
    bool is_tar = str_ends(str_of(to), STR(".tar")) && !(stat(to, &st) == 0 && S_ISDIR(st.st_mode));
    struct tar *t = tar_open(to, folder, is_tar, clock_wall_ms() / 1000, &e);
    if (!t)
        return output_fail(&e);
    tar_add(t, "README.txt", str_of(json_text(answer, "summary")));
    add_hours(t, answer);
    add_json_file(t, "replies.json", json_object_get(answer, "replies"));
    add_json_file(t, "attempts.json", json_object_get(answer, "attempts"));
    add_json_file(t, "state-changes.json", json_object_get(answer, "state_changes"));
    add_json_file(t, "configuration.json", json_object_get(answer, "configuration"));
    add_conversations(t, answer);
    if (!tar_close(&t, &e))
        return output_fail(&e);
    struct str rest = str_of(json_text(answer, "summary")), line;
    while (str_split(&rest, '\n', &line))
        output_line("%.*s", (int)line.n, line.p);
    output_note("written to %s", to);
    return 0;
}

int cmd_server_evidence(struct cmd *c)
{
    json_t *answer = NULL;
    char *path = daemon_query(daemon_path("/v1/servers/%s/evidence", cmd_arg(c, 0)), "since",
                              cmd_text(c, "since"));
    int status = call_answer(c, "GET", path, NULL, &answer);
    if (status == 0 && output_is_json() && !cmd_text(c, "to"))
        output_json(answer);
    else if (status == 0)
        status = write_bundle(c, answer);
    json_decref(answer);
    return status;
}

/* ---- quarantine ---- */

int cmd_server_quarantine(struct cmd *c)
{
    return call_change(c, "POST", daemon_path("/v1/servers/%s/quarantine", cmd_arg(c, 0)),
                       cmd_body(c), "server %s is in quarantine%s%s", cmd_arg(c, 0),
                       cmd_text(c, "for") ? " for " : "",
                       cmd_text(c, "for") ? cmd_text(c, "for") : "");
}

int cmd_server_release(struct cmd *c)
{
    const char *provider = cmd_text(c, "provider");
    return call_change(c, "POST", daemon_path("/v1/servers/%s/release", cmd_arg(c, 0)), cmd_body(c),
                       "server %s is released%s%s", cmd_arg(c, 0), provider ? " for " : "",
                       provider ? provider : "");
}
