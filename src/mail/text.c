/* Plain text out of HTML, for the text part of mails written as HTML only. One pass, no tree: tags
 * become line breaks, list marks and "text (url)"; scripts, styles and hidden elements vanish.
 * Malformed HTML gives some text, never an error; output is bounded by the input. */
#include "mail/mime.h"

#include "mail/text.h"
#include "mail/utf8.h"

#define HREF_MAX  2000
#define LISTS_MAX 16

enum tag_kind {
    TAG_OTHER,
    TAG_LINE,
    TAG_PARAGRAPH,
    TAG_BREAK,
    TAG_RULE,
    TAG_CELL,
    TAG_SKIP,
    TAG_ITEM,
    TAG_LIST,
    TAG_LINK,
    TAG_IMAGE,
    TAG_PRE
};

static const struct {
    const char *name;
    enum tag_kind kind;
} tags[] = {
    {"a", TAG_LINK},
    {"address", TAG_LINE},
    {"article", TAG_PARAGRAPH},
    {"blockquote", TAG_PARAGRAPH},
    {"br", TAG_BREAK},
    {"center", TAG_LINE},
    {"dd", TAG_LINE},
    {"div", TAG_LINE},
    {"dl", TAG_PARAGRAPH},
    {"dt", TAG_LINE},
    {"figure", TAG_PARAGRAPH},
    {"footer", TAG_PARAGRAPH},
    {"form", TAG_LINE},
    {"h1", TAG_PARAGRAPH},
    {"h2", TAG_PARAGRAPH},
    {"h3", TAG_PARAGRAPH},
    {"h4", TAG_PARAGRAPH},
    {"h5", TAG_PARAGRAPH},
    {"h6", TAG_PARAGRAPH},
    {"header", TAG_PARAGRAPH},
    {"hr", TAG_RULE},
    {"img", TAG_IMAGE},
    {"li", TAG_ITEM},
    {"main", TAG_LINE},
    {"nav", TAG_LINE},
    {"ol", TAG_LIST},
    {"p", TAG_PARAGRAPH},
    {"pre", TAG_PRE},
    {"script", TAG_SKIP},
    {"section", TAG_PARAGRAPH},
    {"style", TAG_SKIP},
    {"svg", TAG_SKIP},
    {"table", TAG_LINE},
    {"td", TAG_CELL},
    {"template", TAG_SKIP},
    {"th", TAG_CELL},
    {"title", TAG_SKIP},
    {"tr", TAG_LINE},
    {"ul", TAG_LIST},
};

struct reader {
    struct buf *out;
    int newlines; /* wanted before the next word */
    bool blank;   /* wanted before the next word */
    int pre;
    struct {
        bool ordered;
        int count;
    } lists[LISTS_MAX];
    int depth; /* of lists; may be above LISTS_MAX */
    bool in_link, link_has_text;
    size_t link_start; /* offset in out of the link's first word */
    char href[HREF_MAX];
    size_t href_n;
    struct str hidden; /* name of the hidden element that is being skipped */
    int hidden_depth;
    bool ok;
};

struct tag {
    struct str name, attributes;
    bool closing;
    enum tag_kind kind;
};

static void put(struct reader *r, const char *p, size_t n)
{
    r->ok = r->ok && buf_add(r->out, p, n);
}

/* Line breaks and blanks that are due before text. */
static void settle(struct reader *r)
{
    if (r->newlines && r->out->n)
        put(r, "\n\n", (size_t)MIN(r->newlines, 2));
    else if (r->blank && r->out->n && r->out->p[r->out->n - 1] != '\n')
        put(r, " ", 1);
    r->newlines = 0;
    r->blank = false;
    if (r->in_link && !r->link_has_text) {
        r->link_has_text = true;
        r->link_start = r->out->n;
    }
}

static void put_word(struct reader *r, const char *p, size_t n)
{
    if (r->newlines || r->blank || (r->in_link && !r->link_has_text))
        settle(r);
    put(r, p, n);
}

static void want_newlines(struct reader *r, int n)
{
    r->newlines = MAX(r->newlines, n);
    r->blank = false;
}

static void put_pre(struct reader *r, struct str s)
{
    if (s.n) {
        settle(r);
        put(r, s.p, s.n);
    }
}

