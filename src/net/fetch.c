/* See fetch.h. libcurl's multi interface: it says which sockets and which moment it waits for, the
 * loop tells it when they are there. A fetch asks for A and AAAA first; libcurl gets what was
 * allowed by CURLOPT_RESOLVE and never resolves itself, and the socket is opened only to one of
 * those addresses (CURLOPT_OPENSOCKETFUNCTION). Requests of a name reuse connections, which were
 * made to addresses that were looked at then. */
#include "net/fetch.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "net/loop_inner.h"
#include "net/reach.h"

#define URL_MAX       2000
#define ADDRESSES_MAX (2 * DNS_RECORDS_MAX)

struct fetcher {
    struct loop *loop;
    struct dns *dns;
    struct fetch_config cfg;
    char *ca_file;
    CURLM *multi;
    struct timer *timer;
    struct list fetches;
};

struct address {
    uint8_t bytes[16];
    size_t n;
};

struct target { /* what a URL says */
    char *host; /* without brackets */
    char port[8];
    bool is_address;
    struct address address;
};

struct fetch {
    struct list link;
    struct fetcher *f;
    CURL *easy;
    struct curl_slist *headers, *resolve;
    struct target target;
    struct dns_question *questions[2]; /* A, AAAA */
    unsigned open;                     /* of them */
    bool dns_failed;
    struct address addresses[ADDRESSES_MAX];
    size_t n_addresses;
    struct loop_task start;
    struct timer *timeout; /* while names are looked up */
    char *url;
    char *body;
    struct buf reply;
    size_t got;
    int64_t begun; /* boot ms */
    char refused[200], curl_error[CURL_ERROR_SIZE];
    void (*done)(void *arg, const struct fetch_answer *a);
    void *arg;
};

/* ---- URLs */

static void target_free(struct target *t)
{
    free(t->host);
    t->host = NULL;
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK && text && *text;
    curl_free(text);
    return has;
}

static void read_address(struct target *t)
{
    t->is_address = true;
    if (inet_pton(AF_INET, t->host, t->address.bytes) == 1)
        t->address.n = 4;
    else if (inet_pton(AF_INET6, t->host, t->address.bytes) == 1)
        t->address.n = 16;
    else
        t->is_address = false;
}

