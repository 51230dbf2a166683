/* Operations on campaigns but their start: create, remove, pause, resume, cancel, retry-failed.
 * A pause or a cancel is one flag: messages on their way look at it before their dot. */
#include "base/alloc.h"
#include "engine/admin_outgoing.h"
#include "engine/admin_parts.h"
#include "model/campaign.h"
#include "store/accept.h"
#include "store/campaign_edit.h"
#include "store/ids.h"
#include "store/lists.h"
#include "store/reports.h"
#include "store/templates.h"

#include <stdlib.h>

#define RETRY_ROWS 25 /* the clock is read after as many */

static bool answer_campaign(struct admin_context *c, const char *name, json_t **data_out,
                            struct err *e)
{
    return report_campaign(c->db, name, NULL, data_out, e);
}

/* ---- create ---- */

static bool find_parts(struct admin_context *c, json_t *args, struct campaign *cmp, struct err *e)
{
    const char *list = NULL, *template = NULL, *group = NULL;
    struct contact_list l;
    struct stored_template *t = NULL;
    if (!args_need(args, "list", 4096, &list, e) ||
        !args_need(args, "template", 4096, &template, e) ||
        !args_text(args, "group", 4096, &group, e) || !lists_get(c->db, list, &l, e) ||
        !templates_get(c->db, template, &t, e))
        return false;
    cmp->list_id = l.id;
    cmp->template_id = t->id;
    templates_free(&t);
    return outgoing_group(c, group, &cmp->group_num, e);
}

static bool read_lane(json_t *args, struct campaign *cmp, struct err *e)
{
    const char *stream = NULL;
    cmp->lane = LANE_BULK;
    if (!args_text(args, "stream", 40, &stream, e))
        return false;
    if (stream && (!lane_parse(stream, &cmp->lane) || cmp->lane == LANE_TRANSACTIONAL))
        return err_set(e, ERR_INVALID, "stream: \"%s\" is none of bulk, priority", stream);
    return true;
}

static bool read_mailbox(json_t *args, const char *field, char **out, struct err *e)
{
    const char *s = NULL;
    if (!args_text(args, field, 600, &s, e) || (s && !mailbox_check(field, s, e)))
        return false;
    *out = alloc_copy(s);
    return true;
}

static bool create(struct admin_context *c, json_t *args, struct campaign *cmp, struct err *e)
{
    if (!find_parts(c, args, cmp, e) || !read_lane(args, cmp, e) ||
        !read_mailbox(args, "from", &cmp->from, e) ||
        !read_mailbox(args, "reply_to", &cmp->reply_to, e) || !args_tags(args, &cmp->tags, e) ||
        !args_time(args, "deadline", &cmp->deadline, e))
        return false;
    if (cmp->deadline && cmp->deadline <= c->wall_ms)
        return err_set(e, ERR_INVALID, "deadline: is in the past");
    return campaign_edit_add(c->db, cmp, e);
}

static bool run_create(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    static const char *const known[] = {"name",     "list",  "template", "from",
                                        "reply_to", "group", "stream",   "deadline",
                                        "tags",     "tag",   NULL};
    const char *name = NULL;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e))
        return false;
    struct campaign *cmp = alloc_one(struct campaign);
    cmp->name = alloc_copy(name);
    cmp->id = ids_next(c->ids, c->wall_ms);
    cmp->created_at = c->wall_ms;
    bool ok = create(c, args, cmp, e) && note_event(c, "campaign.created", name, e) &&
              answer_campaign(c, name, data_out, e);
    campaign_free(&cmp);
    return ok;
}

/* ---- states ---- */

static bool get(struct admin_context *c, json_t *args, const char *const *known,
                struct campaign **out, struct err *e)
{
    const char *name = NULL;
    return args_known(args, known, e) && args_need(args, "name", 4096, &name, e) &&
           campaign_edit_get(c->db, name, out, e);
}

static const char *const only_name[] = {"name", NULL};

/* One that is in the state already is no error: asking twice is the same. */
static bool move(struct admin_context *c, json_t *args, unsigned from, enum campaign_state to,
                 const char *kind, const char *why, json_t **data_out, struct err *e)
{
    struct campaign *cmp = NULL;
    if (!get(c, args, only_name, &cmp, e))
        return false;
    bool ok = true;
    if (cmp->state != to && !(from & 1u << cmp->state))
        ok = err_set(e, ERR_CONFLICT, "campaign \"%s\": it is %s, so it cannot become %s",
                     cmp->name, campaign_state_name(cmp->state), campaign_state_name(to));
    if (ok && cmp->state != to) {
        int64_t over = to == CAMPAIGN_CANCELLED ? c->wall_ms : 0;
        ok = campaign_edit_state(c->db, cmp->num, to, why, over, e) &&
             note_event(c, kind, cmp->name, e);
        changed_campaign(c, cmp->num);
    }
    ok = ok && answer_campaign(c, cmp->name, data_out, e);
    campaign_free(&cmp);
    return ok;
}

