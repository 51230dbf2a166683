/* See mime_body.h. Called by the desks for every message, so the common mail touches the heap only
 * through `out`. RFC 2045, 2046 (multiparts), 2183 (disposition), 2387 (related), 2392 (cid). */
#include "mail/mime_body.h"

#include "mail/encode.h"
#include "mail/header.h"

#define BOUNDARY_SIZE 40

struct part {
    const char *type;
    struct str body;
    struct encode_plan plan;
};

struct body {
    struct buf *out;
    const struct mime_message *m;
    struct part text[2]; /* plain, HTML */
    size_t n_text;
    size_t n_inline, n_attached;
    unsigned n_boundaries;
    bool *leading_dot;
};

/* ---- boundaries ---- */

/* True when the boundary stands somewhere in a 7bit body. Underscores are rare in text, which makes
 * them the byte to look for; encoded bodies cannot hold "=_" at all. */
static bool occurs_in(const char *boundary, const struct part *part)
{
    size_t n = strlen(boundary);
    const char *p = part->body.p, *end = p + part->body.n;
    if (part->plan.kind != ENCODE_7BIT)
        return false;
    while (p < end && (p = memchr(p, '_', (size_t)(end - p)))) {
        if (p > part->body.p && (size_t)(end - p) + 1 >= n && memcmp(p - 1, boundary, n) == 0)
            return true;
        p++;
    }
    return false;
}

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ x >> 27) * 0x94D049BB133111EBull;
    return x ^ x >> 31;
}

/* Another one for each multipart of the mail: none is the beginning of another, as all have the
 * same length. */
static void make_boundary(struct body *b, char *out)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint64_t seed = b->m->boundary_seed + (uint64_t)b->n_boundaries++ * 0x10001;
    bool taken;
    do {
        uint64_t x = mix(seed), y = mix(x ^ 0x706F737466ull);
        memcpy(out, "=_pf_", 5);
        for (int i = 0; i < 12; i++, x >>= 5)
            out[5 + i] = digits[x & 31];
        for (int i = 0; i < 12; i++, y >>= 5)
            out[17 + i] = digits[y & 31];
        out[29] = 0;
        taken = false;
        for (size_t i = 0; i < b->n_text; i++)
            taken = taken || occurs_in(out, &b->text[i]);
        seed++;
    } while (taken);
}

static bool begin_multipart(struct body *b, const char *kind, char *boundary)
{
    make_boundary(b, boundary);
    return buf_adds(b->out, "Content-Type: multipart/") && buf_adds(b->out, kind) &&
           buf_adds(b->out, "; boundary=\"") && buf_adds(b->out, boundary) &&
           buf_adds(b->out, "\"\r\n\r\n");
}

/* The CRLF before a delimiter is the delimiter's (RFC 2046 5.1.1): each part keeps its own. */
static bool begin_part(struct body *b, const char *boundary, bool first)
{
    return (first || buf_add(b->out, "\r\n", 2)) && buf_add(b->out, "--", 2) &&
           buf_adds(b->out, boundary) && buf_add(b->out, "\r\n", 2);
}

static bool end_multipart(struct body *b, const char *boundary)
{
    return buf_add(b->out, "\r\n--", 4) && buf_adds(b->out, boundary) &&
           buf_add(b->out, "--\r\n", 4);
}

/* ---- parts ---- */

static bool add_text(struct body *b, const struct part *part)
{
    return buf_adds(b->out, "Content-Type: ") && buf_adds(b->out, part->type) &&
           buf_adds(b->out, "; charset=utf-8\r\nContent-Transfer-Encoding: ") &&
           buf_adds(b->out, encode_name(part->plan.kind)) && buf_add(b->out, "\r\n\r\n", 4) &&
           encode_body(b->out, part->body, &part->plan, b->leading_dot);
}

static bool add_attachment(struct body *b, const struct mime_attachment *a)
{
    bool is_inline = a->content_id.n > 0;
    return buf_adds(b->out, "Content-Type: ") && buf_addstr(b->out, a->type) &&
           (!a->filename.n || header_add_parameter(b->out, STR("name"), a->filename)) &&
           buf_adds(b->out, "\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: ") &&
           buf_adds(b->out, is_inline ? "inline" : "attachment") &&
           (!a->filename.n || header_add_parameter(b->out, STR("filename"), a->filename)) &&
           (!is_inline || (buf_adds(b->out, "\r\nContent-ID: <") &&
                           buf_addstr(b->out, a->content_id) && buf_addc(b->out, '>'))) &&
           buf_add(b->out, "\r\n\r\n", 4) && encode_bytes(b->out, a->bytes);
}

