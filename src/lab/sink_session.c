/* The server's side of one SMTP session for the sink: bytes in, replies out, faults where the
 * port's behaviours say so. No sockets here. Tolerant on purpose (bare LF ends a line, order is
 * checked loosely): a sink is no judge of its client. */
#include "lab/sink_inner.h"
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK = 256 };

void sink_session_start(struct sink_session *s, struct sink_listener *l, int64_t now_us)
{
    s->l = l;
    s->now_us = now_us;
    s->wants_head = sink_wants_head(l->sink);
    buf_init(&s->out, SINK_OUT_MAX);
}

void sink_session_free(struct sink_session *s)
{
    buf_free(&s->out);
}

static int64_t ms_now(const struct sink_session *s)
{
    return sink_ms_since_start(s->l->sink, s->now_us);
}

/* ---- output, each piece with the time it may leave ---- */

size_t sink_session_ready(const struct sink_session *s, int64_t now_us, int64_t *next_us)
{
    size_t n = s->pieces ? 0 : s->out.n;
    *next_us = INT64_MAX;
    for (size_t i = 0; i < s->pieces; i++) {
        if (s->piece[i].due_us > now_us) {
            *next_us = s->piece[i].due_us;
            break;
        }
        n += s->piece[i].n;
    }
    return n;
}

void sink_session_wrote(struct sink_session *s, size_t n)
{
    buf_consume(&s->out, n);
    size_t gone = 0;
    while (gone < s->pieces && n >= s->piece[gone].n)
        n -= s->piece[gone++].n;
    s->pieces -= gone;
    memmove(s->piece, s->piece + gone, s->pieces * sizeof(s->piece[0]));
    if (s->pieces)
        s->piece[0].n -= n;
}

static void stamp_piece(struct sink_session *s, size_t n, int64_t due_us)
{
    if (s->pieces && (s->piece[s->pieces - 1].due_us == due_us || s->pieces == SINK_PIECES)) {
        s->piece[s->pieces - 1].n += n;
        s->piece[s->pieces - 1].due_us = due_us;
        return;
    }
    s->piece[s->pieces++] = (struct sink_piece){due_us, n};
}

/* Does this behaviour fall on the recipient of the transaction? */
static bool concerns(const struct sink_session *s, const struct sink_behaviour *b)
{
    return !b->domain[0] || str_iis(str_from(s->domain, s->domain_n), b->domain);
}

/* Behind a thinking server everything queues; a long line only shifts. */
static void stamp(struct sink_session *s, size_t n, enum phase phase)
{
    struct sink_slot *think = NULL, *line = NULL;
    for (size_t i = 0; i < s->l->slots; i++) {
        struct sink_slot *slot = &s->l->slot[i];
        if (slot->b.verb != SINK_DELAY || !sink_slot_active(slot, ms_now(s)))
            continue;
        if (slot->b.phase == PHASE_NONE)
            line = slot;
        else if (slot->b.phase == phase && concerns(s, &slot->b) && sink_slot_takes(slot))
            think = slot;
    }
    if (!think && !line && !s->pieces)
        return;
    int64_t due = s->now_us + (line ? line->b.ms * 1000 : 0);
    due = MAX(due, s->last_due_us);
    if (think)
        due += think->b.ms * 1000;
    s->last_due_us = due;
    if (!s->pieces && s->out.n > n)
        stamp_piece(s, s->out.n - n, s->now_us);
    stamp_piece(s, n, due);
}

static void say(struct sink_session *s, enum phase phase, const char *text, size_t n)
{
    if (s->silent || s->dropped)
        return;
    if (!buf_add(&s->out, text, n)) {
        s->dropped = true; /* a client that never reads */
        return;
    }
    if (s->l->slots || s->pieces)
        stamp(s, n, phase);
}

#define SAY(s, phase, text) say((s), (phase), (text), sizeof(text) - 1)

