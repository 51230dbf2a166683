/* CSV: tables of inputs, each read whole and cut at every byte with the same rows; encodings,
 * separators, limits, unterminated quotes; writing, guarded against formulas, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/csv.h"

#include <stdio.h>
#include <stdlib.h>

/* Rows as text: fields in brackets, a line each, with number and line. */
struct seen {
    struct buf text;
    uint64_t stop_at;
};

static bool note_row(void *arg, const struct csv_row *row, struct err *e)
{
    struct seen *s = arg;
    (void)buf_addf(&s->text, "%llu@%llu", (unsigned long long)row->number,
                   (unsigned long long)row->line);
    for (size_t i = 0; i < row->n; i++) {
        (void)buf_addc(&s->text, '[');
        (void)buf_addstr(&s->text, row->fields[i]);
        (void)buf_addc(&s->text, ']');
    }
    (void)buf_addc(&s->text, '\n');
    if (row->number == s->stop_at)
        return err_set(e, ERR_REFUSED, "enough");
    return true;
}

/* Feeds in pieces cut at a, then at b (0: not cut there); false with *e as csv gives it. */
static bool read_cut(struct str in, size_t a, size_t b, struct seen *s, struct err *e)
{
    struct csv *c = csv_new(note_row, s);
    bool ok = csv_feed(c, in.p, a, e) && csv_feed(c, in.p + a, b - a, e) &&
              csv_feed(c, in.p + b, in.n - b, e) && csv_finish(c, e);
    struct err after = {0};
    assert_true(ok || !csv_feed(c, "x", 1, &after) || !csv_finish(c, &after));
    csv_free(&c);
    return ok;
}

#define S(lit)                                                                                     \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

struct sample {
    const char *what;
    struct str in;
    const char *out;   /* rows seen, also before a failure */
    const char *error; /* part of the text; NULL: none */
};

