/* Choosing a server, without any network: the two doors of the fleet over 1 000 and 10 000 servers
 * with every limit set, and over one server as the baseline. */
#include "lab/bench_inner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "fleet/fleet.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define PICKS     1000000
#define BATCH     500 /* reserved before they are reported */
#define NO_END    1000000000
#define PROVIDERS 7

struct picking {
    struct fleet *fleet;
    size_t n;
    int64_t now_ms;
    double pick_ns, report_ns;
    uint64_t refused;
    size_t bytes; /* of the configured fleet */
};

static void on_ready(void *arg, uint16_t num)
{
    (void)arg, (void)num;
}

static void on_state(void *arg, uint16_t num, enum oper_state from, enum oper_state to,
                     const char *reason, int64_t until)
{
    (void)arg, (void)num, (void)from, (void)to, (void)reason, (void)until;
}

static void on_common_cause(void *arg, bool began, const char *reason)
{
    (void)arg, (void)began, (void)reason;
}

static const struct fleet_events events = {
    .on_ready = on_ready, .on_state = on_state, .on_common_cause = on_common_cause};

static void add_servers(struct picking *p)
{
    struct group *g = group_new();
    g->num = 1;
    g->name = alloc_copy("bench");
    g->strategy = STRATEGY_WEIGHTED;
    g->members = alloc_many(struct membership, p->n);
    g->n_members = p->n;
    for (size_t i = 0; i < p->n; i++) {
        struct server *s = server_new();
        char name[32];
        snprintf(name, sizeof(name), "s%zu", i);
        s->num = (uint16_t)(i + 1);
        s->name = alloc_copy(name);
        s->host = alloc_copy("127.0.0.1");
        s->port = 25;
        s->limits = (struct limits){.per_second = 1000000,
                                    .per_minute = 10000000,
                                    .per_hour = 100000000,
                                    .per_day = NO_END,
                                    .per_month = NO_END,
                                    .spread = SPREAD_ASAP,
                                    .max_connections = 1000,
                                    .max_messages_per_connection = 1000};
        g->members[i] =
            (struct membership){.server_num = s->num, .weight = 1 + i % 10, .priority = 1};
        fleet_set_server(p->fleet, s, false, p->now_ms);
        server_free(&s);
    }
    fleet_set_group(p->fleet, g, p->now_ms);
    group_free(&g);
}

/* Beside those of the servers: every other kind there is. */
static void add_limits(struct picking *p)
{
    static const struct limits l = {.per_second = 1000000,
                                    .per_minute = 10000000,
                                    .per_hour = 100000000,
                                    .per_day = NO_END,
                                    .spread = SPREAD_ASAP};
    static const enum limit_kind one[] = {LIMIT_GROUP, LIMIT_CAMPAIGN, LIMIT_CREDENTIAL};
    for (size_t i = 0; i < countof(one); i++)
        fleet_set_limit(p->fleet, &(struct limit_key){one[i], 1, 0}, &l, p->now_ms);
    for (uint32_t k = 0; k < PROVIDERS; k++)
        fleet_set_limit(p->fleet, &(struct limit_key){LIMIT_PROVIDER, 0, k}, &l, p->now_ms);
    for (uint32_t num = 1; num <= p->n; num++) {
        struct limit_key warmup = {LIMIT_WARMUP, num, 0}, cell = {LIMIT_SERVER_PROVIDER, num, 1};
        fleet_set_limit(p->fleet, &warmup, &l, p->now_ms);
        fleet_set_limit(p->fleet, &cell, &l, p->now_ms);
    }
}

static void finish(struct picking *p, const struct hold *h)
{
    int64_t when = 0;
    struct report r = {.server_num = h->server_num,
                       .hold = *h,
                       .is_message = true,
                       .verdict = VERDICT_ACCEPTED,
                       .phase = PHASE_DOT,
                       .reply_read = true,
                       .dot_left = true,
                       .dot_at = p->now_ms,
                       .latency_ms = 5,
                       .from_domain = STR("shop.example")};
    if (!fleet_dot(p->fleet, h, p->now_ms, &when)) {
        fleet_return(p->fleet, h, p->now_ms);
        p->refused++;
        return;
    }
    fleet_report(p->fleet, &r, p->now_ms);
}

