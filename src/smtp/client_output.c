/* Bytes out: one stream of commands, with at most one body put in at a known place. Bodies leave
 * as slices of the caller's memory. The end of a body (its last CRLF and the final dot; with BDAT
 * its last byte) is in the output only after the permission, and `dot_left` is set by the first
 * byte that the kernel takes of a write that holds it. */
#include "base/check.h"
#include "smtp/client_parts.h"

static void begin_pending(struct smtp_client *c)
{
    if (!output_pending(c))
        c->progress_ms = c->now_ms;
}

void output_command(struct smtp_client *c, struct str line)
{
    size_t at = c->commands.n;

    check(buf_addstr(&c->commands, line));
    output_command_built(c, at);
}

void output_command_secret(struct smtp_client *c, struct str shown, struct str secret)
{
    begin_pending(c);
    check(buf_addstr(&c->commands, secret) && buf_add(&c->commands, "\r\n", 2));
    c->commands_queued += secret.n + 2;
    report_lines(c, "C: ", shown);
}

void output_command_built(struct smtp_client *c, size_t at)
{
    if (at == 0 && c->sending == NULL)
        c->progress_ms = c->now_ms;
    report_lines(c, "C: ", str_from_index(buf_str(&c->commands), at));
    check(buf_add(&c->commands, "\r\n", 2));
    c->commands_queued += c->commands.n - at;
}

void output_body(struct smtp_client *c, struct message *m)
{
    struct str body = m->e.body;
    bool ends_line = body.n >= 2 && memcmp(body.p + body.n - 2, "\r\n", 2) == 0;

    begin_pending(c);
    c->tail = STR_NONE;
    if (!m->chunk) {
        c->tail = body.n == 0 ? STR(".\r\n") : STR("\r\n.\r\n");
        body.n -= ends_line ? 2 : 0;
    }
    c->sending = m;
    c->body_at = c->commands_queued;
    /* A peer that takes less than about 1 KB a second is not worth its connection. */
    c->body_deadline = c->now_ms + c->cfg.dot_timeout_ms + (int64_t)body.n;
    smtp_wire_start(&c->wire, body, !m->chunk && m->e.has_leading_dot);
}

void output_drop(struct smtp_client *c)
{
    if (c->sending != NULL && c->commands_sent >= c->body_at)
        report_body(c, c->sending, c->wire.at, false);
    c->sending = NULL;
    buf_clear(&c->commands);
    c->commands_sent = c->commands_queued;
}

bool output_pending(const struct smtp_client *c)
{
    const struct message *m = c->sending;

    if (m == NULL)
        return c->commands.n > 0;
    return c->commands_sent < c->body_at || !smtp_wire_done(&c->wire) || m->state == MESSAGE_DOT;
}

/* Commands that go out before the body. */
static size_t ahead_of_body(const struct smtp_client *c)
{
    return c->sending != NULL ? (size_t)(c->body_at - c->commands_sent) : c->commands.n;
}

size_t smtp_client_output(struct smtp_client *c, struct str *slices, size_t max)
{
    size_t ahead = ahead_of_body(c), n = 0;
    bool complete;

    check(max > 0);
    c->output_has_dot = false;
    if (ahead > 0)
        slices[n++] = str_from(c->commands.p, ahead);
    if (c->sending == NULL)
        return n;
    n += smtp_wire_peek(&c->wire, OUTPUT_BODY_MAX, slices + n, max - n, &complete);
    if (!complete || c->sending->state != MESSAGE_DOT)
        return n;
    if (c->tail.n > 0 && n == max)
        return n;
    if (c->tail.n > 0)
        slices[n++] = c->tail;
    c->output_has_dot = true;
    if (c->commands.n > ahead && n < max)
        slices[n++] = str_from(c->commands.p + ahead, c->commands.n - ahead);
    return n;
}

static size_t take_commands(struct smtp_client *c, size_t n)
{
    size_t part = MIN(n, ahead_of_body(c));

    if (part == 0)
        return 0;
    if (c->session == SESSION_AUTH)
        secret_wipe(c->commands.p, part);
    buf_consume(&c->commands, part);
    c->commands_sent += part;
    return part;
}

/* The body and its end; when both are out, what follows is commands again. */
static size_t take_body(struct smtp_client *c, size_t n)
{
    size_t part = smtp_wire_advance(&c->wire, n);
    struct message *m = c->sending;

    if (smtp_wire_done(&c->wire) && m->state == MESSAGE_DOT) {
        size_t end = MIN(n - part, c->tail.n);
        c->tail = str_from_index(c->tail, end);
        part += end;
        if (c->tail.n == 0) {
            m->dot_sent = true;
            c->sending = NULL;
            report_body(c, m, m->e.body.n, true);
        }
    }
    return part;
}

static void note_sent(struct smtp_client *c)
{
    for (unsigned i = 0; i < c->expected_n; i++) {
        struct expected *x = &c->expected[(c->expected_first + i) % EXPECTED_MAX];
        if (x->sent_ms >= 0)
            continue;
        if (!client_is_sent(c, x))
            return;
        x->sent_ms = c->now_ms;
    }
}

void smtp_client_sent(struct smtp_client *c, size_t n, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->session == SESSION_ENDED || n == 0)
        return;
    c->progress_ms = now_ms;
    if (c->output_has_dot && c->sending != NULL)
        c->sending->dot_left = true;
    c->output_has_dot = false;
    while (n > 0) {
        size_t part = take_commands(c, n);
        if (c->sending != NULL && c->commands_sent == c->body_at)
            part += take_body(c, n - part);
        check(part > 0);
        n -= part;
    }
    note_sent(c);
}
