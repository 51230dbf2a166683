/* TLS over real sockets: certificates that do and do not do, resumption counted by the server,
 * STARTTLS, and handshakes that come to nothing. */
#include "net_test_tls.h"

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
    char b[2048];
    (void)p;
    write_all(fd, "220 this is no TLS\r\n", 20);
    while (read(fd, b, sizeof b) > 0) /* until the other side has seen enough */
        continue;
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

/* Three tickets are wanted at once and two are there: the last one serves twice. */
static void a_burst_is_resumed_whole(void **state)
{
    (void)state;
    struct tls_world w;
    struct owner burst[4];
    good_world(&w, talk_tls_and_leave);
    open_once(&w, true, 7, false);
    for (size_t i = 0; i < countof(burst); i++) {
        owner_init(&w.o, w.l, w.net);
        burst[i] = w.o;
        struct conn_params p = {.host = "mail.example",
                                .port = w.p.port,
                                .tls = true,
                                .tls_verify = true,
                                .session_key = 7,
                                .deadline = clock_boot_ms() + 10000};
        burst[i].c = conn_open(w.net, &p, &owner_handler, &burst[i]);
    }
    for (size_t i = 0; i < countof(burst); i++)
        while (burst[i].closed == 0)
            run_guarded(w.l);
    for (size_t i = 0; i < countof(burst); i++) {
        assert_int_equal(burst[i].opened, 1);
        assert_true(conn_tls_resumed(burst[i].c));
        owner_done(&burst[i]);
    }
    world_close(&w);
}

static void dawdle(void *arg)
{
    (void)arg;
    usleep(50000);
}

/* With TLS 1.2 the server's greeting can come in the same read as its last word of the handshake:
 * nothing is left in the kernel then to wake the loop. */
static void a_greeting_behind_the_handshake_is_not_overlooked(void **state)
{
    (void)state;
    struct tls_world w;
    good_world(&w, talk_tls);
    SSL_CTX_set_max_proto_version(w.ctx, TLS1_2_VERSION);
    loop_set_turn_end(w.l, dawdle, NULL);
    open_once(&w, true, 7, false);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_does),
        cmocka_unit_test(certificates_that_do_not_do),
        cmocka_unit_test(sessions_are_resumed_per_key_and_mode),
        cmocka_unit_test(a_session_the_server_forgot_does_no_harm),
        cmocka_unit_test(a_burst_is_resumed_whole),
        cmocka_unit_test(a_greeting_behind_the_handshake_is_not_overlooked),
        cmocka_unit_test(starttls_turns_the_stream),
        cmocka_unit_test(starttls_with_a_bad_certificate_answers_then_closes),
        cmocka_unit_test(handshakes_that_come_to_nothing),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("net_tls", tests, make_authorities, drop_authorities);
}
