/* Filters that make texts of texts. Each works out how long its result can be, takes that from the
 * rendering's memory once, and writes it. Counts are in characters, not bytes. */
#include "mail/template_parts.h"

#include "mail/utf8.h"

/* A struct str in a static table, where a compound literal is no constant. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

struct writer {
    char *p;
    size_t n;
};

static bool begin(const struct call *c, struct writer *w, size_t most)
{
    w->p = memory_get(c->memory, most + 1);
    w->n = 0;
    return w->p != NULL;
}

static void add(struct writer *w, struct str s)
{
    if (s.n)
        memcpy(w->p + w->n, s.p, s.n);
    w->n += s.n;
}

static bool finish(struct writer *w, struct value *v)
{
    *v = value_text(str_from(w->p, w->n));
    return true;
}

static bool text_of(const struct call *c, const struct value *v, struct str *out)
{
    return value_to_text(v, c->memory, out);
}

/* Argument i as text, or the fallback when it was not given. */
static bool argument(const struct call *c, int i, struct str fallback, struct str *out)
{
    *out = fallback;
    return c->n_args <= i || text_of(c, &c->args[i], out);
}

/* ---- case ---- */

enum case_form { CASE_UPPER, CASE_LOWER, CASE_CAPITAL };

static bool change_case(const struct call *c, struct value *v, enum case_form form)
{
    struct str s;
    struct writer w;
    if (!text_of(c, v, &s) || !begin(c, &w, s.n * 2))
        return false;
    for (size_t i = 0, length; i < s.n; i += length) {
        uint32_t x = utf8_decode(s.p + i, s.n - i, &length);
        bool upper = form == CASE_UPPER || (form == CASE_CAPITAL && i == 0);
        if (length == 0) {
            length = 1;
            add(&w, str_cut(s, i, 1));
        } else if (upper && x == 0xDF) {
            add(&w, STR("SS"));
        } else {
            w.n += utf8_encode(upper ? utf8_upper(x) : utf8_lower(x), w.p + w.n);
        }
    }
    return finish(&w, v);
}

static bool filter_upcase(const struct call *c, struct value *v)
{
    return change_case(c, v, CASE_UPPER);
}

static bool filter_downcase(const struct call *c, struct value *v)
{
    return change_case(c, v, CASE_LOWER);
}

static bool filter_capitalize(const struct call *c, struct value *v)
{
    return change_case(c, v, CASE_CAPITAL);
}

/* ---- blanks ---- */

static struct str strip_left(struct str s)
{
    size_t length;
    while (s.n && utf8_is_space(utf8_decode(s.p, s.n, &length)))
        s = str_from_index(s, length);
    return s;
}

static struct str strip_right(struct str s)
{
    while (s.n) {
        size_t n = 1, length;
        while (n < 4 && n < s.n && ((unsigned char)s.p[s.n - n] & 0xC0) == 0x80)
            n++;
        if (!utf8_is_space(utf8_decode(s.p + s.n - n, n, &length)))
            break;
        s.n -= n;
    }
    return s;
}

static bool strip_sides(const struct call *c, struct value *v, bool left, bool right)
{
    struct str s;
    if (!text_of(c, v, &s))
        return false;
    if (left)
        s = strip_left(s);
    *v = value_text(right ? strip_right(s) : s);
    return true;
}

static bool filter_strip(const struct call *c, struct value *v)
{
    return strip_sides(c, v, true, true);
}

static bool filter_lstrip(const struct call *c, struct value *v)
{
    return strip_sides(c, v, true, false);
}

static bool filter_rstrip(const struct call *c, struct value *v)
{
    return strip_sides(c, v, false, true);
}

/* Replaces each line end by `by`; "\r\n" counts as one. */
static bool replace_lines(const struct call *c, struct value *v, struct str s, struct str by)
{
    struct writer w;
    size_t lines = 0;
    for (size_t i = 0; i < s.n; i++)
        lines += s.p[i] == '\n';
    if (!begin(c, &w, s.n + lines * by.n))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n')
            add(&w, by);
        else if (s.p[i] != '\r' || i + 1 == s.n || s.p[i + 1] != '\n')
            w.p[w.n++] = s.p[i];
    }
    return finish(&w, v);
}

static bool filter_strip_newlines(const struct call *c, struct value *v)
{
    struct str s;
    return text_of(c, v, &s) && replace_lines(c, v, s, STR(""));
}

/* ---- cutting ---- */

