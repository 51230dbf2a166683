/* top: asks /v1/top once an interval and draws it: on a terminal as a screen with keys, elsewhere
 * as a block of text, with --json as an object a line. Everything by the public API. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "main/call.h"
#include "main/commands.h"
#include "main/top.h"

#define INTERVAL_MS 1000
#define RATES_MS    1100 /* two samples of core are at least this far apart */

struct topping {
    struct daemon *daemon;
    struct frame frame;
    struct top_view view;
    json_t *answer;
    int64_t interval, asked_at, took;
    bool over;
};

static const char *const sorts[] = {"state", "rate", "failures", "name"};

static char *path_of(const struct topping *t)
{
    char limit[16], offset[24];
    snprintf(limit, sizeof(limit), "%u", top_view_limit(&t->frame));
    snprintf(offset, sizeof(offset), "%lld", (long long)t->view.offset);
    char *path = daemon_query(daemon_path("/v1/top"), "limit", limit);
    path = daemon_query(path, "sort", t->view.sort);
    if (t->view.offset)
        path = daemon_query(path, "offset", offset);
    return t->view.filter[0] ? daemon_query(path, "filter", t->view.filter) : path;
}

/* 0 with a new answer; else the exit status, the trouble is kept for the screen. */
static int ask(struct topping *t)
{
    json_t *answer = NULL, *problem = NULL;
    t->asked_at = clock_boot_ms();
    int status = daemon_try(t->daemon, "GET", path_of(t), NULL, &answer, &problem);
    t->took = clock_boot_ms() - t->asked_at;
    t->view.trouble = NULL;
    if (status == 0) {
        json_decref(t->answer);
        t->answer = answer;
    } else {
        snprintf(t->view.shown_trouble, sizeof(t->view.shown_trouble), "%s",
                 json_text(problem, "detail"));
        t->view.trouble = t->view.shown_trouble;
    }
    json_decref(problem);
    return status;
}

static bool has_rates(const json_t *answer)
{
    const json_t *core = json_object_get(answer, "core");
    return !core || json_is_null(core) || json_is_number(json_object_get(core, "per_s"));
}

/* ---- keys ---- */

static void change_pause(struct topping *t)
{
    const json_t *core = json_object_get(t->answer, "core");
    bool paused = json_is_true(json_object_get(core, "paused"));
    json_t *problem = NULL;
    int status = daemon_try(t->daemon, "POST", daemon_path(paused ? "/v1/resume" : "/v1/pause"),
                            NULL, NULL, &problem);
    if (status != 0) {
        snprintf(t->view.shown_trouble, sizeof(t->view.shown_trouble), "%s",
                 json_text(problem, "detail"));
        t->view.trouble = t->view.shown_trouble;
    }
    json_decref(problem);
    t->asked_at = 0;
}

static void next_sort(struct topping *t)
{
    size_t i = 0;
    while (i < countof(sorts) && strcmp(sorts[i], t->view.sort) != 0)
        i++;
    t->view.sort = sorts[(i + 1) % countof(sorts)];
    t->view.offset = 0;
    t->asked_at = 0;
}

static void scroll(struct topping *t, int64_t by)
{
    const json_t *core = json_object_get(t->answer, "core");
    int64_t most = json_number(core, "servers_matching") - 1;
    t->view.offset = MAX((int64_t)0, MIN(t->view.offset + by, MAX(most, (int64_t)0)));
    t->asked_at = 0;
}

static void on_filter_key(struct topping *t, enum key key, char c)
{
    size_t n = strlen(t->view.filter);
    if (key == KEY_ENTER || key == KEY_ESCAPE)
        t->view.filters = false;
    if (key == KEY_ESCAPE)
        t->view.filter[0] = '\0';
    else if (key == KEY_ERASE && n)
        while (n && ((unsigned char)t->view.filter[--n] & 0xc0) == 0x80)
            t->view.filter[n] = '\0';
    else if (key == KEY_CHAR && (unsigned char)c >= ' ' && n + 1 < sizeof(t->view.filter))
        t->view.filter[n++] = c;
    if (key == KEY_ERASE || key == KEY_CHAR)
        t->view.filter[n] = '\0';
    t->view.offset = 0;
    t->asked_at = 0;
}

