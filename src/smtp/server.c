/* Entrances of the server: bytes, answers and time come in here; events are pulled here, one step
 * of the conversation at a time, so that nothing is looked at while somebody has to answer first.
 * Deadlines are computed here, and connections end here and nowhere else. */
#include "smtp/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "smtp/server_parts.h"

#define TO(state) (1u << SERVER_##state)

static const unsigned MOVES[SERVER_STATES] = {
    [SERVER_COMMAND] = TO(COMMAND) | TO(LOGIN_LINE) | TO(LOOKUP) | TO(MAIL_ASKED) | TO(RCPT_ASKED) |
                       TO(DATA_ASKED) | TO(CHUNK) | TO(TLS_FLUSH) | TO(ENDING) | TO(ENDED),
    [SERVER_LOGIN_LINE] = TO(COMMAND) | TO(LOOKUP) | TO(LOGIN_LINE) | TO(ENDING) | TO(ENDED),
    [SERVER_LOOKUP] = TO(COMMAND) | TO(DERIVING) | TO(LOGIN_LINE) | TO(ENDING) | TO(ENDED),
    [SERVER_DERIVING] = TO(COMMAND) | TO(ENDING) | TO(ENDED),
    [SERVER_MAIL_ASKED] = TO(COMMAND) | TO(ENDING) | TO(ENDED),
    [SERVER_RCPT_ASKED] = TO(COMMAND) | TO(ENDING) | TO(ENDED),
    [SERVER_DATA_ASKED] = TO(COMMAND) | TO(BODY) | TO(CHUNK) | TO(ENDING) | TO(ENDED),
    [SERVER_DONE_ASKED] = TO(COMMAND) | TO(ENDING) | TO(ENDED),
    [SERVER_BODY] = TO(COMMAND) | TO(DONE_ASKED) | TO(ENDING) | TO(ENDED),
    [SERVER_CHUNK] = TO(COMMAND) | TO(DONE_ASKED) | TO(ENDING) | TO(ENDED),
    [SERVER_TLS_FLUSH] = TO(HANDSHAKE) | TO(ENDING) | TO(ENDED),
    [SERVER_HANDSHAKE] = TO(COMMAND) | TO(ENDING) | TO(ENDED),
    [SERVER_ENDING] = TO(ENDED),
    [SERVER_ENDED] = 0,
};

void server_move(struct smtp_server *s, enum server_state to)
{
    check(MOVES[s->state] & (1u << to));
    s->state = to;
    if (to == SERVER_COMMAND)
        s->command_ms = s->now_ms;
}

struct smtp_server *smtp_server_new(const struct smtp_server_config *cfg, int64_t now_ms)
{
    struct smtp_server *s = alloc_one(struct smtp_server);

    s->cfg = *cfg;
    s->cfg.host = alloc_copy(cfg->host != NULL ? cfg->host : "localhost");
    s->now_ms = s->start_ms = s->command_ms = s->progress_ms = now_ms;
    buf_init(&s->input, SERVER_INPUT_MAX);
    buf_init(&s->output, SERVER_OUTPUT_MAX);
    buf_init(&s->text, SERVER_LINE_MAX);
    server_say(s, 220, NULL, "%s ESMTP Postfleet", s->cfg.host);
    return s;
}

void smtp_server_free(struct smtp_server **sp)
{
    struct smtp_server *s = *sp;

    if (s == NULL)
        return;
    server_login_forget(s);
    free((void *)(uintptr_t)s->cfg.host);
    buf_free(&s->input);
    buf_free(&s->output);
    buf_free(&s->text);
    free(s);
    *sp = NULL;
}

/* ---- events ---- */

void server_push(struct smtp_server *s, const struct smtp_server_event *e)
{
    check(s->events_n < SERVER_EVENTS_MAX);
    s->events[(s->events_first + s->events_n++) % SERVER_EVENTS_MAX] = *e;
}

void server_push_text(struct smtp_server *s, enum smtp_server_event_kind kind, struct str text)
{
    server_push(s, &(struct smtp_server_event){.kind = kind, .text = text});
}

