/* log tail and log search: attempts as they were made. Patterns of replies are in cmd_look.c. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "main/call.h"
#include "main/commands.h"

#define FOLLOW_EVERY_MS 500
#define TAIL_LINES      20
#define SEARCH_LINES    1000
#define REPLY_CELLS     90

/* ---- a line ---- */

/* "2026-11-22 04:10:03  ses1  hard_bounce  ana@x.example  550 5.1.1 no such user (rule)". */
static void print_attempt(const json_t *a)
{
    char code[32] = "", reply[400];
    struct str text = str_of(json_text(a, "reply")), line = STR_NONE;
    int64_t n = json_number(a, "code");
    (void)str_split(&text, '\n', &line);
    if (n)
        snprintf(code, sizeof(code), "%lld ", (long long)n);
    str_copy(str_cut(str_trim(line), 0, REPLY_CELLS), reply, sizeof(reply));
    const char *at = json_text(a, "at"), *rule = json_text(a, "rule");
    bool fine = !strcmp(json_text(a, "verdict"), "accepted");
    bool ends = strlen(at) >= 19;
    output_line("%.10s %.8s  %-16s %-12s %-32s %s%s%s%s%s", at, ends ? at + 11 : "",
                json_text(a, "server"), json_text(a, "verdict"), json_text(a, "to"), code, reply,
                fine || !rule[0] ? "" : "  [", fine ? "" : rule, fine || !rule[0] ? "" : "]");
}

static bool show(void *ctx, const json_t *a)
{
    int64_t *n = ctx;
    if (n)
        ++*n;
    if (output_is_json())
        output_json(a);
    else
        print_attempt(a);
    return output_end();
}

/* ---- the question ---- */

static char *add_time(struct cmd *c, char *path, const char *option, int *status)
{
    struct err e = {0};
    if (*status != 0 || !cmd_has(c, option))
        return path;
    char *text = time_text(cmd_text(c, option), true, &e);
    if (text) {
        path = daemon_query(path, option, text);
    } else {
        (void)err_prefix(&e, "--%s", option);
        *status = output_fail(&e);
    }
    free(text);
    return path;
}

/* The path with its filters; NULL with *status when a time is none. */
static char *path_of(struct cmd *c, int *status)
{
    static const char *const filters[] = {"server", "campaign", "verdict", "to", "text"};
    char *path = daemon_path("/v1/log");
    for (size_t i = 0; i < countof(filters); i++)
        path = daemon_query(path, filters[i], cmd_text(c, filters[i]));
    path = add_time(c, path, "since", status);
    path = add_time(c, path, "until", status);
    if (*status == 0)
        return path;
    free(path);
    return NULL;
}

int cmd_log_search(struct cmd *c)
{
    int status = 0;
    char *path = path_of(c, &status);
    struct daemon *d = path ? daemon_new(c, &status) : NULL;
    int64_t limit = cmd_number(c, "limit", SEARCH_LINES), n = 0;
    if (d)
        status = daemon_list(d, path, limit, show, &n);
    else
        free(path);
    if (d && status == 0 && n == 0)
        output_note("no such attempts");
    else if (d && status == 0 && n == limit && !cmd_has(c, "limit"))
        output_note("the newest %lld; --limit shows more", (long long)n);
    daemon_free(&d);
    return status;
}

/* ---- tail ---- */

struct tail { /* the newest ones, newest first */
    json_t *lines;
};

static bool collect(void *ctx, const json_t *a)
{
    struct tail *t = ctx;
    json_array_append(t->lines, (json_t *)(uintptr_t)a);
    return true;
}

/* The place of the newest attempt of all: where following begins when none fits the filters yet. */
static int newest_place(struct daemon *d, char **cursor_out)
{
    json_t *answer = NULL;
    int status = daemon_call(d, "GET", daemon_path("/v1/log?limit=1"), NULL, &answer);
    const json_t *first = json_array_get(json_object_get(answer, "data"), 0);
    *cursor_out = status == 0 ? alloc_copy(json_text(first, "cursor")) : NULL;
    json_decref(answer);
    return status;
}

static int follow(struct daemon *d, const char *path, char *cursor)
{
    int status = 0;
    while (status == 0) {
        json_t *answer = NULL, *one;
        size_t i;
        char *ask =
            daemon_query(daemon_query(alloc_copy(path), "order", "oldest"), "limit", "1000");
        if (cursor && cursor[0])
            ask = daemon_query(ask, "after", cursor);
        status = daemon_call(d, "GET", ask, NULL, &answer);
        json_array_foreach(json_object_get(answer, "data"), i, one)
        {
            if (!show(NULL, one))
                status = 1;
        }
        if (json_text(answer, "cursor")[0]) {
            free(cursor);
            cursor = alloc_copy(json_text(answer, "cursor"));
        }
        bool more = json_is_true(json_object_get(answer, "has_more"));
        json_decref(answer);
        if (status == 0 && !more && !interrupt_sleep(FOLLOW_EVERY_MS))
            status = EXIT_INTERRUPTED;
    }
    free(cursor);
    return status;
}

static int tail(struct cmd *c, struct daemon *d, const char *path)
{
    struct tail t = {.lines = json_array()};
    char *cursor = NULL;
    bool follows = cmd_has(c, "follow");
    int status = follows && !cmd_has(c, "to") ? newest_place(d, &cursor) : 0;
    if (status == 0)
        status = daemon_list(d, alloc_copy(path), cmd_number(c, "lines", TAIL_LINES), collect, &t);
    for (size_t i = json_array_size(t.lines); status == 0 && i-- > 0;)
        (void)show(NULL, json_array_get(t.lines, i));
    if (json_array_size(t.lines)) {
        free(cursor);
        cursor = alloc_copy(json_text(json_array_get(t.lines, 0), "cursor"));
    } else if (status == 0 && !follows) {
        output_note("no such attempts");
    }
    json_decref(t.lines);
    if (status == 0 && follows)
        return follow(d, path, cursor);
    free(cursor);
    return status;
}

int cmd_log_tail(struct cmd *c)
{
    int status = 0;
    char *path = path_of(c, &status);
    struct daemon *d = path ? daemon_new(c, &status) : NULL;
    if (d)
        status = tail(c, d, path);
    free(path);
    daemon_free(&d);
    return status;
}
