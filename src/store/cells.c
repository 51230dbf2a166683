/* See cells.h. */
#include "store/cells.h"

bool cells_put(struct db *db, const struct cell_row *r, struct err *e)
{
    struct stmt *s =
        db_stmt(db,
                "INSERT INTO server_cell (server_num, provider, until, openings, reason) VALUES"
                " ($1,$2,$3,$4,$5) ON CONFLICT (server_num, provider) DO UPDATE SET until = $3,"
                " openings = $4, reason = $5",
                e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->server_num);
    db_bind_cstr(s, 2, r->provider);
    db_bind_i64(s, 3, r->until);
    db_bind_i64(s, 4, r->openings);
    db_bind_cstr(s, 5, r->reason);
    return db_run(s, e);
}

bool cells_remove(struct db *db, uint16_t server_num, const char *provider, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "DELETE FROM server_cell WHERE server_num = $1 AND provider = $2", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    db_bind_cstr(s, 2, provider);
    return db_run(s, e);
}

bool cells_sweep(struct db *db, int64_t before_ms, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM server_cell WHERE until < $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, before_ms);
    return db_run(s, e);
}

bool cells_all(struct db *db, void (*each)(void *arg, const struct cell_row *r), void *arg,
               struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT server_num, provider, until, openings, reason FROM server_cell"
                             " ORDER BY server_num, provider",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    while ((ok = db_step(s, &row, e)) && row) {
        struct cell_row r = {.server_num = (uint16_t)db_i64(s, 0),
                             .until = db_i64(s, 2),
                             .openings = (uint32_t)db_i64(s, 3)};
        (void)str_copy(db_text(s, 1), r.provider, sizeof r.provider);
        (void)str_copy(db_text(s, 4), r.reason, sizeof r.reason);
        each(arg, &r);
    }
    db_reset(s);
    return ok;
}
