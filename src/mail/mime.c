/* Builds a mail from its parts: its header; the body is mime_body.c's. Called by the
 * desks for every message, so the common mail touches the heap only through `out`. Decides nothing
 * about who gets it; DKIM and tracking are done elsewhere. */
#include "mail/mime.h"

#include "mail/header.h"
#include "mail/mime_body.h"

#define NAME_MAX_BYTES 1024

/* ---- header ---- */

/* Blanks for line breaks and controls, so that a merge field with a line break is a name like any
 * other; s may come from a contact. */
static struct str neutralise(struct str s, char *scratch, size_t size)
{
    bool clean = true;
    for (size_t i = 0; i < s.n && clean; i++)
        clean = (unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7F;
    if (clean || s.n > size)
        return s;
    for (size_t i = 0; i < s.n; i++)
        scratch[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F ? ' ' : s.p[i];
    return str_from(scratch, s.n);
}

static bool add_address(struct buf *out, const char *field, struct str value, bool *needs_utf8,
                        struct err *e)
{
    char scratch[4096], name[NAME_MAX_BYTES];
    struct addr a;
    value = neutralise(value, scratch, sizeof(scratch));
    if (!addr_parse_mailbox(value, &a, name, sizeof(name), e))
        return err_prefix(e, "%s", field);
    *needs_utf8 = *needs_utf8 || a.needs_utf8;
    if (!header_add_mailbox(out, str_of(field), str_of(name), &a))
        return err_set(e, ERR_TOO_BIG, "the mail is larger than %zu bytes", out->max);
    return true;
}

/* "<url>" with whatever could end the brackets or the line percent-encoded. */
static bool add_unsubscribe(struct buf *out, struct str url, struct err *e)
{
    static const char digits[] = "0123456789ABCDEF";
    char value[HEADER_LINE_MAX];
    size_t n = 0;
    value[n++] = '<';
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];
        if (n + 4 > sizeof(value) - 20)
            return err_set(e, ERR_INVALID, "List-Unsubscribe: the URL is longer than 900 bytes");
        if (c < 0x20)
            c = ' ';
        if (c > 0x20 && c < 0x7F && !strchr("<>\",", c)) {
            value[n++] = (char)c;
            continue;
        }
        value[n++] = '%';
        value[n++] = digits[c >> 4];
        value[n++] = digits[c & 15];
    }
    value[n++] = '>';
    if (!header_add_token(out, STR("List-Unsubscribe"), str_from(value, n)))
        return err_set(e, ERR_TOO_BIG, "the mail is larger than %zu bytes", out->max);
    return true;
}

static bool add_id_and_date(struct buf *out, struct str id, int64_t date_ms, int offset_min)
{
    char date[HEADER_DATE_SIZE], brackets[256];
    header_date(date_ms, offset_min, date);
    brackets[0] = '<';
    memcpy(brackets + 1, id.p, id.n);
    brackets[id.n + 1] = '>';
    return header_add_token(out, STR("Date"), str_of(date)) &&
           header_add_token(out, STR("Message-ID"), str_from(brackets, id.n + 2));
}

/* A further field must neither be one that every mail has nor repeat one that this mail sets. */
static bool add_extra(struct buf *out, const struct mime_message *m, const struct mime_header *h,
                      bool *needs_utf8, struct err *e)
{
    if (!header_check_extra(h->name, e))
        return false;
    bool twice = (m->reply_to.n && str_iis(h->name, "Reply-To")) ||
                 (m->feedback_id.n && str_iis(h->name, "Feedback-ID")) ||
                 (m->list_unsubscribe.n && (str_iis(h->name, "List-Unsubscribe") ||
                                            str_iis(h->name, "List-Unsubscribe-Post")));
    if (twice)
        return err_set(e, ERR_INVALID, "the header " STR_F " is set by Postfleet for this mail",
                       STR_A(h->name));
    if (str_iis(h->name, "Reply-To") || str_iis(h->name, "Cc") || str_iis(h->name, "Sender")) {
        struct buf flat;
        buf_init(&flat, h->value.n + 1);
        char *p = buf_reserve(&flat, h->value.n);
        struct str list = p ? neutralise(h->value, p, h->value.n) : STR_NONE;
        bool ok = header_add_mailbox_list(out, h->name, list, needs_utf8, e) ||
                  err_prefix(e, STR_F, STR_A(h->name));
        buf_free(&flat);
        return ok;
    }
    return header_add_text(out, h->name, h->value) ||
           err_set(e, ERR_TOO_BIG, "the mail is larger than %zu bytes", out->max);
}

static bool add_header(struct buf *out, const struct mime_message *m, struct mime_facts *facts,
                       struct err *e)
{
    if (!header_check_message_id(m->message_id, e))
        return false;
    if (!add_address(out, "From", m->from, &facts->needs_utf8, e) ||
        !add_address(out, "To", m->to, &facts->needs_utf8, e))
        return false;
    if (m->reply_to.n && !add_address(out, "Reply-To", m->reply_to, &facts->needs_utf8, e))
        return false;
    bool ok = header_add_text(out, STR("Subject"), m->subject) &&
              add_id_and_date(out, m->message_id, m->date_ms, m->date_offset_min);
    if (ok && m->list_unsubscribe.n && !add_unsubscribe(out, m->list_unsubscribe, e))
        return false;
    if (ok && m->list_unsubscribe.n && m->one_click)
        ok = header_add_token(out, STR("List-Unsubscribe-Post"), STR("List-Unsubscribe=One-Click"));
    if (ok && m->feedback_id.n)
        ok = header_add_text(out, STR("Feedback-ID"), m->feedback_id);
    for (size_t i = 0; ok && i < m->n_headers; i++) {
        if (!add_extra(out, m, &m->headers[i], &facts->needs_utf8, e))
            return false;
        facts->has_leading_dot = facts->has_leading_dot || m->headers[i].name.p[0] == '.';
    }
    return (ok && buf_adds(out, "MIME-Version: 1.0\r\n")) ||
           err_set(e, ERR_TOO_BIG, "the mail is larger than %zu bytes", out->max);
}

bool mime_build(const struct mime_message *m, struct buf *out, struct mime_facts *facts,
                struct err *e)
{
    struct mime_facts found = {false, false, false};
    if (!m->text.p && !m->html.p && !m->n_attachments)
        return err_set(e, ERR_INVALID, "the mail has neither text nor HTML");
    if (!add_header(out, m, &found, e) || !mime_add_body(out, m, &found.has_leading_dot, e))
        return false;
    *facts = found;
    return true;
}
