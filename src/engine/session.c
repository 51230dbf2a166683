/* One connection to a server: the pump between conn, smtp/client and the messages on the wire. What
 * the design calls steps a to e happens here; what an end means is settle.c's. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "engine/derive.h"
#include "engine/envelope.h"

#include <stdio.h>
#include <stdlib.h>

#define TRANSCRIPT_MAX 16384
#define SLICES         16
#define WRITES_A_TURN  32  /* then the others have theirs: dense dots make writes of a few bytes */
#define PACE_LOOK_MS   250 /* a dot that waits for pace behind others asks so often */

/* ---- the timer: re-armed only when an earlier time comes */

static void arm(struct session *s)
{
    int64_t due = s->smtp ? smtp_client_deadline(s->smtp) : INT64_MAX;
    if (s->dot_since)
        due = MIN(due, s->dot_since + DOT_SLOW_MS);
    if (s->next_at > loop_now_ms(s->core->loop))
        due = MIN(due, s->next_at);
    if (due < s->timer_at) {
        s->timer_at = due;
        timer_at(s->timer, due);
    }
}

static void on_timer(void *arg)
{
    struct session *s = arg;
    int64_t now = loop_now_ms(s->core->loop);
    s->timer_at = INT64_MAX;
    if (s->dot_since && fleet_in_common_cause(s->core->fleet))
        s->dot_since = now; /* nobody answers: that is not this server's slowness */
    if (s->dot_since && now - s->dot_since >= DOT_SLOW_MS) {
        s->dot_since = 0;
        s->is_slow = true;
        s->outlet->n_slow++;
        outlet_tell_stuck(s->outlet, false);
    }
    if (s->smtp)
        smtp_client_tick(s->smtp, now);
    for (uint32_t i = 0; i < s->n_jobs; i++)
        session_permit(s->jobs[i]); /* a dot that waited for its pace */
    outlet_dirty(s->outlet);
    session_pump(s);
}

/* ---- ends */

static struct job *job_of(struct session *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->n_jobs; i++)
        if (s->jobs[i]->item->message_id == id)
            return s->jobs[i];
    return NULL;
}

/* The first dot that waits for pace is woken when there is room. */
static void pace_kick(struct outlet *o)
{
    struct core *c = o->core;
    int64_t now = core_steady(c);
    struct job *first = list_first(&o->pace, struct job, waiting);
    if (!first || !first->session)
        return;
    int64_t own = fleet_dot_at(c->fleet, o->num, 0, now);
    int64_t when = MAX(own, fleet_pace_at(c->fleet, &first->hold, now));
    first->session->next_at = core_boot_of(c, MAX(when, now + 1));
    arm(first->session);
}

static void take_off_wire(struct session *s, struct job *j)
{
    s->n_jobs--;
    if (s->jobs[0] == j) {
        s->jobs[0] = s->jobs[1];
        if (s->n_jobs)
            s->jobs[0]->lead_at = loop_now_ms(s->core->loop);
    }
    s->outlet->n_wire--;
    if (s->n_jobs == 0) {
        s->core->n_active--;
        s->outlet->n_busy--;
        s->idle_since = loop_now_ms(s->core->loop);
    }
    j->session = NULL;
    list_remove(&j->waiting);
    list_init(&j->waiting);
    pace_kick(s->outlet);
}

/* The machine's words for a lost connection in those of the classifier. */
static enum loss loss_of(enum smtp_end end)
{
    switch (end) {
    case SMTP_END_TIMEOUT: return LOSS_TIMEOUT;
    case SMTP_END_PROTOCOL: return LOSS_PROTOCOL;
    case SMTP_END_TLS: return LOSS_TLS;
    default: return LOSS_CLOSED;
    }
}

static void again_on_fresh(struct session *s, struct job *j)
{
    struct outlet *o = s->outlet;
    j->stale_once = true;
    j->has_intent = j->dot_asked = j->dot_permitted = false;
    outlet_put_back(o, j);
}

