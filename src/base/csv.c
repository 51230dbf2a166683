/* The CSV reader: see csv.h. Bytes pass four stages, each of which keeps what it needs across cuts:
 *     encoding (BOM) -> UTF-8 bytes -> separator (first line) -> fields and rows
 * A row is gathered in one buffer, its fields closed by NUL, so that a character never seems to
 * reach from one field into the next. */
#include "base/csv.h"

#include "base/alloc.h"
#include "base/check.h"

#include <stdlib.h>

#define HEAD_MAX    4
#define WIDE_MAX    (CSV_ROW_MAX * 3) /* a Windows-1252 byte is at most 3 bytes of UTF-8 */
#define DECODE_PART 2048
#define ROW_FIRST   1024

enum encoding { ENCODING_UNKNOWN = 0, ENCODING_BYTES, ENCODING_UTF16_LE, ENCODING_UTF16_BE };
enum state { AT_FIELD = 0, IN_PLAIN, IN_QUOTES, AT_QUOTE, AFTER_CR };

struct csv {
    bool (*on_row)(void *arg, const struct csv_row *row, struct err *e);
    void *arg;
    enum encoding encoding;
    unsigned char head[HEAD_MAX]; /* first bytes, until the encoding is known */
    size_t n_head;
    bool has_odd; /* UTF-16: half a unit, or half a pair is held */
    unsigned char odd;
    uint32_t high;
    char separator; /* 0: the first line is still gathered */
    struct buf first;
    bool first_in_quotes;
    enum state state;
    bool quoted; /* the field at hand began with a quote */
    bool failed;
    uint64_t number, line, row_line;
    size_t n, n_fields; /* used bytes of row; closed fields */
    uint32_t start[CSV_COLUMNS_MAX + 1];
    struct str fields[CSV_COLUMNS_MAX];
    unsigned char stop[256]; /* bytes that end a plain field */
    char *row;               /* grows up to CSV_ROW_MAX */
    size_t row_cap;
    struct buf wide; /* the row again when it had to be converted */
};

struct csv *csv_new(bool (*on_row)(void *arg, const struct csv_row *row, struct err *e), void *arg)
{
    struct csv *c = alloc_one(struct csv);
    c->on_row = on_row;
    c->arg = arg;
    c->line = c->row_line = 1;
    buf_init(&c->first, CSV_ROW_MAX * 2);
    buf_init(&c->wide, WIDE_MAX);
    c->row_cap = ROW_FIRST;
    c->row = alloc_bytes(c->row_cap);
    return c;
}

void csv_free(struct csv **cp)
{
    struct csv *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    buf_free(&c->first);
    buf_free(&c->wide);
    free(c->row);
    free(c);
}

char csv_separator(const struct csv *c)
{
    return c->separator;
}

/* Windows-1252, 0x80 to 0x9f; 0: no character. */
static const uint16_t upper_1252[32] = {
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

static size_t put_1252(char *to, unsigned char c)
{
    if (c < 0x80 || c >= 0xa0)
        return str_put_utf8(c, to);
    return str_put_utf8(upper_1252[c - 0x80] ? upper_1252[c - 0x80] : 0xfffd, to);
}

static bool all_ascii(const char *p, size_t n)
{
    uint64_t any = 0, w = 0;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        any |= w;
    }
    for (; n > 0; p++, n--)
        any |= (unsigned char)*p;
    return !(any & UINT64_C(0x8080808080808080));
}

static void slice_as_is(struct csv *c)
{
    for (size_t i = 0; i < c->n_fields; i++)
        c->fields[i] = str_from(c->row + c->start[i], c->start[i + 1] - c->start[i] - 1);
}

static void slice_from_1252(struct csv *c)
{
    size_t n = 0;
    buf_clear(&c->wide);
    char *wide = buf_reserve(&c->wide, c->n * 3);
    check(wide); /* the row is bounded and so is this */
    for (size_t i = 0; i < c->n_fields; i++) {
        size_t from = n;
        for (size_t at = c->start[i]; at + 1 < c->start[i + 1]; at++)
            n += put_1252(wide + n, (unsigned char)c->row[at]);
        c->fields[i] = str_from(wide + from, n - from);
    }
}

