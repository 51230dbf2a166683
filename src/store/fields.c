/* Flat JSON of strings, written and read: see fields.h. The reader takes exactly an object or an
 * array of strings, as RFC 8259 writes them, and nothing else. */
#include "store/fields.h"

#include "base/alloc.h"
#include "base/codec.h"

#include <stdlib.h>

bool fields_name(struct str column, char out[CONTACT_FIELD_NAME_MAX + 1])
{
    size_t n = 0;
    bool gap = false;
    for (size_t i = 0; i < column.n && n < CONTACT_FIELD_NAME_MAX; i++) {
        char c = ascii_lower(column.p[i]);
        if (!ascii_isalnum(c) || (n == 0 && ascii_isdigit(c))) {
            gap = n > 0;
            continue;
        }
        if (gap && n + 1 < CONTACT_FIELD_NAME_MAX)
            out[n++] = '_';
        gap = false;
        out[n++] = c;
    }
    out[n] = 0;
    return n > 0;
}

static bool name_ok(struct str name)
{
    if (!name.n || name.n > CONTACT_FIELD_NAME_MAX || !ascii_isalpha(name.p[0]))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c != '_' && !ascii_isdigit(c) && !(c >= 'a' && c <= 'z'))
            return false;
    }
    return true;
}

static bool value_plain(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static bool add_value(struct buf *out, struct str v)
{
    if (!value_plain(v))
        return codec_json_string_add(out, v);
    return buf_addc(out, '"') && buf_addstr(out, v) && buf_addc(out, '"');
}

const char *fields_problem(const struct field *fields, size_t n)
{
    size_t given = 0;
    for (size_t i = 0; i < n; i++) {
        struct str value = fields[i].value;
        if (!value.n)
            continue;
        if (!name_ok(fields[i].name))
            return "a field name is not possible";
        if (value.n > CONTACT_FIELD_VALUE_MAX)
            return "a field is over 4096 bytes";
        if (memchr(value.p, 0, value.n))
            return "a field holds a zero byte";
        if (++given > CONTACT_FIELDS_MAX)
            return "more than 64 fields";
    }
    return NULL;
}

bool fields_write(const struct field *fields, size_t n, struct buf *out, struct err *e)
{
    const char *problem = fields_problem(fields, n);
    if (problem)
        return err_set(e, ERR_INVALID, "%s", problem);
    char before = '{';
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        if (!fields[i].value.n)
            continue;
        ok = buf_addc(out, before) && buf_addc(out, '"') && buf_addstr(out, fields[i].name) &&
             buf_adds(out, "\":") && add_value(out, fields[i].value);
        before = ',';
    }
    if (ok && before == ',')
        ok = buf_addc(out, '}');
    return ok || err_set(e, ERR_INVALID, "fields are too large");
}

/* Reading: a cursor over the text; every step fails by returning false. */
struct cursor {
    const char *p, *end;
    struct arena *arena;
};

static void skip_blanks(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
}

static bool take(struct cursor *c, char want)
{
    skip_blanks(c);
    if (c->p == c->end || *c->p != want)
        return false;
    c->p++;
    return true;
}

