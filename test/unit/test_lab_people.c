/* Invented contacts: each address once, on reserved domains only, the same for the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "lab/people.h"

enum { MANY = 150000 }; /* three times round all names and domains */

static bool is_reserved(struct str email)
{
    static const char *const ends[] = {"example.com", "example.net", "example.org",
                                       ".example",    ".test",       ".invalid"};
    for (size_t i = 0; i < countof(ends); i++)
        if (str_ends(email, str_of(ends[i])))
            return true;
    return false;
}

static void test_each_once(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {0, 1, 42, UINT64_MAX};
    for (size_t s = 0; s < countof(seeds); s++) {
        struct lab_crowd c;
        struct map_str *seen = map_str_new();
        lab_crowd_new(&c, MANY, seeds[s]);
        for (uint64_t i = 0; i < MANY; i++) {
            struct lab_person p;
            lab_crowd_person(&c, i, &p);
            struct str email = str_of(p.email);
            assert_true(is_reserved(email));
            assert_true(str_chr(email, '@') > 0);
            assert_null(map_str_get(seen, email));
            map_str_set(seen, email, &c);
        }
        map_str_free(&seen);
    }
}

static void test_same_seed(void **state)
{
    (void)state;
    struct lab_crowd a, b, other;
    unsigned different = 0;
    lab_crowd_new(&a, 1000, 7);
    lab_crowd_new(&b, 1000, 7);
    lab_crowd_new(&other, 1000, 8);
    for (uint64_t i = 0; i < 1000; i++) {
        struct lab_person p, q, r;
        lab_crowd_person(&a, i, &p);
        lab_crowd_person(&b, i, &q);
        lab_crowd_person(&other, i, &r);
        assert_string_equal(p.email, q.email);
        assert_string_equal(p.first, q.first);
        assert_string_equal(p.city, q.city);
        different += strcmp(p.email, r.email) != 0;
    }
    assert_true(different > 900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
        cmocka_unit_test(test_same_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
