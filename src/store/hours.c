/* Table server_hour: see hours.h. */
#include "store/hours.h"
#include "base/alloc.h"
#include "base/map.h"
#include "store/results.h"

#include <stdio.h>
#include <stdlib.h>

struct hour {
    uint16_t server_num;
    int64_t start;
    char provider[32];
    struct hour_sum sum;
};

struct hours {
    struct map_str *index; /* key -> place + 1 */
    struct hour *all;
    size_t n, cap;
};

uint64_t hour_answers(const struct hour_sum *s)
{
    return s->sent + s->hard + s->soft + s->deferred + s->limited + s->blocked + s->content +
           s->unknown;
}

struct hours *hours_new(void)
{
    struct hours *h = alloc_one(struct hours);
    h->index = map_str_new();
    return h;
}

void hours_free(struct hours **hp)
{
    struct hours *h = *hp;
    *hp = NULL;
    if (!h)
        return;
    map_str_free(&h->index);
    free(h->all);
    free(h);
}

void hours_drop(struct hours *h)
{
    map_str_free(&h->index);
    h->index = map_str_new();
    h->n = 0;
}

static struct hour *hour_of(struct hours *h, uint16_t server_num, struct str provider,
                            int64_t at_ms)
{
    int64_t start = at_ms / HOUR_MS * HOUR_MS;
    char key[80];
    int len = snprintf(key, sizeof key, "%u/%lld/%.*s", server_num, (long long)start,
                       (int)MIN(provider.n, (size_t)31), provider.p ? provider.p : "");
    uintptr_t at = (uintptr_t)map_str_get(h->index, str_from(key, (size_t)len));
    if (at)
        return &h->all[at - 1];
    if (h->n == h->cap) {
        h->cap = MAX(h->cap * 2, (size_t)32);
        h->all = alloc_resize(h->all, h->cap * sizeof *h->all);
    }
    struct hour *x = &h->all[h->n++];
    *x = (struct hour){.server_num = server_num, .start = start};
    str_copy(provider, x->provider, sizeof x->provider);
    map_str_set(h->index, str_from(key, (size_t)len), (void *)(uintptr_t)h->n);
    return x;
}

void hours_count(struct hours *h, const struct outcome *o)
{
    struct hour_sum *s = &hour_of(h, o->a.server_num, o->provider, o->took_at)->sum;
    s->attempts++;
    s->taken += o->took;
    switch (o->a.verdict) {
    case VERDICT_ACCEPTED: s->sent++; break;
    case VERDICT_HARD_BOUNCE: s->hard++; break;
    case VERDICT_SOFT_BOUNCE: s->soft++; break;
    case VERDICT_TRY_LATER: s->deferred++; break;
    case VERDICT_RATE_LIMITED: s->limited++; break;
    case VERDICT_BLOCKED: s->blocked++; break;
    case VERDICT_CONTENT: s->content++; break;
    case VERDICT_UNKNOWN: s->unknown++; break;
    default: break;
    }
}

void hours_news(struct hours *h, uint16_t server_num, struct str provider, int64_t at_ms,
                enum hour_news kind)
{
    struct hour_sum *s = &hour_of(h, server_num, provider, at_ms)->sum;
    s->complaints += kind == HOUR_COMPLAINT;
    s->opened += kind == HOUR_OPEN;
    s->clicked += kind == HOUR_CLICK;
}

#define N_SUMS 13

static void values_of(const struct hour_sum *s, int64_t out[N_SUMS])
{
    const uint64_t v[N_SUMS] = {s->taken,      s->attempts, s->sent,    s->hard,    s->soft,
                                s->deferred,   s->limited,  s->blocked, s->content, s->unknown,
                                s->complaints, s->opened,   s->clicked};
    for (int i = 0; i < N_SUMS; i++)
        out[i] = (int64_t)v[i];
}

static void values_to(struct stmt *st, int first, struct hour_sum *out)
{
    uint64_t v[N_SUMS];
    for (int i = 0; i < N_SUMS; i++)
        v[i] = (uint64_t)MAX(db_i64(st, first + i), (int64_t)0);
    *out = (struct hour_sum){v[0], v[1], v[2], v[3],  v[4],  v[5], v[6],
                             v[7], v[8], v[9], v[10], v[11], v[12]};
}

