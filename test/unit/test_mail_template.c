/* mail/template: what templates give, the variables they read, and the errors of malformed ones.
 * The same language as liquidjs is checked by test/peer/liquid_oracle.mjs; here stands what is
 * ours: escaping, limits, places of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail/template.h"

/* Every variable whose name is here has this value; others are not set. */
static const struct {
    const char *name, *value;
} known[] = {
    {"contact.first_name", "Ada"},
    {"contact.html", "<b>\"x\" & 'y'</b>"},
    {"contact.empty", ""},
    {"contact.n", "20"},
    {"contact.csv", "a,b,c"},
    {"contact.lines", "a<1\nb"},
    {"contact.First Name", "Augusta"},
    {"contact.when", "2025-11-21T21:38:00+01:00"},
    {"unsubscribe_url", "https://x.org/u?a=1&b=2"},
    {"date", "2025-11-21T21:38:00Z"},
};

static bool render(struct str source, enum template_kind kind, const struct template_limits *limits,
                   struct buf *out, struct err *e)
{
    struct template *t;
    if (!template_compile(source, kind, &t, e))
        return false;
    size_t n = template_variables(t);
    struct str *values = calloc(n + 1, sizeof(*values));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < countof(known); k++) {
            if (str_is(template_variable(t, i, NULL, NULL, NULL), known[k].name))
                values[i] = str_of(known[k].value);
        }
    }
    bool ok = template_render(t, values, limits, out, e);
    free(values);
    template_free(&t);
    assert_null(t);
    return ok;
}

static const struct {
    const char *source, *out;
} html[] = {
    {"{{ contact.html }}", "&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/b&gt;"},
    {"{{ contact.html | raw }}", "<b>\"x\" & 'y'</b>"},
    {"{{ contact.html | safe }}", "<b>\"x\" & 'y'</b>"},
    {"{{ contact.html | escape }}", "&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/b&gt;"},
    {"{{ contact.html | escape | escape_once }}",
     "&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/b&gt;"},
    {"{{ contact.html | escape | append: \"<i>\" }}",
     "&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/b&gt;&lt;i&gt;"},
    {"{{ contact.html | raw | upcase }}", "&lt;B&gt;&#34;X&#34; &amp; &#39;Y&#39;&lt;/B&gt;"},
    {"{{ \"<b>\" }}", "&lt;b&gt;"},
    {"{{ contact.lines | newline_to_br }}", "a&lt;1<br />\nb"},
    {"{{ contact.lines | escape | newline_to_br }}", "a&lt;1<br />\nb"},
    {"{% capture c %}<b>{{ contact.html }}</b>{% endcapture %}{{ c }}",
     "<b>&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/b&gt;</b>"},
    {"{% assign c = contact.html %}{{ c }}", "&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/b&gt;"},
    {"{% assign l = contact.html | split: \"x\" %}{% for p in l %}{{ p }}{% endfor %}",
     "&lt;b&gt;&#34;&#34; &amp; &#39;y&#39;&lt;/b&gt;"},
    {"<a href=\"{{ unsubscribe_url }}\">", "<a href=\"https://x.org/u?a=1&amp;b=2\">"},
    {"{{ contact.none | default: \"<\" }}", "&lt;"},
};

