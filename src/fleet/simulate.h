/* How would the next messages of a group be shared? The fleet's own code is asked and told on a
 * virtual clock, with virtual connections that take as long for a message as measured; every
 * message is accepted. Pure. Used by `group simulate`. */
#ifndef FLEET_SIMULATE_H
#define FLEET_SIMULATE_H

#include "fleet/forecast.h"

#define SIMULATE_MESSAGES_MAX 100000
#define SIMULATE_FIRST        20

struct simulate_in {
    struct fleet *fleet; /* a copy (fleet_copy): it is used up */
    struct ask ask;      /* group, lane ... of every message */
    uint64_t messages;   /* at most SIMULATE_MESSAGES_MAX */
    int64_t now_ms;
    const struct forecast_server *servers; /* all of the copy */
    size_t n_servers;
    bool elastic; /* as if the group had elastic shares */
};

struct simulate_line { /* a server */
    uint16_t num;
    uint64_t n;
    double planned;   /* share by its weight among those of the first tier in use; < 0: none */
    int64_t busy_ms;  /* of all its connections */
    uint32_t most;    /* connections at a time */
    enum bound bound; /* what first stood against it; NONE: nothing did */
    int64_t bound_ms; /* when, from the begin */
};

struct simulation {
    struct simulate_line *lines; /* of n_servers */
    size_t n_lines;
    uint64_t sent;
    int64_t ms; /* from the begin to the last answer */
    uint16_t first[SIMULATE_FIRST];
    size_t n_first;
    char why[256]; /* why it stopped before the last message; "" */
};

/* simulation_free frees what it fills. */
void simulate_run(const struct simulate_in *in, struct simulation *out);
void simulation_free(struct simulation *s);

#endif