static void journal_end(struct job *j, bool withdrawn)
{
    if (!j->has_intent || !withdrawn)
        return;
    struct core *c = j->core;
    struct journal_record r = {.message_id = j->item->message_id,
                               .kind = JOURNAL_WITHDRAWN,
                               .n = (uint8_t)(j->item->tries + 1),
                               .server_num = j->outlet->num,
                               .at = core_steady(c)};
    journal_add(c->journal, &r);
    journal_settle(c->journal, j->ticket);
    j->has_intent = false;
    j->ticket = 0;
}

static void withdrawn(struct job *j)
{
    if (j->is_suppressed || j->is_cancelled) {
        struct core *c = j->core;
        fleet_return(c->fleet, &j->hold, core_steady(c));
        j->outlet = NULL;
        settle_without_attempt(j, j->is_suppressed ? MESSAGE_SUPPRESSED : MESSAGE_CANCELLED,
                               j->is_suppressed ? "suppressed before the dot left"
                                                : "cancelled before the dot left");
        return;
    }
    outlet_unpick(j);
}

static void no_longer_slow(struct session *s, bool answered)
{
    if (!s->is_slow)
        return;
    s->is_slow = false;
    s->outlet->n_slow--;
    outlet_tell_stuck(s->outlet, answered);
}

/* The watch over an unanswered dot ends; the next message may come after the pause. */
static void dot_answered(struct session *s)
{
    int64_t pause = s->outlet->server->server->limits.pause_between_ms;
    s->dot_since = 0;
    no_longer_slow(s, true);
    if (pause)
        s->next_at =
            loop_now_ms(s->core->loop) + pause + 1; /* its clock is up to a millisecond late */
}

static void on_done(struct session *s, const struct smtp_event *ev)
{
    struct job *j = job_of(s, ev->id);
    check(j != NULL);
    bool dot_left =
        j->dot_permitted && (ev->end == SMTP_END_ACCEPTED || ev->end == SMTP_END_UNCERTAIN ||
                             (ev->end == SMTP_END_REFUSED && ev->phase == SMTP_PHASE_DOT));
    take_off_wire(s, j);
    if (j->dot_permitted)
        dot_answered(s);
    journal_end(j, !dot_left);
    if (ev->end == SMTP_END_WITHDRAWN) {
        if (j->dot_permitted)
            fleet_undot(s->core->fleet, &j->hold, j->dot_at, core_steady(s->core));
        j->dot_permitted = false;
        withdrawn(j);
        return;
    }
    if ((ev->stale || ev->reconnect) && !j->stale_once && !dot_left && !j->dot_permitted) {
        if (ev->code == 421)
            fleet_ended_after(s->core->fleet, s->outlet->num, s->given - 1, core_steady(s->core));
        again_on_fresh(s, j);
        return;
    }
    struct ending end = {.end = ev->end,
                         .phase = (enum phase)ev->phase,
                         .code = ev->code,
                         .text = ev->text,
                         .conversation = smtp_client_transcript(s->smtp),
                         .dot_left = dot_left,
                         .was_fresh = s->given == 1};
    memcpy(end.enhanced, ev->enhanced, sizeof end.enhanced);
    if (ev->end == SMTP_END_LOST || ev->end == SMTP_END_UNCERTAIN)
        end.loss = ev->code ? LOSS_NONE : LOSS_CLOSED;
    settle_attempt(j, &end);
}

/* The way to a ready session failed, or one ended that never carried a message: the message at the
 * head of the backlog bears it, so that it goes elsewhere at once and its attempts tell why. A
 * session that did carry has told its faults by the ends of its messages. */
static void connection_failed(struct session *s, const struct ending *end)
{
    struct outlet *o = s->outlet;
    struct job *j = outlet_head(o);
    bool has_carried = s->is_ready && s->given > 0;
    if (has_carried || s->is_probe || !j) {
        if (!has_carried || s->is_probe)
            settle_connection(o, end, s->is_probe, false);
        return;
    }
    outlet_remove(o, j);
    settle_attempt(j, end);
}

