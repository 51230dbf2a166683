/* See latency.h. A percentile lies within its bucket as far as its rank does. */
#include "store/latency.h"

#include "base/alloc.h"
#include "base/map.h"

#include <stdlib.h>

#define SLICE_MS INT64_C(600000)
#define HOUR     6 /* slices */
#define DAY      144

struct cell {
    uint32_t credential_num;
    enum lane lane;
    int64_t start;
    int bucket;
    int64_t n;
};

struct latencies {
    struct map_u64 *index; /* hash of what it counts -> place + 1 */
    struct cell *cells;
    size_t n, cap;
};

/* ---- buckets */

int latency_bucket(int64_t ms)
{
    int log = 4;
    if (ms < 16)
        return ms < 0 ? 0 : (int)ms;
    while (log < 38 && ms >> (log + 1))
        log++;
    int64_t step = MIN(ms >> (log - 3), (int64_t)15) - 8;
    return 16 + (log - 4) * 8 + (int)step;
}

int64_t latency_bucket_low(int bucket)
{
    if (bucket < 16)
        return bucket;
    int log = 4 + (bucket - 16) / 8, step = (bucket - 16) % 8;
    return (int64_t)(8 + step) << (log - 3);
}

/* ---- counting */

struct latencies *latencies_new(void)
{
    struct latencies *l = alloc_one(struct latencies);
    l->index = map_u64_new();
    return l;
}

void latencies_free(struct latencies **lp)
{
    struct latencies *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    map_u64_free(&l->index);
    free(l->cells);
    free(l);
}

void latencies_drop(struct latencies *l)
{
    if (l->n == 0)
        return;
    map_u64_free(&l->index);
    l->index = map_u64_new();
    l->n = 0;
}

void latencies_count(struct latencies *l, uint32_t credential_num, enum lane lane, int64_t wall_ms,
                     int64_t took_ms)
{
    int64_t slice = wall_ms / SLICE_MS;
    int bucket = latency_bucket(took_ms);
    /* 32 bits of credential, 10 of bucket, 2 of lane; of slices there are two at most */
    uint64_t key = (uint64_t)credential_num << 32 | (uint64_t)(slice & 0xFFFF) << 12 |
                   (uint64_t)bucket << 2 | (uint64_t)lane;
    uintptr_t at = (uintptr_t)map_u64_get(l->index, key + 1);
    if (!at) {
        if (l->n == l->cap) {
            l->cap = MAX(l->cap * 2, (size_t)32);
            l->cells = alloc_resize(l->cells, l->cap * sizeof *l->cells);
        }
        l->cells[l->n++] = (struct cell){.credential_num = credential_num,
                                         .lane = lane,
                                         .start = slice * SLICE_MS,
                                         .bucket = bucket};
        at = l->n;
        map_u64_set(l->index, key + 1, (void *)at);
    }
    l->cells[at - 1].n++;
}

bool latencies_flush(struct latencies *l, struct db *db, struct err *e)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct cell *c = &l->cells[i];
        struct stmt *s = db_stmt(db,
                                 "INSERT INTO latency (credential_num, start, lane, bucket, n)"
                                 " VALUES ($1,$2,$3,$4,$5) ON CONFLICT (credential_num, start,"
                                 " lane, bucket) DO UPDATE SET n = latency.n + $5",
                                 e);
        if (!s)
            return false;
        db_bind_i64(s, 1, c->credential_num);
        db_bind_i64(s, 2, c->start);
        db_bind_i64(s, 3, c->lane);
        db_bind_i64(s, 4, c->bucket);
        db_bind_i64(s, 5, c->n);
        if (!db_run(s, e))
            return false;
    }
    latencies_drop(l);
    return true;
}

bool latencies_trim(struct db *db, int64_t wall_ms, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM latency WHERE start < $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, wall_ms - (DAY + 1) * SLICE_MS);
    return db_run(s, e);
}

/* ---- percentiles */

