/* The sink's loop: one thread, one epoll, listeners, connections, delayed output, the log. The
 * protocol is sink_session.c's; behaviours are sink_spec.c's. A broken connection is closed and
 * counted; nothing a client does ends the process. */
#include "lab/sink_inner.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "lab/sink_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS = 256, LOG_FLUSH = 65536, LOG_MAX = 1 << 22, ACCEPTS = 64 };

struct sink_order { /* a sink_behave that the thread has not seen yet */
    struct sink_order *next;
    uint16_t port;
    size_t n;
    struct sink_behaviour b[];
};

struct sink {
    struct sink_listener *listener;
    size_t listeners;
    char *host;
    struct ssl_ctx_st *tls;
    void (*on_message)(void *arg, const struct sink_message *m);
    void *arg;
    int epoll_fd, wake_fd, timer_fd, log_fd;
    struct buf log;
    struct heap timers; /* of connections, microseconds of boot time */
    struct list doomed; /* closed in this turn, freed at its end */
    int64_t start_us, now_us, wall_ms, armed_us;
    int64_t ports_us; /* when a port opens or closes next */
    pthread_t thread;
    bool has_thread;
    _Atomic bool stopping;
    pthread_mutex_t lock; /* guards orders */
    struct sink_order *orders;
};

int64_t sink_ms_since_start(const struct sink *s, int64_t now_us)
{
    return (now_us - s->start_us) / 1000;
}

bool sink_wants_head(const struct sink *s)
{
    return s->log_fd >= 0 || s->on_message;
}

int64_t sink_wall_ms(const struct sink *s)
{
    return s->wall_ms;
}

/* ---- the log ---- */

