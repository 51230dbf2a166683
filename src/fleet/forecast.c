/* The virtual clock. Classes are asked for as engine/due does (lane, turns of campaigns, then the
 * class that is furthest behind); a pick waits for a connection and for its pace, as in
 * engine/outlet, and is reported accepted after its service time. The clock jumps to whatever comes
 * next: an end, a pace, a quota's time, a calendar's day, a warm-up's turn. Very large campaigns go
 * in batches: what one virtual message stands for is counted in every limit, so that none is
 * exceeded by it. */
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/forecast_inner.h"

#include <stdlib.h>

#define PICKS_MAX   50000
#define PICKS_MOST  400000 /* with many connections or small limits */
#define BULK_EVERY  20
#define DAY_MS      INT64_C(86400000)
#define MONTH_MS    (30 * DAY_MS)
#define TICK_US     INT64_C(1000000)
#define SLOW_TICKS  60
#define AGAIN_MS    1000
#define AGAIN_MOST  60000
#define STUCK_MOST  3600000
#define USE_MIN     0.1 /* of a warm-up's cap: below it a day does not count */
#define PER_CONNECT 20  /* batches that each connection should see */

struct flight {
    struct heap_node end;
    struct list link; /* in the backlog */
    struct vserver *server;
    struct vclass *class;
    struct hold hold;
    int64_t dot_at;
    uint64_t n;
};

/* ---- connections */

static void wake_busy(struct virtual *v)
{
    for (size_t i = 0; i < v->in->n_classes; i++)
        if (v->classes[i].is_busy) {
            v->classes[i].is_busy = false;
            v->classes[i].wake_us = 0;
        }
}

/* More of the same leave with it: as many as it stands for, every limit has room for, and wait. */
static uint64_t take_more(struct virtual *v, struct flight *f)
{
    int64_t now = virtual_ms(v);
    uint64_t more = MIN(v->batch - 1, f->class->left);
    if (!more)
        return 0;
    more = MIN(more, quota_room(&f->server->server->quota, (enum lane)f->hold.lane, now));
    more = limits_room(v->fleet, &f->hold, now, more);
    quota_take_more(&f->server->server->quota, (enum lane)f->hold.lane, more, now);
    limits_take_more(v->fleet, &f->hold, more, now);
    struct fgroup *g = fleet_find_group(v->fleet, f->hold.group_num);
    g->rotate_sent += more;
    f->class->left -= more;
    v->served[f->class->of->campaign] += more;
    v->in_flight += f->class->of->campaign == 0 ? more : 0;
    return more;
}

static void begin(struct virtual *v, struct flight *f)
{
    f->n = 1 + take_more(v, f);
    f->dot_at = virtual_ms(v);
    list_remove(&f->link);
    f->server->n_busy++;
    v->out->batch = MAX(v->out->batch, f->n);
    v->out->error_ms =
        MAX(v->out->error_ms, (int64_t)(f->n - 1) * f->server->of->service_us / 1000);
    heap_add(&v->events, &f->end,
             v->now_us + MAX((int64_t)f->n * f->server->of->service_us, INT64_C(1)));
    if (f->class->of->campaign == 0)
        sum_sent(v, f->server, f->n);
}

static void pump(struct virtual *v, struct vserver *s)
{
    while (!list_empty(&s->backlog)) {
        struct flight *f = list_first(&s->backlog, struct flight, link);
        int64_t now = virtual_ms(v), when = 0;
        if (s->n_busy >= fleet_transactions(v->fleet, s->of->num, now))
            return;
        if (!fleet_dot(v->fleet, &f->hold, now, &when)) {
            heap_rekey(&v->events, &s->pace, MAX(when, now + 1) * 1000);
            return;
        }
        begin(v, f);
    }
}

static void end(struct virtual *v, struct flight *f)
{
    struct report r = {.server_num = f->hold.server_num,
                       .hold = f->hold,
                       .is_message = true,
                       .verdict = VERDICT_ACCEPTED,
                       .phase = PHASE_DOT,
                       .reply_read = true,
                       .dot_left = true,
                       .dot_at = f->dot_at,
                       .latency_ms = f->server->of->service_us / 1000,
                       .provider = f->hold.provider,
                       .code = 250,
                       .why = ""};
    struct vserver *s = f->server;
    s->n_busy--;
    v->in_flight -= f->class->of->campaign == 0 ? f->n : 0;
    fleet_report(v->fleet, &r, virtual_ms(v));
    free(f);
    pump(v, s);
    wake_busy(v);
}

