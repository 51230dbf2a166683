/* Fresh private keys of DKIM by OpenSSL's own random source: RSA of 2048 bits (RFC 8301) and
 * Ed25519. Signing with them is mail/dkim's. */
#include "store/domains.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define RSA_BITS 2048

static EVP_PKEY *make(enum dkim_algorithm a)
{
    if (a == DKIM_ED25519_SHA256)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    return EVP_RSA_gen(RSA_BITS);
}

bool domain_key_make(enum dkim_algorithm a, struct secret **der_out, struct err *e)
{
    unsigned char *der = NULL;
    int n = -1;
    EVP_PKEY *key = make(a);
    PKCS8_PRIV_KEY_INFO *info = key ? EVP_PKEY2PKCS8(key) : NULL;
    *der_out = NULL;
    if (info)
        n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    if (n > 0) {
        *der_out = secret_new(der, (size_t)n);
        OPENSSL_cleanse(der, (size_t)n);
    }
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
    return *der_out || err_set(e, ERR_FAILED, "a key could not be made");
}
