/* The words of a server's transcript. Bytes of the client wait until something else than bytes
 * comes, so that they can be cut freely; events are pulled behind every piece. */
#include "serve.h"

#include <stdio.h>
#include <stdlib.h>

#include "talk.h"

struct word {
    const char *word;
    bool (*play)(struct serve *t, struct str rest);
};

bool serve_fail(struct serve *t, const char *what, struct str got)
{
    if (!t->failed)
        printf("# %s:%zu (cut %zd): %s; got '" STR_F "'\n", t->file, t->line_number, t->cut, what,
               STR_A(str_cut(got, 0, 300)));
    t->failed = true;
    return false;
}

/* ---- what the server does ---- */

static void describe_mail(const struct smtp_server_event *e, struct buf *b)
{
    if (e->size > 0)
        buf_addf(b, " size=%llu", (unsigned long long)e->size);
    if (e->is_8bit)
        buf_adds(b, " 8bit");
    if (e->is_utf8)
        buf_adds(b, " utf8");
    if (e->ret.n > 0)
        buf_addf(b, " ret=" STR_F, STR_A(e->ret));
    if (e->envid.n > 0)
        buf_addf(b, " envid=" STR_F, STR_A(e->envid));
    if (e->notify.n > 0)
        buf_addf(b, " notify=" STR_F, STR_A(e->notify));
    if (e->orcpt.n > 0)
        buf_addf(b, " orcpt=" STR_F, STR_A(e->orcpt));
}

static void describe(const struct smtp_server_event *e, struct buf *b)
{
    static const char *const KINDS[] = {"",        "starttls", "lookup", "derive", "login",
                                        "refused", "mail",     "rcpt",   "data",   "body",
                                        "done",    "reset",    "end"};
    static const char *const ENDS[] = {"quit",   "lost", "timeout", "errors",
                                       "attack", "tls",  "stop"};

    buf_adds(b, KINDS[e->kind]);
    if (e->kind == SMTP_SERVER_MAIL || e->kind == SMTP_SERVER_RCPT)
        buf_addf(b, " <" STR_F ">", STR_A(e->text));
    else if (e->kind == SMTP_SERVER_LOOKUP || e->kind == SMTP_SERVER_LOGIN ||
             e->kind == SMTP_SERVER_NO_LOGIN)
        buf_addf(b, " " STR_F, STR_A(e->text));
    else if (e->kind == SMTP_SERVER_END)
        buf_addf(b, " %s", ENDS[e->end]);
    describe_mail(e, b);
    buf_addc(b, '\n');
}

static bool pump_once(struct serve *t)
{
    struct smtp_server_event e;
    bool moved = false;

    while (smtp_server_event(t->s, &e)) {
        moved = true;
        if (e.kind == SMTP_SERVER_BODY)
            buf_addstr(&t->body, e.text);
        else
            describe(&e, &t->events);
        if (e.kind == SMTP_SERVER_RESET)
            buf_clear(&t->body);
    }
    struct str out = smtp_server_output(t->s);
    if (out.n > 0) {
        buf_addstr(&t->server, out);
        smtp_server_sent(t->s, out.n, t->now_ms);
        moved = true;
    }
    return moved;
}

static void pump(struct serve *t)
{
    while (pump_once(t))
        continue;
}

void serve_pump(struct serve *t)
{
    struct str s = buf_str(&t->client);

    while (s.n > 0) {
        size_t n = s.n;
        if (t->cut == SERVE_BY_BYTE)
            n = 1;
        else if (t->cut > t->fed && t->cut < t->fed + (ptrdiff_t)s.n)
            n = (size_t)(t->cut - t->fed);
        /* A copy of its exact size, so that reading behind it is found. */
        char *piece = malloc(n);
        memcpy(piece, s.p, n);
        smtp_server_input(t->s, str_from(piece, n), t->now_ms);
        free(piece);
        pump(t);
        t->fed += (ptrdiff_t)n;
        s = str_from_index(s, n);
    }
    buf_clear(&t->client);
    pump(t);
}

/* ---- words ---- */

