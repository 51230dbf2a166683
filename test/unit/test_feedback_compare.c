/* Isolation: one bad server among good ones, one bad address, everything, nothing, and mixtures. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "feedback/compare.h"

struct grid { /* a letter a probe: . well, - not run, others fail each in its own way */
    const char *rows[6];
    enum compared kind;
    const char *servers, *recipients; /* marked ones as digits */
};

static void compare_one(const struct grid *g)
{
    struct finding f[60] = {{0}};
    struct comparison c;
    uint32_t servers = 0, recipients = 0;
    size_t n = 0;
    for (; g->rows[servers]; servers++)
        for (recipients = 0; g->rows[servers][recipients]; recipients++) {
            char mark = g->rows[servers][recipients];
            f[n++] = (struct finding){.server = servers,
                                      .recipient = recipients,
                                      .ran = mark != '-',
                                      .ok = mark == '.',
                                      .step = mark,
                                      .code = mark == '.' ? 250 : 550,
                                      .ms = 10};
        }
    compare_findings(f, n, servers, recipients, &c);
    assert_string_equal(compared_name(c.kind), compared_name(g->kind));
    for (uint32_t i = 0; i < servers; i++)
        assert_int_equal(c.servers[i], strchr(g->servers, '0' + (int)i) != NULL);
    for (uint32_t i = 0; i < recipients; i++)
        assert_int_equal(c.recipients[i], strchr(g->recipients, '0' + (int)i) != NULL);
}

static void verdicts(void **state)
{
    (void)state;
    static const struct grid grids[] = {
        {{"..", "..", ".."}, COMPARED_WELL, "", ""},
        {{"--", "--"}, COMPARED_NOTHING, "", ""},
        {{"..", "aa", ".."}, COMPARED_SERVERS, "1", ""},
        {{".", "a", "."}, COMPARED_SERVERS, "1", ""},
        {{".", "a", "b", ".", "."}, COMPARED_SERVERS, "12", ""},
        {{"aa", "aa", "aa"}, COMPARED_SYSTEMIC, "", ""},
        {{"a", "a", "a", "a", "."}, COMPARED_SYSTEMIC, "", ""},
        {{"a", "a", "a", "a", "b"}, COMPARED_SYSTEMIC, "", ""},
        {{".a", ".a", ".a"}, COMPARED_RECIPIENTS, "", "1"},
        {{".a", "ba", ".a", ".a"}, COMPARED_MIXED, "1", "1"},
        {{"a"}, COMPARED_SERVERS, "0", ""},
        {{"."}, COMPARED_WELL, "", ""},
        {{"a", "b", "c", "d"}, COMPARED_MIXED, "0123", ""},
        {{".", "-", "a", "."}, COMPARED_SERVERS, "2", ""},
    };
    for (size_t i = 0; i < countof(grids); i++)
        compare_one(&grids[i]);
}

static void slow_ones(void **state)
{
    (void)state;
    struct finding f[5];
    struct comparison c;
    for (uint32_t i = 0; i < 5; i++)
        f[i] = (struct finding){.server = i, .ran = true, .ok = true, .ms = i == 3 ? 9000 : 100};
    compare_findings(f, 5, 5, 1, &c);
    assert_int_equal(c.kind, COMPARED_WELL);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(c.slow[i], i == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts), cmocka_unit_test(slow_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
