/* mail/addr: what is an address, what is not, and the one form each is kept in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail/addr.h"
#include "mail/utf8.h"

static const struct {
    const char *in, *out;
    bool needs_utf8;
} good[] = {
    {"a@b.cd", "a@b.cd", false},
    {"First.Last+tag@Example.ORG", "First.Last+tag@example.org", false},
    {"!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~@example.org", false},
    {"root+${run{/bin/true}}@example.org", "root+${run{/bin/true}}@example.org", false},
    {"\"plain\"@example.org", "plain@example.org", false},
    {"\"with blank\"@example.org", "\"with blank\"@example.org", false},
    {"\"a\\b\"@example.org", "ab@example.org", false},
    {"\"q\\\"uote\"@example.org", "\"q\\\"uote\"@example.org", false},
    {"\"a@b\"@example.org", "\"a@b\"@example.org", false},
    {"\"a..b\"@example.org", "\"a..b\"@example.org", false},
    {"\"\"@example.org", "\"\"@example.org", false},
    {"x@[192.0.2.1]", "x@[192.0.2.1]", false},
    {"x@[IPv6:2001:DB8::1]", "x@[IPv6:2001:db8::1]", false},
    {"x@[ipv6:1:2:3:4:5:6:7:8]", "x@[IPv6:1:2:3:4:5:6:7:8]", false},
    {"x@[IPv6:::ffff:192.0.2.1]", "x@[IPv6:::ffff:192.0.2.1]", false},
    {"root@localhost", "root@localhost", false},
    {"a@xn--fsq.example", "a@xn--fsq.example", false},
    {"a@例子.公司", "a@xn--fsqu00a.xn--55qx5d", false},
    {"用户@例子.公司", "用户@xn--fsqu00a.xn--55qx5d", true},
    {"a@BÜCHER.example", "a@xn--bcher-kva.example", false},
    {"a@faß.de", "a@xn--fa-hia.de", false},
    {"jörg@example.org", "jörg@example.org", true},
    {"a@1.example", "a@1.example", false},
    {"a@r3---sn.example", "a@r3---sn.example", false},
};

static const struct {
    const char *in;
    size_t n;        /* 0: strlen */
    const char *why; /* part of the error */
} bad[] = {
    {"", 0, "empty"},
    {"plain", 0, "\"@\" is missing"},
    {"@b.cd", 0, "before"},
    {"a@", 0, "after \"@\""},
    {"a@b", 0, "no dot"},
    {"a@b@c.de", 0, "character \"@\""},
    {"a b@c.de", 0, "blank"},
    {" a@c.de", 0, "blank"},
    {"a@c.de ", 0, "character"},
    {".a@c.de", 0, "dot"},
    {"a.@c.de", 0, "dot"},
    {"a..b@c.de", 0, "dot"},
    {"a@.c.de", 0, "empty label"},
    {"a@c..de", 0, "empty label"},
    {"a@c.de.", 0, "empty label"},
    {"a@-x.org", 0, "hyphen"},
    {"a@x-.org", 0, "hyphen"},
    {"a@x_y.org", 0, "character \"_\""},
    {"a@xn--", 0, "hyphen"},
    {"a@xn--.org", 0, "hyphen"},
    {"a@xn--a.org", 0, "xn--"},
    {"a@xn--99999999999.org", 0, "xn--"},
    {"a@192.0.2.1", 0, "number"},
    {"a@[192.0.2.256]", 0, "literal"},
    {"a@[192.0.2]", 0, "literal"},
    {"a@[192.0.02.1]", 0, "literal"},
    {"a@[IPv6:1:2]", 0, "literal"},
    {"a@[IPv6:1::2::3]", 0, "literal"},
    {"a@[IPv6:12345::]", 0, "literal"},
    {"a@[tag:x]", 0, "literal"},
    {"a@[192.0.2.1", 0, "literal"},
    {"\"open@c.de", 0, "not closed"},
    {"\"a\"b@c.de", 0, "after the quoted"},
    {"a\\b@c.de", 0, "character"},
    {"a(comment)@c.de", 0, "character"},
    {"<a@c.de>", 0, "character \"<\""},
    {"a@example.org,b@example.org", 0, "character"},
    {"a@example.org> SIZE=1", 0, "character"},
    {"@a:b@example.org", 0, "character"},
    {"a@c.de\r\nRCPT TO:<b@c.de>", 0, "line break"},
    {"a\nb@c.de", 0, "line break"},
    {"a\rb@c.de", 0, "line break"},
    {"a\xe2\x80\xa8"
     "b@c.de",
     0, "line break"},
    {"a\x0b"
     "b@c.de",
     0, "control"},
    {"a\x7f"
     "b@c.de",
     0, "control"},
    {"a\0b@c.de", 8, "NUL"},
    {"\"a\0b\"@c.de", 10, "NUL"},
    {"a\xe2\x80\x8b"
     "b@c.de",
     0, "invisible"},
    {"a\xe2\x80\xae"
     "b@c.de",
     0, "invisible"},
    {"\xff\xfe@example.org", 0, "UTF-8"},
    {"a@\xc3.org", 0, "UTF-8"},
    {"a@☃☃☃..org", 0, "domain"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(good); i++) {
        struct addr a;
        struct err e = {0};
        if (!addr_parse(str_of(good[i].in), &a, &e))
            fail_msg("%s: %s", good[i].in, e.text);
        assert_string_equal(a.text, good[i].out);
        assert_int_equal(a.n, strlen(a.text));
        assert_int_equal(a.text[a.at], '@');
        assert_int_equal(a.needs_utf8, good[i].needs_utf8);
        /* The form that is kept is an address with that same form. */
        struct addr again;
        assert_true(addr_parse(str_of(a.text), &again, &e));
        assert_string_equal(again.text, a.text);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(bad); i++) {
        struct addr a;
        struct err e = {0};
        size_t n = bad[i].n ? bad[i].n : strlen(bad[i].in);
        if (addr_parse(str_from(bad[i].in, n), &a, &e))
            fail_msg("taken: %s as %s", bad[i].in, a.text);
        if (!strstr(e.text, bad[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].in, e.text, bad[i].why);
        assert_int_equal(e.code, ERR_INVALID);
        assert_int_equal(a.n, 0);
        for (const char *p = e.text; *p; p++)
            assert_true((unsigned char)*p >= 0x20);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    char text[600];
    struct addr a;
    struct err e;
    for (size_t local = 60; local <= 70; local++) {
        memset(text, 'a', local);
        memcpy(text + local, "@example.org", 13);
        assert_int_equal(addr_parse(str_of(text), &a, &e), local <= 64);
    }
    for (size_t total = 200; total < 300; total++) {
        memset(text, 'd', total);
        memcpy(text, "a@", 2);
        for (size_t i = 50; i < total - 1; i += 50)
            text[i] = '.';
        text[total] = 0;
        assert_int_equal(addr_parse(str_of(text), &a, &e), total <= ADDR_MAX);
    }
    memset(text, 'd', 64 + 2);
    memcpy(text, "a@", 2);
    memcpy(text + 66, ".org", 5);
    assert_false(addr_parse(str_of(text), &a, &e));
    assert_non_null(strstr(e.text, "63"));
    char *huge = malloc(1 << 20);
    memset(huge, 'x', 1 << 20);
    assert_false(addr_parse(str_from(huge, 1 << 20), &a, &e));
    free(huge);
}

static const struct {
    const char *in, *name, *address;
} boxes[] = {
    {"a@b.cd", "", "a@b.cd"},
    {"  a@b.cd  ", "", "a@b.cd"},
    {"<a@b.cd>", "", "a@b.cd"},
    {"Ada <a@b.cd>", "Ada", "a@b.cd"},
    {"Ada<a@b.cd>", "Ada", "a@b.cd"},
    {"Ada King   <a@b.cd>", "Ada King", "a@b.cd"},
    {"\"Name, Inc.\" <a@b.cd>", "Name, Inc.", "a@b.cd"},
    {"\"A \\\"B\\\" C\" <a@b.cd>", "A \"B\" C", "a@b.cd"},
    {"J. R. Ewing <j@b.cd>", "J. R. Ewing", "j@b.cd"},
    {"Jörg Müller <j@b.cd>", "Jörg Müller", "j@b.cd"},
    {"=?utf-8?Q?J=C3=B6rg?= <j@b.cd>", "Jörg", "j@b.cd"},
    {"=?UTF-8?B?SsO2cmc=?= =?utf-8?q?_M?= <j@b.cd>", "Jörg M", "j@b.cd"},
    {"=?iso-8859-1?Q?J=F6rg?= <j@b.cd>", "Jörg", "j@b.cd"},
    {"a@b.cd <e@f.gh>", "a@b.cd", "e@f.gh"},
    {"O'Neil <o@b.cd>", "O'Neil", "o@b.cd"},
};

static const char *const bad_boxes[] = {
    "",
    "  ",
    "Ada",
    "Ada <>",
    "Ada <a@b.cd",
    "a@b.cd>",
    "Doe, John <j@b.cd>",
    "\"open <a@b.cd>",
    "a@b.cd, e@f.gh",
    "Ada <a@b.cd> x <e@f.gh>",
    "Ada\r\nBcc: v@x.org <a@b.cd>",
    "A\n<a@b.cd>",
    "Ada <a@b.cd>\r\nX: y",
    "Group: a@b.cd;",
    "Ada <Bob <a@b.cd>>",
    "\xff <a@b.cd>",
    "Ada <a@b.cd\r\n>",
    "(c) <a@b.cd>",
};

static void test_mailboxes(void **state)
{
    (void)state;
    char name[200];
    struct addr a;
    struct err e;
    for (size_t i = 0; i < countof(boxes); i++) {
        if (!addr_parse_mailbox(str_of(boxes[i].in), &a, name, sizeof(name), &e))
            fail_msg("%s: %s", boxes[i].in, e.text);
        assert_string_equal(name, boxes[i].name);
        assert_string_equal(a.text, boxes[i].address);
    }
    for (size_t i = 0; i < countof(bad_boxes); i++) {
        if (addr_parse_mailbox(str_of(bad_boxes[i]), &a, name, sizeof(name), &e))
            fail_msg("taken: %s", bad_boxes[i]);
        assert_int_equal(e.code, ERR_INVALID);
    }
    /* A small buffer cuts between characters, never inside one. */
    for (size_t size = 1; size < 20; size++) {
        assert_true(addr_parse_mailbox(STR("Jörg Müller <j@b.cd>"), &a, name, size, &e));
        assert_true(strlen(name) < size);
        assert_true(str_is_utf8(str_of(name)));
    }
}

static void test_parts(void **state)
{
    (void)state;
    struct addr a;
    struct err e;
    char key[ADDR_MAX + 1];
    assert_true(addr_parse(STR("Ada.KING@Example.org"), &a, &e));
    assert_true(str_is(addr_local(&a), "Ada.KING"));
    assert_true(str_is(addr_domain(&a), "example.org"));
    addr_key(&a, key);
    assert_string_equal(key, "ada.king@example.org");
    assert_true(addr_parse(STR("JÖRG@example.org"), &a, &e));
    addr_key(&a, key);
    assert_string_equal(key, "jörg@example.org");
    struct addr null_path = {.n = 0};
    addr_key(&null_path, key);
    assert_string_equal(key, "");
    assert_int_equal(addr_domain(&null_path).n, 0);
}

/* What stands between two letters of an accepted address never is a control or a line end. */
static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[] = "a?b@example.org", quoted[] = "\"a?b\"@example.org";
        struct addr a;
        struct err e;
        text[1] = quoted[2] = (char)c;
        if (addr_parse(str_from(text, sizeof(text) - 1), &a, &e))
            assert_true(c > 0x20 && c < 0x7f && !strchr("\"(),:;<>@[\\]", c));
        if (addr_parse(str_from(quoted, sizeof(quoted) - 1), &a, &e))
            assert_true(c >= 0x20 && c < 0x7f && c != '"');
    }
}

static void test_case_tables(void **state)
{
    (void)state;
    int pairs = 0;
    for (uint32_t c = 0; c < 0x20000; c++) {
        uint32_t small = utf8_lower(c);
        if (small != c) {
            pairs++;
            if (c != 0x1E9E)
                assert_int_equal(utf8_upper(small), c);
        }
    }
    assert_true(pairs > 500);
    assert_int_equal(utf8_upper(0xE4), 0xC4);
    assert_int_equal(utf8_lower(0x416), 0x436);
    assert_int_equal(utf8_upper(0xF7), 0xF7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_lengths),     cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_parts),       cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_case_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
