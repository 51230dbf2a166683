/* What net/conn*.c need of TLS. No other room includes this file. */
#ifndef NET_TLS_INNER_H
#define NET_TLS_INNER_H

#include <openssl/ssl.h>

#include "base/base.h"
#include "base/err.h"
#include "net/conn.h"
#include "net/tls.h"

struct tls; /* the client's context and its sessions, one a net */

struct tls *tls_new(const char *ca_file, struct err *e) MUST_USE;
void tls_free(struct tls **t);

/* Whom a handshake is with; sessions are kept per key, verify and host. */
struct tls_peer {
    const char *host; /* name, or literal address: no SNI then, and the certificate must name it */
    bool verify;
    uint64_t session_key; /* 0: no session is kept or used */
};

/* A client on fd in its first state, with a kept session if there is one (*session_out: ours to
 * give to tls_client_done, may be NULL). peer must outlive the SSL. NULL: out of memory. */
SSL *tls_client_new(struct tls *t, int fd, const struct tls_peer *peer,
                    SSL_SESSION **session_out) MUST_USE;
/* After the handshake, or its end: forgets a session that did not do. Frees *session. */
void tls_client_done(struct tls *t, const struct tls_peer *peer, SSL_SESSION **session,
                     bool resumed);
SSL *tls_server_new(struct tls_identity *id, int fd) MUST_USE;
/* Tells the peer if that goes without waiting, keeps the session usable, frees. */
void tls_end(SSL **ssl, bool say_goodbye);

/* After a failed SSL call: what SSL_get_error gave and errno then. Fills cause and text. host is
 * for the text. Empties OpenSSL's queue. */
void tls_explain(SSL *ssl, int ssl_error, int saved_errno, const char *host,
                 struct conn_failure *f);
void tls_describe(SSL *ssl, char *out, size_t size);

/* ---- kept sessions (tls_sessions.c) ---- */

struct tls_sessions;

struct tls_sessions *tls_sessions_new(void) MUST_USE;
void tls_sessions_free(struct tls_sessions **s);
/* Takes over the reference. */
void tls_sessions_add(struct tls_sessions *s, const struct tls_peer *peer, SSL_SESSION *session);
/* A reference for the caller, or NULL. A TLS 1.3 session is given out once while there are
 * others. */
SSL_SESSION *tls_sessions_take(struct tls_sessions *s, const struct tls_peer *peer) MUST_USE;
void tls_sessions_drop(struct tls_sessions *s, const struct tls_peer *peer,
                       const SSL_SESSION *session);

#endif
