/* Reads words, numbers and quoted texts inside "{{ }}" and "{% %}", and turns places into lines and
 * columns for errors. Columns count characters, from 1. */
#include "mail/template_parts.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

void *template_grow(void *p, size_t n, size_t *cap, size_t size)
{
    if (n == *cap) {
        *cap = *cap ? *cap * 2 : 16;
        p = alloc_resize(p, *cap * size);
    }
    memset((char *)p + n * size, 0, size);
    return p;
}

void compile_position(struct compiler *c, const char *p, int *line_out, int *column_out)
{
    if (!c->seen || c->seen > p) {
        c->seen = c->source.p;
        c->line = c->column = 1;
    }
    for (; c->seen < p; c->seen++) {
        if (*c->seen == '\n') {
            c->line++;
            c->column = 1;
        } else if (((unsigned char)*c->seen & 0xC0) != 0x80) {
            c->column++;
        }
    }
    *line_out = c->line;
    *column_out = c->column;
}

bool compile_fail(struct compiler *c, const char *p, const char *fmt, ...)
{
    char text[400];
    int line, column;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* A quoted piece of the template must not break the one line of an error. */
    for (char *q = text; *q; q++) {
        if ((unsigned char)*q < 0x20 || *q == 0x7F)
            *q = ' ';
    }
    compile_position(c, p, &line, &column);
    return err_set(c->e, ERR_INVALID, "line %d, column %d: %s", line, column, text);
}

void lexer_skip(struct lexer *l)
{
    while (l->p < l->end && ascii_isspace(*l->p))
        l->p++;
}

bool lexer_at_end(struct lexer *l)
{
    lexer_skip(l);
    return l->p == l->end;
}

bool lexer_take(struct lexer *l, const char *punctuation)
{
    size_t n = strlen(punctuation);
    lexer_skip(l);
    if ((size_t)(l->end - l->p) < n || memcmp(l->p, punctuation, n) != 0)
        return false;
    l->p += n;
    return true;
}

static bool is_name_start(char c)
{
    return ascii_isalpha(c) || c == '_';
}

static bool is_name_part(char c)
{
    return ascii_isalnum(c) || c == '_' || c == '-';
}

struct str lexer_name(struct lexer *l)
{
    lexer_skip(l);
    const char *start = l->p;
    if (l->p < l->end && is_name_start(*l->p)) {
        while (l->p < l->end && is_name_part(*l->p))
            l->p++;
    }
    return str_from(start, (size_t)(l->p - start));
}

bool lexer_take_word(struct lexer *l, const char *word)
{
    const char *before = l->p;
    if (str_is(lexer_name(l), word))
        return true;
    l->p = before;
    return false;
}

bool lexer_number(struct lexer *l, double *out)
{
    lexer_skip(l);
    const char *q = l->p;
    if (q < l->end && (*q == '-' || *q == '+'))
        q++;
    if (q == l->end || !ascii_isdigit(*q))
        return false;
    while (q < l->end && ascii_isdigit(*q))
        q++;
    /* "1..3" is a range, not a number with a fraction. */
    if (q + 1 < l->end && q[0] == '.' && ascii_isdigit(q[1])) {
        q++;
        while (q < l->end && ascii_isdigit(*q))
            q++;
    }
    if (q < l->end && is_name_start(*q))
        return false;
    if (!number_parse(str_from(l->p, (size_t)(q - l->p)), out))
        return false;
    l->p = q;
    return true;
}

static char unescape(char c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'v': return '\v';
    default: return c;
    }
}

bool lexer_quoted(struct lexer *l, struct str *out, bool *found)
{
    lexer_skip(l);
    *found = l->p < l->end && (*l->p == '"' || *l->p == '\'');
    if (!*found)
        return true;
    const char *start = l->p, *q = start + 1;
    bool escapes = false;
    for (; q < l->end && *q != *start; q++) {
        if (*q == '\\' && q + 1 < l->end) {
            escapes = true;
            q++;
        }
    }
    if (q == l->end)
        return compile_fail(l->c, start, "the quote is not closed");
    l->p = q + 1;
    *out = str_from(start + 1, (size_t)(q - start - 1));
    if (!escapes)
        return true;
    struct str copy = arena_str(l->c->t->strings, *out);
    if (!copy.p)
        return compile_fail(l->c, start, "the template holds too many texts");
    char *w = (char *)copy.p;
    size_t n = 0;
    for (size_t i = 0; i < copy.n; i++) {
        bool escape = copy.p[i] == '\\' && i + 1 < copy.n;
        i += escape;
        w[n++] = escape ? unescape(copy.p[i]) : copy.p[i];
    }
    *out = str_from(copy.p, n);
    return true;
}

bool lexer_expect_end(struct lexer *l, const char *after)
{
    if (lexer_at_end(l))
        return true;
    size_t n = MIN((size_t)(l->end - l->p), 20);
    while (n > 0 && n < (size_t)(l->end - l->p) && ((unsigned char)l->p[n] & 0xC0) == 0x80)
        n--;
    return compile_fail(l->c, l->p, "unexpected `%.*s` after %s", (int)n, l->p, after);
}
