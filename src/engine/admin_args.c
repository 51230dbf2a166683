/* Reading the arguments of an operation: types, lengths, ranges, characters.
 * Knows no operation. Guarantees that what passes is valid UTF-8 without NUL and, but for bodies,
 * without any control character, so that no value can start a line of its own in a header, a log
 * or a table. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "mail/addr.h"
#include "model/route.h"
#include "store/names.h"

size_t word_distance(const char *a, const char *b)
{
    size_t row[65];
    size_t n = strlen(a), m = strlen(b);
    if (n > 64 || m > 64)
        return 64;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = MIN(row[j], row[j - 1]) + 1;
            best = MIN(best, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known; known++)
        if (!strcmp(*known, key))
            return true;
    return false;
}

bool args_known(json_t *args, const char *const *known, struct err *e)
{
    const char *key;
    json_t *value;
    json_object_foreach(args, key, value)
    {
        if (is_known(key, known))
            continue;
        const char *nearest = NULL;
        size_t best = 4;
        for (const char *const *k = known; *k; k++)
            if (word_distance(key, *k) < best) {
                best = word_distance(key, *k);
                nearest = *k;
            }
        if (nearest)
            return err_set(e, ERR_INVALID, "%.80s: there is no such field; did you mean %s?", key,
                           nearest);
        return err_set(e, ERR_INVALID, "%.80s: there is no such field here", key);
    }
    return true;
}

bool text_check(const char *field, struct str s, size_t max, bool lines_too, struct err *e)
{
    if (s.n > max)
        return err_set(e, ERR_INVALID, "%s: %zu bytes are too many, at most %zu", field, s.n, max);
    if (!str_is_utf8(s))
        return err_set(e, ERR_INVALID, "%s: is not valid UTF-8", field);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        bool is_line = ch == '\n' || ch == '\r' || ch == '\t' || ch == '\f';
        if ((ch < 0x20 && !(lines_too && is_line)) || ch == 0x7f)
            return err_set(e, ERR_INVALID,
                           "%s: has a control character (0x%02x) at byte %zu; take it out", field,
                           ch, i + 1);
        /* U+0080 to U+009F, U+2028 and U+2029 break lines in some readers */
        bool is_c1 = ch == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;
        bool is_ls = ch == 0xe2 && i + 2 < s.n && !memcmp(s.p + i, "\xe2\x80", 2) &&
                     ((unsigned char)s.p[i + 2] == 0xa8 || (unsigned char)s.p[i + 2] == 0xa9);
        if (!lines_too && (is_c1 || is_ls))
            return err_set(e, ERR_INVALID,
                           "%s: has an invisible line break or control at byte %zu; take it out",
                           field, i + 1);
    }
    return true;
}

static bool get_text(json_t *args, const char *field, struct str *out, struct err *e)
{
    json_t *v = json_object_get(args, field);
    *out = STR_NONE;
    if (!v || json_is_null(v))
        return true;
    if (!json_is_string(v))
        return err_set(e, ERR_INVALID, "%s: must be a text", field);
    *out = str_from(json_string_value(v), json_string_length(v));
    return true;
}

bool args_body(json_t *args, const char *field, size_t max, struct str *out, struct err *e)
{
    return get_text(args, field, out, e) && text_check(field, *out, max, true, e);
}

bool args_text(json_t *args, const char *field, size_t max, const char **out, struct err *e)
{
    struct str s;
    *out = NULL;
    if (!get_text(args, field, &s, e) || !text_check(field, s, max, false, e))
        return false;
    *out = s.n ? s.p : NULL;
    return true;
}

bool args_need(json_t *args, const char *field, size_t max, const char **out, struct err *e)
{
    if (!args_text(args, field, max, out, e))
        return false;
    return *out || err_set(e, ERR_INVALID, "%s: is needed", field);
}

bool args_only(json_t *args, const char *field, const char **out, struct err *e)
{
    return args_known(args, (const char *const[]){field, NULL}, e) &&
           args_need(args, field, 4096, out, e);
}

bool args_name(json_t *args, const char *field, const char **out, struct err *e)
{
    return args_need(args, field, 4096, out, e) && names_check_new(field, *out, e);
}

bool args_bool(json_t *args, const char *field, bool fallback, bool *out, struct err *e)
{
    json_t *v = json_object_get(args, field);
    *out = fallback;
    if (!v || json_is_null(v))
        return true;
    const char *s = json_string_value(v);
    if (json_is_boolean(v))
        *out = json_is_true(v);
    else if (s && (!strcmp(s, "true") || !strcmp(s, "yes") || !strcmp(s, "1")))
        *out = true;
    else if (s && (!strcmp(s, "false") || !strcmp(s, "no") || !strcmp(s, "0")))
        *out = false;
    else
        return err_set(e, ERR_INVALID, "%s: must be true or false", field);
    return true;
}

