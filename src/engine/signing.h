/* DKIM in force: the active keys of every domain, opened by core alone, read by desks. Immutable
 * and counted: a change of keys makes a new one, and desks end with the one they began with. */
#ifndef ENGINE_SIGNING_H
#define ENGINE_SIGNING_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "mail/dkim.h"
#include "model/server.h"
#include "store/db.h"
#include "store/secrets.h"

#define SIGNING_ROOM 2560 /* bytes that signatures usually need before a mail */

struct signing;
struct signer; /* the keys of a domain */

/* On the ledger thread. Keys that do not open are left out, and logged. */
bool signing_load(struct db *db, const struct secrets *s, struct signing **out,
                  struct err *e) MUST_USE;
void signing_keep(struct signing *s);
void signing_drop(struct signing *s); /* NULL is fine */

/* Does mail through this server get our signature? With auto not when its provider signs. */
bool signing_is_on(const struct server *s);
/* Are there keys at all, and is it on? Cheap. */
bool signing_is_wanted(const struct signing *s, const struct server *server);
/* The keys of the domain, or of the nearest one above it; NULL: none, or the server wants none. */
const struct signer *signing_find(const struct signing *s, const struct server *server,
                                  struct str domain);
/* d= of its signatures. */
const char *signer_domain(const struct signer *s);
/* The domain of the first address of a From field's value, lower case, A-labels; false: none. */
bool signing_domain_of(struct str from, char out[DOMAIN_MAX + 1]);

/* mail: `room` bytes that nobody reads, then a mail. Puts the signatures before the mail and drops
 * what is left of the room. body_id: the same for all mails with this body, 0: not known.
 * time: wall ms. */
bool signing_put(const struct signer *s, struct buf *mail, size_t room, uint64_t body_id,
                 int64_t time_ms, struct err *e) MUST_USE;

#endif
