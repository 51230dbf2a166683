/* Listening sockets on a loop: accepts in batches and hands descriptors over. When the process has
 * no descriptor left it pauses for a moment; connections wait in the kernel's backlog then. */
#include "net/listen.h"

#include <errno.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/str.h"
#include "net/loop_inner.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE_MS         100

struct listener {
    struct loop *loop;
    struct sock *sock;
    struct timer *resume;
    listener_accept *accepted;
    void *arg;
    uint16_t port;
    char *path; /* of a Unix socket */
    dev_t dev;  /* of that file: another one there is not ours to remove */
    ino_t ino;
    unsigned depth; /* calls of ours on the stack */
    bool closed;
};

static void listener_release(struct listener *li)
{
    if (li->depth == 0 && li->closed) {
        free(li->path);
        free(li);
    }
}

static bool is_of_one_connection(int why)
{
    return why == EINTR || why == ECONNABORTED || why == EPROTO || why == EPERM ||
           why == ENETDOWN || why == EHOSTUNREACH || why == ENETUNREACH;
}

static void accept_batch(struct listener *li)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && !li->closed; i++) {
        int fd = accept4(li->sock->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            li->accepted(li->arg, fd);
            continue;
        }
        if (is_of_one_connection(errno))
            continue;
        if (errno == EAGAIN)
            return;
        log_event(LOG_WARNING, "listen.paused", "port=%u error=\"%s\"", (unsigned)li->port,
                  strerror(errno));
        sock_watch(li->sock, 0);
        timer_at(li->resume, loop_now_ms(li->loop) + PAUSE_MS);
        return;
    }
}

static void on_ready(struct sock *s, int events)
{
    struct listener *li = s->owner;
    (void)events;
    li->depth++;
    sock_watch(s, SOCK_READABLE);
    accept_batch(li);
    li->depth--;
    listener_release(li);
}

static void on_resume(void *arg)
{
    struct listener *li = arg;
    sock_watch(li->sock, SOCK_READABLE);
}

static struct listener *listener_new(struct loop *l, int fd, listener_accept *accepted, void *arg,
                                     struct err *e)
{
    struct listener *li = alloc_one(struct listener);
    li->loop = l;
    li->accepted = accepted;
    li->arg = arg;
    li->sock = sock_new(l, fd, on_ready, li);
    if (!li->sock) {
        err_set(e, ERR_FAILED, "a listening socket cannot be watched: %s", strerror(errno));
        close(fd);
        free(li);
        return NULL;
    }
    li->resume = timer_new(l, on_resume, li);
    sock_watch(li->sock, SOCK_READABLE);
    return li;
}

struct listener *listener_tcp(struct loop *l, const char *address, listener_accept *accepted,
                              void *arg, struct err *e)
{
    uint16_t port = 0;
    int fd = listen_tcp_socket(address, &port, e);
    if (fd < 0)
        return NULL;
    struct listener *li = listener_new(l, fd, accepted, arg, e);
    if (li)
        li->port = port;
    return li;
}

struct listener *listener_unix(struct loop *l, const char *path, listener_accept *accepted,
                               void *arg, struct err *e)
{
    int fd = listen_unix_socket(path, e);
    if (fd < 0)
        return NULL;
    struct listener *li = listener_new(l, fd, accepted, arg, e);
    if (!li)
        return NULL;
    struct stat st;
    li->path = alloc_copy(path);
    if (stat(path, &st) == 0) {
        li->dev = st.st_dev;
        li->ino = st.st_ino;
    }
    return li;
}

static void remove_file(const struct listener *li)
{
    struct stat st;
    if (li->path && stat(li->path, &st) == 0 && st.st_dev == li->dev && st.st_ino == li->ino)
        unlink(li->path);
}

void listener_close(struct listener **lp)
{
    struct listener *li = *lp;
    *lp = NULL;
    if (!li || li->closed)
        return;
    li->closed = true;
    remove_file(li);
    sock_close(&li->sock);
    timer_free(&li->resume);
    listener_release(li);
}

uint16_t listener_port(const struct listener *li)
{
    return li->port;
}

void listener_describe(const struct listener *li, char *out, size_t size)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t n = sizeof a;
    char host[INET6_ADDRSTRLEN] = "";
    if (li->path) {
        snprintf(out, size, "%s", li->path);
        return;
    }
    memset(&a, 0, sizeof a);
    if (getsockname(li->sock->fd, &a.sa, &n) != 0)
        n = 0;
    if (a.sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
        snprintf(out, size, "[%s]:%u", host, (unsigned)li->port);
    } else {
        inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
        snprintf(out, size, "%s:%u", host, (unsigned)li->port);
    }
}
