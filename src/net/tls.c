/* OpenSSL contexts, clients and servers on a descriptor, certificates and failures in words. */
#include "net/tls.h"

#include <errno.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/str.h"
#include "net/dns.h"
#include "net/tls_inner.h"

struct tls {
    SSL_CTX *ctx;
    struct tls_sessions *sessions;
};

static void last_words(char *out, size_t size)
{
    unsigned long code = ERR_peek_error();
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    if (ERR_SYSTEM_ERROR(code))
        why = strerror(ERR_GET_REASON(code));
    snprintf(out, size, "%s", why ? why : "unknown reason");
    ERR_clear_error();
}

/* Called from inside SSL_read or SSL_do_handshake; the reference becomes ours. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_peer *peer = SSL_get_app_data(ssl);
    struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (!peer || peer->session_key == 0)
        return 0;
    tls_sessions_add(t->sessions, peer, session);
    return 1;
}

static int rejected_index = -1;

static void rejected_free(void *parent, void *cert, CRYPTO_EX_DATA *ad, int index, long argl,
                          void *argp)
{
    X509_free(cert);
}

/* A failed verification leaves no certificate behind to speak of: keep the one at fault. */
static int on_verify(int ok, X509_STORE_CTX *ctx)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    if (!ok && ssl && cert && !SSL_get_ex_data(ssl, rejected_index) && X509_up_ref(cert))
        SSL_set_ex_data(ssl, rejected_index, cert);
    return ok;
}

static void make_rejected_index(void)
{
    rejected_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, rejected_free);
}

static void context_common(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    /* One read call for header and body of a record, and for several records. */
    SSL_CTX_set_read_ahead(ctx, 1);
}

struct tls *tls_new(const char *ca_file, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct tls *t = alloc_one(struct tls);
    char why[160];
    pthread_once(&once, make_rejected_index);
    ERR_clear_error();
    t->sessions = tls_sessions_new();
    t->ctx = SSL_CTX_new(TLS_client_method());
    if (!t->ctx) {
        last_words(why, sizeof why);
        err_set(e, ERR_FAILED, "OpenSSL cannot be set up: %s", why);
        tls_free(&t);
        return NULL;
    }
    context_common(t->ctx);
    SSL_CTX_set_app_data(t->ctx, t);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(t->ctx, on_new_session);
    if (!ca_file) {
        SSL_CTX_set_default_verify_paths(t->ctx);
    } else if (SSL_CTX_load_verify_file(t->ctx, ca_file) != 1) {
        last_words(why, sizeof why);
        err_set(e, ERR_INVALID, "no certificates can be read from %s: %s", ca_file, why);
        tls_free(&t);
    }
    ERR_clear_error();
    return t;
}

void tls_free(struct tls **tp)
{
    struct tls *t = *tp;
    if (!t)
        return;
    tls_sessions_free(&t->sessions);
    SSL_CTX_free(t->ctx);
    free(t);
    *tp = NULL;
}

static bool expect_name(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    enum dns_type type;
    struct dns_record address;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (dns_literal(host, &type, &address))
        return X509_VERIFY_PARAM_set1_ip(param, address.address, type == DNS_A ? 4 : 16) == 1;
    size_t n = strlen(host);
    if (n > 1 && host[n - 1] == '.')
        n--;
    return X509_VERIFY_PARAM_set1_host(param, host, n) == 1;
}

