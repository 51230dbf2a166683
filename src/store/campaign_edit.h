/* What the user does to a campaign: create, fix at its start, set its state, remove. What happens
 * to it by itself (cursor, leases, finish) is store/outbox.h and results.h. Writers call within a
 * transaction of theirs. */
#ifndef STORE_CAMPAIGN_EDIT_H
#define STORE_CAMPAIGN_EDIT_H

#include "base/base.h"
#include "base/err.h"
#include "model/campaign.h"
#include "store/db.h"

/* c->id and c->created_at are the caller's, c->num is set here. ERR_CONFLICT: name taken. */
bool campaign_edit_add(struct db *db, struct campaign *c, struct err *e) MUST_USE;
/* The caller frees *out (campaign_free). ERR_NOT_FOUND. */
bool campaign_edit_get(struct db *db, const char *name, struct campaign **out,
                       struct err *e) MUST_USE;
/* Writes what is fixed at the start: state, started_at, contact_max, recipients, group, content;
 * cursor 0, nothing leased. */
bool campaign_edit_start(struct db *db, const struct campaign *c, struct err *e) MUST_USE;
/* reason NULL: none; finished_at 0: not over. */
bool campaign_edit_state(struct db *db, uint32_t num, enum campaign_state state, const char *reason,
                         int64_t finished_at, struct err *e) MUST_USE;
/* Only one that never started: ERR_CONFLICT otherwise. */
bool campaign_edit_remove(struct db *db, const char *name, struct err *e) MUST_USE;

/* How many a list has to write to (suppressed ones included) and the highest contact id. */
bool campaign_edit_audience(struct db *db, uint64_t list_id, uint64_t *count_out,
                            uint64_t *highest_out, struct err *e) MUST_USE;
/* True when at least one subscribed contact of the list has a value in this field. Looks at the
 * first 100,000 contacts of the list. */
bool campaign_edit_has_field(struct db *db, uint64_t list_id, const char *field, bool *out,
                             struct err *e) MUST_USE;

#endif
