/* DKIM signatures (RFC 6376; Ed25519: RFC 8463; key sizes: RFC 8301): rsa-sha256 and
 * ed25519-sha256, relaxed/relaxed. Fields that a reader shows are oversigned, so that none can be
 * added on the way; see doc/OPERATIONS.md for the list. Makes no keys and verifies nothing.
 * Pure: time comes in; a key is immutable and may sign on many threads at a time. */
#ifndef MAIL_DKIM_H
#define MAIL_DKIM_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "model/domain.h"

#define DKIM_HASH_BYTES   32
#define DKIM_SELECTOR_MAX 63    /* bytes; labels of a host name, with dots between them */
#define DKIM_RSA_BITS     2048  /* of keys that we make; 1024 to 4096 are taken */
#define DKIM_FIELDS_MAX   500   /* that one signature covers; more are refused */
#define DKIM_FIELD_MAX    32768 /* bytes of a signature field, folds included */

struct dkim_key;

/* "rsa-sha256", "ed25519-sha256": what a= says. */
const char *dkim_algorithm_tag(enum dkim_algorithm a);

bool dkim_selector_check(struct str s, struct err *e) MUST_USE;
/* domain: A-labels, lower case. der: PKCS #8 (or the traditional form of RSA); it may be wiped
 * afterwards. ERR_INVALID: no key, of another algorithm, or RSA outside of 1024 to 4096 bits. */
bool dkim_key_new(const char *domain, const char *selector, struct str der, struct dkim_key **out,
                  struct err *e) MUST_USE;
void dkim_key_free(struct dkim_key **k); /* NULL is fine */
enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *k);
const char *dkim_key_domain(const struct dkim_key *k);
const char *dkim_key_selector(const struct dkim_key *k);
/* Adds the value of p=: base64 of SubjectPublicKeyInfo (RSA) or of the 32 raw bytes. */
bool dkim_key_public(const struct dkim_key *k, struct buf *out);
/* A PEM text of a private key without a password, as DER; for keys that come from elsewhere. */
bool dkim_pem_to_der(struct str pem, struct buf *der_out, struct err *e) MUST_USE;

/* The hash of a body, in pieces: what bh= says. One for all signatures of a mail, and for all
 * recipients that get the same body. */
struct dkim_body;
struct dkim_body *dkim_body_new(void) MUST_USE;
void dkim_body_add(struct dkim_body *b, struct str chunk);
void dkim_body_end(struct dkim_body **b, uint8_t out[DKIM_HASH_BYTES]); /* frees */
void dkim_body_hash(struct str body, uint8_t out[DKIM_HASH_BYTES]);
/* What stands behind the empty line of a mail; STR_NONE when there is no such line. */
struct str dkim_body_of(struct str mail);

struct dkim_terms {
    int64_t time_s;           /* t=, seconds since 1970; 0: not said */
    int64_t lifetime_s;       /* x= so long after t=; 0: for good */
    const uint8_t *body_hash; /* DKIM_HASH_BYTES when it is known already; NULL: made here */
};

/* Adds a DKIM-Signature field for each key, folded and ended by CRLF, to be put on top of the mail
 * in this order. False: no From field, over DKIM_FIELDS_MAX fields, or out is full; out may then
 * hold a part. */
bool dkim_sign(const struct dkim_key *const *keys, size_t n, struct str mail,
               const struct dkim_terms *terms, struct buf *out, struct err *e) MUST_USE;

#endif
