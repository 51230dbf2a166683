/* The sink's sockets: listening, accepting, and a connection's bytes in clear or over TLS, always
 * without blocking. Decides nothing. */
#ifndef LAB_SINK_SOCKET_H
#define LAB_SINK_SOCKET_H

#include "lab/sink_inner.h"
#include <sys/types.h>

struct ssl_st;

struct sink_conn {
    struct sink_session s;
    int fd;
    struct ssl_st *ssl;
    uint32_t interest;
    bool is_shaking, is_lingering, is_dead;
    bool wants_out; /* TLS waits for room to write */
    struct buf in;  /* a line or body end that is not whole yet */
    struct heap_node timer;
    struct list node;
};

/* -1: *e says why. *port 0 is filled with a free one. */
int sink_socket_listen(const char *host, uint16_t *port, struct err *e);
int sink_socket_accept(int listener); /* -1: nothing more now */
/* Bytes; 0: not now; -1: the connection is over. */
ssize_t sink_socket_read(struct sink_conn *c, char *p, size_t size);
bool sink_socket_pending(const struct sink_conn *c); /* TLS holds bytes that were read already */
ssize_t sink_socket_write(struct sink_conn *c, const char *p, size_t n);
bool sink_socket_start_tls(struct sink_conn *c, struct ssl_ctx_st *ctx);
int sink_socket_shake(struct sink_conn *c, bool *resumed_out); /* 1 done, 0 not yet, -1 failed */
void sink_socket_end_output(struct sink_conn *c);
void sink_socket_close(struct sink_conn *c, bool reset);
void sink_tls_free(struct ssl_ctx_st *ctx);

#endif
