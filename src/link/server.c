/* The side of the link that answers: core, on net/loop. Reads frames, hands calls to one handler,
 * writes answers in whatever order they come. Decides nothing about what a call means.
 * Guarantees: a request lives until it is answered, its peer may be gone by then; a peer that
 * breaks the rules (version, size, too many calls) is closed and logged, others do not notice. */
#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "link/link.h"
#include "net/conn.h"
#include "net/listen.h"

#include <stdlib.h>
#include <unistd.h>

struct link_peer {
    struct link_server *server;
    struct conn *conn;
    struct list link;
    struct list requests; /* unanswered */
    size_t n_requests;
    struct buf in, out;
    bool greeted;
};

struct link_server {
    struct net *net;
    struct listener *listener;
    link_handler *handler;
    void *arg;
    struct list peers;
    struct list orphans; /* requests whose peer is gone */
    size_t n_peers, n_requests, n_bytes;
};

static void peer_free(struct link_peer *p)
{
    struct link_server *s = p->server;
    list_each_safe(it, &p->requests)
    {
        struct link_request *r = list_entry(it, struct link_request, link);
        r->peer = NULL;
        list_remove(&r->link);
        list_push_back(&s->orphans, &r->link);
    }
    conn_close(&p->conn);
    buf_free(&p->in);
    buf_free(&p->out);
    list_remove(&p->link);
    s->n_peers--;
    free(p);
}

static void peer_break(struct link_peer *p, const char *why)
{
    log_event(LOG_WARNING, "link.broken", "why=\"%s\"", why);
    peer_free(p);
}

static void peer_flush(struct link_peer *p)
{
    if (!p->out.n)
        return;
    struct str slice = buf_str(&p->out);
    size_t taken = conn_write(p->conn, &slice, 1);
    buf_consume(&p->out, taken);
}

static void request_free(struct link_request *r)
{
    struct link_server *s = r->server;
    list_remove(&r->link);
    if (r->peer)
        r->peer->n_requests--;
    s->n_requests--;
    s->n_bytes -= r->weight;
    json_decref(r->call);
    free(r->bytes);
    free(r);
}

/* A request out of a payload; NULL with *e when it is none. */
static struct link_request *request_new(struct link_peer *p, const struct link_frame *f,
                                        struct err *e)
{
    json_t *call = NULL;
    struct str tail;
    if (!link_payload_read(f->payload, &call, &tail, e))
        return NULL;
    json_t *args = json_object_get(call, "args");
    if (!args || json_is_null(args)) {
        json_object_set_new(call, "args", json_object());
        args = json_object_get(call, "args");
    }
    const char *op = json_string_value(json_object_get(call, "op"));
    const char *actor = json_string_value(json_object_get(call, "actor"));
    if (!op || !json_is_object(args)) {
        json_decref(call);
        err_set(e, ERR_INVALID, "link: a call needs an op and an object of args");
        return NULL;
    }
    struct link_request *r = alloc_one(struct link_request);
    r->server = p->server;
    r->peer = p;
    r->id = f->id;
    r->call = call;
    r->op = op;
    r->args = args;
    r->actor = actor ? actor : "";
    r->weight = f->payload.n;
    r->bytes = tail.n ? str_dup(tail) : NULL;
    r->tail = str_from(r->bytes, tail.n);
    list_init(&r->link);
    list_push_back(&p->requests, &r->link);
    p->n_requests++;
    p->server->n_requests++;
    p->server->n_bytes += r->weight;
    return r;
}

/* False: the peer was freed. */
static bool peer_take(struct link_peer *p, const struct link_frame *f)
{
    struct link_server *s = p->server;
    if (!p->greeted) {
        if (f->type != LINK_HELLO) {
            peer_break(p, "no hello");
            return false;
        }
        p->greeted = true;
        return true;
    }
    if (f->type != LINK_CALL || p->n_requests >= LINK_OUTSTANDING_MAX ||
        s->n_bytes + f->payload.n > LINK_BYTES_MAX) {
        peer_break(p, f->type != LINK_CALL ? "not a call" : "too much outstanding");
        return false;
    }
    struct err e;
    struct link_request *r = request_new(p, f, &e);
    if (!r) {
        peer_break(p, e.text);
        return false;
    }
    s->handler(s->arg, r);
    return true;
}

/* The handler may answer at once and the answer may close the peer, so each round looks whether
 * the peer is still there. */
static bool server_has(const struct link_server *s, const struct link_peer *p)
{
    list_each(it, &s->peers) if (list_entry(it, struct link_peer, link) == p) return true;
    return false;
}

