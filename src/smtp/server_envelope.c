/* MAIL and RCPT (RFC 5321, 3.3 and 4.1.2) with the parameters of SIZE (RFC 1870), 8BITMIME (6152),
 * SMTPUTF8 (6531), DSN (3461) and AUTH (4954, read and passed over). Whether an address makes sense
 * is the driver's to say; here its path is cut out, and nothing that could break a line passes. */
#include "smtp/server_parts.h"

#include <stdio.h>

enum { PATH_MAX_BYTES = 320 };

/* ---- the path ---- */

/* The end of "<...>": a quoted local part may hold a '>'. */
static ptrdiff_t path_end(struct str s)
{
    bool quoted = false;

    for (size_t i = 1; i < s.n; i++) {
        if (quoted && s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (s.p[i] == '>' && !quoted)
            return (ptrdiff_t)i;
    }
    return -1;
}

static bool is_clean(struct str path)
{
    bool quoted = false;

    for (size_t i = 0; i < path.n; i++) {
        unsigned char ch = (unsigned char)path.p[i];
        if (ch < 0x20 || ch == 0x7f || (!quoted && (ch == ' ' || ch == '<' || ch == ',')))
            return false;
        if (quoted && ch == '\\')
            i++;
        else if (ch == '"')
            quoted = !quoted;
    }
    return !quoted && path.n <= PATH_MAX_BYTES && str_is_utf8(path);
}

/* Takes "FROM:<path>" off the front of *args; some clients put a blank behind the colon. Answers
 * what is wrong. */
static bool take_path(struct smtp_server *s, const char *word, struct str *args, struct str *path)
{
    struct str w = str_of(word);
    const char *verb = w.p[0] == 'F' ? "MAIL" : "RCPT";

    if (!str_istarts(*args, w)) {
        server_refuse(s, 501, "5.5.4", "%s %s<address> is the form", verb, word);
        return false;
    }
    struct str rest = str_trim(str_from_index(*args, w.n));
    ptrdiff_t end = rest.n > 0 && rest.p[0] == '<' ? path_end(rest) : -1;
    if (end < 0 || ((size_t)end + 1 < rest.n && rest.p[end + 1] != ' ')) {
        server_refuse(s, 501, "5.5.4", "%s %s<address> is the form", verb, word);
        return false;
    }
    *path = str_cut(rest, 1, (size_t)end - 1);
    *args = str_from_index(rest, (size_t)end + 1);
    if (path->n > 0 && path->p[0] == '@') {
        server_refuse(s, 553, "5.1.7", "Source routes are not taken here");
        return false;
    }
    if (!is_clean(*path)) {
        server_refuse(s, 553, w.p[0] == 'F' ? "5.1.7" : "5.1.3",
                      "The address has a character that none may have, or is too long");
        return false;
    }
    return true;
}

/* ---- parameters ---- */

static int hex_digit(char ch)
{
    return ascii_isdigit(ch) ? ch - '0' : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* xtext (RFC 3461, 4); lower-case digits are wrong there. The result lies in s->text. */
static bool read_xtext(struct smtp_server *s, struct str x, size_t max, struct str *out)
{
    size_t at = s->text.n;

    for (size_t i = 0; i < x.n; i++) {
        int ch = (unsigned char)x.p[i];
        if (ch == '+') {
            int high = i + 2 < x.n ? hex_digit(x.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(x.p[i + 2]) : -1;
            if (low < 0)
                return false;
            ch = high * 16 + low;
            i += 2;
        }
        if (ch < 0x20 || ch == 0x7f || !buf_addc(&s->text, (char)ch))
            return false; /* a blank may stand encoded, in a quoted local part say */
    }
    *out = str_from(s->text.p + at, s->text.n - at);
    return x.n > 0 && x.n <= max;
}

struct parameter {
    const char *name;
    bool of_rcpt;
    bool (*read)(struct smtp_server *s, struct smtp_server_event *e, struct str value);
};

static bool read_size(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    return str_to_u64(value, UINT64_MAX, &e->size);
}

static bool read_body(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    e->is_8bit = str_iis(value, "8BITMIME");
    return e->is_8bit || str_iis(value, "7BIT");
}

static bool read_utf8(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    e->is_utf8 = true;
    return value.p == NULL;
}

static bool read_ret(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    e->ret = str_iis(value, "FULL") ? STR("FULL") : STR("HDRS");
    return str_iis(value, "FULL") || str_iis(value, "HDRS");
}

static bool read_envid(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    return read_xtext(s, value, 100, &e->envid);
}

/* An AUTH parameter says who a relay thinks wrote this (RFC 4954, 5); the login says it better. */
static bool read_auth(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    struct str ignored;

    return str_is(value, "<>") || read_xtext(s, value, 500, &ignored);
}

static bool read_notify(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    struct str rest = value, word;

    e->notify = value;
    if (str_iis(value, "NEVER"))
        return true;
    while (str_split(&rest, ',', &word))
        if (!str_iis(word, "SUCCESS") && !str_iis(word, "FAILURE") && !str_iis(word, "DELAY"))
            return false;
    return value.n > 0;
}

static bool read_orcpt(struct smtp_server *s, struct smtp_server_event *e, struct str value)
{
    struct str type = STR_NONE, address;
    size_t at = s->text.n;

    if (!str_split(&value, ';', &type) || value.p == NULL)
        return false;
    if (str_iis(type, "rfc822")) {
        buf_adds(&s->text, "rfc822;");
        if (!read_xtext(s, value, 500, &address))
            return false;
    } else if (!str_iis(type, "utf-8") || value.n == 0 || value.n > 500 || !str_is_utf8(value)) {
        return false;
    } else {
        buf_adds(&s->text, "utf-8;");
        buf_addstr(&s->text, value);
    }
    e->orcpt = str_from(s->text.p + at, s->text.n - at);
    return !s->text.overflow;
}

static const struct parameter PARAMETERS[] = {
    {"SIZE", false, read_size},    {"BODY", false, read_body},   {"SMTPUTF8", false, read_utf8},
    {"RET", false, read_ret},      {"ENVID", false, read_envid}, {"AUTH", false, read_auth},
    {"NOTIFY", true, read_notify}, {"ORCPT", true, read_orcpt},
};

static bool take_parameter(struct smtp_server *s, bool of_rcpt, struct str word,
                           struct smtp_server_event *e, unsigned *seen)
{
    struct str value = word, name = STR_NONE;

    str_split(&value, '=', &name);
    for (unsigned i = 0; i < countof(PARAMETERS); i++) {
        const struct parameter *p = &PARAMETERS[i];
        if (p->of_rcpt != of_rcpt || !str_iis(name, p->name))
            continue;
        if (!(*seen & (1u << i)) && p->read(s, e, value)) {
            *seen |= 1u << i;
            return true;
        }
        server_refuse(s, 501, "5.5.4", "%s: a value that it cannot have, or it came twice",
                      p->name);
        return false;
    }
    server_refuse(s, 555, "5.5.4", "A parameter that is not known here");
    return false;
}

static bool take_parameters(struct smtp_server *s, bool of_rcpt, struct str args,
                            struct smtp_server_event *e)
{
    struct str word;
    unsigned seen = 0;

    if (args.n > 0 && !s->esmtp) {
        server_refuse(s, 555, "5.5.4", "Parameters are for those who say EHLO");
        return false;
    }
    /* At once: values point into it. */
    if (args.n > 0 && buf_reserve(&s->text, SERVER_COMMAND_MAX) == NULL)
        return false;
    while (args.n > 0 && str_split(&args, ' ', &word))
        if (word.n > 0 && !take_parameter(s, of_rcpt, word, e, &seen))
            return false;
    return true;
}

/* ---- commands ---- */

void server_mail(struct smtp_server *s, struct str args)
{
    struct smtp_server_event e = {.kind = SMTP_SERVER_MAIL};

    if (!s->greeted)
        server_refuse(s, 503, "5.5.1", "EHLO first");
    else if (s->has_mail)
        server_refuse(s, 503, "5.5.1", "A mail has begun already: RSET to forget it");
    else if (!take_path(s, "FROM:", &args, &e.text) || !take_parameters(s, false, args, &e))
        return;
    else if (e.size > s->cfg.size_max)
        server_say(s, 552, "5.3.4", "Too big: at most %llu bytes are taken",
                   (unsigned long long)s->cfg.size_max);
    else if (!e.is_utf8 && !str_is_ascii(e.text))
        server_refuse(s, 553, "5.6.7", "An address beyond ASCII needs SMTPUTF8");
    else {
        s->has_mail = true;
        s->is_utf8 = e.is_utf8;
        server_push(s, &e);
        server_move(s, SERVER_MAIL_ASKED);
    }
}

void server_rcpt(struct smtp_server *s, struct str args)
{
    struct smtp_server_event e = {.kind = SMTP_SERVER_RCPT};

    if (!s->has_mail || s->body.chunked)
        server_refuse(s, 503, "5.5.1", "MAIL comes before RCPT, and RCPT before the mail");
    else if (!take_path(s, "TO:", &args, &e.text) || !take_parameters(s, true, args, &e))
        return;
    else if (e.text.n == 0)
        server_refuse(s, 553, "5.1.3", "A recipient is needed");
    else if (!s->is_utf8 && !str_is_ascii(e.text))
        server_refuse(s, 553, "5.6.7", "An address beyond ASCII needs SMTPUTF8");
    else if (s->recipients >= s->cfg.recipients_max)
        server_say(s, 452, "4.5.3", "At most %u recipients at once: send the rest as another mail",
                   s->cfg.recipients_max);
    else {
        server_push(s, &e);
        server_move(s, SERVER_RCPT_ASKED);
    }
}
