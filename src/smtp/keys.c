/* See keys.h. Whatever was derived is wiped before a function returns; comparisons take the same
 * time whatever they find. */
#include "smtp/keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "base/codec.h"

static bool mac(const uint8_t key[SMTP_KEY_SIZE], struct str s, uint8_t out[SMTP_KEY_SIZE])
{
    return HMAC(EVP_sha256(), key, SMTP_KEY_SIZE, (const uint8_t *)s.p, s.n, out, NULL) != NULL;
}

static bool hash(const uint8_t in[SMTP_KEY_SIZE], uint8_t out[SMTP_KEY_SIZE])
{
    return EVP_Digest(in, SMTP_KEY_SIZE, out, NULL, EVP_sha256(), NULL) == 1;
}

void smtp_keys_derivation(const struct smtp_keys *k, struct smtp_derivation *out)
{
    memcpy(out->salt, k->salt, sizeof k->salt);
    out->salt_n = sizeof k->salt;
    out->iterations = k->iterations;
}

bool smtp_keys_of_salted(struct smtp_keys *k, const uint8_t salted[SMTP_SALTED_SIZE])
{
    uint8_t client[SMTP_KEY_SIZE];
    bool ok = mac(salted, STR("Client Key"), client) && hash(client, k->stored) &&
              mac(salted, STR("Server Key"), k->server);

    OPENSSL_cleanse(client, sizeof client);
    return ok;
}

bool smtp_keys_make(struct smtp_keys *k, const struct secret *password)
{
    struct smtp_derivation d;
    uint8_t salted[SMTP_SALTED_SIZE];

    smtp_keys_derivation(k, &d);
    bool ok = smtp_derive(&d, password, salted) && smtp_keys_of_salted(k, salted);
    OPENSSL_cleanse(salted, sizeof salted);
    return ok;
}

bool smtp_keys_fit(const struct smtp_keys *k, const uint8_t salted[SMTP_SALTED_SIZE])
{
    struct smtp_keys made = *k;
    bool ok = smtp_keys_of_salted(&made, salted) &&
              CRYPTO_memcmp(made.stored, k->stored, sizeof k->stored) == 0;

    OPENSSL_cleanse(&made, sizeof made);
    return ok;
}

bool smtp_keys_proof(const uint8_t key[SMTP_KEY_SIZE], const struct secret *password,
                     uint8_t out[SMTP_KEY_SIZE])
{
    return mac(key, secret_reveal(password), out);
}

bool smtp_keys_proofs_equal(const uint8_t a[SMTP_KEY_SIZE], const uint8_t b[SMTP_KEY_SIZE])
{
    return CRYPTO_memcmp(a, b, SMTP_KEY_SIZE) == 0;
}

void smtp_keys_decoy(struct smtp_keys *k, struct str user, const uint8_t secret[SMTP_KEY_SIZE])
{
    uint8_t salt[SMTP_KEY_SIZE] = {0};

    *k = (struct smtp_keys){.iterations = SMTP_KEYS_ITERATIONS};
    if (mac(secret, user, salt))
        memcpy(k->salt, salt, sizeof k->salt);
    /* All zeros: no SHA-256 that anybody can name. */
}

/* ---- SCRAM, the server's end ---- */

/* "=2C" is a comma and "=3D" an equals sign in a name (RFC 5802, 5.1). */
static bool read_user(struct str s, char out[SMTP_USER_MAX + 1])
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        if (n == SMTP_USER_MAX || ch == 0)
            return false;
        if (ch == '=') {
            struct str code = str_cut(s, i, 3);
            if (!str_is(code, "=2C") && !str_is(code, "=3D"))
                return false;
            ch = str_is(code, "=2C") ? ',' : '=';
            i += 2;
        }
        out[n++] = ch;
    }
    out[n] = 0;
    return n > 0;
}

static bool is_nonce(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ',')
            return false;
    return s.n > 0 && s.n <= 48;
}

/* gs2-header: "n,," or "y,,", with "a=NAME" where it is the same name. */
static bool read_header(struct smtp_scram_server *s, struct str *rest, struct str *identity)
{
    struct str all = *rest, flag;

    if (!str_split(rest, ',', &flag) || (!str_is(flag, "n") && !str_is(flag, "y")) ||
        !str_split(rest, ',', identity) || (identity->n > 0 && !str_starts(*identity, STR("a="))))
        return false;
    s->header_n = all.n - rest->n;
    /* With an identity the header is longer than is kept: refused, it may name nobody else. */
    if (identity->n > 0 || s->header_n >= sizeof s->header)
        return false;
    memcpy(s->header, all.p, s->header_n);
    return true;
}

