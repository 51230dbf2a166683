/* Single messages come in here: the rows `message` and `queue` in the caller's transaction. And
 * messages that are over, or wait, change by the user's word: cancelled, or queued again. Counters
 * of `tally` move along, so that a report's sum holds at every commit. */
#ifndef STORE_ACCEPT_H
#define STORE_ACCEPT_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "model/message.h"
#include "store/db.h"

struct accepted { /* strings are borrowed */
    uint64_t id;
    enum lane lane;
    uint32_t group_num; /* 0: by routing */
    struct str from;    /* envelope; empty: the null path */
    struct str rcpt, rcpt_key;
    struct str header_from, subject; /* for people; may be STR_NONE */
    struct str message_id;           /* of the header, without brackets */
    unsigned facts;                  /* 1: 8-bit, 2: SMTPUTF8, 4: leading dot */
    struct str body;                 /* STR_NONE: it is in the spool under id */
    uint64_t body_of;                /* the message whose body it has; 0: its own */
    struct str metadata;             /* JSON object; STR_NONE: none */
    struct str tags;                 /* one a line; STR_NONE: none */
    struct str dsn;                  /* parameters of RFC 3461, four lines; STR_NONE: none */
    uint64_t size;                   /* bytes of the mail */
    uint32_t credential_num;         /* of the API key that brought it; 0: none */
    int64_t expires_at;              /* wall ms; 0: never */
    int64_t created_at, due;         /* wall ms */
    int64_t send_at;                 /* wall ms: not before; age counts from there. 0: at once */
};

bool accept_message(struct db *db, const struct accepted *m, struct err *e) MUST_USE;

/* Where a message stands. */
struct standing {
    bool found;
    bool in_queue;
    bool is_deferred; /* its row in the queue counts as deferred in `tally` */
    bool leased_now;  /* of a campaign, not in the queue, without an end: a lease holds it. Whether
                         core works on one of the queue, only core knows. */
    bool single;      /* not of a campaign */
    uint32_t campaign_num, group_num;
    enum lane lane;
    uint64_t contact_id; /* campaign messages */
    uint32_t tries;      /* highest n of its results */
    enum message_state state;
    bool hard;            /* bounced: hard */
    int64_t expires_at;   /* a single message's own; 0: none */
    char key[256];        /* of the recipient */
    const char *provider; /* its mailbox provider, by the caller: counted along; NULL: not known */
};
bool accept_standing(struct db *db, uint64_t id, struct standing *out, struct err *e) MUST_USE;

/* Takes a message out of the queue for good. The caller has made sure that nobody works on it. */
bool accept_cancel(struct db *db, uint64_t id, const struct standing *st, int64_t wall_ms,
                   const char *why, struct err *e) MUST_USE;
/* Puts a message that is over back into the queue, due now, its attempts counted from 0, with
 * st->expires_at. A campaign that was finished runs again. The word for it stays as a result of its
 * own. */
bool accept_again(struct db *db, uint64_t id, const struct standing *st, int64_t wall_ms,
                  const char *why, struct err *e) MUST_USE;
/* Another group for a single message that waits. */
bool accept_move(struct db *db, uint64_t id, uint32_t group_num, struct err *e) MUST_USE;
/* The messages of a campaign in these states (bits 1 << enum message_state), with an id above
 * `after`, of one lease and at most max, so perhaps none; *last_out: the last id looked at, 0 when
 * the end was reached. Soft bounces only, of bounced ones. */
bool accept_over(struct db *db, uint32_t campaign_num, unsigned states, uint64_t after, size_t max,
                 uint64_t *ids, size_t *n_out, uint64_t *last_out, struct err *e) MUST_USE;
/* Counts one unsubscription by a mail of the campaign. */
bool accept_unsubscribed(struct db *db, uint32_t campaign_num, struct err *e) MUST_USE;

#endif
