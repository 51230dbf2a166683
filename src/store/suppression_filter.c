/* See suppression_filter.h. Bits are set and looked at without locks; the end of a transaction that
 * somebody is told of orders them. */
#include "store/suppression_filter.h"

#include "base/alloc.h"
#include "base/map.h"
#include "store/suppression.h"

#include <stdatomic.h>
#include <stdlib.h>

#define BITS_LEAST (UINT64_C(1) << 20)
#define BITS_MOST  (UINT64_C(1) << 28) /* 32 MB */
#define BITS_EACH  16                  /* at twice the rows: one false question in 100 */
#define PROBES     4
#define KEY_MAX    1024

struct suppression_filter {
    uint64_t mask; /* bits - 1 */
    atomic_bool is_loaded;
    char cursor[KEY_MAX]; /* the last key that was loaded */
    _Atomic uint64_t words[];
};

static _Atomic(struct suppression_filter *) followed;

struct suppression_filter *suppression_filter_new(uint64_t expected)
{
    uint64_t bits = BITS_LEAST;
    while (bits < BITS_MOST && bits / BITS_EACH < expected)
        bits *= 2;
    if (bits / 4 < expected)
        return NULL; /* it would say "maybe" to everything */
    struct suppression_filter *f =
        (struct suppression_filter *)alloc_bytes(sizeof(*f) + bits / 64 * sizeof(f->words[0]));
    f->mask = bits - 1;
    return f;
}

void suppression_filter_free(struct suppression_filter **f)
{
    free(*f);
    *f = NULL;
}

void suppression_filter_follow(struct suppression_filter *f)
{
    atomic_store(&followed, f);
}

static void add(struct suppression_filter *f, struct str key)
{
    uint64_t at = hash_bytes(key.p, key.n, 1), step = hash_u64(at) | 1;
    for (int i = 0; i < PROBES; i++, at += step)
        atomic_fetch_or_explicit(&f->words[(at & f->mask) / 64], UINT64_C(1) << at % 64,
                                 memory_order_relaxed);
}

bool suppression_filter_may(const struct suppression_filter *f, struct str key)
{
    if (!f || !atomic_load_explicit(&f->is_loaded, memory_order_acquire))
        return true;
    uint64_t at = hash_bytes(key.p, key.n, 1), step = hash_u64(at) | 1;
    for (int i = 0; i < PROBES; i++, at += step)
        if (!(atomic_load_explicit(&f->words[(at & f->mask) / 64], memory_order_relaxed) &
              UINT64_C(1) << at % 64))
            return false;
    return true;
}

void suppression_note(struct str key)
{
    struct suppression_filter *f = atomic_load(&followed);
    if (f)
        add(f, key);
}

struct bite {
    struct suppression_filter *f;
    size_t n;
    bool is_too_long;
};

static bool take(void *arg, const struct suppression *s)
{
    struct bite *b = arg;
    add(b->f, s->address);
    b->is_too_long = !str_copy(s->address, b->f->cursor, sizeof(b->f->cursor));
    b->n++;
    return !b->is_too_long;
}

bool suppression_filter_load(struct suppression_filter *f, struct db *db, size_t limit,
                             bool *done_out, struct err *e)
{
    struct bite b = {.f = f};
    if (!suppression_each(db, str_of(f->cursor), limit, take, &b, e))
        return false;
    if (b.is_too_long)
        return err_set(e, ERR_CORRUPT, "a suppressed address is over %d bytes", KEY_MAX - 1);
    *done_out = b.n < limit;
    if (*done_out)
        atomic_store_explicit(&f->is_loaded, true, memory_order_release);
    return true;
}
