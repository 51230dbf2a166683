/* What a server keeps of a password for SCRAM-SHA-256 (RFC 5802, 3; RFC 7677): salt, iterations,
 * StoredKey and ServerKey. The password cannot be had back from them, and PLAIN and LOGIN are
 * proven with them too. Pure; randomness comes as the salt. */
#ifndef SMTP_KEYS_H
#define SMTP_KEYS_H

#include "base/base.h"
#include "base/buf.h"
#include "base/secret.h"
#include "base/str.h"
#include "smtp/client.h"

enum { SMTP_KEY_SIZE = 32, SMTP_KEYS_SALT_SIZE = 16, SMTP_KEYS_ITERATIONS = 4096 };

struct smtp_keys {
    uint8_t salt[SMTP_KEYS_SALT_SIZE];
    uint32_t iterations;
    uint8_t stored[SMTP_KEY_SIZE], server[SMTP_KEY_SIZE];
};

/* What has to be derived (smtp_derive) to prove a password against k. */
void smtp_keys_derivation(const struct smtp_keys *k, struct smtp_derivation *out);
/* Fills stored and server from what was derived with k's salt and iterations. False: SHA-256 is not
 * available here. */
bool smtp_keys_of_salted(struct smtp_keys *k, const uint8_t salted[SMTP_SALTED_SIZE]) MUST_USE;
/* The same from the password; about a millisecond. */
bool smtp_keys_make(struct smtp_keys *k, const struct secret *password) MUST_USE;
/* Does what was derived belong to k? In constant time. */
bool smtp_keys_fit(const struct smtp_keys *k, const uint8_t salted[SMTP_SALTED_SIZE]) MUST_USE;
/* What tells a password that was proven before from any other, without keeping it: its MAC under a
 * key of this process. Against guessing it is worth what the key is. */
bool smtp_keys_proof(const uint8_t key[SMTP_KEY_SIZE], const struct secret *password,
                     uint8_t out[SMTP_KEY_SIZE]) MUST_USE;
/* In constant time. */
bool smtp_keys_proofs_equal(const uint8_t a[SMTP_KEY_SIZE], const uint8_t b[SMTP_KEY_SIZE]);
/* For a name that nobody has: a salt that stays the same for it (`secret` is ours, 32 bytes), and
 * keys that no password fits. Takes as long as having some. */
void smtp_keys_decoy(struct smtp_keys *k, struct str user, const uint8_t secret[SMTP_KEY_SIZE]);

/* The server's end of SCRAM. Pieces of one dialogue, each without base64. */
struct smtp_scram_server {
    struct smtp_keys keys;
    char nonce[96];  /* the client's, then ours */
    char header[16]; /* gs2: "n,," or "y,," as sent */
    size_t header_n;
    char first[1200]; /* client-first-message-bare, ',', server-first-message */
    size_t first_n;
};

enum { SMTP_USER_MAX = 128 };

/* Reads "n,,n=USER,r=NONCE". user_out is undone of its escapes. False: malformed, channel binding,
 * another authorization identity, or longer than SMTP_USER_MAX. */
bool smtp_scram_read_first(struct smtp_scram_server *s, struct str message,
                           char user_out[SMTP_USER_MAX + 1]) MUST_USE;
/* With the user's keys (or decoys) and our part of the nonce: gives server-first-message. */
bool smtp_scram_challenge(struct smtp_scram_server *s, const struct smtp_keys *keys,
                          const char *nonce, struct buf *out) MUST_USE;
/* Reads client-final-message; gives server-final-message. False: the proof is wrong. */
bool smtp_scram_verify(const struct smtp_scram_server *s, struct str message,
                       struct buf *out) MUST_USE;

#endif
