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

struct cell_change { /* of a server for one mailbox provider: cells.h */
    uint16_t server_num;
    uint32_t provider;
    enum oper_state from, to;
    const char *reason; /* borrowed */
    int64_t until;      /* steady ms or 0 */
    uint32_t openings;  /* in a row */
};

struct fleet_events { /* called from inside the functions below; must not call back into fleet */
    /* A server can be picked again, or its place in a group changed: ask for its classes again. */
    void (*on_ready)(void *arg, uint16_t server_num);
    /* The one door of operational state: every change with its reason. until: steady ms or 0. */
    void (*on_state)(void *arg, uint16_t server_num, enum oper_state from, enum oper_state to,
                     const char *reason, int64_t until);
    /* Common cause began or ended. */
    void (*on_common_cause)(void *arg, bool began, const char *reason);
    /* The one door of cells; NULL: nobody wants to know. */
    void (*on_cell)(void *arg, const struct cell_change *c);
};

struct fleet *fleet_new(const struct fleet_events *ev, void *arg, uint64_t seed,
                        int64_t now_ms) MUST_USE;
void fleet_free(struct fleet **f);

/* What regions are near to what countries, for groups with `nearest`; borrowed, before any server.
 */
struct regions;
void fleet_set_regions(struct fleet *f, const struct regions *r);
/* Adds or changes; copies what it needs. loaded_at_start: pace begins used up. */
void fleet_set_server(struct fleet *f, const struct server *s, bool loaded_at_start,
                      int64_t now_ms);
void fleet_remove_server(struct fleet *f, uint16_t num, int64_t now_ms);
void fleet_set_group(struct fleet *f, const struct group *g, int64_t now_ms);
void fleet_remove_group(struct fleet *f, uint32_t num);
struct quota *fleet_quota(struct fleet *f,
                          uint16_t num); /* to load use of the past; NULL: unknown */

/* ---- limits beside those of servers: all are checked by fleet_pick, then all are taken */

enum limit_kind {
    LIMIT_SERVER = 0, /* a server's own: set by fleet_set_server */
    LIMIT_GROUP,
    LIMIT_CAMPAIGN,
    LIMIT_CREDENTIAL,
    LIMIT_PROVIDER,        /* mailbox provider, over all servers */
    LIMIT_SERVER_PROVIDER, /* num: the server's */
    LIMIT_WARMUP,          /* num: the server's; its cap of the sending day */
    LIMIT_WARMUP_PROVIDER, /* the same for one mailbox provider */
    LIMIT_KINDS
};

struct limit_key {
    enum limit_kind kind;
    uint32_t num;      /* of the group, campaign, credential or server; else 0 */
    uint32_t provider; /* where the kind has one; else 0 */
};

const char *limit_kind_name(enum limit_kind k); /* "group" "server_provider" ... */
/* Sets, changes (what was counted stays) or, with NULL, lifts a limit. Begins empty: the caller
 * loads what was used before by quota_load on fleet_limit. */
void fleet_set_limit(struct fleet *f, const struct limit_key *k, const struct limits *l,
                     int64_t now_ms);
struct quota *fleet_limit(struct fleet *f, const struct limit_key *k); /* NULL: none */

/* ---- what else moves a server */

/* Engagement classes (bit n: class n) that a warming server takes; 0: all. */
void fleet_set_engagement(struct fleet *f, uint16_t num, uint32_t classes, int64_t now_ms);

enum factor { FACTOR_WARMUP = 0, FACTOR_HEALTH, FACTOR_REPUTATION, FACTORS };

const char *factor_name(enum factor k);
/* One factor of a server's effective weight, 0..1, with its reason (copied). Reputation acts in
 * every strategy that weighs, the others in `adaptive`, which moves FACTOR_HEALTH by itself and
 * FACTOR_WARMUP by fleet_set_warmup. While a breaker moves what is set waits until it stands. */
void fleet_set_factor(struct fleet *f, uint16_t num, enum factor k, double value,
                      const char *reason);

