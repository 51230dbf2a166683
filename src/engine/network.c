/* See network.h. */
#include "engine/network.h"

#include <arpa/inet.h>

static bool read_address(const char *text, struct network *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET, text, out->bytes) == 1) {
        out->n = 4;
        return true;
    }
    if (inet_pton(AF_INET6, text, out->bytes) != 1)
        return false;
    out->n = 16;
    if (memcmp(out->bytes, mapped, sizeof mapped) == 0) {
        memmove(out->bytes, out->bytes + 12, 4);
        out->n = 4;
    }
    return true;
}

static bool same_prefix(const struct network *n, const uint8_t *bytes)
{
    size_t whole = n->bits / 8;
    unsigned rest = n->bits % 8;
    if (memcmp(n->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || (n->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

static bool has_host_bits(const struct network *n)
{
    for (unsigned i = n->bits; i < n->n * 8; i++)
        if (n->bytes[i / 8] & (0x80u >> i % 8))
            return true;
    return false;
}

bool network_parse(struct str s, struct network *out, struct err *e)
{
    char text[64];
    uint64_t bits = 0;
    ptrdiff_t slash = str_chr(s, '/');
    struct str address = slash < 0 ? s : str_cut(s, 0, (size_t)slash);
    *out = (struct network){.n = 0};
    bool ok = str_copy(address, text, sizeof text) && read_address(text, out);
    if (ok && slash >= 0)
        ok = str_to_u64(str_from_index(s, (size_t)slash + 1), out->n * 8, &bits);
    out->bits = slash < 0 ? (unsigned)out->n * 8 : (unsigned)bits;
    if (!ok || has_host_bits(out))
        return err_set(e, ERR_INVALID,
                       "ip: \"" STR_F "\" is no network; 192.0.2.0/24, 2001:db8::/32 or an address "
                       "is what it takes",
                       STR_A(str_cut(s, 0, 60)));
    return true;
}

bool network_has(const struct network *n, const char *address)
{
    struct network a;
    return read_address(address, &a) && a.n == n->n && same_prefix(n, a.bytes);
}
