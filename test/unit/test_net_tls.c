/* TLS over real sockets against a server of plain OpenSSL calls on a thread: certificates made here
 * (good, wrong name, expired, of a stranger), resumption counted by the server, STARTTLS, what
 * comes right behind a handshake, ends without goodbye, much data, and our own server side. */
#include "net_test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/listen.h"
#include "net/tls.h"

/* ---- certificates ---- */

struct issued {
    X509 *cert;
    EVP_PKEY *key;
};

static struct issued ca, stranger;
static char ca_file[64];

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* names NULL: an authority, signed by itself. */
static struct issued issue(const char *cn, const char *names, const struct issued *by, long until_s)
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

static void issued_free(struct issued *i)
{
    X509_free(i->cert);
    EVP_PKEY_free(i->key);
}

static int make_authorities(void **state)
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

static int drop_authorities(void **state)
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

static const struct fake_rule rules[] = {
    {"mail.example", 1, FAKE_ANSWER, 60, {"127.0.0.1"}},
    {NULL, 0, FAKE_NO_NAME, 0, {NULL}},
};

static void world_open(struct tls_world *w, const char *names, const struct issued *by,
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

static void good_world(struct tls_world *w, void (*talk)(struct peer *p, int fd))
{
    world_open(w, "DNS:mail.example,IP:127.0.0.1", &ca, 86400, talk);
}

static void world_close(struct tls_world *w)
{
    owner_done(&w->o);
    net_free(&w->net);
    loop_free(&w->l);
    peer_stop(&w->p);
    fake_stop(&w->dns);
    SSL_CTX_free(w->ctx);
    issued_free(&w->id);
}

static SSL *shake(struct tls_world *w, int fd)
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

static void hang_up(struct tls_world *w, SSL *ssl, int fd)
{
    if (!w->rude)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    ERR_clear_error();
    close(fd);
}

/* Greets at once, then echoes till the end. */
static void talk_tls(struct peer *p, int fd)
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

static void talk_tls_and_leave(struct peer *p, int fd)
{
    struct tls_world *w = p->more;
    SSL *ssl = shake(w, fd);
    if (!ssl)
        return;
    SSL_write(ssl, "220 hi\r\n", 8);
    hang_up(w, ssl, fd);
}

static void talk_starttls(struct peer *p, int fd)
{
    char b[64];
    write_all(fd, "220 plain\r\n", 11);
    if (read(fd, b, sizeof b) != 10) {
        close(fd);
        return;
    }
    write_all(fd, "220 go\r\n", 8);
    talk_tls(p, fd);
}

static void talk_plain(struct peer *p, int fd)
{
    (void)p;
    write_all(fd, "220 this is no TLS\r\n", 20);
    usleep(50000);
    close(fd);
}

static void talk_hang_up(struct peer *p, int fd)
{
    char b[2048];
    (void)p;
    read(fd, b, sizeof b);
    close(fd);
}

static void talk_silent(struct peer *p, int fd)
{
    sem_wait(&p->go);
    close(fd);
}

/* ---- the owner ---- */

static void dial(struct tls_world *w, const char *host, bool verify, uint64_t key)
{
    struct conn_params p = {.host = host,
                            .port = w->p.port,
                            .tls = true,
                            .tls_verify = verify,
                            .session_key = key,
                            .deadline = clock_boot_ms() + 10000};
    w->o.c = conn_open(w->net, &p, &owner_handler, &w->o);
}

static void stop_at_greeting(struct owner *o, struct str bytes)
{
    (void)bytes;
    if (o->got.n >= 8)
        loop_stop(o->l);
}

static void fails_as(const char *names, const struct issued *by, long until_s, const char *host,
                     enum conn_cause cause, const char *word)
{
    struct tls_world w;
    world_open(&w, names, by, until_s, talk_tls);
    dial(&w, host, true, 0);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 0);
    assert_int_equal(w.o.failure.stage, CONN_STAGE_TLS);
    assert_int_equal(w.o.failure.cause, cause);
    if (!strstr(w.o.failure.text, word))
        fail_msg("\"%s\" is not in: %s", word, w.o.failure.text);
    owner_done(&w.o);
    owner_init(&w.o, w.l, w.net); /* with verification off the same server will do */
    w.o.when_data = stop_at_greeting;
    dial(&w, host, false, 0);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 1);
    assert_true(str_is(buf_str(&w.o.got), "220 hi\r\n"));
    world_close(&w);
}

