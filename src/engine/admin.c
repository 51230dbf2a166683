/* The door: finds an operation by name, runs it, collects its answer.
 * Holds the list of nouns and the set of changes; decides nothing itself. */
#include "engine/admin.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "engine/admin_parts.h"
#include "engine/auditing.h"
#include "feedback/provider.h"
#include "store/accept.h"
#include "store/db.h"
#include "store/events.h"
#include "store/ids.h"

#include <stdio.h>
#include <stdlib.h>

#define COMMIT_US 2000 /* for the end of a bite: sums, memberships, pages to the log */

static const struct admin_noun *const nouns[] = {
    &admin_servers,     &admin_groups,     &admin_lists,           &admin_contacts,
    &admin_templates,   &admin_campaigns,  &admin_campaign_starts, &admin_suppressions,
    &admin_messages,    &admin_keys,       &admin_system,          &admin_warmups,
    &admin_quarantines, &admin_routes,     &admin_reputation,      &admin_failovers,
    &admin_limits,      &admin_domains,    &admin_users,           &admin_credentials,
    &admin_webhooks,    &admin_server_rows};

static const struct admin_entry *find(const char *op)
{
    for (size_t i = 0; i < countof(nouns); i++)
        for (size_t k = 0; k < nouns[i]->n; k++)
            if (!strcmp(nouns[i]->entries[k].op, op))
                return &nouns[i]->entries[k];
    return NULL;
}

bool admin_has(const char *op)
{
    return find(op) != NULL;
}

bool admin_reads_only(const char *op)
{
    const struct admin_entry *entry = find(op);
    return entry && entry->reads_only;
}

bool admin_in_bites(const char *op)
{
    return strcmp(op, "people.import_rows") == 0 || strcmp(op, "server.import_rows") == 0;
}

bool time_is_over(const struct admin_context *c)
{
    return c->until_us && clock_boot_us() + COMMIT_US >= c->until_us;
}

static void forget(struct admin_context *c)
{
    if (c->kept)
        c->kept->free(c->kept);
    c->kept = NULL;
}

void admin_kept_free(struct admin_context *c)
{
    forget(c);
    json_decref(c->so_far);
    c->so_far = NULL;
}

/* The answer is that of a real run; what it wrote is undone before anybody sees it. */
static bool run_dry(struct admin_context *c, const struct admin_entry *entry, json_t *args,
                    struct str tail, struct admin_answer *a)
{
    if (!db_exec(c->db, "SAVEPOINT admin_dry", &a->error))
        return false;
    c->is_dry = true;
    bool ok = entry->run(c, args, tail, &a->data, &a->error);
    c->is_dry = false;
    struct err e;
    if (!db_exec(c->db, "ROLLBACK TO admin_dry; RELEASE admin_dry", &e)) {
        a->error = e;
        ok = false;
    }
    admin_changes_free(&c->changed);
    if (ok && json_is_object(a->data))
        json_object_set_new(a->data, "dry_run", json_true());
    return ok;
}

void admin_execute(struct admin_context *c, const char *op, json_t *args, struct str tail,
                   struct admin_answer *a)
{
    *a = (struct admin_answer){.ok = false};
    c->again = false;
    const struct admin_entry *entry = find(op);
    if (!entry) {
        err_set(&a->error, ERR_NOT_FOUND, "%.60s: there is no such operation", op);
        return;
    }
    json_t *none = NULL;
    if (!json_is_object(args))
        args = none = json_object();
    bool dry = false, is_read = true;
    if (entry->can_dry_run) {
        is_read = args_bool(args, "dry_run", false, &dry, &a->error);
        json_object_del(args, "dry_run");
    }
    if (dry)
        a->ok = run_dry(c, entry, args, tail, a);
    else
        a->ok = is_read && entry->run(c, args, tail, &a->data, &a->error);
    bool is_done = a->ok && !c->again && !entry->reads_only;
    if (is_done && !(entry->can_dry_run && json_is_true(json_object_get(a->data, "dry_run"))))
        a->ok = auditing_note(c, op, args, &a->error);
    if (!a->ok) {
        json_decref(a->data);
        a->data = NULL;
    }
    if (!a->ok || !c->again)
        forget(c);
    json_decref(none);
}

