/* Inside the store: the bytes of the journal, for the writer, the reader, the fuzzer and tests. */
#ifndef STORE_JOURNAL_FORMAT_H
#define STORE_JOURNAL_FORMAT_H

#include "store/journal.h"

#define JOURNAL_BLOCK     4096
#define JOURNAL_HEAD      48
#define JOURNAL_RECORD    16
#define JOURNAL_PER_BLOCK ((JOURNAL_BLOCK - JOURNAL_HEAD) / JOURNAL_RECORD)
#define JOURNAL_MAGIC     0x314A4650u /* "PFJ1" */

struct journal_block {
    uint64_t sequence, epoch, first_ticket;
    int64_t base_ms;
    uint32_t n;
};

enum journal_found {
    JOURNAL_FOUND_BLOCK,
    JOURNAL_FOUND_ZERO,
    JOURNAL_FOUND_DAMAGED,
    JOURNAL_FOUND_NEWER
};

void journal_record_pack(const struct journal_record *r, int64_t base_ms,
                         uint8_t out[JOURNAL_RECORD]);
void journal_record_unpack(const uint8_t in[JOURNAL_RECORD], int64_t base_ms,
                           struct journal_record *r);
/* Puts head and checksum before n packed records that are in place already. */
void journal_block_seal(uint8_t block[JOURNAL_BLOCK], const struct journal_block *b);
enum journal_found journal_block_read(const uint8_t block[JOURNAL_BLOCK],
                                      struct journal_block *out);

#endif
