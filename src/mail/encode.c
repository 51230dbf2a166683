/* The hot loop of mail building. Bodies are looked at eight bytes at a time and lines are found by
 * memchr, so a plain 10 KB body costs about as much as copying it a few times. */
#include "mail/encode.h"

#include "mail/utf8.h"

#define LINE_MAX_BYTES 998
#define QP_COLUMNS     75
#define BLOCK          4096
#define ONES           0x0101010101010101ull
#define HIGHS          0x8080808080808080ull

const char *encode_name(enum encode_kind kind)
{
    static const char *const names[] = {"7bit", "quoted-printable", "base64"};
    return names[kind];
}

static uint64_t load8(const char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

/* Adds up eight byte counters. */
static size_t sum_lanes(uint64_t lanes)
{
    size_t sum = 0;
    for (int i = 0; i < 8; i++, lanes >>= 8)
        sum += lanes & 0xFF;
    return sum;
}

/* Marks (bit 7) the bytes of x that are not what a byte of `same` is; exact for every byte. */
static uint64_t differing(uint64_t x, uint64_t same)
{
    uint64_t y = x ^ same;
    return (((y & ~HIGHS) + ~HIGHS) | y) & HIGHS;
}

/* Bytes above 0x7F, and "=" signs. */
static void count_escapes(struct str s, size_t *high_out, size_t *equals_out)
{
    size_t high = 0, other = 0, i = 0;
    while (i + 8 <= s.n) {
        uint64_t high_lanes = 0, other_lanes = 0;
        for (int k = 0; k < 255 && i + 8 <= s.n; k++, i += 8) {
            uint64_t x = load8(s.p + i);
            high_lanes += x >> 7 & ONES;
            other_lanes += differing(x, '=' * ONES) >> 7;
        }
        high += sum_lanes(high_lanes);
        other += sum_lanes(other_lanes);
    }
    for (; i < s.n; i++) {
        high += (unsigned char)s.p[i] >> 7;
        other += s.p[i] != '=';
    }
    *high_out = high;
    *equals_out = s.n - other;
}

static bool has_bare_cr(struct str s)
{
    const char *p = s.p, *end = s.p + s.n;
    while (p < end && (p = memchr(p, '\r', (size_t)(end - p)))) {
        if (p + 1 == end || p[1] != '\n')
            return true;
        p += 2;
    }
    return false;
}

/* The longest line; counts line feeds that lack their CR. */
static size_t longest_line(struct str s, size_t *bare_lf_out)
{
    size_t longest = 0, bare = 0;
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((lf ? lf : end) - p);
        if (!lf) {
            longest = MAX(longest, n);
            break;
        }
        bool crlf = n > 0 && lf[-1] == '\r';
        bare += !crlf;
        longest = MAX(longest, n - crlf);
        p = lf + 1;
    }
    *bare_lf_out = bare;
    return longest;
}

struct encode_plan encode_choose(struct str body)
{
    struct encode_plan plan = {ENCODE_7BIT, false, 0};
    if (body.n == 0)
        return plan;
    size_t high, equals;
    count_escapes(body, &high, &equals);
    size_t longest = longest_line(body, &plan.bare_lf);
    plan.has_bare_cr = has_bare_cr(body);
    if (high == 0 && longest <= LINE_MAX_BYTES && !memchr(body.p, 0, body.n))
        return plan;
    size_t quoted = body.n + 2 * (high + equals);
    quoted += quoted / QP_COLUMNS * 3;
    size_t base64 = (body.n + plan.bare_lf) * 4 / 3;
    base64 += base64 / 76 * 2;
    plan.kind = quoted <= base64 ? ENCODE_QUOTED : ENCODE_BASE64;
    return plan;
}

bool encode_unify(struct buf *out, struct str s)
{
    size_t start = 0, i = 0;
    if (s.n == 0)
        return true;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        size_t length = c < 0x80 ? 1 : utf8_length(s.p + i, s.n - i);
        if (c != '\r' && length != 0) {
            i += length;
            continue;
        }
        if (!buf_add(out, s.p + start, i - start))
            return false;
        if (!(c == '\r' ? buf_addc(out, '\n') : buf_add(out, "\xEF\xBF\xBD", 3)))
            return false;
        i += c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n' ? 2 : 1;
        start = i;
    }
    return buf_add(out, s.p + start, s.n - start);
}