static bool fail_row(struct csv *c, enum err_code code, struct err *e, const char *what)
{
    c->failed = true;
    return err_set(e, code, "row %llu (line %llu): %s", (unsigned long long)c->number + 1,
                   (unsigned long long)c->row_line, what);
}

static bool too_long(struct csv *c, struct err *e)
{
    return fail_row(c, ERR_TOO_BIG, e, "over 65536 bytes; is the quote that ends a value missing?");
}

static bool grow_row(struct csv *c, size_t n, struct err *e)
{
    if (n > CSV_ROW_MAX - c->n)
        return too_long(c, e);
    while (c->row_cap < c->n + n)
        c->row_cap *= 2;
    c->row = alloc_resize(c->row, c->row_cap);
    return true;
}

static inline bool make_room(struct csv *c, size_t n, struct err *e)
{
    return n <= c->row_cap - c->n || grow_row(c, n, e);
}

static bool end_field(struct csv *c, struct err *e)
{
    if (c->n_fields == CSV_COLUMNS_MAX)
        return fail_row(c, ERR_TOO_BIG, e, "over 256 columns");
    if (!make_room(c, 1, e))
        return false;
    c->row[c->n++] = 0;
    c->start[++c->n_fields] = (uint32_t)c->n;
    c->state = AT_FIELD;
    return true;
}

static bool end_row(struct csv *c, struct err *e)
{
    bool was_quoted = c->quoted;
    c->quoted = false;
    if (!end_field(c, e))
        return false;
    bool empty = c->n_fields == 1 && c->n == 1 && !was_quoted;
    bool ok = true;
    if (!empty) {
        if (all_ascii(c->row, c->n) || str_is_utf8(str_from(c->row, c->n)))
            slice_as_is(c);
        else
            slice_from_1252(c);
        const struct csv_row row = {c->number + 1, c->row_line, c->fields, c->n_fields};
        c->number++;
        ok = c->on_row(c->arg, &row, e);
        c->failed = !ok;
    }
    c->n = c->n_fields = 0;
    return ok;
}

/* p stands at a separator or at a line end. */
static bool eat_stop(struct csv *c, char at, struct err *e)
{
    if (at == c->separator) {
        c->quoted = false;
        return end_field(c, e);
    }
    if (!end_row(c, e))
        return false;
    c->state = at == '\r' ? AFTER_CR : AT_FIELD;
    c->row_line = ++c->line;
    return true;
}

static bool eat_plain(struct csv *c, const char **p, const char *end, struct err *e)
{
    const char *from = *p, *at = from;
    while (at < end && !c->stop[(unsigned char)*at])
        at++;
    size_t n = (size_t)(at - from);
    if (!make_room(c, n, e))
        return false;
    memcpy(c->row + c->n, from, n);
    c->n += n;
    *p = at;
    if (at == end) {
        c->state = IN_PLAIN;
        return true;
    }
    ++*p;
    return eat_stop(c, *at, e);
}

static bool eat_quoted(struct csv *c, const char **p, const char *end, struct err *e)
{
    const char *from = *p, *at = memchr(from, '"', (size_t)(end - from));
    size_t n = (size_t)((at ? at : end) - from);
    if (!make_room(c, n, e))
        return false;
    for (size_t i = 0; i < n; i++)
        c->line += from[i] == '\n';
    memcpy(c->row + c->n, from, n);
    c->n += n;
    *p = from + n + (at ? 1 : 0);
    if (at)
        c->state = AT_QUOTE;
    return true;
}

/* Behind a quote within quotes: two stand for one; anything else means that the value is over, and
 * what follows up to the separator is taken as it is. */
