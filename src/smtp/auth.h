/* SASL as SMTP carries it (RFC 4954): PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), SCRAM-SHA-256
 * (RFC 5802, 7677, without channel binding) and XOAUTH2, as step machines without input and output:
 * a challenge in, a line out. What they exchange here is base64 text without line end.
 * Bounded: number of challenges, their size, iterations of SCRAM. Passwords are used byte by byte
 * as they are (no SASLprep). Whatever the peer sends is at worst a failed operation. */
#ifndef SMTP_AUTH_H
#define SMTP_AUTH_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "smtp/client.h"

enum smtp_mech {
    SMTP_MECH_NONE = 0,
    SMTP_MECH_SCRAM_SHA_256,
    SMTP_MECH_CRAM_MD5,
    SMTP_MECH_PLAIN,
    SMTP_MECH_LOGIN,
    SMTP_MECH_XOAUTH2,
    SMTP_MECH_COUNT
};

enum {
    SMTP_AUTH_ITERATIONS_MAX = 100000,
    SMTP_AUTH_LINE_MAX = 12288,
    SMTP_AUTH_CHALLENGES_MAX = 4
};

struct smtp_auth {
    enum smtp_mech mech;
    struct str user;               /* borrowed */
    const struct secret *password; /* borrowed */
    char nonce[48];
    int step;       /* of the mechanism */
    int challenges; /* answered so far; a few at most */
    bool proven;    /* SCRAM: the server has shown that it knows the password */
    uint8_t server_signature[32];
    bool has_salted; /* SCRAM: derived by somebody else */
    uint8_t salted[SMTP_SALTED_SIZE];
};

const char *smtp_mech_name(enum smtp_mech m); /* "SCRAM-SHA-256" ... ; "" for NONE */
/* The best that the server offers and that is not in `refused` (bits 1 << mech): SCRAM, CRAM-MD5,
 * PLAIN, LOGIN. `wanted` ("XOAUTH2") names the only one allowed. clear_ok: mechanisms that show
 * the password to whoever listens may be used. */
enum smtp_mech smtp_mech_choose(const struct smtp_caps *offered, const char *wanted, bool clear_ok,
                                unsigned refused);

/* nonce: printable without comma, 1 to 47 bytes. */
void smtp_auth_start(struct smtp_auth *a, enum smtp_mech mech, struct str user,
                     const struct secret *password, struct str nonce);
/* Adds the initial response to `out`; nothing added: the mechanism has none. */
bool smtp_auth_initial(struct smtp_auth *a, struct buf *out, struct err *e) MUST_USE;
/* Answers the text of a 334 reply; an empty line is an answer. */
bool smtp_auth_answer(struct smtp_auth *a, struct str challenge, struct buf *out,
                      struct err *e) MUST_USE;
/* True: the answer to this challenge costs the derivation that is put into *out. Whoever makes it
 * elsewhere gives it to smtp_auth_salted first; else smtp_auth_answer makes it. */
bool smtp_auth_wants_derivation(const struct smtp_auth *a, struct str challenge,
                                struct smtp_derivation *out) MUST_USE;
void smtp_auth_salted(struct smtp_auth *a, const uint8_t salted[SMTP_SALTED_SIZE]);
/* After 235: false when the server has not proven what the mechanism demands of it. */
bool smtp_auth_accepted(const struct smtp_auth *a, struct err *e) MUST_USE;
void smtp_auth_wipe(struct smtp_auth *a);

#endif
