/* What the demo shows while it runs, on standard error: a table drawn in place on a terminal, a
 * line every other second elsewhere. Text of servers cannot move the cursor. */
#include "lab/demo_inner.h"

#include "base/buf.h"
#include "base/clock.h"
#include "store/reports.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PLAIN_EVERY_MS 2000
#define BAR_CELLS      10
#define COLUMNS_USUAL  100

static bool says_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < countof(names); i++) {
        const char *v = getenv(names[i]);
        if (v && v[0])
            return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
    }
    return false;
}

void demo_view_start(struct demo *d)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    d->on_terminal = isatty(2) && term && strcmp(term, "dumb") != 0;
    d->colours = d->on_terminal && !(no_color && no_color[0]);
    d->utf8 = says_utf8();
}

void demo_count_text(int64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%lld", (long long)MAX(n, (int64_t)0));
    size_t k = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[k++] = ' ';
        out[k++] = digits[i];
    }
    out[k] = '\0';
}

/* ---- looking ---- */

static void printable(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (const char *p = text ? text : ""; *p && n + 1 < size; p++)
        out[n++] = *p >= ' ' && *p <= '~' ? *p : '?';
    out[n] = '\0';
}

static void note_change(struct demo *d, struct demo_server *s, const char *state)
{
    bool is_out = !strcmp(state, "open") || !strcmp(state, "misconfigured");
    bool is_back = !strcmp(state, "ramp") || !strcmp(state, "healthy");
    if (is_out && s->out_ms < 0) {
        s->out_ms = d->elapsed_ms;
        memcpy(s->out_reason, s->reason, sizeof(s->out_reason));
    }
    if (is_back && s->out_ms >= 0 && s->back_ms < 0)
        s->back_ms = d->elapsed_ms;
    if (s->state[0] && strcmp(s->state, state) != 0)
        demo_view_note(d, "%s: %s -> %s%s%s", s->name, s->state, state, s->reason[0] ? ", " : "",
                       s->reason);
    (void)str_copy(str_of(state), s->state, sizeof(s->state));
}

static void take_row(struct demo *d, const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    for (size_t i = 0; name && i < DEMO_SERVERS; i++) {
        struct demo_server *s = &d->server[i];
        if (strcmp(s->name, name) != 0)
            continue;
        const char *state = json_string_value(json_object_get(row, "state"));
        json_t *quota = json_array_get(json_object_get(row, "quota"), 0);
        struct sink_counts c = {0};
        sink_count(d->sink, s->port, &c);
        s->samples[d->samples_taken % DEMO_SAMPLES] = c.messages;
        s->sent = json_integer_value(json_object_get(row, "sent"));
        s->in_use = json_integer_value(json_object_get(row, "connections"));
        s->quota_used = json_integer_value(json_object_get(quota, "used"));
        printable(json_string_value(json_object_get(row, "reason")), s->reason, sizeof(s->reason));
        if (state)
            note_change(d, s, state);
    }
}

bool demo_view_look(struct demo *d, struct err *e)
{
    json_t *live = NULL, *status = NULL, *servers = NULL, *row;
    struct report_page page = {0};
    size_t i;
    d->elapsed_ms = clock_boot_ms() - d->start_ms;
    bool ok = lab_daemon_call(&d->daemon, "live.fleet", NULL, STR_NONE, &live, e) &&
              lab_daemon_call(&d->daemon, "live.status", NULL, STR_NONE, &status, e) &&
              report_servers(d->db, &page, live, &servers, e) && demo_totals_read(d, e);
    if (ok) {
        json_array_foreach(json_object_get(servers, "data"), i, row) take_row(d, row);
        d->t.failovers = json_integer_value(json_object_get(status, "failovers"));
        d->samples_taken++;
    }
    json_decref(live);
    json_decref(status);
    json_decref(servers);
    return ok;
}

static int64_t rate_of(const struct demo *d, const struct demo_server *s)
{
    uint64_t n = MIN(d->samples_taken, (uint64_t)DEMO_SAMPLES);
    if (n < 2)
        return 0;
    uint64_t newest = s->samples[(d->samples_taken - 1) % DEMO_SAMPLES];
    uint64_t oldest = s->samples[(d->samples_taken - n) % DEMO_SAMPLES];
    return (int64_t)((newest - oldest) * 1000 / ((n - 1) * DEMO_TICK_MS));
}

static int64_t rate_of_all(const struct demo *d)
{
    int64_t sum = 0;
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        sum += rate_of(d, &d->server[i]);
    return sum;
}

/* ---- the table ---- */

