/* mail/header: encoding, folding, parameters, dates. Every written field is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "mail/header.h"
#include "mail/mime.h"

/* Lines within 78 bytes, CRLF only, printable ASCII: true for everything that is written here. */
static void check_form(struct str field)
{
    size_t column = 0;
    assert_true(str_ends(field, STR("\r\n")));
    for (size_t i = 0; i < field.n; i++) {
        unsigned char c = (unsigned char)field.p[i];
        if (c == '\r') {
            assert_int_equal(field.p[i + 1], '\n');
            assert_true(column <= 78);
            if (i + 2 < field.n)
                assert_int_equal(field.p[i + 2], ' ');
            column = 0;
            i++;
            continue;
        }
        assert_true(c >= 0x20 && c < 0x7f);
        column++;
    }
}

/* What a reader makes of the field: unfolded, words decoded. */
static void read_back(struct buf *field, struct buf *out)
{
    char raw[20000];
    struct buf message;
    buf_init(&message, 1 << 20);
    assert_true(buf_addstr(&message, buf_str(field)) && buf_adds(&message, "\r\nbody\r\n"));
    struct str value = mime_field(buf_str(&message), "Subject", raw, sizeof(raw));
    assert_non_null(value.p);
    assert_true(header_decode(value, out));
    buf_free(&message);
}

static void check_text(struct str in, struct str expected)
{
    struct buf field, back;
    buf_init(&field, 1 << 20);
    buf_init(&back, 1 << 20);
    assert_true(header_add_text(&field, STR("Subject"), in));
    check_form(buf_str(&field));
    read_back(&field, &back);
    if (!str_eq(buf_str(&back), expected))
        fail_msg("got \"%s\"\nnot \"%.*s\"", buf_cstr(&back), STR_A(expected));
    buf_free(&field);
    buf_free(&back);
}

static const struct {
    const char *in, *out; /* out NULL: the same */
} texts[] = {
    {"", NULL},
    {"Hello", NULL},
    {"Grüße aus Köln", NULL},
    {"日本語の件名は長くなることがあるので折り返しが必要です。もう少し長くします。", NULL},
    {"mixed 日本 and ascii with = and ? and _ and =?x", NULL},
    {"=?utf-8?Q?literal?=", NULL},
    {"a =?b", NULL},
    {"two  blanks   three", NULL},
    {"emoji 👩‍👩‍👧 end", NULL},
    {"  trimmed  ", "trimmed"},
    {"a\r\nBcc: victim@example.org", "a Bcc: victim@example.org"},
    {"a\nBcc: x", "a Bcc: x"},
    {"a\rBcc: x", "a Bcc: x"},
    {"a\r\n\r\n<body>", "a  <body>"},
    {"a\xe2\x80\xa8"
     "Bcc: x",
     "a Bcc: x"},
    {"a\x0b"
     "X: y",
     "a X: y"},
    {"tab\there", "tab here"},
    {"bad \xff\xfe utf", "bad \xef\xbf\xbd\xef\xbf\xbd utf"},
    {"cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd"},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(texts); i++)
        check_text(str_of(texts[i].in), str_of(texts[i].out ? texts[i].out : texts[i].in));
    check_text(str_from("a\0\r\nX: y", 8), STR("a  X: y"));
}

static void test_lengths(void **state)
{
    (void)state;
    char text[3000];
    for (size_t n = 1; n < 400; n++) {
        for (size_t i = 0; i < n; i++)
            text[i] = i % 9 == 8 && i + 1 < n ? ' ' : 'x';
        check_text(str_from(text, n), str_from(text, n));
        for (size_t i = 0; i + 1 < n; i += 2)
            memcpy(text + i, "ü", 2);
        check_text(str_from(text, n & ~(size_t)1), str_from(text, n & ~(size_t)1));
    }
    /* A word longer than a line may be must be encoded; one shorter stays whole. */
    memset(text, 'y', sizeof(text));
    check_text(str_from(text, 2000), str_from(text, 2000));
    struct buf b;
    buf_init(&b, 4000);
    assert_true(header_add_text(&b, STR("X"), str_from(text, 500)));
    assert_int_equal(b.n, 505);
    buf_free(&b);
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

/* Random characters, all planes, by seed. */
static void test_random(void **state)
{
    (void)state;
    static const uint32_t tops[] = {0x7F, 0x24F, 0x4FF, 0xFFFF, 0x1FFFF};
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        uint64_t s = seed;
        char text[400];
        size_t n = 0, count = next(&s) % 60;
        for (size_t i = 0; i < count; i++) {
            uint32_t c = (uint32_t)(next(&s) % tops[next(&s) % countof(tops)]);
            bool skip = c < 0x21 || (c >= 0x7F && c <= 0xA0) || (c >= 0xD800 && c < 0xE000) ||
                        c == 0x2028 || c == 0x2029;
            char bytes[4];
            size_t k = 0;
            if (skip)
                c = i > 0 && i + 1 < count ? ' ' : 'z';
            if (c < 0x80) {
                bytes[k++] = (char)c;
            } else if (c < 0x800) {
                bytes[k++] = (char)(0xC0 | c >> 6);
                bytes[k++] = (char)(0x80 | (c & 63));
            } else if (c < 0x10000) {
                bytes[k++] = (char)(0xE0 | c >> 12);
                bytes[k++] = (char)(0x80 | (c >> 6 & 63));
                bytes[k++] = (char)(0x80 | (c & 63));
            } else {
                bytes[k++] = (char)(0xF0 | c >> 18);
                bytes[k++] = (char)(0x80 | (c >> 12 & 63));
                bytes[k++] = (char)(0x80 | (c >> 6 & 63));
                bytes[k++] = (char)(0x80 | (c & 63));
            }
            memcpy(text + n, bytes, k);
            n += k;
        }
        check_text(str_from(text, n), str_from(text, n));
    }
}

