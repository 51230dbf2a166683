/* mail/mime and mail/encode: what is built, and what raw messages become. Byte-level properties
 * hold for every output: CRLF only, lines within 998 bytes, 7 bits, and the header lines that were
 * meant. What a reader makes of it is the matter of test/peer/mime_oracle.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail/mime.h"

#define OUT_MAX (4 << 20)

static struct mime_message plain(void)
{
    return (struct mime_message){.from = STR("Shop <shop@example.org>"),
                                 .to = STR("Ada <ada@example.org>"),
                                 .subject = STR("Hello"),
                                 .message_id = STR("m1@example.org"),
                                 .date_ms = 1763761080000,
                                 .text = STR("Hi\n"),
                                 .boundary_seed = 7};
}

/* Counts header lines; checks line ends and lengths everywhere and bit 7. */
static size_t check_bytes(struct str m, bool allow_8bit)
{
    size_t column = 0, header = 0, lines = 0;
    bool body = false;
    assert_true(str_ends(m, STR("\r\n")));
    for (size_t i = 0; i < m.n; i++) {
        unsigned char c = (unsigned char)m.p[i];
        if (c == '\r') {
            assert_int_equal(m.p[i + 1], '\n');
            assert_true(column <= 998);
            bool folded = i + 2 < m.n && (m.p[i + 2] == ' ' || m.p[i + 2] == '\t');
            if (column == 0 && !body) {
                body = true;
                header = lines;
            }
            lines += !folded;
            column = 0;
            i++;
            continue;
        }
        assert_int_not_equal(c, '\n');
        assert_int_not_equal(c, 0);
        assert_true(allow_8bit || c < 0x80);
        column++;
    }
    return header;
}

static void build(const struct mime_message *m, struct buf *out, struct mime_facts *facts)
{
    struct err e = {0};
    buf_init(out, OUT_MAX);
    if (!mime_build(m, out, facts, &e))
        fail_msg("%s", e.text);
}

static void test_shape(void **state)
{
    (void)state;
    struct mime_facts f;
    struct buf out;
    struct mime_message m = plain();
    build(&m, &out, &f);
    assert_string_equal(buf_cstr(&out), "From: Shop <shop@example.org>\r\n"
                                        "To: Ada <ada@example.org>\r\n"
                                        "Subject: Hello\r\n"
                                        "Date: Fri, 21 Nov 2025 21:38:00 +0000\r\n"
                                        "Message-ID: <m1@example.org>\r\n"
                                        "MIME-Version: 1.0\r\n"
                                        "Content-Type: text/plain; charset=utf-8\r\n"
                                        "Content-Transfer-Encoding: 7bit\r\n"
                                        "\r\n"
                                        "Hi\r\n");
    assert_false(f.is_8bit || f.needs_utf8 || f.has_leading_dot);
    buf_free(&out);
    const struct mime_header extra[] = {{STR("X-Stream"), STR("bulk")}};
    m.html = STR("<p>Hi</p>");
    m.reply_to = STR("help@example.org");
    m.list_unsubscribe = STR("https://x.org/u/AB?c=\"<d>\"");
    m.one_click = true;
    m.feedback_id = STR("a:b:c:d");
    m.headers = extra;
    m.n_headers = 1;
    build(&m, &out, &f);
    assert_int_equal(check_bytes(buf_str(&out), false), 12);
    assert_true(
        str_find(buf_str(&out), STR("List-Unsubscribe: <https://x.org/u/AB?c=%22%3Cd%3E%22>\r\n"
                                    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
                                    "Feedback-ID: a:b:c:d\r\nX-Stream: bulk\r\n")) > 0);
    /* The same seed gives the same bytes, another one another boundary. */
    struct buf again;
    build(&m, &again, &f);
    assert_true(str_eq(buf_str(&out), buf_str(&again)));
    buf_free(&again);
    m.boundary_seed = 8;
    build(&m, &again, &f);
    assert_false(str_eq(buf_str(&out), buf_str(&again)));
    buf_free(&again);
    buf_free(&out);
}

static void test_html_only(void **state)
{
    (void)state;
    struct mime_facts f;
    struct buf out;
    struct mime_message m = plain();
    m.text = STR_NONE;
    m.html = STR("<p>See <a href=\"https://x.org\">it</a></p>");
    build(&m, &out, &f);
    assert_true(str_find(buf_str(&out), STR("\r\n\r\nSee it (https://x.org)\r\n")) > 0);
    assert_true(str_find(buf_str(&out), STR("multipart/alternative")) > 0);
    buf_free(&out);
}

