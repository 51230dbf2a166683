/* Connections over real loopback sockets: names, happy eyeballs, deadlines, both directions under
 * pressure, what is read before a reset, and closing from inside every callback. */
#include "net_test.h"

#include "net/listen.h"

struct world {
    struct loop *l;
    struct net *net;
    struct owner o;
};

static void world_open(struct world *w, const char *dns_servers)
{
    struct net_config cfg = {.dns_servers = dns_servers};
    w->l = loop_new();
    w->net = net_new(w->l, &cfg);
    assert_non_null(w->net);
    owner_init(&w->o, w->l, w->net);
}

static void world_close(struct world *w)
{
    owner_done(&w->o);
    net_free(&w->net);
    loop_free(&w->l);
}

static void dial(struct world *w, const char *host, uint16_t port, int deadline_ms)
{
    struct conn_params p = {.host = host, .port = port, .deadline = INT64_MAX};
    if (deadline_ms > 0)
        p.deadline = clock_boot_ms() + deadline_ms;
    w->o.c = conn_open(w->net, &p, &owner_handler, &w->o);
    assert_int_equal(w->o.opened + w->o.closed, 0); /* nothing from inside the call */
}

static void say_hello(struct owner *o)
{
    struct str slices[] = {STR("he"), STR(""), STR("llo"), STR_NONE, STR(" there")};
    assert_int_equal(conn_write(o->c, slices, countof(slices)), 11);
}

static void talk_answer_once(struct peer *p, int fd)
{
    char b[64];
    size_t have = 0;
    ssize_t n;
    (void)p;
    while (have < 11 && (n = read(fd, b + have, sizeof b - have)) > 0)
        have += (size_t)n;
    write_all(fd, b, have);
    close(fd);
}

static void bytes_go_and_come_then_the_end(void **state)
{
    (void)state;
    struct world w;
    struct peer p;
    char text[64], want[64];
    world_open(&w, NULL);
    peer_start(&p, talk_answer_once, NULL);
    w.o.when_open = say_hello;
    dial(&w, "127.0.0.1", p.port, 5000);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 1);
    assert_int_equal(w.o.closed, 1);
    assert_true(str_is(buf_str(&w.o.got), "hello there"));
    assert_int_equal(w.o.failure.stage, CONN_STAGE_OPEN);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_PEER_CLOSED);
    conn_describe_peer(w.o.c, text, sizeof text);
    snprintf(want, sizeof want, "127.0.0.1:%u", (unsigned)p.port);
    assert_string_equal(text, want);
    conn_describe_tls(w.o.c, text, sizeof text);
    assert_string_equal(text, "");
    assert_false(conn_tls_resumed(w.o.c));
    assert_int_equal(conn_write(w.o.c, &STR("x"), 1), 0);
    peer_stop(&p);
    world_close(&w);
}

static void localhost_needs_no_dns(void **state)
{
    (void)state;
    struct world w;
    struct peer p;
    world_open(&w, "127.0.0.1:9"); /* nobody there */
    peer_start(&p, talk_answer_once, NULL);
    w.o.when_open = say_hello;
    dial(&w, "LocalHost", p.port, 5000);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 1);
    peer_stop(&p);
    world_close(&w);
}

static void a_refused_connection_says_so(void **state)
{
    (void)state;
    struct world w;
    uint16_t port = 0;
    close(listen_on("127.0.0.1", &port, 1));
    world_open(&w, NULL);
    dial(&w, "127.0.0.1", port, 5000);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 0);
    assert_int_equal(w.o.failure.stage, CONN_STAGE_CONNECT);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_REFUSED);
    assert_non_null(strstr(w.o.failure.text, "127.0.0.1:"));
    world_close(&w);
}

static void a_black_hole_ends_at_the_deadline(void **state)
{
    (void)state;
    struct world w;
    struct hole h;
    world_open(&w, NULL);
    hole_open(&h, "127.0.0.1", 0);
    int64_t began = clock_boot_ms();
    dial(&w, "127.0.0.1", h.port, 300);
    run_guarded(w.l);
    assert_true(clock_boot_ms() >= began + 300);
    assert_int_equal(w.o.opened, 0);
    assert_int_equal(w.o.failure.stage, CONN_STAGE_CONNECT);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_TIMEOUT);
    hole_close(&h);
    world_close(&w);
}

