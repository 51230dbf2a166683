/* Making listening sockets, without a loop. Runs at start, so it may wait for a moment (a lock on
 * the folder of a Unix socket that another process starting up holds). */
#include <errno.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "net/listen.h"

#define BACKLOG 1024

union any_address {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool split_address(const char *address, char *host, size_t size, uint16_t *port_out,
                          struct err *e)
{
    struct str all = str_of(address);
    ptrdiff_t colon = str_rchr(all, ':');
    uint64_t port = 0;
    if (colon < 0 || !str_to_u64(str_from_index(all, (size_t)colon + 1), 65535, &port))
        return err_set(e, ERR_INVALID,
                       "\"%s\" is no listen address; write ADDRESS:PORT, such as "
                       "127.0.0.1:8025 or [::1]:8025",
                       address ? address : "");
    struct str name = str_cut(all, 0, (size_t)colon);
    if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = str_cut(name, 1, name.n - 2);
    if (str_iis(name, "localhost"))
        name = STR("127.0.0.1");
    *port_out = (uint16_t)port;
    if (!str_copy(name, host, size))
        return err_set(e, ERR_INVALID, "\"%s\" is no listen address: too long", address);
    return true;
}

static bool parse_address(const char *address, union any_address *out, socklen_t *n_out,
                          struct err *e)
{
    char host[64];
    uint16_t port;
    if (!split_address(address, host, sizeof host, &port, e))
        return false;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        *n_out = sizeof out->v4;
        return true;
    }
    bool all = host[0] == '\0' || str_is(str_of(host), "*");
    if (all || inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *n_out = sizeof out->v6;
        return true;
    }
    return err_set(e, ERR_INVALID,
                   "\"%s\" is no listen address; names are not looked up here, write "
                   "the IP address of this machine, or * for all",
                   address);
}

static bool bind_failed(const char *address, int why, struct err *e)
{
    switch (why) {
    case EADDRINUSE:
        return err_set(e, ERR_CONFLICT,
                       "%s is taken by another program; stop it, or choose another "
                       "port (port 0 takes a free one)",
                       address);
    case EACCES:
    case EPERM:
        return err_set(e, ERR_NOT_ALLOWED,
                       "%s may not be opened by this user: ports below 1024 need "
                       "root or CAP_NET_BIND_SERVICE; choose a higher port",
                       address);
    case EADDRNOTAVAIL:
        return err_set(e, ERR_INVALID,
                       "%s: this machine does not have that address; see `ip addr`, "
                       "or use 127.0.0.1 or *",
                       address);
    default: return err_set(e, ERR_FAILED, "cannot listen on %s: %s", address, strerror(why));
    }
}

/* The descriptor, or minus errno. */
static int open_tcp(const union any_address *a, socklen_t n)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, &a->sa, n) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    return -why;
}

int listen_tcp_socket(const char *address, uint16_t *port_out, struct err *e)
{
    union any_address a;
    socklen_t n = 0;
    if (!parse_address(address, &a, &n, e))
        return -1;
    int fd = open_tcp(&a, n);
    if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && a.sa.sa_family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr)) {
        /* "*" on a machine without IPv6. */
        uint16_t port = a.v6.sin6_port;
        memset(&a, 0, sizeof a);
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = port;
        fd = open_tcp(&a, sizeof a.v4);
    }
    if (fd < 0) {
        bind_failed(address, -fd, e);
        return -1;
    }
    n = sizeof a;
    if (port_out && getsockname(fd, &a.sa, &n) == 0)
        *port_out = ntohs(a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    return fd;
}

/* A path as folder descriptor and name: the kernel is shown /proc/self/fd/N/NAME, which is short
 * whatever the folder's path is. */
struct unix_place {
    int dir;
    char *name;
    struct sockaddr_un address;
};

