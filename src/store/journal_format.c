/* Packing and checking blocks and records. No input or output. */
#include "store/journal_format.h"
#include "base/codec.h"

static void put(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

void journal_record_pack(const struct journal_record *r, int64_t base_ms,
                         uint8_t out[JOURNAL_RECORD])
{
    int64_t delta = r->at - base_ms;
    put(out, r->message_id, 8);
    out[8] = (uint8_t)((r->kind & 3) | (r->state & 15) << 2 | (r->hard ? 64 : 0));
    out[9] = r->n;
    put(out + 10, r->server_num, 2);
    put(out + 12, (uint64_t)(r->code % 1000) | (uint64_t)(r->verdict & 15) << 10, 2);
    put(out + 14, (uint64_t)MIN(MAX(delta, (int64_t)0), (int64_t)UINT16_MAX), 2);
}

void journal_record_unpack(const uint8_t in[JOURNAL_RECORD], int64_t base_ms,
                           struct journal_record *r)
{
    uint64_t code = get(in + 12, 2);
    *r = (struct journal_record){.message_id = get(in, 8),
                                 .kind = (enum journal_kind)(in[8] & 3),
                                 .state = in[8] >> 2 & 15,
                                 .hard = (in[8] & 64) != 0,
                                 .n = in[9],
                                 .server_num = (uint16_t)get(in + 10, 2),
                                 .code = (uint16_t)(code & 1023),
                                 .verdict = (uint8_t)(code >> 10 & 15),
                                 .at = base_ms + (int64_t)get(in + 14, 2)};
}

void journal_block_seal(uint8_t block[JOURNAL_BLOCK], const struct journal_block *b)
{
    memset(block + JOURNAL_HEAD + b->n * JOURNAL_RECORD, 0,
           JOURNAL_BLOCK - JOURNAL_HEAD - b->n * JOURNAL_RECORD);
    put(block, JOURNAL_MAGIC, 4);
    put(block + 8, b->sequence, 8);
    put(block + 16, b->epoch, 8);
    put(block + 24, (uint64_t)b->base_ms, 8);
    put(block + 32, b->first_ticket, 8);
    put(block + 40, b->n, 8);
    put(block + 4, codec_crc32c(0, block + 8, JOURNAL_BLOCK - 8), 4);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

enum journal_found journal_block_read(const uint8_t block[JOURNAL_BLOCK], struct journal_block *out)
{
    uint32_t magic = (uint32_t)get(block, 4);
    if (magic == 0 && is_zero(block, JOURNAL_BLOCK))
        return JOURNAL_FOUND_ZERO;
    if (codec_crc32c(0, block + 8, JOURNAL_BLOCK - 8) != (uint32_t)get(block + 4, 4))
        return JOURNAL_FOUND_DAMAGED;
    if (magic != JOURNAL_MAGIC)
        return (magic & 0xFFFFFF) == (JOURNAL_MAGIC & 0xFFFFFF) ? JOURNAL_FOUND_NEWER
                                                                : JOURNAL_FOUND_DAMAGED;
    *out = (struct journal_block){.sequence = get(block + 8, 8),
                                  .epoch = get(block + 16, 8),
                                  .base_ms = (int64_t)get(block + 24, 8),
                                  .first_ticket = get(block + 32, 8),
                                  .n = (uint32_t)get(block + 40, 8)};
    bool times_fit = out->base_ms >= 0 && out->base_ms <= INT64_MAX - UINT16_MAX;
    bool fits = times_fit && get(block + 40, 8) <= JOURNAL_PER_BLOCK;
    return fits ? JOURNAL_FOUND_BLOCK : JOURNAL_FOUND_DAMAGED;
}
