/* The simulated world around the real engine: virtual time, cooperative threads, a virtual network
 * with SMTP servers, faults by seed. struct world lies in shared memory made before any fork, so
 * that it outlives a crash of the engine: clock, randomness, what servers accepted. What only a
 * running engine has (threads, connections, timers) lies in the process and dies with it.
 *   world.c        the shared part, trace, steps, crashes     threads.c  time and threads
 *   world_loop.c   net/loop.h on virtual time                  world_conn.c  net/conn.h
 *   world_link.c   link/link.h: calls of the user              server.c   an SMTP server
 *   scenario.c, scene_*.c  a seed becomes fleet, load, faults  script*.c  what the user does
 *   witness.c      sees each pick, asks for its explanation    rules.c    what routes ought to do
 *   judge*.c       the properties                              sim.c      seeds, forks, TAP */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/base.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/rand.h"
#include "base/str.h"

#define SERVERS_MAX    16
#define GROUPS_MAX     6
#define BEHAVIOURS_MAX 6
#define CAMPAIGNS_MAX  4
#define FAULTS_MAX     24
#define RULES_MAX      6
#define CONDS_MAX      2
#define EDITS_MAX      6
#define LIMITS_MAX     8
#define DOMAINS        8
#define MAILS_MAX      140000
#define PEOPLE_MAX     131072
#define PORT_FIRST     20000
#define SECOND_US      INT64_C(1000000)
#define MINUTE_US      (60 * SECOND_US)
#define HOUR_US        (60 * MINUTE_US)
#define CRASH_STATUS   99

enum verb {
    VERB_NONE = 0,
    VERB_GREYLIST,   /* 451 at RCPT until n seconds after a recipient's first try */
    VERB_HOURLY,     /* 421 once n were accepted in this clock hour */
    VERB_QUOTA,      /* 452 4.3.1-like daily limit reply once n were accepted since midnight */
    VERB_LOGIN,      /* 535 */
    VERB_SLOW,       /* every reply takes n milliseconds longer */
    VERB_DROP_DOT,   /* takes the message and closes without a reply (share: of 1000) */
    VERB_LOSE_DOT,   /* closes at the dot without taking the message */
    VERB_DROP_EARLY, /* closes at MAIL */
    VERB_TLS,        /* the handshake breaks */
    VERB_GARBAGE,    /* no SMTP */
    VERB_VANISH,     /* connections are swallowed, open ones fall silent */
    VERB_REFUSE,     /* nothing listens; open connections are reset */
    VERB_RCPT,       /* every RCPT gets code n */
    VERB_BLOCK,      /* 550 5.7.1 blocked for mailbox provider n */
    VERB_DOT,        /* every dot gets code n (share: of 1000) */
    VERB_BUSY,       /* 421 at the greeting */
    VERB_PER_CONN,   /* 421 after n messages on a connection */
    VERB_LIE,        /* takes the dot with 250 and says in its text that the mail goes nowhere */
    VERB_AHEAD, /* says 250 before it has the message, and nothing at the dot (share: of 1000) */
    VERB_HANG,  /* takes the message and never says another word there (share: of 1000) */
    VERB_COUNT
};

enum expect { /* what the scenario lets the judge ask for, beside what always holds */
              EXPECT_DONE = 1 << 0,      /* nothing is open at the end */
              EXPECT_SHARES = 1 << 1,    /* weights within 1 % */
              EXPECT_ROUND = 1 << 2,     /* round robin: counts differ by one at most */
              EXPECT_FALLBACK = 1 << 3,  /* the order of groups */
              EXPECT_SICK = 1 << 4,      /* server 0 loses its share and gets it back */
              EXPECT_QUICK = 1 << 5,     /* transactional p95 under 100 ms beside bulk */
              EXPECT_FLOOR = 1 << 6,     /* bulk keeps 5 % beside a flood of transactional */
              EXPECT_WARM = 1 << 7,      /* server 0 warms up: never above the caps of its days */
              EXPECT_TOLD = 1 << 8,      /* server 0 lies of its recipients: the others serve all */
              EXPECT_ENDS = 1 << 9,      /* all is done or given up by its deadline */
              EXPECT_FORESEEN = 1 << 10, /* it ends within 5 % of what was forecast */
              EXPECT_SERVED = 1 << 11,   /* everybody got their mail */
};

struct behaviour {
    enum verb verb;
    int64_t from_us, to_us;
    uint32_t share; /* of 1000; 0: always */
    uint32_t n;
};

struct db;

struct vserver {
    uint16_t port, num; /* num: the engine's, known once it was added */
    char name[24];
    int64_t half_rtt_us, think_us;
    bool chunking, starttls, login;
    struct behaviour behaviours[BEHAVIOURS_MAX];
    uint32_t n_behaviours;
    uint64_t per_second, per_minute, per_hour, per_day; /* as the engine is told */
    const char *zone;                                   /* the day is this zone's; NULL: slides */
    bool spread;                                        /* evenly over the day */
    bool all_attempts;                                  /* its limits count refused ones too */
    char curve[120];                                    /* of its warm-up; "": none */
    char gmail_curve[40];                               /* the same for one mailbox provider */
    uint64_t max_size;                                  /* SIZE of its EHLO; 0: 50 MB */
    uint32_t max_connections, max_messages;
    int64_t pause_us; /* between messages on a connection */
    /* what it sees */
    uint32_t connections, most_connections, most_messages;
    int64_t hour_at, day_at; /* of the counts below, on its own clock: wall */
    uint64_t hour_n, day_n, accepted, refused;
};

