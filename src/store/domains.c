/* Tables domain and dkim_key: see domains.h. */
#include "store/domains.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>

#define PRIVATE_MAX 16384

static bool run_changed(struct db *db, struct stmt *s, const char *what, const char *name,
                        struct err *e)
{
    if (!db_run(s, e))
        return false;
    return db_changes(db) > 0 || err_set(e, ERR_NOT_FOUND, "there is no %s %.260s", what, name);
}

/* ---- domains ---- */

static bool next_num(struct db *db, uint32_t *out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT max(num) FROM domain", e);
    if (!s || !db_step(s, &row, e))
        return false;
    *out = (uint32_t)db_i64(s, 0) + 1;
    db_reset(s);
    return true;
}

bool domains_add(struct db *db, struct domain *d, int64_t now_ms, struct err *e)
{
    struct err own = {0};
    if (!next_num(db, &d->num, e))
        return false;
    struct stmt *s = db_stmt(db,
                             "INSERT INTO domain (num, id, name, lifetime_ms, checked_at, "
                             "created_at, updated_at) VALUES ($1, $2, $3, $4, 0, $5, $5)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, d->num);
    db_bind_i64(s, 2, (int64_t)d->id);
    db_bind_cstr(s, 3, d->name);
    db_bind_i64(s, 4, d->lifetime_ms);
    db_bind_i64(s, 5, now_ms);
    if (db_run(s, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "domain %s is there already", d->name);
    return err_set(e, own.code, "%s", own.text);
}

bool domains_get(struct db *db, const char *name, struct domain *out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db,
                             "SELECT num, id, name, lifetime_ms, checked_at, created_at "
                             "FROM domain WHERE name = $1",
                             e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!db_step(s, &row, e))
        return false;
    if (!row)
        return err_set(e, ERR_NOT_FOUND,
                       "there is no domain %.260s; add it with `postfleet domain add`", name);
    *out = (struct domain){.num = (uint32_t)db_i64(s, 0),
                           .id = (uint64_t)db_i64(s, 1),
                           .lifetime_ms = db_i64(s, 3),
                           .checked_at = db_i64(s, 4),
                           .created_at = db_i64(s, 5)};
    bool fits = str_copy(db_text(s, 2), out->name, sizeof out->name);
    db_reset(s);
    return fits || err_set(e, ERR_CORRUPT, "the stored name of a domain is too long");
}

bool domains_set_lifetime(struct db *db, uint32_t num, int64_t lifetime_ms, int64_t now_ms,
                          struct err *e)
{
    struct stmt *s =
        db_stmt(db, "UPDATE domain SET lifetime_ms = $2, updated_at = $3 WHERE num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, lifetime_ms);
    db_bind_i64(s, 3, now_ms);
    return db_run(s, e);
}

bool domains_remove(struct db *db, const char *name, struct err *e)
{
    struct domain d;
    if (!domains_get(db, name, &d, e))
        return false;
    struct stmt *keys = db_stmt(db, "DELETE FROM dkim_key WHERE domain_num = $1", e);
    if (!keys)
        return false;
    db_bind_i64(keys, 1, d.num);
    if (!db_run(keys, e))
        return false;
    struct stmt *s = db_stmt(db, "DELETE FROM domain WHERE num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, d.num);
    return db_run(s, e);
}

bool domains_keep_check(struct db *db, const char *name, int64_t at, struct str findings,
                        struct err *e)
{
    struct stmt *s =
        db_stmt(db, "UPDATE domain SET checked_at = $2, findings = $3 WHERE name = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    db_bind_i64(s, 2, at);
    db_bind_text(s, 3, findings);
    return db_run(s, e);
}

bool domains_names(struct db *db, int64_t not_since, struct buf *out, struct err *e)
{
    bool row = false, ok = true;
    struct stmt *s =
        db_stmt(db, "SELECT name FROM domain WHERE checked_at < $1 ORDER BY checked_at", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, not_since);
    while ((ok = db_step(s, &row, e)) && row)
        if (!buf_addstr(out, db_text(s, 0)) || !buf_addc(out, '\n'))
            break; /* the others have their turn next time */
    db_reset(s);
    return ok;
}

/* ---- keys ---- */

static bool check_room(struct db *db, const struct domain_key *k, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT count(*) FROM dkim_key WHERE domain_num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, k->domain_num);
    if (!db_step(s, &row, e))
        return false;
    int64_t n = db_i64(s, 0);
    db_reset(s);
    return n < DOMAIN_KEYS_MAX ||
           err_set(e, ERR_REFUSED, "%s has %d keys; remove retired ones first", k->domain,
                   DOMAIN_KEYS_MAX);
}

static bool retire_active(struct db *db, uint32_t domain_num, enum dkim_algorithm a, int64_t now_ms,
                          struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE dkim_key SET state = $3, changed_at = $4 "
                             "WHERE domain_num = $1 AND algorithm = $2 AND state = $5",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, domain_num);
    db_bind_i64(s, 2, (int64_t)a);
    db_bind_i64(s, 3, DKIM_KEY_RETIRED);
    db_bind_i64(s, 4, now_ms);
    db_bind_i64(s, 5, DKIM_KEY_ACTIVE);
    return db_run(s, e);
}

static bool insert_key(struct db *db, const struct domain_key *k, struct str sealed, int64_t now_ms,
                       struct err *e)
{
    struct err own = {0};
    struct stmt *s = db_stmt(db,
                             "INSERT INTO dkim_key (id, domain_num, selector, algorithm, state, "
                             "private, public, created_at, changed_at) "
                             "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)k->id);
    db_bind_i64(s, 2, k->domain_num);
    db_bind_cstr(s, 3, k->selector);
    db_bind_i64(s, 4, (int64_t)k->algorithm);
    db_bind_i64(s, 5, (int64_t)k->state);
    db_bind_blob(s, 6, sealed);
    db_bind_cstr(s, 7, k->public);
    db_bind_i64(s, 8, now_ms);
    if (db_run(s, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "selector %s of %s is in use; give another one",
                       k->selector, k->domain);
    return err_set(e, own.code, "%s", own.text);
}

bool domain_keys_add(struct db *db, const struct secrets *s, const struct domain_key *k,
                     int64_t now_ms, struct err *e)
{
    struct buf sealed;
    if (!check_room(db, k, e) ||
        (k->state == DKIM_KEY_ACTIVE && !retire_active(db, k->domain_num, k->algorithm, now_ms, e)))
        return false;
    buf_init(&sealed, PRIVATE_MAX);
    bool ok = secrets_seal(s, "dkim_key", k->id, "private", secret_reveal(k->der), &sealed, e) &&
              insert_key(db, k, buf_str(&sealed), now_ms, e);
    buf_free(&sealed);
    return ok;
}

bool domain_keys_has(struct db *db, uint32_t domain_num, const char *selector, bool *out,
                     struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT 1 FROM dkim_key WHERE domain_num = $1 AND selector = $2", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, domain_num);
    db_bind_cstr(s, 2, selector);
    bool ok = db_step(s, out, e);
    db_reset(s);
    return ok;
}

bool domain_keys_has_active(struct db *db, uint32_t domain_num, enum dkim_algorithm a, bool *out,
                            struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT 1 FROM dkim_key WHERE domain_num = $1 AND algorithm = $2 "
                             "AND state = $3",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, domain_num);
    db_bind_i64(s, 2, (int64_t)a);
    db_bind_i64(s, 3, DKIM_KEY_ACTIVE);
    bool ok = db_step(s, out, e);
    db_reset(s);
    return ok;
}

static bool algorithm_of(struct db *db, uint32_t domain_num, const char *selector,
                         enum dkim_algorithm *out, struct err *e)
{
    bool row = false;
    struct stmt *s =
        db_stmt(db, "SELECT algorithm FROM dkim_key WHERE domain_num = $1 AND selector = $2", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, domain_num);
    db_bind_cstr(s, 2, selector);
    if (!db_step(s, &row, e))
        return false;
    *out = db_i64(s, 0) == DKIM_ED25519_SHA256 ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
    db_reset(s);
    return row || err_set(e, ERR_NOT_FOUND, "there is no key with selector %.70s", selector);
}

bool domain_keys_set_state(struct db *db, uint32_t domain_num, const char *selector,
                           enum dkim_key_state state, int64_t now_ms, struct err *e)
{
    enum dkim_algorithm a;
    if (!algorithm_of(db, domain_num, selector, &a, e) ||
        (state == DKIM_KEY_ACTIVE && !retire_active(db, domain_num, a, now_ms, e)))
        return false;
    struct stmt *s = db_stmt(db,
                             "UPDATE dkim_key SET state = $3, changed_at = $4 "
                             "WHERE domain_num = $1 AND selector = $2",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, domain_num);
    db_bind_cstr(s, 2, selector);
    db_bind_i64(s, 3, (int64_t)state);
    db_bind_i64(s, 4, now_ms);
    return run_changed(db, s, "key with selector", selector, e);
}

bool domain_keys_remove(struct db *db, uint32_t domain_num, const char *selector, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM dkim_key WHERE domain_num = $1 AND selector = $2", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, domain_num);
    db_bind_cstr(s, 2, selector);
    return run_changed(db, s, "key with selector", selector, e);
}

static bool read_key(struct stmt *s, const struct secrets *secrets, struct domain_key *k)
{
    struct err e = {0};
    *k = (struct domain_key){.id = (uint64_t)db_i64(s, 0),
                             .domain_num = (uint32_t)db_i64(s, 1),
                             .algorithm = (enum dkim_algorithm)db_i64(s, 4),
                             .state = DKIM_KEY_ACTIVE,
                             .lifetime_ms = db_i64(s, 7),
                             .created_at = db_i64(s, 8)};
    bool ok = str_copy(db_text(s, 2), k->domain, sizeof k->domain) &&
              str_copy(db_text(s, 3), k->selector, sizeof k->selector) &&
              secrets_unseal(secrets, "dkim_key", k->id, "private", db_blob(s, 5), &k->der, &e);
    if (ok)
        k->public = str_dup(db_text(s, 6));
    else
        log_event(LOG_ERROR, "dkim.key_unreadable", "domain=%s selector=%s error=%s", k->domain,
                  k->selector, e.text);
    return ok;
}

bool domain_keys_load(struct db *db, const struct secrets *s, struct domain_key **out,
                      size_t *n_out, struct err *e)
{
    bool row = false, ok = true;
    size_t n = 0, cap = 0;
    struct domain_key *list = NULL;
    struct stmt *st = db_stmt(db,
                              "SELECT k.id, k.domain_num, d.name, k.selector, k.algorithm, "
                              "k.private, k.public, d.lifetime_ms, k.created_at FROM dkim_key k "
                              "JOIN domain d ON d.num = k.domain_num WHERE k.state = $1 "
                              "ORDER BY d.name, k.algorithm, k.id",
                              e);
    *out = NULL;
    *n_out = 0;
    if (!st)
        return false;
    db_bind_i64(st, 1, DKIM_KEY_ACTIVE);
    while ((ok = db_step(st, &row, e)) && row) {
        if (n == cap)
            list = alloc_resize(list, (cap = cap ? cap * 2 : 8) * sizeof *list);
        n += read_key(st, s, &list[n]);
    }
    db_reset(st);
    if (!ok) {
        domain_keys_free(list, n);
        return false;
    }
    *out = list;
    *n_out = n;
    return true;
}

void domain_keys_free(struct domain_key *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].public);
        secret_free(&list[i].der);
    }
    free(list);
}
