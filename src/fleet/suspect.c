/* Whose fault? One reply cannot tell: a relay with a broken map says 5.1.1, or 451, to everybody.
 * So what a server said of its last 200 recipients is held against what the rest of its group said
 * in the same time. A server that stands out is *suspect*: it leaves the heap, its word about
 * recipients is not taken any more, and after a while a few test messages show whether it is well.
 * Who acts on it: engine/whose.c. Pure; about 1 KB a server, made with its first recipient. */
#include "fleet/suspect.h"
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCKS         8 /* of BLOCK recipients: the last 200 */
#define BLOCK          25
#define WINDOW         (BLOCKS * BLOCK)
#define ALONE_BLOCKS   4  /* the last 100 */
#define SETS           64 /* of recipients counted lately, WAYS each */
#define WAYS           4
#define DOMAINS_LEAST  5
#define TIMES_REST     5   /* as often as the rest of the group */
#define EXPECTED_LEAST 10  /* so many the rest must have had to see at the same rate */
#define JUDGE_EVERY    8   /* of one kind, between two comparisons */
#define OTHERS_MAX     16  /* servers compared with */
#define TESTS          10u /* messages of a probation */
#define SUSPECT_MS     INT64_C(900000)
#define SUSPECT_MOST   INT64_C(14400000)
#define LOOK_MS        1000
#define TRUSTED_MS     INT64_C(3600000)

/* What the recipient or the message is blamed for. Above `percent` of 200 beside others, above
 * `alone` of 100 without. 4xx has higher ones: greylisting meets a new server everywhere, and only
 * it; it costs a delay and nobody an address. */
static const struct {
    enum verdict verdict;
    uint32_t percent, alone;
} kinds[] = {
    {VERDICT_HARD_BOUNCE, 20, 30}, {VERDICT_SOFT_BOUNCE, 20, 30}, {VERDICT_TRY_LATER, 50, 60},
    {VERDICT_CONTENT, 20, 30},     {VERDICT_PROTOCOL, 20, 30},    {VERDICT_UNKNOWN, 20, 30},
};
#define KINDS 6
#define LATER 2 /* index of TRY_LATER */
_Static_assert(countof(kinds) == KINDS, "KINDS is the number of kinds");

struct block {
    int64_t since;
    uint64_t domains[KINDS]; /* a bit each, by hash: a lower bound of how many */
    uint8_t n, bad[KINDS];
};

struct suspicion {
    struct block blocks[BLOCKS];
    uint32_t newest;
    uint8_t unjudged[KINDS];
    uint16_t tags[SETS][WAYS]; /* 12 bits of a recipient's hash and what was said; newest first */
    /* while it is suspect */
    uint32_t kind;
    struct sight own;  /* what made it suspect */
    int64_t since;     /* of the suspicion, or of the probation */
    int64_t next_look; /* has the rest of the group the same rate by now? */
    uint32_t times;    /* in a row */
    bool is_testing;
    uint32_t tested, test_bad;
    int64_t trusted_until; /* the user let it go on although there was nobody to compare with */
};

/* ---- the window */

static int kind_of(enum verdict v)
{
    for (int k = 0; k < KINDS; k++)
        if (kinds[k].verdict == v)
            return k;
    return -1;
}

/* Of the newest `blocks`; all of them that end after `from`. */
static struct sight look_back(const struct suspicion *x, int kind, uint32_t blocks, int64_t from)
{
    struct sight out = {0};
    uint64_t domains = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        const struct block *b = &x->blocks[(x->newest + BLOCKS - i) % BLOCKS];
        if (!b->n)
            break;
        out.n += b->n;
        out.bad += b->bad[kind];
        domains |= b->domains[kind];
        out.since = b->since;
        if (b->since <= from)
            break;
    }
    out.domains = (uint32_t)__builtin_popcountll(domains);
    return out;
}

static struct block *open_block(struct suspicion *x, int64_t now_ms)
{
    struct block *b = &x->blocks[x->newest];
    if (b->n == BLOCK) {
        x->newest = (x->newest + 1) % BLOCKS;
        b = &x->blocks[x->newest];
        *b = (struct block){0};
    }
    if (!b->n)
        b->since = now_ms;
    return b;
}

