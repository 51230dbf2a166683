/* The reply parser on any bytes: whole and cut at a place that the input chooses, every reply must
 * be the same. */
#include "base/check.h"
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads replies until the bytes are used up or bad; adds what was read to `out`. */
static bool read_all(struct smtp_reply *r, struct str s, struct buf *out)
{
    while (s.n > 0) {
        switch (smtp_reply_feed(r, &s)) {
        case SMTP_REPLY_MORE: check(s.n == 0); break;
        case SMTP_REPLY_READY:
            check(r->code >= 200 && r->code <= 599);
            buf_addf(out, "%d %d.%d.%d ", r->code, r->enhanced[0], r->enhanced[1], r->enhanced[2]);
            smtp_reply_join(r, out);
            buf_addc(out, '\n');
            break;
        case SMTP_REPLY_BAD:
            buf_adds(out, "bad ");
            smtp_reply_join(r, out);
            return false;
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_reply whole, cut;
    struct buf a, b;

    if (size < 2)
        return 0;
    size_t at = (size_t)data[0] * size / 256;
    struct str s = str_from((const char *)data + 1, size - 1);
    at = MIN(at, s.n);
    smtp_reply_init(&whole);
    smtp_reply_init(&cut);
    buf_init(&a, 1 << 22);
    buf_init(&b, 1 << 22);
    read_all(&whole, s, &a);
    if (read_all(&cut, str_cut(s, 0, at), &b))
        read_all(&cut, str_from_index(s, at), &b);
    check(str_eq(buf_str(&a), buf_str(&b)));
    check(str_chr(buf_str(&a), 0) < 0);
    buf_free(&a);
    buf_free(&b);
    smtp_reply_free(&whole);
    smtp_reply_free(&cut);
    return 0;
}
