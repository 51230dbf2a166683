/* Splits the source into text, outputs and tags and drives their compilation; whitespace control,
 * comment and raw live here. Also the questions that may be asked of a compiled template. */
#include "mail/template_parts.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "mail/utf8.h"

struct scan {
    struct compiler *c;
    const char *p, *end;
    const char *text; /* start of the text that was not yet emitted */
    bool trim_next;   /* the last tag ended with "-" */
    struct blocks blocks;
};

/* ---- text ---- */

static void trim_left(struct str *s)
{
    size_t length;
    while (s->n && utf8_is_space(utf8_decode(s->p, s->n, &length)))
        *s = str_from(s->p + length, s->n - length);
}

static void trim_right(struct str *s)
{
    while (s->n) {
        size_t n = 1, length;
        while (n < 3 && n < s->n && ((unsigned char)s->p[s->n - n] & 0xC0) == 0x80)
            n++;
        if (!utf8_is_space(utf8_decode(s->p + s->n - n, n, &length)))
            return;
        s->n -= n;
    }
}

/* Emits the text up to `to`; `trim` when the tag that follows begins with "-". */
static void emit_text(struct scan *s, const char *to, bool trim)
{
    struct str text = str_from(s->text, (size_t)(to - s->text));
    if (s->trim_next)
        trim_left(&text);
    if (trim)
        trim_right(&text);
    s->trim_next = false;
    if (text.n)
        compile_op(s->c, OP_TEXT)->text = text;
}

/* ---- delimiters ---- */

/* Where the tag at p ends: the place of "%}" or "}}", quotes respected; NULL when nowhere. */
static const char *find_close(const char *p, const char *end, char first)
{
    char quote = 0;
    const char *plain = NULL;
    for (; p + 1 < end; p++) {
        bool closes = p[0] == first && p[1] == '}';
        if (closes && !plain)
            plain = p;
        if (closes && !quote)
            return p;
        if (quote && *p == '\\')
            p++;
        else if (quote ? *p == quote : *p == '"' || *p == '\'')
            quote = quote ? 0 : *p;
        if (plain && p - plain > TEMPLATE_TAG_MAX)
            break;
    }
    return plain;
}

struct piece {
    const char *at; /* its "{" */
    struct lexer inside;
    const char *after; /* behind its "}" */
    bool trim_before, trim_after;
};

/* Reads the delimiters of the tag or output at s->p. */
static bool read_piece(struct scan *s, struct piece *out)
{
    char close = s->p[1] == '{' ? '}' : '%';
    const char *p = s->p + 2, *q;
    *out = (struct piece){.at = s->p};
    out->trim_before = p < s->end && *p == '-';
    p += out->trim_before;
    q = find_close(p, s->end, close);
    if (!q)
        return compile_fail(s->c, s->p, "`{%c` is not closed by `%c}`", s->p[1], close);
    if (q - p > TEMPLATE_TAG_MAX)
        return compile_fail(s->c, s->p, "a tag is longer than %d bytes", TEMPLATE_TAG_MAX);
    out->after = q + 2;
    out->trim_after = q > p && q[-1] == '-';
    out->inside = (struct lexer){s->c, p, q - out->trim_after, 0};
    return true;
}

/* ---- comment and raw ---- */

/* The next {% name %} from p on, as a piece. */
static bool find_tag(struct scan *s, const char *from, const char *name, struct piece *out)
{
    const char *p = from;
    while (p < s->end && (p = memchr(p, '{', (size_t)(s->end - p)))) {
        struct lexer l = {s->c, p + 2, s->end, 0};
        out->at = p;
        if (s->end - p > 4 && p[1] == '%') {
            out->trim_before = *l.p == '-';
            l.p += out->trim_before;
            if (lexer_take_word(&l, name)) {
                lexer_skip(&l);
                out->trim_after = l.p < l.end && *l.p == '-';
                l.p += out->trim_after;
                out->after = l.p + 2;
                if (l.end - l.p >= 2 && l.p[0] == '%' && l.p[1] == '}')
                    return true;
            }
        }
        p++;
    }
    return false;
}

static bool skip_comment(struct scan *s, const struct piece *tag)
{
    struct piece end;
    if (!find_tag(s, tag->after, "endcomment", &end))
        return compile_fail(s->c, tag->at,
                            "{%% comment %%} is not closed: {%% endcomment %%} is missing");
    s->p = s->text = end.after;
    s->trim_next = end.trim_after;
    return true;
}