static const struct {
    const char *source, *out;
} text[] = {
    {"", ""},
    {"no tags { } {x} %} }} ", "no tags { } {x} %} }} "},
    {"{{ contact.html }}", "<b>\"x\" & 'y'</b>"},
    {"{{ contact.none }}|{{ contact.empty }}", "|"},
    {"{{ contact[\"First Name\"] }} {{ contact['first_name'] }}", "Augusta Ada"},
    {"{{ contact.none | default: contact.empty | default: 'x' }}", "x"},
    {"{{ contact.n | plus: 1 }}", "21"},
    {"{% if contact.n == 20 %}eq{% endif %}", "eq"},
    {"{% if 20 == contact.n %}eq{% endif %}", "eq"},
    {"{% if contact.n > 3 %}gt{% endif %}", "gt"},
    {"{% case contact.n %}{% when 20 %}n{% else %}e{% endcase %}", "n"},
    {"{{ '1e299' | times: '1e299' | minus: '1e299' | round }}{{ '7e41' | plus: 1 | size }}", "00"},
    {"{{ 7 | divided_by: 0 }}|{{ 7 | modulo: 0 }}", "|"},
    {"{{ contact.when | date: '%d.%m.%Y %H:%M %:z' }}", "21.11.2025 21:38 +01:00"},
    {"{{ contact.first_name | date: '%Y' }}", "Ada"},
    {"{{ date | date: '%s' }}", "1763761080"},
    {"{{ 'straße' | upcase }} {{ 'ЖУК ÄÖ' | downcase }} {{ 'élan' | capitalize }}",
     "STRASSE жук äö Élan"},
    {"{{ 'Größe' | size }} {{ 'Größe' | truncate: 4, '' }}", "5 Größ"},
    {"{{ 'a b c' | truncatewords: 3 }} {{ 'a b c d' | truncatewords: 3 }}", "a b c a b c..."},
    {"{% for i in (1..3) %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "13"},
    {"{% for i in (1..9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}.", "12."},
    {"{% for i in (2..1) %}x{% else %}none{% endfor %}", "none"},
    {"{% assign l = contact.csv | split: ',' %}{{ l[1] }}{{ l[-1] }}{{ l[9] }}{{ l.size }}{{ "
     "l.first }}{{ l.last }}",
     "bc3ac"},
    {"{% for a in (1..2) %}{% for b in (1..2) %}{{ forloop.index }}{% endfor %}{{ forloop.index "
     "}};{% endfor %}",
     "121;122;"},
    {"a {%- # note -%} b", "ab"},
    {"{% assign x = 'ab' %}{% assign x = x | append: x %}{{ x }}", "abab"},
    {"{{ \"a\\n\\\"b\" }}", "a\n\"b"},
    {"{% comment %}{{ broken | {% if %}{% endcomment %}x", "x"},
    {"{% raw %}{{ not.this }}{% endraw %}", "{{ not.this }}"},
    {"{{ \"}}\" }}{% assign x = '%}' %}{{ x }}", "}}%}"},
};

static void test_outputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(html) + countof(text); i++) {
        bool is_html = i < countof(html);
        const char *source = is_html ? html[i].source : text[i - countof(html)].source;
        const char *expected = is_html ? html[i].out : text[i - countof(html)].out;
        struct buf out;
        struct err e = {0};
        buf_init(&out, 1 << 20);
        if (!render(str_of(source), is_html ? TEMPLATE_HTML : TEMPLATE_TEXT, NULL, &out, &e))
            fail_msg("%s: %s", source, e.text);
        if (!str_is(buf_str(&out), expected))
            fail_msg("%s\ngave \"%s\"\nnot  \"%s\"", source, buf_cstr(&out), expected);
        buf_free(&out);
    }
}

