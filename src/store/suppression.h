/* Addresses that get no mail: table suppression, by the key of mail/addr.h. A suppression by hard
 * bounce is provisional for a while and can be taken back for a whole server. Also counts the
 * messages that soft-bounced per address. Writers call within a transaction of theirs. */
#ifndef STORE_SUPPRESSION_H
#define STORE_SUPPRESSION_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

#define SUPPRESSION_SOFT_MESSAGES 3                            /* distinct messages ... */
#define SUPPRESSION_SOFT_SPAN_MS  (INT64_C(30) * 86400 * 1000) /* ... within this time */

struct suppression {           /* strings are borrowed */
    struct str address;        /* key */
    struct str reason;         /* hard_bounce complaint unsubscribe manual soft_bounces rule */
    struct str source;         /* campaign, message, import, user, a failover rule ... */
    int64_t since;             /* wall ms */
    int64_t provisional_until; /* 0: settled */
    uint16_t server_num;       /* 0: none */
    uint64_t message_id;       /* 0: none */
};

/* True for the words above. */
bool suppression_reason_ok(struct str reason);
/* *added_out false: it was there. A settled one replaces a provisional one; else the first stays.
 */
bool suppression_add(struct db *db, const struct suppression *s, bool *added_out,
                     struct err *e) MUST_USE;
/* ERR_NOT_FOUND when it is not suppressed. */
bool suppression_remove(struct db *db, struct str address, struct err *e) MUST_USE;
/* Provisional ones count. Slices of *out live in the arena; both may be NULL. */
bool suppression_check(struct db *db, struct str address, struct arena *a, struct suppression *out,
                       bool *found_out, struct err *e) MUST_USE;
/* In the order of addresses, those after `after` ("" first), at most limit. */
bool suppression_each(struct db *db, struct str after, size_t limit,
                      bool (*each)(void *arg, const struct suppression *s), void *arg,
                      struct err *e) MUST_USE;
bool suppression_count(struct db *db, uint64_t *out, struct err *e) MUST_USE;
/* Takes back the hard bounces that came through this server since then (settled ones too: it is
 * the user's word or a server turned suspect), at most limit of them; the callback sees each before
 * it goes, to queue its message again, and must not use the handle. *more_out: call again. */
bool suppression_revert(struct db *db, uint16_t server_num, int64_t since_ms, bool only_provisional,
                        int64_t now_ms, size_t limit,
                        bool (*each)(void *arg, const struct suppression *s), void *arg,
                        bool *more_out, struct err *e) MUST_USE;
/* Settles provisional ones whose time is over, at most limit; *more_out: there may be others. */
bool suppression_settle(struct db *db, int64_t now_ms, size_t limit, bool *more_out,
                        struct err *e) MUST_USE;

/* Notes that this message soft-bounced; *messages_out: distinct messages within the span before
 * `at`, this one included. Older ones of the address are forgotten. */
bool suppression_soft_bounce(struct db *db, struct str address, uint64_t message_id, int64_t at,
                             uint32_t *messages_out, struct err *e) MUST_USE;

#endif
