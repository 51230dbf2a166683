/* See compose.h. Decides nothing about groups, servers or suppression. */
#include "engine/compose.h"

#include "base/check.h"
#include "base/codec.h"

#include <stdio.h>

/* A field's value without the blanks around it, as a C string. */
static struct str field_of(struct str raw, const char *name, char *out, size_t size)
{
    struct str value = mime_field(raw, name, out, size);
    size_t n = MIN(value.n, size - 1);
    if (value.n)
        memmove(out, value.p, n);
    out[n] = '\0';
    return str_from(out, n);
}

/* The sender: as given, else the mail's own From. */
static bool find_sender(const struct outgoing *o, struct composed *m, struct err *e)
{
    char name[512];
    struct str given = o->from, header = STR_NONE;
    if (o->raw.n)
        header = field_of(o->raw, "From", m->header_from, sizeof(m->header_from));
    if (!given.n && !header.n)
        return err_set(e, ERR_INVALID, "from: is needed%s",
                       o->raw.n ? ": the mail has no From field either" : "");
    if (!header.n)
        str_copy(given, m->header_from, sizeof(m->header_from));
    if (!addr_parse_mailbox(given.n ? given : header, &m->from, name, sizeof(name), e))
        return err_prefix(e, "from");
    return true;
}

/* The mail's own, else the message's id at the sender's domain: a stand-in for it, as the id is
 * given when the message is stored. */
static bool find_message_id(const struct outgoing *o, struct composed *m, struct err *e)
{
    char scratch[512], id[24];
    struct str own = STR_NONE;
    if (o->raw.n)
        own = str_trim(mime_field(o->raw, "Message-ID", scratch, sizeof(scratch)));
    if (own.n > 2 && own.p[0] == '<' && own.p[own.n - 1] == '>') {
        str_copy(str_cut(own, 1, own.n - 2), m->message_id, sizeof(m->message_id));
        return str_is_utf8(str_of(m->message_id)) ||
               err_set(e, ERR_INVALID, "Message-ID: is not valid UTF-8");
    }
    codec_id_format("msg", o->seed & INT64_MAX, id);
    snprintf(m->message_id, sizeof(m->message_id), "%s@" STR_F, id, STR_A(addr_domain(&m->from)));
    m->names_id = true;
    return true;
}

void composed_again(const struct composed *m, const struct addr *to, struct composed *out)
{
    *out = *m;
    buf_init(&out->mail, 0);
    out->names_id = false;
    out->to = *to;
    addr_key(to, out->key);
}

void composed_name(struct composed *m, uint64_t id)
{
    char text[24];
    if (!m->names_id)
        return;
    codec_id_format("msg", id, text);
    size_t n = strlen(text);
    ptrdiff_t at = str_find(buf_str(&m->mail), str_of(m->message_id));
    check(at >= 0);
    memcpy(m->mail.p + at, text, n);
    memcpy(m->message_id, text, n);
}

static bool normalise(const struct outgoing *o, int64_t now_ms, struct composed *m, struct err *e)
{
    char scratch[16];
    struct mime_header extra[1] = {{STR("From"), o->from}};
    bool has_from = mime_field(o->raw, "From", scratch, sizeof(scratch)).n > 0;
    (void)field_of(o->raw, "Subject", m->subject, sizeof(m->subject));
    return mime_normalise(o->raw, str_of(m->message_id), now_ms, extra, has_from ? 0 : 1, &m->mail,
                          &m->facts, e);
}

static bool build(const struct outgoing *o, int64_t now_ms, struct composed *m, struct err *e)
{
    struct mime_message mime = {.from = o->from,
                                .to = o->to,
                                .reply_to = o->reply_to,
                                .subject = o->subject,
                                .message_id = str_of(m->message_id),
                                .date_ms = now_ms,
                                .text = o->text.n ? o->text : STR_NONE,
                                .html = o->html.n ? o->html : STR_NONE,
                                .list_unsubscribe = o->list_unsubscribe,
                                .one_click = o->list_unsubscribe.n > 0,
                                .headers = o->headers,
                                .n_headers = o->n_headers,
                                .attachments = o->attachments,
                                .n_attachments = o->n_attachments,
                                .boundary_seed = o->seed};
    str_copy(o->subject, m->subject, sizeof(m->subject));
    return mime_build(&mime, &m->mail, &m->facts, e);
}

static bool check_times(const struct outgoing *o, int64_t now_ms, struct err *e)
{
    if (o->expires_at && o->expires_at <= now_ms)
        return err_set(e, ERR_INVALID, "expires_at: is in the past");
    if (o->send_at > now_ms + SEND_AT_MAX_MS)
        return err_set(e, ERR_INVALID, "send_at: is more than 366 days ahead");
    if (o->expires_at && o->send_at && o->expires_at <= o->send_at)
        return err_set(e, ERR_INVALID, "expires_at: is not after send_at");
    return true;
}

bool compose_mail(const struct outgoing *o, int64_t now_ms, struct composed *m, struct err *e)
{
    char name[512];
    *m = (struct composed){.lane = o->lane,
                           .group = o->group,
                           .group_num = o->group_num,
                           .tags = o->tags,
                           .metadata = o->metadata,
                           .due = MAX(now_ms, o->send_at),
                           .expires_at = o->expires_at};
    buf_init(&m->mail, OUTGOING_MAX + (8u << 20));
    if (o->raw.n > OUTGOING_MAX || o->html.n + o->text.n > OUTGOING_MAX)
        return err_set(e, ERR_TOO_BIG, "message: over %u MB", OUTGOING_MAX >> 20);
    if (!check_times(o, now_ms, e))
        return false;
    if (!addr_parse_mailbox(o->to, &m->to, name, sizeof(name), e))
        return err_prefix(e, "to");
    if (!m->to.n)
        return err_set(e, ERR_INVALID, "to: is empty");
    addr_key(&m->to, m->key);
    if (!find_sender(o, m, e) || !find_message_id(o, m, e))
        return false;
    return o->raw.n ? normalise(o, now_ms, m, e) : build(o, now_ms, m, e);
}

void composed_free(struct composed *m)
{
    buf_free(&m->mail);
}
