/* What comes next for a message after an attempt: pure rules over verdict, age and lane. */
#ifndef FLEET_RETRY_H
#define FLEET_RETRY_H

#include "base/base.h"
#include "base/str.h"
#include "model/failover.h"
#include "model/message.h"
#include "model/verdict.h"

enum step_kind {
    STEP_END,         /* the message takes `state` */
    STEP_NEXT_SERVER, /* now, another server; this one joins the tried set */
    STEP_SAME_SERVER, /* now, the same server on a fresh connection */
    STEP_LATER,       /* back to the queue until `due` */
};

enum step_by { /* which setting of the group's failure matrix ended a message or its round */
               STEP_BY_VERDICT = 0,
               STEP_BY_TRIES_PER_ROUND,
               STEP_BY_TRIES,
               STEP_BY_ROUNDS,
               STEP_BY_DEADLINE,
};

struct policy; /* fleet/policy.h */

struct step {
    enum step_kind kind;
    enum message_state state;
    bool hard;        /* bounced: hard or soft */
    int64_t due;      /* LATER: steady ms */
    bool keep_server; /* LATER: the same server (greylisting wants the same source) */
    bool counts;      /* LATER: an attempt of the schedule was used */
    bool is_resend;   /* LATER: because the last one is uncertain */
    uint32_t rule;    /* of the group's failure matrix, 1 first; 0: none, the default decided */
    enum failover_action action; /* of that rule: OPEN and QUARANTINE are the caller's to do */
    enum step_by by;
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
    /* what the failure matrix of the group looks at */
    const struct policy *policy; /* NULL: every default */
    enum phase phase;
    int code; /* 0: no reply */
    uint8_t enhanced[3];
    struct str text;  /* of the reply, or why there is none */
    uint32_t tries;   /* attempts so far, this one included */
    uint32_t n_tried; /* servers asked in this round before this one */
    bool same_once;   /* one was tried again at once in this round */
};

void retry_after(const struct retry_ask *a, int64_t now_ms, struct step *out);
/* The round is over (every server tried): LATER by the schedule, or END when too old.
 * last: verdict of the last attempt. */
void retry_round_over(const struct retry_ask *a, int64_t now_ms, struct step *out);
/* The pause after so many attempts, without jitter and without a delay that a reply stated. */
int64_t retry_delay_ms(const struct policy *p, enum lane lane, uint32_t attempts);
/* Later by the schedule, unless it would be too old by then, or the last round is over. */
void retry_later(const struct retry_ask *a, int64_t now_ms, bool keep_server, struct step *out);
/* The end of a message that nobody took: bounced (soft) or failed, by whose word was the last. */
void retry_undeliverable(const struct retry_ask *a, struct step *out);
bool retry_is_recipients(enum verdict v); /* a word of the recipient's side */
/* Age limit of a lane: 72 h bulk and priority, 24 h transactional. */
int64_t retry_age_limit_ms(enum lane lane);

#endif