static bool filter_truncate(const struct call *c, struct value *v)
{
    struct str s, tail;
    struct writer w;
    if (!text_of(c, v, &s) || !argument(c, 1, STR("..."), &tail))
        return false;
    double limit = c->n_args ? value_to_number(&c->args[0]) : 50;
    size_t most = limit < 0 ? 0 : (size_t)MIN(limit, 1e9);
    if (utf8_count(s) <= most)
        return true;
    size_t room = most > utf8_count(tail) ? most - utf8_count(tail) : 0;
    struct str kept = str_cut(s, 0, utf8_prefix(s, room));
    if (!begin(c, &w, kept.n + tail.n))
        return false;
    add(&w, kept);
    add(&w, tail);
    return finish(&w, v);
}

static bool filter_truncatewords(const struct call *c, struct value *v)
{
    struct str s, tail;
    struct writer w;
    if (!text_of(c, v, &s) || !argument(c, 1, STR("..."), &tail))
        return false;
    double limit = c->n_args ? value_to_number(&c->args[0]) : 15;
    size_t words = limit < 1 ? 1 : (size_t)MIN(limit, 1e9);
    if (!begin(c, &w, s.n + tail.n))
        return false;
    s = strip_right(strip_left(s));
    for (size_t count = 0; s.n; count++) {
        size_t i = 0, length = 0;
        if (count == words) {
            add(&w, tail);
            break;
        }
        while (i < s.n && !utf8_is_space(utf8_decode(s.p + i, s.n - i, &length)))
            i += MAX(length, 1);
        if (count)
            add(&w, STR(" "));
        add(&w, str_cut(s, 0, i));
        s = strip_left(str_from_index(s, i));
    }
    return finish(&w, v);
}

/* ---- replacing ---- */

static bool replace(const struct call *c, struct value *v, struct str what, struct str by,
                    size_t most)
{
    struct str s;
    struct writer w;
    size_t count = 0;
    if (!text_of(c, v, &s))
        return false;
    if (what.n == 0) {
        *v = value_text(s);
        return true;
    }
    struct str rest = s;
    for (ptrdiff_t at; count < most && (at = str_find(rest, what)) >= 0; count++)
        rest = str_from_index(rest, (size_t)at + what.n);
    if (by.n > TEMPLATE_MEMORY_MAX || count > TEMPLATE_MEMORY_MAX / (by.n + 1) ||
        !begin(c, &w, s.n + count * by.n))
        return false;
    rest = s;
    for (; count > 0; count--) {
        size_t at = (size_t)str_find(rest, what);
        add(&w, str_cut(rest, 0, at));
        add(&w, by);
        rest = str_from_index(rest, at + what.n);
    }
    add(&w, rest);
    return finish(&w, v);
}

static bool replace_by(const struct call *c, struct value *v, size_t most)
{
    struct str what, by;
    return argument(c, 0, STR(""), &what) && argument(c, 1, STR(""), &by) &&
           replace(c, v, what, by, most);
}

static bool filter_replace(const struct call *c, struct value *v)
{
    return replace_by(c, v, SIZE_MAX);
}

static bool filter_replace_first(const struct call *c, struct value *v)
{
    return replace_by(c, v, 1);
}

static bool join_two(const struct call *c, struct value *v, bool append)
{
    struct str s, more;
    struct writer w;
    if (!text_of(c, v, &s) || !text_of(c, &c->args[0], &more) || !begin(c, &w, s.n + more.n))
        return false;
    add(&w, append ? s : more);
    add(&w, append ? more : s);
    return finish(&w, v);
}

static bool filter_append(const struct call *c, struct value *v)
{
    return join_two(c, v, true);
}

static bool filter_prepend(const struct call *c, struct value *v)
{
    return join_two(c, v, false);
}

/* ---- HTML and URLs ---- */

static const struct {
    char c;
    struct str entity;
} entities[] = {
    {'&', TEXT("&amp;")}, {'<', TEXT("&lt;")},   {'>', TEXT("&gt;")},
    {'"', TEXT("&#34;")}, {'\'', TEXT("&#39;")},
};

/* The entity of our own five that stands at the start of s. */
static struct str own_entity(struct str s)
{
    for (size_t i = 0; i < countof(entities); i++) {
        if (str_starts(s, entities[i].entity))
            return entities[i].entity;
    }
    return STR_NONE;
}

static bool escape(const struct call *c, struct value *v, bool once)
{
    struct str s;
    struct writer w;
    if (!text_of(c, v, &s))
        return false;
    if (s.n > TEMPLATE_MEMORY_MAX / 5 || !begin(c, &w, s.n * 5))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        struct str entity = STR_NONE, known = STR_NONE;
        for (size_t k = 0; k < countof(entities) && !entity.p; k++)
            entity = s.p[i] == entities[k].c ? entities[k].entity : STR_NONE;
        if (once && s.p[i] == '&')
            known = own_entity(str_from_index(s, i));
        if (known.p) {
            add(&w, known);
            i += known.n - 1;
        } else if (entity.p) {
            add(&w, entity);
        } else {
            w.p[w.n++] = s.p[i];
        }
    }
    (void)finish(&w, v);
    v->flags = VALUE_SAFE | VALUE_ESCAPED;
    return true;
}

