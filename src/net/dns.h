/* Names to addresses on a loop, by c-ares, without ever blocking it: literals first, then names of
 * the hosts file, then a cache, then the DNS servers. Equal questions in flight share one query.
 * Answers are bounded; when the servers fail, an answer that has run out is served for a day (RFC
 * 8767). */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"

#define DNS_RECORDS_MAX 16 /* more in an answer are dropped */

struct dns;
struct dns_question;

enum dns_type { DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_TYPES };

enum dns_status {
    DNS_FOUND,
    DNS_NOT_FOUND, /* no such name, or none of that type */
    DNS_FAILED,    /* no server answered in time, or only with a failure */
};

struct dns_record {
    uint8_t address[16]; /* A: the first 4 bytes; AAAA: all */
};

struct dns_answer {
    enum dns_status status;
    enum dns_type type;
    bool stale; /* run out, but nobody gave a newer one */
    size_t n;
    const struct dns_record *records; /* borrowed for the call */
    const char *mx; /* MX: the preferred host, lower case, no dot at its end ("": the null MX of RFC
                       7505); n is 1; borrowed for the call */
    const char *txt; /* TXT: n records, a line each, their strings joined; what is no printable
                        ASCII comes as '?'; borrowed for the call */
};

struct dns_config {
    const char *servers;    /* "127.0.0.1:5353,[::1]:53"; NULL: those of the system */
    int timeout_ms;         /* for a question, all tries and servers; 0: 5000 */
    const char *hosts_file; /* NULL: /etc/hosts */
};

struct dns *dns_new(struct loop *l, const struct dns_config *cfg, struct err *e) MUST_USE;
void dns_free(struct dns **d); /* questions still open are dropped without an answer */

/* The answer comes once, never inside this call. A name of over 253 bytes is DNS_NOT_FOUND. */
struct dns_question *dns_ask(struct dns *d, const char *name, enum dns_type type,
                             void (*answered)(void *arg, const struct dns_answer *a),
                             void *arg) MUST_USE;
/* Before the answer only; NULL is fine. Sets NULL. */
void dns_cancel(struct dns_question **q);

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]": no name but an address. */
bool dns_literal(const char *name, enum dns_type *type_out, struct dns_record *out);

struct dns_counts {
    uint64_t queries; /* sent to servers (without c-ares's own repeats) */
    uint64_t hits;    /* answered from the cache */
    uint64_t stale;
};
struct dns_counts dns_count(const struct dns *d);

#endif
