/* Operations on API keys: create, revoke. The key itself is shown once, in the answer of create. */
#include "base/alloc.h"
#include "base/secret.h"
#include "engine/admin_parts.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/keys.h"

#include <stdlib.h>

/* What a key may be allowed; api/auth.c asks for these words. */
static const char *const scopes[] = {"messages:send",
                                     "messages:read",
                                     "campaigns:read",
                                     "campaigns:write",
                                     "contacts:read",
                                     "contacts:write",
                                     "templates:read",
                                     "templates:write",
                                     "servers:read",
                                     "servers:write",
                                     "suppressions:read",
                                     "suppressions:write",
                                     "reports:read",
                                     "webhooks:read",
                                     "webhooks:write",
                                     "keys:write",
                                     "users:write",
                                     "audit:read",
                                     "system:write",
                                     "*",
                                     NULL};

struct making {
    struct admin_context *c;
    struct api_key *key;
};

static bool add_scope(void *arg, const char *scope, struct err *e)
{
    struct api_key *k = ((struct making *)arg)->key;
    bool is_known = false;
    for (const char *const *s = scopes; *s; s++)
        is_known = is_known || !strcmp(*s, scope);
    if (!is_known)
        return err_set(e, ERR_INVALID,
                       "scope: \"%.60s\" is none of messages:send, messages:read, campaigns:, "
                       "contacts:, templates:, servers:, suppressions:, webhooks: (each read or "
                       "write), reports:read, keys:write, users:write, audit:read, system:write, *",
                       scope);
    if (k->n_scopes >= KEYS_SCOPES_MAX)
        return err_set(e, ERR_INVALID, "scope: over %d scopes", KEYS_SCOPES_MAX);
    k->scopes = alloc_resize(k->scopes, (k->n_scopes + 1) * sizeof(char *));
    k->scopes[k->n_scopes++] = alloc_copy(scope);
    return true;
}

static bool add_group(void *arg, const char *name, struct err *e)
{
    struct making *m = arg;
    struct api_key *k = m->key;
    struct group *g = NULL;
    if (k->n_groups >= KEYS_GROUPS_MAX)
        return err_set(e, ERR_INVALID, "group: over %d groups", KEYS_GROUPS_MAX);
    if (!groups_get(m->c->db, name, &g, e))
        return false;
    group_free(&g);
    k->groups = alloc_resize(k->groups, (k->n_groups + 1) * sizeof(char *));
    k->groups[k->n_groups++] = alloc_copy(name);
    return true;
}

static bool run_create(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    static const char *const known[] = {"name", "scope",      "scopes", "group",
                                        "test", "expires_at", NULL};
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e))
        return false;
    struct making m = {.c = c, .key = keys_new()};
    char text[KEYS_TEXT_MAX];
    m.key->id = ids_next(c->ids, c->wall_ms);
    m.key->name = alloc_copy(name);
    m.key->created_at = c->wall_ms;
    bool ok = args_each(args, "scope", 60, add_scope, &m, e) &&
              args_each(args, "scopes", 60, add_scope, &m, e) &&
              args_each(args, "group", 4096, add_group, &m, e) &&
              args_bool(args, "test", false, &m.key->test, e) &&
              args_time(args, "expires_at", &m.key->expires_at, e);
    if (ok && m.key->expires_at && m.key->expires_at <= c->wall_ms)
        ok = err_set(e, ERR_INVALID, "expires_at: is in the past");
    if (ok && !m.key->n_scopes)
        ok = err_set(e, ERR_INVALID, "scope: at least one is needed, for example messages:send");
    ok = ok && keys_create(c->db, m.key, text, e) && note_event(c, "key.created", name, e);
    if (ok)
        *data_out = json_pack("{s:s, s:s, s:s}", "name", name, "key", text, "hint", m.key->hint);
    secret_wipe(text, sizeof(text));
    keys_free(&m.key);
    return ok;
}

static bool run_revoke(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_only(args, "name", &name, e) || !keys_revoke(c->db, name, c->wall_ms, e) ||
        !note_event(c, "key.revoked", name, e))
        return false;
    *data_out = json_pack("{s:s, s:b}", "name", name, "revoked", 1);
    return true;
}

static const struct admin_entry entries[] = {{"key.create", run_create, false, false},
                                             {"key.revoke", run_revoke, false, false}};
const struct admin_noun admin_keys = {entries, countof(entries)};
