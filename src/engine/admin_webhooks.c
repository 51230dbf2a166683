/* Operations on webhooks: add, set, rotate, remove, resend. A secret is shown once, in the answer
 * of add and rotate. Whether a URL may be asked is looked at by the reactor before
 * (hooks_allow_call) and again with every delivery. `test` is the thread's (hooks.c). */
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "engine/hooks_rules.h"
#include "model/hook.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/reports.h"
#include "store/servers.h"
#include "store/webhook_event.h"
#include "store/webhooks.h"

#include <stdlib.h>

#define OVERLAP_MS     (INT64_C(24) * 3600000)
#define OVERLAP_MS_MAX (INT64_C(30) * 24 * 3600000)

/* ---- filters ---- */

struct filter {
    struct admin_context *c;
    const char *field;
    struct buf lines;
};

static bool add_line(struct filter *f, const char *text, struct err *e)
{
    return (f->lines.n == 0 || buf_addc(&f->lines, '\n')) && buf_adds(&f->lines, text)
               ? true
               : err_set(e, ERR_TOO_BIG, "%s: over %d bytes in all", f->field, WEBHOOK_FILTERS_MAX);
}

static bool check_event(const char *pattern, struct err *e)
{
    const char *nearest = NULL;
    size_t best = 12;
    for (size_t i = 0; hook_name_at(i); i++) {
        const char *name = hook_name_at(i);
        if (hook_pattern_has(str_of(pattern), str_of(name)))
            return true;
        if (word_distance(pattern, name) < best) {
            best = word_distance(pattern, name);
            nearest = name;
        }
    }
    return err_set(e, ERR_INVALID,
                   "events: \"%.60s\" is no event that is told; did you mean %s? message.*, "
                   "campaign.* and the like name all of a kind",
                   pattern, nearest ? nearest : "message.bounced");
}

static bool add_event(void *arg, const char *text, struct err *e)
{
    return check_event(text, e) && add_line(arg, text, e);
}

static bool add_server(void *arg, const char *text, struct err *e)
{
    struct filter *f = arg;
    struct server *s = NULL;
    if (!servers_get(f->c->db, NULL, text, &s, e))
        return false;
    server_free(&s);
    return add_line(f, text, e);
}

static bool add_group(void *arg, const char *text, struct err *e)
{
    struct filter *f = arg;
    struct group *g = NULL;
    if (!groups_get(f->c->db, text, &g, e))
        return false;
    group_free(&g);
    return add_line(f, text, e);
}

static bool add_tag(void *arg, const char *text, struct err *e)
{
    return tag_check("tags", text, e) && add_line(arg, text, e);
}

/* Given, a filter replaces the one before; null and [] are no filter. */
static bool read_filter(struct admin_context *c, json_t *args, const char *field, char **to,
                        bool (*each)(void *arg, const char *text, struct err *e), struct err *e)
{
    struct filter f = {.c = c, .field = field};
    if (!json_object_get(args, field))
        return true;
    buf_init(&f.lines, WEBHOOK_FILTERS_MAX);
    bool ok = args_each(args, field, 200, each, &f, e);
    if (ok) {
        free(*to);
        *to = f.lines.n ? str_dup(buf_str(&f.lines)) : NULL;
    }
    buf_free(&f.lines);
    return ok;
}

static bool read_filters(struct admin_context *c, json_t *args, struct webhook *w, struct err *e)
{
    return read_filter(c, args, "events", &w->events, add_event, e) &&
           read_filter(c, args, "servers", &w->servers, add_server, e) &&
           read_filter(c, args, "groups", &w->groups, add_group, e) &&
           read_filter(c, args, "tags", &w->tags, add_tag, e);
}

/* ---- add, set ---- */

static bool read_settings(struct admin_context *c, json_t *args, struct webhook *w, struct err *e)
{
    const char *url = NULL;
    if (!args_text(args, "url", WEBHOOK_URL_MAX, &url, e) || !read_filters(c, args, w, e) ||
        !args_bool(args, "allow_private", w->allow_private, &w->allow_private, e))
        return false;
    if (url) {
        free(w->url);
        w->url = alloc_copy(url);
    }
    return w->url || err_set(e, ERR_INVALID, "the URL: is needed (url)");
}

