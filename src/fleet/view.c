/* Looking at the fleet: for reports, pages and alarms. Changes nothing. */
#include "fleet/forecast.h"
#include "fleet/internal.h"

#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* In the first of its groups, whose weight is shown beside it. */
static double share_of(const struct fserver *s, int64_t now_ms)
{
    const struct place *first = NULL;
    list_each(it, &s->places)
    {
        const struct place *p = list_entry(it, struct place, link);
        if (!first || p->group->num < first->group->num)
            first = p;
    }
    return first ? strategy_weight(first, now_ms) / first->weight
                 : health_share(s, now_ms) * s->factors[FACTOR_REPUTATION].value;
}

static bool is_used_up(struct quota *q, int64_t now_ms, struct server_view *out, const char *what)
{
    int64_t free_at = 0;
    enum quota_window w = QUOTA_HOUR;
    if (!q || quota_may_reserve(q, LANE_TRANSACTIONAL, now_ms, &free_at, &w) == QUOTA_FREE)
        return false;
    out->state = OPER_EXHAUSTED;
    out->until = free_at == INT64_MAX ? 0 : free_at;
    snprintf(out->reason, sizeof out->reason, "%s%llu in the %s are used", what,
             (unsigned long long)q->lines[w].limit, quota_window_name(w));
    return true;
}

bool fleet_view(struct fleet *f, uint16_t num, int64_t now_ms, struct server_view *out)
{
    struct fserver *s = fleet_find(f, num);
    if (!s)
        return false;
    *out = (struct server_view){
        .state = s->state,
        .until = s->until,
        .in_flight = s->assigned,
        .effective_weight =
            health_may_send(s, now_ms) && s->admin == ADMIN_ACTIVE ? share_of(s, now_ms) : 0,
        .answered = s->answered,
        .failures = s->failures,
        .latency_p50_ms = -1,
        .latency_p95_ms = -1};
    snprintf(out->reason, sizeof out->reason, "%s", s->reason);
    uint32_t n = MIN(s->n_latencies, (uint32_t)LATENCIES);
    if (n) {
        int32_t sorted[LATENCIES];
        memcpy(sorted, s->latencies, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare);
        out->latency_p50_ms = sorted[n / 2];
        out->latency_p95_ms = sorted[n * 95 / 100];
    }
    if (s->pace) {
        out->pace_per_s = s->pace->per_s;
        out->pace_seen_per_s = s->pace->seen_per_s;
        out->pace_until = s->pace->until;
        snprintf(out->pace_reason, sizeof out->pace_reason, "%s", s->pace->reason);
    }
    struct limit_key warmup = {LIMIT_WARMUP, num, 0};
    if (s->state == OPER_HEALTHY && !is_used_up(&s->quota, now_ms, out, ""))
        (void)is_used_up(fleet_limit(f, &warmup), now_ms, out, "warm-up: the ");
    return true;
}

bool fleet_group_stalled(struct fleet *f, uint32_t group_num, int64_t now_ms)
{
    struct fgroup *g = fleet_find_group(f, group_num);
    if (!g)
        return true;
    for (size_t i = 0; i < g->n_places; i++) {
        struct fserver *s = g->places[i].server;
        if (s->admin == ADMIN_ACTIVE && health_may_send(s, now_ms))
            return false;
    }
    for (size_t i = 0; i < g->n_fallbacks; i++)
        if (g->fallbacks[i] != group_num && !fleet_group_stalled(f, g->fallbacks[i], now_ms))
            return false;
    return true;
}

size_t fleet_servers(const struct fleet *f, uint16_t *nums, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_servers && n < max; i++)
        if (f->servers[i])
            nums[n++] = (uint16_t)i;
    return n;
}

int64_t fleet_service_us(const struct fleet *f, uint16_t num)
{
    const struct fserver *s = fleet_find(f, num);
    uint32_t n = s ? MIN(s->n_latencies, (uint32_t)LATENCIES) : 0;
    int32_t sorted[LATENCIES];
    if (!n)
        return 0;
    memcpy(sorted, s->latencies, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    return MAX(((int64_t)sorted[n / 2] + sorted[0]) * 1000, INT64_C(500));
}
