/* Scenes of seconds: whose turn it is, a server that leaves and returns, a breaker. */
#include "plot_stage.h"

/* ---- whose turn it is */

#define TURNS 48

/* Three servers that are known already: each has answered one message. */
static void open_turns(struct stage *s, enum strategy strategy, const uint32_t *weights)
{
    stage_open(s);
    for (uint16_t i = 1; i <= 3; i++) {
        struct server *x = stage_server(s, i);
        x->cost_per_1000 = 0.1 * i;
        x->included_per_month = i == 2 ? 21 : 0;
        stage_apply(s, i);
    }
    stage_group(s, strategy, SHARES_EXACT, 3, weights);
}

static void fill_turn(struct plot *p, const char *name, enum strategy strategy,
                      const uint32_t *weights, const char *note)
{
    struct stage s;
    struct plot_series *out = plot_add(p, name);
    open_turns(&s, strategy, weights);
    for (int i = 0; i < TURNS; i++) {
        s.now += 10;
        struct pick k = stage_ask(&s, LANE_BULK, 0);
        check(k.kind == PICK_SEND);
        out->mark[i] = (char)('a' + k.server_num - 1);
        stage_end(&s, &k.hold, true);
    }
    snprintf(out->note, sizeof out->note, "%s", note);
    stage_close(&s);
}

/* Answers of 50, 100 and 200 ms; nothing of what is picked then is answered. */
static void fill_least_loaded(struct plot *p)
{
    static const int64_t latencies[] = {50, 100, 200};
    struct stage s;
    struct plot_series *out = plot_add(p, "least");
    struct hold first[3];
    open_turns(&s, STRATEGY_LEAST_LOADED, NULL);
    for (int i = 0; i < 3; i++)
        first[i] = stage_ask(&s, LANE_BULK, 0).hold;
    for (int i = 0; i < 3; i++)
        stage_end_after(&s, &first[i], true, latencies[first[i].server_num - 1]);
    for (int i = 0; i < TURNS; i++) {
        struct pick k = stage_ask(&s, LANE_BULK, 0);
        check(k.kind == PICK_SEND);
        out->mark[i] = (char)('a' + k.server_num - 1);
    }
    snprintf(out->note, sizeof out->note, "least-loaded: nobody has answered yet");
    stage_close(&s);
}

void scene_turns(struct plot *p)
{
    static const uint32_t weights[] = {10, 5, 1};
    *p = (struct plot){.unit = "picks", .column = 1, .every = 16, .n = TURNS};
    snprintf(p->title, sizeof p->title, "which of three servers gets the next message");
    fill_turn(p, "robin", STRATEGY_ROUND_ROBIN, NULL, "round-robin");
    fill_turn(p, "weighted", STRATEGY_WEIGHTED, weights, "weights 10 : 5 : 1");
    fill_least_loaded(p);
    fill_turn(p, "cheapest", STRATEGY_CHEAPEST, NULL, "a 0.10, b 0.20 with 21 included, c 0.30");
}

/* ---- a server leaves and returns */

void scene_shares(struct plot *p)
{
    static const uint32_t weights[] = {2, 1, 1};
    static const char *const names[] = {"a (2)", "b (1)", "c (1)"};
    struct stage s;
    *p = (struct plot){.unit = "s", .column = 2, .every = 10, .n = 60};
    snprintf(p->title, sizeof p->title,
             "messages a second, of 100; weights 2 : 1 : 1; b is paused from 30 s to 70 s");
    stage_open(&s);
    for (uint16_t i = 1; i <= 3; i++) {
        stage_server(&s, i);
        stage_apply(&s, i);
    }
    stage_group(&s, STRATEGY_WEIGHTED, SHARES_EXACT, 3, weights);
    for (int i = 0; i < 3; i++)
        plot_add(p, names[i]);
    for (int64_t ms = 0; ms < 120 * SECOND; ms += 10) {
        s.now = START_MS + ms;
        if (ms == 30 * SECOND || ms == 70 * SECOND) {
            s.servers[2]->admin = ms == 30 * SECOND ? ADMIN_PAUSED : ADMIN_ACTIVE;
            stage_apply(&s, 2);
        }
        struct pick k = stage_ask(&s, LANE_BULK, 0);
        check(k.kind == PICK_SEND);
        stage_end(&s, &k.hold, true);
        p->series[k.server_num - 1].y[ms / 2000] += 0.5;
    }
    for (int i = 0; i < 3; i++)
        snprintf(p->series[i].note, sizeof p->series[i].note, "%g, %g, then %g a second",
                 p->series[i].y[5], p->series[i].y[25], p->series[i].y[36]);
    stage_close(&s);
}