static void add_bar(const struct demo *d, struct buf *b, double share, int cells)
{
    for (int i = 0; i < cells; i++)
        (void)buf_adds(b, i < (int)(share * cells + 0.5) ? (d->utf8 ? "█" : "#")
                                                         : (d->utf8 ? "░" : "."));
}

static const char *colour_of(const char *state)
{
    if (!strcmp(state, "healthy"))
        return "\033[32m";
    if (!strcmp(state, "open") || !strcmp(state, "misconfigured"))
        return "\033[31m";
    return state[0] ? "\033[33m" : "";
}

static void end_line(struct demo *d, struct buf *b)
{
    (void)buf_adds(b, "\033[K\n");
    d->lines_shown++;
}

static void add_server(struct demo *d, struct buf *b, const struct demo_server *s, int columns)
{
    char sent[32], rate[32];
    bool is_waiting = !s->state[0];
    demo_count_text(s->sent, sent);
    demo_count_text(rate_of(d, s), rate);
    (void)buf_addf(b, "  %-11s%s%-14s%s%9s %8s %5lld/%-3u ", s->name,
                   d->colours ? colour_of(s->state) : "", is_waiting ? "-" : s->state,
                   d->colours && !is_waiting ? "\033[0m" : "", sent, rate, (long long)s->in_use,
                   s->connections);
    if (s->quota)
        add_bar(d, b, (double)s->quota_used / (double)s->quota, BAR_CELLS);
    else
        (void)buf_addf(b, "%*s", BAR_CELLS, "");
    int room = columns - 66;
    if (room > 0)
        (void)buf_addf(b, " %.*s", room, s->reason);
    end_line(d, b);
}

static void add_head(struct demo *d, struct buf *b, int columns)
{
    char done[32], all[32], rate[32], moved[32];
    int64_t per_s = rate_of_all(d), over = d->t.recipients - d->t.pending;
    demo_count_text(d->t.sent, done);
    demo_count_text(d->t.recipients, all);
    demo_count_text(per_s, rate);
    demo_count_text(d->t.failovers, moved);
    (void)buf_adds(b, "  ");
    add_bar(d, b, d->t.recipients ? (double)over / (double)d->t.recipients : 0,
            columns >= COLUMNS_USUAL ? 2 * BAR_CELLS : BAR_CELLS);
    (void)buf_addf(b, " %s of %s sent  %s/s  %s moved  %lld uncertain  %.1f s", done, all, rate,
                   moved, (long long)d->t.uncertain, (double)d->elapsed_ms / 1000);
    end_line(d, b);
    end_line(d, b);
    (void)buf_addf(b, "  %-11s%-14s%9s %8s %9s %-*s %s", "server", "state", "sent", "msg/s", "conn",
                   BAR_CELLS, "quota", "why");
    end_line(d, b);
}

static void draw(struct demo *d)
{
    struct winsize w = {0};
    struct buf b;
    int columns = ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 40 ? w.ws_col : COLUMNS_USUAL;
    buf_init(&b, 1 << 16);
    if (d->lines_shown)
        (void)buf_addf(&b, "\033[%dA\r", d->lines_shown);
    d->lines_shown = 0;
    add_head(d, &b, columns);
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        add_server(d, &b, &d->server[i], columns);
    fputs(buf_cstr(&b), stderr);
    fflush(stderr);
    buf_free(&b);
}

static void plain_line(struct demo *d)
{
    char done[32], rate[32];
    demo_count_text(d->t.sent, done);
    demo_count_text(rate_of_all(d), rate);
    fprintf(stderr, "%6.1f s  %s of %lld sent, %s/s, %lld moved, %lld uncertain:",
            (double)d->elapsed_ms / 1000, done, (long long)d->t.recipients, rate,
            (long long)d->t.failovers, (long long)d->t.uncertain);
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        fprintf(stderr, " %s %lld", d->server[i].name, (long long)d->server[i].sent);
    fputc('\n', stderr);
}

void demo_view_show(struct demo *d, bool last)
{
    if (d->on_terminal) {
        draw(d);
        return;
    }
    if (!last && d->elapsed_ms - d->shown_ms < PLAIN_EVERY_MS)
        return;
    d->shown_ms = d->elapsed_ms;
    plain_line(d);
}

/* On a terminal a note scrolls by above the table, which is drawn anew below it. */
void demo_view_note(struct demo *d, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (d->lines_shown)
        fprintf(stderr, "\033[%dA\r\033[J", d->lines_shown);
    d->lines_shown = 0;
    fprintf(stderr, "%6.1f s  %s\n", (double)(clock_boot_ms() - d->start_ms) / 1000, text);
    if (d->on_terminal && d->samples_taken)
        draw(d);
}
