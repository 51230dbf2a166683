/* Plays transcripts (see README.md beside this file) with the client and no socket. Each file is
 * played with the server's bytes fed as written, one by one, and cut once at every place; the
 * expectations of the file must hold every time. Prints TAP, one line a file. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "smtp/client.h"
#include "talk.h"

static const char *const END_NAMES[] = {"accepted",  "refused", "lost",    "uncertain",
                                        "withdrawn", "unable",  "timeout", "reply",
                                        "protocol",  "tls",     "quit"};
static const char *const PHASE_NAMES[] = {"greeting", "ehlo", "starttls", "auth", "mail",
                                          "rcpt",     "data", "dot",      "quit"};

static bool fail(struct talk *t, const char *what, struct str got)
{
    if (!t->failed)
        printf("# %s:%zu (cut %zd): %s; got '" STR_F "'\n", t->file, t->line_number, t->cut, what,
               STR_A(got));
    t->failed = true;
    return false;
}

/* ---- the server's side ---- */

/* The same number of bytes from the real server; what it sends must be what is written, but for
 * garbage. */
static void read_from_socket(struct talk *t)
{
    struct str want = buf_str(&t->server);
    char *got = malloc(want.n);

    if (!talk_socket_read(t->socket, got, want.n))
        fail(t, "the server should have sent more", want);
    else if (!t->garbage && memcmp(got, want.p, want.n) != 0)
        fail(t, "the server should have sent something else", want);
    else
        memcpy(t->server.p, got, want.n);
    free(got);
}

/* Bytes wait until something else than bytes comes, so that they can be cut freely. */
static void feed(struct talk *t)
{
    struct str s = buf_str(&t->server);

    if (t->socket != NULL && s.n > 0)
        read_from_socket(t);
    while (s.n > 0) {
        size_t n = s.n;
        if (t->cut == TALK_BY_BYTE)
            n = 1;
        else if (t->cut > t->fed && t->cut < t->fed + (ptrdiff_t)s.n)
            n = (size_t)(t->cut - t->fed);
        /* A copy of its exact size, so that reading behind it is found. */
        char *piece = malloc(n);
        memcpy(piece, s.p, n);
        smtp_client_input(t->c, str_from(piece, n), t->now_ms);
        free(piece);
        t->fed += (ptrdiff_t)n;
        s = str_from_index(s, n);
    }
    buf_clear(&t->server);
}

static void pass_time(struct talk *t, int64_t ms)
{
    feed(t);
    t->now_ms += ms;
    smtp_client_tick(t->c, t->now_ms);
}

static bool do_s(struct talk *t, struct str rest)
{
    return talk_unescape(rest, &t->server) && buf_adds(&t->server, "\r\n");
}

static bool do_s_open(struct talk *t, struct str rest)
{
    return talk_unescape(rest, &t->server);
}

static bool do_drip(struct talk *t, struct str rest)
{
    uint64_t ms = talk_number(&rest);
    struct buf text;

    buf_init(&text, 10000);
    talk_unescape(rest, &text);
    buf_adds(&text, "\r\n");
    for (size_t i = 0; i < text.n; i++) {
        buf_addc(&t->server, text.p[i]);
        pass_time(t, (int64_t)ms);
    }
    buf_free(&text);
    return true;
}

static bool do_flood(struct talk *t, struct str rest)
{
    for (uint64_t n = talk_number(&rest); n > 0; n--)
        do_s(t, rest);
    return true;
}

static bool do_long(struct talk *t, struct str rest)
{
    uint64_t n = talk_number(&rest);

    talk_unescape(rest, &t->server);
    for (; n > 0; n--)
        buf_addc(&t->server, 'x');
    return buf_adds(&t->server, "\r\n");
}

static bool do_garbage(struct talk *t, struct str rest)
{
    uint32_t x = 12345;

    t->garbage = true;
    for (uint64_t n = talk_number(&rest); n > 0; n--) {
        x = x * 1103515245u + 12345u;
        buf_addc(&t->server, (char)(x >> 16));
    }
    return true;
}