static bool copy_raw(struct scan *s, const struct piece *tag)
{
    struct piece end;
    if (!find_tag(s, tag->after, "endraw", &end))
        return compile_fail(s->c, tag->at, "{%% raw %%} is not closed: {%% endraw %%} is missing");
    s->text = tag->after;
    s->trim_next = tag->trim_after;
    emit_text(s, end.at, end.trim_before);
    s->p = s->text = end.after;
    s->trim_next = end.trim_after;
    return true;
}

/* ---- the walk ---- */

static bool compile_tag(struct scan *s, struct piece *piece)
{
    struct lexer *l = &piece->inside;
    lexer_skip(l);
    if (l->p < l->end && *l->p == '#')
        return true;
    struct str name = lexer_name(l);
    if (name.n == 0)
        return compile_fail(s->c, piece->at, "the name of the tag is missing after `{%%`");
    if (str_is(name, "comment"))
        return skip_comment(s, piece);
    if (str_is(name, "raw"))
        return lexer_expect_end(l, "{% raw %}") && copy_raw(s, piece);
    return block_tag(s->c, &s->blocks, name, l, piece->at);
}

static bool compile_output(struct scan *s, struct piece *piece)
{
    uint32_t chain;
    struct lexer *l = &piece->inside;
    if (lexer_at_end(l))
        return compile_fail(s->c, piece->at, "`{{ }}` is empty");
    if (!expr_chain(l, &chain) || !lexer_expect_end(l, "the value"))
        return false;
    compile_op(s->c, OP_PRINT)->a = chain;
    return true;
}

static bool compile_all(struct scan *s)
{
    while (s->p < s->end) {
        struct piece piece;
        const char *brace = memchr(s->p, '{', (size_t)(s->end - s->p));
        if (!brace || brace + 1 == s->end)
            break;
        s->p = brace + 1;
        if (brace[1] != '{' && brace[1] != '%')
            continue;
        s->p = brace;
        if (!read_piece(s, &piece))
            return false;
        emit_text(s, brace, piece.trim_before);
        s->p = s->text = piece.after;
        s->trim_next = piece.trim_after;
        if (!(brace[1] == '{' ? compile_output(s, &piece) : compile_tag(s, &piece)))
            return false;
    }
    emit_text(s, s->end, false);
    return block_all_closed(s->c, &s->blocks);
}

static bool check_source(struct str source, struct err *e)
{
    size_t line = 1;
    if (source.n > TEMPLATE_SOURCE_MAX)
        return err_set(e, ERR_TOO_BIG, "the template is larger than 1 MB");
    if (str_is_utf8(source))
        return true;
    for (size_t i = 0; i < source.n;) {
        size_t length = utf8_length(source.p + i, source.n - i);
        if (length == 0)
            break;
        line += source.p[i] == '\n';
        i += length;
    }
    return err_set(e, ERR_INVALID, "line %zu: the template is not UTF-8", line);
}

bool template_compile(struct str source, enum template_kind kind, struct template **out,
                      struct err *e)
{
    *out = NULL;
    if (!check_source(source, e))
        return false;
    struct template *t = alloc_one(struct template);
    t->kind = kind;
    t->source = alloc_bytes(source.n + 1);
    if (source.n)
        memcpy(t->source, source.p, source.n);
    t->strings = arena_new(4 * TEMPLATE_SOURCE_MAX);
    struct compiler *c = alloc_one(struct compiler);
    struct scan *s = alloc_one(struct scan);
    c->t = t;
    c->e = e;
    c->source = str_from(t->source, source.n);
    s->c = c;
    s->p = s->text = t->source;
    s->end = t->source + source.n;
    bool ok = compile_all(s);
    free(s);
    free(c);
    if (ok)
        *out = t;
    else
        template_free(&t);
    return ok;
}

void template_free(struct template **t)
{
    struct template *x = *t;
    *t = NULL;
    if (!x)
        return;
    free(x->source);
    arena_free(&x->strings);
    free(x->ops);
    free(x->chains);
    free(x->conditions);
    free(x->terms);
    free(x->filters);
    free(x->loops);
    free(x->variables);
    free(x);
}

size_t template_variables(const struct template *t)
{
    return t->n_variables;
}

struct str template_variable(const struct template *t, size_t i, bool *has_default_out,
                             int *line_out, int *column_out)
{
    const struct variable *v = &t->variables[i];
    if (has_default_out)
        *has_default_out = v->has_default;
    if (line_out)
        *line_out = v->line;
    if (column_out)
        *column_out = v->column;
    return v->name;
}
