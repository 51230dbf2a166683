/* The schedule (bulk 5 min x 2^n up to 4 h; transactional 30 s, 1, 2, 5, 15, 30, 60 min ...) and
 * the step after each verdict, as in the table of doc/DISPATCH.md. */
#include "fleet/retry.h"

#include "fleet/policy.h"

#define HOUR_MS    3600000
#define RESEND_MS  60000
#define SERVERS_MS 30000
#define KEEP_MS    1800000 /* no greylist lasts as long as the wait: any server may try */

int64_t retry_age_limit_ms(enum lane lane)
{
    return (lane == LANE_TRANSACTIONAL ? 24 : 72) * (int64_t)HOUR_MS;
}

int64_t retry_delay_ms(const struct policy *p, enum lane lane, uint32_t attempts)
{
    static const int64_t quick[] = {30000, 60000, 120000, 300000, 900000, 1800000, HOUR_MS};
    int64_t first = p ? p->first_delay_ms : 0, most = p ? p->max_delay_ms : 0;
    int64_t ms = 0;
    if (first)
        ms = MIN(first << MIN(attempts, 10u), most ? most : MAX(first, (int64_t)4 * HOUR_MS));
    else if (lane == LANE_TRANSACTIONAL)
        ms = quick[MIN(attempts, (uint32_t)countof(quick) - 1)];
    else
        ms = MIN((int64_t)300000 << MIN(attempts, 10u), (int64_t)4 * HOUR_MS);
    return most ? MIN(ms, most) : ms;
}

static int64_t schedule_ms(const struct retry_ask *a)
{
    int64_t ms = retry_delay_ms(a->policy, a->lane, a->attempts);
    int64_t tenth = ms / 10;
    ms += (int64_t)(a->random % (uint64_t)(2 * tenth + 1)) - tenth;
    return MAX(ms, a->wait_ms);
}

bool retry_is_recipients(enum verdict v)
{
    return v == VERDICT_TRY_LATER || v == VERDICT_SOFT_BOUNCE || v == VERDICT_HARD_BOUNCE;
}

static void end(struct step *out, enum message_state state, bool hard)
{
    *out = (struct step){.kind = STEP_END, .state = state, .hard = hard};
}

void retry_undeliverable(const struct retry_ask *a, struct step *out)
{
    end(out, retry_is_recipients(a->verdict) ? MESSAGE_BOUNCED : MESSAGE_FAILED, false);
}

/* Later, unless it would be too old by then. */
static void later(const struct retry_ask *a, int64_t now_ms, int64_t ms, bool counts, bool keep,
                  struct step *out)
{
    int64_t due = now_ms + ms;
    const struct policy *p = a->policy;
    bool own = p && p->deadline_ms;
    int64_t limit = a->first_at + (own ? p->deadline_ms : retry_age_limit_ms(a->lane));
    if (a->expires_at)
        limit = MIN(limit, a->expires_at);
    if (due > limit) {
        retry_undeliverable(a, out);
        if (own && due > a->first_at + p->deadline_ms)
            out->by = STEP_BY_DEADLINE;
        return;
    }
    if (p && p->rounds && counts && a->attempts + 1 >= p->rounds) {
        retry_undeliverable(a, out);
        out->by = STEP_BY_ROUNDS;
        return;
    }
    *out = (struct step){.kind = STEP_LATER,
                         .state = MESSAGE_QUEUED,
                         .due = due,
                         .counts = counts,
                         .keep_server = keep};
}

static void uncertain(const struct retry_ask *a, int64_t now_ms, struct step *out)
{
    bool again = a->lane == LANE_TRANSACTIONAL && a->resends < a->uncertain_resends &&
                 (!a->expires_at || now_ms + RESEND_MS < a->expires_at);
    if (!again) {
        end(out, MESSAGE_UNCERTAIN, false);
        return;
    }
    *out = (struct step){
        .kind = STEP_LATER, .state = MESSAGE_QUEUED, .due = now_ms + RESEND_MS, .is_resend = true};
}

/* The recipient's side said "later": to the same source, as greylisting wants it, unless a message
 * has waited for so long that it is none. */
static void later_there(const struct retry_ask *a, int64_t now_ms, struct step *out)
{
    bool grey = a->wait_ms || retry_delay_ms(a->policy, a->lane, a->attempts) < KEEP_MS;
    later(a, now_ms, schedule_ms(a), true, grey, out);
}

static void next_server(struct step *out)
{
    *out = (struct step){.kind = STEP_NEXT_SERVER, .state = MESSAGE_QUEUED};
}

void retry_later(const struct retry_ask *a, int64_t now_ms, bool keep_server, struct step *out)
{
    later(a, now_ms, schedule_ms(a), true, keep_server, out);
}

static void by_verdict(const struct retry_ask *a, int64_t now_ms, struct step *out)
{
    switch (a->verdict) {
    case VERDICT_ACCEPTED: end(out, MESSAGE_SENT, false); return;
    case VERDICT_UNCERTAIN: uncertain(a, now_ms, out); return;
    case VERDICT_FAILOVER:
    case VERDICT_QUOTA:
    case VERDICT_AUTH_CONFIG: next_server(out); return;
    case VERDICT_RATE_LIMITED: next_server(out); return;
    case VERDICT_BLOCKED:
        if (a->was_blocked)
            later(a, now_ms, schedule_ms(a), true, false, out);
        else
            next_server(out);
        return;
    case VERDICT_TRY_LATER: later_there(a, now_ms, out); return;
    case VERDICT_SOFT_BOUNCE:
        if (a->permanent)
            end(out, MESSAGE_BOUNCED, false);
        else
            later_there(a, now_ms, out);
        return;
    case VERDICT_HARD_BOUNCE: end(out, MESSAGE_BOUNCED, true); return;
    case VERDICT_PROTOCOL:
        if (a->was_fresh)
            end(out, MESSAGE_FAILED, false);
        else
            *out = (struct step){.kind = STEP_SAME_SERVER, .state = MESSAGE_QUEUED};
        return;
    case VERDICT_CONTENT:
    case VERDICT_UNKNOWN:
    case VERDICT_NONE:
    case VERDICT_COUNT: break;
    }
    if (a->permanent)
        end(out, MESSAGE_FAILED, false);
    else
        later_there(a, now_ms, out);
}

void retry_after(const struct retry_ask *a, int64_t now_ms, struct step *out)
{
    by_verdict(a, now_ms, out);
    if (a->policy)
        policy_apply(a, now_ms, out);
}

void retry_round_over(const struct retry_ask *a, int64_t now_ms, struct step *out)
{
    bool servers_fault = a->verdict == VERDICT_FAILOVER || a->verdict == VERDICT_AUTH_CONFIG;
    bool free_of_charge = a->verdict == VERDICT_RATE_LIMITED || a->verdict == VERDICT_QUOTA;
    int64_t ms = free_of_charge ? MAX((int64_t)RESEND_MS, a->wait_ms) : schedule_ms(a);
    if (servers_fault) /* the recipient's side said nothing: soon, while servers come back */
        ms = MIN(ms, MAX((int64_t)SERVERS_MS << MIN(a->attempts, 10u), a->wait_ms));
    later(a, now_ms, ms, !free_of_charge, false, out);
}
