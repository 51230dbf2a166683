/* Inside the room: the structs that its files share, and the doors between them. */
#ifndef FLEET_INTERNAL_H
#define FLEET_INTERNAL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "fleet/breaker.h"
#include "fleet/fleet.h"
#include "fleet/region.h"
#include "fleet/suspect.h"

#define LATENCIES 64

struct pace {          /* learned from throttling: pace.c */
    double per_s;      /* in force */
    double seen_per_s; /* what was accepted before it was lowered */
    int64_t until;     /* it stands so long at least */
    int64_t lowered_at, step_at;
    int64_t next_us; /* when the next dot is due */
    bool is_guess;   /* too little was seen before */
    char reason[160];
};

struct pace_seen { /* what was accepted before a throttle */
    double per_s;
    bool is_known; /* over ten seconds at least */
};

struct cell { /* server x mailbox provider: cells.c */
    uint32_t provider;
    uint16_t id; /* its messages carry it */
    enum oper_state state;
    char reason[160];
    int64_t until;
    int64_t touched_at; /* the last fault or change */
    uint32_t assigned;  /* picked since it came into being, not over */
    uint32_t blocks;    /* block replies that opened it, in a row */
    struct breaker breaker;
    struct pace *pace;
};

struct bar { /* server x From domain that is closed for a while: bars.c */
    int64_t until;
    uint64_t key;
    uint32_t failures; /* in a row, while it is not closed */
    uint32_t closings; /* in a row */
};

struct scope { /* what a limit is for, with its quota; lives as long as the fleet */
    struct quota quota;
    bool is_set;
};

struct limit_bar { /* a limit that stands against a message */
    enum bound bound;
    int64_t until;
    char why[160];
};

struct factor_value {
    double value; /* 0..1 */
    double want;  /* where it goes */
    char reason[96];
};

struct fserver {
    uint16_t num;
    struct limits limits; /* calendar text not kept */
    enum admin_state admin;
    char **from_domains;
    size_t n_from_domains;
    int64_t connect_timeout_ms;
    uint32_t region;  /* number in fleet->regions; 0: unknown */
    int64_t settings; /* updated_at of the configuration in use */
    struct quota quota;

    double cost_per_1000;
    uint64_t included_per_month;
    uint64_t max_size;   /* its EHLO; 0: no limit known */
    bool lacks_utf8;     /* its EHLO had no SMTPUTF8 */
    uint32_t engagement; /* classes it takes; 0: all */
    struct factor_value factors[FACTORS];
    int64_t urgent_until; /* transactional mail can reach it until then: its reserve is kept */

    /* work */
    uint32_t assigned; /* reserved: picked, not reported and not returned */
    uint32_t assigned_in[LANE_COUNT];
    struct list places; /* its struct place in every group */
    int64_t latency_us; /* smoothed, refusals as its slowest decile; 0: none yet */
    int64_t weighed_at; /* health factor: once a weighing, whatever the number of its groups */
    double concurrency; /* transactions at a time it has earned; 0: as configured */
    uint32_t ended_after, n_ended_after; /* 421 after so many messages, seen so often in a row */
    uint32_t learned_most;               /* messages a connection; 0: none learned */
    int64_t learned_until;

    /* health, changed only by health_set_state */
    enum oper_state state;
    char reason[160];
    int64_t until;     /* OPEN, MISCONFIGURED, EXHAUSTED: next probe or return */
    bool is_cold;      /* canary: no dot answered since start */
    bool is_probing;   /* a probe is out */
    bool probe_passed; /* HALF_OPEN */
    bool may_try;      /* HALF_OPEN: the probe passed, one message may go */
    bool is_parked;    /* a dot waits: no new mail */
    uint32_t stuck;    /* messages on connections whose dot waits; part of what is assigned */
    uint32_t parks;    /* in a row, and probes that failed meanwhile */
    int64_t park_probe_at;
    bool single; /* after a loss behind a dot: one at a time until 3 are answered */
    uint32_t single_left;
    uint32_t dot_losses_in_row;
    uint32_t misconfigured_times;
    struct breaker breaker;
    uint32_t row_provider; /* of all its failures in a row; 0: of several, or of none */
    int64_t slow_until;    /* rate limited: degraded until then */
    uint32_t slow_divisor; /* too many connections: so many times fewer until then; 0: as earned */
    struct pace *pace;     /* NULL: none */
    int64_t opened_at;
    int64_t transport_failed_at; /* last pure transport fault; 0: none since the last answer */
    int64_t answered_at;         /* last reply read */
    int64_t waiting_since;       /* the oldest unanswered dot; 0: none */
    bool refused_by_host;
    bool opened_silently; /* by faults without a word of the peer */
    int64_t witness_at;   /* asked for a word when the others were silent; 0: not */
    struct cell *cells;
    uint32_t n_cells, cap_cells;
    uint16_t cell_ids; /* the last one given */
    struct {
        uint32_t provider;
        int64_t at;
    } answers[2]; /* the last accepted messages of two providers */
    struct bar *bars;
    uint32_t n_bars;
    struct warmup_stand warmup;
    struct suspicion *suspicion;   /* suspect.c; NULL: no recipient yet */
    struct ailments *ailments;     /* ailing.c; NULL: no answer yet */
    int64_t wanted_at[LANE_COUNT]; /* messages of other providers found it busy */
    bool has_ailing;               /* a mailbox provider puts off or holds up everybody here */
    uint64_t answered, failures;
    int32_t latencies[LATENCIES];
    uint16_t carried[LATENCIES]; /* providers of the same messages */
    uint32_t n_latencies;
};

