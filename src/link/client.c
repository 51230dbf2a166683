/* The side of the link that asks: web, from any of its threads. A few connections, each used by
 * one call at a time, opened when needed and opened anew after any trouble.
 * Guarantees: a call ends by its timeout; a call that may have reached core is never repeated; a
 * connection whose answer was not awaited is closed, so no answer meets the wrong call. */
#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "link/link.h"
#include "net/listen.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_MAX         32
#define PATIENCE_MS      3000
#define PATIENCE_STEP_MS 50

struct link_client {
    char *path;
    unsigned n; /* connections allowed */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    int idle[POOL_MAX];
    unsigned n_idle, n_busy;
    uint64_t next_id;
    int stop_fd; /* readable once stopped */
    atomic_bool is_stopped;
};

struct link_client *link_client_new(const char *path, unsigned connections)
{
    struct link_client *c = alloc_one(struct link_client);
    c->path = alloc_copy(path);
    c->n = MAX(1u, MIN(connections, (unsigned)POOL_MAX));
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->freed, &attr);
    pthread_condattr_destroy(&attr);
    c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(c->stop_fd >= 0);
    return c;
}

void link_client_stop(struct link_client *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_stopped = true;
    pthread_cond_broadcast(&c->freed);
    pthread_mutex_unlock(&c->lock);
    check(eventfd_write(c->stop_fd, 1) == 0);
}

void link_client_free(struct link_client **cp)
{
    struct link_client *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    for (unsigned i = 0; i < c->n_idle; i++)
        close(c->idle[i]);
    close(c->stop_fd);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->freed);
    free(c->path);
    free(c);
}

static int64_t now_ms(void)
{
    return clock_boot_ms();
}

/* Waits for `events` on fd until due; false: due, stopped, or poll failed. */
static bool wait_for(const struct link_client *c, int fd, short events, int64_t due)
{
    for (;;) {
        int64_t left = due - now_ms();
        if (left < 0)
            return false;
        struct pollfd p[] = {{.fd = fd, .events = events}, {.fd = c->stop_fd, .events = POLLIN}};
        int r = poll(p, countof(p), (int)MIN(left, (int64_t)60000) + 1);
        if (r > 0 && p[0].revents)
            return true;
        if (r > 0)
            return false;
        if (r < 0 && errno != EINTR)
            return false;
    }
}

static bool lost(struct err *e, const char *what)
{
    return err_set(e, ERR_UNREACHABLE,
                   "the daemon broke off (%s): it restarts by itself; look whether the work was "
                   "done before you repeat it",
                   what);
}

static bool late(const struct link_client *c, struct err *e)
{
    if (c->is_stopped)
        return err_set(e, ERR_LATER,
                       "the daemon is stopping: it may have done the work, look before you repeat");
    return err_set(e, ERR_LATER,
                   "no answer from core in time: it may still do the work, look before you repeat");
}

static bool write_all(const struct link_client *c, int fd, struct str s, int64_t due,
                      size_t *written_out, struct err *e)
{
    while (s.n) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            s = str_from_index(s, (size_t)n);
            *written_out += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return lost(e, strerror(errno));
        if (!wait_for(c, fd, POLLOUT, due))
            return late(c, e);
    }
    return true;
}

static bool read_some(const struct link_client *c, int fd, struct buf *in, int64_t due,
                      struct err *e)
{
    for (;;) {
        char *p = buf_reserve(in, 65536);
        if (!p)
            return lost(e, "its answer is too big");
        ssize_t n = recv(fd, p, 65536, MSG_DONTWAIT);
        if (n > 0) {
            buf_commit(in, (size_t)n);
            return true;
        }
        if (n == 0)
            return lost(e, "connection closed");
        if (errno != EAGAIN && errno != EINTR)
            return lost(e, strerror(errno));
        if (errno == EAGAIN && !wait_for(c, fd, POLLIN, due))
            return late(c, e);
    }
}

/* Reads one frame into `in` (which then holds it) and describes it. */
static bool read_frame(const struct link_client *c, int fd, struct buf *in, struct link_frame *f,
                       size_t *used_out, int64_t due, struct err *e)
{
    for (;;) {
        switch (link_frame_read(buf_str(in), f, used_out, e)) {
        case LINK_FRAME: return true;
        case LINK_BROKEN: return false;
        case LINK_MORE: break;
        }
        if (!read_some(c, fd, in, due, e))
            return false;
    }
}

/* Core may be starting anew at this moment, so a refused connect is tried for a while. */
static int connect_patiently(const struct link_client *c, int64_t due, struct err *e)
{
    int64_t until = MIN(due, now_ms() + PATIENCE_MS);
    for (;;) {
        int fd = listen_unix_connect(c->path, e);
        if (fd >= 0)
            return fd;
        if (c->is_stopped || now_ms() + PATIENCE_STEP_MS > until) {
            e->code = ERR_UNREACHABLE;
            return -1;
        }
        struct pollfd stop = {.fd = c->stop_fd, .events = POLLIN};
        poll(&stop, 1, PATIENCE_STEP_MS);
    }
}