struct str server_pending(const struct smtp_server *s)
{
    if (s->taken == s->input.n)
        return STR("");
    return str_from(s->input.p + s->taken, s->input.n - s->taken);
}

void server_take(struct smtp_server *s, size_t n)
{
    s->taken += n;
    s->scanned = 0;
}

/* What events pointed into may go now. An idle connection keeps no buffer. */
static void drop_taken(struct smtp_server *s)
{
    if (s->taken > 0)
        buf_consume(&s->input, s->taken);
    s->taken = 0;
    if (s->input.n == 0)
        buf_free(&s->input);
}

static bool end_step(struct smtp_server *s)
{
    if (s->output.n > 0 && !s->closed)
        return false;
    server_forget_mail(s, true);
    server_move(s, SERVER_ENDED);
    server_push(s, &(struct smtp_server_event){
                       .kind = SMTP_SERVER_END, .end = s->end, .text = str_of(s->end_text)});
    return true;
}

/* Bytes between STARTTLS and the handshake were not sent by whom the handshake is with. */
static bool tls_step(struct smtp_server *s)
{
    if (server_pending(s).n > 0) {
        s->taken = s->input.n;
        server_end(s, SMTP_SERVER_END_ATTACK,
                   "bytes in clear behind STARTTLS: somebody may be in between");
        return true;
    }
    if (s->state != SERVER_TLS_FLUSH || s->output.n > 0)
        return false;
    server_move(s, SERVER_HANDSHAKE);
    server_push_text(s, SMTP_SERVER_START_TLS, STR_NONE);
    return true;
}

/* False: nothing can go on now. */
static bool step(struct smtp_server *s)
{
    if (s->state == SERVER_ENDED)
        return false;
    if (s->closed || s->state == SERVER_ENDING)
        return s->state == SERVER_ENDING && s->now_ms >= s->hold_until && end_step(s);
    if (s->now_ms < s->hold_until || s->output.n > SERVER_OUTPUT_HIGH)
        return false;
    switch (s->state) {
    case SERVER_COMMAND:
    case SERVER_LOGIN_LINE: return server_command_step(s);
    case SERVER_BODY: return server_body_step(s);
    case SERVER_CHUNK: return server_chunk_step(s);
    case SERVER_TLS_FLUSH:
    case SERVER_HANDSHAKE: return tls_step(s);
    default: return false;
    }
}

bool smtp_server_event(struct smtp_server *s, struct smtp_server_event *out)
{
    do {
        if (s->events_n > 0) {
            *out = s->events[s->events_first];
            s->events_first = (s->events_first + 1) % SERVER_EVENTS_MAX;
            s->events_n--;
            return true;
        }
        drop_taken(s);
    } while (step(s));
    return false;
}

/* ---- what is said ---- */

