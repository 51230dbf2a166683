/* A connection of an application. It reads only while the machine wants input; what the machine
 * says last is followed by a short wait for the client to close, so that the kernel does not throw
 * our last words away. */
#include "engine/intake_inner.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define HANDSHAKE_MS 30000
#define LINGER_MS    2000

/* The decoy of this process and fresh numbers; limits as RFC 5321, 4.5.3.2 says or longer. */
static struct smtp_server *make_machine(struct intake_session *s)
{
    const struct smtp_server_config cfg = {.host = s->in->core->host,
                                           .tls_offered = s->in->identity != NULL,
                                           .tls_active = s->is_tls,
                                           .login_in_clear = s->may_clear,
                                           .size_max = INTAKE_SIZE_MAX,
                                           .recipients_max = INTAKE_RECIPIENTS_MAX,
                                           .errors_max = 20,
                                           .login_ms = 60000,
                                           .command_ms = 300000,
                                           .body_ms = 180000,
                                           .message_ms = 1800000,
                                           .nonce = {rand_secret_u64(), rand_secret_u64()}};
    struct smtp_server_config own = cfg;
    memcpy(own.decoy, s->in->decoy, sizeof own.decoy);
    return smtp_server_new(&own, loop_now_ms(s->in->core->loop));
}

static int64_t now_of(const struct intake_session *s)
{
    return loop_now_ms(s->in->core->loop);
}

/* ---- how many an address has ---- */

/* An IPv6 site has a /64 at least: more addresses than any limit. */
static uint64_t place_of(const char *peer)
{
    struct network n;
    struct err e;
    uint64_t place = 0;
    if (!network_parse(str_of(peer), &n, &e))
        return 0;
    memcpy(&place, n.bytes, MIN(n.n, sizeof place));
    return hash_u64(place + n.n);
}

static uintptr_t count_peer(struct intake *in, uint64_t place, int by)
{
    uintptr_t n = (uintptr_t)map_u64_get(in->peers, place);
    n = by > 0 ? n + 1 : n - 1;
    if (n)
        map_u64_set(in->peers, place, (void *)n);
    else
        (void)map_u64_remove(in->peers, place);
    return n;
}

void intake_session_free(struct intake_session *s)
{
    intake_mail_drop(s);
    (void)count_peer(s->in, s->place, -1);
    derive_abandon(&s->derivation);
    list_remove(&s->link);
    s->in->n_sessions--;
    conn_close(&s->conn);
    timer_free(&s->timer);
    smtp_server_free(&s->smtp);
    rights_drop(&s->asked);
    rights_drop(&s->who);
    secret_wipe(s->proof, sizeof s->proof);
    free(s);
}

/* ---- events */

static void look_up(struct intake_session *s, struct str user)
{
    struct rights *r = intake_user(s->in, user, s->peer);
    struct smtp_keys k = {.iterations = 0};
    rights_drop(&s->asked);
    s->has_proof = false;
    if (r) {
        s->asked = rights_keep(r);
        k.iterations = r->c->iterations;
        memcpy(k.salt, r->c->salt, sizeof k.salt);
        memcpy(k.stored, r->c->stored_key, sizeof k.stored);
        memcpy(k.server, r->c->server_key, sizeof k.server);
    }
    smtp_server_keys(s->smtp, r ? &k : NULL, now_of(s));
    secret_wipe(&k, sizeof k);
}

static void derived(void *owner, const uint8_t *salted)
{
    struct intake_session *s = owner;
    s->derivation = NULL;
    smtp_server_derived(s->smtp, salted, now_of(s));
    intake_session_pump(s);
}

/* Milliseconds of a desk, but for a password that this login has proven before: applications log in
 * again and again. Whoever guesses wrong, or at a name that nobody has, pays in full. */
