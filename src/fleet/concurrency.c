/* How many transactions at a time a server has earned: grows by 1/n on success, shrinks by 1/n on
 * a 421 or a failed connection, between one and what is configured. And what it teaches: a server
 * that says 421 after the same number of messages on a connection, twice in a row, is left before
 * it has to say so. */
#include "fleet/internal.h"

#define LEARN_SEEN 2
#define LEARNED_MS (INT64_C(24) * 3600000)

uint32_t concurrency_cap(const struct fserver *s, uint32_t configured)
{
    if (s->concurrency <= 0)
        return configured;
    return MIN(MAX((uint32_t)s->concurrency, 1u), configured);
}

static bool is_pressure(const struct report *r)
{
    bool connection = r->phase <= PHASE_GREETING && !r->is_probe;
    return r->verdict == VERDICT_FAILOVER && r->fault == FAULT_SERVER &&
           (connection || r->code == 421);
}

void fleet_ended_after(struct fleet *f, uint16_t num, uint32_t messages, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || messages == 0)
        return;
    s->n_ended_after = messages == s->ended_after ? s->n_ended_after + 1 : 1;
    s->ended_after = messages;
    if (s->n_ended_after < LEARN_SEEN)
        return;
    s->learned_most = messages;
    s->learned_until = now_ms + LEARNED_MS;
}

void concurrency_report(struct fserver *s, const struct report *r)
{
    double most = MAX(s->limits.max_connections, 1u);
    double n = s->concurrency > 0 ? MIN(s->concurrency, most) : most;
    if (is_pressure(r))
        n = MAX(n - 1 / n, 1);
    else if (r->is_message && r->verdict == VERDICT_ACCEPTED)
        n = MIN(n + 1 / n, most);
    s->concurrency = n;
}

uint32_t fleet_messages_per_connection(struct fleet *f, uint16_t num, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s)
        return 0;
    uint32_t set = s->limits.max_messages_per_connection;
    uint32_t learned = s->learned_until > now_ms ? s->learned_most : 0;
    return set && learned ? MIN(set, learned) : MAX(set, learned);
}
