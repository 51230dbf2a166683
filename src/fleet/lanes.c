/* Lanes on a server: transactional before priority before bulk. Where transactional mail can come,
 * one connection and a part of each quota (quota.h) are kept for it; bulk that is assigned already
 * never stands before it. */
#include "fleet/internal.h"

#define BULK_WAITS   3                /* one on the wire, two behind it: one is there in its turn */
#define AHEAD        2                /* messages a connection that may wait at a busy server */
#define URGENT_MS    INT64_C(3600000) /* one transactional ask keeps the reserve for so long */
#define URGENT_AGAIN INT64_C(1800000)

bool lanes_keep_reserve(const struct fserver *s, int64_t now_ms)
{
    return s->urgent_until > now_ms;
}

uint32_t lanes_capacity(struct fserver *s, enum lane lane, int64_t now_ms)
{
    uint32_t n = health_capacity(s, now_ms);
    return lane != LANE_TRANSACTIONAL && n >= 2 && lanes_keep_reserve(s, now_ms) ? n - 1 : n;
}

bool lanes_busy(struct fserver *s, enum lane lane, int64_t now_ms)
{
    uint32_t n = lanes_capacity(s, lane, now_ms), assigned = 0;
    if (health_is_single(s))
        return fserver_moving(s) >= n;
    for (int l = 0; l <= (int)lane; l++)
        assigned += s->assigned_in[l];
    /* Behind those on the wire one of bulk may always wait, or it would never come to its part. */
    if (lane == LANE_BULK && s->assigned_in[LANE_BULK] < BULK_WAITS)
        return n == 0;
    return assigned >= n * (1 + AHEAD);
}

/* An hour after the last transactional ask the part of the quota is bulk's again. */
void lanes_tick(struct fleet *f, int64_t now_ms)
{
    for (size_t i = 0; i < f->n_servers; i++) {
        struct fserver *s = f->servers[i];
        if (s && s->quota.keeps_reserve)
            s->quota.keeps_reserve = lanes_keep_reserve(s, now_ms);
    }
}

void lanes_note_ask(struct fleet *f, struct fgroup *g, enum lane lane, int64_t now_ms)
{
    if (lane != LANE_TRANSACTIONAL || f->is_dry || g->urgent_until > now_ms + URGENT_AGAIN)
        return;
    fleet_expect_transactional(f, g->num, now_ms + URGENT_MS);
}

void fleet_expect_transactional(struct fleet *f, uint32_t group_num, int64_t until_ms)
{
    struct fgroup *g = fleet_find_group(f, group_num);
    if (!g)
        return;
    g->urgent_until = MAX(g->urgent_until, until_ms);
    for (size_t i = 0; i < g->n_places; i++) {
        struct fserver *s = g->places[i].server;
        s->urgent_until = MAX(s->urgent_until, until_ms);
        s->quota.keeps_reserve = true;
    }
}
