/* DMARC (RFC 7489): the policy record, and whether two domains are aligned. Pure. */
#ifndef MAIL_DMARC_H
#define MAIL_DMARC_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

enum dmarc_policy { DMARC_NONE, DMARC_QUARANTINE, DMARC_REJECT };

struct dmarc_record {
    enum dmarc_policy policy, subdomains; /* p=, sp= (p= when not given) */
    bool strict_dkim, strict_spf;         /* adkim=s, aspf=s */
    unsigned percent;                     /* pct= */
    bool has_reports;                     /* rua= */
};

const char *dmarc_policy_name(enum dmarc_policy p);
/* Is this TXT record one of DMARC at all (section 6.6.3: v=DMARC1 in front)? */
bool dmarc_is_record(struct str text);
/* Section 6.3. ERR_INVALID with the reason: receivers would ignore such a record. */
bool dmarc_parse(struct str text, struct dmarc_record *out, struct err *e) MUST_USE;
/* The organizational domain by the public suffix list; the domain itself when it is a suffix.
 * Lower-case A-labels. Borrowed from `domain`. */
struct str dmarc_organization(struct str domain);
/* Section 3.1: equal when strict, else of the same organization. */
bool dmarc_aligned(struct str a, struct str b, bool is_strict);

#endif
