/* Tables reputation_rule, _standing, _action, _signal: see reputation.h. */
#include "store/reputation.h"
#include "base/alloc.h"

#include <stdlib.h>

/* Room for one more in a list that doubles. */
#define GROW(list, n)                                                                              \
    if (((n) & ((n)-1)) == 0)                                                                      \
    (list) = alloc_resize((list), MAX((n)*2, (size_t)1) * sizeof *(list))

bool reputation_rules(struct db *db, struct reputation_rule_row **out, size_t *n_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT name, enabled, condition, by_provider, window_ms, volume, "
                             "action, weight, duration_ms, cooldown_ms, approval FROM "
                             "reputation_rule ORDER BY name",
                             e);
    bool row = true, ok = s != NULL;
    *out = NULL;
    *n_out = 0;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        GROW(*out, *n_out);
        struct reputation_rule_row *r = &(*out)[(*n_out)++];
        *r = (struct reputation_rule_row){.enabled = db_i64(s, 1) != 0,
                                          .by_provider = db_i64(s, 3) != 0,
                                          .window_ms = db_i64(s, 4),
                                          .volume = (uint64_t)db_i64(s, 5),
                                          .action = (int)db_i64(s, 6),
                                          .weight = db_f64(s, 7),
                                          .duration_ms = db_i64(s, 8),
                                          .cooldown_ms = db_i64(s, 9),
                                          .approval = db_i64(s, 10) != 0};
        str_copy(db_text(s, 0), r->name, sizeof r->name);
        str_copy(db_text(s, 2), r->condition, sizeof r->condition);
    }
    if (s)
        db_reset(s);
    return ok;
}

bool reputation_rule_put(struct db *db, const struct reputation_rule_row *r, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO reputation_rule (name, enabled, condition, by_provider, "
                             "window_ms, volume, action, weight, duration_ms, cooldown_ms, "
                             "approval) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11) "
                             "ON CONFLICT (name) DO UPDATE SET enabled = $2, condition = $3, "
                             "by_provider = $4, window_ms = $5, volume = $6, action = $7, "
                             "weight = $8, duration_ms = $9, cooldown_ms = $10, approval = $11",
                             e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, r->name);
    db_bind_i64(s, 2, r->enabled);
    db_bind_cstr(s, 3, r->condition);
    db_bind_i64(s, 4, r->by_provider);
    db_bind_i64(s, 5, r->window_ms);
    db_bind_i64(s, 6, (int64_t)r->volume);
    db_bind_i64(s, 7, r->action);
    db_bind_f64(s, 8, r->weight);
    db_bind_i64(s, 9, r->duration_ms);
    db_bind_i64(s, 10, r->cooldown_ms);
    db_bind_i64(s, 11, r->approval);
    return db_run(s, e);
}

bool reputation_rule_remove(struct db *db, const char *name, bool *was_out, struct err *e)
{
    struct stmt *s = db_stmt(db, "DELETE FROM reputation_rule WHERE name = $1", e);
    *was_out = false;
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!db_run(s, e))
        return false;
    *was_out = db_changes(db) > 0;
    return true;
}

/* ---- standings */

bool reputation_standings(struct db *db, struct reputation_row **out, size_t *n_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT r.server_num, r.provider, r.stage, r.worst, r.weight, "
                             "r.since, r.until, r.times, r.reason FROM reputation_standing r JOIN "
                             "server s ON s.num = r.server_num WHERE s.removed_at IS NULL "
                             "ORDER BY r.server_num, r.provider",
                             e);
    bool row = true, ok = s != NULL;
    *out = NULL;
    *n_out = 0;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        GROW(*out, *n_out);
        struct reputation_row *r = &(*out)[(*n_out)++];
        *r = (struct reputation_row){.server_num = (uint16_t)db_i64(s, 0),
                                     .stage = (int)db_i64(s, 2),
                                     .worst = (int)db_i64(s, 3),
                                     .weight = db_f64(s, 4),
                                     .since = db_i64(s, 5),
                                     .until = db_i64(s, 6),
                                     .times = (uint32_t)db_i64(s, 7)};
        str_copy(db_text(s, 1), r->provider, sizeof r->provider);
        str_copy(db_text(s, 8), r->reason, sizeof r->reason);
    }
    if (s)
        db_reset(s);
    return ok;
}

bool reputation_standing_put(struct db *db, const struct reputation_row *r, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "DELETE FROM reputation_standing WHERE server_num = $1 AND provider = $2", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->server_num);
    db_bind_cstr(s, 2, r->provider);
    if (!db_run(s, e) || r->stage == 0)
        return r->stage == 0;
    s = db_stmt(db,
                "INSERT INTO reputation_standing (server_num, provider, stage, worst, weight, "
                "since, until, times, reason) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)",
                e);
    if (!s)
        return false;
    db_bind_i64(s, 1, r->server_num);
    db_bind_cstr(s, 2, r->provider);
    db_bind_i64(s, 3, r->stage);
    db_bind_i64(s, 4, r->worst);
    db_bind_f64(s, 5, r->weight);
    db_bind_i64(s, 6, r->since);
    db_bind_i64(s, 7, r->until);
    db_bind_i64(s, 8, r->times);
    db_bind_cstr(s, 9, r->reason);
    return db_run(s, e);
}

/* ---- what rules did or want to do */

