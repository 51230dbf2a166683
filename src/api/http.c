/* libmicrohttpd behind the seam: the only file that knows it. Takes requests apart on its few event
 * threads, hands them to the workers with the connection suspended, and sends what they made.
 * Answers itself: what is malformed, unknown, too large or not allowed. Guarantees that one byte
 * stream has one reading: a request with both Content-Length and Transfer-Encoding, two lengths, or
 * any coding but chunked, is refused and its connection closed. */
#include "api/inner.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "net/listen.h"

#include <microhttpd.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECTIONS_MAX   1000
#define IDLE_S            30
#define HEAD_BYTES_MAX    32768
#define DISCARD_MAX       (64u << 20)
#define POLITE_MAX        65536 /* bytes of a body that is read although its head is refused */
#define EVENT_THREADS_TCP 2

struct http_listener {
    struct web *web;
    struct MHD_Daemon *daemon;
    bool is_local;
    int fd;
};

enum stage { STAGE_NEW, STAGE_BODY, STAGE_WORK, STAGE_DONE, STAGE_DISCARD };

struct inner {
    struct http_request r;
    struct http_listener *listener;
    struct MHD_Connection *connection;
    char *uri;
    enum stage stage;
    struct body body;
    size_t discarded;
};

/* ---- a request's life ---- */

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
    struct inner *in = alloc_one(struct inner);
    in->listener = cls;
    in->connection = c;
    in->uri = alloc_copy(uri);
    in->r.web = in->listener->web;
    in->r.inner = in;
    in->r.answer_fd = -1;
    in->body.fd = -1;
    return in;
}

static void request_free(struct inner *in)
{
    struct http_request *r = &in->r;
    for (size_t i = 0; i < HTTP_PARAMS_MAX; i++)
        free(r->params[i]);
    for (size_t i = 0; i < r->n_queries; i++) {
        free(r->queries[i].name);
        free(r->queries[i].value);
    }
    for (size_t i = 0; i < r->n_headers; i++) {
        free(r->headers[i].name);
        free(r->headers[i].value);
    }
    json_decref(r->caller.groups);
    free(r->answer);
    if (r->answer_fd >= 0)
        close(r->answer_fd);
    body_free(&in->body);
    free(in->uri);
    free(in);
}

static struct watched *watched_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls, (void)code;
    struct inner *in = *con_cls;
    struct watched *x = watched_of(c);
    *con_cls = NULL;
    if (x)
        watch_head(x);
    if (in)
        request_free(in);
}

static void on_connection(void *cls, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)cls;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context)
            watch_remove(*context);
        *context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    *context = i ? watch_add(i->connect_fd) : NULL;
}

/* ---- answering ---- */

static enum MHD_Result send_answer(struct inner *in)
{
    struct http_request *r = &in->r;
    struct MHD_Response *m = NULL;
    struct watched *x = watched_of(in->connection);
    if (x)
        watch_busy(x);
    if (!r->status)
        http_answer_problem(r, 500, "failed", "the request was not answered");
    if (r->answer_fd >= 0) {
        off_t size = lseek(r->answer_fd, 0, SEEK_END);
        m = MHD_create_response_from_fd64((uint64_t)MAX(size, (off_t)0), r->answer_fd);
        if (m)
            r->answer_fd = -1;
    } else {
        m = MHD_create_response_from_buffer(r->answer_n, r->answer, MHD_RESPMEM_MUST_FREE);
        if (m)
            r->answer = NULL;
    }
    if (!m)
        return MHD_NO;
    for (size_t i = 0; i < r->n_headers; i++)
        (void)MHD_add_response_header(m, r->headers[i].name, r->headers[i].value);
    if (r->must_close)
        (void)MHD_add_response_header(m, "Connection", "close");
    enum MHD_Result ok = MHD_queue_response(in->connection, (unsigned)r->status, m);
    MHD_destroy_response(m);
    return ok;
}