static void derive(struct intake_session *s)
{
    const struct secret *password = smtp_server_password(s->smtp);
    const struct rights *r = s->asked;
    s->has_proof = password && smtp_keys_proof(s->in->proof_key, password, s->proof);
    if (s->has_proof && r && r->has_proof && !r->revoked &&
        smtp_keys_proofs_equal(r->proof, s->proof))
        smtp_server_proven(s->smtp, now_of(s));
    else
        s->derivation =
            derive_start(s->in->core->desks, smtp_server_derivation(s->smtp), password, derived, s);
}

static void logged_in(struct intake_session *s)
{
    rights_drop(&s->who);
    s->who = s->asked;
    s->asked = NULL;
    if (s->has_proof) {
        s->who->has_proof = true;
        memcpy(s->who->proof, s->proof, sizeof s->proof);
    }
    if (s->who->c->size_max)
        smtp_server_limit(s->smtp, MIN(s->who->c->size_max, (uint64_t)INTAKE_SIZE_MAX),
                          INTAKE_RECIPIENTS_MAX);
    log_event(LOG_INFO, "intake.login", "credential=%s peer=%s tls=%s", s->who->c->name, s->peer,
              s->is_tls ? "yes" : "no");
}

static void refused(struct intake_session *s, struct str user)
{
    rights_drop(&s->asked);
    log_event(LOG_WARNING, "intake.login_refused", "user=\"" STR_F "\" peer=%s", STR_A(user),
              s->peer);
}

static void ended(struct intake_session *s, const struct smtp_server_event *e)
{
    s->is_over = true;
    if (e->end != SMTP_SERVER_END_QUIT)
        log_event(LOG_INFO, "intake.ended", "peer=%s why=\"" STR_F "\"", s->peer, STR_A(e->text));
    timer_at(s->timer, now_of(s) + (e->end == SMTP_SERVER_END_LOST ? 0 : LINGER_MS));
}

static void take(struct intake_session *s, const struct smtp_server_event *e)
{
    switch (e->kind) {
    case SMTP_SERVER_START_TLS:
        conn_accept_tls(s->conn, s->in->identity, now_of(s) + HANDSHAKE_MS);
        break;
    case SMTP_SERVER_LOOKUP: look_up(s, e->text); break;
    case SMTP_SERVER_DERIVE: derive(s); break;
    case SMTP_SERVER_LOGIN: logged_in(s); break;
    case SMTP_SERVER_NO_LOGIN: refused(s, e->text); break;
    case SMTP_SERVER_MAIL: intake_mail_begin(s, e); break;
    case SMTP_SERVER_RCPT: intake_mail_recipient(s, e); break;
    case SMTP_SERVER_DATA: intake_mail_data(s); break;
    case SMTP_SERVER_BODY: intake_mail_body(s, e->text); break;
    case SMTP_SERVER_DONE: intake_mail_done(s); break;
    case SMTP_SERVER_RESET: intake_mail_drop(s); break;
    case SMTP_SERVER_END: ended(s, e); break;
    default: break;
    }
}

/* True: something left, so that the machine may go on. */
static bool flush(struct intake_session *s)
{
    struct str out = smtp_server_output(s->smtp);
    size_t n = out.n > 0 && s->conn ? conn_write(s->conn, &out, 1) : 0;
    if (n > 0)
        smtp_server_sent(s->smtp, n, now_of(s));
    return n > 0;
}

void intake_session_pump(struct intake_session *s)
{
    struct smtp_server_event e;
    bool moved = true;
    if (s->in_pump || !s->smtp)
        return;
    s->in_pump = true;
    while (moved) {
        moved = false;
        while (smtp_server_event(s->smtp, &e)) {
            take(s, &e);
            moved = true;
        }
        moved |= flush(s);
    }
    s->in_pump = false;
    if (!s->is_over)
        timer_at(s->timer, smtp_server_deadline(s->smtp));
    conn_hold(s->conn, !s->is_over && !smtp_server_wants_input(s->smtp));
}

/* ---- of the connection */

