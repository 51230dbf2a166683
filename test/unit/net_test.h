/* Shared by the tests of net/: an owner of one connection that notes what it is told, a peer that
 * serves on a thread with plain blocking calls, and a small DNS server with switchable answers. All
 * on loopback, on ports the kernel picks. Every loop_run is under a guard that fails the test. */
#ifndef TEST_NET_TEST_H
#define TEST_NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "net/conn.h"
#include "net/loop.h"

#define UNUSED __attribute__((unused))

/* ---- the owner of a connection ---- */

struct owner {
    struct loop *l;
    struct net *net;
    struct conn *c;
    struct buf got;
    int opened, tls_answers, writables, closed, datas;
    bool tls_ok;
    struct conn_failure failure, tls_failure;
    void (*when_open)(struct owner *o);
    void (*when_tls)(struct owner *o);
    void (*when_data)(struct owner *o, struct str bytes);
    void (*when_writable)(struct owner *o);
    bool stop_on_open;
    void *more;
};

static UNUSED void owner_opened(void *arg)
{
    struct owner *o = arg;
    o->opened++;
    if (o->when_open)
        o->when_open(o);
    if (o->stop_on_open)
        loop_stop(o->l);
}

static UNUSED void owner_tls(void *arg, bool ok, const struct conn_failure *f)
{
    struct owner *o = arg;
    o->tls_answers++;
    o->tls_ok = ok;
    if (!ok)
        o->tls_failure = *f;
    if (o->when_tls)
        o->when_tls(o);
}

static UNUSED void owner_data(void *arg, struct str bytes)
{
    struct owner *o = arg;
    o->datas++;
    assert_int_equal(o->closed, 0);
    assert_in_range(bytes.n, 1, 65536);
    assert_true(buf_addstr(&o->got, bytes));
    if (o->when_data)
        o->when_data(o, bytes);
}

static UNUSED void owner_writable(void *arg)
{
    struct owner *o = arg;
    o->writables++;
    if (o->when_writable)
        o->when_writable(o);
}

static UNUSED void owner_closed(void *arg, const struct conn_failure *f)
{
    struct owner *o = arg;
    o->closed++;
    o->failure = *f;
    loop_stop(o->l);
}

static UNUSED const struct conn_handler owner_handler = {.on_open = owner_opened,
                                                         .on_tls = owner_tls,
                                                         .on_data = owner_data,
                                                         .on_writable = owner_writable,
                                                         .on_close = owner_closed};

static UNUSED void owner_init(struct owner *o, struct loop *l, struct net *n)
{
    *o = (struct owner){.l = l, .net = n};
    buf_init(&o->got, 256u << 20);
}

static UNUSED void owner_done(struct owner *o)
{
    conn_close(&o->c);
    buf_free(&o->got);
}

static UNUSED void on_guard(void *arg)
{
    (void)arg;
    fail_msg("%s", "the loop was not stopped within 30 s");
}

static UNUSED void run_guarded(struct loop *l)
{
    struct timer *guard = timer_new(l, on_guard, NULL);
    timer_at(guard, clock_boot_ms() + 30000);
    loop_run(l);
    timer_free(&guard);
}

static UNUSED void on_pass(void *arg)
{
    loop_stop(arg);
}

/* Lets the loop run for a moment: to see that something does not happen, or to let a close out. */
static UNUSED void run_for(struct loop *l, int ms)
{
    struct timer *t = timer_new(l, on_pass, l);
    timer_at(t, clock_boot_ms() + ms);
    run_guarded(l);
    timer_free(&t);
}

/* ---- a listening socket and a peer behind it ---- */