/* Before the body: the connection cannot be used any further. */
static enum MHD_Result refuse(struct inner *in)
{
    in->r.must_close = true;
    in->stage = STAGE_DONE;
    return send_answer(in);
}

static enum MHD_Result read_body(struct inner *in, enum stage stage)
{
    struct watched *x = watched_of(in->connection);
    in->stage = stage;
    if (x)
        watch_body(x);
    return MHD_YES;
}

/* ---- the head ---- */

struct head {
    unsigned lengths, codings;
    bool is_odd; /* a name with a blank: another reader may take it for something else */
    const char *length, *coding, *authorization, *type, *idempotency_key;
};

static enum MHD_Result look_at_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    (void)kind;
    struct head *h = cls;
    struct str n = str_of(name);
    for (size_t i = 0; i < n.n; i++)
        h->is_odd = h->is_odd || (unsigned char)n.p[i] <= ' ';
    if (str_iis(n, "content-length")) {
        h->lengths++;
        h->length = value;
    } else if (str_iis(n, "transfer-encoding")) {
        h->codings++;
        h->coding = value;
    } else if (str_iis(n, "authorization")) {
        h->authorization = value;
    } else if (str_iis(n, "content-type")) {
        h->type = value;
    } else if (str_iis(n, "idempotency-key")) {
        h->idempotency_key = value;
    }
    return MHD_YES;
}

static bool check_framing(struct http_request *r, const struct head *h)
{
    uint64_t n = 0;
    const char *wrong = NULL;
    if (h->is_odd)
        wrong = "a header's name has a blank in it";
    else if (h->lengths && h->codings)
        wrong = "the request has both Content-Length and Transfer-Encoding";
    else if (h->lengths > 1 || h->codings > 1)
        wrong = "the request states its length more than once";
    else if (h->lengths && (!h->length || !str_to_u64(str_of(h->length), INT64_MAX, &n)))
        wrong = "Content-Length is no number";
    if (wrong) {
        http_answer_problem(r, 400, "invalid", wrong);
        return false;
    }
    if (h->codings && (!h->coding || !str_iis(str_of(h->coding), "chunked"))) {
        http_answer_problem(r, 501, "invalid", "no Transfer-Encoding but chunked is understood");
        return false;
    }
    return true;
}

static bool check_route(struct http_request *r, const char *uri)
{
    char allow[64];
    struct err e;
    struct str all = str_of(uri), path = all;
    ptrdiff_t mark = str_chr(all, '?');
    if (mark >= 0)
        path = str_cut(all, 0, (size_t)mark);
    if (!path.n || path.p[0] != '/') {
        http_answer_problem(r, 400, "invalid", "the target must be a path that begins with /");
        return false;
    }
    switch (route_find(r, path, allow)) {
    case ROUTE_FOUND: break;
    case ROUTE_NO_PATH:
        http_answer_problem(r, 404, "not_found", "there is no such path");
        return false;
    case ROUTE_NO_METHOD:
        http_header(r, "Allow", allow);
        http_answer_problem(r, 405, "invalid", "this path does not know the method");
        return false;
    }
    if (mark >= 0 && !route_queries(r, str_from_index(all, (size_t)mark + 1), &e)) {
        http_answer_error(r, &e);
        return false;
    }
    return true;
}

static bool check_length(struct http_request *r, const struct head *h)
{
    uint64_t n = 0;
    char text[120];
    if (h->length)
        (void)str_to_u64(str_of(h->length), INT64_MAX, &n);
    if (n <= r->route->body_max)
        return true;
    if (!r->route->body_max)
        snprintf(text, sizeof(text), "this request takes no body");
    else
        snprintf(text, sizeof(text), "the body is over %zu bytes, the most that is taken here",
                 r->route->body_max);
    http_answer_problem(r, 413, "too_big", text);
    return false;
}

static void take_type(struct http_request *r, const char *type)
{
    struct str s = str_of(type), first;
    if (!str_split(&s, ';', &first))
        return;
    str_copy(str_trim(first), r->content_type, sizeof(r->content_type));
    for (char *p = r->content_type; *p; p++)
        *p = ascii_lower(*p);
}

