/* The client on any transcript of test/talk: whatever a server says and a driver does within the
 * rules of smtp/client.h, each message given ends in exactly one DONE, none after END, and no dot
 * leaves without permission. */
#include <stdlib.h>

#include "base/check.h"
#include "talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum progress { FREE, GIVEN, ASKED, PERMITTED };

struct run {
    struct talk t;
    enum progress at[TALK_MESSAGES];
    bool ended, wants_tls, wants_key;
};

static void take_event(struct run *r, const struct smtp_event *e)
{
    enum progress *at = &r->at[e->id % TALK_MESSAGES];

    check(!r->ended);
    switch (e->kind) {
    case SMTP_EVENT_START_TLS: r->wants_tls = true; break;
    case SMTP_EVENT_DERIVE: r->wants_key = true; break;
    case SMTP_EVENT_BEGUN: check(*at == GIVEN); break;
    case SMTP_EVENT_DOT_ASK:
        check(*at == GIVEN);
        *at = ASKED;
        break;
    case SMTP_EVENT_DONE:
        check(*at != FREE);
        check(e->end != SMTP_END_ACCEPTED || *at == PERMITTED);
        check(e->end != SMTP_END_UNCERTAIN || *at == PERMITTED);
        *at = FREE;
        break;
    case SMTP_EVENT_END:
        r->ended = true;
        for (size_t i = 0; i < TALK_MESSAGES; i++)
            check(r->at[i] == FREE);
        break;
    default: break;
    }
}

static void settle(struct run *r)
{
    struct smtp_event e;

    while (smtp_client_event(r->t.c, &e))
        take_event(r, &e);
    for (uint64_t i = 0; i < TALK_MESSAGES; i++)
        check(r->at[i] == FREE || r->at[i] == PERMITTED || !smtp_client_dot_left(r->t.c, i));
    check(!r->ended || smtp_client_deadline(r->t.c) == INT64_MAX);
}

static void feed(struct run *r)
{
    if (r->t.server.n > 0)
        smtp_client_input(r->t.c, buf_str(&r->t.server), r->t.now_ms);
    buf_clear(&r->t.server);
}

/* Writes at most `most` bytes, reading each of them. */
static void flush(struct run *r, size_t most)
{
    struct str slices[3];
    unsigned sum = 0;
    size_t n, total;

    while ((n = smtp_client_output(r->t.c, slices, countof(slices))) > 0 && most > 0) {
        total = 0;
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < slices[i].n; k++)
                sum += (unsigned char)slices[i].p[k];
            total += slices[i].n;
        }
        check(sum > 0);
        total = MIN(total, most);
        smtp_client_sent(r->t.c, total, r->t.now_ms);
        most -= total;
    }
}

static void give(struct run *r, struct str rest)
{
    struct str number = rest;
    uint64_t id = talk_number(&number);

    if (id >= TALK_MESSAGES || r->at[id] != FREE || smtp_client_can_take(r->t.c) == SMTP_TAKE_NO)
        return;
    r->at[id] = GIVEN;
    smtp_client_give(r->t.c, &talk_message_read(&r->t, rest)->e, r->t.now_ms);
}

static void act_on_message(struct run *r, struct str word, struct str rest)
{
    uint64_t id = talk_number(&rest) % TALK_MESSAGES;

    if (str_is(word, "permit") && r->at[id] == ASKED) {
        r->at[id] = PERMITTED;
        smtp_client_permit_dot(r->t.c, id, r->t.now_ms);
    } else if (str_is(word, "withdraw")) {
        smtp_client_withdraw(r->t.c, id, r->t.now_ms);
    }
}

static void say(struct run *r, struct str text, const char *end)
{
    talk_unescape(text, &r->t.server);
    buf_adds(&r->t.server, end);
}

static void play_line(struct run *r, struct str line)
{
    struct talk *t = &r->t;
    struct str word = STR_NONE;

    str_split(&line, ' ', &word);
    if (str_is(word, "S:") || str_is(word, "S~")) {
        say(r, line, str_is(word, "S:") ? "\r\n" : "");
        return;
    }
    feed(r);
    settle(r);
    if (str_is(word, "C:")) {
        flush(r, SIZE_MAX);
    } else if (str_is(word, "write")) {
        flush(r, talk_number(&line));
    } else if (str_is(word, "open")) {
        say(r, STR("220 x\\r\\n"), "");
        feed(r);
        flush(r, SIZE_MAX);
        for (struct str cap; str_split(&line, ',', &cap);)
            buf_addf(&t->server, "250-%.*s\r\n", (int)MIN(cap.n, 100u), cap.p);
        say(r, STR("250 x"), "\r\n");
    } else if (str_is(word, "give")) {
        give(r, line);
    } else if (str_is(word, "delay")) {
        t->now_ms += (int64_t)(talk_number(&line) % 100000);
        smtp_client_tick(t->c, t->now_ms);
    } else if (str_is(word, "close")) {
        smtp_client_closed(t->c, t->now_ms);
    } else if (str_is(word, "quit")) {
        smtp_client_quit(t->c, t->now_ms);
    } else if (str_is(word, "tls") && r->wants_tls) {
        smtp_client_tls_done(t->c, line.n == 0, t->now_ms);
    } else if (str_is(word, "derive") && r->wants_key) {
        static const uint8_t salted[SMTP_SALTED_SIZE] = {1};
        smtp_client_derived(t->c, line.n == 0 ? salted : NULL, t->now_ms);
    } else {
        act_on_message(r, word, line);
    }
    settle(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_from((const char *)data, size), line;
    struct run r = {.ended = false};

    if (size == 0 || size > 2048)
        return 0;
    talk_start(&r.t, "fuzz", rest, 0);
    while (str_split(&rest, '\n', &line))
        play_line(&r, line);
    feed(&r);
    settle(&r);
    if (smtp_client_transcript(r.t.c).n > 8192)
        abort();
    smtp_client_closed(r.t.c, r.t.now_ms);
    settle(&r);
    check(r.ended);
    talk_finish(&r.t);
    return 0;
}
