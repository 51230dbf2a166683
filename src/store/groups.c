/* Tables server_group, membership and group_fallback: see groups.h. */
#include "store/groups.h"

#include "base/alloc.h"
#include "store/limits.h"
#include "store/names.h"

#include <stdio.h>
#include <stdlib.h>

#define COLUMNS                                                                                    \
    "num, id, name, strategy, at_limit, shares, sticky, rotate_active, rotate_every_ms, "          \
    "rotate_messages, nearest"

static bool run_for_num(struct db *db, const char *sql, uint32_t num, struct err *e)
{
    struct stmt *st = db_stmt(db, sql, e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    return db_run(st, e);
}

bool groups_ensure_default(struct db *db, uint64_t id, int64_t now_ms, struct err *e)
{
    struct group *g = NULL;
    struct err own = {0};
    if (groups_get(db, GROUPS_DEFAULT, &g, &own)) {
        group_free(&g);
        return true;
    }
    if (own.code != ERR_NOT_FOUND)
        return err_set(e, own.code, "%s", own.text);
    g = group_new();
    g->id = id;
    g->name = alloc_copy(GROUPS_DEFAULT);
    bool ok = groups_add(db, g, now_ms, e);
    group_free(&g);
    return ok;
}

/* The groups that mail of `num` may fall to, one after the other, must not lead back to it. */
static bool leads_to(struct db *db, uint32_t from, uint32_t num, bool *out, struct err *e)
{
    struct stmt *st = db_stmt(
        db,
        "WITH RECURSIVE reach (num) AS (SELECT CAST($1 AS BIGINT) UNION SELECT f.fallback_num FROM "
        "group_fallback f JOIN reach r ON f.group_num = r.num) SELECT 1 FROM reach WHERE num = $2",
        e);
    if (!st)
        return false;
    db_bind_i64(st, 1, from);
    db_bind_i64(st, 2, num);
    if (!db_step(st, out, e))
        return false;
    db_reset(st);
    return true;
}

static bool add_fallback(struct db *db, const struct group *g, size_t position, struct err *e)
{
    uint32_t to = g->fallbacks[position];
    struct group *target = NULL;
    bool circle = false;
    if (!groups_get_num(db, to, &target, e))
        return err_prefix(e, "group %s: fallback", g->name);
    char name[NAMES_MAX + 1];
    (void)snprintf(name, sizeof name, "%s", target->name);
    group_free(&target);
    if (!leads_to(db, to, g->num, &circle, e))
        return false;
    if (circle)
        return err_set(e, ERR_INVALID,
                       "group %s: falling back to %s makes a circle; take a group out of it",
                       g->name, name);
    struct stmt *st = db_stmt(db,
                              "INSERT INTO group_fallback (group_num, position, fallback_num) "
                              "VALUES ($1, $2, $3)",
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, g->num);
    db_bind_i64(st, 2, (int64_t)position);
    db_bind_i64(st, 3, to);
    return db_run(st, e);
}

static bool write_fallbacks(struct db *db, const struct group *g, struct err *e)
{
    if (g->n_fallbacks > GROUPS_FALLBACKS_MAX)
        return err_set(e, ERR_INVALID, "group %s: at most %d fallbacks", g->name,
                       GROUPS_FALLBACKS_MAX);
    for (size_t i = 0; i < g->n_fallbacks; i++)
        for (size_t k = 0; k < i; k++)
            if (g->fallbacks[i] == g->fallbacks[k])
                return err_set(e, ERR_INVALID, "group %s: a fallback is named twice", g->name);
    if (!run_for_num(db, "DELETE FROM group_fallback WHERE group_num = $1", g->num, e))
        return false;
    for (size_t i = 0; i < g->n_fallbacks; i++)
        if (!add_fallback(db, g, i, e))
            return false;
    return true;
}

static void bind_group(struct stmt *st, const struct group *g)
{
    db_bind_i64(st, 1, g->num);
    db_bind_cstr(st, 2, g->name);
    db_bind_i64(st, 3, (int64_t)g->strategy);
    db_bind_i64(st, 4, (int64_t)g->at_limit);
    db_bind_i64(st, 5, (int64_t)g->shares);
    db_bind_i64(st, 6, (int64_t)g->sticky);
    db_bind_i64(st, 7, g->rotate_active);
    db_bind_i64(st, 8, g->rotate_every_ms);
    db_bind_i64(st, 9, (int64_t)g->rotate_messages);
    db_bind_i64(st, 10, g->nearest);
}

static bool run_named(struct stmt *st, const char *name, struct err *e)
{
    struct err own = {0};
    if (db_run(st, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a group named %s already", name);
    return err_set(e, own.code, "%s", own.text);
}

bool groups_add(struct db *db, struct group *g, int64_t now_ms, struct err *e)
{
    if (!names_check("group", g->name, e))
        return false;
    struct stmt *st = db_stmt(db, "SELECT max(num) FROM server_group", e);
    bool row = false;
    if (!st || !db_step(st, &row, e))
        return false;
    g->num = (uint32_t)db_i64(st, 0) + 1;
    db_reset(st);
    st = db_stmt(
        db,
        "INSERT INTO server_group (num, name, strategy, at_limit, shares, sticky, "
        "rotate_active, rotate_every_ms, rotate_messages, nearest, id, created_at) VALUES ($1, $2, "
        "$3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        e);
    if (!st)
        return false;
    bind_group(st, g);
    db_bind_i64(st, 11, (int64_t)g->id);
    db_bind_i64(st, 12, now_ms);
    return run_named(st, g->name, e) && write_fallbacks(db, g, e);
}

bool groups_update(struct db *db, const struct group *g, struct err *e)
{
    struct group *old = NULL;
    if (!names_check("group", g->name, e) || !groups_get_num(db, g->num, &old, e))
        return false;
    bool renamed_default = strcmp(old->name, GROUPS_DEFAULT) == 0 && strcmp(g->name, old->name);
    group_free(&old);
    if (renamed_default)
        return err_set(e, ERR_REFUSED, "group " GROUPS_DEFAULT " keeps its name");
    struct stmt *st =
        db_stmt(db,
                "UPDATE server_group SET name = $2, strategy = $3, at_limit = $4, "
                "shares = $5, sticky = $6, rotate_active = $7, "
                "rotate_every_ms = $8, rotate_messages = $9, nearest = $10 WHERE num = $1",
                e);
    if (!st)
        return false;
    bind_group(st, g);
    return run_named(st, g->name, e) && write_fallbacks(db, g, e);
}

static bool read_plain(struct stmt *st, struct group **out, struct err *e)
{
    int64_t strategy = db_i64(st, 3), at_limit = db_i64(st, 4), shares = db_i64(st, 5),
            sticky = db_i64(st, 6);
    if (strategy < 0 || strategy > STRATEGY_CHEAPEST || at_limit < 0 || at_limit > AT_LIMIT_SPILL ||
        shares < 0 || shares > SHARES_ELASTIC || sticky < 0 || sticky > STICKY_RECIPIENT)
        return err_set(e, ERR_CORRUPT, "group " STR_F ": its stored row makes no sense",
                       STR_A(db_text(st, 2)));
    struct group *g = group_new();
    g->num = (uint32_t)db_i64(st, 0);
    g->id = (uint64_t)db_i64(st, 1);
    g->name = str_dup(db_text(st, 2));
    g->strategy = (enum strategy)strategy;
    g->at_limit = (enum at_limit)at_limit;
    g->shares = (enum shares)shares;
    g->sticky = (enum sticky)sticky;
    g->rotate_active = (uint32_t)db_i64(st, 7);
    g->rotate_every_ms = db_i64(st, 8);
    g->rotate_messages = (uint64_t)db_i64(st, 9);
    g->nearest = db_i64(st, 10) != 0;
    *out = g;
    return true;
}

static bool read_fallbacks(struct db *db, struct group *g, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(
        db, "SELECT fallback_num FROM group_fallback WHERE group_num = $1 ORDER BY position", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, g->num);
    g->fallbacks = alloc_many(uint32_t, GROUPS_FALLBACKS_MAX);
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        if (g->n_fallbacks < GROUPS_FALLBACKS_MAX)
            g->fallbacks[g->n_fallbacks++] = (uint32_t)db_i64(st, 0);
    }
    return false;
}

static bool read_members(struct db *db, struct group *g, struct err *e)
{
    bool row = false;
    size_t cap = 0;
    struct stmt *st = db_stmt(db,
                              "SELECT server_num, weight, priority, role FROM membership WHERE "
                              "group_num = $1 ORDER BY server_num",
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, g->num);
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        if (g->n_members == cap)
            g->members = alloc_resize(g->members, (cap = cap ? cap * 2 : 8) * sizeof(*g->members));
        g->members[g->n_members++] = (struct membership){.server_num = (uint16_t)db_i64(st, 0),
                                                         .weight = (uint32_t)db_i64(st, 1),
                                                         .priority = (uint32_t)db_i64(st, 2),
                                                         .role = (enum role)db_i64(st, 3)};
    }
    return false;
}

static bool read_parts(struct db *db, struct group *g, struct err *e)
{
    return read_fallbacks(db, g, e) && read_members(db, g, e);
}

static bool read_one(struct db *db, struct stmt *st, const char *what, struct group **out,
                     struct err *e)
{
    bool row = false;
    *out = NULL;
    if (!db_step(st, &row, e))
        return false;
    if (!row)
        return err_set(e, ERR_NOT_FOUND, "there is no group %.80s", what);
    bool ok = read_plain(st, out, e);
    db_reset(st);
    if (ok && read_parts(db, *out, e))
        return true;
    group_free(out);
    return false;
}

bool groups_get(struct db *db, const char *name, struct group **out, struct err *e)
{
    struct stmt *st = db_stmt(
        db, "SELECT " COLUMNS " FROM server_group WHERE name = $1 AND removed_at IS NULL", e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    return read_one(db, st, name, out, e);
}

bool groups_get_num(struct db *db, uint32_t num, struct group **out, struct err *e)
{
    char what[16];
    struct stmt *st = db_stmt(
        db, "SELECT " COLUMNS " FROM server_group WHERE num = $1 AND removed_at IS NULL", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    (void)snprintf(what, sizeof what, "%u", (unsigned)num);
    return read_one(db, st, what, out, e);
}

bool groups_list(struct db *db, struct group ***out, size_t *n_out, struct err *e)
{
    struct group **list = NULL;
    size_t n = 0, cap = 0;
    bool row = false, ok = true;
    *out = NULL;
    *n_out = 0;
    struct stmt *st = db_stmt(
        db, "SELECT " COLUMNS " FROM server_group WHERE removed_at IS NULL ORDER BY name", e);
    while (st && (ok = db_step(st, &row, e)) && row) {
        if (n == cap)
            list = alloc_resize(list, (cap = cap ? cap * 2 : 8) * sizeof(*list));
        ok = read_plain(st, &list[n], e);
        if (!ok)
            break;
        n++;
    }
    if (st)
        db_reset(st);
    ok = st && ok;
    for (size_t i = 0; ok && i < n; i++)
        ok = read_parts(db, list[i], e);
    if (!ok) {
        groups_free_list(list, n);
        return false;
    }
    *out = list;
    *n_out = n;
    return true;
}

void groups_free_list(struct group **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        group_free(&list[i]);
    free(list);
}

/* *what_out: "route x" or "list x", or "" when neither names the group. */
static bool used_by_rule(struct db *db, uint32_t num, char what_out[160], struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db,
                              "SELECT 'route ' || name FROM route WHERE group_num = $1 "
                              "UNION ALL SELECT 'list ' || name FROM list WHERE group_num = $1 "
                              "LIMIT 1",
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    if (!db_step(st, &row, e))
        return false;
    (void)str_copy(row ? db_text(st, 0) : STR(""), what_out, 160);
    db_reset(st);
    return true;
}

static bool check_unused(struct db *db, const char *name, uint32_t num, struct err *e)
{
    char what[160];
    if (!used_by_rule(db, num, what, e))
        return false;
    return !what[0] ||
           err_set(e, ERR_CONFLICT, "group %s is used by %s: name another group there first", name,
                   what);
}

/* States up to stalled in enum campaign_state are those of a campaign that may still send. */
static bool used_by_campaign(struct db *db, uint32_t num, char name[128], struct err *e)
{
    bool row = false;
    struct stmt *st =
        db_stmt(db, "SELECT name FROM campaign WHERE group_num = $1 AND state <= 4 LIMIT 1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    if (!db_step(st, &row, e))
        return false;
    (void)str_copy(row ? db_text(st, 0) : STR(""), name, 128);
    db_reset(st);
    return true;
}

bool groups_remove(struct db *db, const char *name, int64_t now_ms, struct err *e)
{
    struct group *g = NULL;
    char campaign[128], suffixed[128];
    if (strcmp(name, GROUPS_DEFAULT) == 0)
        return err_set(e, ERR_REFUSED, "group " GROUPS_DEFAULT " cannot be removed");
    if (!groups_get(db, name, &g, e))
        return false;
    uint32_t num = g->num;
    group_free(&g);
    if (!used_by_campaign(db, num, campaign, e))
        return false;
    if (campaign[0])
        return err_set(e, ERR_CONFLICT,
                       "group %s is used by campaign %s: cancel it or let it finish first", name,
                       campaign);
    if (!check_unused(db, name, num, e))
        return false;
    if (!limits_forget(db, 1, num, e) ||
        !run_for_num(db, "DELETE FROM membership WHERE group_num = $1", num, e) ||
        !run_for_num(db, "DELETE FROM group_fallback WHERE group_num = $1", num, e) ||
        !run_for_num(db, "DELETE FROM group_fallback WHERE fallback_num = $1", num, e) ||
        !run_for_num(db, "DELETE FROM failover WHERE group_num = $1", num, e) ||
        !run_for_num(db, "DELETE FROM failover_rule WHERE group_num = $1", num, e) ||
        !run_for_num(db, "DELETE FROM failover_server WHERE group_num = $1", num, e))
        return false;
    (void)snprintf(suffixed, sizeof suffixed, "%s~%u", name, (unsigned)num);
    struct stmt *st =
        db_stmt(db, "UPDATE server_group SET name = $2, removed_at = $3 WHERE num = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    db_bind_cstr(st, 2, suffixed);
    db_bind_i64(st, 3, now_ms);
    return db_run(st, e);
}

bool groups_join(struct db *db, uint32_t group_num, const struct membership *m, struct err *e)
{
    if (m->weight < 1 || m->weight > GROUPS_WEIGHT_MAX)
        return err_set(e, ERR_INVALID, "a weight is from 1 to %d", GROUPS_WEIGHT_MAX);
    if (m->priority < 1 || m->priority > 1000)
        return err_set(e, ERR_INVALID, "a priority is from 1 to 1000");
    struct stmt *st = db_stmt(
        db,
        "INSERT INTO membership (group_num, server_num, weight, priority, role) VALUES ($1, $2, "
        "$3, $4, $5) ON CONFLICT (group_num, server_num) DO UPDATE SET weight = excluded.weight, "
        "priority = excluded.priority, role = excluded.role",
        e);
    if (!st)
        return false;
    db_bind_i64(st, 1, group_num);
    db_bind_i64(st, 2, m->server_num);
    db_bind_i64(st, 3, m->weight);
    db_bind_i64(st, 4, m->priority);
    db_bind_i64(st, 5, (int64_t)m->role);
    return db_run(st, e);
}

bool groups_leave(struct db *db, uint32_t group_num, uint16_t server_num, struct err *e)
{
    struct stmt *st =
        db_stmt(db, "DELETE FROM membership WHERE group_num = $1 AND server_num = $2", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, group_num);
    db_bind_i64(st, 2, server_num);
    return db_run(st, e);
}

bool groups_of(struct db *db, uint16_t server_num, uint32_t *nums, size_t max, size_t *n_out,
               struct err *e)
{
    bool row = false;
    *n_out = 0;
    struct stmt *st =
        db_stmt(db, "SELECT group_num FROM membership WHERE server_num = $1 ORDER BY group_num", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, server_num);
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        if (*n_out < max)
            nums[*n_out] = (uint32_t)db_i64(st, 0);
        ++*n_out;
    }
    return false;
}
