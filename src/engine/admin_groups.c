/* Operations on groups: add, set, remove. Members come and go with the servers' own options. */
#include "base/alloc.h"
#include "engine/admin_parts.h"
#include "model/server.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/reports.h"

#include <stdlib.h>

static bool word_strategy(const char *s, void *at)
{
    return strategy_parse(s, at);
}

static bool word_at_limit(const char *s, void *at)
{
    return at_limit_parse(s, at);
}

static bool word_shares(const char *s, void *at)
{
    return shares_parse(s, at);
}

static bool word_sticky(const char *s, void *at)
{
    return sticky_parse(s, at);
}

#define WORD(label, member, fn, all)                                                               \
    {                                                                                              \
        .name = label, .kind = FIELD_WORD, .offset = offsetof(struct group, member), .word = fn,   \
        .words = all                                                                               \
    }

static const struct field_spec specs[] = {
    WORD("strategy", strategy, word_strategy,
         "round-robin, weighted, priority, least-loaded, adaptive, cheapest"),
    WORD("at_limit", at_limit, word_at_limit, "wait, spill"),
    WORD("shares", shares, word_shares, "exact, elastic"),
    WORD("sticky", sticky, word_sticky, "none, message, recipient"),
    {.name = "nearest", .kind = FIELD_BOOL, .offset = offsetof(struct group, nearest)},
    {.name = "rotate_active",
     .kind = FIELD_U32,
     .offset = offsetof(struct group, rotate_active),
     .max = 10000},
    {.name = "rotate_every",
     .kind = FIELD_DURATION,
     .offset = offsetof(struct group, rotate_every_ms),
     .max = INT64_C(31) * 24 * 3600000},
    {.name = "rotate_messages",
     .kind = FIELD_COUNT,
     .offset = offsetof(struct group, rotate_messages),
     .max = 1000000000},
};

static const char *const known[] = {
    "name",          "strategy",     "at_limit",        "shares",   "sticky",  "fallback",
    "rotate_active", "rotate_every", "rotate_messages", "new_name", "nearest", NULL};

struct falling {
    struct admin_context *c;
    struct group *g;
};

static bool add_fallback(void *arg, const char *name, struct err *e)
{
    struct falling *f = arg;
    struct group *to = NULL;
    if (f->g->n_fallbacks >= GROUPS_FALLBACKS_MAX)
        return err_set(e, ERR_INVALID, "fallback: over %d groups", GROUPS_FALLBACKS_MAX);
    if (!groups_get(f->c->db, name, &to, e))
        return err_prefix(e, "fallback");
    f->g->fallbacks = alloc_resize(f->g->fallbacks, (f->g->n_fallbacks + 1) * sizeof(uint32_t));
    f->g->fallbacks[f->g->n_fallbacks++] = to->num;
    group_free(&to);
    return true;
}

static bool read_options(struct admin_context *c, json_t *args, struct group *g, struct err *e)
{
    struct falling f = {c, g};
    if (json_object_get(args, "fallback"))
        g->n_fallbacks = 0;
    if (!specs_read(args, specs, countof(specs), g, e) ||
        !args_each(args, "fallback", 4096, add_fallback, &f, e))
        return false;
    if ((g->rotate_every_ms || g->rotate_messages) && !g->rotate_active)
        return err_set(e, ERR_INVALID,
                       "rotate_active: say how many servers are active at a time, or leave out "
                       "rotate_every and rotate_messages");
    if (g->rotate_active && !g->rotate_every_ms && !g->rotate_messages)
        return err_set(e, ERR_INVALID,
                       "rotate_active: say when the set changes, by rotate_every or "
                       "rotate_messages");
    return true;
}

static bool answer_group(struct admin_context *c, const char *name, json_t **data_out,
                         struct err *e)
{
    c->changed.bits |= ADMIN_CHANGED_GROUPS;
    return report_group(c->db, name, NULL, data_out, e);
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e))
        return false;
    struct group *g = group_new();
    g->name = alloc_copy(name);
    g->id = ids_next(c->ids, c->wall_ms);
    bool ok = read_options(c, args, g, e) && groups_add(c->db, g, c->wall_ms, e) &&
              note_event(c, "group.added", name, e) && answer_group(c, name, data_out, e);
    group_free(&g);
    return ok;
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL, *new_name = NULL;
    struct group *g = NULL;
    if (!args_known(args, known, e) || !args_need(args, "name", 4096, &name, e) ||
        (json_object_get(args, "new_name") && !args_name(args, "new_name", &new_name, e)) ||
        !groups_get(c->db, name, &g, e))
        return false;
    if (new_name) {
        free(g->name);
        g->name = alloc_copy(new_name);
    }
    bool ok = read_options(c, args, g, e) && groups_update(c->db, g, e) &&
              note_event(c, "group.changed", g->name, e) && answer_group(c, g->name, data_out, e);
    group_free(&g);
    return ok;
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_only(args, "name", &name, e) || !groups_remove(c->db, name, c->wall_ms, e) ||
        !note_event(c, "group.removed", name, e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_GROUPS;
    *data_out = answer_removed(name);
    return true;
}

static const struct admin_entry entries[] = {{"group.add", run_add, false, false},
                                             {"group.set", run_set, false, false},
                                             {"group.remove", run_remove, false, false}};
const struct admin_noun admin_groups = {entries, countof(entries)};
