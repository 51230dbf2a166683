/* A test conversation. It needs no ledger and no fleet: nothing of it is a message of ours, so it
 * is neither counted nor held against the server. */
#include "engine/server_test.h"
#include "base/alloc.h"
#include "engine/admin_parts.h"
#include "engine/derive.h"
#include "engine/signing.h"
#include "engine/state.h"
#include "mail/addr.h"
#include "mail/mime.h"

#include <stdio.h>
#include <stdlib.h>

enum step_id {
    STEP_NAME,
    STEP_TCP,
    STEP_TLS,
    STEP_EHLO,
    STEP_AUTH,
    STEP_MAIL,
    STEP_RCPT,
    STEP_SENT,
    STEPS
};

static const char *const step_names[STEPS] = {"name", "tcp",  "tls",  "ehlo",
                                              "auth", "mail", "rcpt", "message"};

struct test_step {
    enum { STEP_NOT_TRIED, STEP_PASSED, STEP_FAILED, STEP_SKIPPED } state;
    int64_t ms;
    char detail[300];
};

struct test {
    struct core *core;
    void (*done)(void *arg, json_t *result);
    void *arg;
    struct server_ref *server;
    int64_t limit; /* boot ms when all must be over */
    struct conn *conn;
    struct smtp_client *smtp;
    struct derivation *derivation;
    struct timer *timer;
    struct timer *reaper;
    struct test_step steps[STEPS];
    int64_t began, last;
    bool sends, is_open, over, in_pump;
    char from[ADDR_MAX + 1], rcpt[ADDR_MAX + 1], header_from[700];
    struct buf body;
    struct mime_facts facts;
    struct pool_job desk; /* signs the body */
    struct signing *signing;
    const struct signer *signer; /* NULL: it goes unsigned */
    bool is_signed;
    struct err why_unsigned;
    char tls[256], peer[128];
};

static void pass(struct test *t, enum step_id id, const char *detail)
{
    int64_t now = clock_boot_ms();
    t->steps[id].state = STEP_PASSED;
    t->steps[id].ms = now - t->last;
    snprintf(t->steps[id].detail, sizeof t->steps[id].detail, "%s", detail);
    t->last = now;
}

static void fail(struct test *t, enum step_id id, const char *detail)
{
    pass(t, id, detail);
    t->steps[id].state = STEP_FAILED;
}

static json_t *step_line(const struct test *t, enum step_id id)
{
    static const char *const states[] = {"not_tried", "passed", "failed", "skipped"};
    const struct test_step *s = &t->steps[id];
    return json_pack("{s:s,s:b,s:s,s:I,s:s}", "step", step_names[id], "ok",
                     s->state == STEP_PASSED || s->state == STEP_SKIPPED, "state", states[s->state],
                     "ms", (json_int_t)s->ms, "detail", s->detail);
}

static json_t *capabilities(const struct test *t)
{
    const struct smtp_caps *k = smtp_client_caps(t->smtp);
    return json_pack("{s:b,s:b,s:b,s:b,s:b,s:b,s:I,s:s}", "pipelining", k->pipelining, "chunking",
                     k->chunking, "starttls", k->starttls, "8bitmime", k->eightbit, "smtputf8",
                     k->utf8, "dsn", k->dsn, "size", (json_int_t)k->size_max, "auth", k->auth_used);
}

static void free_test(void *arg)
{
    struct test *t = arg;
    conn_close(&t->conn);
    derive_abandon(&t->derivation);
    timer_free(&t->timer);
    timer_free(&t->reaper);
    smtp_client_free(&t->smtp);
    server_ref_drop(t->server);
    buf_free(&t->body);
    free(t);
}

