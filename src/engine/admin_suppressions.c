/* Operations on suppressions: add, import, remove, revert; and leaving by a link.
 * Every address that becomes suppressed here is told to the reactor, so that mail on its way to it
 * is withdrawn before its dot. */
#include "base/alloc.h"
#include "base/arena.h"
#include "engine/admin_parts.h"
#include "engine/revert.h"
#include "mail/addr.h"
#include "model/server.h"
#include "store/accept.h"
#include "store/events.h"
#include "store/ids.h"
#include "store/lists.h"
#include "store/names.h"
#include "store/people.h"
#include "store/reports.h"
#include "store/servers.h"
#include "store/suppression.h"
#include "store/suspects.h"

#include <stdio.h>

#define IMPORT_MAX 5000

static bool read_reason(json_t *args, const char **out, struct err *e)
{
    if (!args_text(args, "reason", 40, out, e))
        return false;
    if (!*out)
        *out = "manual";
    if (!suppression_reason_ok(str_of(*out)))
        return err_set(e, ERR_INVALID,
                       "reason: \"%s\" is none of hard_bounce, complaint, unsubscribe, manual, "
                       "soft_bounces, rule",
                       *out);
    return true;
}

static bool suppress(struct admin_context *c, const char *key, const char *reason,
                     const char *source, bool *added_out, struct err *e)
{
    struct suppression s = {.address = str_of(key),
                            .reason = str_of(reason),
                            .source = str_of(source),
                            .since = c->wall_ms};
    if (!suppression_add(c->db, &s, added_out, e))
        return false;
    changed_suppressed(c, key);
    return true;
}

/* Of single ones: an import tells of itself as a whole. */
static bool tell_added(struct admin_context *c, const char *key, const char *reason,
                       const char *source, struct err *e)
{
    return note_event_with(c, "suppression.created", key,
                           json_pack("{s:s, s:s}", "why", reason, "source", source), e);
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *address = NULL, *reason = NULL, *source = NULL;
    char key[ADDR_MAX + 1];
    bool added = false;
    static const char *const known[] = {"address", "reason", "source", NULL};
    return args_known(args, known, e) && args_need(args, "address", 600, &address, e) &&
           address_key("address", address, key, e) && read_reason(args, &reason, e) &&
           args_text(args, "source", 200, &source, e) &&
           suppress(c, key, reason, source ? source : "user", &added, e) &&
           (!added || tell_added(c, key, reason, source ? source : "user", e)) &&
           report_suppression(c->db, key, data_out, e);
}

struct importing {
    struct admin_context *c;
    const char *reason, *source;
    json_int_t rows, imported, skipped, invalid;
    json_t *why;
};

static bool import_one(void *arg, const char *text, struct err *e)
{
    struct importing *im = arg;
    char key[ADDR_MAX + 1];
    bool added = false;
    struct err bad;
    if (im->rows++ >= IMPORT_MAX)
        return err_set(e, ERR_INVALID, "addresses: over %d in one call", IMPORT_MAX);
    if (!address_key("address", text, key, &bad)) {
        im->invalid++;
        json_array_append_new(im->why, json_pack("[I, s]", im->rows - 1, bad.text));
        return true;
    }
    if (!suppress(im->c, key, im->reason, im->source, &added, e))
        return false;
    if (added)
        im->imported++;
    else
        im->skipped++;
    return true;
}

static bool run_import_rows(struct admin_context *c, json_t *args, struct str tail,
                            json_t **data_out, struct err *e)
{
    (void)tail;
    struct importing im = {.c = c, .why = json_array()};
    static const char *const known[] = {"addresses", "reason", "source", NULL};
    bool ok = args_known(args, known, e) && read_reason(args, &im.reason, e) &&
              args_text(args, "source", 200, &im.source, e);
    im.source = im.source ? im.source : "import";
    ok = ok && args_each(args, "addresses", 600, import_one, &im, e);
    if (!ok) {
        json_decref(im.why);
        return false;
    }
    *data_out = json_pack("{s:I, s:I, s:I, s:I, s:o}", "rows", im.rows, "imported", im.imported,
                          "skipped", im.skipped, "invalid", im.invalid, "why", im.why);
    return true;
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *address = NULL;
    char key[ADDR_MAX + 1];
    if (!args_known(args, (const char *const[]){"address", NULL}, e) ||
        !args_need(args, "address", 600, &address, e) || !address_key("address", address, key, e) ||
        !suppression_remove(c->db, str_of(key), e) || !note_event(c, "suppression.deleted", key, e))
        return false;
    *data_out = json_pack("{s:s, s:b}", "address", key, "removed", 1);
    return true;
}

/* ---- revert ---- */

/* Nothing is written: what a run would take back. */
static bool count_only(struct admin_context *c, const struct server *s, int64_t since,
                       json_t **data_out, struct err *e)
{
    uint64_t suppressed = 0, bounced = 0;
    if (!suspects_count(c->db, s->num, since, &suppressed, &bounced, e))
        return false;
    *data_out =
        json_pack("{s:s, s:I, s:I, s:b, s:b}", "server", s->name, "reverted",
                  (json_int_t)suppressed, "queued", (json_int_t)bounced, "more", 0, "dry_run", 1);
    return true;
}

static bool note_reverted(struct admin_context *c, const char *server, const struct revert *r,
                          struct err *e)
{
    char reason[300], actor[ACTOR_MAX];
    if (!r->reverted)
        return true;
    snprintf(reason, sizeof reason, "%zu addresses, %zu messages queued again, by %s", r->reverted,
             r->queued, actor_name(c, actor));
    struct event ev = {.id = ids_next(c->ids, c->wall_ms),
                       .at = c->wall_ms,
                       .kind = STR("suppression.reverted"),
                       .subject = str_of(server),
                       .reason = str_of(reason)};
    return events_append(c->db, &ev, e);
}

