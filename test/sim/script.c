/* What the user and fate do while the engine runs: sets up servers, groups, lists and campaigns by
 * the operations that web would call, sends single messages, lets the planned faults happen, and
 * stops the engine when all is done or the time is over. Its place lies in the world: after a crash
 * it goes on where it was. */
#include "world.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "model/campaign.h"
#include "store/db.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const domains[] = {"gmail.com",   "outlook.com", "yahoo.com", "example.net",
                                      "example.com", "icloud.com",  "gmx.de",    "example.org"};

static void address_of(uint32_t person, char *out, size_t size)
{
    snprintf(out, size, "p%06u@%s", person, domains[person % countof(domains)]);
}

static bool do_call(const char *op, json_t *args, struct str tail, json_t **data_out)
{
    char why[300];
    if (!args)
        world_fail("script: arguments of %s", op);
    if (user_call(op, args, tail, (void **)data_out, why, sizeof why))
        return true;
    world_trace("refused: %s", why);
    return false;
}

static void must_call(const char *op, json_t *args)
{
    if (!do_call(op, args, STR_NONE, NULL))
        world_fail("%s failed", op);
}

/* ---- setting up */

static const char *group_name(uint32_t i)
{
    return W->groups[i].name;
}

static void add_group(const struct vgroup *g)
{
    json_t *args =
        json_pack("{s:s, s:s, s:s, s:s}", "name", g->name, "strategy", g->strategy, "at_limit",
                  g->spill ? "spill" : "wait", "shares", g->elastic ? "elastic" : "exact");
    if (g->sticky)
        json_object_set_new(args, "sticky", json_string("recipient"));
    if (g->rotate) {
        json_object_set_new(args, "rotate_active", json_integer(g->rotate));
        json_object_set_new(args, "rotate_every", json_string("20s"));
    }
    if (g->fallback >= 0)
        json_object_set_new(args, "fallback", json_array());
    for (int32_t i = g->fallback; i >= 0; i = W->groups[i].fallback)
        json_array_append_new(json_object_get(args, "fallback"),
                              json_string(group_name((uint32_t)i)));
    must_call("group.add", args);
}

static void set_number(json_t *args, const char *name, uint64_t n)
{
    if (n)
        json_object_set_new(args, name, json_integer((json_int_t)n));
}

static void add_server(const struct vserver *s)
{
    json_t *args =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "name", s->name, "host", "127.0.0.1",
                  "port", (int)s->port, "tls", s->starttls ? "starttls" : "none", "from",
                  "Shop <hello@shop.example>", "connect_timeout", "10s", "reply_timeout", "30s");
    json_object_set_new(args, "group", json_array());
    if (s->starttls)
        json_object_set_new(args, "tls_verify", json_string("none"));
    if (s->login) {
        json_object_set_new(args, "user", json_string("shop"));
        json_object_set_new(args, "password", json_string("secret"));
    }
    if (s->spread)
        json_object_set_new(args, "spread", json_string("even"));
    if (s->all_attempts)
        json_object_set_new(args, "counts", json_string("attempts"));
    if (s->calendar)
        json_object_set_new(args, "calendar", json_string("UTC"));
    set_number(args, "per_second", s->per_second);
    set_number(args, "per_minute", s->per_minute);
    set_number(args, "per_hour", s->per_hour);
    set_number(args, "per_day", s->per_day);
    set_number(args, "max_connections", s->max_connections);
    set_number(args, "max_messages_per_connection", s->max_messages);
    if (s->pause_us) {
        char text[24];
        snprintf(text, sizeof text, "%lldms", (long long)s->pause_us / 1000);
        json_object_set_new(args, "pause_between", json_string(text));
    }
    must_call("server.add", args);
    if (s->curve[0])
        must_call("warmup.start", json_pack("{s:s, s:s}", "server", s->name, "curve", s->curve));
}

