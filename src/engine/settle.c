/* What the end of an attempt means: verdict, report to the fleet, next step, outcome. Collects the
 * outcomes of a turn into one batch for the ledger. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_BYTES (64u << 20)
#define REPLY_MAX   1000

struct entry {
    struct outcome o;
    struct box *of;  /* its strings are borrowed until this is written */
    struct box *box; /* LATER or END: one fewer is left in it */
    uint64_t ticket; /* 0: no intent to settle */
    bool closes;     /* the box's last one: the lease is closed with it */
    bool suppressed; /* result: the address was suppressed */
};

struct batch {
    struct ledger_job lj;
    struct core *core;
    struct arena *arena;
    struct entry *entries;
    uint32_t n, cap;
};

/* ---- the batch */

static bool batch_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct batch *b = container_of(lj, struct batch, lj);
    int64_t wall = clock_wall_ms();
    for (uint32_t i = 0; i < b->n; i++) {
        struct entry *x = &b->entries[i];
        if (!results_add(b->core->results, db, &x->o, wall, &x->suppressed, e))
            return false;
        if (x->box && x->o.in_queue)
            map_u64_remove(b->core->claimed, x->o.a.message_id);
        if (x->closes &&
            !outbox_close(db, x->box->lease->first_id, x->box->lease->campaign_num != 0, e))
            return false;
    }
    return true;
}

/* On the reactor: what hung on these rows being durable. */
static void batch_done(struct ledger_job *lj)
{
    struct batch *b = container_of(lj, struct batch, lj);
    struct core *c = b->core;
    for (uint32_t i = 0; i < b->n; i++) {
        struct entry *x = &b->entries[i];
        if (x->ticket)
            journal_settle(c->journal, x->ticket);
        if (x->suppressed)
            campaigner_suppressed(c, x->o.key);
        x->of->pending--;
        if (x->o.kind == OUTCOME_LATER && x->o.due != INT64_MAX)
            campaigner_look_at(c, x->o.lane, x->o.due);
        if (x->closes)
            campaigner_box_empty(c, x->box);
        if (x->o.campaign_num && x->o.kind == OUTCOME_END)
            campaigner_maybe_finished(c, x->o.campaign_num);
    }
    arena_free(&b->arena);
    free(b->entries);
    free(b);
}

static struct entry *batch_add(struct core *c)
{
    struct batch *b = c->batch;
    if (!b) {
        b = c->batch = alloc_one(struct batch);
        b->core = c;
        b->arena = arena_new(BATCH_BYTES);
        b->lj.order = LEDGER_RESULT;
        b->lj.work = batch_work;
        b->lj.done = batch_done;
    }
    if (b->n == b->cap) {
        b->cap = MAX(b->cap * 2, 32u);
        b->entries = alloc_resize(b->entries, b->cap * sizeof *b->entries);
    }
    struct entry *x = &b->entries[b->n++];
    *x = (struct entry){0};
    return x;
}

void settle_flush(struct core *c)
{
    struct batch *b = c->batch;
    if (!b)
        return;
    c->batch = NULL;
    b->lj.rows = b->n;
    ledger_post(c->ledger, &b->lj);
}

/* ---- texts */

static struct str keep(struct core *c, struct str s, size_t max)
{
    if (s.n > max)
        for (s.n = max; s.n && ((unsigned char)s.p[s.n] & 0xC0) == 0x80;)
            s.n--; /* never inside a UTF-8 sequence */
    char *p = arena_alloc(c->batch->arena, s.n + 1);
    if (!p)
        return STR_NONE;
    if (s.n)
        memcpy(p, s.p, s.n);
    struct str out = {p, s.n};
    bool utf8 = str_is_utf8(out);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)p[i];
        if ((ch < 32 && ch != '\n' && ch != '\t') || ch == 127 || (ch > 127 && !utf8))
            p[i] = '?';
    }
    return out;
}

/* ---- filling an outcome */

