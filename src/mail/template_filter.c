/* Filters on numbers, lists and values as such. Texts have their own file (template_text.c).
 * Division by zero gives nothing, so that a bad figure of one contact does not stop a campaign. */
#include "mail/template_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "mail/utf8.h"

#define EXACT_MAX 9007199254740992.0 /* integers up to here are exact */

/* ---- numbers ---- */

static double toward_zero(double n)
{
    return n > -EXACT_MAX && n < EXACT_MAX ? (double)(int64_t)n : n;
}

static double floor_of(double n)
{
    double t = toward_zero(n);
    return t > n ? t - 1 : t;
}

static bool filter_plus(const struct call *c, struct value *v)
{
    *v = value_number(value_to_number(v) + value_to_number(&c->args[0]));
    return true;
}

static bool filter_minus(const struct call *c, struct value *v)
{
    *v = value_number(value_to_number(v) - value_to_number(&c->args[0]));
    return true;
}

static bool filter_times(const struct call *c, struct value *v)
{
    *v = value_number(value_to_number(v) * value_to_number(&c->args[0]));
    return true;
}

static bool filter_divided_by(const struct call *c, struct value *v)
{
    double by = value_to_number(&c->args[0]);
    double n = value_to_number(v);
    *v = by == 0 ? (struct value){.kind = VALUE_NIL} : value_number(n / by);
    return true;
}

static bool filter_modulo(const struct call *c, struct value *v)
{
    double by = value_to_number(&c->args[0]), n = value_to_number(v);
    *v = by == 0 ? (struct value){.kind = VALUE_NIL} : value_number(n - by * floor_of(n / by));
    return true;
}

/* n x 10^exponent by its decimal digits, so that 1.005 rounds to 1.01. */
static double shift_decimal(double n, int exponent)
{
    char text[NUMBER_SIZE], shifted[NUMBER_SIZE + 16];
    (void)number_format(n, text);
    char *e = strchr(text, 'e');
    int power = e ? (int)strtol(e + 1, NULL, 10) : 0;
    size_t digits = e ? (size_t)(e - text) : strlen(text);
    (void)snprintf(shifted, sizeof(shifted), "%.*se%d", (int)digits, text, power + exponent);
    return strtod(shifted, NULL);
}

static bool filter_round(const struct call *c, struct value *v)
{
    double n = value_to_number(v), places = c->n_args ? value_to_number(&c->args[0]) : 0;
    int digits = (int)MIN(MAX(places, -15), 15);
    double scaled = shift_decimal(n < 0 ? -n : n, digits);
    if (scaled < EXACT_MAX) {
        double rounded = shift_decimal(floor_of(scaled + 0.5), -digits);
        n = n < 0 && rounded != 0 ? -rounded : rounded;
    }
    *v = value_number(n);
    return true;
}

static bool filter_floor(const struct call *c, struct value *v)
{
    (void)c;
    *v = value_number(floor_of(value_to_number(v)));
    return true;
}

static bool filter_ceil(const struct call *c, struct value *v)
{
    (void)c;
    double up = floor_of(-value_to_number(v));
    *v = value_number(up == 0 ? 0 : -up);
    return true;
}

static bool filter_abs(const struct call *c, struct value *v)
{
    (void)c;
    double n = value_to_number(v);
    *v = value_number(n < 0 ? -n : n);
    return true;
}

static bool filter_at_least(const struct call *c, struct value *v)
{
    double n = value_to_number(v), bound = value_to_number(&c->args[0]);
    *v = value_number(MAX(n, bound));
    return true;
}

static bool filter_at_most(const struct call *c, struct value *v)
{
    double n = value_to_number(v), bound = value_to_number(&c->args[0]);
    *v = value_number(MIN(n, bound));
    return true;
}

/* ---- lists ---- */

bool filter_size(const struct call *c, struct value *v)
{
    (void)c;
    if (v->kind == VALUE_TEXT)
        *v = value_number((double)utf8_count(v->text));
    else
        *v = value_number((double)value_count(v));
    return true;
}

static void pick(struct value *v, bool last)
{
    struct value item = value_text(STR(""));
    if (v->kind == VALUE_LIST || v->kind == VALUE_RANGE) {
        size_t n = value_count(v);
        if (n == 0 || !value_item(v, last ? n - 1 : 0, &item))
            item.kind = VALUE_NIL;
    } else if (v->kind == VALUE_TEXT && v->text.n) {
        size_t n = utf8_prefix(v->text, last ? utf8_count(v->text) - 1 : 1);
        item = value_text(last ? str_from_index(v->text, n) : str_cut(v->text, 0, n));
    }
    *v = item;
}

static bool filter_first(const struct call *c, struct value *v)
{
    (void)c;
    pick(v, false);
    return true;
}

