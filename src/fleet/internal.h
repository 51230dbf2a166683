/* Inside the room: the structs of fleet.c, health.c, dispatch.c and view.c. */
#ifndef FLEET_INTERNAL_H
#define FLEET_INTERNAL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "fleet/fleet.h"

#define LATENCIES      64
#define HEALTH_SLOTS   6
#define HEALTH_SLOT_MS 10000

struct cell { /* server x something that is closed for a while */
    int64_t until;
    uint64_t key;
    uint32_t failures; /* in a row, while it is not closed */
    uint32_t closings; /* in a row */
};

struct fserver {
    uint16_t num;
    struct limits limits; /* calendar text not kept */
    enum admin_state admin;
    char **from_domains;
    size_t n_from_domains;
    int64_t connect_timeout_ms;
    int64_t settings; /* updated_at of the configuration in use */
    struct quota quota;

    /* work */
    uint32_t assigned;  /* reserved: picked, not reported and not returned */
    struct list places; /* its struct place in every group */

    /* health, changed only by health_set_state */
    enum oper_state state;
    char reason[160];
    int64_t until;     /* OPEN, MISCONFIGURED, EXHAUSTED: next probe or return */
    bool is_cold;      /* canary: no dot answered since start */
    bool is_probing;   /* a probe is out */
    bool probe_passed; /* HALF_OPEN */
    bool may_try;      /* HALF_OPEN: the probe passed, one message may go */
    bool slow_dot;
    bool single; /* after a loss behind a dot: one at a time until 3 are answered */
    uint32_t single_left;
    uint32_t failures_in_row, dot_losses_in_row;
    uint32_t openings; /* n-th opening in a row */
    uint32_t misconfigured_times;
    int64_t healthy_since;
    int64_t ramp_from;
    int64_t slow_until; /* rate limited: fewer connections until then */
    uint32_t slow_divisor;
    struct {
        int64_t slot;
        uint32_t ok, bad;
    } slots[HEALTH_SLOTS];
    int64_t opened_at;
    int64_t transport_failed_at; /* last pure transport fault; 0: none since the last answer */
    int64_t answered_at;         /* last reply read */
    int64_t waiting_since;       /* the oldest unanswered dot; 0: none */
    bool refused_by_host;
    bool opened_silently;  /* by faults without a word of the peer */
    struct cell cells[32]; /* mailbox providers (key) and From domains (hash) */
    bool has_cells;
    uint64_t answered, failures;
    int32_t latencies[LATENCIES];
    uint32_t n_latencies;
};

enum place_state { PLACE_OFF = 0, PLACE_IN, PLACE_PASSED };

struct place { /* a server in a group */
    struct fserver *server;
    struct fgroup *group;
    struct tier *tier;
    struct list link;      /* in server->places */
    struct heap_node node; /* key: virtual finish time */
    struct heap_node wake; /* in fleet->wake while time alone brings it back */
    int64_t finish;        /* kept while off the heap */
    uint32_t weight;
    enum place_state state;
    int64_t owed_since; /* 0: not waited for */
    int64_t off_until;  /* OFF: time alone brings it back then; INT64_MAX: an event does */
    enum bound off_bound;
};

struct tier {
    uint32_t priority;
    struct heap heap;
    int64_t vtime;
};

struct fgroup {
    uint32_t num;
    enum strategy strategy;
    enum at_limit at_limit;
    enum shares shares;
    uint32_t *fallbacks;
    size_t n_fallbacks;
    struct place *places;
    size_t n_places;
    struct tier *tiers; /* lowest priority number first */
    size_t n_tiers;
};

struct fleet {
    struct fleet_events events;
    void *arg;
    uint64_t rng;
    struct fserver **servers; /* by num; NULL holes */
    size_t n_servers;         /* size of the array */
    struct map_u64 *groups;
    struct heap wake;     /* places that are off until a time */
    struct place **aside; /* room for pick_in_tier */
    size_t cap_aside;
    bool common_cause;
    int64_t common_since, common_probe_at;
    uint16_t common_next; /* rotates over servers to probe */
    int64_t answered_at;  /* any server */
};

#define FINISH_SCALE (1 << 20)

struct fserver *fleet_find(const struct fleet *f, uint16_t num);
struct fgroup *fleet_find_group(const struct fleet *f, uint32_t num);
uint64_t fleet_rand(struct fleet *f);

/* health.c */
void health_set_state(struct fleet *f, struct fserver *s, enum oper_state to, const char *reason,
                      int64_t until, int64_t now_ms);
bool health_may_send(struct fserver *s, int64_t now_ms);
uint32_t health_capacity(struct fserver *s, int64_t now_ms);  /* transactions at a time; 0: none */
double health_share(const struct fserver *s, int64_t now_ms); /* ramp: 0.1 .. 1 */
bool health_cell_closed(const struct fserver *s, uint64_t key, int64_t now_ms, int64_t *until_out);
uint64_t health_from_key(struct str from_domain);
uint64_t health_provider_key(uint32_t provider);
size_t health_tick(struct fleet *f, int64_t now_ms, uint16_t *probe_nums, size_t max);

/* dispatch.c */
void place_leave(struct fleet *f, struct place *p, enum bound why, int64_t until);
void place_return(struct fleet *f, struct place *p);
/* The server became able to be picked (freed, healthy, unpaused): back to its heaps. */
void server_wake(struct fleet *f, struct fserver *s);

#endif
