/* From the greeting to a ready session, and QUIT. Order: greeting, EHLO (HELO when EHLO is not
 * known), STARTTLS when configured (never without: a server that does not offer it is not used),
 * EHLO again, AUTH. Nothing learned in clear survives STARTTLS (RFC 3207, 4.2). */
#include "base/check.h"
#include "smtp/caps.h"
#include "smtp/client_parts.h"

static void say(struct smtp_client *c, enum expect kind, struct str line)
{
    output_command(c, line);
    client_expect(c, kind, NULL);
}

void session_say_ehlo(struct smtp_client *c, bool extended)
{
    size_t at = c->commands.n;

    buf_adds(&c->commands, extended ? "EHLO " : "HELO ");
    buf_adds(&c->commands, c->cfg.helo);
    output_command_built(c, at);
    client_expect(c, extended ? EXPECT_EHLO : EXPECT_HELO, NULL);
}

/* A reply that is neither what was hoped for nor a refusal is no SMTP. */
static void refused(struct smtp_client *c, enum smtp_phase phase)
{
    client_end_reply(c, c->reply.code >= 400 ? SMTP_END_REPLY : SMTP_END_PROTOCOL, phase);
}

void session_greeting(struct smtp_client *c)
{
    if (c->reply.code != 220) {
        refused(c, SMTP_PHASE_GREETING);
        return;
    }
    client_move(c, SESSION_EHLO);
    session_say_ehlo(c, true);
}

static void become_ready(struct smtp_client *c)
{
    client_move(c, SESSION_READY);
    smtp_auth_wipe(&c->auth);
    /* A wordy server leaves room for what it says about messages. */
    c->transcript.n = MIN(c->transcript.n, c->transcript.max / 2);
    c->transcript_session = c->transcript.n;
    report_event(c, SMTP_EVENT_READY, 0);
    c->quitting |= c->cfg.probe;
    session_quit_when_idle(c);
}

static void say_auth(struct smtp_client *c, enum smtp_mech mech, struct str initial)
{
    struct buf shown, line;

    buf_init(&shown, 64);
    buf_init(&line, SMTP_AUTH_LINE_MAX + 64);
    buf_addf(&shown, "AUTH %s", smtp_mech_name(mech));
    buf_addstr(&line, buf_str(&shown));
    /* A first line longer than 512 bytes may not carry the initial response (RFC 4954, 4). */
    if (initial.n > 0 && line.n + 1 + initial.n <= 510) {
        buf_addc(&line, ' ');
        buf_addstr(&line, initial);
        buf_adds(&shown, " ***");
    }
    output_command_secret(c, buf_str(&shown), buf_str(&line));
    client_expect(c, EXPECT_AUTH, NULL);
    secret_wipe(line.p, line.n);
    buf_free(&line);
    buf_free(&shown);
}

static void begin_auth(struct smtp_client *c)
{
    bool clear_ok = c->tls_active || c->cfg.tls == SMTP_TLS_NONE;
    enum smtp_mech mech =
        smtp_mech_choose(&c->caps, c->cfg.oauth_token_mech, clear_ok, c->auth_refused);
    struct buf initial;
    struct err e;

    if (mech == SMTP_MECH_NONE) {
        client_end_text(c, SMTP_END_REPLY, SMTP_PHASE_AUTH,
                        "the server offers no way to log in that we may use");
        return;
    }
    if (c->session != SESSION_AUTH)
        client_move(c, SESSION_AUTH);
    smtp_auth_start(&c->auth, mech, str_of(c->cfg.user), c->cfg.password, str_of(c->nonce));
    str_copy(str_of(smtp_mech_name(mech)), c->caps.auth_used, sizeof c->caps.auth_used);
    buf_init(&initial, SMTP_AUTH_LINE_MAX);
    if (smtp_auth_initial(&c->auth, &initial, &e))
        say_auth(c, mech, buf_str(&initial));
    else
        client_end_text(c, SMTP_END_PROTOCOL, SMTP_PHASE_AUTH, e.text);
    if (initial.n > 0)
        secret_wipe(initial.p, initial.n);
    buf_free(&initial);
}

/* After a good EHLO or HELO. */
static void go_on(struct smtp_client *c)
{
    if (c->cfg.tls == SMTP_TLS_STARTTLS && !c->tls_active) {
        if (!c->caps.starttls) {
            client_end_text(c, SMTP_END_TLS, SMTP_PHASE_STARTTLS,
                            "the server does not offer STARTTLS");
            return;
        }
        client_move(c, SESSION_STARTTLS);
        say(c, EXPECT_STARTTLS, STR("STARTTLS"));
    } else if (c->cfg.user != NULL) {
        begin_auth(c);
    } else {
        become_ready(c);
    }
}

