/* One walk over all messages in order of their ids: single ones from `message`, those of campaigns
 * from their leases, beside them the results and the queue, which lie in the same order. What
 * belongs to no message is told, then each message is judged by its whole life. */
#include "store/ledger_inner.h"
#include "base/codec.h"
#include "store/outbox.h"

#define SLACK_MS 2000 /* from the suppression's row to the reactor's knowledge */

struct cursor { /* rows of a statement, one looked at ahead */
    struct stmt *s;
    bool row;
};

struct lease_at { /* the lease that is being walked */
    uint64_t first, n, at;
    uint32_t campaign_num;
    bool open;
    uint64_t contacts[LEASE_MAX];
};

struct life { /* a message */
    uint64_t id, contact;
    struct ledger_campaign *campaign;
    enum lane lane;
    bool leased_open;
    int64_t suppressed_since; /* -1: not */
    uint32_t n;
    enum message_state state;
    bool hard, told_numbers;
    uint32_t accepted, uncertain; /* since the user's last word */
    bool queued;
    int64_t queue_tries, queue_resends;
};

struct walk {
    struct ledger_look *k;
    struct cursor results, queue, messages, leases;
    struct lease_at *lease;
};

static bool open_cursor(struct walk *w, struct cursor *c, const char *sql, struct err *e)
{
    c->s = db_stmt(w->k->db, sql, e);
    return c->s && db_step(c->s, &c->row, e);
}

static bool advance(struct cursor *c, struct err *e)
{
    return db_step(c->s, &c->row, e);
}

static uint64_t id_at(const struct cursor *c)
{
    return c->row ? (uint64_t)db_i64(c->s, 0) : UINT64_MAX;
}

struct name {
    char text[24];
};

static struct name name_of(uint64_t id)
{
    struct name n = {""};
    codec_id_format("msg", id, n.text);
    return n;
}

/* ---- one attempt */

static bool was_final(const struct life *m)
{
    return m->n > 0 && message_state_is_final(m->state);
}

static void look_at_suppression(struct ledger_look *k, const struct life *m, int64_t at, int64_t ms)
{
    if (m->suppressed_since < 0)
        return;
    bool picked_after = at - ms > m->suppressed_since + SLACK_MS;
    bool dot_after = at > m->suppressed_since + k->dot_most_ms + 60000;
    if (picked_after || dot_after)
        ledger_say(k, FAULT_SUPPRESSED,
                   "message %s was sent %lld s after its address was suppressed",
                   name_of(m->id).text, (long long)(at - m->suppressed_since) / 1000);
}

static void look_at_doubles(struct ledger_look *k, const struct life *m, enum verdict v)
{
    uint32_t most = m->lane == LANE_TRANSACTIONAL ? LEDGER_CHECK_RESENDS + 1 : 1;
    if (v == VERDICT_ACCEPTED && m->accepted > most)
        ledger_say(k, FAULT_DOUBLED, "message %s was accepted %u times", name_of(m->id).text,
                   m->accepted);
    else if (v == VERDICT_ACCEPTED && m->uncertain && m->lane != LANE_TRANSACTIONAL)
        ledger_say(k, FAULT_DOUBLED, "message %s was sent again although it was uncertain",
                   name_of(m->id).text);
    else if (v == VERDICT_UNCERTAIN && m->uncertain > most)
        ledger_say(k, FAULT_DOUBLED, "message %s was sent again after being uncertain %u times",
                   name_of(m->id).text, m->uncertain - 1);
}

static void fold(struct ledger_look *k, struct life *m, struct stmt *s)
{
    uint32_t n = (uint32_t)db_i64(s, 1);
    uint16_t server_num = (uint16_t)db_i64(s, 2);
    enum message_state state = (enum message_state)db_i64(s, 3);
    enum verdict v = (enum verdict)db_i64(s, 4);
    bool is_word = server_num == 0 && v == VERDICT_NONE && state == MESSAGE_QUEUED;
    bool resend = m->state == MESSAGE_UNCERTAIN && m->lane == LANE_TRANSACTIONAL;
    if (was_final(m) && !is_word && !resend)
        ledger_say(k, FAULT_AFTER_END, "message %s was %s at attempt %u, yet has attempt %u",
                   name_of(m->id).text, message_state_name(m->state), m->n, n);
    if (n != m->n + 1 && !m->told_numbers) {
        m->told_numbers = true;
        ledger_say(k, FAULT_NUMBERS, "message %s: attempt %u follows attempt %u",
                   name_of(m->id).text, n, m->n);
    }
    m->n = n;
    m->state = state;
    m->hard = db_i64(s, 5) != 0;
    if (is_word)
        m->accepted = m->uncertain = 0;
    m->accepted += v == VERDICT_ACCEPTED;
    m->uncertain += v == VERDICT_UNCERTAIN;
    look_at_doubles(k, m, v);
    if (v == VERDICT_ACCEPTED)
        look_at_suppression(k, m, db_i64(s, 6), db_i64(s, 7));
    if (!server_num)
        return;
    struct ledger_server *x = ledger_server_of(k, server_num);
    x->attempts++;
    x->accepted += v == VERDICT_ACCEPTED;
    x->uncertain += v == VERDICT_UNCERTAIN;
}

