/* See throttle.h. Five failures are free, each later one doubles the wait, a quarter of an hour at
 * most; names that nobody has count like others, so that the wait tells nothing. Bounded: when too
 * many names fail, all of them are forgotten but the busiest ones' waits are lost with them, which
 * an attacker pays for with NAMES_MAX slow hashes. */
#include "api/throttle.h"

#include "base/alloc.h"
#include "base/map.h"

#include <pthread.h>
#include <stdlib.h>

#define FREE_FAILURES 5
#define WAIT_MAX_MS   900000
#define NAMES_MAX     10000

struct failures {
    uint32_t n;
    int64_t until;
};

struct throttle {
    pthread_mutex_t lock;
    struct map_str *names;
};

struct throttle *throttle_new(void)
{
    struct throttle *t = alloc_one(struct throttle);
    pthread_mutex_init(&t->lock, NULL);
    t->names = map_str_new();
    return t;
}

static void empty(struct throttle *t)
{
    size_t pos = 0;
    struct str name;
    void *v = NULL;
    while (map_str_next(t->names, &pos, &name, &v))
        free(v);
    map_str_free(&t->names);
}

void throttle_free(struct throttle **tp)
{
    struct throttle *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    empty(t);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int64_t throttle_wait(struct throttle *t, struct str name, int64_t now_ms)
{
    pthread_mutex_lock(&t->lock);
    const struct failures *f = map_str_get(t->names, name);
    int64_t wait = f && f->until > now_ms ? f->until - now_ms : 0;
    pthread_mutex_unlock(&t->lock);
    return wait;
}

static int64_t pause_after(uint32_t n)
{
    if (n < FREE_FAILURES)
        return 0;
    unsigned doubled = MIN(n - FREE_FAILURES, 20u);
    return MIN((int64_t)1000 << doubled, (int64_t)WAIT_MAX_MS);
}

void throttle_failed(struct throttle *t, struct str name, int64_t now_ms)
{
    pthread_mutex_lock(&t->lock);
    struct failures *f = map_str_get(t->names, name);
    if (!f && map_str_count(t->names) >= NAMES_MAX) {
        empty(t);
        t->names = map_str_new();
    }
    if (!f) {
        f = alloc_one(struct failures);
        map_str_set(t->names, name, f);
    }
    f->n++;
    f->until = now_ms + pause_after(f->n);
    pthread_mutex_unlock(&t->lock);
}

void throttle_passed(struct throttle *t, struct str name)
{
    pthread_mutex_lock(&t->lock);
    free(map_str_remove(t->names, name));
    pthread_mutex_unlock(&t->lock);
}
