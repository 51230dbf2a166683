/* Looks whether a port is free by binding it for a moment, and asks the own web process whether it
 * is ready. */
#include "main/serve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "main/output.h"

#define READY_WAIT_MS 1000

/* Splits "ADDR:PORT" and "[V6]:PORT". */
static bool split_endpoint(const char *text, char *host, size_t size, char *port, size_t port_size)
{
    struct str s = str_of(text);
    ptrdiff_t colon = str_rchr(s, ':');
    if (colon <= 0)
        return false;
    struct str h = str_cut(s, 0, (size_t)colon);
    if (h.n > 1 && h.p[0] == '[' && h.p[h.n - 1] == ']')
        h = str_cut(h, 1, h.n - 2);
    return str_copy(h, host, size) &&
           str_copy(str_from_index(s, (size_t)colon + 1), port, port_size);
}

/* Binds for a moment. 0 or the errno; *port_out is the port that was bound. */
static int try_bind(const struct addrinfo *ai, uint16_t *port_out)
{
    struct sockaddr_storage got = {0};
    socklen_t len = sizeof(got);
    int on = 1, why = 0;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&got, &len) != 0)
        why = errno;
    close(fd);
    *port_out = ntohs(got.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&got)->sin6_port
                                                : ((struct sockaddr_in *)&got)->sin_port);
    return why;
}

static int bind_text(const char *host, const char *port, uint16_t *port_out, struct err *e)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *ai = NULL;
    int rc = getaddrinfo(strcmp(host, "localhost") ? host : "127.0.0.1", port, &hints, &ai);
    if (rc != 0) {
        err_set(e, ERR_INVALID, "HTTP listener %s:%s: give an address in figures: %s", host, port,
                gai_strerror(rc));
        return -1;
    }
    int why = try_bind(ai, port_out);
    freeaddrinfo(ai);
    return why;
}

bool serve_choose_http(const char *wanted, bool asked_for, char *out, size_t size, struct err *e)
{
    char host[80], port[8];
    uint16_t bound = 0;
    if (!split_endpoint(wanted, host, sizeof(host), port, sizeof(port)))
        return err_set(e, ERR_INVALID, "HTTP listener %.100s: not ADDR:PORT", wanted);
    int why = bind_text(host, port, &bound, e);
    if (why < 0)
        return false;
    if (why != 0 && (asked_for || why != EADDRINUSE))
        return err_set(e, ERR_FAILED, "cannot listen on %s: %s%s", wanted, strerror(why),
                       why == EADDRINUSE ? "; choose another with --http" : "");
    if (why != 0) {
        why = bind_text(host, "0", &bound, e);
        if (why != 0)
            return err_set(e, ERR_FAILED, "cannot listen on %s: %s", host, strerror(why));
        output_warn("%s is taken; HTTP listens on port %u instead", wanted, bound);
    }
    snprintf(out, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, bound);
    return true;
}

void serve_http_url(const char *listen, char *out, size_t size)
{
    char host[80], port[8];
    if (!split_endpoint(listen, host, sizeof(host), port, sizeof(port))) {
        snprintf(out, size, "http://%s", listen);
        return;
    }
    const char *shown = !strcmp(host, "0.0.0.0") ? "127.0.0.1" : !strcmp(host, "::") ? "::1" : host;
    snprintf(out, size, strchr(shown, ':') ? "http://[%s]:%s" : "http://%s:%s", shown, port);
}

bool serve_is_ready(int dir_fd)
{
    static const char ask[] =
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char answer[16] = "";
    size_t got = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/api.sock", dir_fd);
    bool up = fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
              send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(ask) - 1;
    while (up && got < 12) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, READY_WAIT_MS) == 1 ? read(fd, answer + got, 12 - got) : 0;
        up = n > 0;
        got += up ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    return up && !memcmp(answer + 8, " 200", 4);
}
