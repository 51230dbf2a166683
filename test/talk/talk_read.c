/* Reading of transcripts: escapes, numbers, messages, configuration. */
#include "talk.h"

#include <stdio.h>

static int hex(char ch)
{
    return ascii_isdigit(ch) ? ch - '0' : ascii_lower(ch) - 'a' + 10;
}

bool talk_unescape(struct str s, struct buf *out)
{
    static const char NAMES[] = "rnt0\\", BYTES[] = "\r\n\t\0\\";

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\\' || i + 1 == s.n) {
            buf_addc(out, s.p[i]);
            continue;
        }
        const char *at = memchr(NAMES, s.p[++i], 5);
        if (at != NULL) {
            buf_addc(out, BYTES[at - NAMES]);
        } else if (s.p[i] == 'x' && i + 2 < s.n) {
            buf_addc(out, (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2])));
            i += 2;
        }
    }
    return !out->overflow;
}

uint64_t talk_number(struct str *s)
{
    uint64_t v = 0;

    while (s->n > 0 && ascii_isdigit(s->p[0])) {
        v = v * 10 + (uint64_t)(s->p[0] - '0');
        *s = str_from_index(*s, 1);
    }
    if (s->n > 0 && s->p[0] == ' ')
        *s = str_from_index(*s, 1);
    return v;
}

struct talk_message *talk_message(struct talk *t, uint64_t id)
{
    return &t->messages[id % TALK_MESSAGES];
}

static struct str keep(struct talk_message *m, struct str s)
{
    size_t at = m->text.n;

    talk_unescape(s, &m->text);
    return str_from(m->text.p + at, m->text.n - at);
}

static void read_flag(struct talk_message *m, struct str word)
{
    m->e.is_8bit |= str_is(word, "8bit");
    m->e.needs_utf8 |= str_is(word, "utf8");
    m->e.require_tls |= str_is(word, "requiretls");
}

static void read_pair(struct talk_message *m, struct str name, struct str value)
{
    static const struct {
        const char *name;
        size_t at;
    } FIELDS[] = {
        {"from", offsetof(struct smtp_envelope, from)},
        {"rcpt", offsetof(struct smtp_envelope, rcpt)},
        {"body", offsetof(struct smtp_envelope, body)},
        {"ret", offsetof(struct smtp_envelope, dsn_ret)},
        {"envid", offsetof(struct smtp_envelope, dsn_envid)},
        {"notify", offsetof(struct smtp_envelope, dsn_notify)},
        {"orcpt", offsetof(struct smtp_envelope, dsn_orcpt)},
    };

    for (size_t i = 0; i < countof(FIELDS); i++)
        if (str_is(name, FIELDS[i].name))
            *(struct str *)(void *)((char *)&m->e + FIELDS[i].at) = keep(m, value);
}

struct talk_message *talk_message_read(struct talk *t, struct str rest)
{
    uint64_t id = talk_number(&rest);
    struct talk_message *m = talk_message(t, id);
    struct str word, name;

    /* Reserved at once, because slices into it are kept. */
    buf_clear(&m->text);
    if (buf_reserve(&m->text, 8192) == NULL)
        return m;
    m->e = (struct smtp_envelope){.id = id, .from = STR("a@from.test"), .rcpt = STR("b@to.test")};
    m->e.body = STR("Subject: talk\r\n\r\nhello\r\n");
    while (rest.n > 0 && str_split(&rest, ' ', &word)) {
        if (str_chr(word, '=') < 0) {
            read_flag(m, word);
            continue;
        }
        str_split(&word, '=', &name);
        read_pair(m, name, word);
    }
    m->body = m->e.body;
    m->e.has_leading_dot = str_starts(m->body, STR(".")) || str_find(m->body, STR("\n.")) >= 0;
    return m;
}

static void read_config(struct talk *t, struct smtp_client_config *cfg, struct str rest)
{
    static char user[64], mech[32];
    struct str word, name;

    while (rest.n > 0 && str_split(&rest, ' ', &word)) {
        str_split(&word, '=', &name);
        if (str_is(name, "tls"))
            cfg->tls = str_is(word, "starttls")   ? SMTP_TLS_STARTTLS
                       : str_is(word, "implicit") ? SMTP_TLS_IMPLICIT
                                                  : SMTP_TLS_NONE;
        if (str_is(name, "user") && str_copy(word, user, sizeof user))
            cfg->user = user;
        if (str_is(name, "mech") && str_copy(word, mech, sizeof mech))
            cfg->oauth_token_mech = mech;
        if (str_is(name, "password") && t->password == NULL)
            cfg->password = t->password = secret_new(word.p, word.n);
        if (str_is(name, "nonce"))
            cfg->nonce = talk_number(&word);
        cfg->probe |= str_is(name, "probe");
        cfg->derives_elsewhere |= str_is(name, "derives_elsewhere");
        cfg->chunking_off |= str_is(name, "chunking_off");
    }
}

void talk_start(struct talk *t, const char *file, struct str text, ptrdiff_t cut)
{
    struct smtp_client_config cfg = {.helo = "me.test",
                                     .reply_timeout_ms = 2000,
                                     .dot_timeout_ms = 5000,
                                     .transcript_max = 8192};
    struct str line;

    *t = (struct talk){.file = file, .cut = cut, .now_ms = 1000};
    cfg.ready_deadline = t->now_ms + 10000;
    buf_init(&t->server, 1 << 21);
    buf_init(&t->client, 1 << 22);
    for (size_t i = 0; i < TALK_MESSAGES; i++)
        buf_init(&t->messages[i].text, 1 << 16);
    while (str_split(&text, '\n', &line))
        if (str_starts(line, STR("config ")))
            read_config(t, &cfg, str_from_index(line, 7));
    t->c = smtp_client_new(&cfg, t->now_ms);
}

void talk_finish(struct talk *t)
{
    smtp_client_free(&t->c);
    secret_free(&t->password);
    buf_free(&t->server);
    buf_free(&t->client);
    for (size_t i = 0; i < TALK_MESSAGES; i++)
        buf_free(&t->messages[i].text);
}

bool talk_read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char part[4096];
    size_t n;

    if (f == NULL) {
        printf("# %s cannot be opened\n", path);
        return false;
    }
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(out, part, n);
    fclose(f);
    return !out->overflow && out->n > 0;
}
