/* A test SMTP server: many ports of one address, each taking mail and counting it, with faults on
 * demand. Runs on a thread of its own with its own epoll, so that it depends on none of the code it
 * tests. It stores no mail and is no witness: it says what it counted, nothing more.
 * Used by `postfleet sink`, demo, bench and tests.
 *
 * Protocol: RFC 5321 with PIPELINING, SIZE, 8BITMIME, SMTPUTF8, CHUNKING, ENHANCEDSTATUSCODES,
 * AUTH PLAIN LOGIN CRAM-MD5 (any credentials), STARTTLS or TLS from the first byte where asked. */
#ifndef LAB_SINK_H
#define LAB_SINK_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "model/verdict.h"

struct sink;

enum sink_verb {
    SINK_DELAY =
        0,       /* `ms`: later replies, at `phase`; phase NONE: every byte we send (a long line) */
    SINK_REJECT, /* `code` at `phase`, for `share` of the transactions (or sessions) */
    SINK_CLOSE,  /* the connection drops at `phase`, without a reply */
    SINK_QUOTA,  /* after `count` accepted messages: `code` to MAIL and to the dot */
    SINK_REFUSE, /* the port is closed, open connections are reset */
    SINK_HOLE,   /* accepts the connection and never says a word, at `phase` */
    SINK_AUTH,   /* AUTH is required and answered with `code` (235 lets in) */
    SINK_TLS,    /* offered as `tls` says */
};

enum sink_tls { SINK_TLS_NONE = 0, SINK_TLS_STARTTLS, SINK_TLS_IMPLICIT, SINK_TLS_BROKEN };

struct sink_behaviour {
    uint16_t port;
    enum sink_verb verb;
    enum phase phase;
    int code;
    double share; /* 0 to 1, exact over time: 0.25 is every fourth */
    int64_t count, ms;
    enum sink_tls tls;
    int64_t from_ms, to_ms; /* active in this span since the start; to_ms INT64_MAX: for ever */
    char domain[64];        /* only where the recipient is of it (rcpt, data, dot); empty: any */
};

struct sink_message { /* an accepted one; slices are valid within the callback */
    uint16_t port;
    int64_t wall_ms;
    struct str message_id; /* as in the header, with <>; empty: none */
    struct str from;
    struct str rcpt; /* several: comma-separated */
    uint64_t bytes;  /* of the body as it came */
};

enum { SINK_PORTS_MAX = 10000, SINK_BEHAVIOURS_MAX = 1000 };

struct sink_config {
    const char *host;           /* NULL: 127.0.0.1 */
    uint16_t first_port, ports; /* first_port 0: free ones, see sink_port */
    const char *log_path;       /* a line per accepted message, appended; NULL: none */
    const char *cert_path;      /* the certificate is written here as PEM; NULL: nowhere */
    const struct sink_behaviour *behaviour;
    size_t behaviours;
    /* Called on the sink's thread before the reply to the dot is written; may be NULL. */
    void (*on_message)(void *arg, const struct sink_message *m);
    void *arg;
};

struct sink_counts {
    uint64_t messages, bytes, refused; /* refused: 4xx and 5xx that were sent */
    uint64_t connections;              /* accepted in all */
    uint32_t open, most_open;
    uint64_t tls_full, tls_resumed, tls_failed;
    uint64_t auth_plain, auth_login, auth_cram_md5, auth_refused;
    uint64_t bdat; /* messages that came in chunks */
};

/* Listens, then starts the thread. Behaviours are copied. */
bool sink_start(const struct sink_config *cfg, struct sink **out, struct err *e) MUST_USE;
/* Ends the thread, closes everything, flushes the log. */
void sink_stop(struct sink **s);
/* The port of the i-th listener. */
uint16_t sink_port(const struct sink *s, size_t i);
/* Adds the figures of one port, or of all with port 0; from any thread. */
void sink_count(const struct sink *s, uint16_t port, struct sink_counts *out);
/* From now on, from any thread: replaces what `port` does. */
bool sink_behave(struct sink *s, uint16_t port, const struct sink_behaviour *b, size_t n,
                 struct err *e) MUST_USE;

/* "PORT=VERB[:PHASE][:CODE][:SHARE][:to=DOMAIN][@FROM-TO]", as `postfleet sink --help` explains. */
bool sink_parse_behaviour(struct str spec, struct sink_behaviour *out, struct err *e) MUST_USE;
/* `postfleet sink ...`; argv[0] is "sink". The exit status. */
int lab_sink_main(int argc, char **argv);

#endif
