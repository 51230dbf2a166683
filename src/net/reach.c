/* See reach.h. Tables of prefixes; the first that fits names the purpose. */
#include "net/reach.h"

#include <string.h>

struct prefix {
    uint8_t bytes[16];
    unsigned bits;
    const char *what;
};

static const struct prefix v4[] = {
    {{0}, 8, "this network"},
    {{10}, 8, "private network"},
    {{100, 64}, 10, "network of a carrier (RFC 6598)"},
    {{127}, 8, "loopback"},
    {{169, 254}, 16, "link-local, where clouds keep their metadata"},
    {{172, 16}, 12, "private network"},
    {{192, 0, 0}, 24, "reserved for protocols"},
    {{192, 0, 2}, 24, "documentation"},
    {{192, 88, 99}, 24, "6to4 relay"},
    {{192, 168}, 16, "private network"},
    {{198, 18}, 15, "benchmarks"},
    {{198, 51, 100}, 24, "documentation"},
    {{203, 0, 113}, 24, "documentation"},
    {{224}, 4, "multicast"},
    {{240}, 4, "reserved"}, /* broadcast too */
};

/* What is not in 2000::/3 was never given to anybody; these are exceptions within it. */
static const struct prefix v6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 32, "Teredo tunnel"}, {{0x20, 0x01, 0x00, 0x02}, 48, "benchmarks"},
    {{0x20, 0x01, 0x00, 0x10}, 28, "ORCHID"},        {{0x20, 0x01, 0x00, 0x20}, 28, "ORCHID"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"}, {{0x3f, 0xff}, 20, "documentation"},
};

static const struct prefix v6_outside[] = {
    {{0xfc}, 7, "private network"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "site-local"},
    {{0xff}, 8, "multicast"},
};

static bool has(const struct prefix *p, const uint8_t *bytes)
{
    size_t whole = p->bits / 8;
    unsigned rest = p->bits % 8;
    return memcmp(p->bytes, bytes, whole) == 0 &&
           (rest == 0 || (p->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0);
}

static const char *find(const struct prefix *list, size_t n, const uint8_t *bytes)
{
    for (size_t i = 0; i < n; i++)
        if (has(&list[i], bytes))
            return list[i].what;
    return NULL;
}

/* Where an IPv6 address leads to an IPv4 one; NULL: it does not. */
static const uint8_t *inside(const uint8_t *b)
{
    static const uint8_t zero[12];
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t translated[12] = {[8] = 0xff, [9] = 0xff}; /* ::ffff:0:a.b.c.d, RFC 2765 */
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};      /* RFC 6052 */
    bool at_the_end = memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0 ||
                      memcmp(b, translated, 12) == 0 || memcmp(b, zero, 12) == 0;
    if (at_the_end)
        return b + 12;
    if (b[0] == 0x20 && b[1] == 0x02) /* 6to4, RFC 3056 */
        return b + 2;
    return NULL;
}

static const char *special_v6(const uint8_t *b)
{
    static const uint8_t loopback[16] = {[15] = 1};
    static const uint8_t none[16];
    if (memcmp(b, loopback, 16) == 0)
        return "loopback";
    if (memcmp(b, none, 16) == 0)
        return "no address";
    const uint8_t *ip4 = inside(b);
    if (ip4)
        return find(v4, countof(v4), ip4);
    if ((b[0] & 0xe0) == 0x20)
        return find(v6, countof(v6), b);
    const char *what = find(v6_outside, countof(v6_outside), b);
    return what ? what : "reserved"; /* 64:ff9b:1::/48 too, the local NAT64 of RFC 8215 */
}

const char *reach_special(const uint8_t *bytes, size_t n)
{
    return n == 4 ? find(v4, countof(v4), bytes) : special_v6(bytes);
}
