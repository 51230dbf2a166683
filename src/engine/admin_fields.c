/* A struct's fields as a table: one reader for the many options of a server or group.
 * Sets only what the arguments name; null and "" put the stated default back. */
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "mail/addr.h"

#include <stdlib.h>
#include <unistd.h>

#define ZONE_DIR "/usr/share/zoneinfo"

static void put_text(const struct field_spec *f, void *object, const char *text)
{
    char **at = (char **)(void *)((char *)object + f->offset);
    free(*at);
    *at = alloc_copy(text);
}

static bool host_check(const char *field, const char *text, struct err *e)
{
    size_t n = strlen(text), label = 0;
    bool is_literal = strchr(text, ':') != NULL;
    for (size_t i = 0; i < n; i++) {
        char ch = text[i];
        if (!ascii_isalnum(ch) && !strchr(is_literal ? ":.%" : ".-_", ch))
            return err_set(e, ERR_INVALID,
                           "%s: \"%.100s\" is no host name or address (no port, no scheme)", field,
                           text);
        label = ch == '.' ? 0 : label + 1;
        if (label > 63 || (ch == '.' && (i == 0 || text[i - 1] == '.')))
            return err_set(e, ERR_INVALID, "%s: \"%.100s\" has a part of 0 or over 63 bytes", field,
                           text);
    }
    return true;
}

static bool set_host(const struct field_spec *f, void *object, const char *text, struct err *e)
{
    if (str_is_ascii(str_of(text))) {
        if (!host_check(f->name, text, e))
            return false;
        put_text(f, object, text);
        return true;
    }
    /* an internationalised name: mail/addr.h knows how to write it in A-labels */
    char with_local[300];
    struct addr a;
    if (!str_copy(STR("x@"), with_local, sizeof(with_local)) ||
        !str_copy(str_of(text), with_local + 2, sizeof(with_local) - 2) ||
        !addr_parse(str_of(with_local), &a, e))
        return err_prefix(e, "%s", f->name);
    char *domain = str_dup(addr_domain(&a));
    put_text(f, object, domain);
    free(domain);
    return true;
}

static bool set_path(const struct field_spec *f, void *object, const char *text, struct err *e)
{
    struct addr a;
    if (!strcmp(text, "<>")) {
        put_text(f, object, text);
        return true;
    }
    if (!addr_parse(str_of(text), &a, e))
        return err_prefix(e, "%s", f->name);
    put_text(f, object, a.text);
    return true;
}

static bool set_zone(const struct field_spec *f, void *object, const char *text, struct err *e)
{
    char path[256] = ZONE_DIR "/";
    for (const char *p = text; *p; p++)
        if (!ascii_isalnum(*p) && !strchr("_+-/", *p))
            return err_set(e, ERR_INVALID, "%s: \"%.60s\" is no time zone", f->name, text);
    bool fits = str_copy(str_of(text), path + sizeof(ZONE_DIR), sizeof(path) - sizeof(ZONE_DIR));
    if (!fits || text[0] == '/' || (access(ZONE_DIR, R_OK) == 0 && access(path, R_OK) != 0))
        return err_set(e, ERR_INVALID,
                       "%s: \"%.60s\" is no time zone known here; one looks like Europe/Vienna",
                       f->name, text);
    put_text(f, object, text);
    return true;
}

static bool set_text(json_t *args, const struct field_spec *f, void *object, struct err *e)
{
    struct str s;
    if (!args_body(args, f->name, f->max, &s, e))
        return false;
    if (f->kind != FIELD_LINES && !text_check(f->name, s, f->max, false, e))
        return false;
    if (!s.n) {
        put_text(f, object, NULL);
        return true;
    }
    switch (f->kind) {
    case FIELD_HOST: return set_host(f, object, s.p, e);
    case FIELD_PATH: return set_path(f, object, s.p, e);
    case FIELD_ZONE: return set_zone(f, object, s.p, e);
    case FIELD_MAILBOX:
        if (!mailbox_check(f->name, s.p, e))
            return false;
        break;
    default: break;
    }
    put_text(f, object, s.p);
    return true;
}

