/* Watches a running campaign by its report, twice a second; a restart of the daemon is waited out.
 */
#include "main/campaign_wait.h"

#include <stdlib.h>

#include "base/clock.h"
#include "main/call.h"

#define LOOK_EVERY_MS 500
#define LOST_MAX_MS   60000
#define WORTH_MS      15000 /* an end further away is told in words */
#define STILL_MS      2000  /* without a move: the reason is asked for */

struct watch {
    struct daemon *daemon;
    const char *name;
    struct progress bar;
    bool barred;           /* the bar has begun */
    char said[32];         /* the last state that was told */
    int64_t lost_since_ms; /* 0: the daemon answers */
    int64_t pending;       /* at the last look */
    int64_t moved_ms;      /* when that was another */
    char limit[32];        /* what was told to hold it up */
    char ends_at[40];      /* as the forecast had it last */
    int64_t ends_ms;       /* boot ms by it; 0: not known */
    char bottleneck[120];
};

/* Shares of the servers and what failed: "alpha 41% bravo 38%  failed 0.3%". */
static void add_tail(const json_t *r, struct buf *b)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(r, "by_server"), i, one)
    {
        double share = json_number_value(json_object_get(one, "share"));
        if (i < 4)
            buf_addf(b, "%s%s %.0f%%", i ? " " : "", json_text(one, "server"), share * 100);
    }
    const json_t *bounced = json_object_get(r, "bounced");
    int64_t lost =
        json_number(r, "failed") + json_number(bounced, "hard") + json_number(bounced, "soft");
    int64_t all = json_number(r, "recipients");
    if (lost > 0 && all > 0)
        buf_addf(b, "  failed %.1f%%", 100.0 * (double)lost / (double)all);
}

static bool is_over(const char *state)
{
    return !strcmp(state, "finished") || !strcmp(state, "cancelled") || !strcmp(state, "failed");
}

/* On what the campaign's waiting messages hang, by /v1/queue; NULL: on nothing worth a word. */
static const json_t *limiting_class(const json_t *queue, const char *campaign)
{
    size_t i;
    json_t *k;
    json_array_foreach(json_object_get(queue, "classes"), i, k)
    {
        const char *by = json_text(k, "limited_by");
        bool waits = strcmp(by, "none") != 0 && strcmp(by, "busy") != 0;
        if (waits && !strcmp(json_text(k, "campaign"), campaign))
            return k;
    }
    return NULL;
}

/* A campaign that runs and does not move: says once what it waits for, and when that changes. */
static void say_limit(struct watch *w, const json_t *r)
{
    int64_t now = clock_boot_ms(), pending = json_number(r, "pending");
    json_t *queue = NULL, *problem = NULL;
    if (pending != w->pending || !w->moved_ms) {
        w->pending = pending;
        w->moved_ms = now;
        w->limit[0] = '\0';
    }
    if (now - w->moved_ms < STILL_MS || strcmp(json_text(r, "state"), "running") != 0)
        return;
    int status = daemon_try(w->daemon, "GET", daemon_path("/v1/queue"), NULL, &queue, &problem);
    const json_t *k = status == 0 ? limiting_class(queue, w->name) : NULL;
    if (k && strcmp(json_text(k, "limited_by"), w->limit) != 0) {
        str_copy(str_of(json_text(k, "limited_by")), w->limit, sizeof(w->limit));
        output_note("campaign %s waits (%s): of its servers %s; see postfleet server list", w->name,
                    w->limit, json_text(k, "why"));
    }
    json_decref(queue);
    json_decref(problem);
}

/* The rate of now says little of a campaign that waits for quotas: the end is the forecast's. */
static void note_end(struct watch *w, const json_t *r)
{
    int64_t now = clock_boot_ms();
    const json_t *eta = json_object_get(r, "eta"), *seconds = json_object_get(eta, "seconds");
    bool first = !w->bottleneck[0];
    if (!json_is_object(eta) || !strcmp(json_text(eta, "finishes_at"), w->ends_at))
        return;
    str_copy(str_of(json_text(eta, "finishes_at")), w->ends_at, sizeof(w->ends_at));
    w->ends_ms = json_is_number(seconds) ? now + (int64_t)(json_number_value(seconds) * 1000) : 0;
    str_copy(str_of(json_text(eta, "bottleneck")), w->bottleneck, sizeof(w->bottleneck));
    if (first && w->ends_ms - now > WORTH_MS)
        output_note("campaign %s ends %s by the forecast; what holds it up: %s", w->name,
                    w->ends_at, w->bottleneck);
}

