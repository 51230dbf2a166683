/* The sink's sockets, see sink_socket.h. */
#include "lab/sink_socket.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool make_address(const char *host, uint16_t port, struct sockaddr_storage *out,
                         socklen_t *size_out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)out;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *size_out = sizeof(*v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return false;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *size_out = sizeof(*v6);
    return true;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &size) < 0)
        return 0;
    return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)(void *)&a)->sin_port
                                        : ((struct sockaddr_in6 *)(void *)&a)->sin6_port);
}

int sink_socket_listen(const char *host, uint16_t *port, struct err *e)
{
    struct sockaddr_storage a;
    socklen_t size = 0;
    int one = 1;
    if (!make_address(host, *port, &a, &size)) {
        (void)err_set(e, ERR_INVALID, "`%s` is no address to listen on", host);
        return -1;
    }
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, size) < 0 || listen(fd, 4096) < 0) {
        (void)err_set(e, ERR_FAILED, "cannot listen on %s port %u: %s", host, *port,
                      strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *port = port_of(fd);
    return fd;
}

int sink_socket_accept(int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* What an SSL call's failure means: 0 not now, -1 over. */
static int tls_result(struct sink_conn *c, int result)
{
    int why = SSL_get_error(c->ssl, result);
    c->wants_out = why == SSL_ERROR_WANT_WRITE;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

ssize_t sink_socket_read(struct sink_conn *c, char *p, size_t size)
{
    if (c->ssl) {
        ERR_clear_error();
        int n = SSL_read(c->ssl, p, (int)size);
        return n > 0 ? n : tls_result(c, n);
    }
    ssize_t n = recv(c->fd, p, size, 0);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

bool sink_socket_pending(const struct sink_conn *c)
{
    return c->ssl && SSL_pending(c->ssl) > 0;
}

ssize_t sink_socket_write(struct sink_conn *c, const char *p, size_t n)
{
    if (c->ssl) {
        ERR_clear_error();
        int done = SSL_write(c->ssl, p, (int)n);
        return done > 0 ? done : tls_result(c, done);
    }
    ssize_t done = send(c->fd, p, n, MSG_NOSIGNAL);
    return done >= 0 ? done : errno == EAGAIN || errno == EINTR ? 0 : -1;
}

bool sink_socket_start_tls(struct sink_conn *c, struct ssl_ctx_st *ctx)
{
    c->ssl = SSL_new(ctx);
    c->is_shaking = true;
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
        return false;
    SSL_set_accept_state(c->ssl);
    return true;
}

int sink_socket_shake(struct sink_conn *c, bool *resumed_out)
{
    ERR_clear_error();
    int done = SSL_do_handshake(c->ssl);
    if (done != 1)
        return tls_result(c, done);
    c->is_shaking = c->wants_out = false;
    *resumed_out = SSL_session_reused(c->ssl);
    return 1;
}

void sink_socket_end_output(struct sink_conn *c)
{
    if (c->ssl && !c->is_shaking) {
        ERR_clear_error();
        (void)SSL_shutdown(c->ssl);
    }
    (void)shutdown(c->fd, SHUT_WR);
}

void sink_socket_close(struct sink_conn *c, bool reset)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
}

void sink_tls_free(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}
