/* See admin_outgoing.h. A body over 64 KB is in the spool, synced, before its row is written. */
#include "engine/admin_outgoing.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "model/server.h"
#include "store/accept.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/keys.h"
#include "store/spool.h"
#include "store/suppression.h"

#include <stdio.h>

struct making {
    const struct outgoing *o;
    uint64_t id;
    struct addr from, to;
    char message_id[512], header_from[1000], subject[1000];
    struct buf mail;
    struct mime_facts facts;
};

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

/* The sender: as given, else the mail's own From. */
static bool find_sender(struct making *m, struct err *e)
{
    char name[512];
    struct str given = m->o->from, header = STR_NONE;
    if (m->o->raw.n)
        header = mime_field(m->o->raw, "From", m->header_from, sizeof(m->header_from));
    if (!given.n && !header.n)
        return err_set(e, ERR_INVALID, "from: is needed%s",
                       m->o->raw.n ? ": the mail has no From field either" : "");
    if (given.n && !header.n)
        str_copy(given, m->header_from, sizeof(m->header_from));
    if (!addr_parse_mailbox(given.n ? given : header, &m->from, name, sizeof(name), e))
        return err_prefix(e, "from");
    return true;
}

static void find_message_id(struct making *m)
{
    char id[24], scratch[512];
    struct str own = STR_NONE;
    if (m->o->raw.n)
        own = str_trim(mime_field(m->o->raw, "Message-ID", scratch, sizeof(scratch)));
    if (own.n > 2 && own.p[0] == '<' && own.p[own.n - 1] == '>') {
        str_copy(str_cut(own, 1, own.n - 2), m->message_id, sizeof(m->message_id));
        return;
    }
    codec_id_format("msg", m->id, id);
    snprintf(m->message_id, sizeof(m->message_id), "%s@" STR_F, id, STR_A(addr_domain(&m->from)));
}

static bool normalise(struct admin_context *c, struct making *m, struct err *e)
{
    char scratch[16];
    struct mime_header extra[1] = {{STR("From"), m->o->from}};
    bool has_from = mime_field(m->o->raw, "From", scratch, sizeof(scratch)).n > 0;
    struct str subject = mime_field(m->o->raw, "Subject", m->subject, sizeof(m->subject));
    m->subject[MIN(subject.n, sizeof(m->subject) - 1)] = '\0';
    return mime_normalise(m->o->raw, str_of(m->message_id), c->wall_ms, extra, has_from ? 0 : 1,
                          &m->mail, &m->facts, e);
}

static bool build(struct admin_context *c, struct making *m, struct err *e)
{
    const struct outgoing *o = m->o;
    struct mime_message mime = {.from = o->from,
                                .to = o->to,
                                .reply_to = o->reply_to,
                                .subject = o->subject,
                                .message_id = str_of(m->message_id),
                                .date_ms = c->wall_ms,
                                .text = o->text,
                                .html = o->html,
                                .list_unsubscribe = o->list_unsubscribe,
                                .one_click = o->list_unsubscribe.n > 0,
                                .headers = o->headers,
                                .n_headers = o->n_headers,
                                .boundary_seed = c->random ^ m->id};
    struct buf text;
    buf_init(&text, OUTGOING_MAX);
    bool ok = true;
    if (o->html.n && !o->text.n) {
        ok = mime_text_of_html(o->html, &text) ||
             err_set(e, ERR_TOO_BIG, "html: the text made from it is too large");
        mime.text = buf_str(&text);
    }
    str_copy(o->subject, m->subject, sizeof(m->subject));
    ok = ok && mime_build(&mime, &m->mail, &m->facts, e);
    buf_free(&text);
    return ok;
}

static bool store(struct admin_context *c, struct making *m, const char *key, struct err *e)
{
    struct str body = buf_str(&m->mail);
    struct accepted a = {
        .id = m->id,
        .lane = m->o->lane,
        .group_num = m->o->group_num,
        .from = str_from(m->from.text, m->from.n),
        .rcpt = str_from(m->to.text, m->to.n),
        .rcpt_key = str_of(key),
        .header_from = str_of(m->header_from),
        .subject = str_of(m->subject),
        .message_id = str_of(m->message_id),
        .facts = (m->facts.is_8bit ? 1u : 0u) |
                 (m->facts.needs_utf8 || m->to.needs_utf8 || m->from.needs_utf8 ? 2u : 0u) |
                 (m->facts.has_leading_dot ? 4u : 0u),
        .body = body,
        .tags = m->o->tags,
        .size = body.n,
        .expires_at = m->o->expires_at,
        .created_at = c->wall_ms,
        .due = c->wall_ms};
    if (body.n > SPOOL_FROM) {
        if (!spool_write(c->spool_dir, m->id, body, e))
            return false;
        a.body = STR_NONE;
    }
    if (!keys_num_of_actor(c->db, c->actor, &a.credential_num, e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_QUEUE;
    return accept_message(c->db, &a, e);
}

static bool post(struct admin_context *c, struct making *m, struct err *e)
{
    char key[ADDR_MAX + 1], name[512];
    if (m->o->raw.n > OUTGOING_MAX || m->o->html.n + m->o->text.n > OUTGOING_MAX)
        return err_set(e, ERR_TOO_BIG, "message: over %u MB", OUTGOING_MAX >> 20);
    if (!addr_parse_mailbox(m->o->to, &m->to, name, sizeof(name), e))
        return err_prefix(e, "to");
    if (!m->to.n)
        return err_set(e, ERR_INVALID, "to: is empty");
    if (m->o->expires_at && m->o->expires_at <= c->wall_ms)
        return err_set(e, ERR_INVALID, "expires_at: is in the past");
    addr_key(&m->to, key);
    if (!find_sender(m, e) || !refuse_suppressed(c, key, e))
        return false;
    find_message_id(m);
    bool ok = m->o->raw.n ? normalise(c, m, e) : build(c, m, e);
    return ok && (m->o->is_test || store(c, m, key, e));
}

bool outgoing_post(struct admin_context *c, const struct outgoing *o, json_t **data_out,
                   struct err *e)
{
    struct making m = {.o = o, .id = o->id ? o->id : ids_next(c->ids, c->wall_ms)};
    char id[24];
    buf_init(&m.mail, OUTGOING_MAX + (8u << 20));
    bool ok = post(c, &m, e);
    buf_free(&m.mail);
    if (!ok)
        return false;
    codec_id_format("msg", m.id, id);
    *data_out = json_pack("{s:s, s:s}", "id", id, "message_id", m.message_id);
    if (o->is_test)
        json_object_set_new(*data_out, "test", json_true());
    return *data_out != NULL || err_set(e, ERR_INVALID, "Message-ID: is not valid UTF-8");
}
