/* What the tests of fleet/ share: a fleet with a virtual clock, short ways to make servers and
 * groups, to ask and to report, and what the fleet said about states. Include after cmocka.h. */
#ifndef FLEET_TEST_H
#define FLEET_TEST_H

#include "base/alloc.h"
#include "base/map.h"
#include "fleet/fleet.h"

#include <stdio.h>
#include <stdlib.h>

#define START_MS  INT64_C(1750000000000)
#define SERVERS   300
#define PROVIDERS 64
#define BED_WORD  "rcpt: 454 said so"

struct bed {
    struct fleet *f;
    int64_t now;
    uint64_t seed;
    struct server *servers[SERVERS + 1];
    enum oper_state state[SERVERS + 1];
    uint32_t n_changes[SERVERS + 1];
    enum oper_state cell[SERVERS + 1][PROVIDERS]; /* by provider */
    uint32_t n_cell_changes;
    uint32_t n_ready;
    bool has_lanes; /* else every ask is bulk */
    int common;     /* begins less ends */
    uint32_t n_common;
};

static inline void bed_ready(void *arg, uint16_t num)
{
    (void)num;
    ((struct bed *)arg)->n_ready++;
}

static inline void bed_state(void *arg, uint16_t num, enum oper_state from, enum oper_state to,
                             const char *reason, int64_t until)
{
    struct bed *b = arg;
    assert_int_equal(from, b->state[num]); /* one door: nothing moves beside it */
    assert_non_null(reason);
    assert_true(until >= 0);
    b->state[num] = to;
    b->n_changes[num]++;
}

static inline void bed_common(void *arg, bool began, const char *reason)
{
    struct bed *b = arg;
    assert_non_null(reason);
    b->common += began ? 1 : -1;
    b->n_common += began;
}

static inline void bed_cell(void *arg, const struct cell_change *c)
{
    struct bed *b = arg;
    enum oper_state *is = &b->cell[c->server_num][c->provider % PROVIDERS];
    assert_int_equal(c->from, *is); /* one door here too */
    assert_non_null(c->reason);
    *is = c->to;
    b->n_cell_changes++;
}

static inline void bed_init(struct bed *b)
{
    static const struct fleet_events events = {bed_ready, bed_state, bed_common, bed_cell};
    *b = (struct bed){.now = START_MS, .seed = 1};
    b->f = fleet_new(&events, b, 42, b->now);
}

static inline void bed_free(struct bed *b)
{
    fleet_free(&b->f);
    for (size_t i = 0; i <= SERVERS; i++)
        server_free(&b->servers[i]);
}

static inline uint64_t bed_rand(struct bed *b)
{
    b->seed += 0x9E3779B97F4A7C15u;
    return hash_u64(b->seed);
}

static inline uint64_t bed_below(struct bed *b, uint64_t n)
{
    return bed_rand(b) % n;
}

/* Puts the (perhaps changed) settings of b->servers[num] into the fleet. */
static inline void bed_apply(struct bed *b, uint16_t num)
{
    fleet_set_server(b->f, b->servers[num], false, b->now);
}

static inline struct server *bed_server(struct bed *b, uint16_t num)
{
    struct server *s = b->servers[num] = server_new();
    s->num = num;
    s->id = num;
    s->limits.spread = SPREAD_ASAP;
    bed_apply(b, num);
    return s;
}

struct bed_group {
    uint32_t num;
    enum strategy strategy;
    enum at_limit at_limit;
    enum shares shares;
    uint16_t n; /* servers first .. first + n - 1 */
    uint16_t first;
    const uint32_t *weights, *priorities, *fallbacks;
    size_t n_fallbacks;
    enum sticky sticky;
    const enum role *roles;
    uint32_t rotate_active;
    int64_t rotate_every_ms;
    uint64_t rotate_messages;
};

