/* Blocks and records of the journal, and the ids of a lease: whatever the disk gives back is a
 * block, zero, damaged or newer; what was read packs to the same bytes again. First byte: which of
 * them. */
#include "base/buf.h"
#include "base/check.h"
#include "base/codec.h"
#include "store/journal_format.h"
#include "store/outbox.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void try_records(const uint8_t *block, const struct journal_block *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const uint8_t *in = block + JOURNAL_HEAD + i * JOURNAL_RECORD;
        struct journal_record r, again;
        uint8_t out[JOURNAL_RECORD];
        journal_record_unpack(in, b->base_ms, &r);
        check(r.state < 16 && r.verdict < 16);
        if (r.code > 999) /* never written by us */
            continue;
        journal_record_pack(&r, b->base_ms, out);
        journal_record_unpack(out, b->base_ms, &again);
        check(again.message_id == r.message_id && again.kind == r.kind && again.n == r.n);
        check(again.server_num == r.server_num && again.code == r.code && again.at == r.at);
        check(again.state == r.state && again.verdict == r.verdict && again.hard == r.hard);
    }
}

/* As it is; then with a checksum that fits, so that what is behind it is reached. */
static void try_block(const uint8_t *data, size_t size)
{
    uint8_t block[JOURNAL_BLOCK] = {0}, sealed[JOURNAL_BLOCK];
    struct journal_block b = {0};
    memcpy(block, data, MIN(size, sizeof block));
    if (journal_block_read(block, &b) == JOURNAL_FOUND_BLOCK)
        try_records(block, &b);
    put_u32(block + 4, codec_crc32c(0, block + 8, sizeof block - 8));
    if (journal_block_read(block, &b) != JOURNAL_FOUND_BLOCK)
        return;
    check(b.n <= JOURNAL_PER_BLOCK);
    try_records(block, &b);
    memcpy(sealed, block, sizeof block);
    journal_block_seal(sealed, &b);
    struct journal_block back;
    check(journal_block_read(sealed, &back) == JOURNAL_FOUND_BLOCK);
    check(back.sequence == b.sequence && back.epoch == b.epoch && back.n == b.n);
    check(back.base_ms == b.base_ms && back.first_ticket == b.first_ticket);
}

static void try_ids(const uint8_t *data, size_t size)
{
    static uint64_t ids[LEASE_MAX], again[LEASE_MAX];
    struct buf out;
    uint32_t n = outbox_ids_unpack(str_from((const char *)data, size), ids, LEASE_MAX);
    check(n <= LEASE_MAX);
    buf_init(&out, LEASE_MAX * 10);
    check(outbox_ids_pack(ids, n, &out));
    check(outbox_ids_unpack(buf_str(&out), again, LEASE_MAX) == n);
    check(n == 0 || memcmp(ids, again, n * sizeof *ids) == 0);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        try_ids(data + 1, size - 1);
    else
        try_block(data + 1, size - 1);
    return 0;
}