static const struct sample samples[] = {
    {"nothing", S(""), "", NULL},
    {"one cell", S("a"), "1@1[a]\n", NULL},
    {"comma", S("a,b\nc,d\n"), "1@1[a][b]\n2@2[c][d]\n", NULL},
    {"no last line end", S("a,b\nc,d"), "1@1[a][b]\n2@2[c][d]\n", NULL},
    {"CRLF", S("a,b\r\nc,d\r\n"), "1@1[a][b]\n2@2[c][d]\n", NULL},
    {"CR", S("a,b\rc,d\r"), "1@1[a][b]\n2@2[c][d]\n", NULL},
    {"semicolon", S("a;b\nd,e;f\n"), "1@1[a][b]\n2@2[d,e][f]\n", NULL},
    {"a tie goes to the comma", S("a;b,c\nd,e\n"), "1@1[a;b][c]\n2@2[d][e]\n", NULL},
    {"more semicolons", S("a;b;c,d\n1;2;3\n"), "1@1[a][b][c,d]\n2@2[1][2][3]\n", NULL},
    {"tab", S("a\tb,c\tx\n1\t2\t3\n"), "1@1[a][b,c][x]\n2@2[1][2][3]\n", NULL},
    {"quoted separators do not count", S("\"a,b,c\";d\n1;2\n"), "1@1[a,b,c][d]\n2@2[1][2]\n", NULL},
    {"hint", S("sep=;\na,b;c\n"), "1@2[a,b][c]\n", NULL},
    {"hint CRLF", S("SEP=\t\r\na,b\tc\r\n"), "1@2[a,b][c]\n", NULL},
    {"no hint", S("sep=x\na,b\n"), "1@1[sep=x]\n2@2[a][b]\n", NULL},
    {"empty cells", S("a,,\n,,\n"), "1@1[a][][]\n2@2[][][]\n", NULL},
    {"trailing separator at the end", S("a,b\nc,"), "1@1[a][b]\n2@2[c][]\n", NULL},
    {"empty lines", S("\n\na,b\n\n\r\nc,d\n\n"), "1@3[a][b]\n2@6[c][d]\n", NULL},
    {"a quoted empty cell is a row", S("a\n\"\"\nb\n"), "1@1[a]\n2@2[]\n3@3[b]\n", NULL},
    {"quotes", S("\"a\",\"b\"\"c\"\n\"\"\"\",x\n"), "1@1[a][b\"c]\n2@2[\"][x]\n", NULL},
    {"quoted line breaks", S("a,b\n\"1\n2\r\n3\",x\ny,z\n"),
     "1@1[a][b]\n2@2[1\n2\r\n3][x]\n3@5[y][z]\n", NULL},
    {"quoted line break in the header", S("\"a\nb\";c\n1;2\n"), "1@1[a\nb][c]\n2@3[1][2]\n", NULL},
    {"a quote inside", S("a\"b,c\n1,2\"\n"), "1@1[a\"b][c]\n2@2[1][2\"]\n", NULL},
    {"text behind a quote", S("\"a\"b,c\n"), "1@1[ab][c]\n", NULL},
    {"blanks stay", S(" a , b\n"), "1@1[ a ][ b]\n", NULL},
    {"open quote", S("a,b\n1,\"2\n3,4\n"), "1@1[a][b]\n", "row 2 (line 2): a quote is opened"},
    {"open quote in the header", S("\"a,b\n"), "", "row 1 (line 1)"},
    {"BOM",
     S("\xef\xbb\xbf"
       "a,b\n"),
     "1@1[a][b]\n", NULL},
    {"BOM and quote", S("\xef\xbb\xbf\"a\",b\n"), "1@1[a][b]\n", NULL},
    {"only a BOM", S("\xef\xbb\xbf"), "", NULL},
    {"half a BOM", S("\xef\xbb"), "1@1[\xc3\xaf\xc2\xbb]\n", NULL},
    {"UTF-8", S("n\n\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n"),
     "1@1[n]\n2@2[\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80]\n", NULL},
    {"Windows-1252", S("n,m\nM\xfcller,\x80\x93x\x94\x81\n"),
     "1@1[n][m]\n2@2[M\xc3\xbcller][\xe2\x82\xac\xe2\x80\x9cx\xe2\x80\x9d\xef\xbf\xbd]\n", NULL},
    {"each row by itself", S("n\n\xc3\xa9\nM\xfc\n"), "1@1[n]\n2@2[\xc3\xa9]\n3@3[M\xc3\xbc]\n",
     NULL},
    {"no character across cells", S("n,m\n\xc3,\xa9\n"), "1@1[n][m]\n2@2[\xc3\x83][\xc2\xa9]\n",
     NULL},
    {"UTF-16 LE",
     S("\xff\xfe"
       "a\0;\0\xe9\0\n\0=\xd8\0\xde;\0"
       "1\0\n\0"),
     "1@1[a][\xc3\xa9]\n2@2[\xf0\x9f\x98\x80][1]\n", NULL},
    {"UTF-16 BE",
     S("\xfe\xff\0a\0;\0\xe9\0\n\xd8=\xde\0\0;\0"
       "1\0\n"),
     "1@1[a][\xc3\xa9]\n2@2[\xf0\x9f\x98\x80][1]\n", NULL},
    {"UTF-16 LE without BOM", S("a\0,\0b\0\n\0"), "1@1[a][b]\n", NULL},
    {"UTF-16 BE without BOM", S("\0a\0,\0b\0\n"), "1@1[a][b]\n", NULL},
    {"UTF-16 torn",
     S("\xff\xfe"
       "a\0=\xd8,\0"
       "b"),
     "1@1[a\xef\xbf\xbd][\xef\xbf\xbd]\n", NULL},
    {"UTF-16 half a pair at the end",
     S("\xff\xfe"
       "a\0=\xd8"),
     "1@1[a\xef\xbf\xbd]\n", NULL},
    {"zero bytes stay", S("a,b\n\0,x\n"), "1@1[a][b]\n2@2[\0][x]\n", NULL},
};

/* Text with zero bytes is compared by what str_of sees of it, so they are shown as '0'. */
static void show_zeros(struct buf *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (!b->p[i])
            b->p[i] = '0';
}

