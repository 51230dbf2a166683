/* The vocabulary of outcomes: what an attempt's answer meant, in which phase, whose fault.
 * Names are those of the design ("hard_bounce" ...), fixed, stored and shown. */
#ifndef MODEL_VERDICT_H
#define MODEL_VERDICT_H

#include "base/base.h"
#include "base/str.h"

enum verdict {
    VERDICT_NONE = 0,
    VERDICT_ACCEPTED,
    VERDICT_FAILOVER,
    VERDICT_UNCERTAIN,
    VERDICT_TRY_LATER,
    VERDICT_RATE_LIMITED,
    VERDICT_QUOTA,
    VERDICT_AUTH_CONFIG,
    VERDICT_HARD_BOUNCE,
    VERDICT_SOFT_BOUNCE,
    VERDICT_BLOCKED,
    VERDICT_CONTENT,
    VERDICT_PROTOCOL,
    VERDICT_UNKNOWN,
    VERDICT_COUNT
};

enum phase { /* where in the conversation the answer (or the loss) came */
             PHASE_NONE = 0,
             PHASE_DNS,
             PHASE_CONNECT,
             PHASE_TLS,
             PHASE_GREETING,
             PHASE_EHLO,
             PHASE_STARTTLS,
             PHASE_AUTH,
             PHASE_MAIL,
             PHASE_RCPT,
             PHASE_DATA,
             PHASE_DOT,
             PHASE_QUIT,
             PHASE_COUNT
};

enum fault { /* whose fault */
             FAULT_NOBODY = 0,
             FAULT_SERVER,
             FAULT_SERVER_FROM,     /* server x From domain */
             FAULT_SERVER_PROVIDER, /* server x mailbox provider */
             FAULT_RECIPIENT,
             FAULT_MESSAGE,
             FAULT_CAMPAIGN, /* campaign or From domain */
             FAULT_COUNT
};

const char *verdict_name(enum verdict v);
bool verdict_parse(struct str s, enum verdict *out);
const char *phase_name(enum phase p);
bool phase_parse(struct str s, enum phase *out);
const char *fault_name(enum fault f);

#endif
