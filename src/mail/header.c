/* Writing and decoding header fields. Called by mime_build for every mail (the plain ASCII field is
 * one check and one copy) and by mime_normalise. Guarantees are stated in header.h. */
#include "mail/header.h"

#include <stdio.h>

#include "mail/utf8.h"

#define FOLD_AT  76 /* leaves room for what a relay may add before 78 */
#define WORD_MAX 75 /* RFC 2047 2 */
#define UNIT_MAX 900

static const char word_open_q[] = "=?utf-8?Q?";
static const char word_open_b[] = "=?utf-8?B?";
#define WORD_FRAME 12 /* "=?utf-8?Q?" and "?=" */

bool header_name_is_valid(struct str s)
{
    if (s.n == 0 || s.n > 76)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 33 || s.p[i] > 126 || s.p[i] == ':')
            return false;
    }
    return true;
}

bool header_check_extra(struct str name, struct err *e)
{
    static const char *const ours[] = {
        "From",         "To",           "Subject", "Date",       "Message-ID",
        "MIME-Version", "Content-Type", "Bcc",     "Resent-Bcc", "Content-Transfer-Encoding",
    };
    if (!header_name_is_valid(name))
        return err_set(e, ERR_INVALID,
                       "a header name has 1 to 76 printable ASCII characters, no blank, no colon");
    for (size_t i = 0; i < countof(ours); i++) {
        if (str_iis(name, ours[i]))
            return err_set(e, ERR_INVALID, "the header %s cannot be set: every mail has its own",
                           ours[i]);
    }
    return true;
}

/* RFC 5322 3.6.4, narrowed: printable ASCII without blanks and brackets, one "@". */
bool header_check_message_id(struct str id, struct err *e)
{
    ptrdiff_t at = str_chr(id, '@');
    bool ok = at > 0 && (size_t)at + 1 < id.n && id.n <= 250 && str_rchr(id, '@') == at;
    for (size_t i = 0; i < id.n; i++)
        ok = ok && id.p[i] > 32 && id.p[i] < 127 && !strchr("<>()[],;:\"\\", id.p[i]);
    return ok ||
           err_set(e, ERR_INVALID,
                   "Message-ID: must be id@host in printable ASCII, without blanks or brackets");
}

/* ---- cleaning ---- */

/* Printable ASCII and blanks only, no start of an encoded word. */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c > 0x7E)
            return false;
    }
    return s.n < 2 || !memmem(s.p, s.n, "=?", 2);
}

/* Appends s as UTF-8 with blanks for controls and U+FFFD for what is malformed. CRLF is one blank.
 */
static bool clean(struct str s, struct buf *out)
{
    for (size_t i = 0, length; i < s.n; i += length) {
        uint32_t c = utf8_decode(s.p + i, s.n - i, &length);
        bool ok;
        if (c == UTF8_BAD) {
            length = 1;
            ok = buf_add(out, "\xEF\xBF\xBD", 3);
        } else if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
            ok = true;
        } else if (utf8_is_control(c)) {
            ok = buf_addc(out, ' ');
        } else {
            ok = buf_add(out, s.p + i, length);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* ---- RFC 2047 ---- */

static bool q_is_literal(unsigned char c)
{
    return ascii_isalnum((char)c) || c == '!' || c == '*' || c == '+' || c == '-' || c == '/';
}

static size_t q_width(const char *p, size_t n)
{
    size_t width = 0;
    for (size_t i = 0; i < n; i++)
        width += q_is_literal((unsigned char)p[i]) || p[i] == ' ' ? 1 : 3;
    return width;
}

static size_t put_q(const char *p, size_t n, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t w = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == ' ') {
            out[w++] = '_';
        } else if (q_is_literal(c)) {
            out[w++] = (char)c;
        } else {
            out[w++] = '=';
            out[w++] = hex[c >> 4];
            out[w++] = hex[c & 15];
        }
    }
    return w;
}

