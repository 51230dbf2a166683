/* The properties, after the end of a run: what servers took against what the database says. */
#include "world.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "model/message.h"
#include "model/verdict.h"
#include "store/db.h"
#include "store/ledger_check.h"
#include "store/reports.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXTS_MAX 12

struct tale { /* of a message */
    uint32_t accepts, results, ends, uncertain, bounces;
    enum message_state state; /* of the last result */
    bool in_queue, is_single;
    int64_t due_s; /* after the end */
    char why[120];
};

static struct {
    char *out;
    size_t size, n;
    uint32_t findings;
    struct db *db;
    struct map_u64 *tales;
    uint32_t journal_uncertain, uncertain;
} j;

static void found(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void found(const char *fmt, ...)
{
    char line[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (++j.findings > TEXTS_MAX || j.n >= j.size)
        return;
    j.n += (size_t)snprintf(j.out + j.n, j.size - j.n, "  %s\n", line);
}

static struct tale *tale_of(uint64_t id)
{
    struct tale *t = map_u64_get(j.tales, id);
    if (!t) {
        t = alloc_one(struct tale);
        map_u64_set(j.tales, id, t);
    }
    return t;
}

/* ---- reading */

static void each_row(const char *sql, void (*row)(struct stmt *s))
{
    struct err e;
    bool has = false;
    struct stmt *s = db_stmt(j.db, sql, &e);
    while (s && db_step(s, &has, &e) && has)
        row(s);
    if (!s || has)
        found("the database cannot be read: %s", e.text);
    if (s)
        db_reset(s);
}

static void result_row(struct stmt *s)
{
    struct tale *t = tale_of((uint64_t)db_i64(s, 0));
    t->state = (enum message_state)db_i64(s, 1);
    t->results++;
    t->ends += message_state_is_final(t->state);
    t->bounces += t->state == MESSAGE_BOUNCED;
    t->uncertain += db_i64(s, 2) == VERDICT_UNCERTAIN;
    j.uncertain += db_i64(s, 2) == VERDICT_UNCERTAIN;
    j.journal_uncertain += db_i64(s, 2) == VERDICT_UNCERTAIN && str_is(db_text(s, 3), "journal");
}

static void queue_row(struct stmt *s)
{
    struct tale *t = tale_of((uint64_t)db_i64(s, 0));
    t->in_queue = true;
    t->due_s =
        db_i64(s, 2) == INT64_MAX ? INT64_MAX : db_i64(s, 2) / 1000 - world_wall_us() / SECOND_US;
    (void)str_copy(db_text(s, 1), t->why, sizeof t->why);
    if (t->results && db_is_null(s, 1))
        found("message %llx waits after an attempt and nobody says why",
              (unsigned long long)db_i64(s, 0));
}

static void single_row(struct stmt *s)
{
    uint64_t n = 0;
    struct str to = db_text(s, 1);
    tale_of((uint64_t)db_i64(s, 0))->is_single = true;
    if (str_to_u64(str_cut(to, 1, 6), PEOPLE_MAX - 1, &n))
        W->people[n].id = (uint64_t)db_i64(s, 0);
}

/* ---- nothing lost, nothing twice, nothing settled twice */

static void judge_tale(uint64_t id, const struct tale *t)
{
    unsigned long long n = id;
    /* A bounce is undone when its server turns out to lie: the one move back that there is. */
    uint32_t undone = t->bounces - (t->state == MESSAGE_BOUNCED);
    uint32_t ends_allowed = 1 + (t->is_single && t->uncertain ? 1 : 0) + undone;
    bool open = t->in_queue || !message_state_is_final(t->state);
    if (t->accepts > 1u + (t->is_single && t->uncertain))
        found("message %llx was taken %u times", n, t->accepts);
    if (t->ends > ends_allowed)
        found("message %llx was settled %u times", n, t->ends);
    if (t->accepts && t->results && open && !t->uncertain)
        found("message %llx was taken, yet it waits", n);
    if (t->accepts && !open && t->state != MESSAGE_SENT && !t->uncertain)
        found("message %llx was taken, yet it is %s", n, message_state_name(t->state));
    if (t->state == MESSAGE_SENT && !t->accepts)
        found("message %llx is said to be sent, and no server took it", n);
    if ((W->expects & EXPECT_DONE) && open)
        found("message %llx is still open after %u results, due %lld s after the end: %s", n,
              t->results, (long long)t->due_s, t->why);
}

static void judge_people(void)
{
    uint32_t *taken = alloc_many(uint32_t, W->n_people + 1);
    for (uint32_t i = 0; i < W->n_mails; i++)
        taken[W->mails[i].person] += W->mails[i].accepted;
    for (uint32_t i = 0; i < W->n_people; i++) {
        const struct person *p = &W->people[i];
        if (!p->is_single && taken[i] > 1)
            found("p%u got %u mails of a campaign", i, taken[i]);
        if (p->is_single && p->is_posted && !p->id)
            found("the message to p%u was accepted from the user and is gone", i);
    }
    free(taken);
}

static void judge_campaign(const struct vcampaign *c)
{
    static const char *const parts[] = {"sent",      "failed",  "uncertain", "suppressed",
                                        "cancelled", "expired", "pending"};
    json_t *r = NULL;
    struct err e;
    if (!report_campaign_figures(j.db, c->name, NULL, NULL, world_wall_us() / 1000, &r, &e)) {
        found("%s: %s", c->name, e.text);
        return;
    }
    json_t *b = json_object_get(r, "bounced");
    int64_t sum = json_integer_value(json_object_get(b, "hard")) +
                  json_integer_value(json_object_get(b, "soft"));
    for (size_t i = 0; i < countof(parts); i++)
        sum += json_integer_value(json_object_get(r, parts[i]));
    int64_t all = json_integer_value(json_object_get(r, "recipients"));
    int64_t pending = json_integer_value(json_object_get(r, "pending"));
    if (sum != all || (c->started && all != c->n))
        found("%s: %lld recipients of %u, ends and pending are %lld", c->name, (long long)all, c->n,
              (long long)sum);
    if ((W->expects & EXPECT_DONE) && pending)
        found("%s: %lld are pending", c->name, (long long)pending);
    json_decref(r);
}

/* A campaign that paused itself (too many uncertain, content refused) waits for its user. */
static void paused_row(struct stmt *s)
{
    if (db_i64(s, 0))
        W->expects &= ~(unsigned)EXPECT_DONE;
}

static void judge_fates(void)
{
    size_t pos = 0;
    uint64_t id = 0;
    void *t = NULL;
    each_row("SELECT message_id, state, verdict, rule FROM result ORDER BY message_id, n",
             result_row);
    each_row("SELECT id, why, due FROM queue", queue_row);
    each_row("SELECT id, rcpt FROM message", single_row);
    each_row("SELECT count(*) FROM campaign WHERE state = 3", paused_row);
    for (uint32_t i = 0; i < W->n_mails; i++)
        tale_of(W->mails[i].id)->accepts += W->mails[i].accepted;
    while (map_u64_next(j.tales, &pos, &id, &t))
        judge_tale(id, t);
    judge_people();
    for (uint32_t i = 0; i < W->n_campaigns; i++)
        judge_campaign(&W->campaigns[i]);
    if (j.journal_uncertain > 2 * W->connections_at_crash)
        found("%u uncertain after crashes with %u connections", j.journal_uncertain,
              W->connections_at_crash);
}

/* ---- the ledger's own check */

static void on_finding(void *arg, const char *text)
{
    (void)arg;
    found("ledger check: %s", text);
}

static void judge_ledger(void)
{
    struct err e;
    size_t n = 0;
    if (!ledger_check(j.db, on_finding, NULL, &n, &e))
        found("ledger check: %s", e.text);
}

/* ---- uncertain only where something was lost */

static bool may_lose_replies(void)
{
    static const enum verb losing[] = {VERB_SLOW,   VERB_DROP_DOT, VERB_LOSE_DOT, VERB_VANISH,
                                       VERB_REFUSE, VERB_HOURLY,   VERB_AHEAD,    VERB_HANG};
    for (uint32_t i = 0; i < W->n_servers; i++)
        for (uint32_t k = 0; k < W->servers[i].n_behaviours; k++)
            for (size_t v = 0; v < countof(losing); v++)
                if (W->servers[i].behaviours[k].verb == losing[v])
                    return true;
    for (uint32_t i = 0; i < W->n_faults; i++)
        if (W->faults[i].kind != FAULT_WALL)
            return true;
    return false;
}

static void judge_cause(void)
{
    if (j.uncertain && !may_lose_replies())
        found("%u uncertain, and no reply was lost", j.uncertain);
}

static void free_tales(void)
{
    size_t pos = 0;
    uint64_t id = 0;
    void *t = NULL;
    while (map_u64_next(j.tales, &pos, &id, &t))
        free(t);
    map_u64_free(&j.tales);
}

bool judge(char *out, size_t size)
{
    char path[300];
    struct err e;
    memset(&j, 0, sizeof j);
    j.out = out;
    j.size = size;
    out[0] = 0;
    snprintf(path, sizeof path, "%s/postfleet.db", W->folder);
    if (!db_open(path, DB_READ_WRITE, &j.db, &e)) {
        found("%s", e.text);
        return false;
    }
    j.tales = map_u64_new();
    judge_fates();
    judge_ledger();
    judge_limits(found);
    judge_fleet(j.db, found);
    judge_time(j.db, found);
    judge_cause();
    free_tales();
    db_close(&j.db);
    return j.findings == 0;
}