static void finish(struct test *t)
{
    if (t->over)
        return;
    t->over = true;
    json_t *steps = json_array();
    bool ok = true;
    for (int id = 0; id < STEPS; id++) {
        if (id == STEP_SENT && !t->sends)
            continue;
        json_array_append_new(steps, step_line(t, (enum step_id)id));
        ok = ok && (t->steps[id].state == STEP_PASSED || t->steps[id].state == STEP_SKIPPED);
    }
    struct str talk = smtp_client_transcript(t->smtp);
    json_t *text = json_stringn(talk.p ? talk.p : "", talk.n);
    json_t *data =
        json_pack("{s:b,s:s,s:s,s:s,s:o,s:o,s:o}", "ok", ok, "server", t->server->server->name,
                  "peer", t->peer, "tls", t->tls, "steps", steps, "capabilities", capabilities(t),
                  "conversation", text ? text : json_string("(not UTF-8)"));
    json_object_set_new(data, "sent", json_boolean(t->steps[STEP_SENT].state == STEP_PASSED));
    t->done(t->arg, data);
    timer_at(t->reaper, clock_boot_ms()); /* never freed inside a callback of its own parts */
}

static enum step_id step_of(enum smtp_phase phase)
{
    switch (phase) {
    case SMTP_PHASE_GREETING: return STEP_EHLO;
    case SMTP_PHASE_EHLO: return STEP_EHLO;
    case SMTP_PHASE_STARTTLS: return STEP_TLS;
    case SMTP_PHASE_AUTH: return STEP_AUTH;
    case SMTP_PHASE_MAIL: return STEP_MAIL;
    case SMTP_PHASE_RCPT: return STEP_RCPT;
    case SMTP_PHASE_DATA: return STEP_RCPT;
    default: return STEP_SENT;
    }
}

static void describe(const struct smtp_event *ev, char *out, size_t size)
{
    static const char *const ends[] = {
        "accepted",          "refused",   "the connection was lost",
        "no final reply",    "withdrawn", "the server lacks an extension the message needs",
        "no answer in time", "refused",   "the peer does not speak SMTP as it must",
        "TLS failed",        "quit"};
    if (ev->end == SMTP_END_TLS && ev->phase == SMTP_PHASE_STARTTLS && !ev->code)
        snprintf(out, size, "the server does not offer STARTTLS (or not rightly)");
    else if (ev->end == SMTP_END_REPLY && ev->phase == SMTP_PHASE_AUTH && !ev->code)
        snprintf(out, size, "the server offers no login mechanism that can be used");
    else if (ev->code)
        snprintf(out, size, "%s: %d %.*s", ends[ev->end], ev->code,
                 (int)MIN(ev->text.n, (size_t)200), ev->text.p ? ev->text.p : "");
    else
        snprintf(out, size, "%s", ends[ev->end]);
}

static void on_ready(struct test *t)
{
    struct smtp_envelope e = {.id = 1,
                              .from = str_of(t->from),
                              .rcpt = str_of(t->rcpt),
                              .body = buf_str(&t->body),
                              .has_leading_dot = t->facts.has_leading_dot,
                              .is_8bit = t->facts.is_8bit,
                              .needs_utf8 = t->facts.needs_utf8};
    conn_describe_tls(t->conn, t->tls, sizeof t->tls);
    if (t->server->server->tls == TLS_MODE_NONE)
        t->steps[STEP_TLS].state = STEP_SKIPPED;
    else
        pass(t, STEP_TLS, t->tls);
    pass(t, STEP_EHLO, "");
    if (!t->server->server->user)
        t->steps[STEP_AUTH].state = STEP_SKIPPED;
    else
        pass(t, STEP_AUTH, smtp_client_caps(t->smtp)->auth_used);
    smtp_client_give(t->smtp, &e, clock_boot_ms());
}

static void on_done(struct test *t, const struct smtp_event *ev)
{
    char text[300];
    describe(ev, text, sizeof text);
    if (ev->end == SMTP_END_ACCEPTED)
        pass(t, STEP_SENT, text);
    else if (ev->end != SMTP_END_WITHDRAWN)
        fail(t, step_of(ev->phase), text);
    for (int id = STEP_MAIL; id < (int)step_of(ev->phase) && ev->end != SMTP_END_WITHDRAWN; id++)
        if (t->steps[id].state == STEP_NOT_TRIED)
            pass(t, (enum step_id)id, "");
    finish(t);
}

