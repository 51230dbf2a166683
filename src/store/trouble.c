/* The term `verdict > 1` (1 is accepted) must stand in the query as in the index, or SQLite does
 * not use it. */
#include "store/trouble.h"
#include "store/outbox.h"

#include <string.h>

static struct trouble_row read_row(struct stmt *s)
{
    return (struct trouble_row){.a = {.message_id = (uint64_t)db_i64(s, 0),
                                      .n = (uint32_t)db_i64(s, 1),
                                      .server_num = (uint16_t)db_i64(s, 2),
                                      .state = (enum message_state)db_i64(s, 3),
                                      .verdict = (enum verdict)db_i64(s, 4),
                                      .phase = (enum phase)db_i64(s, 5),
                                      .hard = db_i64(s, 6) != 0,
                                      .code = (int)db_i64(s, 7),
                                      .at = db_i64(s, 9),
                                      .ms = (int32_t)db_i64(s, 10),
                                      .rule = db_text(s, 11),
                                      .reply = db_text(s, 12)},
                                .enhanced = db_text(s, 8),
                                .has_conversation = db_i64(s, 13) != 0};
}

bool trouble_walk(struct db *db, const struct trouble_ask *ask,
                  bool (*each)(void *arg, const struct trouble_row *row), void *arg,
                  uint64_t *looked_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT message_id, n, server_num, state, verdict, phase, hard, code,"
                             " enhanced, at, ms, rule, reply, conversation IS NOT NULL FROM result"
                             " WHERE verdict > 1 AND at >= $1 AND at <= $2 ORDER BY at DESC"
                             " LIMIT $3",
                             e);
    bool row = false, ok = true, more = true;
    *looked_out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, ask->since);
    db_bind_i64(s, 2, ask->until);
    db_bind_i64(s, 3, (int64_t)ask->limit);
    while (more && (ok = db_step(s, &row, e)) && row) {
        struct trouble_row r = read_row(s);
        ++*looked_out;
        if (!ask->server_num || r.a.server_num == ask->server_num)
            more = each(arg, &r);
    }
    db_reset(s);
    return ok;
}

static bool one_text(struct db *db, const char *sql, int64_t key, char *out, size_t size,
                     struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    bool row = false;
    out[0] = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, key);
    if (!db_step(s, &row, e))
        return false;
    if (row)
        str_copy(db_text(s, 0), out, size);
    db_reset(s);
    return true;
}

bool trouble_recipient(struct db *db, uint64_t message_id, char *out, size_t size, struct err *e)
{
    uint64_t contact = 0;
    uint32_t campaign = 0;
    if (!one_text(db, "SELECT rcpt FROM message WHERE id = $1", (int64_t)message_id, out, size, e))
        return false;
    if (out[0])
        return true;
    if (!outbox_contact_of(db, message_id, &contact, &campaign, e))
        return false;
    return !contact || one_text(db, "SELECT COALESCE(address, email) FROM contact WHERE id = $1",
                                (int64_t)contact, out, size, e);
}

bool trouble_server_name(struct db *db, uint16_t num, char *out, size_t size, struct err *e)
{
    if (!one_text(db, "SELECT name FROM server WHERE num = $1", num, out, size, e))
        return false;
    char *suffix = strrchr(out, '~'); /* of a removed one; names have no '~' */
    if (suffix)
        *suffix = 0;
    return true;
}

bool trouble_server_num(struct db *db, const char *name, uint16_t *out, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT num FROM server WHERE name = $1 AND removed_at IS NULL", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!db_step(s, &row, e))
        return false;
    *out = row ? (uint16_t)db_i64(s, 0) : 0;
    db_reset(s);
    return row || err_set(e, ERR_NOT_FOUND, "there is no server '%s'", name);
}
