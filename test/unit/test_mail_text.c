/* mail/text: plain text out of HTML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/mime.h"

static const struct {
    const char *html, *text;
} cases[] = {
    {"", ""},
    {"plain", "plain\n"},
    {"<p>One</p><p>Two</p>", "One\n\nTwo\n"},
    {"a<br>b<br/>c", "a\nb\nc\n"},
    {"a<br><br>b", "a\n\nb\n"},
    {"  lots \n of\t blanks  ", "lots of blanks\n"},
    {"<b>a</b><i>b</i> c", "ab c\n"},
    {"<h1>T</h1>x", "T\n\nx\n"},
    {"<ul><li>a</li><li>b</li></ul>", "- a\n- b\n"},
    {"<ul><li>a<li>b</ul>z", "- a\n- b\n\nz\n"},
    {"<ol><li>a</li><li>b</li></ol>", "1. a\n2. b\n"},
    {"<ol><li>a<ul><li>x</li></ul></li><li>b</li></ol>", "1. a\n  - x\n2. b\n"},
    {"<a href=\"https://x.org/y\">Go</a>", "Go (https://x.org/y)\n"},
    {"<a href='https://x.org'>https://x.org</a>", "https://x.org\n"},
    {"<a href=https://x.org/>x.org</a>", "x.org\n"},
    {"<a href=\"mailto:a@b.cd\">a@b.cd</a>", "a@b.cd\n"},
    {"<a href=\"?a=1&amp;b=2\">q</a>", "q (?a=1&b=2)\n"},
    {"<a href=\"#top\">Top</a>", "Top\n"},
    {"<a href=\"javascript:alert(1)\">x</a>", "x\n"},
    {"<a href=\" javascript:alert(1)\">x</a>", "x\n"},
    {"<a href=\"https://x.org\"><img alt=\"Shop\"></a>", "Shop (https://x.org)\n"},
    {"<a href=\"https://x.org\"><img></a>", "https://x.org\n"},
    {"<a href=\"https://x.org\">open", "open (https://x.org)\n"},
    {"<style>p{}</style><script>if(a<b)</script>x", "x\n"},
    {"<title>T</title>x", "x\n"},
    {"<script>never closed", ""},
    {"<!-- comment --><p>x", "x\n"},
    {"<!-- never closed", ""},
    {"<!DOCTYPE html><?xml ?>x", "x\n"},
    {"a &amp; b &lt;c&gt; &quot;&#39;&#x41;&euro;", "a & b <c> \"'A€\n"},
    {"&nbsp;x&nbsp;&nbsp;y", "x y\n"},
    {"&bogus; &amp &#; &#xZZ; &", "&bogus; &amp &#; &#xZZ; &\n"},
    {"&#150;&#0;&#xD800;&#99999999;", "–\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\n"},
    {"&zwnj;&#8203;x&shy;y", "xy\n"},
    {"<div style=\"display:none\">pre<div>x</div></div>seen", "seen\n"},
    {"<div style='DISPLAY : NONE'>pre</div>seen", "seen\n"},
    {"<span hidden>h</span>seen", "seen\n"},
    {"<pre>a\n  b</pre>", "a\n  b\n"},
    {"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc\n"},
    {"x<hr>y", "x\n----\ny\n"},
    {"5 < 6 and 7>6", "5 < 6 and 7>6\n"},
    {"a <b title=\">\">c</b>", "a c\n"},
    {"Grüße 日本", "Grüße 日本\n"},
    {"<p", ""},
    {"</p>x</nope>", "x\n"},
    {"<li>alone", "- alone\n"},
    {"<p>Hi {{ x | default: \"a  <b>\" }}!</p>", "Hi {{ x | default: \"a  <b>\" }}!\n"},
    {"{% if a <b %}<b>x</b>{% endif %}", "{% if a <b %}x{% endif %}\n"},
    {"<a href=\"{{ u | default: \"v\" }}\">Go</a>", "Go ({{ u | default: \"v\" }})\n"},
    {"{{ open <b>x</b> {a} {", "{{ open x {a} {\n"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(cases); i++) {
        struct buf b;
        buf_init(&b, 1 << 16);
        assert_true(mime_text_of_html(str_of(cases[i].html), &b));
        if (!str_is(buf_str(&b), cases[i].text))
            fail_msg("%s\ngave \"%s\"\nnot  \"%s\"", cases[i].html, buf_cstr(&b), cases[i].text);
        buf_free(&b);
    }
}

/* Every prefix of every case gives some text and ends. */
static void test_prefixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(cases); i++) {
        for (size_t n = 0; n <= strlen(cases[i].html); n++) {
            struct buf b;
            buf_init(&b, 1 << 16);
            assert_true(mime_text_of_html(str_from(cases[i].html, n), &b));
            buf_free(&b);
        }
    }
}

/* What could make a naive reader quadratic; a megabyte of each is read in one go. */
static void test_heavy(void **state)
{
    (void)state;
    static const char *const pieces[] = {"<a '",    "<a \"",    "<!--",       "<",   "&",
                                         "<script", "<ul><li>", "<a href=x>", "&#1", "<div hidden>",
                                         "{{",      "{%}",      "<a b={{"};
    for (size_t i = 0; i < countof(pieces); i++) {
        struct buf in, out;
        buf_init(&in, 1 << 20);
        buf_init(&out, 64 << 20);
        while (buf_adds(&in, pieces[i]))
            ;
        assert_true(mime_text_of_html(buf_str(&in), &out));
        buf_free(&in);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_heavy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
