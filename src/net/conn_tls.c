/* Handshakes: they wait in a queue of the loop, and at most handshakes_per_turn begin in one turn,
 * so that a thousand servers coming back at once do not stop the mail that flows. */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>

#include "base/check.h"
#include "net/conn_inner.h"

void handshake_queue(struct conn *c)
{
    conn_set_state(c, CONN_QUEUED);
    conn_watch(c);
    list_push_back(&c->net->handshakes, &c->queue_link);
    loop_defer(c->net->loop, &c->net->handshake_turn);
}

static void handshake_failed(struct conn *c, int ssl_error, int why)
{
    struct conn_failure f = {.stage = CONN_STAGE_TLS};
    tls_explain(c->ssl, ssl_error, why, c->host ? c->host : "the peer", &f);
    c->tls_broken = true;
    tls_client_done(c->net->tls, &c->peer, &c->session, false);
    conn_fail_as(c, &f);
}

static void handshake_stands(struct conn *c)
{
    c->resumed = SSL_session_reused(c->ssl);
    tls_client_done(c->net->tls, &c->peer, &c->session, c->resumed);
    conn_set_deadline(c, INT64_MAX);
    conn_set_state(c, CONN_OPEN);
    /* The first bytes may have come in the same read as the end of the handshake. */
    if (SSL_has_pending(c->ssl))
        loop_defer(c->net->loop, &c->task);
    conn_watch(c);
    if (c->asked_tls && c->handler->on_tls)
        c->handler->on_tls(c->arg, true, NULL);
    else if (!c->asked_tls && c->handler->on_open)
        c->handler->on_open(c->arg);
}

void handshake_step(struct conn *c)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(c->ssl);
    int why = errno;
    if (rc == 1) {
        handshake_stands(c);
        return;
    }
    int ssl_error = SSL_get_error(c->ssl, rc);
    if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE)
        conn_watch(c);
    else
        handshake_failed(c, ssl_error, why);
}

static void handshake_begin(struct conn *c)
{
    int fd = c->sock->fd;
    conn_enter(c);
    conn_set_state(c, CONN_SHAKING);
    c->ssl = c->identity ? tls_server_new(c->identity, fd)
                         : tls_client_new(c->net->tls, fd, &c->peer, &c->session);
    if (c->ssl)
        handshake_step(c);
    else
        conn_fail(c, CONN_STAGE_TLS, CONN_CAUSE_TLS, "\"%.100s\" cannot be used as a TLS name",
                  c->host ? c->host : "");
    conn_leave(c);
}

void handshakes_turn(struct loop_task *t)
{
    struct net *n = container_of(t, struct net, handshake_turn);
    for (uint32_t i = 0; i < n->handshakes_per_turn; i++) {
        struct list *first = list_pop_front(&n->handshakes);
        if (!first)
            return;
        handshake_begin(list_entry(first, struct conn, queue_link));
    }
    if (!list_empty(&n->handshakes))
        loop_defer(n->loop, &n->handshake_turn);
}

static void handshake_ask(struct conn *c, int64_t deadline)
{
    if (c->failing || c->state != CONN_OPEN)
        return; /* on_close is on its way */
    check(!c->ssl);
    c->asked_tls = true;
    c->began_ms = loop_now_ms(c->net->loop);
    loop_task_cancel(&c->task);
    conn_set_deadline(c, deadline);
    handshake_queue(c);
}

void conn_start_tls(struct conn *c, int64_t deadline)
{
    check(!c->accepted);
    handshake_ask(c, deadline);
}

void conn_accept_tls(struct conn *c, struct tls_identity *id, int64_t deadline)
{
    check(c->accepted);
    c->identity = id;
    handshake_ask(c, deadline);
}