void session_ehlo(struct smtp_client *c)
{
    int code = c->reply.code;

    if (code / 100 == 2) {
        smtp_caps_read(&c->caps, buf_str(&c->reply.text));
        go_on(c);
    } else if (code >= 500) {
        client_move(c, SESSION_HELO);
        session_say_ehlo(c, false);
    } else {
        refused(c, SMTP_PHASE_EHLO);
    }
}

void session_helo(struct smtp_client *c)
{
    memset(&c->caps, 0, sizeof c->caps);
    if (c->reply.code / 100 == 2)
        go_on(c);
    else
        refused(c, SMTP_PHASE_EHLO);
}

void session_starttls(struct smtp_client *c)
{
    if (c->reply.code != 220) {
        refused(c, SMTP_PHASE_STARTTLS);
        return;
    }
    client_move(c, SESSION_HANDSHAKE);
    report_event(c, SMTP_EVENT_START_TLS, 0);
}

static void answer_challenge(struct smtp_client *c, struct str challenge)
{
    struct buf line;
    struct err e;

    buf_init(&line, SMTP_AUTH_LINE_MAX);
    if (smtp_auth_answer(&c->auth, challenge, &line, &e)) {
        output_command_secret(c, line.n > 0 ? STR("***") : STR(""), buf_str(&line));
        client_expect(c, EXPECT_AUTH, NULL);
    } else {
        client_end_text(c, SMTP_END_PROTOCOL, SMTP_PHASE_AUTH, e.text);
    }
    if (line.n > 0)
        secret_wipe(line.p, line.n);
    buf_free(&line);
}

static void take_challenge(struct smtp_client *c)
{
    struct str text = buf_str(&c->reply.text);

    if (!c->cfg.derives_elsewhere || !smtp_auth_wants_derivation(&c->auth, text, &c->derivation)) {
        answer_challenge(c, text);
        return;
    }
    buf_clear(&c->challenge);
    buf_addstr(&c->challenge, text);
    c->is_deriving = true;
    report_event(c, SMTP_EVENT_DERIVE, 0);
}

const struct smtp_derivation *smtp_client_derivation(const struct smtp_client *c)
{
    return &c->derivation;
}

void smtp_client_derived(struct smtp_client *c, const uint8_t *salted, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (!c->is_deriving || c->session != SESSION_AUTH)
        return;
    c->is_deriving = false;
    if (salted == NULL) {
        client_end_text(c, SMTP_END_PROTOCOL, SMTP_PHASE_AUTH,
                        "SCRAM: SHA-256 is not available here");
        return;
    }
    smtp_auth_salted(&c->auth, salted);
    answer_challenge(c, buf_str(&c->challenge));
}

void session_auth(struct smtp_client *c)
{
    struct err e;

    switch (c->reply.code) {
    case 334: take_challenge(c); break;
    case 235:
        if (smtp_auth_accepted(&c->auth, &e))
            become_ready(c);
        else
            client_end_text(c, SMTP_END_PROTOCOL, SMTP_PHASE_AUTH, e.text);
        break;
    case 504: /* offered, yet not understood: another mechanism may be */
        c->auth_refused |= 1u << c->auth.mech;
        if (smtp_mech_choose(&c->caps, c->cfg.oauth_token_mech, true, c->auth_refused) !=
            SMTP_MECH_NONE)
            begin_auth(c);
        else
            refused(c, SMTP_PHASE_AUTH);
        break;
    default: refused(c, SMTP_PHASE_AUTH);
    }
}

void session_quit_when_idle(struct smtp_client *c)
{
    if (!c->quitting || c->session != SESSION_READY || c->count > 0)
        return;
    client_move(c, SESSION_QUIT);
    say(c, EXPECT_QUIT, STR("QUIT"));
    c->quit_deadline = c->now_ms + QUIT_WAIT_MS;
}

void smtp_client_quit(struct smtp_client *c, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->session == SESSION_ENDED || c->session == SESSION_QUIT)
        return;
    if (c->session != SESSION_READY) {
        client_end_text(c, SMTP_END_QUIT, SMTP_PHASE_QUIT, "closed before the session was ready");
        return;
    }
    c->quitting = true;
    session_quit_when_idle(c);
}
