/* What is given away: addresses lose their local part, secrets and AUTH go, Message-IDs stay. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/codec.h"
#include "mail/mask.h"

static const struct mask mask = {
    .key = {1}, .secrets = {{"hunter2", 7}, {"aHVudGVyMg==", 12}, {"ab", 2}}, .n_secrets = 3};

static const char *masked(const char *text, bool conversation)
{
    static char out[4000];
    struct buf b;
    buf_init(&b, sizeof out - 1);
    if (conversation)
        mask_conversation(&mask, str_of(text), &b);
    else
        mask_text(&mask, str_of(text), &b);
    str_copy(buf_str(&b), out, sizeof out);
    buf_free(&b);
    return out;
}

static void addresses(void **state)
{
    (void)state;
    char first[200], id[24], text[200];
    str_copy(str_of(masked("<ana@example.net> no", false)), first, sizeof first);
    assert_non_null(strstr(first, "@example.net> no"));
    assert_null(strstr(first, "ana"));
    assert_string_equal(masked("<ANA@example.net> no", false), first);
    assert_string_not_equal(masked("<bob@example.net> no", false), first);
    assert_string_equal(masked("a @ b, @home, me@", false), "a @ b, @home, me@");
    assert_null(strstr(masked("o'neil+tag@x.example b.c@y.example", false), "neil"));
    assert_null(strstr(masked("two a.very.long.name.of.a.person.that.goes.on.and.on.and.on.still"
                              "@example.net",
                              false),
                       "person"));
    codec_id_format("msg", 123456789, id);
    snprintf(text, sizeof text, "Message-ID <%s@example.com>", id);
    assert_string_equal(masked(text, false), text);
}

static void secrets(void **state)
{
    (void)state;
    assert_string_equal(masked("user hunter2 (aHVudGVyMg==), about", false),
                        "user *** (***), about");
    assert_string_equal(masked("xhunter2hunter2y", false), "x******y");
}

static void auth(void **state)
{
    (void)state;
    const char *talk = "S: 220 hello\nC: EHLO me\nS: 250-AUTH PLAIN\nS: 250 HELP\n"
                       "C: AUTH LOGIN c2VjcmV0\nS: 334 VXNlcm5hbWU6\nC: b3RoZXI=\n"
                       "S: 334 UGFzc3dvcmQ6\nC: c2VjcmV0LXR3bw==\n"
                       "S: 535 5.7.8 no c2VjcmV0LXR3bw==\nC: QUIT\nS: 221 bye\n";
    const char *out = masked(talk, true);
    assert_null(strstr(out, "c2VjcmV0"));
    assert_null(strstr(out, "b3RoZXI="));
    assert_null(strstr(out, "UGFz"));
    assert_non_null(strstr(out, "C: AUTH LOGIN ***\n"));
    assert_non_null(strstr(out, "S: 535 5.7.8 no ***\n"));
    assert_non_null(strstr(out, "C: QUIT\nS: 221 bye\n"));
    assert_non_null(strstr(out, "S: 250-AUTH PLAIN\n"));
}

static void garbage(void **state)
{
    (void)state;
    unsigned seed = 3;
    char text[400];
    for (int round = 0; round < 3000; round++) {
        size_t n = (size_t)(rand_r(&seed) % (int)sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = round % 2 ? (char)rand_r(&seed) : "@@. \nC:SAUTH3h"[rand_r(&seed) % 14];
        struct buf b;
        buf_init(&b, 1 << 20);
        mask_text(&mask, str_from(text, n), &b);
        mask_conversation(&mask, str_from(text, n), &b);
        assert_false(b.overflow);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses), cmocka_unit_test(secrets),
                                       cmocka_unit_test(auth), cmocka_unit_test(garbage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
