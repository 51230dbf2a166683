/* One message on the wire, or one and the envelope of the next behind its dot. What is issued,
 * what each reply means, and how a message is taken back. A message waits for all replies to its
 * envelope before anything is said about it, so that after DONE the connection is in a known
 * state; the first refusal among them is the one that counts. */
#include "base/check.h"
#include "smtp/client_parts.h"

#include <stdio.h>

#define TO(state) (1u << MESSAGE_##state)

static const unsigned MESSAGE_MOVES[MESSAGE_COUNT] = {
    [MESSAGE_FREE] = TO(ENVELOPE),        [MESSAGE_ENVELOPE] = TO(ASKED) | TO(DRAIN) | TO(FREE),
    [MESSAGE_ASKED] = TO(DOT) | TO(FREE), [MESSAGE_DOT] = TO(FREE),
    [MESSAGE_DRAIN] = TO(FREE),
};

static void move(struct message *m, enum message_state to)
{
    check(MESSAGE_MOVES[m->state] & (1u << to));
    m->state = to;
}

struct message *transaction_oldest(struct smtp_client *c)
{
    return &c->slots[c->first];
}

struct message *transaction_find(struct smtp_client *c, uint64_t id)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct message *m = &c->slots[(c->first + i) % 2];
        if (m->id == id && m->state != MESSAGE_DRAIN)
            return m;
    }
    return NULL;
}

void transaction_free(struct smtp_client *c, struct message *m)
{
    move(m, MESSAGE_FREE);
    if (m == transaction_oldest(c))
        c->first = (c->first + 1) % 2;
    c->count--;
}

enum smtp_phase transaction_phase(const struct message *m)
{
    static const enum smtp_phase NEXT[] = {
        [STEP_RSET] = SMTP_PHASE_MAIL, [STEP_MAIL] = SMTP_PHASE_MAIL, [STEP_RCPT] = SMTP_PHASE_MAIL,
        [STEP_DATA] = SMTP_PHASE_RCPT, [STEP_OVER] = SMTP_PHASE_DATA,
    };

    if (m->dot_left)
        return SMTP_PHASE_DOT;
    if (m->state != MESSAGE_ENVELOPE)
        return SMTP_PHASE_DATA;
    if (!m->pipelined)
        return NEXT[m->next];
    int answered = (m->chunk ? 2 : 3) - m->outstanding;
    return answered <= 0 ? SMTP_PHASE_MAIL : answered == 1 ? SMTP_PHASE_RCPT : SMTP_PHASE_DATA;
}

bool transaction_is_reconnect(const struct message *m)
{
    return m->reused && (m->code == 503 || (m->code == 421 && m->phase == SMTP_PHASE_MAIL));
}

void transaction_refuse(struct smtp_client *c, struct message *m, enum smtp_phase phase)
{
    if (m->code != 0)
        return;
    m->code = c->reply.code;
    m->phase = phase;
    memcpy(m->enhanced, c->reply.enhanced, sizeof m->enhanced);
    buf_clear(&m->text);
    smtp_reply_join(&c->reply, &m->text);
}

/* ---- giving ---- */

enum smtp_take smtp_client_can_take(const struct smtp_client *c)
{
    if (c->session != SESSION_READY || c->quitting || c->event_n > EVENTS_MAX / 2)
        return SMTP_TAKE_NO;
    if (c->count == 0)
        return SMTP_TAKE_IDLE;
    if (c->count == 1 && c->slots[c->first].state == MESSAGE_DOT && c->caps.pipelining && c->proven)
        return SMTP_TAKE_BEHIND;
    return SMTP_TAKE_NO;
}

static void issue_step(struct smtp_client *c, struct message *m)
{
    switch (m->next) {
    case STEP_RSET:
        output_command(c, STR("RSET"));
        client_expect(c, EXPECT_RSET, m);
        break;
    case STEP_MAIL:
        envelope_add_mail(c, &m->e);
        client_expect(c, EXPECT_MAIL, m);
        break;
    case STEP_RCPT:
        envelope_add_rcpt(c, &m->e);
        client_expect(c, EXPECT_RCPT, m);
        break;
    case STEP_DATA:
        output_command(c, STR("DATA"));
        client_expect(c, EXPECT_DATA, m);
        break;
    case STEP_OVER: break;
    }
    m->outstanding++;
    m->next++;
    if (m->next == STEP_DATA && m->chunk)
        m->next = STEP_OVER;
}

