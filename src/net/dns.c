/* Questions, the cache, and c-ares on the loop.
 *
 * An entry is a (type, name) that was asked: its last answer, and while `asking` a query in c-ares.
 * Questions wait in the entry; whatever settles them (cache, server, patience at its end), the
 * answer is copied into the question and handed over in the next turn, so that no caller is ever
 * called back from inside its own call. */
#include "net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "net/dns_inner.h"
#include "net/loop_inner.h"

#define ENTRIES_MAX    10000
#define TTL_MIN_MS     1000
#define TTL_MAX_MS     3600000
#define NEGATIVE_MS    15000
#define STALE_MAX_MS   86400000 /* how long past its end an answer may serve, RFC 8767 */
#define STALE_WAIT_MS  1800     /* for the servers, when there is a stale answer */
#define STALE_AGAIN_MS 30000    /* no new query meanwhile */
#define TRY_MS         1500     /* one try at one server; c-ares doubles it */
#define TRIES          3
#define LOOK_AGAIN_MS  5000
#define NAME_SIZE      254
#define TXT_MAX        32768 /* bytes of all TXT records of a name */
#define TXT_KEPT_S     2     /* a record is looked at because it may have changed */

static const char RESOLV_CONF[] = "/etc/resolv.conf";

struct entry {
    struct list age; /* oldest use first */
    struct dns *d;
    enum dns_type type;
    char *name;
    bool known;
    enum dns_status status; /* FOUND or NOT_FOUND, if known */
    size_t n;
    struct dns_record *records;
    char *mx;  /* DNS_MX, if known and found */
    char *txt; /* the same for DNS_TXT */
    int64_t expires_ms;
    int64_t again_ms; /* the servers failed: stale answers until then */
    bool asking;
    struct list waiting;
    struct timer *patience;
};

struct dns_question {
    struct list link;
    struct loop_task task;
    struct dns_answer answer;
    struct dns_record records[DNS_RECORDS_MAX];
    char mx[NAME_SIZE];
    char *txt;
    void (*answered)(void *arg, const struct dns_answer *a);
    void *arg;
    struct list all;
};

struct dns_sock {
    struct list link;
    struct sock *sock;
    struct dns *d;
    int wanted;
};

struct dns {
    struct loop *l;
    ares_channel channel;
    char *servers;
    int timeout_ms;
    struct timer *tick;
    struct list socks;
    struct map_str *entries;
    struct list ages;
    struct list questions;
    struct dns_hosts *hosts;
    unsigned asking;
    int64_t looked_ms;
    struct timespec resolv_changed;
    struct dns_counts counts;
};

bool dns_literal(const char *name, enum dns_type *type_out, struct dns_record *out)
{
    char bare[INET6_ADDRSTRLEN];
    memset(out, 0, sizeof *out);
    *type_out = DNS_A;
    if (inet_pton(AF_INET, name, out->address) == 1)
        return true;
    *type_out = DNS_AAAA;
    struct str s = str_of(name);
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = str_cut(s, 1, s.n - 2);
    return str_copy(s, bare, sizeof bare) && inet_pton(AF_INET6, bare, out->address) == 1;
}

/* ---- c-ares on the loop ---- */

static void tick_arm(struct dns *d)
{
    struct timeval tv;
    if (!ares_timeout(d->channel, NULL, &tv)) {
        timer_at(d->tick, INT64_MAX);
        return;
    }
    timer_at(d->tick, loop_now_ms(d->l) + tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}

static void on_tick(void *arg)
{
    struct dns *d = arg;
    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    tick_arm(d);
}

static void on_sock_ready(struct sock *s, int events)
{
    struct dns_sock *ds = s->owner;
    struct dns *d = ds->d;
    int fd = s->fd;
    ares_process_fd(d->channel, events & SOCK_READABLE ? fd : ARES_SOCKET_BAD,
                    events & (SOCK_WRITABLE | SOCK_ERROR) ? fd : ARES_SOCKET_BAD);
    /* ds may be gone. An error has stopped the watching of whichever socket is left. */
    list_each(n, &d->socks)
    {
        struct dns_sock *left = list_entry(n, struct dns_sock, link);
        sock_watch(left->sock, left->wanted);
    }
    tick_arm(d);
}

static struct dns_sock *find_sock(struct dns *d, int fd)
{
    list_each(n, &d->socks)
    {
        struct dns_sock *ds = list_entry(n, struct dns_sock, link);
        if (ds->sock->fd == fd)
            return ds;
    }
    return NULL;
}

static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns *d = arg;
    struct dns_sock *ds = find_sock(d, fd);
    int wanted = (readable ? SOCK_READABLE : 0) | (writable ? SOCK_WRITABLE : 0);
    if (wanted == 0) {
        if (ds) {
            list_remove(&ds->link);
            sock_forget(&ds->sock);
            free(ds);
        }
        return;
    }
    if (!ds) {
        ds = alloc_one(struct dns_sock);
        ds->d = d;
        ds->sock = sock_new(d->l, fd, on_sock_ready, ds);
        if (!ds->sock) {
            free(ds); /* unwatched, its query ends by the tick */
            return;
        }
        list_push_back(&d->socks, &ds->link);
    }
    ds->wanted = wanted;
    sock_watch(ds->sock, wanted);
}

