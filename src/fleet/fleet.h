/* The fleet: which server, when, and what now? Pure: time (steady milliseconds) and the seed of the
 * jitter come in as arguments; nothing here sleeps, opens or logs. Two doors, fleet_pick and
 * fleet_report; the rest is configuration, reservation, and looking.
 *
 * Called by the reactor thread only (engine/due, sender, settle, live) and by test/sim. */
#ifndef FLEET_FLEET_H
#define FLEET_FLEET_H

#include "base/base.h"
#include "fleet/quota.h"
#include "model/message.h"
#include "model/server.h"
#include "model/verdict.h"

#define FLEET_TRIED_MAX 64

struct fleet;

struct fleet_events { /* called from inside the functions below; must not call back into fleet */
    /* A server can be picked again, or its place in a group changed: ask for its classes again. */
    void (*on_ready)(void *arg, uint16_t server_num);
    /* The one door of operational state: every change with its reason. until: steady ms or 0. */
    void (*on_state)(void *arg, uint16_t server_num, enum oper_state from, enum oper_state to,
                     const char *reason, int64_t until);
    /* Common cause began or ended. */
    void (*on_common_cause)(void *arg, bool began, const char *reason);
};

struct fleet *fleet_new(const struct fleet_events *ev, void *arg, uint64_t seed,
                        int64_t now_ms) MUST_USE;
void fleet_free(struct fleet **f);

/* Adds or changes; copies what it needs. loaded_at_start: pace begins used up. */
void fleet_set_server(struct fleet *f, const struct server *s, bool loaded_at_start,
                      int64_t now_ms);
void fleet_remove_server(struct fleet *f, uint16_t num, int64_t now_ms);
void fleet_set_group(struct fleet *f, const struct group *g, int64_t now_ms);
void fleet_remove_group(struct fleet *f, uint32_t num);
struct quota *fleet_quota(struct fleet *f,
                          uint16_t num); /* to load use of the past; NULL: unknown */

/* ---- door one */

struct ask {
    uint32_t group_num;
    enum lane lane;
    struct str from_domain; /* lower case */
    uint32_t provider;      /* mailbox provider number; 0: other */
    uint16_t tried[FLEET_TRIED_MAX];
    uint32_t n_tried;     /* servers asked for this message in this round */
    uint16_t keep_server; /* 0, or the only server that may carry it (greylisting) */
    /* Asked first, in this order, once a server has failed in this round (n_tried > 0); one that
     * is busy, at a limit or out is passed over. Borrowed. */
    const uint16_t *prefer;
    uint32_t n_prefer;
};

enum pick_kind { PICK_SEND, PICK_WAIT, PICK_GIVE_UP };

enum bound { /* what an answer other than SEND hangs on: "what limits me now" */
             BOUND_NONE = 0,
             BOUND_BUSY,         /* the server whose turn it is has its connections in use */
             BOUND_QUOTA,        /* hour, day or month of every server */
             BOUND_HEALTH,       /* servers out by health */
             BOUND_ADMIN,        /* paused, draining or disabled by the user */
             BOUND_TRIED,        /* every server was tried in this round */
             BOUND_FROM,         /* no server may send this From */
             BOUND_PROVIDER,     /* cells of this mailbox provider are closed */
             BOUND_COMMON_CAUSE, /* network, DNS or disk: ours */
             BOUND_NO_SERVER,    /* the group has no server */
};

const char *bound_name(enum bound b);

struct pick {
    enum pick_kind kind;
    uint16_t server_num; /* SEND: reserved there; WAIT on BUSY: the server waited for; else 0 */
    int64_t until;       /* WAIT: steady ms to ask again at the latest */
    int64_t free_at;     /* for people: steady ms when time alone lets it go on; 0: not known */
    enum bound bound;
    uint32_t group_num; /* the group that answered (a fallback perhaps) */
    char why[256];      /* for people */
};

/* SEND reserves one message on the server: it must end in fleet_report or fleet_return. */
void fleet_pick(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out);

