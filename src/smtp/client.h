/* The sending side of SMTP without input and output: bytes and time in, bytes and events out,
 * the same answer for every way of cutting the bytes. One object a connection.
 *
 * The driver (engine/sender) does four things after whatever happened: pulls events until there
 * are none, writes what smtp_client_output gives, tells what the kernel took with smtp_client_sent,
 * and arms one timer for smtp_client_deadline. It guarantees nothing about sockets; the machine
 * guarantees that no byte of a final dot is ever in the output before smtp_client_permit_dot.
 *
 * Order of one message (RFC 5321, 2920; design HOUSE "What is durable when"):
 *   give -> BEGUN (MAIL, RCPT, DATA are in the output) -> replies read -> DOT_ASK (354 read, or
 * with CHUNKING all replies read) -> permit_dot -> DONE. The next message may be given behind the
 * dot when smtp_client_can_take says SMTP_TAKE_BEHIND. */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "base/base.h"
#include "base/secret.h"
#include "base/str.h"

struct smtp_client;

enum smtp_tls { SMTP_TLS_NONE = 0, SMTP_TLS_STARTTLS, SMTP_TLS_IMPLICIT };

struct smtp_client_config {
    const char *helo;              /* our name; copied */
    enum smtp_tls tls;             /* IMPLICIT: the driver has shaken hands before the first byte */
    const char *user;              /* NULL: no AUTH; copied */
    const struct secret *password; /* cloned */
    const char *oauth_token_mech;  /* "XOAUTH2": password is the token; else NULL: best offered */
    bool chunking_off;
    bool probe;               /* after AUTH: QUIT, no mail (health probe) */
    int64_t ready_deadline;   /* boot ms: session must be READY by then (connect-timeout) */
    int64_t reply_timeout_ms; /* each later reply but the dot's */
    int64_t dot_timeout_ms;
    uint64_t nonce;         /* randomness for SCRAM, given from outside */
    bool derives_elsewhere; /* SCRAM's slow step is the driver's: SMTP_EVENT_DERIVE */
    size_t transcript_max;  /* bytes of dialogue kept for a session and its last message */
};

/* Borrowed until the message's DONE event was pulled. */
struct smtp_envelope {
    uint64_t id;     /* the driver's; comes back in events */
    struct str from; /* "" is the null return path */
    struct str rcpt;
    struct str body;      /* CRLF lines only, no dot-stuffing, ends with CRLF */
    bool has_leading_dot; /* some line begins with '.': the machine stuffs while writing */
    bool is_8bit;         /* needs 8BITMIME */
    bool needs_utf8;      /* needs SMTPUTF8 */
    bool require_tls;     /* REQUIRETLS, RFC 8689 */
    /* RFC 3461; STR_NONE: not asked. ret and notify are keywords; envid is plain, and so is the
     * address of orcpt behind "rfc822;": the machine writes them as xtext. Behind "utf-8;" it goes
     * as it is (RFC 6533). Passed over when the server does not offer DSN. */
    struct str dsn_ret, dsn_envid, dsn_notify, dsn_orcpt;
};

enum smtp_take {
    SMTP_TAKE_NO = 0,
    SMTP_TAKE_IDLE,   /* nothing is on the wire */
    SMTP_TAKE_BEHIND, /* the dot of the last one is out; the server has proven to bear it */
};

enum smtp_event_kind {
    SMTP_EVENT_NONE = 0,
    SMTP_EVENT_START_TLS, /* driver: handshake now, then smtp_client_tls_done */
    SMTP_EVENT_DERIVE,    /* driver: smtp_derive what smtp_client_derivation gives, on any thread,
                             then smtp_client_derived; only with derives_elsewhere */
    SMTP_EVENT_READY,     /* greeting, EHLO, TLS, AUTH passed */
    SMTP_EVENT_BEGUN,     /* id: its MAIL RCPT DATA are in the output: ask for the intent now;
                             without PIPELINING that is after RCPT was accepted, so a message may
                             be DONE without it */
    SMTP_EVENT_DOT_ASK,   /* id: wants permission for the dot; permit now or later, or withdraw */
    SMTP_EVENT_DONE,      /* id: over, see `end` */
    SMTP_EVENT_END, /* the connection is over, see `end`; close the socket. No event follows */
};

enum smtp_end {
    SMTP_END_ACCEPTED,  /* DONE: 2xx to the dot */
    SMTP_END_REFUSED,   /* DONE: a definite 4xx or 5xx in `phase` */
    SMTP_END_LOST,      /* DONE: connection ended before the dot left; END: closed by the peer */
    SMTP_END_UNCERTAIN, /* DONE: the dot may have left and no final reply was read */
    SMTP_END_WITHDRAWN, /* DONE: taken back by smtp_client_withdraw before the dot left */
    SMTP_END_UNABLE,    /* DONE: server lacks 8BITMIME, SMTPUTF8, REQUIRETLS or SIZE; not asked */
    SMTP_END_TIMEOUT,   /* END: deadline passed in `phase` */
    SMTP_END_REPLY,    /* END: the server's reply ended the session (greeting 5xx, 421, AUTH 535) */
    SMTP_END_PROTOCOL, /* END: the peer does not speak SMTP as it must */
    SMTP_END_TLS,      /* END: handshake failed, or TLS wanted and not offered */
    SMTP_END_QUIT,     /* END: as agreed, or by our own choice (a 354 cannot be taken back) */
};