/* ---- one message */

static int kind_of(const struct life *m)
{
    static const int kinds[MESSAGE_STATE_COUNT] = {
        [MESSAGE_SENT] = TALLY_SENT,           [MESSAGE_UNCERTAIN] = TALLY_UNCERTAIN,
        [MESSAGE_FAILED] = TALLY_FAILED,       [MESSAGE_SUPPRESSED] = TALLY_SUPPRESSED,
        [MESSAGE_CANCELLED] = TALLY_CANCELLED, [MESSAGE_EXPIRED] = TALLY_EXPIRED};
    if (m->state == MESSAGE_BOUNCED)
        return m->hard ? TALLY_BOUNCED_HARD : TALLY_BOUNCED_SOFT;
    return (size_t)m->state < countof(kinds) ? kinds[m->state] : 0;
}

static void judge(struct ledger_look *k, const struct life *m)
{
    struct ledger_campaign *c = m->campaign;
    bool resend =
        m->state == MESSAGE_UNCERTAIN && m->lane == LANE_TRANSACTIONAL && m->queue_resends > 0;
    if (m->queued && was_final(m) && !resend)
        ledger_say(k, FAULT_QUEUED_END, "message %s is %s, yet waits in the queue",
                   name_of(m->id).text, message_state_name(m->state));
    if (m->queued && m->queue_tries > m->n)
        ledger_say(k, FAULT_NUMBERS, "message %s: the queue knows of %lld attempts, there are %u",
                   name_of(m->id).text, (long long)m->queue_tries, m->n);
    if (!m->queued && !was_final(m) && !m->leased_open)
        ledger_say(k, FAULT_LOST,
                   "message %s has no end and is neither in the queue nor in an open lease",
                   name_of(m->id).text);
    if (!c)
        return;
    if (m->queued)
        c->counted[TALLY_DEFERRED] += m->queue_tries > 0;
    else if (was_final(m))
        c->counted[kind_of(m)]++;
}

static void read_queue(struct walk *w, struct life *m)
{
    struct stmt *s = w->queue.s;
    uint32_t num = m->campaign ? m->campaign->num : 0;
    m->queued = true;
    m->queue_tries = db_i64(s, 1);
    m->queue_resends = db_i64(s, 2);
    if ((uint32_t)db_i64(s, 3) != num || (uint64_t)db_i64(s, 4) != m->contact)
        ledger_say(w->k, FAULT_OWNERLESS,
                   "message %s: the queue has it for another campaign or contact",
                   name_of(m->id).text);
}

/* What lies before the next message belongs to none. */
static bool skip_to(struct walk *w, uint64_t id, struct err *e)
{
    while (w->results.row && id_at(&w->results) < id) {
        ledger_say(w->k, FAULT_OWNERLESS, "a result of %s, which is no message",
                   name_of(id_at(&w->results)).text);
        if (!advance(&w->results, e))
            return false;
    }
    while (w->queue.row && id_at(&w->queue) < id) {
        ledger_say(w->k, FAULT_OWNERLESS, "the queue holds %s, which is no message",
                   name_of(id_at(&w->queue)).text);
        if (!advance(&w->queue, e))
            return false;
    }
    return true;
}

static bool live(struct walk *w, struct life *m, struct err *e)
{
    if (!skip_to(w, m->id, e))
        return false;
    while (w->results.row && id_at(&w->results) == m->id) {
        fold(w->k, m, w->results.s);
        if (!advance(&w->results, e))
            return false;
    }
    if (w->queue.row && id_at(&w->queue) == m->id) {
        read_queue(w, m);
        if (!advance(&w->queue, e))
            return false;
    }
    judge(w->k, m);
    return true;
}

