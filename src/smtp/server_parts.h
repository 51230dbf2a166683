/* What the files of the server share: its state and the doors between its parts. Not for others.
 *   server.c           entrances, events, deadlines, the end
 *   server_command.c   command lines: the table of verbs and those that need no file of their own
 *   server_envelope.c  MAIL and RCPT with their parameters
 *   server_body.c      DATA and BDAT: line ends, transparency, limits
 *   server_login.c     AUTH */
#ifndef SMTP_SERVER_PARTS_H
#define SMTP_SERVER_PARTS_H

#include "base/buf.h"
#include "smtp/server.h"

enum {
    SERVER_INPUT_MAX = 262144,  /* what a driver may give before it has pulled events */
    SERVER_INPUT_HIGH = 65536,  /* from here on it should not read */
    SERVER_OUTPUT_HIGH = 16384, /* answers not taken: no further command is looked at */
    SERVER_OUTPUT_MAX = 65536,
    SERVER_EVENTS_MAX = 8,
    SERVER_COMMAND_MAX = 2048, /* bytes of a command line; AUTH may have the longer one */
    SERVER_LINE_MAX = 12288,
    SERVER_TEXT_LINE_MAX = 998, /* of a body, without CRLF: RFC 5321, 4.5.3.1.6 */
    SERVER_IDLE_MAX = 100,      /* NOOP, RSET ... between two mails */
    SERVER_LOGINS_MAX = 3,      /* refused ones */
    SERVER_DELAY_MS = 1000,     /* times the number of errors too many, at most five times */
    SERVER_LAST_WORDS_MS = 5000
};

enum server_state {
    SERVER_COMMAND,    /* waits for a command */
    SERVER_LOGIN_LINE, /* waits for the client's line of AUTH */
    SERVER_LOOKUP,     /* waits for the driver: keys */
    SERVER_DERIVING,   /* waits for the driver: derivation */
    SERVER_MAIL_ASKED, /* waits for the driver's answer, in these four */
    SERVER_RCPT_ASKED,
    SERVER_DATA_ASKED,
    SERVER_DONE_ASKED,
    SERVER_BODY,      /* DATA */
    SERVER_CHUNK,     /* BDAT */
    SERVER_TLS_FLUSH, /* 220 must be out before hands are shaken */
    SERVER_HANDSHAKE,
    SERVER_ENDING, /* last words are being written */
    SERVER_ENDED,
    SERVER_STATES
};

/* Where a body that is thrown away stands, for finding its end: see server_body.c. */
enum discard {
    DISCARD_TEXT,
    DISCARD_CR,
    DISCARD_CRLF,
    DISCARD_ODD, /* behind a bare LF */
    DISCARD_DOT,
    DISCARD_DOT_CR,
    DISCARD_ODD_DOT,
    DISCARD_END,       /* CRLF . CRLF */
    DISCARD_FALSE_END, /* what others may take for it */
};

enum login_step { LOGIN_PLAIN, LOGIN_USER, LOGIN_PASSWORD, LOGIN_FIRST, LOGIN_FINAL, LOGIN_EMPTY };

struct server_body {
    uint64_t n;           /* bytes so far, as they came */
    size_t line_n;        /* of the line that has begun */
    bool at_start;        /* of a line */
    bool ends_cr;         /* BDAT: the last byte was a CR */
    const char *bad;      /* why it is refused; NULL: it is not */
    int bad_code;         /* 552 or 554 */
    enum discard discard; /* when bad */
    /* BDAT */
    bool chunked, is_last;
    uint64_t left; /* of the chunk */
    int64_t since, input_ms;
};

struct smtp_server {
    struct smtp_server_config cfg; /* host is owned */
    enum server_state state;
    int64_t now_ms, start_ms, command_ms, progress_ms;
    int64_t hold_until; /* answers are delayed: output behind held_at */
    size_t held_at;
    struct buf input, output;
    size_t taken;    /* of input: goes away with the next call */
    size_t scanned;  /* of input: holds no LF */
    bool skipping;   /* the rest of a line that is too long */
    struct buf text; /* decoded parameters of the line */

    struct smtp_server_event events[SERVER_EVENTS_MAX];
    unsigned events_first, events_n;

    char helo[256];
    bool greeted, esmtp, logged_in, stopping, closed, spoke;
    uint32_t errors, idle, failed_logins;
    enum smtp_server_end end;
    char end_text[160];

    bool has_mail, is_utf8;
    uint32_t recipients;
    struct server_body body;

    enum login_step login;
    char user[SMTP_USER_MAX + 1];
    struct secret *password;
    struct smtp_keys keys;
    struct smtp_derivation derivation;
    struct smtp_scram_server *scram; /* while its dialogue lasts */
};

/* server.c */
void server_move(struct smtp_server *s, enum server_state to);
void server_push(struct smtp_server *s, const struct smtp_server_event *e);
void server_push_text(struct smtp_server *s, enum smtp_server_event_kind kind, struct str text);
/* What came and is not taken yet. */
struct str server_pending(const struct smtp_server *s);
void server_take(struct smtp_server *s, size_t n);
/* A reply of one line; enhanced NULL: none. */
void server_say(struct smtp_server *s, int code, const char *enhanced, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* The same as an error that counts. */
void server_refuse(struct smtp_server *s, int code, const char *enhanced, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* 421 (or what was said before) and the end, once the answers are out. */
void server_end(struct smtp_server *s, enum smtp_server_end end, const char *why);
/* What is said from here on waits. */
void server_delay(struct smtp_server *s, int64_t ms);
/* The mail that began is over: RESET for the driver if it does not know. */
void server_forget_mail(struct smtp_server *s, bool tell);

/* server_command.c: one step; false: more bytes are needed */
bool server_command_step(struct smtp_server *s);

/* server_envelope.c */
void server_mail(struct smtp_server *s, struct str args);
void server_rcpt(struct smtp_server *s, struct str args);

/* server_body.c */
void server_data(struct smtp_server *s, struct str args);
void server_bdat(struct smtp_server *s, struct str args);
void server_body_begin(struct smtp_server *s); /* 354 */
void server_body_refused(struct smtp_server *s);
bool server_body_step(struct smtp_server *s);
bool server_chunk_step(struct smtp_server *s);

/* server_login.c */
void server_auth(struct smtp_server *s, struct str args);
void server_login_line(struct smtp_server *s, struct str line);
void server_login_forget(struct smtp_server *s);

#endif
