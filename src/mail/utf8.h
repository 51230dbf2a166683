/* UTF-8, one character at a time: strict decoding (no overlong forms, no surrogates), encoding,
 * and the simple case mapping that templates need. Tables cover Latin, Greek, Cyrillic, Armenian
 * and Vietnamese; a character outside them keeps its form. Pure. */
#ifndef MAIL_UTF8_H
#define MAIL_UTF8_H

#include "base/base.h"
#include "base/str.h"

#define UTF8_BAD 0xFFFFFFFFu

/* Length in bytes (1 to 4) of the well-formed character at p, 0 when there is none (n may be 0). */
size_t utf8_length(const char *p, size_t n);
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
