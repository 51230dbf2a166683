/* Command lines: cut out of the input, checked, and handed to the verb's function. A line must end
 * with CRLF; one that ends with LF alone is answered as an error and not looked at. What begins
 * like TLS or HTTP was meant for somebody else and ends the connection. */
#include "smtp/server_parts.h"

#include <stdio.h>

struct verb {
    const char *word;
    void (*run)(struct smtp_server *s, struct str args);
    bool needs_login, is_idle;
};

/* ---- greeting ---- */

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && s.n <= 255;
}

static bool greet(struct smtp_server *s, struct str args, bool esmtp)
{
    args = str_trim(args);
    if (!is_name(args)) {
        server_refuse(s, 501, "5.5.4", "A name is needed: EHLO your.host.example");
        return false;
    }
    server_forget_mail(s, true);
    str_copy(args, s->helo, sizeof s->helo);
    s->greeted = true;
    s->esmtp = esmtp;
    return true;
}

static void helo(struct smtp_server *s, struct str args)
{
    if (greet(s, args, false))
        server_say(s, 250, NULL, "%s", s->cfg.host);
}

static void ehlo(struct smtp_server *s, struct str args)
{
    if (!greet(s, args, true))
        return;
    bool may_login = (s->cfg.tls_active || s->cfg.login_in_clear) && !s->logged_in;
    buf_addf(&s->output,
             "250-%s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
             "250-CHUNKING\r\n250-DSN\r\n",
             s->cfg.host, (unsigned long long)s->cfg.size_max);
    if (s->cfg.tls_offered && !s->cfg.tls_active)
        buf_adds(&s->output, "250-STARTTLS\r\n");
    if (may_login)
        buf_adds(&s->output, "250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n");
    buf_adds(&s->output, "250 ENHANCEDSTATUSCODES\r\n");
}

static void starttls(struct smtp_server *s, struct str args)
{
    if (args.n > 0)
        server_refuse(s, 501, "5.5.4", "STARTTLS takes no argument");
    else if (s->cfg.tls_active)
        server_refuse(s, 503, "5.5.1", "TLS is in use already");
    else if (!s->cfg.tls_offered)
        server_refuse(s, 502, "5.5.1", "TLS is not offered here");
    else {
        server_forget_mail(s, true);
        server_say(s, 220, "2.0.0", "Ready for TLS");
        server_move(s, SERVER_TLS_FLUSH);
    }
}

/* ---- small ones ---- */

static void rset(struct smtp_server *s, struct str args)
{
    server_forget_mail(s, true);
    server_say(s, 250, "2.0.0", "Forgotten");
}

static void noop(struct smtp_server *s, struct str args)
{
    server_say(s, 250, "2.0.0", "Here");
}

static void vrfy(struct smtp_server *s, struct str args)
{
    server_say(s, 252, "2.5.0", "Addresses are not verified here: send the mail");
}

static void help(struct smtp_server *s, struct str args)
{
    server_say(s, 214, "2.0.0",
               "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT: RFC 6409");
}

static void expn(struct smtp_server *s, struct str args)
{
    server_refuse(s, 502, "5.5.1", "There are no lists to expand here");
}

static void quit(struct smtp_server *s, struct str args)
{
    server_say(s, 221, "2.0.0", "Bye");
    server_end(s, SMTP_SERVER_END_QUIT, "QUIT");
}

static const struct verb VERBS[] = {
    {"EHLO", ehlo, false, true},         {"HELO", helo, false, true},
    {"STARTTLS", starttls, false, true}, {"AUTH", server_auth, false, false},
    {"MAIL", server_mail, true, false},  {"RCPT", server_rcpt, true, false},
    {"DATA", server_data, true, false},  {"BDAT", server_bdat, false, false},
    {"RSET", rset, false, true},         {"NOOP", noop, false, true},
    {"VRFY", vrfy, true, true},          {"EXPN", expn, false, false},
    {"HELP", help, false, true},         {"QUIT", quit, false, false},
};

/* ---- a line ---- */

static void ask_login(struct smtp_server *s)
{
    if (s->cfg.tls_active || s->cfg.login_in_clear)
        server_refuse(s, 530, "5.7.0", "Log in first (AUTH)");
    else
        server_refuse(s, 530, "5.7.0", "Use STARTTLS, then log in (AUTH)");
}

