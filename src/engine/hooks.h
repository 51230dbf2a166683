/* Webhooks out: tells receivers what happened. Runs on a thread of its own with a loop, connections
 * and a read-only handle of its own, and only while there is a webhook, so that a slow or dead
 * receiver costs nobody else anything. What there is to tell is read from the tables by cursor and
 * never kept in memory; where each webhook stands, what is tried again and the log of deliveries go
 * to the ledger in batches, beside the results. A crash repeats some deliveries and loses none. */
#ifndef ENGINE_HOOKS_H
#define ENGINE_HOOKS_H

#include "base/base.h"
#include "base/err.h"

struct core;
struct db;
struct link_request;

/* Before anything is settled: which outcomes are to be noted. */
bool hooks_load(struct core *c, struct db *db, struct err *e) MUST_USE;
/* At the start and after each change of webhooks, committed: what is in force. */
void hooks_reload(struct core *c);
/* Waits for the thread; what was under way is told again after the next start. */
void hooks_stop(struct core *c);
/* {"name"}: sends an event of type webhook.test now and answers {"ok","status","ms","detail",
 * "reply","event"}. */
void hooks_test_start(struct core *c, struct link_request *r);
/* Refuses what no webhook may ask (its URL); op and args are those of a call. */
bool hooks_allow_call(const struct link_request *r, struct err *e) MUST_USE;

#endif
