/* net/conn.h on a virtual network: packets in order with latency, connects, handshakes, resets,
 * black holes, a network cut for everybody, writes that come up short. The server's end lives on
 * when ours is gone, until it hears of it. Names are literal: a port tells the server. */
#include "world.h"

#include "base/alloc.h"
#include "net/conn.h"
#include "net/dns.h"
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define SHORT_WRITES 10 /* of 1000 */

enum packet_kind { /* to the server */
                   PACKET_SYN,
                   PACKET_BYTES,
                   PACKET_END,
                   /* to us */
                   PACKET_OPEN,
                   PACKET_REPLY,
                   PACKET_CLOSED,
                   PACKET_TLS,
                   PACKET_WRITABLE,
};

struct packet {
    struct event event;
    struct due due;
    struct list link; /* in conn->wire or peer->wire */
    enum packet_kind kind;
    struct conn *conn;
    struct peer *peer;
    char *bytes;
    size_t n;
    int64_t sent_us;
    struct conn_failure failure; /* CLOSED; TLS: text[0] says that it broke */
};

struct net {
    struct loop *loop;
};

struct peer {
    struct list link, wire;
    struct vserver *server;
    struct smtp_peer *smtp; /* NULL: not connected yet */
    struct conn *conn;      /* NULL: our end is gone */
    int64_t last_there, last_back;
    uint32_t number;
    bool is_silent, is_over;
};

struct conn {
    struct list wire;
    struct vserver *server;
    struct peer *peer;
    const struct conn_handler *handler;
    void *arg;
    struct event deadline;
    struct due timed_out;
    bool is_open, implicit_tls, shakes, gone, in_call;
};

static struct list peers = {&peers, &peers};

/* ---- packets */

static void packet_free(struct packet *k)
{
    event_cancel(&k->event);
    due_cancel(&k->due);
    list_remove(&k->link);
    free(k->bytes);
    free(k);
}

static void handle_there(struct packet *k);
static void handle_back(struct due *d);

static void arrive(struct event *e)
{
    struct packet *k = container_of(e, struct packet, event);
    if (k->kind <= PACKET_END)
        handle_there(k);
    else
        due_post(&k->due);
}

static struct packet *packet_new(enum packet_kind kind, struct str bytes)
{
    struct packet *k = alloc_one(struct packet);
    k->kind = kind;
    k->sent_us = W->boot_us;
    k->event.fire = arrive;
    due_init(&k->due, handle_back);
    if (bytes.n) {
        k->bytes = alloc_bytes(bytes.n);
        memcpy(k->bytes, bytes.p, bytes.n);
        k->n = bytes.n;
    }
    return k;
}

/* When what leaves after `delay` is there: in order, and behind a network cut. */
static int64_t arrival(const struct vserver *s, int64_t delay_us, int64_t *last)
{
    int64_t at = W->boot_us + delay_us + s->half_rtt_us + world_between(0, s->half_rtt_us / 8 + 1);
    if (W->cut_until_us > at - s->half_rtt_us)
        at = MAX(at, W->cut_until_us + world_between(0, 1500000));
    at = MAX(at, *last + 1);
    *last = at;
    return at;
}

static void send_there(struct peer *p, enum packet_kind kind, struct str bytes)
{
    struct packet *k = packet_new(kind, bytes);
    k->peer = p;
    list_push_back(&p->wire, &k->link);
    event_at(&k->event, arrival(p->server, 0, &p->last_there));
}

static struct packet *send_back(struct peer *p, enum packet_kind kind, struct str bytes,
                                int64_t delay_us)
{
    struct conn *c = p->conn;
    if (!c || p->is_silent)
        return NULL;
    struct packet *k = packet_new(kind, bytes);
    k->conn = c;
    list_push_back(&c->wire, &k->link);
    event_at(&k->event, arrival(p->server, delay_us, &p->last_back));
    return k;
}

/* ---- the server's end */

static void peer_free(struct peer *p)
{
    while (!list_empty(&p->wire))
        packet_free(list_first(&p->wire, struct packet, link));
    if (p->conn)
        p->conn->peer = NULL;
    smtp_peer_free(&p->smtp);
    list_remove(&p->link);
    free(p);
}

static void fail_conn(struct peer *p, enum conn_stage stage, enum conn_cause cause,
                      const char *text, int64_t delay_us)
{
    struct packet *k = send_back(p, PACKET_CLOSED, STR_NONE, delay_us);
    if (!k)
        return;
    k->failure = (struct conn_failure){.stage = stage, .cause = cause};
    snprintf(k->failure.text, sizeof k->failure.text, "%s", text);
}

void peer_write(struct peer *p, struct str bytes, int64_t delay_us)
{
    if (!p->is_over)
        send_back(p, PACKET_REPLY, bytes, delay_us);
}

