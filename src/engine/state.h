/* Inside the engine: the structs of core and the doors between its files. All of it belongs to the
 * reactor thread, but for what a desk job or a ledger job carries while it is away.
 *   core.c       start, turn, stop            recover.c   what the last run left behind
 *   config.c     servers, groups, settings    campaigner.c  campaigns: read, paused, finished
 *   claims.c     slices, the queue, leases   room.c      how much is in memory
 *   due.c        ready classes, picking       render.c    the desk's work
 *   outlet.c     connections of a server      session.c   one connection and its messages
 *   settle.c     what an end means            janitor.c   time, probes, calendars
 *   calls.c      operations from web          live.c      looking
 *   whose.c      what follows a suspicion     revert.c    bounces of a suspect server undone
 *   routing.c    which group, and why         mailboxes.c who runs a domain, by MX too
 *   limiting.c   limits beside servers' own   warming.c, reputing.c  caps and factors in force
 *   foresee.c, simulating.c  forecast and group simulate, on a desk   derive.c  SCRAM's work
 *   submitting.c, drafts.c  messages of the API, their templates
 *   look.c, patterns.c, evidence.c, isolate.c  for the operator       cancels.c  words to keep
 *   signing.c    DKIM keys, signatures     domain_check.c, domain_verdict.c  what DNS says
 *   probe.c      server test and health probes   cells.c   server x mailbox provider, kept
 *   anchor.c     the steady clock, over reboots  suppressing.c  which addresses are in doubt
 *   spooling.c   bodies too big for a row
 *   policies.c   failure matrices of the groups  intake*.c  mail in by SMTP, see intake_inner.h
 *   hooks*.c     webhooks out, on a thread of their own, see hooks_inner.h */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rand.h"
#include "engine/core.h"
#include "engine/ledger.h"
#include "engine/poison.h"
#include "engine/routing.h"
#include "feedback/classify.h"
#include "feedback/provider.h"
#include "fleet/fleet.h"
#include "fleet/policy.h"
#include "fleet/retry.h"
#include "fleet/suspect.h"
#include "link/link.h"
#include "mail/template.h"
#include "mail/token.h"
#include "model/contact.h"
#include "model/campaign.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/pool.h"
#include "smtp/client.h"
#include "store/ids.h"
#include "store/journal.h"
#include "store/outbox.h"
#include "store/results.h"
#include "store/secrets.h"

#define READY_MAX           65536 /* claimed messages in memory */
#define READY_LOW           1500
#define LEDGER_BEHIND_MS    1000 /* no transaction starts while results are older than this */
#define PARKED_MAX_MS       60000
#define IDLE_MS             30000 /* an unused connection is closed after this */
#define DOT_SLOW_MS         60000
#define STOP_DOT_MS         8000
#define PROVISIONAL_MS      900000
#define UNCERTAIN_RESENDS   1
#define CONVERSATION_ONE_IN 1000

/* What a campaign says, compiled; immutable, counted. */
struct content {
    int refs; /* atomic */
    char *campaign_name, *list_name;
    uint64_t list_id;
    char *from, *reply_to; /* NULL: the server's */
    char from_domain[256];
    char *tags;    /* one a line; NULL: none */
    uint64_t size; /* bytes of its template: what routes compare */
    struct template *subject, *html, *text;
    bool has_html, has_text;
    int64_t date_ms;
};

enum run_state { RUN_RUNNING, RUN_PAUSED, RUN_OVER };

struct run { /* a campaign at work */
    uint32_t num;
    enum run_state state;
    enum lane lane;
    uint32_t group_num;
    int64_t deadline; /* what is not sent by then is given up; 0: none */
    struct content *content;
    bool walked, claiming, is_finishing;
    uint32_t ready;     /* jobs in memory */
    uint32_t uncertain; /* since start, own stops not counted */
    uint32_t content_refused;
    uint64_t sent;
    int64_t flowed_at;       /* boot ms: its last message was sent */
    uint64_t *parked_leases; /* open leases that are not in memory */
    size_t n_parked_leases, cap_parked_leases;
    uint64_t *aside_leases; /* the same, because all that is left of them waits on something */
    size_t n_aside_leases, cap_aside_leases;
    int64_t aside_look_at, aside_back_at; /* boot ms, see room.c */
    int64_t retry_claim_at;               /* boot ms */
    bool finish_failed;      /* its end could not be written: asked again each second */
    struct pausing *pausing; /* our own pause that is not durable yet; NULL: none */
};

