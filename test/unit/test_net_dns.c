/* Names against a small server on loopback: cache, denial, stale answers when the server fails,
 * patience, bounds, sharing of one query, the hosts file, cancelling; malformed replies. */
#include "net_test.h"

#include <fcntl.h>

#include "net/dns.h"

struct asker {
    struct loop *l;
    int answers;
    struct dns_answer last;
    struct dns_record records[DNS_RECORDS_MAX];
    int want;
};

static void on_answer(void *arg, const struct dns_answer *a)
{
    struct asker *k = arg;
    k->last = *a;
    assert_true(a->n <= DNS_RECORDS_MAX);
    if (a->n > 0)
        memcpy(k->records, a->records, a->n * sizeof *a->records);
    if (++k->answers == k->want)
        loop_stop(k->l);
}

static const struct fake_rule rules[] = {
    {"long.example", 1, FAKE_ANSWER, 600, {"192.0.2.1", "192.0.2.2"}},
    {"long.example", 28, FAKE_ANSWER, 600, {"2001:db8::1"}},
    {"short.example", 1, FAKE_ANSWER, 0, {"192.0.2.9"}},
    {"none.example", 1, FAKE_NO_DATA, 60, {NULL}},
    {"mute.example", 1, FAKE_SILENT, 60, {NULL}},
    {"many.example", 1, FAKE_ANSWER, 60, {"192.0.2.1",  "192.0.2.2",  "192.0.2.3",  "192.0.2.4",
                                          "192.0.2.5",  "192.0.2.6",  "192.0.2.7",  "192.0.2.8",
                                          "192.0.2.9",  "192.0.2.10", "192.0.2.11", "192.0.2.12",
                                          "192.0.2.13", "192.0.2.14", "192.0.2.15", "192.0.2.16",
                                          "192.0.2.17", "192.0.2.18", "192.0.2.19", "192.0.2.20"}},
    {NULL, 0, FAKE_NO_NAME, 0, {NULL}},
};

struct world {
    struct loop *l;
    struct dns *d;
    struct fake_dns fake;
    struct asker k;
    char hosts[64];
};

static void write_hosts(struct world *w, const char *text)
{
    int fd = open(w->hosts, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void world_open(struct world *w, int timeout_ms)
{
    struct err e;
    memset(w, 0, sizeof *w);
    snprintf(w->hosts, sizeof w->hosts, "/tmp/test_net_dns.XXXXXX");
    close(mkstemp(w->hosts));
    write_hosts(w, "# nothing\n127.0.0.1 localhost\n 192.0.2.77\tInHosts alias # x\n"
                   "2001:db8::77 inhosts\nnonsense\n300.1.1.1 broken\n192.0.2.78 inhosts\n");
    fake_start(&w->fake, rules);
    w->l = loop_new();
    struct dns_config cfg = {
        .servers = w->fake.servers, .timeout_ms = timeout_ms, .hosts_file = w->hosts};
    w->d = dns_new(w->l, &cfg, &e);
    assert_non_null(w->d);
    w->k.l = w->l;
}

static void world_close(struct world *w)
{
    dns_free(&w->d);
    loop_free(&w->l);
    fake_stop(&w->fake);
    unlink(w->hosts);
}

static void ask(struct world *w, const char *name, enum dns_type type)
{
    w->k.answers = 0;
    w->k.want = 1;
    struct dns_question *q = dns_ask(w->d, name, type, on_answer, &w->k);
    assert_non_null(q);
    assert_int_equal(w->k.answers, 0);
    run_guarded(w->l);
    assert_int_equal(w->k.answers, 1);
}

static void expect(struct world *w, enum dns_status status, size_t n, const char *first)
{
    char text[INET6_ADDRSTRLEN];
    assert_int_equal(w->k.last.status, status);
    assert_int_equal(w->k.last.n, n);
    if (n == 0)
        return;
    inet_ntop(w->k.last.type == DNS_A ? AF_INET : AF_INET6, w->k.records[0].address, text,
              sizeof text);
    assert_string_equal(text, first);
}

static void answers_are_kept_for_their_time(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2000);
    for (int i = 0; i < 3; i++) {
        ask(&w, "long.example", DNS_A);
        expect(&w, DNS_FOUND, 2, "192.0.2.1");
        ask(&w, "LONG.Example.", DNS_AAAA);
        expect(&w, DNS_FOUND, 1, "2001:db8::1");
    }
    assert_int_equal(atomic_load(&w.fake.asked), 2);
    assert_int_equal(dns_count(w.d).hits, 4);
    world_close(&w);
}

static void denials_are_kept_for_a_while(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2000);
    for (int i = 0; i < 3; i++) {
        ask(&w, "nowhere.example", DNS_A);
        expect(&w, DNS_NOT_FOUND, 0, NULL);
        ask(&w, "none.example", DNS_A);
        expect(&w, DNS_NOT_FOUND, 0, NULL);
    }
    assert_int_equal(atomic_load(&w.fake.asked), 2);
    world_close(&w);
}