static void on_char(struct topping *t, char c)
{
    const json_t *core = json_object_get(t->answer, "core");
    bool paused = json_is_true(json_object_get(core, "paused"));
    if (t->view.question) {
        t->view.question = NULL;
        if (c == 'y' || c == 'Y')
            change_pause(t);
        return;
    }
    switch (c) {
    case 'q':
    case 'Q':
    case 3: t->over = true; break;
    case 'p':
        t->view.question = paused ? "Let all sending go on? y/n" : "Pause all sending? y/n";
        break;
    case 's': next_sort(t); break;
    case '/': t->view.filters = true; break;
    case 'j': scroll(t, 1); break;
    case 'k': scroll(t, -1); break;
    case ' ': t->asked_at = 0; break;
    default: break;
    }
}

static void on_key(struct topping *t, enum key key, char c)
{
    int64_t page = MAX((int64_t)t->frame.rows / 3, (int64_t)1);
    if (key == KEY_RESIZED) {
        tty_size(&t->frame.columns, &t->frame.rows);
    } else if (key == KEY_END_OF_INPUT) {
        t->over = true;
    } else if (t->view.filters && key != KEY_NONE) {
        on_filter_key(t, key, c);
    } else if (key == KEY_CHAR) {
        on_char(t, c);
    } else if (key == KEY_ESCAPE) {
        t->view.question = NULL;
    } else if (key == KEY_UP || key == KEY_DOWN) {
        scroll(t, key == KEY_UP ? -1 : 1);
    } else if (key == KEY_PAGE_UP || key == KEY_PAGE_DOWN) {
        scroll(t, key == KEY_PAGE_UP ? -page : page);
    } else if (key == KEY_HOME) {
        scroll(t, -t->view.offset);
    }
}

/* ---- loops ---- */

/* A slow answer makes the next question wait longer: looking must not be the load. */
static int64_t wait_of(const struct topping *t)
{
    int64_t due = t->asked_at ? t->asked_at + MAX(t->interval, 4 * t->took) : 0;
    return MAX((int64_t)0, due - clock_boot_ms());
}

static int on_screen(struct topping *t)
{
    const char *no = getenv("NO_COLOR");
    t->frame.is_screen = true;
    t->frame.has_color = !(no && no[0]);
    tty_size(&t->frame.columns, &t->frame.rows);
    while (!t->over && !interrupt_seen()) {
        char c;
        if (wait_of(t) == 0)
            (void)ask(t);
        if (interrupt_seen())
            break;
        top_view_draw(&t->frame, &t->view, t->answer, clock_boot_ms());
        tty_show(&t->frame);
        enum key key = tty_key(MAX(wait_of(t), (int64_t)1), &c);
        on_key(t, key, c);
    }
    tty_leave();
    return t->over ? 0 : EXIT_INTERRUPTED;
}

static int print_one(struct topping *t)
{
    if (output_is_json()) {
        output_json(t->answer);
    } else {
        top_view_draw(&t->frame, &t->view, t->answer, clock_boot_ms());
        (void)fwrite(t->frame.out.p, 1, t->frame.out.n, stdout);
    }
    return output_end() ? 0 : 1;
}

static int as_text(struct topping *t, bool once)
{
    const char *columns = getenv("COLUMNS");
    uint64_t n = 0;
    int status = 0;
    bool is_wide = columns && str_to_u64(str_of(columns), 1000, &n) && n >= 60;
    t->frame.columns = is_wide ? (unsigned)n : 110;
    for (bool first = true; status == 0; first = false) {
        status = ask(t);
        if (status == 0 && first && !has_rates(t->answer)) {
            if (!interrupt_sleep(RATES_MS))
                return EXIT_INTERRUPTED;
            status = ask(t);
        }
        if (status != 0)
            break;
        if (!first && !output_is_json())
            (void)fputc('\n', stdout);
        if (print_one(t) != 0 || once)
            return once ? 0 : 1;
        if (!interrupt_sleep(MAX(t->interval, 4 * t->took)))
            return EXIT_INTERRUPTED;
    }
    struct err e;
    err_set(&e, ERR_UNREACHABLE, "%s", t->view.shown_trouble);
    (void)output_fail(&e);
    return status;
}

int cmd_top(struct cmd *c)
{
    int status = 0;
    struct topping t = {.interval = cmd_number(c, "interval", INTERVAL_MS)};
    bool once = cmd_has(c, "once");
    t.daemon = daemon_new(c, &status);
    if (!t.daemon)
        return status;
    frame_init(&t.frame, 80, 0);
    t.view.sort = sorts[0];
    if (!once && !output_is_json() && tty_enter())
        status = on_screen(&t);
    else
        status = as_text(&t, once);
    json_decref(t.answer);
    frame_free(&t.frame);
    daemon_free(&t.daemon);
    return status;
}
