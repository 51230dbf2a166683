/* Routes: a table of cases, the index against trying every rule, and what covers what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "fleet/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct route *rule(uint32_t num, uint32_t group_num)
{
    struct route *r = route_new();
    char name[16];
    snprintf(name, sizeof name, "r%u", num);
    r->num = num;
    r->name = alloc_copy(name);
    r->group_num = group_num;
    return r;
}

static void text(struct route *r, enum route_field f, const char *value)
{
    route_add_term(r, f, 0, 0, alloc_copy(value));
}

static void number(struct route *r, enum route_field f, uint64_t low, uint64_t high)
{
    route_add_term(r, f, low, high, NULL);
}

static struct routes *compiled(struct route *const *rules, size_t n)
{
    struct route **list = alloc_many(struct route *, n);
    for (size_t i = 0; i < n; i++)
        list[i] = rules[i];
    return routes_new(list, n);
}

static const struct route_facts plain = {.lane = LANE_BULK,
                                         .campaign_num = 3,
                                         .list_id = 77,
                                         .tags = {"sale\nspring", 11},
                                         .from_domain = {"shop.example", 12},
                                         .rcpt_domain = {"mail.uni.example", 16},
                                         .provider = {"gmail", 5},
                                         .country = "AT",
                                         .engagement = 2,
                                         .size = 5000};

struct one {
    enum route_field field;
    const char *text;
    uint64_t low, high;
    bool fits;
};

static const struct one ones[] = {
    {ROUTE_STREAM, NULL, LANE_BULK, LANE_BULK, true},
    {ROUTE_STREAM, NULL, LANE_PRIORITY, LANE_PRIORITY, false},
    {ROUTE_CAMPAIGN, NULL, 3, 3, true},
    {ROUTE_CAMPAIGN, NULL, 4, 4, false},
    {ROUTE_LIST, NULL, 77, 77, true},
    {ROUTE_LIST, NULL, 7, 7, false},
    {ROUTE_TAG, "spring", 0, 0, true},
    {ROUTE_TAG, "sale", 0, 0, true},
    {ROUTE_TAG, "sale\nspring", 0, 0, false},
    {ROUTE_TAG, "spri", 0, 0, false},
    {ROUTE_FROM_DOMAIN, "shop.example", 0, 0, true},
    {ROUTE_FROM_DOMAIN, "example", 0, 0, false},
    {ROUTE_FROM_DOMAIN, "*.example", 0, 0, true},
    {ROUTE_FROM_DOMAIN, "*.shop.example", 0, 0, false},
    {ROUTE_RECIPIENT_DOMAIN, "*.uni.example", 0, 0, true},
    {ROUTE_RECIPIENT_DOMAIN, "*.example", 0, 0, true},
    {ROUTE_RECIPIENT_DOMAIN, "*.i.example", 0, 0, false},
    {ROUTE_RECIPIENT_DOMAIN, "mail.uni.example", 0, 0, true},
    {ROUTE_PROVIDER, "gmail", 0, 0, true},
    {ROUTE_PROVIDER, "other", 0, 0, false},
    {ROUTE_COUNTRY, "AT", 0, 0, true},
    {ROUTE_COUNTRY, "DE", 0, 0, false},
    {ROUTE_ENGAGEMENT, NULL, 1, 3, true},
    {ROUTE_ENGAGEMENT, NULL, 3, 7, false},
    {ROUTE_SIZE, NULL, 5001, UINT64_MAX, false},
    {ROUTE_SIZE, NULL, 5000, 5000, true},
    {ROUTE_CREDENTIAL, NULL, 1, 1, false},
};

static void test_each_condition(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(ones); i++) {
        struct route *r = rule(1, 9);
        route_add_term(r, ones[i].field, ones[i].low, ones[i].high, alloc_copy(ones[i].text));
        struct routes *all = compiled(&r, 1);
        const struct route *found = routes_find(all, &plain);
        if ((found != NULL) != ones[i].fits)
            fail_msg("case %zu: %s %s", i, route_field_name(ones[i].field),
                     ones[i].text ? ones[i].text : "");
        assert_ptr_equal(found, routes_find_slowly(all, &plain));
        routes_free(&all);
    }
}

static void test_and_or_order(void **state)
{
    (void)state;
    struct route *r[4] = {rule(1, 10), rule(2, 20), rule(3, 30), rule(4, 40)};
    text(r[0], ROUTE_COUNTRY, "DE"); /* both fields must hold; of one field any value may */
    text(r[0], ROUTE_COUNTRY, "AT");
    text(r[0], ROUTE_TAG, "winter");
    text(r[1], ROUTE_COUNTRY, "DE");
    text(r[1], ROUTE_COUNTRY, "AT");
    text(r[1], ROUTE_TAG, "spring");
    text(r[2], ROUTE_RECIPIENT_DOMAIN, "mail.uni.example");
    struct routes *all = compiled(r, 4); /* the last one has no condition: always */
    assert_int_equal(routes_find(all, &plain)->num, 2);
    struct route_facts f = plain;
    f.tags = STR("none");
    assert_int_equal(routes_find(all, &f)->num, 3);
    f.rcpt_domain = STR("else.example");
    assert_int_equal(routes_find(all, &f)->num, 4);
    assert_int_equal(routes_get(all, 3)->group_num, 30);
    assert_null(routes_get(all, 5));
    assert_int_equal(routes_count(all), 4);
    routes_free(&all);
    assert_null(routes_find(NULL, &plain));
}