static struct entry *begin_outcome(struct job *j, enum outcome_kind kind, enum message_state state)
{
    struct core *c = j->core;
    struct lease_item *it = j->item;
    struct entry *x = batch_add(c);
    x->of = j->box;
    j->box->pending++;
    x->o = (struct outcome){.kind = kind,
                            .contact_id = it->contact_id,
                            .campaign_num = it->campaign_num,
                            .group_num = it->group_num,
                            .lane = it->lane,
                            .key = it->key,
                            .provider = str_of(provider_name(providers_builtin(), j->provider)),
                            .in_queue = it->in_queue,
                            .was_deferred = it->was_deferred,
                            .attempts = it->attempts,
                            .resends = it->resends,
                            .first_at = it->first_at,
                            .expires_at = it->expires_at};
    x->o.a.message_id = it->message_id;
    x->o.a.state = state;
    x->o.a.at = clock_wall_ms();
    return x;
}

/* The message leaves memory with this outcome. */
static void leave(struct job *j, struct entry *x)
{
    struct core *c = j->core;
    if (j->place == JOB_READY)
        due_remove(c, j);
    j->place = JOB_OVER;
    x->box = j->box;
    x->closes = --j->box->left == 0;
    c->n_ready--;
    if (j->run)
        j->run->ready--;
    campaigner_forget(c, j);
    render_forget(j);
    free(j->tried);
    j->tried = NULL;
}

static void fill_attempt(struct job *j, struct entry *x, const struct ending *end,
                         const struct classification *cl)
{
    struct core *c = j->core;
    struct attempt *a = &x->o.a;
    a->n = ++j->item->tries;
    a->server_num = j->outlet->num;
    a->verdict = cl->verdict;
    a->phase = end->phase;
    a->code = end->code;
    memcpy(a->enhanced, end->enhanced, sizeof a->enhanced);
    a->ms = (int32_t)MIN(loop_now_ms(c->loop) - j->picked_at, (int64_t)INT32_MAX);
    a->rule = keep(c, str_of(cl->rule), 48);
    a->reply = keep(c, end->why ? str_of(end->why) : end->text, REPLY_MAX);
    a->why = keep(c, str_of(j->pick_why), sizeof j->pick_why);
    bool full = cl->verdict != VERDICT_ACCEPTED || j->item->lane == LANE_TRANSACTIONAL ||
                rand_below(&c->rand, CONVERSATION_ONE_IN) == 0;
    if (full)
        a->conversation = keep(c, end->conversation, 16384);
    x->o.has_attempt = true;
    x->o.via_group = j->hold.group_num;
    x->o.route_num = j->route_num;
    x->o.credential_num = j->item->credential_num;
    bool counts_all = j->server->server->limits.counts != COUNTS_ACCEPTED;
    x->o.took =
        j->dot_permitted
            ? counts_all || cl->verdict == VERDICT_ACCEPTED || cl->verdict == VERDICT_UNCERTAIN
            : counts_all && end->phase >= PHASE_MAIL && end->end != SMTP_END_UNABLE;
    x->o.took_at = j->dot_permitted ? j->dot_at : core_steady(c);
}

/* ---- what it means */

static void classify(struct job *j, const struct ending *end, struct classification *cl)
{
    struct answer a = {.phase = end->phase,
                       .loss = end->loss,
                       .after_dot = end->dot_left && end->loss != LOSS_NONE,
                       .code = end->code,
                       .text = end->text,
                       .profile = str_of(j->server->server->profile)};
    memcpy(a.enhanced, end->enhanced, sizeof a.enhanced);
    classify_answer(j->core->rules, &a, cl);
    if (end->end == SMTP_END_UNCERTAIN) {
        cl->verdict = VERDICT_UNCERTAIN;
        cl->fault = FAULT_NOBODY;
    }
}

static void reason(const struct ending *end, char *out, size_t size)
{
    if (end->why)
        snprintf(out, size, "%s: %s", phase_name(end->phase), end->why);
    else if (end->code)
        snprintf(out, size, "%s: %d %.*s", phase_name(end->phase), end->code,
                 (int)MIN(end->text.n, (size_t)100), end->text.p ? end->text.p : "");
    else
        snprintf(out, size, "%s: %s", phase_name(end->phase),
                 end->loss == LOSS_TIMEOUT ? "no answer in time" : "the connection was lost");
}

