/* A virtual SMTP server on one connection: real bytes in and out, behaviour by its script. What it
 * took is written to the world's list the moment it decides, whoever may have died since. */
#include "world.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/codec.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_US (24 * HOUR_US)

enum mode { MODE_COMMANDS, MODE_DATA, MODE_CHUNK };

struct smtp_peer {
    struct vserver *s;
    struct peer *peer;
    struct buf in, body;
    enum mode mode;
    size_t chunk_left, looked;
    bool chunk_is_last, has_mail, has_rcpt, is_closing;
    bool is_ahead; /* the dot is answered already */
    bool is_hung;
    uint32_t person, taken;
    int64_t ended_us; /* the last dot */
};

struct smtp_peer *smtp_peer_new(struct vserver *s, struct peer *p)
{
    struct smtp_peer *x = alloc_one(struct smtp_peer);
    x->s = s;
    x->peer = p;
    buf_init(&x->in, 64u << 20);
    buf_init(&x->body, 64u << 20);
    return x;
}

void smtp_peer_free(struct smtp_peer **xp)
{
    struct smtp_peer *x = *xp;
    *xp = NULL;
    if (!x)
        return;
    buf_free(&x->in);
    buf_free(&x->body);
    free(x);
}

/* ---- saying something */

static void say(struct smtp_peer *x, const char *line)
{
    char text[600];
    const struct behaviour *slow = world_behaves(x->s, VERB_SLOW);
    int64_t delay = world_between(x->s->think_us / 2, x->s->think_us);
    if (slow)
        delay += world_between(slow->n / 2, slow->n) * 1000;
    int n = snprintf(text, sizeof text, "%s\r\n", line);
    world_trace("%s < %.60s", x->s->name, line);
    peer_write(x->peer, str_from(text, (size_t)n), delay);
}

static void close_now(struct smtp_peer *x)
{
    x->is_closing = true;
    peer_close(x->peer, x->s->think_us);
}

static void say_and_close(struct smtp_peer *x, const char *line)
{
    say(x, line);
    close_now(x);
}

void smtp_peer_begin(struct smtp_peer *x)
{
    if (world_behaves(x->s, VERB_GARBAGE))
        say_and_close(x, "\x01\x02\x03 hello, this is no SMTP");
    else if (world_behaves(x->s, VERB_BUSY))
        say_and_close(x, "421 4.3.2 too busy, try again later");
    else
        say(x, "220 mx.example.net ESMTP ready");
}

void smtp_peer_tls(struct smtp_peer *x)
{
    if (x)
        x->in.n = 0;
}

/* ---- what was taken */

static uint64_t message_id(const struct buf *body)
{
    static const char label[] = "Message-ID: <";
    uint64_t id = 0;
    const char *at = memmem(body->p, body->n, label, sizeof label - 1);
    if (!at)
        return 0;
    at += sizeof label - 1;
    const char *end = memchr(at, '@', (size_t)(body->p + body->n - at));
    if (!end || !codec_id_parse("msg", str_from(at, (size_t)(end - at)), &id))
        return 0;
    return id;
}

static void count_spans(struct vserver *s)
{
    int64_t hour = world_wall_us() / HOUR_US, day = world_wall_us() / DAY_US;
    if (hour != s->hour_at)
        s->hour_n = 0;
    if (day != s->day_at)
        s->day_n = 0;
    s->hour_at = hour;
    s->day_at = day;
}

static void note(struct smtp_peer *x, bool accepted, int code, int64_t sent_us)
{
    if (W->n_mails == MAILS_MAX)
        world_fail("over %d mails", MAILS_MAX);
    struct mail *m = &W->mails[W->n_mails++];
    *m = (struct mail){.id = message_id(&x->body),
                       .person = x->person,
                       .dot_us = sent_us,
                       .at_us = W->boot_us,
                       .server = (uint16_t)(x->s - W->servers),
                       .group = witness_group(x->person, (uint32_t)(x->s - W->servers)),
                       .code = (uint16_t)code,
                       .accepted = accepted};
    if (!m->id)
        world_fail("%s got a mail without our Message-ID for p%u", x->s->name, x->person);
    count_spans(x->s);
    if (accepted) {
        x->s->accepted++;
        x->s->hour_n++;
        x->s->day_n++;
    } else {
        x->s->refused++;
    }
    world_trace("%s %s %llx for p%u, code %d", x->s->name, accepted ? "took" : "refused",
                (unsigned long long)m->id, x->person, code);
}

static bool uses_up(const struct smtp_peer *x, enum verb v, uint64_t used)
{
    const struct behaviour *b = world_behaves(x->s, v);
    return b && used >= b->n;
}

