/* Addresses of RFC 5321 4.1.2 with the UTF-8 of RFC 6531 and IDN domains (RFC 5891,
 * non-transitional). Does no DNS and no trimming: what is not an address is refused with the
 * reason. What is accepted holds no control character, no blank outside quotes, and fits in one
 * line of SMTP and of a header. */
#include "mail/addr.h"

#include <idn2.h>

#include "mail/header.h"
#include "mail/utf8.h"

#define LOCAL_MAX 64   /* RFC 5321 4.5.3.1.1 */
#define LABEL_MAX 63   /* RFC 1035 2.3.4 */
#define INPUT_MAX 1024 /* no address needs more before its domain is converted */

static const char atext_specials[] = "!#$%&'*+-/=?^_`{|}~";

static bool is_atext(unsigned char c)
{
    return c >= 0x80 || ascii_isalnum((char)c) || (c && strchr(atext_specials, c));
}

/* No control, no invisible character, well-formed UTF-8. */
static bool check_characters(struct str s, struct err *e)
{
    for (size_t i = 0, length; i < s.n; i += length) {
        uint32_t c = utf8_decode(s.p + i, s.n - i, &length);
        if (c == UTF8_BAD)
            return err_set(e, ERR_INVALID, "address is not UTF-8 at byte %zu", i + 1);
        if (c == '\r' || c == '\n' || c == 0x2028 || c == 0x2029 || c == 0x85)
            return err_set(e, ERR_INVALID, "address holds a line break");
        if (c == 0)
            return err_set(e, ERR_INVALID, "address holds a NUL byte");
        if (utf8_is_control(c))
            return err_set(e, ERR_INVALID, "address holds the control character U+%04X",
                           (unsigned)c);
        if (utf8_is_invisible(c))
            return err_set(e, ERR_INVALID, "address holds the invisible character U+%04X",
                           (unsigned)c);
    }
    return true;
}

/* ---- the domain ---- */

static bool check_label(struct str label, struct err *e)
{
    if (label.n == 0)
        return err_set(e, ERR_INVALID,
                       "the domain has an empty label (two dots, or one at an end)");
    if (label.n > LABEL_MAX)
        return err_set(e, ERR_INVALID, "the domain has a label of over 63 characters");
    if (label.p[0] == '-' || label.p[label.n - 1] == '-')
        return err_set(e, ERR_INVALID, "a label of the domain starts or ends with a hyphen");
    for (size_t i = 0; i < label.n; i++) {
        if (!ascii_isalnum(label.p[i]) && label.p[i] != '-')
            return err_set(e, ERR_INVALID, "the domain holds the character \"%c\"", label.p[i]);
    }
    return true;
}

static bool is_number(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_isdigit(s.p[i]))
            return false;
    }
    return s.n > 0;
}

/* domain: ASCII. */
static bool check_domain_name(struct str domain, struct err *e)
{
    struct str rest = domain, label, last = STR_NONE;
    size_t labels = 0;
    if (domain.n == 0)
        return err_set(e, ERR_INVALID, "the domain is missing");
    for (size_t i = 0; i <= domain.n; i++) {
        if (i < domain.n && domain.p[i] != '.')
            continue;
        label = str_from(rest.p, (size_t)(domain.p + i - rest.p));
        if (!check_label(label, e))
            return false;
        rest = str_from(domain.p + i + 1, 0);
        last = label;
        labels++;
    }
    if (labels == 1 && !str_iis(domain, "localhost"))
        return err_set(e, ERR_INVALID, "the domain has no dot (localhost alone may stand so)");
    if (is_number(last))
        return err_set(e, ERR_INVALID,
                       "the domain is a number; an IP address is written user@[192.0.2.1]");
    return true;
}

static bool has_a_label(struct str domain)
{
    for (size_t i = 0; i + 4 <= domain.n; i++) {
        if ((i == 0 || domain.p[i - 1] == '.') &&
            str_istarts(str_from_index(domain, i), STR("xn--")))
            return true;
    }
    return false;
}