static bool take_host(CURLU *u, struct target *t, struct err *e)
{
    char *host = NULL, *port = NULL, *zone = NULL;
    bool ok = curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host && *host &&
              curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    bool zoned = curl_url_get(u, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK && zone;
    if (ok && !zoned) {
        struct str s = str_of(host);
        bool brackets = s.n > 2 && s.p[0] == '[';
        t->host = str_dup(brackets ? str_cut(s, 1, s.n - 2) : s);
        ok = str_copy(str_of(port), t->port, sizeof t->port);
        read_address(t);
    }
    curl_free(host);
    curl_free(port);
    curl_free(zone);
    return (ok && !zoned) || err_set(e, ERR_INVALID, "the URL: its host cannot be used");
}

static bool look_at(CURLU *u, struct target *t, struct err *e)
{
    char *scheme = NULL;
    bool known = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                 (!strcmp(scheme, "https") || !strcmp(scheme, "http"));
    curl_free(scheme);
    if (!known)
        return err_set(e, ERR_INVALID, "the URL: https:// (or http://) is what it takes");
    if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
        return err_set(e, ERR_INVALID, "the URL: must not hold a user name or password");
    return take_host(u, t, e);
}

static bool parse_url(const char *url, struct target *t, struct err *e)
{
    *t = (struct target){.host = NULL};
    if (strlen(url) > URL_MAX)
        return err_set(e, ERR_INVALID, "the URL: over %d bytes", URL_MAX);
    CURLU *u = curl_url();
    bool ok = u && (curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK ||
                    err_set(e, ERR_INVALID,
                            "the URL: \"%.80s\" is no address of the web without user "
                            "name and password, like https://example.com/hook",
                            url));
    ok = ok && look_at(u, t, e);
    curl_url_cleanup(u);
    if (!ok)
        target_free(t);
    return ok;
}

static bool refuse(const struct address *a, const char *host, char *why, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    const char *what = reach_special(a->bytes, a->n);
    if (!what)
        return false;
    inet_ntop(a->n == 4 ? AF_INET : AF_INET6, a->bytes, text, sizeof text);
    snprintf(why, size, "%.80s is at %s (%s), which is not asked without allow_private", host, text,
             what);
    return true;
}

bool fetch_check_url(const char *url, bool allow_private, struct err *e)
{
    struct target t;
    char why[200];
    if (!parse_url(url, &t, e))
        return false;
    bool refused = t.is_address && !allow_private && refuse(&t.address, t.host, why, sizeof why);
    target_free(&t);
    return !refused || err_set(e, ERR_REFUSED, "the URL: %s", why);
}

/* ---- the end of a fetch */

static void fetch_free(struct fetch *x)
{
    list_remove(&x->link);
    loop_task_cancel(&x->start);
    dns_cancel(&x->questions[0]);
    dns_cancel(&x->questions[1]);
    timer_free(&x->timeout);
    if (x->easy) {
        (void)curl_multi_remove_handle(x->f->multi, x->easy);
        curl_easy_cleanup(x->easy);
    }
    curl_slist_free_all(x->headers);
    curl_slist_free_all(x->resolve);
    target_free(&x->target);
    buf_free(&x->reply);
    free(x->url);
    free(x->body);
    free(x);
}

static void finish(struct fetch *x, int status, const char *why)
{
    struct fetch_answer a = {.status = status,
                             .ms = clock_boot_ms() - x->begun,
                             .reply = buf_str(&x->reply),
                             .why = status ? "" : why};
    curl_off_t after = 0;
    if (x->easy && curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &after) == CURLE_OK)
        a.retry_after = (int64_t)after;
    x->done(x->arg, &a);
    fetch_free(x);
}

static const char *words_for(const struct fetch *x, CURLcode rc)
{
    if (x->refused[0])
        return x->refused;
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT: return "no answer in time";
    case CURLE_PEER_FAILED_VERIFICATION:
        return x->curl_error[0] ? x->curl_error : "the certificate is not trusted";
    default: return x->curl_error[0] ? x->curl_error : curl_easy_strerror(rc);
    }
}

/* An answer with a status counts, also when its body is longer than we want to read. */
static void take_results(struct fetcher *f)
{
    int left = 0;
    for (CURLMsg *m = curl_multi_info_read(f->multi, &left); m;
         m = curl_multi_info_read(f->multi, &left)) {
        struct fetch *x = NULL;
        long status = 0;
        CURLcode rc = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        bool too_long = rc == CURLE_WRITE_ERROR && x->got > FETCH_REPLY_MAX;
        finish(x, rc == CURLE_OK || too_long ? (int)status : 0, words_for(x, rc));
    }
}

/* ---- libcurl and the loop */

static void act(struct fetcher *f, curl_socket_t fd, int what)
{
    int running = 0;
    (void)curl_multi_socket_action(f->multi, fd, what, &running);
    take_results(f);
}

static void on_socket(struct sock *s, int events)
{
    struct fetcher *f = s->owner;
    int what = (events & SOCK_READABLE ? CURL_CSELECT_IN : 0) |
               (events & SOCK_WRITABLE ? CURL_CSELECT_OUT : 0) |
               (events & SOCK_ERROR ? CURL_CSELECT_ERR : 0);
    act(f, s->fd, what);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct fetcher *f = arg;
    struct sock *s = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        sock_forget(&s);
        (void)curl_multi_assign(f->multi, fd, NULL);
        return 0;
    }
    if (!s) {
        s = sock_new(f->loop, fd, on_socket, f);
        if (!s)
            return -1;
        (void)curl_multi_assign(f->multi, fd, s);
    }
    sock_watch(s, (what & CURL_POLL_IN ? SOCK_READABLE : 0) |
                      (what & CURL_POLL_OUT ? SOCK_WRITABLE : 0));
    return 0;
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct fetcher *f = arg;
    (void)multi;
    timer_at(f->timer, ms < 0 ? INT64_MAX : clock_boot_ms() + ms);
    return 0;
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- what libcurl asks of a fetch */