static void test_encodings(void **state)
{
    (void)state;
    char longer[1100];
    memset(longer, 'x', sizeof(longer));
    const struct {
        struct str text;
        const char *encoding;
        bool dot;
    } cases[] = {
        {STR(""), "7bit", false},
        {STR("plain"), "7bit", false},
        {STR(".dot\n..two\n"), "7bit", true},
        {STR("a\r.b"), "7bit", true},
        {STR("schön und gut, aber meist ASCII"), "quoted-printable", false},
        {STR(".schön ist es hier"), "quoted-printable", false},
        {STR("日本語の本文"), "base64", false},
        {STR("nul \0 byte"), "quoted-printable", false},
        {{longer, 998}, "7bit", false},
        {{longer, 999}, "quoted-printable", false},
        {STR("\xff\xff\xff\xff"), "base64", false},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        char wanted[80];
        struct mime_facts f;
        struct buf out;
        struct mime_message m = plain();
        m.text = cases[i].text;
        build(&m, &out, &f);
        (void)check_bytes(buf_str(&out), false);
        (void)snprintf(wanted, sizeof(wanted), "Encoding: %s\r\n", cases[i].encoding);
        if (str_find(buf_str(&out), str_of(wanted)) < 0)
            fail_msg("case %zu: not %s in\n%s", i, cases[i].encoding, buf_cstr(&out));
        assert_int_equal(f.has_leading_dot, cases[i].dot);
        assert_false(f.is_8bit);
        buf_free(&out);
    }
}

static void test_quoted(void **state)
{
    (void)state;
    struct mime_facts f;
    struct buf out;
    struct mime_message m = plain();
    m.text = STR("ü = \nblank \ntab\t\n.dot\nFrom me\rx\r\ny\n");
    build(&m, &out, &f);
    assert_true(
        str_ends(buf_str(&out), STR("\r\n\r\n=C3=BC =3D=20\r\nblank=20\r\ntab=09\r\n=2Edot\r\n"
                                    "=46rom me\r\nx\r\ny\r\n")));
    assert_false(f.has_leading_dot);
    buf_free(&out);
}

/* Lines of every length, with a wide character at every place, fit in 76 columns. */
static void test_quoted_columns(void **state)
{
    (void)state;
    for (size_t n = 1; n < 200; n++) {
        char text[220];
        struct mime_facts f;
        struct buf out;
        struct mime_message m = plain();
        memset(text, 'q', sizeof(text));
        memcpy(text + n, "\xe2\x82\xac", 3);
        m.text = str_from(text, sizeof(text));
        build(&m, &out, &f);
        struct str body =
            str_from_index(buf_str(&out), (size_t)str_find(buf_str(&out), STR("\r\n\r\n")) + 4);
        while (body.n) {
            ptrdiff_t end = str_find(body, STR("\r\n"));
            assert_true(end >= 0 && end <= 76);
            body = str_from_index(body, (size_t)end + 2);
        }
        assert_true(str_find(buf_str(&out), STR("=E2=82=AC")) > 0);
        buf_free(&out);
    }
}

static void test_boundary(void **state)
{
    (void)state;
    struct mime_facts f;
    struct buf out, body;
    struct mime_message m = plain();
    m.html = STR("<p>x</p>");
    build(&m, &out, &f);
    ptrdiff_t at = str_find(buf_str(&out), STR("boundary=\""));
    struct str boundary = str_cut(buf_str(&out), (size_t)at + 10, 29);
    buf_init(&body, 1000);
    assert_true(buf_adds(&body, "--") && buf_addstr(&body, boundary) && buf_adds(&body, "\n"));
    /* A part that holds the boundary of its seed gets another one. */
    m.text = buf_str(&body);
    struct buf second;
    build(&m, &second, &f);
    at = str_find(buf_str(&second), STR("boundary=\""));
    assert_false(str_eq(str_cut(buf_str(&second), (size_t)at + 10, 29), boundary));
    buf_free(&body);
    buf_free(&out);
    buf_free(&second);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct mime_header bad_name[] = {{STR("X Y"), STR("v")}},
                             ours[] = {{STR("Subject"), STR("v")}},
                             inject[] = {{STR("X\r\nBcc: v@x.org"), STR("v")}};
    for (int i = 0; i < 9; i++) {
        struct mime_message m = plain();
        struct mime_facts f;
        struct err e = {0};
        struct buf out;
        buf_init(&out, i == 8 ? 300 : OUT_MAX);
        m.n_headers = i == 3 || i == 4 || i == 7;
        m.headers = i == 3 ? bad_name : i == 4 ? ours : inject;
        if (i == 0)
            m.from = STR("nobody");
        if (i == 1)
            m.to = STR("a@b.cd, e@f.gh");
        if (i == 2)
            m.text = STR_NONE;
        if (i == 5)
            m.message_id = STR("a b@c");
        if (i == 6)
            m.message_id = STR("a@b>\r\nX: y");
        if (i == 8)
            m.text = STR("longer than the three hundred bytes that this mail may have, which is "
                         "not much, as "
                         "its header alone nearly fills them, so that it cannot be built");
        assert_false(mime_build(&m, &out, &f, &e));
        assert_true(e.text[0] != 0);
        assert_int_equal(e.code, i == 8 ? ERR_TOO_BIG : ERR_INVALID);
        buf_free(&out);
    }
}