static bool do_c(struct serve *t, struct str rest)
{
    return talk_unescape(rest, &t->client) && buf_adds(&t->client, "\r\n");
}

static bool do_c_open(struct serve *t, struct str rest)
{
    return talk_unescape(rest, &t->client);
}

static bool do_long(struct serve *t, struct str rest)
{
    uint64_t n = talk_number(&rest);

    talk_unescape(rest, &t->client);
    for (; n > 0; n--)
        buf_addc(&t->client, 'x');
    return buf_adds(&t->client, "\r\n");
}

static bool do_flood(struct serve *t, struct str rest)
{
    for (uint64_t n = talk_number(&rest); n > 0; n--)
        do_c(t, rest);
    return true;
}

static bool do_s(struct serve *t, struct str rest)
{
    struct buf want;

    serve_pump(t);
    buf_init(&want, 4096);
    talk_unescape(rest, &want);
    struct str got = buf_str(&t->server), line;
    bool ok = str_split(&got, '\n', &line);
    line.n -= ok && line.n > 0;
    /* "550*" looks at the code only. */
    bool only = str_ends(buf_str(&want), STR("*"));
    want.n -= only;
    ok = ok && (only ? str_starts(line, buf_str(&want)) : str_eq(line, buf_str(&want)));
    if (!ok)
        serve_fail(t, "the server should have said this", buf_str(&t->server));
    else
        buf_consume(&t->server, line.n + 2);
    buf_free(&want);
    return ok;
}

static bool do_e(struct serve *t, struct str rest)
{
    struct str all, line = STR("none");

    serve_pump(t);
    all = buf_str(&t->events);
    if (all.n == 0 || !str_split(&all, '\n', &line) || !str_eq(line, rest))
        return serve_fail(t, "another event should have come", line);
    buf_consume(&t->events, line.n + 1);
    return true;
}

/* An event that comes or not, by where the bytes were cut. */
static bool do_maybe(struct serve *t, struct str rest)
{
    struct str all, line;

    serve_pump(t);
    all = buf_str(&t->events);
    if (all.n > 0 && str_split(&all, '\n', &line) && str_eq(line, rest))
        buf_consume(&t->events, line.n + 1);
    return true;
}

static bool do_b(struct serve *t, struct str rest)
{
    struct buf want;

    serve_pump(t);
    buf_init(&want, 65536);
    talk_unescape(rest, &want);
    bool ok = str_eq(buf_str(&want), buf_str(&t->body));
    if (!ok)
        serve_fail(t, "the body should have been another", buf_str(&t->body));
    buf_free(&want);
    buf_clear(&t->body);
    return ok;
}

static bool do_answer(struct serve *t, struct str rest)
{
    serve_pump(t);
    uint64_t code = talk_number(&rest);
    char enhanced[16];
    struct str e;

    str_split(&rest, ' ', &e);
    str_copy(e, enhanced, sizeof enhanced);
    smtp_server_answer(t->s, (int)code, enhanced, rest, t->now_ms);
    pump(t);
    return true;
}

/* keys PASSWORD: salt and iterations of RFC 7677, 3; none: there is no such user. */
static bool do_keys(struct serve *t, struct str rest)
{
    static const uint8_t SALT[] = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e,
                                   0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};
    static struct smtp_keys k; /* made once for a password: it is slow on purpose */
    static char made_of[100];
    bool ok = true;

    serve_pump(t);
    if (!str_is(rest, made_of) || !k.iterations) {
        k = (struct smtp_keys){.iterations = 4096};
        memcpy(k.salt, SALT, sizeof k.salt);
        struct secret *password = secret_new(rest.p, rest.n);
        ok = smtp_keys_make(&k, password) && str_copy(rest, made_of, sizeof made_of);
        secret_free(&password);
    }
    smtp_server_keys(t->s, ok && !str_is(rest, "none") ? &k : NULL, t->now_ms);
    pump(t);
    return ok;
}