/* Printable ASCII, so that it can be shown, compared and stored anywhere. */
static bool take_idempotency_key(struct http_request *r, const char *key)
{
    struct str s = str_trim(str_of(key));
    bool ok = str_copy(s, r->idempotency_key, sizeof(r->idempotency_key));
    for (size_t i = 0; i < s.n; i++)
        ok = ok && s.p[i] > ' ' && s.p[i] < 0x7f;
    if (!key || (ok && s.n))
        return true;
    http_answer_problem(r, 400, "invalid",
                        "Idempotency-Key: must be 1 to 255 printable characters without blanks");
    return false;
}

static bool is_our_peer(struct MHD_Connection *c, uint32_t *uid_out)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    return i && listen_peer_uid(i->connect_fd, uid_out) && (*uid_out == 0 || *uid_out == geteuid());
}

/* "user:ana", once a thread and user; without an entry in passwd the number. */
static void name_of_user(uint32_t uid, char *out, size_t size)
{
    static _Thread_local struct {
        uint32_t uid;
        char name[80];
    } last;
    struct passwd p, *found = NULL;
    char room[4096];
    if (!last.name[0] || last.uid != uid) {
        bool known = getpwuid_r(uid, &p, room, sizeof(room), &found) == 0 && found;
        if (known)
            snprintf(last.name, sizeof(last.name), "user:%.70s", p.pw_name);
        else
            snprintf(last.name, sizeof(last.name), "user:%u", uid);
        last.uid = uid;
    }
    str_copy(str_of(last.name), out, size);
}

static bool check_caller(struct inner *in, const struct head *h)
{
    struct http_request *r = &in->r;
    struct err e;
    int status = 401;
    if (r->route->scope && !*r->route->scope) {
        str_copy(STR("public"), r->caller.name, sizeof(r->caller.name));
        r->caller.is_local = in->listener->is_local;
        return true;
    }
    if (in->listener->is_local) {
        uint32_t uid = 0;
        bool is_ours = is_our_peer(in->connection, &uid);
        r->caller.is_local = true;
        name_of_user(uid, r->caller.name, sizeof(r->caller.name));
        if (is_ours)
            return true;
        http_answer_problem(r, 403, "not_allowed", "this socket is for its owner and root only");
        return false;
    }
    struct db *db = h->authorization ? web_db(r->web, &e) : NULL;
    if (h->authorization && !db) {
        http_answer_error(r, &e);
        return false;
    }
    if (auth_check(r, db, h->authorization, &status, &e))
        return true;
    http_answer_problem(r, status, err_code_name(e.code), e.text);
    return false;
}

static enum http_method method_of(const char *method)
{
    if (!strcmp(method, "GET") || !strcmp(method, "HEAD"))
        return HTTP_GET;
    if (!strcmp(method, "POST"))
        return HTTP_POST;
    if (!strcmp(method, "PATCH"))
        return HTTP_PATCH;
    if (!strcmp(method, "PUT"))
        return HTTP_PUT;
    return !strcmp(method, "DELETE") ? HTTP_DELETE : HTTP_OTHER;
}

/* Many clients write their body before they read: closed by then, they would find a broken pipe and
 * not our answer. So a small body is read, and dropped. */
static enum MHD_Result refuse_behind_body(struct inner *in, const struct head *h)
{
    uint64_t n = 0;
    bool is_small = h->length && str_to_u64(str_of(h->length), POLITE_MAX, &n) && n > 0;
    if (!is_small)
        return refuse(in);
    in->r.must_close = true;
    return read_body(in, STAGE_DISCARD);
}