bool args_count(json_t *args, const char *field, uint64_t fallback, uint64_t min, uint64_t max,
                uint64_t *out, struct err *e)
{
    json_t *v = json_object_get(args, field);
    *out = fallback;
    if (!v || json_is_null(v) || (json_is_string(v) && !json_string_length(v)))
        return true;
    bool ok = false;
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *out = (uint64_t)json_integer_value(v);
        ok = true;
    } else if (json_is_string(v)) {
        ok = codec_count_parse(str_of(json_string_value(v)), out);
    }
    if (!ok)
        return err_set(e, ERR_INVALID, "%s: must be a number like 500 or 50k", field);
    if (*out < min || *out > max)
        return err_set(e, ERR_INVALID, "%s: %llu is outside %llu to %llu", field,
                       (unsigned long long)*out, (unsigned long long)min, (unsigned long long)max);
    return true;
}

bool args_each(json_t *args, const char *field, size_t max,
               bool (*each)(void *arg, const char *text, struct err *e), void *arg, struct err *e)
{
    json_t *v = json_object_get(args, field);
    if (!v || json_is_null(v))
        return true;
    if (json_is_string(v))
        return text_check(field, str_of(json_string_value(v)), max, false, e) &&
               each(arg, json_string_value(v), e);
    if (!json_is_array(v))
        return err_set(e, ERR_INVALID, "%s: must be a text or a list of texts", field);
    size_t i;
    json_t *item;
    json_array_foreach(v, i, item)
    {
        if (!json_is_string(item))
            return err_set(e, ERR_INVALID, "%s: entry %zu must be a text", field, i + 1);
        if (!text_check(field, str_of(json_string_value(item)), max, false, e) ||
            !each(arg, json_string_value(item), e))
            return false;
    }
    return true;
}

bool args_time(json_t *args, const char *field, int64_t *out, struct err *e)
{
    json_t *v = json_object_get(args, field);
    *out = 0;
    if (!v || json_is_null(v) || (json_is_string(v) && !json_string_length(v)))
        return true;
    if (json_is_integer(v) && json_integer_value(v) > 0) {
        *out = json_integer_value(v);
        return true;
    }
    if (json_is_string(v) && clock_parse(json_string_value(v), out))
        return true;
    return err_set(e, ERR_INVALID, "%s: must be a time like 2026-11-21T09:30:00Z", field);
}

bool mailbox_check(const char *field, const char *text, struct err *e)
{
    struct addr a;
    char name[512];
    if (addr_parse_mailbox(str_of(text), &a, name, sizeof(name), e))
        return true;
    return err_prefix(e, "%s", field);
}

bool address_key(const char *field, const char *text, char *out, struct err *e)
{
    struct addr a;
    if (!addr_parse(str_of(text), &a, e))
        return err_prefix(e, "%s", field);
    if (!a.n)
        return err_set(e, ERR_INVALID, "%s: is empty", field);
    addr_key(&a, out);
    return true;
}

/* ---- tags ---- */

bool tag_check(const char *field, const char *text, struct err *e)
{
    struct str s = str_of(text);
    if (!s.n || !str_eq(s, str_trim(s)))
        return err_set(e, ERR_INVALID, "%s: a tag is not empty and has no blank at its ends",
                       field);
    return text_check(field, s, TAG_MAX, false, e);
}

struct tagging {
    struct buf text;
    size_t n;
};

static bool add_tag(void *arg, const char *tag, struct err *e)
{
    struct tagging *t = arg;
    struct str rest = buf_str(&t->text), one;
    if (!tag_check("tags", tag, e))
        return false;
    while (str_split(&rest, '\n', &one))
        if (str_is(one, tag))
            return true;
    if (t->n++ >= TAGS_MAX)
        return err_set(e, ERR_INVALID, "tags: at most %d", TAGS_MAX);
    return (!t->text.n || buf_addc(&t->text, '\n')) && buf_adds(&t->text, tag);
}

bool args_tags(json_t *args, char **out, struct err *e)
{
    struct tagging t = {.n = 0};
    buf_init(&t.text, TAGS_TEXT_MAX);
    bool ok = args_each(args, "tags", TAGS_TEXT_MAX, add_tag, &t, e) &&
              args_each(args, "tag", TAGS_TEXT_MAX, add_tag, &t, e);
    *out = ok && t.text.n ? alloc_copy(buf_cstr(&t.text)) : NULL;
    buf_free(&t.text);
    return ok;
}