#define DEED "id, at, server_num, provider, rule, action, state, reason"

bool reputation_deed_add(struct db *db, const struct reputation_deed *d, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "INSERT INTO reputation_action (" DEED ") VALUES ($1,$2,$3,$4,$5,$6,$7,$8)", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)d->id);
    db_bind_i64(s, 2, d->at);
    db_bind_i64(s, 3, d->server_num);
    db_bind_cstr(s, 4, d->provider);
    db_bind_cstr(s, 5, d->rule);
    db_bind_i64(s, 6, d->action);
    db_bind_cstr(s, 7, d->state);
    db_bind_cstr(s, 8, d->reason);
    return db_run(s, e);
}

static void read_deed(struct stmt *s, struct reputation_deed *d)
{
    *d = (struct reputation_deed){.id = (uint64_t)db_i64(s, 0),
                                  .at = db_i64(s, 1),
                                  .server_num = (uint16_t)db_i64(s, 2),
                                  .action = (int)db_i64(s, 5)};
    str_copy(db_text(s, 3), d->provider, sizeof d->provider);
    str_copy(db_text(s, 4), d->rule, sizeof d->rule);
    str_copy(db_text(s, 6), d->state, sizeof d->state);
    str_copy(db_text(s, 7), d->reason, sizeof d->reason);
}

bool reputation_deed_get(struct db *db, uint64_t id, struct reputation_deed *out, bool *found_out,
                         struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT " DEED " FROM reputation_action WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, found_out, e))
        return false;
    if (*found_out)
        read_deed(s, out);
    db_reset(s);
    return true;
}

bool reputation_deed_settle(struct db *db, uint64_t id, const char *state, struct err *e)
{
    struct stmt *s = db_stmt(db, "UPDATE reputation_action SET state = $2 WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_cstr(s, 2, state);
    return db_run(s, e);
}

bool reputation_deeds_dismiss(struct db *db, uint16_t server_num, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE reputation_action SET state = 'dismissed' WHERE server_num = "
                             "$1 AND state = 'pending'",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    return db_run(s, e);
}

bool reputation_last_at(struct db *db, uint16_t server_num, const char *provider, const char *rule,
                        int64_t *out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT COALESCE(MAX(at), 0) FROM reputation_action WHERE server_num "
                             "= $1 AND provider = $2 AND rule = $3",
                             e);
    bool row = false;
    *out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    db_bind_cstr(s, 2, provider);
    db_bind_cstr(s, 3, rule);
    if (!db_step(s, &row, e))
        return false;
    *out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

bool reputation_deeds(struct db *db, size_t limit, struct reputation_deed **out, size_t *n_out,
                      struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT " DEED " FROM reputation_action ORDER BY id DESC LIMIT $1", e);
    bool row = true, ok = s != NULL;
    *out = NULL;
    *n_out = 0;
    if (s)
        db_bind_i64(s, 1, (int64_t)limit);
    while (ok && (ok = db_step(s, &row, e)) && row) {
        GROW(*out, *n_out);
        read_deed(s, &(*out)[(*n_out)++]);
    }
    if (s)
        db_reset(s);
    return ok;
}

/* ---- signals */

bool reputation_signal_put(struct db *db, uint16_t server_num, const char *kind, const char *source,
                           double value, int64_t at, struct err *e)
{
    struct stmt *s =
        value == 0
            ? db_stmt(db,
                      "DELETE FROM reputation_signal WHERE server_num = $1 AND kind = $2 AND "
                      "source = $3",
                      e)
            : db_stmt(db,
                      "INSERT INTO reputation_signal (server_num, kind, source, value, times, at) "
                      "VALUES ($1, $2, $3, $4, 1, $5) ON CONFLICT (server_num, kind, source) DO "
                      "UPDATE SET value = $4, times = reputation_signal.times + 1, at = $5",
                      e);
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    db_bind_cstr(s, 2, kind);
    db_bind_cstr(s, 3, source);
    if (value != 0) {
        db_bind_f64(s, 4, value);
        db_bind_i64(s, 5, at);
    }
    return db_run(s, e);
}

bool reputation_signals(struct db *db,
                        void (*each)(void *arg, uint16_t server_num, struct str kind,
                                     uint32_t times),
                        void *arg, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT server_num, kind, times FROM reputation_signal ORDER BY server_num", e);
    bool row = true, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row)
        each(arg, (uint16_t)db_i64(s, 0), db_text(s, 1), (uint32_t)db_i64(s, 2));
    if (s)
        db_reset(s);
    return ok;
}

bool reputation_places(struct db *db,
                       void (*each)(void *arg, uint32_t group_num, uint16_t server_num,
                                    double weight),
                       void *arg, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT m.group_num, m.server_num, m.weight, g.strategy FROM "
                             "membership m JOIN server_group g ON g.num = m.group_num WHERE "
                             "g.removed_at IS NULL ORDER BY m.group_num, m.server_num",
                             e);
    bool row = true, ok = s != NULL;
    while (ok && (ok = db_step(s, &row, e)) && row)
        each(arg, (uint32_t)db_i64(s, 0), (uint16_t)db_i64(s, 1),
             db_i64(s, 3) == 0 ? 1.0 : (double)db_i64(s, 2));
    if (s)
        db_reset(s);
    return ok;
}
