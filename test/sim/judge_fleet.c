/* What the dispatcher promises beside limits: shares, turns, the order of fallbacks, a sick
 * server's way out and back, lanes, no false accusation, and sending again after a cut network.
 * Only what the scenario's expectations name is asked for. */
#include "world.h"

#include "base/alloc.h"
#include "model/verdict.h"
#include "store/db.h"

#include <stdlib.h>

#define QUICK_US   100000
#define FLOOR_US   (20 * SECOND_US)
#define SICK_TRIES 8 /* 15 s after the first opening, 60 after the second, 135 after the third */
#define STILL_US   (20 * SECOND_US)
#define RETURN_US  (8 * SECOND_US) /* a second of retransmission, 2 s probes, 5 s as promised */

static found_fn *found;

static int64_t since_ready(const struct mail *m)
{
    return m->dot_us - W->ready_us;
}

/* ---- shares */

static void taken_by(uint32_t *n_of)
{
    for (uint32_t i = 0; i < W->n_mails; i++)
        n_of[W->mails[i].server] += W->mails[i].accepted;
}

static void judge_shares(const struct vgroup *g)
{
    uint32_t n_of[SERVERS_MAX] = {0}, weights = 0;
    taken_by(n_of);
    for (uint32_t i = 0; i < g->n_servers; i++)
        weights += g->weights[i];
    for (uint32_t i = 0; i < g->n_servers; i++) {
        double want = (double)W->n_mails * g->weights[i] / weights;
        double off = (double)n_of[g->servers[i]] - want;
        double allowed = MAX((double)W->n_mails / 100, 2.0);
        if (off > allowed || off < -allowed)
            found("%s: its share is %u of %u, its weight %u of %u says %.1f",
                  W->servers[g->servers[i]].name, n_of[g->servers[i]], W->n_mails, g->weights[i],
                  weights, want);
    }
}

static void judge_round(const struct vgroup *g)
{
    uint32_t n_of[SERVERS_MAX] = {0}, least = UINT32_MAX, most = 0;
    taken_by(n_of);
    for (uint32_t i = 0; i < g->n_servers; i++) {
        least = MIN(least, n_of[g->servers[i]]);
        most = MAX(most, n_of[g->servers[i]]);
    }
    if (most - least > 1)
        found("round robin: one server took %u, another %u", most, least);
}

/* ---- groups */

/* When the first server of a group goes away; INT64_MAX: none ever does. */
static int64_t away_from(const struct vgroup *g)
{
    int64_t from = INT64_MAX;
    for (uint32_t i = 0; i < g->n_servers; i++) {
        const struct vserver *s = &W->servers[g->servers[i]];
        for (uint32_t k = 0; k < s->n_behaviours; k++)
            from = MIN(from, s->behaviours[k].from_us);
    }
    return from;
}

static bool is_member(const struct vgroup *g, uint32_t server)
{
    for (uint32_t i = 0; i < g->n_servers; i++)
        if (g->servers[i] == server)
            return true;
    return false;
}

/* The last group is always well: the campaign never stands still. */
static void judge_going_on(void)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < W->n_mails; i++) {
        const struct mail *m = &W->mails[i];
        if (W->people[m->person].is_single)
            continue;
        if (last && m->at_us - last > STILL_US)
            found("nothing of the campaign left for %.0f s, from %.0f s on, and the last group was "
                  "well",
                  (double)(m->at_us - last) / 1e6, (double)(last - W->ready_us) / 1e6);
        last = m->at_us;
    }
}

static void judge_fallback(void)
{
    judge_going_on();
    for (uint32_t k = 1; k < W->n_groups; k++)
        for (uint32_t i = 0; i < W->n_mails; i++) {
            const struct mail *m = &W->mails[i];
            if (W->people[m->person].is_single || !is_member(&W->groups[k], m->server) ||
                since_ready(m) >= away_from(&W->groups[k - 1]))
                continue;
            found("p%u went to group %s at %.3f s while %s was well", m->person, W->groups[k].name,
                  (double)since_ready(m) / 1e6, W->groups[k - 1].name);
            return;
        }
}

/* ---- a sick server */

static void judge_sick(void)
{
    uint32_t while_sick = 0, back = 0, others = 0;
    for (uint32_t i = 0; i < W->n_mails; i++) {
        const struct mail *m = &W->mails[i];
        int64_t at = since_ready(m);
        while_sick += m->server == 0 && at > W->sick_from_us + W->quiet_us && at < W->sick_to_us;
        back += m->server == 0 && at > W->back_us && at < W->back_us + MINUTE_US;
        others += m->server != 0 && at > W->back_us && at < W->back_us + MINUTE_US;
    }
    if (W->sick_tries > SICK_TRIES)
        found("s1 was connected to %u times while it was sick", W->sick_tries);
    if (while_sick)
        found("s1 took %u while it was sick", while_sick);
    if (back * 2 < others * 8 / 10)
        found("s1 was cured at %.0f s; in the minute from %.0f s it took %u, the two others %u",
              (double)W->sick_to_us / 1e6, (double)W->back_us / 1e6, back, others);
}

/* ---- lanes */

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void judge_quick(void)
{
    int64_t *took = alloc_many(int64_t, W->n_mails + 1);
    size_t n = 0;
    for (uint32_t i = 0; i < W->n_mails; i++) {
        const struct person *p = &W->people[W->mails[i].person];
        if (p->is_single && p->lane == 0)
            took[n++] = W->mails[i].at_us - p->posted_us;
    }
    qsort(took, n, sizeof *took, by_value);
    if (n && took[n * 95 / 100] > QUICK_US)
        found("transactional p95 is %.0f ms of %zu (median %.0f ms) beside bulk",
              (double)took[n * 95 / 100] / 1000, n, (double)took[n / 2] / 1000);
    free(took);
}

