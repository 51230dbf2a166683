/* The filter over suppressed addresses: it never says no to one that is in the table, whichever way
 * and whenever it came in, and says maybe to few others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "store/suppression.h"
#include "store/suppression_filter.h"
#include "store_test.h"

enum { ROWS = 5000, BITE = 300 };

static struct str key_of(char out[64], const char *prefix, int i)
{
    return str_from(out, (size_t)snprintf(out, 64, "%s%d@example.com", prefix, i));
}

static void suppress(struct place *p, const char *prefix, int i)
{
    struct err e = {0};
    char key[64];
    bool added = false;
    struct suppression s = {.address = key_of(key, prefix, i), .reason = STR("manual"), .since = 1};
    assert_ok(suppression_add(p->db, &s, &added, &e));
}

static bool may(const struct suppression_filter *f, const char *prefix, int i)
{
    char key[64];
    return suppression_filter_may(f, key_of(key, prefix, i));
}

static void says_no_only_when_certain(void **state)
{
    (void)state;
    struct err e = {0};
    struct place p;
    place_open(&p);
    assert_ok(db_begin(p.db, &e));
    for (int i = 0; i < ROWS; i++)
        suppress(&p, "old", i);
    struct suppression_filter *f = suppression_filter_new(ROWS);
    assert_non_null(f);
    suppression_filter_follow(f);
    bool done = false;
    int bites = 0, wrong = 0;
    while (!done) {
        assert_true(may(f, "nobody", bites)); /* not believed before all is in */
        suppress(&p, "a-front", bites);       /* before and behind where the reading has come */
        suppress(&p, "z-behind", bites);
        assert_ok(suppression_filter_load(f, p.db, BITE, &done, &e));
        bites++;
    }
    assert_ok(db_commit(p.db, &e));
    assert_true(bites > ROWS / BITE);
    suppress(&p, "late", 1);
    assert_true(may(f, "late", 1));
    for (int i = 0; i < ROWS; i++)
        assert_true(may(f, "old", i));
    for (int i = 0; i < bites; i++)
        assert_true(may(f, "a-front", i) && may(f, "z-behind", i));
    for (int i = 0; i < 100000; i++)
        wrong += may(f, "nobody", i);
    assert_in_range(wrong, 0, 1000);
    suppression_filter_follow(NULL);
    suppress(&p, "unheard", 1); /* nobody follows: nothing breaks */
    suppression_filter_free(&f);
    assert_true(suppression_filter_may(NULL, STR("a@b")));
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_no_only_when_certain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
