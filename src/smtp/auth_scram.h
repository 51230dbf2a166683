/* SCRAM-SHA-256 (RFC 5802, 7677), called by smtp/auth only: the messages themselves, before
 * base64. The server's signature is checked; until then smtp_auth_accepted says no. */
#ifndef SMTP_AUTH_SCRAM_H
#define SMTP_AUTH_SCRAM_H

#include "smtp/auth.h"

bool smtp_scram_initial(struct smtp_auth *a, struct buf *out, struct err *e) MUST_USE;
bool smtp_scram_answer(struct smtp_auth *a, struct str challenge, struct buf *out,
                       struct err *e) MUST_USE;
/* True: the challenge is a first message that can be answered, and costs this derivation. */
bool smtp_scram_wants_derivation(const struct smtp_auth *a, struct str challenge,
                                 struct smtp_derivation *out) MUST_USE;

#endif