static void a_stale_answer_is_better_than_none(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 1000);
    ask(&w, "short.example", DNS_A);
    expect(&w, DNS_FOUND, 1, "192.0.2.9");
    assert_false(w.k.last.stale);
    atomic_store(&w.fake.everything, FAKE_BROKEN);
    run_for(w.l, 1100); /* the shortest time an answer is kept */
    ask(&w, "short.example", DNS_A);
    expect(&w, DNS_FOUND, 1, "192.0.2.9");
    assert_true(w.k.last.stale);
    int asked = atomic_load(&w.fake.asked);
    ask(&w, "short.example", DNS_A); /* and the server is left alone now */
    assert_true(w.k.last.stale);
    assert_int_equal(atomic_load(&w.fake.asked), asked);
    ask(&w, "long.example", DNS_A);
    expect(&w, DNS_FAILED, 0, NULL);
    atomic_store(&w.fake.everything, -1);
    ask(&w, "long.example", DNS_A); /* a failure is not remembered */
    expect(&w, DNS_FOUND, 2, "192.0.2.1");
    world_close(&w);
}

static void patience_has_an_end(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 300);
    ask(&w, "mute.example", DNS_A);
    expect(&w, DNS_FAILED, 0, NULL);
    ask(&w, "mute.example", DNS_A); /* while c-ares still waits for the first */
    expect(&w, DNS_FAILED, 0, NULL);
    world_close(&w);
}

static void answers_are_bounded(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2000);
    ask(&w, "many.example", DNS_A);
    expect(&w, DNS_FOUND, DNS_RECORDS_MAX, "192.0.2.1");
    char name[400];
    memset(name, 'a', sizeof name);
    name[399] = '\0';
    ask(&w, name, DNS_A);
    expect(&w, DNS_NOT_FOUND, 0, NULL);
    ask(&w, "a..b", DNS_A);
    expect(&w, DNS_NOT_FOUND, 0, NULL);
    ask(&w, "", DNS_A);
    expect(&w, DNS_NOT_FOUND, 0, NULL);
    world_close(&w);
}

static void equal_questions_share_a_query(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2000);
    struct dns_question *q[50];
    w.k.want = 49;
    for (int i = 0; i < 50; i++)
        q[i] = dns_ask(w.d, "long.example", DNS_A, on_answer, &w.k);
    dns_cancel(&q[7]);
    assert_null(q[7]);
    dns_cancel(&q[7]);
    run_guarded(w.l);
    assert_int_equal(w.k.answers, 49);
    assert_int_equal(atomic_load(&w.fake.asked), 1);
    world_close(&w);
}

static void literals_and_hosts_need_no_server(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2000);
    ask(&w, "192.0.2.200", DNS_A);
    expect(&w, DNS_FOUND, 1, "192.0.2.200");
    ask(&w, "192.0.2.200", DNS_AAAA);
    expect(&w, DNS_NOT_FOUND, 0, NULL);
    ask(&w, "[2001:db8::5]", DNS_AAAA);
    expect(&w, DNS_FOUND, 1, "2001:db8::5");
    ask(&w, "localhost", DNS_A);
    expect(&w, DNS_FOUND, 1, "127.0.0.1");
    ask(&w, "x.localhost", DNS_AAAA);
    expect(&w, DNS_FOUND, 1, "::1");
    ask(&w, "inhosts", DNS_A);
    expect(&w, DNS_FOUND, 2, "192.0.2.77");
    ask(&w, "INHOSTS", DNS_AAAA);
    expect(&w, DNS_FOUND, 1, "2001:db8::77");
    ask(&w, "alias", DNS_AAAA);
    expect(&w, DNS_NOT_FOUND, 0, NULL);
    assert_int_equal(atomic_load(&w.fake.asked), 0);
    world_close(&w);
}

