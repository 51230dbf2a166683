/* SCRAM-SHA-256: client-first, server-first, client-final, server-final. The key derivation is a
 * function of its own, for another thread; more than SMTP_AUTH_ITERATIONS_MAX are refused.
 * All keys are wiped before a function returns. */
#include "smtp/auth_scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/codec.h"

enum { KEY_SIZE = SMTP_SALTED_SIZE, MESSAGE_MAX = 8192 };

struct server_first {
    struct str nonce;
    struct smtp_derivation key;
};

/* client-first-message-bare; '=' and ',' of a name are escaped (RFC 5802, 5.1). */
static bool add_first_bare(const struct smtp_auth *a, struct buf *b)
{
    bool ok = buf_adds(b, "n=");

    for (size_t i = 0; ok && i < a->user.n; i++) {
        char ch = a->user.p[i];
        ok = ch == '=' ? buf_adds(b, "=3D") : ch == ',' ? buf_adds(b, "=2C") : buf_addc(b, ch);
    }
    return ok && buf_adds(b, ",r=") && buf_adds(b, a->nonce);
}

bool smtp_scram_initial(struct smtp_auth *a, struct buf *out, struct err *e)
{
    return buf_adds(out, "n,,") && add_first_bare(a, out);
}

static bool read_salt(struct str base64, struct smtp_derivation *key)
{
    struct buf salt;

    buf_init(&salt, sizeof key->salt);
    bool ok = codec_base64_decode(base64, &salt) && salt.n > 0;
    key->salt_n = ok ? salt.n : 0;
    if (ok)
        memcpy(key->salt, salt.p, salt.n);
    buf_free(&salt);
    return ok;
}

/* "r=...,s=...,i=..." in this order; extensions behind are allowed, mandatory ones (m=) are not. */
static bool read_first(const struct smtp_auth *a, struct str s, struct server_first *f,
                       struct err *e)
{
    struct str part, mine = str_of(a->nonce);
    uint64_t iterations = 0;

    if (!str_split(&s, ',', &part) || !str_starts(part, STR("r=")))
        return err_set(e, ERR_FAILED, "SCRAM: the server's first message has no nonce");
    f->nonce = str_from_index(part, 2);
    if (!str_starts(f->nonce, mine) || f->nonce.n == mine.n)
        return err_set(e, ERR_FAILED, "SCRAM: the server's nonce does not continue ours");
    if (!str_split(&s, ',', &part) || !str_starts(part, STR("s=")) ||
        !read_salt(str_from_index(part, 2), &f->key))
        return err_set(e, ERR_FAILED, "SCRAM: the server's first message has no salt");
    if (!str_split(&s, ',', &part) || !str_starts(part, STR("i=")) ||
        !str_to_u64(str_from_index(part, 2), SMTP_AUTH_ITERATIONS_MAX, &iterations) ||
        iterations == 0)
        return err_set(e, ERR_FAILED, "SCRAM: iterations missing or over %d",
                       SMTP_AUTH_ITERATIONS_MAX);
    f->key.iterations = (uint32_t)iterations;
    return true;
}

static bool mac(const uint8_t key[KEY_SIZE], const void *p, size_t n, uint8_t out[KEY_SIZE])
{
    return HMAC(EVP_sha256(), key, KEY_SIZE, p, n, out, NULL) != NULL;
}

bool smtp_derive(const struct smtp_derivation *d, const struct secret *secret,
                 uint8_t salted_out[SMTP_SALTED_SIZE])
{
    struct str password = secret_reveal(secret);

    return PKCS5_PBKDF2_HMAC(password.p != NULL ? password.p : "", (int)password.n, d->salt,
                             (int)d->salt_n, (int)d->iterations, EVP_sha256(), KEY_SIZE,
                             salted_out) == 1;
}

