/* Limits of groups, campaigns, credentials, mailbox providers, server x provider, and the caps of
 * warm-up: a quota for each, found by its key. What concerns a message is checked as a whole, then
 * taken as a whole; `struct hold` remembers which were. Called by the two doors only. */
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define EARLY_MS 1000 /* a message is not picked whose pace would hold its dot for longer */

static const char *const names[LIMIT_KINDS] = {"server",     "group",          "campaign",
                                               "credential", "provider",       "server_provider",
                                               "warmup",     "warmup_provider"};

const char *limit_kind_name(enum limit_kind k)
{
    return (size_t)k < countof(names) ? names[k] : "?";
}

static bool has_provider(enum limit_kind k)
{
    return k == LIMIT_PROVIDER || k == LIMIT_SERVER_PROVIDER || k == LIMIT_WARMUP_PROVIDER;
}

static uint64_t key_of(const struct limit_key *k)
{
    uint64_t provider = has_provider(k->kind) ? k->provider : 0;
    uint64_t num = k->kind == LIMIT_PROVIDER ? 0 : k->num;
    return (uint64_t)k->kind << 56 | (num & 0xFFFFFFFFu) << 24 | (provider & 0xFFFFFFu);
}

static struct scope *find(const struct fleet *f, const struct limit_key *k)
{
    return f->n_scopes[k->kind] ? map_u64_get(f->scopes, key_of(k)) : NULL;
}

/* A lifted limit keeps its place: messages on their way still hold it. */
void fleet_set_limit(struct fleet *f, const struct limit_key *k, const struct limits *l,
                     int64_t now_ms)
{
    static const struct limits none = {0};
    struct scope *s = find(f, k);
    if (!s && !l)
        return;
    if (!s) {
        s = alloc_one(struct scope);
        quota_init(&s->quota);
        s->quota.phase = (double)(hash_u64(key_of(k)) >> 40) / (1 << 24);
        map_u64_set(f->scopes, key_of(k), s);
        f->n_scopes[k->kind]++;
    }
    s->is_set = l != NULL;
    quota_configure(&s->quota, l ? l : &none, now_ms);
}

struct quota *fleet_limit(struct fleet *f, const struct limit_key *k)
{
    struct scope *s = find(f, k);
    return s && s->is_set ? &s->quota : NULL;
}

void limits_free(struct fleet *f)
{
    size_t pos = 0;
    uint64_t key = 0;
    void *v = NULL;
    while (map_u64_next(f->scopes, &pos, &key, &v)) {
        quota_free(&((struct scope *)v)->quota);
        free(v);
    }
    map_u64_free(&f->scopes);
}

static struct scope *scope_of(const struct fleet *f, const struct hold *h, enum limit_kind k)
{
    const uint32_t nums[LIMIT_KINDS] = {
        [LIMIT_GROUP] = h->group_num,           [LIMIT_CAMPAIGN] = h->campaign_num,
        [LIMIT_CREDENTIAL] = h->credential_num, [LIMIT_SERVER_PROVIDER] = h->server_num,
        [LIMIT_WARMUP] = h->server_num,         [LIMIT_WARMUP_PROVIDER] = h->server_num};
    struct limit_key key = {k, nums[k], h->provider};
    struct scope *s = find(f, &key);
    return s && s->is_set ? s : NULL;
}

/* ---- checking */

static const char *kind_words(enum limit_kind k)
{
    return k == LIMIT_SERVER_PROVIDER   ? "this server for this mailbox provider"
           : k == LIMIT_WARMUP          ? "warm-up"
           : k == LIMIT_WARMUP_PROVIDER ? "warm-up for this mailbox provider"
                                        : limit_kind_name(k);
}

/* Of the limit a minute or second that has no room. */
static void say_pace(struct limit_bar *b, enum limit_kind k, struct quota *q, int64_t now_ms)
{
    uint64_t minute = q->lines[QUOTA_MINUTE].limit;
    enum quota_window w =
        minute && quota_used(q, QUOTA_MINUTE, now_ms) >= minute ? QUOTA_MINUTE : QUOTA_SECOND;
    if (q->lines[w].limit)
        snprintf(b->why, sizeof b->why, "%s: %llu a %s, no room yet", kind_words(k),
                 (unsigned long long)q->lines[w].limit, quota_window_name(w));
    else
        snprintf(b->why, sizeof b->why, "%s: %llu a minute, the rest is on its way", kind_words(k),
                 (unsigned long long)minute);
}

static void say(struct limit_bar *b, enum limit_kind k, const struct quota *q, enum quota_window w,
                enum quota_bar bar)
{
    static const char *const words[] = {[QUOTA_USED_UP] = "are used",
                                        [QUOTA_RESERVED] = "are used, the rest is kept for "
                                                           "transactional mail",
                                        [QUOTA_SPREAD] = "are spread evenly"};
    snprintf(b->why, sizeof b->why, "%s: %llu in the %s %s", kind_words(k),
             (unsigned long long)q->lines[w].limit, quota_window_name(w), words[bar]);
    b->bound = bar == QUOTA_RESERVED ? BOUND_RESERVE
               : bar == QUOTA_SPREAD ? BOUND_SPREAD
                                     : BOUND_QUOTA;
}