static void on_end(struct session *s, const struct smtp_event *ev)
{
    struct ending end = {.end = ev->end,
                         .phase = (enum phase)ev->phase,
                         .code = ev->code,
                         .text = ev->text,
                         .conversation = smtp_client_transcript(s->smtp)};
    memcpy(end.enhanced, ev->enhanced, sizeof end.enhanced);
    if (ev->end != SMTP_END_REPLY && ev->end != SMTP_END_QUIT)
        end.loss = loss_of(ev->end);
    if (ev->end == SMTP_END_REPLY && ev->phase == SMTP_PHASE_AUTH && ev->code == 0)
        end.why = "the server offers no login mechanism that can be used";
    s->is_over = true;
    if (ev->end != SMTP_END_QUIT && !ev->stale)
        connection_failed(s, &end);
}

/* ---- events of the machine */

static void remember_intent(struct core *c, uint64_t ticket)
{
    if (c->n_intents == c->cap_intents) {
        uint32_t cap = MAX(c->cap_intents * 2, 256u);
        uint64_t *ring = alloc_many(uint64_t, cap);
        for (uint32_t i = 0; i < c->n_intents; i++)
            ring[i] = c->intents[(c->intents_at + i) % c->cap_intents];
        free(c->intents);
        c->intents = ring;
        c->intents_at = 0;
        c->cap_intents = cap;
    }
    c->intents[(c->intents_at + c->n_intents++) % c->cap_intents] = ticket;
}

void session_hurry_journal(struct core *c)
{
    uint64_t durable = journal_durable(c->journal);
    while (c->n_intents && c->intents[c->intents_at] <= durable) {
        c->intents_at = (c->intents_at + 1) % c->cap_intents;
        c->n_intents--;
    }
    if (c->n_intents && c->n_intents >= c->n_active)
        journal_hurry(c->journal);
}

static void on_begun(struct session *s, uint64_t id)
{
    struct core *c = s->core;
    struct job *j = job_of(s, id);
    check(j != NULL);
    struct journal_record r = {.message_id = id,
                               .kind = JOURNAL_INTENT,
                               .n = (uint8_t)(j->item->tries + 1),
                               .server_num = s->outlet->num,
                               .at = core_steady(c)};
    j->ticket = journal_add(c->journal, &r);
    j->has_intent = true;
    remember_intent(c, j->ticket);
}

static void on_ready(struct session *s)
{
    s->is_ready = true;
    s->outlet->n_connecting--;
    s->idle_since = loop_now_ms(s->core->loop);
    s->outlet->handshakes++;
    s->outlet->resumed += conn_tls_resumed(s->conn);
    const struct smtp_caps *caps = smtp_client_caps(s->smtp);
    fleet_learn(s->core->fleet, s->outlet->num, caps->size_max, caps->utf8);
    if (s->is_probe) {
        struct ending end = {.end = SMTP_END_ACCEPTED};
        settle_connection(s->outlet, &end, true, true);
        s->is_probe = false;
        session_quit(s);
    }
    outlet_dirty(s->outlet);
}

static void derived(void *owner, const uint8_t *salted)
{
    struct session *s = owner;
    s->derivation = NULL;
    smtp_client_derived(s->smtp, salted, loop_now_ms(s->core->loop));
    session_pump(s);
}

static void handle(struct session *s, const struct smtp_event *ev)
{
    struct job *j = NULL;
    switch (ev->kind) {
    case SMTP_EVENT_DERIVE:
        s->derivation = derive_start(s->core->desks, smtp_client_derivation(s->smtp),
                                     s->outlet->server->server->password, derived, s);
        break;
    case SMTP_EVENT_START_TLS: conn_start_tls(s->conn, smtp_client_deadline(s->smtp)); break;
    case SMTP_EVENT_READY: on_ready(s); break;
    case SMTP_EVENT_BEGUN: on_begun(s, ev->id); break;
    case SMTP_EVENT_DOT_ASK:
        j = job_of(s, ev->id);
        check(j != NULL);
        j->dot_asked = true;
        session_permit(j);
        break;
    case SMTP_EVENT_DONE: on_done(s, ev); break;
    case SMTP_EVENT_END: on_end(s, ev); break;
    case SMTP_EVENT_NONE: break;
    }
}

