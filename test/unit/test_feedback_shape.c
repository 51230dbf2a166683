/* Shapes: what varies is masked, what carries meaning stays; against the shared corpus the shapes
 * of real replies keep classes apart; the collection is bounded, finds what is new, puts unknown
 * ones first. And the explanations: every verdict has one. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "base/map.h"
#include "feedback/classify.h"
#include "feedback/explain.h"
#include "feedback/shape.h"

static const char *shape(const char *text)
{
    static char out[SHAPE_TEXT_MAX];
    assert_true(shape_of(str_of(text), out, sizeof out) < sizeof out);
    return out;
}

static void masks(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"5.1.1 <ana@example.net>: user unknown", "5.1.1 <address>: user unknown"},
        {"mailbox ana@example.net is full", "mailbox <address> is full"},
        {"Client host [192.0.2.17] blocked using zen.spamhaus.org",
         "Client host [<ip>] blocked using <domain>"},
        {"[2001:db8::17] is listed", "[<ip>] is listed"},
        {"see https://support.example/mail/?p=abc for more", "see <url> for more"},
        {"queued as 4BxT12D9zQ", "queued as <id>"},
        {"25 messages in 3600 seconds", "<n> messages in <n> seconds"},
        {"try again in 00:04:30", "try again in <n>"},
        {"4.7.1 [TS03] All messages from 192.0.2.1", "4.7.1 [TS03] All messages from <ip>"},
        {"(S3150) [VE1EUR03FT012.eop-EUR03.prod.protection.outlook.com]", "(S3150) [<domain>]"},
        {"mx2 is   busy\r\n  now", "mx<n> is busy now"},
        {"id=1a2B3c4D5e6F7g8H", "id=<id>"},
        {"Service unavailable.", "Service unavailable."},
        {"Bo\xc3\xaete pleine", "Bo\xc3\xaete pleine"},
        {"", ""},
    };
    for (size_t i = 0; i < countof(cases); i++)
        if (strcmp(shape(cases[i][0]), cases[i][1]) != 0)
            fail_msg("%s: got %s, want %s", cases[i][0], shape(cases[i][0]), cases[i][1]);
}

static void same_shape_whatever_varies(void **state)
{
    (void)state;
    static const char *const a = "<x%d@host%d.example>: quota of %d MB used, id 9f%04xa7b1 from "
                                 "10.0.%d.9 (try again in %d seconds)";
    char first[SHAPE_TEXT_MAX], text[300];
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, a, i, i * 7, i * 13, (unsigned)i, i % 250, i * 3);
        if (i == 0)
            snprintf(first, sizeof first, "%s", shape(text));
        assert_string_equal(shape(text), first);
    }
}

static void every_cut_and_garbage(void **state)
{
    (void)state;
    char out[SHAPE_TEXT_MAX], small[9];
    char text[2000];
    unsigned seed = 7;
    for (int round = 0; round < 2000; round++) {
        size_t n = (size_t)(rand_r(&seed) % (int)sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = round % 2 ? (char)rand_r(&seed) : "=:/#<>@.aA9 -"[rand_r(&seed) % 13];
        assert_true(shape_of(str_from(text, n), out, sizeof out) < sizeof out);
        assert_true(shape_of(str_from(text, n), small, sizeof small) < sizeof small);
        assert_int_equal(strlen(small) <= 8, 1);
    }
}

/* The corpus beside the tree: replies of one shape must have one class. */
static void corpus(void **state)
{
    (void)state;
    const char *shared = getenv("POSTFLEET_SHARED"), *root = getenv("POSTFLEET_SOURCE_ROOT");
    char path[1000], line[8192], scratch[8192];
    snprintf(path, sizeof path, "%s%s/corpora/replies.tsv",
             shared ? shared
             : root ? root
                    : ".",
             shared ? "" : "/../shared");
    FILE *f = fopen(path, "r");
    if (!f) {
        print_message("SKIP: no %s\n", path);
        return;
    }
    struct map_str *seen = map_str_new();
    size_t n = 0, mixed = 0;
    bool header = true;
    while (fgets(line, sizeof line, f)) {
        struct str rest = str_of(line), reply;
        struct answer a = {0};
        struct classification c;
        char key[SHAPE_TEXT_MAX + 64], masked[SHAPE_TEXT_MAX];
        if (!str_split(&rest, '\t', &reply) || header) {
            header = false;
            continue;
        }
        answer_parse_line(reply, &a, scratch, sizeof scratch);
        classify_answer(rules_builtin(), &a, &c);
        shape_of(a.text, masked, sizeof masked);
        snprintf(key, sizeof key, "%d %d.%d.%d %s", a.code, a.enhanced[0], a.enhanced[1],
                 a.enhanced[2], masked);
        uintptr_t was = (uintptr_t)map_str_get(seen, str_of(key));
        mixed += was && was != (uintptr_t)c.verdict + 1;
        map_str_set(seen, str_of(key), (void *)((uintptr_t)c.verdict + 1));
        n++;
    }
    fclose(f);
    print_message("%zu replies, %zu shapes, %zu with another class than their shape's\n", n,
                  map_str_count(seen), mixed);
    assert_true(n > 100 && mixed * 50 <= n);
    map_str_free(&seen);
}