static void check_sample(const struct sample *s, size_t a, size_t b)
{
    struct seen seen = {.stop_at = 0};
    struct err e = {0};
    buf_init(&seen.text, 1 << 20);
    bool ok = read_cut(s->in, a, b, &seen, &e);
    const char *want = s->out;
    if (strcmp(s->what, "zero bytes stay") == 0)
        want = "1@1[a][b]\n2@2[0][x]\n";
    show_zeros(&seen.text);
    if (ok != !s->error || strcmp(buf_cstr(&seen.text), want) != 0)
        fail_msg("%s, cut at %zu and %zu: %s\n%s", s->what, a, b, ok ? "" : e.text,
                 buf_cstr(&seen.text));
    if (s->error && !strstr(e.text, s->error))
        fail_msg("%s, cut at %zu and %zu: %s", s->what, a, b, e.text);
    buf_free(&seen.text);
}

static void samples_are_read_in_every_cut(void **state)
{
    for (size_t i = 0; i < countof(samples); i++)
        for (size_t a = 0; a <= samples[i].in.n; a++)
            for (size_t b = a; b <= samples[i].in.n; b++)
                check_sample(&samples[i], a, b);
}

static bool read_text(const char *text, struct err *e)
{
    struct seen seen = {.stop_at = 0};
    buf_init(&seen.text, 8 << 20);
    bool ok = read_cut(str_of(text), strlen(text) / 2, strlen(text) / 2, &seen, e);
    buf_free(&seen.text);
    return ok;
}

static char *repeat(const char *before, char c, size_t n, const char *after)
{
    char *text = calloc(1, strlen(before) + n + strlen(after) + 1);
    assert_non_null(text);
    memcpy(text, before, strlen(before));
    memset(text + strlen(before), c, n);
    memcpy(text + strlen(before) + n, after, strlen(after));
    return text;
}