/* The dot. */
static void end_of_data(struct smtp_peer *x, int64_t sent_us)
{
    const struct behaviour *b = world_behaves(x->s, VERB_DOT);
    char line[80];
    x->has_mail = x->has_rcpt = false;
    x->mode = MODE_COMMANDS;
    if (!x->is_ahead) /* else the message ended for us when it said so */
        x->ended_us = W->boot_us;
    count_spans(x->s);
    if (world_behaves(x->s, VERB_LOSE_DOT)) {
        note(x, false, 0, sent_us);
        close_now(x);
    } else if (world_behaves(x->s, VERB_DROP_DOT)) {
        note(x, true, 0, sent_us);
        close_now(x);
    } else if (world_behaves(x->s, VERB_HANG)) {
        note(x, true, 0, sent_us);
        x->is_hung = true;
    } else if (uses_up(x, VERB_HOURLY, x->s->hour_n)) {
        note(x, false, 421, sent_us);
        say_and_close(x, "421 4.7.0 too many messages this hour, closing connection");
    } else if (uses_up(x, VERB_QUOTA, x->s->day_n)) {
        note(x, false, 550, sent_us);
        say(x, "550 5.4.5 Daily user sending quota exceeded");
    } else if (b && !x->is_ahead) {
        note(x, false, (int)b->n, sent_us);
        snprintf(line, sizeof line, "%u %u.2.0 not now", b->n, b->n / 100);
        say(x, line);
    } else {
        note(x, true, 250, sent_us);
        x->taken++;
        x->s->most_messages = MAX(x->s->most_messages, x->taken);
        if (!x->is_ahead)
            say(x, world_behaves(x->s, VERB_LIE) ? "250 5.1.1 Ok: accepted, and goes nowhere"
                                                 : "250 2.0.0 Ok: queued");
        if (uses_up(x, VERB_PER_CONN, x->taken))
            say_and_close(x, "421 4.7.0 too many messages on this connection");
    }
    x->body.n = 0;
    x->is_ahead = false;
}

/* ---- commands */

static void ehlo(struct smtp_peer *x)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_adds(&b, "250-mx.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n");
    if (x->s->chunking)
        buf_adds(&b, "250-CHUNKING\r\n");
    if (x->s->starttls)
        buf_adds(&b, "250-STARTTLS\r\n");
    if (x->s->login)
        buf_adds(&b, "250-AUTH PLAIN LOGIN\r\n");
    buf_addf(&b, "250 SIZE %llu", x->s->max_size ? (unsigned long long)x->s->max_size : 50000000);
    buf_addc(&b, 0);
    say(x, b.p);
    buf_free(&b);
}

static void mail_from(struct smtp_peer *x)
{
    if (x->ended_us && W->boot_us - x->ended_us < x->s->pause_us)
        world_fail("%s: the next message came %lld ms after the last, the pause is %lld ms",
                   x->s->name, (long long)(W->boot_us - x->ended_us) / 1000,
                   (long long)x->s->pause_us / 1000);
    if (world_behaves(x->s, VERB_DROP_EARLY)) {
        close_now(x);
        return;
    }
    x->has_mail = true;
    x->has_rcpt = false;
    say(x, "250 2.1.0 Ok");
}

static bool is_grey(struct smtp_peer *x, struct person *who)
{
    const struct behaviour *b = world_behaves(x->s, VERB_GREYLIST);
    int64_t *first = &who->grey_us[x->s - W->servers];
    if (!b)
        return false;
    if (!*first)
        *first = W->boot_us;
    return W->boot_us - *first < (int64_t)b->n * SECOND_US;
}

static const char *refusal(struct smtp_peer *x, struct person *who)
{
    const struct behaviour *all = world_behaves(x->s, VERB_RCPT);
    const struct behaviour *block = world_behaves(x->s, VERB_BLOCK);
    if (all && all->n == 550)
        return "550 5.1.1 User unknown in virtual mailbox table";
    if (all)
        return "451 4.2.1 mailbox temporarily unavailable";
    if (block && x->person % 4 == block->n)
        return "550 5.7.1 Service unavailable; client host blocked using zen.spamhaus.org";
    return is_grey(x, who) ? "451 4.7.1 Greylisted, please try again later" : NULL;
}

static void rcpt_to(struct smtp_peer *x, struct str line)
{
    ptrdiff_t at = str_chr(line, '<');
    uint64_t n = 0;
    struct str rest = at < 0 ? STR_NONE : str_from_index(line, (size_t)at + 2);
    ptrdiff_t end = str_chr(rest, '@');
    if (end < 0 || !str_to_u64(str_cut(rest, 0, (size_t)end), PEOPLE_MAX - 1, &n))
        world_fail("RCPT to nobody of ours: %.*s", STR_A(line));
    x->person = (uint32_t)n;
    const char *no = refusal(x, &W->people[n]);
    x->has_rcpt |= !no;
    say(x, no ? no : "250 2.1.5 Ok");
}