static inline void bed_set_group(struct bed *b, const struct bed_group *k)
{
    struct group *g = group_new();
    g->num = k->num;
    g->strategy = k->strategy;
    g->at_limit = k->at_limit;
    g->shares = k->shares;
    g->n_members = k->n;
    g->members = alloc_many(struct membership, k->n + 1u);
    for (uint16_t i = 0; i < k->n; i++)
        g->members[i] = (struct membership){.server_num = (uint16_t)(k->first + i),
                                            .weight = k->weights ? k->weights[i] : 1,
                                            .priority = k->priorities ? k->priorities[i] : 1,
                                            .role = k->roles ? k->roles[i] : ROLE_ACTIVE};
    g->sticky = k->sticky;
    g->rotate_active = k->rotate_active;
    g->rotate_every_ms = k->rotate_every_ms;
    g->rotate_messages = k->rotate_messages;
    g->n_fallbacks = k->n_fallbacks;
    g->fallbacks = alloc_many(uint32_t, k->n_fallbacks + 1);
    for (size_t i = 0; i < k->n_fallbacks; i++)
        g->fallbacks[i] = k->fallbacks[i];
    fleet_set_group(b->f, g, b->now);
    group_free(&g);
}

/* n servers from num 1 in group 1. */
static inline void bed_simple(struct bed *b, enum strategy s, uint16_t n, const uint32_t *weights)
{
    for (uint16_t i = 1; i <= n; i++)
        bed_server(b, i);
    bed_set_group(
        b, &(struct bed_group){.num = 1, .strategy = s, .n = n, .first = 1, .weights = weights});
}

static inline struct pick bed_ask(struct bed *b, const struct ask *a)
{
    struct pick p;
    struct ask x = *a;
    if (!b->has_lanes)
        x.lane = LANE_BULK;
    fleet_pick(b->f, &x, b->now, &p);
    if (p.kind == PICK_WAIT)
        assert_true(p.until > b->now);
    return p;
}

static inline struct pick bed_pick(struct bed *b)
{
    return bed_ask(b, &(struct ask){.group_num = 1, .lane = LANE_BULK});
}

/* The number of the server that got it; 0: none now. */
static inline uint16_t bed_send(struct bed *b)
{
    struct pick p = bed_pick(b);
    return p.kind == PICK_SEND ? p.server_num : 0;
}

/* A bulk message of group 1 on this server, as far as its own limits go. */
static inline struct hold bed_hold(uint16_t num)
{
    return (struct hold){.server_num = num, .lane = LANE_BULK, .group_num = 1};
}

static inline bool bed_dot(struct bed *b, uint16_t num)
{
    int64_t when = 0;
    struct hold h = bed_hold(num);
    return fleet_dot(b->f, &h, b->now, &when);
}

static inline void bed_return(struct bed *b, uint16_t num)
{
    struct hold h = bed_hold(num);
    fleet_return(b->f, &h, b->now);
}

static inline void bed_report(struct bed *b, const struct report *r)
{
    struct report x = *r;
    if (!x.hold.server_num)
        x.hold = bed_hold(x.server_num);
    fleet_report(b->f, &x, b->now);
}

/* A picked message is accepted. */
static inline void bed_accept(struct bed *b, uint16_t num)
{
    assert_true(bed_dot(b, num));
    bed_report(b, &(struct report){.server_num = num,
                                   .is_message = true,
                                   .verdict = VERDICT_ACCEPTED,
                                   .phase = PHASE_DOT,
                                   .reply_read = true,
                                   .dot_left = true,
                                   .dot_at = b->now,
                                   .latency_ms = 5});
}

/* A picked message ends before its dot. */
static inline void bed_end(struct bed *b, uint16_t num, enum verdict v, enum phase p, bool reply)
{
    bed_report(b, &(struct report){.server_num = num,
                                   .is_message = true,
                                   .verdict = v,
                                   .fault = FAULT_SERVER,
                                   .phase = p,
                                   .reply_read = reply,
                                   .latency_ms = -1});
}

/* A picked message is lost behind its dot. */
static inline void bed_lose(struct bed *b, uint16_t num)
{
    assert_true(bed_dot(b, num));
    bed_report(b, &(struct report){.server_num = num,
                                   .is_message = true,
                                   .verdict = VERDICT_UNCERTAIN,
                                   .phase = PHASE_DOT,
                                   .dot_left = true,
                                   .dot_at = b->now,
                                   .latency_ms = -1});
}

