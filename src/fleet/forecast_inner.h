/* Between forecast.c, which moves the virtual clock, and forecast_sum.c, which keeps account. */
#ifndef FLEET_FORECAST_INNER_H
#define FLEET_FORECAST_INNER_H

#include "fleet/forecast.h"
#include "fleet/internal.h"

struct vclass {
    const struct forecast_class *of;
    uint64_t left; /* not picked yet */
    int64_t wake_us;
    int64_t backoff_ms;
    bool is_busy; /* waits for a connection too */
};

struct vserver {
    const struct forecast_server *of;
    struct fserver *server;
    struct forecast_by_server *sum;
    struct list backlog; /* picked, not on the wire */
    uint32_t n_busy;     /* transactions */
    struct heap_node pace;
};

struct virtual
{
    const struct forecast_in *in;
    struct forecast *out;
    struct fleet *fleet;
    int64_t now_us;
    struct heap events; /* ends of transactions, and servers whose pace has room again */
    struct vclass *classes;
    struct vserver *servers;
    size_t *by_num; /* server num -> place in servers */
    uint64_t *served;
    uint32_t n_campaigns, n_high;
    uint64_t in_flight; /* of the campaign asked for */
    uint64_t batch;
    size_t *at_day, *at_month; /* by calendar: what runs */
    struct vwarmup {
        uint32_t day;
        int64_t closes_at;
    } * warmups;
    int64_t ticked_us;
    /* account */
    int64_t sampled_us, sample_step_us;
    uint32_t n_samples;
};

static inline int64_t virtual_ms(const struct virtual *v)
{
    return v->now_us / 1000;
}

/* Asks for a message of a class; SEND must be sent or returned. */
void virtual_pick(struct virtual *v, const struct vclass *k, struct pick *out);
void sum_sent(struct virtual *v, struct vserver *s, uint64_t n);
/* Time passes until `to_us` in the state that stands. */
void sum_pass(struct virtual *v, int64_t to_us);
void sum_end(struct virtual *v);

#endif