static const struct {
    const char *source, *error;
} bad[] = {
    {"{% foo %}", "line 1, column 1: unknown tag `foo`"},
    {"a\nbc {{ x | nope }}", "line 2, column 11: unknown filter `nope`"},
    {"ä{{ x | nope }}", "line 1, column 9: unknown filter"},
    {"{% if x %}", "line 1, column 1: {% if %} is not closed"},
    {"x\n\n  {% for i in (1..2) %}{% if i %}{% endif %}",
     "line 3, column 3: {% for %} is not closed"},
    {"{% if x %}{% endfor %}",
     "line 1, column 11: {% endfor %} stands where the {% if %} of line 1"},
    {"{% endif %}", "ends nothing"},
    {"{% else %}", "column 1: {% else %} stands outside"},
    {"{% if x %}{% else %}{% else %}{% endif %}", "twice"},
    {"{% if x %}{% else %}{% elsif y %}{% endif %}", "after {% else %}"},
    {"{% elsif x %}", "outside"},
    {"{% when 1 %}", "outside"},
    {"{% case 1 %}{% else %}{% endcase %}", "no {% when %}"},
    {"{% break %}", "outside of a loop"},
    {"{% for i in (1..2) %}{% capture x %}{% break %}{% endcapture %}{% endfor %}",
     "inside a {% capture %}"},
    {"{{ forloop.index }}", "outside of a {% for %}"},
    {"{% for i in (1..2) %}{{ forloop.nope }}{% endfor %}", "no field `nope`"},
    {"{{ x", "line 1, column 1: `{{` is not closed"},
    {"abc {% if x", "line 1, column 5: `{%` is not closed"},
    {"{{ }}", "is empty"},
    {"{{ x | }}", "the name of a filter is missing"},
    {"{{ | upcase }}", "unexpected character `|`"},
    {"{{ x y }}", "column 6: unexpected `y"},
    {"{{ \"open }}", "the quote is not closed"},
    {"{{ x. }}", "the name of a field is missing"},
    {"{{ x[1] }}", "written [\"name\"]"},
    {"{{ x | default }}", "takes 1 to 1 arguments, not 0"},
    {"{{ x | upcase: 1 }}", "takes 0 to 0 arguments, not 1"},
    {"{{ x | replace: 'a', 'b', 'c', 'd' }}", "too many arguments"},
    {"{{ 'now' | date: '%Y' }}", "use the variable `date`"},
    {"{% if %}x{% endif %}", "a value is missing"},
    {"{% if x == %}x{% endif %}", "a value is missing"},
    {"{% if x = 1 %}x{% endif %}", "unexpected `= 1"},
    {"{% for x %}{% endfor %}", "for NAME in LIST"},
    {"{% for x in (1..2) bogus %}{% endfor %}", "only limit:"},
    {"{% assign x %}", "assign NAME = VALUE"},
    {"{% assign a.b = 1 %}", "assign NAME = VALUE"},
    {"{% capture %}{% endcapture %}", "capture NAME"},
    {"{% comment %}", "{% comment %} is not closed"},
    {"{% raw %}", "{% raw %} is not closed"},
    {"{% %}", "the name of the tag is missing"},
    {"{{ (1..2 }}", "range is not closed"},
    {"{{ (1) }}", "a range is written"},
    {"{{ ((((((1..1)..1)..1)..1)..1)..1) }}", "too deeply"},
    {"ok\n\xff", "line 2: the template is not UTF-8"},
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(bad); i++) {
        struct template *t;
        struct err e = {0};
        if (template_compile(str_of(bad[i].source), TEMPLATE_HTML, &t, &e))
            fail_msg("compiled: %s", bad[i].source);
        if (!strstr(e.text, bad[i].error))
            fail_msg("%s\n\"%s\" does not say \"%s\"", bad[i].source, e.text, bad[i].error);
        assert_int_equal(e.code, ERR_INVALID);
        assert_null(t);
    }
}

/* Every prefix of every template compiles or says why not, in one line. */
static void test_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(text) + countof(bad); i++) {
        const char *source = i < countof(text) ? text[i].source : bad[i - countof(text)].source;
        for (size_t n = 0; n < strlen(source); n++) {
            struct buf out;
            struct err e = {0};
            buf_init(&out, 1 << 20);
            if (!render(str_from(source, n), TEMPLATE_HTML, NULL, &out, &e))
                assert_true(e.text[0] != 0 && !strchr(e.text, '\n'));
            buf_free(&out);
        }
    }
}

static void check_variable(const struct template *t, size_t i, const char *name, bool covered,
                           int line, int column)
{
    bool has_default;
    int at_line, at_column;
    assert_true(str_is(template_variable(t, i, &has_default, &at_line, &at_column), name));
    assert_int_equal(has_default, covered);
    assert_int_equal(at_line, line);
    assert_int_equal(at_column, column);
}

static void test_variables(void **state)
{
    (void)state;
    struct template *t;
    struct err e;
    assert_true(
        template_compile(STR("{{ contact.a | default: 'x' }}{{ contact.b }}\n"
                             "{% if contact.c == contact.d %}{% endif %}{{ contact.a | upcase }}\n"
                             "{% assign y = contact.e | split: ',' %}{{ y }}{{ y.size }}\n"
                             "{% for i in y %}{{ i }}{{ forloop.index }}{% endfor %}{{ i }}\n"
                             "{{ contact.f | append: contact.g | default: contact.h }}\n"
                             "{% capture z %}{% endcapture %}{{ z }}{{ contact.b }}{% case k %}{% "
                             "when m %}{% endcase %}"),
                         TEMPLATE_TEXT, &t, &e));
    assert_int_equal(template_variables(t), 11);
    check_variable(t, 0, "contact.a", false, 2, 46);
    check_variable(t, 1, "contact.b", false, 1, 34);
    check_variable(t, 2, "contact.c", true, 2, 7);
    check_variable(t, 3, "contact.d", true, 2, 20);
    check_variable(t, 4, "contact.e", false, 3, 15);
    check_variable(t, 5, "i", false, 4, 58);
    check_variable(t, 6, "contact.f", true, 5, 4);
    check_variable(t, 7, "contact.g", true, 5, 24);
    check_variable(t, 8, "contact.h", false, 5, 45);
    check_variable(t, 9, "k", false, 6, 62);
    check_variable(t, 10, "m", true, 6, 74);
    template_free(&t);
}

