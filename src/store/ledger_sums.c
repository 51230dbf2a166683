/* Sums of the ledger check: audiences against leases, counters against results, use against results
 * and limits. */
#include "store/ledger_inner.h"
#include "base/alloc.h"
#include "store/outbox.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE_CONTACTS 32768
#define PAGE_BYTES    (PAGE_CONTACTS / 8)
#define HOUR_S        3600

/* ---- audiences: the bits are the contacts of the leases, each once */

struct page {
    uint8_t audience[PAGE_BYTES], leased[PAGE_BYTES];
};

static struct page *page_of(struct map_u64 *pages, uint64_t number)
{
    struct page *p = map_u64_get(pages, number);
    if (!p) {
        p = alloc_one(struct page);
        map_u64_set(pages, number, p);
    }
    return p;
}

static bool read_pages(struct ledger_look *k, const struct ledger_campaign *c,
                       struct map_u64 *pages, struct err *e)
{
    struct stmt *s = db_stmt(k->db, "SELECT page, bits FROM audience WHERE campaign_num = $1", e);
    bool row = true, ok = s != NULL;
    if (s)
        db_bind_i64(s, 1, c->num);
    while (ok && (ok = db_step(s, &row, e)) && row) {
        struct str bits = db_blob(s, 1);
        if (bits.n != PAGE_BYTES)
            ledger_say(k, FAULT_AUDIENCE,
                       "campaign \"%s\": page %lld of its audience has %zu bytes", c->name,
                       (long long)db_i64(s, 0), bits.n);
        if (bits.n)
            memcpy(page_of(pages, (uint64_t)db_i64(s, 0))->audience, bits.p,
                   MIN(bits.n, (size_t)PAGE_BYTES));
    }
    if (s)
        db_reset(s);
    return ok;
}

static void lease_contact(struct ledger_look *k, const struct ledger_campaign *c,
                          struct map_u64 *pages, uint64_t contact)
{
    struct page *p = page_of(pages, contact / PAGE_CONTACTS);
    size_t at = contact % PAGE_CONTACTS / 8;
    uint8_t bit = (uint8_t)(1u << contact % 8);
    if (p->leased[at] & bit)
        ledger_say(k, FAULT_AUDIENCE, "campaign \"%s\": contact %llu has two messages", c->name,
                   (unsigned long long)contact);
    if (!(p->audience[at] & bit))
        ledger_say(k, FAULT_AUDIENCE, "campaign \"%s\": contact %llu has a message, but no bit",
                   c->name, (unsigned long long)contact);
    p->leased[at] |= bit;
}

static bool read_leases(struct ledger_look *k, struct ledger_campaign *c, struct map_u64 *pages,
                        struct err *e)
{
    struct stmt *s = db_stmt(k->db, "SELECT ids FROM lease WHERE campaign_num = $1", e);
    uint64_t contacts[LEASE_MAX];
    bool row = true, ok = s != NULL;
    if (s)
        db_bind_i64(s, 1, c->num);
    while (ok && (ok = db_step(s, &row, e)) && row) {
        uint32_t n = outbox_ids_unpack(db_blob(s, 0), contacts, LEASE_MAX);
        c->lease_sum += n;
        for (uint32_t i = 0; i < n; i++)
            lease_contact(k, c, pages, contacts[i]);
    }
    if (s)
        db_reset(s);
    return ok;
}

/* Bits without a lease: contacts that are skipped for ever. */
static void compare_pages(struct ledger_look *k, const struct ledger_campaign *c,
                          struct map_u64 *pages)
{
    size_t pos = 0;
    uint64_t number = 0;
    void *v = NULL;
    while (map_u64_next(pages, &pos, &number, &v)) {
        const struct page *p = v;
        for (size_t i = 0; i < PAGE_BYTES; i++)
            for (unsigned bit = 0; p->audience[i] & ~p->leased[i] && bit < 8; bit++)
                if (p->audience[i] & ~p->leased[i] & 1u << bit)
                    ledger_say(k, FAULT_AUDIENCE,
                               "campaign \"%s\": contact %llu has its bit, but no message", c->name,
                               (unsigned long long)(number * PAGE_CONTACTS + i * 8 + bit));
        free(v);
    }
}

static bool look_at_audience(struct ledger_look *k, struct ledger_campaign *c, struct err *e)
{
    struct map_u64 *pages = map_u64_new();
    bool ok = read_pages(k, c, pages, e) && read_leases(k, c, pages, e);
    compare_pages(k, c, pages);
    map_u64_free(&pages);
    if (ok && c->lease_sum != c->leased)
        ledger_say(k, FAULT_AUDIENCE, "campaign \"%s\": %lld leased, its leases hold %lld", c->name,
                   (long long)c->leased, (long long)c->lease_sum);
    return ok;
}

