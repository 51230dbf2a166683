/* Scenes of days: a quota spread over the day, a warm-up. */
#include "plot_stage.h"
#include "base/alloc.h"
#include "fleet/warmup.h"

#include <stdlib.h>

/* ---- a day's quota: even, as soon as possible, and even after a quiet morning */

static void spend_day(struct plot_series *out, enum spread spread, int64_t from_ms, int64_t *done)
{
    struct stage s;
    uint32_t sent = 0;
    stage_open(&s);
    struct server *x = stage_server(&s, 1);
    x->limits.per_day = 24000;
    x->limits.spread = spread;
    char zone[] = "UTC";
    x->limits.calendar = zone;
    stage_apply(&s, 1);
    x->limits.calendar = NULL;
    stage_group(&s, STRATEGY_WEIGHTED, SHARES_EXACT, 1, NULL);
    quota_open_calendar(fleet_quota(s.f, 1), QUOTA_DAY, START_MS, START_MS + DAY);
    *done = 0;
    for (int64_t ms = from_ms; ms < DAY && !*done;) { /* two a second want to leave */
        s.now = START_MS + ms;
        struct pick k = stage_ask(&s, LANE_BULK, 0);
        if (k.kind == PICK_SEND) {
            stage_end(&s, &k.hold, true);
            out->y[ms / (DAY / 48)] += 2;
            *done = ++sent == 24000 ? ms : 0;
        }
        ms = k.kind == PICK_SEND ? ms + 500 : MAX(k.until - START_MS, ms + 1);
    }
    double most = 0;
    for (int i = 0; i < 48; i++)
        most = MAX(most, out->y[i]);
    snprintf(out->note, sizeof out->note, "at most %g an hour, %u in all", most, sent);
    if (*done)
        snprintf(out->note, sizeof out->note, "at most %g an hour, done at %02lld:%02lld", most,
                 (long long)(*done / HOUR), (long long)(*done / (60 * SECOND) % 60));
    stage_close(&s);
}

void scene_spread(struct plot *p)
{
    int64_t done = 0;
    *p = (struct plot){.unit = "h", .column = 0.5, .every = 8, .n = 48};
    snprintf(p->title, sizeof p->title,
             "messages an hour; 24,000 a calendar day, two a second want to leave");
    spend_day(plot_add(p, "asap"), SPREAD_ASAP, 0, &done);
    spend_day(plot_add(p, "even"), SPREAD_EVEN, 0, &done);
    spend_day(plot_add(p, "from noon"), SPREAD_EVEN, 12 * HOUR, &done);
    spend_day(plot_add(p, "from 20 h"), SPREAD_EVEN, 20 * HOUR, &done);
}

/* ---- a warm-up with a quiet day, a bad day and a block */

#define CURVE "exponential:50-5000*1.3"

static uint64_t send_day(struct stage *s, uint32_t at, uint64_t cap, uint64_t load)
{
    uint64_t sent = 0;
    struct limits l = {.per_day = cap, .calendar = (char[]){"UTC"}, .spread = SPREAD_ASAP};
    struct limit_key key = {LIMIT_WARMUP, 1, 0};
    s->now = START_MS + at * DAY;
    fleet_set_limit(s->f, &key, &l, s->now);
    quota_open_calendar(fleet_limit(s->f, &key), QUOTA_DAY, s->now, s->now + DAY);
    s->now += 60 * SECOND;
    for (uint64_t i = 0; i < load; i++) {
        s->now += 2;
        struct pick k = stage_ask(s, LANE_BULK, 0);
        if (k.server_num == 1 && k.kind == PICK_SEND)
            sent++;
        if (k.kind == PICK_SEND)
            stage_end(s, &k.hold, true);
    }
    return sent;
}

static char fate_of(enum warmup_move m)
{
    static const char letters[] = {[WARMUP_STAY] = '-',
                                   [WARMUP_ADVANCE] = '.',
                                   [WARMUP_HOLD] = 'H',
                                   [WARMUP_STEP_BACK] = 'B',
                                   [WARMUP_FINISH] = 'F'};
    return letters[m];
}

void scene_warmup(struct plot *p)
{
    struct stage s;
    struct err e;
    struct warmup_curve *c = alloc_one(struct warmup_curve);
    struct warmup_gate gate;
    uint32_t day = 1;
    bool over = false;
    *p = (struct plot){.unit = "d", .column = 1, .every = 5, .n = 33, .is_log = true};
    snprintf(p->title, sizeof p->title,
             "a day, logarithmic; 8,000 a day to send, a new server beside a mature one");
    check(warmup_curve_parse(STR(CURVE), c, &e));
    warmup_gate_defaults(&gate);
    stage_open(&s);
    for (uint16_t i = 1; i <= 2; i++) {
        stage_server(&s, i);
        stage_apply(&s, i);
    }
    stage_group(&s, STRATEGY_ROUND_ROBIN, SHARES_EXACT, 2, NULL);
    struct plot_series *cap = plot_add(p, "cap"), *sent = plot_add(p, "sent"),
                       *fate = plot_add(p, "gate");
    for (uint32_t at = 0; at < p->n; at++) {
        uint64_t load = at % 7 == 6 ? 0 : 8000; /* nothing is sent on Sundays */
        cap->y[at] = over ? 0 : (double)warmup_cap(c, day);
        uint64_t n = send_day(&s, at, over ? 0 : warmup_cap(c, day), load);
        sent->y[at] = (double)n;
        struct warmup_figures f = {.attempts = n, .answers = n, .sent = n};
        f.hard = at == 8 ? n / 20 : 0;
        f.blocked = at == 15 ? 2 : 0;
        struct warmup_step step;
        warmup_judge(&gate, c, day, &f, &step);
        fate->mark[at] = over ? ' ' : fate_of(step.move);
        over = over || step.move == WARMUP_FINISH;
        day = step.day;
    }
    snprintf(cap->note, sizeof cap->note, "from 50, 1.3 times a good day; none when finished");
    snprintf(sent->note, sizeof sent->note, "the cap to the message; then half of all");
    snprintf(fate->note, sizeof fate->note, ". good  - no mail  H held  B two back  F finished");
    free(c);
    stage_close(&s);
}