static void an_open_connection_outlives_its_deadline(void **state)
{
    (void)state;
    struct world w;
    struct peer p;
    world_open(&w, NULL);
    peer_start(&p, talk_echo, NULL);
    dial(&w, "127.0.0.1", p.port, 100);
    run_for(w.l, 200);
    assert_int_equal(w.o.opened, 1);
    assert_int_equal(w.o.closed, 0);
    owner_done(&w.o);
    peer_stop(&p);
    world_close(&w);
}

/* ---- a reset with something to read before it ---- */

static void talk_250_and_reset(struct peer *p, int fd)
{
    sem_wait(&p->go);
    write_all(fd, "250 2.0.0 taken\r\n", 17);
    close_with_reset(fd);
    sem_post(&p->ready);
}

static void wait_for_the_reset(struct owner *o)
{
    struct peer *p = o->more;
    sem_post(&p->go);
    sem_wait(&p->ready);
}

static void write_into_the_reset(struct owner *o)
{
    wait_for_the_reset(o);
    assert_int_equal(conn_write(o->c, &STR("MAIL FROM:<a@b.example>\r\n"), 1), 0);
    assert_int_equal(o->closed, 0); /* told later */
}

static void reset_case(void (*when_open)(struct owner *o))
{
    struct world w;
    struct peer p;
    world_open(&w, NULL);
    peer_start(&p, talk_250_and_reset, NULL);
    w.o.when_open = when_open;
    w.o.more = &p;
    dial(&w, "127.0.0.1", p.port, 5000);
    run_guarded(w.l);
    assert_true(str_is(buf_str(&w.o.got), "250 2.0.0 taken\r\n"));
    assert_int_equal(w.o.closed, 1);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_RESET);
    assert_int_equal(w.o.failure.stage, CONN_STAGE_OPEN);
    peer_stop(&p);
    world_close(&w);
}

static void a_250_before_the_reset_is_read_first(void **state)
{
    (void)state;
    reset_case(wait_for_the_reset);
    reset_case(write_into_the_reset);
}

/* ---- much in both directions ---- */

#define MUCH (24u << 20)

struct flow {
    char *bytes;
    size_t sent;
    sem_t *full; /* posted when the pipe takes no more */
};