static UNUSED int listen_on(const char *address, uint16_t *port, int backlog)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t n = sizeof a.v4;
    int on = 1;
    memset(&a, 0, sizeof a);
    if (inet_pton(AF_INET, address, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(*port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &a.v6.sin6_addr), 1);
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(*port);
        n = sizeof a.v6;
    }
    int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &a.sa, n) != 0 || listen(fd, backlog) != 0) {
        close(fd);
        return -1;
    }
    n = sizeof a;
    assert_int_equal(getsockname(fd, &a.sa, &n), 0);
    *port = ntohs(a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    return fd;
}

struct peer {
    int fd;
    uint16_t port;
    pthread_t thread;
    void (*talk)(struct peer *p, int fd); /* closes fd itself or leaves it to the peer */
    atomic_int accepted;
    atomic_bool stop;
    sem_t go, ready;
    void *more;
};

static UNUSED void *peer_main(void *arg)
{
    struct peer *p = arg;
    while (!atomic_load(&p->stop)) {
        struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
        if (poll(&pfd, 1, 20) <= 0)
            continue;
        int fd = accept(p->fd, NULL, NULL);
        if (fd < 0)
            continue;
        int on = 1; /* or Nagle would keep back what a reset then discards */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        atomic_fetch_add(&p->accepted, 1);
        p->talk(p, fd);
    }
    return NULL;
}

static UNUSED void peer_start_on(struct peer *p, const char *address, uint16_t port,
                                 void (*talk)(struct peer *p, int fd), void *more)
{
    p->port = port;
    p->talk = talk;
    p->more = more;
    atomic_init(&p->accepted, 0);
    atomic_init(&p->stop, false);
    sem_init(&p->go, 0, 0);
    sem_init(&p->ready, 0, 0);
    p->fd = listen_on(address, &p->port, 64);
    assert_true(p->fd >= 0);
    assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

static UNUSED void peer_start(struct peer *p, void (*talk)(struct peer *p, int fd), void *more)
{
    peer_start_on(p, "127.0.0.1", 0, talk, more);
}

static UNUSED void peer_stop(struct peer *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    close(p->fd);
    sem_destroy(&p->go);
    sem_destroy(&p->ready);
}

static UNUSED void write_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
        if (w <= 0)
            return;
        at += w;
        n -= (size_t)w;
    }
}

static UNUSED void talk_echo(struct peer *p, int fd)
{
    char b[4096];
    ssize_t n;
    (void)p;
    while ((n = read(fd, b, sizeof b)) > 0)
        write_all(fd, b, (size_t)n);
    close(fd);
}

static UNUSED void close_with_reset(int fd)
{
    struct linger l = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(fd);
}

/* A black hole: a listener nobody accepts from, its backlog full, so that the kernel drops what
 * asks for a connection. */
struct hole {
    int fd;
    int fillers[8];
    uint16_t port;
};

static UNUSED void hole_open(struct hole *h, const char *address, uint16_t port)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } a;
    socklen_t n = sizeof a;
    h->port = port;
    h->fd = listen_on(address, &h->port, 0);
    assert_true(h->fd >= 0);
    assert_int_equal(getsockname(h->fd, &a.sa, &n), 0);
    for (int i = 0; i < 8; i++) {
        h->fillers[i] = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(h->fillers[i], &a.sa, n) == 0)
            continue;
        struct pollfd pfd = {.fd = h->fillers[i], .events = POLLOUT};
        poll(&pfd, 1, 50);
    }
}

static UNUSED void hole_close(struct hole *h)
{
    for (int i = 0; i < 8; i++)
        close(h->fillers[i]);
    close(h->fd);
}

/* ---- a DNS server ---- */

enum fake_how { FAKE_ANSWER, FAKE_NO_NAME, FAKE_NO_DATA, FAKE_BROKEN, FAKE_SILENT };

struct fake_rule {
    const char *name; /* NULL ends the table */
    int type;         /* 1 A, 28 AAAA */
    enum fake_how how;
    uint32_t ttl;
    const char *addresses[20];
};