static void say_code(struct sink_session *s, enum phase phase, int code)
{
    static const struct {
        int code;
        const char *text;
    } known[] = {
        {421, "421 4.3.2 Service not available, closing transmission channel"},
        {432, "432 4.3.2 Concurrent connections limit exceeded"},
        {450, "450 4.2.0 Mailbox busy, try again later"},
        {451, "451 4.3.0 Requested action aborted: local error in processing"},
        {452, "452 4.3.1 Insufficient system storage"},
        {454, "454 4.7.0 Temporary authentication failure"},
        {500, "500 5.5.2 Syntax error, command unrecognized"},
        {501, "501 5.5.4 Syntax error in parameters"},
        {503, "503 5.5.1 Bad sequence of commands"},
        {530, "530 5.7.0 Authentication required"},
        {535, "535 5.7.8 Authentication credentials invalid"},
        {550, "550 5.1.1 User unknown"},
        {552, "552 5.2.2 Mailbox full"},
        {553, "553 5.1.3 Mailbox name not allowed"},
    };
    char line[128];
    const char *text = NULL;
    for (size_t i = 0; i < countof(known) && !text; i++)
        if (known[i].code == code && !(code == 550 && phase != PHASE_RCPT))
            text = known[i].text;
    int n = text ? snprintf(line, sizeof(line), "%s\r\n", text)
                 : snprintf(line, sizeof(line), "%d %s\r\n", code,
                            code == 550 && phase == PHASE_MAIL  ? "5.1.8 Sender rejected"
                            : code == 554 && phase == PHASE_DOT ? "5.7.1 Message looks like spam"
                            : code == 554 && phase == PHASE_RCPT
                                ? "5.7.1 Client host blocked using list.invalid"
                            : code / 100 == 2 ? "2.0.0 Ok"
                            : code / 100 == 4 ? "4.0.0 Not now"
                                              : "5.7.0 Refused");
    if (code >= 400)
        atomic_fetch_add_explicit(&s->l->tally.refused, 1, memory_order_relaxed);
    say(s, phase, line, (size_t)n);
    s->closing = s->closing || code == 421;
}

/* Does the port do something else at this phase? True: it did, nothing more is to be said. */
static bool is_spoiled(struct sink_session *s, enum phase phase)
{
    if (!s->l->slots)
        return false;
    for (size_t i = 0; i < s->l->slots; i++) {
        struct sink_slot *slot = &s->l->slot[i];
        const struct sink_behaviour *b = &slot->b;
        bool is_here = (b->verb == SINK_REJECT || b->verb == SINK_CLOSE || b->verb == SINK_HOLE) &&
                       b->phase == phase && sink_slot_active(slot, ms_now(s));
        if (!is_here || !concerns(s, b) || !sink_slot_takes(slot))
            continue;
        if (b->verb == SINK_REJECT)
            say_code(s, phase, b->code);
        s->dropped = s->dropped || b->verb == SINK_CLOSE;
        s->silent = s->silent || b->verb == SINK_HOLE;
        return true;
    }
    return false;
}

static bool is_over_quota(struct sink_session *s, enum phase phase)
{
    struct sink_slot *slot =
        s->l->slots ? sink_slot_find(s->l, SINK_QUOTA, PHASE_NONE, ms_now(s)) : NULL;
    if (!slot ||
        atomic_load_explicit(&s->l->tally.messages, memory_order_relaxed) < (uint64_t)slot->b.count)
        return false;
    char line[80];
    int n = snprintf(line, sizeof(line), "%d %s Daily sending quota exceeded\r\n", slot->b.code,
                     slot->b.code / 100 == 5 ? "5.4.5" : "4.5.3");
    atomic_fetch_add_explicit(&s->l->tally.refused, 1, memory_order_relaxed);
    say(s, phase, line, (size_t)n);
    s->closing = s->closing || slot->b.code == 421;
    return true;
}

static enum sink_tls tls_of(struct sink_session *s)
{
    struct sink_slot *slot =
        s->l->slots ? sink_slot_find(s->l, SINK_TLS, PHASE_NONE, ms_now(s)) : NULL;
    return slot ? slot->b.tls : SINK_TLS_NONE;
}

void sink_session_greet(struct sink_session *s)
{
    s->greeted = true;
    if (is_spoiled(s, PHASE_GREETING)) {
        s->closing = !s->silent;
        return;
    }
    SAY(s, PHASE_GREETING, "220 sink.invalid ESMTP\r\n");
}

/* ---- commands ---- */