static bool do_close(struct talk *t, struct str rest)
{
    feed(t);
    if (t->socket != NULL && !talk_socket_read(t->socket, NULL, 0))
        return fail(t, "the server should have closed", STR(""));
    smtp_client_closed(t->c, t->now_ms);
    return true;
}

static bool do_delay(struct talk *t, struct str rest)
{
    pass_time(t, (int64_t)talk_number(&rest));
    return true;
}

static bool do_tls(struct talk *t, struct str rest)
{
    bool ok = !str_is(rest, "fail");

    feed(t);
    if (t->socket != NULL && talk_socket_tls(t->socket) != ok)
        return fail(t, "the handshake went otherwise", STR(""));
    smtp_client_tls_done(t->c, ok, t->now_ms);
    return true;
}

/* ---- the client's side ---- */

/* Writes at most `most` bytes. */
static void collect_some(struct talk *t, size_t most)
{
    struct str slices[4];
    size_t n;

    feed(t);
    while (most > 0 && (n = smtp_client_output(t->c, slices, countof(slices))) > 0) {
        size_t total = 0;
        for (size_t i = 0; i < n && total < most; i++) {
            size_t part = MIN(slices[i].n, most - total);
            buf_addstr(&t->client, str_cut(slices[i], 0, part));
            if (t->socket != NULL)
                talk_socket_write(t->socket, str_cut(slices[i], 0, part));
            total += part;
        }
        smtp_client_sent(t->c, total, t->now_ms);
        most -= total;
    }
}

static void collect(struct talk *t)
{
    collect_some(t, SIZE_MAX);
}

static bool do_write(struct talk *t, struct str rest)
{
    collect_some(t, talk_number(&rest));
    return true;
}

static bool expect_bytes(struct talk *t, struct str want)
{
    struct str got = buf_str(&t->client);

    if (!str_starts(got, want))
        return fail(t, "the client should have sent this", str_cut(got, 0, 200));
    buf_consume(&t->client, want.n);
    return true;
}

/* <body 1>: all of it as it must be on the wire; <held 1>: without its last line end. */
static bool expect_body(struct talk *t, struct str rest)
{
    bool held = str_starts(rest, STR("<held "));
    struct str number = str_from_index(rest, 6);
    struct talk_message *m = talk_message(t, talk_number(&number));
    struct buf want;

    buf_init(&want, 1 << 21);
    for (size_t i = 0; i < m->body.n; i++) {
        bool leads = m->body.p[i] == '.' && (i == 0 || m->body.p[i - 1] == '\n');
        if (leads && !t->chunk)
            buf_addc(&want, '.');
        buf_addc(&want, m->body.p[i]);
    }
    want.n -= held ? 2 : 0;
    bool ok = expect_bytes(t, buf_str(&want));
    buf_free(&want);
    return ok;
}

static bool do_c(struct talk *t, struct str rest)
{
    struct buf want;

    collect(t);
    if (str_starts(rest, STR("<body ")) || str_starts(rest, STR("<held ")))
        return expect_body(t, rest);
    t->chunk = str_starts(rest, STR("BDAT"));
    buf_init(&want, 10000);
    talk_unescape(rest, &want);
    buf_adds(&want, "\r\n");
    bool ok = expect_bytes(t, buf_str(&want));
    buf_free(&want);
    return ok;
}

static bool do_nothing(struct talk *t, struct str rest)
{
    collect(t);
    return t->client.n == 0 || fail(t, "the client should be silent", buf_str(&t->client));
}

static void describe(const struct smtp_event *e, struct buf *b)
{
    static const char *const KINDS[] = {"",      "starttls", "derive", "ready",
                                        "begun", "ask",      "done",   "end"};

    buf_adds(b, KINDS[e->kind]);
    if (e->kind >= SMTP_EVENT_BEGUN && e->kind <= SMTP_EVENT_DONE)
        buf_addf(b, " %u", (unsigned)e->id);
    if (e->kind >= SMTP_EVENT_DONE)
        buf_addf(b, " %s %s", END_NAMES[e->end], PHASE_NAMES[e->phase - SMTP_PHASE_GREETING]);
    if (e->code != 0)
        buf_addf(b, " %d", e->code);
    if (e->enhanced[0] != 0)
        buf_addf(b, " %d.%d.%d", e->enhanced[0], e->enhanced[1], e->enhanced[2]);
    if (e->stale)
        buf_adds(b, " stale");
    if (e->reconnect)
        buf_adds(b, " reconnect");
}