enum smtp_phase { /* same order and meaning as model/verdict.h, from GREETING on */
                  SMTP_PHASE_GREETING = 4,
                  SMTP_PHASE_EHLO,
                  SMTP_PHASE_STARTTLS,
                  SMTP_PHASE_AUTH,
                  SMTP_PHASE_MAIL,
                  SMTP_PHASE_RCPT,
                  SMTP_PHASE_DATA,
                  SMTP_PHASE_DOT,
                  SMTP_PHASE_QUIT,
};

struct smtp_event {
    enum smtp_event_kind kind;
    uint64_t id;
    enum smtp_end end;
    enum smtp_phase phase;
    int code; /* 0: no reply */
    uint8_t enhanced[3];
    struct str text; /* all lines of the reply joined by blanks, without their codes; or, with
                        code 0, what happened, for people; valid until the next call */
    bool stale;      /* END/DONE LOST: closed (also by 421, or RSET refused) on a reused
                        connection before the first reply to this message: no fault, once more
                        on a fresh connection */
    bool reconnect;  /* DONE REFUSED: 503, or 421 to MAIL, on a reused connection: not a
                        verdict, try again on a fresh connection; this one ends */
};

struct smtp_caps {
    bool pipelining, chunking, starttls, eightbit, utf8, dsn, enhanced, size, require_tls;
    uint64_t size_max; /* 0: not stated */
    bool auth_plain, auth_login, auth_cram_md5, auth_scram_sha256, auth_xoauth2;
    char auth_used[16]; /* "" when no AUTH was done */
};

enum { SMTP_SALT_MAX = 1024, SMTP_SALTED_SIZE = 32 };

/* What SCRAM makes a key of, beside the password (RFC 5802, 3): milliseconds of work, so that it
 * has its own door. */
struct smtp_derivation {
    uint8_t salt[SMTP_SALT_MAX];
    size_t salt_n;
    uint32_t iterations; /* 1 .. SMTP_AUTH_ITERATIONS_MAX */
};

/* SaltedPassword. Pure; about 0.2 us an iteration. False: SHA-256 is not available here. */
bool smtp_derive(const struct smtp_derivation *d, const struct secret *password,
                 uint8_t salted_out[SMTP_SALTED_SIZE]) MUST_USE;

struct smtp_client *smtp_client_new(const struct smtp_client_config *cfg, int64_t now_ms) MUST_USE;
void smtp_client_free(struct smtp_client **c);

/* Bytes from the peer; any cutting. */
void smtp_client_input(struct smtp_client *c, struct str bytes, int64_t now_ms);
/* The peer closed or reset; what was read before must have been given to input first. */
void smtp_client_closed(struct smtp_client *c, int64_t now_ms);
void smtp_client_tls_done(struct smtp_client *c, bool ok, int64_t now_ms);
/* After DERIVE: what to derive; borrowed, stays as long as the client waits for it. */
const struct smtp_derivation *smtp_client_derivation(const struct smtp_client *c);
/* The answer to it (NULL: it failed); passed over when the client does not wait for one. */
void smtp_client_derived(struct smtp_client *c, const uint8_t *salted, int64_t now_ms);
/* Passed deadlines become events. */
void smtp_client_tick(struct smtp_client *c, int64_t now_ms);
/* Boot ms of the next deadline; INT64_MAX: none. */
int64_t smtp_client_deadline(const struct smtp_client *c);

/* False: no event left. */
bool smtp_client_event(struct smtp_client *c, struct smtp_event *out);

enum smtp_take smtp_client_can_take(const struct smtp_client *c);
/* check()s that can_take allows it. */
void smtp_client_give(struct smtp_client *c, const struct smtp_envelope *e, int64_t now_ms);
/* After DOT_ASK of id, exactly once, unless withdrawn. */
void smtp_client_permit_dot(struct smtp_client *c, uint64_t id, int64_t now_ms);
/* Takes a message back whose dot has not left: DONE WITHDRAWN follows; RSET where the protocol
 * allows, else the connection ends (after 354 without CHUNKING). False: the dot has left. */
bool smtp_client_withdraw(struct smtp_client *c, uint64_t id, int64_t now_ms);
/* True when any byte of the write that holds the dot of id was given to the kernel. */
bool smtp_client_dot_left(const struct smtp_client *c, uint64_t id);
/* QUIT after what is on the wire; waits at most 5 s for the answer. */
void smtp_client_quit(struct smtp_client *c, int64_t now_ms);

/* Up to `max` slices (zero-copy, valid until the next call) to be written in order as one write.
 * 0: nothing to write. One output holds at most 256 KB of body, and many dots that begin lines can
 * use the slices up: after smtp_client_sent took all of it, ask again until 0. */
size_t smtp_client_output(struct smtp_client *c, struct str *slices, size_t max);
/* The kernel (or TLS) took the first n bytes of the last output; n > 0. */
void smtp_client_sent(struct smtp_client *c, size_t n, int64_t now_ms);

const struct smtp_caps *smtp_client_caps(const struct smtp_client *c);
uint32_t smtp_client_messages(const struct smtp_client *c); /* dots answered on this connection */
/* "C: ..." / "S: ..." lines, secrets as "***", bodies as "<n bytes>"; valid until the next call. */
struct str smtp_client_transcript(const struct smtp_client *c);

#endif
