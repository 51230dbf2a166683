/* Entrances of the client: what comes in (bytes, closes, time) finds its handler here; deadlines
 * are computed here, and connections end here and nowhere else. Every reply is matched with the
 * oldest command that still waits for one; a reply to a command that has not been written is a
 * breach of the protocol. Guarantees: each message given ends in exactly one DONE before END. */
#include "smtp/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "smtp/client_parts.h"

static const enum smtp_phase EXPECT_PHASES[EXPECT_COUNT] = {
    [EXPECT_GREETING] = SMTP_PHASE_GREETING, [EXPECT_EHLO] = SMTP_PHASE_EHLO,
    [EXPECT_HELO] = SMTP_PHASE_EHLO,         [EXPECT_STARTTLS] = SMTP_PHASE_STARTTLS,
    [EXPECT_AUTH] = SMTP_PHASE_AUTH,         [EXPECT_MAIL] = SMTP_PHASE_MAIL,
    [EXPECT_RCPT] = SMTP_PHASE_RCPT,         [EXPECT_DATA] = SMTP_PHASE_DATA,
    [EXPECT_DOT] = SMTP_PHASE_DOT,           [EXPECT_RSET] = SMTP_PHASE_MAIL,
    [EXPECT_QUIT] = SMTP_PHASE_QUIT,
};

#define TO(state) (1u << SESSION_##state)

static const unsigned SESSION_MOVES[SESSION_COUNT] = {
    [SESSION_GREETING] = TO(EHLO) | TO(ENDED),
    [SESSION_EHLO] = TO(HELO) | TO(STARTTLS) | TO(AUTH) | TO(READY) | TO(ENDED),
    [SESSION_HELO] = TO(READY) | TO(ENDED),
    [SESSION_STARTTLS] = TO(HANDSHAKE) | TO(ENDED),
    [SESSION_HANDSHAKE] = TO(EHLO) | TO(ENDED),
    [SESSION_AUTH] = TO(AUTH) | TO(READY) | TO(ENDED),
    [SESSION_READY] = TO(QUIT) | TO(ENDED),
    [SESSION_QUIT] = TO(ENDED),
    [SESSION_ENDED] = 0,
};

void client_move(struct smtp_client *c, enum session to)
{
    check(SESSION_MOVES[c->session] & (1u << to));
    c->session = to;
}

struct smtp_client *smtp_client_new(const struct smtp_client_config *cfg, int64_t now_ms)
{
    struct smtp_client *c = alloc_one(struct smtp_client);

    c->cfg = *cfg;
    c->cfg.helo = alloc_copy(cfg->helo != NULL ? cfg->helo : "localhost");
    c->cfg.user = alloc_copy(cfg->user);
    c->cfg.oauth_token_mech = alloc_copy(cfg->oauth_token_mech);
    /* Locked memory is scarce: none without a login. */
    c->cfg.password = NULL;
    if (cfg->user != NULL)
        c->cfg.password = cfg->password != NULL ? secret_clone(cfg->password) : secret_new("", 0);
    c->now_ms = c->reply_ms = c->progress_ms = now_ms;
    c->tls_active = cfg->tls == SMTP_TLS_IMPLICIT;
    snprintf(c->nonce, sizeof c->nonce, "%016" PRIx64, cfg->nonce);
    smtp_reply_init(&c->reply);
    buf_init(&c->commands, COMMANDS_MAX);
    buf_init(&c->event_text, EVENT_TEXT_MAX);
    buf_init(&c->challenge, SMTP_REPLY_TOTAL_MAX);
    buf_init(&c->transcript, cfg->transcript_max);
    for (size_t i = 0; i < countof(c->slots); i++)
        buf_init(&c->slots[i].text, SMTP_REPLY_TOTAL_MAX);
    client_expect(c, EXPECT_GREETING, NULL);
    c->expected[0].sent_ms = now_ms;
    return c;
}

void smtp_client_free(struct smtp_client **cp)
{
    struct smtp_client *c = *cp;

    if (c == NULL)
        return;
    struct secret *password = (struct secret *)(uintptr_t)c->cfg.password;
    secret_free(&password);
    free((void *)(uintptr_t)c->cfg.helo);
    free((void *)(uintptr_t)c->cfg.user);
    free((void *)(uintptr_t)c->cfg.oauth_token_mech);
    smtp_auth_wipe(&c->auth);
    smtp_reply_free(&c->reply);
    buf_free(&c->commands);
    buf_free(&c->event_text);
    buf_free(&c->challenge);
    buf_free(&c->transcript);
    for (size_t i = 0; i < countof(c->slots); i++)
        buf_free(&c->slots[i].text);
    free(c);
    *cp = NULL;
}

