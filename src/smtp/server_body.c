/* The body of a mail: DATA with its transparency (RFC 5321, 4.5.2) and BDAT (RFC 3030). Whole runs
 * of lines are handed on as they lie in the input; a dot that was doubled is left out.
 *
 * Line ends are CRLF (2.3.8). A body that has a bare CR, a bare LF, a NUL or too long a line is
 * refused; it is read on to its true end, "CRLF . CRLF", and thrown away. Sequences that other
 * software takes for an end ("LF . LF", "CRLF . LF", "CR . CR" ...) end the connection behind the
 * refusal: what follows them may be commands that somebody hid in a mail, and none is looked at. */
#include "smtp/server_parts.h"

#include <stdio.h>

enum { BODY_RUN_MAX = 65536 };

/* ---- a body that is thrown away ---- */

static enum discard discard_next(enum discard at, char ch)
{
    bool cr = ch == '\r', lf = ch == '\n', dot = ch == '.';

    switch (at) {
    case DISCARD_TEXT: return cr ? DISCARD_CR : lf ? DISCARD_ODD : DISCARD_TEXT;
    case DISCARD_CR:
        return lf ? DISCARD_CRLF : cr ? DISCARD_CR : dot ? DISCARD_ODD_DOT : DISCARD_TEXT;
    case DISCARD_CRLF: return dot ? DISCARD_DOT : cr ? DISCARD_CR : lf ? DISCARD_ODD : DISCARD_TEXT;
    case DISCARD_ODD:
        return dot ? DISCARD_ODD_DOT : cr ? DISCARD_CR : lf ? DISCARD_ODD : DISCARD_TEXT;
    case DISCARD_DOT: return cr ? DISCARD_DOT_CR : lf ? DISCARD_FALSE_END : DISCARD_TEXT;
    case DISCARD_DOT_CR: return lf ? DISCARD_END : DISCARD_FALSE_END;
    case DISCARD_ODD_DOT: return cr || lf ? DISCARD_FALSE_END : DISCARD_TEXT;
    default: return at;
    }
}

/* From here on the body is not wanted; what came of it is forgotten by the driver too. */
static void turn_bad(struct smtp_server *s, int code, const char *why)
{
    struct server_body *b = &s->body;

    if (b->bad != NULL)
        return;
    b->bad = why;
    b->bad_code = code;
    b->discard = b->at_start ? DISCARD_CRLF : DISCARD_TEXT;
    if (s->has_mail)
        server_push_text(s, SMTP_SERVER_RESET, STR_NONE);
    s->has_mail = false;
}

static void say_bad(struct smtp_server *s)
{
    if (s->body.bad_code < 500)
        server_say(s, s->body.bad_code, NULL, "%s", s->body.bad);
    else
        server_refuse(s, s->body.bad_code, NULL, "%s", s->body.bad);
}

static void end_falsely(struct smtp_server *s)
{
    server_say(s, 554, "5.6.0",
               "Refused: a dot on a line of its own between line ends that are not CRLF; closing");
    server_end(s, SMTP_SERVER_END_ATTACK, "a body with a false end");
}

static bool discard_step(struct smtp_server *s, struct str in)
{
    struct server_body *b = &s->body;
    size_t i = 0;

    while (i < in.n && b->discard < DISCARD_END)
        b->discard = discard_next(b->discard, in.p[i++]);
    server_take(s, i);
    b->n += i;
    if (b->discard == DISCARD_FALSE_END) {
        end_falsely(s);
    } else if (b->discard == DISCARD_END) {
        server_move(s, SERVER_COMMAND);
        say_bad(s);
        server_forget_mail(s, false);
    } else if (b->n / 4 > s->cfg.size_max + (1u << 20)) {
        say_bad(s);
        server_end(s, SMTP_SERVER_END_ERRORS, "a body without an end");
    }
    return i > 0;
}

/* ---- a good one ---- */

/* How much of `in` are whole good lines, or the begin of one; with DATA, in front of a line that
 * begins with a dot. A CR at the end stays. What is bad is in *why. */