struct box { /* a lease in memory with its jobs */
    struct list link;
    struct lease *lease;
    struct job *jobs;
    uint32_t left;    /* jobs without a posted end */
    uint32_t pending; /* outcomes the ledger still has: their strings are borrowed */
    uint64_t *hashes; /* of the recipients' keys, by position */
    bool is_early;    /* a campaign of it is not read yet: its jobs wait for that */
};

struct class
{                            /* ready messages that are alike for the dispatcher */
    struct list link;        /* in owner->classes while runnable */
    struct owner *owner;     /* whose turn it takes */
    struct heap_node parked; /* key: steady ms */
    enum lane lane;
    uint32_t group_num, campaign_num, provider;
    char from_domain[256];
    uint32_t credential_num;
    uint16_t home;    /* stickiness: the server of its recipients; 0: none */
    uint8_t size_log; /* messages of up to 2^size_log bytes; 0: small */
    bool needs_utf8;
    struct list ready;
    uint32_t n;
    bool is_runnable;
    bool is_special; /* tried before in this round, or bound to one server */
    enum bound bound;
    uint16_t bound_server;
    int64_t free_at; /* steady ms when time alone lets it go on; 0: not known */
    int64_t parked_since;
    char why[256];
};

struct owner {        /* a campaign or a credential within a lane and a group: turns are its */
    struct list link; /* in turn->owners while a class of it is runnable */
    struct turn *turn;
    struct list classes;
    uint32_t campaign_num;
    uint32_t credit; /* messages left of its turn */
};

struct turn {         /* a group within a lane */
    struct list link; /* in core->lanes[] while an owner of it is in turn */
    enum lane lane;
    uint32_t group_num;
    struct list owners;
};

enum job_place { JOB_READY, JOB_DESK, JOB_BACKLOG, JOB_WIRE, JOB_OVER, JOB_EARLY };

struct server_ref { /* a server's settings for desks; immutable, counted */
    int refs;
    struct server *server;
};

struct job { /* a message at work */
    struct pool_job desk;
    struct list link;
    struct core *core;
    struct box *box;
    struct lease_item *item;
    struct class *class;
    struct run *run; /* NULL: a single message */
    enum job_place place;
    uint32_t provider;
    uint32_t group_num, route_num; /* by routing; route_num 0: no rule */
    uint32_t routing_turn;         /* of the rules that were asked */
    char country[3];               /* of its contact, upper case; "": not known */
    uint8_t engagement;            /* 0: not known */
    /* this round */
    uint16_t *tried;
    uint32_t n_tried, cap_tried;
    uint32_t n_slowed; /* rate limited in this round */
    bool was_blocked;
    enum verdict last_verdict;
    bool last_permanent;
    int64_t last_wait_ms;
    /* this attempt */
    struct outlet *outlet;
    struct session *session; /* on the wire */
    struct server_ref *server;
    struct hold hold;  /* what its pick reserved */
    int64_t picked_at; /* boot ms */
    int64_t lead_at;   /* boot ms: nobody stands before it on its connection */
    bool stale_once, same_once;
    bool is_cancelled, is_suppressed;
    uint64_t left_list; /* JOB_EARLY: its contact left this list meanwhile; 0: none */
    bool has_intent, dot_asked, dot_permitted;
    uint64_t ticket;
    int64_t dot_at;      /* steady */
    struct list waiting; /* in core->waiting_intents or outlet->waiting_pace */
    char pick_why[256];
    struct signing *signing; /* while on a desk */
    /* rendered */
    struct buf blob;
    char from[256];
    bool is_8bit, needs_utf8, has_leading_dot, render_failed;
    char render_error[600];
};

