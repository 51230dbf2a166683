/* See idempotency.h. */
#include "store/idempotency.h"

#include <sodium.h>

void idempotency_hash(struct str what, struct str body, uint8_t out[IDEMPOTENCY_HASH])
{
    crypto_generichash_state st;
    (void)crypto_generichash_init(&st, NULL, 0, IDEMPOTENCY_HASH);
    (void)crypto_generichash_update(&st, (const uint8_t *)what.p, what.n);
    (void)crypto_generichash_update(&st, (const uint8_t *)"", 1);
    (void)crypto_generichash_update(&st, (const uint8_t *)body.p, body.n);
    (void)crypto_generichash_final(&st, out, IDEMPOTENCY_HASH);
}

static void bind_key(struct stmt *s, const struct idempotent *i)
{
    db_bind_i64(s, 1, i->credential_num);
    db_bind_text(s, 2, i->key);
    db_bind_i64(s, 3, i->part);
}

bool idempotency_find(struct db *db, const struct idempotent *i, bool *found_out, char **answer_out,
                      struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT request, answer FROM idempotency WHERE credential_num = $1"
                             " AND idempotency_key = $2 AND part = $3",
                             e);
    *answer_out = NULL;
    if (!s)
        return false;
    bind_key(s, i);
    if (!db_step(s, found_out, e))
        return false;
    if (!*found_out)
        return true;
    struct str request = db_blob(s, 0);
    bool same = request.n == IDEMPOTENCY_HASH && !memcmp(request.p, i->request, IDEMPOTENCY_HASH);
    if (same)
        *answer_out = str_dup(db_text(s, 1));
    db_reset(s);
    return same || err_set(e, ERR_REFUSED,
                           "Idempotency-Key: \"" STR_F "\" came with another request within the "
                           "last 24 hours; a new request needs a key of its own",
                           STR_A(i->key));
}

bool idempotency_keep(struct db *db, const struct idempotent *i, struct str answer, int64_t now_ms,
                      struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO idempotency (credential_num, idempotency_key, part,"
                             " request, answer, created_at) VALUES ($1,$2,$3,$4,$5,$6)",
                             e);
    if (!s)
        return false;
    bind_key(s, i);
    db_bind_blob(s, 4, str_from((const char *)i->request, IDEMPOTENCY_HASH));
    db_bind_text(s, 5, answer);
    db_bind_i64(s, 6, now_ms);
    return db_run(s, e);
}

bool idempotency_sweep(struct db *db, int64_t now_ms, uint32_t max, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "DELETE FROM idempotency WHERE (credential_num, idempotency_key, part)"
                             " IN (SELECT credential_num, idempotency_key, part FROM idempotency"
                             " WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, now_ms - IDEMPOTENCY_KEPT_MS);
    db_bind_i64(s, 2, max);
    return db_run(s, e);
}
