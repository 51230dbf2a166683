/* The mechanisms but SCRAM, and the table that picks among them. A machine is a function that is
 * given the decoded challenge and its number, counted from 0; it refuses numbers that it does not
 * know, which is what bounds a server that challenges for ever. */
#include "smtp/auth.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/codec.h"
#include "smtp/auth_scram.h"

enum { PLAIN_MAX = 8192 };

static bool plain_initial(struct smtp_auth *a, struct buf *out, struct err *e)
{
    struct str password = secret_reveal(a->password);

    if (str_chr(a->user, 0) >= 0 || str_chr(password, 0) >= 0)
        return err_set(e, ERR_INVALID, "AUTH PLAIN cannot carry a NUL byte in user or password");
    return buf_addc(out, 0) && buf_addstr(out, a->user) && buf_addc(out, 0) &&
           buf_addstr(out, password);
}

/* Some servers ignore the initial response and ask for it with an empty challenge. */
static bool plain_answer(struct smtp_auth *a, struct str challenge, struct buf *out, struct err *e)
{
    if (a->step > 0)
        return err_set(e, ERR_FAILED, "the server goes on asking after AUTH PLAIN was answered");
    return plain_initial(a, out, e);
}

static bool login_answer(struct smtp_auth *a, struct str challenge, struct buf *out, struct err *e)
{
    if (a->step > 1)
        return err_set(e, ERR_FAILED, "the server goes on asking after AUTH LOGIN was answered");
    return buf_addstr(out, a->step == 0 ? a->user : secret_reveal(a->password));
}

static bool cram_answer(struct smtp_auth *a, struct str challenge, struct buf *out, struct err *e)
{
    struct str password = secret_reveal(a->password);
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (a->step > 0)
        return err_set(e, ERR_FAILED, "the server goes on asking after AUTH CRAM-MD5 was answered");
    if (HMAC(EVP_md5(), password.p, (int)password.n, (const uint8_t *)challenge.p, challenge.n, mac,
             &n) == NULL)
        return err_set(e, ERR_FAILED, "HMAC-MD5 is not available here");
    return buf_addstr(out, a->user) && buf_addc(out, ' ') && codec_hex_add(out, mac, n);
}

static bool xoauth2_initial(struct smtp_auth *a, struct buf *out, struct err *e)
{
    struct str token = secret_reveal(a->password);

    if (str_chr(a->user, 1) >= 0 || str_chr(token, 1) >= 0)
        return err_set(e, ERR_INVALID, "XOAUTH2 cannot carry a control byte in user or token");
    return buf_adds(out, "user=") && buf_addstr(out, a->user) &&
           buf_adds(out, "\001auth=Bearer ") && buf_addstr(out, token) && buf_adds(out, "\001\001");
}

/* An empty challenge asks for the initial response again; any other one tells an error, is
 * answered by an empty line, and a 535 follows. */
static bool xoauth2_answer(struct smtp_auth *a, struct str challenge, struct buf *out,
                           struct err *e)
{
    if (a->step > 1)
        return err_set(e, ERR_FAILED, "the server goes on asking after XOAUTH2 was answered");
    return challenge.n > 0 || xoauth2_initial(a, out, e);
}

struct mechanism {
    const char *name;
    size_t offered; /* offset of its bool in struct smtp_caps */
    bool in_clear;
    bool (*initial)(struct smtp_auth *a, struct buf *out, struct err *e);
    bool (*answer)(struct smtp_auth *a, struct str challenge, struct buf *out, struct err *e);
};

/* In the order of enum smtp_mech, which is the order of preference. */
static const struct mechanism MECHANISMS[SMTP_MECH_COUNT] = {
    {"", 0, false, NULL, NULL},
    {"SCRAM-SHA-256", offsetof(struct smtp_caps, auth_scram_sha256), false, smtp_scram_initial,
     smtp_scram_answer},
    {"CRAM-MD5", offsetof(struct smtp_caps, auth_cram_md5), false, NULL, cram_answer},
    {"PLAIN", offsetof(struct smtp_caps, auth_plain), true, plain_initial, plain_answer},
    {"LOGIN", offsetof(struct smtp_caps, auth_login), true, NULL, login_answer},
    {"XOAUTH2", offsetof(struct smtp_caps, auth_xoauth2), true, xoauth2_initial, xoauth2_answer},
};