bool ledger_audiences(struct ledger_look *k, struct err *e)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *c = NULL;
    bool ok = true;
    while (ok && map_u64_next(k->campaigns, &pos, &num, &c))
        ok = num == 0 || look_at_audience(k, c, e);
    return ok;
}

/* ---- counters of campaigns */

static void compare_kind(struct ledger_look *k, const struct ledger_campaign *c, int kind,
                         int64_t stored)
{
    static const char *const names[] = {"?",       "sent",      "bounced hard", "bounced soft",
                                        "failed",  "uncertain", "suppressed",   "cancelled",
                                        "expired", "deferred"};
    int64_t counted = c->counted[kind];
    /* Contacts that left the list between start and their turn have no message. */
    bool gone =
        kind == TALLY_CANCELLED && c->walked && stored - counted == c->recipients - c->leased;
    if (stored == counted || gone)
        return;
    if (c->num)
        ledger_say(k, FAULT_TALLY, "campaign \"%s\": %lld counted as %s, its results say %lld",
                   c->name, (long long)stored, names[kind], (long long)counted);
    else
        ledger_say(k, FAULT_TALLY, "single messages: %lld counted as %s, their results say %lld",
                   (long long)stored, names[kind], (long long)counted);
}

static bool look_at_tally(struct ledger_look *k, const struct ledger_campaign *c, struct err *e)
{
    struct stmt *s = db_stmt(k->db,
                             "SELECT kind, n FROM tally WHERE campaign_num = $1 AND server_num = 0 "
                             "AND provider = '' AND kind <= $2",
                             e);
    int64_t stored[TALLY_DEFERRED + 1] = {0}, ends = 0;
    bool row = true, ok = s != NULL;
    if (s) {
        db_bind_i64(s, 1, c->num);
        db_bind_i64(s, 2, TALLY_DEFERRED);
    }
    while (ok && (ok = db_step(s, &row, e)) && row)
        if (db_i64(s, 0) > 0)
            stored[db_i64(s, 0)] = db_i64(s, 1);
    if (s)
        db_reset(s);
    for (int kind = 1; ok && kind <= TALLY_DEFERRED; kind++) {
        compare_kind(k, c, kind, stored[kind]);
        ends += kind < TALLY_DEFERRED ? stored[kind] : 0;
    }
    if (ok && c->num && ends > c->recipients)
        ledger_say(k, FAULT_TALLY, "campaign \"%s\": %lld recipients, but %lld ends", c->name,
                   (long long)c->recipients, (long long)ends);
    return ok;
}

/* By provider each message is counted once at most: sums never exceed what is counted of all. */
static bool look_at_providers(struct ledger_look *k, const struct ledger_campaign *c, struct err *e)
{
    struct stmt *s =
        db_stmt(k->db,
                "SELECT p.kind, SUM(p.n), MIN(p.n), COALESCE((SELECT a.n FROM tally a "
                "WHERE a.campaign_num = $1 AND a.server_num = 0 AND a.provider = '' "
                "AND a.kind = p.kind), 0) FROM tally p WHERE p.campaign_num = $1 AND "
                "p.server_num = 0 AND p.provider <> '' AND p.kind < $2 GROUP BY p.kind",
                e);
    bool row = true, ok = s != NULL;
    if (s) {
        db_bind_i64(s, 1, c->num);
        db_bind_i64(s, 2, TALLY_DEFERRED);
    }
    while (ok && (ok = db_step(s, &row, e)) && row)
        if (db_i64(s, 1) > db_i64(s, 3) || db_i64(s, 2) < 0)
            ledger_say(k, FAULT_TALLY,
                       "campaign \"%s\": by provider %lld are counted of kind %lld, of all %lld",
                       c->num ? c->name : "(single messages)", (long long)db_i64(s, 1),
                       (long long)db_i64(s, 0), (long long)db_i64(s, 3));
    if (s)
        db_reset(s);
    return ok;
}

bool ledger_tallies(struct ledger_look *k, struct err *e)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *c = NULL;
    bool ok = true;
    while (ok && map_u64_next(k->campaigns, &pos, &num, &c))
        ok = look_at_tally(k, c, e) && look_at_providers(k, c, e);
    return ok;
}

/* ---- use of servers */

struct use_sum {
    int64_t taken, attempts, sent;
};

static bool sum_use(struct ledger_look *k, uint16_t num, int64_t span_s, struct use_sum *out,
                    struct err *e)
{
    struct stmt *s = db_stmt(k->db,
                             "SELECT COALESCE(SUM(taken), 0), COALESCE(SUM(attempts), 0), "
                             "COALESCE(SUM(sent), 0) FROM usage WHERE server_num = $1 AND "
                             "span_s = $2",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, span_s);
    if (!db_step(s, &row, e))
        return false;
    *out = (struct use_sum){db_i64(s, 0), db_i64(s, 1), db_i64(s, 2)};
    db_reset(s);
    return true;
}

