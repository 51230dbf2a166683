/* The hosts file, for net/dns.c alone. */
#ifndef NET_DNS_INNER_H
#define NET_DNS_INNER_H

#include "net/dns.h"

struct dns_hosts;

struct dns_hosts *dns_hosts_new(const char *path) MUST_USE;
void dns_hosts_free(struct dns_hosts **h);
/* Reads the file again when it has changed; looks at most every 5 s (boot ms). */
void dns_hosts_refresh(struct dns_hosts *h, int64_t now_ms);
/* True: the name is the file's to answer, with *n_out records of that type (0: none). localhost
 * and names below it are always answered (RFC 6761, section 6.3). name is in lower case. */
bool dns_hosts_find(const struct dns_hosts *h, struct str name, enum dns_type type,
                    struct dns_record *records, size_t *n_out);

#endif
