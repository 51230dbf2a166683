/* The baseline of the sending benches: pre-built messages, MAIL RCPT DATA in one write, no content
 * work and no record. In two forms: the next envelope after the answer to the dot, or right behind
 * the dot. One thread, one epoll; speaks to sinks of ours only and gives up at the first refusal.
 */
#include "lab/bench_inner.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS     64
#define QUIET_MS   10000
#define LINE_BYTES 76

static const char hello[] = "EHLO bench.example\r\n";
static const char envelope[] = "MAIL FROM:<news@shop.example> BODY=8BITMIME\r\n"
                               "RCPT TO:<ada.adeyemi@example.com>\r\nDATA\r\n";

enum raw_step { RAW_GREETING, RAW_EHLO, RAW_ENVELOPE, RAW_BODY, RAW_IDLE };

struct raw_conn {
    int fd;
    enum raw_step step;
    int awaited; /* reply lines that end a reply */
    size_t column;
    bool continues; /* the line goes on with another */
    const char *p;  /* left to be written */
    size_t n;
};

struct raw_run {
    const struct bench_raw *c;
    struct raw_conn *conns;
    char *body; /* ends with the dot; behind it the next envelope */
    size_t body_n;
    uint64_t begun, done;
    int epoll_fd;
};

static void build_body(struct raw_run *r)
{
    size_t max = r->c->body + 512 + sizeof(envelope), n = 0;
    r->body = alloc_bytes(max);
    n += (size_t)snprintf(r->body, max,
                          "Message-ID: <1@bench.example>\r\nFrom: news@shop.example\r\n"
                          "To: ada.adeyemi@example.com\r\nSubject: bench\r\n\r\n");
    while (n + LINE_BYTES + 2 < r->c->body + 128) {
        memset(r->body + n, 'x', LINE_BYTES);
        memcpy(r->body + n + LINE_BYTES, "\r\n", 2);
        n += LINE_BYTES + 2;
    }
    memcpy(r->body + n, ".\r\n", 3);
    r->body_n = n + 3;
    memcpy(r->body + r->body_n, envelope, sizeof(envelope) - 1);
}

static bool flush(struct raw_run *r, struct raw_conn *c)
{
    bool was_waiting = false;
    while (c->n) {
        ssize_t n = send(c->fd, c->p, c->n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            was_waiting = true;
            break;
        }
        if (n < 0 && errno != EINTR)
            return false;
        c->p += n > 0 ? n : 0;
        c->n -= n > 0 ? (size_t)n : 0;
    }
    struct epoll_event ev = {.events = EPOLLIN | (was_waiting ? EPOLLOUT : 0U), .data.ptr = c};
    return !was_waiting || epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) == 0;
}

static bool say(struct raw_run *r, struct raw_conn *c, const char *p, size_t n, int awaited)
{
    c->p = p;
    c->n = n;
    c->awaited = awaited;
    return flush(r, c);
}

/* All replies of a step are in. */
static bool next_step(struct raw_run *r, struct raw_conn *c)
{
    bool more;
    switch (c->step) {
    case RAW_GREETING: c->step = RAW_EHLO; return say(r, c, hello, sizeof(hello) - 1, 1);
    case RAW_BODY: r->done++; break;
    case RAW_ENVELOPE:
        c->step = RAW_BODY;
        more = r->c->ahead && r->begun < r->c->messages;
        if (!more)
            return say(r, c, r->body, r->body_n, 1);
        /* The dot's answer and the three of the next envelope come together. */
        r->begun++;
        return say(r, c, r->body, r->body_n + sizeof(envelope) - 1, 4);
    default: break;
    }
    if (r->begun >= r->c->messages) {
        c->step = RAW_IDLE;
        return true;
    }
    r->begun++;
    c->step = RAW_ENVELOPE;
    return say(r, c, envelope, sizeof(envelope) - 1, 3);
}

static bool answered(struct raw_run *r, struct raw_conn *c)
{
    if (c->step == RAW_BODY && c->awaited == 3) { /* of four: the dot's; the envelope's follow */
        r->done++;
        c->step = RAW_ENVELOPE;
    }
    return c->awaited > 0 || next_step(r, c);
}

static bool take(struct raw_run *r, struct raw_conn *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c->column == 0 && p[i] >= '4')
            return false;
        if (c->column == 3)
            c->continues = p[i] == '-';
        c->column++;
        if (p[i] != '\n')
            continue;
        c->column = 0;
        if (!c->continues && c->awaited > 0) {
            c->awaited--;
            if (!answered(r, c))
                return false;
        }
    }
    return true;
}

static bool serve(struct raw_run *r, struct raw_conn *c, uint32_t events)
{
    char in[4096];
    if (events & EPOLLOUT) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0 || !flush(r, c))
            return false;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return true;
    ssize_t n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    return n > 0 && take(r, c, in, (size_t)n);
}

static bool connect_all(struct raw_run *r, struct err *e)
{
    for (uint64_t i = 0; i < r->c->connections; i++) {
        struct raw_conn *c = &r->conns[i];
        struct sockaddr_in sa = {.sin_family = AF_INET,
                                 .sin_port = htons(r->c->ports[i % r->c->n_ports]),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        int on = 1;
        c->awaited = 1;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
            epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0)
            return err_set(e, ERR_FAILED, "raw writer: %s", strerror(errno));
    }
    return true;
}

static bool turn(struct raw_run *r, struct err *e)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(r->epoll_fd, events, EVENTS, QUIET_MS);
    if (n == 0)
        return err_set(e, ERR_FAILED, "raw writer: the sink is silent");
    for (int i = 0; i < n; i++)
        if (!serve(r, events[i].data.ptr, events[i].events))
            return err_set(e, ERR_FAILED, "raw writer: the sink refused or broke off");
    return true;
}

bool bench_raw_run(const struct bench_raw *c, double *rate_out, struct err *e)
{
    struct raw_run r = {.c = c, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    r.conns = alloc_many(struct raw_conn, c->connections);
    for (uint64_t i = 0; i < c->connections; i++)
        r.conns[i].fd = -1;
    build_body(&r);
    bool ok = connect_all(&r, e);
    int64_t start = clock_boot_us();
    while (ok && r.done < c->messages && !bench_asked_to_end)
        ok = turn(&r, e);
    *rate_out = (double)r.done * 1e6 / (double)MAX(clock_boot_us() - start, (int64_t)1);
    for (uint64_t i = 0; i < c->connections; i++)
        if (r.conns[i].fd >= 0)
            close(r.conns[i].fd);
    close(r.epoll_fd);
    free(r.conns);
    free(r.body);
    return ok;
}