struct vgroup {
    char name[24], strategy[16];
    uint32_t n_servers, servers[SERVERS_MAX], weights[SERVERS_MAX], tiers[SERVERS_MAX];
    int32_t fallback; /* index; -1: none */
    bool spill, elastic, sticky;
    uint32_t rotate; /* this many are active; 0: all */
};

struct vcampaign {
    char name[24];
    uint32_t group, first, n;      /* people */
    int64_t start_us, deadline_us; /* since ready; deadline 0: none */
    int64_t deadline_ms;           /* wall, as the engine was told */
    uint8_t tag;                   /* index of sim_tags */
    bool is_priority;
    bool started; /* the engine said so */
};

enum fault_kind { FAULT_CRASH = 1, FAULT_REBOOT, FAULT_STOP, FAULT_WALL, FAULT_CUT };

struct fault_plan {
    enum fault_kind kind;
    int64_t at_us, for_us; /* CRASH: down for; WALL: jump by; CUT: lasts */
    uint32_t steps;        /* CRASH: so many steps after at_us */
    bool done;
};

enum cond { /* what a rule asks of a message */
            COND_STREAM,
            COND_TAG,
            COND_PROVIDER, /* value: a domain of its own provider */
            COND_DOMAIN,
            COND_COUNTRY,
            COND_ENGAGEMENT, /* classes 1 to value; 0: not known */
            COND_SIZE,       /* over 20 KB */
            COND_CAMPAIGN,
            COND_LIST,
            COND_CREDENTIAL,
            COND_COUNT
};

struct vrule {
    char name[16];
    struct {
        enum cond kind;
        uint32_t value;
    } conds[CONDS_MAX];
    uint32_t n_conds, group;
};

struct vrouting { /* first match wins */
    struct vrule rules[RULES_MAX];
    uint32_t n;
};

enum edit_kind { EDIT_GROUP, EDIT_LAST, EDIT_REMOVE };

struct edit { /* of a rule, while mail flows */
    enum edit_kind kind;
    int64_t at_us;
    char rule[16];
    uint32_t group;
    bool done;
};

enum limit_of {
    OF_GROUP,
    OF_CAMPAIGN,
    OF_CREDENTIAL,
    OF_PROVIDER,       /* that of a domain */
    OF_SERVER_PROVIDER /* num: server, domain */
};

struct vlimit { /* beside the servers' own */
    enum limit_of of;
    uint32_t num, domain;
    uint64_t per_second, per_minute, per_hour, per_day;
    const char *zone; /* the day is this zone's; NULL: slides */
};

struct mail { /* one dot that a server answered, or swallowed */
    uint64_t id;
    uint32_t person;
    int64_t dot_us, at_us; /* when the write with the dot was made; when the server decided */
    uint16_t server, code; /* code 0: no reply was given */
    uint8_t group;         /* by which it was picked */
    uint32_t connection;
    bool accepted;
};

#define NO_GROUP 255

struct person {
    bool is_single, is_posted; /* posted: the engine answered that it has it */
    uint64_t id;               /* of a single message: as answered */
    uint8_t lane, group;       /* of a single message; group NO_GROUP: as the routes say */
    uint8_t campaign, tag, country, engagement; /* what rules look at */
    bool is_big, has_key;                       /* over 20 KB; sent by the credential */
    uint8_t picked_by[SERVERS_MAX];             /* by server: the group, and one; 0: not picked */
    int64_t posted_us;
    int64_t expires_ms;           /* wall; 0: never */
    int64_t grey_us[SERVERS_MAX]; /* first try at a greylisting server */
};

