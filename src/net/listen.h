/* Listening sockets: TCP (v4, v6) and Unix. Gives accepted descriptors, non-blocking and
 * close-on-exec; what they say is for net/conn.h (conn_adopt). Errors name the place and the
 * remedy. A Unix path may be longer than the 107 bytes of the kernel's address. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include "base/base.h"
#include "base/err.h"
#include "net/loop.h"

struct listener;

/* fd is the callee's from here on. Runs on the loop's thread; may close the listener. */
typedef void listener_accept(void *arg, int fd);

/* address: "127.0.0.1:8025", "[::1]:25", "localhost:25", "*:8025" (all addresses of both
 * families). Port 0: any free one, see listener_port. NULL: *e says why (ERR_CONFLICT: taken). */
struct listener *listener_tcp(struct loop *l, const char *address, listener_accept *accepted,
                              void *arg, struct err *e) MUST_USE;
/* Mode 0600. A socket that nobody serves any more is replaced; one in use is ERR_CONFLICT. Two
 * processes starting at once cannot both win. The file goes away with listener_close. */
struct listener *listener_unix(struct loop *l, const char *path, listener_accept *accepted,
                               void *arg, struct err *e) MUST_USE;
void listener_close(struct listener **li);         /* NULL is fine */
uint16_t listener_port(const struct listener *li); /* 0 for Unix */
/* "127.0.0.1:8025", "[::1]:25" or the path. */
void listener_describe(const struct listener *li, char *out, size_t size);

/* The same sockets for a library that accepts by itself: bound and listening, or -1 with *e. */
int listen_tcp_socket(const char *address, uint16_t *port_out, struct err *e) MUST_USE;
int listen_unix_socket(const char *path, struct err *e) MUST_USE;
/* Connects to a Unix socket (blocking descriptor; connecting to one does not wait for the peer's
 * accept unless its backlog is full). -1: ERR_UNREACHABLE, ERR_NOT_FOUND or ERR_NOT_ALLOWED. */
int listen_unix_connect(const char *path, struct err *e) MUST_USE;
/* The uid of the process at the other end of a Unix socket, as of its connect. */
bool listen_peer_uid(int fd, uint32_t *uid_out);

#endif