struct warmup_stand {   /* of a warming server */
    uint32_t day;       /* of sending, 1 first */
    uint64_t cap, last; /* of this day; of the plan's last one; cap 0: warm */
};
/* Moves FACTOR_WARMUP, in steps: the cap in parts of what the server would carry when warm. */
void fleet_set_warmup(struct fleet *f, uint16_t num, const struct warmup_stand *w);
/* Lets a quarantined or suspect server back, by a ramp. False: it is in neither state. */
bool fleet_release(struct fleet *f, uint16_t num, const char *reason, int64_t now_ms);

/* Transactional mail can come to this group until then: its servers keep their reserve for it. An
 * ask in that lane says so by itself, for an hour. */
void fleet_expect_transactional(struct fleet *f, uint32_t group_num, int64_t until_ms);

/* What its EHLO said: the largest message (bytes; 0: no limit) and whether it takes SMTPUTF8. */
void fleet_learn(struct fleet *f, uint16_t num, uint64_t max_size, bool has_utf8);

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
    uint16_t home; /* 0, or the server it sticks to while that can send: fleet_home */
    uint32_t campaign_num, credential_num; /* 0: none */
    uint64_t size;                         /* bytes; 0: unknown or small */
    bool needs_utf8;                       /* SMTPUTF8 */
    uint8_t engagement;                    /* class 1 (best) .. 7; 0: unknown */
    char country[3];                       /* of the contact, upper case; "": unknown */
    bool others_come; /* more of its campaign are on their way: one that puts all off yields */
};

/* What a pick reserved; carried with the message to its dot and its report. */
struct hold {
    uint16_t server_num;
    uint8_t lane;  /* enum lane */
    uint8_t kinds; /* bit n: a limit of kind n is reserved too */
    uint16_t cell; /* its number for the cell it is counted in; 0: none */
    uint32_t group_num, campaign_num, credential_num, provider;
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
             BOUND_PACE,         /* per second or minute of a group, campaign ... */
             BOUND_RESTING,      /* resting by rotation or by the user's word */
             BOUND_ENGAGEMENT,   /* a warming server does not take this class yet */
             BOUND_SIZE,         /* too large for the server */
             BOUND_CHARSET,      /* the server has no SMTPUTF8 */
             BOUND_RESERVE,      /* what is left is kept for transactional mail */
             BOUND_SPREAD,       /* a day's quota is spread over the day */
             BOUND_YIELD,        /* its mailbox provider puts everybody off: others go first */
             BOUND_COUNT
};

const char *bound_name(enum bound b);

struct pick {
    enum pick_kind kind;
    uint16_t server_num; /* SEND: reserved there; WAIT on BUSY: the server waited for; else 0 */
    int64_t until;       /* WAIT: steady ms to ask again at the latest */
    int64_t free_at;     /* for people: steady ms when time alone lets it go on; 0: not known */
    enum bound bound;
    uint32_t group_num; /* the group that answered (a fallback perhaps) */
    bool
        is_trial; /* SEND: of a mailbox provider that puts all off; the rest of its kind waits on */
    char why[256];    /* for people */
    struct hold hold; /* SEND: what is reserved */
};

/* SEND reserves one message on the server: it must end in fleet_report or fleet_return. */
void fleet_pick(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out);
/* The server that a recipient (any hash of it) sticks to in a group: the same one as long as the
 * members and their weights are; few move when they change. 0: the group is not sticky. */
uint16_t fleet_home(struct fleet *f, uint32_t group_num, uint64_t recipient_hash);

/* Does a message stay with its server over its attempts in this group (sticky: message)? */
bool fleet_sticks(const struct fleet *f, uint32_t group_num);

struct server_reason { /* what speaks for or against a server for one message */
    uint16_t server_num;
    uint32_t group_num;
    bool eligible;
    enum bound bound;
    char why[160];
};

/* The choice that fleet_pick would make now, by its own code and without reserving anything; and
 * for every server of the group and its fallbacks (at most max) what speaks for or against it. */
void fleet_explain(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *choice_out,
                   struct server_reason *out, size_t max, size_t *n_out);

/* ---- between the doors */

