/* HTTP requests of ours to addresses that others gave us (webhooks), by libcurl on a loop. The name
 * is resolved once for a request, every address is held against net/reach.h, and the connection is
 * made to one of those, so that a name that changes its mind in between leads nowhere else. No
 * redirect is followed, no proxy, no cookie, no credential of the machine is used; certificates are
 * verified; time and bytes are bounded. Each fetcher has connections of its own. */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "net/dns.h"
#include "net/loop.h"

#define FETCH_REPLY_KEPT 1024        /* bytes of an answer that are handed on */
#define FETCH_REPLY_MAX  (64u << 10) /* more is not read: the connection is closed */

struct fetcher;
struct fetch;

struct fetch_config {
    const char *ca_file;    /* NULL: the system's store; copied */
    bool allow_private;     /* every address may be asked */
    unsigned connections;   /* kept open at most */
    int connect_timeout_ms; /* TCP and TLS */
    int timeout_ms;         /* for all of it, the name included */
};

struct fetch_ask {
    const char *url;
    const char *const *headers; /* "Name: value", NULL at the end */
    struct str body;            /* copied */
};

struct fetch_answer {
    int status;          /* of HTTP; 0: there is none */
    int64_t ms;          /* from the start */
    struct str reply;    /* the first FETCH_REPLY_KEPT bytes; borrowed for the call */
    int64_t retry_after; /* seconds, as the answer asks; 0: it does not */
    const char *why;     /* why there is no status, for people; "" when there is */
};

/* Is the URL one that may be asked: http or https, without credentials, not over 2,000 bytes, and
 * when its host is an address, in whatever form, a public one (or allow_private)? ERR_INVALID,
 * ERR_REFUSED. From any thread. */
bool fetch_check_url(const char *url, bool allow_private, struct err *e) MUST_USE;

struct fetcher *fetcher_new(struct loop *l, struct dns *d, const struct fetch_config *cfg,
                            struct err *e) MUST_USE;
/* Requests under way end without an answer. */
void fetcher_free(struct fetcher **f);

/* A POST. The answer comes once, never inside this call. */
struct fetch *fetch_post(struct fetcher *f, const struct fetch_ask *ask,
                         void (*done)(void *arg, const struct fetch_answer *a), void *arg) MUST_USE;

#endif