/* ---- a breaker opens, probes, ramps */

static char letter_of(enum oper_state o)
{
    return o == OPER_OPEN ? 'O' : o == OPER_HALF_OPEN ? '?' : o == OPER_RAMP ? 'R' : '.';
}

static void probe(struct stage *s, uint16_t num, bool is_sick)
{
    fleet_report(s->f,
                 &(struct report){.server_num = num,
                                  .is_probe = true,
                                  .verdict = is_sick ? VERDICT_FAILOVER : VERDICT_ACCEPTED,
                                  .fault = is_sick ? FAULT_SERVER : FAULT_NOBODY,
                                  .phase = is_sick ? PHASE_GREETING : PHASE_NONE,
                                  .reply_read = true,
                                  .latency_ms = -1},
                 s->now);
}

void scene_breaker(struct plot *p)
{
    struct stage s;
    uint32_t lost = 0;
    *p = (struct plot){.unit = "s", .column = 3, .every = 10, .n = 60};
    snprintf(p->title, sizeof p->title,
             "40 messages a second over two equal servers; a refuses everybody from 12 s to 80 s");
    stage_open(&s);
    for (uint16_t i = 1; i <= 2; i++) {
        stage_server(&s, i);
        stage_apply(&s, i);
    }
    stage_group(&s, STRATEGY_ROUND_ROBIN, SHARES_EXACT, 2, NULL);
    plot_add(p, "a");
    plot_add(p, "b");
    struct plot_series *state = plot_add(p, "a is");
    for (int64_t ms = 0; ms < 180 * SECOND; ms += 25) {
        s.now = START_MS + ms;
        bool is_sick = ms >= 12 * SECOND && ms < 80 * SECOND;
        uint16_t nums[SERVERS];
        size_t n = fleet_tick(s.f, s.now, nums, SERVERS);
        for (size_t i = 0; i < n; i++)
            probe(&s, nums[i], is_sick);
        struct pick k = stage_ask(&s, LANE_BULK, 0);
        if (k.server_num == 1 && is_sick) {
            stage_end(&s, &k.hold, false);
            lost++;
            k = stage_ask(&s, LANE_BULK, 1);
        }
        check(k.kind == PICK_SEND);
        stage_end(&s, &k.hold, true);
        p->series[k.server_num - 1].y[ms / 3000] += 1.0 / 3;
        state->mark[ms / 3000] = letter_of(s.state[1]);
    }
    snprintf(p->series[0].note, sizeof p->series[0].note, "%u messages met the fault, then none",
             lost);
    snprintf(p->series[1].note, sizeof p->series[1].note, "b carries them all meanwhile");
    snprintf(state->note, sizeof state->note, ". healthy  O open, %.0f s, then %.0f s  R ramp",
             s.open_s[0], s.open_s[1]);
    stage_close(&s);
}

const struct plot_scene plot_scenes[] = {{"turns", scene_turns},     {"shares", scene_shares},
                                         {"exact", scene_exact},     {"lanes", scene_lanes},
                                         {"spread", scene_spread},   {"warmup", scene_warmup},
                                         {"breaker", scene_breaker}, {NULL, NULL}};
