/* The receiving side of SMTP without input and output (RFC 5321, submission RFC 6409): bytes and
 * time in, bytes and events out, the same answer for every way of cutting the bytes. One object a
 * connection. It knows the protocol; who may log in, and what becomes of a mail, its driver says.
 *
 * The driver (engine/intake) does after whatever happened: pulls events until there are none,
 * writes what smtp_server_output gives, tells what the kernel took with smtp_server_sent, and arms
 * a timer for smtp_server_deadline. It reads from the socket only while smtp_server_wants_input.
 *
 * A mail: MAIL, RCPT ..., DATA (each answered by smtp_server_answer), BODY ... without the dots of
 * transparency, DONE (answered when the mail is durable). RESET says that what came so far of a
 * mail is not wanted any more. Lines end with CRLF and nothing else: a body with a bare CR, bare LF
 * or NUL is refused, and one that only looks as if it ended ("LF . LF" and the like) ends the
 * connection, so that nothing behind it is taken for commands. */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "base/base.h"
#include "base/secret.h"
#include "base/str.h"
#include "smtp/keys.h"

struct smtp_server;

struct smtp_server_config {
    const char *host;             /* our name; copied */
    bool tls_offered;             /* STARTTLS can be done */
    bool tls_active;              /* implicit TLS: hands are shaken before the first byte */
    bool login_in_clear;          /* AUTH without TLS: listeners on loopback only */
    uint64_t size_max;            /* bytes of a mail */
    uint32_t recipients_max;      /* of a mail */
    uint32_t errors_max;          /* refused commands; from half of them on answers are delayed */
    int64_t login_ms;             /* from the start to a login */
    int64_t command_ms;           /* to the end of the next command */
    int64_t body_ms;              /* to the next bytes of a body */
    int64_t message_ms;           /* for a whole body */
    uint64_t nonce[2];            /* randomness for SCRAM, given from outside */
    uint8_t decoy[SMTP_KEY_SIZE]; /* ours, the same for all connections: salts of unknown users */
};

enum smtp_server_event_kind {
    SMTP_SERVER_NONE = 0,
    SMTP_SERVER_START_TLS, /* driver: shakes hands now, then smtp_server_tls_done */
    SMTP_SERVER_LOOKUP,    /* text: a user; smtp_server_keys answers, now or later */
    SMTP_SERVER_DERIVE,    /* driver: smtp_derive what smtp_server_derivation and _password give,
                              on any thread, then smtp_server_derived */
    SMTP_SERVER_LOGIN,     /* text: the user, who is in now */
    SMTP_SERVER_NO_LOGIN,  /* text: the user who was refused */
    SMTP_SERVER_MAIL,      /* text: the path, "" is the null path; smtp_server_answer */
    SMTP_SERVER_RCPT,      /* text: the path; smtp_server_answer */
    SMTP_SERVER_DATA,      /* a body wants to come; smtp_server_answer: 354, or a refusal */
    SMTP_SERVER_BODY,      /* text: bytes of it */
    SMTP_SERVER_DONE,      /* it is complete; smtp_server_answer */
    SMTP_SERVER_RESET,     /* the mail that began with MAIL is given up */
    SMTP_SERVER_END,       /* close the socket; text says why. No event follows */
};

enum smtp_server_end {
    SMTP_SERVER_END_QUIT = 0,
    SMTP_SERVER_END_LOST,    /* the client closed, or does not take our answers */
    SMTP_SERVER_END_TIMEOUT, /* it did not speak in time */
    SMTP_SERVER_END_ERRORS,  /* too many refused commands, logins or idle ones */
    SMTP_SERVER_END_ATTACK,  /* bytes in clear behind STARTTLS, a false end of a body, HTTP ... */
    SMTP_SERVER_END_TLS,     /* the handshake failed */
    SMTP_SERVER_END_STOP,    /* smtp_server_stop */
};

struct smtp_server_event {
    enum smtp_server_event_kind kind;
    enum smtp_server_end end;
    struct str text; /* valid until the next call */
    /* MAIL. RFC 3461 and 6531; STR_NONE: not given; envid is decoded. */
    uint64_t size;
    bool is_8bit, is_utf8;
    struct str ret, envid;
    /* RCPT: keywords; "rfc822;" and the decoded address, or "utf-8;" and it as it came. */
    struct str notify, orcpt;
};

struct smtp_server *smtp_server_new(const struct smtp_server_config *cfg, int64_t now_ms) MUST_USE;
void smtp_server_free(struct smtp_server **s);

/* Bytes from the client; any cutting. */
void smtp_server_input(struct smtp_server *s, struct str bytes, int64_t now_ms);
/* The client closed or reset. */
void smtp_server_closed(struct smtp_server *s, int64_t now_ms);
/* False: there is enough to do; do not read from the socket. */
bool smtp_server_wants_input(const struct smtp_server *s);
void smtp_server_tls_done(struct smtp_server *s, bool ok, int64_t now_ms);
/* The answer to LOOKUP; NULL: nobody of that name may log in here. Copied. */
void smtp_server_keys(struct smtp_server *s, const struct smtp_keys *keys, int64_t now_ms);
/* After DERIVE; borrowed until the answer. */
const struct smtp_derivation *smtp_server_derivation(const struct smtp_server *s);
const struct secret *smtp_server_password(const struct smtp_server *s);
/* NULL: it failed. */
void smtp_server_derived(struct smtp_server *s, const uint8_t *salted, int64_t now_ms);
/* Instead of it: the driver knows that this very password fits these keys. */
void smtp_server_proven(struct smtp_server *s, int64_t now_ms);
/* After MAIL, RCPT, DATA, DONE: the reply, one line. enhanced: "2.1.0" ... */
void smtp_server_answer(struct smtp_server *s, int code, const char *enhanced, struct str text,
                        int64_t now_ms);
/* From here on, for mail that has not begun; after LOGIN, say. */
void smtp_server_limit(struct smtp_server *s, uint64_t size_max, uint32_t recipients_max);
/* 421 and the end: at once, but for a mail that waits for its answer, which it gets first. */
void smtp_server_stop(struct smtp_server *s, int64_t now_ms);
/* Passed deadlines act. */
void smtp_server_tick(struct smtp_server *s, int64_t now_ms);
/* Boot ms of the next deadline, delays of answers included; INT64_MAX: none. */
int64_t smtp_server_deadline(const struct smtp_server *s);
/* False: no event left. */
bool smtp_server_event(struct smtp_server *s, struct smtp_server_event *out);
/* What is to be written now; answers that are delayed are not in it. Valid until the next call. */
struct str smtp_server_output(const struct smtp_server *s);
void smtp_server_sent(struct smtp_server *s, size_t n, int64_t now_ms);

/* What the client called itself, "" before. */
const char *smtp_server_helo(const struct smtp_server *s);
/* For Received (RFC 3848, 6531): "ESMTPSA", "SMTP", "UTF8SMTPSA" ... of the mail that came last. */
const char *smtp_server_protocol(const struct smtp_server *s);
bool smtp_server_is_idle(const struct smtp_server *s); /* between mails, nothing asked */

#endif
