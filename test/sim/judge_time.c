/* Deadlines and the forecast: nothing leaves after its time, what is not done by then is given up
 * soon, and a campaign ends when it was said to. */
#include "world.h"

#include "store/db.h"

#define LATE_MS    100 /* a write that came up short leaves a little later than it was permitted */
#define GIVE_UP_MS 20000 /* after the deadline: a look each second, and a crash with its start */

static found_fn *found;

static int64_t wall_ms_of(const struct mail *m)
{
    return (m->dot_us + W->wall_offset_us) / 1000;
}

static int64_t deadline_of(const struct person *p)
{
    return p->is_single ? p->expires_ms : W->campaigns[p->campaign].deadline_ms;
}

static void judge_dots(void)
{
    for (uint32_t i = 0; i < W->n_mails; i++) {
        const struct mail *m = &W->mails[i];
        int64_t deadline = deadline_of(&W->people[m->person]);
        if (deadline && wall_ms_of(m) > deadline + LATE_MS)
            found("the mail to p%u left %.1f s after its deadline", m->person,
                  (double)(wall_ms_of(m) - deadline) / 1e3);
    }
}

/* What was given up without a server's word (server 0): when? A dot that is answered late, or
 * never, is its server's affair. */
static void judge_ends(struct db *db)
{
    struct err e;
    bool row = false;
    struct stmt *s = db_stmt(
        db,
        "SELECT c.name, r.at - c.deadline, r.state FROM result r"
        " JOIN lease l ON l.campaign_num > 0 AND r.message_id >= l.first_id AND r.message_id <"
        " l.first_id + l.n JOIN campaign c ON c.num = l.campaign_num"
        " WHERE c.deadline > 0 AND r.server_num = 0 AND r.at - c.deadline > $1 LIMIT 3",
        &e);
    if (!s) {
        found("the deadlines cannot be read: %s", e.text);
        return;
    }
    db_bind_i64(s, 1, GIVE_UP_MS);
    while (db_step(s, &row, &e) && row)
        found("%.*s: a message was given up %.0f s after the deadline, state %d",
              STR_A(db_text(s, 0)), (double)db_i64(s, 1) / 1e3, (int)db_i64(s, 2));
    db_reset(s);
}

/* ---- the forecast */

static void judge_foreseen(void)
{
    for (uint32_t i = 0; i < W->n_mails; i++)
        if (W->mails[i].accepted)
            W->took_us = MAX(W->took_us, W->mails[i].at_us - W->ready_us);
    double said = (double)(W->foreseen_us - W->foreseen_at_us);
    double happened = (double)(W->took_us - W->foreseen_at_us);
    if (!(said > 0.95 * happened && said < 1.05 * happened))
        found("the forecast said %.2f h, it took %.2f h", said / HOUR_US, happened / HOUR_US);
}

void judge_time(struct db *db, found_fn *f)
{
    found = f;
    if (W->expects & EXPECT_ENDS) {
        judge_dots();
        judge_ends(db);
    }
    if (W->expects & EXPECT_FORESEEN)
        judge_foreseen();
}
