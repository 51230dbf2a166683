/* Operational state of servers: its one door, health_set_state, what a state allows, and what time
 * moves. What ends move is in report.c, the fault that is ours in common.c, cells in cells.c.
 * Administrative state is the user's and lies apart. */
#include "base/check.h"
#include "fleet/internal.h"

#include <stdio.h>

#define PARK_PROBE_MS  15000 /* x n^2: a parked server is asked without mail */
#define PARK_MOST_MS   600000
#define SINGLE_ANSWERS 3

void health_set_state(struct fleet *f, struct fserver *s, enum oper_state to, const char *reason,
                      int64_t until, int64_t now_ms)
{
    enum oper_state from = s->state;
    check(breaker_may_move(from, to));
    s->state = to;
    s->until = until;
    if (reason != s->reason)
        snprintf(s->reason, sizeof s->reason, "%s", reason);
    if (from == OPER_SUSPECT && to != from)
        suspect_over(s, to, now_ms);
    if (to == OPER_HEALTHY)
        s->breaker.healthy_since = now_ms;
    if (to == OPER_OPEN)
        s->opened_at = now_ms;
    s->may_try = s->probe_passed = false;
    if (to == OPER_RAMP)
        s->breaker.ramp_from = now_ms;
    f->events.on_state(f->arg, s->num, from, to, s->reason, until);
    if (health_may_send(s, now_ms))
        server_wake(f, s);
}

bool health_may_send(struct fserver *s, int64_t now_ms)
{
    (void)now_ms;
    if (s->is_parked)
        return false;
    switch (s->state) {
    case OPER_HEALTHY:
    case OPER_DEGRADED:
    case OPER_RAMP: return true;
    case OPER_SUSPECT: return suspect_is_testing(s);
    case OPER_HALF_OPEN: return s->probe_passed && (s->may_try || fserver_moving(s) > 0);
    default: return false;
    }
}

bool health_is_single(const struct fserver *s)
{
    return s->is_cold || s->single || s->state == OPER_HALF_OPEN || s->state == OPER_SUSPECT;
}

/* Fewer while it says that they are too many; and no more than its learned pace can use. */
static uint32_t fewer(const struct fserver *s, uint32_t n, int64_t now_ms)
{
    if (s->slow_until > now_ms && s->slow_divisor)
        n = MAX(n / s->slow_divisor, 1u);
    return pace_connections(s->pace, s->latency_us, n);
}

uint32_t health_capacity(struct fserver *s, int64_t now_ms)
{
    if (health_is_single(s))
        return 1;
    return fewer(s, concurrency_cap(s, MAX(s->limits.max_connections, 1u)), now_ms);
}

uint32_t fleet_connections(struct fleet *f, uint16_t num, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || f->common_cause || s->admin != ADMIN_ACTIVE)
        return 0;
    if (s->is_cold || s->state == OPER_HALF_OPEN || s->state == OPER_SUSPECT)
        return health_may_send(s, now_ms) ? 1 : 0;
    if (!health_may_send(s, now_ms) && s->state != OPER_EXHAUSTED)
        return 0;
    return fewer(s, concurrency_cap(s, s->limits.max_connections), now_ms);
}

uint32_t fleet_transactions(struct fleet *f, uint16_t num, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    bool may = s && s->admin == ADMIN_ACTIVE && !f->common_cause && health_may_send(s, now_ms);
    return may ? health_capacity(s, now_ms) : 0;
}

uint32_t fleet_transactions_of(struct fleet *f, uint16_t num, enum lane lane, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    return fleet_transactions(f, num, now_ms) ? lanes_capacity(s, lane, now_ms) : 0;
}

bool fleet_one_at_a_time(struct fleet *f, uint16_t num)
{
    struct fserver *s = fleet_find(f, num);
    return !s || health_is_single(s);
}

double health_share(const struct fserver *s, int64_t now_ms)
{
    return s->state == OPER_RAMP ? breaker_ramp(&s->breaker, now_ms) : 1;
}

/* Quarantine is reputation's own. */
bool health_stands(const struct fserver *s)
{
    return s->state == OPER_HEALTHY || s->state == OPER_DEGRADED || s->state == OPER_QUARANTINED;
}

/* ---- opening, and out by the user's word */

void health_open(struct fleet *f, struct fserver *s, const char *why, int64_t now_ms)
{
    int64_t ms = breaker_open(&s->breaker, s->state == OPER_HEALTHY, fleet_rand(f), now_ms);
    s->dot_losses_in_row = 0;
    cells_excuse(s);
    health_set_state(f, s, OPER_OPEN, why, now_ms + ms, now_ms);
}

bool fleet_open(struct fleet *f, uint16_t num, const char *reason, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || f->common_cause || s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED ||
        s->state == OPER_QUARANTINED)
        return false;
    health_open(f, s, reason, now_ms);
    return true;
}