static uint64_t domain_hash(struct str key)
{
    ptrdiff_t at = str_rchr(key, '@');
    struct str domain = at < 0 ? key : str_from_index(key, (size_t)at + 1);
    return hash_bytes(domain.p, domain.n, 0);
}

static void report(struct job *j, const struct ending *end, const struct classification *cl)
{
    struct core *c = j->core;
    char why[160];
    reason(end, why, sizeof why);
    struct report r = {.server_num = j->outlet->num,
                       .hold = j->hold,
                       .is_message = true,
                       .code = end->code,
                       .is_ours = end->is_ours,
                       .verdict = cl->verdict,
                       .fault = cl->fault,
                       .phase = end->phase,
                       .reply_read = end->code != 0,
                       .refused_by_host = end->refused_by_host,
                       .dot_left = j->dot_permitted,
                       .dot_at = j->dot_at,
                       .latency_ms = end->dot_left ? core_steady(c) - j->dot_at : -1,
                       .busy_ms = j->lead_at ? loop_now_ms(c->loop) - j->lead_at : -1,
                       .wait_ms = cl->wait_ms,
                       .provider = j->provider,
                       .from_domain = str_of(j->class ? j->class->from_domain : ""),
                       .recipient = j->box->hashes[j - j->box->jobs] | 1,
                       .domain = domain_hash(j->item->key),
                       .why = why};
    fleet_report(c->fleet, &r, core_steady(c));
}

static void journal_outcome(struct job *j, const struct ending *end,
                            const struct classification *cl, const struct step *st)
{
    struct core *c = j->core;
    if (!j->has_intent || !end->dot_left)
        return;
    struct journal_record r = {.message_id = j->item->message_id,
                               .kind = JOURNAL_OUTCOME,
                               .n = (uint8_t)j->item->tries,
                               .state = (uint8_t)st->state,
                               .verdict = (uint8_t)cl->verdict,
                               .hard = st->hard,
                               .server_num = j->outlet->num,
                               .code = (uint16_t)end->code,
                               .at = core_steady(c)};
    journal_add(c->journal, &r);
}

static void add_tried(struct job *j)
{
    if (j->n_tried == j->cap_tried) {
        j->cap_tried = MAX(j->cap_tried * 2, 8u);
        j->tried = alloc_resize(j->tried, j->cap_tried * sizeof *j->tried);
    }
    j->tried[j->n_tried++] = j->outlet->num;
}

static struct retry_ask retry_ask_of(struct job *j)
{
    return (struct retry_ask){.verdict = j->last_verdict,
                              .permanent = j->last_permanent,
                              .lane = j->item->lane,
                              .attempts = j->item->attempts,
                              .resends = j->item->resends,
                              .uncertain_resends = UNCERTAIN_RESENDS,
                              .was_blocked = j->was_blocked,
                              .first_at = j->item->first_at,
                              .expires_at = j->item->expires_at,
                              .wait_ms = j->last_wait_ms,
                              .random = rand_u64(&j->core->rand),
                              .policy = core_policy(j->core, core_group_of(j)),
                              .tries = j->item->tries,
                              .n_tried = j->n_tried,
                              .same_once = j->same_once};
}

static const char *group_name(const struct job *j)
{
    const char *name = map_u64_get(j->core->group_names, core_group_of(j));
    return name ? name : "?";
}

/* The next step of an attempt that has just ended, by verdict and by the group's failure matrix. */
static void next_step(struct job *j, const struct ending *end, struct step *out)
{
    struct retry_ask ask = retry_ask_of(j);
    ask.was_fresh = end->was_fresh || j->same_once;
    ask.phase = end->phase;
    ask.code = end->code;
    memcpy(ask.enhanced, end->enhanced, sizeof ask.enhanced);
    ask.text = end->why ? str_of(end->why) : end->text;
    ask.tries = j->item->tries + 1;
    retry_after(&ask, core_steady(j->core), out);
}

/* The rule that decided stays with the attempt, behind why this server was asked. */
static void note_rule(struct job *j, struct entry *x, const struct step *st)
{
    char by[200], why[460];
    policy_why(st, group_name(j), by, sizeof by);
    if (!by[0])
        return;
    snprintf(why, sizeof why, "%s%s%s", j->pick_why, j->pick_why[0] ? "; " : "", by);
    x->o.a.why = keep(j->core, str_of(why), sizeof why);
    if (st->action == FAILOVER_SUPPRESS && st->kind == STEP_END && st->hard)
        x->o.rule = keep(j->core, str_of(by), sizeof by);
}