static size_t on_reply(char *p, size_t one, size_t n, void *arg)
{
    struct fetch *x = arg;
    size_t room = FETCH_REPLY_KEPT - x->reply.n;
    (void)one; /* always 1 */
    if (room)
        (void)buf_add(&x->reply, p, MIN(n, room));
    x->got += n;
    return x->got > FETCH_REPLY_MAX ? 0 : n;
}

static bool same_address(const struct address *a, const struct sockaddr *sa)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (sa->sa_family == AF_INET) {
        memcpy(&in, sa, sizeof in);
        return a->n == 4 && memcmp(a->bytes, &in.sin_addr, 4) == 0;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    memcpy(&in6, sa, sizeof in6);
    return a->n == 16 && memcmp(a->bytes, &in6.sin6_addr, 16) == 0;
}

/* The last word: nothing is connected to but what was looked at. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct fetch *x = arg;
    (void)purpose;
    for (size_t i = 0; i < x->n_addresses; i++)
        if (same_address(&x->addresses[i], &to->addr))
            return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    snprintf(x->refused, sizeof x->refused, "%.80s: an address that was not looked at",
             x->target.host);
    return CURL_SOCKET_BAD;
}

static bool set_target(struct fetch *x)
{
    struct buf b;
    char text[INET6_ADDRSTRLEN];
    buf_init(&b, 4096);
    bool ok = buf_addf(&b, "%s:%s:", x->target.host, x->target.port);
    for (size_t i = 0; ok && i < x->n_addresses; i++) {
        const struct address *a = &x->addresses[i];
        inet_ntop(a->n == 4 ? AF_INET : AF_INET6, a->bytes, text, sizeof text);
        ok = buf_addf(&b, a->n == 4 ? "%s%s" : "%s[%s]", i ? "," : "", text);
    }
    if (ok)
        x->resolve = curl_slist_append(NULL, buf_cstr(&b));
    buf_free(&b);
    return x->resolve != NULL;
}

#define SET(option, value) (ok = ok && curl_easy_setopt(x->easy, option, value) == CURLE_OK)

static bool set_bounds(struct fetch *x)
{
    const struct fetch_config *c = &x->f->cfg;
    int64_t left = c->timeout_ms - (clock_boot_ms() - x->begun);
    bool ok = true;
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)MAX(left, 1));
    SET(CURLOPT_BUFFERSIZE, 16384L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (x->f->ca_file)
        SET(CURLOPT_CAINFO, x->f->ca_file);
    return ok;
}

static bool set_up(struct fetch *x)
{
    bool ok = (x->target.is_address || set_target(x)) && (x->easy = curl_easy_init()) != NULL &&
              set_bounds(x);
    SET(CURLOPT_URL, x->url);
    SET(CURLOPT_RESOLVE, x->resolve);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDS, x->body);
    SET(CURLOPT_POSTFIELDSIZE, (long)strlen(x->body));
    SET(CURLOPT_HTTPHEADER, x->headers);
    SET(CURLOPT_WRITEFUNCTION, on_reply);
    SET(CURLOPT_WRITEDATA, x);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, x);
    SET(CURLOPT_ERRORBUFFER, x->curl_error);
    SET(CURLOPT_PRIVATE, x);
    return ok && curl_multi_add_handle(x->f->multi, x->easy) == CURLM_OK;
}

/* ---- the name */

static bool any_refused(struct fetch *x)
{
    for (size_t i = 0; !x->f->cfg.allow_private && i < x->n_addresses; i++)
        if (refuse(&x->addresses[i], x->target.host, x->refused, sizeof x->refused))
            return true;
    return false;
}

