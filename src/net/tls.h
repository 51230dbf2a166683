/* TLS by OpenSSL: contexts, kept sessions, and words for what went wrong. The stream itself (who
 * reads and writes when) is net/conn.h's. TLS 1.2 and up, no renegotiation, no compression.
 * OpenSSL writes to descriptors without MSG_NOSIGNAL: net_new sets SIGPIPE to be ignored. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/base.h"
#include "base/err.h"

/* ---- a server's certificate and key, for conn_accept_tls ---- */

struct tls_identity;

/* PEM files; the certificate file holds the chain, own certificate first. */
struct tls_identity *tls_identity_new(const char *cert_file, const char *key_file,
                                      struct err *e) MUST_USE;
/* A fresh key and a certificate signed by itself, valid for a year: for sinks and tests. name: DNS
 * name or literal address. */
struct tls_identity *tls_identity_self_signed(const char *name, struct err *e) MUST_USE;
void tls_identity_free(struct tls_identity **id);

#endif