/* E: what, then optionally "a part of the text". */
static bool do_e(struct talk *t, struct str rest)
{
    struct smtp_event e;
    struct buf got;
    ptrdiff_t quote = str_chr(rest, '"');
    struct str text =
        quote >= 0 ? str_cut(rest, (size_t)quote + 1, rest.n - (size_t)quote - 2) : STR("");
    bool ok = true;

    feed(t);
    if (quote >= 0)
        rest = str_trim(str_cut(rest, 0, (size_t)quote));
    if (!smtp_client_event(t->c, &e))
        return fail(t, "an event should have come", STR("none"));
    buf_init(&got, 1000);
    describe(&e, &got);
    if (!str_eq(buf_str(&got), rest))
        ok = fail(t, "another event came", buf_str(&got));
    else if (str_find(e.text, text) < 0)
        ok = fail(t, "its text is another", e.text);
    buf_free(&got);
    return ok;
}

static bool do_give(struct talk *t, struct str rest)
{
    feed(t);
    if (smtp_client_can_take(t->c) == SMTP_TAKE_NO)
        return fail(t, "the client does not take a message", STR(""));
    struct talk_message *m = talk_message_read(t, rest);
    smtp_client_give(t->c, &m->e, t->now_ms);
    return true;
}

static bool do_permit(struct talk *t, struct str rest)
{
    feed(t);
    smtp_client_permit_dot(t->c, talk_number(&rest), t->now_ms);
    return true;
}

static bool do_withdraw(struct talk *t, struct str rest)
{
    feed(t);
    uint64_t id = talk_number(&rest);
    bool ok = smtp_client_withdraw(t->c, id, t->now_ms);
    return ok != str_is(rest, "refused") || fail(t, "withdrawing went otherwise", STR(""));
}

/* What a desk does meanwhile. */
static bool do_derive(struct talk *t, struct str rest)
{
    uint8_t salted[SMTP_SALTED_SIZE];

    feed(t);
    bool ok = smtp_derive(smtp_client_derivation(t->c), t->password, salted);
    smtp_client_derived(t->c, ok && !str_is(rest, "fail") ? salted : NULL, t->now_ms);
    return true;
}

static bool do_quit(struct talk *t, struct str rest)
{
    feed(t);
    smtp_client_quit(t->c, t->now_ms);
    return true;
}

static bool do_take(struct talk *t, struct str rest)
{
    static const char *const NAMES[] = {"no", "idle", "behind"};

    feed(t);
    const char *got = NAMES[smtp_client_can_take(t->c)];
    return str_is(rest, got) || fail(t, "the client takes otherwise", str_of(got));
}

static bool do_left(struct talk *t, struct str rest)
{
    uint64_t id = talk_number(&rest);

    return smtp_client_dot_left(t->c, id) == str_is(rest, "yes") ||
           fail(t, "the dot has left, or not", STR(""));
}

static bool do_transcript(struct talk *t, struct str rest)
{
    feed(t);
    struct str all = smtp_client_transcript(t->c);
    return str_find(all, rest) >= 0 || fail(t, "the transcript lacks this", all);
}

/* open CAP,CAP ...: greeting and EHLO of a plain session. */
static bool do_open(struct talk *t, struct str rest)
{
    struct str cap;

    do_s(t, STR("220 talk.test ESMTP"));
    if (!do_c(t, STR("EHLO me.test")))
        return false;
    do_s_open(t, rest.n > 0 ? STR("250-talk.test") : STR("250 talk.test"));
    buf_adds(&t->server, "\r\n");
    while (rest.n > 0 && str_split(&rest, ',', &cap)) {
        buf_adds(&t->server, rest.n > 0 ? "250-" : "250 ");
        do_s(t, cap);
    }
    return do_e(t, STR("ready"));
}