static void certificates_that_do_not_do(void **state)
{
    (void)state;
    fails_as("DNS:other.example,DNS:*.example.org", &ca, 86400, "mail.example",
             CONN_CAUSE_CERTIFICATE, "is for other.example, *.example.org, not for mail.example");
    fails_as("DNS:mail.example", &ca, 86400, "127.0.0.1", CONN_CAUSE_CERTIFICATE,
             "not for 127.0.0.1");
    fails_as("DNS:mail.example", &ca, -60, "mail.example", CONN_CAUSE_CERTIFICATE, "expired");
    fails_as("DNS:mail.example", &stranger, 86400, "mail.example", CONN_CAUSE_CERTIFICATE,
             "not trusted");
}

static void good_case(const char *host)
{
    struct tls_world w;
    char text[256];
    good_world(&w, talk_tls);
    w.o.when_data = stop_at_greeting;
    dial(&w, host, true, 1);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 1);
    assert_true(str_is(buf_str(&w.o.got), "220 hi\r\n"));
    conn_describe_tls(w.o.c, text, sizeof text);
    assert_int_equal(strncmp(text, "TLS 1.3, TLS_AES_", 17), 0);
    assert_non_null(strstr(text, ", certificate CN=mail.example, until 20"));
    world_close(&w);
}

static void a_good_certificate_does(void **state)
{
    (void)state;
    good_case("mail.example");
    good_case("mail.example.");
    good_case("127.0.0.1");
}

/* ---- resumption ---- */

static void open_once(struct tls_world *w, bool verify, uint64_t key, bool resumed)
{
    owner_init(&w->o, w->l, w->net);
    w->o.when_data = stop_at_greeting; /* tickets lie before the greeting */
    dial(w, "mail.example", verify, key);
    run_guarded(w->l);
    assert_int_equal(w->o.opened, 1);
    assert_int_equal(conn_tls_resumed(w->o.c), resumed);
    owner_done(&w->o);
}

static void resumption_case(int version, bool rude)
{
    struct tls_world w;
    good_world(&w, talk_tls_and_leave);
    w.rude = rude;
    SSL_CTX_set_max_proto_version(w.ctx, version);
    open_once(&w, true, 7, false);
    for (int i = 0; i < 6; i++)
        open_once(&w, true, 7, true);
    open_once(&w, false, 7, false); /* another mode is another peer */
    open_once(&w, true, 8, false);  /* as is another key */
    open_once(&w, true, 0, false);  /* and none keeps none */
    open_once(&w, true, 0, false);
    open_once(&w, true, 7, true);
    peer_stop(&w.p);
    assert_int_equal(atomic_load(&w.handshakes), 12);
    assert_int_equal(atomic_load(&w.resumed), 7);
    peer_start(&w.p, talk_tls, &w);
    world_close(&w);
}

static void sessions_are_resumed_per_key_and_mode(void **state)
{
    (void)state;
    resumption_case(TLS1_3_VERSION, false);
    resumption_case(TLS1_3_VERSION, true); /* an end without goodbye spoils no session */
    resumption_case(TLS1_2_VERSION, false);
    resumption_case(TLS1_2_VERSION, true);
}

static void a_session_the_server_forgot_does_no_harm(void **state)
{
    (void)state;
    struct tls_world w;
    good_world(&w, talk_tls_and_leave);
    open_once(&w, true, 7, false);
    peer_stop(&w.p);
    SSL_CTX *fresh = SSL_CTX_new(TLS_server_method()); /* new ticket keys */
    SSL_CTX_use_certificate(fresh, w.id.cert);
    SSL_CTX_use_PrivateKey(fresh, w.id.key);
    SSL_CTX_set_session_id_context(fresh, (const unsigned char *)"t", 1);
    SSL_CTX_free(w.ctx);
    w.ctx = fresh;
    peer_start_on(&w.p, "127.0.0.1", w.p.port, talk_tls_and_leave, &w);
    open_once(&w, true, 7, false);
    open_once(&w, true, 7, true);
    world_close(&w);
}

/* ---- STARTTLS ---- */

