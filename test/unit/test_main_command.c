/* main: parsing by the table (any order, both ways of giving a value, typos, bounds), the JSON
 * body, help and completion of every command; the shared page of poison messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/poison.h"
#include "main/command.h"

#define ARGV(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        "postfleet", __VA_ARGS__, NULL                                                             \
    }

static int count(char **argv)
{
    int n = 0;
    while (argv[n])
        n++;
    return n;
}

static bool parse(char **argv, struct cmd *c, struct err *e)
{
    *e = (struct err){0};
    return command_parse(count(argv), argv, c, e);
}

/* The line must fail with every one of the words in its error. */
static void fails(char **argv, const char *word, const char *word2)
{
    struct cmd c;
    struct err e;
    assert_false(parse(argv, &c, &e));
    assert_int_equal(e.code, ERR_INVALID);
    if (!strstr(e.text, word) || !strstr(e.text, word2))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", e.text, word, word2);
    cmd_free(&c);
}

static void test_any_order(void **state)
{
    (void)state;
    char **lines[] = {
        ARGV("server", "add", "alpha", "--host", "h", "--port", "25", "--tls", "none", "--data",
             "d"),
        ARGV("server", "--data", "d", "add", "--port=25", "--tls=none", "alpha", "--host=h"),
        ARGV("server", "--host", "h", "--tls", "none", "--port", "25", "--data=d", "add", "alpha"),
        ARGV("--data", "d", "server", "add", "--host", "h", "--port", "25", "--tls", "none", "--",
             "alpha"),
    };
    for (size_t i = 0; i < countof(lines); i++) {
        struct cmd c;
        struct err e;
        if (!parse(lines[i], &c, &e))
            fail_msg("line %zu: %s", i, e.text);
        assert_string_equal(c.command->verb, "add");
        assert_string_equal(cmd_arg(&c, 0), "alpha");
        assert_string_equal(cmd_text(&c, "host"), "h");
        assert_int_equal(cmd_number(&c, "port", 0), 25);
        assert_string_equal(cmd_text(&c, "data"), "d");
        assert_null(cmd_arg(&c, 1));
        cmd_free(&c);
    }
}

static void test_words_after_dashes(void **state)
{
    struct cmd c;
    struct err e;
    (void)state;
    assert_true(parse(ARGV("list", "add", "--", "--json"), &c, &e));
    assert_string_equal(cmd_arg(&c, 0), "--json");
    cmd_free(&c);
    assert_true(parse(ARGV("send", "-", "--to", "a@b"), &c, &e));
    assert_string_equal(cmd_arg(&c, 0), "-");
    cmd_free(&c);
    assert_true(parse(ARGV("server", "set", "x", "--notes=--odd"), &c, &e));
    assert_string_equal(cmd_text(&c, "notes"), "--odd");
    cmd_free(&c);
}

static void test_usage_errors(void **state)
{
    (void)state;
    fails(ARGV("sevrer", "list"), "sevrer", "server");
    fails(ARGV("pool", "list"), "pool", "group");
    fails(ARGV("server", "rm", "x"), "rm", "remove");
    fails(ARGV("server", "lsit"), "lsit", "list");
    fails(ARGV("server"), "what?", "--help");
    fails(ARGV("server", "add", "x", "--host", "h", "--wieght", "3"), "--wieght", "--weight");
    fails(ARGV("server", "list", "--password", "x"), "--password", "--help");
    fails(ARGV("server", "add", "x", "--host"), "--host", "needs");
    fails(ARGV("campaign", "create", "c", "--list", "--data", "d"), "--list", "needs");
    fails(ARGV("server", "add", "--host", "h"), "NAME", "needs");
    fails(ARGV("server", "show", "a", "b"), "b", "too many");
    fails(ARGV("server", "add", "x", "--host", "a", "--host", "b"), "--host", "twice");
    fails(ARGV("server", "list", "--json=yes"), "--json", "no value");
    fails(ARGV("server", "list", "-x"), "-x", "dashes");
    fails(ARGV("campaign", "create", "x", "--list", "l"), "--template", "missing");
    fails(ARGV("server", "list", "--url", "http://x", "--data", "d"), "--url", "--data");
    fails(ARGV("server", "list", "--token-file", "f"), "--url", "--token-file");
    fails(ARGV("sequence", "list"), "sequence", "help");
    fails(ARGV("campaign", "create", "x", "--segment", "s"), "--segment", "unknown");
}

static void test_value_errors(void **state)
{
    static const struct {
        const char *option, *value, *word;
    } bad[] = {
        {"--port", "0", "65535"},
        {"--port", "99999", "65535"},
        {"--port", "ten", "count"},
        {"--port", "-1", "count"},
        {"--port", "1e3", "count"},
        {"--tls", "maybe", "starttls"},
        {"--tls", "", "starttls"},
        {"--weight", "0", "between"},
        {"--per-hour", "0", "between"},
        {"--connect-timeout", "fast", "duration"},
        {"--connect-timeout", "1ms", "100"},
        {"--cost-per-1000", "1,5", "number"},
        {"--cost-per-1000", "1.", "number"},
        {"--header", "nocolon", "N: V"},
        {"--notes", "a\nb", "control"},
        {"--notes", "\xff", "UTF-8"},
        {"--group", "", "empty"},
    };
    (void)state;
    for (size_t i = 0; i < countof(bad); i++)
        fails(ARGV("server", "add", "x", "--host", "h", (char *)(uintptr_t)bad[i].option,
                   (char *)(uintptr_t)bad[i].value),
              bad[i].option, bad[i].word);
    fails(ARGV("serve", "--http", "8025"), "--http", "port");
    fails(ARGV("serve", "--http", "::1:8025"), "--http", "port");
    fails(ARGV("send", "f", "--to", "nobody"), "--to", "address");
    fails(ARGV("contact", "add", "a@b", "--field", "x"), "--field", "F=VALUE");
    fails(ARGV("server", "list", "--url", "ftp://x"), "--url", "URL");
}