bool hours_flush(struct hours *h, struct db *db, struct err *e)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct hour *x = &h->all[i];
        int64_t v[N_SUMS];
        struct stmt *st = db_stmt(
            db,
            "INSERT INTO server_hour (server_num, start, provider, taken, attempts, sent, hard, "
            "soft, deferred, limited, blocked, content, unknown, complaints, opened, clicked) "
            "VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16) "
            "ON CONFLICT (server_num, start, provider) DO UPDATE SET "
            "taken = server_hour.taken + $4, attempts = server_hour.attempts + $5, "
            "sent = server_hour.sent + $6, hard = server_hour.hard + $7, "
            "soft = server_hour.soft + $8, deferred = server_hour.deferred + $9, "
            "limited = server_hour.limited + $10, blocked = server_hour.blocked + $11, "
            "content = server_hour.content + $12, unknown = server_hour.unknown + $13, "
            "complaints = server_hour.complaints + $14, opened = server_hour.opened + $15, "
            "clicked = server_hour.clicked + $16",
            e);
        if (!st)
            return false;
        values_of(&x->sum, v);
        db_bind_i64(st, 1, x->server_num);
        db_bind_i64(st, 2, x->start);
        db_bind_cstr(st, 3, x->provider);
        for (int k = 0; k < N_SUMS; k++)
            db_bind_i64(st, 4 + k, v[k]);
        if (!db_run(st, e))
            return false;
    }
    hours_drop(h);
    return true;
}

#define SUM_COLUMNS                                                                                \
    "COALESCE(SUM(taken), 0), COALESCE(SUM(attempts), 0), COALESCE(SUM(sent), 0), "                \
    "COALESCE(SUM(hard), 0), COALESCE(SUM(soft), 0), COALESCE(SUM(deferred), 0), "                 \
    "COALESCE(SUM(limited), 0), COALESCE(SUM(blocked), 0), COALESCE(SUM(content), 0), "            \
    "COALESCE(SUM(unknown), 0), COALESCE(SUM(complaints), 0), COALESCE(SUM(opened), 0), "          \
    "COALESCE(SUM(clicked), 0)"

bool hours_sum(struct db *db, uint16_t server_num, const char *provider, int64_t since,
               int64_t until, struct hour_sum *out, struct err *e)
{
    struct stmt *st =
        db_stmt(db,
                "SELECT " SUM_COLUMNS " FROM server_hour WHERE server_num = $1 AND start >= $2 "
                "AND start < $3 AND (CAST($4 AS TEXT) = '' OR provider = $4)",
                e);
    bool row = false;
    *out = (struct hour_sum){0};
    if (!st)
        return false;
    db_bind_i64(st, 1, server_num);
    db_bind_i64(st, 2, since);
    db_bind_i64(st, 3, until);
    db_bind_cstr(st, 4, provider ? provider : "");
    if (!db_step(st, &row, e))
        return false;
    if (row)
        values_to(st, 0, out);
    db_reset(st);
    return true;
}

bool hours_walk(struct db *db, int64_t since, int64_t until,
                void (*each)(void *arg, uint16_t server_num, struct str provider,
                             const struct hour_sum *s),
                void *arg, struct err *e)
{
    struct stmt *st = db_stmt(db,
                              "SELECT h.server_num, h.provider, " SUM_COLUMNS " FROM server s JOIN "
                              "server_hour h ON h.server_num = s.num AND h.start >= $1 AND "
                              "h.start < $2 WHERE s.removed_at IS NULL "
                              "GROUP BY h.server_num, h.provider "
                              "ORDER BY h.server_num, h.provider",
                              e);
    bool row = true, ok = st != NULL;
    if (!st)
        return false;
    db_bind_i64(st, 1, since);
    db_bind_i64(st, 2, until);
    while ((ok = db_step(st, &row, e)) && row) {
        struct hour_sum s;
        values_to(st, 2, &s);
        each(arg, (uint16_t)db_i64(st, 0), db_text(st, 1), &s);
    }
    db_reset(st);
    return ok;
}

bool hours_trim(struct db *db, int64_t before_ms, struct err *e)
{
    struct stmt *st = db_stmt(
        db, "DELETE FROM server_hour WHERE server_num IN (SELECT num FROM server) AND start < $1",
        e);
    if (!st)
        return false;
    db_bind_i64(st, 1, before_ms);
    return db_run(st, e);
}
