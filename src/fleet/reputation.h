/* Reputation: rules of the user over what became of a server's mail, and the graded way out and
 * back: lower weight, rest, quarantine, probation, back. Pure: figures, rules and the time come in;
 * where a server stands next comes out. Who asks and obeys: engine/reputation_round.c. */
#ifndef FLEET_REPUTATION_H
#define FLEET_REPUTATION_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

enum reputation_metric {
    METRIC_HARD_BOUNCE_RATE = 0, /* of the answers: accepted, bounced, deferred, blocked ... */
    METRIC_SOFT_BOUNCE_RATE,
    METRIC_DEFERRAL_RATE, /* told to come later or slower */
    METRIC_BLOCK_RATE,
    METRIC_CONTENT_RATE,
    METRIC_UNKNOWN_RATE,
    METRIC_COMPLAINT_RATE, /* of what was sent; so are opens and clicks */
    METRIC_OPEN_RATE,
    METRIC_CLICK_RATE,
    METRIC_BLOCK_PROVIDERS, /* counts: mailbox providers that answered with a block */
    METRIC_DNSBL_LISTED,    /* lists that named it, each confirmed twice */
    METRIC_INBOUND,         /* what a signal from elsewhere says */
    METRICS
};

struct reputation_facts { /* of a window */
    uint64_t answers, sent;
    uint64_t of[METRICS]; /* events of each kind; for counts the count */
};

#define REPUTATION_CONDITIONS 8

struct reputation_when {
    struct reputation_condition {
        enum reputation_metric metric;
        bool is_under;    /* else over */
        bool times_group; /* value is a multiple of the rest of the group */
        double value;
    } conditions[REPUTATION_CONDITIONS];
    size_t n;
    bool any; /* else all */
};

/* "hard_bounce_rate > 5% and complaint_rate > 0.1%", "open_rate < 0.5x or block_providers > 2":
 * METRIC over or under VALUE, VALUE%, or VALUEx the rest of the group; all of one kind of joint. */
bool reputation_when_parse(struct str text, struct reputation_when *out, struct err *e) MUST_USE;
/* Does it hold? `rest`: the other servers of its groups together. why: what holds, in figures.
 * Rates need volume_min answers here, and there where they are compared with the group. */
bool reputation_when_holds(const struct reputation_when *w, const struct reputation_facts *own,
                           const struct reputation_facts *rest, uint64_t volume_min, char *why,
                           size_t size);

enum reputation_action {
    REPUTATION_NOTIFY = 0,
    REPUTATION_LOWER,
    REPUTATION_REST,
    REPUTATION_QUARANTINE,
    REPUTATION_GRADED,    /* the next harder one each time */
    REPUTATION_STEP_BACK, /* of its warm-up */
    REPUTATION_ACTIONS
};
const char *reputation_action_name(enum reputation_action a); /* stored */
bool reputation_action_parse(const char *s, enum reputation_action *out);

enum reputation_stage { /* stored: never changed */
                        STAGE_GOOD = 0,
                        STAGE_LOWERED,
                        STAGE_RESTING,
                        STAGE_QUARANTINED,
                        STAGE_PROBATION, /* its weight comes back, a tenth to all in a day */
                        STAGES
};
const char *reputation_stage_name(enum reputation_stage s);

struct reputation_standing {
    enum reputation_stage stage;
    enum reputation_stage worst; /* since it was good: what `graded` goes on from */
    double weight;               /* LOWERED: of its own */
    int64_t since, until;        /* until 0: till released */
    uint32_t times;              /* answers since it was good: each takes twice as long */
};

#define PROBATION_MS  (INT64_C(24) * 3600 * 1000)
#define PROBATION_LOW 0.1

struct reputation_answer { /* of a rule */
    enum reputation_action action;
    double weight;       /* LOWER, GRADED */
    int64_t duration_ms; /* 0: till released */
};
/* What a rule that fires makes of a standing. False: nothing harder than what is already. */
bool reputation_respond(const struct reputation_answer *a, const struct reputation_standing *now,
                        int64_t now_ms, struct reputation_standing *out);
/* What time makes of it: probation, and good again. False: nothing yet. */
bool reputation_return(const struct reputation_standing *now, int64_t now_ms,
                       struct reputation_standing *out);
/* The share of its weight that it has now; 0: it is out. */
double reputation_factor(const struct reputation_standing *s, int64_t now_ms);

struct reputation_share { /* of a group */
    uint32_t server_num;
    double weight; /* base */
    double factor; /* for reputation, now */
};
/* Would more than half of the group's weight be gone for reputation if this one had `factor`? */
bool reputation_takes_too_much(const struct reputation_share *members, size_t n,
                               uint32_t server_num, double factor);

#endif
