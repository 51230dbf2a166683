/* See plot_stage.h. */
#include "plot_stage.h"
#include "base/alloc.h"

static void on_ready(void *arg, uint16_t num)
{
    (void)arg;
    (void)num;
}

static void on_state(void *arg, uint16_t num, enum oper_state from, enum oper_state to,
                     const char *reason, int64_t until)
{
    struct stage *s = arg;
    (void)from;
    (void)reason;
    s->state[num] = to;
    if (to == OPER_OPEN && s->n_open < countof(s->open_s))
        s->open_s[s->n_open++] = (double)(until - s->now) / 1000;
}

static void on_common(void *arg, bool began, const char *reason)
{
    (void)arg;
    (void)began;
    (void)reason;
}

void stage_open(struct stage *s)
{
    static const struct fleet_events events = {
        .on_ready = on_ready, .on_state = on_state, .on_common_cause = on_common};
    *s = (struct stage){.now = START_MS};
    s->f = fleet_new(&events, s, 1, s->now);
}

void stage_close(struct stage *s)
{
    fleet_free(&s->f);
    for (int i = 0; i <= SERVERS; i++)
        server_free(&s->servers[i]);
}

struct server *stage_server(struct stage *s, uint16_t num)
{
    struct server *x = s->servers[num] = server_new();
    x->num = num;
    x->id = num;
    return x;
}

void stage_apply(struct stage *s, uint16_t num)
{
    fleet_set_server(s->f, s->servers[num], false, s->now);
}

void stage_group(struct stage *s, enum strategy strategy, enum shares shares, uint16_t n,
                 const uint32_t *weights)
{
    struct group *g = group_new();
    g->num = 1;
    g->strategy = strategy;
    g->shares = shares;
    g->n_members = n;
    g->members = alloc_many(struct membership, n);
    for (uint16_t i = 0; i < n; i++)
        g->members[i] = (struct membership){
            .server_num = (uint16_t)(i + 1), .weight = weights ? weights[i] : 1, .priority = 1};
    fleet_set_group(s->f, g, s->now);
    group_free(&g);
}

struct pick stage_ask(struct stage *s, enum lane lane, uint16_t tried)
{
    struct ask a = {.group_num = 1, .lane = lane, .n_tried = tried != 0};
    struct pick p;
    a.tried[0] = tried;
    fleet_pick(s->f, &a, s->now, &p);
    return p;
}

void stage_end_after(struct stage *s, const struct hold *h, bool ok, int64_t latency_ms)
{
    int64_t when = 0;
    if (ok)
        check(fleet_dot(s->f, h, s->now, &when));
    struct report r = {.server_num = h->server_num,
                       .hold = *h,
                       .is_message = true,
                       .verdict = ok ? VERDICT_ACCEPTED : VERDICT_FAILOVER,
                       .fault = ok ? FAULT_NOBODY : FAULT_SERVER,
                       .phase = ok ? PHASE_DOT : PHASE_GREETING,
                       .reply_read = true,
                       .code = ok ? 250 : 554,
                       .dot_left = ok,
                       .dot_at = s->now,
                       .latency_ms = ok ? latency_ms : -1};
    fleet_report(s->f, &r, s->now);
}

void stage_end(struct stage *s, const struct hold *h, bool ok)
{
    stage_end_after(s, h, ok, 5);
}