static void on_data(void *arg, struct str bytes)
{
    struct intake_session *s = arg;
    if (s->is_over || !s->smtp)
        return;
    smtp_server_input(s->smtp, bytes, now_of(s));
    intake_session_pump(s);
}

static void on_writable(void *arg)
{
    intake_session_pump(arg);
}

static void on_tls(void *arg, bool ok, const struct conn_failure *f)
{
    struct intake_session *s = arg;
    if (!ok)
        log_event(LOG_INFO, "intake.tls", "peer=%s error=\"%s\"", s->peer, f->text);
    if (!s->smtp && !ok)
        return; /* on_close follows */
    s->is_tls = ok;
    if (s->smtp)
        smtp_server_tls_done(s->smtp, ok, now_of(s));
    else
        s->smtp = make_machine(s);
    intake_session_pump(s);
}

static void on_close(void *arg, const struct conn_failure *f)
{
    struct intake_session *s = arg;
    (void)f;
    if (s->smtp && !s->is_over) {
        smtp_server_closed(s->smtp, now_of(s));
        intake_session_pump(s);
    }
    intake_session_free(s);
}

static void on_timer(void *arg)
{
    struct intake_session *s = arg;
    if (s->is_over || !s->smtp) {
        intake_session_free(s);
        return;
    }
    smtp_server_tick(s->smtp, now_of(s));
    intake_session_pump(s);
}

static const struct conn_handler handler = {
    .on_tls = on_tls, .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

static void find_peer(struct intake_session *s)
{
    char text[80];
    conn_describe_peer(s->conn, text, sizeof text);
    struct str all = str_of(text);
    ptrdiff_t colon = str_rchr(all, ':');
    struct str host = colon > 0 ? str_cut(all, 0, (size_t)colon) : all;
    if (host.n > 2 && host.p[0] == '[')
        host = str_cut(host, 1, host.n - 2);
    str_copy(host, s->peer, sizeof s->peer);
}

/* Told in clear where the client expects that; with TLS first the connection just ends. */
static bool is_too_many(struct intake_session *s, uintptr_t of_peer, bool tls)
{
    char text[160];
    uint32_t most = s->in->core->cfg->submission_per_address;
    if (s->in->n_sessions > INTAKE_SESSIONS_MAX)
        snprintf(text, sizeof text, "421 4.7.0 Too many connections: try again later\r\n");
    else if (most && of_peer > most)
        snprintf(text, sizeof text,
                 "421 4.7.0 %.60s has %u connections open, the most that one address may have\r\n",
                 s->peer, most);
    else
        return false;
    struct str out = str_of(text);
    if (!tls)
        (void)conn_write(s->conn, &out, 1);
    log_event(LOG_INFO, "intake.refused", "peer=%s open=%u of_peer=%u", s->peer, s->in->n_sessions,
              (unsigned)of_peer);
    return true;
}

void intake_session_begin(struct intake *in, int fd, bool tls)
{
    struct intake_session *s = alloc_one(struct intake_session);
    s->in = in;
    s->may_clear = tls ? in->tls_is_loopback : in->plain_is_loopback;
    list_push_back(&in->sessions, &s->link);
    s->timer = timer_new(in->core->loop, on_timer, s);
    s->conn = conn_adopt(in->core->net, fd, &handler, s);
    find_peer(s);
    s->place = place_of(s->peer);
    in->n_sessions++;
    if (is_too_many(s, count_peer(in, s->place, 1), tls)) {
        intake_session_free(s);
    } else if (tls) {
        conn_accept_tls(s->conn, in->identity, now_of(s) + HANDSHAKE_MS);
    } else {
        s->smtp = make_machine(s);
        intake_session_pump(s);
    }
}

void intake_session_stop(struct intake_session *s)
{
    if (!s->smtp) {
        intake_session_free(s);
        return;
    }
    smtp_server_stop(s->smtp, now_of(s));
    intake_session_pump(s);
}