/* What is at work there and may be expected to end. */
static inline uint32_t fserver_moving(const struct fserver *s)
{
    return s->assigned - MIN(s->stuck, s->assigned);
}

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
    uint32_t priority;
    enum role role;
    bool is_resting; /* by rotation */
    enum place_state state;
    int64_t owed_since[LANE_COUNT]; /* 0: not waited for in this lane */
    int64_t off_until; /* OFF: time alone brings it back then; INT64_MAX: an event does */
    enum bound off_bound;
};

struct tier {
    uint64_t level; /* of priority or cost; reserves behind all others */
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
    struct tier *tiers; /* lowest level first */
    size_t n_tiers;
    uint32_t n_passed; /* places that are PASSED */
    enum sticky sticky;
    int64_t urgent_until; /* transactional mail was asked for */
    /* rotation */
    uint32_t rotate_active;
    int64_t rotate_every_ms;
    uint64_t rotate_messages;
    size_t rotate_at; /* the first place of the active set */
    int64_t rotated_at;
    uint64_t rotate_sent;
    bool nearest;                  /* nearest region first */
    int64_t wanted_at[LANE_COUNT]; /* messages waited for a busy server of it: ailing.c */
};

struct fleet {
    struct fleet_events events;
    void *arg;
    uint64_t rng;
    const struct regions *regions; /* NULL: nobody is nearer than another */
    struct fserver **servers;      /* by num; NULL holes */
    size_t n_servers;              /* size of the array */
    struct map_u64 *groups;
    struct map_u64 *scopes; /* limits.c */
    uint32_t n_scopes[LIMIT_KINDS];
    bool is_dry;          /* explaining: nothing is taken, no turn is noted */
    int64_t weighed_at;   /* adaptive weights were computed */
    int64_t typical_us;   /* the mean latency of the slowest server that answers; 0: none yet */
    struct heap wake;     /* places that are off until a time */
    struct place **aside; /* room for pick_in_tier */
    size_t cap_aside;
    size_t n_cells_out; /* open, or on their way back */
    bool common_cause;
    int64_t common_since, common_probe_at;
    uint16_t common_next; /* rotates over servers to probe */
    int64_t answered_at;  /* any server */
    int64_t asking_since; /* somebody is asked and nobody has answered since; 0: not */
    int64_t witness_at;   /* the last one was asked */
    uint32_t n_witnesses; /* since then */
    uint64_t patience;    /* forecasts in batches: turns are kept so many times as long; else 1 */
};

#define FINISH_SCALE (INT64_C(1) << 30)

struct fserver *fleet_find(const struct fleet *f, uint16_t num);
struct fgroup *fleet_find_group(const struct fleet *f, uint32_t num);
uint64_t fleet_rand(struct fleet *f);

/* limits.c */
#define LIMITS_OF_MESSAGE (1u << LIMIT_CAMPAIGN | 1u << LIMIT_CREDENTIAL | 1u << LIMIT_PROVIDER)
#define LIMITS_OF_SERVER                                                                           \
    (1u << LIMIT_SERVER_PROVIDER | 1u << LIMIT_WARMUP | 1u << LIMIT_WARMUP_PROVIDER)
bool limits_allow(struct fleet *f, const struct hold *h, unsigned kinds, int64_t now_ms,
                  struct limit_bar *out);
