/* The other way of playing a transcript: its server is villain.py on loopback. Blocking, with a
 * receive timeout, so that a silent peer fails the file and not the run. */
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "talk.h"

struct talk_socket {
    int fd;
    SSL_CTX *context;
    SSL *tls; /* NULL: in clear */
};

struct talk_socket *talk_socket_open(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return NULL;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct talk_socket *s = calloc(1, sizeof *s);
    s->fd = fd;
    return s;
}

void talk_socket_close(struct talk_socket **sp)
{
    struct talk_socket *s = *sp;

    if (s == NULL)
        return;
    SSL_free(s->tls);
    SSL_CTX_free(s->context);
    close(s->fd);
    free(s);
    *sp = NULL;
}

static ssize_t read_some(struct talk_socket *s, char *p, size_t n)
{
    return s->tls != NULL ? SSL_read(s->tls, p, (int)n) : recv(s->fd, p, n, 0);
}

bool talk_socket_read(struct talk_socket *s, char *p, size_t n)
{
    char unused;

    if (n == 0)
        return read_some(s, &unused, 1) <= 0;
    for (size_t at = 0; at < n;) {
        ssize_t got = read_some(s, p + at, n - at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

/* A peer that is gone is found by the next read. */
void talk_socket_write(struct talk_socket *s, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = s->tls != NULL ? SSL_write(s->tls, bytes.p, (int)bytes.n)
                                   : send(s->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes = str_from_index(bytes, (size_t)n);
    }
}

bool talk_socket_tls(struct talk_socket *s)
{
    s->context = SSL_CTX_new(TLS_client_method());
    s->tls = SSL_new(s->context);
    SSL_set_fd(s->tls, s->fd);
    return SSL_connect(s->tls) == 1;
}