static size_t scan(struct server_body *b, struct str in, const char **why)
{
    static const char BARE_CR[] = "5.6.0 Refused: a CR without LF in the mail";
    static const char BARE_LF[] =
        "5.6.0 Refused: a LF without CR in the mail: lines must end with CRLF";
    static const char LONG[] = "5.6.0 Refused: a line over 998 bytes (RFC 5321, 4.5.3.1.6)";
    size_t at = 0;

    while (at < in.n && (b->chunked || !b->at_start || at == 0 || in.p[at] != '.')) {
        const char *lf = memchr(in.p + at, '\n', in.n - at);
        size_t n = lf != NULL ? (size_t)(lf - in.p) - at : in.n - at;
        const char *cr = memchr(in.p + at, '\r', n);
        size_t text = cr != NULL ? (size_t)(cr - in.p) - at : n;
        if (cr != NULL && text + 1 < n)
            *why = BARE_CR;
        else if (lf != NULL && cr == NULL)
            *why = BARE_LF;
        else if (b->line_n + text > SERVER_TEXT_LINE_MAX)
            *why = LONG;
        if (*why != NULL)
            return at;
        if (lf == NULL) {
            b->line_n += text;
            b->at_start = b->at_start && text == 0;
            return at + text;
        }
        at += n + 1;
        b->line_n = 0;
        b->at_start = true;
    }
    return at;
}

/* False: a body's end, or the begin of a line, can not be told yet. *handled: this was an end. */
static bool at_dot(struct smtp_server *s, struct str in, bool *handled)
{
    struct server_body *b = &s->body;

    *handled = false;
    if (in.n < 2 || (in.p[1] == '\r' && in.n < 3))
        return false;
    bool is_end = in.p[1] == '\r' && in.p[2] == '\n';
    if (is_end) {
        server_take(s, 3);
        server_push_text(s, SMTP_SERVER_DONE, STR_NONE);
        server_move(s, SERVER_DONE_ASKED);
    } else if (in.p[1] == '\r' || in.p[1] == '\n') {
        turn_bad(s, 554, "");
        end_falsely(s);
    } else {
        server_take(s, 1);
        b->at_start = false;
        return true;
    }
    *handled = true;
    return true;
}

static void hand_on(struct smtp_server *s, struct str bytes)
{
    struct server_body *b = &s->body;

    if (memchr(bytes.p, 0, bytes.n) != NULL) {
        turn_bad(s, 554, "5.6.0 Refused: a NUL in the mail");
        return;
    }
    b->n += bytes.n;
    if (b->n > s->cfg.size_max)
        turn_bad(s, 552, "5.3.4 Refused: the mail is too big");
    else
        server_push_text(s, SMTP_SERVER_BODY, bytes);
}

bool server_body_step(struct smtp_server *s)
{
    struct str in = server_pending(s);
    struct server_body *b = &s->body;
    bool handled = false;
    const char *why = NULL;

    if (in.n == 0)
        return false;
    if (b->bad != NULL)
        return discard_step(s, in);
    if (b->at_start && in.p[0] == '.') {
        if (!at_dot(s, in, &handled) || handled)
            return handled;
        in = server_pending(s);
    }
    bool was_start = b->at_start;
    struct str run = str_cut(in, 0, BODY_RUN_MAX);
    size_t n = scan(b, run, &why);
    if (n > 0) {
        bool ends_line = b->at_start;
        b->at_start = was_start; /* should the run be bad, it is looked at again from its begin */
        hand_on(s, str_cut(in, 0, n));
        if (b->bad == NULL) {
            b->at_start = ends_line;
            server_take(s, n);
        }
        return true;
    }
    if (why != NULL)
        turn_bad(s, 554, why);
    return why != NULL;
}

/* ---- DATA ---- */

static bool may_begin(struct smtp_server *s)
{
    if (!s->has_mail)
        server_refuse(s, 503, "5.5.1", "MAIL and RCPT come first");
    else if (s->recipients == 0)
        server_refuse(s, 554, "5.5.1", "No valid recipients");
    else
        return true;
    return false;
}

static void ask(struct smtp_server *s)
{
    server_push_text(s, SMTP_SERVER_DATA, STR_NONE);
    server_move(s, SERVER_DATA_ASKED);
}

void server_data(struct smtp_server *s, struct str args)
{
    if (args.n > 0)
        server_refuse(s, 501, "5.5.4", "DATA takes no argument");
    else if (s->body.chunked)
        server_refuse(s, 503, "5.5.1", "BDAT has begun: go on with it");
    else if (may_begin(s))
        ask(s);
}

void server_body_begin(struct smtp_server *s)
{
    struct server_body *b = &s->body;

    b->at_start = true;
    b->input_ms = s->now_ms;
    if (b->since == 0)
        b->since = s->now_ms;
    if (!b->chunked)
        server_say(s, 354, NULL, "Go ahead; end with a line that has one dot only");
    server_move(s, b->chunked ? SERVER_CHUNK : SERVER_BODY);
}

/* ---- BDAT ---- */

