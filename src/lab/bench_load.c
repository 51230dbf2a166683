/* A load of mail by SMTP, as applications bring it: many connections, several messages on each,
 * MAIL RCPT DATA in one write where the reply to the last dot is in, PLAIN where a login is given.
 * One thread, one epoll; the same for whoever listens, so that two servers can be compared. Gives
 * up at the first refusal and says its words. */
#include "lab/bench_inner.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS     64
#define QUIET_MS   30000
#define LINE_BYTES 76
#define HEAD_MAX   1024

enum load_step { LOAD_GREETING, LOAD_EHLO, LOAD_LOGIN, LOAD_ENVELOPE, LOAD_BODY, LOAD_QUIT };

struct load_conn {
    int fd; /* -1: none */
    enum load_step step;
    int awaited; /* replies */
    size_t column;
    bool continues;  /* the line goes on with another */
    char words[200]; /* of the line that comes in */
    char head[HEAD_MAX];
    struct iovec left[2]; /* to be written */
    uint64_t number, given;
    int64_t dot_us;
};

struct load_run {
    const struct bench_load *l;
    struct load_conn *conns;
    struct buf body; /* ends with the dot */
    char login[400];
    uint32_t *took_us; /* by message: from its last bytes to the 250 */
    uint64_t begun, done;
    int epoll_fd;
    struct err error;
};

static bool refused(struct load_run *r, const struct load_conn *c)
{
    static const char *const steps[] = {"the greeting", "EHLO",    "AUTH",
                                        "the envelope", "the dot", "QUIT"};
    return err_set(&r->error, ERR_FAILED, "port %u refused %s: %.150s", r->l->port, steps[c->step],
                   c->words);
}

static bool watch(struct load_run *r, struct load_conn *c, bool writing)
{
    struct epoll_event ev = {.events = EPOLLIN | (writing ? EPOLLOUT : 0U), .data.ptr = c};
    return epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) == 0;
}

static void wrote(struct load_conn *c, size_t n)
{
    for (size_t i = 0; i < 2; i++) {
        size_t k = MIN(n, c->left[i].iov_len);
        c->left[i].iov_base = (char *)c->left[i].iov_base + k;
        c->left[i].iov_len -= k;
        n -= k;
    }
}

static bool flush(struct load_run *r, struct load_conn *c, bool was_waiting)
{
    while (c->left[0].iov_len + c->left[1].iov_len) {
        struct msghdr m = {.msg_iov = c->left, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return was_waiting || watch(r, c, true);
        if (n < 0 && errno != EINTR)
            return err_set(&r->error, ERR_FAILED, "port %u: %s", r->l->port, strerror(errno));
        wrote(c, n > 0 ? (size_t)n : 0);
    }
    return !was_waiting || watch(r, c, false);
}

static bool say(struct load_run *r, struct load_conn *c, enum load_step step, size_t head_n,
                struct str tail, int awaited)
{
    c->step = step;
    c->awaited = awaited;
    c->left[0] = (struct iovec){c->head, head_n};
    c->left[1] = (struct iovec){(void *)(uintptr_t)tail.p, tail.n};
    return flush(r, c, false);
}

static bool say_text(struct load_run *r, struct load_conn *c, enum load_step step, const char *text,
                     int awaited)
{
    return say(r, c, step, (size_t)snprintf(c->head, HEAD_MAX, "%s", text), STR_NONE, awaited);
}

static bool connect_one(struct load_run *r, struct load_conn *c)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(r->l->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    *c = (struct load_conn){.step = LOAD_GREETING, .awaited = 1};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
        epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) == 0)
        return true;
    return err_set(&r->error, ERR_FAILED, "port %u: %s", r->l->port, strerror(errno));
}

static void hang_up(struct load_conn *c)
{
    close(c->fd);
    c->fd = -1;
}

/* ---- the conversation */

static bool envelope(struct load_run *r, struct load_conn *c)
{
    c->number = r->begun++;
    c->given++;
    int n =
        snprintf(c->head, HEAD_MAX,
                 "MAIL FROM:<shop@shop.example>\r\nRCPT TO:<reader%llu@r%llu.example>\r\n"
                 "DATA\r\n",
                 (unsigned long long)c->number, (unsigned long long)(c->number % r->l->domains));
    return say(r, c, LOAD_ENVELOPE, (size_t)n, STR_NONE, 3);
}

static bool body(struct load_run *r, struct load_conn *c)
{
    unsigned long long number = c->number, domain = c->number % r->l->domains;
    int n = snprintf(c->head, HEAD_MAX,
                     "Date: Sun, 22 Nov 2026 08:00:00 +0000\r\n"
                     "Message-ID: <%llu.%llx@shop.example>\r\nFrom: Shop <shop@shop.example>\r\n"
                     "To: <reader%llu@r%llu.example>\r\nSubject: Your order %llu\r\n"
                     "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
                     number, (unsigned long long)(uintptr_t)r ^ number, number, domain, number);
    c->dot_us = clock_boot_us();
    return say(r, c, LOAD_BODY, (size_t)n, buf_str(&r->body), 1);
}

