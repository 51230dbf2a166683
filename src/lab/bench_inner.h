/* What the files of `postfleet bench` share. Every figure is printed beside a baseline from the
 * same run; doc/BENCH.md tells how to read them. Nobody else includes this. */
#ifndef LAB_BENCH_INNER_H
#define LAB_BENCH_INNER_H

#include "lab/daemon.h"
#include "lab/people.h"
#include "lab/sink.h"

#include <signal.h>

#define BENCH_SERVERS_MAX 64

struct bench_options {
    uint64_t contacts;    /* 0: as the bench likes */
    uint64_t servers;     /* over which they leave */
    uint64_t connections; /* in all */
    uint64_t body;        /* bytes of a body, about */
    uint64_t ahead;       /* ledger.ahead */
    uint64_t per_connection;
    int64_t rtt_ms, sync_ms; /* -1: as the bench likes */
    const char *tls;         /* "starttls" or "tls" */
    const char *shim;        /* a library that slows syncs; NULL: none */
    const char *form;        /* "html" or "text" */
    const char *dkim;        /* "rsa" or "ed25519"; NULL: unsigned */
    const char *keep;
    bool json;
};

/* Set by Ctrl-C: every bench looks at it and ends in order. */
extern volatile sig_atomic_t bench_asked_to_end;

/* ---- printing: a figure a line for people, one object at the end of a bench ---- */

struct bench_figures {
    json_t *j;
    bool json;
};

void bench_begin(struct bench_figures *f, const struct bench_options *o, const char *name);
/* what: for people, NULL: only in the JSON. unit may be "". */
void bench_put(struct bench_figures *f, const char *key, double value, const char *what,
               const char *unit);
void bench_text(struct bench_figures *f, const char *key, const char *value, const char *what);
void bench_end(struct bench_figures *f);
/* Progress on standard error when that is a terminal. */
void bench_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* ---- the raw writer ---- */

struct bench_raw {
    const uint16_t *ports;
    size_t n_ports;
    uint64_t connections, messages;
    size_t body;
    bool ahead; /* the next envelope right behind the dot */
};
/* Writes pre-built messages as fast as they are taken; messages a second. */
bool bench_raw_run(const struct bench_raw *c, double *rate_out, struct err *e) MUST_USE;

/* ---- a load of mail by SMTP, brought to whoever listens on loopback ---- */

struct bench_load {
    uint16_t port;
    uint64_t connections, messages;
    uint64_t per_connection;     /* messages of a connection */
    uint64_t domains;            /* of the recipients: r0.example ... */
    size_t body;                 /* bytes, about */
    const char *user, *password; /* AUTH PLAIN; NULL: none */
};

struct bench_loaded {
    int64_t start_us, end_us; /* first connect, last 250; boot */
    double rate;              /* 250s a second */
    double p50_ms, p99_ms;    /* from the last byte of a mail to its 250 */
};
bool bench_load_run(const struct bench_load *l, struct bench_loaded *out, struct err *e) MUST_USE;

/* ---- a Postfix of our own, when there is one on this machine ---- */

struct bench_postfix {
    pid_t pid; /* 0: none runs */
    uint16_t port;
    char dir[LAB_PATH_MAX];
};

/* NULL: it can be started; else why not. */
const char *bench_postfix_why_not(void);
/* Configuration and queue below `folder`; takes mail on loopback without a login and relays that of
 * domain rN.example to ports[N]. */
bool bench_postfix_start(struct bench_postfix *p, const char *folder, const uint16_t *ports,
                         size_t n_ports, uint64_t connections, struct err *e) MUST_USE;
void bench_postfix_stop(struct bench_postfix *p);

/* ---- a campaign through sinks of our own ---- */

struct bench_case {
    uint64_t contacts, servers, connections, body, per_connection, ahead;
    int64_t rtt_ms, sync_ms;
    enum sink_tls tls;
    bool text_only;
    const char *shim, *keep, *dkim;
};

struct bench_sent {
    double seconds, rate, first_tenth, last_tenth;
    double cpu_us, journal_syncs, db_syncs, journal_bytes, db_bytes, rows; /* a message */
    double wire_bytes, peak_rss_mb;
    double handshakes, resumed; /* in all */
    uint64_t most_open, messages;
};

/* before, after: called while only the sinks are up; may be NULL. */
struct bench_around {
    bool (*before)(void *arg, const uint16_t *ports, size_t n, struct err *e);
    bool (*after)(void *arg, const uint16_t *ports, size_t n, struct err *e);
    void *arg;
};
bool bench_send(const struct bench_case *c, const struct bench_around *around,
                struct bench_sent *out, struct err *e) MUST_USE;

/* ---- the benches: exit status, -1 with *e ---- */

int bench_campaign(const struct bench_options *o, struct err *e);
int bench_tls(const struct bench_options *o, struct err *e);
int bench_dkim(const struct bench_options *o, struct err *e);
int bench_rtt(const struct bench_options *o, struct err *e);
int bench_pick(const struct bench_options *o, struct err *e);
int bench_import(const struct bench_options *o, struct err *e);
int bench_http(const struct bench_options *o, struct err *e);
int bench_relay(const struct bench_options *o, struct err *e);
int bench_start(const struct bench_options *o, struct err *e);

#endif