static void show(struct watch *w, const json_t *r)
{
    const char *state = json_text(r, "state"), *reason = json_text(r, "reason");
    struct buf tail;
    int64_t all = json_number(r, "recipients");
    if (strcmp(state, w->said) != 0 && !is_over(state)) {
        if (!strcmp(state, "paused") || !strcmp(state, "stalled"))
            output_note("campaign %s is %s%s%s; waiting", w->name, state, reason[0] ? ": " : "",
                        reason);
        else if (w->said[0])
            output_note("campaign %s is %s", w->name, state);
        str_copy(str_of(state), w->said, sizeof(w->said));
    }
    if (!w->barred)
        progress_start(&w->bar, w->name, all, false);
    w->barred = true;
    w->bar.total = all;
    buf_init(&tail, 1000);
    add_tail(r, &tail);
    w->bar.left_ms = w->ends_ms ? MAX(w->ends_ms - clock_boot_ms(), INT64_C(0)) : 0;
    progress_show(&w->bar, all - json_number(r, "pending"), buf_cstr(&tail), true);
    buf_free(&tail);
}

/* The final word: 4 unless every recipient was sent the mail. */
static int finish(struct watch *w, const json_t *r)
{
    int64_t all = json_number(r, "recipients"), sent = json_number(r, "sent");
    progress_end(&w->bar);
    if (output_is_json())
        output_json(r);
    else
        campaign_report_print(r);
    return sent == all && !strcmp(json_text(r, "state"), "finished") ? 0 : EXIT_PARTLY;
}

static int lost(struct watch *w, json_t *problem, int status)
{
    int64_t now = clock_boot_ms();
    bool may_return = status == EXIT_UNREACHABLE || status == 75;
    if (!w->lost_since_ms && may_return) {
        output_note("no answer from the daemon; waiting for it to come back");
        w->lost_since_ms = now;
    }
    if (may_return && now - w->lost_since_ms < LOST_MAX_MS)
        return 0;
    progress_end(&w->bar);
    output_problem(problem);
    return status;
}

static int interrupted_here(struct watch *w)
{
    progress_end(&w->bar);
    output_note("interrupted; campaign %s goes on", w->name);
    return EXIT_INTERRUPTED;
}

static int watch_on(struct watch *w)
{
    for (;;) {
        json_t *r = NULL, *problem = NULL;
        int status = daemon_try(w->daemon, "GET",
                                daemon_path("/v1/campaigns/%s/report?forecast=yes", w->name), NULL,
                                &r, &problem);
        bool over = status == 0 && is_over(json_text(r, "state"));
        if (status == 0) {
            w->lost_since_ms = 0;
            if (!over)
                note_end(w, r);
            show(w, r);
            if (!over)
                say_limit(w, r);
        } else if (status != EXIT_INTERRUPTED) {
            status = lost(w, problem, status);
        }
        if (over)
            status = finish(w, r);
        json_decref(r);
        json_decref(problem);
        if (interrupt_seen() && !over)
            return interrupted_here(w);
        if (over || status != 0)
            return status;
        if (!interrupt_sleep(LOOK_EVERY_MS))
            return interrupted_here(w);
    }
}

int campaign_start_and_wait(struct cmd *c, const char *name)
{
    int status = 0;
    struct watch w = {.name = name};
    struct upload up = {.json = cmd_body(c)};
    json_t *answer = NULL;
    w.daemon = daemon_new(c, &status);
    if (!w.daemon) {
        json_decref(up.json);
        return status;
    }
    status =
        daemon_call(w.daemon, "POST", daemon_path("/v1/campaigns/%s/start", name), &up, &answer);
    json_decref(answer);
    json_decref(up.json);
    if (status == 0)
        status = watch_on(&w);
    daemon_free(&w.daemon);
    return status;
}