static bool run_pause(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    return move(c, args, 1u << CAMPAIGN_RUNNING, CAMPAIGN_PAUSED, "campaign.paused",
                "paused by the user", data_out, e);
}

static bool run_resume(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    return move(c, args, 1u << CAMPAIGN_PAUSED, CAMPAIGN_RUNNING, "campaign.resumed", NULL,
                data_out, e);
}

static bool run_cancel(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    return move(c, args,
                1u << CAMPAIGN_DRAFT | 1u << CAMPAIGN_SCHEDULED | 1u << CAMPAIGN_RUNNING |
                    1u << CAMPAIGN_PAUSED,
                CAMPAIGN_CANCELLED, "campaign.cancelled", "cancelled by the user", data_out, e);
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_known(args, only_name, e) || !args_need(args, "name", 4096, &name, e) ||
        !campaign_edit_remove(c->db, name, e) || !note_event(c, "campaign.removed", name, e))
        return false;
    *data_out = answer_removed(name);
    return true;
}

/* ---- retry-failed ---- */

static bool queue_again(struct admin_context *c, const uint64_t *ids, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        struct standing st;
        if (!admin_standing(c, ids[i], &st, e) ||
            !accept_again(c->db, ids[i], &st, c->wall_ms, "asked for by the user", e))
            return false;
    }
    return true;
}

/* *after: the place to go on from, 0 at the end. */
static bool retry_rows(struct admin_context *c, uint32_t num, unsigned states, uint64_t *after,
                       size_t *queued_out, struct err *e)
{
    do {
        uint64_t ids[RETRY_ROWS];
        size_t n = 0;
        if (!accept_over(c->db, num, states, *after, RETRY_ROWS, ids, &n, after, e) ||
            !queue_again(c, ids, n, e))
            return false;
        *queued_out += n;
    } while (*after && !time_is_over(c));
    return true;
}

/* Failed, expired and softly bounced messages; uncertain ones only by name, because they may have
 * arrived. In bites: `after` of the answer, while it is no null, goes into the next call. */
static bool run_retry(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    struct campaign *cmp = NULL;
    uint64_t after = 0;
    size_t n = 0;
    bool uncertain = false;
    static const char *const known[] = {"name", "after", "uncertain", NULL};
    if (!get(c, args, known, &cmp, e))
        return false;
    unsigned states = 1u << MESSAGE_FAILED | 1u << MESSAGE_EXPIRED | 1u << MESSAGE_BOUNCED;
    bool ok = args_count(args, "after", 0, 0, INT64_MAX, &after, e) &&
              args_bool(args, "uncertain", false, &uncertain, e);
    if (ok && (cmp->state == CAMPAIGN_DRAFT || cmp->state == CAMPAIGN_CANCELLED))
        ok = err_set(e, ERR_CONFLICT, "campaign \"%s\": it is %s", cmp->name,
                     campaign_state_name(cmp->state));
    if (ok && cmp->deadline && cmp->deadline <= c->wall_ms)
        ok = err_set(e, ERR_CONFLICT, "campaign \"%s\": its deadline has passed", cmp->name);
    if (uncertain)
        states |= 1u << MESSAGE_UNCERTAIN;
    ok = ok && retry_rows(c, cmp->num, states, &after, &n, e);
    if (ok && n) {
        changed_campaign(c, cmp->num);
        c->changed.bits |= ADMIN_CHANGED_QUEUE;
    }
    if (ok)
        *data_out = json_pack("{s:s, s:I, s:o}", "name", cmp->name, "queued", (json_int_t)n,
                              "after", after ? json_integer((json_int_t)after) : json_null());
    campaign_free(&cmp);
    return ok;
}

static const struct admin_entry entries[] = {
    {"campaign.create", run_create, false, false},
    {"campaign.remove", run_remove, false, false},
    {"campaign.pause", run_pause, false, false},
    {"campaign.resume", run_resume, false, false},
    {"campaign.cancel", run_cancel, false, false},
    {"campaign.retry_failed", run_retry, false, true},
};
const struct admin_noun admin_campaigns = {entries, countof(entries)};
