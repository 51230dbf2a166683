/* Which addresses of others we may be sent to by a URL that somebody gave us: those of the public
 * internet, and none that stands for this machine, its network or a cloud's own services. Pure. */
#ifndef NET_REACH_H
#define NET_REACH_H

#include "base/base.h"

/* What a special address is for ("loopback", "private network" ...), by the registries of IANA
 * (RFC 6890 and those after it); NULL: it is public. bytes: 4 of IPv4 or 16 of IPv6. IPv4 inside
 * IPv6 (mapped, NAT64, 6to4) counts as the address inside. */
const char *reach_special(const uint8_t *bytes, size_t n);

#endif
