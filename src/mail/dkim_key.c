/* Private keys of DKIM: read from DER or PEM, shown as the public half, put to use. */
#include "mail/dkim_key.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/codec.h"

#define RSA_BITS_MIN 1024 /* RFC 8301, section 3.2 */
#define RSA_BITS_MAX 4096

static const char *const tags[DKIM_ALGORITHMS] = {"rsa-sha256", "ed25519-sha256"};

const char *dkim_algorithm_tag(enum dkim_algorithm a)
{
    return tags[a];
}

bool dkim_selector_check(struct str s, struct err *e)
{
    struct str rest = s, label;
    bool ok = s.n >= 1 && s.n <= DKIM_SELECTOR_MAX && s.p[s.n - 1] != '.';
    while (ok && str_split(&rest, '.', &label)) {
        ok = label.n >= 1 && label.p[0] != '-' && label.p[label.n - 1] != '-';
        for (size_t i = 0; ok && i < label.n; i++)
            ok = ascii_isalnum(label.p[i]) || label.p[i] == '-' || label.p[i] == '_';
    }
    return ok ||
           err_set(e, ERR_INVALID,
                   "selector \"" STR_F "\": 1 to %d letters, digits, hyphens and dots, as in a "
                   "host name",
                   STR_A(str_cut(s, 0, 80)), DKIM_SELECTOR_MAX);
}

/* ---- reading ---- */

static bool find_algorithm(struct dkim_key *k, struct err *e)
{
    int bits = EVP_PKEY_get_bits(k->pkey);
    if (EVP_PKEY_is_a(k->pkey, "ED25519")) {
        k->algorithm = DKIM_ED25519_SHA256;
        return true;
    }
    if (!EVP_PKEY_is_a(k->pkey, "RSA"))
        return err_set(e, ERR_INVALID, "a key of DKIM is RSA or Ed25519; this one is neither");
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return err_set(e, ERR_INVALID, "an RSA key of DKIM has %d to %d bits; this one has %d",
                       RSA_BITS_MIN, RSA_BITS_MAX, bits);
    k->algorithm = DKIM_RSA_SHA256;
    return true;
}

bool dkim_key_new(const char *domain, const char *selector, struct str der, struct dkim_key **out,
                  struct err *e)
{
    *out = NULL;
    if (!dkim_selector_check(str_of(selector), e))
        return false;
    const unsigned char *p = (const unsigned char *)der.p;
    struct dkim_key *k = alloc_one(struct dkim_key);
    ERR_clear_error();
    k->pkey = der.n && der.n <= 65536 ? d2i_AutoPrivateKey(NULL, &p, (long)der.n) : NULL;
    ERR_clear_error();
    bool ok = k->pkey != NULL;
    if (!ok)
        err_set(e, ERR_INVALID, "no private key can be read from what was given");
    ok = ok && find_algorithm(k, e);
    if (!ok) {
        dkim_key_free(&k);
        return false;
    }
    k->domain = alloc_copy(domain);
    k->selector = alloc_copy(selector);
    *out = k;
    return true;
}

void dkim_key_free(struct dkim_key **kp)
{
    struct dkim_key *k = *kp;
    *kp = NULL;
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k->domain);
    free(k->selector);
    free(k);
}

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *k)
{
    return k->algorithm;
}

const char *dkim_key_domain(const struct dkim_key *k)
{
    return k->domain;
}

const char *dkim_key_selector(const struct dkim_key *k)
{
    return k->selector;
}

bool dkim_key_public(const struct dkim_key *k, struct buf *out)
{
    unsigned char raw[DKIM_HASH_BYTES], *der = NULL;
    size_t n = sizeof raw;
    if (k->algorithm == DKIM_ED25519_SHA256)
        return EVP_PKEY_get_raw_public_key(k->pkey, raw, &n) == 1 && codec_base64_add(out, raw, n);
    int der_n = i2d_PUBKEY(k->pkey, &der);
    bool ok = der_n > 0 && codec_base64_add(out, der, (size_t)der_n);
    OPENSSL_free(der);
    return ok;
}

/* A key with a password is refused, not asked for. */
static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

bool dkim_pem_to_der(struct str pem, struct buf *der_out, struct err *e)
{
    unsigned char *der = NULL;
    ERR_clear_error();
    BIO *bio = pem.n && pem.n <= 65536 ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    int n = key ? i2d_PrivateKey(key, &der) : -1;
    bool ok = n > 0 && buf_add(der_out, der, (size_t)n);
    ERR_clear_error();
    if (n > 0)
        OPENSSL_cleanse(der, (size_t)n);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok || err_set(e, ERR_INVALID,
                         "no private key can be read: give PEM (-----BEGIN PRIVATE KEY-----) "
                         "without a password");
}

/* ---- signing ---- */

static bool sign_rsa(EVP_PKEY *pkey, const uint8_t *hash, uint8_t *out, size_t *n)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
              EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_sign(ctx, out, n, hash, DKIM_HASH_BYTES) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool sign_ed25519(EVP_PKEY *pkey, const uint8_t *hash, uint8_t *out, size_t *n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestSign(ctx, out, n, hash, DKIM_HASH_BYTES) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

bool dkim_key_sign(const struct dkim_key *k, const uint8_t hash[DKIM_HASH_BYTES], uint8_t *out,
                   size_t *n_out, struct err *e)
{
    *n_out = DKIM_SIGNATURE_MAX;
    bool ok = k->algorithm == DKIM_RSA_SHA256 ? sign_rsa(k->pkey, hash, out, n_out)
                                              : sign_ed25519(k->pkey, hash, out, n_out);
    if (!ok)
        ERR_clear_error();
    return ok ||
           err_set(e, ERR_FAILED, "the key %s._domainkey.%s cannot sign", k->selector, k->domain);
}