static void say(struct smtp_server *s, int code, const char *enhanced, const char *fmt,
                va_list args)
{
    char text[512];

    vsnprintf(text, sizeof text, fmt, args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    if (s->output.n == 0)
        s->progress_ms = s->now_ms;
    buf_addf(&s->output, "%d %s%s%s\r\n", code, enhanced != NULL ? enhanced : "",
             enhanced != NULL ? " " : "", text);
}

void server_say(struct smtp_server *s, int code, const char *enhanced, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(s, code, enhanced, fmt, args);
    va_end(args);
}

void server_delay(struct smtp_server *s, int64_t ms)
{
    if (s->now_ms >= s->hold_until)
        s->held_at = s->output.n;
    s->hold_until = MAX(s->hold_until, s->now_ms + ms);
}

void server_refuse(struct smtp_server *s, int code, const char *enhanced, const char *fmt, ...)
{
    va_list args;

    s->errors++;
    if (s->errors >= s->cfg.errors_max) {
        server_say(s, 421, "4.7.0", "Too many errors: closing");
        server_end(s, SMTP_SERVER_END_ERRORS, "too many refused commands");
        return;
    }
    uint32_t half = s->cfg.errors_max / 2;
    if (s->errors > half)
        server_delay(s, (int64_t)SERVER_DELAY_MS * MIN(s->errors - half, 5u));
    va_start(args, fmt);
    say(s, code, enhanced, fmt, args);
    va_end(args);
}

void server_end(struct smtp_server *s, enum smtp_server_end end, const char *why)
{
    if (s->state == SERVER_ENDING || s->state == SERVER_ENDED)
        return;
    s->end = end;
    snprintf(s->end_text, sizeof s->end_text, "%s", why);
    s->progress_ms = s->now_ms;
    server_move(s, SERVER_ENDING);
}

void server_forget_mail(struct smtp_server *s, bool tell)
{
    if (s->has_mail && tell)
        server_push_text(s, SMTP_SERVER_RESET, STR_NONE);
    s->has_mail = s->is_utf8 = false;
    s->recipients = 0;
    s->body = (struct server_body){.bad = NULL};
}

/* ---- what comes in ---- */

void smtp_server_input(struct smtp_server *s, struct str bytes, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state == SERVER_ENDING || s->state == SERVER_ENDED || bytes.n == 0)
        return;
    if (s->events_n == 0)
        drop_taken(s);
    s->body.input_ms = now_ms;
    if (buf_addstr(&s->input, bytes))
        return;
    server_say(s, 421, "4.3.0", "Too much at once: closing");
    server_end(s, SMTP_SERVER_END_ERRORS, "more bytes than were asked for");
}

bool smtp_server_wants_input(const struct smtp_server *s)
{
    return s->state < SERVER_ENDING && s->input.n - s->taken < SERVER_INPUT_HIGH;
}

void smtp_server_closed(struct smtp_server *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    s->closed = true;
    s->hold_until = 0;
    server_end(s, SMTP_SERVER_END_LOST, "the client closed the connection");
}

void smtp_server_tls_done(struct smtp_server *s, bool ok, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state != SERVER_HANDSHAKE)
        return;
    if (!ok) {
        s->closed = true;
        server_end(s, SMTP_SERVER_END_TLS, "the TLS handshake failed");
        return;
    }
    /* All that was learnt in clear is forgotten (RFC 3207, 4.2). */
    s->cfg.tls_active = true;
    s->greeted = s->esmtp = false;
    s->helo[0] = 0;
    server_move(s, SERVER_COMMAND);
}

static void answer_mail(struct smtp_server *s, bool ok)
{
    if (!ok)
        server_forget_mail(s, false);
    server_move(s, SERVER_COMMAND);
}

void smtp_server_answer(struct smtp_server *s, int code, const char *enhanced, struct str text,
                        int64_t now_ms)
{
    enum server_state asked = s->state;

    s->now_ms = now_ms;
    if (asked < SERVER_MAIL_ASKED || asked > SERVER_DONE_ASKED)
        return;
    bool ok = code < 400;
    if (asked == SERVER_DATA_ASKED && ok) {
        server_body_begin(s);
        return;
    }
    bool swallow = asked == SERVER_DATA_ASKED && s->body.chunked;
    if (!swallow)
        server_say(s, code, enhanced, STR_F, STR_A(text));
    if (asked == SERVER_MAIL_ASKED) {
        answer_mail(s, ok);
    } else if (asked == SERVER_RCPT_ASKED) {
        s->recipients += ok;
        server_move(s, SERVER_COMMAND);
    } else if (swallow) {
        snprintf(s->end_text, sizeof s->end_text, "%s " STR_F, enhanced, STR_A(text));
        s->body.bad = s->end_text;
        s->body.bad_code = code;
        server_body_refused(s);
    } else {
        server_forget_mail(s, asked == SERVER_DATA_ASKED);
        s->idle = 0;
        server_move(s, SERVER_COMMAND);
    }
    if (s->stopping)
        smtp_server_stop(s, now_ms);
}

void smtp_server_limit(struct smtp_server *s, uint64_t size_max, uint32_t recipients_max)
{
    s->cfg.size_max = size_max;
    s->cfg.recipients_max = recipients_max;
}