static void run(struct smtp_server *s, const struct verb *v, struct str args)
{
    if (v->is_idle && ++s->idle > SERVER_IDLE_MAX) {
        server_say(s, 421, "4.7.0", "Too many commands without a mail: closing");
        server_end(s, SMTP_SERVER_END_ERRORS, "too many commands without a mail");
    } else if (v->needs_login && !s->logged_in) {
        ask_login(s);
    } else {
        v->run(s, args);
    }
}

static const struct verb *find_verb(struct str word)
{
    for (size_t i = 0; i < countof(VERBS); i++)
        if (str_iis(word, VERBS[i].word))
            return &VERBS[i];
    return NULL;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t')
            return true;
    return false;
}

static void command(struct smtp_server *s, struct str line)
{
    struct str rest = line, word = STR_NONE;

    if (has_control(line)) {
        server_refuse(s, 500, "5.5.2", "A control character in a command");
        return;
    }
    str_split(&rest, ' ', &word);
    const struct verb *v = find_verb(word);
    if (line.n > SERVER_COMMAND_MAX && (v == NULL || v->run != server_auth))
        server_refuse(s, 500, "5.5.2", "The line is too long");
    else if (v == NULL)
        server_refuse(s, 500, "5.5.2", "No such command");
    else
        run(s, v, rest.p != NULL ? rest : STR(""));
}

/* A browser or a TLS client that came to the wrong port must not be led on: what it sends next
 * may be somebody's words. */
static bool is_foreign(struct str line)
{
    static const char *const WORDS[] = {"GET ",     "POST ",   "PUT ",     "HEAD ",
                                        "CONNECT ", "DELETE ", "OPTIONS ", "PATCH "};

    if (line.n > 0 && line.p[0] == 0x16)
        return true;
    for (size_t i = 0; i < countof(WORDS); i++)
        if (str_starts(line, str_of(WORDS[i])))
            return true;
    return false;
}

static void take_foreign(struct smtp_server *s)
{
    server_say(s, 421, "4.7.0", "This is SMTP%s: closing",
               s->cfg.tls_offered ? "; TLS begins with STARTTLS here" : "");
    server_end(s, SMTP_SERVER_END_ATTACK, "the client speaks HTTP or TLS, not SMTP");
}

static void take_line(struct smtp_server *s, struct str line, bool has_crlf)
{
    bool first = !s->spoke;

    s->spoke = true;
    if (first && is_foreign(line)) {
        take_foreign(s);
    } else if (s->skipping || line.n > SERVER_LINE_MAX) {
        s->skipping = false;
        server_login_forget(s);
        if (s->state == SERVER_LOGIN_LINE)
            server_move(s, SERVER_COMMAND);
        server_refuse(s, 500, "5.5.2", "The line is too long");
    } else if (!has_crlf) {
        server_login_forget(s);
        if (s->state == SERVER_LOGIN_LINE)
            server_move(s, SERVER_COMMAND);
        server_refuse(s, 500, "5.5.2", "The line ends with LF alone: CRLF is needed");
    } else if (s->state == SERVER_LOGIN_LINE) {
        server_login_line(s, line);
    } else {
        command(s, line);
    }
    if (s->state == SERVER_COMMAND)
        s->command_ms = s->now_ms;
}

/* What cannot be a line of ours goes away as it comes. */
static bool skip(struct smtp_server *s, struct str in)
{
    bool foreign = !s->spoke && in.n > 0 && in.p[0] == 0x16;

    if (foreign) {
        s->spoke = true;
        take_foreign(s);
    }
    if (in.n <= SERVER_LINE_MAX + 1 && !s->skipping) {
        s->scanned = in.n;
        return foreign;
    }
    s->skipping = true;
    server_take(s, in.n);
    return true;
}

bool server_command_step(struct smtp_server *s)
{
    struct str in = server_pending(s);

    if (in.n == 0)
        return false;
    const char *lf = memchr(in.p + s->scanned, '\n', in.n - s->scanned);
    if (lf == NULL)
        return skip(s, in);
    size_t n = (size_t)(lf - in.p);
    bool has_crlf = n > 0 && in.p[n - 1] == '\r';
    server_take(s, n + 1);
    buf_clear(&s->text);
    take_line(s, str_cut(in, 0, has_crlf ? n - 1 : n), has_crlf);
    return true;
}