static void test_limits(void **state)
{
    (void)state;
    struct err e;
    struct buf out;
    buf_init(&out, 4 << 20);
    const struct template_limits small = {.output_max = 10, .iterations_max = 5};
    assert_true(render(STR("0123456789"), TEMPLATE_TEXT, &small, &out, &e));
    assert_false(render(STR("01234567890"), TEMPLATE_TEXT, &small, &out, &e));
    assert_non_null(strstr(e.text, "more than 10 bytes"));
    assert_int_equal(e.code, ERR_TOO_BIG);
    assert_true(render(STR("{% for i in (1..5) %}{% endfor %}"), TEMPLATE_TEXT, &small, &out, &e));
    assert_false(render(STR("{% for i in (1..6) %}{% endfor %}"), TEMPLATE_TEXT, &small, &out, &e));
    assert_non_null(strstr(e.text, "more than 5 times"));
    assert_false(
        render(STR("{% for i in (1..999999999) %}x{% endfor %}"), TEMPLATE_TEXT, NULL, &out, &e));
    assert_false(render(STR("{{ (1..999999999) }}"), TEMPLATE_TEXT, NULL, &out, &e));
    assert_false(render(STR("{{ (1..999999999) | join: ',' }}"), TEMPLATE_TEXT, NULL, &out, &e));
    /* Doubling a text forty times runs into the memory limit, not into the machine's. */
    struct buf source;
    buf_init(&source, 1 << 16);
    assert_true(buf_adds(&source, "{% assign x = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}"));
    for (int i = 0; i < 40; i++)
        assert_true(buf_adds(&source, "{% assign x = x | append: x %}"));
    assert_false(render(buf_str(&source), TEMPLATE_TEXT, NULL, &out, &e));
    assert_non_null(strstr(e.text, "memory"));
    buf_free(&source);
    buf_free(&out);
}

/* Compiles n times `open`, a body and n times `close`. */
static bool nested(int n, const char *open, const char *close, struct err *e)
{
    struct buf b;
    struct template *t;
    buf_init(&b, 2 << 20);
    for (int i = 0; i < n; i++)
        assert_true(buf_adds(&b, open));
    for (int i = 0; i < n; i++)
        assert_true(buf_adds(&b, close));
    bool ok = template_compile(buf_str(&b), TEMPLATE_TEXT, &t, e);
    template_free(&t);
    buf_free(&b);
    return ok;
}

static void test_sizes(void **state)
{
    (void)state;
    struct err e;
    struct template *t;
    assert_true(nested(32, "{% if x %}", "{% endif %}", &e));
    assert_false(nested(33, "{% if x %}", "{% endif %}", &e));
    assert_non_null(strstr(e.text, "more than 32 deep"));
    assert_true(nested(32, "{% for i in (1..1) %}", "{% endfor %}", &e));
    assert_false(nested(2000, "{% assign x = 1 %}{% for i in (1..1) %}{% endfor %}", "", &e));
    char *big = malloc((1 << 20) + 1);
    memset(big, 'x', (1 << 20) + 1);
    assert_true(template_compile(str_from(big, 1 << 20), TEMPLATE_TEXT, &t, &e));
    template_free(&t);
    assert_false(template_compile(str_from(big, (1 << 20) + 1), TEMPLATE_TEXT, &t, &e));
    assert_int_equal(e.code, ERR_TOO_BIG);
    memcpy(big, "{{ ", 3);
    memcpy(big + 20000, " }}", 3);
    assert_false(template_compile(str_from(big, 20003), TEMPLATE_TEXT, &t, &e));
    free(big);
    struct buf b;
    buf_init(&b, 2 << 20);
    for (int i = 0; i < 1001; i++)
        assert_true(buf_addf(&b, "{{ v%d }}", i));
    assert_false(template_compile(buf_str(&b), TEMPLATE_TEXT, &t, &e));
    assert_non_null(strstr(e.text, "more than 1000 variables"));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_prefixes), cmocka_unit_test(test_variables),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