/* To lower-case A-labels, into out (size bytes). */
static bool convert_idn(struct str domain, char *out, size_t size, struct err *e)
{
    char input[INPUT_MAX + 1];
    uint8_t *ascii = NULL;
    memcpy(input, domain.p, domain.n);
    input[domain.n] = 0;
    int rc = idn2_lookup_u8((const uint8_t *)input, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
    if (rc != IDN2_OK)
        return err_set(e, ERR_INVALID, "the domain is not a valid international name: %s",
                       idn2_strerror(rc));
    struct str result = str_of((char *)ascii);
    bool fits = str_copy(result, out, size);
    idn2_free(ascii);
    if (!fits)
        return err_set(e, ERR_INVALID, "the domain is longer than %d bytes", ADDR_MAX);
    return true;
}

/* An A-label must be what its own Unicode form gives back (RFC 5891 5.4); "xn--" alone is none. */
static bool check_a_labels(const char *domain, struct err *e)
{
    char *unicode = NULL;
    uint8_t *again = NULL;
    int rc = idn2_to_unicode_8z8z(domain, &unicode, 0);
    bool same = false;
    if (rc == IDN2_OK) {
        rc = idn2_lookup_u8((uint8_t *)unicode, &again, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
        same = rc == IDN2_OK && strcmp((char *)again, domain) == 0;
    }
    idn2_free(unicode);
    idn2_free(again);
    return same || err_set(e, ERR_INVALID, "the domain has a malformed xn-- label");
}

static bool parse_ipv4(struct str s)
{
    struct str part;
    int parts = 0;
    uint64_t v;
    for (; str_split(&s, '.', &part); parts++) {
        if (!str_to_u64(part, 255, &v) || (part.n > 1 && part.p[0] == '0'))
            return false;
    }
    return parts == 4;
}

/* RFC 5321 4.1.3: up to eight groups, "::" once, an IPv4 tail allowed. */
static bool parse_ipv6(struct str s)
{
    int groups = 0, gaps = 0;
    size_t i = 0;
    while (i < s.n) {
        if (s.p[i] == ':' && i + 1 < s.n && s.p[i + 1] == ':') {
            gaps++;
            i += 2;
            continue;
        }
        if (i > 0 && s.p[i - 1] != ':') {
            if (s.p[i++] != ':' || i == s.n)
                return false;
        }
        size_t start = i;
        while (i < s.n && s.p[i] != ':')
            i++;
        struct str group = str_cut(s, start, i - start);
        if (i == s.n && str_chr(group, '.') >= 0) {
            groups += 2;
            if (!parse_ipv4(group))
                return false;
            break;
        }
        if (group.n < 1 || group.n > 4)
            return false;
        for (size_t k = 0; k < group.n; k++) {
            char c = ascii_lower(group.p[k]);
            if (!ascii_isdigit(c) && (c < 'a' || c > 'f'))
                return false;
        }
        groups++;
    }
    return gaps == 1 ? groups <= 6 : gaps == 0 && groups == 8;
}

static bool check_literal(struct str domain, struct err *e)
{
    struct str inside = str_cut(domain, 1, domain.n - 2);
    bool ok = domain.p[domain.n - 1] == ']' && domain.n > 2;
    if (ok && str_istarts(inside, STR("IPv6:")))
        ok = parse_ipv6(str_from_index(inside, 5));
    else if (ok)
        ok = parse_ipv4(inside);
    return ok ||
           err_set(e, ERR_INVALID,
                   "the address literal is malformed; write [192.0.2.1] or [IPv6:2001:db8::1]");
}

/* Checks and writes the domain in its one form at out (size bytes, terminated). */
static bool parse_domain(struct str domain, char *out, size_t size, struct err *e)
{
    if (domain.n == 0)
        return err_set(e, ERR_INVALID, "the domain after \"@\" is missing");
    if (domain.p[0] != '[' && !str_is_ascii(domain)) {
        if (!convert_idn(domain, out, size, e))
            return false;
    } else if (!str_copy(domain, out, size)) {
        return err_set(e, ERR_INVALID, "the address is longer than %d bytes", ADDR_MAX);
    }
    for (char *p = out; *p; p++)
        *p = ascii_lower(*p);
    struct str result = str_of(out);
    if (result.n == 0)
        return err_set(e, ERR_INVALID, "the domain after \"@\" is missing");
    if (result.p[0] == '[') {
        if (!check_literal(result, e))
            return false;
        if (str_istarts(str_from_index(result, 1), STR("ipv6:")))
            memcpy(out + 1, "IPv6", 4);
        return true;
    }
    if (!check_domain_name(result, e))
        return false;
    return !has_a_label(result) || check_a_labels(out, e);
}

/* ---- the local part ---- */

static bool is_dot_atom(struct str s)
{
    if (s.n == 0 || s.p[0] == '.' || s.p[s.n - 1] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' ? s.p[i - 1] == '.' : !is_atext((unsigned char)s.p[i]))
            return false;
    }
    return true;
}

static bool explain_local(struct str s, struct err *e)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == ' ')
            return err_set(e, ERR_INVALID, "the address holds a blank");
        if (c != '.' && !is_atext((unsigned char)c))
            return err_set(e, ERR_INVALID, "the part before \"@\" holds the character \"%c\"", c);
    }
    return err_set(e, ERR_INVALID,
                   "the part before \"@\" starts or ends with a dot or has two in a row");
}