static void push_flow(struct owner *o)
{
    struct flow *f = o->more;
    while (f->sent < MUCH) {
        struct str slices[100]; /* more than one system call takes, of odd sizes */
        size_t n = 0, want = 0;
        for (; n < countof(slices) && f->sent + want < MUCH; n++) {
            size_t size = n % 7 == 6 ? 40000 : n * 13;
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

static void stop_when_all_is_back(struct owner *o, struct str bytes)
{
    (void)bytes;
    if (o->got.n == MUCH)
        loop_stop(o->l);
}

static void talk_echo_slowly(struct peer *p, int fd)
{
    char *b = alloc_bytes(MUCH);
    size_t have = 0;
    ssize_t n;
    (void)p;
    sem_wait(&p->go); /* until the pipe is full */
    while (have < MUCH && (n = read(fd, b + have, MUCH - have)) > 0)
        have += (size_t)n;
    write_all(fd, b, have);
    free(b);
    read(fd, &n, sizeof n);
    close(fd);
}

static void much_goes_both_ways_unharmed(void **state)
{
    (void)state;
    struct world w;
    struct peer p;
    struct flow f = {.bytes = alloc_bytes(MUCH)};
    for (size_t i = 0; i < MUCH; i++)
        f.bytes[i] = (char)((i * 2654435761u) >> 13);
    world_open(&w, NULL);
    peer_start(&p, talk_echo_slowly, NULL);
    f.full = &p.go;
    w.o.more = &f;
    w.o.when_open = push_flow;
    w.o.when_writable = push_flow;
    w.o.when_data = stop_when_all_is_back;
    dial(&w, "127.0.0.1", p.port, 5000);
    run_guarded(w.l);
    assert_true(w.o.writables > 0);
    assert_int_equal(w.o.got.n, MUCH);
    assert_int_equal(memcmp(w.o.got.p, f.bytes, MUCH), 0);
    owner_done(&w.o);
    peer_stop(&p);
    world_close(&w);
    free(f.bytes);
}

/* ---- closing from inside ---- */

static void close_now(struct owner *o)
{
    conn_close(&o->c);
    assert_null(o->c);
    loop_stop(o->l);
}

static void close_at_data(struct owner *o, struct str bytes)
{
    (void)bytes;
    close_now(o);
}

static void fill_then_wait(struct owner *o)
{
    static char zeros[1u << 20];
    struct str s = str_from(zeros, sizeof zeros);
    while (conn_write(o->c, &s, 1) == s.n)
        ;
}

static void closing_is_safe_in_every_callback(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct world w;
        struct peer p;
        world_open(&w, NULL);
        peer_start(&p, talk_echo, NULL);
        w.o.when_open = i == 0 ? close_now : i == 1 ? say_hello : fill_then_wait;
        w.o.when_data = i == 1 ? close_at_data : NULL;
        w.o.when_writable = i == 2 ? close_now : NULL;
        dial(&w, "127.0.0.1", p.port, 5000);
        run_guarded(w.l);
        assert_int_equal(w.o.opened, 1);
        assert_int_equal(w.o.closed, 0);
        assert_null(w.o.c);
        run_for(w.l, 20);
        assert_int_equal(w.o.closed, 0);
        peer_stop(&p);
        world_close(&w);
    }
}

static void close_on_close(void *arg, const struct conn_failure *f)
{
    struct owner *o = arg;
    conn_close(&o->c);
    owner_closed(o, f);
}

static void closing_is_safe_in_on_close_and_before_the_start(void **state)
{
    (void)state;
    static const struct conn_handler h = {.on_close = close_on_close};
    struct world w;
    uint16_t port = 0;
    close(listen_on("127.0.0.1", &port, 1));
    world_open(&w, NULL);
    struct conn_params params = {.host = "127.0.0.1", .port = port, .deadline = INT64_MAX};
    w.o.c = conn_open(w.net, &params, &h, &w.o);
    run_guarded(w.l);
    assert_int_equal(w.o.closed, 1);
    assert_null(w.o.c);
    w.o.c = conn_open(w.net, &params, &h, &w.o);
    conn_close(&w.o.c);
    conn_close(&w.o.c);
    run_for(w.l, 20);
    assert_int_equal(w.o.closed, 1);
    world_close(&w);
}

/* ---- names ---- */

static const struct fake_rule rules[] = {
    {"both.example", 1, FAKE_ANSWER, 60, {"127.0.0.1"}},
    {"both.example", 28, FAKE_ANSWER, 60, {"::1"}},
    {"v4only.example", 1, FAKE_ANSWER, 60, {"127.0.0.1"}},
    {"v4only.example", 28, FAKE_NO_DATA, 60, {NULL}},
    {"mute6.example", 1, FAKE_ANSWER, 60, {"127.0.0.1"}},
    {"mute6.example", 28, FAKE_SILENT, 60, {NULL}},
    {"broken.example", 1, FAKE_BROKEN, 60, {NULL}},
    {"broken.example", 28, FAKE_BROKEN, 60, {NULL}},
    {"mute.example", 1, FAKE_SILENT, 60, {NULL}},
    {"mute.example", 28, FAKE_SILENT, 60, {NULL}},
    {"second.example", 1, FAKE_ANSWER, 60, {"127.0.0.2", "127.0.0.3", "127.0.0.1"}},
    {"second.example", 28, FAKE_NO_DATA, 60, {NULL}},
    {NULL, 0, FAKE_NO_NAME, 0, {NULL}},
};

static void name_case(const char *name, int deadline_ms, enum conn_cause cause)
{
    struct world w;
    struct fake_dns d;
    fake_start(&d, rules);
    world_open(&w, d.servers);
    dial(&w, name, 25, deadline_ms);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 0);
    assert_int_equal(w.o.failure.stage, CONN_STAGE_DNS);
    assert_int_equal(w.o.failure.cause, cause);
    assert_non_null(strstr(w.o.failure.text, name));
    world_close(&w);
    fake_stop(&d);
}

static void names_that_give_nothing(void **state)
{
    (void)state;
    name_case("nowhere.example", 5000, CONN_CAUSE_NOT_FOUND);
    name_case("broken.example", 10000, CONN_CAUSE_DNS);
    name_case("mute.example", 200, CONN_CAUSE_TIMEOUT);
    name_case("", 5000, CONN_CAUSE_NOT_FOUND);
}

static void open_name(const char *name, const char *listen_address)
{
    struct world w;
    struct fake_dns d;
    struct peer p;
    fake_start(&d, rules);
    peer_start_on(&p, listen_address, 0, talk_echo, NULL);
    world_open(&w, d.servers);
    w.o.stop_on_open = true;
    dial(&w, name, p.port, 10000);
    run_guarded(w.l);
    assert_int_equal(w.o.opened, 1);
    owner_done(&w.o);
    peer_stop(&p);
    world_close(&w);
    fake_stop(&d);
}

static void names_lead_to_whichever_address_works(void **state)
{
    (void)state;
    open_name("v4only.example", "127.0.0.1");
    open_name("mute6.example", "127.0.0.1");  /* half of the DNS answers */
    open_name("second.example", "127.0.0.1"); /* the third address, after two refusals */
    open_name("both.example", "127.0.0.1");   /* IPv6 refuses */
    open_name("both.example", "::1");
}

static void open_once(struct world *w, uint16_t port)
{
    owner_init(&w->o, w->l, w->net);
    w->o.stop_on_open = true;
    dial(w, "both.example", port, 10000);
    run_guarded(w->l);
    assert_int_equal(w->o.opened, 1);
    owner_done(&w->o);
}

/* The peer counts on its own thread. */
static void has_accepted(struct peer *p, int n)
{
    for (int i = 0; i < 5000 && atomic_load(&p->accepted) < n; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&p->accepted), n);
}