void client_expect(struct smtp_client *c, enum expect kind, struct message *m)
{
    check(c->expected_n < EXPECTED_MAX);
    c->expected[(c->expected_first + c->expected_n++) % EXPECTED_MAX] =
        (struct expected){.kind = kind, .m = m, .mark = c->commands_queued, .sent_ms = -1};
}

static const struct expected *head_of(const struct smtp_client *c)
{
    return c->expected_n > 0 ? &c->expected[c->expected_first] : NULL;
}

bool client_is_sent(const struct smtp_client *c, const struct expected *e)
{
    return e->kind == EXPECT_DOT ? e->m->dot_sent : c->commands_sent >= e->mark;
}

/* ---- the end ---- */

static bool is_stale(const struct message *m, const struct finding *f)
{
    return m->reused && !m->answered && f->end != SMTP_END_TIMEOUT;
}

/* No fault of the server's: it gave up a connection that had served before, and said nothing to
 * what was asked of it since. */
static bool end_is_stale(const struct smtp_client *c, const struct finding *f)
{
    if (c->given == 0 || (f->end != SMTP_END_LOST && f->end != SMTP_END_REPLY))
        return false;
    for (unsigned i = 0; i < c->count; i++) {
        const struct message *m = &c->slots[(c->first + i) % 2];
        if (m->state != MESSAGE_DRAIN && !is_stale(m, f) && !transaction_is_reconnect(m))
            return false;
    }
    return true;
}

static void end_message(struct smtp_client *c, struct message *m, const struct finding *f)
{
    struct finding own = {.end = SMTP_END_LOST, .phase = transaction_phase(m), .text = f->text};
    bool stale = false;

    if (m->state == MESSAGE_DRAIN)
        return;
    if (m->code != 0) {
        own = (struct finding){.end = SMTP_END_REFUSED, .phase = m->phase, .code = m->code};
        memcpy(own.enhanced, m->enhanced, sizeof own.enhanced);
        own.text = buf_str(&m->text);
    } else if (m->dot_left) {
        own.end = SMTP_END_UNCERTAIN;
    } else {
        stale = is_stale(m, f);
    }
    report_done(c, m, &own, stale, transaction_is_reconnect(m));
}

void client_end(struct smtp_client *c, const struct finding *f)
{
    if (c->session == SESSION_ENDED)
        return;
    bool stale = end_is_stale(c, f);
    client_move(c, SESSION_ENDED);
    output_drop(c);
    c->expected_n = 0;
    while (c->count > 0) {
        struct message *m = transaction_oldest(c);
        end_message(c, m, f);
        transaction_free(c, m);
    }
    report_end(c, f, stale);
}

void client_end_reply(struct smtp_client *c, enum smtp_end end, enum smtp_phase phase)
{
    struct finding f = {.end = end, .phase = phase, .code = c->reply.code};
    struct buf text;

    memcpy(f.enhanced, c->reply.enhanced, sizeof f.enhanced);
    buf_init(&text, SMTP_REPLY_TOTAL_MAX);
    smtp_reply_join(&c->reply, &text);
    f.text = buf_str(&text);
    client_end(c, &f);
    buf_free(&text);
}

void client_end_text(struct smtp_client *c, enum smtp_end end, enum smtp_phase phase,
                     const char *text)
{
    struct finding f = {.end = end, .phase = phase, .text = str_of(text)};

    client_end(c, &f);
}

/* Where the conversation is, for an end that no reply explains. */
static enum smtp_phase phase_now(const struct smtp_client *c)
{
    if (c->session == SESSION_HANDSHAKE)
        return SMTP_PHASE_STARTTLS;
    if (c->expected_n > 0)
        return EXPECT_PHASES[head_of(c)->kind];
    if (c->session == SESSION_AUTH)
        return SMTP_PHASE_AUTH;
    return c->count > 0 ? transaction_phase(&c->slots[c->first]) : SMTP_PHASE_MAIL;
}

/* ---- what comes in ---- */

static void (*const SESSION_REPLIES[EXPECT_COUNT])(struct smtp_client *) = {
    [EXPECT_GREETING] = session_greeting, [EXPECT_EHLO] = session_ehlo,
    [EXPECT_HELO] = session_helo,         [EXPECT_STARTTLS] = session_starttls,
    [EXPECT_AUTH] = session_auth,
};