static size_t put_b(const char *p, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t w = 0;
    for (size_t i = 0; i < n; i += 3) {
        size_t k = MIN(n - i, 3);
        uint32_t v = (uint32_t)(uint8_t)p[i] << 16;
        v |= k > 1 ? (uint32_t)(uint8_t)p[i + 1] << 8 : 0;
        v |= k > 2 ? (uint32_t)(uint8_t)p[i + 2] : 0;
        out[w++] = digits[v >> 18];
        out[w++] = digits[v >> 12 & 63];
        out[w++] = k > 1 ? digits[v >> 6 & 63] : '=';
        out[w++] = k > 2 ? digits[v & 63] : '=';
    }
    return w;
}

/* Writes s (clean UTF-8) as encoded words; *column is where the line stands, and is kept. Each word
 * holds whole characters only (RFC 2047 5). */
static bool add_words(struct buf *out, struct str s, size_t *column)
{
    size_t quoted = q_width(s.p, s.n), base64 = (s.n + 2) / 3 * 4;
    bool use_q = quoted <= base64;
    bool first = true;
    /* One whole word on a line of its own beats two: some readers put a blank between words. */
    size_t whole = WORD_FRAME + MIN(quoted, base64);
    bool fold_first = whole <= WORD_MAX && *column + whole > FOLD_AT;
    for (size_t i = 0; i < s.n || first; first = false) {
        char word[WORD_MAX + 1];
        size_t room = *column + WORD_FRAME + 12 > FOLD_AT ? 0 : FOLD_AT - *column;
        if (!first || fold_first || room == 0) {
            if (!buf_add(out, "\r\n ", 3))
                return false;
            *column = 1;
            room = FOLD_AT - 1;
        }
        room = MIN(room, WORD_MAX) - WORD_FRAME;
        size_t n = 0, width = 0;
        while (i + n < s.n) {
            size_t length = utf8_length(s.p + i + n, s.n - i - n);
            size_t wider = use_q ? width + q_width(s.p + i + n, length) : (n + length + 2) / 3 * 4;
            if (length == 0 || wider > room)
                break;
            width = wider;
            n += length;
        }
        memcpy(word, use_q ? word_open_q : word_open_b, WORD_FRAME - 2);
        size_t w = WORD_FRAME - 2;
        w += use_q ? put_q(s.p + i, n, word + w) : put_b(s.p + i, n, word + w);
        word[w++] = '?';
        word[w++] = '=';
        *column += w;
        i += n;
        if (!buf_add(out, word, w) || (n == 0 && s.n > 0))
            return false;
    }
    return true;
}

/* ---- unstructured fields ---- */

/* End of the unit at i: blanks, then a word. */
static size_t unit_end(struct str s, size_t i)
{
    while (i < s.n && s.p[i] == ' ')
        i++;
    while (i < s.n && s.p[i] != ' ')
        i++;
    return i;
}

static bool has_long_unit(struct str s, size_t most)
{
    for (size_t i = 0, end; i < s.n; i = end) {
        end = unit_end(s, i);
        if (end - i > most)
            return true;
    }
    return false;
}

/* Folds plain ASCII before blanks. A reader that drops the CRLF has the value back. */
static bool add_folded(struct buf *out, struct str s, size_t column)
{
    for (size_t i = 0, end; i < s.n; i = end) {
        end = unit_end(s, i);
        if (column + (end - i) > FOLD_AT && i > 0) {
            if (!buf_add(out, "\r\n", 2))
                return false;
            column = 0;
        }
        if (!buf_add(out, s.p + i, end - i))
            return false;
        column += end - i;
    }
    return true;
}

static bool add_name(struct buf *out, struct str name)
{
    char head[80];
    size_t n = MIN(name.n, 76);
    memcpy(head, name.p, n);
    head[n] = ':';
    head[n + 1] = ' ';
    return buf_add(out, head, n + 2);
}

static bool add_plain_field(struct buf *out, struct str name, struct str value)
{
    char *p = buf_reserve(out, name.n + value.n + 4);
    if (!p)
        return false;
    memcpy(p, name.p, name.n);
    memcpy(p + name.n, ": ", 2);
    if (value.n)
        memcpy(p + name.n + 2, value.p, value.n);
    memcpy(p + name.n + 2 + value.n, "\r\n", 2);
    buf_commit(out, name.n + value.n + 4);
    return true;
}