/* Text without tags and references; runs of blanks become one. */
static void put_text(struct reader *r, struct str s)
{
    if (r->pre) {
        put_pre(r, s);
        return;
    }
    size_t i = 0, n = 0;
    while (i < s.n && (unsigned char)s.p[i] <= ' ')
        i++;
    r->blank = r->blank || i > 0;
    if (i == s.n)
        return;
    settle(r);
    char *w = r->ok ? buf_reserve(r->out, s.n) : NULL;
    if (!w) {
        r->ok = false;
        return;
    }
    bool blank = false;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if ((unsigned char)c <= ' ') {
            blank = true;
            continue;
        }
        w[n] = ' ';
        n += blank;
        w[n++] = c;
        blank = false;
    }
    r->blank = blank;
    buf_commit(r->out, n);
}

static void put_character(struct reader *r, uint32_t c)
{
    char bytes[4];
    if (c == 0x200B || c == 0x200C || c == 0x200D || c == 0xAD || c == 0xFEFF || c == 0x34F)
        return;
    if (utf8_is_space(c) || c < 0x20) {
        r->blank = true;
        return;
    }
    size_t n = utf8_encode(c, bytes);
    put_word(r, bytes, n);
}

/* ---- attributes ---- */

static bool next_attribute(struct str *s, struct str *name, struct str *value)
{
    size_t i = 0;
    while (i < s->n && (ascii_isspace(s->p[i]) || s->p[i] == '/'))
        i++;
    size_t start = i;
    while (i < s->n && !ascii_isspace(s->p[i]) && s->p[i] != '=' && s->p[i] != '/')
        i++;
    *name = str_cut(*s, start, i - start);
    *value = STR_NONE;
    while (i < s->n && ascii_isspace(s->p[i]))
        i++;
    if (i < s->n && s->p[i] == '=') {
        i++;
        while (i < s->n && ascii_isspace(s->p[i]))
            i++;
        char quote = i < s->n && (s->p[i] == '"' || s->p[i] == '\'') ? s->p[i] : 0;
        start = i += quote != 0;
        while (i < s->n && (quote ? s->p[i] != quote : !ascii_isspace(s->p[i]))) {
            size_t liquid = s->p[i] == '{' ? text_liquid_length(str_from_index(*s, i)) : 0;
            i += MAX(liquid, (size_t)1);
        }
        *value = str_cut(*s, start, i - start);
        i += quote && i < s->n;
    }
    bool some = name->n > 0 || value->p;
    *s = str_from_index(*s, i);
    return some;
}

static struct str attribute(const struct tag *t, const char *wanted)
{
    struct str rest = t->attributes, name, value;
    while (next_attribute(&rest, &name, &value)) {
        if (str_iis(name, wanted))
            return value.p ? value : STR("");
    }
    return STR_NONE;
}

/* A cheap look before attributes are taken apart: "none" or "hidden" in any case. */
static bool may_be_hidden(struct str s)
{
    for (size_t i = 0; i + 4 <= s.n; i++) {
        char c = (char)(s.p[i] | 0x20);
        if (c != 'n' && c != 'h')
            continue;
        struct str rest = str_from(s.p + i, s.n - i);
        if (str_istarts(rest, STR("none")) || str_istarts(rest, STR("hidden")))
            return true;
    }
    return false;
}

static bool is_hidden(const struct tag *t)
{
    if (!may_be_hidden(t->attributes))
        return false;
    struct str style = attribute(t, "style");
    ptrdiff_t at = str_ifind(style, STR("display"));
    if (at >= 0) {
        struct str rest = str_trim(str_from_index(style, (size_t)at + 7));
        if (rest.n && rest.p[0] == ':' &&
            str_istarts(str_trim(str_from_index(rest, 1)), STR("none")))
            return true;
    }
    return attribute(t, "hidden").p != NULL;
}