/* ---- asking */

static bool is_runnable(const struct virtual *v, const struct vclass *k)
{
    return k->left && k->wake_us <= v->now_us;
}

/* Of a lane: the campaign that had least, then its class that is furthest behind. */
static struct vclass *choose_in(struct virtual *v, enum lane lane)
{
    struct vclass *best = NULL;
    double best_part = 0;
    for (size_t i = 0; i < v->in->n_classes; i++) {
        struct vclass *k = &v->classes[i];
        if (k->of->lane != lane || !is_runnable(v, k))
            continue;
        double part = (double)k->left / (double)k->of->n;
        uint64_t served = v->served[k->of->campaign];
        uint64_t least = best ? v->served[best->of->campaign] : UINT64_MAX;
        bool same = best && best->of->campaign == k->of->campaign;
        if (!best || (same ? part > best_part : served < least)) {
            best = k;
            best_part = part;
        }
    }
    return best;
}

static struct vclass *choose(struct virtual *v)
{
    struct vclass *bulk = choose_in(v, LANE_BULK), *k = NULL;
    for (int lane = 0; lane < LANE_BULK && !k; lane++)
        k = choose_in(v, (enum lane)lane);
    if (!k || (bulk && v->n_high >= BULK_EVERY - 1))
        k = bulk;
    v->n_high = k != bulk && bulk ? v->n_high + 1 : 0;
    return k;
}

/* Others that the same servers could take wait for the same connection. */
static void wait_busy(struct virtual *v, const struct vclass *k, int64_t until_us)
{
    for (size_t i = 0; i < v->in->n_classes; i++) {
        struct vclass *o = &v->classes[i];
        bool same = o->of->group_num == k->of->group_num && o->of->lane == k->of->lane &&
                    o->of->engagement == k->of->engagement &&
                    !strcmp(o->of->from_domain, k->of->from_domain) &&
                    !strcmp(o->of->country, k->of->country);
        if (same && is_runnable(v, o)) {
            o->is_busy = true;
            o->wake_us = until_us;
        }
    }
}

static void wait_for(struct virtual *v, struct vclass *k, const struct pick *p)
{
    int64_t now = virtual_ms(v);
    bool is_limit = p->bound == BOUND_QUOTA || p->bound == BOUND_SPREAD || p->bound == BOUND_PACE;
    if (p->bound == BOUND_BUSY) {
        wait_busy(v, k, MAX(p->until, now + 1) * 1000);
        return;
    }
    if (p->kind == PICK_WAIT && p->free_at > now) {
        k->wake_us = p->free_at * 1000;
        return;
    }
    k->backoff_ms = MIN(MAX(k->backoff_ms * 2, (int64_t)AGAIN_MS),
                        is_limit ? (int64_t)AGAIN_MOST : (int64_t)STUCK_MOST);
    k->wake_us = (now + k->backoff_ms) * 1000;
}

static void send(struct virtual *v, struct vclass *k, const struct pick *p)
{
    struct flight *f = alloc_one(struct flight);
    f->class = k;
    f->hold = p->hold;
    f->server = &v->servers[v->by_num[p->server_num]];
    f->n = 1;
    k->left--;
    k->backoff_ms = 0;
    v->served[k->of->campaign]++;
    v->in_flight += k->of->campaign == 0;
    list_push_back(&f->server->backlog, &f->link);
    pump(v, f->server);
}

void virtual_pick(struct virtual *v, const struct vclass *k, struct pick *out)
{
    struct ask a = {.group_num = k->of->group_num,
                    .lane = k->of->lane,
                    .from_domain = str_of(k->of->from_domain),
                    .provider = k->of->provider,
                    .campaign_num = k->of->campaign_num,
                    .engagement = k->of->engagement};
    memcpy(a.country, k->of->country, sizeof a.country);
    fleet_pick(v->fleet, &a, virtual_ms(v), out);
}

static void ask_all(struct virtual *v)
{
    for (struct vclass *k = choose(v); k; k = choose(v)) {
        struct pick p;
        virtual_pick(v, k, &p);
        if (p.kind == PICK_SEND)
            send(v, k, &p);
        else
            wait_for(v, k, &p);
    }
}

