/* Records in DNS that mail is judged by, as text: lists of "tag=value;" (RFC 6376, section 3.2),
 * the key of DKIM, and the form in which a long TXT record is given to a name server. Pure. */
#ifndef MAIL_DKIM_RECORD_H
#define MAIL_DKIM_RECORD_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "mail/dkim.h"

#include <jansson.h>

#define TXT_STRING_MAX 255 /* bytes of one string of a TXT record, RFC 1035 3.3 */

/* Takes the next "tag=value" off *rest; blanks around both are dropped. False at the end. A part
 * without '=' comes with value.p NULL. */
bool tags_next(struct str *rest, struct str *tag_out, struct str *value_out);

struct dkim_record {
    enum dkim_algorithm algorithm;
    struct str public; /* p= as it stands there, blanks inside too; of the text given */
    bool is_revoked;   /* p= is empty */
    bool is_test;      /* t=y: verifiers may not treat failures otherwise than unsigned mail */
    bool is_strict;    /* t=s: i= must have the very domain */
};

/* RFC 6376, section 3.6.1. ERR_INVALID with the reason: no record of DKIM, a key type or hash that
 * we do not sign with, not for mail, no p=. */
bool dkim_record_parse(struct str text, struct dkim_record *out, struct err *e) MUST_USE;
/* Are these the same key? Blanks inside base64 do not count. */
bool dkim_record_matches(const struct dkim_record *r, enum dkim_algorithm a, struct str public);

/* "v=DKIM1; k=rsa; p=..." */
bool dkim_record_text(enum dkim_algorithm a, struct str public, struct buf *out);
/* {"name","type":"TXT","value","strings":[at most 255 bytes each],"zone"}: a record ready to copy;
 * zone is a line for a zone file. The caller's. */
json_t *txt_record_json(const char *name, struct str value) MUST_USE;
/* Gives every member of domain.keys ({"selector","algorithm","public"}) its `record`. */
void dkim_add_records(json_t *domain);
/* "SELECTOR._domainkey.DOMAIN" */
bool dkim_record_name(const char *selector, const char *domain, struct buf *out);
/* A TXT value as quoted strings of at most 255 bytes, one blank between them: "..." "..." */
bool txt_quote(struct str value, struct buf *out);

#endif
