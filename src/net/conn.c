/* The life of a connection: states, deadline, closing, and what all of a loop share (struct net).
 *
 *   NEW -> DIALING -> [QUEUED -> SHAKING] -> OPEN -> [QUEUED -> SHAKING -> OPEN] -> DEAD
 *
 * The owner may close in any callback: memory goes when the last call of ours on the stack
 * returns. Nothing calls back from inside a call of the owner; failures found there are told in
 * the next turn (conn_fail_later). */
#include "net/conn.h"

#include <errno.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "net/conn_inner.h"

static const char *const state_names[CONN_STATES] = {
    [CONN_NEW] = "new",         [CONN_DIALING] = "dialing", [CONN_QUEUED] = "queued",
    [CONN_SHAKING] = "shaking", [CONN_OPEN] = "open",       [CONN_DEAD] = "dead",
};

static const unsigned allowed_from[CONN_STATES] = {
    [CONN_DIALING] = 1u << CONN_NEW,
    [CONN_QUEUED] = 1u << CONN_DIALING | 1u << CONN_OPEN,
    [CONN_SHAKING] = 1u << CONN_QUEUED,
    [CONN_OPEN] = 1u << CONN_NEW | 1u << CONN_DIALING | 1u << CONN_SHAKING,
    [CONN_DEAD] = 1u << CONN_NEW | 1u << CONN_DIALING | 1u << CONN_QUEUED | 1u << CONN_SHAKING |
                  1u << CONN_OPEN,
};

void conn_set_state(struct conn *c, enum conn_state to)
{
    check(allowed_from[to] & (1u << c->state));
    log_event(LOG_DEBUG, "conn.state", "host=%s from=%s to=%s", c->host ? c->host : "",
              state_names[c->state], state_names[to]);
    c->state = to;
}

/* ---- shared by the connections of a loop ---- */

struct net *net_new(struct loop *l, const struct net_config *cfg)
{
    struct net *n = alloc_one(struct net);
    struct err e;
    struct dns_config dns = {.servers = cfg->dns_servers};
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    n->loop = l;
    n->families = map_str_new();
    list_init(&n->conns);
    list_init(&n->handshakes);
    loop_task_init(&n->handshake_turn, handshakes_turn);
    n->handshakes_per_turn = cfg->handshakes_per_turn ? cfg->handshakes_per_turn : 8;
    n->dns = dns_new(l, &dns, &e);
    n->tls = n->dns ? tls_new(cfg->ca_file, &e) : NULL;
    if (!n->tls) {
        log_event(LOG_ERROR, "net.setup_failed", "error=%s", e.text);
        net_free(&n);
    }
    return n;
}

struct dns *net_dns(struct net *n)
{
    return n->dns;
}

void net_free(struct net **np)
{
    struct net *n = *np;
    if (!n)
        return;
    check(list_empty(&n->conns)); /* their owners still hold them */
    loop_task_cancel(&n->handshake_turn);
    dns_free(&n->dns);
    tls_free(&n->tls);
    net_families_free(n);
    free(n);
    *np = NULL;
}

void net_describe_address(const union net_address *a, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    out[0] = '\0';
    if (a->sa.sa_family == AF_INET && inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof host))
        snprintf(out, size, "%s:%u", host, (unsigned)ntohs(a->v4.sin_port));
    if (a->sa.sa_family == AF_INET6 && inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof host))
        snprintf(out, size, "[%s]:%u", host, (unsigned)ntohs(a->v6.sin6_port));
}

enum conn_cause net_cause_of(int why)
{
    switch (why) {
    case ECONNREFUSED: return CONN_CAUSE_REFUSED;
    case ETIMEDOUT: return CONN_CAUSE_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED: return CONN_CAUSE_RESET;
    default: return CONN_CAUSE_UNREACHABLE;
    }
}

/* ---- entering and leaving ---- */

void conn_enter(struct conn *c)
{
    c->depth++;
}

void conn_leave(struct conn *c)
{
    if (--c->depth > 0 || !c->gone)
        return;
    free(c->host);
    free(c);
}

