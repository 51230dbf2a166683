/* What the files of the client share: its state and the doors between its parts. Not for others.
 *   client.c              entrances, replies to their handlers, deadlines, the end
 *   client_session.c      greeting, EHLO, STARTTLS, AUTH, QUIT
 *   client_transaction.c  MAIL, RCPT, DATA, BDAT, dot, RSET, withdrawal
 *   client_envelope.c     the command lines of a message, and what a server cannot take
 *   client_output.c       bytes out
 *   client_report.c       events and transcript */
#ifndef SMTP_CLIENT_PARTS_H
#define SMTP_CLIENT_PARTS_H

#include "base/buf.h"
#include "smtp/auth.h"
#include "smtp/client.h"
#include "smtp/reply.h"
#include "smtp/wire.h"

enum {
    COMMANDS_MAX = 65536,    /* bytes of commands waiting to be written */
    EVENTS_MAX = 16,         /* two messages make at most eight between two pulls */
    EVENT_TEXT_MAX = 262144, /* reply texts of events that were not pulled */
    EXPECTED_MAX = 16,       /* replies outstanding: at most nine */
    QUIT_WAIT_MS = 5000,
    OUTPUT_BODY_MAX = 262144, /* bytes of body in one output */
};

enum session {
    SESSION_GREETING,
    SESSION_EHLO,
    SESSION_HELO,
    SESSION_STARTTLS,
    SESSION_HANDSHAKE,
    SESSION_AUTH,
    SESSION_READY,
    SESSION_QUIT,
    SESSION_ENDED,
    SESSION_COUNT
};

enum expect {
    EXPECT_GREETING,
    EXPECT_EHLO,
    EXPECT_HELO,
    EXPECT_STARTTLS,
    EXPECT_AUTH,
    EXPECT_MAIL,
    EXPECT_RCPT,
    EXPECT_DATA,
    EXPECT_DOT,
    EXPECT_RSET,
    EXPECT_QUIT,
    EXPECT_COUNT
};

/* A reply that is owed to us. */
struct expected {
    enum expect kind;
    struct message *m; /* NULL: of the session */
    uint64_t mark;     /* count of command bytes at the end of its command */
    int64_t sent_ms;   /* when its command was out; -1: not yet */
};

enum message_state {
    MESSAGE_FREE,
    MESSAGE_ENVELOPE, /* replies to MAIL, RCPT, DATA outstanding */
    MESSAGE_ASKED,    /* DOT_ASK given */
    MESSAGE_DOT,      /* permitted; its reply is outstanding */
    MESSAGE_DRAIN,    /* withdrawn; replies to its envelope outstanding */
    MESSAGE_COUNT
};

enum step { STEP_RSET, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_OVER };

struct message {
    enum message_state state;
    uint64_t id;
    struct smtp_envelope e; /* strings borrowed until DONE was pulled */
    enum step next;         /* the next command to issue */
    int outstanding;        /* replies owed to the envelope */
    bool pipelined, reused, answered, opened;
    bool chunk; /* BDAT instead of DATA */
    bool go;    /* 354 read */
    bool dot_left, dot_sent;
    int code; /* first refusal; 0: none */
    uint8_t enhanced[3];
    enum smtp_phase phase;
    struct buf text;
    size_t transcript_at;
};

struct event_slot {
    struct smtp_event e;
    size_t text_at;
};

struct smtp_client {
    struct smtp_client_config cfg; /* strings owned */
    enum session session;
    int64_t now_ms;
    bool tls_active, quitting, proven, needs_rset;

    struct smtp_reply reply;
    struct expected expected[EXPECTED_MAX];
    unsigned expected_first, expected_n;
    int64_t reply_ms; /* last complete reply */
    int64_t quit_deadline;

    struct message slots[2];
    unsigned first, count; /* messages on the wire, oldest first */
    uint32_t given, answered_dots;