/* ---- calendars, warm-ups, states */

static int64_t bound_at(const int64_t *at, size_t n, size_t i, int64_t step)
{
    if (!n)
        return INT64_MAX / 2000;
    return i < n ? at[i] : at[n - 1] + (int64_t)(i - n + 1) * step;
}

static int64_t day_at(const struct virtual *v, size_t calendar, size_t i)
{
    const struct forecast_calendar *c = &v->in->calendars[calendar];
    return bound_at(c->days, c->n_days, i, DAY_MS);
}

static int64_t month_at(const struct virtual *v, size_t calendar, size_t i)
{
    const struct forecast_calendar *c = &v->in->calendars[calendar];
    return bound_at(c->months, c->n_months, i, MONTH_MS);
}

static void open_window(struct quota *q, enum quota_window w, int64_t from, int64_t to)
{
    if (q->lines[w].limit && q->lines[w].is_calendar && q->lines[w].opened_at < from)
        quota_open_calendar(q, w, from, to);
}

static void open_windows(struct virtual *v, size_t c)
{
    size_t d = v->at_day[c], m = v->at_month[c], pos = 0;
    uint64_t key = 0;
    void *s = NULL;
    for (size_t i = 0; i < v->in->n_servers; i++)
        if (v->servers[i].of->calendar == c && v->servers[i].server) {
            struct quota *q = &v->servers[i].server->quota;
            open_window(q, QUOTA_DAY, day_at(v, c, d), day_at(v, c, d + 1));
            open_window(q, QUOTA_MONTH, month_at(v, c, m), month_at(v, c, m + 1));
        }
    while (c == 0 && map_u64_next(v->fleet->scopes, &pos, &key, &s)) {
        struct quota *q = &((struct scope *)s)->quota;
        if (key >> 56 == LIMIT_WARMUP || key >> 56 == LIMIT_WARMUP_PROVIDER)
            continue;
        open_window(q, QUOTA_DAY, day_at(v, c, d), day_at(v, c, d + 1));
        open_window(q, QUOTA_MONTH, month_at(v, c, m), month_at(v, c, m + 1));
    }
}

/* The next begin of a day in the server's calendar. */
static int64_t next_day(const struct virtual *v, uint16_t num, int64_t after)
{
    size_t c = v->servers[v->by_num[num]].of->calendar;
    for (size_t i = v->at_day[c]; i < v->at_day[c] + 3; i++)
        if (day_at(v, c, i) > after && day_at(v, c, i) < INT64_MAX / 2000)
            return day_at(v, c, i);
    return after + DAY_MS;
}

static void turn_warmup(struct virtual *v, size_t i)
{
    const struct forecast_warmup *w = &v->in->warmups[i];
    struct vwarmup *at = &v->warmups[i];
    struct limit_key key = {w->provider ? LIMIT_WARMUP_PROVIDER : LIMIT_WARMUP, w->server_num,
                            w->provider};
    struct quota *q = fleet_limit(v->fleet, &key);
    int64_t opened = at->closes_at, now = virtual_ms(v);
    at->closes_at = next_day(v, w->server_num, opened);
    if (!q)
        return;
    const struct quota_line *l = &q->lines[QUOTA_DAY];
    at->day += !w->holds && (double)l->used >= USE_MIN * (double)l->limit;
    if (at->day > w->n) {
        fleet_set_limit(v->fleet, &key, NULL, now);
        if (!w->provider) {
            fleet_set_engagement(v->fleet, w->server_num, 0, now);
            fleet_set_warmup(v->fleet, w->server_num, &(struct warmup_stand){0});
        }
        return;
    }
    struct limits limits = {.per_day = w->caps[at->day - 1],
                            .calendar = (char[]){"UTC"},
                            .counts = q->counts,
                            .spread = SPREAD_ASAP};
    fleet_set_limit(v->fleet, &key, &limits, now);
    quota_open_calendar(q, QUOTA_DAY, opened, at->closes_at);
    if (!w->provider)
        fleet_set_warmup(v->fleet, w->server_num,
                         &(struct warmup_stand){at->day, w->caps[at->day - 1], w->caps[w->n - 1]});
    if (w->classes && !w->provider)
        fleet_set_engagement(v->fleet, w->server_num, w->classes[at->day - 1], now);
}