static bool set_server_name(SSL *ssl, const char *host)
{
    enum dns_type type;
    struct dns_record address;
    char name[256];
    if (dns_literal(host, &type, &address))
        return true; /* RFC 6066, section 3 */
    struct str s = str_of(host);
    if (s.n > 1 && s.p[s.n - 1] == '.')
        s.n--;
    return str_copy(s, name, sizeof name) && SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *tls_client_new(struct tls *t, int fd, const struct tls_peer *peer, SSL_SESSION **session_out)
{
    *session_out = NULL;
    ERR_clear_error();
    SSL *ssl = SSL_new(t->ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1 || !set_server_name(ssl, peer->host) ||
        (peer->verify && !expect_name(ssl, peer->host))) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_app_data(ssl, (void *)(uintptr_t)peer);
    SSL_set_verify(ssl, peer->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                   peer->verify ? on_verify : NULL);
    SSL_set_connect_state(ssl);
    if (peer->session_key != 0)
        *session_out = tls_sessions_take(t->sessions, peer);
    if (*session_out)
        SSL_set_session(ssl, *session_out);
    return ssl;
}

void tls_client_done(struct tls *t, const struct tls_peer *peer, SSL_SESSION **session,
                     bool resumed)
{
    if (!*session)
        return;
    if (!resumed)
        tls_sessions_drop(t->sessions, peer, *session);
    SSL_SESSION_free(*session);
    *session = NULL;
}

void tls_end(SSL **ssl, bool say_goodbye)
{
    if (!*ssl)
        return;
    ERR_clear_error();
    if (say_goodbye)
        SSL_shutdown(*ssl);
    /* Without both marks OpenSSL takes the session for spoilt, ours on the shelf included. */
    if (SSL_is_init_finished(*ssl))
        SSL_set_shutdown(*ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(*ssl);
    *ssl = NULL;
    ERR_clear_error();
}

/* ---- words ---- */

/* Text of a peer's certificate: anything may be in it. */
static void add_name_text(char *out, size_t size, const ASN1_STRING *text)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, text);
    size_t at = strlen(out);
    for (int i = 0; i < n && at + 1 < size; i++)
        out[at++] = utf8[i] >= 0x20 && utf8[i] < 0x7f ? (char)utf8[i] : '?';
    out[at] = '\0';
    OPENSSL_free(utf8);
}

static void common_name(X509 *cert, char *out, size_t size)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
    snprintf(out, size, "CN=");
    if (at >= 0)
        add_name_text(out, size, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    else
        snprintf(out, size, "without a name");
}

/* "a.example, b.example and 3 more": whom a certificate is for. */
static void alternative_names(X509 *cert, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int n = names ? sk_GENERAL_NAME_num(names) : 0;
    int shown = 0;
    out[0] = '\0';
    for (int i = 0; i < n && shown < 3; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        size_t at = strlen(out);
        snprintf(out + at, size - at, "%s", shown++ > 0 ? ", " : "");
        add_name_text(out, size, name->d.dNSName);
    }
    size_t at = strlen(out);
    if (n > shown && shown > 0)
        snprintf(out + at, size - at, " and %d more", n - shown);
    if (shown == 0)
        common_name(cert, out, size);
    GENERAL_NAMES_free(names);
}

static void day_of(const ASN1_TIME *t, char *out, size_t size)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        snprintf(out, size, "an unknown day");
    else
        snprintf(out, size, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

void tls_describe(SSL *ssl, char *out, size_t size)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    const char *version = SSL_get_version(ssl);
    char subject[128] = "", day[32] = "";
    if (str_starts(str_of(version), STR("TLSv")))
        version += 4;
    int n = snprintf(out, size, "TLS %s, %s", version, SSL_get_cipher_name(ssl));
    if (!cert || n < 0 || (size_t)n >= size)
        return;
    common_name(cert, subject, sizeof subject);
    day_of(X509_get0_notAfter(cert), day, sizeof day);
    snprintf(out + n, size - (size_t)n, ", certificate %s, until %s", subject, day);
}

static void explain_certificate(SSL *ssl, const char *host, struct conn_failure *f)
{
    long why = SSL_get_verify_result(ssl);
    X509 *cert = SSL_get_ex_data(ssl, rejected_index);
    char names[128] = "", day[32] = "";
    f->cause = CONN_CAUSE_CERTIFICATE;
    if (cert)
        alternative_names(cert, names, sizeof names);
    switch (why) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        snprintf(f->text, sizeof f->text, "the certificate is for %.120s, not for %.100s", names,
                 host);
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        day_of(cert ? X509_get0_notAfter(cert) : NULL, day, sizeof day);
        snprintf(f->text, sizeof f->text, "the certificate of %.120s, used by %.80s, expired on %s",
                 names, host, day);
        return;
    default:
        snprintf(f->text, sizeof f->text, "the certificate of %.120s is not trusted: %.80s", host,
                 X509_verify_cert_error_string(why));
    }
}

