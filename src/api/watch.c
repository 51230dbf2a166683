/* Ends connections whose peer sends a byte now and then: the library's own timeout only sees
 * silence. A request's head has HEAD_MS; a body has BODY_MS and then a least rate. One thread looks
 * once a second. A descriptor is shut down only while its connection is registered, so never one
 * that was given to somebody else. */
#include "api/inner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/list.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define HEAD_MS       30000
#define BODY_MS       30000
#define BODY_BYTES_MS 1 /* least bytes a millisecond afterwards */

enum watch_phase { WATCH_HEAD, WATCH_BODY, WATCH_BUSY };

struct watched {
    struct list link;
    int fd;
    enum watch_phase phase;
    int64_t since;
    uint64_t got;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t stop;
    struct list all;
    pthread_t thread;
    bool runs, must_stop;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .stop = PTHREAD_COND_INITIALIZER};

static void set_phase(struct watched *x, enum watch_phase phase)
{
    pthread_mutex_lock(&watch.lock);
    x->phase = phase;
    x->since = clock_boot_ms();
    x->got = 0;
    pthread_mutex_unlock(&watch.lock);
}

struct watched *watch_add(int fd)
{
    struct watched *x = alloc_one(struct watched);
    x->fd = fd;
    x->since = clock_boot_ms();
    pthread_mutex_lock(&watch.lock);
    list_init(&x->link);
    list_push_back(&watch.all, &x->link);
    pthread_mutex_unlock(&watch.lock);
    return x;
}

void watch_remove(struct watched *x)
{
    pthread_mutex_lock(&watch.lock);
    list_remove(&x->link);
    pthread_mutex_unlock(&watch.lock);
    free(x);
}

void watch_head(struct watched *x)
{
    set_phase(x, WATCH_HEAD);
}

void watch_body(struct watched *x)
{
    set_phase(x, WATCH_BODY);
}

void watch_busy(struct watched *x)
{
    set_phase(x, WATCH_BUSY);
}

void watch_got(struct watched *x, size_t n)
{
    pthread_mutex_lock(&watch.lock);
    x->got += n;
    pthread_mutex_unlock(&watch.lock);
}

static bool is_late(const struct watched *x, int64_t now)
{
    int64_t ms = now - x->since;
    if (x->phase == WATCH_HEAD)
        return ms > HEAD_MS;
    return x->phase == WATCH_BODY && ms > BODY_MS + (int64_t)(x->got / BODY_BYTES_MS);
}

static void *look(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&watch.lock);
    while (!watch.must_stop) {
        int64_t now = clock_boot_ms();
        list_each(it, &watch.all)
        {
            struct watched *x = list_entry(it, struct watched, link);
            if (is_late(x, now))
                (void)shutdown(x->fd, SHUT_RDWR);
        }
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        (void)pthread_cond_timedwait(&watch.stop, &watch.lock, &until);
    }
    pthread_mutex_unlock(&watch.lock);
    return NULL;
}

bool watch_start(void)
{
    list_init(&watch.all);
    watch.must_stop = false;
    watch.runs = pthread_create(&watch.thread, NULL, look, NULL) == 0;
    return watch.runs;
}

void watch_stop(void)
{
    if (!watch.runs)
        return;
    pthread_mutex_lock(&watch.lock);
    watch.must_stop = true;
    pthread_cond_signal(&watch.stop);
    pthread_mutex_unlock(&watch.lock);
    pthread_join(watch.thread, NULL);
    watch.runs = false;
}
