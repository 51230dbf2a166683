/* What makes strategies differ: the key on the heap (least loaded), the tier (priority, cheapest,
 * reserves behind all others) and the effective weight with its factors (adaptive: health moves by
 * itself, in bounded steps, on a timer). */
#include "base/alloc.h"
#include "fleet/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define WEIGH_MS       5000
#define FACTOR_LEAST   0.05 /* nobody is starved of the mail that would show it is well again */
#define STEP_DOWN      0.25 /* of the present factor, a step at most */
#define STEP_UP        0.10
#define WEIGH_ANSWERS  20  /* fewer answers in the last minute decide nothing */
#define WARM_KNOWN     100 /* messages of a day: fewer say nothing of what a server would carry */
#define UNKNOWN_US     1000
#define REFUSAL_US     1000000 /* the slowest decile of a server that has answered nothing yet */
#define REFUSAL_TIMES  4       /* the typical latency of the slowest */
#define RESERVE_LEVEL  ((uint64_t)1 << 62)
#define LEVEL_INCLUDED 0

static const char *const factors[FACTORS] = {"warmup", "health", "reputation"};

const char *factor_name(enum factor k)
{
    return (size_t)k < countof(factors) ? factors[k] : "?";
}

void fleet_set_factor(struct fleet *f, uint16_t num, enum factor k, double value,
                      const char *reason)
{
    struct fserver *s = fleet_find(f, num);
    if (!s)
        return;
    struct factor_value *v = &s->factors[k];
    v->want = MIN(MAX(value, 0.0), 1.0);
    if (health_stands(s))
        v->value = v->want;
    snprintf(v->reason, sizeof v->reason, "%s", reason);
}

static bool is_adaptive(const struct fserver *s)
{
    bool any = false;
    list_each(it, &s->places)
    {
        any |= list_entry(it, struct place, link)->group->strategy == STRATEGY_ADAPTIVE;
    }
    return any;
}

void fleet_set_warmup(struct fleet *f, uint16_t num, const struct warmup_stand *w)
{
    struct fserver *s = fleet_find(f, num);
    if (!s)
        return;
    struct factor_value *v = &s->factors[FACTOR_WARMUP];
    bool begins = w->cap && !s->warmup.cap;
    s->warmup = *w;
    if (w->cap)
        snprintf(v->reason, sizeof v->reason, "warm-up: day %u, at most %llu", w->day,
                 (unsigned long long)w->cap);
    else
        snprintf(v->reason, sizeof v->reason, "%s", v->value < 1 ? "the warm-up is over" : "");
    if (begins && w->last && is_adaptive(s)) /* its first day, or a start of ours */
        v->value = MIN(MAX((double)w->cap / (double)w->last, FACTOR_LEAST), 1.0);
}

bool fleet_factor(const struct fleet *f, uint16_t num, enum factor k, double *value_out,
                  const char **reason_out)
{
    const struct fserver *s = fleet_find(f, num);
    if (!s)
        return false;
    *value_out = s->factors[k].value;
    *reason_out = s->factors[k].reason;
    return true;
}

/* ---- keys and levels */

bool strategy_has_key(const struct fgroup *g)
{
    return g->strategy == STRATEGY_LEAST_LOADED;
}

/* Work in flight per connection, as long as its answers take. */
int64_t strategy_key(const struct place *p)
{
    const struct fserver *s = p->server;
    int64_t us = MAX(s->latency_us ? s->latency_us : UNKNOWN_US, INT64_C(1));
    uint32_t n = MAX(concurrency_cap(s, MAX(s->limits.max_connections, 1u)), 1u);
    return ((int64_t)s->assigned + 1) * us / n;
}

/* The level without and, for the cheapest, with its included volume. */
uint64_t strategy_levels(const struct place *p, uint64_t *included_out)
{
    const struct fserver *s = p->server;
    uint64_t reserve = p->role == ROLE_RESERVE ? RESERVE_LEVEL : 0, level = 1;
    if (p->group->strategy == STRATEGY_PRIORITY)
        level = p->priority;
    else if (p->group->strategy == STRATEGY_CHEAPEST)
        level = LEVEL_INCLUDED + 1 + (uint64_t)(s->cost_per_1000 * 1000 + 0.5);
    bool has_volume = p->group->strategy == STRATEGY_CHEAPEST && s->included_per_month;
    *included_out = reserve + (has_volume ? LEVEL_INCLUDED : level);
    return reserve + level;
}

struct tier *strategy_tier(const struct place *p, int64_t now_ms)
{
    struct fserver *s = p->server;
    uint64_t included = 0, level = strategy_levels(p, &included);
    if (included != level &&
        quota_counted(&s->quota, QUOTA_MONTH, now_ms) + s->quota.reserved < s->included_per_month)
        level = included;
    for (size_t t = 0; t < p->group->n_tiers; t++)
        if (p->group->tiers[t].level == level)
            return &p->group->tiers[t];
    return &p->group->tiers[0];
}