static void put_later(struct job *j, struct entry *x, const struct step *st, const char *why)
{
    x->o.due = st->due;
    x->o.attempts = j->item->attempts + st->counts;
    x->o.resends = j->item->resends + st->is_resend;
    x->o.tries = j->item->tries;
    bool stays = st->keep_server || fleet_sticks(j->core->fleet, j->hold.group_num);
    x->o.keep_server = stays && j->outlet ? j->outlet->num : 0;
    x->o.queue_why = keep(j->core, str_of(why), 200);
    x->o.kind = OUTCOME_LATER;
}

static void go_on(struct job *j, bool same_server)
{
    struct core *c = j->core;
    if (!same_server)
        add_tried(j);
    j->item->keep_server = 0;
    j->has_intent = j->dot_asked = j->dot_permitted = j->stale_once = false;
    render_forget(j);
    due_add(c, j, true);
}

static void count_result(struct job *j, const struct step *st, enum verdict v, const char *why)
{
    struct core *c = j->core;
    c->sent += st->state == MESSAGE_SENT;
    if (j->run && st->state == MESSAGE_SENT) {
        j->run->sent++;
        j->run->flowed_at = loop_now_ms(c->loop);
    }
    c->failovers += st->kind == STEP_NEXT_SERVER;
    if (j->run && v == VERDICT_CONTENT && st->kind == STEP_END)
        campaigner_content(c, j->run, why);
    if (v != VERDICT_UNCERTAIN)
        return;
    c->uncertain++;
    if (j->run && !c->is_stopping)
        campaigner_uncertain(c, j->run);
}

void settle_attempt(struct job *j, const struct ending *end)
{
    struct classification cl = {0};
    struct step st = {0};
    char why[200];
    if (end->end == SMTP_END_UNABLE) {
        settle_unable(j, end);
        return;
    }
    classify(j, end, &cl);
    j->last_verdict = cl.verdict;
    j->last_permanent = cl.permanent;
    j->last_wait_ms = cl.wait_ms;
    report(j, end, &cl);
    next_step(j, end, &st);
    bool believed = fleet_believes(j->core->fleet, j->outlet->num, cl.verdict);
    if (!believed) { /* the next server is asked, and its word taken */
        st = (struct step){.kind = STEP_NEXT_SERVER, .state = MESSAGE_QUEUED};
        j->last_verdict = VERDICT_FAILOVER;
        j->last_permanent = false;
    }
    reason(end, why, sizeof why);
    struct entry *x = begin_outcome(j, OUTCOME_ATTEMPT, st.state);
    fill_attempt(j, x, end, &cl);
    x->o.a.hard = st.hard;
    note_rule(j, x, &st);
    policies_act(j, &st, why);
    if (!believed)
        x->o.a.why = keep(j->core, STR("not believed: the server is suspect"), 80);
    x->ticket = j->has_intent && end->dot_left ? j->ticket : 0;
    journal_outcome(j, end, &cl, &st);
    count_result(j, &st, cl.verdict, why);
    j->was_blocked |= cl.verdict == VERDICT_BLOCKED;
    j->same_once |= st.kind == STEP_SAME_SERVER;
    switch (st.kind) {
    case STEP_END:
        x->o.kind = OUTCOME_END;
        if (st.state == MESSAGE_SENT && !j->run)
            x->o.sent_after_ms = MAX(core_steady(j->core) - j->item->first_at, (int64_t)1);
        x->o.provisional_until = st.hard ? clock_wall_ms() + PROVISIONAL_MS : 0;
        leave(j, x);
        break;
    case STEP_LATER:
        if (st.is_resend)
            x->o.a.state = MESSAGE_UNCERTAIN;
        put_later(j, x, &st, why);
        leave(j, x);
        break;
    case STEP_NEXT_SERVER: go_on(j, false); break;
    case STEP_SAME_SERVER: go_on(j, true); break;
    }
}

