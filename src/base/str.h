/* A slice of bytes that somebody else owns. Never NUL-terminated by promise. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base.h"

struct str {
    const char *p;
    size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})
#define STR_F    "%.*s"
#define STR_A(s) (int)(s).n, (s).p ? (s).p : ""

struct str str_of(const char *cstr); /* NULL gives STR_NONE */
struct str str_from(const char *p, size_t n);
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *cstr);
bool str_ieq(struct str a, struct str b); /* ASCII case-insensitive */
bool str_iis(struct str a, const char *cstr);
bool str_starts(struct str a, struct str prefix);
bool str_istarts(struct str a, struct str prefix);
bool str_ends(struct str a, struct str suffix);
/* Index of the first occurrence, or -1. */
ptrdiff_t str_find(struct str a, struct str needle);
ptrdiff_t str_ifind(struct str a, struct str needle); /* ASCII case-insensitive */
ptrdiff_t str_chr(struct str a, char c);
ptrdiff_t str_rchr(struct str a, char c);
struct str str_cut(struct str a, size_t from, size_t n); /* clamped */
struct str str_from_index(struct str a, size_t from);
struct str str_trim(struct str a); /* blanks, tabs, CR, LF on both sides */
/* Takes the part before `sep` off *rest; false when *rest is used up. "a,,b" gives a, "", b. */
bool str_split(struct str *rest, char sep, struct str *part_out);
/* Decimal, no sign, no blanks, whole slice; false when malformed or over max. */
bool str_to_u64(struct str a, uint64_t max, uint64_t *out);
bool str_to_i64(struct str a, int64_t *out);
/* Copy into a fixed buffer, always terminated; false when it was cut. */
bool str_copy(struct str a, char *dst, size_t size);
/* malloc'd C string; caller frees. */
char *str_dup(struct str a);
char ascii_lower(char c);
bool ascii_isalpha(char c);
bool ascii_isdigit(char c);
bool ascii_isalnum(char c);
bool ascii_isspace(char c); /* blank, tab, CR, LF, VT, FF */
/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool str_is_utf8(struct str a);
bool str_is_ascii(struct str a);
/* Writes one character as UTF-8, 1 to 4 bytes; what is none (a surrogate, over 0x10ffff) as U+FFFD.
 */
size_t str_put_utf8(uint32_t c, char out[4]);

#endif