static void on_data(void *arg, struct str bytes)
{
    struct link_peer *p = arg;
    struct link_server *s = p->server;
    if (!buf_addstr(&p->in, bytes)) {
        peer_break(p, "too much at once");
        return;
    }
    for (;;) {
        struct link_frame f;
        size_t used = 0;
        struct err e;
        switch (link_frame_read(buf_str(&p->in), &f, &used, &e)) {
        case LINK_MORE: return;
        case LINK_BROKEN: peer_break(p, e.text); return;
        case LINK_FRAME: break;
        }
        if (!peer_take(p, &f) || !server_has(s, p))
            return;
        buf_consume(&p->in, used);
        if (!p->in.n)
            buf_free(&p->in);
    }
}

static void on_writable(void *arg)
{
    peer_flush(arg);
}

static void on_close(void *arg, const struct conn_failure *f)
{
    (void)f;
    peer_free(arg);
}

static const struct conn_handler peer_handler = {
    .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

static bool peer_is_ours(int fd)
{
    uint32_t uid = 0;
    return listen_peer_uid(fd, &uid) && (uid == 0 || uid == geteuid());
}

void link_server_adopt(struct link_server *s, int fd)
{
    if (s->n_peers >= LINK_CONNECTIONS_MAX || !peer_is_ours(fd)) {
        log_event(LOG_WARNING, "link.refused", "peers=%zu", s->n_peers);
        close(fd);
        return;
    }
    struct link_peer *p = alloc_one(struct link_peer);
    p->server = s;
    list_init(&p->requests);
    buf_init(&p->in, LINK_FRAME_MAX + (1u << 20));
    buf_init(&p->out, LINK_FRAME_MAX * 2);
    list_init(&p->link);
    list_push_back(&s->peers, &p->link);
    s->n_peers++;
    p->conn = conn_adopt(s->net, fd, &peer_handler, p);
    check(link_frame_add(&p->out, LINK_HELLO, 0, STR("{\"role\":\"core\"}"), STR_NONE));
    peer_flush(p);
}

struct link_server *link_server_bare(struct net *n, link_handler *handler, void *arg)
{
    struct link_server *s = alloc_one(struct link_server);
    s->net = n;
    s->handler = handler;
    s->arg = arg;
    list_init(&s->peers);
    list_init(&s->orphans);
    return s;
}

static void accepted(void *arg, int fd)
{
    link_server_adopt(arg, fd);
}

bool link_server_new(struct loop *l, struct net *n, const char *path, link_handler *handler,
                     void *arg, struct link_server **out, struct err *e)
{
    struct link_server *s = link_server_bare(n, handler, arg);
    s->listener = listener_unix(l, path, accepted, s, e);
    if (!s->listener)
        link_server_free(&s);
    *out = s;
    return s != NULL;
}

/* Copies out of `answer` what goes on the wire; too big a one is replaced by an error. */
static bool peer_answer(struct link_peer *p, uint64_t id, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    bool fits = text && link_frame_add(&p->out, LINK_ANSWER, id, str_of(text), STR_NONE);
    free(text);
    if (fits)
        return true;
    buf_free(&p->out);
    return false;
}

static bool peer_answer_too_big(struct link_peer *p, uint64_t id)
{
    struct err e;
    err_set(&e, ERR_TOO_BIG, "the answer is over %u MB: ask for less at a time (--limit)",
            LINK_FRAME_MAX >> 20);
    json_t *j = link_answer_error(&e);
    char *text = json_dumps(j, JSON_COMPACT);
    bool ok = text && link_frame_add(&p->out, LINK_ANSWER, id, str_of(text), STR_NONE);
    free(text);
    json_decref(j);
    return ok;
}

void link_answer(struct link_request *r, json_t *answer)
{
    struct link_peer *p = r->peer;
    uint64_t id = r->id;
    request_free(r);
    if (p) {
        bool backlog = p->out.n > 0;
        if (peer_answer(p, id, answer) || (!backlog && peer_answer_too_big(p, id)))
            peer_flush(p);
        else
            peer_break(p, "the peer does not read its answers");
    }
    json_decref(answer);
}

size_t link_server_outstanding(const struct link_server *s)
{
    return s->n_requests;
}

void link_server_close(struct link_server *s)
{
    listener_close(&s->listener);
    while (!list_empty(&s->peers))
        peer_free(list_first(&s->peers, struct link_peer, link));
}

void link_server_free(struct link_server **sp)
{
    struct link_server *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    link_server_close(s);
    while (!list_empty(&s->orphans))
        request_free(list_first(&s->orphans, struct link_request, link));
    free(s);
}