void smtp_server_stop(struct smtp_server *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    s->stopping = true;
    if (s->state == SERVER_DONE_ASKED || s->state >= SERVER_ENDING)
        return;
    s->hold_until = 0;
    if (s->state != SERVER_HANDSHAKE)
        server_say(s, 421, "4.3.2", "%s is stopping: try again later", s->cfg.host);
    server_end(s, SMTP_SERVER_END_STOP, "the daemon stops");
}

/* ---- what goes out ---- */

static bool is_held(const struct smtp_server *s)
{
    return s->now_ms < s->hold_until;
}

struct str smtp_server_output(const struct smtp_server *s)
{
    if (s->closed)
        return STR_NONE;
    return is_held(s) ? str_cut(buf_str(&s->output), 0, s->held_at) : buf_str(&s->output);
}

void smtp_server_sent(struct smtp_server *s, size_t n, int64_t now_ms)
{
    s->now_ms = now_ms;
    s->progress_ms = now_ms;
    buf_consume(&s->output, n);
    s->held_at -= MIN(s->held_at, n);
    if (s->output.n == 0) {
        buf_free(&s->output);
        if (s->state == SERVER_COMMAND || s->state == SERVER_LOGIN_LINE)
            s->command_ms = now_ms;
    }
}

/* ---- time ---- */

static int64_t input_deadline(const struct smtp_server *s)
{
    switch (s->state) {
    case SERVER_COMMAND:
    case SERVER_LOGIN_LINE: {
        int64_t command = s->command_ms + s->cfg.command_ms;
        return s->logged_in ? command : MIN(command, s->start_ms + s->cfg.login_ms);
    }
    case SERVER_BODY:
    case SERVER_CHUNK:
        return MIN(s->body.input_ms + s->cfg.body_ms, s->body.since + s->cfg.message_ms);
    default: return INT64_MAX;
    }
}

int64_t smtp_server_deadline(const struct smtp_server *s)
{
    if (s->state == SERVER_ENDED)
        return INT64_MAX;
    if (is_held(s))
        return s->hold_until; /* what stands before the delay, and is not taken, waits till then */
    if (s->state == SERVER_ENDING)
        return s->output.n > 0 ? s->progress_ms + SERVER_LAST_WORDS_MS : s->now_ms;
    if (s->output.n > 0)
        return s->progress_ms + s->cfg.command_ms;
    return input_deadline(s);
}

void smtp_server_tick(struct smtp_server *s, int64_t now_ms)
{
    bool was_held = is_held(s);

    s->now_ms = now_ms;
    if (was_held || s->state == SERVER_ENDED) {
        if (!is_held(s))
            s->progress_ms = s->command_ms = now_ms;
        return;
    }
    if (now_ms < smtp_server_deadline(s))
        return;
    if (s->output.n > 0) {
        s->closed = true; /* nothing more can be said */
        server_end(s, SMTP_SERVER_END_LOST, "the client does not take our answers");
    } else if (s->state != SERVER_ENDING) {
        server_say(s, 421, "4.4.2", "%s: nothing came in time", s->cfg.host);
        server_end(s, SMTP_SERVER_END_TIMEOUT, "the client did not speak in time");
    }
}

/* ---- looking ---- */

const char *smtp_server_helo(const struct smtp_server *s)
{
    return s->helo;
}

const char *smtp_server_protocol(const struct smtp_server *s)
{
    static const char *const NAMES[] = {"ESMTP",    "ESMTPA",    "ESMTPS",    "ESMTPSA",
                                        "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"};

    if (!s->esmtp)
        return "SMTP";
    return NAMES[(s->is_utf8 ? 4 : 0) + (s->cfg.tls_active ? 2 : 0) + (s->logged_in ? 1 : 0)];
}

bool smtp_server_is_idle(const struct smtp_server *s)
{
    return s->state == SERVER_COMMAND && !s->has_mail;
}

const struct smtp_derivation *smtp_server_derivation(const struct smtp_server *s)
{
    return &s->derivation;
}

const struct secret *smtp_server_password(const struct smtp_server *s)
{
    return s->password;
}
