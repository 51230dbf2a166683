/* Reads a kept conversation ("C: ..." and "S: ..." lines, as smtp/client writes them) back into the
 * final reply of each step. Pure; what does not look like it is passed over. */
#ifndef SMTP_TALK_H
#define SMTP_TALK_H

#include "base/base.h"
#include "base/str.h"

enum talk_step {
    TALK_GREETING = 0,
    TALK_EHLO,
    TALK_TLS,
    TALK_AUTH,
    TALK_MAIL,
    TALK_RCPT,
    TALK_DATA,
    TALK_DOT,
    TALK_STEPS
};

struct talk_reply {
    int code; /* 0: none */
    char enhanced[16];
};

struct talk_steps {
    struct talk_reply step[TALK_STEPS];
};

void talk_read(struct str conversation, struct talk_steps *out);
/* By the step's name in a server test ("tls", "ehlo", "auth", "mail", "rcpt", "message"); NULL for
 * those without a reply ("name", "tcp"). */
const struct talk_reply *talk_reply_of(const struct talk_steps *t, const char *step);
/* The reply that refused in that step: "ehlo" looks at the greeting too, "rcpt" at DATA. */
const struct talk_reply *talk_refusal(const struct talk_steps *t, const char *step);

#endif