static void start_tls_when_told(struct owner *o, struct str bytes)
{
    (void)bytes;
    if (str_is(buf_str(&o->got), "220 plain\r\n")) {
        assert_int_equal(conn_write(o->c, &STR("STARTTLS\r\n"), 1), 10);
    } else if (str_is(buf_str(&o->got), "220 plain\r\n220 go\r\n")) {
        conn_start_tls(o->c, clock_boot_ms() + 10000);
        assert_int_equal(o->tls_answers, 0);
        assert_int_equal(conn_write(o->c, &STR("too early"), 1), 0);
    } else {
        loop_stop(o->l);
    }
}

static void dial_starttls(struct tls_world *w, bool verify)
{
    struct conn_params p = {.host = "mail.example",
                            .port = w->p.port,
                            .tls_verify = verify,
                            .session_key = 3,
                            .deadline = clock_boot_ms() + 10000};
    w->o.when_data = start_tls_when_told;
    w->o.c = conn_open(w->net, &p, &owner_handler, &w->o);
    run_guarded(w->l);
}

static void starttls_turns_the_stream(void **state)
{
    (void)state;
    struct tls_world w;
    good_world(&w, talk_starttls);
    for (int i = 0; i < 2; i++) {
        dial_starttls(&w, true);
        assert_int_equal(w.o.opened, 1);
        assert_int_equal(w.o.tls_answers, 1);
        assert_true(w.o.tls_ok);
        assert_int_equal(conn_tls_resumed(w.o.c), i == 1);
        assert_true(str_is(buf_str(&w.o.got), "220 plain\r\n220 go\r\n220 hi\r\n"));
        owner_done(&w.o);
        owner_init(&w.o, w.l, w.net);
    }
    world_close(&w);
}

static void starttls_with_a_bad_certificate_answers_then_closes(void **state)
{
    (void)state;
    struct tls_world w;
    world_open(&w, "DNS:other.example", &ca, 86400, talk_starttls);
    dial_starttls(&w, true);
    assert_int_equal(w.o.opened, 1);
    assert_int_equal(w.o.tls_answers, 1);
    assert_false(w.o.tls_ok);
    assert_int_equal(w.o.tls_failure.cause, CONN_CAUSE_CERTIFICATE);
    assert_int_equal(w.o.closed, 1);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_CERTIFICATE);
    world_close(&w);
}

/* ---- handshakes that come to nothing ---- */

static void handshake_case(void (*talk)(struct peer *p, int fd), int deadline_ms,
                           enum conn_cause cause, const char *word)
{
    struct tls_world w;
    good_world(&w, talk);
    struct conn_params p = {.host = "mail.example",
                            .port = w.p.port,
                            .tls = true,
                            .tls_verify = true,
                            .deadline = clock_boot_ms() + deadline_ms};
    w.o.c = conn_open(w.net, &p, &owner_handler, &w.o);
    run_guarded(w.l);
    sem_post(&w.p.go);
    assert_int_equal(w.o.opened, 0);
    assert_int_equal(w.o.failure.stage, CONN_STAGE_TLS);
    assert_int_equal(w.o.failure.cause, cause);
    assert_non_null(strstr(w.o.failure.text, word));
    world_close(&w);
}

static void handshakes_that_come_to_nothing(void **state)
{
    (void)state;
    handshake_case(talk_plain, 10000, CONN_CAUSE_TLS, "does not speak TLS here");
    handshake_case(talk_hang_up, 10000, CONN_CAUSE_PEER_CLOSED, "closed");
    handshake_case(talk_silent, 300, CONN_CAUSE_TIMEOUT, "handshake");
}

/* ---- ends ---- */

static void end_case(bool rude)
{
    struct tls_world w;
    good_world(&w, talk_tls_and_leave);
    w.rude = rude;
    dial(&w, "mail.example", true, 1);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 1);
    assert_true(str_is(buf_str(&w.o.got), "220 hi\r\n"));
    assert_int_equal(w.o.failure.stage, CONN_STAGE_OPEN);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_PEER_CLOSED);
    world_close(&w);
}

static void an_end_without_goodbye_is_an_end(void **state)
{
    (void)state;
    end_case(false);
    end_case(true);
}

