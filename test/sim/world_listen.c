/* Doors for applications that come to us: the simulated world has none. Scenarios bring mail in by
 * the link, and a daemon that is told to listen there would fail to start. */
#include "base/check.h"
#include "net/conn.h"
#include "net/listen.h"
#include "net/tls.h"

struct conn *conn_adopt(struct net *n, int fd, const struct conn_handler *h, void *arg)
{
    (void)n, (void)fd, (void)h, (void)arg;
    check(false);
    return NULL;
}

void conn_accept_tls(struct conn *c, struct tls_identity *id, int64_t deadline)
{
    (void)c, (void)id, (void)deadline;
    check(false);
}

void conn_hold(struct conn *c, bool held)
{
    (void)c, (void)held;
}

struct listener *listener_tcp(struct loop *l, const char *address, listener_accept *accepted,
                              void *arg, struct err *e)
{
    (void)l, (void)accepted, (void)arg;
    err_set(e, ERR_FAILED, "%s: nobody listens in the simulator", address);
    return NULL;
}

void listener_close(struct listener **li)
{
    *li = NULL;
}

void listener_describe(const struct listener *li, char *out, size_t size)
{
    (void)li;
    if (size > 0)
        out[0] = 0;
}

struct tls_identity *tls_identity_new(const char *cert_file, const char *key_file, struct err *e)
{
    (void)cert_file, (void)key_file;
    err_set(e, ERR_FAILED, "no certificates in the simulator");
    return NULL;
}