static void a_dead_family_is_passed_and_remembered(void **state)
{
    (void)state;
    struct world w;
    struct fake_dns d;
    struct peer v4, v6;
    struct hole h;
    fake_start(&d, rules);
    peer_start(&v4, talk_echo, NULL);
    hole_open(&h, "::1", v4.port);
    world_open(&w, d.servers);
    open_once(&w, v4.port); /* IPv6 says nothing: IPv4 after the stagger */
    has_accepted(&v4, 1);
    hole_close(&h);
    peer_start_on(&v6, "::1", v4.port, talk_echo, NULL);
    open_once(&w, v4.port); /* IPv6 would work again, but is not asked now */
    has_accepted(&v4, 2);
    has_accepted(&v6, 0);
    world_close(&w);
    world_open(&w, d.servers); /* one that remembers nothing begins with IPv6 */
    open_once(&w, v4.port);
    has_accepted(&v6, 1);
    has_accepted(&v4, 2);
    world_close(&w);
    peer_stop(&v4);
    peer_stop(&v6);
    fake_stop(&d);
}

static void refusals_of_all_addresses_are_counted(void **state)
{
    (void)state;
    struct world w;
    struct fake_dns d;
    uint16_t port = 0;
    close(listen_on("127.0.0.1", &port, 1));
    fake_start(&d, rules);
    world_open(&w, d.servers);
    dial(&w, "second.example", port, 10000);
    run_guarded(w.l);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_REFUSED);
    assert_non_null(strstr(w.o.failure.text, "2 more addresses"));
    world_close(&w);
    fake_stop(&d);
}

/* ---- accepted ones ---- */

static void on_accepted(void *arg, int fd)
{
    struct owner *o = arg;
    o->c = conn_adopt(o->net, fd, &owner_handler, o);
}

static void echo_back(struct owner *o, struct str bytes)
{
    assert_int_equal(conn_write(o->c, &bytes, 1), bytes.n);
}

static void stop_at_hello(struct owner *o, struct str bytes)
{
    (void)bytes;
    if (str_is(buf_str(&o->got), "hello there"))
        loop_stop(o->l);
}

static void an_accepted_connection_serves(void **state)
{
    (void)state;
    struct world w;
    struct owner server;
    struct err e;
    world_open(&w, NULL);
    owner_init(&server, w.l, w.net);
    struct listener *li = listener_tcp(w.l, "127.0.0.1:0", on_accepted, &server, &e);
    assert_non_null(li);
    server.when_data = echo_back;
    w.o.when_open = say_hello;
    w.o.when_data = stop_at_hello;
    dial(&w, "127.0.0.1", listener_port(li), 5000);
    run_guarded(w.l);
    assert_int_equal(server.opened, 0); /* it came open */
    char text[64];
    conn_describe_peer(server.c, text, sizeof text);
    assert_int_equal(strncmp(text, "127.0.0.1:", 10), 0);
    conn_close(&w.o.c);
    run_guarded(w.l);
    assert_int_equal(server.failure.cause, CONN_CAUSE_PEER_CLOSED);
    owner_done(&server);
    listener_close(&li);
    world_close(&w);
}

static void bad_configuration_is_refused(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct net_config cfg = {.dns_servers = "not an address"};
    assert_null(net_new(l, &cfg));
    cfg = (struct net_config){.ca_file = "/nonexistent/ca.pem"};
    assert_null(net_new(l, &cfg));
    loop_free(&l);
}

/* ---- holding ---- */

#define PUSHED (4u << 20) /* more than the kernel takes on its way */

struct pushing {
    atomic_size_t sent; /* by the peer */
};

