/* One probe through each server to each address: is it the server, the recipient, or everything?
 * Pure: reads outcomes, gives a verdict. Called by engine/isolate and by tests. */
#ifndef FEEDBACK_COMPARE_H
#define FEEDBACK_COMPARE_H

#include "base/base.h"

#define COMPARE_SERVERS_MAX    200
#define COMPARE_RECIPIENTS_MAX 10

struct finding {                /* how one probe ended */
    uint32_t server, recipient; /* places, from 0 */
    bool ran;                   /* false: not tried (limit used up, paused ...) */
    bool ok;
    int step; /* where it failed: any number, equal for equal steps */
    int code; /* of the reply; 0: none */
    char enhanced[16];
    int64_t ms; /* in all */
};

enum compared {
    COMPARED_NOTHING,    /* no probe ran */
    COMPARED_WELL,       /* every probe went through */
    COMPARED_SYSTEMIC,   /* nearly all fail in the same way: not one server's fault */
    COMPARED_SERVERS,    /* some servers deviate, the others do well */
    COMPARED_RECIPIENTS, /* some addresses are refused by nearly all servers */
    COMPARED_MIXED,      /* failures without a common pattern */
};

struct comparison {
    enum compared kind;
    bool servers[COMPARE_SERVERS_MAX];       /* those that deviate */
    bool recipients[COMPARE_RECIPIENTS_MAX]; /* those that are refused */
    bool slow[COMPARE_SERVERS_MAX];          /* five times the median and over 2 s */
    uint32_t ran, failed, same;              /* probes; failed in the commonest way */
    const struct finding *common;            /* one of those; NULL: none failed */
};

const char *compared_name(enum compared k);
/* At most COMPARE_SERVERS_MAX x COMPARE_RECIPIENTS_MAX findings; places must be below n_servers and
 * n_recipients. "Nearly all" is 80 %. With one server nothing can be compared: it deviates when it
 * fails. */
void compare_findings(const struct finding *f, size_t n, uint32_t n_servers, uint32_t n_recipients,
                      struct comparison *out);

#endif
