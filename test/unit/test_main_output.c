/* main: what is printed is safe for terminals, aligned by cells, and JSON stays JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "main/output.h"

static void test_safe(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "plain"},
        {"Zo\xc3\xab \xe6\x97\xa5\xe6\x9c\xac", "Zo\xc3\xab \xe6\x97\xa5\xe6\x9c\xac"},
        {"\x1b[31mred", "\\x1b[31mred"},
        {"a\r\nb\tc", "a\\x0d\\x0ab\\x09c"},
        {"\xc2\x9b"
         "31m",
         "\\u009b31m"}, /* C1: CSI in one character */
        {"a\xe2\x80\xae"
         "b",
         "a\\u202eb"},                       /* right-to-left override */
        {"\xff\xfe", "\\xff\\xfe"},          /* malformed */
        {"\xc0\xaf", "\\xc0\\xaf"},          /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
        {"cut \xe6\x97", "cut \\xe6\\x97"},
        {"\x7f", "\\x7f"},
    };
    (void)state;
    for (size_t i = 0; i < countof(cases); i++) {
        struct buf b;
        buf_init(&b, 1000);
        output_safe_add(&b, str_of(cases[i].in));
        assert_string_equal(buf_cstr(&b), cases[i].out);
        assert_int_equal(output_width(str_of(cases[i].in)), output_width(buf_str(&b)));
        buf_free(&b);
    }
}

static void test_width(void **state)
{
    (void)state;
    assert_int_equal(output_width(STR("abc")), 3);
    assert_int_equal(output_width(STR("\xe6\x97\xa5\xe6\x9c\xac")), 4); /* two wide */
    assert_int_equal(output_width(STR("e\xcc\x81")), 1);                /* combining */
    assert_int_equal(output_width(STR("")), 0);
}

static void test_numbers(void **state)
{
    char text[32];
    (void)state;
    static const struct {
        int64_t n;
        const char *out;
    } counts[] = {{0, "0"},          {999, "999"},           {1000, "1000"},
                  {12345, "12 345"}, {1234567, "1 234 567"}, {-12345, "-12 345"}};
    for (size_t i = 0; i < countof(counts); i++) {
        output_count(counts[i].n, text);
        assert_string_equal(text, counts[i].out);
    }
    static const struct {
        int64_t ms;
        const char *out;
    } times[] = {{0, "0 ms"},       {999, "999 ms"},     {1250, "1.2 s"},      {59999, "59 s"},
                 {61000, "1m 01s"}, {3600000, "1h 00m"}, {90000000, "1d 01h"}, {-5, "0 ms"}};
    for (size_t i = 0; i < countof(times); i++) {
        output_duration(times[i].ms, text);
        assert_string_equal(text, times[i].out);
    }
    output_bytes(999, text);
    assert_string_equal(text, "999 B");
    output_bytes(12500000, text);
    assert_string_equal(text, "12.5 MB");
}

static FILE *caught;
static int kept;

static void catch_stdout(void)
{
    fflush(stdout);
    caught = tmpfile();
    assert_non_null(caught);
    kept = dup(1);
    dup2(fileno(caught), 1);
}

static char *give_back(void)
{
    static char text[20000];
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    rewind(caught);
    size_t n = fread(text, 1, sizeof(text) - 1, caught);
    text[n] = '\0';
    fclose(caught);
    return text;
}

static const struct column columns[] = {
    {"NAME", "name", FORM_TEXT, false},    {"SENT", "sent", FORM_COUNT, false},
    {"GONE", "gone", FORM_TEXT, true},     {"HARD", "bounced.hard", FORM_COUNT, true},
    {"GROUPS", "groups", FORM_TEXT, true}, {NULL, NULL, FORM_TEXT, false},
};

static void print_two(void)
{
    struct table *t = table_new(columns);
    json_t *a = json_pack("{s:s, s:i, s:{s:i}, s:[s, s]}", "name", "\xe6\x97\xa5\xe6\x9c\xac",
                          "sent", 12345, "bounced", "hard", 3, "groups", "x", "y");
    json_t *b = json_pack("{s:s, s:i}", "name", "b\x1b[2J", "sent", 7);
    table_add(t, a);
    table_add(t, b);
    table_end(&t, "nothing");
    json_decref(a);
    json_decref(b);
}

static void test_table(void **state)
{
    (void)state;
    output_setup(false, true);
    catch_stdout();
    print_two();
    assert_string_equal(give_back(), "NAME        SENT  HARD  GROUPS\n"
                                     "\xe6\x97\xa5\xe6\x9c\xac      12 345     3  x, y\n"
                                     "b\\x1b[2J       7     -  -\n");
}

static void test_table_json(void **state)
{
    (void)state;
    output_setup(true, true);
    catch_stdout();
    print_two();
    char *text = give_back();
    assert_int_equal(strncmp(text, "{\"name\":\"\xe6\x97\xa5\xe6\x9c\xac\",\"sent\":12345,", 30),
                     0);
    assert_non_null(strstr(text, "\n{\"name\":\"b\\u001B[2J\",\"sent\":7}\n"));
    output_setup(false, true);
}

/* U+009B is a control that jansson leaves raw. */
static void test_json_controls(void **state)
{
    (void)state;
    json_t *o = json_pack("{s:s, s:s}", "a", "x\xc2\x9by\xc2\xa0z", "b", "\xc2\x80");
    catch_stdout();
    output_json(o);
    char *text = give_back();
    assert_string_equal(text, "{\"a\":\"x\\u009by\xc2\xa0z\",\"b\":\"\\u0080\"}\n");
    json_error_t e;
    json_t *again = json_loads(text, 0, &e);
    assert_true(json_equal(o, again));
    json_decref(o);
    json_decref(again);
}

static void test_record(void **state)
{
    (void)state;
    json_t *o = json_pack("{s:s, s:b, s:n, s:{s:i, s:i}, s:[{s:i, s:s}], s:s}", "name", "a",
                          "is_on", 1, "none", "bounced", "hard", 1, "soft", 2, "attempts", "n", 1,
                          "reply", "250 ok\x1b", "talk", "S: 220\r\nC: EHLO\x07");
    catch_stdout();
    output_record(o);
    assert_string_equal(give_back(), "name      a\n"
                                     "is on     yes\n"
                                     "none      -\n"
                                     "bounced   hard 1, soft 2\n"
                                     "attempts 1\n"
                                     "  n                 1\n"
                                     "  reply             250 ok\\x1b\n"
                                     "talk:\n"
                                     "    S: 220\n"
                                     "    C: EHLO\\x07\n");
    json_decref(o);
}

/* More rows than a page: every one comes out, in order, under one heading. */
static void test_pages(void **state)
{
    (void)state;
    catch_stdout();
    struct table *t = table_new(columns);
    for (int i = 0; i < 1201; i++) {
        json_t *row = json_pack("{s:s, s:i}", "name", "n", "sent", i);
        table_add(t, row);
        json_decref(row);
    }
    table_end(&t, NULL);
    char *text = give_back();
    int lines = 0;
    for (char *p = text; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 1202);
    assert_non_null(strstr(text, "1200\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe),       cmocka_unit_test(test_width),
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_json), cmocka_unit_test(test_json_controls),
        cmocka_unit_test(test_record),     cmocka_unit_test(test_pages),
    };
    output_setup(false, true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