struct session {      /* a connection to a server */
    struct list link; /* in outlet->sessions */
    struct core *core;
    struct outlet *outlet;
    struct conn *conn;
    struct smtp_client *smtp;
    struct derivation *derivation; /* a desk works on the key of its login */
    struct timer *timer;
    int64_t timer_at;
    bool is_slow; /* its dot has waited over DOT_SLOW_MS */
    bool is_old;  /* the server's settings changed: no further message */
    bool is_open, is_ready, is_probe, is_over, writable, in_pump, quitting;
    struct job *jobs[2]; /* on the wire: the older first */
    uint32_t n_jobs;
    uint32_t given;  /* messages in all */
    int64_t next_at; /* boot ms: pause between messages */
    int64_t idle_since;
    int64_t dot_since; /* boot ms: a dot is unanswered since */
};

struct outlet { /* a server at work */
    uint16_t num;
    struct core *core;
    struct server_ref *server;
    struct list backlog[LANE_COUNT]; /* rendered jobs */
    struct list pace;                /* jobs whose dot waits for the server's pace */
    uint32_t n_high;                 /* given in a row from above bulk */
    uint32_t n_backlog, n_rendering, n_wire;
    struct list sessions;
    uint32_t n_sessions, n_connecting;
    uint32_t n_busy;      /* sessions with a message on the wire */
    uint32_t n_slow;      /* sessions with a slow dot */
    int64_t next_open_at; /* boot ms: new connections are paced */
    struct timer *timer;  /* pace, pauses */
    bool is_removed, pump_again;
    struct list dirty; /* in core->dirty_outlets */
    uint64_t resumed, handshakes;
};

struct core {
    const struct engine_core_config *cfg;
    struct loop *loop;
    struct net *net;
    struct pool *desks;
    struct pool *spoolers;       /* threads that write big bodies; NULL until the first */
    struct pool *looks;          /* looking that reads many rows; NULL until the first */
    struct map_u64 *quarantines; /* server num -> its quarantine that is not in force yet */
    struct drafts *drafts;       /* templates that the API names; NULL until the first */
    size_t n_submitting;         /* bytes of the API's messages at work */
    struct top *top;             /* rates for live.top; NULL until somebody looks */
    struct ledger *ledger;
    struct checkpoint *checkpoint;
    struct journal *journal;
    struct fleet *fleet;
    struct link_server *link;
    struct intake *intake;                   /* NULL: no submission */
    struct suppression_filter *suppressible; /* NULL: none, ask the table */
    struct hooks *hooks;                     /* NULL: there was no webhook yet */
    const struct rules *rules;
    struct signing *signing; /* DKIM keys in force */
    struct secrets *secrets;
    uint8_t token_key[TOKEN_KEY_BYTES];
    char host[256]; /* our name */
    char *public_url;
    struct rand rand;
    int64_t steady_offset;              /* steady ms = boot ms + this */
    int64_t anchored_at, anchored_wall; /* what was kept last of both clocks; 0: nothing yet */
    uint64_t epoch;
    int64_t started_boot;

    /* ledger thread's own (reached only from ledger jobs) */
    struct ids ids;
    struct people *people;
    struct results *results;
    struct map_u64 *claimed; /* message ids of the queue in open leases */
    struct outbox_place places[LANE_COUNT];

    /* fleet */
    struct outlet **outlets; /* by server num */
    size_t n_outlets;
    struct map_u64 *group_names; /* num -> char * */
    uint32_t default_group;
    struct limit_row *limits; /* those beside the servers' own, in force */
    size_t n_limits;
    struct map_u64 *warmings; /* server num -> struct warming, see warming.c */
    struct map_u64 *policies; /* group num -> struct policy; none: every default */
    struct routing *routing;
    uint32_t routing_turn;               /* how often rules were read */
    struct mailboxes *mailboxes;         /* providers by MX */
    uint32_t n_nearest;                  /* groups that prefer the nearest region */
    struct map_u64 *reputed;             /* nums of servers that reputation holds out */
    struct reputing_load *reputed_first; /* NULL: in force */
    int64_t reputed_at;                  /* boot ms of the next round of reputation */