void settle_unable(struct job *j, const struct ending *end)
{
    struct core *c = j->core;
    struct classification cl = {.verdict = VERDICT_FAILOVER, .rule = "server-unable"};
    j->last_verdict = VERDICT_PROTOCOL;
    j->last_permanent = true;
    fleet_return(c->fleet, &j->hold, core_steady(c));
    struct entry *x = begin_outcome(j, OUTCOME_ATTEMPT, MESSAGE_QUEUED);
    fill_attempt(j, x, end, &cl);
    go_on(j, false);
}

void settle_without_attempt(struct job *j, enum message_state state, const char *why)
{
    struct entry *x = begin_outcome(j, OUTCOME_END, state);
    x->o.a.n = ++j->item->tries;
    x->o.a.why = keep(j->core, str_of(why), 200);
    leave(j, x);
}

void settle_hold(struct job *j, const char *why)
{
    struct step st = {.kind = STEP_LATER, .due = INT64_MAX};
    struct entry *x = begin_outcome(j, OUTCOME_LATER, MESSAGE_HELD);
    j->outlet = NULL;
    put_later(j, x, &st, why);
    leave(j, x);
}

void settle_postpone(struct job *j, int64_t due, const char *why)
{
    int64_t ends = j->item->expires_at ? j->item->expires_at : INT64_MAX;
    struct step st = {.kind = STEP_LATER, .due = MIN(due, ends)};
    struct entry *x = begin_outcome(j, OUTCOME_LATER, MESSAGE_QUEUED);
    uint16_t kept = j->item->keep_server;
    j->outlet = NULL;
    put_later(j, x, &st, why);
    x->o.keep_server = kept;
    leave(j, x);
}

void settle_round_over(struct job *j, const struct pick *p)
{
    struct core *c = j->core;
    struct step st = {0};
    struct retry_ask ask = retry_ask_of(j);
    if (p->bound == BOUND_FROM && j->n_tried == 0) {
        settle_without_attempt(j, MESSAGE_FAILED,
                               "no server of its group may send this From address");
        return;
    }
    if ((p->bound == BOUND_SIZE || p->bound == BOUND_CHARSET) && j->n_tried == 0) {
        settle_without_attempt(j, MESSAGE_FAILED,
                               p->bound == BOUND_SIZE
                                   ? "no server of its group takes a message of this size"
                                   : "no server of its group offers SMTPUTF8, which it needs");
        return;
    }
    if (j->last_verdict == VERDICT_PROTOCOL && j->last_permanent && p->bound == BOUND_TRIED) {
        settle_without_attempt(j, MESSAGE_FAILED, "no server can take this message as it is");
        return;
    }
    retry_round_over(&ask, core_steady(c), &st);
    if (st.kind == STEP_END) {
        char by[200];
        policy_why(&st, group_name(j), by, sizeof by);
        settle_without_attempt(j, st.state,
                               by[0] ? by : "too old: every server was tried, in every round");
        return;
    }
    struct entry *x = begin_outcome(j, OUTCOME_LATER, MESSAGE_QUEUED);
    j->outlet = NULL;
    put_later(j, x, &st, p->why);
    x->o.round_over = true;
    leave(j, x);
}

void settle_connection(struct outlet *o, const struct ending *end, bool is_probe, bool passed)
{
    struct core *c = o->core;
    struct classification cl = {.verdict = VERDICT_ACCEPTED};
    char why[160] = "";
    if (!passed) {
        struct answer a = {.phase = end->phase,
                           .loss = end->loss,
                           .code = end->code,
                           .text = end->text,
                           .profile = str_of(o->server->server->profile)};
        memcpy(a.enhanced, end->enhanced, sizeof a.enhanced);
        classify_answer(c->rules, &a, &cl);
        reason(end, why, sizeof why);
    }
    struct report r = {.server_num = o->num,
                       .is_probe = is_probe,
                       .verdict = cl.verdict,
                       .fault = cl.fault,
                       .phase = end->phase,
                       .reply_read = end->code != 0 || passed,
                       .refused_by_host = end->refused_by_host,
                       .latency_ms = -1,
                       .busy_ms = -1,
                       .wait_ms = cl.wait_ms,
                       .why = why};
    fleet_report(c->fleet, &r, core_steady(c));
}
