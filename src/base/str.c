/* Slices: comparing, finding, cutting, numbers. Allocates only in str_dup. */
#include "base/str.h"
#include "base/alloc.h"

char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool ascii_isalpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool ascii_isdigit(char c)
{
    return c >= '0' && c <= '9';
}

bool ascii_isalnum(char c)
{
    return ascii_isalpha(c) || ascii_isdigit(c);
}

bool ascii_isspace(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_of(const char *cstr)
{
    return cstr ? (struct str){cstr, strlen(cstr)} : STR_NONE;
}

struct str str_from(const char *p, size_t n)
{
    return (struct str){p, n};
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_is(struct str a, const char *cstr)
{
    return str_eq(a, str_of(cstr));
}

static bool same_folded(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

bool str_ieq(struct str a, struct str b)
{
    return a.n == b.n && same_folded(a.p, b.p, a.n);
}

bool str_iis(struct str a, const char *cstr)
{
    return str_ieq(a, str_of(cstr));
}

bool str_starts(struct str a, struct str prefix)
{
    return a.n >= prefix.n && str_eq(str_cut(a, 0, prefix.n), prefix);
}

bool str_istarts(struct str a, struct str prefix)
{
    return a.n >= prefix.n && same_folded(a.p, prefix.p, prefix.n);
}

bool str_ends(struct str a, struct str suffix)
{
    return a.n >= suffix.n && str_eq(str_from_index(a, a.n - suffix.n), suffix);
}

ptrdiff_t str_find(struct str a, struct str needle)
{
    if (needle.n == 0)
        return 0;
    if (a.n < needle.n)
        return -1;
    const char *hit = memmem(a.p, a.n, needle.p, needle.n);
    return hit ? hit - a.p : -1;
}

ptrdiff_t str_ifind(struct str a, struct str needle)
{
    for (size_t i = 0; i + needle.n <= a.n; i++)
        if (same_folded(a.p + i, needle.p, needle.n))
            return (ptrdiff_t)i;
    return -1;
}

ptrdiff_t str_chr(struct str a, char c)
{
    const char *hit = a.n ? memchr(a.p, c, a.n) : NULL;
    return hit ? hit - a.p : -1;
}

ptrdiff_t str_rchr(struct str a, char c)
{
    const char *hit = a.n ? memrchr(a.p, c, a.n) : NULL;
    return hit ? hit - a.p : -1;
}

struct str str_cut(struct str a, size_t from, size_t n)
{
    if (!a.p)
        return STR_NONE;
    from = MIN(from, a.n);
    return (struct str){a.p + from, MIN(n, a.n - from)};
}

struct str str_from_index(struct str a, size_t from)
{
    return str_cut(a, from, SIZE_MAX);
}

struct str str_trim(struct str a)
{
    while (a.n && ascii_isspace(a.p[0]))
        a.p++, a.n--;
    while (a.n && ascii_isspace(a.p[a.n - 1]))
        a.n--;
    return a;
}

bool str_split(struct str *rest, char sep, struct str *part_out)
{
    if (!rest->p)
        return false;
    ptrdiff_t at = str_chr(*rest, sep);
    if (at < 0) {
        *part_out = *rest;
        *rest = STR_NONE;
        return true;
    }
    *part_out = str_cut(*rest, 0, (size_t)at);
    *rest = str_from_index(*rest, (size_t)at + 1);
    return true;
}

bool str_to_u64(struct str a, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (a.n == 0)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (!ascii_isdigit(a.p[i]) || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(a.p[i] - '0'), &v))
            return false;
    }
    if (v > max)
        return false;
    *out = v;
    return true;
}

bool str_to_i64(struct str a, int64_t *out)
{
    bool negative = a.n && a.p[0] == '-';
    uint64_t v = 0;
    if (!str_to_u64(negative ? str_from_index(a, 1) : a, INT64_MAX, &v))
        return false;
    *out = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

bool str_copy(struct str a, char *dst, size_t size)
{
    size_t n = MIN(a.n, size - 1);
    if (n)
        memcpy(dst, a.p, n);
    dst[n] = 0;
    return n == a.n;
}

char *str_dup(struct str a)
{
    char *p = alloc_bytes(a.n + 1);
    if (a.n)
        memcpy(p, a.p, a.n);
    return p;
}

/* Length of the well-formed sequence at p (RFC 3629), or 0. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return len;
}

bool str_is_utf8(struct str a)
{
    for (size_t i = 0; i < a.n;) {
        size_t len = utf8_length((const unsigned char *)a.p + i, a.n - i);
        if (!len)
            return false;
        i += len;
    }
    return true;
}

bool str_is_ascii(struct str a)
{
    for (size_t i = 0; i < a.n; i++)
        if ((unsigned char)a.p[i] > 0x7F)
            return false;
    return true;
}

size_t str_put_utf8(uint32_t c, char out[4])
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = 0xFFFD;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}