/* Unquotes into plain (LOCAL_MAX bytes at most); *length_out: bytes of s taken, both quotes in. */
static bool read_quoted(struct str s, char *plain, size_t *n_out, size_t *length_out, struct err *e)
{
    size_t n = 0, i = 1;
    for (; i < s.n && s.p[i] != '"'; i++) {
        if (s.p[i] == '\\' && ++i == s.n)
            break;
        if (n == LOCAL_MAX)
            return err_set(e, ERR_INVALID, "the part before \"@\" is longer than 64 bytes");
        plain[n++] = s.p[i];
    }
    if (i >= s.n)
        return err_set(e, ERR_INVALID, "the quote before \"@\" is not closed");
    *n_out = n;
    *length_out = i + 1;
    return true;
}

/* Writes the local part in its one form; gives its length, or 0 when it is too long. */
static size_t write_local(struct str plain, bool quote, char *out)
{
    size_t n = 0;
    if (!quote) {
        if (plain.n <= LOCAL_MAX)
            memcpy(out, plain.p, plain.n);
        return plain.n <= LOCAL_MAX ? plain.n : 0;
    }
    out[n++] = '"';
    for (size_t i = 0; i < plain.n; i++) {
        if (n + 3 > LOCAL_MAX)
            return 0;
        if (plain.p[i] == '"' || plain.p[i] == '\\')
            out[n++] = '\\';
        out[n++] = plain.p[i];
    }
    out[n++] = '"';
    return n;
}

bool addr_parse(struct str s, struct addr *out, struct err *e)
{
    char plain[LOCAL_MAX];
    struct str local, domain;
    memset(out, 0, sizeof(*out));
    if (s.n == 0)
        return err_set(e, ERR_INVALID, "the address is empty");
    if (s.n > INPUT_MAX)
        return err_set(e, ERR_INVALID, "the address is longer than %d bytes", ADDR_MAX);
    if (!check_characters(s, e))
        return false;
    if (s.p[0] == '"') {
        size_t n = 0, length = 0;
        if (!read_quoted(s, plain, &n, &length, e))
            return false;
        if (length == s.n || s.p[length] != '@')
            return err_set(e, ERR_INVALID, "\"@\" is missing after the quoted part");
        local = str_from(plain, n);
        domain = str_from_index(s, length + 1);
    } else {
        ptrdiff_t at = str_rchr(s, '@');
        if (at < 0)
            return err_set(e, ERR_INVALID, "\"@\" is missing");
        if (at == 0)
            return err_set(e, ERR_INVALID, "the part before \"@\" is missing");
        local = str_cut(s, 0, (size_t)at);
        domain = str_from_index(s, (size_t)at + 1);
        if (!is_dot_atom(local))
            return explain_local(local, e);
    }
    out->at = write_local(local, !is_dot_atom(local), out->text);
    if (out->at == 0)
        return err_set(e, ERR_INVALID, "the part before \"@\" is longer than 64 bytes");
    out->needs_utf8 = !str_is_ascii(local);
    out->text[out->at] = '@';
    if (!parse_domain(domain, out->text + out->at + 1, sizeof(out->text) - out->at - 1, e)) {
        memset(out, 0, sizeof(*out));
        return false;
    }
    out->n = out->at + 1 + strlen(out->text + out->at + 1);
    return true;
}