static struct sighting sight(const char *text, enum verdict v, int64_t at)
{
    return (struct sighting){.reply = str_of(text),
                             .rule = STR("code.later"),
                             .enhanced = STR("4.3.0"),
                             .code = 451,
                             .verdict = v,
                             .phase = PHASE_RCPT,
                             .server_num = 1,
                             .at = at,
                             .counts = true};
}

static void collects(void **state)
{
    (void)state;
    struct shapes *s = shapes_new();
    struct sighting x = sight("busy, wait 5 seconds", VERDICT_FAILOVER, 1000);
    shapes_add(s, &x);
    for (int i = 0; i < 12; i++) {
        x = sight("Busy, wait 60 seconds", VERDICT_FAILOVER, 500 + i);
        x.server_num = (uint16_t)(1 + i);
        shape_add_provider(shapes_add(s, &x), (unsigned)(i % 3));
    }
    x = sight("what is that", VERDICT_UNKNOWN, 9);
    shapes_add(s, &x);
    x = sight("only before", VERDICT_FAILOVER, 5);
    x.counts = false;
    shapes_add(s, &x);
    x = sight("busy, wait 5 seconds", VERDICT_FAILOVER, 1);
    x.code = 452;
    shapes_add(s, &x);
    size_t n = 0;
    const struct shape **all = shapes_sorted(s, &n);
    assert_int_equal(n, 3);
    assert_string_equal(all[0]->text, "what is that");
    assert_int_equal(all[1]->count, 13);
    assert_int_equal(all[1]->first_at, 500);
    assert_int_equal(all[1]->last_at, 1000);
    assert_int_equal(all[1]->n_servers, SHAPE_SERVERS);
    assert_true(all[1]->servers_more);
    assert_int_equal(all[1]->n_providers, 3);
    assert_string_equal(all[1]->sample, "busy, wait 5 seconds");
    assert_int_equal(all[2]->code, 452);
    free(all);
    shapes_free(&s);
}

static void is_bounded(void **state)
{
    (void)state;
    struct shapes *s = shapes_new();
    char text[] = "kind aaaa";
    for (int i = 0; i < SHAPES_MAX + 500; i++) {
        for (int k = 0, v = i; k < 4; k++, v /= 26)
            text[5 + k] = (char)('a' + v % 26);
        struct sighting x = sight(text, VERDICT_FAILOVER, i);
        assert_int_equal(shapes_add(s, &x) != NULL, i < SHAPES_MAX);
    }
    assert_int_equal(shapes_count(s), SHAPES_MAX);
    assert_int_equal(shapes_left_out(s), 500);
    shapes_free(&s);
}

static void explains(void **state)
{
    (void)state;
    struct explain *x = NULL;
    struct err e;
    for (int v = VERDICT_ACCEPTED; v < VERDICT_COUNT; v++) {
        struct explanation t = explain_find(explain_builtin(), STR_NONE, (enum verdict)v);
        if (!t.means[0] || !t.advice[0])
            fail_msg("%s is not explained", verdict_name((enum verdict)v));
    }
    struct explanation auth =
        explain_find(explain_builtin(), STR("auth.refused"), VERDICT_AUTH_CONFIG);
    struct explanation other =
        explain_find(explain_builtin(), STR("auth.never_heard"), VERDICT_AUTH_CONFIG);
    assert_string_not_equal(auth.means, other.means);
    assert_string_equal(explain_find(explain_builtin(), STR("relay.denied"), VERDICT_NONE).means,
                        "the server does not relay for us");
    assert_false(explain_compile(STR("explain:\n  - id: a\n    says: b\n"), &x, &e));
    assert_false(explain_compile(STR("explain:\n  - id: a\n  - id: a\n"), &x, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks),
        cmocka_unit_test(same_shape_whatever_varies),
        cmocka_unit_test(every_cut_and_garbage),
        cmocka_unit_test(corpus),
        cmocka_unit_test(collects),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(explains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