bool admin_run_part(struct admin_context *c, const char *op, json_t *args, json_t **data_out,
                    struct err *e)
{
    const struct admin_entry *entry = find(op);
    check(entry && !admin_in_bites(op));
    return entry->run(c, args, STR_NONE, data_out, e);
}

const char *actor_name(const struct admin_context *c, char out[ACTOR_MAX])
{
    const char *actor = c->actor ? c->actor : "";
    const char *colon = strchr(actor, ':');
    if (!strcmp(actor, "public"))
        return "a recipient";
    if (!*actor)
        return "the user";
    snprintf(out, ACTOR_MAX, "%.*s%s%.90s", (int)(colon ? colon - actor : 0), actor,
             colon ? " " : "", colon ? colon + 1 : actor);
    return out;
}

bool note_event(struct admin_context *c, const char *kind, const char *subject, struct err *e)
{
    return note_event_with(c, kind, subject, NULL, e);
}

bool note_event_with(struct admin_context *c, const char *kind, const char *subject, json_t *data,
                     struct err *e)
{
    char reason[200], actor[ACTOR_MAX];
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);
    snprintf(reason, sizeof(reason), "by %s", actor_name(c, actor));
    struct event ev = {.id = ids_next(c->ids, c->wall_ms),
                       .at = c->wall_ms,
                       .kind = str_of(kind),
                       .subject = str_of(subject),
                       .reason = str_of(reason),
                       .data = str_of(text)};
    bool ok = events_append(c->db, &ev, e);
    free(text);
    return ok;
}

json_t *answer_removed(const char *name)
{
    return json_pack("{s:s, s:b}", "name", name, "removed", 1);
}

static size_t room_for_one_more(size_t n, size_t cap)
{
    return n < cap ? cap : MAX((size_t)8, cap * 2);
}

bool admin_standing(struct admin_context *c, uint64_t id, struct standing *out, struct err *e)
{
    if (!accept_standing(c->db, id, out, e))
        return false;
    struct str key = str_of(out->key);
    ptrdiff_t at = str_rchr(key, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(key, (size_t)at + 1);
    out->provider =
        provider_name(providers_builtin(), provider_of_domain(providers_builtin(), domain));
    return true;
}

void changed_campaign(struct admin_context *c, uint32_t num)
{
    struct admin_changes *ch = &c->changed;
    ch->bits |= ADMIN_CHANGED_CAMPAIGNS;
    ch->cap_campaigns = room_for_one_more(ch->n_campaigns, ch->cap_campaigns);
    ch->campaigns = alloc_resize(ch->campaigns, ch->cap_campaigns * sizeof(*ch->campaigns));
    ch->campaigns[ch->n_campaigns++] = num;
}

void changed_suppressed(struct admin_context *c, const char *key)
{
    struct admin_changes *ch = &c->changed;
    ch->bits |= ADMIN_CHANGED_SUPPRESSED;
    ch->cap_suppressed = room_for_one_more(ch->n_suppressed, ch->cap_suppressed);
    ch->suppressed = alloc_resize(ch->suppressed, ch->cap_suppressed * sizeof(*ch->suppressed));
    ch->suppressed[ch->n_suppressed++] = alloc_copy(key);
}

void changed_message(struct admin_context *c, uint64_t id)
{
    struct admin_changes *ch = &c->changed;
    ch->bits |= ADMIN_CHANGED_MESSAGES;
    ch->cap_messages = room_for_one_more(ch->n_messages, ch->cap_messages);
    ch->messages = alloc_resize(ch->messages, ch->cap_messages * sizeof(*ch->messages));
    ch->messages[ch->n_messages++] = id;
}

void changed_left(struct admin_context *c, uint64_t list_id, uint64_t contact_id)
{
    struct admin_changes *ch = &c->changed;
    ch->bits |= ADMIN_CHANGED_LEFT;
    ch->cap_left = room_for_one_more(ch->n_left, ch->cap_left);
    ch->left = alloc_resize(ch->left, ch->cap_left * sizeof(*ch->left));
    ch->left[ch->n_left++] = (struct admin_left){list_id, contact_id};
}

void admin_changes_free(struct admin_changes *c)
{
    for (size_t i = 0; i < c->n_suppressed; i++)
        free(c->suppressed[i]);
    free(c->suppressed);
    free(c->campaigns);
    free(c->messages);
    free(c->left);
    *c = (struct admin_changes){0};
}