/* What was picked ends with a word of the peer, before its dot. */
static inline void bed_said(struct bed *b, const struct hold *h, enum verdict v, enum fault fault,
                            enum phase phase)
{
    bed_report(b, &(struct report){.server_num = h->server_num,
                                   .hold = *h,
                                   .is_message = true,
                                   .verdict = v,
                                   .fault = fault,
                                   .phase = phase,
                                   .reply_read = true,
                                   .provider = h->provider,
                                   .latency_ms = -1,
                                   .why = BED_WORD});
}

/* A connection without a message fails (refused: by a host that is there). */
static inline void bed_no_connection(struct bed *b, uint16_t num, bool refused)
{
    bed_report(b, &(struct report){.server_num = num,
                                   .verdict = VERDICT_FAILOVER,
                                   .fault = FAULT_SERVER,
                                   .phase = PHASE_CONNECT,
                                   .refused_by_host = refused,
                                   .latency_ms = -1});
}

static inline void bed_probe(struct bed *b, uint16_t num, enum verdict v, bool reply)
{
    bed_report(b, &(struct report){.server_num = num,
                                   .is_probe = true,
                                   .verdict = v,
                                   .fault = v == VERDICT_ACCEPTED ? FAULT_NOBODY : FAULT_SERVER,
                                   .phase = v == VERDICT_ACCEPTED ? PHASE_NONE : PHASE_CONNECT,
                                   .reply_read = reply,
                                   .latency_ms = -1});
}

/* Ticks; true when `num` is to be probed (0: anybody). */
static inline bool bed_tick(struct bed *b, uint16_t num)
{
    uint16_t nums[64];
    bool found = false;
    size_t n = fleet_tick(b->f, b->now, nums, 64);
    for (size_t i = 0; i < n; i++)
        found |= num == 0 || nums[i] == num;
    return found;
}

static inline struct server_view bed_view(struct bed *b, uint16_t num)
{
    struct server_view v = {0};
    assert_true(fleet_view(b->f, num, b->now, &v));
    return v;
}

/* What was picked ends with this verdict, its dot having left at dot_at (0: it did not). */
static inline void bed_finish(struct bed *b, const struct hold *h, enum verdict v, int64_t dot_at,
                              int64_t latency_ms)
{
    bed_report(b, &(struct report){.server_num = h->server_num,
                                   .hold = *h,
                                   .is_message = true,
                                   .verdict = v,
                                   .phase = dot_at ? PHASE_DOT : PHASE_RCPT,
                                   .reply_read = v != VERDICT_UNCERTAIN,
                                   .dot_left = dot_at != 0,
                                   .dot_at = dot_at,
                                   .latency_ms = dot_at ? latency_ms : -1,
                                   .provider = h->provider});
}

/* What was picked is sent and accepted now. */
static inline void bed_carry(struct bed *b, const struct hold *h, int64_t latency_ms)
{
    int64_t when = 0;
    assert_true(fleet_dot(b->f, h, b->now, &when));
    bed_finish(b, h, VERDICT_ACCEPTED, b->now, latency_ms);
}

/* A message of any kind that can go now is carried; the server's number or 0. */
static inline uint16_t bed_carry_one(struct bed *b, const struct ask *a)
{
    struct pick p = bed_ask(b, a);
    if (p.kind != PICK_SEND)
        return 0;
    bed_carry(b, &p.hold, 5);
    return p.server_num;
}

/* Its canary: one message is answered, so that all its connections may be used. */
static inline void bed_warm(struct bed *b, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        uint16_t num = bed_send(b);
        assert_int_not_equal(num, 0);
        bed_accept(b, num);
    }
    for (uint16_t i = 1; i <= n; i++)
        assert_false(fleet_one_at_a_time(b->f, i));
}

/* n servers from num 1 in a round robin, warm. */
static inline void bed_begin(struct bed *b, uint16_t n)
{
    bed_init(b);
    bed_simple(b, STRATEGY_ROUND_ROBIN, n, NULL);
    bed_warm(b, n);
}

/* Server `num` gets a message, whoever's turn it is. */
static inline void bed_give(struct bed *b, uint16_t num)
{
    struct pick p = bed_ask(b, &(struct ask){.group_num = 1, .keep_server = num});
    assert_int_equal(p.kind, PICK_SEND);
    assert_int_equal(p.server_num, num);
}

#endif
