/* UTF-8 decoding, encoding and case mapping by ranges. No locale and no libc tables are used, so
 * the same input gives the same output on every machine. */
#include "mail/utf8.h"

bool utf8_is_valid(struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        uint64_t x;
        if (i + 8 <= s.n) {
            memcpy(&x, s.p + i, 8);
            if ((x & 0x8080808080808080ull) == 0) {
                i += 8;
                continue;
            }
        }
        size_t length = utf8_length(s.p + i, s.n - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

uint32_t utf8_decode(const char *p, size_t n, size_t *length_out)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t length = utf8_length(p, n);
    *length_out = length;
    switch (length) {
    case 1: return u[0];
    case 2: return (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3F);
    case 3: return (uint32_t)(u[0] & 0x0F) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    case 4:
        return (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3F) << 12 |
               (uint32_t)(u[2] & 0x3F) << 6 | (u[3] & 0x3F);
    default: return UTF8_BAD;
    }
}

size_t utf8_encode(uint32_t c, char out[4])
{
    return str_put_utf8(c, out);
}

size_t utf8_prefix(struct str s, size_t characters)
{
    size_t i = 0;
    while (characters-- > 0 && i < s.n) {
        size_t length = utf8_length(s.p + i, s.n - i);
        i += length ? length : 1;
    }
    return i;
}

size_t utf8_count(struct str s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.n; count++) {
        size_t length = utf8_length(s.p + i, s.n - i);
        i += length ? length : 1;
    }
    return count;
}

/* Case pairs. step 0: a whole range lies `distance` above its capitals; step 2: capital and small
 * letter alternate, capitals even when the range starts even. */
static const struct {
    uint32_t first, last; /* capitals */
    uint32_t distance;
    int step;
} pairs[] = {
    {'A', 'Z', 32, 0},      {0xC0, 0xD6, 32, 0},    {0xD8, 0xDE, 32, 0},     {0x100, 0x12E, 1, 2},
    {0x132, 0x136, 1, 2},   {0x139, 0x147, 1, 2},   {0x14A, 0x176, 1, 2},    {0x179, 0x17D, 1, 2},
    {0x1CD, 0x1DB, 1, 2},   {0x1DE, 0x1EE, 1, 2},   {0x1F8, 0x21E, 1, 2},    {0x386, 0x386, 38, 0},
    {0x388, 0x38A, 37, 0},  {0x38C, 0x38C, 64, 0},  {0x38E, 0x38F, 63, 0},   {0x391, 0x3A1, 32, 0},
    {0x3A3, 0x3AB, 32, 0},  {0x400, 0x40F, 80, 0},  {0x410, 0x42F, 32, 0},   {0x460, 0x480, 1, 2},
    {0x48A, 0x4BE, 1, 2},   {0x4C1, 0x4CD, 1, 2},   {0x4D0, 0x52E, 1, 2},    {0x531, 0x556, 48, 0},
    {0x1E00, 0x1E94, 1, 2}, {0x1EA0, 0x1EFE, 1, 2}, {0xFF21, 0xFF3A, 32, 0},
};

uint32_t utf8_lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c == 0x178)
        return 0xFF;
    if (c == 0x1E9E)
        return 0xDF;
    for (size_t i = 1; i < countof(pairs); i++) {
        if (c < pairs[i].first || c > pairs[i].last)
            continue;
        if (pairs[i].step == 0 || (c - pairs[i].first) % 2 == 0)
            return c + pairs[i].distance;
        return c;
    }
    return c;
}

uint32_t utf8_upper(uint32_t c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    switch (c) {
    case 0xFF: return 0x178;
    case 0xB5: return 0x39C;
    case 0x131: return 'I';
    case 0x17F: return 'S';
    case 0x3C2: return 0x3A3;
    default: break;
    }
    for (size_t i = 1; i < countof(pairs); i++) {
        uint32_t first = pairs[i].first + pairs[i].distance;
        uint32_t last = pairs[i].last + pairs[i].distance;
        if (c < first || c > last)
            continue;
        if (pairs[i].step == 0 || (c - first) % 2 == 0)
            return c - pairs[i].distance;
    }
    return c;
}

bool utf8_is_space(uint32_t c)
{
    if (c <= 0x20)
        return c == ' ' || (c >= 9 && c <= 13);
    return c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000 || c == 0xFEFF;
}

bool utf8_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029;
}

bool utf8_is_invisible(uint32_t c)
{
    return c == 0x200B || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x2064) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF || c == 0xAD;
}