/* Takes the next line off s, without its line end. */
static struct str next_line(struct str *s)
{
    const char *lf = memchr(s->p, '\n', s->n);
    size_t n = lf ? (size_t)(lf - s->p) : s->n;
    struct str line = {s->p, n};
    s->p += lf ? n + 1 : n;
    s->n -= lf ? n + 1 : n;
    if (lf && line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* ---- 7bit ---- */

static bool add_7bit(struct buf *out, struct str body, size_t bare_lf, bool *leading_dot)
{
    char *start = buf_reserve(out, body.n + bare_lf + 2), *p = start;
    bool dot = false;
    if (!start)
        return false;
    while (body.n) {
        struct str line = next_line(&body);
        dot = dot || (line.n > 0 && line.p[0] == '.');
        memcpy(p, line.p, line.n);
        p += line.n;
        *p++ = '\r';
        *p++ = '\n';
    }
    buf_commit(out, (size_t)(p - start));
    *leading_dot = *leading_dot || dot;
    return true;
}

/* ---- quoted-printable ---- */

struct quoted {
    struct buf *out;
    size_t n, column;
    char block[BLOCK];
};

static const char hex[] = "0123456789ABCDEF";

/* How many of the eight bytes at p, from the first on, are printable ASCII other than "=". The
 * marks may be wrong above the first true one only, which a little-endian machine reads first. */
static size_t literal_bytes(uint64_t x)
{
    uint64_t equals = x ^ ('=' * ONES), deletes = x ^ (0x7F * ONES);
    uint64_t bad = x | (x - 0x20 * ONES);
    bad |= (equals - ONES) & ~equals;
    bad |= (deletes - ONES) & ~deletes;
    bad &= HIGHS;
    if (bad == 0)
        return 8;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(bad) / 8;
#else
    return 0;
#endif
}

static bool flush(struct quoted *q)
{
    bool ok = buf_add(q->out, q->block, q->n);
    q->n = 0;
    return ok;
}

static void put_escaped(struct quoted *q, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        q->block[q->n++] = '=';
        q->block[q->n++] = hex[c >> 4];
        q->block[q->n++] = hex[c & 15];
    }
    q->column += 3 * n;
}

static void break_softly(struct quoted *q)
{
    memcpy(q->block + q->n, "=\r\n", 3);
    q->n += 3;
    q->column = 0;
}

/* One character: itself, or escaped; never split over two lines. Gives the bytes taken. A dot and
 * "From " at the start of a line are escaped, because relays change them. */
static size_t put_character(struct quoted *q, const char *p, size_t n)
{
    unsigned char c = (unsigned char)p[0];
    bool literal = (c >= 0x20 && c <= 0x7E && c != '=') || c == '\t';
    if ((c == ' ' || c == '\t') && n == 1)
        literal = false;
    if (literal) {
        if (q->column + 1 > QP_COLUMNS)
            break_softly(q);
        if (q->column == 0 && (c == '.' || (n >= 5 && memcmp(p, "From ", 5) == 0))) {
            put_escaped(q, p, 1);
            return 1;
        }
        q->block[q->n++] = (char)c;
        q->column++;
        return 1;
    }
    size_t length = utf8_length(p, n);
    size_t width = 3 * (length ? length : 3);
    if (q->column + width > QP_COLUMNS)
        break_softly(q);
    if (length)
        put_escaped(q, p, length);
    else
        put_escaped(q, "\xEF\xBF\xBD", 3);
    return length ? length : 1;
}

static bool put_line(struct quoted *q, struct str line)
{
    size_t i = 0;
    q->column = 0;
    while (i < line.n) {
        if (q->n > BLOCK - 128 && !flush(q))
            return false;
        if (q->column > 0) {
            /* The last byte is left to put_character, which knows blanks at the end. */
            while (q->column + 8 <= QP_COLUMNS && i + 8 < line.n) {
                uint64_t x = load8(line.p + i);
                size_t n = literal_bytes(x);
                memcpy(q->block + q->n, &x, 8);
                q->n += n;
                q->column += n;
                i += n;
                if (n < 8)
                    break;
            }
        }
        i += put_character(q, line.p + i, line.n - i);
    }
    memcpy(q->block + q->n, "\r\n", 2);
    q->n += 2;
    return q->n <= BLOCK - 128 || flush(q);
}

static bool add_quoted(struct buf *out, struct str body)
{
    struct quoted q;
    q.out = out;
    q.n = q.column = 0;
    while (body.n) {
        if (!put_line(&q, next_line(&body)))
            return false;
    }
    return flush(&q);
}

/* ---- base64 ---- */

#define B64_LINE 57 /* bytes that make 76 characters */

static size_t encode_b64(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t w = 0, i = 0;
    for (; i + 3 <= n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        out[w++] = digits[v >> 18];
        out[w++] = digits[v >> 12 & 63];
        out[w++] = digits[v >> 6 & 63];
        out[w++] = digits[v & 63];
    }
    if (i < n) {
        bool two = i + 1 < n;
        uint32_t v = (uint32_t)p[i] << 16 | (two ? (uint32_t)p[i + 1] << 8 : 0);
        out[w++] = digits[v >> 18];
        out[w++] = digits[v >> 12 & 63];
        out[w++] = two ? digits[v >> 6 & 63] : '=';
        out[w++] = '=';
    }
    out[w++] = '\r';
    out[w++] = '\n';
    return w;
}

struct base64 {
    struct buf *out;
    size_t n;
    uint8_t line[B64_LINE];
};

static bool feed_b64(struct base64 *b, const char *p, size_t n)
{
    while (n > 0) {
        size_t take = MIN(n, B64_LINE - b->n);
        memcpy(b->line + b->n, p, take);
        b->n += take;
        p += take;
        n -= take;
        if (b->n == B64_LINE) {
            char text[80];
            b->n = 0;
            if (!buf_add(b->out, text, encode_b64(b->line, B64_LINE, text)))
                return false;
        }
    }
    return true;
}

static bool add_base64(struct buf *out, struct str body)
{
    struct base64 b;
    char text[80];
    b.out = out;
    b.n = 0;
    while (body.n) {
        struct str line = next_line(&body);
        if (!feed_b64(&b, line.p, line.n) || !feed_b64(&b, "\r\n", 2))
            return false;
    }
    return b.n == 0 || buf_add(out, text, encode_b64(b.line, b.n, text));
}

bool encode_bytes(struct buf *out, struct str bytes)
{
    struct base64 b = {.out = out};
    char text[80];
    if (!feed_b64(&b, bytes.p, bytes.n))
        return false;
    if (!bytes.n)
        return buf_add(out, "\r\n", 2);
    return b.n == 0 || buf_add(out, text, encode_b64(b.line, b.n, text));
}

bool encode_body(struct buf *out, struct str body, const struct encode_plan *plan,
                 bool *leading_dot)
{
    struct buf unified;
    bool ok = true;
    bool unify = plan->has_bare_cr || (plan->kind == ENCODE_BASE64 && !utf8_is_valid(body));
    size_t bare_lf = plan->bare_lf;
    if (body.n == 0)
        return buf_add(out, "\r\n", 2);
    buf_init(&unified, body.n * 3 + 1);
    if (unify) {
        ok = encode_unify(&unified, body);
        body = buf_str(&unified);
        bare_lf = body.n;
    }
    switch (plan->kind) {
    case ENCODE_7BIT: ok = ok && add_7bit(out, body, bare_lf, leading_dot); break;
    case ENCODE_QUOTED: ok = ok && add_quoted(out, body); break;
    case ENCODE_BASE64: ok = ok && add_base64(out, body); break;
    }
    buf_free(&unified);
    return ok;
}