static bool sum_attempts(struct ledger_look *k, uint16_t num, int64_t *out, struct err *e)
{
    struct stmt *s =
        db_stmt(k->db, "SELECT COALESCE(SUM(n), 0) FROM tally WHERE server_num = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    if (!db_step(s, &row, e))
        return false;
    *out = db_i64(s, 0);
    db_reset(s);
    return true;
}

static bool compare_use(struct ledger_look *k, uint16_t num, const char *name, struct err *e)
{
    static const int64_t spans[] = {60, HOUR_S, 24 * HOUR_S};
    const struct ledger_server *r = ledger_server_of(k, num);
    int64_t least = r->accepted + r->uncertain, tallied = 0;
    for (size_t i = 0; i < countof(spans); i++) {
        struct use_sum u;
        if (!sum_use(k, num, spans[i], &u, e))
            return false;
        if (u.attempts != r->attempts || u.sent != r->accepted || u.taken < least ||
            u.taken > r->attempts)
            ledger_say(k, FAULT_USE,
                       "server \"%s\", spans of %lld s: %lld attempts, %lld sent, %lld taken; the "
                       "results say %lld, %lld and at least %lld",
                       name, (long long)spans[i], (long long)u.attempts, (long long)u.sent,
                       (long long)u.taken, (long long)r->attempts, (long long)r->accepted,
                       (long long)least);
    }
    if (!sum_attempts(k, num, &tallied, e))
        return false;
    if (tallied != r->attempts)
        ledger_say(k, FAULT_TALLY, "server \"%s\": %lld attempts counted, there are %lld", name,
                   (long long)tallied, (long long)r->attempts);
    return true;
}

struct limit {
    const char *word;
    int64_t span_s, bucket_s, most;
};

/* Whole buckets within any window: what a sliding limit allows at most, by the times of the dots.
 */
static bool look_at_window(struct ledger_look *k, uint16_t num, const char *name,
                           const struct limit *l, int64_t since, struct err *e)
{
    struct stmt *s = db_stmt(k->db,
                             "SELECT a.start, (SELECT SUM(b.taken) FROM usage b WHERE b.server_num "
                             "= $1 AND b.span_s = $2 AND b.start >= a.start AND b.start < a.start "
                             "+ $3) FROM usage a WHERE a.server_num = $1 AND a.span_s = $2 AND "
                             "a.start >= $4 AND a.taken > 0 ORDER BY a.start",
                             e);
    bool row = true, ok = s != NULL;
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, l->bucket_s);
    db_bind_i64(s, 3, l->span_s * 1000);
    db_bind_i64(s, 4, since);
    while ((ok = db_step(s, &row, e)) && row)
        if (db_i64(s, 1) > l->most)
            ledger_say(k, FAULT_LIMIT, "server \"%s\": %lld in the %s from %lld, its limit is %lld",
                       name, (long long)db_i64(s, 1), l->word, (long long)db_i64(s, 0),
                       (long long)l->most);
    db_reset(s);
    return ok;
}

struct server_row {
    uint16_t num;
    char name[80];
    struct limit limits[3];
    int64_t since;
};

static void read_server(struct stmt *s, struct server_row *r)
{
    bool calendar = !db_is_null(s, 5);
    *r = (struct server_row){
        .num = (uint16_t)db_i64(s, 0),
        .limits = {{"hour", HOUR_S, 60, db_i64(s, 2)},
                   {"day", 24 * HOUR_S, HOUR_S, calendar ? 0 : db_i64(s, 3)},
                   {"month", 30 * 24 * HOUR_S, HOUR_S, calendar ? 0 : db_i64(s, 4)}},
        .since = db_i64(s, 6)};
    str_copy(db_text(s, 1), r->name, sizeof r->name);
}

bool ledger_uses(struct ledger_look *k, struct err *e)
{
    struct stmt *s = db_stmt(k->db,
                             "SELECT num, name, per_hour, per_day, per_month, calendar, updated_at "
                             "FROM server ORDER BY num",
                             e);
    bool row = true, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        struct server_row r;
        read_server(s, &r);
        ok = compare_use(k, r.num, r.name, e);
        for (size_t i = 0; ok && i < countof(r.limits); i++)
            ok =
                r.limits[i].most == 0 || look_at_window(k, r.num, r.name, &r.limits[i], r.since, e);
    }
    if (s)
        db_reset(s);
    return ok;
}
