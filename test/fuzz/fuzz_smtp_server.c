/* The server on any bytes: a driver that answers by rule sees its events in an order that makes
 * sense (test/unit/smtp_server_auto.h), no mail before a login, no event behind the end; and
 * whatever comes out is the same when the bytes are cut at a place that the input chooses. A byte
 * 0xff and a letter are no bytes but an act: time passes, the client closes, the daemon stops. */
#include "../unit/smtp_server_auto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void act(struct auto_driver *d, char what)
{
    if (what == 'c')
        smtp_server_closed(d->s, d->now_ms);
    else if (what == 's')
        smtp_server_stop(d->s, d->now_ms);
    else
        auto_wait(d, what == 't' ? 3000 : 900);
    auto_pump(d);
}

static void play(struct auto_driver *d, struct str all, size_t cut)
{
    while (all.n > 0) {
        const char *mark = memchr(all.p, 0xff, all.n);
        size_t n = mark != NULL ? (size_t)(mark - all.p) : all.n;
        size_t first = MIN(n, cut);
        auto_feed(d, str_cut(all, 0, first));
        auto_feed(d, str_cut(all, first, n - first));
        cut -= first;
        if (mark != NULL)
            act(d, n + 1 < all.n ? all.p[n + 1] : 't');
        all = str_from_index(all, mark != NULL ? n + 2 : n);
    }
    auto_wait(d, 900);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct auto_driver whole, cut;

    if (size < 4 || size > 4096)
        return 0;
    struct str all = str_from((const char *)data + 3, size - 3);
    auto_start(&whole, data[0], false);
    auto_start(&cut, data[0], false);
    play(&whole, all, SIZE_MAX);
    play(&cut, all, ((size_t)data[1] << 8 | data[2]) % size);
    check(str_eq(buf_str(&whole.said), buf_str(&cut.said)));
    check(str_eq(buf_str(&whole.seen), buf_str(&cut.seen)));
    smtp_server_closed(whole.s, whole.now_ms);
    auto_pump(&whole);
    check(whole.ended && smtp_server_deadline(whole.s) == INT64_MAX);
    auto_finish(&whole);
    auto_finish(&cut);
    /* With STARTTLS what is seen depends on the cut; the driver's own checks hold all the same. */
    auto_start(&whole, data[0], true);
    play(&whole, all, SIZE_MAX);
    auto_finish(&whole);
    return 0;
}
