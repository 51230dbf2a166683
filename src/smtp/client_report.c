/* What the client tells: events with their texts, and the conversation. Texts of events that were
 * not pulled yet live in one buffer; the conversation keeps the session's part and the messages
 * that are on the wire or were last, within cfg.transcript_max. Secrets never come here. */
#include "base/check.h"
#include "smtp/client_parts.h"

#include <stdio.h>

enum { TRANSCRIPT_LINE_MAX = 1000 };

static struct event_slot *push(struct smtp_client *c, enum smtp_event_kind kind)
{
    check(c->event_n < EVENTS_MAX);
    if (c->event_n == 0)
        buf_clear(&c->event_text);
    struct event_slot *s = &c->events[(c->event_first + c->event_n++) % EVENTS_MAX];
    memset(s, 0, sizeof *s);
    s->e.kind = kind;
    return s;
}

void report_event(struct smtp_client *c, enum smtp_event_kind kind, uint64_t id)
{
    push(c, kind)->e.id = id;
}

static struct smtp_event *push_finding(struct smtp_client *c, enum smtp_event_kind kind,
                                       const struct finding *f)
{
    struct event_slot *s = push(c, kind);
    size_t room = c->event_text.max - c->event_text.n;

    s->e.end = f->end;
    s->e.phase = f->phase;
    s->e.code = f->code;
    memcpy(s->e.enhanced, f->enhanced, sizeof s->e.enhanced);
    s->text_at = c->event_text.n;
    s->e.text.n = MIN(f->text.n, room);
    buf_addstr(&c->event_text, str_cut(f->text, 0, room));
    return &s->e;
}

void report_done(struct smtp_client *c, struct message *m, const struct finding *f, bool stale,
                 bool reconnect)
{
    struct smtp_event *e = push_finding(c, SMTP_EVENT_DONE, f);

    e->id = m->id;
    e->stale = stale;
    e->reconnect = reconnect;
}

void report_end(struct smtp_client *c, const struct finding *f, bool stale)
{
    push_finding(c, SMTP_EVENT_END, f)->stale = stale;
}

bool smtp_client_event(struct smtp_client *c, struct smtp_event *out)
{
    if (c->event_n == 0)
        return false;
    const struct event_slot *s = &c->events[c->event_first];
    *out = s->e;
    out->text.p = s->e.text.n > 0 ? c->event_text.p + s->text_at : "";
    c->event_first = (c->event_first + 1) % EVENTS_MAX;
    c->event_n--;
    return true;
}

/* ---- the conversation ---- */

void report_lines(struct smtp_client *c, const char *prefix, struct str text)
{
    struct buf *t = &c->transcript;
    size_t prefix_n = strlen(prefix);

    text.n = MIN(text.n, (size_t)TRANSCRIPT_LINE_MAX);
    if (t->max - t->n < prefix_n + text.n + 1)
        return;
    buf_add(t, prefix, prefix_n);
    buf_addstr(t, text);
    buf_addc(t, '\n');
}

void report_reply(struct smtp_client *c)
{
    struct str rest = c->reply.text.n > 0 ? buf_str(&c->reply.text) : STR(""), line;
    int code = c->reply.code;
    char prefix[] = "S: 000-";

    if (c->transcript.max == 0)
        return;
    for (int i = 5; i >= 3; i--, code /= 10)
        prefix[i] = (char)('0' + code % 10);
    if (c->reply.code == 0)
        prefix[3] = 0;
    while (str_split(&rest, '\n', &line)) {
        if (c->reply.code != 0 && rest.p == NULL)
            prefix[6] = ' ';
        report_lines(c, prefix, line);
    }
}

void report_body(struct smtp_client *c, const struct message *m, size_t sent, bool whole)
{
    char line[64];

    if (c->transcript.max == 0)
        return;
    if (whole)
        snprintf(line, sizeof line, "<%zu bytes>", m->e.body.n);
    else
        snprintf(line, sizeof line, "<%zu of %zu bytes>", sent, m->e.body.n);
    report_lines(c, "C: ", str_of(line));
    if (whole && !m->chunk)
        report_lines(c, "C: ", STR("."));
}

/* Drops what older messages said; the one that is still on the wire keeps its part. */
void report_message_begins(struct smtp_client *c, struct message *m)
{
    struct buf *t = &c->transcript;
    struct message *older = c->count > 0 ? transaction_oldest(c) : NULL;
    size_t from = older != NULL ? older->transcript_at : t->n;

    if (t->n > 0 && from > c->transcript_session) {
        memmove(t->p + c->transcript_session, t->p + from, t->n - from);
        t->n -= from - c->transcript_session;
        if (older != NULL)
            older->transcript_at = c->transcript_session;
    }
    m->transcript_at = t->n;
}

struct str smtp_client_transcript(const struct smtp_client *c)
{
    return buf_str(&c->transcript);
}
