/* Operations on messages that are there: cancel, retry, move. New ones come in by submitting.c. */
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/admin_outgoing.h"
#include "engine/admin_parts.h"
#include "store/accept.h"

#include <stdlib.h>

static const char *const only_id[] = {"id", NULL};

static bool find(struct admin_context *c, json_t *args, const char *const *known, uint64_t *id_out,
                 struct standing *st, struct err *e)
{
    const char *text = NULL;
    if (!args_known(args, known, e) || !args_need(args, "id", 40, &text, e))
        return false;
    if (!codec_id_parse("msg", str_of(text), id_out))
        return err_set(e, ERR_INVALID, "id: \"%s\" is no message id; one looks like msg_0abc...",
                       text);
    if (!admin_standing(c, *id_out, st, e))
        return false;
    return st->found || err_set(e, ERR_NOT_FOUND, "message \"%s\": there is none", text);
}

/* In a lease of core's: only core can end it, or go on with it. */
static bool is_at_work(const struct admin_context *c, uint64_t id, const struct standing *st)
{
    return st->leased_now ||
           (st->in_queue && c->is_at_work && c->is_at_work(c->is_at_work_arg, id));
}

static bool run_cancel(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    uint64_t id = 0;
    struct standing st;
    if (!find(c, args, only_id, &id, &st, e))
        return false;
    bool at_work = is_at_work(c, id, &st);
    if (message_state_is_final(st.state))
        return err_set(e, ERR_CONFLICT, "message: it is %s, which cannot be cancelled",
                       message_state_name(st.state));
    if (at_work)
        changed_message(c, id);
    else if (!accept_cancel(c->db, id, &st, c->wall_ms, "cancelled by the user", e))
        return false;
    *data_out = json_pack("{s:s, s:s}", "id", json_string_value(json_object_get(args, "id")),
                          "state", at_work ? "cancelling" : "cancelled");
    return true;
}

static bool run_retry(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    uint64_t id = 0;
    struct standing st;
    if (!find(c, args, only_id, &id, &st, e))
        return false;
    if (!message_state_is_final(st.state))
        return err_set(e, ERR_CONFLICT, "message: it is waiting or being sent already");
    if (st.state == MESSAGE_SENT)
        return err_set(e, ERR_CONFLICT, "message: it was sent; send a new one instead");
    st.expires_at = 0; /* the user wants it whatever time it is */
    if (!accept_again(c->db, id, &st, c->wall_ms, "asked for by the user", e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_QUEUE;
    if (st.campaign_num)
        changed_campaign(c, st.campaign_num);
    *data_out = json_pack("{s:s, s:s}", "id", json_string_value(json_object_get(args, "id")),
                          "state", "queued");
    return true;
}

/* Another group for one that waits; core hears it for one that it has in memory. What is on its way
 * to a server already may still leave by it. */
static bool run_move(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    (void)tail;
    static const char *const known[] = {"id", "group", NULL};
    const char *group = NULL;
    struct standing st;
    uint64_t id = 0;
    uint32_t group_num = 0;
    if (!find(c, args, known, &id, &st, e) || !args_need(args, "group", 4096, &group, e) ||
        !outgoing_group(c, group, &group_num, e))
        return false;
    if (!st.single)
        return err_set(e, ERR_CONFLICT,
                       "message: it is of a campaign, whose group holds for all of its messages");
    if (message_state_is_final(st.state))
        return err_set(e, ERR_CONFLICT, "message: it is %s, so no group sends it any more",
                       message_state_name(st.state));
    if (!accept_move(c->db, id, group_num, e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_MOVED;
    c->changed.moved_id = id;
    c->changed.moved_group = group_num;
    *data_out = json_pack("{s:s, s:s}", "id", json_string_value(json_object_get(args, "id")),
                          "group", group);
    return true;
}

static const struct admin_entry entries[] = {{"message.move", run_move, false, false},
                                             {"message.cancel", run_cancel, false, false},
                                             {"message.retry", run_retry, false, false}};
const struct admin_noun admin_messages = {entries, countof(entries)};