static bool is_verb(struct str line, const char *verb)
{
    size_t n = strlen(verb);
    return line.n >= n && str_iis(str_cut(line, 0, n), verb) && (line.n == n || line.p[n] <= ' ');
}

/* The address between <> behind "FROM:" or "TO:"; empty for <>. */
static struct str address_of(struct str line)
{
    ptrdiff_t from = str_chr(line, '<');
    struct str rest = str_from_index(line, from < 0 ? line.n : (size_t)from + 1);
    ptrdiff_t to = str_chr(rest, '>');
    return str_cut(rest, 0, to < 0 ? 0 : (size_t)to);
}

static void forget_mail(struct sink_session *s)
{
    s->has_mail = s->has_rcpt = s->is_bdat = s->head_done = false;
    s->from_n = s->rcpt_n = s->head_n = s->domain_n = 0;
    s->body_bytes = 0;
    s->refuse_dot = 0;
    memset(s->tail, 0, sizeof(s->tail));
}

static void do_ehlo(struct sink_session *s, bool extended)
{
    forget_mail(s);
    if (is_spoiled(s, PHASE_EHLO))
        return;
    if (!extended) {
        SAY(s, PHASE_EHLO, "250 sink.invalid\r\n");
        return;
    }
    enum sink_tls tls = tls_of(s);
    bool offers_tls = (tls == SINK_TLS_STARTTLS || tls == SINK_TLS_BROKEN) && !s->is_tls;
    char text[512];
    int n = snprintf(text, sizeof(text),
                     "250-sink.invalid\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n"
                     "250-SMTPUTF8\r\n250-CHUNKING\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n%s"
                     "250 ENHANCEDSTATUSCODES\r\n",
                     offers_tls ? "250-STARTTLS\r\n" : "");
    say(s, PHASE_EHLO, text, (size_t)n);
}

static void do_starttls(struct sink_session *s)
{
    enum sink_tls tls = tls_of(s);
    if (is_spoiled(s, PHASE_STARTTLS))
        return;
    if (s->is_tls || (tls != SINK_TLS_STARTTLS && tls != SINK_TLS_BROKEN)) {
        SAY(s, PHASE_STARTTLS, "502 5.5.1 Not offered\r\n");
        return;
    }
    SAY(s, PHASE_STARTTLS, "220 2.0.0 Go ahead\r\n");
    s->want_tls = true;
    s->broken_tls = tls == SINK_TLS_BROKEN;
}

static void end_auth(struct sink_session *s, _Atomic uint64_t *mechanism)
{
    s->state = SINK_COMMAND;
    struct sink_slot *slot =
        s->l->slots ? sink_slot_find(s->l, SINK_AUTH, PHASE_NONE, ms_now(s)) : NULL;
    if (is_spoiled(s, PHASE_AUTH))
        return;
    s->is_authed = !slot || slot->b.code == 235;
    if (!s->is_authed) {
        atomic_fetch_add_explicit(&s->l->tally.auth_refused, 1, memory_order_relaxed);
        say_code(s, PHASE_AUTH, slot->b.code);
        return;
    }
    atomic_fetch_add_explicit(mechanism, 1, memory_order_relaxed);
    SAY(s, PHASE_AUTH, "235 2.7.0 Authentication successful\r\n");
}

static void do_auth(struct sink_session *s, struct str line)
{
    struct str rest = str_trim(str_from_index(line, 4)), mechanism = rest;
    (void)str_split(&rest, ' ', &mechanism);
    bool has_response = rest.n > 0;
    if (str_iis(mechanism, "PLAIN")) {
        if (has_response) {
            end_auth(s, &s->l->tally.auth_plain);
            return;
        }
        s->state = SINK_AUTH_PLAIN;
        SAY(s, PHASE_NONE, "334 \r\n");
    } else if (str_iis(mechanism, "LOGIN")) {
        s->state = has_response ? SINK_AUTH_LOGIN_PASSWORD : SINK_AUTH_LOGIN_USER;
        if (has_response)
            SAY(s, PHASE_NONE, "334 UGFzc3dvcmQ6\r\n");
        else
            SAY(s, PHASE_NONE, "334 VXNlcm5hbWU6\r\n");
    } else if (str_iis(mechanism, "CRAM-MD5")) {
        s->state = SINK_AUTH_CRAM;
        SAY(s, PHASE_NONE, "334 PDE3ODkuMTIzNDU2Nzg5QHNpbmsuaW52YWxpZD4=\r\n");
    } else {
        SAY(s, PHASE_AUTH, "504 5.5.4 Unrecognized authentication type\r\n");
    }
}