/* A batch is picked, then all of it is reported, each half timed by itself. */
static void run_batch(struct picking *p, int64_t *pick_us, int64_t *report_us)
{
    struct hold holds[BATCH];
    size_t n = 0;
    struct ask a = {.group_num = 1,
                    .lane = LANE_BULK,
                    .from_domain = STR("shop.example"),
                    .campaign_num = 1,
                    .credential_num = 1};
    int64_t t0 = clock_boot_us();
    for (size_t i = 0; i < BATCH; i++) {
        struct pick got;
        a.provider = (uint32_t)(i % PROVIDERS);
        fleet_pick(p->fleet, &a, p->now_ms, &got);
        if (got.kind == PICK_SEND)
            holds[n++] = got.hold;
        else
            p->refused++;
    }
    int64_t t1 = clock_boot_us();
    for (size_t i = 0; i < n; i++)
        finish(p, &holds[i]);
    *pick_us += t1 - t0;
    *report_us += clock_boot_us() - t1;
    p->now_ms += 1;
}

/* Cold servers take one message first: as many batches as make all of them warm, then the rest. */
static void run(struct picking *p, size_t servers)
{
    int64_t pick_us = 0, report_us = 0, unused = 0;
    *p = (struct picking){.n = servers, .now_ms = 1000000};
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    p->fleet = fleet_new(&events, NULL, 1, p->now_ms);
    add_servers(p);
    add_limits(p);
    p->bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    p->now_ms += 2000;
    for (size_t i = 0; i < 20 * servers / BATCH + 20; i++)
        run_batch(p, &unused, &unused);
    p->refused = 0;
    for (size_t i = 0; i < PICKS / BATCH && !bench_asked_to_end; i++)
        run_batch(p, &pick_us, &report_us);
    p->pick_ns = (double)pick_us * 1000 / PICKS;
    p->report_ns = (double)report_us * 1000 / PICKS;
    fleet_free(&p->fleet);
}

static void put(struct bench_figures *f, const struct picking *p, const char *tag, const char *what)
{
    char key[48], text[64];
    snprintf(key, sizeof(key), "pick_ns_%s", tag);
    snprintf(text, sizeof(text), "pick, %s", what);
    bench_put(f, key, p->pick_ns, text, "ns");
    snprintf(key, sizeof(key), "report_ns_%s", tag);
    snprintf(text, sizeof(text), "  dot and report, %s", what);
    bench_put(f, key, p->report_ns, text, "ns");
    snprintf(key, sizeof(key), "mib_%s", tag);
    bench_put(f, key, (double)p->bytes / (1 << 20), "  memory of servers and limits", "MiB");
    snprintf(key, sizeof(key), "refused_%s", tag);
    bench_put(f, key, (double)p->refused, p->refused ? "  not picked" : NULL, "");
}

int bench_pick(const struct bench_options *o, struct err *e)
{
    struct picking one, thousand, ten;
    struct bench_figures f;
    (void)e;
    run(&one, 1);
    run(&thousand, 1000);
    run(&ten, 10000);
    if (bench_asked_to_end)
        return 130;
    bench_begin(&f, o, "pick");
    put(&f, &one, "1", "one server");
    put(&f, &thousand, "1000", "1 000 servers");
    put(&f, &ten, "10000", "10 000 servers");
    bench_put(&f, "ratio_1000_to_1", thousand.pick_ns / one.pick_ns, "1 000 to one", "");
    bench_put(&f, "ratio_10000_to_1000", ten.pick_ns / thousand.pick_ns, "10 000 to 1 000", "");
    bench_end(&f);
    return 0;
}