static bool do_derive(struct serve *t, struct str rest)
{
    uint8_t salted[SMTP_SALTED_SIZE];

    serve_pump(t);
    bool ok = smtp_server_password(t->s) != NULL && !str_is(rest, "fail") &&
              smtp_derive(smtp_server_derivation(t->s), smtp_server_password(t->s), salted);
    smtp_server_derived(t->s, ok ? salted : NULL, t->now_ms);
    pump(t);
    return true;
}

static bool do_tls(struct serve *t, struct str rest)
{
    serve_pump(t);
    smtp_server_tls_done(t->s, !str_is(rest, "fail"), t->now_ms);
    pump(t);
    return true;
}

static bool do_delay(struct serve *t, struct str rest)
{
    serve_pump(t);
    t->now_ms += (int64_t)talk_number(&rest);
    smtp_server_tick(t->s, t->now_ms);
    pump(t);
    return true;
}

static bool do_nothing(struct serve *t, struct str rest)
{
    serve_pump(t);
    if (t->server.n > 0)
        return serve_fail(t, "the server should be silent", buf_str(&t->server));
    return t->events.n == 0 || serve_fail(t, "no event should come", buf_str(&t->events));
}

static bool do_close(struct serve *t, struct str rest)
{
    serve_pump(t);
    smtp_server_closed(t->s, t->now_ms);
    pump(t);
    return true;
}

static bool do_stop(struct serve *t, struct str rest)
{
    serve_pump(t);
    smtp_server_stop(t->s, t->now_ms);
    pump(t);
    return true;
}

static bool do_limit(struct serve *t, struct str rest)
{
    serve_pump(t);
    uint64_t size = talk_number(&rest);

    smtp_server_limit(t->s, size, (uint32_t)talk_number(&rest));
    return true;
}

static bool play_all(struct serve *t, const char *const *lines)
{
    for (; *lines; lines++)
        if (!serve_line(t, str_of(*lines)))
            return false;
    return true;
}

/* The way to a login, and to a mail that asks for its body. */
static bool do_open(struct serve *t, struct str rest)
{
    static const char *const LINES[] = {"S: 220 mx.test ESMTP Postfleet",
                                        "C: EHLO app.test",
                                        "S: 250-mx.test",
                                        "S: 250-PIPELINING",
                                        "S: 250-SIZE 1000",
                                        "S: 250-8BITMIME",
                                        "S: 250-SMTPUTF8",
                                        "S: 250-CHUNKING",
                                        "S: 250-DSN",
                                        "S: 250-AUTH SCRAM-SHA-256 PLAIN LOGIN",
                                        "S: 250 ENHANCEDSTATUSCODES",
                                        "C: AUTH PLAIN AHVzZXIAcGVuY2ls",
                                        "E: lookup user",
                                        "keys pencil",
                                        "E: derive",
                                        "derive",
                                        "E: login user",
                                        "S: 235 2.7.0 Welcome",
                                        NULL};

    return play_all(t, LINES);
}

static bool do_envelope(struct serve *t, struct str rest)
{
    static const char *const LINES[] = {"C: MAIL FROM:<a@from.test>",
                                        "E: mail <a@from.test>",
                                        "answer 250 2.1.0 ok",
                                        "S: 250 2.1.0 ok",
                                        "C: RCPT TO:<b@to.test>",
                                        "E: rcpt <b@to.test>",
                                        "answer 250 2.1.5 ok",
                                        "S: 250 2.1.5 ok",
                                        NULL};

    return play_all(t, LINES);
}

static bool do_data(struct serve *t, struct str rest)
{
    static const char *const LINES[] = {"envelope",           "C: DATA", "E: data",
                                        "answer 354 2.0.0 x", "S: 354*", NULL};

    return play_all(t, LINES);
}

static bool do_config(struct serve *t, struct str rest)
{
    return true; /* read before the server was made */
}

