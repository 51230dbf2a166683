/* The daemon: a small parent that starts and watches its children. Shared by serve_parent.c (the
 * parent), serve_listen.c (which address HTTP gets) and serve_roles.c (what a child does). */
#ifndef MAIN_SERVE_H
#define MAIN_SERVE_H

#include "base/base.h"
#include "base/err.h"
#include "main/command.h"
#include "main/config.h"

/* `postfleet serve`, both the parent and, by the hidden --role, its children. */
int main_serve(struct cmd *c);
int serve_parent(struct cmd *c);
/* Runs core or web in this process. Gives its exit status. */
int serve_role(struct cmd *c);

/* The address HTTP will listen on ("127.0.0.1:8025"): `wanted` when its port is free; else, when
 * nobody asked for it, the same address with a port that is free (and a warning); else ERR_FAILED.
 */
bool serve_choose_http(const char *wanted, bool asked_for, char *out, size_t size,
                       struct err *e) MUST_USE;
/* "http://127.0.0.1:8025" for links and people; an address of all interfaces becomes loopback. */
void serve_http_url(const char *listen, char *out, size_t size);
/* True when the daemon behind DIR/api.sock answers 200 to /readyz. dir_fd: of the directory. */
bool serve_is_ready(int dir_fd);

#endif
