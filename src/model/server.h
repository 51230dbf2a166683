/* A server (an SMTP server that carries our mail away) and a group, as the user configured them.
 * Plain data; operational state lives in fleet/. Strings are malloc'd and owned by the struct;
 * NULL means "not given". Limits of 0 mean none. */
#ifndef MODEL_SERVER_H
#define MODEL_SERVER_H

#include "base/base.h"
#include "base/secret.h"
#include "model/domain.h"

enum tls_mode { TLS_MODE_NONE = 0, TLS_MODE_STARTTLS, TLS_MODE_TLS };
enum counts { COUNTS_ACCEPTED = 0, COUNTS_ATTEMPTS, COUNTS_RECIPIENTS };
enum admin_state { ADMIN_ACTIVE = 0, ADMIN_PAUSED, ADMIN_DRAINING, ADMIN_DISABLED };
enum oper_state {
    OPER_HEALTHY = 0,
    OPER_DEGRADED,
    OPER_SUSPECT,
    OPER_OPEN,
    OPER_HALF_OPEN,
    OPER_RAMP,
    OPER_EXHAUSTED,
    OPER_MISCONFIGURED,
    OPER_QUARANTINED,
    OPER_COUNT
};
enum strategy {
    STRATEGY_ROUND_ROBIN = 0,
    STRATEGY_WEIGHTED,
    STRATEGY_PRIORITY,
    STRATEGY_LEAST_LOADED,
    STRATEGY_ADAPTIVE,
    STRATEGY_CHEAPEST
};
enum at_limit { AT_LIMIT_WAIT = 0, AT_LIMIT_SPILL };
enum shares { SHARES_EXACT = 0, SHARES_ELASTIC };
enum sticky { STICKY_NONE = 0, STICKY_MESSAGE, STICKY_RECIPIENT };
enum spread { SPREAD_ASAP = 0, SPREAD_EVEN }; /* a day's or month's quota of bulk mail */
enum role { ROLE_ACTIVE = 0, ROLE_RESERVE, ROLE_RESTING };

struct limits {
    uint64_t per_second, per_minute, per_hour, per_day, per_month;
    char *calendar; /* time zone of day and month windows ("Europe/Vienna"); NULL: sliding */
    int64_t pause_between_ms;             /* between messages on one connection */
    uint32_t max_connections;             /* 10 when not given */
    uint32_t max_messages_per_connection; /* 0: none */
    enum counts counts;
    enum spread spread;
};

#define SERVER_HEADERS_MAX      32
#define SERVER_FROM_DOMAINS_MAX 256

struct server {
    uint64_t id;  /* public id (srv_...) */
    uint16_t num; /* small number 1..65535, never reused: journal records carry it */
    char *name;
    char *host; /* name or literal address */
    uint16_t port;
    enum tls_mode tls;
    bool tls_verify; /* full verification (default) or none */
    char *user;
    struct secret *password;
    char *from, *reply_to, *return_path; /* addresses as given; NULL: none */
    char *helo;
    struct limits limits;
    int64_t connect_timeout_ms; /* the way to a ready session; default 30 s */
    int64_t reply_timeout_ms;   /* each later reply but the dot's; default 5 min */
    int64_t dot_timeout_ms;     /* default 10 min */
    bool chunking_off;
    char *region, *ip_type, *provider, *profile, *notes;
    double cost_per_1000;
    uint64_t included_per_month; /* messages that cost nothing more; 0: none */
    char **headers;              /* "Name: value", n_headers */
    size_t n_headers;
    char **from_domains; /* lower case; none: any */
    size_t n_from_domains;
    enum dkim_use dkim; /* whether its mail gets our signature */
    enum admin_state admin;
    int64_t created_at, updated_at; /* wall ms */
};

struct membership {
    uint16_t server_num;
    uint32_t weight;   /* 1..1,000,000 */
    uint32_t priority; /* 1 first */
    enum role role;    /* reserve: only when no active one can; resting: not at all */
};

struct group {
    uint64_t id;
    uint32_t num; /* small number, never reused */
    char *name;
    enum strategy strategy;
    enum at_limit at_limit;
    enum shares shares;
    enum sticky sticky;
    uint32_t rotate_active;   /* k of the active members take turns; 0: all send */
    int64_t rotate_every_ms;  /* the set changes after this time; 0: not by time */
    uint64_t rotate_messages; /* ... after so many messages of the group; 0: not by volume */
    bool nearest;             /* servers of the region nearest to the contact's country first */
    uint32_t *fallbacks;      /* group nums in order */
    size_t n_fallbacks;
    struct membership *members;
    size_t n_members;
};

bool server_on_loopback(const struct server *s); /* its host is this machine, by name or number */
struct server *server_new(void) MUST_USE;        /* with the defaults named above */
struct server *server_clone(const struct server *s) MUST_USE;
void server_free(struct server **s);
struct group *group_new(void) MUST_USE;
struct group *group_clone(const struct group *g) MUST_USE;
void group_free(struct group **g);

/* Names as users write them; the parse functions give false on an unknown word. */
const char *tls_mode_name(enum tls_mode v);
bool tls_mode_parse(const char *s, enum tls_mode *out);
const char *counts_name(enum counts v);
bool counts_parse(const char *s, enum counts *out);
const char *admin_state_name(enum admin_state v);
bool admin_state_parse(const char *s, enum admin_state *out);
const char *oper_state_name(enum oper_state v);
bool oper_state_parse(const char *s, enum oper_state *out);
const char *strategy_name(enum strategy v);
bool strategy_parse(const char *s, enum strategy *out);
const char *at_limit_name(enum at_limit v);
bool at_limit_parse(const char *s, enum at_limit *out);
const char *shares_name(enum shares v);
bool shares_parse(const char *s, enum shares *out);
const char *sticky_name(enum sticky v);
bool sticky_parse(const char *s, enum sticky *out);
const char *spread_name(enum spread v);
bool spread_parse(const char *s, enum spread *out);
const char *role_name(enum role v);
bool role_parse(const char *s, enum role *out);

#endif