static void on_end(struct test *t, const struct smtp_event *ev)
{
    char text[300];
    enum step_id id = step_of(ev->phase);
    describe(ev, text, sizeof text);
    if (ev->phase == SMTP_PHASE_AUTH) {
        t->steps[STEP_TLS].state =
            t->server->server->tls == TLS_MODE_NONE ? STEP_SKIPPED : STEP_PASSED;
        pass(t, STEP_EHLO, "");
    }
    fail(t, id, text);
    finish(t);
}

static void pump(struct test *t);

static void derived(void *owner, const uint8_t *salted)
{
    struct test *t = owner;
    t->derivation = NULL;
    smtp_client_derived(t->smtp, salted, clock_boot_ms());
    pump(t);
}

static void handle(struct test *t, const struct smtp_event *ev)
{
    switch (ev->kind) {
    case SMTP_EVENT_DERIVE:
        t->derivation = derive_start(t->core->desks, smtp_client_derivation(t->smtp),
                                     t->server->server->password, derived, t);
        break;
    case SMTP_EVENT_START_TLS: conn_start_tls(t->conn, smtp_client_deadline(t->smtp)); break;
    case SMTP_EVENT_READY: on_ready(t); break;
    case SMTP_EVENT_DOT_ASK:
        pass(t, STEP_MAIL, t->from);
        pass(t, STEP_RCPT, t->rcpt);
        if (t->sends)
            smtp_client_permit_dot(t->smtp, 1, clock_boot_ms());
        else
            smtp_client_withdraw(t->smtp, 1, clock_boot_ms());
        break;
    case SMTP_EVENT_DONE: on_done(t, ev); break;
    case SMTP_EVENT_END: on_end(t, ev); break;
    case SMTP_EVENT_BEGUN:
    case SMTP_EVENT_NONE: break;
    }
}

static void pump(struct test *t)
{
    struct smtp_event ev;
    struct str slices[16];
    if (t->in_pump || t->over)
        return;
    t->in_pump = true;
    for (bool progress = true; progress && !t->over;) {
        progress = false;
        while (!t->over && smtp_client_event(t->smtp, &ev)) {
            handle(t, &ev);
            progress = true;
        }
        size_t n =
            t->over || !t->is_open ? 0 : smtp_client_output(t->smtp, slices, countof(slices));
        size_t took = n ? conn_write(t->conn, slices, n) : 0;
        if (took) {
            smtp_client_sent(t->smtp, took, clock_boot_ms());
            progress = true;
        }
    }
    t->in_pump = false;
    if (!t->over)
        timer_at(t->timer, MIN(smtp_client_deadline(t->smtp), t->limit));
}

/* The limit over all is reached: the step at work failed. */
static void give_up(struct test *t)
{
    for (int id = 0; id < STEPS; id++)
        if (t->steps[id].state == STEP_NOT_TRIED) {
            fail(t, (enum step_id)id, "no end within the time of this test");
            break;
        }
    finish(t);
}

static void on_timer(void *arg)
{
    struct test *t = arg;
    if (t->over)
        return;
    if (clock_boot_ms() >= t->limit) {
        give_up(t);
        return;
    }
    smtp_client_tick(t->smtp, clock_boot_ms());
    pump(t);
}

static void on_open(void *arg)
{
    struct test *t = arg;
    t->is_open = true;
    conn_describe_peer(t->conn, t->peer, sizeof t->peer);
    pass(t, STEP_NAME, t->server->server->host);
    pass(t, STEP_TCP, t->peer);
    pump(t);
}

static void on_tls(void *arg, bool ok, const struct conn_failure *f)
{
    struct test *t = arg;
    (void)f;
    if (ok)
        smtp_client_tls_done(t->smtp, true, clock_boot_ms());
    pump(t);
}

static void on_data(void *arg, struct str bytes)
{
    struct test *t = arg;
    smtp_client_input(t->smtp, bytes, clock_boot_ms());
    pump(t);
}

