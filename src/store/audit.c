/* See audit.h. */
#include "store/audit.h"

#include "base/buf.h"
#include "store/settings.h"

#include <sodium.h>
#include <stdio.h>

#define MAC_BYTES 32
#define HEAD      "audit_head" /* setting: seq, then mac over it and the row's mac, in bytes */

struct head {
    uint64_t seq;
    uint8_t mac[MAC_BYTES]; /* of the newest row */
};

static void add(crypto_generichash_state *st, const void *p, uint64_t n)
{
    (void)crypto_generichash_update(st, (const uint8_t *)&n, sizeof(n));
    (void)crypto_generichash_update(st, p, n);
}

static void add_str(crypto_generichash_state *st, struct str s)
{
    add(st, s.p ? s.p : "", s.n);
}

static void row_mac(const uint8_t *key, const struct head *before, const struct audit_entry *a,
                    uint8_t out[MAC_BYTES])
{
    crypto_generichash_state st;
    uint64_t seq = before->seq + 1;
    (void)crypto_generichash_init(&st, key, AUDIT_KEY_BYTES, MAC_BYTES);
    add(&st, before->mac, MAC_BYTES);
    add(&st, &seq, sizeof(seq));
    add(&st, &a->at, sizeof(a->at));
    add_str(&st, a->actor);
    add_str(&st, a->op);
    add_str(&st, a->subject);
    add_str(&st, a->detail);
    (void)crypto_generichash_final(&st, out, MAC_BYTES);
}

static void head_mac(const uint8_t *key, const struct head *h, uint8_t out[MAC_BYTES])
{
    crypto_generichash_state st;
    (void)crypto_generichash_init(&st, key, AUDIT_KEY_BYTES, MAC_BYTES);
    add(&st, HEAD, sizeof(HEAD) - 1);
    add(&st, &h->seq, sizeof(h->seq));
    add(&st, h->mac, MAC_BYTES);
    (void)crypto_generichash_final(&st, out, MAC_BYTES);
}

static bool keep_head(struct db *db, const uint8_t *key, const struct head *h, struct err *e)
{
    uint8_t mac[MAC_BYTES];
    char text[24 + 2 * MAC_BYTES];
    head_mac(key, h, mac);
    int n = snprintf(text, sizeof(text), "%llu ", (unsigned long long)h->seq);
    (void)sodium_bin2hex(text + n, sizeof(text) - (size_t)n, mac, MAC_BYTES);
    return settings_set(db, HEAD, str_of(text), e);
}

static bool read_head(struct db *db, struct head *h, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1", e);
    bool row = false;
    *h = (struct head){.seq = 0};
    if (!s || !db_step(s, &row, e))
        return false;
    if (row) {
        struct str mac = db_blob(s, 1);
        h->seq = (uint64_t)db_i64(s, 0);
        memcpy(h->mac, mac.p, MIN(mac.n, (size_t)MAC_BYTES));
    }
    db_reset(s);
    return true;
}

bool audit_append(struct db *db, const uint8_t key[AUDIT_KEY_BYTES], const struct audit_entry *a,
                  struct err *e)
{
    struct head h;
    uint8_t mac[MAC_BYTES];
    if (!read_head(db, &h, e))
        return false;
    row_mac(key, &h, a, mac);
    struct stmt *s = db_stmt(db,
                             "INSERT INTO audit (seq, at, actor, op, subject, detail, mac)"
                             " VALUES ($1,$2,$3,$4,$5,$6,$7)",
                             e);
    if (!s)
        return false;
    h.seq++;
    memcpy(h.mac, mac, MAC_BYTES);
    db_bind_i64(s, 1, (int64_t)h.seq);
    db_bind_i64(s, 2, a->at);
    db_bind_text(s, 3, a->actor.p ? a->actor : STR(""));
    db_bind_text(s, 4, a->op);
    db_bind_text(s, 5, a->subject.p ? a->subject : STR(""));
    db_bind_text(s, 6, a->detail);
    db_bind_blob(s, 7, str_from((const char *)mac, MAC_BYTES));
    return db_run(s, e) && keep_head(db, key, &h, e);
}

/* ---- looking whether all is as it was ---- */

static bool row_is_right(const uint8_t *key, struct head *h, struct stmt *s,
                         struct audit_found *out)
{
    const struct audit_entry a = {.at = db_i64(s, 1),
                                  .actor = db_text(s, 2),
                                  .op = db_text(s, 3),
                                  .subject = db_text(s, 4),
                                  .detail = db_text(s, 5)};
    uint8_t mac[MAC_BYTES];
    struct str kept = db_blob(s, 6);
    uint64_t seq = (uint64_t)db_i64(s, 0);
    row_mac(key, h, &a, mac);
    if (seq != h->seq + 1)
        snprintf(out->why, sizeof(out->why), "rows %llu to %llu are missing",
                 (unsigned long long)h->seq + 1, (unsigned long long)seq - 1);
    else if (kept.n != MAC_BYTES || sodium_memcmp(kept.p, mac, MAC_BYTES) != 0)
        snprintf(out->why, sizeof(out->why), "row %llu is not as it was written, or one before it",
                 (unsigned long long)seq);
    else {
        h->seq = seq;
        memcpy(h->mac, mac, MAC_BYTES);
        out->rows++;
        return true;
    }
    out->broken = h->seq + 1;
    return false;
}

static bool head_is_right(struct db *db, const uint8_t *key, const struct head *h,
                          struct audit_found *out, struct err *e)
{
    struct buf b;
    uint8_t mac[MAC_BYTES];
    char text[24 + 2 * MAC_BYTES];
    bool found = false;
    buf_init(&b, sizeof(text));
    if (!settings_get(db, HEAD, &b, &found, e)) {
        buf_free(&b);
        return false;
    }
    head_mac(key, h, mac);
    int n = snprintf(text, sizeof(text), "%llu ", (unsigned long long)h->seq);
    (void)sodium_bin2hex(text + n, sizeof(text) - (size_t)n, mac, MAC_BYTES);
    bool same = found ? str_is(buf_str(&b), text) : h->seq == 0;
    if (!same) {
        out->broken = h->seq + 1;
        snprintf(out->why, sizeof(out->why), "rows behind %llu are missing",
                 (unsigned long long)h->seq);
    }
    buf_free(&b);
    return true;
}

bool audit_verify(struct db *db, const uint8_t key[AUDIT_KEY_BYTES], struct audit_found *out,
                  struct err *e)
{
    struct head h = {.seq = 0};
    bool row = false, ok = true;
    *out = (struct audit_found){.rows = 0};
    struct stmt *s =
        db_stmt(db, "SELECT seq, at, actor, op, subject, detail, mac FROM audit ORDER BY seq", e);
    if (!s)
        return false;
    while ((ok = db_step(s, &row, e)) && row && row_is_right(key, &h, s, out))
        ;
    db_reset(s);
    return ok && (out->broken || head_is_right(db, key, &h, out, e));
}