static bool filter_escape(const struct call *c, struct value *v)
{
    return escape(c, v, false);
}

bool filter_escape_once(const struct call *c, struct value *v)
{
    return escape(c, v, true);
}

/* In HTML the text is escaped first, unless that was done: the <br /> alone is to be markup. */
static bool filter_newline_to_br(const struct call *c, struct value *v)
{
    struct str s;
    uint8_t flags = v->flags;
    if (c->html && !(flags & VALUE_SAFE) && !escape(c, v, (flags & VALUE_ESCAPED) != 0))
        return false;
    if (!text_of(c, v, &s) || !replace_lines(c, v, s, STR("<br />\n")))
        return false;
    v->flags = c->html ? VALUE_SAFE | VALUE_ESCAPED : 0;
    return true;
}

/* Drops what stands between openers and their closers; an opener that never closes stays as text.
 */
static bool filter_strip_html(const struct call *c, struct value *v)
{
    static const struct {
        struct str open, close;
    } blocks[] = {{TEXT("<script"), TEXT("</script>")},
                  {TEXT("<style"), TEXT("</style>")},
                  {TEXT("<!--"), TEXT("-->")},
                  {TEXT("<"), TEXT(">")}};
    bool closes[countof(blocks)] = {true, true, true, true};
    struct str s;
    struct writer w;
    if (!text_of(c, v, &s) || !begin(c, &w, s.n))
        return false;
    while (s.n) {
        ptrdiff_t lt = str_chr(s, '<');
        size_t taken = 0;
        add(&w, lt < 0 ? s : str_cut(s, 0, (size_t)lt));
        if (lt < 0)
            break;
        s = str_from_index(s, (size_t)lt);
        for (size_t i = 0; i < countof(blocks) && taken == 0; i++) {
            if (!closes[i] || !str_starts(s, blocks[i].open))
                continue;
            ptrdiff_t end = str_find(str_from_index(s, blocks[i].open.n), blocks[i].close);
            closes[i] = end >= 0;
            if (end >= 0)
                taken = blocks[i].open.n + (size_t)end + blocks[i].close.n;
        }
        if (taken == 0) {
            add(&w, s);
            break;
        }
        s = str_from_index(s, taken);
    }
    return finish(&w, v);
}

static bool filter_url_encode(const struct call *c, struct value *v)
{
    static const char digits[] = "0123456789ABCDEF";
    struct str s;
    struct writer w;
    if (!text_of(c, v, &s) || s.n > TEMPLATE_MEMORY_MAX / 3 || !begin(c, &w, s.n * 3))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char x = (unsigned char)s.p[i];
        if (ascii_isalnum((char)x) || (x && strchr("-_.!~*'()", x))) {
            w.p[w.n++] = (char)x;
        } else if (x == ' ') {
            w.p[w.n++] = '+';
        } else {
            w.p[w.n++] = '%';
            w.p[w.n++] = digits[x >> 4];
            w.p[w.n++] = digits[x & 15];
        }
    }
    return finish(&w, v);
}

const struct filter template_text_filters[] = {
    {"append", filter_append, 1, 1},
    {"capitalize", filter_capitalize, 0, 0},
    {"downcase", filter_downcase, 0, 0},
    {"escape", filter_escape, 0, 0},
    {"escape_once", filter_escape_once, 0, 0},
    {"lstrip", filter_lstrip, 0, 0},
    {"newline_to_br", filter_newline_to_br, 0, 0},
    {"prepend", filter_prepend, 1, 1},
    {"remove", filter_replace, 1, 1},
    {"remove_first", filter_replace_first, 1, 1},
    {"replace", filter_replace, 2, 2},
    {"replace_first", filter_replace_first, 2, 2},
    {"rstrip", filter_rstrip, 0, 0},
    {"strip", filter_strip, 0, 0},
    {"strip_html", filter_strip_html, 0, 0},
    {"strip_newlines", filter_strip_newlines, 0, 0},
    {"truncate", filter_truncate, 0, 2},
    {"truncatewords", filter_truncatewords, 0, 2},
    {"upcase", filter_upcase, 0, 0},
    {"url_encode", filter_url_encode, 0, 0},
    {NULL, NULL, 0, 0},
};