static void on_writable(void *arg)
{
    pump(arg);
}

static void on_close(void *arg, const struct conn_failure *f)
{
    static const enum step_id at[] = {STEP_NAME, STEP_TCP, STEP_TLS, STEP_EHLO};
    struct test *t = arg;
    conn_close(&t->conn);
    if (t->is_open && f->stage != CONN_STAGE_TLS) {
        t->is_open = false;
        smtp_client_closed(t->smtp, clock_boot_ms());
        pump(t);
        return;
    }
    t->is_open = false;
    if (f->stage == CONN_STAGE_CONNECT || f->stage == CONN_STAGE_TLS)
        pass(t, STEP_NAME, t->server->server->host);
    if (f->stage == CONN_STAGE_TLS)
        pass(t, STEP_TCP, t->peer);
    fail(t, at[f->stage], f->text);
    finish(t);
}

static const struct conn_handler handler = {on_open, on_tls, on_data, on_writable, on_close};

static void begin(struct test *t)
{
    const struct server *s = t->server->server;
    int64_t now = clock_boot_ms();
    struct smtp_client_config k = {.helo = s->helo ? s->helo : t->core->host,
                                   .tls = (enum smtp_tls)s->tls,
                                   .user = s->user,
                                   .password = s->password,
                                   .chunking_off = true,
                                   .ready_deadline = now + s->connect_timeout_ms,
                                   .reply_timeout_ms = s->reply_timeout_ms,
                                   .dot_timeout_ms = s->dot_timeout_ms,
                                   .nonce = rand_secret_u64(),
                                   .derives_elsewhere = true,
                                   .transcript_max = 16384};
    struct conn_params p = {.host = s->host,
                            .port = s->port,
                            .tls = s->tls == TLS_MODE_TLS,
                            .tls_verify = s->tls_verify,
                            .deadline = now + s->connect_timeout_ms};
    t->began = t->last = now;
    t->smtp = smtp_client_new(&k, now);
    t->timer = timer_new(t->core->loop, on_timer, t);
    t->reaper = timer_new(t->core->loop, free_test, t);
    timer_at(t->timer, MIN(smtp_client_deadline(t->smtp), t->limit));
    t->conn = conn_open(t->core->net, &p, &handler, t);
}

/* Room before the mail for the signatures, when its From has keys that this server wants. */
static bool make_room(struct test *t)
{
    const struct server *s = t->server->server;
    char domain[DOMAIN_MAX + 1];
    if (!t->sends || !signing_is_wanted(t->core->signing, s) ||
        !signing_domain_of(str_of(t->header_from), domain))
        return true;
    t->signer = signing_find(t->core->signing, s, str_of(domain));
    if (!t->signer)
        return true;
    if (!buf_reserve(&t->body, SIGNING_ROOM))
        return false;
    buf_commit(&t->body, SIGNING_ROOM);
    return true;
}

/* The mail that says what it is. */
static bool compose(struct test *t, struct err *e)
{
    const struct server *s = t->server->server;
    char text[400], id[64], stamp[32];
    clock_format(clock_wall_ms(), stamp);
    snprintf(text, sizeof text, "This is a test of server %s, sent by Postfleet at %s.\n", s->name,
             stamp);
    snprintf(id, sizeof id, "test-%016llx", (unsigned long long)rand_secret_u64());
    char message_id[400];
    snprintf(message_id, sizeof message_id, "%s@%s", id, t->core->host);
    struct mime_message m = {.from = str_of(t->header_from),
                             .to = str_of(t->rcpt),
                             .subject = STR("Postfleet test message"),
                             .message_id = str_of(message_id),
                             .date_ms = clock_wall_ms(),
                             .text = str_of(text)};
    buf_init(&t->body, 65536 + SIGNING_ROOM);
    return make_room(t) && mime_build(&m, &t->body, &t->facts, e);
}

/* ---- its signature, as that of any mail through this server ---- */

static void sign(struct pool_job *d)
{
    struct test *t = container_of(d, struct test, desk);
    t->is_signed =
        signing_put(t->signer, &t->body, SIGNING_ROOM, 0, clock_wall_ms(), &t->why_unsigned);
}

