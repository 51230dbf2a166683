/* `server test` and `server send-test`: one conversation with a server, step by step, on a
 * connection of its own, beside the outlet; its result says which step failed and why. */
#ifndef ENGINE_SERVER_TEST_H
#define ENGINE_SERVER_TEST_H

#include "base/base.h"
#include "base/err.h"

#include <jansson.h>

struct core;
struct link_request;
struct server_ref;

/* args: {"name"} and for send_test {"to"}. Answers the request when the conversation is over:
 * {"ok","steps":[{"step","ok","ms","detail"}],"conversation","tls","capabilities"}. */
void server_test_start(struct core *c, struct link_request *r);

struct trial_ask {
    struct server_ref *server; /* one reference is taken for the conversation */
    const char *to;            /* NULL: the server's own From */
    const char *from;          /* envelope and header From; NULL: the server's */
    bool sends;                /* lets the dot go; else the message is withdrawn before it */
    int64_t limit_ms;          /* over all; 0: only the server's own timeouts */
};

/* One conversation; `done` gets its result, which is the callee's, on the reactor, exactly once and
 * never from inside this call. False: nothing was begun, *e says why. */
bool trial_start(struct core *c, const struct trial_ask *ask,
                 void (*done)(void *arg, json_t *result), void *arg, struct err *e) MUST_USE;

#endif