/* Decodes references and drops blanks at the ends and controls. */
static size_t decode_attribute(struct str s, char *out, size_t size)
{
    size_t n = 0;
    s = str_trim(s);
    for (size_t i = 0; i < s.n && n + 4 < size;) {
        uint32_t c;
        size_t length = s.p[i] == '&' ? text_entity(str_from_index(s, i), &c) : 0;
        if (length) {
            n += utf8_encode(c, out + n);
            i += length;
            continue;
        }
        if ((unsigned char)s.p[i] >= 0x20)
            out[n++] = s.p[i];
        i++;
    }
    return n;
}

/* ---- tags ---- */

static enum tag_kind kind_of(struct str name)
{
    char small[12];
    if (name.n == 0 || name.n > 10)
        return TAG_OTHER;
    for (size_t i = 0; i < name.n; i++)
        small[i] = ascii_lower(name.p[i]);
    small[name.n] = 0;
    for (size_t i = 0; i < countof(tags); i++) {
        if (tags[i].name[0] == small[0] && tags[i].name[1] == small[1] &&
            strcmp(tags[i].name, small) == 0)
            return tags[i].kind;
    }
    return TAG_OTHER;
}

static struct tag read_tag(struct str s)
{
    struct tag t = {STR_NONE, STR_NONE, false, TAG_OTHER};
    size_t i = 1;
    t.closing = s.n > 1 && s.p[1] == '/';
    i += t.closing;
    size_t start = i;
    while (i < s.n && ascii_isalnum(s.p[i]))
        i++;
    t.name = str_cut(s, start, i - start);
    t.attributes = str_cut(s, i, s.n > i ? s.n - i - 1 : 0);
    t.kind = kind_of(t.name);
    return t;
}

static void begin_link(struct reader *r, const struct tag *t)
{
    r->href_n = decode_attribute(attribute(t, "href"), r->href, sizeof(r->href));
    struct str href = str_from(r->href, r->href_n);
    if (href.n == 0 || href.p[0] == '#' || str_istarts(href, STR("javascript:")) ||
        str_istarts(href, STR("data:")))
        r->href_n = 0;
    r->in_link = true;
    r->link_has_text = false;
}

/* True when the link's text says where it leads already. */
static bool text_is_target(struct str text, struct str href)
{
    static const char *const schemes[] = {"https://", "http://", "mailto:", "tel:"};
    if (str_ieq(text, href))
        return true;
    for (size_t i = 0; i < countof(schemes); i++) {
        if (str_istarts(href, str_of(schemes[i])))
            href = str_from_index(href, strlen(schemes[i]));
    }
    if (str_ends(href, STR("/")))
        href.n--;
    return str_ieq(text, href);
}

static void end_link(struct reader *r)
{
    struct str href = str_from(r->href, r->href_n);
    if (!r->in_link)
        return;
    r->in_link = false;
    if (href.n == 0)
        return;
    if (!r->link_has_text) {
        put_word(r, href.p, href.n);
        return;
    }
    struct str text = str_from_index(buf_str(r->out), r->link_start);
    if (text_is_target(str_trim(text), href))
        return;
    put(r, " (", 2);
    put(r, href.p, href.n);
    put(r, ")", 1);
}

static void put_item(struct reader *r)
{
    int level = MIN(r->depth, LISTS_MAX);
    char mark[48];
    size_t n = 0;
    want_newlines(r, 1);
    for (int i = 1; i < level; i++) {
        mark[n++] = ' ';
        mark[n++] = ' ';
    }
    bool ordered = level > 0 && r->lists[level - 1].ordered;
    if (ordered) {
        char digits[12];
        int v = ++r->lists[level - 1].count, k = 0;
        for (; v > 0; v /= 10)
            digits[k++] = (char)('0' + v % 10);
        while (k > 0)
            mark[n++] = digits[--k];
        mark[n++] = '.';
    } else {
        mark[n++] = '-';
    }
    put_word(r, mark, n);
    r->blank = true;
}

static void list_tag(struct reader *r, const struct tag *t)
{
    want_newlines(r, r->depth > (t->closing ? 1 : 0) ? 1 : 2);
    if (t->closing) {
        r->depth -= r->depth > 0;
        return;
    }
    if (r->depth < LISTS_MAX) {
        r->lists[r->depth].ordered = str_iis(t->name, "ol");
        r->lists[r->depth].count = 0;
    }
    r->depth++;
}