    struct buf commands;
    uint64_t commands_queued, commands_sent; /* bytes since the beginning */
    struct message *sending; /* whose body is on its way, behind body_at bytes of commands */
    uint64_t body_at;
    struct smtp_wire wire;
    struct str tail; /* what ends the body */
    bool output_has_dot;
    int64_t progress_ms, body_deadline;

    struct event_slot events[EVENTS_MAX];
    unsigned event_first, event_n;
    struct buf event_text;

    struct buf transcript;
    size_t transcript_session; /* bytes of it that are the session's */

    struct smtp_caps caps;
    struct smtp_auth auth;
    unsigned auth_refused; /* bits of mechanisms */
    bool is_deriving;
    struct smtp_derivation derivation;
    struct buf challenge; /* that waits for it */
    char nonce[24];
};

/* What a reply, a deadline or a close says; text borrowed. */
struct finding {
    enum smtp_end end;
    enum smtp_phase phase;
    int code;
    uint8_t enhanced[3];
    struct str text;
};

/* client.c */
void client_move(struct smtp_client *c, enum session to);
void client_expect(struct smtp_client *c, enum expect kind, struct message *m);
/* Is its command, and for a dot the whole message, out? */
bool client_is_sent(const struct smtp_client *c, const struct expected *e);
/* Ends the connection: DONE for each message on it, then END. */
void client_end(struct smtp_client *c, const struct finding *f);
/* The same, for the last reply read, or with a text of ours. */
void client_end_reply(struct smtp_client *c, enum smtp_end end, enum smtp_phase phase);
void client_end_text(struct smtp_client *c, enum smtp_end end, enum smtp_phase phase,
                     const char *text);

/* client_session.c: handlers of replies */
void session_greeting(struct smtp_client *c);
void session_ehlo(struct smtp_client *c);
void session_helo(struct smtp_client *c);
void session_starttls(struct smtp_client *c);
void session_auth(struct smtp_client *c);
void session_say_ehlo(struct smtp_client *c, bool extended);
/* QUIT when nothing is on the wire any more. */
void session_quit_when_idle(struct smtp_client *c);

/* client_transaction.c */
void transaction_reply(struct smtp_client *c, const struct expected *x);
struct message *transaction_find(struct smtp_client *c, uint64_t id);
/* Keeps the last reply read as the first refusal of m. */
void transaction_refuse(struct smtp_client *c, struct message *m, enum smtp_phase phase);
void transaction_free(struct smtp_client *c, struct message *m);
/* The refusal that m keeps says nothing about m: a connection used too long. */
bool transaction_is_reconnect(const struct message *m);
enum smtp_phase transaction_phase(const struct message *m);
struct message *transaction_oldest(struct smtp_client *c);

/* client_envelope.c */
/* NULL: the server can take it; else why not. */
const char *envelope_unable(const struct smtp_client *c, const struct smtp_envelope *e);
void envelope_add_mail(struct smtp_client *c, const struct smtp_envelope *e);
void envelope_add_rcpt(struct smtp_client *c, const struct smtp_envelope *e);

/* client_output.c */
/* Adds a whole command line with its CRLF; records it. */
void output_command(struct smtp_client *c, struct str line);
void output_command_secret(struct smtp_client *c, struct str shown, struct str secret);
/* For a line that was put into c->commands piecewise, from `at` on, without CRLF. */
void output_command_built(struct smtp_client *c, size_t at);
void output_body(struct smtp_client *c, struct message *m);
void output_drop(struct smtp_client *c);
bool output_pending(const struct smtp_client *c);

/* client_report.c */
void report_event(struct smtp_client *c, enum smtp_event_kind kind, uint64_t id);
void report_done(struct smtp_client *c, struct message *m, const struct finding *f, bool stale,
                 bool reconnect);
void report_end(struct smtp_client *c, const struct finding *f, bool stale);
void report_lines(struct smtp_client *c, const char *prefix, struct str text);
void report_reply(struct smtp_client *c);
void report_body(struct smtp_client *c, const struct message *m, size_t sent, bool whole);
void report_message_begins(struct smtp_client *c, struct message *m);

#endif
