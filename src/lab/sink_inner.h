/* What the sink's files share: session (protocol), loop and TLS. Nobody else includes this. */
#ifndef LAB_SINK_INNER_H
#define LAB_SINK_INNER_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "lab/sink.h"
#include <stdatomic.h>

enum {
    SINK_LINE_MAX = 4096,
    SINK_HEAD_MAX = 16384,  /* of a message's header, searched for its id */
    SINK_OUT_MAX = 1 << 20, /* replies that wait for a slow reader */
    SINK_READ = 65536,
    SINK_PIECES = 64, /* replies with a time of their own, a connection */
};

struct sink_tally { /* as sink_counts; written by the sink's thread only */
    _Atomic uint64_t messages, bytes, refused, connections, tls_full, tls_resumed, tls_failed;
    _Atomic uint64_t auth_plain, auth_login, auth_cram_md5, auth_refused, bdat;
    _Atomic uint32_t open, most_open;
};

struct sink_slot { /* a behaviour and what it remembers */
    struct sink_behaviour b;
    double owed; /* share not yet acted out */
};

struct sink_listener {
    struct sink *sink;
    uint16_t port;
    int fd; /* -1: refused now */
    struct sink_slot *slot;
    size_t slots;
    struct sink_tally tally;
    struct list conns;
};

enum sink_state {
    SINK_COMMAND = 0,
    SINK_DATA,
    SINK_CHUNK,
    SINK_AUTH_PLAIN,
    SINK_AUTH_LOGIN_USER,
    SINK_AUTH_LOGIN_PASSWORD,
    SINK_AUTH_CRAM
};

struct sink_piece { /* the first `n` bytes of the output may leave from `due_us` on */
    int64_t due_us;
    size_t n;
};

struct sink_session {
    struct sink_listener *l;
    enum sink_state state;
    bool greeted, is_tls, is_authed, has_mail, has_rcpt;
    bool want_tls, broken_tls; /* the loop shakes hands (or not) once the output is out */
    bool closing;              /* after the output is out */
    bool dropped;              /* now, without a word more */
    bool silent;               /* a hole: reads, never answers */
    bool is_bdat, chunk_last;
    uint64_t chunk_left, body_bytes;
    int refuse_dot;  /* BDAT: a code that was decided before its last chunk; 0: none */
    uint8_t tail[4]; /* of the body so far, to find its end across reads */
    char from[512], rcpt[1024], head[SINK_HEAD_MAX];
    size_t from_n, rcpt_n, head_n;
    char domain[64]; /* of the recipient that was named last */
    size_t domain_n;
    bool head_done, wants_head;
    struct buf out;
    struct sink_piece piece[SINK_PIECES];
    size_t pieces;
    int64_t now_us; /* of this turn */
    int64_t last_due_us;
};

/* ---- session: bytes in, replies in s->out ---- */
void sink_session_start(struct sink_session *s, struct sink_listener *l, int64_t now_us);
void sink_session_free(struct sink_session *s);
/* Says the greeting, or does what the port does instead. */
void sink_session_greet(struct sink_session *s);
/* Takes what it can of the input; gives how many bytes it consumed. What it leaves comes again. */
size_t sink_session_input(struct sink_session *s, const char *p, size_t n);
/* After a handshake: back to the state before EHLO. */
void sink_session_tls_done(struct sink_session *s);
/* How much of the output may be written now; *next_us: when more may (INT64_MAX: nothing waits). */
size_t sink_session_ready(const struct sink_session *s, int64_t now_us, int64_t *next_us);
void sink_session_wrote(struct sink_session *s, size_t n);

/* ---- behaviours ---- */
bool sink_slot_active(const struct sink_slot *slot, int64_t now_ms);
/* The active behaviour of a verb (and, if not NONE, phase); NULL: none. */
struct sink_slot *sink_slot_find(struct sink_listener *l, enum sink_verb verb, enum phase phase,
                                 int64_t now_ms);
/* Does this one's share fall on this transaction? */
bool sink_slot_takes(struct sink_slot *slot);

/* ---- the loop's side, called by the session ---- */
int64_t sink_ms_since_start(const struct sink *s, int64_t now_us);
void sink_accepted(struct sink *s, const struct sink_message *m);
bool sink_wants_head(const struct sink *s);
int64_t sink_wall_ms(const struct sink *s);

/* ---- TLS ---- */
struct ssl_ctx_st;
/* A fresh key and certificate for localhost, 127.0.0.1 and ::1, valid for 30 days; its PEM goes to
 * cert_path unless NULL. */
struct ssl_ctx_st *sink_tls_new(const char *cert_path, struct err *e) MUST_USE;

#endif
