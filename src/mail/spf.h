/* SPF (RFC 7208) of a domain, walked as a whole: every include, redirect, a, mx and exists is
 * followed and counted, whether or not something before it matches, because the limits must hold
 * for the worst sender. Addresses are held against it on the way. Asks no DNS itself: it says what
 * to ask and is told. Macros are not expanded: such a term is counted and matches nothing. Pure. */
#ifndef MAIL_SPF_H
#define MAIL_SPF_H

#include "base/base.h"
#include "base/str.h"

#define SPF_ADDRESSES_MAX 31
#define SPF_LOOKUPS_MAX   10 /* section 4.6.4; more are a permanent error */
#define SPF_VOIDS_MAX     2
#define SPF_QUESTIONS_MAX 60 /* then the walk ends: whatever is left does not matter any more */

enum spf_type { SPF_TXT, SPF_A, SPF_AAAA, SPF_MX };
enum spf_result {
    SPF_NO_RECORD,
    SPF_NEUTRAL,
    SPF_PASS,
    SPF_FAIL,
    SPF_SOFTFAIL,
    SPF_PERMERROR,
    SPF_TEMPERROR
};

struct spf_address {
    uint8_t bytes[16]; /* the first 4 when it is no IPv6 */
    bool is_v6;
};

/* "192.0.2.1", "2001:db8::1", also in brackets; false: a name. */
bool spf_address_parse(struct str text, struct spf_address *out);

struct spf_answer {
    bool failed;                         /* no server answered: not the same as nothing found */
    size_t n;                            /* 0: nothing found */
    const struct spf_address *addresses; /* SPF_A, SPF_AAAA */
    const char *const *texts;            /* SPF_TXT: each record, its strings joined */
    const char *host;                    /* SPF_MX: the preferred exchanger */
};

struct spf;

/* addresses: that mail comes from; at most SPF_ADDRESSES_MAX are looked at. */
struct spf *spf_new(const char *domain, const struct spf_address *addresses, size_t n) MUST_USE;
void spf_free(struct spf **s);
/* The next question; false: the walk is over. name is valid until spf_tell. */
bool spf_ask(struct spf *s, const char **name_out, enum spf_type *type_out);
void spf_tell(struct spf *s, const struct spf_answer *a);

/* After the walk: SPF_PASS when there is a good record (whatever its addresses), SPF_NO_RECORD,
 * SPF_PERMERROR, SPF_TEMPERROR. */
enum spf_result spf_standing(const struct spf *s);
enum spf_result spf_result_of(const struct spf *s, size_t address);
const char *spf_result_name(enum spf_result r);
unsigned spf_lookups(const struct spf *s);
unsigned spf_voids(const struct spf *s);
const char *spf_problem(const struct spf *s); /* why PERMERROR or TEMPERROR; "" */
const char *spf_record(const struct spf *s);  /* of the domain itself; "" */
char spf_all(const struct spf *s);            /* qualifier of its `all`: + - ~ ?; 0: none */
bool spf_includes(const struct spf *s, const char *domain); /* anywhere in the walk */
bool spf_has_ptr(const struct spf *s);

#endif
