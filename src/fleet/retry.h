/* What comes next for a message after an attempt: pure rules over verdict, age and lane. */
#ifndef FLEET_RETRY_H
#define FLEET_RETRY_H

#include "base/base.h"
#include "model/message.h"
#include "model/verdict.h"

enum step_kind {
    STEP_END,         /* the message takes `state` */
    STEP_NEXT_SERVER, /* now, another server; this one joins the tried set */
    STEP_SAME_SERVER, /* now, the same server on a fresh connection */
    STEP_LATER,       /* back to the queue until `due` */
};

struct step {
    enum step_kind kind;
    enum message_state state;
    bool hard;        /* bounced: hard or soft */
    int64_t due;      /* LATER: steady ms */
    bool keep_server; /* LATER: the same server (greylisting wants the same source) */
    bool counts;      /* LATER: an attempt of the schedule was used */
    bool is_resend;   /* LATER: because the last one is uncertain */
};

struct retry_ask {
    enum verdict verdict;
    bool permanent; /* 5xx or the rule says so */
    enum lane lane;
    uint32_t attempts;          /* schedule steps used so far */
    uint32_t resends;           /* after uncertain so far */
    uint32_t uncertain_resends; /* allowed, transactional: 1 */
    bool was_fresh;             /* the connection was new (PROTOCOL: no second try then) */
    bool was_slowed_here;       /* RATE_LIMITED once on this server in this round already */
    bool was_blocked;           /* BLOCKED: one failover was made */
    int64_t first_at;           /* steady ms of acceptance or first attempt */
    int64_t expires_at;         /* 0: none of its own */
    int64_t wait_ms;            /* stated in the reply; 0: none */
    uint64_t random;            /* for jitter */
};

void retry_after(const struct retry_ask *a, int64_t now_ms, struct step *out);
/* The round is over (every server tried): LATER by the schedule, or END when too old.
 * last: verdict of the last attempt. */
void retry_round_over(const struct retry_ask *a, int64_t now_ms, struct step *out);
/* Age limit of a lane: 72 h bulk and priority, 24 h transactional. */
int64_t retry_age_limit_ms(enum lane lane);

#endif