/* A line within AUTH; "*" gives up (RFC 4954 4). */
static void take_auth_line(struct sink_session *s, struct str line)
{
    struct sink_tally *t = &s->l->tally;
    if (str_is(line, "*")) {
        s->state = SINK_COMMAND;
        SAY(s, PHASE_AUTH, "501 5.7.0 Authentication cancelled\r\n");
    } else if (s->state == SINK_AUTH_LOGIN_USER) {
        s->state = SINK_AUTH_LOGIN_PASSWORD;
        SAY(s, PHASE_NONE, "334 UGFzc3dvcmQ6\r\n");
    } else {
        end_auth(s, s->state == SINK_AUTH_PLAIN  ? &t->auth_plain
                    : s->state == SINK_AUTH_CRAM ? &t->auth_cram_md5
                                                 : &t->auth_login);
    }
}

static bool lacks_auth(struct sink_session *s)
{
    bool lacks = !s->is_authed && s->l->slots &&
                 sink_slot_find(s->l, SINK_AUTH, PHASE_NONE, ms_now(s)) != NULL;
    if (lacks)
        say_code(s, PHASE_MAIL, 530);
    return lacks;
}

static void do_mail(struct sink_session *s, struct str line)
{
    if (s->has_mail) {
        say_code(s, PHASE_MAIL, 503);
        return;
    }
    if (lacks_auth(s) || is_spoiled(s, PHASE_MAIL) || is_over_quota(s, PHASE_MAIL))
        return;
    forget_mail(s);
    struct str address = address_of(line);
    s->from_n = MIN(address.n, sizeof(s->from));
    memcpy(s->from, address.p ? address.p : "", s->from_n);
    s->has_mail = true;
    SAY(s, PHASE_MAIL, "250 2.1.0 Ok\r\n");
}

