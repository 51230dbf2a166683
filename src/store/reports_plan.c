/* What a campaign's report holds against what happened: which share of it each group, and each
 * server there, was to carry by routes, weights and tiers as they are now, if none were sick or at
 * a limit. Reads only. */
#include "base/alloc.h"
#include "model/server.h"
#include "store/reports_parts.h"

#include <stdlib.h>

static bool one_number(struct db *db, const char *sql, int64_t key, int64_t *out, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    bool row = false;
    *out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, key);
    if (!db_step(s, &row, e))
        return false;
    *out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

/* Without routes: the campaign's group, else its list's, else default. */
static bool group_of(struct db *db, int64_t campaign_num, int64_t *out, struct err *e)
{
    if (!one_number(db, "SELECT group_num FROM campaign WHERE num = $1", campaign_num, out, e))
        return false;
    if (!*out && !one_number(db,
                             "SELECT l.group_num FROM campaign c JOIN list l ON l.id = c.list_id"
                             " WHERE c.num = $1",
                             campaign_num, out, e))
        return false;
    return *out || one_number(db,
                              "SELECT num FROM server_group WHERE name = 'default'"
                              " AND $1 = $1 AND removed_at IS NULL",
                              campaign_num, out, e);
}

static struct plan_group *group_at(struct plan *p, int64_t num)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->groups[i].num == num)
            return &p->groups[i];
    p->groups = alloc_resize(p->groups, (p->n + 1) * sizeof *p->groups);
    p->groups[p->n] = (struct plan_group){.num = num};
    return &p->groups[p->n++];
}

static bool read_sent(struct db *db, int64_t campaign_num, struct plan *p, struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT group_num, sent FROM campaign_group WHERE campaign_num = $1", e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    while ((ok = db_step(s, &row, e)) && row)
        group_at(p, db_i64(s, 0))->sent = db_i64(s, 1);
    db_reset(s);
    return ok;
}

bool plan_read(struct db *db, int64_t campaign_num, const json_t *given, struct plan *p,
               struct err *e)
{
    size_t i;
    json_t *one;
    int64_t num = 0;
    *p = (struct plan){0};
    json_array_foreach(given, i, one)
    {
        struct plan_group *g = group_at(p, json_integer_value(json_object_get(one, "num")));
        g->share = json_number_value(json_object_get(one, "share"));
    }
    if (!p->n) {
        if (!group_of(db, campaign_num, &num, e))
            return false;
        if (num)
            group_at(p, num)->share = 1;
    }
    return read_sent(db, campaign_num, p, e);
}

void plan_free(struct plan *p)
{
    free(p->groups);
    *p = (struct plan){0};
}

/* ---- servers of a group ---- */

struct member {
    int64_t server_num, weight, priority;
};

/* Reserves and resting ones carry nothing while the active ones do. */
static bool read_members(struct db *db, int64_t group_num, struct member **out, size_t *n,
                         int64_t *strategy_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT m.server_num, m.weight, m.priority, g.strategy,"
                             " g.rotate_active FROM membership m"
                             " JOIN server_group g ON g.num = m.group_num"
                             " WHERE m.group_num = $1 AND m.role = $2 ORDER BY m.server_num",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, group_num);
    db_bind_i64(s, 2, ROLE_ACTIVE);
    while ((ok = db_step(s, &row, e)) && row) {
        *out = alloc_resize(*out, (*n + 1) * sizeof **out);
        (*out)[(*n)++] = (struct member){db_i64(s, 0), db_i64(s, 1), db_i64(s, 2)};
        *strategy_out = db_i64(s, 4) ? STRATEGY_LEAST_LOADED : db_i64(s, 3);
    }
    db_reset(s);
    return ok;
}

/* Round robin, weights and tiers say who is to carry what; least loaded and cheapest find it out.
 */
static double part_of(const struct member *m, int64_t strategy, int64_t first_tier)
{
    if (strategy == STRATEGY_LEAST_LOADED || strategy == STRATEGY_CHEAPEST)
        return -1;
    if (strategy == STRATEGY_PRIORITY && m->priority != first_tier)
        return 0;
    return strategy == STRATEGY_ROUND_ROBIN ? 1 : (double)m->weight;
}

bool plan_servers(struct db *db, const struct plan_group *g,
                  void (*each)(void *arg, int64_t server_num, double share), void *arg,
                  struct err *e)
{
    struct member *all = NULL;
    size_t n = 0;
    int64_t strategy = 0, first = INT64_MAX;
    double sum = 0;
    bool ok = read_members(db, g->num, &all, &n, &strategy, e);
    for (size_t i = 0; i < n; i++)
        first = MIN(first, all[i].priority);
    for (size_t i = 0; i < n; i++)
        sum += part_of(&all[i], strategy, first);
    for (size_t i = 0; ok && i < n; i++) {
        double part = part_of(&all[i], strategy, first);
        each(arg, all[i].server_num, part < 0 || sum <= 0 ? -1 : part / sum * g->share);
    }
    free(all);
    return ok;
}

/* ---- the groups of the report ---- */

json_t *plan_groups_json(struct db *db, const struct plan *p)
{
    json_t *all = json_array();
    int64_t sent = 0;
    for (size_t i = 0; i < p->n; i++)
        sent += p->groups[i].sent;
    for (size_t i = 0; i < p->n; i++) {
        const struct plan_group *g = &p->groups[i];
        double share = sent ? (double)g->sent / (double)sent : 0;
        json_array_append_new(all, json_pack("{s:o, s:I, s:f, s:f}", "group",
                                             message_view_group(db, g->num), "sent",
                                             (json_int_t)g->sent, "share", part_share(share),
                                             "planned_share", part_share(g->share)));
    }
    return all;
}
