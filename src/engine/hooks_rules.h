/* Rules of webhooks: how a delivery is signed, and when it is tried again. Time and randomness are
 * arguments. */
#ifndef ENGINE_HOOKS_RULES_H
#define ENGINE_HOOKS_RULES_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

#define HOOKS_SECRET_PREFIX "whsec_"

/* Standard Webhooks, symmetric: "v1," and base64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY"; adds one
 * signature, behind a blank when there is one already. False: over b's maximum. */
bool hooks_sign(const struct secret *key, const char *id, int64_t timestamp_s, struct str body,
                struct buf *b) MUST_USE;
/* "whsec_" and base64 of 24 to 64 bytes. ERR_INVALID */
bool hooks_secret_parse(struct str text, struct secret **out, struct err *e) MUST_USE;
bool hooks_secret_format(const struct secret *key, struct buf *b) MUST_USE;
struct secret *hooks_secret_make(void) MUST_USE;

/* Attempts in all: the first and the retries. */
unsigned hooks_attempts(void);
/* From the end of the n-th attempt (1 first) to the next one, ms, within a tenth by `random`; -1:
 * that was the last. asked_s: what the receiver's Retry-After asks for; 0: nothing. */
int64_t hooks_retry_ms(unsigned n, int64_t asked_s, uint64_t random);
/* The whole schedule, ms: a webhook that failed so long without a success in between is disabled.
 */
int64_t hooks_schedule_ms(void);

#endif
