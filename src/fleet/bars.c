/* Server x From domain: a From that a server will not take is kept from it for a while; the server
 * itself is well. At most BARS_MAX a server, made with the first one. */
#include "base/alloc.h"
#include "fleet/internal.h"

#define BARS_MAX       32
#define BARRED_MS      3600000 /* a From that the server says it does not know */
#define MAIL_BARRED_MS 900000  /* MAIL refused for good three times in a row */

static uint64_t key_of(struct str from_domain)
{
    return hash_bytes(from_domain.p, from_domain.n, 1) | 1;
}

static struct bar *find(const struct fserver *s, uint64_t key)
{
    for (uint32_t i = 0; i < s->n_bars; i++)
        if (s->bars[i].key == key)
            return &s->bars[i];
    return NULL;
}

/* A new one takes the place of the one that is over first. */
static struct bar *bar_of(struct fserver *s, uint64_t key)
{
    struct bar *b = find(s, key);
    if (b)
        return b;
    if (s->n_bars < BARS_MAX) {
        s->bars = alloc_resize(s->bars, (s->n_bars + 1) * sizeof *s->bars);
        b = &s->bars[s->n_bars++];
    } else {
        b = &s->bars[0];
        for (uint32_t i = 1; i < s->n_bars; i++)
            if (s->bars[i].until < b->until)
                b = &s->bars[i];
    }
    *b = (struct bar){.key = key};
    return b;
}

/* Each closing in a row is twice as long, up to an hour. What came from messages that were on their
 * way when it closed is no further one. */
static void close_for(struct bar *b, int64_t least_ms, int64_t wait_ms, int64_t now_ms)
{
    b->failures = 0;
    if (b->until > now_ms) {
        b->until = MAX(b->until, now_ms + wait_ms);
        return;
    }
    int64_t ms = MIN(least_ms << MIN(b->closings, 10u), (int64_t)BARRED_MS);
    b->closings++;
    b->until = now_ms + MAX(ms, wait_ms);
}

bool bars_closed(const struct fserver *s, struct str from_domain, int64_t now_ms,
                 int64_t *until_out)
{
    const struct bar *b = s->n_bars && from_domain.n ? find(s, key_of(from_domain)) : NULL;
    if (!b || b->until <= now_ms)
        return false;
    *until_out = b->until;
    return true;
}

void bars_unknown(struct fserver *s, struct str from_domain, int64_t wait_ms, int64_t now_ms)
{
    close_for(bar_of(s, key_of(from_domain)), BARRED_MS, wait_ms, now_ms);
}

void bars_refused(struct fserver *s, struct str from_domain, int64_t now_ms)
{
    struct bar *b = bar_of(s, key_of(from_domain));
    if (++b->failures >= FAILURES_TO_OPEN)
        close_for(b, MAIL_BARRED_MS, 0, now_ms);
}

/* An answer from behind an open bar ends its row; one from before its closing does not. */
void bars_passed(struct fserver *s, struct str from_domain, int64_t now_ms)
{
    struct bar *b = s->n_bars ? find(s, key_of(from_domain)) : NULL;
    if (b && b->until <= now_ms)
        *b = s->bars[--s->n_bars];
}