/* ---- between the doors */

/* Gives a reservation back (withdrawn, died before the intent, or never begun). */
void fleet_return(struct fleet *f, uint16_t num, int64_t now_ms);
/* May the dot of one message leave now? True takes pace and counts. False: *when_out. */
bool fleet_dot(struct fleet *f, uint16_t num, int64_t now_ms, int64_t *when_out);
/* Earliest time a dot could leave that is begun now behind `ahead` others. */
int64_t fleet_dot_at(struct fleet *f, uint16_t num, uint32_t ahead, int64_t now_ms);
/* A permitted dot was never written: pace stays taken, the count is reserved again. */
void fleet_undot(struct fleet *f, uint16_t num, int64_t dot_at, int64_t now_ms);
/* True: one transaction at a time (cold, half open, or after a loss behind a dot). */
bool fleet_one_at_a_time(struct fleet *f, uint16_t num);
/* Connections that may exist now, and transactions at a time over all of them (0: none). */
uint32_t fleet_connections(struct fleet *f, uint16_t num, int64_t now_ms);
uint32_t fleet_transactions(struct fleet *f, uint16_t num, int64_t now_ms);

/* ---- door two */

struct report {
    uint16_t server_num;
    bool is_message; /* false: a connection or a probe ended without a message */
    bool is_probe;
    bool is_ours; /* we closed it: nothing is held against the server */
    enum verdict verdict;
    enum fault fault;
    enum phase phase;
    bool reply_read;      /* the peer said something (else a pure transport fault) */
    bool refused_by_host; /* connect refused: the host is there */
    bool dot_left;        /* fleet_dot was passed for it */
    int64_t dot_at;       /* when */
    int64_t latency_ms;   /* dot to reply; negative: none */
    int64_t wait_ms;      /* stated in the reply; 0: none */
    uint32_t provider;
    struct str from_domain;
    const char *why; /* for the reason of a state change; borrowed */
};

void fleet_report(struct fleet *f, const struct report *r, int64_t now_ms);
/* Opens a server by the user's own rule, as three failures in a row do. False: it is unknown, or in
 * a state that says more already (open, misconfigured, quarantined). */
bool fleet_open(struct fleet *f, uint16_t num, const char *reason, int64_t now_ms);
/* Takes a server out for its reputation or by the user's word; until: steady ms, 0: until
 * released. False: unknown, or in a state that says more already (open, misconfigured ...). */
bool fleet_quarantine(struct fleet *f, uint16_t num, const char *reason, int64_t until,
                      int64_t now_ms);
/* The dot of a message has waited long: park the server for new mail until it is answered. */
void fleet_slow_dot(struct fleet *f, uint16_t num, bool is_slow, int64_t now_ms);

/* Since when (steady ms) the oldest dot on this server waits for its answer; 0: none does. When
 * every server in use keeps silent for long, the network is suspected before any timeout passes. */
void fleet_waiting(struct fleet *f, uint16_t num, int64_t since_ms);

/* ---- time and probes */

/* Moves states on; fills nums of servers to be probed now (no mail), at most max. */
size_t fleet_tick(struct fleet *f, int64_t now_ms, uint16_t *probe_nums, size_t max);
bool fleet_in_common_cause(const struct fleet *f);

/* ---- looking */

struct server_view {
    enum oper_state state;
    char reason[160];
    int64_t until;           /* steady ms; 0: none */
    uint32_t in_flight;      /* reserved or on the wire */
    double effective_weight; /* share of its base weight in use now: 0..1 */
    uint64_t answered, failures;
    int64_t latency_p50_ms, latency_p95_ms; /* -1: none yet */
};

bool fleet_view(struct fleet *f, uint16_t num, int64_t now_ms, struct server_view *out);
/* Can any server of the group (fallbacks included) send now or by time alone? */
bool fleet_group_stalled(struct fleet *f, uint32_t group_num, int64_t now_ms);

#endif