static void connect_now(struct fetch *x)
{
    timer_free(&x->timeout);
    if (!x->n_addresses)
        finish(x, 0, x->dns_failed ? "its name server does not answer" : "there is no such host");
    else if (any_refused(x))
        finish(x, 0, x->refused);
    else if (!set_up(x))
        finish(x, 0, "the request could not be made");
}

static void answered(struct fetch *x, int which, const struct dns_answer *a)
{
    x->questions[which] = NULL;
    x->dns_failed |= a->status == DNS_FAILED;
    for (size_t i = 0; a->status == DNS_FOUND && i < a->n && x->n_addresses < ADDRESSES_MAX; i++) {
        struct address *to = &x->addresses[x->n_addresses++];
        to->n = a->type == DNS_A ? 4 : 16;
        memcpy(to->bytes, a->records[i].address, to->n);
    }
    if (--x->open == 0)
        connect_now(x);
}

static void on_a(void *arg, const struct dns_answer *a)
{
    answered(arg, 0, a);
}

static void on_aaaa(void *arg, const struct dns_answer *a)
{
    answered(arg, 1, a);
}

static void on_timeout(void *arg)
{
    finish(arg, 0, "its name server does not answer in time");
}

static void on_start(struct loop_task *t)
{
    struct fetch *x = container_of(t, struct fetch, start);
    struct err e = {0};
    if (!parse_url(x->url, &x->target, &e)) {
        finish(x, 0, e.text);
        return;
    }
    if (x->target.is_address) {
        x->addresses[x->n_addresses++] = x->target.address;
        connect_now(x);
        return;
    }
    x->open = 2;
    timer_at(x->timeout, x->begun + x->f->cfg.timeout_ms);
    x->questions[0] = dns_ask(x->f->dns, x->target.host, DNS_A, on_a, x);
    x->questions[1] = dns_ask(x->f->dns, x->target.host, DNS_AAAA, on_aaaa, x);
}

/* ---- the door */

struct fetch *fetch_post(struct fetcher *f, const struct fetch_ask *ask,
                         void (*done)(void *arg, const struct fetch_answer *a), void *arg)
{
    struct fetch *x = alloc_one(struct fetch);
    x->f = f;
    x->begun = clock_boot_ms();
    x->done = done;
    x->arg = arg;
    x->url = alloc_copy(ask->url);
    x->body = str_dup(ask->body);
    buf_init(&x->reply, FETCH_REPLY_KEPT);
    for (const char *const *h = ask->headers; h && *h; h++)
        x->headers = curl_slist_append(x->headers, *h);
    x->timeout = timer_new(f->loop, on_timeout, x);
    list_push_back(&f->fetches, &x->link);
    loop_task_init(&x->start, on_start);
    loop_defer(f->loop, &x->start);
    return x;
}

static void init_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct fetcher *fetcher_new(struct loop *l, struct dns *d, const struct fetch_config *cfg,
                            struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    CURLM *multi = curl_multi_init();
    if (!multi) {
        err_set(e, ERR_FAILED, "libcurl cannot be started");
        return NULL;
    }
    struct fetcher *f = alloc_one(struct fetcher);
    f->loop = l;
    f->dns = d;
    f->cfg = *cfg;
    f->ca_file = alloc_copy(cfg->ca_file);
    f->multi = multi;
    f->timer = timer_new(l, on_timer, f);
    list_init(&f->fetches);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, f);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, f);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)cfg->connections);
    (void)curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return f;
}

void fetcher_free(struct fetcher **fp)
{
    struct fetcher *f = *fp;
    *fp = NULL;
    if (!f)
        return;
    list_each_safe(it, &f->fetches) fetch_free(list_entry(it, struct fetch, link));
    (void)curl_multi_cleanup(f->multi);
    timer_free(&f->timer);
    free(f->ca_file);
    free(f);
}