static bool next_mail(struct load_run *r, struct load_conn *c)
{
    if (r->begun < r->l->messages && c->given < r->l->per_connection)
        return envelope(r, c);
    return say_text(r, c, LOAD_QUIT, "QUIT\r\n", 1);
}

static bool next_step(struct load_run *r, struct load_conn *c)
{
    switch (c->step) {
    case LOAD_GREETING: return say_text(r, c, LOAD_EHLO, "EHLO bench.example\r\n", 1);
    case LOAD_EHLO: return r->login[0] ? say_text(r, c, LOAD_LOGIN, r->login, 1) : next_mail(r, c);
    case LOAD_LOGIN: return next_mail(r, c);
    case LOAD_ENVELOPE: return body(r, c);
    case LOAD_BODY:
        r->took_us[c->number] = (uint32_t)(clock_boot_us() - c->dot_us);
        r->done++;
        return next_mail(r, c);
    case LOAD_QUIT: break;
    }
    hang_up(c);
    return r->begun >= r->l->messages || connect_one(r, c);
}

static bool take(struct load_run *r, struct load_conn *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n && c->fd >= 0; i++) {
        if (c->column < sizeof(c->words) - 1 && p[i] != '\r' && p[i] != '\n') {
            c->words[c->column] = p[i];
            c->words[c->column + 1] = '\0';
        }
        if (c->column == 3)
            c->continues = p[i] == '-';
        c->column++;
        if (p[i] != '\n')
            continue;
        c->column = 0;
        if (c->words[0] >= '4')
            return refused(r, c);
        if (!c->continues && --c->awaited == 0 && !next_step(r, c))
            return false;
    }
    return true;
}

static bool serve(struct load_run *r, struct load_conn *c, uint32_t events)
{
    char in[4096];
    if (events & EPOLLOUT && !flush(r, c, true))
        return false;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return true;
    ssize_t n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return err_set(&r->error, ERR_FAILED, "port %u closed the connection: %.150s", r->l->port,
                       c->words);
    return take(r, c, in, (size_t)n);
}

static bool turn(struct load_run *r)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(r->epoll_fd, events, EVENTS, QUIET_MS);
    if (n == 0)
        return err_set(&r->error, ERR_FAILED, "port %u is silent", r->l->port);
    for (int i = 0; i < n; i++)
        if (!serve(r, events[i].data.ptr, events[i].events))
            return false;
    return true;
}

/* ---- */

static void build(struct load_run *r)
{
    char line[LINE_BYTES + 3];
    snprintf(line, sizeof(line), "%0*d\r\n", LINE_BYTES, 7);
    buf_init(&r->body, r->l->body + 1024);
    while (r->body.n + LINE_BYTES + 2 < r->l->body)
        (void)buf_adds(&r->body, line);
    (void)buf_adds(&r->body, ".\r\n");
    if (!r->l->user)
        return;
    struct buf plain, login;
    buf_init(&plain, 300);
    buf_init(&login, sizeof(r->login));
    (void)(buf_addc(&plain, 0) && buf_adds(&plain, r->l->user) && buf_addc(&plain, 0) &&
           buf_adds(&plain, r->l->password) && buf_adds(&login, "AUTH PLAIN ") &&
           codec_base64_add(&login, plain.p, plain.n) && buf_adds(&login, "\r\n"));
    (void)str_copy(buf_str(&login), r->login, sizeof(r->login));
    buf_free(&plain);
    buf_free(&login);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void figures(struct load_run *r, struct bench_loaded *out)
{
    uint64_t n = r->done;
    out->end_us = clock_boot_us();
    if (n == 0)
        return;
    qsort(r->took_us, n, sizeof(*r->took_us), by_size);
    out->rate = (double)r->done * 1e6 / (double)MAX(out->end_us - out->start_us, (int64_t)1);
    out->p50_ms = r->took_us[n / 2] / 1e3;
    out->p99_ms = r->took_us[n * 99 / 100] / 1e3;
}

bool bench_load_run(const struct bench_load *l, struct bench_loaded *out, struct err *e)
{
    struct load_run r = {.l = l, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    bool ok = true;
    r.conns = alloc_many(struct load_conn, l->connections);
    r.took_us = alloc_many(uint32_t, l->messages + 1);
    build(&r);
    *out = (struct bench_loaded){.start_us = clock_boot_us()};
    for (uint64_t i = 0; i < l->connections; i++)
        r.conns[i].fd = -1;
    for (uint64_t i = 0; ok && i < l->connections; i++)
        ok = connect_one(&r, &r.conns[i]);
    while (ok && r.done < l->messages && !bench_asked_to_end)
        ok = turn(&r);
    figures(&r, out);
    for (uint64_t i = 0; i < l->connections; i++)
        if (r.conns[i].fd >= 0)
            close(r.conns[i].fd);
    close(r.epoll_fd);
    free(r.conns);
    free(r.took_us);
    buf_free(&r.body);
    if (!ok)
        *e = r.error;
    return ok;
}