/* True: there is more, and it is the others' turn. */
static bool write_out(struct session *s)
{
    struct str slices[SLICES];
    for (int writes = 0; s->is_open && s->writable; writes++) {
        size_t n = smtp_client_output(s->smtp, slices, SLICES), want = 0;
        if (n == 0 || writes == WRITES_A_TURN)
            return n > 0;
        for (size_t i = 0; i < n; i++)
            want += slices[i].n;
        size_t took = conn_write(s->conn, slices, n);
        if (took)
            smtp_client_sent(s->smtp, took, loop_now_ms(s->core->loop));
        if (took < want)
            s->writable = false;
    }
    return false;
}

/* As many messages as the server takes on one connection, all answered. */
static bool is_used_up(const struct session *s)
{
    struct core *c = s->core;
    uint32_t most = fleet_messages_per_connection(c->fleet, s->outlet->num, core_steady(c));
    return s->is_ready && !s->quitting && s->n_jobs == 0 &&
           (s->is_old || (most && s->given >= most));
}

void session_pump(struct session *s)
{
    struct smtp_event ev;
    if (s->in_pump)
        return;
    s->in_pump = true;
    bool progress = true, goes_on = false;
    while (progress && !s->is_over && !goes_on) {
        progress = false;
        while (!s->is_over && smtp_client_event(s->smtp, &ev)) {
            handle(s, &ev);
            progress = true;
        }
        if (!s->is_over && outlet_offer(s->outlet, s))
            progress = true;
        if (!s->is_over)
            goes_on = write_out(s);
        struct str slice;
        if (!s->is_over && s->writable && s->is_open && smtp_client_output(s->smtp, &slice, 1))
            progress = true;
    }
    s->in_pump = false;
    if (s->is_over) {
        session_close(s);
        return;
    }
    if (goes_on)
        timer_at(s->timer, s->timer_at = loop_now_ms(s->core->loop));
    arm(s);
    if (is_used_up(s))
        session_quit(s);
    else if (session_can_take(s))
        outlet_dirty(s->outlet);
}

/* ---- step e */

static bool must_withdraw(struct core *c, struct job *j)
{
    const struct outlet *o = j->outlet;
    return o->is_removed || o->server->server->admin == ADMIN_PAUSED ||
           o->server->server->admin == ADMIN_DISABLED || j->is_suppressed || j->is_cancelled ||
           c->is_paused || c->is_held || c->is_stopping ||
           (j->run && j->run->state != RUN_RUNNING) ||
           (j->item->expires_at && core_steady(c) >= j->item->expires_at);
}

/* Up to this ticket a dot may leave: what is on the disk, and for bulk as many intents ahead of it
 * as the user allows (ledger.ahead; each may become uncertain in a power cut). */
static uint64_t durable_for(const struct core *c, const struct job *j)
{
    uint64_t ahead = j->item->lane == LANE_BULK ? c->cfg->ledger_ahead : 0;
    return journal_durable(c->journal) + ahead;
}

/* Dots that wait for a server's pace leave in the order in which they came; one that a limit beside
 * the server's own holds lets the others pass. */
static bool is_its_turn(const struct outlet *o, const struct job *j, int64_t now)
{
    const struct job *first = list_first(&o->pace, struct job, waiting);
    return !first || first == j || fleet_pace_at(o->core->fleet, &first->hold, now) > now;
}

static void permit_in(struct session *s, struct job *j)
{
    struct core *c = s->core;
    int64_t now = core_steady(c), when = 0;
    if (!j->dot_asked || j->dot_permitted)
        return;
    if (must_withdraw(c, j)) {
        smtp_client_withdraw(s->smtp, j->item->message_id, loop_now_ms(c->loop));
        return;
    }
    if (j->ticket > durable_for(c, j)) {
        if (list_empty(&j->waiting))
            list_push_back(&c->waiting_intents, &j->waiting);
        return;
    }
    if (!is_its_turn(s->outlet, j, now) || !fleet_dot(c->fleet, &j->hold, now, &when)) {
        if (list_empty(&j->waiting))
            list_push_back(&s->outlet->pace, &j->waiting);
        /* The first is woken by its time; a limit of its own may keep it, so the others look too.
         */
        s->next_at = loop_now_ms(c->loop) + PACE_LOOK_MS;
        pace_kick(s->outlet);
        return;
    }
    list_remove(&j->waiting);
    pace_kick(s->outlet);
    j->dot_permitted = true;
    j->dot_at = now;
    s->dot_since = loop_now_ms(c->loop);
    smtp_client_permit_dot(s->smtp, j->item->message_id, loop_now_ms(c->loop));
}

