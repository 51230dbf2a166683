/* The reply parser: a table of replies, each fed whole, cut in two at every place, and byte by
 * byte; all ways must agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "smtp/reply.h"

struct reply_case {
    struct str bytes;
    enum smtp_reply_status status;
    int code;
    uint8_t enhanced[3];
    const char *joined;
    size_t left; /* bytes behind the reply */
};

#define MORE  SMTP_REPLY_MORE
#define READY SMTP_REPLY_READY
#define BAD   SMTP_REPLY_BAD

/* STR for static tables: no compound literal. */
#define LIT(lit)                                                                                   \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

static const struct reply_case CASES[] = {
    {LIT("250 ok\r\n"), READY, 250, {0, 0, 0}, "ok", 0},
    {LIT("250 ok\n"), READY, 250, {0, 0, 0}, "ok", 0},
    {LIT("220\r\n"), READY, 220, {0, 0, 0}, "", 0},
    {LIT("220"), MORE, 0, {0, 0, 0}, "", 0},
    {LIT("250 \r\n"), READY, 250, {0, 0, 0}, "", 0},
    {LIT("250-\r\n250\r\n"), READY, 250, {0, 0, 0}, " ", 0},
    {LIT("550 5.1.1 no such user\r\n"), READY, 550, {5, 1, 1}, "no such user", 0},
    {LIT("550 5.1.1\r\n"), READY, 550, {5, 1, 1}, "", 0},
    {LIT("550 5.1.10 null mx\r\n"), READY, 550, {5, 1, 10}, "null mx", 0},
    {LIT("250 5.7.1 eaten\r\n"), READY, 250, {5, 7, 1}, "eaten", 0},
    {LIT("550 5.1.1.1 x\r\n"), READY, 550, {0, 0, 0}, "5.1.1.1 x", 0},
    {LIT("550 5.1 x\r\n"), READY, 550, {0, 0, 0}, "5.1 x", 0},
    {LIT("550 3.1.1 x\r\n"), READY, 550, {0, 0, 0}, "3.1.1 x", 0},
    {LIT("550 5.1.999 x\r\n"), READY, 550, {0, 0, 0}, "5.1.999 x", 0},
    {LIT("550 5.1111.1 x\r\n"), READY, 550, {0, 0, 0}, "5.1111.1 x", 0},
    {LIT("550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c\r\n"), READY, 550, {5, 7, 1}, "a b c", 0},
    {LIT("550-hello\r\n550 5.7.1 c\r\n"), READY, 550, {5, 7, 1}, "hello c", 0},
    {LIT("220-a\r\n220-b\r\n220 c\r\n"), READY, 220, {0, 0, 0}, "a b c", 0},
    {LIT("250-a\n250 b\r\n"), READY, 250, {0, 0, 0}, "a b", 0},
    {LIT("250 a\0b\r\n"), READY, 250, {0, 0, 0}, "a?b", 0},
    {LIT("250 a\033[2Jb\177\r\n"), READY, 250, {0, 0, 0}, "a?[2Jb?", 0},
    {LIT("250 a\tb\r\n"), READY, 250, {0, 0, 0}, "a b", 0},
    {LIT("250 a\rb\r\n"), READY, 250, {0, 0, 0}, "a?b", 0},
    {LIT("250 \303\244\377\r\n"), READY, 250, {0, 0, 0}, "\303\244\377", 0},
    {LIT("250 one\r\n421 two\r\n"), READY, 250, {0, 0, 0}, "one", 9},
    {LIT("250-one\r\n421 two\r\n"), BAD, 0, {0, 0, 0}, "codes differ within one reply: 421 two", 0},
    {LIT("55 short\r\n"), BAD, 0, {0, 0, 0}, "not an SMTP reply: 55 short", 0},
    {LIT("HTTP/1.1 400 Bad Request\r\n\r\n"),
     BAD,
     0,
     {0, 0, 0},
     "not an SMTP reply: HTTP/1.1 400 Bad Request",
     2},
    {LIT("\r\n"), BAD, 0, {0, 0, 0}, "not an SMTP reply", 0},
    {LIT("150 x\r\n"), BAD, 0, {0, 0, 0}, "not an SMTP reply: 150 x", 0},
    {LIT("650 x\r\n"), BAD, 0, {0, 0, 0}, "not an SMTP reply: 650 x", 0},
    {LIT("2500 x\r\n"), BAD, 0, {0, 0, 0}, "not an SMTP reply: 2500 x", 0},
    {LIT(" 250 x\r\n"), BAD, 0, {0, 0, 0}, "not an SMTP reply:  250 x", 0},
    {LIT("250_x\r\n"), BAD, 0, {0, 0, 0}, "not an SMTP reply: 250_x", 0},
    {LIT("250-x\r\n"), MORE, 0, {0, 0, 0}, "", 0},
};

