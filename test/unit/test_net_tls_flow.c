/* TLS when it flows and when it ends: ends without goodbye, what lies before a reset, much data
 * both ways, the cap on handshakes, and our own server side. */
#include "net_test_tls.h"

#include <sys/mman.h>

#include "base/log.h"
#include "net/listen.h"
#include "net/tls.h"

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
    sem_t *full; /* posted when the pipe takes no more */
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
        if (taken < want) {
            sem_post(f->full);
            return;
        }
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
    sem_wait(&p->go); /* until the pipe is full */
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
    f.full = &w.p.go;
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
    int log; /* where changes of state and ends of turns are noted */
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

static void note_turn(void *arg)
{
    struct hall *h = arg;
    assert_int_equal(write(h->log, "TURN\n", 5), 5);
}

/* The most handshakes that began between two ends of turns. */
static int most_in_a_turn(int log)
{
    char line[1024];
    int most = 0, n = 0, all = 0;
    assert_int_equal(lseek(log, 0, SEEK_SET), 0);
    FILE *f = fdopen(dup(log), "r");
    while (fgets(line, sizeof line, f)) {
        if (strcmp(line, "TURN\n") == 0)
            n = 0;
        if (!strstr(line, "to=shaking"))
            continue;
        all++;
        n++;
        most = MAX(most, n);
    }
    fclose(f);
    assert_int_equal(all, 2 * CLIENTS);
    return most;
}

static void twenty_handshakes_at_two_a_turn(void **state)
{
    (void)state;
    struct hall h = {.l = loop_new(), .log = memfd_create("log", MFD_CLOEXEC)};
    struct net_config cfg = {.handshakes_per_turn = 2};
    log_setup("test", LOG_DEBUG, h.log);
    loop_set_turn_end(h.l, note_turn, &h);
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
    log_setup("test", LOG_INFO, 2);
    assert_int_equal(most_in_a_turn(h.log), 2);
    close(h.log);
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
        cmocka_unit_test(an_end_without_goodbye_is_an_end),
        cmocka_unit_test(a_250_before_the_reset_is_read_first),
        cmocka_unit_test(much_goes_out_unharmed),
        cmocka_unit_test(much_comes_in_unharmed),
        cmocka_unit_test(twenty_handshakes_at_two_a_turn),
        cmocka_unit_test(identities_come_from_files_or_say_why),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("net_tls_flow", tests, make_authorities, drop_authorities);
}
