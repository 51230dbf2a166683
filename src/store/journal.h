/* The fine level of the ledger: an append-only file of 16-byte records in checksummed 4 KB blocks,
 * one fdatasync a group. No database stands here. Written by a thread of its own; the reactor adds
 * records and learns by a callback what is durable.
 *
 * Format (little endian): segments `NNNNNNNNNN.journal` of SEGMENT blocks, zero-filled when made.
 * A block: 48-byte head (magic, crc32c of the rest, sequence, epoch, time base, number of records)
 * and up to 253 records. Sequences rise by one over segments. The page `synced` holds the highest
 * sequence that fdatasync has answered for: a damaged block up to it means that the journal is lost
 * (the leases decide then), a damaged one behind it is a tail that no dot has relied on. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "base/base.h"
#include "base/err.h"

enum journal_kind { JOURNAL_INTENT = 1, JOURNAL_OUTCOME = 2, JOURNAL_WITHDRAWN = 3 };

struct journal_record {
    uint64_t message_id;
    enum journal_kind kind;
    uint8_t n;       /* attempt, modulo 256 */
    uint8_t state;   /* OUTCOME: enum message_state the message took (0..15) */
    uint8_t verdict; /* OUTCOME: enum verdict (0..15) */
    bool hard;
    uint16_t server_num;
    uint16_t code; /* 0..999 */
    int64_t at;    /* steady ms; kept to the millisecond within 65 s of its block */
};

struct journal_config {
    const char *dir;
    uint64_t epoch;                /* records of another epoch are not ours */
    uint32_t segment_blocks;       /* 0: 2048 (8 MB) */
    int64_t intent_wait_us;        /* a group closes so long after its first intent; 0: 300 */
    int64_t outcome_wait_us;       /* a group of outcomes only; 0: 5000 */
    void (*on_durable)(void *arg); /* from the journal's thread, after every group */
    void *arg;
};

enum journal_health {
    JOURNAL_WHOLE,
    JOURNAL_NEW,
    JOURNAL_LOST,
    JOURNAL_AHEAD, /* of a later epoch: the database is an older one, put back */
};

struct journal;

/* Opens or makes the journal and gives every record of the epoch to `replay`, in order (may be
 * NULL). LOST: missing though `expect_existing`, or a synced block is damaged; then nothing was
 * replayed that could be relied on. A file of a newer version is an error. */
bool journal_open(const struct journal_config *cfg, bool expect_existing,
                  void (*replay)(void *arg, const struct journal_record *r), void *replay_arg,
                  struct journal **out, enum journal_health *health_out, struct err *e) MUST_USE;
/* The latest epoch this journal was written in, ours included: a new one must be greater. */
uint64_t journal_epoch_seen(const struct journal *j);
/* Throws every old segment away: all that they say is settled in the database now. Before the
 * first add, after recovery. */
bool journal_start(struct journal *j, struct err *e) MUST_USE;
/* Flushes; where the disk stays full for two seconds, what is not written yet is given up. */
void journal_close(struct journal **j);

/* ---- reactor thread */

/* Adds a record; its ticket rises by one each. An intent's ticket is durable when
 * journal_durable() >= ticket. `at` of the record is set by the caller. */
uint64_t journal_add(struct journal *j, const struct journal_record *r);
uint64_t journal_durable(const struct journal *j);
/* Every open transaction has its intent in: close the group now. */
void journal_hurry(struct journal *j);
/* Of two tickets: do they lie in the same or a neighbouring segment? (else: add it again) */
bool journal_is_old(const struct journal *j, uint64_t ticket);

/* ---- any thread */

/* The intent of this ticket needs the journal no more (its result is durable in the database, or
 * it was withdrawn). Segments are used again oldest first. */
void journal_settle(struct journal *j, uint64_t ticket);

struct journal_stats {
    uint64_t groups, blocks, syncs, bytes, segments, sync_us_total, sync_us_max;
};
void journal_stats(struct journal *j, struct journal_stats *out);

#endif