bool header_add_text(struct buf *out, struct str name, struct str value)
{
    value = str_trim(value);
    if (name.n + 2 + value.n <= FOLD_AT && is_plain(value))
        return add_plain_field(out, name, value);
    struct buf cleaned;
    buf_init(&cleaned, value.n * 3 + 1);
    bool ok = clean(value, &cleaned);
    struct str text = str_trim(buf_str(&cleaned));
    size_t column = name.n + 2;
    ok = ok && add_name(out, name);
    /* A long word of a Subject is text and may be encoded; in other fields it is an id or a URL
     * that a program reads, and stays whole as long as a line can hold it. */
    size_t most = str_iis(name, "Subject") ? FOLD_AT - column : UNIT_MAX;
    if (ok && is_plain(text) && !has_long_unit(text, most))
        ok = add_folded(out, text, column);
    else
        ok = ok && add_words(out, text, &column);
    ok = ok && buf_add(out, "\r\n", 2);
    buf_free(&cleaned);
    return ok;
}

bool header_add_token(struct buf *out, struct str name, struct str value)
{
    if (value.n == 0 || name.n + 2 + value.n > HEADER_LINE_MAX)
        return false;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (c < 0x20 || c == 0x7F)
            return false;
    }
    if (value.p[0] == ' ' || value.p[value.n - 1] == ' ')
        return false;
    return add_plain_field(out, name, value);
}

/* ---- mailboxes ---- */

enum phrase_form { PHRASE_ATOMS, PHRASE_QUOTED, PHRASE_ENCODED };

static enum phrase_form phrase_form(struct str s)
{
    enum phrase_form form = PHRASE_ATOMS;
    if (!is_plain(s))
        return PHRASE_ENCODED;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool single_blank = c == ' ' && i > 0 && s.p[i - 1] != ' ';
        if (!single_blank && !ascii_isalnum(c) && !(c && strchr("!#$%&'*+-/=^_`{|}~", c)))
            form = PHRASE_QUOTED;
    }
    return form;
}

static bool add_quoted(struct buf *out, struct str s)
{
    if (!buf_addc(out, '"'))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] == '"' || s.p[i] == '\\') && !buf_addc(out, '\\'))
            return false;
        if (!buf_addc(out, s.p[i]))
            return false;
    }
    return buf_addc(out, '"');
}

/* The phrase and the blank or fold behind it. text: cleaned, not empty. */
static bool add_phrase(struct buf *out, struct str text, const struct addr *a, size_t *column)
{
    enum phrase_form form = phrase_form(text);
    size_t start = out->n;
    if (form != PHRASE_ENCODED && text.n > 60)
        form = PHRASE_ENCODED;
    bool ok = true;
    if (form != PHRASE_ENCODED && *column + text.n + 2 > FOLD_AT) {
        ok = buf_add(out, "\r\n ", 3);
        *column = 1;
        start = out->n;
    }
    if (form == PHRASE_ENCODED)
        ok = ok && add_words(out, text, column);
    else
        ok = ok && (form == PHRASE_QUOTED ? add_quoted(out, text) : buf_addstr(out, text));
    if (form != PHRASE_ENCODED)
        *column += out->n - start;
    if (*column + 1 + a->n + 2 <= FOLD_AT) {
        *column += 1;
        return ok && buf_addc(out, ' ');
    }
    *column = 1;
    return ok && buf_add(out, "\r\n ", 3);
}

static bool add_one_mailbox(struct buf *out, struct str display, const struct addr *a,
                            size_t *column)
{
    struct buf cleaned;
    bool ok = true;
    display = str_trim(display);
    if (display.n == 0) {
        *column += a->n;
        return buf_add(out, a->text, a->n);
    }
    buf_init(&cleaned, display.n * 3 + 1);
    ok = clean(display, &cleaned);
    struct str text = str_trim(buf_str(&cleaned));
    if (ok && text.n)
        ok = add_phrase(out, text, a, column);
    ok = ok && buf_addc(out, '<') && buf_add(out, a->text, a->n) && buf_addc(out, '>');
    *column += a->n + 2;
    buf_free(&cleaned);
    return ok;
}