const char *smtp_mech_name(enum smtp_mech m)
{
    return MECHANISMS[m].name;
}

enum smtp_mech smtp_mech_choose(const struct smtp_caps *offered, const char *wanted, bool clear_ok,
                                unsigned refused)
{
    for (int m = 1; m < SMTP_MECH_COUNT; m++) {
        const struct mechanism *k = &MECHANISMS[m];
        bool is_offered = *(const bool *)((const char *)offered + k->offered);
        bool is_wanted = wanted != NULL ? str_iis(str_of(k->name), wanted) : m != SMTP_MECH_XOAUTH2;
        if (is_offered && is_wanted && (clear_ok || !k->in_clear) && !(refused & (1u << m)))
            return (enum smtp_mech)m;
    }
    return SMTP_MECH_NONE;
}

void smtp_auth_start(struct smtp_auth *a, enum smtp_mech mech, struct str user,
                     const struct secret *password, struct str nonce)
{
    memset(a, 0, sizeof *a);
    a->mech = mech;
    a->user = user;
    a->password = password;
    str_copy(nonce, a->nonce, sizeof a->nonce);
}

/* Encodes what a machine made; its bytes may be a password. */
static bool encode(struct buf *made, bool ok, struct buf *out, struct err *e)
{
    if (ok && made->n > 0)
        ok = codec_base64_add(out, made->p, made->n);
    else if (!ok && (made->overflow || e->code == ERR_NONE))
        err_set(e, ERR_TOO_BIG, "user or password too long for AUTH");
    if (made->n > 0)
        secret_wipe(made->p, made->n);
    buf_free(made);
    return ok;
}

bool smtp_auth_initial(struct smtp_auth *a, struct buf *out, struct err *e)
{
    struct buf made;

    if (MECHANISMS[a->mech].initial == NULL)
        return true;
    e->code = ERR_NONE;
    buf_init(&made, PLAIN_MAX);
    return encode(&made, MECHANISMS[a->mech].initial(a, &made, e), out, e);
}

bool smtp_auth_answer(struct smtp_auth *a, struct str challenge, struct buf *out, struct err *e)
{
    struct buf given, made;

    e->code = ERR_NONE;
    if (a->challenges++ == SMTP_AUTH_CHALLENGES_MAX)
        return err_set(e, ERR_FAILED, "the server goes on asking in AUTH");
    buf_init(&given, SMTP_AUTH_LINE_MAX);
    buf_init(&made, PLAIN_MAX);
    bool ok = codec_base64_decode(str_trim(challenge), &given);
    /* LOGIN's prompts are for people and some servers do not encode them. */
    if (!ok && a->mech == SMTP_MECH_LOGIN)
        ok = true;
    else if (!ok)
        err_set(e, ERR_FAILED, "the server's AUTH challenge is not base64");
    if (ok)
        ok = MECHANISMS[a->mech].answer(a, buf_str(&given), &made, e);
    a->step++;
    buf_free(&given);
    return encode(&made, ok, out, e);
}

bool smtp_auth_wants_derivation(const struct smtp_auth *a, struct str challenge,
                                struct smtp_derivation *out)
{
    struct buf given;

    if (a->mech != SMTP_MECH_SCRAM_SHA_256 || a->challenges >= SMTP_AUTH_CHALLENGES_MAX)
        return false;
    buf_init(&given, SMTP_AUTH_LINE_MAX);
    bool wants = codec_base64_decode(str_trim(challenge), &given) &&
                 smtp_scram_wants_derivation(a, buf_str(&given), out);
    buf_free(&given);
    return wants;
}

void smtp_auth_salted(struct smtp_auth *a, const uint8_t salted[SMTP_SALTED_SIZE])
{
    memcpy(a->salted, salted, sizeof a->salted);
    a->has_salted = true;
}

bool smtp_auth_accepted(const struct smtp_auth *a, struct err *e)
{
    if (a->mech == SMTP_MECH_SCRAM_SHA_256 && !a->proven)
        return err_set(e, ERR_FAILED, "the server did not prove that it knows the password");
    return true;
}

void smtp_auth_wipe(struct smtp_auth *a)
{
    secret_wipe(a, sizeof *a);
    a->mech = SMTP_MECH_NONE;
}