/* ---- attacks from the corpus ---- */

static FILE *open_corpus(const char *name)
{
    char path[1000];
    const char *shared = getenv("POSTFLEET_SHARED"), *root = getenv("POSTFLEET_SOURCE_ROOT");
    if (shared)
        (void)snprintf(path, sizeof(path), "%s/corpora/attacks/%s", shared, name);
    else
        (void)snprintf(path, sizeof(path), "%s/../shared/corpora/attacks/%s", root ? root : ".",
                       name);
    FILE *file = fopen(path, "rb");
    if (!file)
        printf("# SKIP no %s (set POSTFLEET_SHARED)\n", name);
    return file;
}

/* Undoes \r \n \xNN; gives the length. */
static size_t unescape(struct str s, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && i + 1 < s.n) {
            c = s.p[++i];
            if (c == 'r')
                c = '\r';
            else if (c == 'n')
                c = '\n';
            else if (c == 'x') {
                char hex[3] = {s.p[i + 1], s.p[i + 2], 0};
                c = (char)strtol(hex, NULL, 16);
                i += 2;
            }
        }
        out[n++] = c;
    }
    return n;
}

/* Puts the payload into field number `where`; every mail that is built has exactly the header lines
 * that a harmless value gives. */
static void attack(struct str payload, int where)
{
    char box[600];
    struct mime_header extra = {STR("X-Custom"), STR("harmless")};
    struct mime_message m = plain();
    struct mime_facts f;
    struct err e;
    struct buf out;
    m.reply_to = STR("r@example.org");
    m.list_unsubscribe = STR("https://x.org/u");
    m.feedback_id = STR("id");
    m.headers = &extra;
    m.n_headers = 1;
    size_t n =
        (size_t)snprintf(box, sizeof(box), "%.*s <a@example.org>", (int)payload.n, payload.p);
    struct str named = str_from(box, n);
    struct str *fields[] = {
        &m.subject,          &m.from,       &m.to,          &m.reply_to, &extra.value, &extra.name,
        &m.list_unsubscribe, &m.message_id, &m.feedback_id, &m.text};
    if (where < 10)
        *fields[where] = payload;
    else
        *fields[where - 9] = named;
    buf_init(&out, OUT_MAX);
    if (mime_build(&m, &out, &f, &e)) {
        assert_int_equal(check_bytes(buf_str(&out), f.needs_utf8), 12);
        struct str rest = buf_str(&out), line;
        while (str_split(&rest, '\n', &line) && line.n > 1)
            assert_false(str_istarts(line, STR("Bcc:")) || str_istarts(line, STR("X:")));
    }
    buf_free(&out);
}

static void test_injection(void **state)
{
    (void)state;
    char line[4096], payload[4096];
    FILE *file = open_corpus("injection.tsv");
    size_t count = 0;
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        struct str rest = str_of(line), first;
        if (!str_split(&rest, '\t', &first) || str_is(first, "payload_c_escaped"))
            continue;
        struct str s = str_from(payload, unescape(first, payload));
        for (int where = 0; where < 13; where++)
            attack(s, where);
        count++;
    }
    (void)fclose(file);
    assert_true(count >= 10);
}