static void freeing_drops_what_is_open(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, 2000);
    for (int i = 0; i < 3; i++) {
        struct dns_question *q =
            dns_ask(w.d, i == 2 ? "localhost" : "mute.example", DNS_A, on_answer, &w.k);
        assert_non_null(q);
    }
    run_for(w.l, 20); /* the query is out, localhost answered */
    assert_int_equal(w.k.answers, 1);
    struct dns_question *q = dns_ask(w.d, "localhost", DNS_A, on_answer, &w.k);
    assert_non_null(q);
    dns_free(&w.d);
    run_for(w.l, 20);
    assert_int_equal(w.k.answers, 1);
    world_close(&w);
}

/* ---- a server that answers rubbish ---- */

struct rubbish {
    int fd;
    pthread_t thread;
    atomic_bool stop;
    int round;
};

static void *rubbish_main(void *arg)
{
    struct rubbish *r = arg;
    while (!atomic_load(&r->stop)) {
        uint8_t b[512];
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        struct pollfd pfd = {.fd = r->fd, .events = POLLIN};
        if (poll(&pfd, 1, 20) <= 0)
            continue;
        ssize_t n = recvfrom(r->fd, b, sizeof b, 0, (struct sockaddr *)&from, &size);
        if (n < 16)
            continue;
        b[2] = 0x81;
        b[3] = 0x80;
        b[7] = (uint8_t)(1 + r->round); /* answers that are not there */
        if (r->round % 3 == 1)
            n = 12 + r->round % 7; /* cut short */
        if (r->round % 3 == 2) {
            b[n] = 0xc0; /* a name that points at itself */
            b[n + 1] = (uint8_t)n;
            memset(b + n + 2, 0xff, 40);
            n += 42;
        }
        r->round++;
        sendto(r->fd, b, (size_t)n, 0, (struct sockaddr *)&from, sizeof from);
    }
    return NULL;
}

static void rubbish_is_a_failure(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    struct rubbish r = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    struct loop *l = loop_new();
    struct asker k = {.l = l};
    struct err e;
    char servers[64];
    assert_int_equal(bind(r.fd, (struct sockaddr *)&a, sizeof a), 0);
    getsockname(r.fd, (struct sockaddr *)&a, &size);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", (unsigned)ntohs(a.sin_port));
    assert_int_equal(pthread_create(&r.thread, NULL, rubbish_main, &r), 0);
    struct dns_config cfg = {.servers = servers, .timeout_ms = 300};
    struct dns *d = dns_new(l, &cfg, &e);
    for (int i = 0; i < 9; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        k.answers = 0;
        k.want = 1;
        struct dns_question *q = dns_ask(d, name, i % 2 ? DNS_A : DNS_AAAA, on_answer, &k);
        assert_non_null(q);
        run_guarded(l);
        assert_int_not_equal(k.last.status, DNS_FOUND);
        assert_int_equal(k.last.n, 0);
    }
    dns_free(&d);
    loop_free(&l);
    atomic_store(&r.stop, true);
    pthread_join(r.thread, NULL);
    close(r.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_kept_for_their_time),
        cmocka_unit_test(denials_are_kept_for_a_while),
        cmocka_unit_test(a_stale_answer_is_better_than_none),
        cmocka_unit_test(patience_has_an_end),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(equal_questions_share_a_query),
        cmocka_unit_test(literals_and_hosts_need_no_server),
        cmocka_unit_test(freeing_drops_what_is_open),
        cmocka_unit_test(rubbish_is_a_failure),
    };
    return cmocka_run_group_tests_name("net_dns", tests, NULL, NULL);
}
