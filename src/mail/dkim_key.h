/* Inside mail/dkim*.c: what a key is made of. */
#ifndef MAIL_DKIM_KEY_H
#define MAIL_DKIM_KEY_H

#include "mail/dkim.h"

#include <openssl/evp.h>

#define DKIM_SIGNATURE_MAX 512 /* RSA of 4096 bits */

struct dkim_key {
    enum dkim_algorithm algorithm;
    EVP_PKEY *pkey;
    char *domain, *selector;
};

/* Signs a SHA-256 hash: PKCS #1 v1.5 of it, or Ed25519 over it (RFC 8463, section 3). out:
 * DKIM_SIGNATURE_MAX bytes. */
bool dkim_key_sign(const struct dkim_key *k, const uint8_t hash[DKIM_HASH_BYTES], uint8_t *out,
                   size_t *n_out, struct err *e) MUST_USE;

#endif