static void test_smuggling(void **state)
{
    (void)state;
    char line[4096], sequence[4096], body[5000];
    FILE *file = open_corpus("smuggling-sequences.tsv");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        struct str rest = str_of(line), id, escaped;
        if (!str_split(&rest, '\t', &id) || !str_split(&rest, '\t', &escaped) || str_is(id, "id"))
            continue;
        size_t n = unescape(escaped, sequence);
        memcpy(body, "before", 6);
        memcpy(body + 6, sequence, n);
        memcpy(body + 6 + n, "MAIL FROM:<x@y.z>\r\n", 19);
        struct mime_message m = plain();
        struct mime_facts f;
        struct err e;
        struct buf out, raw;
        m.text = str_from(body, n + 25);
        build(&m, &out, &f);
        (void)check_bytes(buf_str(&out), false);
        /* A dot alone on a line is told, so that it is stuffed. */
        if (str_find(buf_str(&out), STR("\r\n.")) >= 0)
            assert_true(f.has_leading_dot);
        buf_clear(&out);
        buf_init(&raw, OUT_MAX);
        assert_true(buf_adds(&raw, "From: a@b.cd\n\n") && buf_addstr(&raw, m.text));
        if (mime_normalise(buf_str(&raw), STR("a@b"), 0, NULL, 0, &out, &f, &e)) {
            (void)check_bytes(buf_str(&out), false);
            if (str_find(buf_str(&out), STR("\r\n.")) >= 0)
                assert_true(f.has_leading_dot);
        } else {
            assert_non_null(memchr(body, 0, n + 25));
        }
        buf_free(&raw);
        buf_free(&out);
    }
    (void)fclose(file);
}

/* ---- raw messages ---- */

static const struct {
    const char *raw, *out; /* out: after the header fields that are always added */
    bool is_8bit, needs_utf8, dot;
} raws[] = {
    {"From: a@b.cd\r\nDate: d\r\nMessage-ID: <x@y>\r\n\r\nbody\r\n",
     "From: a@b.cd\r\nDate: d\r\nMessage-ID: <x@y>\r\n\r\nbody\r\n", false, false, false},
    {"From: a@b.cd\n\nbody",
     "From: a@b.cd\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\nMessage-ID: <id@h>\r\n\r\nbody\r\n",
     false, false, false},
    {"DATE: d\rMESSAGE-ID: <x@y>\r\ra\rb\nc\r\nd",
     "DATE: d\r\nMESSAGE-ID: <x@y>\r\n\r\na\r\nb\r\nc\r\nd\r\n", false, false, false},
    {"Date: d\nMessage-ID: <x@y>\nBcc: v@x.org,\n w@x.org\nSubject: s\n\n",
     "Date: d\r\nMessage-ID: <x@y>\r\nSubject: s\r\n\r\n", false, false, false},
    {"Date: d\nMessage-ID: <x@y>\nSubject: a\n b\n\n.x\n",
     "Date: d\r\nMessage-ID: <x@y>\r\nSubject: a\r\n b\r\n\r\n.x\r\n", false, false, true},
    {"From x Mon\nDate: d\nMessage-ID: <x@y>\n\nü", "Date: d\r\nMessage-ID: <x@y>\r\n\r\nü\r\n",
     true, false, false},
    {"Date: d\nMessage-ID: <x@y>\nSubject: Grüße\n\n",
     "Date: d\r\nMessage-ID: <x@y>\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\n", false, false,
     false},
    {"Date: d\nMessage-ID: <x@y>\nFrom: Jörg <j@b.cd>\n\n",
     "Date: d\r\nMessage-ID: <x@y>\r\nFrom: =?utf-8?B?SsO2cmc=?= <j@b.cd>\r\n\r\n", false, false,
     false},
    {"Date: d\nMessage-ID: <x@y>\nFrom: jörg@b.cd\n\n",
     "Date: d\r\nMessage-ID: <x@y>\r\nFrom: jörg@b.cd\r\n\r\n", false, true, false},
    {"Date: d\nMessage-ID: <x@y>\nDKIM-Signature: v=1\nSubject: ü\n\n",
     "Date: d\r\nMessage-ID: <x@y>\r\nDKIM-Signature: v=1\r\nSubject: ü\r\n\r\n", false, true,
     false},
    {"Date: d\nMessage-ID: <x@y>\nSubject: a\n \t\n\nb\n",
     "Date: d\r\nMessage-ID: <x@y>\r\nSubject: a\r\n\r\nb\r\n", false, false, false},
    {"Date: d\nMessage-ID: <x@y>", "Date: d\r\nMessage-ID: <x@y>\r\n\r\n", false, false, false},
};