static bool read_secret(json_t *args, struct secret **out, struct err *e)
{
    const char *text = NULL;
    if (!args_text(args, "secret", 200, &text, e))
        return false;
    if (text)
        return hooks_secret_parse(str_of(text), out, e);
    *out = hooks_secret_make();
    return true;
}

static void show_secret(const struct secret *key, json_t *data)
{
    struct buf b;
    buf_init(&b, 200);
    if (hooks_secret_format(key, &b))
        json_object_set_new(data, "secret", json_string(buf_cstr(&b)));
    if (b.n)
        secret_wipe(b.p, b.n);
    buf_free(&b);
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    static const char *const known[] = {"name", "url",           "events", "servers", "groups",
                                        "tags", "allow_private", "secret", NULL};
    const char *name = NULL;
    (void)tail;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e))
        return false;
    struct webhook *w = webhook_new();
    w->id = ids_next(c->ids, c->wall_ms);
    w->name = alloc_copy(name);
    w->created_at = w->updated_at = w->state_at = c->wall_ms;
    bool ok = read_settings(c, args, w, e) && read_secret(args, &w->secret, e) &&
              webhooks_create(c->db, c->secrets, w, e) && note_event(c, "webhook.added", name, e) &&
              report_webhook(c->db, name, data_out, e);
    if (ok)
        show_secret(w->secret, *data_out);
    c->changed.bits |= ADMIN_CHANGED_WEBHOOKS;
    webhook_free(&w);
    return ok;
}

/* Active again: what waited is tried from the start of its schedule. */
static bool read_state(struct admin_context *c, json_t *args, struct webhook *w, struct err *e)
{
    const char *state = NULL;
    if (!args_text(args, "state", 20, &state, e))
        return false;
    if (!state)
        return true;
    bool active = str_is(str_of(state), webhook_state_name(WEBHOOK_ACTIVE));
    if (!active && !str_is(str_of(state), webhook_state_name(WEBHOOK_PAUSED)))
        return err_set(e, ERR_INVALID, "state: \"%.20s\" is none of active, paused", state);
    enum webhook_state to = active ? WEBHOOK_ACTIVE : WEBHOOK_PAUSED;
    if (w->state == to)
        return true;
    w->state = to;
    w->state_at = c->wall_ms;
    free(w->state_reason);
    w->state_reason = active ? NULL : alloc_copy("by the user");
    return !active || webhook_wait_restart(c->db, w->id, c->wall_ms, e);
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    static const char *const known[] = {"name", "url",           "events", "servers", "groups",
                                        "tags", "allow_private", "state",  NULL};
    const char *name = NULL;
    struct webhook *w = NULL;
    (void)tail;
    if (!args_known(args, known, e) || !args_need(args, "name", 4096, &name, e) ||
        !webhooks_get(c->db, NULL, name, &w, e))
        return false;
    w->updated_at = MAX(c->wall_ms, w->updated_at + 1);
    bool ok = read_settings(c, args, w, e) && read_state(c, args, w, e) &&
              webhooks_update(c->db, c->secrets, w, e) &&
              note_event(c, "webhook.changed", w->name, e) &&
              report_webhook(c->db, w->name, data_out, e);
    c->changed.bits |= ADMIN_CHANGED_WEBHOOKS;
    webhook_free(&w);
    return ok;
}

/* ---- rotate ---- */

static bool rotate(struct admin_context *c, json_t *args, struct webhook *w, struct err *e)
{
    const char *text = NULL;
    int64_t overlap = OVERLAP_MS;
    if (!args_text(args, "overlap", 40, &text, e))
        return false;
    if (text && (!codec_duration_parse(str_of(text), &overlap) || overlap > OVERLAP_MS_MAX))
        return err_set(e, ERR_INVALID,
                       "overlap: \"%.40s\" is no duration of at most 30 days, like 24h", text);
    secret_free(&w->old_secret);
    w->old_secret = w->secret;
    w->secret = NULL;
    w->old_until = c->wall_ms + overlap;
    w->updated_at = MAX(c->wall_ms, w->updated_at + 1);
    return read_secret(args, &w->secret, e) && webhooks_update(c->db, c->secrets, w, e) &&
           note_event(c, "webhook.rotated", w->name, e);
}