static const struct {
    const char *name, *address, *field;
} boxes[] = {
    {"", "a@b.cd", "From: a@b.cd\r\n"},
    {"Ada King", "a@b.cd", "From: Ada King <a@b.cd>\r\n"},
    {"Name, Inc.", "a@b.cd", "From: \"Name, Inc.\" <a@b.cd>\r\n"},
    {"A \"B\" \\ C", "a@b.cd", "From: \"A \\\"B\\\" \\\\ C\" <a@b.cd>\r\n"},
    {"two  blanks", "a@b.cd", "From: \"two  blanks\" <a@b.cd>\r\n"},
    {"Jörg", "j@b.cd", "From: =?utf-8?B?SsO2cmc=?= <j@b.cd>\r\n"},
    {"=?utf-8?Q?x?=", "j@b.cd", "From: =?utf-8?B?PT91dGYtOD9RP3g/PQ==?= <j@b.cd>\r\n"},
    {"x\r\nBcc: y", "a@b.cd", "From: \"x Bcc: y\" <a@b.cd>\r\n"},
    {"a <evil@x.org>", "a@b.cd", "From: \"a <evil@x.org>\" <a@b.cd>\r\n"},
    {" \r\n ", "a@b.cd", "From: a@b.cd\r\n"},
};

static void test_mailboxes(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(boxes); i++) {
        struct addr a;
        struct err e;
        struct buf b;
        buf_init(&b, 4096);
        assert_true(addr_parse(str_of(boxes[i].address), &a, &e));
        assert_true(header_add_mailbox(&b, STR("From"), str_of(boxes[i].name), &a));
        assert_string_equal(buf_cstr(&b), boxes[i].field);
        buf_clear(&b);
        /* The form for people is read back to the same name. */
        char name[200];
        assert_true(header_mailbox_text(&b, str_of(boxes[i].name), &a));
        assert_true(addr_parse_mailbox(buf_str(&b), &a, name, sizeof(name), &e));
        buf_free(&b);
    }
    for (size_t n = 1; n < 300; n++) {
        char name[300];
        struct addr a;
        struct err e;
        struct buf b;
        memset(name, n % 2 ? 'n' : ',', n);
        buf_init(&b, 4096);
        assert_true(addr_parse(STR("somebody.with.a.long.name@some.long.domain.example"), &a, &e));
        assert_true(header_add_mailbox(&b, STR("Reply-To"), str_from(name, n), &a));
        check_form(buf_str(&b));
        buf_free(&b);
    }
}

static void test_mailbox_list(void **state)
{
    (void)state;
    struct buf b;
    struct err e;
    bool utf8 = false;
    buf_init(&b, 4096);
    assert_true(header_add_mailbox_list(
        &b, STR("Cc"), STR("\"A, B\" <a@b.cd>, c@d.ef,, Jörg <ü@x.de>"), &utf8, &e));
    assert_true(utf8);
    assert_string_equal(buf_cstr(&b),
                        "Cc: \"A, B\" <a@b.cd>,\r\n c@d.ef,\r\n =?utf-8?B?SsO2cmc=?= <ü@x.de>\r\n");
    buf_clear(&b);
    assert_false(header_add_mailbox_list(&b, STR("Cc"), STR("a@b.cd, nonsense"), &utf8, &e));
    assert_false(header_add_mailbox_list(&b, STR("Cc"), STR(" , "), &utf8, &e));
    assert_int_equal(b.n, 0);
    buf_free(&b);
}

