/* Networks as "192.0.2.0/24", "2001:db8::/32" or a single address, and whether an address lies in
 * one. An IPv4 address that came over IPv6 ("::ffff:192.0.2.1") counts as IPv4. */
#ifndef ENGINE_NETWORK_H
#define ENGINE_NETWORK_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

struct network {
    uint8_t bytes[16];
    size_t n; /* 4 or 16 */
    unsigned bits;
};

/* ERR_INVALID: neither; or bits are set behind the prefix. */
bool network_parse(struct str s, struct network *out, struct err *e) MUST_USE;
/* address: in figures, without port. */
bool network_has(const struct network *n, const char *address);

#endif
