/* For the tests of TLS: certificates made at test time, and a server of plain OpenSSL calls on a
 * thread. */
#ifndef TEST_NET_TEST_TLS_H
#define TEST_NET_TEST_TLS_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net_test.h"

struct issued {
    X509 *cert;
    EVP_PKEY *key;
};

static UNUSED void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* names NULL: an authority, signed by itself. */
static UNUSED struct issued issue(const char *cn, const char *names, const struct issued *by,
                                  long until_s)
{
    static long serial = 1;
    struct issued i = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    X509_NAME *subject = X509_get_subject_name(i.cert);
    X509_set_version(i.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(i.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(i.cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(i.cert), until_s);
    X509_set_pubkey(i.cert, i.key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(i.cert, by ? X509_get_subject_name(by->cert) : subject);
    add_extension(i.cert, by ? by->cert : i.cert, NID_basic_constraints,
                  names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names)
        add_extension(i.cert, by->cert, NID_subject_alt_name, names);
    assert_true(X509_sign(i.cert, by ? by->key : i.key, EVP_sha256()) > 0);
    return i;
}

static UNUSED void issued_free(struct issued *i)
{
    X509_free(i->cert);
    EVP_PKEY_free(i->key);
}

static struct issued ca, stranger;
static char ca_file[64];

static UNUSED int make_authorities(void **state)
{
    (void)state;
    ca = issue("Test CA", NULL, NULL, 86400);
    stranger = issue("Stranger CA", NULL, NULL, 86400);
    snprintf(ca_file, sizeof ca_file, "/tmp/test_net_tls.XXXXXX");
    int fd = mkstemp(ca_file);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f)
        return -1;
    PEM_write_X509(f, ca.cert);
    fclose(f);
    return 0;
}

static UNUSED int drop_authorities(void **state)
{
    (void)state;
    unlink(ca_file);
    issued_free(&ca);
    issued_free(&stranger);
    return 0;
}

/* ---- the server ---- */

struct tls_world {
    struct loop *l;
    struct net *net;
    struct owner o;
    struct fake_dns dns;
    struct peer p;
    SSL_CTX *ctx;
    struct issued id;
    atomic_int resumed, handshakes;
    bool rude; /* ends without goodbye */
};

static UNUSED const struct fake_rule rules[] = {
    {"mail.example", 1, FAKE_ANSWER, 60, {"127.0.0.1"}},
    {NULL, 0, FAKE_NO_NAME, 0, {NULL}},
};

static UNUSED void world_open(struct tls_world *w, const char *names, const struct issued *by,
                              long until_s, void (*talk)(struct peer *p, int fd))
{
    memset(w, 0, sizeof *w);
    w->id = issue("mail.example", names, by, until_s);
    w->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(w->ctx, w->id.cert);
    SSL_CTX_use_PrivateKey(w->ctx, w->id.key);
    SSL_CTX_set_session_id_context(w->ctx, (const unsigned char *)"t", 1);
    fake_start(&w->dns, rules);
    peer_start(&w->p, talk, w);
    struct net_config cfg = {.dns_servers = w->dns.servers, .ca_file = ca_file};
    w->l = loop_new();
    w->net = net_new(w->l, &cfg);
    assert_non_null(w->net);
    owner_init(&w->o, w->l, w->net);
}

static UNUSED void good_world(struct tls_world *w, void (*talk)(struct peer *p, int fd))
{
    world_open(w, "DNS:mail.example,IP:127.0.0.1", &ca, 86400, talk);
}

static UNUSED void world_close(struct tls_world *w)
{
    owner_done(&w->o);
    net_free(&w->net);
    loop_free(&w->l);
    peer_stop(&w->p);
    fake_stop(&w->dns);
    SSL_CTX_free(w->ctx);
    issued_free(&w->id);
}

static UNUSED SSL *shake(struct tls_world *w, int fd)
{
    SSL *ssl = SSL_new(w->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        atomic_fetch_add(&w->handshakes, 1);
        atomic_fetch_add(&w->resumed, SSL_session_reused(ssl));
        return ssl;
    }
    ERR_clear_error();
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static UNUSED void hang_up(struct tls_world *w, SSL *ssl, int fd)
{
    if (!w->rude)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    close(fd);
}

/* Greets at once, then echoes till the end. */
static UNUSED void talk_tls(struct peer *p, int fd)
{
    struct tls_world *w = p->more;
    char b[20000];
    int n;
    SSL *ssl = shake(w, fd);
    if (!ssl)
        return;
    SSL_write(ssl, "220 hi\r\n", 8);
    while ((n = SSL_read(ssl, b, sizeof b)) > 0)
        SSL_write(ssl, b, n);
    hang_up(w, ssl, fd);
}

static UNUSED void talk_tls_and_leave(struct peer *p, int fd)
{
    struct tls_world *w = p->more;
    SSL *ssl = shake(w, fd);
    if (!ssl)
        return;
    SSL_write(ssl, "220 hi\r\n", 8);
    hang_up(w, ssl, fd);
}

/* ---- the owner ---- */

static UNUSED void dial(struct tls_world *w, const char *host, bool verify, uint64_t key)
{
    struct conn_params p = {.host = host,
                            .port = w->p.port,
                            .tls = true,
                            .tls_verify = verify,
                            .session_key = key,
                            .deadline = clock_boot_ms() + 10000};
    w->o.c = conn_open(w->net, &p, &owner_handler, &w->o);
}

static UNUSED void stop_at_greeting(struct owner *o, struct str bytes)
{
    (void)bytes;
    if (o->got.n >= 8)
        loop_stop(o->l);
}

#endif