static void issue(struct smtp_client *c, struct message *m)
{
    while (m->next < STEP_OVER && (m->pipelined || m->outstanding == 0)) {
        issue_step(c, m);
        if (m->next == STEP_OVER)
            report_event(c, SMTP_EVENT_BEGUN, m->id);
    }
}

static void report_unable(struct smtp_client *c, const struct smtp_envelope *e, const char *why)
{
    struct message passing = {.id = e->id};
    struct finding f = {.end = SMTP_END_UNABLE, .phase = SMTP_PHASE_MAIL, .text = str_of(why)};

    report_done(c, &passing, &f, false, false);
}

void smtp_client_give(struct smtp_client *c, const struct smtp_envelope *e, int64_t now_ms)
{
    check(smtp_client_can_take(c) != SMTP_TAKE_NO);
    c->now_ms = now_ms;
    const char *why = envelope_unable(c, e);
    if (why != NULL) {
        report_unable(c, e, why);
        return;
    }
    struct message *m = &c->slots[(c->first + c->count) % 2];
    struct message *other = &c->slots[(c->first + c->count + 1) % 2];
    struct buf text = m->text;
    /* The same message once more on this connection: its last dot is history. */
    if (other->state == MESSAGE_FREE && other->id == e->id)
        other->dot_left = false;
    *m = (struct message){.id = e->id, .e = *e, .text = text};
    m->reused = c->given > 0;
    m->pipelined = c->caps.pipelining;
    m->chunk = c->caps.chunking && !c->cfg.chunking_off;
    m->next = c->needs_rset ? STEP_RSET : STEP_MAIL;
    c->needs_rset = false;
    report_message_begins(c, m);
    move(m, MESSAGE_ENVELOPE);
    c->count++;
    c->given++;
    issue(c, m);
}

/* ---- replies ---- */

static void settle_refused(struct smtp_client *c, struct message *m)
{
    struct finding f = {.end = SMTP_END_REFUSED, .phase = m->phase, .code = m->code};
    bool reconnect = transaction_is_reconnect(m), go = m->go;

    memcpy(f.enhanced, m->enhanced, sizeof f.enhanced);
    f.text = buf_str(&m->text);
    report_done(c, m, &f, false, reconnect);
    transaction_free(c, m);
    /* The server waits for a body: a lone dot might deliver an empty mail. */
    if (go) {
        client_end_text(c, SMTP_END_QUIT, SMTP_PHASE_DATA,
                        "the server said 354 although it had refused the message");
        return;
    }
    c->quitting |= reconnect;
    session_quit_when_idle(c);
}

static void settle_withdrawn(struct smtp_client *c, struct message *m)
{
    bool go = m->go;

    transaction_free(c, m);
    if (go)
        client_end_text(c, SMTP_END_QUIT, SMTP_PHASE_DATA, "closed to take a message back");
    else
        session_quit_when_idle(c);
}

/* All replies to the envelope are read. */
static void settle_envelope(struct smtp_client *c, struct message *m)
{
    bool over = m->state == MESSAGE_DRAIN || m->code != 0;

    c->needs_rset |= over && m->opened;
    if (m->state == MESSAGE_DRAIN) {
        settle_withdrawn(c, m);
    } else if (m->code != 0) {
        settle_refused(c, m);
    } else {
        move(m, MESSAGE_ASKED);
        if (!m->chunk) {
            output_body(c, m);
            client_expect(c, EXPECT_DOT, m);
        }
        report_event(c, SMTP_EVENT_DOT_ASK, m->id);
    }
}

/* False: the connection has ended. */
static bool envelope_judge(struct smtp_client *c, struct message *m, const struct expected *x)
{
    static const enum smtp_phase PHASES[EXPECT_COUNT] = {
        [EXPECT_MAIL] = SMTP_PHASE_MAIL,
        [EXPECT_RCPT] = SMTP_PHASE_RCPT,
        [EXPECT_DATA] = SMTP_PHASE_DATA,
    };
    int class = c->reply.code / 100;

    if (x->kind == EXPECT_RSET && class != 2) {
        client_end_reply(c, SMTP_END_REPLY, SMTP_PHASE_MAIL);
        return false;
    }
    if (x->kind == EXPECT_RSET)
        return true;
    m->answered = true;
    if (class == (x->kind == EXPECT_DATA ? 2 : 3)) {
        client_end_reply(c, SMTP_END_PROTOCOL, PHASES[x->kind]);
        return false;
    }
    if (class >= 4)
        transaction_refuse(c, m, PHASES[x->kind]);
    else if (x->kind == EXPECT_DATA)
        m->go = true;
    else
        m->opened = true;
    return true;
}

