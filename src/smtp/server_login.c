/* AUTH (RFC 4954): SCRAM-SHA-256, PLAIN, LOGIN. All end in the same comparison with stored keys.
 * A user that nobody has is given decoy keys and goes the same way to the same refusal, after the
 * same work. Passwords live in locked memory, and only until the answer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "smtp/server_parts.h"

enum { PASSWORD_MAX = 1024 };

void server_login_forget(struct smtp_server *s)
{
    secret_free(&s->password);
    secret_wipe(&s->keys, sizeof s->keys);
    if (s->scram != NULL)
        secret_wipe(s->scram, sizeof *s->scram);
    free(s->scram);
    s->scram = NULL;
}

static void to_commands(struct smtp_server *s)
{
    server_login_forget(s);
    if (s->state != SERVER_COMMAND)
        server_move(s, SERVER_COMMAND);
}

static void malformed(struct smtp_server *s, const char *why)
{
    to_commands(s);
    server_refuse(s, 501, "5.5.2", "%s", why);
}

static void fail(struct smtp_server *s)
{
    to_commands(s);
    server_push_text(s, SMTP_SERVER_NO_LOGIN, str_of(s->user));
    server_delay(s, (int64_t)SERVER_DELAY_MS * ++s->failed_logins);
    if (s->failed_logins >= SERVER_LOGINS_MAX) {
        server_say(s, 421, "4.7.0", "Too many refused logins: closing");
        server_end(s, SMTP_SERVER_END_ERRORS, "too many refused logins");
    } else {
        server_refuse(s, 535, "5.7.8", "User and password do not fit");
    }
}

static void succeed(struct smtp_server *s)
{
    to_commands(s);
    s->logged_in = true;
    server_push_text(s, SMTP_SERVER_LOGIN, str_of(s->user));
    server_say(s, 235, "2.7.0", "Welcome");
}

/* ---- dialogue ---- */

static void challenge(struct smtp_server *s, enum login_step step, struct str text)
{
    struct buf b;

    buf_init(&b, 4096);
    codec_base64_add(&b, text.p != NULL ? text.p : "", text.n);
    server_say(s, 334, NULL, STR_F, STR_A(buf_str(&b)));
    buf_free(&b);
    s->login = step;
    if (s->state != SERVER_LOGIN_LINE)
        server_move(s, SERVER_LOGIN_LINE);
    s->command_ms = s->now_ms;
}

static void look_up(struct smtp_server *s)
{
    server_push_text(s, SMTP_SERVER_LOOKUP, str_of(s->user));
    server_move(s, SERVER_LOOKUP);
}

static bool take_user(struct smtp_server *s, struct str user)
{
    bool ok = user.n > 0 && user.n <= SMTP_USER_MAX && memchr(user.p, 0, user.n) == NULL &&
              str_is_utf8(user);

    if (ok)
        str_copy(user, s->user, sizeof s->user);
    return ok;
}

static void take_password(struct smtp_server *s, struct str password)
{
    secret_free(&s->password);
    s->password = secret_new(password.p != NULL ? password.p : "", password.n);
    look_up(s);
}

/* [identity] NUL user NUL password (RFC 4616); another identity than the user is none's here. */
static void step_plain(struct smtp_server *s, struct str text)
{
    struct str identity, user;

    bool ok = str_split(&text, 0, &identity) && text.p != NULL && str_split(&text, 0, &user) &&
              text.p != NULL && text.n <= PASSWORD_MAX && str_chr(text, 0) < 0 &&
              take_user(s, user) && (identity.n == 0 || str_eq(identity, user));
    if (ok)
        take_password(s, text);
    else
        malformed(s, "AUTH PLAIN: this is no user and password");
}

static void step_user(struct smtp_server *s, struct str text)
{
    if (take_user(s, text))
        challenge(s, LOGIN_PASSWORD, STR("Password:"));
    else
        malformed(s, "AUTH LOGIN: this is no user");
}

static void step_password(struct smtp_server *s, struct str text)
{
    if (text.n <= PASSWORD_MAX)
        take_password(s, text);
    else
        malformed(s, "AUTH LOGIN: this is no password");
}

static void step_first(struct smtp_server *s, struct str text)
{
    s->scram = alloc_one(struct smtp_scram_server);
    if (smtp_scram_read_first(s->scram, text, s->user) && str_is_utf8(str_of(s->user)))
        look_up(s);
    else
        malformed(s, "SCRAM: the first message is malformed, or asks for channel binding");
}

static void step_final(struct smtp_server *s, struct str text)
{
    struct buf out;

    buf_init(&out, 256);
    if (s->scram != NULL && smtp_scram_verify(s->scram, text, &out))
        challenge(s, LOGIN_EMPTY, buf_str(&out));
    else
        fail(s);
    buf_free(&out);
}