struct fake_dns {
    int fd;
    char servers[64];
    pthread_t thread;
    const struct fake_rule *rules;
    atomic_bool stop;
    atomic_int asked;
    atomic_int everything; /* an enum fake_how over all rules, or -1 */
};

static UNUSED const struct fake_rule *fake_find(struct fake_dns *d, const char *name, int type)
{
    static const struct fake_rule none = {.how = FAKE_NO_NAME};
    for (const struct fake_rule *r = d->rules; r->name; r++)
        if (strcmp(r->name, name) == 0 && r->type == type)
            return r;
    return &none;
}

static UNUSED size_t fake_name(const uint8_t *q, size_t n, char name[256])
{
    size_t at = 12, out = 0;
    while (at < n && q[at] != 0 && out + q[at] + 2 < 256) {
        if (out > 0)
            name[out++] = '.';
        memcpy(name + out, q + at + 1, q[at]);
        out += q[at];
        at += q[at] + 1u;
    }
    name[out] = '\0';
    return at + 1;
}

static UNUSED size_t fake_add(uint8_t *a, size_t at, const struct fake_rule *r, const char *address)
{
    uint32_t ttl = htonl(r->ttl);
    uint8_t size = r->type == 1 ? 4 : 16;
    const uint8_t head[] = {0xc0, 12, 0, (uint8_t)r->type, 0, 1};
    memcpy(a + at, head, 6);
    memcpy(a + at + 6, &ttl, 4);
    a[at + 10] = 0;
    a[at + 11] = size;
    inet_pton(size == 4 ? AF_INET : AF_INET6, address, a + at + 12);
    return at + 12 + size;
}

static UNUSED void fake_reply(struct fake_dns *d, const uint8_t *q, size_t n,
                              const struct sockaddr_in *from)
{
    uint8_t a[1024] = {0};
    char name[256];
    size_t at = fake_name(q, n, name) + 4;
    int type = q[at - 3];
    const struct fake_rule *r = fake_find(d, name, type);
    int over = atomic_load(&d->everything);
    int how = over >= 0 ? over : (int)r->how;
    atomic_fetch_add(&d->asked, 1);
    if (how == FAKE_SILENT)
        return;
    memcpy(a, q, at);
    a[2] = 0x81;
    a[3] = how == FAKE_NO_NAME ? 0x83 : how == FAKE_BROKEN ? 0x82 : 0x80;
    memset(a + 6, 0, 6);
    if (how == FAKE_ANSWER)
        for (int i = 0; i < 20 && r->addresses[i]; i++, a[7]++)
            at = fake_add(a, at, r, r->addresses[i]);
    sendto(d->fd, a, at, 0, (const struct sockaddr *)from, sizeof *from);
}

static UNUSED void *fake_main(void *arg)
{
    struct fake_dns *d = arg;
    while (!atomic_load(&d->stop)) {
        uint8_t q[512];
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        struct pollfd pfd = {.fd = d->fd, .events = POLLIN};
        if (poll(&pfd, 1, 20) <= 0)
            continue;
        ssize_t n = recvfrom(d->fd, q, sizeof q, 0, (struct sockaddr *)&from, &size);
        if (n > 16)
            fake_reply(d, q, (size_t)n, &from);
    }
    return NULL;
}

static UNUSED void fake_start(struct fake_dns *d, const struct fake_rule *rules)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    d->rules = rules;
    atomic_init(&d->stop, false);
    atomic_init(&d->asked, 0);
    atomic_init(&d->everything, -1);
    d->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(d->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(d->fd, (struct sockaddr *)&a, &n), 0);
    snprintf(d->servers, sizeof d->servers, "127.0.0.1:%u", (unsigned)ntohs(a.sin_port));
    assert_int_equal(pthread_create(&d->thread, NULL, fake_main, d), 0);
}

static UNUSED void fake_stop(struct fake_dns *d)
{
    atomic_store(&d->stop, true);
    pthread_join(d->thread, NULL);
    close(d->fd);
}

#endif
