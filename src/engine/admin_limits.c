/* Operations on limits beside those of servers: set and remove. One object says what a limit is
 * for: a group, a campaign, a credential (API key), a mailbox provider, or a server with a mailbox
 * provider. */
#include "base/alloc.h"
#include "engine/admin_parts.h"
#include "feedback/provider.h"
#include "fleet/fleet.h"
#include "store/campaign_edit.h"
#include "store/groups.h"
#include "store/keys.h"
#include "store/limits.h"
#include "store/servers.h"

#include <stdio.h>
#include <stdlib.h>

#define LIMIT_MOST 1000000000

static const char *const known[] = {
    "group",    "campaign", "credential", "provider", "server", "per_second", "per_minute",
    "per_hour", "per_day",  "per_month",  "calendar", "spread", NULL};

static bool word_spread(const char *s, void *at)
{
    return spread_parse(s, at);
}

#define COUNT(label, member)                                                                       \
    {                                                                                              \
        .name = label, .kind = FIELD_COUNT, .offset = offsetof(struct limits, member),             \
        .max = LIMIT_MOST                                                                          \
    }

static const struct field_spec specs[] = {
    COUNT("per_second", per_second),
    COUNT("per_minute", per_minute),
    COUNT("per_hour", per_hour),
    COUNT("per_day", per_day),
    COUNT("per_month", per_month),
    {.name = "calendar",
     .kind = FIELD_ZONE,
     .offset = offsetof(struct limits, calendar),
     .max = 100},
    {.name = "spread",
     .kind = FIELD_WORD,
     .offset = offsetof(struct limits, spread),
     .word = word_spread,
     .words = "asap, even"},
};

/* ---- what it is for */

static bool of_group(struct admin_context *c, const char *name, struct limit_row *l, struct err *e)
{
    struct group *g = NULL;
    if (!groups_get(c->db, name, &g, e))
        return false;
    l->kind = LIMIT_GROUP;
    l->num = g->num;
    group_free(&g);
    return true;
}

static bool of_campaign(struct admin_context *c, const char *name, struct limit_row *l,
                        struct err *e)
{
    l->kind = LIMIT_CAMPAIGN;
    return limits_num_of(c->db, LIMITS_OF_CAMPAIGN, name, &l->num, e);
}

static bool of_credential(struct admin_context *c, const char *name, struct limit_row *l,
                          struct err *e)
{
    l->kind = LIMIT_CREDENTIAL;
    return limits_num_of(c->db, LIMITS_OF_CREDENTIAL, name, &l->num, e);
}

static bool of_server(struct admin_context *c, const char *name, struct limit_row *l, struct err *e)
{
    l->kind = LIMIT_SERVER_PROVIDER;
    return limits_num_of(c->db, LIMITS_OF_SERVER, name, &l->num, e);
}

static bool read_provider(const char *name, struct limit_row *l, struct err *e)
{
    if (!provider_known(providers_builtin(), str_of(name)))
        return err_set(e, ERR_NOT_FOUND,
                       "provider: \"%.60s\" is no mailbox provider of rules/providers.yaml, nor "
                       "`other`",
                       name);
    snprintf(l->provider, sizeof l->provider, "%s", name);
    return true;
}

static bool read_subject(struct admin_context *c, json_t *args, struct limit_row *l, struct err *e)
{
    static const struct {
        const char *field;
        bool (*read)(struct admin_context *c, const char *name, struct limit_row *l, struct err *e);
    } kinds[] = {{"group", of_group},
                 {"campaign", of_campaign},
                 {"credential", of_credential},
                 {"server", of_server}};
    const char *name = NULL, *provider = NULL;
    size_t n = 0;
    if (!args_text(args, "provider", 100, &provider, e))
        return false;
    if (provider) {
        l->kind = LIMIT_PROVIDER;
        if (!read_provider(provider, l, e))
            return false;
    }
    for (size_t i = 0; i < countof(kinds); i++) {
        if (!args_text(args, kinds[i].field, 4096, &name, e))
            return false;
        if (!name)
            continue;
        if (!kinds[i].read(c, name, l, e))
            return err_prefix(e, "%s", kinds[i].field);
        n++;
    }
    bool pair = l->kind == LIMIT_SERVER_PROVIDER;
    if (n > 1 || (n == 0 && !provider) || (n == 1 && pair != (provider != NULL)))
        return err_set(e, ERR_INVALID,
                       "a limit is for one of group, campaign, credential, provider, or for server "
                       "and provider together (a server's own limits are set with server set)");
    return true;
}

/* ---- operations */

/* What the limit says until now: only what is named changes. */
static bool read_present(struct admin_context *c, struct limit_row *l, struct err *e)
{
    struct limit_row *rows = NULL;
    size_t n = 0;
    if (!limits_load(c->db, &rows, &n, e))
        return false;
    for (size_t i = 0; i < n; i++)
        if (rows[i].kind == l->kind && rows[i].num == l->num &&
            !strcmp(rows[i].provider, l->provider)) {
            l->limits = rows[i].limits;
            l->limits.calendar = alloc_copy(rows[i].limits.calendar);
        }
    limits_free_rows(rows, n);
    return true;
}

static bool is_empty(const struct limits *l)
{
    return !l->per_second && !l->per_minute && !l->per_hour && !l->per_day && !l->per_month;
}

static bool answer(struct admin_context *c, const struct limit_row *l, const char *kind,
                   json_t **data_out, struct err *e)
{
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    *data_out =
        json_pack("{s:s, s:s?}", "kind", kind, "provider", *l->provider ? l->provider : NULL);
    return note_event(c, "limit.changed", kind, e);
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    struct limit_row l = {0};
    if (!args_known(args, known, e) || !read_subject(c, args, &l, e) || !read_present(c, &l, e))
        return false;
    bool ok = specs_read(args, specs, countof(specs), &l.limits, e);
    if (ok && is_empty(&l.limits))
        ok = err_set(e, ERR_INVALID,
                     "name at least one of per_second, per_minute, per_hour, per_day, per_month "
                     "(or remove the limit)");
    ok = ok && limits_set(c->db, &l, c->wall_ms, e) &&
         answer(c, &l, limit_kind_name((enum limit_kind)l.kind), data_out, e);
    free(l.limits.calendar);
    return ok;
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    struct limit_row l = {0};
    return args_known(args, known, e) && read_subject(c, args, &l, e) &&
           limits_remove(c->db, l.kind, l.num, l.provider, e) &&
           answer(c, &l, limit_kind_name((enum limit_kind)l.kind), data_out, e);
}

static const struct admin_entry entries[] = {{"limit.set", run_set, false, false},
                                             {"limit.remove", run_remove, false, false}};
const struct admin_noun admin_limits = {entries, countof(entries)};
