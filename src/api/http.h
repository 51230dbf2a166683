/* The seam between HTTP and the resources: handlers see requests and give answers, and nothing of
 * the library behind it. A request's body is complete before its handler runs (in memory, or in an
 * unlinked file when it is large), and its answer is complete before a byte of it leaves, so that
 * neither a slow sender nor a slow reader holds a thread or a database snapshot.
 * Handlers run on worker threads, each with a read-only database handle of its own. */
#ifndef API_HTTP_H
#define API_HTTP_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

#define HTTP_PARAMS_MAX  3
#define HTTP_QUERIES_MAX 64
#define HTTP_HEADERS_MAX 8
#define HTTP_JSON_MAX    (8u << 20)    /* bytes of a JSON body */
#define HTTP_MAIL_MAX    (40u << 20)   /* bytes of a mail */
#define HTTP_FILE_MAX    (1024u << 20) /* bytes of an import */

enum http_method { HTTP_GET, HTTP_POST, HTTP_PATCH, HTTP_DELETE, HTTP_PUT, HTTP_OTHER };

struct db;
struct web;
struct http_request;

struct http_route {
    enum http_method method;
    const char *pattern; /* "/v1/servers/{}/pause": {} is one segment */
    void (*handle)(struct http_request *r);
    const char *scope; /* of a key; NULL: any key; "": public, no key */
    size_t body_max;   /* 0: none is read */
    bool is_slow;      /* may take long: runs on the workers for that */
};

/* Who asks. */
struct http_caller {
    bool is_local;    /* by the Unix socket: everything is allowed */
    char name[100];   /* "user:NAME" of this machine, "login:NAME", "key:NAME", "public" */
    bool is_test;     /* a pf_test_ key: rendered, never leaves */
    json_t *groups;   /* names a key may use; NULL: all */
    char session[64]; /* the token of a login; "": none */
};

struct http_pair {
    char *name, *value;
};

struct http_request {
    struct web *web;
    struct db *db; /* of the worker; NULL before the handler runs */
    enum http_method method;
    const struct http_route *route;
    char *params[HTTP_PARAMS_MAX]; /* decoded segments */
    struct http_pair queries[HTTP_QUERIES_MAX];
    size_t n_queries;
    char content_type[100];    /* lower case, without parameters; "" when not given */
    char idempotency_key[256]; /* "" when not given */
    struct http_caller caller;
    struct str body;
    /* the answer */
    int status;   /* 0: none yet */
    char *answer; /* malloc'd */
    size_t answer_n;
    int answer_fd; /* -1, or a file that is the answer */
    struct http_pair headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    bool must_close; /* the connection ends after the answer */
    void *inner;     /* of http.c */
};

/* First value of a query field, decoded; NULL when absent. */
const char *http_query(const struct http_request *r, const char *name);
/* Limits the fields a route knows; others are refused (NULL ends the list). */
bool http_queries_known(const struct http_request *r, const char *const *known,
                        struct err *e) MUST_USE;

/* Each sets the answer, once. j is stolen. */
void http_answer_json(struct http_request *r, int status, json_t *j);
void http_answer_text(struct http_request *r, int status, const char *type, struct str text);
/* fd is taken over and sent from its start. filename NULL: shown, not saved. */
void http_answer_file(struct http_request *r, const char *type, int fd, const char *filename);
/* RFC 9457: type, title, status, detail, code. */
void http_answer_error(struct http_request *r, const struct err *e);
void http_answer_problem(struct http_request *r, int status, const char *code, const char *detail);
void http_header(struct http_request *r, const char *name, const char *value);

#endif