/* Lets go of everything but the memory. */
static void conn_release(struct conn *c)
{
    dial_end(c);
    list_remove(&c->queue_link);
    loop_task_cancel(&c->task);
    timer_free(&c->timer);
    tls_end(&c->ssl, c->state == CONN_OPEN && !c->tls_broken && c->unsent_n == 0);
    if (c->session)
        tls_client_done(c->net->tls, &c->peer, &c->session, true);
    sock_close(&c->sock);
    free(c->unsent);
    c->unsent = NULL;
    c->unsent_n = 0;
}

enum conn_stage conn_stage(const struct conn *c)
{
    switch (c->state) {
    case CONN_NEW: return CONN_STAGE_DNS;
    case CONN_DIALING: return c->dial ? CONN_STAGE_CONNECT : CONN_STAGE_DNS;
    case CONN_QUEUED:
    case CONN_SHAKING: return CONN_STAGE_TLS;
    default: return CONN_STAGE_OPEN;
    }
}

void conn_fail_as(struct conn *c, const struct conn_failure *f)
{
    if (c->gone || c->state == CONN_DEAD)
        return;
    bool asked_tls = c->asked_tls && (c->state == CONN_QUEUED || c->state == CONN_SHAKING);
    if (f != &c->failure)
        c->failure = *f;
    conn_release(c);
    conn_set_state(c, CONN_DEAD);
    if (asked_tls && c->handler->on_tls)
        c->handler->on_tls(c->arg, false, &c->failure);
    if (!c->gone && c->handler->on_close)
        c->handler->on_close(c->arg, &c->failure);
}

void conn_fail(struct conn *c, enum conn_stage stage, enum conn_cause cause, const char *fmt, ...)
{
    struct conn_failure f = {.stage = stage, .cause = cause};
    va_list args;
    va_start(args, fmt);
    vsnprintf(f.text, sizeof f.text, fmt, args);
    va_end(args);
    conn_fail_as(c, &f);
}

void conn_fail_later(struct conn *c, const struct conn_failure *f)
{
    if (c->failing)
        return;
    c->failing = true;
    c->failure = *f;
    loop_defer(c->net->loop, &c->task);
}

/* ---- time ---- */

static void on_deadline(void *arg)
{
    struct conn *c = arg;
    struct conn_failure f = {.stage = conn_stage(c), .cause = CONN_CAUSE_TIMEOUT};
    conn_enter(c);
    double waited_s = (double)(loop_now_ms(c->net->loop) - c->began_ms) / 1000.0;
    if (c->state == CONN_NEW || c->state == CONN_DIALING)
        dial_timed_out(c, &f);
    else if (c->state == CONN_QUEUED)
        snprintf(f.text, sizeof f.text, "too many TLS handshakes at once: not begun in %.1f s",
                 waited_s);
    else
        snprintf(f.text, sizeof f.text, "the TLS handshake with %.150s did not end in %.1f s",
                 c->host ? c->host : "the peer", waited_s);
    conn_fail_as(c, &f);
    conn_leave(c);
}

void conn_set_deadline(struct conn *c, int64_t deadline)
{
    c->deadline = deadline;
    if (!c->timer && deadline == INT64_MAX)
        return;
    if (!c->timer)
        c->timer = timer_new(c->net->loop, on_deadline, c);
    timer_at(c->timer, deadline);
}

/* ---- events ---- */

void conn_watch(struct conn *c)
{
    int events = 0;
    if (c->state == CONN_OPEN && !c->held)
        events = SOCK_READABLE;
    if (c->state == CONN_OPEN && (c->want_writable || c->unsent_n > 0 || c->read_blocked))
        events |= SOCK_WRITABLE;
    if (c->state == CONN_SHAKING)
        events = SSL_want_write(c->ssl) ? SOCK_WRITABLE : SOCK_READABLE;
    if (c->sock)
        sock_watch(c->sock, events);
}

void conn_on_sock(struct sock *s, int events)
{
    struct conn *c = s->owner;
    conn_enter(c);
    if (c->state == CONN_SHAKING) {
        handshake_step(c);
    } else if (c->state == CONN_OPEN) {
        bool readable = events & (SOCK_READABLE | SOCK_ERROR);
        if (readable || c->read_blocked)
            conn_read(c, events & SOCK_ERROR);
        if (c->state == CONN_OPEN && (events & SOCK_WRITABLE))
            conn_flush(c);
    }
    if (!c->gone && c->sock)
        conn_watch(c);
    conn_leave(c);
}

