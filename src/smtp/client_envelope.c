/* MAIL and RCPT lines of a message with the parameters that the server offers, and the reasons
 * why a server cannot take a message at all. No byte of an envelope can end a command line early:
 * what has a control character is refused, DSN values go out as xtext (RFC 3461, 4). */
#include "smtp/client_parts.h"

#include <inttypes.h>

enum { ADDRESS_MAX = 1000, PARAMETER_MAX = 500 };

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch < 0x20 || ch == 0x7f)
            return true;
    }
    return false;
}

static bool is_keywords(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_isalpha(s.p[i]) && s.p[i] != ',')
            return false;
    return s.n <= PARAMETER_MAX;
}

static bool wants_utf8(const struct smtp_envelope *e)
{
    return e->needs_utf8 || !str_is_ascii(e->from) || !str_is_ascii(e->rcpt);
}

const char *envelope_unable(const struct smtp_client *c, const struct smtp_envelope *e)
{
    if (e->rcpt.n == 0 || has_control(e->from) || has_control(e->rcpt))
        return "an address of the message cannot be written in an SMTP command";
    if (e->from.n > ADDRESS_MAX || e->rcpt.n > ADDRESS_MAX)
        return "an address of the message is too long";
    if (!is_keywords(e->dsn_ret) || !is_keywords(e->dsn_notify) || e->dsn_envid.n > PARAMETER_MAX ||
        e->dsn_orcpt.n > PARAMETER_MAX + strlen("rfc822;"))
        return "a DSN parameter of the message is malformed or too long";
    if (e->is_8bit && !c->caps.eightbit)
        return "the message has 8-bit bytes and the server does not offer 8BITMIME";
    if (wants_utf8(e) && !c->caps.utf8)
        return "the message needs SMTPUTF8, which the server does not offer";
    if (e->require_tls && (!c->caps.require_tls || !c->tls_active))
        return "the message needs REQUIRETLS, which the server does not offer";
    if (c->caps.size_max > 0 && e->body.n > c->caps.size_max)
        return "the message is larger than the server takes (SIZE)";
    return NULL;
}

static void add_xtext(struct buf *b, struct str s)
{
    static const char HEX[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch > ' ' && ch < 0x7f && ch != '+' && ch != '=') {
            buf_addc(b, (char)ch);
        } else {
            buf_addc(b, '+');
            buf_addc(b, HEX[ch >> 4]);
            buf_addc(b, HEX[ch & 15]);
        }
    }
}

static void add_number(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    buf_add(b, digits + at, sizeof digits - at);
}

void envelope_add_mail(struct smtp_client *c, const struct smtp_envelope *e)
{
    struct buf *b = &c->commands;
    size_t at = b->n;

    buf_adds(b, "MAIL FROM:<");
    buf_addstr(b, e->from);
    buf_addc(b, '>');
    if (c->caps.size) {
        buf_adds(b, " SIZE=");
        add_number(b, e->body.n);
    }
    if (e->is_8bit)
        buf_adds(b, " BODY=8BITMIME");
    if (wants_utf8(e))
        buf_adds(b, " SMTPUTF8");
    if (e->require_tls)
        buf_adds(b, " REQUIRETLS");
    if (c->caps.dsn && e->dsn_ret.n > 0) {
        buf_adds(b, " RET=");
        buf_addstr(b, e->dsn_ret);
    }
    if (c->caps.dsn && e->dsn_envid.n > 0) {
        buf_adds(b, " ENVID=");
        add_xtext(b, e->dsn_envid);
    }
    output_command_built(c, at);
}

/* "TYPE;address". One of RFC 6533 that is beyond ASCII needs SMTPUTF8 and is passed over without.
 */
static void add_orcpt(struct smtp_client *c, const struct smtp_envelope *e)
{
    struct str address = e->dsn_orcpt, type;

    if (!str_split(&address, ';', &type) || address.n == 0)
        return;
    bool is_utf8 = str_is(type, "utf-8");
    if (is_utf8 && (has_control(address) || str_chr(address, ' ') >= 0))
        return;
    if (is_utf8 && !str_is_ascii(address) && !wants_utf8(e))
        return;
    buf_adds(&c->commands, " ORCPT=");
    buf_addstr(&c->commands, type);
    buf_addc(&c->commands, ';');
    if (is_utf8)
        buf_addstr(&c->commands, address);
    else
        add_xtext(&c->commands, address);
}

void envelope_add_rcpt(struct smtp_client *c, const struct smtp_envelope *e)
{
    struct buf *b = &c->commands;
    size_t at = b->n;

    buf_adds(b, "RCPT TO:<");
    buf_addstr(b, e->rcpt);
    buf_addc(b, '>');
    if (c->caps.dsn && e->dsn_notify.n > 0) {
        buf_adds(b, " NOTIFY=");
        buf_addstr(b, e->dsn_notify);
    }
    if (c->caps.dsn)
        add_orcpt(c, e);
    output_command_built(c, at);
}
