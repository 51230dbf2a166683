/* Safe text, numbers for people, records and errors. Tables are in output_table.c, bars in
 * progress.c. */
#include "main/output.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

#include "base/check.h"
#include "base/log.h"

#define INLINE_FIELDS 4 /* a nested object with more of them gets lines of its own */

static struct {
    bool json, quiet, err_tty;
} mode;

void output_setup(bool json, bool quiet)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    mode.json = json;
    mode.quiet = quiet;
    mode.err_tty = isatty(2);
    log_setup("postfleet", LOG_WARNING, 2);
}

bool output_is_json(void)
{
    return mode.json;
}

bool output_is_quiet(void)
{
    return mode.quiet;
}

/* ---- safe text ---- */

/* Length of the well-formed UTF-8 character at p, 0 when malformed. */
static size_t utf8_char(const char *p, size_t n, uint32_t *code_out)
{
    unsigned char c = (unsigned char)p[0];
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (len == 0 || len > n || !str_is_utf8(str_from(p, len)))
        return 0;
    uint32_t code = len == 1 ? c : c & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        code = code << 6 | ((unsigned char)p[i] & 0x3f);
    *code_out = code;
    return len;
}

/* Characters that move the cursor, end a line or turn the direction of what follows. */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0x200e || code == 0x200f || code == 0xfeff ||
           (code >= 0xe0000 && code < 0xe0080);
}

void output_safe_add(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t code = 0;
        size_t len = utf8_char(s.p + i, s.n - i, &code);
        if (len == 0) {
            buf_addf(b, "\\x%02x", (unsigned char)s.p[i]);
            i++;
            continue;
        }
        if (is_unsafe(code))
            buf_addf(b, code < 0x80 ? "\\x%02x" : "\\u%04x", code);
        else
            buf_add(b, s.p + i, len);
        i += len;
    }
}

size_t output_width(struct str s)
{
    size_t cells = 0;
    for (size_t i = 0; i < s.n;) {
        uint32_t code = 0;
        size_t len = utf8_char(s.p + i, s.n - i, &code);
        if (len == 0) {
            cells += 4;
            i++;
            continue;
        }
        int w = wcwidth((wchar_t)code);
        cells += is_unsafe(code) ? (code < 0x80     ? 4
                                    : code > 0xffff ? 7
                                                    : 6)
                 : w < 0         ? 1
                                 : (size_t)w;
        i += len;
    }
    return cells;
}

/* ---- numbers ---- */

void output_count(int64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%lld", (long long)(n < 0 ? -n : n));
    char *p = out;
    if (n < 0)
        *p++ = '-';
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0 && len > 4)
            *p++ = ' ';
        *p++ = digits[i];
    }
    *p = '\0';
}

void output_duration(int64_t ms, char out[32])
{
    if (ms < 0)
        ms = 0;
    if (ms < 1000)
        snprintf(out, 32, "%lld ms", (long long)ms);
    else if (ms < 10000)
        snprintf(out, 32, "%lld.%lld s", (long long)(ms / 1000), (long long)(ms / 100 % 10));
    else if (ms < 60000)
        snprintf(out, 32, "%lld s", (long long)(ms / 1000));
    else if (ms < 3600000)
        snprintf(out, 32, "%lldm %02llds", (long long)(ms / 60000), (long long)(ms / 1000 % 60));
    else if (ms < 86400000)
        snprintf(out, 32, "%lldh %02lldm", (long long)(ms / 3600000), (long long)(ms / 60000 % 60));
    else
        snprintf(out, 32, "%lldd %02lldh", (long long)(ms / 86400000),
                 (long long)(ms / 3600000 % 24));
}

void output_bytes(uint64_t n, char out[32])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double v = (double)n;
    size_t u = 0;
    while (v >= 1000 && u + 1 < countof(units)) {
        v /= 1000;
        u++;
    }
    snprintf(out, 32, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

/* ---- remarks and errors ---- */

static void print_err(const char *prefix, const char *fmt, va_list ap)
{
    char text[2000];
    struct buf b;
    vsnprintf(text, sizeof(text), fmt, ap);
    buf_init(&b, 16000);
    output_safe_add(&b, str_of(text));
    fflush(stdout);
    fprintf(stderr, "%s%s%s\n", mode.err_tty ? "\r\033[K" : "", prefix, buf_cstr(&b));
    buf_free(&b);
}

void output_note(const char *fmt, ...)
{
    if (mode.quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    print_err("", fmt, ap);
    va_end(ap);
}

void output_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_err("warning: ", fmt, ap);
    va_end(ap);
}

static void say_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_err("postfleet: ", fmt, ap);
    va_end(ap);
}

/* JSON text in which no control character is left raw: jansson writes those above 0x7f as they
 * are, and a terminal would obey U+009B like ESC [. */
static void print_json(FILE *f, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15) | JSON_ENCODE_ANY);
    check(text);
    const char *p = text, *from = text;
    for (; *p; p++)
        if ((unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0) {
            fwrite(from, 1, (size_t)(p - from), f);
            fprintf(f, "\\u%04x", (unsigned char)p[1]);
            from = ++p + 1;
        }
    fwrite(from, 1, (size_t)(p - from), f);
    fputc('\n', f);
    free(text);
}

