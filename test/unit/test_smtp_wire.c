/* Dot-stuffing: slices against a slow model, for every budget, number of slices and split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/buf.h"
#include "smtp/wire.h"

/* STR for static tables: no compound literal. */
#define LIT(lit)                                                                                   \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

static const struct str BODIES[] = {
    LIT(""),
    LIT("."),
    LIT(".."),
    LIT("a"),
    LIT("a\r\n"),
    LIT(".\r\n"),
    LIT("a\r\n."),
    LIT("a\r\n.\r\n"),
    LIT("a\r\n.b\r\n..c\r\n...\r\n.\r\n.\r\nd.e\r\n"),
    LIT("a\n.b\r.c\r\n"),
    LIT("no dots at all\r\nin here\r\n"),
    LIT("\r\n\r\n.\r\n\r\n."),
};

static void model(struct str body, bool stuffed, struct buf *out)
{
    for (size_t i = 0; i < body.n; i++) {
        if (stuffed && body.p[i] == '.' && (i == 0 || body.p[i - 1] == '\n'))
            buf_addc(out, '.');
        buf_addc(out, body.p[i]);
    }
}

/* Drains with at most `slices_max` slices, `bytes_max` bytes a peek, of which `taken` are sent. */
static void drain(struct str body, bool stuffed, size_t slices_max, size_t bytes_max, size_t taken,
                  struct buf *out)
{
    struct smtp_wire w;
    struct str slices[8];
    bool complete = false;

    smtp_wire_start(&w, body, stuffed);
    while (!smtp_wire_done(&w)) {
        size_t n = smtp_wire_peek(&w, bytes_max, slices, slices_max, &complete);
        size_t total = 0, left;
        for (size_t i = 0; i < n; i++) {
            assert_true(slices[i].p >= body.p && slices[i].p + slices[i].n <= body.p + body.n);
            total += slices[i].n;
        }
        assert_true(total > 0 && total <= bytes_max);
        left = MIN(total, taken);
        assert_int_equal(smtp_wire_advance(&w, left), left);
        assert_true(smtp_wire_done(&w) == (complete && left == total));
        for (size_t i = 0; i < n && left > 0; i++) {
            size_t part = MIN(left, slices[i].n);
            buf_add(out, slices[i].p, part);
            left -= part;
        }
    }
    assert_int_equal(smtp_wire_advance(&w, 5), 0);
}

static void every_split_gives_the_same(void **state)
{
    for (size_t i = 0; i < countof(BODIES) * 2; i++) {
        struct str body = BODIES[i / 2];
        struct buf want;
        buf_init(&want, 1000);
        model(body, i % 2, &want);
        for (size_t k = 0; k < 4 * 12 * 12; k++) {
            struct buf got;
            buf_init(&got, 1000);
            drain(body, i % 2, k % 4 + 1, k / 4 % 12 + 1, k / 48 + 1, &got);
            assert_int_equal(got.n, want.n);
            assert_memory_equal(got.n > 0 ? got.p : "", want.n > 0 ? want.p : "", want.n);
            buf_free(&got);
        }
        buf_free(&want);
    }
}

static void a_body_without_dots_is_one_slice(void **state)
{
    struct smtp_wire w;
    struct str slices[4];
    bool complete;
    struct str body = STR("Subject: x\r\n\r\nHello. World.\r\n");

    smtp_wire_start(&w, body, true);
    assert_int_equal(smtp_wire_peek(&w, 1000, slices, 4, &complete), 1);
    assert_true(complete);
    assert_ptr_equal(slices[0].p, body.p);
    assert_int_equal(slices[0].n, body.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_gives_the_same),
        cmocka_unit_test(a_body_without_dots_is_one_slice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
