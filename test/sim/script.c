/* What the user and fate do while the engine runs: sets up servers, groups, lists and campaigns by
 * the operations that web would call, sends single messages, lets the planned faults happen, and
 * stops the engine when all is done or the time is over. Its place lies in the world: after a crash
 * it goes on where it was. */
#include "world.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "model/campaign.h"
#include "store/db.h"
#include "store/reports.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void address_of(uint32_t person, char *out, size_t size)
{
    snprintf(out, size, "p%06u@%s", person, sim_domains[person % DOMAINS]);
}

bool script_call(const char *op, void *args, struct str tail, void **data_out)
{
    char why[300];
    if (!args)
        world_fail("script: arguments of %s", op);
    if (user_call(op, args, tail, data_out, why, sizeof why))
        return true;
    world_trace("refused: %s", why);
    return false;
}

void script_must(const char *op, void *args)
{
    if (!script_call(op, args, STR_NONE, NULL))
        world_fail("%s failed", op);
}

/* ---- load */

static void start_campaign(struct vcampaign *c)
{
    char why[300];
    c->started = user_call("campaign.start", json_pack("{s:s}", "name", c->name), STR_NONE, NULL,
                           why, sizeof why) ||
                 strstr(why, "already");
    if (!c->started)
        world_fail("campaign.start: %s", why);
}

/* What rules look at; only where there are rules a message leaves its group to them. */
static void draw_facts(struct person *p)
{
    p->is_single = true;
    p->lane = world_chance(800) ? 0 : (uint8_t)world_below(3);
    p->group = (uint8_t)world_below(W->n_groups);
    if (W->routing.n == 0)
        return;
    p->group = world_chance(200) ? p->group : NO_GROUP;
    p->tag = (uint8_t)world_below(countof(sim_tags));
    p->is_big = world_chance(300);
}

static void add_text(json_t *args, uint32_t size)
{
    static const char line[] = "It is on its way, and this line says it once more.\n";
    struct buf b;
    buf_init(&b, 8u << 20);
    do
        buf_adds(&b, line);
    while (b.n < size);
    json_object_set_new(args, "text", json_stringn(b.p, b.n));
    buf_free(&b);
}

static json_t *single_args(uint32_t n, struct person *p)
{
    char to[64];
    address_of(n, to, sizeof to);
    json_t *args = json_pack("{s:s, s:s, s:s, s:s}", "to", to, "from", "hello@shop.example",
                             "subject", "Your order", "stream", sim_lanes[p->lane]);
    add_text(args, p->is_big ? 30000 : W->singles_size);
    if (p->group != NO_GROUP)
        json_object_set_new(args, "group", json_string(W->groups[p->group].name));
    if (p->tag)
        json_object_set_new(args, "tag", json_string(sim_tags[p->tag]));
    if (W->singles_for_us) {
        p->expires_ms = (world_wall_us() + W->singles_for_us) / 1000;
        json_object_set_new(args, "expires_at", json_integer(p->expires_ms));
    }
    return args;
}

static void send_single(void)
{
    uint32_t n = W->singles_first + W->singles_sent++; /* never twice, whatever became of it */
    struct person *p = &W->people[n];
    draw_facts(p);
    p->has_key = W->with_key && world_chance(500);
    p->posted_us = W->boot_us;
    W->as_key = p->has_key;
    p->is_posted =
        script_call("message.send", json_pack("{s:o}", "item", single_args(n, p)), STR_NONE, NULL);
    W->as_key = false;
}

/* ---- faults */

static void happen(struct fault_plan *f)
{
    f->done = true;
    switch (f->kind) {
    case FAULT_CRASH:
    case FAULT_REBOOT:
        W->crash_in = f->steps;
        W->down_us = f->for_us;
        W->reboots = f->kind == FAULT_REBOOT;
        break;
    case FAULT_STOP:
        W->down_us = f->for_us;
        loop_signal(SIGTERM);
        break;
    case FAULT_WALL:
        world_trace("the wall clock jumps by %lld s", (long long)(f->for_us / SECOND_US));
        W->wall_offset_us += f->for_us;
        break;
    case FAULT_CUT:
        world_trace("the network is cut for %lld ms", (long long)(f->for_us / 1000));
        W->cut_until_us = W->boot_us + f->for_us;
        break;
    }
}

/* ---- the user asks when it will end */