static enum MHD_Result begin(struct inner *in, const char *method)
{
    struct http_request *r = &in->r;
    struct head h = {0};
    (void)MHD_get_connection_values(in->connection, MHD_HEADER_KIND, look_at_header, &h);
    r->method = method_of(method);
    if (!check_framing(r, &h))
        return refuse(in);
    if (!check_route(r, in->uri) || !check_caller(in, &h) || !check_length(r, &h) ||
        !take_idempotency_key(r, h.idempotency_key))
        return refuse_behind_body(in, &h);
    take_type(r, h.type);
    body_init(&in->body, r->web->config->data_dir, r->route->body_max);
    return read_body(in, STAGE_BODY);
}

/* ---- the body ---- */

/* The library takes an answer only before or behind a body: what is too much is read and dropped,
 * up to a bound. */
static enum MHD_Result discard(struct inner *in, size_t *n)
{
    in->discarded += *n;
    *n = 0;
    return in->discarded > DISCARD_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result take_body(struct inner *in, const char *data, size_t *n)
{
    struct err e;
    struct watched *x = watched_of(in->connection);
    if (x)
        watch_got(x, *n);
    if (in->stage == STAGE_DISCARD)
        return discard(in, n);
    if (!body_add(&in->body, data, *n, &e)) {
        http_answer_error(&in->r, &e);
        in->r.must_close = true;
        in->stage = STAGE_DISCARD;
        return discard(in, n);
    }
    *n = 0;
    return MHD_YES;
}

static enum MHD_Result hand_over(struct inner *in)
{
    struct http_request *r = &in->r;
    struct err e;
    struct watched *x = watched_of(in->connection);
    if (x)
        watch_busy(x);
    if (!body_str(&in->body, &r->body, &e)) {
        http_answer_error(r, &e);
        return refuse(in);
    }
    in->stage = STAGE_WORK;
    MHD_suspend_connection(in->connection);
    struct queue *q = r->route->is_slow ? r->web->slow : r->web->fast;
    if (!queue_try_push(q, r)) {
        http_answer_problem(r, 503, "later", "too many requests wait already: try again later");
        http_resume(r);
    }
    return MHD_YES;
}

void http_resume(struct http_request *r)
{
    struct inner *in = r->inner;
    struct MHD_Connection *c = in->connection;
    in->stage = STAGE_DONE;
    MHD_resume_connection(c);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **con_cls)
{
    (void)cls, (void)url, (void)version, (void)c;
    struct inner *in = *con_cls;
    if (in->stage == STAGE_NEW)
        return begin(in, method);
    if (*n)
        return take_body(in, data, n);
    if (in->stage == STAGE_BODY)
        return hand_over(in);
    return in->stage == STAGE_WORK ? MHD_YES : send_answer(in);
}

/* ---- listening ---- */

/* Paths and queries stay as they came: router.c splits before it decodes. */
static size_t leave_escaped(void *cls, struct MHD_Connection *c, char *s)
{
    (void)cls, (void)c;
    return strlen(s);
}

static void on_log(void *cls, const char *fmt, va_list ap)
{
    (void)cls;
    char text[400];
    /* NOLINTNEXTLINE: the format is the library's */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(text, sizeof(text), fmt, ap);
#pragma GCC diagnostic pop
    text[strcspn(text, "\r\n")] = '\0';
    log_event(LOG_DEBUG, "http.library", "text=\"%s\"", text);
}

bool http_listen(struct web *w, int fd, bool is_local, struct http_listener **out, struct err *e)
{
    struct http_listener *l = alloc_one(struct http_listener);
    l->web = w;
    l->is_local = is_local;
    l->fd = fd;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    l->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES_MAX, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)EVENT_THREADS_TCP, MHD_OPTION_URI_LOG_CALLBACK, on_uri, l,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, NULL, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_END);
    *out = l->daemon ? l : NULL;
    if (l->daemon)
        return true;
    close(fd);
    free(l);
    return err_set(e, ERR_FAILED, "the HTTP server cannot be started");
}

void http_quiesce(struct http_listener *l)
{
    (void)MHD_quiesce_daemon(l->daemon);
}

void http_stop(struct http_listener **lp)
{
    struct http_listener *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    MHD_stop_daemon(l->daemon);
    close(l->fd);
    free(l);
}
