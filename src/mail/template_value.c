/* Values while a template is rendered: what is true, equal, greater, and how a value is printed.
 * Follows ECMAScript's rules where Liquid's JavaScript implementation shows them. Uses no locale.
 */
#include "mail/template_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "mail/utf8.h"

void *memory_get(struct memory *m, size_t n)
{
    size_t rounded = (n + 15) & ~(size_t)15;
    if (rounded <= m->stack_n - m->stack_used) {
        void *p = m->stack + m->stack_used;
        m->stack_used += rounded;
        return p;
    }
    if (!m->arena)
        m->arena = arena_new(TEMPLATE_MEMORY_MAX);
    return arena_alloc(m->arena, n ? n : 1);
}

struct value value_text(struct str s)
{
    return (struct value){.kind = VALUE_TEXT, .text = s};
}

struct value value_number(double n)
{
    return (struct value){.kind = VALUE_NUMBER, .number = n};
}

bool value_is_truthy(const struct value *v)
{
    return v->kind != VALUE_NIL && v->kind != VALUE_FALSE;
}

/* ---- numbers ---- */

bool number_parse(struct str s, double *out)
{
    char copy[64];
    bool digits = false;
    s = str_trim(s);
    if (s.n == 0 || s.n >= sizeof(copy))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        digits = digits || ascii_isdigit(c);
        bool sign = (c == '-' || c == '+') && (i == 0 || s.p[i - 1] == 'e' || s.p[i - 1] == 'E');
        bool exponent = (c == 'e' || c == 'E') && digits;
        if (!ascii_isdigit(c) && c != '.' && !sign && !exponent)
            return false;
        copy[i] = c;
    }
    copy[s.n] = 0;
    char *end = NULL;
    double v = strtod(copy, &end);
    if (!digits || *end || !(v > -1e300 && v < 1e300))
        return false;
    *out = v;
    return true;
}

/* The shortest decimal that reads back as the same number. */
size_t number_format(double n, char out[NUMBER_SIZE])
{
    if (!(n > -1e300 && n < 1e300)) {
        out[0] = 0;
        return 0;
    }
    if (n > -1e15 && n < 1e15 && n == (double)(int64_t)n)
        return (size_t)snprintf(out, NUMBER_SIZE, "%lld", (long long)n);
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(out, NUMBER_SIZE, "%.*g", precision, n);
        if (strtod(out, NULL) == n)
            break;
    }
    return strlen(out);
}

double value_to_number(const struct value *v)
{
    double n = 0;
    if (v->kind == VALUE_NUMBER)
        return v->number;
    if (v->kind == VALUE_TRUE)
        return 1;
    if (v->kind == VALUE_TEXT && number_parse(v->text, &n))
        return n;
    return 0;
}

/* ---- comparing ---- */

static bool is_empty(const struct value *v)
{
    if (v->kind == VALUE_TEXT)
        return v->text.n == 0;
    return (v->kind == VALUE_LIST || v->kind == VALUE_RANGE) && value_count(v) == 0;
}

static bool is_blank(const struct value *v)
{
    if (v->kind == VALUE_NIL || v->kind == VALUE_FALSE || is_empty(v))
        return true;
    if (v->kind != VALUE_TEXT)
        return false;
    for (size_t i = 0, length; i < v->text.n; i += length) {
        uint32_t c = utf8_decode(v->text.p + i, v->text.n - i, &length);
        if (length == 0 || !utf8_is_space(c))
            return false;
    }
    return true;
}

static bool lists_equal(const struct value *a, const struct value *b)
{
    size_t n = value_count(a);
    if (n != value_count(b))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct value x, y;
        if (!value_item(a, i, &x) || !value_item(b, i, &y) || !value_equals(&x, &y))
            return false;
    }
    return true;
}

bool value_equals(const struct value *a, const struct value *b)
{
    double n;
    if (a->kind == VALUE_EMPTY || b->kind == VALUE_EMPTY)
        return is_empty(a->kind == VALUE_EMPTY ? b : a);
    if (a->kind == VALUE_BLANK || b->kind == VALUE_BLANK)
        return is_blank(a->kind == VALUE_BLANK ? b : a);
    if (a->kind == VALUE_TEXT && b->kind == VALUE_NUMBER)
        return number_parse(a->text, &n) && n == b->number;
    if (a->kind == VALUE_NUMBER && b->kind == VALUE_TEXT)
        return number_parse(b->text, &n) && n == a->number;
    bool a_list = a->kind == VALUE_LIST || a->kind == VALUE_RANGE;
    bool b_list = b->kind == VALUE_LIST || b->kind == VALUE_RANGE;
    if (a_list || b_list)
        return a_list && b_list && lists_equal(a, b);
    if (a->kind != b->kind)
        return false;
    if (a->kind == VALUE_TEXT)
        return str_eq(a->text, b->text);
    return a->kind != VALUE_NUMBER || a->number == b->number;
}