/* Pushes bytes that tell their place, and leaves. */
static void talk_push(struct peer *p, int fd)
{
    struct pushing *x = p->more;
    char b[4096];
    for (size_t at = 0; at < PUSHED; at += sizeof b) {
        for (size_t i = 0; i < sizeof b; i++)
            b[i] = (char)((at + i) * 2654435761u >> 13);
        for (size_t n = 0; n < sizeof b;) {
            ssize_t w = send(fd, b + n, sizeof b - n, MSG_NOSIGNAL);
            if (w <= 0)
                break;
            n += (size_t)w;
        }
        atomic_fetch_add(&x->sent, sizeof b);
    }
    close(fd);
}

static void hold_at_data(struct owner *o, struct str bytes)
{
    (void)bytes;
    conn_hold(o->c, true);
    loop_stop(o->l);
}

/* Runs until the peer could send no more for a while. */
static size_t run_until_stuck(struct world *w, struct pushing *x)
{
    size_t last = 0;
    for (int still = 0; still < 5; run_for(w->l, 20)) {
        size_t now = atomic_load(&x->sent);
        still = now == last ? still + 1 : 0;
        last = now;
    }
    return last;
}

static void a_held_connection_lets_its_peer_wait(void **state)
{
    (void)state;
    struct world w;
    struct peer p;
    struct pushing x;
    atomic_init(&x.sent, 0);
    world_open(&w, NULL);
    peer_start(&p, talk_push, &x);
    w.o.when_data = hold_at_data;
    dial(&w, "127.0.0.1", p.port, 5000);
    for (int i = 1; i <= 3; i++) {
        run_guarded(w.l);
        assert_int_equal(w.o.datas, i); /* at once: not even what lies there already */
        size_t got = w.o.got.n;
        assert_true(run_until_stuck(&w, &x) < PUSHED);
        assert_int_equal(w.o.got.n, got);
        assert_int_equal(w.o.closed, 0);
        conn_hold(w.o.c, true); /* once more changes nothing */
        conn_hold(w.o.c, false);
    }
    w.o.when_data = NULL;
    run_guarded(w.l); /* to the end, which comes behind all bytes */
    assert_int_equal(w.o.closed, 1);
    assert_int_equal(w.o.failure.cause, CONN_CAUSE_PEER_CLOSED);
    assert_int_equal(w.o.got.n, PUSHED);
    for (size_t i = 0; i < PUSHED; i++)
        if (w.o.got.p[i] != (char)(i * 2654435761u >> 13))
            fail_msg("byte %zu is another", i);
    peer_stop(&p);
    world_close(&w);
}

static void hold_and_say(struct owner *o)
{
    conn_hold(o->c, true);
    say_hello(o);
}

/* Held before anything came: what we say still goes out; and a held one can be closed. */
static void holding_stops_reading_only(void **state)
{
    (void)state;
    struct world w;
    struct peer p;
    for (int i = 0; i < 2; i++) {
        world_open(&w, NULL);
        peer_start(&p, talk_answer_once, NULL);
        w.o.when_open = hold_and_say;
        w.o.stop_on_open = true;
        dial(&w, "127.0.0.1", p.port, 5000);
        run_guarded(w.l);
        run_for(w.l, 50);
        assert_int_equal(w.o.datas + w.o.closed, 0);
        if (i == 0) {
            conn_hold(w.o.c, false);
            run_guarded(w.l);
            assert_true(str_is(buf_str(&w.o.got), "hello there"));
        }
        conn_close(&w.o.c);
        peer_stop(&p);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_and_come_then_the_end),
        cmocka_unit_test(localhost_needs_no_dns),
        cmocka_unit_test(a_refused_connection_says_so),
        cmocka_unit_test(a_black_hole_ends_at_the_deadline),
        cmocka_unit_test(an_open_connection_outlives_its_deadline),
        cmocka_unit_test(a_250_before_the_reset_is_read_first),
        cmocka_unit_test(much_goes_both_ways_unharmed),
        cmocka_unit_test(closing_is_safe_in_every_callback),
        cmocka_unit_test(closing_is_safe_in_on_close_and_before_the_start),
        cmocka_unit_test(names_that_give_nothing),
        cmocka_unit_test(names_lead_to_whichever_address_works),
        cmocka_unit_test(a_dead_family_is_passed_and_remembered),
        cmocka_unit_test(refusals_of_all_addresses_are_counted),
        cmocka_unit_test(an_accepted_connection_serves),
        cmocka_unit_test(a_held_connection_lets_its_peer_wait),
        cmocka_unit_test(holding_stops_reading_only),
        cmocka_unit_test(bad_configuration_is_refused),
    };
    return cmocka_run_group_tests_name("net_conn", tests, NULL, NULL);
}