/* What happens by the calendar at this moment. */
static void turn_days(struct virtual *v)
{
    int64_t now = virtual_ms(v);
    bool turned = false;
    for (size_t c = 0; c < v->in->n_calendars; c++) {
        bool day = day_at(v, c, v->at_day[c] + 1) <= now;
        bool month = month_at(v, c, v->at_month[c] + 1) <= now;
        v->at_day[c] += day;
        v->at_month[c] += month;
        if (day || month)
            open_windows(v, c);
        turned |= day || month;
    }
    for (size_t i = 0; i < v->in->n_warmups; i++)
        if (v->warmups[i].closes_at <= now) {
            turn_warmup(v, i);
            turned = true;
        }
    for (size_t i = 0; turned && i < v->in->n_classes; i++)
        v->classes[i].wake_us = v->classes[i].backoff_ms = 0;
}

static int64_t next_turn_us(const struct virtual *v)
{
    int64_t at = INT64_MAX / 2000;
    for (size_t c = 0; c < v->in->n_calendars; c++)
        at = MIN(at, MIN(day_at(v, c, v->at_day[c] + 1), month_at(v, c, v->at_month[c] + 1)));
    for (size_t i = 0; i < v->in->n_warmups; i++)
        at = MIN(at, v->warmups[i].closes_at);
    return at * 1000;
}

static bool moves(const struct fserver *s)
{
    return s->state == OPER_OPEN || s->state == OPER_HALF_OPEN || s->state == OPER_RAMP ||
           s->state == OPER_EXHAUSTED;
}

/* An open server is taken to be well again when its time has come. */
static void tick(struct virtual *v)
{
    uint16_t nums[64];
    bool any = false;
    for (size_t i = 0; i < v->in->n_servers && !any; i++)
        any = v->servers[i].server && moves(v->servers[i].server);
    if (v->now_us - v->ticked_us < (any ? 1 : SLOW_TICKS) * TICK_US)
        return;
    v->ticked_us = v->now_us;
    size_t n = fleet_tick(v->fleet, virtual_ms(v), nums, countof(nums));
    for (size_t i = 0; i < n; i++) {
        struct fserver *s = fleet_find(v->fleet, nums[i]);
        struct report r = {.server_num = nums[i],
                           .is_probe = true,
                           .verdict = VERDICT_ACCEPTED,
                           .fault = FAULT_NOBODY,
                           .reply_read = true,
                           .latency_ms = -1,
                           .why = ""};
        if (s && moves(s))
            fleet_report(v->fleet, &r, virtual_ms(v));
    }
}

/* ---- the run */

static int64_t next_us(struct virtual *v, bool *moves_out)
{
    struct heap_node *n = heap_min(&v->events);
    int64_t at = n ? n->key : INT64_MAX;
    *moves_out = n != NULL;
    for (size_t i = 0; i < v->in->n_classes; i++)
        if (v->classes[i].left) {
            at = MIN(at, v->classes[i].wake_us);
            *moves_out = true;
        }
    at = MIN(at, next_turn_us(v));
    for (size_t i = 0; i < v->in->n_servers; i++)
        if (v->servers[i].server && moves(v->servers[i].server))
            at = MIN(at, v->ticked_us + TICK_US);
    return MAX(at, v->now_us + 1);
}

static void run_events(struct virtual *v)
{
    for (struct heap_node *n = heap_min(&v->events); n && n->key <= v->now_us;
         n = heap_min(&v->events)) {
        heap_remove(&v->events, n);
        bool is_pace = false;
        for (size_t i = 0; i < v->in->n_servers && !is_pace; i++)
            if (n == &v->servers[i].pace) {
                is_pace = true;
                pump(v, &v->servers[i]);
            }
        if (!is_pace)
            end(v, container_of(n, struct flight, end));
        else
            wake_busy(v);
    }
}

static bool is_over(const struct virtual *v)
{
    uint64_t left = v->in_flight;
    for (size_t i = 0; i < v->in->n_classes; i++)
        left += v->classes[i].of->campaign == 0 ? v->classes[i].left : 0;
    return left == 0;
}

static void run(struct virtual *v)
{
    int64_t horizon_us = v->now_us + FORECAST_DAYS_MAX * DAY_MS * 1000;
    bool any = true;
    ask_all(v);
    while (!is_over(v) && any && v->now_us < horizon_us) {
        int64_t to = next_us(v, &any);
        sum_pass(v, to);
        v->now_us = to;
        turn_days(v);
        run_events(v);
        tick(v);
        ask_all(v);
    }
    v->out->ends = is_over(v);
    v->out->finishes_at = virtual_ms(v);
}

