/* Reading side of header fields (RFC 2047) and the Date field. header_decode is kind: whatever is
 * no well-formed word is given back as it stands. */
#include "mail/header.h"

#include <stdio.h>

#include "base/codec.h"
#include "mail/date.h"
#include "mail/utf8.h"

void header_date(int64_t wall_ms, int offset_min, char out[HEADER_DATE_SIZE])
{
    struct date d;
    offset_min = MIN(MAX(offset_min, -1439), 1439);
    date_of_ms(wall_ms, offset_min, &d);
    int away = offset_min < 0 ? -offset_min : offset_min;
    (void)snprintf(out, HEADER_DATE_SIZE, "%.3s, %02d %.3s %04d %02d:%02d:%02d %c%02d%02d",
                   date_weekdays[d.weekday], d.day, date_months[d.month - 1], (int)d.year, d.hour,
                   d.minute, d.second, offset_min < 0 ? '-' : '+', away / 60, away % 60);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_q(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        int high = -1, low = -1;
        if (s.p[i] == '=' && i + 2 < s.n) {
            high = hex_digit(s.p[i + 1]);
            low = hex_digit(s.p[i + 2]);
        }
        char c = s.p[i] == '_' ? ' ' : s.p[i];
        if (high >= 0 && low >= 0) {
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (!buf_addc(out, c))
            return false;
    }
    return true;
}

static bool add_latin1(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        char c[4];
        if (!buf_add(out, c, utf8_encode((unsigned char)s.p[i], c)))
            return false;
    }
    return true;
}

/* The word "=?charset?Q?text?=" at the start of s; its length, 0 when there is none. */
static size_t word_at(struct str s, struct str *charset, char *form, struct str *text)
{
    if (!str_starts(s, STR("=?")))
        return 0;
    ptrdiff_t a = str_chr(str_from_index(s, 2), '?');
    if (a < 1 || (size_t)a + 5 >= s.n)
        return 0;
    size_t i = 2 + (size_t)a;
    *charset = str_cut(s, 2, (size_t)a);
    *form = ascii_lower(s.p[i + 1]);
    if (s.p[i + 2] != '?' || (*form != 'q' && *form != 'b'))
        return 0;
    ptrdiff_t n = str_find(str_from_index(s, i + 3), STR("?="));
    if (n < 0)
        return 0;
    *text = str_cut(s, i + 3, (size_t)n);
    if (str_chr(*text, ' ') >= 0)
        return 0;
    ptrdiff_t star = str_chr(*charset, '*');
    if (star >= 0)
        *charset = str_cut(*charset, 0, (size_t)star);
    return i + 3 + (size_t)n + 2;
}

static bool decode_word(struct str charset, char form, struct str text, struct buf *out)
{
    struct buf b;
    bool latin1 = str_iis(charset, "iso-8859-1") || str_iis(charset, "windows-1252");
    if (!latin1 && !str_iis(charset, "utf-8") && !str_iis(charset, "us-ascii"))
        return false;
    buf_init(&b, text.n + 4);
    bool ok = form == 'q' ? decode_q(text, &b) : codec_base64_decode(text, &b);
    if (ok && latin1)
        ok = add_latin1(buf_str(&b), out);
    else
        ok = ok && str_is_utf8(buf_str(&b)) && buf_addstr(out, buf_str(&b));
    buf_free(&b);
    return ok;
}

bool header_decode(struct str value, struct buf *out)
{
    bool after_word = false;
    size_t i = 0;
    while (i < value.n) {
        struct str charset, text;
        char form;
        size_t blanks = 0;
        while (i + blanks < value.n && ascii_isspace(value.p[i + blanks]))
            blanks++;
        struct str rest = str_from_index(value, i + blanks);
        size_t length = word_at(rest, &charset, &form, &text);
        struct buf word;
        buf_init(&word, rest.n * 3 + 4);
        bool decoded = length && decode_word(charset, form, text, &word);
        bool ok = decoded && after_word ? true : buf_add(out, value.p + i, blanks);
        i += blanks;
        if (decoded) {
            ok = ok && buf_addstr(out, buf_str(&word));
            i += length;
        } else {
            size_t start = i;
            while (i < value.n && !ascii_isspace(value.p[i]) &&
                   (i == start || !str_starts(str_from_index(value, i), STR("=?"))))
                i++;
            ok = ok && buf_add(out, value.p + start, i - start);
        }
        after_word = decoded;
        buf_free(&word);
        if (!ok)
            return false;
    }
    return true;
}