/* A greylisted recipient was taken at the second try: it was no fault at all. */
static void take_back(struct suspicion *x, int kind)
{
    for (uint32_t i = 1; i <= BLOCKS; i++) {
        struct block *b = &x->blocks[(x->newest + i) % BLOCKS];
        if (b->bad[kind]) {
            b->bad[kind]--;
            return;
        }
    }
}

/* True: this recipient is counted already. */
static bool was_seen(struct suspicion *x, uint64_t recipient, int kind)
{
    uint16_t *set = x->tags[recipient % SETS];
    uint16_t id = (uint16_t)((recipient >> 40) << 4), said = (uint16_t)(kind + 2);
    for (int i = 0; i < WAYS; i++) {
        if (!set[i] || (set[i] & 0xFFF0) != id)
            continue;
        if (kind < 0 && (set[i] & 15) == LATER + 2)
            take_back(x, LATER);
        if (kind < 0)
            set[i] = id | said;
        return true;
    }
    memmove(set + 1, set, (WAYS - 1) * sizeof *set);
    set[0] = id | said;
    return false;
}

static void count(struct suspicion *x, const struct report *r, int kind, int64_t now_ms)
{
    if (was_seen(x, r->recipient, kind))
        return;
    struct block *b = open_block(x, now_ms);
    b->n++;
    if (kind < 0)
        return;
    b->bad[kind]++;
    b->domains[kind] |= UINT64_C(1) << (hash_u64(r->domain) % 64);
    x->unjudged[kind]++;
}

/* ---- the rest of the group */

static size_t collect(const struct fserver *s, int kind, int64_t from, struct sight *out)
{
    size_t n = 0;
    list_each(it, &s->places)
    {
        const struct place *p = list_entry(it, struct place, link);
        const struct fgroup *g = p->group;
        size_t at = (size_t)(p - g->places);
        for (size_t i = 1; i < g->n_places && i <= OTHERS_MAX * 4 && n < OTHERS_MAX; i++) {
            const struct fserver *o = g->places[(at + i) % g->n_places].server;
            struct sight x = {0};
            if (o != s && o->suspicion)
                x = look_back(o->suspicion, kind, BLOCKS, from);
            if (x.n)
                out[n++] = x;
        }
    }
    return n;
}

static int better_first(const void *a, const void *b)
{
    const struct sight *x = a, *y = b;
    uint64_t l = (uint64_t)x->bad * y->n, r = (uint64_t)y->bad * x->n;
    return l < r ? -1 : l > r;
}

/* The better half of the others, so that two broken relays of four do not excuse one another; more
 * of them while they are too few to say anything. */
static struct sight rest_of(const struct fserver *s, int kind, const struct sight *own,
                            int64_t from)
{
    struct sight others[OTHERS_MAX], out = {0};
    size_t n = collect(s, kind, from, others);
    qsort(others, n, sizeof *others, better_first);
    for (size_t i = 0; i < n; i++) {
        if (i >= (n + 1) / 2 && (uint64_t)out.n * own->bad >= (uint64_t)EXPECTED_LEAST * own->n)
            break;
        out.n += others[i].n;
        out.bad += others[i].bad;
    }
    return out;
}

/* ---- judging */

static uint32_t percent(uint32_t part, uint32_t of)
{
    return of ? (uint32_t)(((uint64_t)part * 100 + of / 2) / of) : 0;
}

/* How many the rest would have seen at our rate, and whether it saw far fewer. */
static uint64_t expected(const struct sight *own, const struct sight *rest)
{
    return own->n ? (uint64_t)rest->n * own->bad / own->n : 0;
}

static bool stands_out(const struct sight *own, const struct sight *rest)
{
    return (uint64_t)rest->bad * TIMES_REST * own->n <= (uint64_t)rest->n * own->bad;
}

static int64_t pause_ms(const struct suspicion *x)
{
    return MIN(SUSPECT_MS << MIN(x->times, 8u), SUSPECT_MOST);
}