void peer_close(struct peer *p, int64_t delay_us)
{
    if (p->is_over)
        return;
    fail_conn(p, CONN_STAGE_OPEN, CONN_CAUSE_PEER_CLOSED, "the server closed", delay_us);
    p->is_over = true;
}

bool peer_is_over(const struct peer *p)
{
    return p->is_over;
}

static void connected(struct peer *p)
{
    if (world_behaves(p->server, VERB_VANISH)) {
        p->is_silent = true;
        return;
    }
    if (world_behaves(p->server, VERB_REFUSE)) {
        fail_conn(p, CONN_STAGE_CONNECT, CONN_CAUSE_REFUSED, "connection refused", 0);
        p->is_over = true;
        return;
    }
    p->smtp = smtp_peer_new(p->server, p);
    send_back(p, PACKET_OPEN, STR_NONE, 0);
    if (p->conn && !p->conn->implicit_tls)
        smtp_peer_begin(p->smtp);
}

static void take_bytes(struct peer *p, struct str bytes, int64_t sent_us)
{
    p->is_silent |= world_behaves(p->server, VERB_VANISH) != NULL;
    if (p->is_silent || p->is_over || !p->smtp)
        return;
    if (world_behaves(p->server, VERB_REFUSE)) {
        fail_conn(p, CONN_STAGE_OPEN, CONN_CAUSE_RESET, "connection reset", 0);
        p->is_over = true;
        return;
    }
    smtp_peer_input(p->smtp, bytes, sent_us);
}

static void handle_there(struct packet *k)
{
    struct peer *p = k->peer;
    enum packet_kind kind = k->kind;
    if (kind == PACKET_SYN)
        connected(p);
    else if (kind == PACKET_BYTES)
        take_bytes(p, str_from(k->bytes, k->n), k->sent_us);
    packet_free(k);
    if (kind == PACKET_END)
        peer_free(p);
}

void conns_crash(void)
{
    list_each(it, &peers)
    {
        struct peer *p = list_entry(it, struct peer, link);
        list_each(at, &p->wire)
        {
            struct packet *k = list_entry(at, struct packet, link);
            if (W->reboots && world_chance(300))
                break; /* what the network had not taken is gone with the machine */
            if (k->kind == PACKET_BYTES)
                take_bytes(p, str_from(k->bytes, k->n), k->sent_us);
        }
    }
    for (uint32_t i = 0; i < W->n_servers; i++)
        W->servers[i].connections = 0;
}

uint32_t conns_open(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < W->n_servers; i++)
        n += W->servers[i].connections;
    return n;
}

/* ---- our end */

struct net *net_new(struct loop *l, const struct net_config *cfg)
{
    struct net *n = alloc_one(struct net);
    (void)cfg;
    n->loop = l;
    return n;
}

void net_free(struct net **n)
{
    free(*n);
    *n = NULL;
}

/* No name is looked up in this world: its servers are addresses on loopback. */
struct dns *net_dns(struct net *n)
{
    (void)n;
    return NULL;
}

struct dns_question *dns_ask(struct dns *d, const char *name, enum dns_type type,
                             void (*answered)(void *arg, const struct dns_answer *a), void *arg)
{
    (void)d, (void)name, (void)type, (void)answered, (void)arg;
    abort();
}

static void on_closed(struct conn *c, const struct conn_failure *f)
{
    event_cancel(&c->deadline);
    if (c->peer)
        c->peer->is_over = true;
    c->is_open = false;
    c->handler->on_close(c->arg, f);
}

static void shaken(struct conn *c, const struct conn_failure *f)
{
    bool ok = !f->text[0];
    event_cancel(&c->deadline);
    c->shakes = false;
    if (ok && c->peer)
        smtp_peer_tls(c->peer->smtp);
    if (ok && c->implicit_tls) {
        c->is_open = true;
        c->handler->on_open(c->arg);
        return;
    }
    if (c->implicit_tls) {
        on_closed(c, f);
        return;
    }
    c->handler->on_tls(c->arg, ok, f);
    if (!ok && !c->gone)
        on_closed(c, f);
}

static void begin_tls(struct conn *c)
{
    struct peer *p = c->peer;
    c->shakes = true;
    if (!p)
        return;
    struct packet *k = send_back(p, PACKET_TLS, STR_NONE, 2 * p->server->half_rtt_us);
    if (!k || !world_behaves(p->server, VERB_TLS))
        return;
    k->failure = (struct conn_failure){.stage = CONN_STAGE_TLS, .cause = CONN_CAUSE_TLS};
    snprintf(k->failure.text, sizeof k->failure.text, "the handshake broke");
}

static void opened(struct conn *c)
{
    if (c->implicit_tls) {
        begin_tls(c);
        return;
    }
    event_cancel(&c->deadline);
    c->is_open = true;
    c->handler->on_open(c->arg);
}

static void conn_free(struct conn *c)
{
    free(c);
}