static bool eat_after_quote(struct csv *c, const char **p, const char *end, struct err *e)
{
    if (**p != '"')
        return eat_plain(c, p, end, e);
    if (!make_room(c, 1, e))
        return false;
    c->row[c->n++] = '"';
    c->state = IN_QUOTES;
    ++*p;
    return true;
}

static bool eat(struct csv *c, const char *p, size_t n, struct err *e)
{
    const char *end = p + n;
    bool ok = true;
    while (ok && p < end) {
        if (c->state == AFTER_CR) {
            c->state = AT_FIELD;
            p += *p == '\n';
        } else if (c->state == AT_FIELD && *p == '"') {
            c->state = IN_QUOTES;
            c->quoted = true;
            p++;
        } else if (c->state == IN_QUOTES) {
            ok = eat_quoted(c, &p, end, e);
        } else if (c->state == AT_QUOTE) {
            ok = eat_after_quote(c, &p, end, e);
        } else {
            ok = eat_plain(c, &p, end, e);
        }
    }
    return ok;
}

/* "sep=;" alone on the first line is what spreadsheets write to name the separator; it is no row.
 */
static bool is_hint(struct str line)
{
    return line.n == 5 && str_istarts(line, STR("sep=")) &&
           (line.p[4] == ',' || line.p[4] == ';' || line.p[4] == '\t');
}

/* The separator that occurs most often outside quotes in the first line; a tie goes to the comma.
 */
static void choose_separator(struct csv *c, struct str line)
{
    static const char candidates[] = ",;\t";
    size_t counts[3] = {0}, best = 0;
    bool in_quotes = false;
    for (size_t i = 0; i < line.n; i++) {
        const char *at = line.p[i] ? strchr(candidates, line.p[i]) : NULL;
        if (line.p[i] == '"')
            in_quotes = !in_quotes;
        else if (at && !in_quotes)
            counts[at - candidates]++;
    }
    for (size_t i = 1; i < countof(counts); i++)
        if (counts[i] > counts[best])
            best = i;
    c->separator = candidates[best];
    if (is_hint(line))
        c->separator = line.p[4];
    c->stop[(unsigned char)c->separator] = c->stop['\r'] = c->stop['\n'] = 1;
}

static bool eat_first(struct csv *c, size_t line_n, struct err *e)
{
    struct str all = buf_str(&c->first), line = str_cut(all, 0, line_n);
    choose_separator(c, line);
    size_t skip = is_hint(line) ? line.n : 0;
    /* The rest of a hint is an empty line, which is skipped. */
    bool ok = all.n == skip || eat(c, all.p + skip, all.n - skip, e);
    buf_free(&c->first);
    return ok;
}

static bool gather_first(struct csv *c, const char *p, size_t n, struct err *e)
{
    size_t from = c->first.n, room = CSV_ROW_MAX - from;
    size_t part = MIN(n, room);
    (void)buf_add(&c->first, p, part);
    for (size_t i = from; i < c->first.n; i++) {
        char at = c->first.p[i];
        if (at == '"')
            c->first_in_quotes = !c->first_in_quotes;
        else if ((at == '\r' || at == '\n') && !c->first_in_quotes)
            return eat_first(c, i, e) && eat(c, p + part, n - part, e);
    }
    if (part < n || c->first.n == CSV_ROW_MAX)
        return eat_first(c, c->first.n, e) && eat(c, p + part, n - part, e);
    return true;
}

static bool take_utf8(struct csv *c, const char *p, size_t n, struct err *e)
{
    if (n == 0)
        return true;
    return c->separator ? eat(c, p, n, e) : gather_first(c, p, n, e);
}