static bool place_open(const char *path, struct unix_place *out, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == path
                       ? alloc_copy("/")
                       : str_dup(slash ? str_from(path, (size_t)(slash - path)) : STR("."));
    memset(out, 0, sizeof *out);
    out->name = alloc_copy(slash ? slash + 1 : path);
    out->address.sun_family = AF_UNIX;
    out->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->dir < 0) {
        int why = errno;
        free(folder);
        free(out->name);
        return err_set(e, why == ENOENT ? ERR_NOT_FOUND : ERR_FAILED,
                       "the folder of the socket %s cannot be opened: %s", path, strerror(why));
    }
    free(folder);
    int n = snprintf(out->address.sun_path, sizeof out->address.sun_path, "/proc/self/fd/%d/%s",
                     out->dir, out->name);
    if (n > 0 && (size_t)n < sizeof out->address.sun_path && out->name[0])
        return true;
    close(out->dir);
    free(out->name);
    return err_set(e, ERR_INVALID,
                   "\"%s\" is no name for a socket: the last part must have 1 to 80 "
                   "bytes",
                   path);
}

static void place_close(struct unix_place *u)
{
    close(u->dir);
    free(u->name);
}

/* Two starts at once: the second one waits for the first, then finds its socket alive. */
static bool place_lock(struct unix_place *u, const char *path, struct err *e)
{
    for (int i = 0; i < 100; i++) {
        if (flock(u->dir, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_set(e, ERR_FAILED, "the folder of the socket %s cannot be locked: %s", path,
                           strerror(errno));
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return err_set(e, ERR_LATER,
                   "the folder of the socket %s stays locked by another process; is a "
                   "second one starting?",
                   path);
}

/* True: nothing is there (any more), the name is free to bind. */
static bool clear_stale(struct unix_place *u, const char *path, struct err *e)
{
    struct stat st;
    if (fstatat(u->dir, u->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ||
               err_set(e, ERR_FAILED, "%s cannot be looked at: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_CONFLICT, "%s exists and is no socket; move it away", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, ERR_FAILED, "no socket can be made: %s", strerror(errno));
    int rc = connect(fd, (struct sockaddr *)&u->address, sizeof u->address);
    int why = rc == 0 ? 0 : errno;
    close(fd);
    if (why != ECONNREFUSED)
        return err_set(e, ERR_CONFLICT,
                       "%s is in use by another process; is one running on this "
                       "folder already?",
                       path);
    if (unlinkat(u->dir, u->name, 0) != 0 && errno != ENOENT)
        return err_set(e, ERR_FAILED, "the old socket %s cannot be removed: %s", path,
                       strerror(errno));
    return true;
}

static int bind_unix(struct unix_place *u, const char *path, struct err *e)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode of the descriptor is the mode of the file that bind makes, so there is no moment in
     * which others could connect. */
    if (fd >= 0 && fchmod(fd, 0600) == 0 &&
        bind(fd, (struct sockaddr *)&u->address, sizeof u->address) == 0 &&
        fchmodat(u->dir, u->name, 0600, 0) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    err_set(e, ERR_FAILED, "the socket %s cannot be made: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int listen_unix_socket(const char *path, struct err *e)
{
    struct unix_place u;
    if (!place_open(path, &u, e))
        return -1;
    int fd = -1;
    if (place_lock(&u, path, e) && clear_stale(&u, path, e))
        fd = bind_unix(&u, path, e);
    place_close(&u);
    return fd;
}

static bool connect_failed(const char *path, int why, struct err *e)
{
    if (why == ENOENT)
        return err_set(e, ERR_NOT_FOUND,
                       "nothing listens on %s: the file is not there; is the "
                       "daemon running?",
                       path);
    if (why == EACCES || why == EPERM)
        return err_set(e, ERR_NOT_ALLOWED,
                       "%s may not be opened by this user; run the command as "
                       "the user of the daemon",
                       path);
    return err_set(e, ERR_UNREACHABLE, "%s is not served: %s; is the daemon running?", path,
                   strerror(why));
}

int listen_unix_connect(const char *path, struct err *e)
{
    struct unix_place u;
    if (!place_open(path, &u, e))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&u.address, sizeof u.address) != 0) {
        connect_failed(path, errno, e);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    place_close(&u);
    return fd;
}

bool listen_peer_uid(int fd, uint32_t *uid_out)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || n != sizeof who)
        return false;
    *uid_out = who.uid;
    return true;
}