static void begin_signed(struct pool_job *d)
{
    struct test *t = container_of(d, struct test, desk);
    char text[280];
    signing_drop(t->signing);
    begin(t);
    if (t->is_signed)
        return;
    snprintf(text, sizeof text, "it cannot be signed: %.250s", t->why_unsigned.text);
    fail(t, STEP_SENT, text);
    finish(t);
}

/* The time it takes counts: the limit over all began. */
static void sign_first(struct test *t)
{
    t->signing = t->core->signing;
    signing_keep(t->signing);
    t->desk = (struct pool_job){.work = sign, .done = begin_signed, .lane = LANE_TRANSACTIONAL};
    pool_submit(t->core->desks, &t->desk);
}

static bool set_addresses(struct test *t, const char *from, const char *to, struct err *e)
{
    const struct server *s = t->server->server;
    struct addr a;
    char name[300], fallback[300];
    if (!from)
        from = s->from;
    if (!from) {
        snprintf(fallback, sizeof fallback, "postmaster@%s",
                 strchr(t->core->host, '.') ? t->core->host : "localhost.localdomain");
        from = fallback;
    }
    if (!addr_parse_mailbox(str_of(from), &a, name, sizeof name, e))
        return err_prefix(e, "From of server %s", s->name);
    snprintf(t->header_from, sizeof t->header_from, "%s", from);
    snprintf(t->from, sizeof t->from, "%s", a.text);
    if (to && !addr_parse(str_of(to), &a, e))
        return err_prefix(e, "to");
    snprintf(t->rcpt, sizeof t->rcpt, "%s", a.text);
    return true;
}

struct outlet *outlet_by_name(struct core *c, const char *name)
{
    for (size_t i = 0; name && i < c->n_outlets; i++) {
        struct outlet *o = c->outlets[i];
        if (o && o->server && !o->is_removed && str_is(str_of(name), o->server->server->name))
            return o;
    }
    return NULL;
}

bool trial_start(struct core *c, const struct trial_ask *ask,
                 void (*done)(void *arg, json_t *result), void *arg, struct err *e)
{
    struct test *t = alloc_one(struct test);
    t->core = c;
    t->done = done;
    t->arg = arg;
    t->sends = ask->sends;
    t->limit = ask->limit_ms ? clock_boot_ms() + ask->limit_ms : INT64_MAX;
    t->server = ask->server;
    __atomic_add_fetch(&t->server->refs, 1, __ATOMIC_RELAXED);
    if (set_addresses(t, ask->from, ask->to, e) && compose(t, e)) {
        if (t->signer)
            sign_first(t);
        else
            begin(t);
        return true;
    }
    server_ref_drop(t->server);
    buf_free(&t->body);
    free(t);
    return false;
}

static void answer_test(void *arg, json_t *result)
{
    link_answer(arg, link_answer_ok(result));
}

static bool read_ask(struct core *c, json_t *args, struct trial_ask *ask, struct err *e)
{
    static const char *const known[] = {"name", "to", NULL}; /* to: also of a test's RCPT */
    const char *name = NULL;
    struct outlet *o;
    if (!args_known(args, known, e) || !args_need(args, "name", 4096, &name, e) ||
        !args_text(args, "to", 600, &ask->to, e))
        return false;
    if (!(o = outlet_by_name(c, name)))
        return err_set(e, ERR_NOT_FOUND, "there is no server '%s'", name);
    ask->server = o->server;
    return !ask->sends || ask->to ||
           err_set(e, ERR_INVALID, "to: which address shall the test mail go to?");
}

void server_test_start(struct core *c, struct link_request *r)
{
    struct trial_ask ask = {.sends = str_is(str_of(r->op), "server.send_test")};
    struct err e = {0};
    if (!read_ask(c, r->args, &ask, &e) || !trial_start(c, &ask, answer_test, r, &e))
        link_answer(r, link_answer_error(&e));
}