static void image_tag(struct reader *r, const struct tag *t)
{
    char alt[512];
    size_t n = decode_attribute(attribute(t, "alt"), alt, sizeof(alt));
    if (n)
        put_text(r, str_from(alt, n));
}

static void handle_tag(struct reader *r, const struct tag *t)
{
    switch (t->kind) {
    case TAG_LINE: want_newlines(r, 1); break;
    case TAG_PARAGRAPH: want_newlines(r, 2); break;
    case TAG_BREAK:
        r->newlines += 1;
        r->blank = false;
        break;
    case TAG_RULE:
        want_newlines(r, 1);
        put_word(r, "----", 4);
        want_newlines(r, 1);
        break;
    case TAG_CELL: r->blank = true; break;
    case TAG_ITEM:
        if (t->closing)
            want_newlines(r, 1);
        else
            put_item(r);
        break;
    case TAG_LIST: list_tag(r, t); break;
    case TAG_LINK:
        end_link(r);
        if (!t->closing)
            begin_link(r, t);
        break;
    case TAG_IMAGE: image_tag(r, t); break;
    case TAG_PRE:
        want_newlines(r, 2);
        r->pre = MAX(r->pre + (t->closing ? -1 : 1), 0);
        break;
    case TAG_SKIP:
    case TAG_OTHER: break;
    }
}

/* Bytes up to and including "</name ...>"; all when it never closes. */
static size_t skip_length(struct str s, struct str name)
{
    for (size_t i = 0; i + 2 + name.n <= s.n; i++) {
        const char *p = memchr(s.p + i, '<', s.n - i);
        if (!p)
            break;
        i = (size_t)(p - s.p);
        struct str rest = str_from_index(s, i);
        if (rest.n > 2 && rest.p[1] == '/' && str_istarts(str_from_index(rest, 2), name))
            return i + text_tag_length(rest);
    }
    return s.n;
}

static bool is_void(struct str name)
{
    static const char *const names[] = {"br", "img", "hr", "input", "meta", "link", "wbr", "col"};
    for (size_t i = 0; i < countof(names); i++) {
        if (str_iis(name, names[i]))
            return true;
    }
    return false;
}

/* The tag at the start of s, `length` bytes long; gives the bytes taken. */
static size_t take_tag(struct reader *r, struct str s, size_t length)
{
    struct tag t = read_tag(str_cut(s, 0, length));
    if (t.name.n == 0)
        return length;
    if (t.kind == TAG_SKIP && !t.closing)
        return length + skip_length(str_from_index(s, length), t.name);
    if (r->hidden_depth) {
        if (str_ieq(t.name, r->hidden))
            r->hidden_depth += t.closing ? -1 : 1;
        return length;
    }
    if (!t.closing && is_hidden(&t) && !is_void(t.name)) {
        r->hidden = t.name;
        r->hidden_depth = 1;
        return length;
    }
    handle_tag(r, &t);
    return length;
}

/* The text at the start of s up to the next tag, reference or piece of a template; gives its
 * length, at least 1. */
static size_t take_text(struct reader *r, struct str s)
{
    size_t n = 1;
    while (n < s.n && s.p[n] != '<' && s.p[n] != '&' && s.p[n] != '{')
        n++;
    if (!r->hidden_depth)
        put_text(r, str_cut(s, 0, n));
    return n;
}

bool mime_text_of_html(struct str html, struct buf *out)
{
    struct reader r = {.out = out, .ok = true};
    size_t i = 0;
    while (i < html.n && r.ok) {
        struct str rest = str_from_index(html, i);
        size_t length = 0;
        uint32_t c = 0;
        if (rest.p[0] == '<' && (length = text_tag_length(rest)) > 0) {
            length = take_tag(&r, rest, length);
        } else if (rest.p[0] == '&' && (length = text_entity(rest, &c)) > 0) {
            if (!r.hidden_depth)
                put_character(&r, c);
        } else if (rest.p[0] == '{' && (length = text_liquid_length(rest)) > 0) {
            if (!r.hidden_depth)
                put_word(&r, rest.p, length);
        } else {
            length = take_text(&r, rest);
        }
        i += length;
    }
    end_link(&r);
    if (out->n)
        put(&r, "\n", 1);
    return r.ok;
}