static void handle_back(struct due *d)
{
    struct packet *k = container_of(d, struct packet, due);
    struct conn *c = k->conn;
    struct packet copy = *k;
    k->bytes = NULL;
    packet_free(k);
    c->in_call = true;
    switch (copy.kind) {
    case PACKET_OPEN: opened(c); break;
    case PACKET_REPLY: c->handler->on_data(c->arg, str_from(copy.bytes, copy.n)); break;
    case PACKET_CLOSED: on_closed(c, &copy.failure); break;
    case PACKET_TLS: shaken(c, &copy.failure); break;
    case PACKET_WRITABLE: c->handler->on_writable(c->arg); break;
    case PACKET_SYN:
    case PACKET_BYTES:
    case PACKET_END: break;
    }
    free(copy.bytes);
    c->in_call = false;
    if (c->gone)
        conn_free(c);
}

static void on_deadline(struct event *e)
{
    due_post(&container_of(e, struct conn, deadline)->timed_out);
}

static void time_out(struct due *d)
{
    struct conn *c = container_of(d, struct conn, timed_out);
    struct conn_failure f = {.stage = c->shakes ? CONN_STAGE_TLS : CONN_STAGE_CONNECT,
                             .cause = CONN_CAUSE_TIMEOUT,
                             .text = "no answer in time"};
    c->in_call = true;
    if (c->shakes)
        shaken(c, &f);
    else
        on_closed(c, &f);
    c->in_call = false;
    if (c->gone)
        conn_free(c);
}

static struct vserver *server_at(uint16_t port)
{
    for (uint32_t i = 0; i < W->n_servers; i++)
        if (W->servers[i].port == port)
            return &W->servers[i];
    world_fail("a connection to port %u, where no server is", port);
}

struct conn *conn_open(struct net *n, const struct conn_params *p, const struct conn_handler *h,
                       void *arg)
{
    struct conn *c = alloc_one(struct conn);
    struct peer *peer = alloc_one(struct peer);
    (void)n;
    world_step();
    c->server = peer->server = server_at(p->port);
    c->peer = peer;
    c->handler = h;
    c->arg = arg;
    c->implicit_tls = p->tls;
    c->deadline.fire = on_deadline;
    due_init(&c->timed_out, time_out);
    list_init(&c->wire);
    peer->conn = c;
    peer->number = ++W->n_connections;
    list_init(&peer->wire);
    list_push_back(&peers, &peer->link);
    struct vserver *s = c->server;
    int64_t at = W->boot_us - W->ready_us;
    W->sick_tries += s == W->servers && at > W->sick_from_us + W->quiet_us && at < W->sick_to_us;
    s->connections++;
    s->most_connections = MAX(s->most_connections, s->connections);
    world_trace("connect %s #%u (%u open)", s->name, peer->number, s->connections);
    if (p->deadline < INT64_MAX / 1000)
        event_at(&c->deadline, p->deadline * 1000 + W->boot_base_us);
    send_there(peer, PACKET_SYN, STR_NONE);
    return c;
}

void conn_start_tls(struct conn *c, int64_t deadline)
{
    if (deadline < INT64_MAX / 1000)
        event_at(&c->deadline, deadline * 1000 + W->boot_base_us);
    begin_tls(c);
}

size_t conn_write(struct conn *c, const struct str *slices, size_t n)
{
    struct buf b;
    world_step();
    if (!c->is_open || !c->peer)
        return 0;
    buf_init(&b, 64u << 20);
    for (size_t i = 0; i < n; i++)
        buf_addstr(&b, slices[i]);
    size_t took = b.n;
    if (took > 1 && world_chance(SHORT_WRITES)) {
        took = 1 + world_below(took - 1);
        struct packet *k = packet_new(PACKET_WRITABLE, STR_NONE);
        k->conn = c;
        list_push_back(&c->wire, &k->link);
        event_at(&k->event, W->boot_us + world_between(100, 5000));
    }
    if (!c->peer->is_silent || !c->peer->smtp)
        send_there(c->peer, PACKET_BYTES, str_from(b.p, took));
    buf_free(&b);
    world_step();
    return took;
}

void conn_close(struct conn **cp)
{
    struct conn *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    c->gone = true;
    c->server->connections--;
    while (!list_empty(&c->wire))
        packet_free(list_first(&c->wire, struct packet, link));
    event_cancel(&c->deadline);
    due_cancel(&c->timed_out);
    if (c->peer) {
        c->peer->conn = NULL;
        send_there(c->peer, PACKET_END, STR_NONE);
    }
    if (!c->in_call)
        conn_free(c);
}

bool conn_tls_resumed(const struct conn *c)
{
    (void)c;
    return false;
}

void conn_describe_tls(const struct conn *c, char *out, size_t size)
{
    (void)c;
    snprintf(out, size, "simulated");
}

void conn_describe_peer(const struct conn *c, char *out, size_t size)
{
    snprintf(out, size, "127.0.0.1:%u", c->server->port);
}