static bool do_config(struct talk *t, struct str rest)
{
    return true; /* read before the client was made */
}

static const struct talk_word WORDS[] = {
    {"S:", do_s},          {"S~", do_s_open},
    {"C:", do_c},          {"E:", do_e},
    {"open", do_open},     {"give", do_give},
    {"permit", do_permit}, {"take", do_take},
    {"left", do_left},     {"withdraw", do_withdraw},
    {"quit", do_quit},     {"close", do_close},
    {"reset", do_close},   {"delay", do_delay},
    {"drip", do_drip},     {"flood", do_flood},
    {"long", do_long},     {"garbage", do_garbage},
    {"tls", do_tls},       {"nothing", do_nothing},
    {"config", do_config}, {"transcript", do_transcript},
    {"write", do_write},   {"derive", do_derive},
};

static bool play_line(struct talk *t, struct str line)
{
    struct str word = STR_NONE;

    if (line.n == 0 || line.p[0] == '#')
        return true;
    str_split(&line, ' ', &word);
    for (size_t i = 0; i < countof(WORDS); i++)
        if (str_is(word, WORDS[i].word))
            return WORDS[i].play(t, line.p != NULL ? line : STR(""));
    return fail(t, "no such word", word);
}

static bool at_end(struct talk *t)
{
    struct smtp_event e;

    collect(t);
    if (t->client.n > 0)
        return fail(t, "the client sent more", str_cut(buf_str(&t->client), 0, 200));
    if (smtp_client_event(t->c, &e))
        return fail(t, "more events came", STR(""));
    return true;
}

/* Plays the whole text once; *fed_out: bytes that the server sent. port 0: without a socket. */
static bool play(const char *file, struct str text, ptrdiff_t cut, uint16_t port, size_t *fed_out)
{
    struct talk t;
    struct str line;

    talk_start(&t, file, text, cut);
    if (port != 0 && (t.socket = talk_socket_open(port)) == NULL)
        fail(&t, "no connection to the server", STR(""));
    while (!t.failed && str_split(&text, '\n', &line)) {
        t.line_number++;
        play_line(&t, line);
    }
    if (!t.failed)
        at_end(&t);
    *fed_out = (size_t)t.fed;
    talk_socket_close(&t.socket);
    talk_finish(&t);
    return !t.failed;
}

static bool play_every_way(const char *file, struct str text)
{
    size_t total, unused;
    bool ok = play(file, text, TALK_WHOLE, 0, &total) && play(file, text, TALK_BY_BYTE, 0, &unused);

    /* What floods is cut at a prime distance: every place of each line is met all the same. */
    size_t step = ok && total > 4096 ? 397 : 1;
    for (size_t cut = 1; ok && cut < total; cut += step)
        ok = play(file, text, (ptrdiff_t)cut, 0, &unused);
    return ok;
}

static bool play_file(const char *file, uint16_t port)
{
    struct buf text;
    size_t unused;

    buf_init(&text, 1 << 20);
    bool ok = talk_read_file(file, &text);
    if (ok && port != 0)
        ok = play(file, buf_str(&text), TALK_WHOLE, port, &unused);
    else if (ok)
        ok = play_every_way(file, buf_str(&text));
    buf_free(&text);
    return ok;
}

/* talk [--port P] FILE...: with a port, the server is there and is given one connection a file. */
int main(int argc, char **argv)
{
    uint64_t port = 0;
    int first = 1, bad = 0;

    if (argc > 2 && strcmp(argv[1], "--port") == 0 && str_to_u64(str_of(argv[2]), 65535, &port))
        first = 3;
    printf("1..%d\n", argc - first);
    for (int i = first; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/');
        bool ok = play_file(argv[i], (uint16_t)port);
        printf("%s %d - %s\n", ok ? "ok" : "not ok", i - first + 1, slash ? slash + 1 : argv[i]);
        bad += !ok;
    }
    return bad > 0;
}