static void accuse(struct fleet *f, struct fserver *s, int kind, const struct sight *own,
                   const struct sight *rest, const char *why, int64_t now_ms)
{
    struct suspicion *x = s->suspicion;
    char reason[160], beside[64];
    x->kind = (uint32_t)kind;
    x->own = *own;
    x->since = now_ms;
    x->next_look = now_ms + LOOK_MS;
    x->is_testing = false;
    if (rest->n)
        snprintf(beside, sizeof beside, "the rest of the group: %u of %u (%u %%)", rest->bad,
                 rest->n, percent(rest->bad, rest->n));
    else
        snprintf(beside, sizeof beside, "nobody in its group to compare with");
    snprintf(reason, sizeof reason, "%s to %u of %u recipients in %s%u domains; %s; %s",
             verdict_name(kinds[kind].verdict), own->bad, own->n, own->domains > 20 ? "over " : "",
             own->domains, beside, why ? why : "");
    health_set_state(f, s, OPER_SUSPECT, reason, now_ms + pause_ms(x), now_ms);
}

static void judge(struct fleet *f, struct fserver *s, int kind, const char *why, int64_t now_ms)
{
    struct suspicion *x = s->suspicion;
    struct sight own = look_back(x, kind, BLOCKS, 0);
    x->unjudged[kind] = 0;
    if (own.domains < DOMAINS_LEAST)
        return;
    struct sight rest = rest_of(s, kind, &own, own.since);
    if (expected(&own, &rest) >= EXPECTED_LEAST) {
        if (own.bad * 100 > kinds[kind].percent * WINDOW && stands_out(&own, &rest))
            accuse(f, s, kind, &own, &rest, why, now_ms);
        return;
    }
    /* Nobody to compare with, or too little to speak against it. */
    struct sight last = look_back(x, kind, ALONE_BLOCKS, 0);
    bool excused = rest.bad > 1 && !stands_out(&own, &rest);
    if (last.bad > kinds[kind].alone && !excused && now_ms >= x->trusted_until)
        accuse(f, s, kind, &last, &rest, why, now_ms);
}

/* ---- probation */

static void test_again_later(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    s->suspicion->is_testing = false;
    s->suspicion->since = now_ms;
    health_set_state(f, s, OPER_SUSPECT, s->reason, now_ms + pause_ms(s->suspicion), now_ms);
}

static void tested(struct fleet *f, struct fserver *s, const struct report *r, int kind,
                   int64_t now_ms)
{
    struct suspicion *x = s->suspicion;
    char reason[100];
    if (r->verdict != VERDICT_ACCEPTED && kind < 0) { /* it said nothing of a recipient */
        test_again_later(f, s, now_ms);
        return;
    }
    x->tested++;
    x->test_bad += kind == (int)x->kind;
    struct sight own = {.n = TESTS, .bad = x->test_bad};
    struct sight rest = rest_of(s, (int)x->kind, &own, x->since);
    bool excused = rest.bad > 1 && !stands_out(&own, &rest);
    if (x->test_bad * 100 > kinds[x->kind].percent * TESTS && !excused) {
        x->times++;
        test_again_later(f, s, now_ms);
    } else if (x->tested >= TESTS) {
        x->own.n = 0; /* proven, not trusted */
        snprintf(reason, sizeof reason, "on probation it said %s to %u of %u recipients",
                 verdict_name(kinds[x->kind].verdict), x->test_bad, TESTS);
        fleet_release(f, s->num, reason, now_ms);
    }
}

struct suspicion *suspect_copy(const struct suspicion *x)
{
    struct suspicion *copy = alloc_one(struct suspicion);
    *copy = *x;
    return copy;
}

void suspect_report(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    int kind = kind_of(r->verdict);
    if (!r->is_message || r->is_ours)
        return;
    if (s->state == OPER_SUSPECT) {
        if (s->suspicion->is_testing)
            tested(f, s, r, kind, now_ms);
        return;
    }
    if (!r->recipient || (kind < 0 && r->verdict != VERDICT_ACCEPTED))
        return;
    if (!s->suspicion)
        s->suspicion = alloc_one(struct suspicion);
    count(s->suspicion, r, kind, now_ms);
    bool may = s->state == OPER_HEALTHY || s->state == OPER_DEGRADED || s->state == OPER_RAMP;
    if (kind >= 0 && may && s->suspicion->unjudged[kind] >= JUDGE_EVERY)
        judge(f, s, kind, r->why, now_ms);
}

