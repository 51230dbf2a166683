/* Table setting: see settings.h. */
#include "store/settings.h"

#include <stdio.h>

bool settings_get(struct db *db, const char *key, struct buf *out, bool *found_out, struct err *e)
{
    buf_clear(out);
    *found_out = false;
    struct stmt *s = db_stmt(db, "SELECT value FROM setting WHERE key = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, key);
    bool row = false;
    if (!db_step(s, &row, e))
        return false;
    bool fits = !row || buf_addstr(out, db_text(s, 0));
    db_reset(s);
    *found_out = row && fits;
    return fits || err_set(e, ERR_TOO_BIG, "setting %s is larger than expected", key);
}

bool settings_get_i64(struct db *db, const char *key, int64_t fallback, int64_t *out, struct err *e)
{
    struct buf b;
    bool found = false;
    buf_init(&b, SETTINGS_VALUE_MAX);
    bool ok = settings_get(db, key, &b, &found, e);
    *out = fallback;
    if (ok && found && !str_to_i64(buf_str(&b), out))
        ok = err_set(e, ERR_CORRUPT, "setting %s is no number", key);
    buf_free(&b);
    return ok;
}

bool settings_set(struct db *db, const char *key, struct str value, struct err *e)
{
    if (value.n > SETTINGS_VALUE_MAX)
        return err_set(e, ERR_TOO_BIG, "setting %s: at most %d bytes", key, SETTINGS_VALUE_MAX);
    struct stmt *s = db_stmt(db,
                             "INSERT INTO setting (key, value) VALUES ($1, $2) "
                             "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                             e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, key);
    db_bind_text(s, 2, value.p ? value : STR(""));
    return db_run(s, e);
}

bool settings_set_i64(struct db *db, const char *key, int64_t value, struct err *e)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    return settings_set(db, key, str_of(text), e);
}

bool settings_remove(struct db *db, const char *key, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM setting WHERE key = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, key);
    return db_run(s, e);
}