static const struct {
    const char *raw;
    size_t n;
    const char *why;
} bad_raws[] = {
    {"", 0, "no header"},
    {"\r\nbody", 0, "no header"},
    {"just text\n\nbody", 0, "line 1"},
    {"From: a@b.cd\nno field here\n\n", 0, "line 2"},
    {" continued: x\n\n", 0, "line 1"},
    {"From: a@b.cd\nBad name: x\n\n", 0, "line 2"},
    {"From: a@b.cd\n: x\n\n", 0, "line 2"},
    {"From: a@b.cd\n\nx\0y\n", 19, "line 3 holds a NUL"},
    {"From: a@b.cd\nX: \0\n\n", 19, "line 2 holds a NUL"},
    {"From: a@b.cd\nSubject: \xff\n\n", 0, "line 2"},
};

static void test_normalise(void **state)
{
    (void)state;
    struct err e;
    struct mime_facts f;
    struct buf out;
    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < countof(raws); i++) {
        buf_clear(&out);
        if (!mime_normalise(str_of(raws[i].raw), STR("id@h"), 0, NULL, 0, &out, &f, &e))
            fail_msg("%zu: %s", i, e.text);
        assert_string_equal(buf_cstr(&out), raws[i].out);
        assert_int_equal(f.is_8bit, raws[i].is_8bit);
        assert_int_equal(f.needs_utf8, raws[i].needs_utf8);
        assert_int_equal(f.has_leading_dot, raws[i].dot);
    }
    for (size_t i = 0; i < countof(bad_raws); i++) {
        size_t n = bad_raws[i].n ? bad_raws[i].n : strlen(bad_raws[i].raw);
        buf_clear(&out);
        assert_false(
            mime_normalise(str_from(bad_raws[i].raw, n), STR("id@h"), 0, NULL, 0, &out, &f, &e));
        if (!strstr(e.text, bad_raws[i].why))
            fail_msg("%zu: \"%s\" does not say \"%s\"", i, e.text, bad_raws[i].why);
    }
    buf_free(&out);
}

static void test_long_lines(void **state)
{
    (void)state;
    char raw[1200];
    struct err e;
    struct mime_facts f;
    struct buf out;
    buf_init(&out, OUT_MAX);
    for (size_t n = 997; n < 1001; n++) {
        memcpy(raw, "From: a@b.cd\n\n", 14);
        memset(raw + 14, 'x', n);
        buf_clear(&out);
        bool ok = mime_normalise(str_from(raw, 14 + n), STR("id@h"), 0, NULL, 0, &out, &f, &e);
        assert_int_equal(ok, n <= 998);
        if (!ok)
            assert_non_null(strstr(e.text, "line 3 is longer than 998 bytes"));
    }
    buf_free(&out);
}

static void test_extras_and_lookup(void **state)
{
    (void)state;
    const struct mime_header extra[] = {{STR("X-A"), STR("one\r\nBcc: two")},
                                        {STR("List-Unsubscribe"), STR("<https://x.org>")}};
    const struct mime_header bad[] = {{STR("X A"), STR("v")}};
    char value[100];
    struct err e;
    struct mime_facts f;
    struct buf out;
    buf_init(&out, OUT_MAX);
    struct str raw =
        STR("Subject: long\n\t folded  \nFrom: a@b.cd\nsubject: second\n\nSubject: body\n");
    assert_true(mime_normalise(raw, STR("id@h"), 0, extra, 2, &out, &f, &e));
    assert_true(str_starts(buf_str(&out), STR("X-A: one Bcc: two\r\nList-Unsubscribe: "
                                              "<https://x.org>\r\nSubject: long\r\n\t folded")));
    assert_true(
        str_is(mime_field(buf_str(&out), "subject", value, sizeof(value)), "long\t folded"));
    assert_true(str_is(mime_field(raw, "SUBJECT", value, sizeof(value)), "long\t folded"));
    assert_true(str_is(mime_field(raw, "Subject", value, 3), "lo"));
    assert_null(mime_field(raw, "To", value, sizeof(value)).p);
    assert_null(mime_field(raw, "Subj", value, sizeof(value)).p);
    assert_null(mime_field(STR(""), "To", value, sizeof(value)).p);
    assert_false(mime_normalise(raw, STR("id@h"), 0, bad, 1, &out, &f, &e));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),          cmocka_unit_test(test_html_only),
        cmocka_unit_test(test_encodings),      cmocka_unit_test(test_quoted),
        cmocka_unit_test(test_quoted_columns), cmocka_unit_test(test_boundary),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_injection),
        cmocka_unit_test(test_smuggling),      cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_long_lines),     cmocka_unit_test(test_extras_and_lookup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