void limits_reserve(struct fleet *f, struct hold *h, int64_t now_ms);
void limits_return(struct fleet *f, const struct hold *h);
int64_t limits_dot_at(struct fleet *f, const struct hold *h, int64_t now_ms);
void limits_take(struct fleet *f, const struct hold *h, int64_t now_ms);
void limits_undot(struct fleet *f, const struct hold *h, int64_t dot_at, int64_t now_ms);
/* The quota of the server and of all that is held, after an attempt. */
void limits_settle(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms);
/* How many more may leave now by what is held, at most `most`; and counts so many. */
uint64_t limits_room(struct fleet *f, const struct hold *h, int64_t now_ms, uint64_t most);
void limits_take_more(struct fleet *f, const struct hold *h, uint64_t n, int64_t now_ms);
void limits_free(struct fleet *f);

/* strategy.c */
/* Does this group choose by a key of its own instead of shares? */
bool strategy_has_key(const struct fgroup *g);
int64_t strategy_key(const struct place *p);
uint64_t strategy_levels(const struct place *p, uint64_t *included_out);
struct tier *strategy_tier(const struct place *p, int64_t now_ms); /* where it belongs now */
double strategy_weight(const struct place *p, int64_t now_ms);     /* with all its factors */
/* What is assigned to the server has changed: keys and levels of its places follow. */
void strategy_update(struct fleet *f, struct fserver *s, int64_t now_ms);
void strategy_tick(struct fleet *f, int64_t now_ms);
void strategy_latency(const struct fleet *f, struct fserver *s, const struct report *r);

/* rotation.c */
void rotation_tick(struct fleet *f, int64_t now_ms);
/* Before a pick: has the set sent its messages? */
void rotation_by_volume(struct fleet *f, struct fgroup *g, int64_t now_ms);
void rotation_begin(struct fleet *f, struct fgroup *g, int64_t now_ms); /* its places are new */

/* lanes.c */
bool lanes_keep_reserve(const struct fserver *s, int64_t now_ms);
uint32_t lanes_capacity(struct fserver *s, enum lane lane, int64_t now_ms);
void lanes_tick(struct fleet *f, int64_t now_ms);
bool lanes_busy(struct fserver *s, enum lane lane, int64_t now_ms);
void lanes_note_ask(struct fleet *f, struct fgroup *g, enum lane lane, int64_t now_ms);

/* against.c */
struct look { /* an ask with what follows from it */
    const struct ask *ask;
    int rank; /* nearest: only servers of this rank; -1: any */
};
enum bound against(struct fleet *f, const struct place *p, const struct look *k, int64_t now_ms,
                   struct limit_bar *out);

/* ailing.c: mailbox providers that put everybody off, or hold them up */
bool ailing_holds(const struct place *p, const struct ask *a, int64_t now_ms,
                  struct limit_bar *out);
/* A trial may go now, behind a busy server's others: those would always be before it. */
bool ailing_trial_due(const struct place *p, const struct ask *a, int64_t now_ms);
/* A message found the server busy. */
void ailing_wanted(struct place *p, const struct ask *a, int64_t now_ms);
/* One was picked, has_ailing; true: on trial, the rest of its kind waits on. */
bool ailing_take(struct place *p, const struct ask *a, int64_t now_ms);
void ailing_unassign(struct fserver *s, uint32_t provider);
void ailing_report(struct fserver *s, const struct report *r, int64_t now_ms);
void ailing_forget(struct fserver *s);

/* concurrency.c */
void concurrency_report(struct fserver *s, const struct report *r);
uint32_t concurrency_cap(const struct fserver *s, uint32_t configured);

/* health.c */
void health_set_state(struct fleet *f, struct fserver *s, enum oper_state to, const char *reason,
                      int64_t until, int64_t now_ms);
bool health_may_send(struct fserver *s, int64_t now_ms);
/* One transaction at a time: cold, half open, suspect, or after a dot that was lost or waits. */
bool health_is_single(const struct fserver *s);
uint32_t health_capacity(struct fserver *s, int64_t now_ms);  /* transactions at a time; 0: none */
double health_share(const struct fserver *s, int64_t now_ms); /* ramp: 0.1 .. 1 */
void health_open(struct fleet *f, struct fserver *s, const char *why, int64_t now_ms);
/* A probe without mail has passed while dots wait. */
void health_unpark(struct fleet *f, struct fserver *s, int64_t now_ms);
/* Does no breaker move? Then weights may. */
bool health_stands(const struct fserver *s);

/* common.c */
/* A fault without a word of the peer. */
void common_silent(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms);
bool common_was_silent(const struct report *r);
void common_asked(struct fleet *f, int64_t now_ms);
void common_answered(struct fleet *f, struct fserver *s, int64_t now_ms);
void common_look(struct fleet *f, int64_t now_ms);
/* Servers to be probed: a witness before, in turn while it lasts. */
size_t common_tick(struct fleet *f, int64_t now_ms, uint16_t *nums, size_t max);