/* ---- the two sources of messages */

static bool load_lease(struct walk *w, struct err *e)
{
    struct lease_at *l = w->lease;
    struct stmt *s = w->leases.s;
    uint64_t end = l->first + l->n;
    if (!w->leases.row) {
        l->n = l->at = 0;
        l->first = UINT64_MAX;
        return true;
    }
    l->first = (uint64_t)db_i64(s, 0);
    l->campaign_num = (uint32_t)db_i64(s, 1);
    l->open = db_i64(s, 2) != 0;
    l->n = (uint64_t)db_i64(s, 3);
    l->at = 0;
    uint32_t there = outbox_ids_unpack(db_blob(s, 4), l->contacts, LEASE_MAX);
    if (l->first < end || there != l->n || l->n == 0)
        ledger_say(w->k, FAULT_OWNERLESS,
                   "lease %s: %u contacts of %llu, or it overlaps the one before",
                   name_of(l->first).text, there, (unsigned long long)l->n);
    l->n = there;
    if (!ledger_campaign_of(w->k, l->campaign_num))
        ledger_say(w->k, FAULT_OWNERLESS, "lease %s is of campaign %u, which is none",
                   name_of(l->first).text, l->campaign_num);
    return advance(&w->leases, e);
}

static bool next_lease(struct walk *w, struct err *e)
{
    while (w->lease->at >= w->lease->n && w->lease->first != UINT64_MAX)
        if (!load_lease(w, e))
            return false;
    return true;
}

static bool live_leased(struct walk *w, struct err *e)
{
    struct lease_at *l = w->lease;
    struct ledger_campaign *c = ledger_campaign_of(w->k, l->campaign_num);
    uint64_t contact = l->contacts[l->at];
    int64_t since = (int64_t)(uintptr_t)map_u64_get(w->k->suppressed, contact);
    struct life m = {.id = l->first + l->at++,
                     .contact = contact,
                     .campaign = c,
                     .lane = c ? c->lane : LANE_BULK,
                     .leased_open = l->open,
                     .suppressed_since = since - 1};
    return live(w, &m, e) && next_lease(w, e);
}

static bool live_single(struct walk *w, struct err *e)
{
    struct stmt *s = w->messages.s;
    struct life m = {.id = id_at(&w->messages),
                     .campaign = ledger_campaign_of(w->k, 0),
                     .lane = (enum lane)db_i64(s, 1),
                     .suppressed_since = db_is_null(s, 2) ? -1 : db_i64(s, 2)};
    return live(w, &m, e) && advance(&w->messages, e);
}

static bool open_all(struct walk *w, struct err *e)
{
    return open_cursor(w, &w->results,
                       "SELECT message_id, n, server_num, state, verdict, hard, at, ms FROM result "
                       "ORDER BY message_id, n",
                       e) &&
           open_cursor(w, &w->queue,
                       "SELECT id, tries, resends, campaign_num, contact_id FROM queue ORDER BY id",
                       e) &&
           open_cursor(w, &w->messages,
                       "SELECT m.id, m.lane, s.since FROM message m LEFT JOIN suppression s ON "
                       "s.address = m.rcpt_key ORDER BY m.id",
                       e) &&
           open_cursor(w, &w->leases,
                       "SELECT first_id, campaign_num, open, n, ids FROM lease WHERE campaign_num "
                       "<> 0 ORDER BY first_id",
                       e);
}

bool ledger_walk(struct ledger_look *k, struct err *e)
{
    static struct lease_at lease; /* 4 KB are much for a stack of calls; one check at a time */
    struct walk w = {.k = k, .lease = &lease};
    lease = (struct lease_at){0};
    bool ok = open_all(&w, e) && next_lease(&w, e);
    while (ok && (w.messages.row || lease.first != UINT64_MAX)) {
        bool leased = lease.first + lease.at < id_at(&w.messages);
        ok = leased ? live_leased(&w, e) : live_single(&w, e);
    }
    ok = ok && skip_to(&w, UINT64_MAX, e);
    struct cursor *all[] = {&w.results, &w.queue, &w.messages, &w.leases};
    for (size_t i = 0; i < countof(all); i++)
        if (all[i]->s)
            db_reset(all[i]->s);
    return ok;
}