bool suspect_is_testing(const struct fserver *s)
{
    return s->state == OPER_SUSPECT && s->suspicion->is_testing;
}

/* The whole group shows it by now: it is the list, or the recipients' side. */
static bool rest_has_it_too(const struct fserver *s, struct sight *rest_out)
{
    const struct suspicion *x = s->suspicion;
    *rest_out = rest_of(s, (int)x->kind, &x->own, x->since);
    return expected(&x->own, rest_out) >= (uint64_t)2 * EXPECTED_LEAST &&
           (uint64_t)rest_out->bad * TIMES_REST > 2 * expected(&x->own, rest_out);
}

void suspect_tick(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    struct suspicion *x = s->suspicion;
    struct sight rest;
    char reason[120];
    if (x->is_testing)
        return;
    if (now_ms >= s->until) {
        x->is_testing = true;
        x->tested = x->test_bad = 0;
        x->since = now_ms;
        health_set_state(f, s, OPER_SUSPECT, s->reason, 0, now_ms);
        return;
    }
    if (now_ms < x->next_look || !x->own.n)
        return;
    x->next_look = now_ms + LOOK_MS;
    if (!rest_has_it_too(s, &rest))
        return;
    snprintf(reason, sizeof reason, "the rest of the group says %s as well: %u of %u (%u %%)",
             verdict_name(kinds[x->kind].verdict), rest.bad, rest.n, percent(rest.bad, rest.n));
    fleet_release(f, s->num, reason, now_ms);
}

void suspect_over(struct fserver *s, enum oper_state to, int64_t now_ms)
{
    struct suspicion *x = s->suspicion;
    bool is_well = to == OPER_RAMP || to == OPER_HEALTHY;
    if (!x)
        return;
    struct suspicion old = *x;
    *x = (struct suspicion){.times = is_well ? 0 : old.times};
    /* Nobody was there to compare with, and it was let go on: the list may really be like that. */
    x->trusted_until = is_well && old.own.n ? now_ms + TRUSTED_MS : old.trusted_until;
}

/* ---- doors */

bool fleet_believes(struct fleet *f, uint16_t num, enum verdict v)
{
    struct fserver *s = fleet_find(f, num);
    return !s || s->state != OPER_SUSPECT || kind_of(v) < 0;
}

enum verdict fleet_suspected_of(struct fleet *f, uint16_t num)
{
    struct fserver *s = fleet_find(f, num);
    return s && s->state == OPER_SUSPECT ? kinds[s->suspicion->kind].verdict : VERDICT_NONE;
}

bool fleet_suspect(struct fleet *f, uint16_t num, enum verdict v, const char *reason, int64_t until,
                   int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    int kind = kind_of(v);
    if (!s || (s->state != OPER_HEALTHY && s->state != OPER_DEGRADED && s->state != OPER_RAMP))
        return false;
    if (!s->suspicion)
        s->suspicion = alloc_one(struct suspicion);
    s->suspicion->kind = (uint32_t)MAX(kind, 0);
    s->suspicion->since = now_ms;
    health_set_state(f, s, OPER_SUSPECT, reason, MAX(until, now_ms), now_ms);
    return true;
}

size_t fleet_sights(struct fleet *f, uint16_t num, struct blame *out, size_t max)
{
    struct fserver *s = fleet_find(f, num);
    size_t n = 0;
    for (int k = 0; s && s->suspicion && k < KINDS && n < max; k++) {
        bool is_why = s->state == OPER_SUSPECT && (int)s->suspicion->kind == k;
        struct sight own = is_why && s->suspicion->own.n ? s->suspicion->own
                                                         : look_back(s->suspicion, k, BLOCKS, 0);
        if (own.bad)
            out[n++] = (struct blame){kinds[k].verdict, own, rest_of(s, k, &own, own.since)};
    }
    return n;
}