/* The bytes of a chunk come whatever was wrong with its command: they must not be taken for
 * commands. */
static void swallow(struct smtp_server *s, int code, const char *why)
{
    s->body.chunked = true;
    turn_bad(s, code, why);
    s->body.since = s->body.input_ms = s->now_ms;
    server_move(s, SERVER_CHUNK);
}

void server_body_refused(struct smtp_server *s)
{
    server_push_text(s, SMTP_SERVER_RESET, STR_NONE);
    s->has_mail = false;
    s->body.since = s->body.input_ms = s->now_ms;
    server_move(s, SERVER_CHUNK);
}

static bool read_chunk(struct smtp_server *s, struct str args)
{
    struct str size = STR_NONE;
    uint64_t left = 0;

    str_split(&args, ' ', &size);
    bool is_last = str_iis(args, "LAST");
    if (!str_to_u64(size, UINT32_MAX, &left) || (args.n > 0 && !is_last))
        return false;
    s->body.left = left;
    s->body.is_last = is_last;
    return true;
}

void server_bdat(struct smtp_server *s, struct str args)
{
    struct server_body *b = &s->body;

    if (!read_chunk(s, args)) {
        /* How much follows is not known. */
        server_say(s, 501, "5.5.4", "BDAT takes a size, and LAST for the last one: closing");
        server_end(s, SMTP_SERVER_END_ERRORS, "a malformed BDAT");
    } else if (b->left > 4 * (s->cfg.size_max + (1u << 20))) {
        server_say(s, 552, "5.3.4", "Refused: the mail is too big; closing");
        server_end(s, SMTP_SERVER_END_ERRORS, "a chunk that is far too big");
    } else if (b->chunked && s->has_mail) {
        b->input_ms = s->now_ms;
        server_move(s, SERVER_CHUNK);
    } else if (!s->logged_in) {
        swallow(s, 530, "5.7.0 Log in first (AUTH)");
    } else if (!s->has_mail) {
        swallow(s, 503, "5.5.1 MAIL and RCPT come first");
    } else if (s->recipients == 0) {
        swallow(s, 554, "5.5.1 No valid recipients");
    } else {
        b->chunked = true;
        ask(s);
    }
}

static void end_last(struct smtp_server *s)
{
    struct server_body *b = &s->body;

    if (b->ends_cr) {
        turn_bad(s, 554, "5.6.0 Refused: a CR without LF in the mail");
        return;
    }
    if (!b->at_start) /* every mail of ours ends with a line end */
        server_push_text(s, SMTP_SERVER_BODY, STR("\r\n"));
    server_push_text(s, SMTP_SERVER_DONE, STR_NONE);
    server_move(s, SERVER_DONE_ASKED);
}

static void end_chunk(struct smtp_server *s)
{
    struct server_body *b = &s->body;

    if (b->bad == NULL && b->is_last)
        end_last(s);
    if (s->state == SERVER_DONE_ASKED)
        return;
    if (b->bad == NULL) {
        server_say(s, 250, "2.0.0", "%llu bytes so far", (unsigned long long)b->n);
        server_move(s, SERVER_COMMAND);
        return;
    }
    server_move(s, SERVER_COMMAND);
    say_bad(s);
    server_forget_mail(s, false);
}

static void take_chunk(struct smtp_server *s, struct str in)
{
    struct server_body *b = &s->body;
    const char *why = NULL;

    if (b->ends_cr && in.p[0] != '\n') {
        turn_bad(s, 554, "5.6.0 Refused: a CR without LF in the mail");
        return;
    }
    if (b->ends_cr) { /* the two came apart */
        server_push_text(s, SMTP_SERVER_BODY, STR("\r\n"));
        b->n += 2;
        b->line_n = 0;
        b->at_start = true;
        in = str_from_index(in, 1);
    }
    size_t n = in.n > 0 ? scan(b, in, &why) : 0;
    if (n > 0)
        hand_on(s, str_cut(in, 0, n));
    if (why != NULL)
        turn_bad(s, 554, why);
    b->ends_cr = n < in.n;
}

bool server_chunk_step(struct smtp_server *s)
{
    struct server_body *b = &s->body;
    struct str in = str_cut(server_pending(s), 0, (size_t)MIN(b->left, (uint64_t)BODY_RUN_MAX));

    if (b->left == 0) {
        end_chunk(s);
        return true;
    }
    if (in.n == 0)
        return false;
    b->left -= in.n;
    server_take(s, in.n);
    if (b->bad == NULL)
        take_chunk(s, in);
    return true;
}