static bool take_hex4(struct cursor *c, uint32_t *out)
{
    uint32_t v = 0;
    if (c->end - c->p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char h = ascii_lower(*c->p++);
        if (ascii_isdigit(h))
            v = v << 4 | (uint32_t)(h - '0');
        else if (h >= 'a' && h <= 'f')
            v = v << 4 | (uint32_t)(h - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

static bool take_unicode(struct cursor *c, char *to, size_t *n)
{
    uint32_t u = 0, low = 0;
    if (!take_hex4(c, &u) || (u >= 0xdc00 && u < 0xe000))
        return false;
    if (u >= 0xd800 && u < 0xdc00) {
        if (c->end - c->p < 6 || c->p[0] != '\\' || c->p[1] != 'u')
            return false;
        c->p += 2;
        if (!take_hex4(c, &low) || low < 0xdc00 || low >= 0xe000)
            return false;
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    }
    *n += str_put_utf8(u, to + *n);
    return true;
}

static bool take_escape(struct cursor *c, char *to, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (c->p == c->end)
        return false;
    char k = *c->p++;
    if (k == 'u')
        return take_unicode(c, to, n);
    const char *at = k ? strchr(from, k) : NULL;
    if (!at)
        return false;
    to[(*n)++] = means[at - from];
    return true;
}

/* The slice is of the text itself unless there is an escape in it. */
static bool take_string(struct cursor *c, struct str *out)
{
    if (!take(c, '"'))
        return false;
    const char *from = c->p;
    while (c->p < c->end && *c->p != '"' && *c->p != '\\' && (unsigned char)*c->p >= 0x20)
        c->p++;
    if (c->p < c->end && *c->p == '"') {
        *out = str_from(from, (size_t)(c->p - from));
        c->p++;
        return true;
    }
    const char *close = c->p;
    while (close < c->end && *close != '"')
        close += *close == '\\' && close + 1 < c->end ? 2 : 1;
    /* What an escape stands for is never longer than the escape. */
    char *to = close < c->end ? arena_alloc(c->arena, (size_t)(close - from) + 1) : NULL;
    if (!to)
        return false;
    size_t n = (size_t)(c->p - from);
    memcpy(to, from, n);
    while (c->p < c->end && *c->p != '"') {
        if ((unsigned char)*c->p < 0x20)
            return false;
        if (*c->p != '\\')
            to[n++] = *c->p++;
        else if (c->p++, !take_escape(c, to, &n))
            return false;
    }
    c->p++;
    *out = str_from(to, n);
    return true;
}

static bool at_end(struct cursor *c)
{
    skip_blanks(c);
    return c->p == c->end;
}

static bool take_fields(struct cursor *c, struct field *fields, size_t *n)
{
    if (!take(c, '{'))
        return false;
    if (take(c, '}'))
        return at_end(c);
    do {
        if (*n == CONTACT_FIELDS_MAX || !take_string(c, &fields[*n].name) || !take(c, ':') ||
            !take_string(c, &fields[*n].value))
            return false;
        ++*n;
    } while (take(c, ','));
    return take(c, '}') && at_end(c);
}

bool fields_read(struct str json, struct arena *a, struct field **out, size_t *n_out, struct err *e)
{
    *out = NULL;
    *n_out = 0;
    if (!json.n)
        return true;
    struct cursor c = {json.p, json.p + json.n, a};
    struct field *fields = arena_alloc(a, CONTACT_FIELDS_MAX * sizeof *fields);
    size_t n = 0;
    if (!fields || !take_fields(&c, fields, &n))
        return err_set(e, ERR_CORRUPT, "the stored fields of a contact cannot be read");
    *out = fields;
    *n_out = n;
    return true;
}

bool fields_merge(struct str old, const struct field *more, size_t n, struct arena *a,
                  struct buf *out, struct err *e)
{
    struct field *fields = NULL, *all = NULL;
    size_t count = 0;
    if (!fields_read(old, a, &fields, &count, e))
        return false;
    all = arena_alloc(a, (count + n + 1) * sizeof *all);
    if (!all)
        return err_set(e, ERR_TOO_BIG, "fields too large");
    if (count)
        memcpy(all, fields, count * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < count && !str_eq(all[at].name, more[i].name))
            at++;
        if (more[i].value.n)
            all[at] = more[i];
        if (at == count && more[i].value.n)
            count++;
    }
    return fields_write(all, count, out, e);
}

bool fields_write_strings(char *const *strings, size_t n, struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = buf_addc(out, i ? ',' : '[') && codec_json_string_add(out, str_of(strings[i]));
    return ok && (!n || buf_addc(out, ']'));
}

static bool take_strings(struct cursor *c, size_t max, char **strings, size_t *n)
{
    if (!take(c, '['))
        return false;
    if (take(c, ']'))
        return at_end(c);
    do {
        struct str s;
        if (*n == max || !take_string(c, &s))
            return false;
        strings[(*n)++] = str_dup(s);
    } while (take(c, ','));
    return take(c, ']') && at_end(c);
}

bool fields_read_strings(struct str json, size_t max, char ***out, size_t *n_out, struct err *e)
{
    *out = NULL;
    *n_out = 0;
    if (!json.n)
        return true;
    struct arena *a = arena_new(json.n * 2 + 4096);
    struct cursor c = {json.p, json.p + json.n, a};
    char **strings = alloc_many(char *, max);
    size_t n = 0;
    bool ok = take_strings(&c, max, strings, &n);
    arena_free(&a);
    if (!ok || !n) {
        for (size_t i = 0; i < n; i++)
            free(strings[i]);
        free(strings);
        return ok || err_set(e, ERR_CORRUPT, "a stored list of texts cannot be read");
    }
    *out = strings;
    *n_out = n;
    return true;
}
