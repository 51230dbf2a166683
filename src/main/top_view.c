/* The picture of one answer of /v1/top: head, servers (the most urgent first), queue by lane,
 * campaigns with time left, last events, keys. What does not fit is left out from the bottom of
 * each part, never of the whole. */
#include "main/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "main/call.h"
#include "main/output.h"

#define LANES         3
#define CAMPAIGNS     3
#define EVENTS        3
#define BAR_CELLS     8
#define LIMIT_MOST    200
#define HEAD_LINES    3 /* two, and the head of the servers */
#define SERVERS_LEAST 4

static bool known(const json_t *j, const char *key)
{
    return json_is_number(json_object_get(j, key));
}

static double real_of(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static const char *rate_text(const json_t *j, const char *key, char out[32])
{
    double v = real_of(j, key);
    if (!known(j, key))
        snprintf(out, 32, "-");
    else if (v > 0 && v < 100)
        snprintf(out, 32, "%.1f", v);
    else
        output_count((int64_t)(v + 0.5), out);
    return out;
}

static enum ink ink_of_state(const char *state)
{
    static const char *const bad[] = {"open", "misconfigured", "quarantined", "suspect",
                                      "disabled"};
    static const char *const warn[] = {"degraded", "half_open", "ramp",      "exhausted", "paused",
                                       "draining", "stalled",   "uncertain", "resting"};
    for (size_t i = 0; i < countof(bad); i++)
        if (!strcmp(state, bad[i]))
            return INK_BAD;
    for (size_t i = 0; i < countof(warn); i++)
        if (!strcmp(state, warn[i]))
            return INK_WARN;
    return INK_GOOD;
}

/* "14:05:10" of a time; the day too when it is another one. */
static const char *clock_text(const char *time, const char *now, char out[32])
{
    bool same_day = strlen(time) >= 19 && strncmp(time, now, 10) == 0;
    if (same_day)
        snprintf(out, 32, "%.8s", time + 11);
    else
        snprintf(out, 32, "%.10s %.5s", time, strlen(time) >= 16 ? time + 11 : "");
    return out;
}

/* ---- head ---- */

static void draw_states(struct frame *f, const json_t *core)
{
    const char *state;
    json_t *n;
    char text[32];
    output_count(json_number(core, "servers_total"), text);
    frame_textf(f, INK_PLAIN, "servers %s:", text);
    json_object_foreach(json_object_get(core, "states"), state, n)
    {
        output_count(json_integer_value(n), text);
        frame_textf(f, ink_of_state(state), " %s %s", text, state);
    }
}

static void draw_head(struct frame *f, struct top_view *v, const json_t *answer)
{
    const json_t *core = json_object_get(answer, "core");
    char a[32], b[32], d[32];
    const char *at = json_text(answer, "at");
    frame_text(f, INK_BOLD, STR("postfleet top"));
    frame_textf(f, INK_DIM, "  %.8s UTC  ", strlen(at) > 19 ? at + 11 : "--:--:--");
    if (v->trouble)
        frame_text(f, INK_BAD, str_of(v->trouble));
    else if (json_is_true(json_object_get(core, "paused")))
        frame_textf(f, INK_BAD, "PAUSED %s ", json_text(core, "held_why"));
    else if (json_is_true(json_object_get(core, "common_cause")))
        frame_text(f, INK_BAD, STR("COMMON CAUSE: our own network, DNS or disk "));
    if (!v->trouble)
        frame_textf(f, INK_PLAIN, "%s msg/s  1m %s/s  %s failures/min", rate_text(core, "per_s", a),
                    rate_text(core, "per_s_minute", b), rate_text(core, "failures_per_min", d));
    frame_line(f);
    draw_states(f, core);
    frame_textf(f, INK_DIM, "  by %s", v->sort);
    if (v->filter[0] || v->filters)
        frame_textf(f, INK_WARN, "  /%s%s", v->filter, v->filters ? "_" : "");
    frame_line(f);
}

/* ---- servers ---- */

/* The window that is fullest. */
static const json_t *fullest(const json_t *server, double *share_out)
{
    const json_t *best = NULL;
    json_t *one;
    size_t i;
    *share_out = -1;
    json_array_foreach(json_object_get(server, "quota"), i, one)
    {
        double limit = real_of(one, "limit"), share = limit > 0 ? real_of(one, "used") / limit : 0;
        if (share > *share_out) {
            *share_out = share;
            best = one;
        }
    }
    return best;
}

static void draw_quota(struct frame *f, const json_t *server)
{
    double share;
    char text[32];
    const json_t *q = fullest(server, &share);
    if (!q) {
        frame_cell(f, INK_DIM, BAR_CELLS + 10, false, STR("no limit"));
        return;
    }
    enum ink ink = share >= 1 ? INK_BAD : share >= 0.8 ? INK_WARN : INK_GOOD;
    frame_bar(f, ink, BAR_CELLS, share);
    snprintf(text, sizeof(text), " %3d%% %s", (int)(MIN(share, 9.99) * 100),
             strcmp(json_text(q, "window"), "warmup") ? json_text(q, "window") : "warm");
    frame_cell(f, INK_PLAIN, 10 + 1 - 1, false, str_of(text));
}

struct widths {
    unsigned name, state;
};

static struct widths widths_of(const struct frame *f)
{
    unsigned more = f->columns > 80 ? f->columns - 80 : 0;
    return (struct widths){MIN(12 + more / 2, 32u), MIN(11 + more / 6, 20u)};
}

static void draw_server_head(struct frame *f)
{
    struct widths w = widths_of(f);
    frame_cell(f, INK_HEAD, w.name, false, STR("SERVER"));
    frame_cell(f, INK_HEAD, w.state, false, STR("STATE"));
    frame_cell(f, INK_HEAD, BAR_CELLS + 10, false, STR("QUOTA"));
    frame_cell(f, INK_HEAD, 6, true, STR("MSG/S"));
    frame_cell(f, INK_HEAD, 6, true, STR("1M"));
    frame_cell(f, INK_HEAD, 7, true, STR("P95"));
    frame_cell(f, INK_HEAD, 6, true, STR("FAIL/M"));
    frame_cell(f, INK_HEAD, 6, true, STR("CONN"));
    frame_line(f);
}

static void draw_server(struct frame *f, const json_t *s)
{
    struct widths w = widths_of(f);
    const char *admin = json_text(s, "admin_state"), *state = json_text(s, "state");
    if (!strcmp(state, "healthy") && json_is_true(json_object_get(s, "rests")))
        state = "resting";
    bool active = !strcmp(admin, "active"), healthy = !strcmp(state, "healthy");
    char text[100];
    snprintf(text, sizeof(text), "%s%s%s", active ? "" : admin, active || healthy ? "" : "/",
             active || !healthy ? state : "");
    frame_cell(f, INK_PLAIN, w.name, false, str_of(json_text(s, "name")));
    frame_cell(f, ink_of_state(active ? state : admin), w.state, false, str_of(text));
    draw_quota(f, s);
    frame_cell(f, INK_PLAIN, 6, true, str_of(rate_text(s, "per_s", text)));
    frame_cell(f, INK_PLAIN, 6, true, str_of(rate_text(s, "per_s_minute", text)));
    if (known(s, "latency_ms_p95"))
        output_duration(json_number(s, "latency_ms_p95"), text);
    else
        snprintf(text, sizeof(text), "-");
    frame_cell(f, INK_PLAIN, 7, true, str_of(text));
    enum ink failing = real_of(s, "failures_per_min") > 0 ? INK_BAD : INK_PLAIN;
    frame_cell(f, failing, 6, true, str_of(rate_text(s, "failures_per_min", text)));
    snprintf(text, sizeof(text), "%lld", (long long)json_number(s, "connections"));
    frame_cell(f, INK_PLAIN, 6, true, str_of(text));
    frame_line(f);
}

static bool has_reason(const json_t *s)
{
    return json_text(s, "reason")[0] || json_text(s, "until")[0];
}

static void draw_reason(struct frame *f, const json_t *s, const char *now)
{
    char text[32];
    frame_text(f, INK_DIM, f->is_utf8 ? STR("  └ ") : STR("  \\ "));
    if (json_text(s, "until")[0])
        frame_textf(f, INK_DIM, "until %s  ", clock_text(json_text(s, "until"), now, text));
    frame_text(f, INK_DIM, str_of(json_text(s, "reason")));
    frame_line(f);
}

/* What stands below the servers: on a small screen events go first, then campaigns, then the
 * queue, so that SERVERS_LEAST lines of servers stay. */
struct layout {
    bool queue, campaigns, events;
    unsigned kept; /* lines of it, with the keys */
};

static bool take(struct layout *l, unsigned lines, unsigned *left)
{
    if (*left < lines)
        return false;
    *left -= lines;
    l->kept += lines;
    return true;
}

static struct layout layout_of(const struct frame *f, const json_t *answer)
{
    size_t n = json_array_size(json_object_get(answer, "campaigns"));
    struct layout l = {.kept = f->is_screen ? 1 : 0};
    unsigned head = HEAD_LINES + SERVERS_LEAST + l.kept, left = 1000;
    if (f->rows)
        left = f->rows > head ? f->rows - head : 0;
    l.queue = take(&l, 1 + LANES, &left);
    l.campaigns = l.queue && n && take(&l, 1 + (unsigned)MIN(n, (size_t)CAMPAIGNS), &left);
    l.events = l.queue && (l.campaigns || !n) && take(&l, 1 + EVENTS, &left);
    return l;
}

static void draw_servers(struct frame *f, struct top_view *v, const json_t *answer,
                         const struct layout *l)
{
    const json_t *core = json_object_get(answer, "core");
    json_t *one;
    size_t i, shown = 0, all = (size_t)json_number(core, "servers_matching");
    unsigned kept = l->kept;
    draw_server_head(f);
    json_array_foreach(json_object_get(core, "servers"), i, one)
    {
        unsigned needs = has_reason(one) ? 2 : 1;
        bool is_last = (size_t)v->offset + i + 1 >= all;
        if (frame_left(f, kept) < needs + (is_last ? 0 : 1))
            break;
        draw_server(f, one);
        if (needs == 2)
            draw_reason(f, one, json_text(answer, "at"));
        shown++;
    }
    bool is_part = (size_t)v->offset + shown < all || v->offset;
    if (is_part && frame_left(f, kept)) {
        frame_textf(f, INK_DIM, "  %zu-%zu of %zu%s", shown ? (size_t)v->offset + 1 : 0,
                    (size_t)v->offset + shown, all, v->filter[0] ? " that fit the filter" : "");
        frame_line(f);
    }
    if (f->rows && frame_left(f, kept))
        frame_line(f);
}

/* ---- below ---- */

static void draw_lane(struct frame *f, const json_t *lane, const char *now)
{
    char text[32];
    static const char *const counts[] = {"ready", "waiting", "deferred", "held"};
    frame_cell(f, INK_PLAIN, 13, false, str_of(json_text(lane, "lane")));
    for (size_t i = 0; i < countof(counts); i++) {
        output_count(json_number(lane, counts[i]), text);
        frame_cell(f, INK_PLAIN, 9, true, str_of(text));
    }
    int64_t oldest = json_number(lane, "oldest_seconds");
    output_duration(oldest * 1000, text);
    frame_cell(f, INK_PLAIN, 8, true, str_of(oldest ? text : "-"));
    const char *bound = json_text(lane, "limited_by");
    if (strcmp(bound, "none") != 0) {
        frame_textf(f, INK_WARN, "%s", bound);
        if (json_text(lane, "until")[0])
            frame_textf(f, INK_DIM, " until %s", clock_text(json_text(lane, "until"), now, text));
        frame_textf(f, INK_DIM, " %s", json_text(lane, "why"));
    }
    frame_line(f);
}

static void draw_queue(struct frame *f, const json_t *answer)
{
    static const char *const titles[] = {"READY", "WAITING", "DEFERRED", "HELD"};
    size_t i;
    json_t *one;
    frame_cell(f, INK_HEAD, 13, false, STR("QUEUE"));
    for (i = 0; i < countof(titles); i++)
        frame_cell(f, INK_HEAD, 9, true, str_of(titles[i]));
    frame_cell(f, INK_HEAD, 8, true, STR("OLDEST"));
    frame_text(f, INK_HEAD, STR("LIMITED BY"));
    frame_line(f);
    json_array_foreach(json_object_get(answer, "lanes"), i, one)
    {
        if (i < LANES)
            draw_lane(f, one, json_text(answer, "at"));
    }
}

/* Messages a second of late; the mean since the start until that is known. */
static double pace_of(struct top_view *v, const json_t *campaign, int64_t done, int64_t now)
{
    const char *name = json_text(campaign, "name");
    struct pace *p = NULL;
    for (size_t i = 0; i < countof(v->paces) && !p; i++)
        if (!v->paces[i].name[0] || !strcmp(v->paces[i].name, name))
            p = &v->paces[i];
    if (!p)
        return real_of(campaign, "rate_per_s");
    if (!p->name[0]) {
        *p = (struct pace){.done = done, .at = now, .per_s = real_of(campaign, "rate_per_s")};
        p->is_first = true;
        snprintf(p->name, sizeof(p->name), "%s", name);
    } else if (now - p->at >= 500) {
        double per_s = (double)(done - p->done) * 1000 / (double)(now - p->at);
        double old = p->is_first ? per_s : p->per_s;
        p->per_s = MAX(old * 0.8 + per_s * 0.2, 0.0);
        p->is_first = false;
        p->done = done;
        p->at = now;
    }
    return p->per_s;
}

static void draw_campaign(struct frame *f, struct top_view *v, const json_t *c, int64_t now)
{
    int64_t all = json_number(c, "recipients"), pending = json_number(c, "pending");
    double share = all > 0 ? (double)(all - pending) / (double)all : 0;
    double per_s = pace_of(v, c, all - pending, now);
    const char *state = json_text(c, "state");
    char a[32], b[32];
    frame_cell(f, INK_PLAIN, 18, false, str_of(json_text(c, "name")));
    frame_bar(f, INK_GOOD, 12, share);
    output_count(all - pending, a);
    output_count(all, b);
    frame_textf(f, INK_PLAIN, " %3d%%  %s/%s", (int)(share * 100), a, b);
    output_count((int64_t)(per_s + 0.5), a);
    frame_textf(f, INK_PLAIN, "  %s/s", a);
    if (strcmp(state, "running") != 0 || json_text(c, "reason")[0]) {
        frame_textf(f, INK_WARN, "  %s %s", strcmp(state, "running") ? state : "",
                    json_text(c, "reason"));
    } else if (per_s > 0.05) {
        output_duration((int64_t)((double)pending / per_s * 1000), a);
        frame_textf(f, INK_PLAIN, "  %s left", a);
    }
    frame_line(f);
}

static void draw_campaigns(struct frame *f, struct top_view *v, const json_t *answer, int64_t now)
{
    const json_t *all = json_object_get(answer, "campaigns");
    size_t i;
    json_t *one;
    if (!json_array_size(all))
        return;
    frame_cell(f, INK_HEAD, 18, false, STR("CAMPAIGN"));
    frame_text(f, INK_HEAD, STR("PROGRESS"));
    frame_line(f);
    json_array_foreach(all, i, one)
    {
        if (i < CAMPAIGNS || !f->rows)
            draw_campaign(f, v, one, now);
    }
}

static void draw_events(struct frame *f, const json_t *answer)
{
    const json_t *all = json_object_get(answer, "events");
    size_t n = json_array_size(all), most = f->rows ? frame_left(f, 2) : EVENTS;
    char text[32];
    frame_text(f, INK_HEAD, STR("EVENTS"));
    frame_line(f);
    for (size_t i = n > most ? n - most : 0; i < n; i++) {
        const json_t *ev = json_array_get(all, i);
        frame_textf(f, INK_DIM, "%s ",
                    clock_text(json_text(ev, "at"), json_text(answer, "at"), text));
        frame_textf(f, INK_PLAIN, "%s %s", json_text(ev, "kind"), json_text(ev, "subject"));
        frame_textf(f, INK_DIM, "  %s", json_text(ev, "reason"));
        frame_line(f);
    }
}

static void draw_keys(struct frame *f, const struct top_view *v, const json_t *answer)
{
    bool paused = json_is_true(json_object_get(json_object_get(answer, "core"), "paused"));
    while (frame_left(f, 1))
        frame_line(f);
    if (v->question)
        frame_text(f, INK_WARN, str_of(v->question));
    else if (v->filters)
        frame_text(f, INK_DIM, STR("type a part of the name; Enter keeps it, Esc clears it"));
    else
        frame_textf(f, INK_DIM, "q quit  p %s all  s sort  / filter  arrows, PgUp, PgDn scroll",
                    paused ? "resume" : "pause");
    frame_line(f);
}

unsigned top_view_limit(const struct frame *f)
{
    return f->rows ? MIN(f->rows, (unsigned)LIMIT_MOST) : 50;
}

void top_view_draw(struct frame *f, struct top_view *v, const json_t *answer, int64_t now)
{
    frame_clear(f);
    draw_head(f, v, answer);
    struct layout l = layout_of(f, answer);
    draw_servers(f, v, answer, &l);
    if (l.queue)
        draw_queue(f, answer);
    if (l.campaigns)
        draw_campaigns(f, v, answer, now);
    if (l.events)
        draw_events(f, answer);
    if (f->is_screen)
        draw_keys(f, v, answer);
}