static void flush_log(struct sink *s)
{
    while (s->log.n) {
        ssize_t n = write(s->log_fd, s->log.p, s->log.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* a full disk: what was counted stays counted */
        buf_consume(&s->log, (size_t)n);
    }
    buf_clear(&s->log);
}

/* One word of a line: no blanks or control characters within. */
static void add_word(struct buf *b, struct str word, const char *when_empty)
{
    if (!word.n)
        word = str_of(when_empty);
    for (size_t i = 0; i < word.n; i++)
        (void)buf_addc(b, (unsigned char)word.p[i] <= ' ' ? '_' : word.p[i]);
}

void sink_accepted(struct sink *s, const struct sink_message *m)
{
    if (s->on_message)
        s->on_message(s->arg, m);
    if (s->log_fd < 0)
        return;
    (void)buf_addf(&s->log, "%u %lld ", m->port, (long long)m->wall_ms);
    add_word(&s->log, m->message_id, "-");
    (void)buf_addc(&s->log, ' ');
    add_word(&s->log, m->from, "<>");
    (void)buf_addc(&s->log, ' ');
    add_word(&s->log, m->rcpt, "-");
    (void)buf_addc(&s->log, '\n');
    if (s->log.n > LOG_FLUSH)
        flush_log(s);
}

/* ---- connections ---- */

static void count_open(struct sink_listener *l, int change)
{
    uint32_t open = atomic_load_explicit(&l->tally.open, memory_order_relaxed) + (uint32_t)change;
    atomic_store_explicit(&l->tally.open, open, memory_order_relaxed);
    if (open > atomic_load_explicit(&l->tally.most_open, memory_order_relaxed))
        atomic_store_explicit(&l->tally.most_open, open, memory_order_relaxed);
}

/* By name: a process that was forked from us may hold the descriptor a moment longer than we do,
 * and close alone would then leave its events coming. */
static void unwatch(struct sink *s, int fd)
{
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void conn_end(struct sink *s, struct sink_conn *c, bool reset)
{
    if (c->is_dead)
        return;
    c->is_dead = true;
    unwatch(s, c->fd);
    sink_socket_close(c, reset);
    heap_remove(&s->timers, &c->timer);
    list_remove(&c->node);
    list_push_back(&s->doomed, &c->node);
    count_open(c->s.l, -1);
}

static void free_doomed(struct sink *s)
{
    struct list *n;
    while ((n = list_pop_front(&s->doomed))) {
        struct sink_conn *c = list_entry(n, struct sink_conn, node);
        sink_session_free(&c->s);
        buf_free(&c->in);
        free(c);
    }
}

static void set_interest(struct sink *s, struct sink_conn *c, uint32_t want)
{
    if (c->interest == want)
        return;
    struct epoll_event ev = {.events = want, .data.ptr = c};
    c->interest = want;
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* The last word is out: says so to the peer, then waits for its end, so that no reset overtakes
 * the reply. */
static void linger(struct sink *s, struct sink_conn *c)
{
    if (c->is_lingering)
        return;
    c->is_lingering = true;
    sink_socket_end_output(c);
    heap_rekey(&s->timers, &c->timer, s->now_us + 2000000);
    set_interest(s, c, EPOLLIN);
}

static void begin_tls(struct sink *s, struct sink_conn *c)
{
    static const char rubbish[] = "\x16\x03\x01 this is no handshake \r\n";
    buf_clear(&c->in);
    if (c->s.broken_tls) {
        (void)sink_socket_write(c, rubbish, sizeof(rubbish) - 1);
        c->s.want_tls = false;
        linger(s, c);
        return;
    }
    if (!sink_socket_start_tls(c, s->tls))
        conn_end(s, c, false);
}

/* Writes what may leave now; arms timer and interest for the rest. */
static void flush_conn(struct sink *s, struct sink_conn *c)
{
    int64_t next_us = INT64_MAX;
    if (c->is_lingering || c->is_dead)
        return;
    size_t n = sink_session_ready(&c->s, s->now_us, &next_us);
    while (n) {
        ssize_t done = sink_socket_write(c, c->s.out.p, n);
        if (done < 0) {
            conn_end(s, c, false);
            return;
        }
        if (done == 0)
            break;
        sink_session_wrote(&c->s, (size_t)done);
        n -= (size_t)done;
    }
    if (next_us != INT64_MAX)
        heap_rekey(&s->timers, &c->timer, next_us);
    if (c->s.out.n == 0 && c->s.want_tls)
        begin_tls(s, c);
    else if (c->s.out.n == 0 && c->s.closing)
        linger(s, c);
    if (c->is_dead || c->is_lingering)
        return;
    bool is_stuffed = c->s.out.n > SINK_READ;
    set_interest(s, c, (is_stuffed ? 0U : EPOLLIN) | (n || c->wants_out ? EPOLLOUT : 0U));
}

/* Gives bytes to the session; what it does not take waits for more. */
static void feed(struct sink *s, struct sink_conn *c, const char *p, size_t n)
{
    c->s.now_us = s->now_us;
    if (c->in.n == 0) {
        size_t used = sink_session_input(&c->s, p, n);
        if (used < n && !buf_add(&c->in, p + used, n - used))
            c->s.dropped = true;
    } else if (buf_add(&c->in, p, n)) {
        buf_consume(&c->in, sink_session_input(&c->s, c->in.p, c->in.n));
    } else {
        c->s.dropped = true;
    }
    if (c->s.dropped)
        conn_end(s, c, false);
}

static void greet(struct sink *s, struct sink_conn *c)
{
    c->s.now_us = s->now_us;
    sink_session_greet(&c->s);
    if (c->s.dropped)
        conn_end(s, c, false);
}

static bool shake_hands(struct sink *s, struct sink_conn *c)
{
    struct sink_tally *t = &c->s.l->tally;
    bool resumed = false;
    int done = sink_socket_shake(c, &resumed);
    if (done < 0) {
        atomic_fetch_add_explicit(&t->tls_failed, 1, memory_order_relaxed);
        conn_end(s, c, false);
    }
    if (done <= 0) {
        if (!c->is_dead)
            set_interest(s, c, c->wants_out ? EPOLLOUT : EPOLLIN);
        return false;
    }
    atomic_fetch_add_explicit(resumed ? &t->tls_resumed : &t->tls_full, 1, memory_order_relaxed);
    sink_session_tls_done(&c->s);
    if (!c->s.greeted)
        greet(s, c);
    return !c->is_dead;
}

static void read_conn(struct sink *s, struct sink_conn *c)
{
    static _Thread_local char bytes[SINK_READ];
    /* What TLS has read ahead no event tells of: it is taken to its end. */
    for (int turn = 0; (turn < 4 || sink_socket_pending(c)) && !c->is_dead; turn++) {
        ssize_t n = sink_socket_read(c, bytes, sizeof(bytes));
        if (n < 0)
            conn_end(s, c, false);
        if (n <= 0)
            return;
        if (!c->is_lingering)
            feed(s, c, bytes, (size_t)n);
        if ((size_t)n < sizeof(bytes) && !c->ssl)
            return;
    }
}

static void serve_conn(struct sink *s, struct sink_conn *c, uint32_t events)
{
    if (c->is_dead)
        return;
    if (c->is_shaking && !shake_hands(s, c))
        return;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) || c->ssl)
        read_conn(s, c);
    flush_conn(s, c);
}

static void start_conn(struct sink *s, struct sink_listener *l, int fd)
{
    struct sink_conn *c = alloc_one(struct sink_conn);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    c->fd = fd;
    c->interest = EPOLLIN;
    buf_init(&c->in, SINK_READ + SINK_LINE_MAX);
    sink_session_start(&c->s, l, s->now_us);
    list_push_back(&l->conns, &c->node);
    atomic_fetch_add_explicit(&l->tally.connections, 1, memory_order_relaxed);
    count_open(l, 1);
    struct sink_slot *tls =
        sink_slot_find(l, SINK_TLS, PHASE_NONE, sink_ms_since_start(s, s->now_us));
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        conn_end(s, c, true);
        return;
    }
    if (tls && tls->b.tls == SINK_TLS_IMPLICIT) {
        if (!sink_socket_start_tls(c, s->tls))
            conn_end(s, c, true);
        return;
    }
    greet(s, c);
    flush_conn(s, c);
}