bool header_add_mailbox(struct buf *out, struct str name, struct str display,
                        const struct addr *address)
{
    size_t column = name.n + 2;
    return add_name(out, name) && add_one_mailbox(out, display, address, &column) &&
           buf_add(out, "\r\n", 2);
}

bool header_add_mailbox_list(struct buf *out, struct str name, struct str list, bool *needs_utf8,
                             struct err *e)
{
    struct buf b;
    size_t column = name.n + 2, count = 0;
    bool ok = true;
    buf_init(&b, list.n * 4 + 4096);
    while (ok && list.n) {
        struct addr a;
        char display[1024];
        struct str one = addr_list_next(&list);
        if (one.n == 0)
            continue;
        ok = addr_parse_mailbox(one, &a, display, sizeof(display), e);
        if (ok && count++ > 0) {
            ok = buf_add(&b, ",\r\n ", 4);
            column = 1;
        }
        ok = ok && add_one_mailbox(&b, str_of(display), &a, &column);
        *needs_utf8 = *needs_utf8 || (ok && a.needs_utf8);
    }
    if (ok && count == 0)
        ok = err_set(e, ERR_INVALID, "the list of addresses is empty");
    ok = ok && add_name(out, name) && buf_addstr(out, buf_str(&b)) && buf_add(out, "\r\n", 2);
    buf_free(&b);
    return ok;
}

bool header_mailbox_text(struct buf *out, struct str display, const struct addr *address)
{
    struct buf cleaned;
    buf_init(&cleaned, display.n * 3 + 1);
    bool ok = clean(display, &cleaned);
    struct str text = str_trim(buf_str(&cleaned));
    if (ok && text.n) {
        bool atoms = phrase_form(text) == PHRASE_ATOMS;
        ok = (atoms ? buf_addstr(out, text) : add_quoted(out, text)) && buf_addc(out, ' ');
    }
    ok = ok && buf_addc(out, '<') && buf_add(out, address->text, address->n) && buf_addc(out, '>');
    buf_free(&cleaned);
    return ok;
}

/* ---- RFC 2231 ---- */

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 33 || s.p[i] > 126 || strchr("()<>@,;:\\\"/[]?='*%", s.p[i]))
            return false;
    }
    return s.n > 0;
}

static bool add_section(struct buf *out, struct str name, int number, const char *encoded, size_t n)
{
    if (number == 0)
        return buf_addf(out, ";\r\n " STR_F "*0*=utf-8''%.*s", STR_A(name), (int)n, encoded);
    return buf_addf(out, ";\r\n " STR_F "*%d*=%.*s", STR_A(name), number, (int)n, encoded);
}

static bool add_extended(struct buf *out, struct str name, struct str text)
{
    static const char hex[] = "0123456789ABCDEF";
    char section[64];
    size_t room = name.n < 40 ? 52 - name.n : 12;
    size_t w = 0;
    int number = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (w + 3 > room) {
            if (!add_section(out, name, number++, section, w))
                return false;
            w = 0;
        }
        if (is_token(str_from(text.p + i, 1))) {
            section[w++] = (char)c;
            continue;
        }
        section[w++] = '%';
        section[w++] = hex[c >> 4];
        section[w++] = hex[c & 15];
    }
    if (number > 0)
        return add_section(out, name, number, section, w);
    return buf_addf(out, ";\r\n " STR_F "*=utf-8''%.*s", STR_A(name), (int)w, section);
}

bool header_add_parameter(struct buf *out, struct str name, struct str value)
{
    struct buf cleaned;
    buf_init(&cleaned, value.n * 3 + 1);
    bool ok = clean(value, &cleaned);
    struct str text = buf_str(&cleaned);
    if (text.n + name.n > 60 || !is_plain(text))
        ok = ok && add_extended(out, name, text);
    else if (is_token(text))
        ok = ok && buf_addf(out, "%s" STR_F "=" STR_F, text.n > 20 ? ";\r\n " : "; ", STR_A(name),
                            STR_A(text));
    else
        ok = ok && buf_addf(out, ";\r\n " STR_F "=", STR_A(name)) && add_quoted(out, text);
    buf_free(&cleaned);
    return ok;
}
