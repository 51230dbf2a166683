/* Operations: a server is taken out by the user's word until a time or until released. What is
 * written here the reactor brings into force (engine/quarantine.c). */
#include "base/codec.h"
#include "base/secret.h"
#include "engine/admin_parts.h"
#include "feedback/provider.h"
#include "model/server.h"
#include "store/cells.h"
#include "store/quarantine.h"
#include "store/servers.h"

#include <stdio.h>

#define FOR_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)

static bool find(struct admin_context *c, json_t *args, const char **name_out, uint16_t *num_out,
                 struct err *e)
{
    struct server *s = NULL;
    if (!args_need(args, "name", 4096, name_out, e) ||
        !servers_get(c->db, c->secrets, *name_out, &s, e))
        return false;
    *num_out = s->num;
    server_free(&s);
    return true;
}

static bool read_for(struct admin_context *c, json_t *args, int64_t *until_out, struct err *e)
{
    const char *text = NULL;
    int64_t ms = 0;
    if (!args_text(args, "for", 40, &text, e))
        return false;
    if (text && (!codec_duration_parse(str_of(text), &ms) || ms < 1000 || ms > FOR_MAX_MS))
        return err_set(e, ERR_INVALID, "for: \"%.40s\" is no duration of 1s to 366d", text);
    *until_out = text ? c->wall_ms + ms : 0;
    return true;
}

static bool run_quarantine(struct admin_context *c, json_t *args, struct str tail,
                           json_t **data_out, struct err *e)
{
    static const char *const known[] = {"name", "reason", "for", NULL};
    const char *name = NULL, *reason = NULL;
    struct quarantine q = {0};
    (void)tail;
    if (!args_known(args, known, e) || !find(c, args, &name, &q.server_num, e) ||
        !args_need(args, "reason", sizeof(q.reason) - 1, &reason, e) ||
        !read_for(c, args, &q.until, e))
        return false;
    snprintf(q.reason, sizeof(q.reason), "%s", reason);
    if (!quarantine_put(c->db, &q, c->wall_ms, e))
        return false;
    *data_out = json_pack("{s:s, s:i, s:s, s:I}", "name", name, "num", (int)q.server_num, "reason",
                          reason, "for_ms", (json_int_t)(q.until ? q.until - c->wall_ms : 0));
    return true;
}

/* The cell of a server for one mailbox provider. */
static bool release_cell(struct admin_context *c, const char *name, uint16_t num,
                         const char *provider, json_t **data_out, struct err *e)
{
    if (!provider_known(providers_builtin(), str_of(provider)))
        return err_set(e, ERR_NOT_FOUND,
                       "provider: \"%.60s\" is no mailbox provider of rules/providers.yaml, nor "
                       "`other`",
                       provider);
    if (!cells_remove(c->db, num, provider, e))
        return false;
    *data_out = json_pack("{s:s, s:i, s:s}", "name", name, "num", (int)num, "provider", provider);
    return true;
}

static bool run_release(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                        struct err *e)
{
    static const char *const known[] = {"name", "provider", NULL};
    const char *name = NULL, *provider = NULL;
    uint16_t num = 0;
    bool was_out = false;
    (void)tail;
    if (!args_known(args, known, e) || !find(c, args, &name, &num, e) ||
        !args_text(args, "provider", 100, &provider, e))
        return false;
    if (provider)
        return release_cell(c, name, num, provider, data_out, e);
    if (!quarantine_remove(c->db, num, &was_out, e))
        return false;
    *data_out =
        json_pack("{s:s, s:i, s:b}", "name", name, "num", (int)num, "was_quarantined", was_out);
    return true;
}

static const struct admin_entry entries[] = {{"server.quarantine", run_quarantine, false, false},
                                             {"server.release", run_release, false, false}};
const struct admin_noun admin_quarantines = {entries, countof(entries)};