bool fleet_quarantine(struct fleet *f, uint16_t num, const char *reason, int64_t until,
                      int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || !breaker_may_move(s->state, OPER_QUARANTINED))
        return false;
    health_set_state(f, s, OPER_QUARANTINED, reason, until, now_ms);
    return true;
}

bool fleet_release(struct fleet *f, uint16_t num, const char *reason, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || (s->state != OPER_QUARANTINED && s->state != OPER_SUSPECT))
        return false;
    health_set_state(f, s, OPER_RAMP, reason, now_ms + RAMP_MS, now_ms);
    return true;
}

/* ---- a dot that waits for long */

static int64_t park_ms(const struct fserver *s)
{
    int64_t n = MIN(MAX(s->parks, 1u), 16u);
    return MIN(PARK_PROBE_MS * n * n, (int64_t)PARK_MOST_MS);
}

static void park(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    s->is_parked = true;
    s->parks++;
    s->park_probe_at = now_ms + park_ms(s);
    if (s->state == OPER_HEALTHY || s->state == OPER_DEGRADED)
        health_set_state(f, s, OPER_DEGRADED, "does not answer a dot for 60 s", s->park_probe_at,
                         now_ms);
}

/* Its connections wait on; new mail goes one at a time until three dots are answered. */
void health_unpark(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    if (!s->is_parked)
        return;
    s->is_parked = false;
    s->single = true;
    s->single_left = SINGLE_ANSWERS;
    if (s->state == OPER_DEGRADED && s->slow_until <= now_ms)
        health_set_state(f, s, OPER_HEALTHY,
                         "its probe passed while a dot waits: one message at a time", 0, now_ms);
    server_wake(f, s);
}

void fleet_stuck(struct fleet *f, uint16_t num, uint32_t n, bool answered, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s)
        return;
    uint32_t before = s->stuck;
    s->stuck = n;
    if (n > before)
        park(f, s, now_ms);
    if (n == 0 && answered && s->is_parked) {
        s->is_parked = false;
        server_wake(f, s);
    }
}

/* ---- time */

static bool probe_is_due(const struct fserver *s, int64_t now_ms)
{
    bool sends = s->state == OPER_HEALTHY || s->state == OPER_DEGRADED || s->state == OPER_RAMP;
    if (s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED)
        return now_ms >= s->until;
    if (s->is_parked && sends)
        return now_ms >= s->park_probe_at;
    /* A probe that ended while the fault was ours has decided nothing. */
    return s->state == OPER_HALF_OPEN && !s->may_try && fserver_moving(s) == 0;
}

static void begin_probe(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    if (s->state == OPER_OPEN || s->state == OPER_MISCONFIGURED)
        health_set_state(f, s, OPER_HALF_OPEN, s->reason, 0, now_ms);
    if (s->is_parked)
        s->park_probe_at = now_ms + park_ms(s);
    s->is_probing = true;
}

static void move_on(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    if (s->state == OPER_EXHAUSTED && now_ms >= s->until) {
        health_set_state(f, s, OPER_HEALTHY, "its quota is open again", 0, now_ms);
    } else if (s->state == OPER_QUARANTINED && s->until && now_ms >= s->until) {
        health_set_state(f, s, OPER_RAMP, "its quarantine is over", 0, now_ms);
    } else if (s->state == OPER_RAMP && now_ms - s->breaker.ramp_from >= RAMP_MS) {
        health_set_state(f, s, OPER_HEALTHY, "recovered", 0, now_ms);
        s->misconfigured_times = 0;
    } else if (s->state == OPER_DEGRADED && s->slow_until <= now_ms && !s->is_parked) {
        s->slow_divisor = 0;
        health_set_state(f, s, OPER_HEALTHY, "recovered", 0, now_ms);
    }
}

/* True: it is to be probed. */
static bool tick_server(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    pace_tick(&s->pace, breaker_rate(&s->breaker, NULL, now_ms), now_ms);
    if (s->n_cells)
        cells_tick(f, s, now_ms);
    if (s->state == OPER_SUSPECT) {
        suspect_tick(f, s, now_ms);
        return false;
    }
    if (probe_is_due(s, now_ms) && s->admin == ADMIN_ACTIVE && !s->is_probing) {
        begin_probe(f, s, now_ms);
        return true;
    }
    move_on(f, s, now_ms);
    return false;
}

size_t fleet_tick(struct fleet *f, int64_t now_ms, uint16_t *probe_nums, size_t max)
{
    strategy_tick(f, now_ms);
    rotation_tick(f, now_ms);
    size_t n = common_tick(f, now_ms, probe_nums, max);
    if (f->common_cause)
        return n;
    for (size_t i = 0; i < f->n_servers && n < max; i++)
        if (f->servers[i] && tick_server(f, f->servers[i], now_ms))
            probe_nums[n++] = f->servers[i]->num;
    return n;
}