static bool revert_some(struct admin_context *c, const struct server *s, int64_t since,
                        json_t **data_out, struct err *e)
{
    struct revert r = {.server_num = s->num,
                       .since = since,
                       .now = c->wall_ms,
                       .why = "its hard bounce was taken back"};
    size_t reverted = 0, queued = 0;
    do {
        if (!revert_bite(c->db, &r, e))
            return false;
        reverted += r.reverted;
        queued += r.queued;
    } while (r.more && !time_is_over(c));
    r.reverted = reverted;
    r.queued = queued;
    if (!note_reverted(c, s->name, &r, e))
        return false;
    if (r.queued) /* finished campaigns run again */
        c->changed.bits |= ADMIN_CHANGED_QUEUE | ADMIN_CHANGED_CAMPAIGNS;
    *data_out = json_pack("{s:s, s:I, s:I, s:b}", "server", s->name, "reverted",
                          (json_int_t)r.reverted, "queued", (json_int_t)r.queued, "more", r.more);
    return true;
}

/* In bites: `more` in the answer asks for another call. */
static bool run_revert(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    int64_t since = 0;
    bool dry = false;
    struct server *s = NULL;
    if (!args_known(args, (const char *const[]){"server", "since", "dry_run", NULL}, e) ||
        !args_need(args, "server", 4096, &name, e) || !args_time(args, "since", &since, e) ||
        !args_bool(args, "dry_run", false, &dry, e) || !servers_get(c->db, NULL, name, &s, e))
        return false;
    bool ok = dry ? count_only(c, s, since, data_out, e) : revert_some(c, s, since, data_out, e);
    server_free(&s);
    return ok;
}

/* ---- leaving by a link ---- */

static bool leave_list(struct admin_context *c, uint64_t list_id, uint64_t contact_id,
                       bool *changed_out, struct err *e)
{
    if (!lists_unsubscribe(c->db, list_id, contact_id, c->wall_ms, changed_out, e))
        return false;
    changed_left(c, list_id, contact_id);
    return true;
}

static bool person_key(struct admin_context *c, uint64_t contact_id, char *key, struct err *e)
{
    struct person p;
    bool found = false;
    struct arena *a = arena_new(1u << 20);
    bool ok = people_get(c->db, contact_id, a, &p, &found, e);
    bool is_there = ok && found && str_copy(p.key, key, ADDR_MAX + 1);
    arena_free(&a);
    if (ok && !is_there)
        return err_set(e, ERR_NOT_FOUND, "contact: it is not there any more");
    return ok;
}

static bool tell_left(struct admin_context *c, const char *key, uint64_t list_id, bool left,
                      bool suppressed, struct err *e)
{
    char name[NAMES_MAX + 1] = "";
    if ((left || suppressed) && list_id && !lists_name(c->db, list_id, name, e))
        return false;
    json_t *list = *name ? json_string(name) : json_null();
    bool ok = (!left && !suppressed) ||
              note_event_with(c, "contact.unsubscribed", key,
                              json_pack("{s:O, s:b}", "list", list, "all", suppressed), e);
    json_decref(list);
    return ok && (!suppressed || tell_added(c, key, "unsubscribe", "recipient", e));
}

/* The page has read the token. list_id 0: no list, so the address is suppressed for all. */
static bool run_unsubscribe(struct admin_context *c, json_t *args, struct str tail,
                            json_t **data_out, struct err *e)
{
    (void)tail;
    uint64_t list = 0, contact = 0, message = 0;
    bool everything = false, changed = false;
    char key[ADDR_MAX + 1];
    struct standing st = {0};
    bool suppressed = false, left = false;
    static const char *const known[] = {"list_id", "contact_id", "message_id", "everything", NULL};
    if (!args_known(args, known, e) || !args_count(args, "list_id", 0, 0, INT64_MAX, &list, e) ||
        !args_count(args, "contact_id", 0, 0, INT64_MAX, &contact, e) ||
        !args_count(args, "message_id", 0, 0, INT64_MAX, &message, e) ||
        !args_bool(args, "everything", false, &everything, e))
        return false;
    if (message && !accept_standing(c->db, message, &st, e))
        return false;
    if (contact ? !person_key(c, contact, key, e)
                : !str_copy(str_of(st.key), key, sizeof(key)) || !key[0])
        return contact ? false : err_set(e, ERR_NOT_FOUND, "message: it is not there any more");
    if (list && contact && !leave_list(c, list, contact, &left, e))
        return false;
    if ((everything || !list) && !suppress(c, key, "unsubscribe", "recipient", &suppressed, e))
        return false;
    changed = left || suppressed;
    if (!tell_left(c, key, list, left, suppressed, e))
        return false;
    if (changed && st.found && st.campaign_num && !accept_unsubscribed(c->db, st.campaign_num, e))
        return false;
    *data_out = json_pack("{s:s, s:b}", "address", key, "changed", changed);
    return true;
}

static const struct admin_entry entries[] = {
    {"suppression.add", run_add, false, false},
    {"suppression.import_rows", run_import_rows, false, true},
    {"suppression.remove", run_remove, false, false},
    {"suppression.revert", run_revert, false, false},
    {"public.unsubscribe", run_unsubscribe, false, false},
};
const struct admin_noun admin_suppressions = {entries, countof(entries)};