    /* work */
    struct map_u64 *runs; /* campaign num -> struct run */
    struct list boxes;
    uint32_t n_ready; /* jobs in memory */
    struct map_str *classes;
    struct map_u64 *turns, *owners;
    struct list lanes[LANE_COUNT]; /* turns with something runnable */
    uint32_t n_high;               /* picks in a row above bulk while bulk is runnable */
    struct heap parked;            /* classes that wait */
    struct map_u64 *cancelled;     /* message id -> steady ms of the word; NULL: none yet */
    size_t cancels_pos;            /* where the sweep of them goes on */
    int64_t cancels_at;            /* boot ms of the next one */
    struct list waiting_intents;   /* jobs whose dot waits for the disk */
    uint32_t n_active;             /* sessions with a message on the wire */
    uint64_t *intents;             /* ring of intents' tickets that may not be durable yet */
    uint32_t intents_at, n_intents, cap_intents;
    struct list dirty_outlets; /* to be pumped at the end of the turn */
    bool is_paused, is_held, is_stopping, jump_held, restored_held;
    bool is_back; /* common cause has just ended */
    char held_why[160];
    bool runs_loaded, read_failed;
    bool claiming[LANE_COUNT], claim_again[LANE_COUNT];
    int64_t next_due[LANE_COUNT]; /* steady ms */

    struct whose *suspects; /* turned suspect, not in the ledger's hands yet */
    struct wake *journal_wake;
    struct timer *tick;
    int64_t swept_at; /* boot ms: events and spool */
    struct timer *stop_timer;
    int64_t stop_deadline;
    int exit_status;
    struct batch *batch; /* outcomes of this turn; NULL: none */
    uint64_t sent, uncertain, failovers;
    struct poison_page *poison;         /* shared with the parent; NULL: none */
    struct engine_recovered *recovered; /* engine_recover wants to know; NULL: nobody does */
};

/* time */
int64_t core_steady(const struct core *c); /* now, steady ms */
int64_t core_boot_of(const struct core *c, int64_t steady_ms);
struct outlet *core_outlet(const struct core *c, uint16_t num);
/* May messages leave at all now? */
bool core_may_send(struct core *c);

/* content.c */
struct content *content_new(const struct campaign *cmp, const char *list_name, int64_t now_ms,
                            struct err *e) MUST_USE;
void content_keep(struct content *c);
void content_drop(struct content *c);

/* config.c */
void config_reload(struct core *c, bool at_start);
bool config_load_first(struct core *c, struct db *db, struct err *e) MUST_USE;
void server_ref_drop(struct server_ref *r);

/* campaigner.c */
void campaigner_reload(struct core *c);
void campaigner_second(struct core *c); /* tries again what the disk refused */
void campaigner_maybe_finished(struct core *c, uint32_t campaign_num);
void campaigner_uncertain(struct core *c, struct run *r);
/* Refused for what it says: over a limit the campaign pauses, since going on spreads the harm. */
void campaigner_content(struct core *c, struct run *r, const char *reason);
struct run *campaigner_run(struct core *c, uint32_t num);
void campaigner_park_lease(struct run *r, uint64_t first_id);

/* claims.c */
void campaigner_tick(struct core *c); /* asks for slices and due messages */
void campaigner_want_queue(struct core *c);
/* Rows before the place that claims have reached are wanted too. */
void campaigner_rewind(struct core *c);
void campaigner_box_empty(struct core *c, struct box *b);
void campaigner_box_free(struct box *b);
void campaigner_suppressed(struct core *c, struct str key); /* marks claimed messages of it */
/* The user does not want these any more: marks them, now or when their lease comes to memory. */
void campaigner_cancel(struct core *c, const uint64_t *ids, size_t n);
void cancels_sweep(struct core *c); /* each second: words whose message is over are forgotten */
void campaigner_look_at(struct core *c, enum lane lane,
                        int64_t due); /* the queue has one by then */
