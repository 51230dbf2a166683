/* Does the ledger keep what HOUSE.md promises? Reads the whole database once, in order of ids, and
 * names each row that breaks an invariant behind promises 1 (an honest end for all), 2 (nothing
 * lost or doubled), 5 (limits) and 7 (suppression): every message has an end, a row in the queue or
 * an open lease, and one end only, unless the user asked for it again or a transactional one was
 * uncertain; attempts count 1, 2, 3 ...; a campaign leases each contact once, those and only those
 * in its bitmap; its counters are what its results say; nobody got mail after the suppression; use
 * is what the results say and never over a limit. Changes nothing. */
#ifndef STORE_LEDGER_CHECK_H
#define STORE_LEDGER_CHECK_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

#define LEDGER_CHECK_RESENDS 1  /* transactional messages, after uncertain */
#define LEDGER_CHECK_TEXTS   50 /* findings told of one kind; all are counted */

/* The handle must be in no transaction: one of its own gives it one state of the database, also
 * beside a daemon that is writing. False: the database could not be read. Calendar limits are not
 * recounted (their zones are the engine's), nor limits older than the last change of settings. */
bool ledger_check(struct db *db, void (*finding)(void *arg, const char *text), void *arg,
                  size_t *n_findings_out, struct err *e) MUST_USE;

#endif