/* Gives a reservation back (withdrawn, died before the intent, or never begun). */
void fleet_return(struct fleet *f, const struct hold *h, int64_t now_ms);
/* May the dot of one message leave now? True takes pace and counts. False: *when_out. */
bool fleet_dot(struct fleet *f, const struct hold *h, int64_t now_ms, int64_t *when_out);
/* Earliest time a dot could leave that is begun now behind `ahead` others. */
int64_t fleet_dot_at(struct fleet *f, uint16_t num, uint32_t ahead, int64_t now_ms);
/* A permitted dot was never written: pace stays taken, the count is reserved again. */
void fleet_undot(struct fleet *f, const struct hold *h, int64_t dot_at, int64_t now_ms);
/* When the limits beside the server's own let this message's dot leave (now_ms: at once). */
int64_t fleet_pace_at(struct fleet *f, const struct hold *h, int64_t now_ms);
/* True: one transaction at a time (cold, half open, or after a loss behind a dot). */
bool fleet_one_at_a_time(struct fleet *f, uint16_t num);
/* Connections that may exist now, and transactions at a time over all of them (0: none). */
uint32_t fleet_connections(struct fleet *f, uint16_t num, int64_t now_ms);
uint32_t fleet_transactions(struct fleet *f, uint16_t num, int64_t now_ms);
/* The same for messages of a lane: where transactional mail can come, one stays free for it. */
uint32_t fleet_transactions_of(struct fleet *f, uint16_t num, enum lane lane, int64_t now_ms);
/* A connection ended with 421 after so many messages: said twice in a row it is learned. */
void fleet_ended_after(struct fleet *f, uint16_t num, uint32_t messages, int64_t now_ms);
/* Messages that one connection may carry: as configured, or as the server taught; 0: any. */
uint32_t fleet_messages_per_connection(struct fleet *f, uint16_t num, int64_t now_ms);

/* ---- door two */

struct report {
    uint16_t server_num;
    struct hold hold; /* is_message: what its pick reserved */
    bool is_message;  /* false: a connection or a probe ended without a message */
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
    int64_t busy_ms;      /* it had its connection to itself for so long; negative: not known */
    int64_t wait_ms;      /* stated in the reply; 0: none */
    uint32_t provider;
    int code; /* of the reply; 0: none */
    struct str from_domain;
    uint64_t recipient, domain; /* hashes of the key and its domain; recipient 0: not counted */
    const char *why;            /* for the reason of a state change; borrowed */
};

void fleet_report(struct fleet *f, const struct report *r, int64_t now_ms);
/* Opens a server by the user's own rule, as three failures in a row do. False: it is unknown, or in
 * a state that says more already (open, misconfigured, quarantined). */
bool fleet_open(struct fleet *f, uint16_t num, const char *reason, int64_t now_ms);
/* Takes a server out for its reputation or by the user's word; until: steady ms, 0: until
 * released. False: unknown, or in a state that says more already (open, misconfigured ...). */
bool fleet_quarantine(struct fleet *f, uint16_t num, const char *reason, int64_t until,
                      int64_t now_ms);
/* So many messages are on connections whose dot has waited for 60 s. More than before: the server
 * is parked for new mail until a probe without mail passes or all of them are over (`answered`: by
 * an answer or its timeout, not by our giving one up to make room for the probe). */
void fleet_stuck(struct fleet *f, uint16_t num, uint32_t n, bool answered, int64_t now_ms);

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
    /* The pace learned from throttling; 0: none. */
    double pace_per_s, pace_seen_per_s;
    int64_t pace_until;    /* it stands so long at least */
    char pace_reason[160]; /* the reply */
};

bool fleet_view(struct fleet *f, uint16_t num, int64_t now_ms, struct server_view *out);
/* One factor of its effective weight with the reason, "" when nothing has moved it; false: unknown
 * server. The reason is borrowed until the fleet changes. */
bool fleet_factor(const struct fleet *f, uint16_t num, enum factor k, double *value_out,
                  const char **reason_out);
/* Can any server of the group (fallbacks included) send now or by time alone? */
bool fleet_group_stalled(struct fleet *f, uint32_t group_num, int64_t now_ms);

#endif