static void accept_some(struct sink *s, struct sink_listener *l)
{
    for (int i = 0; i < ACCEPTS && l->fd >= 0; i++) {
        int fd = sink_socket_accept(l->fd);
        if (fd < 0)
            return;
        start_conn(s, l, fd);
    }
}

/* ---- ports that open and close ---- */

static void stop_listening(struct sink *s, struct sink_listener *l)
{
    if (l->fd >= 0) {
        unwatch(s, l->fd);
        close(l->fd);
    }
    l->fd = -1;
    list_each_safe(it, &l->conns) conn_end(s, list_entry(it, struct sink_conn, node), true);
}

static bool start_listening(struct sink *s, struct sink_listener *l, struct err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = l};
    l->fd = sink_socket_listen(s->host, &l->port, e);
    if (l->fd < 0)
        return false;
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev) == 0)
        return true;
    close(l->fd);
    l->fd = -1;
    return err_set(e, ERR_FAILED, "cannot watch port %u: %s", l->port, strerror(errno));
}

/* Opens and closes ports as their spans say; gives when to look again. A port that somebody else
 * took meanwhile is tried again. */
static int64_t switch_ports(struct sink *s)
{
    int64_t next_ms = INT64_MAX, now_ms = sink_ms_since_start(s, s->now_us);
    for (size_t i = 0; i < s->listeners; i++) {
        struct sink_listener *l = &s->listener[i];
        bool is_refusing = sink_slot_find(l, SINK_REFUSE, PHASE_NONE, now_ms) != NULL;
        if (is_refusing && l->fd >= 0)
            stop_listening(s, l);
        if (!is_refusing && l->fd < 0 && !start_listening(s, l, NULL))
            next_ms = MIN(next_ms, now_ms + 100);
        for (size_t k = 0; k < l->slots; k++) {
            const struct sink_behaviour *b = &l->slot[k].b;
            int64_t at = b->from_ms > now_ms ? b->from_ms : b->to_ms;
            if (b->verb == SINK_REFUSE && at > now_ms)
                next_ms = MIN(next_ms, at);
        }
    }
    return next_ms == INT64_MAX ? INT64_MAX : s->start_us + next_ms * 1000 + 500;
}

/* ---- the thread ---- */

static void set_slots(struct sink_listener *l, const struct sink_behaviour *b, size_t n)
{
    free(l->slot);
    l->slot = alloc_many(struct sink_slot, n);
    l->slots = 0;
    for (size_t i = 0; i < n; i++)
        if (b[i].port == l->port || b[i].port == 0)
            l->slot[l->slots++].b = b[i];
}

static void take_orders(struct sink *s)
{
    uint64_t unused;
    (void)!read(s->wake_fd, &unused, sizeof(unused));
    pthread_mutex_lock(&s->lock);
    struct sink_order *o = s->orders;
    s->orders = NULL;
    pthread_mutex_unlock(&s->lock);
    while (o) {
        struct sink_order *next = o->next;
        for (size_t i = 0; i < s->listeners; i++)
            if (s->listener[i].port == o->port)
                set_slots(&s->listener[i], o->b, o->n);
        free(o);
        o = next;
        s->ports_us = 0;
    }
}