struct world {
    uint64_t seed;
    struct rand rand;
    int64_t boot_us;      /* the world's own time: only forwards */
    int64_t boot_base_us; /* when the machine was started: the engine counts from there */
    int64_t wall_offset_us;
    uint32_t boots; /* of the machine */
    bool reboots;   /* the crash that comes is the machine's */
    bool verbose;
    uint64_t trace_hash, n_traced;
    char scenario[64], folder[200];
    /* crashes */
    uint64_t steps;
    uint32_t crash_in; /* steps left; 0: none is armed */
    uint32_t runs, crashes, connections_at_crash;
    int64_t down_us; /* how long it stays away after the next end */
    int64_t cut_until_us;
    /* the plan */
    struct vserver servers[SERVERS_MAX];
    struct vgroup groups[GROUPS_MAX];
    struct vcampaign campaigns[CAMPAIGNS_MAX];
    struct fault_plan faults[FAULTS_MAX];
    uint32_t n_servers, n_groups, n_campaigns, n_faults, n_people;
    uint32_t n_singles, singles_first, singles_size; /* size 0: small */
    int64_t singles_from_us, singles_every_us;
    int64_t singles_for_us;                /* they expire so long after they were sent; 0: never */
    bool with_key;                         /* there is a credential */
    bool as_key;                           /* the user's call comes by it */
    struct vrouting routing, routing_next; /* in force; asked for */
    bool routing_moves;                    /* either of the two may hold */
    struct edit edits[EDITS_MAX];
    struct vlimit limits[LIMITS_MAX];
    uint32_t n_edits, n_limits;
    int64_t end_us;                                      /* the user stops the engine */
    unsigned expects;                                    /* bits of enum expect */
    int64_t sick_from_us, sick_to_us, back_us, quiet_us; /* EXPECT_SICK: of server 0, see judge */
    uint32_t sick_tries; /* connections to it while it had to have none but probes */
    /* the script's place, kept over crashes */
    uint32_t set_up, singles_sent;
    int64_t ready_us;                    /* set up; 0: not yet */
    int64_t foreseen_at_us, foreseen_us; /* when it was asked for; what it said, since ready */
    int64_t took_us;                     /* when the last mail was taken, since ready */
    bool is_over, was_done;
    char problem[700];
    /* what happened */
    uint32_t n_mails, n_connections;
    struct mail mails[MAILS_MAX];
    struct person people[PEOPLE_MAX];
};

extern struct world *W;

/* ---- world.c */
void world_trace(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A property broke while it ran: ends the run with the seed. */
_Noreturn void world_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* One of the places where a crash may come. */
void world_step(void);
uint64_t world_below(uint64_t n);
bool world_chance(uint32_t of_1000);
int64_t world_between(int64_t low, int64_t high); /* both included */
int64_t world_wall_us(void);
int64_t world_machine_us(void); /* boot time as the engine sees it */
const struct behaviour *world_behaves(const struct vserver *s, enum verb v);

/* ---- threads.c: events and cooperative threads */
struct event {
    struct heap_node node;
    void (*fire)(struct event *e); /* on whatever thread found that its time has come */
};

void event_at(struct event *e, int64_t us);
void event_cancel(struct event *e);
void threads_begin(void);
void threads_spawn(void *(*run)(void *), void *arg);
void threads_sleep_us(int64_t us);
/* Blocks this thread until threads_wake(it). Token: what it waits on. */
void threads_wait(void *token);
void threads_wake(void *token); /* all that wait on it */

/* ---- world_loop.c */
struct due { /* a callback that the reactor owes */
    struct list link;
    void (*run)(struct due *d);
};

struct loop;
void due_init(struct due *d, void (*run)(struct due *d));
void due_post(struct due *d); /* in the reactor's next turn; at once no more than once */
void due_cancel(struct due *d);
void loop_signal(int signum);

/* ---- world_conn.c */
struct peer;            /* the server's end of a connection */
void conns_crash(void); /* the engine died: what it wrote arrives, then the end */
uint32_t conns_open(void);
void peer_write(struct peer *p, struct str bytes, int64_t delay_us);
void peer_close(struct peer *p, int64_t delay_us);
bool peer_is_over(const struct peer *p); /* closed: nothing more is said */

/* ---- server.c */
struct smtp_peer;
struct smtp_peer *smtp_peer_new(struct vserver *s, struct peer *p);
void smtp_peer_free(struct smtp_peer **x);
void smtp_peer_begin(struct smtp_peer *x); /* greets */
void smtp_peer_input(struct smtp_peer *x, struct str bytes, int64_t sent_us);
void smtp_peer_tls(struct smtp_peer *x); /* stands: the session begins anew */

/* ---- witness.c: a mail of p's came to the server, which was picked for it by this group */
uint8_t witness_group(uint32_t person, uint32_t server);

/* ---- rules.c */
extern const char *const sim_domains[DOMAINS], *const sim_providers[DOMAINS];
extern const char *const sim_countries[4], *const sim_tags[4], *const sim_lanes[3];
extern const char *const sim_key; /* the name of the credential */
/* By which group the routes send p's message, by a reading of their own. */
uint32_t rules_group(const struct vrouting *r, uint32_t person);
void rules_edit(struct vrouting *r, const struct edit *e);

/* ---- world_link.c: a call of the user, from a thread of the world; false: *why_out says it */
bool user_call(const char *op, void *args_json, struct str tail, void **data_json_out,
               char *why_out, size_t why_size);

/* ---- script.c */
void *script_run(void *arg);
bool script_call(const char *op, void *args_json, struct str tail, void **data_json_out);
void script_must(const char *op, void *args_json);
struct db *script_db(void); /* to read */

/* ---- script_setup.c: what the user does before mail flows, and to the routes while it does */
void script_set_up(void);
void script_edit(struct edit *e);

/* ---- scenario.c; scene: its name, or NULL: the seed chooses. False: there is none of that name */
bool scenario_make(uint64_t seed, const char *scene);

/* ---- judge.c: false: texts say what broke */
bool judge(char *out, size_t size);
typedef void found_fn(const char *fmt, ...);
void judge_limits(found_fn *found);
void judge_fleet(struct db *db, found_fn *found);
void judge_time(struct db *db, found_fn *found);

#endif
