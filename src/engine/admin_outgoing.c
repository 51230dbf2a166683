/* See admin_outgoing.h. A body over 64 KB is in the spool, synced, before its row is written. */
#include "engine/admin_outgoing.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "model/server.h"
#include "store/accept.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/keys.h"
#include "store/outbox.h"
#include "store/spool.h"
#include "store/suppression.h"
#include "store/suppression_filter.h"

bool outgoing_group(struct admin_context *c, const char *name, uint32_t *num_out, struct err *e)
{
    struct group *g = NULL;
    *num_out = 0;
    if (!name)
        return true;
    if (!groups_get(c->db, name, &g, e))
        return false;
    *num_out = g->num;
    group_free(&g);
    return true;
}

static bool refuse_suppressed(struct admin_context *c, const char *key, struct err *e)
{
    struct suppression s;
    bool found = false;
    char since[40];
    if (!suppression_filter_may(c->suppressible, str_of(key)))
        return true;
    struct arena *a = arena_new(1u << 16);
    bool ok = suppression_check(c->db, str_of(key), a, &s, &found, e);
    if (ok && found) {
        clock_format(s.since, since);
        ok = err_set(e, ERR_REFUSED,
                     "to: %s is suppressed (" STR_F " since %s); `suppression remove` lifts that",
                     key, STR_A(s.reason), since);
    }
    arena_free(&a);
    return ok;
}

static unsigned facts_of(const struct composed *m)
{
    bool needs_utf8 = m->facts.needs_utf8 || m->to.needs_utf8 || m->from.needs_utf8;
    return (m->facts.is_8bit ? 1u : 0u) | (needs_utf8 ? 2u : 0u) |
           (m->facts.has_leading_dot ? 4u : 0u);
}

/* Mails are made side by side and stored in any order: one that came a little earlier than others
 * that are claimed already would be passed over, were it due before them. */
static int64_t due_of(const struct admin_context *c, const struct composed *m, uint64_t id)
{
    int64_t due = MAX(m->due, c->wall_ms);
    if (!c->places)
        return due;
    const struct outbox_place *place = &c->places[m->lane];
    /* A body that was spooled first has an id that is older than those of others. */
    return MAX(due, place->due + (id <= place->id));
}

static bool write_rows(struct admin_context *c, const struct composed *whole, struct accepted *a,
                       struct outgoing_body *shared, struct err *e)
{
    struct str body = buf_str(&whole->mail);
    if (shared && shared->of) {
        a->body_of = shared->of;
    } else if (body.n > SPOOL_FROM) {
        if (whole->spooled_id != a->id && !spool_write(c->spool_dir, a->id, body, e))
            return false;
    } else {
        a->body = body;
    }
    if (!accept_message(c->db, a, e))
        return false;
    if (shared && !shared->of)
        shared->of = a->id;
    c->changed.bits |= ADMIN_CHANGED_QUEUE;
    return true;
}

bool outgoing_store(struct admin_context *c, struct composed *m, uint32_t credential_num,
                    struct outgoing_body *shared, uint64_t *id, struct err *e)
{
    if (!*id)
        *id = m->spooled_id ? m->spooled_id : ids_next(c->ids, c->wall_ms);
    struct composed *whole = shared ? shared->mail : m;
    if (!shared || !shared->of)
        composed_name(whole, *id);
    struct accepted a = {.id = *id,
                         .lane = m->lane,
                         .from = str_from(m->from.text, m->from.n),
                         .rcpt = str_from(m->to.text, m->to.n),
                         .rcpt_key = str_of(m->key),
                         .header_from = str_of(m->header_from),
                         .subject = str_of(m->subject),
                         .message_id = str_of(whole->message_id),
                         .facts = facts_of(m),
                         .tags = m->tags,
                         .metadata = m->metadata,
                         .dsn = m->dsn,
                         .size = whole->mail.n,
                         .credential_num = credential_num,
                         .expires_at = m->expires_at,
                         .created_at = c->wall_ms,
                         .send_at = m->due,
                         .due = due_of(c, m, *id)};
    if (m->group_num)
        a.group_num = m->group_num;
    else if (!outgoing_group(c, m->group, &a.group_num, e))
        return false;
    return refuse_suppressed(c, m->key, e) && write_rows(c, whole, &a, shared, e);
}

json_t *outgoing_answer(const struct composed *m, uint64_t id, bool is_test, struct err *e)
{
    char text[24];
    codec_id_format("msg", id, text);
    json_t *j = json_pack("{s:s, s:s}", "id", text, "message_id", m->message_id);
    if (j && is_test)
        json_object_set_new(j, "test", json_true());
    if (!j)
        (void)err_set(e, ERR_INVALID, "Message-ID: is not valid UTF-8");
    return j;
}

bool outgoing_post(struct admin_context *c, const struct outgoing *o, uint64_t id,
                   json_t **data_out, struct err *e)
{
    struct composed m;
    uint32_t credential_num = 0;
    bool ok = compose_mail(o, c->wall_ms, &m, e) &&
              keys_num_of_actor(c->db, c->actor, &credential_num, e) &&
              outgoing_store(c, &m, credential_num, NULL, &id, e) &&
              (*data_out = outgoing_answer(&m, id, false, e)) != NULL;
    composed_free(&m);
    return ok;
}