static void data(struct smtp_peer *x)
{
    if (!x->has_mail || !x->has_rcpt) {
        say(x, "503 5.5.1 no valid recipients");
        return;
    }
    x->mode = MODE_DATA;
    x->looked = 0;
    say(x, "354 go ahead");
    x->is_ahead = world_behaves(x->s, VERB_AHEAD) != NULL;
    if (x->is_ahead) {
        say(x, "250 2.0.0 Ok: queued");
        x->ended_us = W->boot_us;
    }
}

static void bdat(struct smtp_peer *x, struct str line)
{
    struct str word = STR_NONE, size = STR_NONE;
    uint64_t n = 0;
    str_split(&line, ' ', &word);
    str_split(&line, ' ', &size);
    if (!str_to_u64(size, 64u << 20, &n))
        world_fail("BDAT without a size");
    x->chunk_is_last = str_iis(str_trim(line), "LAST");
    x->chunk_left = n;
    x->mode = MODE_CHUNK;
}

static void login(struct smtp_peer *x)
{
    if (world_behaves(x->s, VERB_LOGIN))
        say(x, "535 5.7.8 Error: authentication failed");
    else
        say(x, "235 2.7.0 welcome");
}

static void command(struct smtp_peer *x, struct str line)
{
    if (str_istarts(line, STR("EHLO")) || str_istarts(line, STR("HELO")))
        ehlo(x);
    else if (str_istarts(line, STR("STARTTLS")))
        say(x, "220 2.0.0 begin");
    else if (str_istarts(line, STR("AUTH")))
        login(x);
    else if (str_istarts(line, STR("MAIL")))
        mail_from(x);
    else if (str_istarts(line, STR("RCPT")))
        rcpt_to(x, line);
    else if (str_istarts(line, STR("DATA")))
        data(x);
    else if (str_istarts(line, STR("BDAT")))
        bdat(x, line);
    else if (str_istarts(line, STR("RSET")))
        x->has_mail = x->has_rcpt = false, say(x, "250 2.0.0 Ok");
    else if (str_istarts(line, STR("QUIT")))
        say_and_close(x, "221 2.0.0 Bye");
    else
        say(x, "502 5.5.2 what?");
}

/* ---- bytes */

static void drop(struct smtp_peer *x, size_t n)
{
    memmove(x->in.p, x->in.p + n, x->in.n - n);
    x->in.n -= n;
}

static bool take_line(struct smtp_peer *x)
{
    char line[2100];
    const char *end = memchr(x->in.p, '\n', x->in.n);
    if (!end)
        return false;
    size_t n = (size_t)(end - x->in.p) + 1;
    str_copy(str_trim(str_from(x->in.p, n)), line, sizeof line);
    drop(x, n);
    command(x, str_of(line));
    return true;
}

static bool take_data(struct smtp_peer *x, int64_t sent_us)
{
    static const char mark[] = "\r\n.\r\n";
    size_t from = x->looked > 4 ? x->looked - 4 : 0;
    const char *end = memmem(x->in.p + from, x->in.n - from, mark, sizeof mark - 1);
    x->looked = x->in.n;
    if (!end)
        return false;
    size_t n = (size_t)(end - x->in.p) + sizeof mark - 1;
    if (!buf_addstr(&x->body, str_from(x->in.p, n)))
        world_fail("a body over the limit");
    drop(x, n);
    end_of_data(x, sent_us);
    return true;
}

static bool take_chunk(struct smtp_peer *x, int64_t sent_us)
{
    if (x->in.n < x->chunk_left)
        return false;
    if (!buf_addstr(&x->body, str_from(x->in.p, x->chunk_left)))
        world_fail("a body over the limit");
    drop(x, x->chunk_left);
    x->mode = MODE_COMMANDS;
    if (!x->has_rcpt) {
        x->body.n = 0;
        say(x, "503 5.5.1 no valid recipients");
    } else if (x->chunk_is_last) {
        end_of_data(x, sent_us);
    } else {
        say(x, "250 2.0.0 more");
    }
    return true;
}

void smtp_peer_input(struct smtp_peer *x, struct str bytes, int64_t sent_us)
{
    bool more = true;
    if (!buf_addstr(&x->in, bytes))
        world_fail("input over the limit");
    while (more && !x->is_closing && !x->is_hung && x->in.n) {
        switch (x->mode) {
        case MODE_DATA: more = take_data(x, sent_us); break;
        case MODE_CHUNK: more = take_chunk(x, sent_us); break;
        case MODE_COMMANDS: more = take_line(x); break;
        }
    }
}