void campaigner_forget(struct core *c, struct job *j);
void campaigner_take_lease(struct core *c, struct lease *l);
void campaigner_start_early(struct core *c); /* campaigns were read */

/* room.c */
uint32_t room_of_queue(enum lane lane); /* messages in memory up to which a lane claims */
uint32_t room_of_slices(enum lane lane);
/* Has the campaign as much in memory as it can use, or as it may? */
bool room_is_enough(struct core *c, struct run *r);
/* The lease of a campaign leaves memory until the rest of the audience is through. */
void room_set_aside(struct run *r, uint64_t first_id);
void room_second(struct core *c); /* what is parked too long makes room */

/* mailboxes.c: the mailbox provider of a recipient domain, by table, else by MX (looked up in the
 * background, `other` until the answer is there) */
uint32_t mailboxes_provider(struct core *c, struct str domain);
/* The provider of a job, once more; true: it is another one now. */
bool mailboxes_look_again(struct core *c, struct job *j);
/* After a change of servers: may names be looked up? */
void mailboxes_configure(struct core *c, bool all_on_loopback);
bool mailboxes_may_ask(struct core *c);
json_t *mailboxes_live(const struct core *c);
void mailboxes_second(struct core *c);

/* due.c */
void due_add(struct core *c, struct job *j, bool first);
void due_remove(struct core *c, struct job *j);
void due_run(struct core *c);
/* A message is another group's; nothing when it is not in memory. */
void due_move(struct core *c, uint64_t message_id, uint32_t group_num);
/* Forgets the classes of campaigns that are over, so that years of them leave nothing behind. */
void due_sweep(struct core *c);
void due_wake_server(struct core *c, uint16_t num);
void due_wake_all(struct core *c);

/* render.c */
void render_start(struct core *c, struct job *j);
void render_forget(struct job *j); /* frees what was rendered */

/* outlet.c */
struct outlet *outlet_new(struct core *c, uint16_t num);
void outlet_free(struct outlet **o);
void outlet_take(struct outlet *o, struct job *j);     /* rendered: to the backlog */
void outlet_put_back(struct outlet *o, struct job *j); /* to the head of the backlog */
/* The message that would go next; NULL: none. outlet_remove takes it out of the backlog. */
struct job *outlet_head(struct outlet *o);
void outlet_remove(struct outlet *o, struct job *j);
void outlet_dirty(struct outlet *o);
/* Gives this session the next message before it writes, so that dot and envelope leave together.
 * True: it got one. */
bool outlet_offer(struct outlet *o, struct session *s);
void outlet_pump(struct outlet *o);
void outlet_return_backlog(struct outlet *o);
/* To be pumped; what is not to go any more (its time is over, say) does not wait for that. */
void outlet_second(struct outlet *o);
/* Steady ms of the oldest unanswered dot; 0: none. */
int64_t outlet_waiting_since(const struct outlet *o);
void outlet_unstick(struct outlet *o);
/* A probe is a connection too: makes room for it inside the limit. False: not now. */
bool outlet_room_for_probe(struct outlet *o);
/* Tells the fleet of the messages on connections whose dot waits for long. */
void outlet_tell_stuck(struct outlet *o, bool answered);
/* Picked but not on the wire: back to the ready ones, nothing happened. */
void outlet_unpick(struct job *j);
void outlet_session_over(struct outlet *o, struct session *s);

/* session.c */
struct session *session_open(struct outlet *o, bool is_probe);
void session_close(struct session *s);
bool session_can_take(struct session *s);
void session_give(struct session *s, struct job *j);
void session_pump(struct session *s);
void session_quit(struct session *s);
/* Step e: looks at everything once more and lets the dot go, or takes the message back. */
void session_permit(struct job *j);
void session_intents_durable(struct core *c);
/* The journal may sync now when every open transaction is in it. */
void session_hurry_journal(struct core *c);