static bool run_rotate(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    const char *name = NULL;
    struct webhook *w = NULL;
    (void)tail;
    if (!args_known(args, (const char *const[]){"name", "overlap", "secret", NULL}, e) ||
        !args_need(args, "name", 4096, &name, e) || !webhooks_get(c->db, c->secrets, name, &w, e))
        return false;
    bool ok = rotate(c, args, w, e) && report_webhook(c->db, name, data_out, e);
    if (ok)
        show_secret(w->secret, *data_out);
    c->changed.bits |= ADMIN_CHANGED_WEBHOOKS;
    webhook_free(&w);
    return ok;
}

/* ---- remove ---- */

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    const char *name = NULL;
    struct webhook *w = NULL;
    (void)tail;
    if (!args_only(args, "name", &name, e) || !webhooks_get(c->db, NULL, name, &w, e))
        return false;
    bool ok = webhooks_remove(c->db, w->id, e) && note_event(c, "webhook.removed", w->name, e);
    c->changed.bits |= ADMIN_CHANGED_WEBHOOKS;
    webhook_free(&w);
    if (ok)
        *data_out = answer_removed(name);
    return ok;
}

/* ---- resend ---- */

static bool resend_one(struct admin_context *c, const struct webhook *w, const char *event,
                       uint64_t *n_out, struct err *e)
{
    struct hook_ref ref;
    struct hook_facts facts;
    struct campaign_view view = {0};
    json_t *body = NULL;
    bool found = false;
    if (!hook_ref_parse(event, &ref))
        return err_set(e, ERR_INVALID, "event: \"%.60s\" is no id of an event (evt_...)", event);
    if (!webhook_event_make(c->db, &ref, &view, &facts, &body, &found, e))
        return false;
    json_decref(body);
    *n_out = 1;
    return found ? webhook_wait_ask(c->db, w->id, event, c->wall_ms, e)
                 : err_set(e, ERR_NOT_FOUND, "event: there is no %s any more", event);
}

static bool resend(struct admin_context *c, json_t *args, const struct webhook *w, uint64_t *n_out,
                   struct err *e)
{
    const char *event = NULL;
    int64_t since = 0, until = 0;
    bool failed = false;
    if (!args_text(args, "event", WEBHOOK_EVENT_MAX - 1, &event, e) ||
        !args_time(args, "since", &since, e) || !args_time(args, "until", &until, e) ||
        !args_bool(args, "failed", false, &failed, e))
        return false;
    if (event && (since || until || failed))
        return err_set(e, ERR_INVALID, "event: one event needs no since, until or failed");
    if (event)
        return resend_one(c, w, event, n_out, e);
    if (!since)
        return err_set(e, ERR_INVALID, "event or since: which deliveries are to be sent again?");
    return webhook_wait_range(c->db, w->id, since, until ? until : INT64_MAX, failed, c->wall_ms,
                              n_out, e);
}

static bool run_resend(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    static const char *const known[] = {"name", "event", "since", "until", "failed", NULL};
    const char *name = NULL;
    struct webhook *w = NULL;
    uint64_t n = 0;
    (void)tail;
    if (!args_known(args, known, e) || !args_need(args, "name", 4096, &name, e) ||
        !webhooks_get(c->db, NULL, name, &w, e))
        return false;
    bool ok = resend(c, args, w, &n, e);
    if (ok)
        *data_out = json_pack("{s:s, s:I}", "name", w->name, "queued", (json_int_t)n);
    c->changed.bits |= ADMIN_CHANGED_WEBHOOKS;
    webhook_free(&w);
    return ok;
}

static const struct admin_entry entries[] = {{"webhook.add", run_add, false, false},
                                             {"webhook.set", run_set, false, false},
                                             {"webhook.rotate", run_rotate, false, false},
                                             {"webhook.remove", run_remove, false, false},
                                             {"webhook.resend", run_resend, false, false}};
const struct admin_noun admin_webhooks = {entries, countof(entries)};