static bool filter_last(const struct call *c, struct value *v)
{
    (void)c;
    pick(v, true);
    return true;
}

static bool add_item(struct str *items, size_t *n, struct str s)
{
    if (items)
        items[*n] = s;
    (*n)++;
    return true;
}

/* Cuts s at each separator; counts only when items is NULL. */
static size_t cut_text(struct str s, struct str separator, struct str *items)
{
    size_t n = 0;
    while (separator.n == 0 && s.n) {
        size_t length = utf8_prefix(s, 1);
        add_item(items, &n, str_cut(s, 0, length));
        s = str_from_index(s, length);
    }
    if (separator.n == 0)
        return n;
    for (;;) {
        ptrdiff_t at = str_find(s, separator);
        add_item(items, &n, at < 0 ? s : str_cut(s, 0, (size_t)at));
        if (at < 0)
            return n;
        s = str_from_index(s, (size_t)at + separator.n);
    }
}

static bool filter_split(const struct call *c, struct value *v)
{
    struct str text, separator;
    if (!value_to_text(v, c->memory, &text) || !value_to_text(&c->args[0], c->memory, &separator))
        return false;
    size_t n = cut_text(text, separator, NULL);
    struct str *items = memory_get(c->memory, (n + 1) * sizeof(*items));
    if (!items)
        return false;
    n = cut_text(text, separator, items);
    while (n > 0 && items[n - 1].n == 0)
        n--;
    *v = (struct value){.kind = VALUE_LIST, .items = items, .n_items = n};
    return true;
}

static bool filter_join(const struct call *c, struct value *v)
{
    struct str glue = STR(" "), text;
    if (c->n_args && !value_to_text(&c->args[0], c->memory, &glue))
        return false;
    size_t n = value_count(v), length = 0;
    if (v->kind != VALUE_LIST && v->kind != VALUE_RANGE) {
        if (!value_to_text(v, c->memory, &text))
            return false;
        *v = value_text(text);
        return true;
    }
    if (n > TEMPLATE_MEMORY_MAX / NUMBER_SIZE)
        return false;
    struct str *texts = memory_get(c->memory, (n + 1) * sizeof(*texts));
    if (!texts)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct value item;
        if (!value_item(v, i, &item) || !value_to_text(&item, c->memory, &texts[i]))
            return false;
        length += texts[i].n + glue.n;
    }
    char *p = memory_get(c->memory, length + 1), *w = p;
    if (!p)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && glue.n)
            w = (char *)memcpy(w, glue.p, glue.n) + glue.n;
        if (texts[i].n)
            w = (char *)memcpy(w, texts[i].p, texts[i].n) + texts[i].n;
    }
    *v = value_text(str_from(p, (size_t)(w - p)));
    return true;
}

/* ---- values as such ---- */

static bool filter_default(const struct call *c, struct value *v)
{
    bool missing = v->kind == VALUE_NIL || (v->kind == VALUE_FALSE && !c->allow_false) ||
                   v->kind == VALUE_EMPTY || v->kind == VALUE_BLANK;
    if (v->kind == VALUE_TEXT || v->kind == VALUE_LIST)
        missing = v->kind == VALUE_TEXT ? v->text.n == 0 : v->n_items == 0;
    if (missing)
        *v = c->args[0];
    return true;
}

static bool filter_raw(const struct call *c, struct value *v)
{
    (void)c;
    v->flags |= VALUE_SAFE;
    return true;
}

static const struct filter filters[] = {
    {"abs", filter_abs, 0, 0},
    {"at_least", filter_at_least, 1, 1},
    {"at_most", filter_at_most, 1, 1},
    {"ceil", filter_ceil, 0, 0},
    {"date", filter_date, 1, 1},
    {"default", filter_default, 1, 1},
    {"divided_by", filter_divided_by, 1, 1},
    {"first", filter_first, 0, 0},
    {"floor", filter_floor, 0, 0},
    {"join", filter_join, 0, 1},
    {"last", filter_last, 0, 0},
    {"minus", filter_minus, 1, 1},
    {"modulo", filter_modulo, 1, 1},
    {"plus", filter_plus, 1, 1},
    {"raw", filter_raw, 0, 0},
    {"round", filter_round, 0, 1},
    {"safe", filter_raw, 0, 0},
    {"size", filter_size, 0, 0},
    {"split", filter_split, 1, 1},
    {"times", filter_times, 1, 1},
};

const struct filter *filter_find(struct str name)
{
    for (size_t i = 0; i < countof(filters); i++) {
        if (str_is(name, filters[i].name))
            return &filters[i];
    }
    for (const struct filter *f = template_text_filters; f->name; f++) {
        if (str_is(name, f->name))
            return f;
    }
    return NULL;
}
