/* The inside of a connection, shared by conn.c (life), conn_dial.c (name and TCP), conn_io.c
 * (bytes) and conn_tls.c (handshakes). No other room includes this file. */
#ifndef NET_CONN_INNER_H
#define NET_CONN_INNER_H

#include <netinet/in.h>
#include <openssl/ssl.h>

#include "base/list.h"
#include "base/map.h"
#include "net/conn.h"
#include "net/dns.h"
#include "net/loop_inner.h"
#include "net/tls_inner.h"

#define READ_MAX   65536
#define RECORD_MAX 16384 /* plaintext of a TLS record, RFC 8446, section 5.1 */

union net_address {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct net {
    struct loop *loop;
    struct dns *dns;
    struct tls *tls;
    struct map_str *families; /* host -> until when (boot ms) IPv4 goes first */
    struct list conns;
    struct list handshakes; /* connections whose turn has not come */
    struct loop_task handshake_turn;
    uint32_t handshakes_per_turn;
    char read[READ_MAX];
    char gather[RECORD_MAX];
};

enum conn_state {
    CONN_NEW,     /* begins in the next turn */
    CONN_DIALING, /* name and TCP */
    CONN_QUEUED,  /* waits for its turn to shake hands */
    CONN_SHAKING,
    CONN_OPEN,
    CONN_DEAD, /* on_close is out; waits for conn_close */
    CONN_STATES
};

struct dial;

struct conn {
    struct net *net;
    struct list link;
    const struct conn_handler *handler;
    void *arg;
    enum conn_state state;
    char *host;
    struct tls_peer peer;
    uint16_t port;
    bool implicit_tls;
    bool accepted;  /* no conn_open: the peer came to us */
    bool asked_tls; /* a handshake on an open stream: on_tls answers */
    bool resumed;
    bool want_writable; /* a write came up short */
    bool read_blocked;  /* TLS must write before it can read */
    bool held;          /* the owner has enough */
    bool tls_broken;    /* no goodbye may be said */
    bool failing;       /* `failure` is told in the next turn, behind what can still be read */
    bool gone;          /* conn_close was called */
    unsigned depth;     /* calls of ours on the stack */
    int64_t began_ms;
    int64_t deadline;
    struct timer *timer; /* for the deadline; NULL: none was ever needed */
    struct loop_task task;
    struct list queue_link;
    struct dial *dial;
    struct sock *sock;
    SSL *ssl;
    struct tls_identity *identity; /* we are the server of the next handshake */
    SSL_SESSION *session;          /* offered */
    char *unsent;                  /* a record that TLS has taken and the kernel has not */
    size_t unsent_n;
    union net_address address;
    struct conn_failure failure;
};

/* conn.c */
void conn_set_state(struct conn *c, enum conn_state to);
void conn_set_deadline(struct conn *c, int64_t deadline);
/* What runs callbacks stands between these two; after conn_leave c may be gone. */
void conn_enter(struct conn *c);
void conn_leave(struct conn *c);
/* Ends the connection and tells the owner; between enter and leave. */
void conn_fail(struct conn *c, enum conn_stage stage, enum conn_cause cause, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void conn_fail_as(struct conn *c, const struct conn_failure *f);
/* From a call of the owner: the same, in the next turn. */
void conn_fail_later(struct conn *c, const struct conn_failure *f);
enum conn_stage conn_stage(const struct conn *c);
void conn_watch(struct conn *c); /* asks the loop for the events that the state needs */
void conn_on_sock(struct sock *s, int events);
void conn_connected(struct conn *c, struct sock *s, const union net_address *address);
void net_describe_address(const union net_address *a, char *out, size_t size);
enum conn_cause net_cause_of(int why); /* of an errno */

/* conn_dial.c */
void dial_begin(struct conn *c);
void dial_end(struct conn *c);
void net_families_free(struct net *n);
void dial_timed_out(struct conn *c, struct conn_failure *f);

/* conn_io.c; between enter and leave */
void conn_read(struct conn *c, bool error_waits);
void conn_flush(struct conn *c);

/* conn_tls.c */
void handshake_queue(struct conn *c);
void handshake_step(struct conn *c);
void handshakes_turn(struct loop_task *t);

#endif