static void run_timers(struct sink *s)
{
    struct heap_node *n;
    while ((n = heap_min(&s->timers)) && n->key <= s->now_us) {
        struct sink_conn *c = container_of(n, struct sink_conn, timer);
        heap_remove(&s->timers, n);
        if (c->is_lingering)
            conn_end(s, c, false);
        else
            flush_conn(s, c);
    }
}

static void arm_timer(struct sink *s, int64_t at_us)
{
    if (at_us == s->armed_us)
        return;
    s->armed_us = at_us;
    struct itimerspec t = {0};
    if (at_us != INT64_MAX) {
        int64_t in_us = MAX(at_us - clock_boot_us(), (int64_t)1);
        t.it_value.tv_sec = in_us / 1000000;
        t.it_value.tv_nsec = in_us % 1000000 * 1000;
    }
    (void)timerfd_settime(s->timer_fd, 0, &t, NULL);
}

static void handle(struct sink *s, const struct epoll_event *ev)
{
    struct sink_listener *l = ev->data.ptr;
    uint64_t unused;
    if (ev->data.ptr == &s->wake_fd)
        take_orders(s);
    else if (ev->data.ptr == &s->timer_fd)
        s->armed_us = read(s->timer_fd, &unused, sizeof(unused)) < 0 ? s->armed_us : 0;
    else if (l >= s->listener && l < s->listener + s->listeners)
        accept_some(s, l);
    else
        serve_conn(s, ev->data.ptr, ev->events);
}

static void *run(void *arg)
{
    struct sink *s = arg;
    struct epoll_event events[EVENTS];
    sigset_t all;
    sigfillset(&all); /* signals are our process's business; SIGPIPE of a TLS write is nobody's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (!atomic_load_explicit(&s->stopping, memory_order_relaxed)) {
        struct heap_node *first = heap_min(&s->timers);
        arm_timer(s, first ? MIN(first->key, s->ports_us) : s->ports_us);
        int n = epoll_wait(s->epoll_fd, events, EVENTS, s->log.n ? 0 : -1);
        if (n == 0)
            flush_log(s); /* nothing to do: a reader of the log is up to date now */
        s->now_us = clock_boot_us();
        s->wall_ms = clock_wall_ms();
        for (int i = 0; i < n; i++)
            handle(s, &events[i]);
        run_timers(s);
        if (s->now_us >= s->ports_us)
            s->ports_us = switch_ports(s);
        free_doomed(s);
    }
    return NULL;
}

/* ---- from outside ---- */

static void sink_free(struct sink *s)
{
    for (size_t i = 0; i < s->listeners; i++) {
        stop_listening(s, &s->listener[i]);
        free(s->listener[i].slot);
    }
    free_doomed(s);
    for (int *fd = (int[]){s->epoll_fd, s->wake_fd, s->timer_fd, -2}; *fd != -2; fd++)
        if (*fd >= 0)
            close(*fd);
    if (s->log_fd >= 0) {
        flush_log(s);
        close(s->log_fd);
    }
    while (s->orders) {
        struct sink_order *next = s->orders->next;
        free(s->orders);
        s->orders = next;
    }
    buf_free(&s->log);
    heap_free(&s->timers);
    sink_tls_free(s->tls);
    pthread_mutex_destroy(&s->lock);
    free(s->listener);
    free(s->host);
    free(s);
}

static bool open_listeners(struct sink *s, const struct sink_config *cfg, struct err *e)
{
    s->listener = alloc_many(struct sink_listener, cfg->ports);
    for (size_t i = 0; i < cfg->ports; i++) {
        struct sink_listener *l = &s->listener[s->listeners++];
        l->sink = s;
        l->fd = -1;
        l->port = cfg->first_port ? (uint16_t)(cfg->first_port + i) : 0;
        list_init(&l->conns);
        if (!start_listening(s, l, e))
            return false;
        set_slots(l, cfg->behaviour, cfg->behaviours);
    }
    s->ports_us = switch_ports(s);
    return true;
}

