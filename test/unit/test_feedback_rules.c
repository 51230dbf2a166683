/* The rule data: its reader, what the compiler refuses and how it says so, the phrase search, and
 * every example of the built-in set. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "feedback/phrases.h"
#include "feedback/ruledata.h"
#include "feedback/rules.h"

static void reads_sections_items_fields_lists(void **state)
{
    (void)state;
    struct ruledata *r = alloc_one(struct ruledata);
    struct ruledata_event ev;
    struct err e = {0};
    static const char text[] = "# top\none:\n  - id: a b # c\n    list:\n      - 'it''s'\n"
                               "      - \"q\\\"\\x41\\n\"\n    f: \"#no\"\r\n\ntwo:\n";
    static const struct {
        enum ruledata_kind kind;
        const char *key, *value;
    } want[] = {{RULEDATA_SECTION, "one", ""},
                {RULEDATA_ITEM, "", ""},
                {RULEDATA_FIELD, "id", "a b"},
                {RULEDATA_LIST, "list", ""},
                {RULEDATA_ELEMENT, "list", "it's"},
                {RULEDATA_ELEMENT, "list", "q\"A\n"},
                {RULEDATA_FIELD, "f", "#no"},
                {RULEDATA_SECTION, "two", ""},
                {RULEDATA_END, "", ""}};
    assert_true(ruledata_open(r, STR(text), &e));
    for (size_t i = 0; i < countof(want); i++) {
        assert_int_equal(ruledata_next(r, &ev, &e), want[i].kind);
        assert_true(str_is(ev.key, want[i].key));
        assert_true(str_is(ev.value, want[i].value));
    }
    free(r);
}

static void refuses_with_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *data, *says;
    } bad[] = {
        {"text:\n  - id: a\n    verdict: content\n", "condition"},
        {"text:\n  - id: a\n    any: \"x y\"\n", "verdict"},
        {"text:\n  - id: a\n    any: x\n", "at least 2"},
        {"text:\n  - id: a\n    verdict: nice\n", "line 3, rule `a`: verdict `nice`"},
        {"text:\n  - id: a\n    code: 5zz\n", "code `5zz`"},
        {"text:\n  - id: a\n    code: 504-500\n", "504-500"},
        {"text:\n  - id: a\n    enhanced: 5.1\n", "5.1"},
        {"text:\n  - id: a\n    phase: lunch\n", "lunch"},
        {"text:\n  - id: a\n    colour: red\n", "colour"},
        {"text:\n  - id: a\n    regex: \"(\"\n", "expression"},
        {"text:\n  - id: a\n    examples: no bar\n", "PHASE| reply"},
        {"text:\n  - id: a\n    code: 550\n    verdict: content\n  - id: a\n", "exists already"},
        {"profile:\n  - id: a\n    code: 550\n    verdict: content\n", "profile"},
        {"lunch:\n", "section `lunch`"},
        {"  - id: a\n", "indentation"},
        {"text:\n\t- id: a\n", "tabs"},
        {"text:\n  - id: [a]\n    code: \"550\n", "needs quotes"},
        {"text:\n  - id: a\n    code: \"550\n", "closing"},
        {"text:\n  - id: a\n    code: *b\n", "needs quotes"},
        {"text:\n  - id: a\n    any:\n      - b: c\n", "needs quotes"},
        {"text:\n  - verdict: content\n", "begins with its id"},
    };
    for (size_t i = 0; i < countof(bad); i++) {
        struct rules *r = NULL;
        struct err e = {0};
        if (rules_compile(str_of(bad[i].data), &r, &e))
            fail_msg("case %zu compiles", i);
        assert_null(r);
        if (!strstr(e.text, bad[i].says))
            fail_msg("case %zu says: %s", i, e.text);
    }
}

static void finds(const char *phrase, const char *text, bool want)
{
    struct phrases *p = phrases_new();
    struct phrases_text *t = alloc_one(struct phrases_text);
    uint64_t hits[PHRASES_WORDS];
    struct err e = {0};
    unsigned id, other;
    assert_true(phrases_add(p, STR("something else"), &other, &e));
    assert_true(phrases_add(p, str_of(phrase), &id, &e));
    phrases_seal(p);
    phrases_text_make(str_of(text), t);
    phrases_find(p, t, hits);
    if (((hits[id / 64] >> id % 64) & 1) != want)
        fail_msg("`%s` in `%s`: %d wanted", phrase, text, want);
    free(t);
    phrases_free(&p);
}

static void phrases_keep_to_words(void **state)
{
    (void)state;
    finds("user unknown", "550 USER\t  Unknown", true);
    finds("user unknown", "superuser unknown", false);
    finds("user unknown", "user unknowns", false);
    finds("user unknown*", "user unknowns", true);
    finds("*user unknown", "superuser unknown", true);
    finds("spf", "x (SPF) y", true);
    finds("spf", "spfx", false);
    finds("[ts03]", "a [TS03] b", true);
    finds("mailbox * full", "mailbox of a@b is full", true);
    finds("mailbox * full", "mailbox fully", false);
    finds("mailbox * full", "full mailbox", false);
    finds("a1 * b2 * c3", "a1 b2 c3", true);
    finds("a1 * b2 * c3", "a1 c3 b2", false);
    finds("ge*ig", "gefuellig", true);
    finds(
        "mailbox * full",
        "mailbox 012345678901234567890123456789012345678901234567890123456789012345678901234567890 "
        "full",
        false);
    finds("ab", "ab", true);
    finds("ab", "a", false);
    finds("ab", "", false);
}

static void every_example_hits_its_rule(void **state)
{
    (void)state;
    const struct rules *r = rules_builtin();
    size_t wrong = 0, without = 0;
    for (size_t i = 0; i < r->tests; i++) {
        struct answer a = {0};
        struct classification c;
        char scratch[2048];
        struct str reply;
        assert_true(rule_test_read(r->test[i].text, &a.profile, &a.phase, &reply));
        answer_parse_reply(reply, &a, scratch, sizeof(scratch));
        classify_answer(r, &a, &c);
        if (str_is(r->test[i].rule, c.rule) != r->test[i].is_against)
            continue;
        wrong++;
        print_message("# line %d: rule " STR_F " wanted%s, %s hits: " STR_F "\n", r->test[i].line,
                      STR_A(r->test[i].rule), r->test[i].is_against ? " not" : "", c.rule,
                      STR_A(r->test[i].text));
    }
    for (size_t i = 0; i < r->count; i++) {
        bool has = false;
        for (size_t k = 0; k < r->tests && !has; k++)
            has = str_eq(r->test[k].rule, r->rule[i].id) && !r->test[k].is_against;
        without += !has;
        if (!has)
            print_message("# rule " STR_F " has no example\n", STR_A(r->rule[i].id));
    }
    print_message("# %zu rules, %zu phrases, %zu examples\n", r->count, phrases_count(r->phrases),
                  r->tests);
    assert_int_equal(wrong, 0);
    assert_int_equal(without, 0);
}

static void user_rules_come_first(void **state)
{
    (void)state;
    struct rules *r = NULL;
    struct err e = {0};
    struct answer a = {.phase = PHASE_RCPT,
                       .code = 550,
                       .enhanced = {5, 1, 1},
                       .text = STR("User Unknown (x-17)")};
    struct classification c;
    if (!rules_compile_with(STR("user:\n  - id: mine\n    regex: 'x-[0-9]{2}'\n"
                                "    verdict: try_later\n    fault: server\n"),
                            &r, &e))
        fail_msg("%s", e.text);
    classify_answer(r, &a, &c);
    assert_string_equal(c.rule, "mine");
    assert_int_equal(c.verdict, VERDICT_TRY_LATER);
    assert_int_equal(c.fault, FAULT_SERVER);
    rules_free(&r);
    assert_false(rules_compile_with(STR("text:\n"), &r, &e));
    /* An expression that explodes is cut off by the match limits and counts as no match. */
    assert_true(rules_compile_with(STR("user:\n  - id: slow\n    regex: '(a+)+$'\n"
                                       "    verdict: quota\n"),
                                   &r, &e));
    a.text = STR(
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
    classify_answer(r, &a, &c);
    assert_string_equal(c.rule, "enhanced.address");
    rules_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_sections_items_fields_lists),
        cmocka_unit_test(refuses_with_line_and_reason),
        cmocka_unit_test(phrases_keep_to_words),
        cmocka_unit_test(every_example_hits_its_rule),
        cmocka_unit_test(user_rules_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
