/* Bytes in and out of an open connection, plain or through TLS.
 *
 * Reading goes on until the kernel (and TLS) have nothing left, but at most ROUNDS buffers a turn,
 * so that one fast peer does not starve the others. What was read is handed over before any error
 * behind it: a 250 may lie before the reset. */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "net/conn_inner.h"

#define ROUNDS         4
#define LAST_ROUNDS    64 /* behind a failed write */
#define SLICES_AT_ONCE 64

enum got { GOT_BYTES, GOT_NOTHING_NOW, GOT_END, GOT_ERROR };

static void system_failure(int why, struct conn_failure *f)
{
    *f = (struct conn_failure){.stage = CONN_STAGE_OPEN, .cause = net_cause_of(why)};
    snprintf(f->text, sizeof f->text, "the connection broke: %s", strerror(why));
}

/* ---- reading ---- */

/* *more_out: the kernel may hold more. */
static enum got read_plain(struct conn *c, size_t *n_out, bool *more_out, struct conn_failure *f)
{
    ssize_t n;
    do {
        n = recv(c->sock->fd, c->net->read, READ_MAX, 0);
    } while (n < 0 && errno == EINTR);
    *n_out = n > 0 ? (size_t)n : 0;
    *more_out = n == READ_MAX;
    if (n > 0)
        return GOT_BYTES;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return GOT_NOTHING_NOW;
    if (n < 0) {
        system_failure(errno, f);
        return GOT_ERROR;
    }
    *f = (struct conn_failure){.stage = CONN_STAGE_OPEN, .cause = CONN_CAUSE_PEER_CLOSED};
    snprintf(f->text, sizeof f->text, "the peer closed the connection");
    return GOT_END;
}

/* Fills the buffer with as many records as there are; an end or error behind bytes shows again at
 * the next call. */
static enum got read_tls(struct conn *c, size_t *n_out, bool *more_out, struct conn_failure *f)
{
    size_t have = 0, n = 0;
    int rc = 1, why = 0;
    c->read_blocked = false;
    while (have < READ_MAX) {
        ERR_clear_error();
        errno = 0;
        rc = SSL_read_ex(c->ssl, c->net->read + have, READ_MAX - have, &n);
        why = errno;
        if (rc != 1)
            break;
        have += n;
        if (!SSL_has_pending(c->ssl))
            break; /* the rest, if any, is in the kernel, and the loop will say so */
    }
    *n_out = have;
    *more_out = rc != 1 || SSL_has_pending(c->ssl);
    if (rc == 1)
        return GOT_BYTES;
    int ssl_error = SSL_get_error(c->ssl, rc);
    c->read_blocked = ssl_error == SSL_ERROR_WANT_WRITE;
    if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE) {
        *more_out = false;
        return have > 0 ? GOT_BYTES : GOT_NOTHING_NOW;
    }
    f->stage = CONN_STAGE_OPEN;
    tls_explain(c->ssl, ssl_error, why, c->host ? c->host : "the peer", f);
    c->tls_broken = true;
    if (have > 0) {
        c->failing = true;
        c->failure = *f;
        return GOT_BYTES;
    }
    return ssl_error == SSL_ERROR_ZERO_RETURN ? GOT_END : GOT_ERROR;
}

/* The loop saw an error on the descriptor, and reading found nothing: ask for it. */
static bool find_error(struct conn *c, struct conn_failure *f)
{
    int why = 0;
    socklen_t n = sizeof why;
    if (getsockopt(c->sock->fd, SOL_SOCKET, SO_ERROR, &why, &n) != 0 || why == 0)
        return false;
    system_failure(why, f);
    return true;
}

static bool is_reading(const struct conn *c, const SSL *ssl)
{
    return !c->gone && c->state == CONN_OPEN && c->ssl == ssl;
}

void conn_read(struct conn *c, bool error_waits)
{
    const SSL *ssl = c->ssl;
    struct conn_failure f = {.stage = CONN_STAGE_OPEN};
    for (int round = 0; c->sock; round++) {
        size_t n = 0;
        bool more = false;
        if (c->held && !c->failing)
            return;
        if (round == ROUNDS && !c->failing) {
            loop_defer(c->net->loop, &c->task);
            return;
        }
        if (round == LAST_ROUNDS)
            return;
        enum got got = c->ssl ? read_tls(c, &n, &more, &f) : read_plain(c, &n, &more, &f);
        if (got == GOT_END || got == GOT_ERROR) {
            conn_fail_as(c, c->failing ? &c->failure : &f);
            return;
        }
        if (got == GOT_NOTHING_NOW) {
            if (error_waits && !c->failing && find_error(c, &f))
                conn_fail_as(c, &f);
            return;
        }
        if (c->handler->on_data)
            c->handler->on_data(c->arg, str_from(c->net->read, n));
        if (!is_reading(c, ssl))
            return;
        if (c->failing && c->tls_broken) {
            conn_fail_as(c, &c->failure);
            return;
        }
        if (!more && !error_waits)
            return;
    }
}

/* ---- writing ---- */

static size_t total_of(const struct str *slices, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += slices[i].n;
    return total;
}

