/* Template tags are put aside before cmark-gfm reads the text and put back into its HTML: each
 * becomes a word of letters and digits, which no Markdown rule touches. */
#include "mail/markdown.h"

#include "base/alloc.h"

#include <cmark-gfm.h>
#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm-extension_api.h>
#include <stdio.h>
#include <stdlib.h>

#define MARK        "pfTagQ"
#define MARK_DIGITS 6
#define MARK_BYTES  (sizeof(MARK) - 1 + MARK_DIGITS)
#define TAGS_MAX    100000u

struct tags {
    struct str *at;
    size_t n, cap;
};

/* The tag at the front of s, or nothing. */
static struct str tag_at(struct str s)
{
    if (s.n < 4 || s.p[0] != '{' || (s.p[1] != '{' && s.p[1] != '%'))
        return STR_NONE;
    ptrdiff_t end = str_find(str_from_index(s, 2), s.p[1] == '{' ? STR("}}") : STR("%}"));
    return end < 0 ? STR_NONE : str_cut(s, 0, (size_t)end + 4);
}

static bool put_aside(struct str source, struct tags *t, struct buf *out)
{
    char mark[MARK_BYTES + 8];
    while (source.n) {
        struct str tag = tag_at(source);
        if (!tag.n) {
            if (!buf_addc(out, source.p[0]))
                return false;
            source = str_from_index(source, 1);
            continue;
        }
        if (t->n >= TAGS_MAX)
            return false;
        if (t->n == t->cap) {
            t->cap = t->cap ? t->cap * 2 : 64;
            t->at = alloc_resize(t->at, t->cap * sizeof(*t->at));
        }
        snprintf(mark, sizeof(mark), MARK "%0*u", MARK_DIGITS, (unsigned)t->n);
        t->at[t->n++] = tag;
        if (!buf_adds(out, mark))
            return false;
        source = str_from_index(source, tag.n);
    }
    return true;
}

static bool put_back(struct str html, const struct tags *t, struct buf *out)
{
    for (;;) {
        ptrdiff_t at = str_find(html, STR(MARK));
        if (at < 0)
            return buf_addstr(out, html);
        uint64_t i = 0;
        struct str digits = str_cut(html, (size_t)at + sizeof(MARK) - 1, MARK_DIGITS);
        bool is_ours = digits.n == MARK_DIGITS && str_to_u64(digits, TAGS_MAX, &i) && i < t->n;
        size_t keep = (size_t)at + (is_ours ? 0 : sizeof(MARK) - 1);
        if (!buf_addstr(out, str_cut(html, 0, keep)) || (is_ours && !buf_addstr(out, t->at[i])))
            return false;
        html = str_from_index(html, is_ours ? (size_t)at + MARK_BYTES : keep);
    }
}

static char *render(struct str source)
{
    static const char *const extensions[] = {"table", "strikethrough", "autolink"};
    cmark_gfm_core_extensions_ensure_registered();
    cmark_parser *parser = cmark_parser_new(CMARK_OPT_DEFAULT);
    for (size_t i = 0; i < countof(extensions); i++) {
        cmark_syntax_extension *x = cmark_find_syntax_extension(extensions[i]);
        if (x)
            cmark_parser_attach_syntax_extension(parser, x);
    }
    cmark_parser_feed(parser, source.p, source.n);
    cmark_node *document = cmark_parser_finish(parser);
    char *html =
        cmark_render_html(document, CMARK_OPT_UNSAFE, cmark_parser_get_syntax_extensions(parser));
    cmark_node_free(document);
    cmark_parser_free(parser);
    return html;
}

bool markdown_to_html(struct str source, struct buf *out, struct err *e)
{
    if (source.n > MARKDOWN_MAX)
        return err_set(e, ERR_TOO_BIG, "markdown: over %u bytes", MARKDOWN_MAX);
    struct tags t = {0};
    struct buf plain;
    buf_init(&plain, MARKDOWN_MAX * 4);
    bool ok = put_aside(source, &t, &plain);
    char *html = ok ? render(buf_str(&plain)) : NULL;
    ok = ok && put_back(str_of(html), &t, out);
    free(html);
    free(t.at);
    buf_free(&plain);
    return ok || err_set(e, ERR_TOO_BIG, "markdown: its HTML would be too large");
}