static bool to_ordered(const struct value *v, double *out)
{
    if (v->kind == VALUE_NUMBER)
        *out = v->number;
    else if (v->kind == VALUE_TRUE || v->kind == VALUE_FALSE)
        *out = v->kind == VALUE_TRUE;
    else
        return v->kind == VALUE_TEXT && number_parse(v->text, out);
    return true;
}

bool value_compare(const struct value *a, const struct value *b, int *order_out)
{
    double x, y;
    if (a->kind == VALUE_TEXT && b->kind == VALUE_TEXT) {
        size_t n = MIN(a->text.n, b->text.n);
        int order = n ? memcmp(a->text.p, b->text.p, n) : 0;
        if (order == 0)
            order = (a->text.n > b->text.n) - (a->text.n < b->text.n);
        *order_out = order;
        return true;
    }
    if (!to_ordered(a, &x) || !to_ordered(b, &y))
        return false;
    *order_out = (x > y) - (x < y);
    return true;
}

bool value_contains(const struct value *whole, const struct value *part, struct memory *m)
{
    struct str text;
    if (whole->kind == VALUE_TEXT) {
        if (part->kind == VALUE_NIL || !value_to_text(part, m, &text))
            return false;
        return text.n == 0 || str_find(whole->text, text) >= 0;
    }
    if (whole->kind != VALUE_LIST && whole->kind != VALUE_RANGE)
        return false;
    for (size_t i = 0; i < value_count(whole); i++) {
        struct value item;
        if (value_item(whole, i, &item) && value_equals(&item, part))
            return true;
    }
    return false;
}

/* ---- lists ---- */

size_t value_count(const struct value *v)
{
    switch (v->kind) {
    case VALUE_LIST: return v->n_items;
    case VALUE_RANGE: return v->to >= v->from ? (size_t)(v->to - v->from) + 1 : 0;
    case VALUE_TEXT: return v->text.n > 0;
    default: return 0;
    }
}

bool value_item(const struct value *v, size_t i, struct value *out)
{
    if (i >= value_count(v))
        return false;
    if (v->kind == VALUE_RANGE)
        *out = value_number((double)(v->from + (int64_t)i));
    else
        *out = value_text(v->kind == VALUE_LIST ? v->items[i] : v->text);
    out->flags = v->flags;
    return true;
}

/* ---- printing ---- */

static bool join_all(const struct value *v, struct memory *m, struct str *out)
{
    size_t n = value_count(v), length = 0;
    char digits[NUMBER_SIZE];
    if (v->kind == VALUE_RANGE && n > TEMPLATE_MEMORY_MAX / NUMBER_SIZE)
        return false;
    for (size_t i = 0; i < n; i++)
        length += v->kind == VALUE_LIST ? v->items[i].n
                                        : number_format((double)(v->from + (int64_t)i), digits);
    char *p = memory_get(m, length + 1);
    if (!p)
        return false;
    *out = str_from(p, length);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        if (v->kind == VALUE_RANGE) {
            k = number_format((double)(v->from + (int64_t)i), digits);
            memcpy(p, digits, k);
        } else if ((k = v->items[i].n) > 0) {
            memcpy(p, v->items[i].p, k);
        }
        p += k;
    }
    return true;
}

bool value_to_text(const struct value *v, struct memory *m, struct str *out)
{
    char *p;
    switch ((enum value_kind)v->kind) {
    case VALUE_TEXT: *out = v->text; return true;
    case VALUE_FALSE: *out = STR("false"); return true;
    case VALUE_TRUE: *out = STR("true"); return true;
    case VALUE_NUMBER:
        p = memory_get(m, NUMBER_SIZE);
        if (!p)
            return false;
        *out = str_from(p, number_format(v->number, p));
        return true;
    case VALUE_LIST:
    case VALUE_RANGE: return join_all(v, m, out);
    case VALUE_NIL:
    case VALUE_EMPTY:
    case VALUE_BLANK: break;
    }
    *out = STR("");
    return true;
}