/* Proof for us, expected signature of the server (RFC 5802, 3). */
static bool prove(struct smtp_auth *a, const struct server_first *f, struct str message,
                  uint8_t proof[KEY_SIZE])
{
    uint8_t salted[KEY_SIZE], client[KEY_SIZE], stored[KEY_SIZE], server[KEY_SIZE];

    memcpy(salted, a->salted, sizeof salted);
    bool ok = (a->has_salted || smtp_derive(&f->key, a->password, salted)) &&
              mac(salted, "Client Key", 10, client) &&
              EVP_Digest(client, KEY_SIZE, stored, NULL, EVP_sha256(), NULL) == 1 &&
              mac(stored, message.p, message.n, proof) && mac(salted, "Server Key", 10, server) &&
              mac(server, message.p, message.n, a->server_signature);

    for (int i = 0; ok && i < KEY_SIZE; i++)
        proof[i] ^= client[i];
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    OPENSSL_cleanse(stored, sizeof stored);
    OPENSSL_cleanse(server, sizeof server);
    return ok;
}

static bool add_final(struct smtp_auth *a, struct str challenge, const struct server_first *f,
                      struct buf *out, struct err *e)
{
    struct buf message;
    uint8_t proof[KEY_SIZE];

    buf_init(&message, MESSAGE_MAX);
    bool ok = add_first_bare(a, &message) && buf_addc(&message, ',') &&
              buf_addstr(&message, challenge) && buf_adds(&message, ",c=biws,r=") &&
              buf_addstr(&message, f->nonce) && buf_adds(out, "c=biws,r=") &&
              buf_addstr(out, f->nonce) && buf_adds(out, ",p=");
    if (!ok)
        err_set(e, ERR_TOO_BIG, "SCRAM: the server's first message is too long");
    else if (!prove(a, f, buf_str(&message), proof))
        ok = err_set(e, ERR_FAILED, "SCRAM: SHA-256 is not available here");
    else
        ok = codec_base64_add(out, proof, sizeof proof);
    buf_free(&message);
    return ok;
}

static bool answer_first(struct smtp_auth *a, struct str challenge, struct buf *out, struct err *e)
{
    struct server_first f;

    return read_first(a, challenge, &f, e) && add_final(a, challenge, &f, out, e);
}

bool smtp_scram_wants_derivation(const struct smtp_auth *a, struct str challenge,
                                 struct smtp_derivation *out)
{
    struct server_first f;
    struct err e;

    if (a->step != 0 || !read_first(a, challenge, &f, &e))
        return false;
    *out = f.key;
    return true;
}

static bool check_final(struct smtp_auth *a, struct str challenge, struct err *e)
{
    struct buf signature;
    struct str part;

    if (str_starts(challenge, STR("e=")))
        return err_set(e, ERR_REFUSED, "SCRAM: the server refuses our proof");
    if (!str_split(&challenge, ',', &part) || !str_starts(part, STR("v=")))
        return err_set(e, ERR_FAILED, "SCRAM: the server's last message has no signature");
    buf_init(&signature, 256);
    a->proven = codec_base64_decode(str_from_index(part, 2), &signature) &&
                signature.n == KEY_SIZE &&
                CRYPTO_memcmp(signature.p, a->server_signature, KEY_SIZE) == 0;
    buf_free(&signature);
    return a->proven ||
           err_set(e, ERR_FAILED, "SCRAM: the server's signature is wrong: not the true server");
}

/* An empty challenge before anything else asks for the client-first message again. */
bool smtp_scram_answer(struct smtp_auth *a, struct str challenge, struct buf *out, struct err *e)
{
    if (a->step == 0 && challenge.n == 0) {
        a->step = -1;
        return smtp_scram_initial(a, out, e);
    }
    if (a->step == 0)
        return answer_first(a, challenge, out, e);
    if (a->step == 1)
        return check_final(a, challenge, e);
    return err_set(e, ERR_FAILED, "the server goes on asking after SCRAM was answered");
}
