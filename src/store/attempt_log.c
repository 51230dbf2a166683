/* See attempt_log.h. */
#include "store/attempt_log.h"

#include "base/alloc.h"
#include "store/outbox.h"

#include <stdlib.h>

#define ROW_BYTES (ATTEMPT_LOG_MAX * 11)

struct attempt_log {
    struct {
        uint64_t id, number;
        int64_t at;
    } * at;
    size_t n, cap;
};

struct attempt_log *attempt_log_new(void)
{
    return alloc_one(struct attempt_log);
}

void attempt_log_free(struct attempt_log **lp)
{
    struct attempt_log *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    free(l->at);
    free(l);
}

void attempt_log_drop(struct attempt_log *l)
{
    l->n = 0;
}

void attempt_log_add(struct attempt_log *l, const struct attempt *a)
{
    if (l->n == l->cap) {
        l->cap = MAX(l->cap * 2, (size_t)64);
        l->at = alloc_resize(l->at, l->cap * sizeof *l->at);
    }
    l->at[l->n].id = a->message_id;
    l->at[l->n].number = a->n;
    l->at[l->n++].at = a->at;
}

/* ---- writing */

static bool insert(struct db *db, const struct attempt_log_row *r, int64_t low, int64_t high,
                   bool only_first, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO attempt_log (seq, low_at, high_at, n, ids, numbers) "
                             "VALUES ((SELECT COALESCE(MAX(seq), 0) + 1 FROM attempt_log), $1, $2,"
                             " $3, $4, $5)",
                             e);
    struct buf ids, numbers;
    if (!s)
        return false;
    buf_init(&ids, ROW_BYTES);
    buf_init(&numbers, ROW_BYTES);
    (void)outbox_ids_pack(r->ids, r->n, &ids);
    (void)outbox_ids_pack(r->numbers, r->n, &numbers);
    db_bind_i64(s, 1, low);
    db_bind_i64(s, 2, high);
    db_bind_i64(s, 3, r->n);
    db_bind_blob(s, 4, buf_str(&ids));
    if (!only_first)
        db_bind_blob(s, 5, buf_str(&numbers));
    bool ok = db_run(s, e);
    buf_free(&ids);
    buf_free(&numbers);
    return ok;
}

static bool write_row(struct db *db, const struct attempt_log *l, size_t from,
                      struct attempt_log_row *r, struct err *e)
{
    int64_t low = INT64_MAX, high = 0;
    bool only_first = true;
    r->n = (uint32_t)MIN(l->n - from, (size_t)ATTEMPT_LOG_MAX);
    for (size_t i = 0; i < r->n; i++) {
        r->ids[i] = l->at[from + i].id;
        r->numbers[i] = l->at[from + i].number;
        only_first = only_first && r->numbers[i] == 1;
        low = MIN(low, l->at[from + i].at);
        high = MAX(high, l->at[from + i].at);
    }
    return insert(db, r, low, high, only_first, e);
}

bool attempt_log_flush(struct attempt_log *l, struct db *db, struct err *e)
{
    bool ok = true;
    if (!l->n)
        return true;
    struct attempt_log_row *r = alloc_one(struct attempt_log_row);
    for (size_t from = 0; ok && from < l->n; from += ATTEMPT_LOG_MAX)
        ok = write_row(db, l, from, r, e);
    free(r);
    attempt_log_drop(l);
    return ok;
}

/* ---- reading */

bool attempt_log_range(struct db *db, int64_t since, int64_t until, int64_t *first_out,
                       int64_t *last_out, struct err *e)
{
    bool row = false, all = since <= 0 && until == INT64_MAX;
    struct stmt *s = all ? db_stmt(db,
                                   "SELECT (SELECT MIN(seq) FROM attempt_log),"
                                   " (SELECT MAX(seq) FROM attempt_log)",
                                   e)
                         : db_stmt(db,
                                   "SELECT MIN(seq), MAX(seq) FROM attempt_log"
                                   " WHERE high_at >= $1 AND low_at <= $2",
                                   e);
    *first_out = 1;
    *last_out = 0;
    if (!s)
        return false;
    if (!all) {
        db_bind_i64(s, 1, since);
        db_bind_i64(s, 2, until);
    }
    if (!db_step(s, &row, e))
        return false;
    if (row && !db_is_null(s, 0)) {
        *first_out = db_i64(s, 0);
        *last_out = db_i64(s, 1);
    }
    db_reset(s);
    return true;
}

bool attempt_log_read(struct db *db, int64_t first, int64_t last, bool down,
                      struct attempt_log_row *out, bool *found_out, struct err *e)
{
    struct stmt *s = down ? db_stmt(db,
                                    "SELECT seq, n, ids, numbers FROM attempt_log WHERE seq >= $1"
                                    " AND seq <= $2 ORDER BY seq DESC LIMIT 1",
                                    e)
                          : db_stmt(db,
                                    "SELECT seq, n, ids, numbers FROM attempt_log WHERE seq >= $1"
                                    " AND seq <= $2 ORDER BY seq LIMIT 1",
                                    e);
    *found_out = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, first);
    db_bind_i64(s, 2, last);
    if (!db_step(s, found_out, e))
        return false;
    if (!*found_out)
        return true;
    out->seq = db_i64(s, 0);
    out->n = outbox_ids_unpack(db_blob(s, 2), out->ids, ATTEMPT_LOG_MAX);
    uint32_t numbers = outbox_ids_unpack(db_blob(s, 3), out->numbers, ATTEMPT_LOG_MAX);
    for (uint32_t i = numbers; i < out->n; i++)
        out->numbers[i] = 1;
    db_reset(s);
    return true;
}