static bool read_duration(json_t *v, const struct field_spec *f, uint64_t *out, struct err *e)
{
    int64_t ms = 0;
    bool ok = false;
    if (json_is_string(v))
        ok = codec_duration_parse(str_of(json_string_value(v)), &ms);
    else if (json_is_number(v) && json_number_value(v) >= 0 && json_number_value(v) < 1e9) {
        ms = (int64_t)(json_number_value(v) * 1000);
        ok = true;
    }
    if (!ok)
        return err_set(e, ERR_INVALID, "%s: must be a duration like 500ms, 10s or 5m", f->name);
    if ((uint64_t)ms < f->min || (uint64_t)ms > f->max)
        return err_set(e, ERR_INVALID, "%s: %lld ms is outside %llu ms to %llu ms", f->name,
                       (long long)ms, (unsigned long long)f->min, (unsigned long long)f->max);
    *out = (uint64_t)ms;
    return true;
}

static bool set_number(json_t *args, const struct field_spec *f, void *object, struct err *e)
{
    json_t *v = json_object_get(args, f->name);
    bool is_empty = json_is_null(v) || (json_is_string(v) && !json_string_length(v));
    char *at = (char *)object + f->offset;
    uint64_t n = f->fallback;
    if (f->kind == FIELD_DURATION) {
        if (!is_empty && !read_duration(v, f, &n, e))
            return false;
        *(int64_t *)(void *)at = (int64_t)n;
        return true;
    }
    if (!args_count(args, f->name, f->fallback, f->min, f->max, &n, e))
        return false;
    if (f->kind == FIELD_COUNT)
        *(uint64_t *)(void *)at = n;
    else if (f->kind == FIELD_U32)
        *(uint32_t *)(void *)at = (uint32_t)n;
    else
        *(uint16_t *)(void *)at = (uint16_t)n;
    return true;
}

static bool set_real(json_t *args, const struct field_spec *f, void *object, struct err *e)
{
    json_t *v = json_object_get(args, f->name);
    double d = 0;
    if (json_is_string(v) && json_string_length(v)) {
        char *end = NULL;
        d = strtod(json_string_value(v), &end);
        if (*end)
            d = -1;
    } else if (json_is_number(v)) {
        d = json_number_value(v);
    } else if (!json_is_null(v) && !json_is_string(v)) {
        d = -1;
    }
    if (!(d >= 0 && d <= 1e9))
        return err_set(e, ERR_INVALID, "%s: must be a number like 0.85, not negative", f->name);
    *(double *)(void *)((char *)object + f->offset) = d;
    return true;
}

static bool set_word(json_t *args, const struct field_spec *f, void *object, struct err *e)
{
    const char *s = NULL;
    if (!args_text(args, f->name, 64, &s, e))
        return false;
    void *at = (char *)object + f->offset;
    if (!s) {
        *(unsigned *)at = (unsigned)f->fallback;
        return true;
    }
    if (f->word(s, at))
        return true;
    return err_set(e, ERR_INVALID, "%s: \"%s\" is none of %s", f->name, s, f->words);
}

static bool set_field(json_t *args, const struct field_spec *f, void *object, struct err *e)
{
    switch (f->kind) {
    case FIELD_COUNT:
    case FIELD_U32:
    case FIELD_U16:
    case FIELD_DURATION: return set_number(args, f, object, e);
    case FIELD_REAL: return set_real(args, f, object, e);
    case FIELD_WORD: return set_word(args, f, object, e);
    case FIELD_BOOL:
        return args_bool(args, f->name, f->fallback != 0, (bool *)((char *)object + f->offset), e);
    default: return set_text(args, f, object, e);
    }
}

bool specs_read(json_t *args, const struct field_spec *specs, size_t n, void *object, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (json_object_get(args, specs[i].name) && !set_field(args, &specs[i], object, e))
            return false;
    return true;
}
