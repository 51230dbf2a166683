/* The attempts of the past, in the order of messages, with the group that each was sent by: for the
 * dry run of a failure matrix. Reads the results as a stream; keeps one lease and one campaign. */
#include "store/failover.h"

#include <stdlib.h>

#define ROWS_MAX 20000 /* of one walk: the caller ends it earlier, at the end of a message */

struct origin { /* where the messages of a range come from */
    uint64_t first, end;
    int64_t campaign_num;
    uint32_t group_num;
    enum lane lane;
    bool known;
};

static bool look_up(struct db *db, const char *sql, uint64_t id, struct stmt **out, bool *row_out,
                    struct err *e)
{
    *out = db_stmt(db, sql, e);
    if (!*out)
        return false;
    db_bind_i64(*out, 1, (int64_t)id);
    return db_step(*out, row_out, e);
}

/* sql: group_num and lane of $1. */
static bool read_group(struct db *db, struct origin *o, const char *sql, uint64_t id, struct err *e)
{
    struct stmt *st = NULL;
    bool row = false;
    if (!look_up(db, sql, id, &st, &row, e))
        return false;
    if (row) {
        o->group_num = (uint32_t)db_i64(st, 0);
        o->lane = (enum lane)db_i64(st, 1);
    }
    o->known = row;
    db_reset(st);
    return true;
}

static bool campaign_of(struct db *db, struct origin *o, struct err *e)
{
    return read_group(db, o, "SELECT group_num, lane FROM campaign WHERE num = $1",
                      (uint64_t)o->campaign_num, e);
}

static bool single(struct db *db, struct origin *o, uint64_t id, struct err *e)
{
    *o = (struct origin){.first = id, .end = id + 1};
    return read_group(db, o, "SELECT group_num, lane FROM message WHERE id = $1", id, e);
}

static bool find_origin(struct db *db, struct origin *o, uint64_t id, struct err *e)
{
    struct stmt *st = NULL;
    bool row = false;
    if (id >= o->first && id < o->end)
        return true;
    if (!look_up(db,
                 "SELECT first_id, n, campaign_num FROM lease WHERE first_id <= $1 "
                 "ORDER BY first_id DESC LIMIT 1",
                 id, &st, &row, e))
        return false;
    struct origin found = {0};
    if (row) {
        found.first = (uint64_t)db_i64(st, 0);
        found.end = found.first + (uint64_t)MAX(db_i64(st, 1), 0);
        found.campaign_num = db_i64(st, 2);
    }
    db_reset(st);
    if (!row || !found.campaign_num || id >= found.end)
        return single(db, o, id, e);
    *o = found;
    return campaign_of(db, o, e);
}

static void read_enhanced(struct str s, uint8_t out[3])
{
    struct str part;
    for (int i = 0; i < 3 && str_split(&s, '.', &part); i++) {
        uint64_t v = 0;
        out[i] = str_to_u64(part, 255, &v) ? (uint8_t)v : 0;
    }
}

static void read_attempt(struct stmt *st, struct attempt *a)
{
    *a = (struct attempt){.message_id = (uint64_t)db_i64(st, 0),
                          .n = (uint32_t)db_i64(st, 1),
                          .server_num = (uint16_t)db_i64(st, 2),
                          .state = (enum message_state)db_i64(st, 3),
                          .verdict = (enum verdict)db_i64(st, 4),
                          .phase = (enum phase)db_i64(st, 5),
                          .hard = db_i64(st, 6) != 0,
                          .code = (int)db_i64(st, 7),
                          .at = db_i64(st, 9),
                          .reply = db_text(st, 10)};
    read_enhanced(db_text(st, 8), a->enhanced);
}

bool failover_history(struct db *db, uint64_t after, uint64_t before,
                      bool (*each)(void *arg, const struct past_attempt *p), void *arg,
                      struct err *e)
{
    struct origin o = {0};
    bool row = true, ok = true, more = true;
    struct stmt *st =
        db_stmt(db,
                "SELECT message_id, n, server_num, state, verdict, phase, hard, code, "
                "enhanced, at, reply FROM result WHERE message_id > $1 AND message_id < $2 "
                "ORDER BY message_id, n LIMIT $3",
                e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)after);
    db_bind_i64(st, 2, (int64_t)before);
    db_bind_i64(st, 3, ROWS_MAX);
    while (more && (ok = db_step(st, &row, e)) && row) {
        struct past_attempt p = {0};
        read_attempt(st, &p.a);
        ok = find_origin(db, &o, p.a.message_id, e);
        if (!ok)
            break;
        p.group_num = o.group_num;
        p.lane = o.lane;
        p.is_whole = o.known;
        more = each(arg, &p);
    }
    db_reset(st);
    return ok;
}
