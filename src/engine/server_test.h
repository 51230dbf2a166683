/* `server test` and `server send-test`: one conversation with a server, step by step, on a
 * connection of its own, beside the outlet; its result says which step failed and why. */
#ifndef ENGINE_SERVER_TEST_H
#define ENGINE_SERVER_TEST_H

struct core;
struct link_request;

/* args: {"name"} and for send_test {"to"}. Answers the request when the conversation is over:
 * {"ok","steps":[{"step","ok","ms","detail"}],"conversation","tls","capabilities"}. */
void server_test_start(struct core *c, struct link_request *r);

#endif
