/* Regions: words, ranks, and what a broken table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/regions.h"

static uint32_t rank(const char *country, const char *word)
{
    const struct regions *r = regions_builtin();
    return region_rank(r, country, region_of_word(r, str_of(word)));
}

static void test_words(void **state)
{
    (void)state;
    const struct regions *r = regions_builtin();
    static const struct {
        const char *word, *id;
    } words[] = {{"eu-west-1", "eu-west"},
                 {"EU-West", "eu-west"},
                 {"eu_central_1", "eu-central"},
                 {"eu", "eu-central"},
                 {"europe-west4", "eu-west"},
                 {"westeurope", "eu-west"},
                 {"us-east-2", "us-east"},
                 {"us-west1", "us-west"},
                 {"us", "us-east"},
                 {"ap-southeast-1", "ap-southeast"},
                 {"ap-southeast-2", "au-southeast"},
                 {"frankfurt", "eu-central"},
                 {"cellar", ""},
                 {"", ""},
                 {"eu-west-", ""},
                 {"7", ""}};
    for (size_t i = 0; i < countof(words); i++)
        assert_string_equal(region_name(r, region_of_word(r, str_of(words[i].word))), words[i].id);
}

static void test_ranks(void **state)
{
    (void)state;
    assert_int_equal(rank("AT", "eu-central-1"), 0);
    assert_int_equal(rank("at", "eu-west-1"), 1);
    assert_true(rank("AT", "us-east-1") > rank("AT", "eu-north-1"));
    assert_true(rank("AT", "ap-northeast-1") > rank("AT", "us-east-1"));
    assert_int_equal(rank("US", "us-east-1"), 0);
    assert_true(rank("JP", "us-west-2") < rank("JP", "eu-central-1"));
    assert_int_equal(rank("AT", "cellar"), REGION_RANK_UNKNOWN);
    assert_int_equal(rank("", "cellar"), 0); /* no country: no preference */
    assert_int_equal(rank("ZZ", "eu-west-1"), 0);
    assert_true(regions_has_country(regions_builtin(), STR("nz")));
    assert_false(regions_has_country(regions_builtin(), STR("ZZ")));
    assert_false(regions_has_country(regions_builtin(), STR("AUT")));
}

static void test_broken(void **state)
{
    (void)state;
    static const struct {
        struct str countries, near;
        const char *says;
    } cases[] = {{{"AT", 2}, {"north", 5}, "two regions"},
                 {{"A1", 2}, {"north", 5}, "two letters"},
                 {{"CH", 2}, {"nowhere", 7}, "no region"},
                 {{"CH", 2}, {"", 0}, "all others"}};
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct regions *r = regions_new();
        assert_true(regions_add(r, STR("north"), STR("n up"), STR("AT DE"), STR("south"), &e));
        bool ok = regions_add(r, STR("south"), STR("s"), cases[i].countries, cases[i].near, &e) &&
                  regions_check(r, &e);
        assert_false(ok);
        assert_non_null(strstr(e.text, cases[i].says));
        regions_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_broken),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fleet_region", tests, NULL, NULL);
}
