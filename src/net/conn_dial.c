/* From a name to a TCP connection: happy eyeballs, RFC 8305. AAAA and A are asked together; the
 * families take turns, IPv6 first; the next address is tried when the last one has failed or 250 ms
 * have passed, beside those still trying; the first to connect wins. When IPv4 won although there
 * were IPv6 addresses, it goes first for this host for 10 minutes, so that a slow family is not
 * waited for each time. */
#include <errno.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/conn_inner.h"

#define STAGGER_MS    250
#define RESOLUTION_MS 50 /* an answer of the second family waits so long for the first */
#define REMEMBER_MS   600000
#define HOSTS_MAX     10000

enum { V6, V4, FAMILIES };

struct attempt {
    struct list link;
    struct dial *dial;
    struct sock *sock;
    union net_address address;
};

struct dial {
    struct conn *c;
    struct timer *timer; /* the next address, or the end of the resolution delay */
    bool timer_set;
    bool started;
    int first; /* family that goes first */
    int last;  /* family of the last attempt */
    struct dns_question *question[FAMILIES];
    enum dns_status status[FAMILIES];
    struct dns_record records[FAMILIES][DNS_RECORDS_MAX];
    size_t n[FAMILIES], next[FAMILIES];
    struct list attempts;
    unsigned tried;
    bool failed_once;
    enum conn_cause cause; /* the worst so far */
    char text[160];
};

/* ---- which family ---- */

static int64_t *remembered(struct net *n, const char *host)
{
    return map_str_get(n->families, str_of(host));
}

static void forget(struct net *n, const char *host)
{
    free(map_str_remove(n->families, str_of(host)));
}

static void forget_all(struct net *n)
{
    size_t pos = 0;
    struct str key;
    void *until;
    while (map_str_next(n->families, &pos, &key, &until))
        free(until);
    map_str_free(&n->families);
    n->families = map_str_new();
}

void net_families_free(struct net *n)
{
    forget_all(n);
    map_str_free(&n->families);
}

static void remember(struct dial *d, int family)
{
    struct net *n = d->c->net;
    if (family == V6 || d->n[V6] == 0) {
        forget(n, d->c->host);
        return;
    }
    int64_t *until = remembered(n, d->c->host);
    if (!until) {
        if (map_str_count(n->families) >= HOSTS_MAX)
            forget_all(n);
        until = alloc_one(int64_t);
        map_str_set(n->families, str_of(d->c->host), until);
        *until = 0;
    }
    int64_t now = loop_now_ms(n->loop);
    if (*until <= now) /* not prolonged: IPv6 gets its chance every 10 minutes */
        *until = now + REMEMBER_MS;
}

static int first_family(struct conn *c)
{
    const int64_t *until = remembered(c->net, c->host);
    return until && loop_now_ms(c->net->loop) < *until ? V4 : V6;
}

/* ---- failing ---- */

static int badness(enum conn_cause cause)
{
    return cause == CONN_CAUSE_TIMEOUT ? 3 : cause == CONN_CAUSE_REFUSED ? 2 : 1;
}

static void note_failure(struct dial *d, const union net_address *a, int why)
{
    char where[80];
    enum conn_cause cause = net_cause_of(why);
    if (cause == CONN_CAUSE_RESET)
        cause = CONN_CAUSE_REFUSED;
    if (d->failed_once && badness(cause) <= badness(d->cause))
        return;
    d->failed_once = true;
    d->cause = cause;
    net_describe_address(a, where, sizeof where);
    snprintf(d->text, sizeof d->text, "%s: %s", where, strerror(why));
}

static void fail_without_address(struct dial *d)
{
    struct conn *c = d->c;
    if (d->status[V6] == DNS_FAILED || d->status[V4] == DNS_FAILED)
        conn_fail(c, CONN_STAGE_DNS, CONN_CAUSE_DNS,
                  "the DNS servers gave no answer for \"%.150s\"; is the network up?", c->host);
    else
        conn_fail(c, CONN_STAGE_DNS, CONN_CAUSE_NOT_FOUND,
                  "\"%.150s\" has no address in the DNS; is it spelt right?", c->host);
}

static void fail_all_tried(struct dial *d)
{
    char more[48] = "";
    if (d->tried > 1)
        snprintf(more, sizeof more, " (and %u more address%s)", d->tried - 1,
                 d->tried == 2 ? "" : "es");
    conn_fail(d->c, CONN_STAGE_CONNECT, d->cause, "%s%s", d->text, more);
}

void dial_timed_out(struct conn *c, struct conn_failure *f)
{
    struct dial *d = c->dial;
    double waited_s = (double)(loop_now_ms(c->net->loop) - c->began_ms) / 1000.0;
    if (!d || !d->started) {
        f->stage = CONN_STAGE_DNS;
        snprintf(f->text, sizeof f->text, "no address for \"%.150s\" from the DNS in %.1f s",
                 c->host, waited_s);
        return;
    }
    f->stage = CONN_STAGE_CONNECT;
    snprintf(f->text, sizeof f->text,
             "no connection to %.120s port %u in %.1f s (%u address%s tried)", c->host,
             (unsigned)c->port, waited_s, d->tried, d->tried == 1 ? "" : "es");
}

/* ---- attempts ---- */

static void dial_next(struct dial *d);

static void attempt_free(struct attempt *a)
{
    list_remove(&a->link);
    sock_close(&a->sock);
    free(a);
}