static void step_empty(struct smtp_server *s, struct str text)
{
    if (text.n == 0)
        succeed(s);
    else
        malformed(s, "SCRAM: an empty line was due");
}

static void (*const STEPS[])(struct smtp_server *, struct str) = {
    [LOGIN_PLAIN] = step_plain, [LOGIN_USER] = step_user,   [LOGIN_PASSWORD] = step_password,
    [LOGIN_FIRST] = step_first, [LOGIN_FINAL] = step_final, [LOGIN_EMPTY] = step_empty,
};

/* ---- what comes ---- */

/* "=" is an empty initial response (RFC 4954, 4). */
static void take_base64(struct smtp_server *s, struct str line)
{
    struct buf b;

    buf_init(&b, SERVER_LINE_MAX);
    if (str_is(line, "=") || codec_base64_decode(line, &b))
        STEPS[s->login](s, buf_str(&b));
    else
        malformed(s, "AUTH: this is not base64");
    if (b.n > 0)
        secret_wipe(b.p, b.n);
    buf_free(&b);
}

void server_login_line(struct smtp_server *s, struct str line)
{
    if (!str_is(line, "*")) {
        take_base64(s, line);
        return;
    }
    to_commands(s);
    server_refuse(s, 501, "5.7.0", "Given up, as you wish");
}

static void begin(struct smtp_server *s, struct str mech, struct str initial)
{
    static const struct {
        const char *name;
        enum login_step step;
        const char *prompt;
    } MECHANISMS[] = {{"PLAIN", LOGIN_PLAIN, ""},
                      {"LOGIN", LOGIN_USER, "Username:"},
                      {"SCRAM-SHA-256", LOGIN_FIRST, ""}};

    for (size_t i = 0; i < countof(MECHANISMS); i++) {
        if (!str_iis(mech, MECHANISMS[i].name))
            continue;
        s->login = MECHANISMS[i].step;
        if (initial.n > 0)
            take_base64(s, initial);
        else
            challenge(s, s->login, str_of(MECHANISMS[i].prompt));
        return;
    }
    server_refuse(s, 504, "5.5.4", "AUTH: SCRAM-SHA-256, PLAIN and LOGIN are known here");
}

void server_auth(struct smtp_server *s, struct str args)
{
    struct str mech = STR_NONE;

    str_split(&args, ' ', &mech);
    if (!s->esmtp)
        server_refuse(s, 503, "5.5.1", "EHLO first");
    else if (s->logged_in || s->has_mail)
        server_refuse(s, 503, "5.5.1", "Not now: logged in already, or in a mail");
    else if (!s->cfg.tls_active && !s->cfg.login_in_clear)
        server_refuse(s, 538, "5.7.11", "Passwords are taken over TLS only: STARTTLS first");
    else
        begin(s, mech, str_trim(args));
}

/* ---- what the driver answers ---- */

void smtp_server_keys(struct smtp_server *s, const struct smtp_keys *keys, int64_t now_ms)
{
    char nonce[40];

    s->now_ms = now_ms;
    if (s->state != SERVER_LOOKUP)
        return;
    smtp_keys_decoy(&s->keys, str_of(s->user), s->cfg.decoy);
    if (keys != NULL)
        s->keys = *keys;
    if (s->scram == NULL) {
        smtp_keys_derivation(&s->keys, &s->derivation);
        server_push_text(s, SMTP_SERVER_DERIVE, STR_NONE);
        server_move(s, SERVER_DERIVING);
        return;
    }
    struct buf b;
    buf_init(&b, 1024);
    /* Another one for each dialogue of a connection. */
    snprintf(nonce, sizeof nonce, "%016" PRIx64 "%016" PRIx64, s->cfg.nonce[0],
             s->cfg.nonce[1] + s->failed_logins + s->errors);
    if (smtp_scram_challenge(s->scram, &s->keys, nonce, &b))
        challenge(s, LOGIN_FINAL, buf_str(&b));
    else
        malformed(s, "SCRAM: the nonce is too long");
    buf_free(&b);
}

void smtp_server_derived(struct smtp_server *s, const uint8_t *salted, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state != SERVER_DERIVING)
        return;
    if (salted == NULL) {
        to_commands(s);
        server_say(s, 454, "4.7.0", "The login cannot be checked now: try again later");
    } else if (smtp_keys_fit(&s->keys, salted)) {
        succeed(s);
    } else {
        fail(s);
    }
}

void smtp_server_proven(struct smtp_server *s, int64_t now_ms)
{
    s->now_ms = now_ms;
    if (s->state == SERVER_DERIVING)
        succeed(s);
}