static void note_domain(struct sink_session *s, struct str address)
{
    ptrdiff_t at = str_rchr(address, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(address, (size_t)at + 1);
    s->domain_n = MIN(domain.n, sizeof(s->domain));
    if (s->domain_n)
        memcpy(s->domain, domain.p, s->domain_n);
}

static void do_rcpt(struct sink_session *s, struct str line)
{
    if (!s->has_mail) {
        say_code(s, PHASE_RCPT, 503);
        return;
    }
    struct str address = address_of(line);
    note_domain(s, address);
    if (is_spoiled(s, PHASE_RCPT))
        return;
    size_t comma = s->rcpt_n ? 1 : 0;
    if (s->rcpt_n + comma + address.n <= sizeof(s->rcpt)) {
        if (comma)
            s->rcpt[s->rcpt_n++] = ',';
        memcpy(s->rcpt + s->rcpt_n, address.p ? address.p : "", address.n);
        s->rcpt_n += address.n;
    }
    s->has_rcpt = true;
    SAY(s, PHASE_RCPT, "250 2.1.5 Ok\r\n");
}

static void do_data(struct sink_session *s)
{
    if (!s->has_mail || !s->has_rcpt || s->is_bdat) {
        say_code(s, PHASE_DATA, 503);
        return;
    }
    if (is_spoiled(s, PHASE_DATA))
        return;
    s->state = SINK_DATA;
    memcpy(s->tail, "\0\0\r\n", 4);
    SAY(s, PHASE_DATA, "354 End data with <CR><LF>.<CR><LF>\r\n");
}

static void do_bdat(struct sink_session *s, struct str line)
{
    struct str rest = str_trim(str_from_index(line, 4)), size = rest;
    (void)str_split(&rest, ' ', &size);
    if (!str_to_u64(size, UINT64_C(1) << 40, &s->chunk_left)) {
        say_code(s, PHASE_DATA, 501);
        s->closing = true; /* where the chunk ends is unknown */
        return;
    }
    s->chunk_last = str_iis(str_trim(rest), "LAST");
    if (!s->has_mail || !s->has_rcpt)
        s->refuse_dot = 503;
    s->is_bdat = true;
    s->state = SINK_CHUNK;
}

static void do_quit(struct sink_session *s)
{
    if (is_spoiled(s, PHASE_QUIT))
        return;
    SAY(s, PHASE_QUIT, "221 2.0.0 Bye\r\n");
    s->closing = true;
}

static void take_command(struct sink_session *s, struct str line)
{
    if (s->state != SINK_COMMAND) {
        take_auth_line(s, line);
    } else if (is_verb(line, "MAIL")) {
        do_mail(s, line);
    } else if (is_verb(line, "RCPT")) {
        do_rcpt(s, line);
    } else if (is_verb(line, "DATA")) {
        do_data(s);
    } else if (is_verb(line, "BDAT")) {
        do_bdat(s, line);
    } else if (is_verb(line, "EHLO") || is_verb(line, "HELO")) {
        do_ehlo(s, ascii_lower(line.p[0]) == 'e');
    } else if (is_verb(line, "RSET")) {
        forget_mail(s);
        SAY(s, PHASE_NONE, "250 2.0.0 Ok\r\n");
    } else if (is_verb(line, "STARTTLS")) {
        do_starttls(s);
    } else if (is_verb(line, "AUTH")) {
        do_auth(s, line);
    } else if (is_verb(line, "QUIT")) {
        do_quit(s);
    } else if (is_verb(line, "NOOP")) {
        SAY(s, PHASE_NONE, "250 2.0.0 Ok\r\n");
    } else if (is_verb(line, "VRFY")) {
        SAY(s, PHASE_NONE, "252 2.0.0 Send and see\r\n");
    } else {
        say_code(s, PHASE_NONE, 500);
    }
}

/* ---- bodies ---- */

/* The value of Message-ID in the header that was kept; folded onto the next line is fine. */
static struct str message_id(const struct sink_session *s)
{
    struct str rest = str_from(s->head, s->head_n), line;
    while (str_split(&rest, '\n', &line)) {
        if (!str_istarts(line, STR("message-id:")))
            continue;
        struct str id = str_trim(str_from_index(line, 11));
        if (!id.n && rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t') &&
            str_split(&rest, '\n', &line))
            id = str_trim(line);
        return id;
    }
    return STR_NONE;
}

/* The whole message is here: takes it, or does what the port does instead. */
static void take_message(struct sink_session *s)
{
    struct sink_tally *t = &s->l->tally;
    s->state = SINK_COMMAND;
    if (s->refuse_dot) {
        say_code(s, PHASE_DOT, s->refuse_dot);
    } else if (!is_spoiled(s, PHASE_DOT) && !is_over_quota(s, PHASE_DOT)) {
        atomic_fetch_add_explicit(&t->messages, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->bytes, s->body_bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->bdat, s->is_bdat, memory_order_relaxed);
        if (s->wants_head) {
            struct sink_message m = {.port = s->l->port,
                                     .wall_ms = sink_wall_ms(s->l->sink),
                                     .message_id = message_id(s),
                                     .from = str_from(s->from, s->from_n),
                                     .rcpt = str_from(s->rcpt, s->rcpt_n),
                                     .bytes = s->body_bytes};
            sink_accepted(s->l->sink, &m);
        }
        SAY(s, PHASE_DOT, "250 2.0.0 Ok: taken\r\n");
    }
    forget_mail(s);
}

/* Keeps the header, up to SINK_HEAD_MAX. */
static void keep_head(struct sink_session *s, const char *p, size_t n)
{
    if (!s->wants_head || s->head_done)
        return;
    size_t before = s->head_n, room = MIN(n, sizeof(s->head) - s->head_n);
    memcpy(s->head + s->head_n, p, room);
    s->head_n += room;
    size_t from = before > 3 ? before - 3 : 0;
    char *end = memmem(s->head + from, s->head_n - from, "\r\n\r\n", 4);
    if (end)
        s->head_n = (size_t)(end - s->head) + 2;
    s->head_done = end || s->head_n == sizeof(s->head);
}

/* Is there a line that begins with a dot among these bytes and the one behind them? Written so that
 * the compiler makes vector code of it: bodies are most of what a sink reads. */
static bool has_line_dot(const char *p)
{
    unsigned char hit = 0;
    for (size_t i = 0; i < BLOCK; i++)
        hit |= (unsigned char)((p[i] == '\n') & (p[i + 1] == '.'));
    return hit != 0;
}

/* "\r\n.\r\n" within p: the bytes up to its end; else n. */
static size_t scan_dot(const char *p, size_t n, bool *ended)
{
    size_t at = 0;
    while (n - at > BLOCK + 4) {
        if (!has_line_dot(p + at)) {
            at += BLOCK;
            continue;
        }
        /* the newline is in this block: its CR may be the byte before */
        size_t from = at ? at - 1 : 0;
        const char *hit = memmem(p + from, at + BLOCK + 4 - from, "\r\n.\r\n", 5);
        *ended = hit != NULL;
        if (hit)
            return (size_t)(hit - p) + 5;
        at += BLOCK;
    }
    size_t from = at ? at - 1 : 0;
    const char *hit = memmem(p + from, n - from, "\r\n.\r\n", 5);
    *ended = hit != NULL;
    return hit ? (size_t)(hit - p) + 5 : n;
}

/* Finds the end of the body ("\r\n.\r\n", also across reads: the last 4 bytes are remembered).
 * Gives the bytes that belong to it, terminator included; *ended tells. */
static size_t find_dot(const struct sink_session *s, const char *p, size_t n, bool *ended)
{
    char seam[8];
    size_t m = MIN(n, (size_t)4);
    memcpy(seam, s->tail, 4);
    memcpy(seam + 4, p, m);
    char *hit = memmem(seam, 4 + m, "\r\n.\r\n", 5);
    *ended = hit != NULL;
    if (hit)
        return (size_t)(hit - seam) + 5 - 4;
    return scan_dot(p, n, ended);
}

static void remember_tail(struct sink_session *s, const char *p, size_t n)
{
    size_t m = MIN(n, (size_t)4);
    memmove(s->tail, s->tail + m, 4 - m);
    memcpy(s->tail + 4 - m, p + n - m, m);
}

static size_t take_data(struct sink_session *s, const char *p, size_t n)
{
    bool ended = false;
    size_t used = find_dot(s, p, n, &ended);
    keep_head(s, p, used);
    s->body_bytes += used;
    if (!ended) {
        remember_tail(s, p, used);
        return used;
    }
    s->body_bytes -= MIN(s->body_bytes, (uint64_t)3);
    take_message(s);
    return used;
}

static size_t take_chunk(struct sink_session *s, const char *p, size_t n)
{
    size_t used = (size_t)MIN((uint64_t)n, s->chunk_left);
    keep_head(s, p, used);
    s->body_bytes += used;
    s->chunk_left -= used;
    if (s->chunk_left)
        return used;
    if (s->chunk_last) {
        take_message(s);
    } else {
        s->state = SINK_COMMAND;
        if (s->refuse_dot)
            say_code(s, PHASE_DATA, s->refuse_dot);
        else
            SAY(s, PHASE_DATA, "250 2.0.0 Ok\r\n");
    }
    return used;
}

size_t sink_session_input(struct sink_session *s, const char *p, size_t n)
{
    size_t at = 0;
    while (!s->closing && !s->dropped && !s->want_tls) {
        if (s->silent)
            return n;
        if (s->state == SINK_CHUNK) {
            if (at == n && s->chunk_left)
                break;
            at += take_chunk(s, p + at, n - at);
            continue;
        }
        if (at == n)
            break;
        if (s->state == SINK_DATA) {
            at += take_data(s, p + at, n - at);
            continue;
        }
        const char *lf = memchr(p + at, '\n', n - at);
        if (!lf) {
            s->closing = n - at > SINK_LINE_MAX;
            break;
        }
        size_t line = (size_t)(lf - (p + at));
        take_command(s, str_trim(str_from(p + at, line)));
        at += line + 1;
    }
    return s->closing || s->dropped || s->want_tls ? n : at;
}

void sink_session_tls_done(struct sink_session *s)
{
    s->want_tls = false;
    s->is_tls = true;
    s->is_authed = false;
    s->state = SINK_COMMAND;
    forget_mail(s);
}
