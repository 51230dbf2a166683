/* SCRAM's key derivation on a desk: milliseconds that the reactor does not have. The owner (a
 * session, a server test) may be gone before the answer comes. Reactor thread only. */
#ifndef ENGINE_DERIVE_H
#define ENGINE_DERIVE_H

#include "net/pool.h"
#include "smtp/client.h"

struct derivation;

/* salted: SMTP_SALTED_SIZE bytes, borrowed for the call; NULL: it failed. The owner's pointer to
 * the derivation is void from then on. */
typedef void derived_fn(void *owner, const uint8_t *salted);

/* Copies what it needs of `what` and the password. */
struct derivation *derive_start(struct pool *desks, const struct smtp_derivation *what,
                                const struct secret *password, derived_fn *done,
                                void *owner) MUST_USE;
/* The owner ends: done is not called any more. NULL inside is fine. */
void derive_abandon(struct derivation **d);

#endif