static bool open_things(struct sink *s, const struct sink_config *cfg, struct err *e)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (s->epoll_fd < 0 || s->wake_fd < 0 || s->timer_fd < 0)
        return err_set(e, ERR_FAILED, "cannot start the sink: %s", strerror(errno));
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = &s->wake_fd};
    struct epoll_event timer = {.events = EPOLLIN, .data.ptr = &s->timer_fd};
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &wake);
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->timer_fd, &timer);
    if (cfg->log_path) {
        s->log_fd = open(cfg->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (s->log_fd < 0)
            return err_set(e, ERR_FAILED, "cannot write the log %s: %s", cfg->log_path,
                           strerror(errno));
    }
    s->tls = sink_tls_new(cfg->cert_path, e);
    return s->tls && open_listeners(s, cfg, e);
}

bool sink_start(const struct sink_config *cfg, struct sink **out, struct err *e)
{
    *out = NULL;
    if (cfg->ports == 0 || cfg->ports > SINK_PORTS_MAX ||
        (cfg->first_port && cfg->first_port + cfg->ports - 1 > 65535))
        return err_set(e, ERR_INVALID, "a sink has 1 to %d ports, all up to 65535", SINK_PORTS_MAX);
    struct sink *s = alloc_one(struct sink);
    s->epoll_fd = s->wake_fd = s->timer_fd = s->log_fd = -1;
    s->host = alloc_copy(cfg->host ? cfg->host : "127.0.0.1");
    s->on_message = cfg->on_message;
    s->arg = cfg->arg;
    s->start_us = s->now_us = clock_boot_us();
    buf_init(&s->log, LOG_MAX);
    heap_init(&s->timers);
    list_init(&s->doomed);
    pthread_mutex_init(&s->lock, NULL);
    if (!open_things(s, cfg, e)) {
        sink_free(s);
        return false;
    }
    s->has_thread = pthread_create(&s->thread, NULL, run, s) == 0;
    if (!s->has_thread) {
        sink_free(s);
        return err_set(e, ERR_FAILED, "cannot start the sink's thread");
    }
    *out = s;
    return true;
}

static void wake(struct sink *s)
{
    uint64_t one = 1;
    (void)!write(s->wake_fd, &one, sizeof(one));
}

void sink_stop(struct sink **sp)
{
    struct sink *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    wake(s);
    pthread_join(s->thread, NULL);
    sink_free(s);
}

uint16_t sink_port(const struct sink *s, size_t i)
{
    check(i < s->listeners);
    return s->listener[i].port;
}

static uint64_t value(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void sink_count(const struct sink *s, uint16_t port, struct sink_counts *out)
{
    for (size_t i = 0; i < s->listeners; i++) {
        const struct sink_tally *t = &s->listener[i].tally;
        if (port && s->listener[i].port != port)
            continue;
        out->messages += value(&t->messages);
        out->bytes += value(&t->bytes);
        out->refused += value(&t->refused);
        out->connections += value(&t->connections);
        out->open += atomic_load_explicit(&t->open, memory_order_relaxed);
        out->most_open += atomic_load_explicit(&t->most_open, memory_order_relaxed);
        out->tls_full += value(&t->tls_full);
        out->tls_resumed += value(&t->tls_resumed);
        out->tls_failed += value(&t->tls_failed);
        out->auth_plain += value(&t->auth_plain);
        out->auth_login += value(&t->auth_login);
        out->auth_cram_md5 += value(&t->auth_cram_md5);
        out->auth_refused += value(&t->auth_refused);
        out->bdat += value(&t->bdat);
    }
}

bool sink_behave(struct sink *s, uint16_t port, const struct sink_behaviour *b, size_t n,
                 struct err *e)
{
    bool is_ours = false;
    for (size_t i = 0; i < s->listeners; i++)
        is_ours = is_ours || s->listener[i].port == port;
    if (!is_ours || n > SINK_BEHAVIOURS_MAX)
        return err_set(e, ERR_INVALID, "port %u is not the sink's, or over %d behaviours", port,
                       SINK_BEHAVIOURS_MAX);
    struct sink_order *o = alloc_bytes(sizeof(*o) + n * sizeof(o->b[0])), **end;
    o->port = port;
    o->n = n;
    for (size_t i = 0; i < n; i++) {
        o->b[i] = b[i];
        o->b[i].port = port;
    }
    pthread_mutex_lock(&s->lock);
    for (end = &s->orders; *end; end = &(*end)->next)
        ;
    *end = o;
    pthread_mutex_unlock(&s->lock);
    wake(s);
    return true;
}