void session_permit(struct job *j)
{
    if (j->session)
        permit_in(j->session, j);
}

void session_intents_durable(struct core *c)
{
    struct list waiting;
    list_init(&waiting);
    for (struct list *n = list_pop_front(&c->waiting_intents); n;
         n = list_pop_front(&c->waiting_intents))
        list_push_back(&waiting, n);
    for (struct list *n = list_pop_front(&waiting); n; n = list_pop_front(&waiting)) {
        struct job *j = list_entry(n, struct job, waiting);
        if (j->ticket > durable_for(c, j)) {
            list_push_back(&c->waiting_intents, n);
        } else if (j->session) {
            struct session *s = j->session;
            permit_in(s, j);
            session_pump(s);
        }
    }
}

/* ---- giving */

bool session_can_take(struct session *s)
{
    if (!s->is_ready || s->is_probe || s->quitting || s->is_over || !s->is_open)
        return false;
    const struct server *cfg = s->outlet->server->server;
    struct core *c = s->core;
    uint32_t most = fleet_messages_per_connection(c->fleet, s->outlet->num, core_steady(c));
    if (s->is_old || s->is_slow)
        return false;
    enum smtp_take take = smtp_client_can_take(s->smtp);
    if (take == SMTP_TAKE_NO || (most && s->given >= most) ||
        loop_now_ms(s->core->loop) < s->next_at)
        return false;
    if (take == SMTP_TAKE_IDLE)
        return s->n_jobs == 0;
    struct job *head = outlet_head(s->outlet);
    return s->n_jobs == 1 && cfg->limits.pause_between_ms == 0 && head &&
           head->item->lane != LANE_TRANSACTIONAL;
}

void session_give(struct session *s, struct job *j)
{
    struct smtp_envelope e = envelope_of(j);
    check(s->n_jobs < countof(s->jobs));
    j->place = JOB_WIRE;
    j->has_intent = j->dot_asked = j->dot_permitted = false;
    if (s->n_jobs == 0) {
        s->core->n_active++;
        s->outlet->n_busy++;
        j->lead_at = loop_now_ms(s->core->loop);
    }
    s->jobs[s->n_jobs++] = j;
    j->session = s;
    s->outlet->n_wire++;
    s->given++;
    smtp_client_give(s->smtp, &e, loop_now_ms(s->core->loop));
    session_pump(s);
}

void session_quit(struct session *s)
{
    if (s->quitting || !s->smtp)
        return;
    s->quitting = true;
    smtp_client_quit(s->smtp, loop_now_ms(s->core->loop));
    session_pump(s);
}

/* ---- the stream */

static void on_open(void *arg)
{
    struct session *s = arg;
    s->is_open = s->writable = true;
    session_pump(s);
}

static void on_tls(void *arg, bool ok, const struct conn_failure *f)
{
    struct session *s = arg;
    (void)f;
    if (ok)
        smtp_client_tls_done(s->smtp, true, loop_now_ms(s->core->loop));
    session_pump(s);
}

static void on_data(void *arg, struct str bytes)
{
    struct session *s = arg;
    smtp_client_input(s->smtp, bytes, loop_now_ms(s->core->loop));
    session_pump(s);
}

static void on_writable(void *arg)
{
    struct session *s = arg;
    s->writable = true;
    session_pump(s);
}