static void envelope_reply(struct smtp_client *c, struct message *m, const struct expected *x)
{
    if (!envelope_judge(c, m, x))
        return;
    m->outstanding--;
    if (m->code != 0 || m->state == MESSAGE_DRAIN)
        m->next = STEP_OVER;
    else
        issue(c, m);
    if (m->outstanding == 0)
        settle_envelope(c, m);
}

/* The server spoke before it had the whole message. A refusal is taken at its word; sending stops
 * either way, because nobody knows what the server makes of the rest. */
static void early_reply(struct smtp_client *c, struct message *m)
{
    if (c->reply.code >= 400) {
        transaction_refuse(c, m, SMTP_PHASE_DOT);
        client_end_reply(c, SMTP_END_REPLY, SMTP_PHASE_DOT);
    } else {
        client_end_text(c, SMTP_END_PROTOCOL, SMTP_PHASE_DOT,
                        "the server answered before it had the whole message");
    }
}

static void dot_reply(struct smtp_client *c, struct message *m)
{
    int class = c->reply.code / 100;
    struct finding f = {.end = SMTP_END_ACCEPTED, .phase = SMTP_PHASE_DOT};

    m->answered = true;
    if (!m->dot_sent) {
        early_reply(c, m);
        return;
    }
    if (class == 3) {
        client_end_reply(c, SMTP_END_PROTOCOL, SMTP_PHASE_DOT);
        return;
    }
    c->answered_dots++;
    c->proven |= m->pipelined;
    f.code = c->reply.code;
    memcpy(f.enhanced, c->reply.enhanced, sizeof f.enhanced);
    buf_clear(&m->text);
    smtp_reply_join(&c->reply, &m->text);
    f.text = buf_str(&m->text);
    if (class >= 4) {
        f.end = SMTP_END_REFUSED;
        m->code = f.code;
        m->phase = SMTP_PHASE_DOT;
    }
    bool reconnect = transaction_is_reconnect(m);
    report_done(c, m, &f, false, reconnect);
    transaction_free(c, m);
    c->quitting |= reconnect;
    session_quit_when_idle(c);
}

void transaction_reply(struct smtp_client *c, const struct expected *x)
{
    if (x->kind == EXPECT_DOT)
        dot_reply(c, x->m);
    else
        envelope_reply(c, x->m, x);
}

/* ---- the dot, and taking back ---- */

void smtp_client_permit_dot(struct smtp_client *c, uint64_t id, int64_t now_ms)
{
    struct message *m = transaction_find(c, id);
    char line[48];

    c->now_ms = now_ms;
    if (c->session == SESSION_ENDED)
        return;
    check(m != NULL && m->state == MESSAGE_ASKED);
    if (m->chunk) {
        int n = snprintf(line, sizeof line, "BDAT %zu LAST", m->e.body.n);
        output_command(c, str_from(line, (size_t)n));
        client_expect(c, EXPECT_DOT, m);
        output_body(c, m);
    }
    if (!output_pending(c))
        c->progress_ms = now_ms;
    move(m, MESSAGE_DOT);
}

bool smtp_client_withdraw(struct smtp_client *c, uint64_t id, int64_t now_ms)
{
    struct message *m = transaction_find(c, id);
    struct finding f = {.end = SMTP_END_WITHDRAWN};

    c->now_ms = now_ms;
    if (m == NULL || m->dot_left)
        return false;
    f.phase = transaction_phase(m);
    report_done(c, m, &f, false, false);
    if (m->state == MESSAGE_ENVELOPE) {
        move(m, MESSAGE_DRAIN);
        m->next = STEP_OVER;
        return true;
    }
    bool can_reset = m->chunk && m->state == MESSAGE_ASKED;
    transaction_free(c, m);
    if (!can_reset) {
        client_end_text(c, SMTP_END_QUIT, SMTP_PHASE_DATA, "closed to take a message back");
        return true;
    }
    c->needs_rset = true;
    session_quit_when_idle(c);
    return true;
}

bool smtp_client_dot_left(const struct smtp_client *c, uint64_t id)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct message *m = &c->slots[(c->first + i) % 2];
        if (m->id == id && m->dot_left)
            return true;
    }
    return false;
}
