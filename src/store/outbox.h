/* Leases: this node works on these messages. A lease comes from the audience of a campaign (ids are
 * handed out, message id = first id + position) or from the queue (single messages and retries).
 * All functions run inside a transaction of the caller, on the ledger thread. */
#ifndef STORE_OUTBOX_H
#define STORE_OUTBOX_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/message.h"
#include "store/db.h"
#include "store/ids.h"

#define LEASE_MAX       500
#define LEASE_BYTES_MAX (32u * 1024 * 1024)

struct lease_item {
    uint64_t message_id;
    uint64_t contact_id; /* campaign messages; else 0 */
    uint32_t campaign_num, group_num, credential_num;
    enum lane lane;
    uint32_t attempts, tries, resends;
    uint16_t keep_server;
    bool in_queue;     /* has a row in `queue` */
    bool was_deferred; /* counted in TALLY_DEFERRED: it waited in the queue after an attempt */
    bool suppressed;   /* at the claim: it gets its result at once */
    int64_t first_at, expires_at;
    struct str address, key; /* to send to; and as suppression knows it */
    struct str fields;       /* of its contact, or of the one with its address; JSON object */
    /* single messages: */
    struct str envelope_from;
    struct str message_id_text;
    struct str body; /* n == 0 and spooled: in the spool under body_id */
    bool spooled;
    uint64_t body_id;       /* the message that holds the body */
    struct str header_from; /* the mailbox of its From field */
    struct str tags;        /* one a line */
    struct str dsn;         /* parameters of RFC 3461, as engine/envelope.h says */
    uint64_t size;          /* bytes of the mail; 0: not known */
    uint8_t facts;          /* 1: 8-bit, 2: SMTPUTF8, 4: leading dot */
};

struct lease {
    uint64_t first_id;
    uint32_t campaign_num; /* 0: of the queue */
    uint32_t n;
    bool walked;         /* campaign: the audience is used up with this one */
    struct arena *arena; /* all strings */
    struct lease_item *items;
};

void lease_free(struct lease **l);

/* The next slice of a running campaign: sets audience bits, writes the lease, moves the cursor;
 * suppressed contacts are in it, marked. *out NULL: nobody left (then walked is set durably). */
bool outbox_claim_campaign(struct db *db, struct ids *ids, uint32_t campaign_num, uint32_t max,
                           int64_t now_ms, uint64_t epoch, struct lease **out,
                           struct err *e) MUST_USE;

/* Due rows of the queue behind the place (due, id), at most max, without those of paused campaigns
 * and those that `is_claimed` says are in an open lease. place is moved behind all that was looked
 * at (a resumed campaign wants it back at 0); *out NULL: none. */
struct outbox_place {
    int64_t due;
    uint64_t id;
};
bool outbox_claim_queue(struct db *db, struct ids *ids, enum lane lane, int64_t now_ms,
                        uint64_t epoch, uint32_t max, struct outbox_place *place,
                        bool (*is_claimed)(void *arg, uint64_t id), void *arg, struct lease **out,
                        struct err *e) MUST_USE;
/* Earliest due of what is in the queue (held ones aside) at or behind a place; INT64_MAX: none. */
bool outbox_next_due(struct db *db, enum lane lane, const struct outbox_place *place,
                     int64_t *due_out, struct err *e) MUST_USE;

/* Every message of it has a durable result: campaign leases are closed, queue leases removed. */
bool outbox_close(struct db *db, uint64_t first_id, bool of_campaign, struct err *e) MUST_USE;

/* The first ids of all open leases, oldest first. Caller frees. */
bool outbox_open_leases(struct db *db, uint64_t **ids_out, size_t *n_out, struct err *e) MUST_USE;
/* Loads a campaign's lease again with the messages that have no settled result; queue leases give
 * the rows that still are in the queue. n may be 0. */
bool outbox_load(struct db *db, uint64_t first_id, struct lease **out, struct err *e) MUST_USE;

/* Where a campaign message id belongs: contact id, or 0 when no lease holds it. */
bool outbox_contact_of(struct db *db, uint64_t message_id, uint64_t *contact_out,
                       uint32_t *campaign_out, struct err *e) MUST_USE;

/* Ids as varint deltas, ascending or not (zigzag). For reports too. */
bool outbox_ids_pack(const uint64_t *ids, uint32_t n, struct buf *out);
uint32_t outbox_ids_unpack(struct str blob, uint64_t *ids, uint32_t max);

#endif