/* policies.c */
/* The group's failure matrix, by which a message of it goes on; NULL: the default. */
const struct policy *core_policy(const struct core *c, uint32_t group_num);
uint32_t core_group_of(const struct job *j);
bool policies_load(struct db *db, struct failover ***out, size_t *n_out, struct err *e) MUST_USE;
/* Compiles and replaces all. */
void policies_apply(struct core *c, struct failover *const *list, size_t n);
/* What the rule says of the server: opens or quarantines it. */
void policies_act(struct job *j, const struct step *st, const char *reply);

/* settle.c */
struct ending { /* how an attempt ended */
    enum smtp_end end;
    enum phase phase;
    enum loss loss;
    int code;
    uint8_t enhanced[3];
    struct str text, conversation;
    bool dot_left, was_fresh, refused_by_host;
    bool is_ours;    /* we closed the connection ourselves */
    const char *why; /* overrides the reply as the reason; NULL: none */
};
void settle_attempt(struct job *j, const struct ending *end);
/* The server cannot take this message (8BITMIME, SMTPUTF8, SIZE): another one, nobody's fault. */
void settle_unable(struct job *j, const struct ending *end);
/* Ends a message without an attempt: suppressed, cancelled, expired, failed (why). */
void settle_without_attempt(struct job *j, enum message_state state, const char *why);
/* Keeps a message until the user releases it. */
void settle_hold(struct job *j, const char *why);
/* Waits in the queue instead of in memory until `due` (steady ms): others need the room. */
void settle_postpone(struct job *j, int64_t due, const char *why);
/* No server can take it in this round. */
void settle_round_over(struct job *j, const struct pick *p);
/* A connection ended without a message. */
void settle_connection(struct outlet *o, const struct ending *end, bool is_probe, bool passed);
void settle_flush(struct core *c); /* posts the turn's outcomes */

/* events.c */
void core_event(struct core *c, const char *kind, const char *subject, const char *reason,
                const char *data);

/* janitor.c */
void janitor_start(struct core *c);
void janitor_calendars(struct core *c);
/* Opens the day and month of a quota when the zone's calendar has them. */
void janitor_open_calendar(struct core *c, struct quota *q, const char *zone);
/* The day of a time zone that runs at this wall time. Reactor only: it changes TZ for a moment. */
void janitor_day(const char *zone, int64_t wall_ms, int64_t *opened_out, int64_t *closes_out);
void janitor_month(const char *zone, int64_t wall_ms, int64_t *opened_out, int64_t *closes_out);

/* whose.c */
/* A server's state changed: it became suspect, or is believed again. */
void whose_changed(struct core *c, uint16_t num, enum oper_state from, enum oper_state to,
                   const char *reason, int64_t until);
void whose_tick(struct core *c); /* begins what has to be taken back */
/* Those that were suspect when the last run ended still are: read, then (with a ledger) begun. */
bool whose_load(struct core *c, struct db *db, struct err *e) MUST_USE;
void whose_start(struct core *c);
json_t *whose_figures(struct core *c, uint16_t num); /* of `server show`: own and the others' */

/* recover.c */
bool recover_ledger(struct core *c, struct db *db, struct err *e) MUST_USE;

/* calls.c */
void calls_handle(void *arg, struct link_request *r);
json_t *live_fleet(struct core *c, const json_t *args);
json_t *live_limits(struct core *c);
json_t *live_queue(struct core *c);
/* Why nothing is sent, for people: the disk, a hold, a pause, the network; "": sending is up. */
void live_sending_waits(struct core *c, char *out, size_t size);
json_t *live_status(struct core *c);
json_t *live_campaigns(struct core *c);
json_t *live_server(struct core *c, struct outlet *o); /* a line of live.fleet; NULL: unknown */
/* live_top.c: args {"limit","offset","sort","filter"} */
json_t *live_top(struct core *c, json_t *args);

/* server_test.c: the server at work by that name; NULL: there is none */
struct outlet *outlet_by_name(struct core *c, const char *name);

/* quarantine.c */
bool quarantine_load(struct core *c, struct db *db, struct err *e) MUST_USE;
void quarantine_second(struct core *c);
void quarantine_changed(struct core *c, const char *op, json_t *data); /* committed */

/* probe.c */
void probe_server(struct core *c, uint16_t num);

#endif