static bool scope_allows(struct scope *s, enum limit_kind k, enum lane lane, int64_t now_ms,
                         struct limit_bar *out)
{
    enum quota_window w = QUOTA_HOUR;
    int64_t when = now_ms;
    enum quota_bar bar = quota_may_reserve(&s->quota, lane, now_ms, &when, &w);
    if (bar != QUOTA_FREE) {
        out->until = when;
        say(out, k, &s->quota, w, bar);
        return false;
    }
    uint32_t ahead = (uint32_t)MIN(s->quota.reserved, (uint64_t)UINT32_MAX / 2);
    if (!quota_may_dot(&s->quota, now_ms, ahead, &when) && when > now_ms + EARLY_MS) {
        out->bound = BOUND_PACE;
        out->until = when - EARLY_MS;
        say_pace(out, k, &s->quota, now_ms);
        return false;
    }
    return true;
}

bool limits_allow(struct fleet *f, const struct hold *h, unsigned kinds, int64_t now_ms,
                  struct limit_bar *out)
{
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct scope *s = kinds & 1u << k ? scope_of(f, h, (enum limit_kind)k) : NULL;
        if (s && !scope_allows(s, (enum limit_kind)k, (enum lane)h->lane, now_ms, out))
            return false;
    }
    return true;
}

/* ---- taking: what a hold names and `kinds` says */

void limits_reserve(struct fleet *f, struct hold *h, int64_t now_ms)
{
    h->kinds = 0;
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct scope *s = scope_of(f, h, (enum limit_kind)k);
        if (!s)
            continue;
        quota_reserve(&s->quota, (enum lane)h->lane, now_ms);
        h->kinds |= (uint8_t)(1u << k);
    }
}

/* The place of a scope stays even when its limit was lifted meanwhile. */
static struct quota *held(const struct fleet *f, const struct hold *h, int k)
{
    if (!(h->kinds & 1u << k))
        return NULL;
    const uint32_t num = k == LIMIT_GROUP        ? h->group_num
                         : k == LIMIT_CAMPAIGN   ? h->campaign_num
                         : k == LIMIT_CREDENTIAL ? h->credential_num
                                                 : h->server_num;
    struct scope *s = find(f, &(struct limit_key){(enum limit_kind)k, num, h->provider});
    check(s != NULL);
    return &s->quota;
}

void limits_return(struct fleet *f, const struct hold *h)
{
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct quota *q = held(f, h, k);
        if (q)
            quota_return(q, (enum lane)h->lane);
    }
}

int64_t limits_dot_at(struct fleet *f, const struct hold *h, int64_t now_ms)
{
    int64_t latest = now_ms;
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct quota *q = held(f, h, k);
        int64_t when = now_ms;
        if (q && !quota_may_dot(q, now_ms, 0, &when))
            latest = MAX(latest, when);
    }
    return latest;
}

void limits_take(struct fleet *f, const struct hold *h, int64_t now_ms)
{
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct quota *q = held(f, h, k);
        struct scope *late = q ? NULL : scope_of(f, h, (enum limit_kind)k);
        if (late) { /* set while it was on its way: it may still go, and counts */
            q = &late->quota;
            quota_reserve(q, (enum lane)h->lane, now_ms);
        }
        if (q)
            quota_take(q, (enum lane)h->lane, now_ms);
    }
}

uint64_t limits_room(struct fleet *f, const struct hold *h, int64_t now_ms, uint64_t most)
{
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct quota *q = held(f, h, k);
        if (q)
            most = MIN(most, quota_room(q, (enum lane)h->lane, now_ms));
    }
    return most;
}

void limits_take_more(struct fleet *f, const struct hold *h, uint64_t n, int64_t now_ms)
{
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct quota *q = held(f, h, k);
        if (q)
            quota_take_more(q, (enum lane)h->lane, n, now_ms);
    }
}

void limits_undot(struct fleet *f, const struct hold *h, int64_t dot_at, int64_t now_ms)
{
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct quota *q = held(f, h, k);
        if (!q)
            continue;
        quota_give_back(q, (enum lane)h->lane, now_ms, dot_at);
        quota_reserve(q, (enum lane)h->lane, now_ms);
    }
}

static void settle_one(struct quota *q, const struct report *r, enum lane lane, int64_t now_ms)
{
    bool refused = r->verdict != VERDICT_ACCEPTED && r->verdict != VERDICT_UNCERTAIN;
    if (r->dot_left) {
        if (refused && q->counts == COUNTS_ACCEPTED)
            quota_give_back(q, lane, now_ms, r->dot_at);
    } else if (q->counts != COUNTS_ACCEPTED && r->phase >= PHASE_MAIL) {
        quota_take(q, lane, now_ms);
    } else {
        quota_return(q, lane);
    }
}

void limits_settle(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    enum lane lane = (enum lane)r->hold.lane;
    settle_one(&s->quota, r, lane, now_ms);
    for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {
        struct quota *q = held(f, &r->hold, k);
        if (q)
            settle_one(q, r, lane, now_ms);
    }
}