static void limits_are_kept(void **state)
{
    static const struct {
        const char *before;
        char c;
        size_t n;
        const char *after;
        const char *error;
    } cases[] = {
        {"a,b\n", 'x', CSV_ROW_MAX - 4, ",y\n", NULL},
        {"a,b\n", 'x', CSV_ROW_MAX, ",y\n", "row 2 (line 2): over 65536 bytes"},
        {"a,b\n1,\"", 'x', CSV_ROW_MAX, "\"\n", "row 2 (line 2): over 65536 bytes"},
        {"a,b\n1,\"", '\n', CSV_ROW_MAX, "\"\n", "row 2 (line 2): over 65536 bytes"},
        {"", 'x', 3 * CSV_ROW_MAX, ",y\n", "row 1 (line 1): over 65536 bytes"},
        {"", '"', 5 * CSV_ROW_MAX, "", "row 1 (line 1): over 65536 bytes"},
        {"a\n", ',', CSV_COLUMNS_MAX - 1, "\n", NULL},
        {"a\n", ',', CSV_COLUMNS_MAX, "\n", "row 2 (line 2): over 256 columns"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        char *text = repeat(cases[i].before, cases[i].c, cases[i].n, cases[i].after);
        bool ok = read_text(text, &e);
        if (ok != !cases[i].error || (!ok && !strstr(e.text, cases[i].error)))
            fail_msg("case %zu: %s", i, e.text);
        free(text);
    }
}

static void the_reader_may_stop(void **state)
{
    struct seen seen = {.stop_at = 2};
    struct err e = {0};
    buf_init(&seen.text, 1000);
    assert_false(read_cut(STR("a\nb\nc\n"), 0, 0, &seen, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    assert_string_equal(buf_cstr(&seen.text), "1@1[a]\n2@2[b]\n");
    buf_free(&seen.text);
}

static void cells_are_written(void **state)
{
    static const struct {
        struct str value;
        const char *cell;
    } cases[] = {
        {S(""), ""},
        {S("a b"), "a b"},
        {S("a,b"), "\"a,b\""},
        {S("a;b"), "\"a;b\""},
        {S("a\"b"), "\"a\"\"b\""},
        {S("a\nb"), "\"a\nb\""},
        {S(" a"), "\" a\""},
        {S("=1+1"), "\"'=1+1\""},
        {S("+43 1"), "\"'+43 1\""},
        {S("-1"), "\"'-1\""},
        {S("@SUM(1)"), "\"'@SUM(1)\""},
        {S("\t=1"), "\"'\t=1\""},
        {S("\r=1"), "\"'\r=1\""},
        {S("\n=1"), "\"'\n=1\""},
        {S("  =1"), "\"'  =1\""},
        {S("'=1"), "\"''=1\""},
        {S("'tis"), "'tis"},
        {S("\xef\xbc\x9d"
           "1"),
         "\"'\xef\xbc\x9d"
         "1\""},
        {S("a=1"), "a=1"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct buf b;
        buf_init(&b, 100);
        assert_true(csv_add_cell(&b, cases[i].value, true));
        assert_string_equal(buf_cstr(&b), cases[i].cell);
        buf_free(&b);
    }
    struct buf small;
    buf_init(&small, 3);
    assert_false(csv_add_cell(&small, STR("a\"b"), true));
    buf_free(&small);
}

struct roundtrip {
    struct str value;
    bool seen;
};

static bool compare_row(void *arg, const struct csv_row *row, struct err *e)
{
    struct roundtrip *r = arg;
    if (row->number == 1)
        return true;
    r->seen =
        row->n == 2 && str_is(row->fields[0], "x") && str_eq(csv_unguard(row->fields[1]), r->value);
    return r->seen || err_set(e, ERR_FAILED, "not the same");
}

static void assert_comes_back(struct str value)
{
    struct roundtrip r = {.value = value};
    struct err e = {0};
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_true(buf_adds(&b, "email,name\r\n") && csv_add_cell(&b, STR("x"), true) &&
                csv_add_cell(&b, value, false) && csv_end_row(&b));
    struct csv *c = csv_new(compare_row, &r);
    if (!csv_feed(c, b.p, b.n, &e) || !csv_finish(c, &e) || !r.seen)
        fail_msg("did not come back: %s", buf_cstr(&b));
    csv_free(&c);
    buf_free(&b);
}

static void written_cells_come_back(void **state)
{
    static const char alphabet[] = "='\", \t\r\n;a@+-";
    size_t k = sizeof alphabet - 1;
    for (size_t i = 0; i < k * k * k * k; i++) {
        char text[4] = {alphabet[i % k], alphabet[i / k % k], alphabet[i / k / k % k],
                        alphabet[i / k / k / k]};
        for (size_t n = 0; n <= 4; n += 2)
            assert_comes_back(str_from(text, n));
    }
}

static void unescape(char *s)
{
    char *to = s;
    for (char *p = s; *p; p++) {
        if (p[0] == '\\' && p[1]) {
            p++;
            *to++ = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
}

/* Every value of the shared corpus is guarded, quoted, and restored. */
static void the_corpus_is_guarded(void **state)
{
    char path[4096], line[8192];
    const char *shared = getenv("POSTFLEET_SHARED"), *root = getenv("POSTFLEET_SOURCE_ROOT");
    (void)snprintf(path, sizeof path, "%s/attacks/csv-formula.tsv", shared ? shared : "");
    if (!shared)
        (void)snprintf(path, sizeof path, "%s/../shared/corpora/attacks/csv-formula.tsv",
                       root ? root : ".");
    FILE *f = fopen(path, "r");
    if (!f) {
        print_message("SKIP no corpus attacks/csv-formula.tsv\n");
        skip();
    }
    int n = 0;
    while (fgets(line, sizeof line, f)) {
        char *tab = strchr(line, '\t');
        if (n++ == 0 || !tab)
            continue;
        *tab = 0;
        unescape(line);
        struct buf b;
        buf_init(&b, 20000);
        assert_true(csv_add_cell(&b, str_of(line), true));
        assert_true(str_starts(buf_str(&b), STR("\"'")) && str_ends(buf_str(&b), STR("\"")));
        buf_free(&b);
        assert_comes_back(str_of(line));
    }
    fclose(f);
    assert_true(n > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_read_in_every_cut), cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(the_reader_may_stop),           cmocka_unit_test(cells_are_written),
        cmocka_unit_test(written_cells_come_back),       cmocka_unit_test(the_corpus_is_guarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