/* The included volume is used up, or a new month has begun. */
static void update_tier(struct fleet *f, struct place *p, int64_t now_ms)
{
    struct tier *t = strategy_tier(p, now_ms);
    if (t == p->tier)
        return;
    bool was_in = p->state == PLACE_IN;
    if (was_in)
        place_leave(f, p, BOUND_BUSY, INT64_MAX);
    p->tier = t;
    p->finish = t->vtime;
    if (was_in)
        place_return(f, p);
}

void strategy_update(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    list_each(it, &s->places)
    {
        struct place *p = list_entry(it, struct place, link);
        if (strategy_has_key(p->group) && p->state == PLACE_IN)
            heap_rekey(&p->tier->heap, &p->node, strategy_key(p));
        else if (p->group->strategy == STRATEGY_CHEAPEST)
            update_tier(f, p, now_ms);
    }
}

/* ---- weight */

double strategy_weight(const struct place *p, int64_t now_ms)
{
    const struct fserver *s = p->server;
    double w = health_share(s, now_ms) * p->weight * s->factors[FACTOR_REPUTATION].value;
    if (p->group->strategy == STRATEGY_ADAPTIVE)
        w *= s->factors[FACTOR_WARMUP].value * s->factors[FACTOR_HEALTH].value;
    return w;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median latency of those that answer; 0: nobody does. */
static int64_t median_latency(const struct fgroup *g)
{
    int64_t *all = alloc_many(int64_t, g->n_places + 1);
    size_t n = 0;
    for (size_t i = 0; i < g->n_places; i++)
        if (g->places[i].server->latency_us)
            all[n++] = g->places[i].server->latency_us;
    qsort(all, n, sizeof *all, compare);
    int64_t median = n ? all[(n - 1) / 2] : 0;
    free(all);
    return median;
}

/* A step from where it is. */
static double step(double is, double want)
{
    return want < is ? MAX(want, is * (1 - STEP_DOWN)) : MIN(want, is + STEP_UP);
}

static void weigh_health(struct fserver *s, int64_t median_us, int64_t now_ms)
{
    uint32_t ok = 0, bad = 0;
    breaker_counts(&s->breaker, now_ms, &ok, &bad);
    bool few = ok + bad < WEIGH_ANSWERS;
    if (few && (bad || !ok))
        return;
    double well = (double)ok / (ok + bad);
    double slow = median_us && s->latency_us > 2 * median_us
                      ? 2.0 * (double)median_us / (double)s->latency_us
                      : 1;
    double want = MAX(well * well * slow, FACTOR_LEAST), is = s->factors[FACTOR_HEALTH].value;
    if (few) /* a small share brings few answers: they may speak for it, not against it */
        want = MAX(want, is);
    is = step(is, want);
    char why[96];
    snprintf(why, sizeof why, "%.0f %% of %u answered well, %lld ms (median %lld)", well * 100,
             ok + bad, (long long)s->latency_us / 1000, (long long)median_us / 1000);
    s->factors[FACTOR_HEALTH].value = is;
    snprintf(s->factors[FACTOR_HEALTH].reason, sizeof s->factors[FACTOR_HEALTH].reason, "%s", why);
}

/* What the group carried in a day. */
static uint64_t day_of(const struct fgroup *g, uint64_t *weights_out, int64_t now_ms)
{
    uint64_t sum = 0;
    *weights_out = 0;
    for (size_t i = 0; i < g->n_places; i++) {
        sum += window_used(&g->places[i].server->quota.lines[QUOTA_DAY].window, now_ms);
        *weights_out += g->places[i].weight;
    }
    return sum;
}

/* Its cap in parts of what it would carry when warm: its share of the group's last day, or the
 * plan's last cap where that is less or the day says too little. So it never carries less than its
 * cap for want of weight, and does not use it up in the first hour. */
static void weigh_warmup(const struct place *p, uint64_t day, uint64_t weights)
{
    struct fserver *s = p->server;
    struct factor_value *v = &s->factors[FACTOR_WARMUP];
    const struct warmup_stand *w = &s->warmup;
    if (!w->cap) {
        v->value = step(v->value, 1);
        if (v->value >= 1)
            v->reason[0] = 0;
        return;
    }
    uint64_t share = weights ? day * p->weight / weights : 0;
    uint64_t warm = day < WARM_KNOWN ? w->last : MIN(share, w->last);
    double want = warm > w->cap ? (double)w->cap / (double)warm : 1;
    v->value = step(v->value, MAX(want, FACTOR_LEAST));
    snprintf(v->reason, sizeof v->reason, "warm-up: day %u, at most %llu; warm it would carry %llu",
             w->day, (unsigned long long)w->cap, (unsigned long long)warm);
}

/* One owner a signal: while the breaker moves, weights stand. A server in several groups is weighed
 * once. */
static void weigh(const struct place *p, int64_t median_us, uint64_t day, uint64_t weights,
                  int64_t now_ms)
{
    struct fserver *s = p->server;
    if (!health_stands(s) || s->weighed_at == now_ms)
        return;
    s->weighed_at = now_ms;
    weigh_health(s, median_us, now_ms);
    weigh_warmup(p, day, weights);
}

/* What was set while its breaker moved; and what nobody weighs any more. */
static void settle_factors(struct fleet *f)
{
    for (size_t i = 0; i < f->n_servers; i++) {
        struct fserver *s = f->servers[i];
        if (s && s->factors[FACTOR_WARMUP].value < 1 && !is_adaptive(s))
            s->factors[FACTOR_WARMUP].value = 1;
        if (s && health_stands(s))
            s->factors[FACTOR_REPUTATION].value = s->factors[FACTOR_REPUTATION].want;
    }
}

/* The mean latency of the slowest server that answers. */
static int64_t typical_latency(const struct fleet *f)
{
    int64_t slowest_us = 0;
    for (size_t i = 0; i < f->n_servers; i++) {
        const struct fserver *s = f->servers[i];
        uint32_t n = s ? MIN(s->n_latencies, (uint32_t)LATENCIES) : 0;
        int64_t sum = 0;
        for (uint32_t k = 0; k < n; k++)
            sum += s->latencies[k];
        slowest_us = MAX(slowest_us, n ? sum * 1000 / n : 0);
    }
    return slowest_us;
}

void strategy_tick(struct fleet *f, int64_t now_ms)
{
    if (now_ms - f->weighed_at < WEIGH_MS)
        return;
    f->weighed_at = now_ms;
    f->typical_us = typical_latency(f);
    lanes_tick(f, now_ms);
    settle_factors(f);
    size_t pos = 0;
    uint64_t key = 0;
    void *v = NULL;
    while (map_u64_next(f->groups, &pos, &key, &v)) {
        struct fgroup *g = v;
        bool adaptive = g->strategy == STRATEGY_ADAPTIVE;
        uint64_t weights = 0, day = adaptive ? day_of(g, &weights, now_ms) : 0;
        int64_t median = adaptive ? median_latency(g) : 0;
        for (size_t i = 0; i < g->n_places; i++)
            if (adaptive)
                weigh(&g->places[i], median, day, weights, now_ms);
            else if (g->strategy == STRATEGY_CHEAPEST)
                update_tier(f, &g->places[i], now_ms);
    }
}

/* ---- latency of successes; a refusal counts as the slowest decile */

static int64_t slowest_decile_us(const struct fserver *s)
{
    int64_t sorted[LATENCIES] = {0};
    uint32_t n = MIN(s->n_latencies, (uint32_t)LATENCIES);
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = (int64_t)s->latencies[i] * 1000;
    qsort(sorted, n, sizeof *sorted, compare);
    return n ? MAX(sorted[n * 9 / 10], INT64_C(10000)) : REFUSAL_US;
}

/* Of the fleet, not of itself alone: whoever is fast at refusing has fast deciles too, and is idle
 * at once. */
static int64_t refusal_us(const struct fleet *f, const struct fserver *s)
{
    return MAX(slowest_decile_us(s), REFUSAL_TIMES * f->typical_us);
}

void strategy_latency(const struct fleet *f, struct fserver *s, const struct report *r)
{
    bool ok = r->verdict == VERDICT_ACCEPTED && r->latency_ms >= 0;
    bool refused = r->verdict != VERDICT_ACCEPTED && r->is_message && !r->is_ours;
    if (!ok && !refused)
        return;
    int64_t us = ok ? MAX(r->latency_ms * 1000, INT64_C(100)) : refusal_us(f, s);
    s->latency_us = s->latency_us ? s->latency_us + (us - s->latency_us) / 8 : us;
}

/* ---- stickiness: the highest weighted hash keeps most recipients where they are */

/* -log2(u) of u in (0, 1], 16 bits behind the point: the shape, not the digits, matters. */
static uint64_t minus_log2(uint64_t u)
{
    unsigned zeros = (unsigned)__builtin_clzll(u | 1);
    uint64_t mantissa = (u << zeros) >> 47; /* 1 to 2, 16 bits behind the point */
    uint64_t x = mantissa - 65536;
    uint64_t log2_frac = x + ((x * (65536 - x)) >> 16) * 22519 / 65536; /* within 0.01 of log2 */
    return ((uint64_t)(zeros + 1) << 16) - log2_frac;
}

bool fleet_sticks(const struct fleet *f, uint32_t group_num)
{
    const struct fgroup *g = fleet_find_group(f, group_num);
    return g && g->sticky == STICKY_MESSAGE;
}

uint16_t fleet_home(struct fleet *f, uint32_t group_num, uint64_t recipient_hash)
{
    const struct fgroup *g = fleet_find_group(f, group_num);
    uint64_t best = UINT64_MAX;
    uint16_t home = 0;
    for (size_t i = 0; g && g->sticky == STICKY_RECIPIENT && i < g->n_places; i++) {
        const struct place *p = &g->places[i];
        if (p->role != ROLE_ACTIVE || p->tier != &g->tiers[0])
            continue;
        uint64_t u = hash_u64(recipient_hash ^ hash_u64(p->server->num));
        uint64_t distance = (minus_log2(u) << 24) / MAX(p->weight, 1u);
        if (distance < best) {
            best = distance;
            home = p->server->num;
        }
    }
    return home;
}