static void talk_tls_250_and_reset(struct peer *p, int fd)
{
    struct tls_world *w = p->more;
    SSL *ssl = shake(w, fd);
    if (!ssl)
        return;
    sem_wait(&p->go);
    SSL_write(ssl, "250 ok\r\n", 8);
    SSL_free(ssl);
    close_with_reset(fd);
    sem_post(&p->ready);
}

static void wait_for_the_reset(struct owner *o)
{
    struct tls_world *w = o->more;
    sem_post(&w->p.go);
    sem_wait(&w->p.ready);
}

static void write_into_the_reset(struct owner *o)
{
    wait_for_the_reset(o);
    conn_write(o->c, &STR("QUIT\r\n"), 1);
    assert_int_equal(o->closed, 0);
}

static void reset_case(void (*when_open)(struct owner *o))
{
    struct tls_world w;
    good_world(&w, talk_tls_250_and_reset);
    w.o.more = &w;
    w.o.when_open = when_open;
    dial(&w, "mail.example", true, 1);
    run_guarded(w.l);
    assert_true(str_is(buf_str(&w.o.got), "250 ok\r\n"));
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_RESET);
    world_close(&w);
}

static void a_250_before_the_reset_is_read_first(void **state)
{
    (void)state;
    reset_case(wait_for_the_reset);
    reset_case(write_into_the_reset);
}

/* ---- much ---- */

#define MUCH (12u << 20)

struct flow {
    char *bytes;
    size_t sent;
};

static void push_flow(struct owner *o)
{
    struct flow *f = o->more;
    while (f->sent < MUCH) {
        struct str slices[40];
        size_t n = 0, want = 0;
        for (; n < countof(slices) && f->sent + want < MUCH; n++) {
            size_t size = n % 9 == 8 ? 70000 : n % 5 == 4 ? 16384 : n * 37;
            slices[n] = str_from(f->bytes + f->sent + want, MIN(size, MUCH - f->sent - want));
            want += slices[n].n;
        }
        size_t taken = conn_write(o->c, slices, n);
        f->sent += taken;
        if (taken < want)
            return;
    }
}

/* After a short write the owner changes its mind: what was taken must still go out as it was. */
static void scribble_then_push(struct owner *o)
{
    struct flow *f = o->more;
    struct str none = STR("");
    memset(f->bytes, '!', f->sent);
    assert_int_equal(conn_write(o->c, &none, 1), 0);
    push_flow(o);
}

static void talk_take_all(struct peer *p, int fd)
{
    struct tls_world *w = p->more;
    char b[20000];
    size_t have = 0;
    bool same = true;
    int n;
    SSL *ssl = shake(w, fd);
    if (!ssl)
        return;
    usleep(100000);
    while (have < MUCH && (n = SSL_read(ssl, b, sizeof b)) > 0)
        for (int i = 0; i < n; i++, have++)
            same &= b[i] == (char)((have * 2654435761u) >> 13);
    SSL_write(ssl, same && have == MUCH ? "250 same" : "550 else", 8);
    hang_up(w, ssl, fd);
}

static void much_goes_out_unharmed(void **state)
{
    (void)state;
    struct tls_world w;
    struct flow f = {.bytes = alloc_bytes(MUCH)};
    for (size_t i = 0; i < MUCH; i++)
        f.bytes[i] = (char)((i * 2654435761u) >> 13);
    good_world(&w, talk_take_all);
    w.o.more = &f;
    w.o.when_open = push_flow;
    w.o.when_writable = scribble_then_push;
    dial(&w, "mail.example", true, 1);
    run_guarded(w.l);
    assert_true(w.o.writables > 0);
    assert_true(str_is(buf_str(&w.o.got), "250 same"));
    world_close(&w);
    free(f.bytes);
}

static void talk_give_much(struct peer *p, int fd)
{
    struct tls_world *w = p->more;
    SSL *ssl = shake(w, fd);
    if (!ssl)
        return;
    for (size_t at = 0; at < MUCH;) {
        char b[15000];
        size_t n = MIN(sizeof b, MUCH - at);
        for (size_t i = 0; i < n; i++)
            b[i] = (char)(((at + i) * 2654435761u) >> 13);
        if (SSL_write(ssl, b, (int)n) <= 0)
            break;
        at += n;
    }
    hang_up(w, ssl, fd);
}