/* ---- mailboxes ---- */

/* The display name at the start of s: a quoted string or a phrase without specials. Decoded into
 * words; *length_out: bytes taken. */
static bool read_phrase(struct str s, struct buf *name, size_t *length_out, struct err *e)
{
    size_t i = 0;
    if (s.p[0] == '"') {
        for (i = 1; i < s.n && s.p[i] != '"'; i++) {
            if (s.p[i] == '\\' && i + 1 < s.n)
                i++;
            (void)buf_addc(name, s.p[i]);
        }
        *length_out = i + 1;
        return i < s.n || err_set(e, ERR_INVALID, "the quote around the name is not closed");
    }
    for (; i < s.n && s.p[i] != '<'; i++) {
        if (strchr("\",;:>()", s.p[i]))
            return err_set(e, ERR_INVALID,
                           "the name holds the character \"%c\"; put the name in quotes: "
                           "\"Name\" <user@example.org>",
                           s.p[i]);
    }
    *length_out = i;
    (void)header_decode(str_trim(str_cut(s, 0, i)), name);
    return true;
}

static bool split_mailbox(struct str s, struct buf *name, struct addr *out, struct err *e)
{
    size_t length = 0;
    if (s.p[0] != '<' && !read_phrase(s, name, &length, e))
        return false;
    struct str rest = str_trim(str_from_index(s, length));
    if (rest.n < 2 || rest.p[0] != '<' || rest.p[rest.n - 1] != '>')
        return err_set(e, ERR_INVALID, "a mailbox is written: Name <user@example.org>");
    return addr_parse(str_cut(rest, 1, rest.n - 2), out, e);
}

bool addr_parse_mailbox(struct str s, struct addr *out, char *name, size_t size, struct err *e)
{
    struct buf b;
    memset(out, 0, sizeof(*out));
    if (size)
        name[0] = 0;
    s = str_trim(s);
    if (s.n == 0)
        return err_set(e, ERR_INVALID, "the address is empty");
    if (s.n > 4 * INPUT_MAX)
        return err_set(e, ERR_INVALID, "name and address are longer than %d bytes", 4 * INPUT_MAX);
    if (!str_is_utf8(s))
        return err_set(e, ERR_INVALID, "name and address are not UTF-8");
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == 0)
            return err_set(e, ERR_INVALID, "name and address hold a %s",
                           s.p[i] ? "line break" : "NUL byte");
    }
    if (s.p[s.n - 1] != '>')
        return addr_parse(s, out, e);
    buf_init(&b, 8 * INPUT_MAX);
    bool ok = split_mailbox(s, &b, out, e);
    if (ok) {
        struct str text = str_trim(buf_str(&b));
        text.n = MIN(text.n, size ? size - 1 : 0);
        while (text.n > 0 && !str_is_utf8(text))
            text.n--;
        for (size_t i = 0; i < text.n; i++)
            name[i] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7F ? ' ' : text.p[i];
        if (size)
            name[text.n] = 0;
    }
    buf_free(&b);
    return ok;
}

struct str addr_domain(const struct addr *a)
{
    return a->n ? str_from(a->text + a->at + 1, a->n - a->at - 1) : STR_NONE;
}

struct str addr_local(const struct addr *a)
{
    return str_from(a->text, a->at);
}

void addr_key(const struct addr *a, char out[ADDR_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0, length; i < a->n; i += length) {
        char small[4];
        uint32_t c = utf8_decode(a->text + i, a->n - i, &length);
        size_t k = utf8_encode(utf8_lower(c), small);
        /* A small letter may be longer than its capital; then the capital is kept. */
        bool same = k == length;
        memcpy(out + n, same ? small : a->text + i, length);
        n += length;
    }
    out[n] = 0;
}

static size_t mailbox_length(struct str s)
{
    bool quoted = false, bracket = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && quoted)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '<' || c == '>'))
            bracket = c == '<';
        else if (c == ',' && !quoted && !bracket)
            return i;
    }
    return s.n;
}

struct str addr_list_next(struct str *list)
{
    size_t n = mailbox_length(*list);
    struct str one = str_trim(str_cut(*list, 0, n));
    *list = str_from_index(*list, MIN(n + 1, list->n));
    return one;
}