static enum loss loss_of_conn(enum conn_cause cause)
{
    switch (cause) {
    case CONN_CAUSE_TIMEOUT: return LOSS_TIMEOUT;
    case CONN_CAUSE_NOT_FOUND:
    case CONN_CAUSE_DNS: return LOSS_NAME;
    case CONN_CAUSE_REFUSED: return LOSS_REFUSED;
    case CONN_CAUSE_UNREACHABLE: return LOSS_UNREACHABLE;
    case CONN_CAUSE_CERTIFICATE: return LOSS_CERTIFICATE;
    case CONN_CAUSE_TLS: return LOSS_TLS;
    default: return LOSS_CLOSED;
    }
}

static void on_close(void *arg, const struct conn_failure *f)
{
    struct session *s = arg;
    static const enum phase phases[] = {PHASE_DNS, PHASE_CONNECT, PHASE_TLS, PHASE_GREETING};
    conn_close(&s->conn);
    if (!s->is_open || f->stage == CONN_STAGE_TLS) {
        struct ending end = {.end = SMTP_END_LOST,
                             .phase = phases[f->stage],
                             .loss = loss_of_conn(f->cause),
                             .why = f->text,
                             .refused_by_host = f->cause == CONN_CAUSE_REFUSED};
        s->is_over = true;
        s->is_open = false;
        connection_failed(s, &end);
        session_close(s);
        return;
    }
    s->is_open = false;
    smtp_client_closed(s->smtp, loop_now_ms(s->core->loop));
    session_pump(s);
}

static const struct conn_handler handler = {on_open, on_tls, on_data, on_writable, on_close};

struct session *session_open(struct outlet *o, bool is_probe)
{
    struct core *c = o->core;
    const struct server *cfg = o->server->server;
    int64_t now = loop_now_ms(c->loop);
    struct session *s = alloc_one(struct session);
    s->core = c;
    s->outlet = o;
    s->is_probe = is_probe;
    s->timer_at = INT64_MAX;
    s->timer = timer_new(c->loop, on_timer, s);
    list_init(&s->link);
    struct smtp_client_config k = {.helo = cfg->helo ? cfg->helo : c->host,
                                   .tls = (enum smtp_tls)cfg->tls,
                                   .user = cfg->user,
                                   .password = cfg->password,
                                   .chunking_off = cfg->chunking_off,
                                   .ready_deadline = now + cfg->connect_timeout_ms,
                                   .reply_timeout_ms = cfg->reply_timeout_ms,
                                   .dot_timeout_ms = cfg->dot_timeout_ms,
                                   .nonce = rand_secret_u64(),
                                   .derives_elsewhere = true,
                                   .transcript_max = TRANSCRIPT_MAX};
    s->smtp = smtp_client_new(&k, now);
    struct conn_params p = {.host = cfg->host,
                            .port = cfg->port,
                            .tls = cfg->tls == TLS_MODE_TLS,
                            .tls_verify = cfg->tls_verify,
                            .session_key = o->num,
                            .deadline = now + cfg->connect_timeout_ms};
    list_push_back(&o->sessions, &s->link);
    o->n_sessions++;
    o->n_connecting++;
    s->conn = conn_open(c->net, &p, &handler, s);
    return s;
}

void session_close(struct session *s)
{
    struct outlet *o = s->outlet;
    s->is_over = true;
    if (s->in_pump)
        return; /* the pump closes when it is done */
    no_longer_slow(s, false);
    while (s->n_jobs) { /* only when the engine stops: the machine has no say any more */
        struct job *j = s->jobs[0];
        bool left = smtp_client_dot_left(s->smtp, j->item->message_id);
        struct ending end = {.end = left ? SMTP_END_UNCERTAIN : SMTP_END_LOST,
                             .phase = left ? PHASE_DOT : PHASE_MAIL,
                             .loss = LOSS_CLOSED,
                             .dot_left = left,
                             .is_ours = true,
                             .why = s->core->is_stopping ? "this daemon stopped"
                                                         : "silent for long: given up to ask anew"};
        take_off_wire(s, j);
        journal_end(j, !left);
        if (left)
            settle_attempt(j, &end);
        else
            outlet_unpick(j);
    }
    conn_close(&s->conn);
    derive_abandon(&s->derivation);
    timer_free(&s->timer);
    outlet_session_over(o, s);
    smtp_client_free(&s->smtp);
    free(s);
}