void output_problem(const json_t *problem)
{
    if (mode.json) {
        fflush(stdout);
        print_json(stderr, problem);
        return;
    }
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *title = json_string_value(json_object_get(problem, "title"));
    say_error("%s", detail ? detail : title ? title : "the daemon refused without saying why");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(problem, "errors"), i, one)
    {
        const char *field = json_string_value(json_object_get(one, "field"));
        const char *message = json_string_value(json_object_get(one, "message"));
        if (!field)
            field = json_string_value(json_object_get(one, "pointer"));
        if (message)
            say_error("  %s%s%s", field ? field : "", field ? ": " : "", message);
    }
}

int output_fail(const struct err *e)
{
    enum err_code code = e->code == ERR_NONE ? ERR_FAILED : e->code;
    json_t *doc =
        json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title", err_code_name(code),
                  "status", err_http_status(code), "code", err_code_name(code), "detail", e->text);
    if (doc)
        output_problem(doc);
    else
        say_error("%s", e->text);
    json_decref(doc);
    return err_exit_status(code);
}

/* ---- data ---- */

void output_line(const char *fmt, ...)
{
    if (mode.json)
        return;
    char text[4000];
    struct buf b;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_init(&b, 32000);
    output_safe_add(&b, str_of(text));
    printf("%s\n", buf_cstr(&b));
    buf_free(&b);
}

void output_json(const json_t *value)
{
    json_t *none = value ? NULL : json_pack("{s:b}", "ok", 1); /* done, and nothing to tell */
    print_json(stdout, value ? value : none);
    json_decref(none);
}

static void scalar_add(struct buf *b, const json_t *v)
{
    if (json_is_string(v))
        output_safe_add(b, str_from(json_string_value(v), json_string_length(v)));
    else if (json_is_integer(v))
        buf_addf(b, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        buf_addf(b, "%.6g", json_real_value(v));
    else if (json_is_boolean(v))
        buf_adds(b, json_is_true(v) ? "yes" : "no");
    else
        buf_adds(b, "-");
}

static bool is_scalar(const json_t *v)
{
    return !json_is_object(v) && !json_is_array(v);
}

/* "rotate_every " as "rotate every ". */
static void words_add(struct buf *b, const char *key)
{
    for (; *key; key++)
        buf_addc(b, *key == '_' ? ' ' : *key);
    buf_addc(b, ' ');
}

/* "(longest 0.1 over 0)": one more level, no deeper. */
static void nested_add(struct buf *b, const json_t *v)
{
    const char *key;
    json_t *one;
    const char *gap = "";
    buf_addc(b, '(');
    json_object_foreach((json_t *)(uintptr_t)v, key, one)
    {
        buf_adds(b, gap);
        words_add(b, key);
        scalar_add(b, one);
        gap = " ";
    }
    buf_addc(b, ')');
}

/* "a, b" for a list of plain values; "hard 1, soft 2" for an object of them. */
static void joined_add(struct buf *b, const json_t *v)
{
    const char *key;
    json_t *one;
    size_t i;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)(uintptr_t)v, key, one)
        {
            buf_adds(b, b->n ? ", " : "");
            words_add(b, key);
            if (is_scalar(one))
                scalar_add(b, one);
            else
                nested_add(b, one);
        }
        return;
    }
    json_array_foreach(v, i, one)
    {
        if (i > 0)
            buf_adds(b, ", ");
        scalar_add(b, one);
    }
}

/* Several lines under their own heading: replies, conversations, texts. */
static void print_long(const char *key, const json_t *v)
{
    struct str rest = str_from(json_string_value(v), json_string_length(v)), line;
    printf("%s:\n", key);
    while (str_split(&rest, '\n', &line)) {
        struct buf b;
        buf_init(&b, 1 << 20);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        output_safe_add(&b, line);
        printf("    %s\n", buf_cstr(&b));
        buf_free(&b);
    }
}

static void print_field(const char *key, size_t width, const json_t *v)
{
    char label[64];
    struct buf b;
    snprintf(label, sizeof(label), "%s", key);
    for (char *p = label; *p; p++)
        if (*p == '_')
            *p = ' ';
    if (json_is_string(v) && strchr(json_string_value(v), '\n')) {
        print_long(label, v);
        return;
    }
    buf_init(&b, 1 << 20);
    if (is_scalar(v))
        scalar_add(&b, v);
    else
        joined_add(&b, v);
    printf("%-*s  %s\n", (int)width, label, b.n ? buf_cstr(&b) : "-");
    buf_free(&b);
}

/* A list of objects: each in a paragraph of "key value" lines under a heading. */
static void print_objects(const char *key, const json_t *list)
{
    size_t i;
    json_t *one, *v;
    const char *name;
    json_array_foreach(list, i, one)
    {
        printf("%s %zu\n", key, i + 1);
        json_object_foreach(one, name, v)
        {
            if (json_is_null(v))
                continue;
            printf("  ");
            print_field(name, 16, v);
        }
    }
}

/* A larger object: its fields under a heading. */
static void print_group(const char *key, json_t *object)
{
    const char *name;
    json_t *v;
    printf("%s\n", key);
    json_object_foreach(object, name, v)
    {
        printf("  ");
        print_field(name, 20, v);
    }
}

void output_record(const json_t *object)
{
    const char *key;
    json_t *v;
    size_t width = 4;
    if (mode.json || !json_is_object(object)) {
        output_json(object);
        return;
    }
    json_t *o = (json_t *)(uintptr_t)object;
    json_object_foreach(o, key, v) width = MAX(width, strlen(key));
    json_object_foreach(o, key, v)
    {
        if (json_object_size(v) > INLINE_FIELDS)
            print_group(key, v);
        else if (json_is_array(v) && json_is_object(json_array_get(v, 0)))
            print_objects(key, v);
        else
            print_field(key, width, v);
    }
}

bool output_end(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}