static void foresee(void)
{
    json_t *facts = NULL, *answer = NULL;
    struct err e;
    if (!report_forecast_facts(script_db(), W->campaigns[0].name, &facts, &e))
        world_fail("facts of the forecast: %s", e.text);
    if (!script_call("live.forecast", facts, STR_NONE, (void **)&answer))
        world_fail("the forecast is refused");
    double seconds = json_real_value(json_object_get(answer, "seconds"));
    if (seconds <= 0)
        world_fail("the forecast sees no end: %s",
                   json_string_value(json_object_get(answer, "bottleneck")));
    W->foreseen_us = W->boot_us - W->ready_us + (int64_t)(seconds * 1e6);
    if (W->verbose)
        (void)json_dumpf(answer, stdout, JSON_INDENT(1));
    json_decref(answer);
}

/* ---- is it over? */

struct db *script_db(void)
{
    static struct db *db;
    char path[300];
    struct err e;
    snprintf(path, sizeof path, "%s/postfleet.db", W->folder);
    if (!db && !db_open(path, DB_READ_ONLY, &db, &e))
        world_fail("script: %s", e.text);
    return db;
}

static bool is_done(void)
{
    struct err e;
    bool row = false;
    int64_t left = 1;
    struct stmt *s = db_stmt(script_db(),
                             "SELECT (SELECT COUNT(*) FROM queue) + (SELECT COUNT(*) FROM lease "
                             "WHERE open = 1) + (SELECT COUNT(*) FROM campaign WHERE state = $1)",
                             &e);
    if (s) {
        db_bind_i64(s, 1, CAMPAIGN_RUNNING);
        if (db_step(s, &row, &e) && row)
            left = db_i64(s, 0);
        db_reset(s);
    }
    return left == 0;
}

static bool all_given(void)
{
    for (uint32_t i = 0; i < W->n_campaigns; i++)
        if (!W->campaigns[i].started)
            return false;
    return W->singles_sent == W->n_singles;
}

static bool all_happened(void)
{
    for (uint32_t i = 0; i < W->n_faults; i++)
        if (!W->faults[i].done)
            return false;
    return true;
}

/* What is due happens; when the next thing is, as microseconds since ready. */
static int64_t act(void)
{
    int64_t now = W->boot_us - W->ready_us, next = INT64_MAX;
    for (uint32_t i = 0; i < W->n_campaigns; i++) {
        struct vcampaign *c = &W->campaigns[i];
        if (!c->started && now >= c->start_us)
            start_campaign(c);
        if (!c->started)
            next = MIN(next, c->start_us);
    }
    for (uint32_t i = 0; i < W->n_faults; i++) {
        if (!W->faults[i].done && now >= W->faults[i].at_us)
            happen(&W->faults[i]);
        if (!W->faults[i].done)
            next = MIN(next, W->faults[i].at_us);
    }
    for (uint32_t i = 0; i < W->n_edits; i++) {
        if (!W->edits[i].done && now >= W->edits[i].at_us)
            script_edit(&W->edits[i]);
        if (!W->edits[i].done)
            next = MIN(next, W->edits[i].at_us);
    }
    if (W->foreseen_at_us && !W->foreseen_us) {
        if (now >= W->foreseen_at_us)
            foresee();
        else
            next = MIN(next, W->foreseen_at_us);
    }
    if (W->singles_sent < W->n_singles) {
        int64_t due = W->singles_from_us + W->singles_sent * W->singles_every_us;
        if (now >= due)
            send_single();
        next = MIN(next, W->singles_from_us + W->singles_sent * W->singles_every_us);
    }
    return next;
}

/* For a replay: what the engine thinks it waits for. */
static void show_live(void)
{
    static const char *const looks[] = {"live.status", "live.queue", "live.fleet"};
    for (size_t i = 0; i < countof(looks); i++) {
        json_t *data = NULL;
        (void)script_call(looks[i], json_object(), STR_NONE, (void **)&data);
        char *text = json_dumps(data, JSON_COMPACT);
        printf("%s: %s\n", looks[i], text);
        free(text);
        json_decref(data);
    }
}

void *script_run(void *arg)
{
    int64_t poll = 0;
    (void)arg;
    if (!W->ready_us)
        script_set_up();
    for (;;) {
        int64_t next = act(), now = W->boot_us - W->ready_us;
        if (now >= poll) {
            W->was_done = all_given() && all_happened() && is_done();
            poll = now + (now < MINUTE_US ? SECOND_US : 10 * SECOND_US);
        }
        if (W->was_done || now >= W->end_us) {
            if (W->verbose && !W->was_done)
                show_live();
            W->is_over = true;
            loop_signal(SIGTERM);
            return NULL;
        }
        next = MIN(MIN(next, poll), W->end_us);
        threads_sleep_us(MAX(next - (W->boot_us - W->ready_us), INT64_C(1)));
    }
}