static int connection_open(struct link_client *c, int64_t due, struct err *e)
{
    int fd = connect_patiently(c, due, e);
    if (fd < 0)
        return -1;
    struct buf b;
    buf_init(&b, 1u << 20);
    struct link_frame f;
    size_t used = 0, written = 0;
    bool ok = link_frame_add(&b, LINK_HELLO, 0, STR("{\"role\":\"web\"}"), STR_NONE) &&
              write_all(c, fd, buf_str(&b), due, &written, e);
    buf_clear(&b);
    ok = ok && read_frame(c, fd, &b, &f, &used, due, e);
    if (ok && (f.type != LINK_HELLO || used != b.n))
        ok = lost(e, "no hello");
    buf_free(&b);
    if (ok)
        return fd;
    close(fd);
    return -1;
}

/* An idle connection on which nothing has come (a close, or bytes nobody asked for). */
static bool is_fresh(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

/* Takes a place in the pool: an open connection, or -1 to open one. False: none in time. */
static bool place_take(struct link_client *c, int64_t due, int *fd_out, uint64_t *id_out,
                       struct err *e)
{
    bool ok = true;
    pthread_mutex_lock(&c->lock);
    while (ok && !c->is_stopped && c->n_busy >= c->n) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t left = MAX((int64_t)0, due - now_ms());
        until.tv_sec += left / 1000;
        until.tv_nsec += left % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        ok = pthread_cond_timedwait(&c->freed, &c->lock, &until) != ETIMEDOUT;
    }
    ok = ok && !c->is_stopped;
    if (ok) {
        c->n_busy++;
        *id_out = ++c->next_id;
        *fd_out = -1;
        while (*fd_out < 0 && c->n_idle) {
            int fd = c->idle[--c->n_idle];
            if (is_fresh(fd))
                *fd_out = fd;
            else
                close(fd);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return ok || err_set(e, ERR_LATER,
                         c->is_stopped ? "the daemon is stopping: try again in a few seconds"
                                       : "core is busy: try again in a few seconds");
}

static void place_give(struct link_client *c, int fd, bool usable)
{
    if (fd >= 0 && !usable)
        close(fd);
    pthread_mutex_lock(&c->lock);
    c->n_busy--;
    if (fd >= 0 && usable)
        c->idle[c->n_idle++] = fd;
    pthread_cond_signal(&c->freed);
    pthread_mutex_unlock(&c->lock);
}

/* The frame of a call. */
static bool call_build(struct buf *b, const char *op, json_t *args, struct str tail,
                       const char *actor, uint64_t id, struct err *e)
{
    json_t *call =
        json_pack("{s:s, s:O?, s:s}", "op", op, "args", args, "actor", actor ? actor : "");
    char *text = call ? json_dumps(call, JSON_COMPACT) : NULL;
    bool ok = text && link_frame_add(b, LINK_CALL, id, str_of(text), tail);
    free(text);
    json_decref(call);
    return ok || err_set(e, ERR_TOO_BIG, "the request is over %u MB", LINK_FRAME_MAX >> 20);
}

static bool answer_take(struct buf *in, const struct link_frame *f, size_t used, uint64_t id,
                        json_t **answer_out, struct err *e)
{
    if (f->type != LINK_ANSWER || f->id != id || used != in->n)
        return lost(e, "an answer that does not belong to the call");
    struct str tail;
    return link_payload_read(f->payload, answer_out, &tail, e);
}

bool link_call(struct link_client *c, const char *op, json_t *args, struct str tail,
               const char *actor, int timeout_ms, json_t **data_out, struct err *e)
{
    int64_t due = now_ms() + timeout_ms;
    int fd = -1;
    uint64_t id = 0;
    if (data_out)
        *data_out = NULL;
    if (!place_take(c, due, &fd, &id, e))
        return false;
    struct buf out, in;
    buf_init(&out, LINK_FRAME_MAX + 4);
    buf_init(&in, LINK_FRAME_MAX + (1u << 20));
    struct link_frame f;
    size_t used = 0, written = 0;
    json_t *answer = NULL;
    bool ok = call_build(&out, op, args, tail, actor, id, e);
    ok = ok && (fd >= 0 || (fd = connection_open(c, due, e)) >= 0);
    ok = ok && write_all(c, fd, buf_str(&out), due, &written, e) &&
         read_frame(c, fd, &in, &f, &used, due, e) && answer_take(&in, &f, used, id, &answer, e);
    place_give(c, fd, ok || !written);
    buf_free(&out);
    buf_free(&in);
    if (!ok)
        return false;
    ok = link_answer_read(answer, data_out, e);
    json_decref(answer);
    return ok;
}