/* ---- by chance: the index finds what trying every rule finds ---- */

static uint64_t seed = 20261122;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static const char *const domains[] = {"a.example",   "b.example",   "x.a.example", "y.a.example",
                                      "*.a.example", "*.b.example", "*.example",   "c.test"};
static const char *const providers[] = {"gmail", "outlook", "other"};
static const char *const countries[] = {"AT", "DE", "US", "JP"};
static const char *const tags[] = {"one", "two", "three", "four"};

static void add_some(struct route *r, enum route_field f)
{
    uint64_t low = below(6);
    switch (f) {
    case ROUTE_TAG: text(r, f, tags[below(4)]); return;
    case ROUTE_FROM_DOMAIN:
    case ROUTE_RECIPIENT_DOMAIN: text(r, f, domains[below(countof(domains))]); return;
    case ROUTE_PROVIDER: text(r, f, providers[below(3)]); return;
    case ROUTE_COUNTRY: text(r, f, countries[below(4)]); return;
    case ROUTE_STREAM: low = below(LANE_COUNT); break;
    case ROUTE_SIZE:
    case ROUTE_ENGAGEMENT: number(r, f, low, low + below(5)); return;
    default: low = 1 + below(6); break;
    }
    number(r, f, low, low);
}

static struct route *some_rule(uint32_t num)
{
    struct route *r = rule(num, num);
    for (uint32_t n = below(4); n > 0; n--) {
        enum route_field f = (enum route_field)below(ROUTE_FIELDS);
        for (uint32_t k = 1 + below(3); k > 0; k--)
            add_some(r, f);
    }
    if (!r->n_terms && num % 50)
        text(r, ROUTE_RECIPIENT_DOMAIN, domains[below(countof(domains))]);
    return r;
}

static struct route_facts some_facts(char *tag_text, size_t size)
{
    tag_text[0] = 0;
    for (uint32_t n = below(3); n > 0; n--)
        snprintf(tag_text + strlen(tag_text), size - strlen(tag_text), "%s%s",
                 tag_text[0] ? "\n" : "", tags[below(4)]);
    struct route_facts f = {.lane = (enum lane)below(LANE_COUNT),
                            .campaign_num = below(7),
                            .list_id = below(7),
                            .credential_num = below(7),
                            .tags = str_of(tag_text),
                            .from_domain = str_of(domains[below(4)]),
                            .rcpt_domain = str_of(below(5) ? domains[below(4)] : "c.test"),
                            .provider = str_of(providers[below(3)]),
                            .engagement = below(8),
                            .size = below(12)};
    if (below(4))
        snprintf(f.country, sizeof f.country, "%s", countries[below(4)]);
    return f;
}

static void test_index_is_right(void **state)
{
    (void)state;
    uint32_t hits = 0;
    for (int round = 0; round < 200; round++) {
        uint32_t n = 1 + below(60);
        struct route **list = alloc_many(struct route *, n);
        for (uint32_t i = 0; i < n; i++)
            list[i] = some_rule(i + 1);
        struct routes *all = routes_new(list, n);
        for (int k = 0; k < 200; k++) {
            char tag_text[64];
            struct route_facts f = some_facts(tag_text, sizeof tag_text);
            const struct route *fast = routes_find(all, &f), *slow = routes_find_slowly(all, &f);
            hits += slow != NULL;
            if (fast != slow)
                fail_msg("round %d message %d: %s, not %s", round, k, fast ? fast->name : "none",
                         slow ? slow->name : "none");
        }
        routes_free(&all);
    }
    assert_true(hits > 4000 && hits < 40000);
}