struct histogram {
    uint64_t all, n[LATENCY_BUCKETS];
};

struct picture { /* of the last hour and day, by lane and in all */
    struct histogram hour[LANE_COUNT + 1], day[LANE_COUNT + 1];
};

static json_int_t percentile(const struct histogram *h, unsigned percent)
{
    uint64_t rank = (h->all * percent + 99) / 100, before = 0;
    int b = 0;
    while (b < LATENCY_BUCKETS - 1 && before + h->n[b] < rank)
        before += h->n[b++];
    int64_t low = latency_bucket_low(b), width = latency_bucket_low(b + 1) - low;
    if (h->n[b])
        low += (int64_t)((double)(width - 1) * (double)(rank - before) / (double)h->n[b]);
    return low;
}

static json_t *figures(const struct histogram *h)
{
    if (!h->all)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I}", "messages", (json_int_t)h->all, "p50_ms",
                     percentile(h, 50), "p95_ms", percentile(h, 95), "p99_ms", percentile(h, 99));
}

static json_t *pair(const struct picture *p, size_t lane)
{
    return json_pack("{s:o, s:o}", "hour", figures(&p->hour[lane]), "day", figures(&p->day[lane]));
}

static json_t *describe(const struct picture *p)
{
    if (!p->day[LANE_COUNT].all)
        return json_null();
    json_t *all = pair(p, LANE_COUNT), *streams = json_object();
    for (size_t i = 0; i < LANE_COUNT; i++)
        if (p->day[i].all)
            json_object_set_new(streams, lane_name((enum lane)i), pair(p, i));
    json_object_set_new(all, "streams", streams);
    return all;
}

static void add(struct histogram *h, int64_t bucket, int64_t n)
{
    if (bucket < 0 || bucket >= LATENCY_BUCKETS || n < 0)
        return;
    h->n[bucket] += (uint64_t)n;
    h->all += (uint64_t)n;
}

/* Columns: lane, bucket, messages of the hour, of the day. */
static bool read_rows(struct stmt *s, struct picture *p, struct err *e)
{
    bool row = true, ok = true;
    while ((ok = db_step(s, &row, e)) && row) {
        int64_t lane = db_i64(s, 0), bucket = db_i64(s, 1);
        if (lane < 0 || lane >= LANE_COUNT)
            continue;
        for (size_t i = 0; i < 2; i++) {
            size_t at = i ? LANE_COUNT : (size_t)lane;
            add(&p->hour[at], bucket, db_i64(s, 2));
            add(&p->day[at], bucket, db_i64(s, 3));
        }
    }
    db_reset(s);
    return ok;
}

#define COLUMNS "SELECT lane, bucket, SUM(CASE WHEN start >= $2 THEN n ELSE 0 END), SUM(n)"
#define GROUPED " GROUP BY lane, bucket"

static bool report(struct stmt *s, int64_t wall_ms, json_t **out, struct err *e)
{
    if (!s)
        return false;
    int64_t slice = wall_ms / SLICE_MS;
    struct picture *p = alloc_one(struct picture);
    db_bind_i64(s, 1, (slice - DAY + 1) * SLICE_MS);
    db_bind_i64(s, 2, (slice - HOUR + 1) * SLICE_MS);
    bool ok = read_rows(s, p, e);
    if (ok)
        *out = describe(p);
    free(p);
    return ok;
}

bool latency_report(struct db *db, uint32_t credential_num, int64_t wall_ms, json_t **out,
                    struct err *e)
{
    struct stmt *s =
        db_stmt(db, COLUMNS " FROM latency WHERE credential_num = $3 AND start >= $1" GROUPED, e);
    if (s)
        db_bind_i64(s, 3, credential_num);
    return report(s, wall_ms, out, e);
}

bool latency_report_all(struct db *db, int64_t wall_ms, json_t **out, struct err *e)
{
    return report(db_stmt(db, COLUMNS " FROM latency WHERE start >= $1" GROUPED, e), wall_ms, out,
                  e);
}