bool smtp_scram_read_first(struct smtp_scram_server *s, struct str message,
                           char user_out[SMTP_USER_MAX + 1])
{
    struct str rest = message, identity, part;

    memset(s, 0, sizeof *s);
    if (!read_header(s, &rest, &identity))
        return false;
    struct str bare = rest;
    if (!str_split(&rest, ',', &part) || !str_starts(part, STR("n=")) ||
        !read_user(str_from_index(part, 2), user_out))
        return false;
    if (!str_split(&rest, ',', &part) || !str_starts(part, STR("r=")) ||
        !is_nonce(str_from_index(part, 2)) || bare.n >= 600)
        return false;
    str_copy(str_from_index(part, 2), s->nonce, sizeof s->nonce);
    memcpy(s->first, bare.p, bare.n);
    s->first_n = bare.n;
    return true;
}

bool smtp_scram_challenge(struct smtp_scram_server *s, const struct smtp_keys *keys,
                          const char *nonce, struct buf *out)
{
    size_t at = out->n;

    s->keys = *keys;
    if (strlen(s->nonce) + strlen(nonce) >= sizeof s->nonce)
        return false;
    memcpy(s->nonce + strlen(s->nonce), nonce, strlen(nonce) + 1);
    if (!buf_addf(out, "r=%s,s=", s->nonce) ||
        !codec_base64_add(out, keys->salt, sizeof keys->salt) ||
        !buf_addf(out, ",i=%u", keys->iterations))
        return false;
    struct str made = str_from_index(buf_str(out), at);
    if (s->first_n + 1 + made.n >= sizeof s->first)
        return false;
    s->first[s->first_n++] = ',';
    memcpy(s->first + s->first_n, made.p, made.n);
    s->first_n += made.n;
    return true;
}

/* "c=" must repeat the header that the dialogue began with. */
static bool is_bound(const struct smtp_scram_server *s, struct str base64)
{
    struct buf b;

    buf_init(&b, sizeof s->header);
    bool ok =
        codec_base64_decode(base64, &b) && str_eq(buf_str(&b), str_from(s->header, s->header_n));
    buf_free(&b);
    return ok;
}

static bool read_proof(struct str base64, uint8_t out[SMTP_KEY_SIZE])
{
    struct buf b;

    buf_init(&b, SMTP_KEY_SIZE);
    bool ok = codec_base64_decode(base64, &b) && b.n == SMTP_KEY_SIZE;
    if (ok)
        memcpy(out, b.p, SMTP_KEY_SIZE);
    buf_free(&b);
    return ok;
}

/* The client's key is its proof without the signature; its hash is what we keep (RFC 5802, 3). */
static bool prove(const struct smtp_scram_server *s, struct str auth, uint8_t key[SMTP_KEY_SIZE],
                  uint8_t signature_out[SMTP_KEY_SIZE])
{
    uint8_t signature[SMTP_KEY_SIZE], hashed[SMTP_KEY_SIZE] = {0};

    if (!mac(s->keys.stored, auth, signature))
        return false;
    for (int i = 0; i < SMTP_KEY_SIZE; i++)
        key[i] ^= signature[i];
    bool ok = hash(key, hashed) && mac(s->keys.server, auth, signature_out);
    return ok && CRYPTO_memcmp(hashed, s->keys.stored, sizeof hashed) == 0;
}

bool smtp_scram_verify(const struct smtp_scram_server *s, struct str message, struct buf *out)
{
    uint8_t key[SMTP_KEY_SIZE], signature[SMTP_KEY_SIZE];
    struct str rest = message, binding, nonce;
    ptrdiff_t p = str_find(message, STR(",p="));
    struct buf auth;

    if (p < 0 || !str_split(&rest, ',', &binding) || !str_starts(binding, STR("c=")) ||
        !is_bound(s, str_from_index(binding, 2)) || !str_split(&rest, ',', &nonce) ||
        !str_starts(nonce, STR("r=")) || !str_is(str_from_index(nonce, 2), s->nonce) ||
        !read_proof(str_from_index(message, (size_t)p + 3), key))
        return false;
    buf_init(&auth, sizeof s->first + 1024);
    bool ok = buf_addstr(&auth, str_from(s->first, s->first_n)) && buf_addc(&auth, ',') &&
              buf_addstr(&auth, str_cut(message, 0, (size_t)p)) &&
              prove(s, buf_str(&auth), key, signature) && buf_adds(out, "v=") &&
              codec_base64_add(out, signature, sizeof signature);
    buf_free(&auth);
    OPENSSL_cleanse(key, sizeof key);
    return ok;
}