static void take_reply(struct smtp_client *c)
{
    const struct expected *head = head_of(c);

    report_reply(c);
    if (c->session == SESSION_QUIT) {
        client_end_reply(c, SMTP_END_QUIT, SMTP_PHASE_QUIT);
        return;
    }
    if (head == NULL || c->commands_sent < head->mark) {
        if (c->reply.code == 421)
            client_end_reply(c, SMTP_END_REPLY, phase_now(c));
        else
            client_end_text(c, SMTP_END_PROTOCOL, phase_now(c),
                            "the server sent a reply that nobody asked for");
        return;
    }
    struct expected x = *head;
    c->expected_first = (c->expected_first + 1) % EXPECTED_MAX;
    c->expected_n--;
    c->reply_ms = c->now_ms;
    if (c->reply.code == 421) {
        if (x.m != NULL && x.kind != EXPECT_RSET)
            transaction_refuse(c, x.m, EXPECT_PHASES[x.kind]);
        client_end_reply(c, SMTP_END_REPLY, EXPECT_PHASES[x.kind]);
    } else if (x.m != NULL) {
        transaction_reply(c, &x);
    } else {
        SESSION_REPLIES[x.kind](c);
    }
}

void smtp_client_input(struct smtp_client *c, struct str bytes, int64_t now_ms)
{
    c->now_ms = now_ms;
    while (bytes.n > 0 && c->session != SESSION_ENDED) {
        if (c->session == SESSION_HANDSHAKE) {
            client_end_text(c, SMTP_END_TLS, SMTP_PHASE_STARTTLS,
                            "bytes in clear behind the answer to STARTTLS: somebody may be in "
                            "between");
            return;
        }
        enum smtp_reply_status s = smtp_reply_feed(&c->reply, &bytes);
        if (s == SMTP_REPLY_MORE)
            return;
        if (s == SMTP_REPLY_READY) {
            take_reply(c);
            continue;
        }
        report_reply(c);
        client_end_reply(c, c->session == SESSION_QUIT ? SMTP_END_QUIT : SMTP_END_PROTOCOL,
                         phase_now(c));
    }
}

void smtp_client_closed(struct smtp_client *c, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->session != SESSION_ENDED)
        client_end_text(c, c->session == SESSION_QUIT ? SMTP_END_QUIT : SMTP_END_LOST, phase_now(c),
                        "the server closed the connection");
}

void smtp_client_tls_done(struct smtp_client *c, bool ok, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->session != SESSION_HANDSHAKE)
        return;
    if (!ok) {
        client_end_text(c, SMTP_END_TLS, SMTP_PHASE_STARTTLS, "the TLS handshake failed");
        return;
    }
    c->tls_active = true;
    memset(&c->caps, 0, sizeof c->caps);
    client_move(c, SESSION_EHLO);
    session_say_ehlo(c, true);
}

/* ---- time ---- */

static int64_t head_deadline(const struct smtp_client *c, const struct expected *head)
{
    int64_t wait = head->kind == EXPECT_DOT ? c->cfg.dot_timeout_ms : c->cfg.reply_timeout_ms;

    return MAX(head->sent_ms, c->reply_ms) + wait;
}

int64_t smtp_client_deadline(const struct smtp_client *c)
{
    const struct expected *head = head_of(c);

    if (c->session == SESSION_ENDED)
        return INT64_MAX;
    if (c->session == SESSION_QUIT)
        return c->quit_deadline;
    if (c->session < SESSION_READY)
        return c->cfg.ready_deadline;
    if (head != NULL && client_is_sent(c, head))
        return head_deadline(c, head);
    if (!output_pending(c))
        return INT64_MAX;
    int64_t stalled = c->progress_ms + c->cfg.reply_timeout_ms;
    return c->sending != NULL ? MIN(stalled, c->body_deadline) : stalled;
}

void smtp_client_tick(struct smtp_client *c, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (now_ms < smtp_client_deadline(c))
        return;
    if (c->session == SESSION_QUIT)
        client_end_text(c, SMTP_END_QUIT, SMTP_PHASE_QUIT, "no answer to QUIT");
    else
        client_end_text(c, SMTP_END_TIMEOUT, phase_now(c),
                        output_pending(c) ? "the server did not take our bytes in time"
                        : c->is_deriving  ? "this machine did not derive the SCRAM key in time"
                                          : "the server did not answer in time");
}

const struct smtp_caps *smtp_client_caps(const struct smtp_client *c)
{
    return &c->caps;
}

uint32_t smtp_client_messages(const struct smtp_client *c)
{
    return c->answered_dots;
}