/* A rule that is covered never matches before the one that covers it. */
static void test_covers(void **state)
{
    (void)state;
    uint32_t covered = 0, matched = 0, seen = 0;
    for (int i = 0; i < 5000; i++) {
        char tag_text[64];
        struct route *a = some_rule(1), *b = some_rule(2);
        bool is_covered = route_covers(a, b);
        covered += is_covered;
        struct route *both[2] = {b, a};
        struct route *copy = route_new(); /* of a, alone */
        for (size_t t = 0; t < a->n_terms; t++)
            route_add_term(copy, a->terms[t].field, a->terms[t].low, a->terms[t].high,
                           alloc_copy(a->terms[t].text));
        struct routes *all = compiled(both, 2), *alone = compiled(&copy, 1);
        for (int k = 0; k < 50; k++) {
            struct route_facts f = some_facts(tag_text, sizeof tag_text);
            const struct route *first = routes_find_slowly(all, &f);
            matched += is_covered && first == b && routes_find_slowly(alone, &f) == NULL;
            seen += first == b;
        }
        routes_free(&alone);
        routes_free(&all);
    }
    assert_int_equal(matched, 0); /* b without a, although a covers it */
    assert_true(covered > 50 && seen > 1000);
}

static void test_covers_cases(void **state)
{
    (void)state;
    struct route *all = rule(1, 1), *wide = rule(2, 1), *narrow = rule(3, 1), *two = rule(4, 1);
    text(wide, ROUTE_RECIPIENT_DOMAIN, "*.a.example");
    number(wide, ROUTE_SIZE, 10, 100);
    text(narrow, ROUTE_RECIPIENT_DOMAIN, "x.a.example");
    number(narrow, ROUTE_SIZE, 20, 30);
    text(narrow, ROUTE_TAG, "t");
    text(two, ROUTE_RECIPIENT_DOMAIN, "x.a.example");
    text(two, ROUTE_RECIPIENT_DOMAIN, "a.example"); /* not below itself */
    number(two, ROUTE_SIZE, 20, 30);
    assert_true(route_covers(all, wide));
    assert_true(route_covers(wide, narrow));
    assert_true(route_covers(wide, wide));
    assert_false(route_covers(narrow, wide));
    assert_false(route_covers(wide, two));
    assert_false(route_covers(wide, all));
    route_free(&all);
    route_free(&wide);
    route_free(&narrow);
    route_free(&two);
}

static void test_reaches(void **state)
{
    (void)state;
    uint32_t groups[4];
    struct route *r[4] = {rule(1, 10), rule(2, 20), rule(3, 10), rule(4, 40)};
    number(r[0], ROUTE_STREAM, LANE_TRANSACTIONAL, LANE_TRANSACTIONAL);
    number(r[1], ROUTE_STREAM, LANE_BULK, LANE_BULK);
    number(r[2], ROUTE_STREAM, LANE_BULK, LANE_BULK);
    number(r[2], ROUTE_STREAM, LANE_TRANSACTIONAL, LANE_TRANSACTIONAL);
    struct routes *all = compiled(r, 4);
    assert_int_equal(route_reaches(all, LANE_TRANSACTIONAL, groups, 4), 1);
    assert_int_equal(groups[0], 10);
    assert_int_equal(route_reaches(all, LANE_BULK, groups, 4), 2);
    assert_int_equal(route_reaches(all, LANE_PRIORITY, groups, 4), 0);
    assert_int_equal(route_reaches(all, LANE_BULK, groups, 1), 1);
    routes_free(&all);
}

/* 5,000 rules: what a message costs is printed, not judged. */
static void test_cost(void **state)
{
    (void)state;
    enum { RULES = 5000, LOOKS = 200000 };
    struct route **list = alloc_many(struct route *, RULES);
    char name[64];
    for (uint32_t i = 0; i < RULES; i++) {
        list[i] = rule(i + 1, 1);
        snprintf(name, sizeof name, "d%u.example", i);
        text(list[i], i % 3 ? ROUTE_RECIPIENT_DOMAIN : ROUTE_TAG, name);
        if (i % 2)
            text(list[i], ROUTE_COUNTRY, countries[i % 4]);
    }
    struct routes *all = routes_new(list, RULES);
    uint64_t found = 0;
    int64_t begin = clock_cpu_us();
    for (uint32_t i = 0; i < LOOKS; i++) {
        struct route_facts f = plain;
        snprintf(name, sizeof name, "d%u.example", i % 10000);
        f.rcpt_domain = str_of(name);
        found += routes_find(all, &f) != NULL;
    }
    int64_t us = clock_cpu_us() - begin;
    assert_true(found > 0 && found < LOOKS);
    print_message("# 5,000 rules: %.0f ns a message\n", (double)us * 1000 / LOOKS);
    routes_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_condition), cmocka_unit_test(test_and_or_order),
        cmocka_unit_test(test_index_is_right), cmocka_unit_test(test_covers),
        cmocka_unit_test(test_covers_cases),   cmocka_unit_test(test_reaches),
        cmocka_unit_test(test_cost),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("fleet_route", tests, NULL, NULL);
}