static bool add_attachments(struct body *b, const char *boundary, bool inline_ones)
{
    for (size_t i = 0; i < b->m->n_attachments; i++) {
        const struct mime_attachment *a = &b->m->attachments[i];
        bool is_inline = a->content_id.n > 0;
        if (is_inline == inline_ones && (!begin_part(b, boundary, false) || !add_attachment(b, a)))
            return false;
    }
    return true;
}

/* The HTML with the pictures that it shows. */
static bool add_html(struct body *b, const struct part *html)
{
    char boundary[BOUNDARY_SIZE];
    if (!b->n_inline)
        return add_text(b, html);
    return begin_multipart(b, "related", boundary) && begin_part(b, boundary, true) &&
           add_text(b, html) && add_attachments(b, boundary, true) && end_multipart(b, boundary);
}

static bool add_words(struct body *b)
{
    char boundary[BOUNDARY_SIZE];
    if (b->n_text == 1)
        return add_text(b, &b->text[0]);
    return begin_multipart(b, "alternative", boundary) && begin_part(b, boundary, true) &&
           add_text(b, &b->text[0]) && begin_part(b, boundary, false) && add_html(b, &b->text[1]) &&
           end_multipart(b, boundary);
}

static bool add_all(struct body *b)
{
    char boundary[BOUNDARY_SIZE];
    if (!b->n_attached)
        return add_words(b);
    return begin_multipart(b, "mixed", boundary) && begin_part(b, boundary, true) && add_words(b) &&
           add_attachments(b, boundary, false) && end_multipart(b, boundary);
}

/* ---- checks ---- */

static bool is_type_char(char c)
{
    return ascii_isalnum(c) || strchr("!#$&-^_.+", c) != NULL;
}

/* "image/png": RFC 6838 4.2, without parameters. A multipart or message would have to be taken
 * apart before it may be encoded (RFC 2045 6.4). */
static bool type_is_valid(struct str type)
{
    ptrdiff_t slash = str_chr(type, '/');
    if (slash < 1 || (size_t)slash + 1 >= type.n || type.n > 127)
        return false;
    for (size_t i = 0; i < type.n; i++)
        if (i != (size_t)slash && (!type.p[i] || !is_type_char(type.p[i])))
            return false;
    return !str_istarts(type, STR("multipart/")) && !str_istarts(type, STR("message/"));
}

static bool content_id_is_valid(struct str id)
{
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= 32 || id.p[i] >= 127 || strchr("<>()[]\\\",;:", id.p[i]))
            return false;
    return id.n <= 250;
}

static bool check_attachment(const struct mime_attachment *a, bool has_html, struct err *e)
{
    if (!type_is_valid(a->type))
        return err_set(e, ERR_INVALID,
                       "attachment \"" STR_F "\": \"" STR_F "\" is no media type of a file, like "
                       "image/png or application/pdf",
                       STR_A(a->filename), STR_A(a->type));
    if (!content_id_is_valid(a->content_id))
        return err_set(e, ERR_INVALID,
                       "attachment \"" STR_F "\": a content id is up to 250 printable ASCII "
                       "characters without blanks and brackets",
                       STR_A(a->filename));
    if (a->content_id.n && !has_html)
        return err_set(e, ERR_INVALID,
                       "attachment \"" STR_F "\": it has a content id, but there is no HTML that "
                       "could show it",
                       STR_A(a->filename));
    return true;
}

static bool count_attachments(struct body *b, struct err *e)
{
    for (size_t i = 0; i < b->m->n_attachments; i++) {
        const struct mime_attachment *a = &b->m->attachments[i];
        if (!check_attachment(a, b->m->html.p != NULL, e))
            return false;
        b->n_inline += a->content_id.n > 0;
        b->n_attached += a->content_id.n == 0;
    }
    return true;
}

bool mime_add_body(struct buf *out, const struct mime_message *m, bool *leading_dot, struct err *e)
{
    struct body b = {.out = out, .m = m, .leading_dot = leading_dot};
    struct buf derived;
    struct str text = m->text;
    bool ok = true;
    if (!count_attachments(&b, e))
        return false;
    buf_init(&derived, m->html.n * 16 + 64);
    if (!text.p && m->html.p) {
        ok = buf_reserve(&derived, m->html.n + 64) && mime_text_of_html(m->html, &derived);
        text = buf_str(&derived);
    }
    if (!text.p)
        text = STR("");
    b.text[b.n_text++] = (struct part){"text/plain", text, encode_choose(text)};
    if (m->html.p)
        b.text[b.n_text++] = (struct part){"text/html", m->html, encode_choose(m->html)};
    ok = ok && add_all(&b);
    buf_free(&derived);
    return ok || err_set(e, ERR_TOO_BIG, "the mail is larger than %zu bytes", out->max);
}