static void join(const struct vgroup *g, uint32_t i)
{
    must_call("server.set",
              json_pack("{s:s, s:s, s:i, s:i}", "name", W->servers[g->servers[i]].name, "group",
                        g->name, "weight", (int)g->weights[i], "priority", (int)g->tiers[i]));
}

static void row_add(struct buf *b, uint32_t person)
{
    char a[64];
    address_of(person, a, sizeof a);
    size_t n = strlen(a);
    buf_addc(b, (char)(n >> 8));
    buf_addc(b, (char)n);
    buf_addstr(b, str_from(a, n));
    buf_addstr(b, str_from("\0\0\0", 3));
}

static void import(const char *list, uint32_t first, uint32_t n)
{
    struct buf b;
    buf_init(&b, 1u << 20);
    for (uint32_t at = 0; at < n; at += 500) {
        uint32_t bite = MIN(n - at, 500u);
        b.n = 0;
        for (uint32_t i = 0; i < bite; i++)
            row_add(&b, first + at + i);
        if (!do_call("people.import_rows",
                     json_pack("{s:s, s:[], s:i}", "list", list, "fields", "n", (int)bite),
                     buf_str(&b), NULL))
            world_fail("the import failed");
    }
    buf_free(&b);
}

static void add_campaign(const struct vcampaign *c)
{
    char list[40];
    snprintf(list, sizeof list, "list of %s", c->name);
    must_call("list.add", json_pack("{s:s}", "name", list));
    import(list, c->first, c->n);
    must_call("campaign.create",
              json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", c->name, "list", list, "template",
                        "letter", "group", group_name(c->group), "stream",
                        c->is_priority ? "priority" : "bulk"));
}

static void set_up(void)
{
    for (uint32_t i = W->n_groups; i > 0; i--)
        add_group(&W->groups[i - 1]);
    for (uint32_t i = 0; i < W->n_servers; i++)
        add_server(&W->servers[i]);
    for (uint32_t i = 0; i < W->n_groups; i++)
        for (uint32_t k = 0; k < W->groups[i].n_servers; k++)
            join(&W->groups[i], k);
    must_call("template.add",
              json_pack("{s:s, s:s, s:s, s:s}", "name", "letter", "subject", "News for you", "text",
                        "Hello.\n.. and goodbye: {{ unsubscribe_url }}\n", "html",
                        "<p>Hello. <a href=\"{{ unsubscribe_url }}\">Leave</a></p>"));
    for (uint32_t i = 0; i < W->n_campaigns; i++)
        add_campaign(&W->campaigns[i]);
    W->ready_us = W->boot_us;
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

static void send_single(void)
{
    uint32_t n = W->singles_first + W->singles_sent++; /* never twice, whatever became of it */
    struct person *p = &W->people[n];
    char to[64];
    json_t *data = NULL;
    static const char *const lanes[] = {"transactional", "priority", "bulk"};
    address_of(n, to, sizeof to);
    p->is_single = true;
    p->lane = world_chance(800) ? 0 : (uint8_t)world_below(3);
    p->group = (uint8_t)world_below(W->n_groups);
    p->posted_us = W->boot_us;
    p->is_posted = do_call("message.send",
                           json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s}}", "item", "to", to, "from",
                                     "hello@shop.example", "subject", "Your order", "text",
                                     "It is on its way.\n", "stream", lanes[p->lane], "group",
                                     group_name(p->group)),
                           STR_NONE, &data);
    json_decref(data);
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

/* ---- is it over? */

static bool is_done(void)
{
    static struct db *db;
    char path[300];
    struct err e;
    bool row = false;
    int64_t left = 1;
    snprintf(path, sizeof path, "%s/postfleet.db", W->folder);
    if (!db && !db_open(path, DB_READ_ONLY, &db, &e))
        world_fail("script: %s", e.text);
    struct stmt *s = db_stmt(db,
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
        (void)do_call(looks[i], json_object(), STR_NONE, &data);
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
        set_up();
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