static void explain_protocol(unsigned long code, struct conn_failure *f)
{
    int reason = ERR_GET_REASON(code);
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    f->cause = CONN_CAUSE_TLS;
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
        snprintf(f->text, sizeof f->text,
                 "the server does not speak TLS here: is it a port for "
                 "STARTTLS, or for no TLS?");
    else if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
        snprintf(f->text, sizeof f->text, "the server has no TLS 1.2 or newer");
    else
        snprintf(f->text, sizeof f->text, "TLS failed: %s", why ? why : "unknown reason");
}

static void explain_system(int why, struct conn_failure *f)
{
    f->cause = why == 0 ? CONN_CAUSE_PEER_CLOSED : CONN_CAUSE_RESET;
    if (why == ETIMEDOUT)
        f->cause = CONN_CAUSE_TIMEOUT;
    snprintf(f->text, sizeof f->text, "%s",
             why == 0 ? "the peer closed the connection" : strerror(why));
}

void tls_explain(SSL *ssl, int ssl_error, int saved_errno, const char *host, struct conn_failure *f)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    if (ssl_error == SSL_ERROR_ZERO_RETURN || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        explain_system(0, f);
    else if (ssl_error == SSL_ERROR_SYSCALL)
        explain_system(saved_errno, f);
    else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        explain_certificate(ssl, host, f);
    else
        explain_protocol(code, f);
    ERR_clear_error();
}

/* ---- identities ---- */

struct tls_identity {
    SSL_CTX *ctx;
};

static struct tls_identity *identity_empty(struct err *e)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        err_set(e, ERR_FAILED, "OpenSSL cannot be set up");
        return NULL;
    }
    context_common(ctx);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"postfleet", 9);
    struct tls_identity *id = alloc_one(struct tls_identity);
    id->ctx = ctx;
    return id;
}

struct tls_identity *tls_identity_new(const char *cert_file, const char *key_file, struct err *e)
{
    struct tls_identity *id = identity_empty(e);
    char why[160];
    if (!id)
        return NULL;
    const char *bad = NULL;
    if (SSL_CTX_use_certificate_chain_file(id->ctx, cert_file) != 1)
        bad = cert_file;
    else if (SSL_CTX_use_PrivateKey_file(id->ctx, key_file, SSL_FILETYPE_PEM) != 1)
        bad = key_file;
    else if (SSL_CTX_check_private_key(id->ctx) != 1)
        bad = key_file;
    if (!bad)
        return id;
    last_words(why, sizeof why);
    err_set(e, ERR_INVALID, "%s is no use as certificate or key: %s", bad, why);
    tls_identity_free(&id);
    return NULL;
}

static bool add_alternative_name(X509 *cert, const char *name)
{
    char text[300];
    enum dns_type type;
    struct dns_record address;
    snprintf(text, sizeof text, "%s:%s", dns_literal(name, &type, &address) ? "IP" : "DNS", name);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static X509 *self_signed(EVP_PKEY *key, const char *name)
{
    X509 *cert = X509_new();
    X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
    if (cert && key && X509_set_version(cert, 2) &&
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
        X509_gmtime_adj(X509_getm_notAfter(cert), 365L * 86400) && X509_set_pubkey(cert, key) &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
                                   0) &&
        X509_set_issuer_name(cert, subject) && add_alternative_name(cert, name) &&
        X509_sign(cert, key, EVP_sha256()))
        return cert;
    X509_free(cert);
    return NULL;
}

struct tls_identity *tls_identity_self_signed(const char *name, struct err *e)
{
    struct tls_identity *id = identity_empty(e);
    if (!id)
        return NULL;
    char why[160];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = self_signed(key, name);
    bool ok = cert && SSL_CTX_use_certificate(id->ctx, cert) == 1 &&
              SSL_CTX_use_PrivateKey(id->ctx, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    if (ok)
        return id;
    last_words(why, sizeof why);
    err_set(e, ERR_INVALID, "no certificate can be made for \"%s\": %s", name, why);
    tls_identity_free(&id);
    return NULL;
}

void tls_identity_free(struct tls_identity **id)
{
    if (!*id)
        return;
    SSL_CTX_free((*id)->ctx);
    free(*id);
    *id = NULL;
}

SSL *tls_server_new(struct tls_identity *id, int fd)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(id->ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}