/* What was put off: the start, the rest of a read, or a failure found in a call of the owner. */
static void on_task(struct loop_task *t)
{
    struct conn *c = container_of(t, struct conn, task);
    conn_enter(c);
    if (c->state == CONN_NEW) {
        conn_set_state(c, CONN_DIALING);
        dial_begin(c);
    } else if (c->state == CONN_OPEN) {
        conn_read(c, c->failing);
        if (c->failing)
            conn_fail_as(c, &c->failure);
        else if (!c->gone && c->sock)
            conn_watch(c);
    }
    conn_leave(c);
}

void conn_connected(struct conn *c, struct sock *s, const union net_address *address)
{
    c->sock = s;
    s->owner = c;
    s->ready = conn_on_sock;
    c->address = *address;
    dial_end(c);
    if (c->implicit_tls) {
        handshake_queue(c);
        return;
    }
    conn_set_deadline(c, INT64_MAX);
    conn_set_state(c, CONN_OPEN);
    conn_watch(c);
    if (c->handler->on_open)
        c->handler->on_open(c->arg);
}

/* ---- the owner's calls ---- */

static struct conn *conn_new(struct net *n, const struct conn_handler *h, void *arg)
{
    struct conn *c = alloc_one(struct conn);
    c->net = n;
    c->handler = h;
    c->arg = arg;
    c->deadline = INT64_MAX;
    c->began_ms = loop_now_ms(n->loop);
    list_push_back(&n->conns, &c->link);
    list_init(&c->queue_link);
    loop_task_init(&c->task, on_task);
    return c;
}

struct conn *conn_open(struct net *n, const struct conn_params *p, const struct conn_handler *h,
                       void *arg)
{
    struct conn *c = conn_new(n, h, arg);
    c->host = alloc_copy(p->host ? p->host : "");
    c->port = p->port;
    c->implicit_tls = p->tls;
    c->peer =
        (struct tls_peer){.host = c->host, .verify = p->tls_verify, .session_key = p->session_key};
    conn_set_deadline(c, p->deadline);
    loop_defer(n->loop, &c->task);
    return c;
}

struct conn *conn_adopt(struct net *n, int fd, const struct conn_handler *h, void *arg)
{
    struct conn *c = conn_new(n, h, arg);
    socklen_t size = sizeof c->address;
    int on = 1;
    c->accepted = true;
    conn_set_state(c, CONN_OPEN);
    if (getpeername(fd, &c->address.sa, &size) != 0)
        c->address.sa.sa_family = AF_UNSPEC;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a Unix socket refuses: no matter */
    c->sock = sock_new(n->loop, fd, conn_on_sock, c);
    if (c->sock) {
        conn_watch(c);
        return c;
    }
    close(fd);
    struct conn_failure f = {.stage = CONN_STAGE_OPEN, .cause = CONN_CAUSE_RESET};
    snprintf(f.text, sizeof f.text, "the descriptor cannot be watched");
    conn_fail_later(c, &f);
    return c;
}

void conn_hold(struct conn *c, bool held)
{
    if (!c || c->gone || c->held == held)
        return;
    c->held = held;
    if (c->state != CONN_OPEN || !c->sock)
        return;
    conn_watch(c);
    if (!held)
        loop_defer(c->net->loop, &c->task); /* TLS may have bytes that the kernel has not */
}

void conn_close(struct conn **cp)
{
    struct conn *c = *cp;
    *cp = NULL;
    if (!c || c->gone)
        return;
    conn_enter(c);
    c->gone = true;
    list_remove(&c->link);
    conn_release(c);
    conn_leave(c);
}

bool conn_tls_resumed(const struct conn *c)
{
    return c->resumed;
}

void conn_describe_tls(const struct conn *c, char *out, size_t size)
{
    if (size == 0)
        return;
    out[0] = '\0';
    if (c->ssl && c->state == CONN_OPEN)
        tls_describe(c->ssl, out, size);
}

void conn_describe_peer(const struct conn *c, char *out, size_t size)
{
    if (size > 0)
        net_describe_address(&c->address, out, size);
}