/* cells.c; the public ones are in cells.h */
enum bound cells_against(struct fserver *s, uint32_t provider, int64_t now_ms,
                         struct limit_bar *out);
uint16_t cells_take(struct fleet *f, struct fserver *s, uint32_t provider, int64_t now_ms);
void cells_leave(struct fserver *s, const struct hold *h);
int64_t cells_dot_at(const struct fserver *s, const struct hold *h, int64_t now_ms);
void cells_dot(struct fserver *s, const struct hold *h, int64_t now_ms);
void cells_accepted(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms);
/* True: the cell bears it, not the server. */
bool cells_fault(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms);
void cells_blocked(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms);
void cells_throttled(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms);
void cells_excuse(struct fserver *s); /* the server bears it: it was no provider's fault */
void cells_tick(struct fleet *f, struct fserver *s, int64_t now_ms);
void cells_forgive(struct fleet *f, struct fserver *s, const char *reason, int64_t now_ms);
void cells_copy(struct fleet *to, struct fserver *t, const struct fserver *from);
void cells_free(struct fserver *s);

/* bars.c */
bool bars_closed(const struct fserver *s, struct str from_domain, int64_t now_ms,
                 int64_t *until_out);
void bars_unknown(struct fserver *s, struct str from_domain, int64_t wait_ms, int64_t now_ms);
void bars_refused(struct fserver *s, struct str from_domain, int64_t now_ms);
void bars_passed(struct fserver *s, struct str from_domain, int64_t now_ms);

/* pace.c: *p NULL: none */
void pace_throttle(struct pace **p, const struct pace_seen *seen, const char *why, int64_t wait_ms,
                   int64_t now_ms);
void pace_tick(struct pace **p, double rate, int64_t now_ms); /* rate: accepted a second */
void pace_free(struct pace **p);
void pace_copy(struct pace **to, const struct pace *from);
/* When a dot may leave behind `ahead` others; now_ms: at once. */
int64_t pace_when(const struct pace *p, uint32_t ahead, int64_t now_ms);
void pace_take(struct pace *p, int64_t now_ms);
uint32_t pace_connections(const struct pace *p, int64_t latency_us, uint32_t most);
void pace_words(const struct pace *p, char *out, size_t size);

/* fleet.c */
void fleet_unassign(struct fserver *s, const struct hold *h);
/* suspect.c */
/* Of a server that is suspect; the caller frees it. */
struct suspicion *suspect_copy(const struct suspicion *x);
void suspect_report(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms);
/* SUSPECT: begins its probation when it is time, or lets it go when the others show the same. */
void suspect_tick(struct fleet *f, struct fserver *s, int64_t now_ms);
bool suspect_is_testing(const struct fserver *s); /* on probation: one message at a time */
/* The server leaves SUSPECT for `to`: what was counted is forgotten. */
void suspect_over(struct fserver *s, enum oper_state to, int64_t now_ms);

/* census.c: nobody can; on what does it hang? */
void census_explain(struct fleet *f, struct fgroup *g, const struct look *k, int64_t now_ms,
                    struct pick *out);
bool census_is_limit(enum bound b);
/* What stands against a place for this ask; BOUND_BUSY where nothing but work does. */
enum bound census_bound(struct fleet *f, struct place *p, const struct look *k, int64_t now_ms,
                        struct limit_bar *bar);
/* dispatch.c */
#define DISPATCH_ASK_AGAIN_MS 1000
/* What stands against a place that is on its heap: NONE, BUSY, HEALTH, ADMIN ... */
enum bound dispatch_standing(struct place *p, enum lane lane, int64_t now_ms);
/* Against a server for all; *until_out: when time alone may end it. */
enum bound dispatch_against_all(struct place *p, int64_t now_ms, int64_t *until_out);
/* Of its own quota: for lanes, not for all. */
enum bound dispatch_quota_bound(struct fserver *s, enum lane lane, int64_t now_ms,
                                int64_t *free_at_out, enum quota_window *w);

/* place.c */
void place_leave(struct fleet *f, struct place *p, enum bound why, int64_t until);
void place_return(struct fleet *f, struct place *p);
void place_return_by_time(struct fleet *f, int64_t now_ms);
/* The server became able to be picked (freed, healthy, unpaused): back to its heaps. */
void server_wake(struct fleet *f, struct fserver *s);

#endif
