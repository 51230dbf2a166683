/* The frame of the ledger check: what it knows beforehand, the order of its looks, how it tells. */
#include "store/ledger_inner.h"
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void ledger_say(struct ledger_look *k, enum ledger_fault f, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    k->n_findings++;
    if (++k->n_of[f] > LEDGER_CHECK_TEXTS)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->finding(k->arg, text);
    if (k->n_of[f] == LEDGER_CHECK_TEXTS)
        k->finding(k->arg, "... more of this kind are counted, not told");
}

struct ledger_campaign *ledger_campaign_of(struct ledger_look *k, uint32_t num)
{
    return map_u64_get(k->campaigns, num);
}

struct ledger_server *ledger_server_of(struct ledger_look *k, uint16_t num)
{
    struct ledger_server *s = map_u64_get(k->servers, num);
    if (!s) {
        s = alloc_one(struct ledger_server);
        map_u64_set(k->servers, num, s);
    }
    return s;
}

static void free_values(struct map_u64 **m)
{
    size_t pos = 0;
    uint64_t key = 0;
    void *v = NULL;
    while (map_u64_next(*m, &pos, &key, &v))
        free(v);
    map_u64_free(m);
}

static bool read_campaigns(struct ledger_look *k, struct err *e)
{
    struct stmt *s = db_stmt(k->db,
                             "SELECT num, lane, name, recipients, leased, contact_max, walked FROM "
                             "campaign ORDER BY num",
                             e);
    bool row = true, ok = s != NULL;
    map_u64_set(k->campaigns, 0, alloc_one(struct ledger_campaign));
    while (ok && (ok = db_step(s, &row, e)) && row) {
        struct ledger_campaign *c = alloc_one(struct ledger_campaign);
        c->num = (uint32_t)db_i64(s, 0);
        c->lane = (enum lane)db_i64(s, 1);
        str_copy(db_text(s, 2), c->name, sizeof c->name);
        c->recipients = db_i64(s, 3);
        c->leased = db_i64(s, 4);
        c->contact_max = db_i64(s, 5);
        c->walked = db_i64(s, 6) != 0;
        map_u64_set(k->campaigns, c->num, c);
    }
    if (s)
        db_reset(s);
    return ok;
}

static bool read_suppressed(struct ledger_look *k, struct err *e)
{
    struct stmt *s = db_stmt(
        k->db, "SELECT c.id, s.since FROM suppression s JOIN contact c ON c.email = s.address", e);
    bool row = true, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row)
        map_u64_set(k->suppressed, (uint64_t)db_i64(s, 0),
                    (void *)(uintptr_t)(db_i64(s, 1) + 1)); /* NULL would be none */
    if (s)
        db_reset(s);
    return ok;
}

static bool read_dots(struct ledger_look *k, struct err *e)
{
    struct stmt *s = db_stmt(k->db, "SELECT COALESCE(MAX(dot_timeout_ms), 0) FROM server", e);
    bool row = false;
    if (!s || !db_step(s, &row, e))
        return false;
    k->dot_most_ms = row ? MAX(db_i64(s, 0), INT64_C(600000)) : INT64_C(600000);
    db_reset(s);
    return true;
}

bool ledger_check(struct db *db, void (*finding)(void *arg, const char *text), void *arg,
                  size_t *n_findings_out, struct err *e)
{
    struct ledger_look k = {.db = db,
                            .finding = finding,
                            .arg = arg,
                            .campaigns = map_u64_new(),
                            .servers = map_u64_new(),
                            .suppressed = map_u64_new()};
    bool ok = db_begin(db, e);
    ok = ok && read_campaigns(&k, e) && read_suppressed(&k, e) && read_dots(&k, e) &&
         ledger_audiences(&k, e) && ledger_walk(&k, e) && ledger_tallies(&k, e) &&
         ledger_uses(&k, e);
    if (db_in_transaction(db))
        db_rollback(db);
    free_values(&k.campaigns);
    free_values(&k.servers);
    map_u64_free(&k.suppressed);
    *n_findings_out = k.n_findings;
    return ok;
}