static void test_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *value, *out;
    } cases[] = {
        {"plain.txt", "; filename=plain.txt"},
        {"with blank.txt", ";\r\n filename=\"with blank.txt\""},
        {"quo\"te", ";\r\n filename=\"quo\\\"te\""},
        {"", ";\r\n filename=\"\""},
        {"für.pdf", ";\r\n filename*=utf-8''f%C3%BCr.pdf"},
        {"a\r\nX: y", ";\r\n filename=\"a X: y\""},
    };
    struct buf b;
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < countof(cases); i++) {
        buf_clear(&b);
        assert_true(header_add_parameter(&b, STR("filename"), str_of(cases[i].value)));
        assert_string_equal(buf_cstr(&b), cases[i].out);
    }
    for (size_t n = 1; n < 300; n++) {
        char value[300];
        memset(value, n % 3 ? 'f' : '%', n);
        buf_clear(&b);
        assert_true(buf_adds(&b, "Content-Disposition: attachment"));
        assert_true(header_add_parameter(&b, STR("filename"), str_from(value, n)));
        assert_true(buf_adds(&b, "\r\n"));
        check_form(buf_str(&b));
    }
    buf_free(&b);
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        int offset;
        const char *out;
    } cases[] = {
        {0, 0, "Thu, 01 Jan 1970 00:00:00 +0000"},
        {951782399999, 0, "Mon, 28 Feb 2000 23:59:59 +0000"},
        {951782400000, 0, "Tue, 29 Feb 2000 00:00:00 +0000"},
        {1763761080000, 60, "Fri, 21 Nov 2025 22:38:00 +0100"},
        {1763761080000, -210, "Fri, 21 Nov 2025 18:08:00 -0330"},
        {-1, 0, "Wed, 31 Dec 1969 23:59:59 +0000"},
        {4102444800000, 0, "Fri, 01 Jan 2100 00:00:00 +0000"},
        {INT64_MAX, 0, "Fri, 31 Dec 9999 23:59:59 +0000"},
        {INT64_MIN, 0, "Mon, 01 Jan 0001 00:00:00 +0000"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        char out[HEADER_DATE_SIZE];
        header_date(cases[i].ms, cases[i].offset, out);
        assert_string_equal(out, cases[i].out);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"X", "X-Mailer", "List-Id", "x_y!", "!#$"};
    static const char *const bad[] = {"", "a b", "a:b", "ü", "a\r\nb", "a\t", "X-\x7f"};
    static const char *const ours[] = {"From",         "to",         "SUBJECT",
                                       "Date",         "Message-Id", "Content-Type",
                                       "MIME-Version", "Bcc",        "Content-Transfer-Encoding"};
    struct err e;
    for (size_t i = 0; i < countof(good); i++)
        assert_true(header_check_extra(str_of(good[i]), &e));
    for (size_t i = 0; i < countof(bad); i++)
        assert_false(header_check_extra(str_of(bad[i]), &e));
    for (size_t i = 0; i < countof(ours); i++)
        assert_false(header_check_extra(str_of(ours[i]), &e));
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"},
        {"=?utf-8?Q?a?=  c =?utf-8?B?YQ==?=", "a  c a"},
        {"=?utf-8?Q?a_b=3D?=", "a b="},
        {"=?utf-8*de?Q?a?=", "a"},
        {"=?koi8-r?B?0PA=?=", "=?koi8-r?B?0PA=?="},
        {"=?utf-8?B?!!!?=", "=?utf-8?B?!!!?="},
        {"=?utf-8?Q?=FF?=", "=?utf-8?Q?=FF?="},
        {"=?utf-8?Q?open", "=?utf-8?Q?open"},
        {"=?", "=?"},
        {"=??Q?x?=", "=??Q?x?="},
        {"x=?utf-8?Q?a?=", "xa"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct buf b;
        buf_init(&b, 1000);
        assert_true(header_decode(str_of(cases[i].in), &b));
        assert_string_equal(buf_cstr(&b), cases[i].out);
        buf_free(&b);
    }
}

/* A full buffer is an answer, never a cut field that looks whole. */
static void test_full(void **state)
{
    (void)state;
    for (size_t max = 0; max < 60; max++) {
        struct buf b;
        buf_init(&b, max);
        assert_false(header_add_text(&b, STR("Subject"),
                                     STR("Grüße aus Köln, und noch ein Stück mehr dazu")));
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_mailbox_list), cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_dates),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_decode),       cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