/* A place in a row of slices. */
struct place {
    const struct str *slices;
    size_t n;
    size_t i;   /* slice */
    size_t off; /* in it */
};

static void place_settle(struct place *p)
{
    while (p->i < p->n && p->off == p->slices[p->i].n) {
        p->i++;
        p->off = 0;
    }
}

static void place_advance(struct place *p, size_t bytes)
{
    while (bytes > 0) {
        size_t left = p->slices[p->i].n - p->off;
        size_t step = MIN(left, bytes);
        p->off += step;
        bytes -= step;
        place_settle(p);
    }
    place_settle(p);
}

static void write_failed(struct conn *c, int why)
{
    struct conn_failure f;
    if (why == EAGAIN || why == EWOULDBLOCK)
        return;
    system_failure(why, &f);
    conn_fail_later(c, &f);
}

static size_t write_plain(struct conn *c, struct place *p)
{
    size_t taken = 0;
    for (place_settle(p); p->i < p->n;) {
        struct iovec iov[SLICES_AT_ONCE];
        struct msghdr msg = {.msg_iov = iov};
        size_t asked = 0;
        for (size_t i = p->i; i < p->n && msg.msg_iovlen < SLICES_AT_ONCE; i++) {
            size_t off = i == p->i ? p->off : 0;
            iov[msg.msg_iovlen].iov_base = (void *)(uintptr_t)(p->slices[i].p + off);
            iov[msg.msg_iovlen++].iov_len = p->slices[i].n - off;
            asked += p->slices[i].n - off;
        }
        ssize_t n = sendmsg(c->sock->fd, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            write_failed(c, errno);
            return taken;
        }
        taken += (size_t)n;
        place_advance(p, (size_t)n);
        if ((size_t)n < asked)
            return taken;
    }
    return taken;
}

/* The next record's bytes in one piece: where they lie, or gathered. */
static struct str next_record(struct conn *c, const struct place *p)
{
    size_t left = p->slices[p->i].n - p->off;
    if (left >= RECORD_MAX || p->i + 1 == p->n)
        return str_from(p->slices[p->i].p + p->off, MIN(left, RECORD_MAX));
    size_t have = 0;
    for (size_t i = p->i; i < p->n && have < RECORD_MAX; i++) {
        size_t off = i == p->i ? p->off : 0;
        size_t n = MIN(p->slices[i].n - off, RECORD_MAX - have);
        if (n > 0)
            memcpy(c->net->gather + have, p->slices[i].p + off, n);
        have += n;
    }
    return str_from(c->net->gather, have);
}

enum wrote { WROTE, WROTE_LATER, WROTE_ERROR };

static enum wrote write_record(struct conn *c, struct str bytes, struct conn_failure *f)
{
    size_t n = 0;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_write_ex(c->ssl, bytes.p, bytes.n, &n);
    int why = errno;
    if (rc == 1)
        return WROTE;
    int ssl_error = SSL_get_error(c->ssl, rc);
    if (ssl_error == SSL_ERROR_WANT_WRITE || ssl_error == SSL_ERROR_WANT_READ)
        return WROTE_LATER;
    f->stage = CONN_STAGE_OPEN;
    tls_explain(c->ssl, ssl_error, why, c->host ? c->host : "the peer", f);
    c->tls_broken = true;
    return WROTE_ERROR;
}

static size_t write_tls(struct conn *c, struct place *p)
{
    size_t taken = 0;
    for (place_settle(p); p->i < p->n && c->unsent_n == 0;) {
        struct conn_failure f;
        struct str record = next_record(c, p);
        switch (write_record(c, record, &f)) {
        case WROTE: break;
        case WROTE_LATER:
            /* Encrypted already: OpenSSL must be given the same bytes again, so they are kept
             * here, and for the owner they have left. */
            c->unsent = alloc_bytes(record.n);
            memcpy(c->unsent, record.p, record.n);
            c->unsent_n = record.n;
            break;
        case WROTE_ERROR: conn_fail_later(c, &f); return taken;
        }
        taken += record.n;
        place_advance(p, record.n);
    }
    return taken;
}

size_t conn_write(struct conn *c, const struct str *slices, size_t n)
{
    if (c->state != CONN_OPEN || c->failing || c->gone || !c->sock)
        return 0;
    size_t total = total_of(slices, n), taken = 0;
    struct place p = {.slices = slices, .n = n};
    if (total == 0)
        return 0;
    if (c->unsent_n == 0)
        taken = c->ssl ? write_tls(c, &p) : write_plain(c, &p);
    if (c->failing)
        return taken;
    c->want_writable = taken < total;
    conn_watch(c);
    return taken;
}

void conn_flush(struct conn *c)
{
    if (c->unsent_n > 0) {
        struct conn_failure f;
        switch (write_record(c, str_from(c->unsent, c->unsent_n), &f)) {
        case WROTE_LATER: return;
        case WROTE_ERROR: conn_fail_later(c, &f); return;
        case WROTE: break;
        }
        free(c->unsent);
        c->unsent = NULL;
        c->unsent_n = 0;
    }
    if (!c->want_writable)
        return;
    c->want_writable = false;
    if (c->handler->on_writable)
        c->handler->on_writable(c->arg);
}