static const struct word WORDS[] = {
    {"C:", do_c},
    {"C~", do_c_open},
    {"S:", do_s},
    {"E:", do_e},
    {"B:", do_b},
    {"maybe", do_maybe},
    {"answer", do_answer},
    {"keys", do_keys},
    {"derive", do_derive},
    {"tls", do_tls},
    {"delay", do_delay},
    {"nothing", do_nothing},
    {"close", do_close},
    {"stop", do_stop},
    {"limit", do_limit},
    {"open", do_open},
    {"envelope", do_envelope},
    {"data", do_data},
    {"config", do_config},
    {"long", do_long},
    {"flood", do_flood},
};

bool serve_line(struct serve *t, struct str line)
{
    struct str word = STR_NONE;

    if (line.n == 0 || line.p[0] == '#')
        return true;
    str_split(&line, ' ', &word);
    for (size_t i = 0; i < countof(WORDS); i++)
        if (str_is(word, WORDS[i].word))
            return WORDS[i].play(t, line.p != NULL ? line : STR(""));
    return serve_fail(t, "no such word", word);
}

/* ---- a whole text ---- */

static void read_config(struct smtp_server_config *cfg, struct str rest)
{
    struct str word, name;

    while (rest.n > 0 && str_split(&rest, ' ', &word)) {
        str_split(&word, '=', &name);
        if (str_is(name, "tls"))
            cfg->tls_offered = true;
        else if (str_is(name, "implicit"))
            cfg->tls_offered = cfg->tls_active = true;
        else if (str_is(name, "public"))
            cfg->login_in_clear = false;
        else if (str_is(name, "errors"))
            cfg->errors_max = (uint32_t)talk_number(&word);
        else if (str_is(name, "size"))
            cfg->size_max = talk_number(&word);
    }
}

void serve_start(struct serve *t, const char *file, struct str text, ptrdiff_t cut)
{
    struct smtp_server_config cfg = {.host = "mx.test",
                                     .login_in_clear = true,
                                     .size_max = 1000,
                                     .recipients_max = 3,
                                     .errors_max = 100,
                                     .login_ms = 10000,
                                     .command_ms = 5000,
                                     .body_ms = 3000,
                                     .message_ms = 20000,
                                     .nonce = {0x1234, 0x5678},
                                     .decoy = {7}};
    struct str line;

    *t = (struct serve){.file = file, .cut = cut, .now_ms = 1000};
    buf_init(&t->server, 1 << 22);
    buf_init(&t->client, 1 << 22);
    buf_init(&t->events, 1 << 22);
    buf_init(&t->body, 1 << 22);
    while (str_split(&text, '\n', &line))
        if (str_starts(line, STR("config ")))
            read_config(&cfg, str_from_index(line, 7));
    t->s = smtp_server_new(&cfg, t->now_ms);
}

void serve_finish(struct serve *t)
{
    smtp_server_free(&t->s);
    buf_free(&t->server);
    buf_free(&t->client);
    buf_free(&t->events);
    buf_free(&t->body);
}

bool serve_end(struct serve *t)
{
    serve_pump(t);
    if (t->server.n > 0)
        return serve_fail(t, "the server said more", buf_str(&t->server));
    if (t->events.n > 0)
        return serve_fail(t, "more events came", buf_str(&t->events));
    return t->body.n == 0 || serve_fail(t, "a body came", buf_str(&t->body));
}

static bool play(const char *file, struct str text, ptrdiff_t cut, size_t *fed_out)
{
    struct serve t;
    struct str line;

    serve_start(&t, file, text, cut);
    while (!t.failed && str_split(&text, '\n', &line)) {
        t.line_number++;
        serve_line(&t, line);
    }
    if (!t.failed)
        serve_end(&t);
    *fed_out = (size_t)t.fed;
    serve_finish(&t);
    return !t.failed;
}

bool serve_every_way(const char *file, struct str text)
{
    size_t total, unused;
    bool ok = play(file, text, SERVE_WHOLE, &total) && play(file, text, SERVE_BY_BYTE, &unused);

    /* At about 150 places; by byte it was cut everywhere. */
    size_t step = (ok ? total / 150 : 0) | 1;
    for (size_t cut = 1; ok && cut < total; cut += step)
        ok = play(file, text, (ptrdiff_t)cut, &unused);
    return ok;
}
