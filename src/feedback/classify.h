/* What did that answer mean? A reply or a transport failure becomes a verdict. Pure: rules are data
 * given from outside (rules/replies.yaml compiled by feedback/rules), the same for the engine, for
 * `bounce classify --replies` and for tests. */
#ifndef FEEDBACK_CLASSIFY_H
#define FEEDBACK_CLASSIFY_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "model/verdict.h"

struct rules;

/* Compiles rule data (format: doc/RULES.md). Errors name line and rule. */
bool rules_compile(struct str data, struct rules **out, struct err *e) MUST_USE;
/* The rules that are built into the binary from rules/ at build time. */
const struct rules *rules_builtin(void);
void rules_free(struct rules **r);

enum loss {
    LOSS_NONE = 0,
    LOSS_TIMEOUT,
    LOSS_CLOSED,
    LOSS_REFUSED,
    LOSS_UNREACHABLE,
    LOSS_NAME,
    LOSS_CERTIFICATE,
    LOSS_TLS,
    LOSS_PROTOCOL
};

struct answer {
    enum phase phase;
    enum loss loss;      /* not NONE: no usable reply, the transport failed that way */
    bool after_dot;      /* with loss: the dot may have left */
    int code;            /* 0 with loss, or when the text has none */
    uint8_t enhanced[3]; /* 0 0 0: none; a third number over 255 is stored as 255 */
    struct str text;     /* reply text without the codes; any bytes */
    struct str profile;  /* the server's profile ("ses", "gmail" ...); STR_NONE: generic */
};

struct classification {
    enum verdict verdict;
    enum fault fault;
    bool permanent;
    char rule[48];            /* id of the rule that hit */
    int64_t wait_ms;          /* a delay that the reply stated; 0: none */
    bool provider_suppressed; /* accepted, yet with 4.x.x or 5.x.x: the provider dropped it */
};

void classify_answer(const struct rules *r, const struct answer *a, struct classification *out);
/* Splits a raw reply ("550-5.1.1 x\r\n550 5.1.1 y", a mail's "host m said: 550 5.1.1 x", or text
 * without any code) into code, enhanced code and text; fills nothing else. The text borrows from
 * `raw` or is built in `scratch`, which cuts it at `size`. An enhanced code whose last number is
 * over 255 also stays in the text, where rules find it as a phrase ("5.7.606"). */
void answer_parse_reply(struct str raw, struct answer *a, char *scratch, size_t size);
/* The same for a line of `bounce classify --replies`: `PHASE<TAB>` may stand before the reply.
 * Fills the whole answer; phase NONE when there is none. */
void answer_parse_line(struct str line, struct answer *a, char *scratch, size_t size);
/* Milliseconds that a temporary reply asks to wait ("try again in 5 minutes", "in 00:04:30"); 0: it
 * names none. At most a day. */
int64_t answer_wait_ms(struct str text);

#endif
