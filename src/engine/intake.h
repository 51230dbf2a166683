/* Mail in by SMTP submission: listeners, logins, and each mail's way through a desk (header) and
 * the ledger (rows, one group commit for all that wait) to its `250 2.0.0 queued as msg_...`, which
 * is said after that commit and never before. Reactor thread. */
#ifndef ENGINE_INTAKE_H
#define ENGINE_INTAKE_H

#include "base/base.h"
#include "base/err.h"

struct core;
struct db;
struct intake;

/* Opens the listeners that core's configuration names; none: no intake. ERR_INVALID: one that
 * others than this machine reach needs a certificate. */
bool intake_start(struct core *c, struct db *db, struct err *e) MUST_USE;
/* Credentials changed: reads them again. */
void intake_reload(struct core *c);
/* Nobody comes in any more; mails that are with the ledger are still answered. */
void intake_stop(struct core *c);
/* Is a mail with a desk or the ledger? */
bool intake_is_busy(const struct core *c);

#endif