/* Feeds in pieces that end at each of the two cuts; step > 0: pieces of that size. */
static enum smtp_reply_status feed(struct smtp_reply *r, struct str s, size_t cut, size_t step,
                                   size_t *left_out)
{
    enum smtp_reply_status status = SMTP_REPLY_MORE;
    size_t at = 0;

    while (at < s.n && status == SMTP_REPLY_MORE) {
        size_t end = step > 0 ? MIN(at + step, s.n) : at < cut ? cut : s.n;
        struct str piece = str_cut(s, at, end - at);
        status = smtp_reply_feed(r, &piece);
        at = end - piece.n;
    }
    *left_out = s.n - at;
    return status;
}

static void check_case(const struct reply_case *k, size_t cut, size_t step)
{
    struct smtp_reply r;
    struct buf joined;
    size_t left;

    smtp_reply_init(&r);
    buf_init(&joined, 100000);
    enum smtp_reply_status s = feed(&r, k->bytes, cut, step, &left);
    assert_int_equal(s, k->status);
    if (s == SMTP_REPLY_READY) {
        assert_int_equal(left, k->left);
        assert_memory_equal(r.enhanced, k->enhanced, 3);
    }
    if (s != SMTP_REPLY_MORE) {
        assert_int_equal(r.code, k->code);
        smtp_reply_join(&r, &joined);
        assert_string_equal(buf_cstr(&joined), k->joined);
    }
    buf_free(&joined);
    smtp_reply_free(&r);
}

static void every_cut_gives_the_same(void **state)
{
    for (size_t i = 0; i < countof(CASES); i++) {
        for (size_t cut = 0; cut <= CASES[i].bytes.n; cut++)
            check_case(&CASES[i], cut, 0);
        check_case(&CASES[i], 0, 1);
        check_case(&CASES[i], 0, 3);
    }
}

static void replies_follow_each_other(void **state)
{
    struct smtp_reply r;
    struct str s = STR("250 a\r\n354-go\r\n354 on\r\n221 bye\r\n22");
    int codes[] = {250, 354, 221};

    smtp_reply_init(&r);
    for (size_t i = 0; i < countof(codes); i++) {
        assert_int_equal(smtp_reply_feed(&r, &s), SMTP_REPLY_READY);
        assert_int_equal(r.code, codes[i]);
    }
    assert_int_equal(smtp_reply_feed(&r, &s), SMTP_REPLY_MORE);
    assert_int_equal(s.n, 0);
    smtp_reply_free(&r);
}

static enum smtp_reply_status feed_line_of(size_t n, size_t step)
{
    static char line[8192];
    struct smtp_reply r;
    size_t left;

    memset(line, 'x', sizeof line);
    memcpy(line, "250 ", 4);
    line[n] = '\n';
    smtp_reply_init(&r);
    enum smtp_reply_status s = feed(&r, str_from(line, n + 1), 0, step, &left);
    smtp_reply_free(&r);
    return s;
}

static void long_lines_are_refused(void **state)
{
    for (size_t step = 1; step < 9000; step = step * 3 + 1) {
        assert_int_equal(feed_line_of(SMTP_REPLY_LINE_MAX, step), SMTP_REPLY_READY);
        assert_int_equal(feed_line_of(SMTP_REPLY_LINE_MAX + 1, step), SMTP_REPLY_BAD);
    }
}

static void endless_replies_are_refused(void **state)
{
    struct smtp_reply r;
    enum smtp_reply_status s = SMTP_REPLY_MORE;
    size_t n = 0;

    smtp_reply_init(&r);
    while (s == SMTP_REPLY_MORE) {
        struct str line = STR("250-and so on\r\n");
        s = smtp_reply_feed(&r, &line);
        n += 15;
        assert_true(n <= SMTP_REPLY_TOTAL_MAX + 15);
    }
    assert_int_equal(s, SMTP_REPLY_BAD);
    smtp_reply_free(&r);
}

static void joining_stops_where_the_buffer_ends(void **state)
{
    struct smtp_reply r;
    struct str s = STR("250-abcdef\r\n250-ghijkl\r\n250 mnopqr\r\n");

    smtp_reply_init(&r);
    assert_int_equal(smtp_reply_feed(&r, &s), SMTP_REPLY_READY);
    for (size_t max = 0; max < 30; max++) {
        struct buf b;
        buf_init(&b, max);
        smtp_reply_join(&r, &b);
        assert_false(b.overflow);
        assert_true(b.n <= max);
        assert_memory_equal(b.n > 0 ? b.p : "", "abcdef ghijkl mnopqr", b.n);
        buf_free(&b);
    }
    smtp_reply_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same),
        cmocka_unit_test(replies_follow_each_other),
        cmocka_unit_test(long_lines_are_refused),
        cmocka_unit_test(endless_replies_are_refused),
        cmocka_unit_test(joining_stops_where_the_buffer_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