static void on_attempt(struct sock *s, int events)
{
    struct attempt *a = s->owner;
    struct dial *d = a->dial;
    struct conn *c = d->c;
    int why = 0;
    socklen_t n = sizeof why;
    (void)events;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &n) != 0)
        why = errno;
    conn_enter(c);
    if (why != 0) {
        note_failure(d, &a->address, why);
        attempt_free(a);
        dial_next(d);
    } else {
        union net_address address = a->address;
        remember(d, address.sa.sa_family == AF_INET6 ? V6 : V4);
        a->sock = NULL; /* the connection's from here on */
        attempt_free(a);
        conn_connected(c, s, &address);
    }
    conn_leave(c);
}

static socklen_t fill_address(union net_address *a, int family, const struct dns_record *r,
                              uint16_t port)
{
    memset(a, 0, sizeof *a);
    if (family == V4) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        memcpy(&a->v4.sin_addr, r->address, 4);
        return sizeof a->v4;
    }
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons(port);
    memcpy(&a->v6.sin6_addr, r->address, 16);
    return sizeof a->v6;
}

/* False: failed at once, with errno. */
static bool attempt_begin(struct dial *d, const union net_address *address, socklen_t n)
{
    int on = 1;
    int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(fd, &address->sa, n) != 0 && errno != EINPROGRESS) {
        int why = errno;
        close(fd);
        errno = why;
        return false;
    }
    struct attempt *a = alloc_one(struct attempt);
    a->dial = d;
    a->address = *address;
    a->sock = sock_new(d->c->net->loop, fd, on_attempt, a);
    list_init(&a->link);
    if (!a->sock) {
        close(fd);
        free(a);
        errno = EMFILE;
        return false;
    }
    list_push_back(&d->attempts, &a->link);
    sock_watch(a->sock, SOCK_WRITABLE);
    return true;
}

static bool pick_address(struct dial *d, int *family_out, struct dns_record *out)
{
    int want = d->tried == 0 ? d->first : 1 - d->last;
    for (int i = 0; i < FAMILIES; i++, want = 1 - want) {
        if (d->next[want] < d->n[want]) {
            *family_out = d->last = want;
            *out = d->records[want][d->next[want]++];
            return true;
        }
    }
    return false;
}

/* Begins the next attempt, or fails when all is over; d may be gone then. */
static void dial_next(struct dial *d)
{
    int family;
    struct dns_record record;
    d->timer_set = false;
    timer_at(d->timer, INT64_MAX);
    while (pick_address(d, &family, &record)) {
        union net_address address;
        socklen_t n = fill_address(&address, family, &record, d->c->port);
        d->tried++;
        if (attempt_begin(d, &address, n)) {
            d->timer_set = true;
            loop_refresh(d->c->net->loop);
            timer_at(d->timer, loop_now_ms(d->c->net->loop) + STAGGER_MS);
            return;
        }
        note_failure(d, &address, errno);
    }
    if (list_empty(&d->attempts) && !d->question[V6] && !d->question[V4])
        fail_all_tried(d);
}

/* ---- names ---- */

/* After an answer or the resolution delay. */
static void dial_consider(struct dial *d, bool waited)
{
    if (d->started) {
        if (!d->timer_set || list_empty(&d->attempts))
            dial_next(d);
        return;
    }
    bool open = d->question[V6] || d->question[V4];
    if (!open && d->n[V6] + d->n[V4] == 0) {
        fail_without_address(d);
        return;
    }
    if (d->n[V6] + d->n[V4] == 0)
        return;
    if (!open || waited || d->n[d->first] > 0) {
        d->started = true;
        dial_next(d);
        return;
    }
    timer_at(d->timer, loop_now_ms(d->c->net->loop) + RESOLUTION_MS);
}

static void on_answer(struct dial *d, int family, const struct dns_answer *a)
{
    struct conn *c = d->c;
    d->question[family] = NULL;
    d->status[family] = a->status;
    d->n[family] = a->n;
    if (a->n > 0)
        memcpy(d->records[family], a->records, a->n * sizeof *a->records);
    conn_enter(c);
    dial_consider(d, false);
    conn_leave(c);
}

static void on_v6(void *arg, const struct dns_answer *a)
{
    on_answer(arg, V6, a);
}

static void on_v4(void *arg, const struct dns_answer *a)
{
    on_answer(arg, V4, a);
}

static void on_timer(void *arg)
{
    struct dial *d = arg;
    struct conn *c = d->c;
    conn_enter(c);
    d->timer_set = false;
    if (d->started)
        dial_next(d);
    else
        dial_consider(d, true);
    conn_leave(c);
}

void dial_begin(struct conn *c)
{
    struct dial *d = alloc_one(struct dial);
    struct dns *dns = c->net->dns;
    enum dns_type type;
    d->c = c;
    c->dial = d;
    list_init(&d->attempts);
    d->timer = timer_new(c->net->loop, on_timer, d);
    if (dns_literal(c->host, &type, &d->records[V4][0])) {
        int family = type == DNS_A ? V4 : V6;
        d->records[family][0] = d->records[V4][0];
        d->n[family] = 1;
        dial_consider(d, false);
        return;
    }
    d->first = first_family(c);
    d->question[V6] = dns_ask(dns, c->host, DNS_AAAA, on_v6, d);
    d->question[V4] = dns_ask(dns, c->host, DNS_A, on_v4, d);
}

void dial_end(struct conn *c)
{
    struct dial *d = c->dial;
    if (!d)
        return;
    c->dial = NULL;
    for (int i = 0; i < FAMILIES; i++)
        dns_cancel(&d->question[i]);
    while (!list_empty(&d->attempts))
        attempt_free(list_first(&d->attempts, struct attempt, link));
    timer_free(&d->timer);
    free(d);
}
