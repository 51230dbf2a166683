/* UTF-8, one character at a time: strict decoding (no overlong forms, no surrogates), encoding,
 * and the simple case mapping that templates need. Tables cover Latin, Greek, Cyrillic, Armenian
 * and Vietnamese; a character outside them keeps its form. Pure. */
#ifndef MAIL_UTF8_H
#define MAIL_UTF8_H

#include "base/base.h"
#include "base/str.h"

#define UTF8_BAD 0xFFFFFFFFu

static inline bool utf8_is_tail(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Length in bytes (1 to 4) of the well-formed character at p, 0 when there is none (n may be 0). */
static inline size_t utf8_length(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    if (n == 0)
        return 0;
    if (u[0] < 0x80)
        return 1;
    if (u[0] < 0xC2 || u[0] > 0xF4)
        return 0;
    if (u[0] < 0xE0)
        return n >= 2 && utf8_is_tail(p[1]) ? 2 : 0;
    if (u[0] < 0xF0) {
        if (n < 3 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2]))
            return 0;
        bool overlong = u[0] == 0xE0 && u[1] < 0xA0, surrogate = u[0] == 0xED && u[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (n < 4 || !utf8_is_tail(p[1]) || !utf8_is_tail(p[2]) || !utf8_is_tail(p[3]))
        return 0;
    bool overlong = u[0] == 0xF0 && u[1] < 0x90, beyond = u[0] == 0xF4 && u[1] > 0x8F;
    return overlong || beyond ? 0 : 4;
}

/* Well-formed as a whole; ASCII is skipped eight bytes at a time. */
bool utf8_is_valid(struct str s);
/* The character at p; *length_out as above, UTF8_BAD with length 0 when malformed. */
uint32_t utf8_decode(const char *p, size_t n, size_t *length_out);
/* Writes 1 to 4 bytes; a code point outside Unicode becomes U+FFFD. */
size_t utf8_encode(uint32_t c, char out[4]);
/* Characters in s; a malformed byte counts as one. */
size_t utf8_count(struct str s);
/* Bytes that the first `characters` characters of s take. */
size_t utf8_prefix(struct str s, size_t characters);
uint32_t utf8_upper(uint32_t c);
uint32_t utf8_lower(uint32_t c);
/* White space as ECMAScript's trim knows it. */
bool utf8_is_space(uint32_t c);
/* Controls (C0, DEL, C1) and the separators U+2028, U+2029 that some readers take as line ends. */
bool utf8_is_control(uint32_t c);
/* Characters that cannot be seen but change how text is read: zero width, bidirectional marks. */
bool utf8_is_invisible(uint32_t c);

#endif