static void much_comes_in_unharmed(void **state)
{
    (void)state;
    struct tls_world w;
    good_world(&w, talk_give_much);
    dial(&w, "mail.example", true, 1);
    run_guarded(w.l);
    assert_int_equal(w.o.got.n, MUCH);
    for (size_t i = 0; i < MUCH; i++)
        if (w.o.got.p[i] != (char)((i * 2654435761u) >> 13))
            fail_msg("byte %zu differs", i);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_PEER_CLOSED);
    world_close(&w);
}

/* ---- our own server side, and the cap ---- */

#define CLIENTS 20

struct hall {
    struct loop *l;
    struct net *net;
    struct tls_identity *id;
    struct owner servers[CLIENTS], clients[CLIENTS];
    int accepted, open;
    int this_turn, most; /* server handshakes begun in a turn show as answers */
};

static void server_greets(struct owner *o)
{
    assert_true(o->tls_ok);
    assert_int_equal(conn_write(o->c, &STR("220 hi\r\n"), 1), 8);
}

static void on_accepted(void *arg, int fd)
{
    struct hall *h = arg;
    struct owner *o = &h->servers[h->accepted++];
    owner_init(o, h->l, h->net);
    o->when_tls = server_greets;
    o->c = conn_adopt(h->net, fd, &owner_handler, o);
    conn_accept_tls(o->c, h->id, clock_boot_ms() + 10000);
}

static void client_is_greeted(struct owner *o, struct str bytes)
{
    struct hall *h = o->more;
    (void)bytes;
    if (o->got.n == 8 && ++h->open == CLIENTS)
        loop_stop(o->l);
}

static void twenty_handshakes_at_two_a_turn(void **state)
{
    (void)state;
    struct hall h = {.l = loop_new()};
    struct net_config cfg = {.handshakes_per_turn = 2};
    struct err e;
    h.net = net_new(h.l, &cfg);
    h.id = tls_identity_self_signed("127.0.0.1", &e);
    assert_non_null(h.id);
    struct listener *li = listener_tcp(h.l, "127.0.0.1:0", on_accepted, &h, &e);
    assert_non_null(li);
    for (int i = 0; i < CLIENTS; i++) {
        struct owner *o = &h.clients[i];
        struct conn_params p = {.host = "127.0.0.1",
                                .port = listener_port(li),
                                .tls = true,
                                .session_key = 1,
                                .deadline = clock_boot_ms() + 10000};
        owner_init(o, h.l, h.net);
        o->when_data = client_is_greeted;
        o->more = &h;
        o->c = conn_open(h.net, &p, &owner_handler, o);
    }
    run_guarded(h.l);
    assert_int_equal(h.open, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        owner_done(&h.servers[i]);
        owner_done(&h.clients[i]);
    }
    listener_close(&li);
    net_free(&h.net);
    tls_identity_free(&h.id);
    loop_free(&h.l);
}

static void identities_come_from_files_or_say_why(void **state)
{
    (void)state;
    struct err e;
    assert_null(tls_identity_new("/nonexistent/cert.pem", "/nonexistent/key.pem", &e));
    assert_non_null(strstr(e.text, "/nonexistent/cert.pem"));
    assert_null(tls_identity_new(ca_file, "/nonexistent/key.pem", &e));
    assert_non_null(strstr(e.text, "/nonexistent/key.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_does),
        cmocka_unit_test(certificates_that_do_not_do),
        cmocka_unit_test(sessions_are_resumed_per_key_and_mode),
        cmocka_unit_test(a_session_the_server_forgot_does_no_harm),
        cmocka_unit_test(starttls_turns_the_stream),
        cmocka_unit_test(starttls_with_a_bad_certificate_answers_then_closes),
        cmocka_unit_test(handshakes_that_come_to_nothing),
        cmocka_unit_test(an_end_without_goodbye_is_an_end),
        cmocka_unit_test(a_250_before_the_reset_is_read_first),
        cmocka_unit_test(much_goes_out_unharmed),
        cmocka_unit_test(much_comes_in_unharmed),
        cmocka_unit_test(twenty_handshakes_at_two_a_turn),
        cmocka_unit_test(identities_come_from_files_or_say_why),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("net_tls", tests, make_authorities, drop_authorities);
}