/* ---- begin and end */

static uint64_t batch_of(const struct virtual *v)
{
    uint64_t all = 0, connections = 0;
    for (size_t i = 0; i < v->in->n_classes; i++)
        all += v->in->classes[i].n;
    for (size_t i = 0; i < v->in->n_servers; i++)
        connections += v->servers[i].server ? v->servers[i].server->limits.max_connections : 0;
    uint64_t picks = v->in->picks_max ? v->in->picks_max : PICKS_MAX;
    if (!v->in->picks_max)
        picks = MIN(MAX(picks, connections * PER_CONNECT), (uint64_t)PICKS_MOST);
    return MAX((all + picks - 1) / MAX(picks, UINT64_C(1)), UINT64_C(1));
}

static void init_servers(struct virtual *v)
{
    const struct forecast_in *in = v->in;
    v->servers = alloc_many(struct vserver, in->n_servers + 1);
    v->by_num = alloc_many(size_t, 65536);
    v->out->servers = alloc_many(struct forecast_by_server, in->n_servers + 1);
    v->out->n_servers = in->n_servers;
    for (size_t i = 0; i < in->n_servers; i++) {
        struct vserver *s = &v->servers[i];
        s->of = &in->servers[i];
        s->server = fleet_find(v->fleet, s->of->num);
        s->sum = &v->out->servers[i];
        s->sum->num = s->of->num;
        list_init(&s->backlog);
        v->by_num[s->of->num] = i;
    }
}

static void init(struct virtual *v)
{
    const struct forecast_in *in = v->in;
    heap_init(&v->events);
    init_servers(v);
    v->classes = alloc_many(struct vclass, in->n_classes + 1);
    for (size_t i = 0; i < in->n_classes; i++) {
        v->classes[i] = (struct vclass){.of = &in->classes[i], .left = in->classes[i].n};
        v->n_campaigns = MAX(v->n_campaigns, in->classes[i].campaign + 1);
        v->out->recipients += in->classes[i].campaign == 0 ? in->classes[i].n : 0;
    }
    v->served = alloc_many(uint64_t, v->n_campaigns + 1);
    v->at_day = alloc_many(size_t, in->n_calendars + 1);
    v->at_month = alloc_many(size_t, in->n_calendars + 1);
    v->warmups = alloc_many(struct vwarmup, in->n_warmups + 1);
    for (size_t i = 0; i < in->n_warmups; i++)
        v->warmups[i] = (struct vwarmup){in->warmups[i].day, in->warmups[i].closes_at};
    for (size_t c = 0; c < in->n_calendars; c++)
        open_windows(v, c);
    v->batch = batch_of(v);
    v->fleet->patience = v->batch;
    v->out->batch = 1;
}

static void clear(struct virtual *v)
{
    for (struct heap_node *n = heap_pop(&v->events); n; n = heap_pop(&v->events)) {
        bool is_pace = false;
        for (size_t i = 0; i < v->in->n_servers; i++)
            is_pace |= n == &v->servers[i].pace;
        if (!is_pace)
            free(container_of(n, struct flight, end));
    }
    for (size_t i = 0; i < v->in->n_servers; i++)
        list_each_safe(it, &v->servers[i].backlog) free(list_entry(it, struct flight, link));
    heap_free(&v->events);
    free(v->classes);
    free(v->servers);
    free(v->by_num);
    free(v->served);
    free(v->at_day);
    free(v->at_month);
    free(v->warmups);
}

void forecast_run(const struct forecast_in *in, struct forecast *out)
{
    *out = (struct forecast){0};
    struct virtual v = {.in = in, .out = out, .fleet = in->fleet, .now_us = in->now_ms * 1000};
    v.ticked_us = v.sampled_us = v.now_us;
    out->first_day = (in->now_ms + in->wall_offset_ms) / DAY_MS;
    init(&v);
    run(&v);
    sum_end(&v);
    clear(&v);
}

void forecast_free(struct forecast *f)
{
    for (size_t i = 0; i < f->n_servers; i++)
        free(f->servers[i].days);
    free(f->servers);
    free(f->limits);
    *f = (struct forecast){0};
}
