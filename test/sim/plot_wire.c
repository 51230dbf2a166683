/* Scenes of servers whose answers take their time: what exactness costs, and a password reset
 * beside a newsletter. */
#include "plot_stage.h"
#include "base/alloc.h"
#include "base/map.h"

#include <stdlib.h>

/* ---- connections and answers that take their time, for the next two */

#define BACKLOG 64

struct wire { /* a server: what waits, highest lane first, and what is on its connections */
    struct waiting {
        struct hold hold;
        int64_t since;
    } backlog[LANE_COUNT][BACKLOG], out[BACKLOG];
    int64_t done_at[BACKLOG];
    uint32_t n_backlog[LANE_COUNT], n_out;
    int64_t latency_ms;
};

static void finish_due(struct stage *s, struct wire *w)
{
    for (uint32_t i = 0; i < w->n_out;) {
        if (w->done_at[i] > s->now) {
            i++;
            continue;
        }
        struct hold h = w->out[i].hold;
        w->n_out--;
        w->out[i] = w->out[w->n_out];
        w->done_at[i] = w->done_at[w->n_out];
        stage_end(s, &h, true);
    }
}

/* Gives what waits to free connections; waited_out: the longest wait of transactional mail. */
static void begin(struct stage *s, struct wire *w, uint16_t num, uint64_t *rng, double *waited_out)
{
    for (int l = 0; l < LANE_COUNT; l++)
        while (w->n_backlog[l] &&
               w->n_out < fleet_transactions_of(s->f, num, (enum lane)l, s->now)) {
            struct waiting x = w->backlog[l][0];
            w->n_backlog[l]--;
            memmove(&w->backlog[l][0], &w->backlog[l][1], w->n_backlog[l] * sizeof x);
            *rng = hash_u64(*rng + 1);
            int64_t fifth = w->latency_ms / 5;
            w->done_at[w->n_out] =
                s->now + w->latency_ms - fifth + (int64_t)(*rng % (uint64_t)(2 * fifth + 1));
            w->out[w->n_out++] = x;
            if (l == LANE_TRANSACTIONAL)
                *waited_out = MAX(*waited_out, (double)(s->now - x.since));
        }
}

static void queue(struct wire *w, const struct hold *h, int64_t since)
{
    uint32_t *n = &w->n_backlog[h->lane];
    check(*n < BACKLOG);
    w->backlog[h->lane][(*n)++] = (struct waiting){*h, since};
}

/* ---- what exactness costs */

static void race(struct plot *p, enum shares shares, const char *fast, const char *slow)
{
    struct stage s;
    struct wire *w = alloc_many(struct wire, 3);
    uint64_t rng = 7;
    double unused = 0, sum[2] = {0};
    struct plot_series *out[2] = {plot_add(p, fast), plot_add(p, slow)};
    stage_open(&s);
    for (uint16_t i = 1; i <= 2; i++) {
        stage_server(&s, i)->limits.max_connections = 4;
        stage_apply(&s, i);
        w[i].latency_ms = i == 1 ? 50 : 200;
    }
    stage_group(&s, STRATEGY_ROUND_ROBIN, shares, 2, NULL);
    for (int64_t ms = 0; ms < 60 * SECOND; ms++) {
        s.now = START_MS + ms;
        for (uint16_t i = 1; i <= 2; i++)
            finish_due(&s, &w[i]);
        for (struct pick k = stage_ask(&s, LANE_BULK, 0); k.kind == PICK_SEND;
             k = stage_ask(&s, LANE_BULK, 0)) {
            queue(&w[k.server_num], &k.hold, s.now);
            out[k.server_num - 1]->y[ms / 1000]++;
            sum[k.server_num - 1]++;
        }
        for (uint16_t i = 1; i <= 2; i++)
            begin(&s, &w[i], i, &rng, &unused);
    }
    for (int i = 0; i < 2; i++)
        snprintf(out[i]->note, sizeof out[i]->note, "%.1f a second, %.0f %% of all", sum[i] / 60,
                 100 * sum[i] / (sum[0] + sum[1]));
    stage_close(&s);
    free(w);
}

void scene_exact(struct plot *p)
{
    *p = (struct plot){.unit = "s", .column = 1, .every = 10, .n = 60};
    snprintf(p->title, sizeof p->title,
             "messages a second; equal weights, 4 connections each; a "
             "answers in 50 ms, b in 200");
    race(p, SHARES_EXACT, "exact a", "exact b");
    race(p, SHARES_ELASTIC, "elastic a", "elastic b");
}

/* ---- a password reset beside a newsletter */

void scene_lanes(struct plot *p)
{
    struct stage s;
    struct wire *w = alloc_one(struct wire);
    uint64_t rng = 7;
    double waited[60] = {0};
    *p = (struct plot){.unit = "s", .column = 1, .every = 10, .n = 60};
    snprintf(p->title, sizeof p->title,
             "one server, 4 connections, 200 ms an answer; bulk without "
             "end; resets from 20 s on");
    stage_open(&s);
    stage_server(&s, 1)->limits.max_connections = 4;
    stage_apply(&s, 1);
    w->latency_ms = 200;
    stage_group(&s, STRATEGY_ROUND_ROBIN, SHARES_EXACT, 1, NULL);
    struct plot_series *bulk = plot_add(p, "bulk"), *urgent = plot_add(p, "resets");
    for (int64_t ms = 0; ms < 60 * SECOND; ms++) {
        s.now = START_MS + ms;
        finish_due(&s, w);
        bool is_due = ms >= 20 * SECOND && ms % 333 == 0; /* three a second */
        struct pick k = {.kind = PICK_WAIT};
        if (is_due)
            k = stage_ask(&s, LANE_TRANSACTIONAL, 0);
        if (is_due) {
            check(k.kind == PICK_SEND);
            queue(w, &k.hold, s.now);
            urgent->y[ms / 1000]++;
        }
        for (k = stage_ask(&s, LANE_BULK, 0); k.kind == PICK_SEND;
             k = stage_ask(&s, LANE_BULK, 0)) {
            queue(w, &k.hold, s.now);
            bulk->y[ms / 1000]++;
        }
        begin(&s, w, 1, &rng, &waited[ms / 1000]);
    }
    double first = waited[20], most = 0;
    for (int i = 21; i < 60; i++)
        most = MAX(most, waited[i]);
    snprintf(bulk->note, sizeof bulk->note, "%g, then %g a second", bulk->y[10], bulk->y[40]);
    snprintf(urgent->note, sizeof urgent->note,
             "wait for a connection: the first %g ms, later %g at most", first, most);
    free(w);
    stage_close(&s);
}
