/* A driver for smtp/server that answers at once and by rule, and writes down what it sees: for
 * tests that send whole sessions, and for the fuzz target. Events and replies must come out the
 * same for every way of cutting the client's bytes. */
#ifndef SMTP_SERVER_AUTO_H
#define SMTP_SERVER_AUTO_H

#include "base/check.h"
#include "smtp/server.h"

struct auto_driver {
    struct smtp_server *s;
    int64_t now_ms;
    unsigned refuse; /* bits: the k-th answer of a mail is a refusal */
    unsigned asked;
    struct buf said, seen, body;
    bool logged_in, in_mail, in_body, ended;
    enum smtp_server_end end;
};

static inline void auto_start(struct auto_driver *d, unsigned refuse, bool tls)
{
    struct smtp_server_config cfg = {.host = "mx.test",
                                     .tls_offered = tls,
                                     .login_in_clear = !tls,
                                     .size_max = 2000,
                                     .recipients_max = 5,
                                     .errors_max = 1000,
                                     .login_ms = 10000,
                                     .command_ms = 5000,
                                     .body_ms = 3000,
                                     .message_ms = 20000,
                                     .nonce = {1, 2}};

    *d = (struct auto_driver){.now_ms = 1000, .refuse = refuse};
    buf_init(&d->said, 1 << 22);
    buf_init(&d->seen, 1 << 22);
    buf_init(&d->body, 1 << 22);
    d->s = smtp_server_new(&cfg, d->now_ms);
}

static inline void auto_finish(struct auto_driver *d)
{
    smtp_server_free(&d->s);
    buf_free(&d->said);
    buf_free(&d->seen);
    buf_free(&d->body);
}

/* User "user", password "pencil", one iteration; nobody else. */
static inline void auto_keys(struct auto_driver *d, struct str user)
{
    struct smtp_keys k = {.iterations = 1};
    struct secret *password = secret_new("pencil", 6);

    k.stored[0] = 1; /* whoever is another has keys that fit nothing */
    if (str_is(user, "user"))
        check(smtp_keys_make(&k, password));
    secret_free(&password);
    smtp_server_keys(d->s, &k, d->now_ms);
}

static inline void auto_derive(struct auto_driver *d)
{
    uint8_t salted[SMTP_SALTED_SIZE];
    bool ok = smtp_derive(smtp_server_derivation(d->s), smtp_server_password(d->s), salted);

    smtp_server_derived(d->s, ok ? salted : NULL, d->now_ms);
}

static inline bool auto_answer(struct auto_driver *d, int code)
{
    bool ok = !(d->refuse & (1u << d->asked++ % 32));

    smtp_server_answer(d->s, ok ? code : 550, ok ? "2.0.0" : "5.0.0", ok ? STR("ok") : STR("no"),
                       d->now_ms);
    return ok;
}

static inline void auto_mail_event(struct auto_driver *d, const struct smtp_server_event *e)
{
    bool ok;

    switch (e->kind) {
    case SMTP_SERVER_MAIL:
        check(d->logged_in && !d->in_mail);
        d->asked = 0;
        d->in_mail = auto_answer(d, 250);
        break;
    case SMTP_SERVER_RCPT:
        check(d->in_mail && !d->in_body && e->text.n > 0);
        auto_answer(d, 250);
        break;
    case SMTP_SERVER_DATA:
        check(d->in_mail && !d->in_body);
        buf_clear(&d->body);
        ok = auto_answer(d, 354);
        d->in_body = ok;
        break;
    case SMTP_SERVER_BODY:
        check(d->in_body && e->text.n > 0);
        buf_addstr(&d->body, e->text);
        check(d->body.n <= 2002); /* size_max and a line end of ours */
        break;
    case SMTP_SERVER_DONE:
        check(d->in_body);
        check(d->body.n == 0 || str_ends(buf_str(&d->body), STR("\r\n")));
        buf_addf(&d->seen, "[" STR_F "]", STR_A(buf_str(&d->body)));
        d->in_mail = d->in_body = false;
        auto_answer(d, 250);
        break;
    default: check(d->in_mail); d->in_mail = d->in_body = false;
    }
}

static inline void auto_event(struct auto_driver *d, const struct smtp_server_event *e)
{
    check(!d->ended);
    if (e->kind != SMTP_SERVER_BODY)
        buf_addf(&d->seen, "%d " STR_F " %d%d" STR_F STR_F STR_F STR_F "\n", e->kind,
                 STR_A(e->kind == SMTP_SERVER_END ? STR_NONE : e->text), e->is_8bit, e->is_utf8,
                 STR_A(e->ret), STR_A(e->envid), STR_A(e->notify), STR_A(e->orcpt));
    switch (e->kind) {
    case SMTP_SERVER_START_TLS: smtp_server_tls_done(d->s, true, d->now_ms); break;
    case SMTP_SERVER_LOOKUP: auto_keys(d, e->text); break;
    case SMTP_SERVER_DERIVE: auto_derive(d); break;
    case SMTP_SERVER_LOGIN: d->logged_in = true; break;
    case SMTP_SERVER_NO_LOGIN: check(!d->logged_in); break;
    case SMTP_SERVER_END:
        check(!d->in_mail);
        d->ended = true;
        d->end = e->end;
        break;
    default: auto_mail_event(d, e);
    }
}

static inline void auto_pump(struct auto_driver *d)
{
    struct smtp_server_event e;
    bool moved = true;

    while (moved) {
        moved = false;
        while (smtp_server_event(d->s, &e)) {
            moved = true;
            auto_event(d, &e);
        }
        struct str out = smtp_server_output(d->s);
        if (out.n == 0)
            continue;
        moved = true;
        buf_addstr(&d->said, out);
        smtp_server_sent(d->s, out.n, d->now_ms);
    }
}

/* Time passes until nothing is due any more at once (answers that are delayed). */
static inline void auto_wait(struct auto_driver *d, int64_t ms)
{
    d->now_ms += ms;
    smtp_server_tick(d->s, d->now_ms);
    auto_pump(d);
}

static inline void auto_feed(struct auto_driver *d, struct str bytes)
{
    while (bytes.n > 0) {
        size_t n = MIN(bytes.n, (size_t)60000);
        smtp_server_input(d->s, str_cut(bytes, 0, n), d->now_ms);
        auto_pump(d);
        bytes = str_from_index(bytes, n);
    }
}

#endif
