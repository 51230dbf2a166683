/* Mailbox providers by domain: the built-in table, look-ups in any case, bad tables. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>
#include "feedback/provider.h"

static void knows_the_big_ones(void **state)
{
    (void)state;
    static const struct {
        const char *domain, *name;
    } cases[] = {
        {"gmail.com", "gmail"},
        {"GoogleMail.com", "gmail"},
        {"hotmail.co.uk", "outlook"},
        {"outlook.com.", "outlook"},
        {"yahoo.co.jp", "yahoo-japan"},
        {"yahoo.fr", "yahoo"},
        {"me.com", "apple"},
        {"gmx.de", "gmx"},
        {"web.de", "web.de"},
        {"san.rr.com", "spectrum"},
        {"a.b.rr.com", "spectrum"},
        {"example.com", "other"},
        {"notgmail.com", "other"},
        {"mail.gmail.com", "other"},
        {"", "other"},
        {".", "other"},
        {"com", "other"},
    };
    const struct providers *p = providers_builtin();
    for (size_t i = 0; i < countof(cases); i++)
        assert_string_equal(provider_name(p, provider_of_domain(p, str_of(cases[i].domain))),
                            cases[i].name);
    assert_true(providers_count(p) > 50);
    assert_int_equal(provider_by_name(p, STR("gmail")), provider_of_domain(p, STR("gmail.com")));
    assert_int_equal(provider_by_name(p, STR("nobody")), PROVIDER_OTHER);
    assert_string_equal(provider_name(p, 999999), "other");
}

static void any_length_is_fine(void **state)
{
    (void)state;
    char domain[600];
    memset(domain, '.', sizeof(domain));
    for (size_t n = 0; n <= sizeof(domain); n++)
        assert_int_equal(provider_of_domain(providers_builtin(), str_from(domain, n)), 0);
}

static void bad_tables_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *data, *says;
    } bad[] = {
        {"servers:\n", "section"},
        {"providers:\n  - id: a\n    domains: a.example\n  - id: a\n",
         "line 4: provider `a` exists"},
        {"providers:\n  - id: a\n    domains: a.example a.example\n", "twice"},
        {"providers:\n  - id: a\n    domains: plain\n", "no domain"},
        {"providers:\n  - domains: a.example\n", "begins with its id"},
        {"providers:\n  - id: other\n", "exists"},
        {"providers:\n  - id: a\n    colour: red\n", "colour"},
        {"providers:\n    id: a\n", "indentation"},
    };
    for (size_t i = 0; i < countof(bad); i++) {
        struct providers *p = NULL;
        struct err e = {0};
        assert_false(providers_compile(str_of(bad[i].data), &p, &e));
        assert_null(p);
        if (!strstr(e.text, bad[i].says))
            fail_msg("case %zu says: %s", i, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_big_ones),
        cmocka_unit_test(any_length_is_fine),
        cmocka_unit_test(bad_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
