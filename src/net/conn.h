/* A stream to a peer: name, TCP by happy eyeballs (RFC 8305), TLS with OpenSSL on the descriptor.
 * Callbacks run on the loop's thread and never inside a call of this header except conn_read
 * driven ones; after on_close none follows. The owner frees with conn_close. Nothing is buffered
 * here on the way out: conn_write gives what the kernel (or TLS) took. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/base.h"
#include "base/str.h"
#include "net/loop.h"

struct conn;
struct net; /* what all connections of a loop share: DNS, TLS contexts, session cache, pacing */

struct dns;

struct net_config {
    const char *dns_servers;      /* "127.0.0.1:5353,..."; NULL: the system's */
    const char *ca_file;          /* NULL: the system's store */
    uint32_t handshakes_per_turn; /* TLS handshakes begun in one turn of the loop; 0: 8 */
};

/* NULL (and a log line that says why): dns_servers or ca_file are no use. Ignores SIGPIPE in the
 * whole process. net_free comes after the last conn_close. */
struct net *net_new(struct loop *l, const struct net_config *cfg) MUST_USE;
void net_free(struct net **n);
/* Its resolver, for other questions; as long as net. */
struct dns *net_dns(struct net *n);

enum conn_stage { CONN_STAGE_DNS, CONN_STAGE_CONNECT, CONN_STAGE_TLS, CONN_STAGE_OPEN };
enum conn_cause {
    CONN_CAUSE_PEER_CLOSED, /* orderly end of stream (TLS close_notify missing included) */
    CONN_CAUSE_RESET,       /* ECONNRESET, EPIPE and the like while open */
    CONN_CAUSE_TIMEOUT,     /* the deadline of conn_params passed */
    CONN_CAUSE_NOT_FOUND,   /* DNS: no such name, no address */
    CONN_CAUSE_DNS,         /* DNS: no answer, server failure */
    CONN_CAUSE_REFUSED,     /* connect refused by every address */
    CONN_CAUSE_UNREACHABLE, /* no route, network down */
    CONN_CAUSE_CERTIFICATE, /* TLS: not trusted, wrong name, expired */
    CONN_CAUSE_TLS,         /* TLS: any other failure of the handshake or the stream */
};

struct conn_failure {
    enum conn_stage stage;
    enum conn_cause cause;
    char text[256]; /* for the user */
};

struct conn_params {
    const char *host; /* name or literal v4 / v6 address; copied */
    uint16_t port;
    bool tls; /* implicit TLS right after connect */
    bool tls_verify;
    uint64_t session_key; /* TLS sessions are resumed per (session_key, tls_verify); 0: never */
    int64_t deadline;     /* boot ms for DNS + TCP + implicit TLS; INT64_MAX: none */
};

/* Must outlive the connection; members may be NULL. */
struct conn_handler {
    void (*on_open)(void *arg); /* TCP (and implicit TLS) stand */
    /* Answer to conn_start_tls and conn_accept_tls. Not ok: on_close follows, unless the owner
     * closes here. */
    void (*on_tls)(void *arg, bool ok, const struct conn_failure *f);
    void (*on_data)(void *arg, struct str bytes); /* at most 64 KB a call, until WANT_READ */
    void (*on_writable)(void *arg);               /* after a short conn_write */
    void (*on_close)(void *arg, const struct conn_failure *f); /* once; what was read came before */
};

struct conn *conn_open(struct net *n, const struct conn_params *p, const struct conn_handler *h,
                       void *arg) MUST_USE;
/* A connection that was accepted by net/listen.h; open at once (no on_open), no TLS yet. */
struct conn *conn_adopt(struct net *n, int fd, const struct conn_handler *h, void *arg) MUST_USE;
/* STARTTLS: shakes hands on the open stream; bytes read so far must have been consumed by the
 * caller; on_tls answers. deadline: boot ms. */
void conn_start_tls(struct conn *c, int64_t deadline);
/* The same as the server's side of an adopted connection. id must outlive the connection. */
struct tls_identity; /* net/tls.h */
void conn_accept_tls(struct conn *c, struct tls_identity *id, int64_t deadline);
/* Writes slices in order as one write; returns bytes taken (0: wait for on_writable; short writes
 * are followed by on_writable). Errors come by on_close. */
size_t conn_write(struct conn *c, const struct str *slices, size_t n);
/* held: nothing is read from now on, the peer has to wait; else reading goes on. */
void conn_hold(struct conn *c, bool held);
/* Closes and frees; no callback follows. NULL is fine. */
void conn_close(struct conn **c);
bool conn_tls_resumed(const struct conn *c);
/* For people: "TLS 1.3, TLS_AES_256_GCM_SHA384, certificate CN=..., until 2027-01-01" or "". */
void conn_describe_tls(const struct conn *c, char *out, size_t size);
/* The address in use, "192.0.2.1:587" or "[2001:db8::1]:25"; "" before connect. */
void conn_describe_peer(const struct conn *c, char *out, size_t size);

#endif