/* One unit of UTF-16 to UTF-8; halves of a pair without the other become U+FFFD. */
static size_t put_unit(struct csv *c, uint32_t unit, char *to)
{
    size_t n = 0;
    if (c->high) {
        uint32_t high = c->high;
        c->high = 0;
        if (unit >= 0xdc00 && unit < 0xe000)
            return str_put_utf8(0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00), to);
        n = str_put_utf8(0xfffd, to);
    }
    if (unit >= 0xd800 && unit < 0xdc00) {
        c->high = unit;
        return n;
    }
    return n + str_put_utf8(unit >= 0xdc00 && unit < 0xe000 ? 0xfffd : unit, to + n);
}

static bool take_utf16(struct csv *c, const unsigned char *p, size_t n, struct err *e)
{
    char out[DECODE_PART + 8];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (!c->has_odd) {
            c->odd = p[i];
            c->has_odd = true;
            continue;
        }
        c->has_odd = false;
        uint32_t unit = c->encoding == ENCODING_UTF16_LE ? (uint32_t)p[i] << 8 | c->odd
                                                         : (uint32_t)c->odd << 8 | p[i];
        used += put_unit(c, unit, out + used);
        if (used >= DECODE_PART) {
            if (!take_utf8(c, out, used, e))
                return false;
            used = 0;
        }
    }
    return take_utf8(c, out, used, e);
}

static bool take_decoded(struct csv *c, const unsigned char *p, size_t n, struct err *e)
{
    return c->encoding == ENCODING_BYTES ? take_utf8(c, (const char *)p, n, e)
                                         : take_utf16(c, p, n, e);
}

/* From the first bytes: a BOM, or the zeros that ASCII has in UTF-16. skip: bytes of the BOM. */
static void choose_encoding(struct csv *c, size_t *skip)
{
    const unsigned char *h = c->head;
    size_t n = c->n_head;
    *skip = 0;
    c->encoding = ENCODING_BYTES;
    if (n >= 3 && h[0] == 0xef && h[1] == 0xbb && h[2] == 0xbf)
        *skip = 3;
    else if (n >= 2 && h[0] == 0xff && h[1] == 0xfe)
        c->encoding = ENCODING_UTF16_LE, *skip = 2;
    else if (n >= 2 && h[0] == 0xfe && h[1] == 0xff)
        c->encoding = ENCODING_UTF16_BE, *skip = 2;
    else if (n == HEAD_MAX && h[0] && !h[1] && h[2] && !h[3])
        c->encoding = ENCODING_UTF16_LE;
    else if (n == HEAD_MAX && !h[0] && h[1] && !h[2] && h[3])
        c->encoding = ENCODING_UTF16_BE;
}

static bool take_head(struct csv *c, struct err *e)
{
    size_t skip = 0;
    choose_encoding(c, &skip);
    return take_decoded(c, c->head + skip, c->n_head - skip, e);
}

bool csv_feed(struct csv *c, const void *p, size_t n, struct err *e)
{
    const unsigned char *at = p;
    if (c->failed)
        return err_set(e, ERR_FAILED, "the file was given up before");
    if (c->encoding == ENCODING_UNKNOWN) {
        while (n > 0 && c->n_head < HEAD_MAX) {
            c->head[c->n_head++] = *at++;
            n--;
        }
        if (c->n_head < HEAD_MAX)
            return true;
        if (!take_head(c, e))
            return false;
    }
    return n == 0 || take_decoded(c, at, n, e);
}

bool csv_finish(struct csv *c, struct err *e)
{
    if (c->failed)
        return err_set(e, ERR_FAILED, "the file was given up before");
    if (c->encoding == ENCODING_UNKNOWN && !take_head(c, e))
        return false;
    if ((c->has_odd || c->high) && !take_utf8(c, "\xef\xbf\xbd", 3, e))
        return false;
    c->has_odd = false;
    c->high = 0;
    if (!c->separator && c->first.n && !eat_first(c, c->first.n, e))
        return false;
    if (c->state == IN_QUOTES)
        return fail_row(c, ERR_INVALID, e, "a quote is opened and never closed");
    if (c->n_fields || c->state == IN_PLAIN || c->state == AT_QUOTE)
        return end_row(c, e);
    return true;
}