static bool is_bulk(const struct mail *m)
{
    const struct person *p = &W->people[m->person];
    return !p->is_single || p->lane == 2;
}

/* While both wait, every 20 s hold their 5 % of bulk. */
static void judge_floor(void)
{
    int64_t last_single = 0, last_bulk = 0;
    for (uint32_t i = 0; i < W->n_mails; i++) {
        const struct mail *m = &W->mails[i];
        int64_t *last = is_bulk(m) ? &last_bulk : &last_single;
        *last = MAX(*last, since_ready(m));
    }
    int64_t end = MIN(last_single, last_bulk);
    for (int64_t from = 5 * SECOND_US; from + FLOOR_US <= end; from += FLOOR_US) {
        uint32_t bulk = 0, all = 0;
        for (uint32_t i = 0; i < W->n_mails; i++) {
            int64_t at = since_ready(&W->mails[i]);
            bool in = at >= from && at < from + FLOOR_US;
            all += in;
            bulk += in && is_bulk(&W->mails[i]);
        }
        if (bulk * 20 + 20 * W->n_servers < all) /* each server counts its own twenty */
            found("bulk got %u of %u in the 20 s from %.0f s", bulk, all, (double)from / 1e6);
    }
}

/* ---- after a cut network everything goes on */

static void judge_cut(void)
{
    int64_t end = 0, first = INT64_MAX;
    for (uint32_t i = 0; i < W->n_faults; i++) {
        if (W->faults[i].kind != FAULT_CUT)
            return;
        end = W->faults[i].at_us + W->faults[i].for_us;
    }
    for (uint32_t i = 0; end && i < W->n_servers; i++)
        if (W->servers[i].n_behaviours || W->servers[i].per_minute || W->servers[i].per_hour)
            return;
    for (uint32_t i = 0; end && i < W->n_mails; i++)
        if (since_ready(&W->mails[i]) > end && !W->people[W->mails[i].person].is_single)
            first = MIN(first, since_ready(&W->mails[i]));
    if (end && first != INT64_MAX && first > end + RETURN_US)
        found("the network was back at %.1f s, the next mail of a campaign left at %.1f s",
              (double)end / 1e6, (double)first / 1e6);
}

/* ---- a server that lies of its recipients */

#define TOLD_LEAST 48 /* a fifth of 200 recipients, and eight between two comparisons */

/* Refusals of recipients by the server that refused most: fewer cannot tell a lie from a bad list.
 */
static int64_t most_refused(struct db *db)
{
    struct err e;
    bool row = false;
    struct stmt *s = db_stmt(db,
                             "SELECT count(*) FROM result WHERE server_num <> 0 AND verdict NOT IN"
                             " ($1, $2) GROUP BY server_num ORDER BY 1 DESC LIMIT 1",
                             &e);
    if (!s)
        return 0;
    db_bind_i64(s, 1, VERDICT_ACCEPTED);
    db_bind_i64(s, 2, VERDICT_FAILOVER);
    int64_t n = db_step(s, &row, &e) && row ? db_i64(s, 0) : 0;
    db_reset(s);
    return n;
}

static void judge_served(void)
{
    uint32_t n_of[SERVERS_MAX] = {0}, taken = 0;
    taken_by(n_of);
    for (uint32_t i = 0; i < W->n_servers; i++)
        taken += n_of[i];
    if (taken != W->n_people)
        found("%u of %u got their mail, beside a server that could not", taken, W->n_people);
}

static void judge_told(struct db *db)
{
    struct err e;
    bool row = false;
    if (most_refused(db) < TOLD_LEAST)
        return;
    judge_served();
    struct stmt *s = db_stmt(db, "SELECT COUNT(*) FROM suppression", &e);
    if (s && db_step(s, &row, &e) && row && db_i64(s, 0))
        found("%lld are suppressed on the word of a server that lies", (long long)db_i64(s, 0));
    if (s)
        db_reset(s);
}

/* ---- nobody is accused who did nothing */

static void judge_accusations(struct db *db)
{
    struct err e;
    bool row = false;
    struct stmt *s = db_stmt(db,
                             "SELECT subject, kind, reason FROM event WHERE kind IN "
                             "('server.opened', 'server.suspect', 'server.misconfigured', "
                             "'server.quarantined')",
                             &e);
    for (uint32_t i = 0; i < W->n_faults; i++)
        if (W->faults[i].kind == FAULT_CUT)
            s = s ? (db_reset(s), NULL) : NULL;
    while (s && db_step(s, &row, &e) && row)
        for (uint32_t i = 0; i < W->n_servers; i++)
            if (!W->servers[i].n_behaviours && str_is(db_text(s, 0), W->servers[i].name))
                found("%s is well, yet %.*s: %.*s", W->servers[i].name, STR_A(db_text(s, 1)),
                      STR_A(db_text(s, 2)));
    if (s)
        db_reset(s);
}

void judge_fleet(struct db *db, found_fn *f)
{
    found = f;
    if (W->expects & EXPECT_SHARES)
        judge_shares(&W->groups[0]);
    if (W->expects & EXPECT_ROUND)
        judge_round(&W->groups[0]);
    if (W->expects & EXPECT_FALLBACK)
        judge_fallback();
    if (W->expects & EXPECT_SICK)
        judge_sick();
    if (W->expects & EXPECT_QUICK)
        judge_quick();
    if (W->expects & EXPECT_FLOOR)
        judge_floor();
    if (W->expects & EXPECT_TOLD)
        judge_told(db);
    if (W->expects & EXPECT_SERVED)
        judge_served();
    judge_cut();
    judge_accusations(db);
}