static bool channel_open(struct dns *d, struct err *e)
{
    struct ares_options o = {
        .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_sock_state, .sock_state_cb_data = d};
    int rc = ares_init_options(&d->channel, &o,
                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (rc != ARES_SUCCESS) {
        d->channel = NULL;
        return err_set(e, ERR_FAILED, "DNS cannot be set up from %s: %s", RESOLV_CONF,
                       ares_strerror(rc));
    }
    if (d->servers && ares_set_servers_ports_csv(d->channel, d->servers) != ARES_SUCCESS)
        return err_set(e, ERR_INVALID, "\"%s\" is no list of DNS servers; write ADDRESS:PORT,...",
                       d->servers);
    return true;
}

/* The machine may have moved to another network since; only looked at when nothing is asked. */
static void channel_refresh(struct dns *d)
{
    struct stat st;
    int64_t now = loop_now_ms(d->l);
    if (d->servers || d->asking > 0 || now - d->looked_ms < LOOK_AGAIN_MS)
        return;
    d->looked_ms = now;
    if (stat(RESOLV_CONF, &st) != 0 || (st.st_mtim.tv_sec == d->resolv_changed.tv_sec &&
                                        st.st_mtim.tv_nsec == d->resolv_changed.tv_nsec))
        return;
    d->resolv_changed = st.st_mtim;
    ares_channel old = d->channel;
    struct err e;
    if (channel_open(d, &e)) {
        ares_destroy(old);
        return;
    }
    log_event(LOG_WARNING, "dns.config_unread", "error=%s", e.text);
    d->channel = old;
}

/* ---- the cache ---- */

static bool is_fresh(const struct entry *e, int64_t now)
{
    return e->known && now < e->expires_ms;
}

static bool may_serve_stale(const struct entry *e, int64_t now)
{
    return e->known && e->status == DNS_FOUND && now < e->expires_ms + STALE_MAX_MS;
}

static void key_of(enum dns_type type, const char *name, char out[260])
{
    snprintf(out, 260, "%d %s", (int)type, name);
}

static void entry_free(struct entry *e)
{
    char key[260];
    key_of(e->type, e->name, key);
    map_str_remove(e->d->entries, str_of(key));
    list_remove(&e->age);
    timer_free(&e->patience);
    free(e->records);
    free(e->mx);
    free(e->txt);
    free(e->name);
    free(e);
}

static void evict(struct dns *d)
{
    if (map_str_count(d->entries) < ENTRIES_MAX)
        return;
    list_each(n, &d->ages)
    {
        struct entry *e = list_entry(n, struct entry, age);
        if (!e->asking && list_empty(&e->waiting)) {
            entry_free(e);
            return;
        }
    }
}

static void on_patience(void *arg);

static struct entry *entry_of(struct dns *d, enum dns_type type, const char *name)
{
    char key[260];
    key_of(type, name, key);
    struct entry *e = map_str_get(d->entries, str_of(key));
    if (e) {
        list_remove(&e->age);
        list_push_back(&d->ages, &e->age);
        return e;
    }
    evict(d);
    e = alloc_one(struct entry);
    e->d = d;
    e->type = type;
    e->name = alloc_copy(name);
    list_init(&e->waiting);
    e->patience = timer_new(d->l, on_patience, e);
    list_push_back(&d->ages, &e->age);
    map_str_set(d->entries, str_of(key), e);
    return e;
}

static void on_task(struct loop_task *t)
{
    struct dns_question *q = container_of(t, struct dns_question, task);
    list_remove(&q->all);
    q->answered(q->arg, &q->answer);
    free(q->txt);
    free(q);
}

static void question_settle(struct dns *d, struct dns_question *q, enum dns_status status,
                            const struct dns_record *records, size_t n)
{
    list_remove(&q->link);
    q->answer.status = status;
    q->answer.n = n;
    q->answer.records = q->records;
    if (records && n > 0)
        memcpy(q->records, records, n * sizeof *records);
    loop_defer(d->l, &q->task);
}

static void question_settle_from(struct entry *e, struct dns_question *q)
{
    int64_t now = loop_now_ms(e->d->l);
    str_copy(str_of(e->mx), q->mx, sizeof q->mx);
    q->answer.mx = q->mx;
    q->txt = alloc_copy(e->txt);
    q->answer.txt = q->txt;
    if (is_fresh(e, now)) {
        question_settle(e->d, q, e->status, e->records, e->n);
        return;
    }
    q->answer.stale = may_serve_stale(e, now);
    if (q->answer.stale) {
        e->d->counts.stale++;
        question_settle(e->d, q, DNS_FOUND, e->records, e->n);
    } else {
        question_settle(e->d, q, DNS_FAILED, NULL, 0);
    }
}

static void entry_settle(struct entry *e)
{
    timer_at(e->patience, INT64_MAX);
    while (!list_empty(&e->waiting))
        question_settle_from(e, list_first(&e->waiting, struct dns_question, link));
}

static void on_patience(void *arg)
{
    struct entry *e = arg;
    e->again_ms = loop_now_ms(e->d->l) + STALE_AGAIN_MS;
    entry_settle(e);
}

/* ---- answers of servers ---- */

static bool fold_name(const char *name, char out[NAME_SIZE])
{
    struct str s = str_of(name);
    if (s.n > 1 && s.p[s.n - 1] == '.')
        s.n--;
    if (s.n == 0 || !str_copy(s, out, NAME_SIZE))
        return false;
    for (char *p = out; *p; p++)
        *p = ascii_lower(*p);
    return true;
}

static int parse_a(const unsigned char *p, int n, struct dns_record *records, int *n_out,
                   int64_t *ttl_s)
{
    struct ares_addrttl got[DNS_RECORDS_MAX];
    int max = DNS_RECORDS_MAX;
    int rc = ares_parse_a_reply(p, n, NULL, got, &max);
    *n_out = rc == ARES_SUCCESS ? max : 0;
    for (int i = 0; i < *n_out; i++) {
        memset(&records[i], 0, sizeof records[i]);
        memcpy(records[i].address, &got[i].ipaddr, 4);
        *ttl_s = MIN(*ttl_s, got[i].ttl);
    }
    return rc;
}

static int parse_aaaa(const unsigned char *p, int n, struct dns_record *records, int *n_out,
                      int64_t *ttl_s)
{
    struct ares_addr6ttl got[DNS_RECORDS_MAX];
    int max = DNS_RECORDS_MAX;
    int rc = ares_parse_aaaa_reply(p, n, NULL, got, &max);
    *n_out = rc == ARES_SUCCESS ? max : 0;
    for (int i = 0; i < *n_out; i++) {
        memcpy(records[i].address, &got[i].ip6addr, 16);
        *ttl_s = MIN(*ttl_s, got[i].ttl);
    }
    return rc;
}

/* The preferred exchanger; of equal ones the first by its name, so that the answer is stable.
 * c-ares does not tell the time to live of MX records: they are kept for the longest that any is.
 */
static int parse_mx(const unsigned char *p, int n, char mx[NAME_SIZE], int *n_out)
{
    struct ares_mx_reply *all = NULL, *best = NULL;
    int rc = ares_parse_mx_reply(p, n, &all);
    for (struct ares_mx_reply *m = rc == ARES_SUCCESS ? all : NULL; m; m = m->next)
        if (!best || m->priority < best->priority ||
            (m->priority == best->priority && strcmp(m->host, best->host) < 0))
            best = m;
    *n_out = best && fold_name(best->host, mx);
    if (best && (!best->host[0] || !strcmp(best->host, "."))) {
        mx[0] = 0;
        *n_out = 1;
    }
    if (all)
        ares_free_data(all);
    return rc;
}

/* Records a line each. c-ares does not tell their time to live: the caller keeps them shortly. */
static int parse_txt(const unsigned char *p, int n, char **out, int *n_out)
{
    struct ares_txt_ext *all = NULL;
    struct buf lines;
    int rc = ares_parse_txt_reply_ext(p, n, &all);
    buf_init(&lines, TXT_MAX);
    *n_out = 0;
    for (struct ares_txt_ext *t = rc == ARES_SUCCESS ? all : NULL; t; t = t->next) {
        if (t->record_start &&
            (++*n_out > DNS_RECORDS_MAX || (*n_out > 1 && !buf_addc(&lines, '\n'))))
            break;
        for (size_t i = 0; i < t->length; i++)
            (void)buf_addc(&lines, t->txt[i] >= 0x20 && t->txt[i] < 0x7f ? (char)t->txt[i] : '?');
    }
    *n_out = MIN(*n_out, DNS_RECORDS_MAX);
    free(*out);
    *out = *n_out ? alloc_copy(buf_cstr(&lines)) : NULL;
    buf_free(&lines);
    if (all)
        ares_free_data(all);
    return rc;
}

static int parse_reply(struct entry *e, const unsigned char *p, int size,
                       struct dns_record *records, int *n_out, int64_t *ttl_s)
{
    char mx[NAME_SIZE] = "";
    if (e->type == DNS_A)
        return parse_a(p, size, records, n_out, ttl_s);
    if (e->type == DNS_AAAA)
        return parse_aaaa(p, size, records, n_out, ttl_s);
    memset(records, 0, sizeof *records * DNS_RECORDS_MAX);
    if (e->type == DNS_TXT) {
        *ttl_s = TXT_KEPT_S;
        return parse_txt(p, size, &e->txt, n_out);
    }
    int rc = parse_mx(p, size, mx, n_out);
    if (rc == ARES_SUCCESS && *n_out) {
        free(e->mx);
        e->mx = alloc_copy(mx);
    }
    return rc;
}

static void entry_learn(struct entry *e, enum dns_status status, const struct dns_record *records,
                        size_t n, int64_t ttl_ms)
{
    free(e->records);
    e->records = n > 0 ? alloc_many(struct dns_record, n) : NULL;
    if (n > 0)
        memcpy(e->records, records, n * sizeof *records);
    e->n = n;
    e->known = true;
    e->status = status;
    e->again_ms = 0;
    e->expires_ms = loop_now_ms(e->d->l) + ttl_ms;
}

static bool is_denial(int rc)
{
    return rc == ARES_ENODATA || rc == ARES_ENOTFOUND || rc == ARES_EBADNAME;
}

static void on_reply(void *arg, int rc, int timeouts, unsigned char *p, int size)
{
    struct entry *e = arg;
    struct dns_record records[DNS_RECORDS_MAX];
    int n = 0;
    int64_t ttl_s = TTL_MAX_MS / 1000;
    (void)timeouts;
    e->asking = false;
    e->d->asking--;
    if (rc == ARES_EDESTRUCTION || rc == ARES_ECANCELLED)
        return;
    if (rc == ARES_SUCCESS)
        rc = parse_reply(e, p, size, records, &n, &ttl_s);
    if (rc == ARES_SUCCESS && n > 0)
        entry_learn(e, DNS_FOUND, records, (size_t)n, MAX(ttl_s * 1000, TTL_MIN_MS));
    else if (rc == ARES_SUCCESS || is_denial(rc))
        entry_learn(e, DNS_NOT_FOUND, NULL, 0,
                    e->type == DNS_TXT ? TXT_KEPT_S * 1000 : NEGATIVE_MS);
    else
        e->again_ms = loop_now_ms(e->d->l) + STALE_AGAIN_MS;
    entry_settle(e);
}

static void entry_ask(struct entry *e)
{
    struct dns *d = e->d;
    static const int numbers[DNS_TYPES] = {
        [DNS_A] = 1, [DNS_AAAA] = 28, [DNS_MX] = 15, [DNS_TXT] = 16}; /* RFC 1035, RFC 3596 */
    int type = numbers[e->type];
    bool stale = may_serve_stale(e, loop_now_ms(d->l));
    /* Who joins later shares the patience of the first, or a busy name would never give up. */
    if (e->waiting.next == e->waiting.prev)
        timer_at(e->patience, loop_now_ms(d->l) + (stale ? STALE_WAIT_MS : d->timeout_ms));
    if (e->asking)
        return;
    e->asking = true;
    d->asking++;
    d->counts.queries++;
    /* The search list belongs to the system's configuration, as with getaddrinfo. */
    if (d->servers || e->type == DNS_MX || e->type == DNS_TXT)
        ares_query(d->channel, e->name, 1, type, on_reply, e);
    else
        ares_search(d->channel, e->name, 1, type, on_reply, e);
    tick_arm(d);
}

/* ---- the face ---- */

struct dns_question *dns_ask(struct dns *d, const char *name, enum dns_type type,
                             void (*answered)(void *arg, const struct dns_answer *a), void *arg)
{
    struct dns_question *q = alloc_one(struct dns_question);
    struct dns_record records[DNS_RECORDS_MAX];
    enum dns_type literal_type;
    size_t n = 0;
    char folded[NAME_SIZE];
    list_init(&q->link);
    loop_task_init(&q->task, on_task);
    list_push_back(&d->questions, &q->all);
    q->answer.type = type;
    q->answered = answered;
    q->arg = arg;
    bool is_host = type == DNS_A || type == DNS_AAAA;
    if (is_host && dns_literal(name, &literal_type, records)) {
        bool same = literal_type == type;
        question_settle(d, q, same ? DNS_FOUND : DNS_NOT_FOUND, records, same ? 1 : 0);
        return q;
    }
    int64_t now = loop_now_ms(d->l);
    dns_hosts_refresh(d->hosts, now);
    if (!fold_name(name, folded) ||
        (is_host && dns_hosts_find(d->hosts, str_of(folded), type, records, &n))) {
        question_settle(d, q, n > 0 ? DNS_FOUND : DNS_NOT_FOUND, records, n);
        return q;
    }
    struct entry *e = entry_of(d, type, folded);
    if (is_fresh(e, now) || (now < e->again_ms && may_serve_stale(e, now))) {
        d->counts.hits++;
        question_settle_from(e, q);
        return q;
    }
    list_push_back(&e->waiting, &q->link);
    channel_refresh(d);
    entry_ask(e);
    return q;
}

void dns_cancel(struct dns_question **qp)
{
    struct dns_question *q = *qp;
    if (!q)
        return;
    list_remove(&q->link);
    list_remove(&q->all);
    loop_task_cancel(&q->task);
    free(q->txt);
    free(q);
    *qp = NULL;
}

struct dns *dns_new(struct loop *l, const struct dns_config *cfg, struct err *e)
{
    struct dns *d = alloc_one(struct dns);
    struct stat st;
    d->l = l;
    d->servers = alloc_copy(cfg->servers);
    d->timeout_ms = cfg->timeout_ms > 0 ? cfg->timeout_ms : 5000;
    d->tick = timer_new(l, on_tick, d);
    d->entries = map_str_new();
    d->hosts = dns_hosts_new(cfg->hosts_file ? cfg->hosts_file : "/etc/hosts");
    list_init(&d->socks);
    list_init(&d->ages);
    list_init(&d->questions);
    if (stat(RESOLV_CONF, &st) == 0)
        d->resolv_changed = st.st_mtim;
    ares_library_init(ARES_LIB_INIT_ALL);
    if (!channel_open(d, e))
        dns_free(&d);
    return d;
}

void dns_free(struct dns **dp)
{
    struct dns *d = *dp;
    if (!d)
        return;
    if (d->channel)
        ares_destroy(d->channel);
    ares_library_cleanup();
    while (!list_empty(&d->questions)) {
        struct dns_question *q = list_first(&d->questions, struct dns_question, all);
        dns_cancel(&q);
    }
    while (!list_empty(&d->ages))
        entry_free(list_first(&d->ages, struct entry, age));
    check(list_empty(&d->socks));
    map_str_free(&d->entries);
    dns_hosts_free(&d->hosts);
    timer_free(&d->tick);
    free(d->servers);
    free(d);
    *dp = NULL;
}

struct dns_counts dns_count(const struct dns *d)
{
    return d->counts;
}