static void test_values(void **state)
{
    struct cmd c;
    struct err e;
    (void)state;
    assert_true(parse(ARGV("server", "add", "x", "--host", "h", "--per-hour", "50k", "--per-day",
                           "none", "--connect-timeout", "2s", "--group", "a", "--group=b",
                           "--cost-per-1000", "0.25", "--port", "587", "--header", "X-A: b: c"),
                      &c, &e));
    assert_int_equal(cmd_number(&c, "connect-timeout", 0), 2000);
    assert_int_equal(cmd_number(&c, "per-day", -7), -7);
    assert_string_equal(cmd_value(&c, "group", 1)->text, "b");
    assert_null(cmd_value(&c, "group", 2));
    json_t *body = cmd_body(&c);
    assert_int_equal(json_integer_value(json_object_get(body, "per_hour")), 50000);
    assert_true(json_is_null(json_object_get(body, "per_day")));
    assert_string_equal(json_string_value(json_object_get(body, "connect_timeout")), "2s");
    assert_int_equal(json_array_size(json_object_get(body, "group")), 2);
    assert_float_equal(json_real_value(json_object_get(body, "cost_per_1000")), 0.25, 1e-9);
    assert_null(json_object_get(body, "data"));
    json_decref(body);
    cmd_free(&c);
}

/* Every option must be usable: a kind that has an argument names it, choices are given, and names
 * are unique within a command. */
static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < commands_n(); i++) {
        const struct option *o;
        assert_non_null(command_at(i)->run);
        assert_non_null(command_at(i)->help);
        for (size_t k = 0; (o = command_option(command_at(i), k)) != NULL; k++) {
            assert_true((o->arg == NULL) == (o->kind == ARG_FLAG));
            assert_true((o->choices != NULL) == (o->kind == ARG_CHOICE));
            assert_ptr_equal(command_find_option(command_at(i), o->name, strlen(o->name)), o);
            assert_true(o->max == 0 || o->min <= o->max);
            if (!(o->flags & OPT_HIDDEN))
                assert_true(o->help[0] != 0);
        }
    }
}

/* What fn prints on standard output, malloc'd. */
static char *printed(void (*fn)(void))
{
    FILE *f = tmpfile();
    assert_non_null(f);
    fflush(stdout);
    int kept = dup(1);
    dup2(fileno(f), 1);
    fn();
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    long n = ftell(f);
    fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    char *text = calloc(1, (size_t)n + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)n, f), (size_t)n);
    fclose(f);
    return text;
}

static void all_help(void)
{
    for (size_t i = 0; i < commands_n(); i++)
        help_command(command_at(i));
}

static void bash(void)
{
    assert_true(completion_print("bash"));
}

static void fish(void)
{
    assert_true(completion_print("fish"));
}

static void test_texts(void **state)
{
    static void (*const all[])(void) = {all_help, help_man, bash, fish};
    (void)state;
    for (size_t i = 0; i < countof(all); i++) {
        char *text = printed(all[i]);
        assert_non_null(strstr(text, "weight"));
        assert_non_null(strstr(text, "campaign"));
        assert_null(strstr(text, "poison-fd")); /* hidden */
        free(text);
    }
    assert_false(completion_print("tcsh"));
    assert_false(help_noun("nobody"));
}

/* A message that was on a desk in two crashes is held; one that was once is not. */
static void test_poison(void **state)
{
    static struct poison_page page;
    (void)state;
    poison_take(&page, 0, 7);
    poison_take(&page, 1, 8);
    poison_put(&page, 1);
    poison_note_crash(&page);
    assert_int_equal(poison_marks(&page, 7), 1);
    assert_int_equal(poison_marks(&page, 8), 0);
    assert_false(poison_holds(&page, 7));
    poison_take(&page, 3, 7);
    poison_take(&page, 4, 9);
    poison_note_crash(&page);
    assert_true(poison_holds(&page, 7));
    assert_false(poison_holds(&page, 9));
    poison_note_crash(&page); /* desks were emptied */
    assert_int_equal(poison_marks(&page, 9), 1);
    poison_take(&page, 0, 10);
    poison_clear_desks(&page); /* an end that was no crash */
    poison_note_crash(&page);
    assert_int_equal(poison_marks(&page, 10), 0);
    assert_int_equal(poison_marks(NULL, 7), 0);
    poison_take(NULL, 0, 1);
}

/* Full: the slot marked longest ago gives way. */
static void test_poison_full(void **state)
{
    static struct poison_page page;
    (void)state;
    for (uint64_t id = 1; id <= POISON_SLOTS; id++) {
        poison_take(&page, 0, id);
        poison_note_crash(&page);
    }
    poison_take(&page, 0, 100000);
    poison_note_crash(&page);
    assert_int_equal(poison_marks(&page, 1), 0);
    assert_int_equal(poison_marks(&page, 2), 1);
    assert_int_equal(poison_marks(&page, 100000), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),    cmocka_unit_test(test_words_after_dashes),
        cmocka_unit_test(test_usage_errors), cmocka_unit_test(test_value_errors),
        cmocka_unit_test(test_values),       cmocka_unit_test(test_table),
        cmocka_unit_test(test_texts),        cmocka_unit_test(test_poison),
        cmocka_unit_test(test_poison_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
