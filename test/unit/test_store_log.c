/* The log of attempts: in the order they were written, both ways, across pages and rows, behind a
 * cursor, by span, server, verdict, campaign, recipient and text; and what a campaign's report
 * holds planned shares against. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/campaign.h"
#include "model/server.h"
#include "store/attempt_log.h"
#include "store/reports.h"
#include "store_test.h"

#include "ledger_test.h"

#define PEOPLE 2400 /* several rows of the log, several leases */

static json_t *page(struct book *b, const struct report_log *q, const char *after, uint64_t limit)
{
    struct err e = {0};
    struct report_page p = {.after = after, .limit = limit};
    json_t *out = NULL;
    assert_ok(report_log(b->p.db, q, &p, &out, &e));
    return out;
}

/* How many attempts fit, page by page; each later (or earlier) than the one before. */
static size_t walk(struct book *b, const struct report_log *q, uint64_t limit)
{
    char after[64] = "", last[80] = "";
    size_t n = 0, i;
    bool more = true;
    while (more) {
        json_t *out = page(b, q, after, limit), *one;
        json_array_foreach(json_object_get(out, "data"), i, one)
        {
            char key[80];
            snprintf(key, sizeof key, "%s %s", json_string_value(json_object_get(one, "at")),
                     json_string_value(json_object_get(one, "id")));
            assert_true(!last[0] ||
                        (q->oldest_first ? strcmp(last, key) < 0 : strcmp(last, key) > 0));
            snprintf(last, sizeof last, "%s", key);
            n++;
        }
        more = json_is_true(json_object_get(out, "has_more"));
        if (more)
            snprintf(after, sizeof after, "%s", json_string_value(json_object_get(out, "next")));
        json_decref(out);
    }
    return n;
}

/* Campaign 1 in leases of 500, a batch each, servers 3 and 4 in turns; every tenth is refused; a
 * second passes between batches. */
static void book_fill(struct book *b)
{
    people(b, 1, PEOPLE);
    server(b, 3);
    server(b, 4);
    campaign(b, 1, LANE_BULK);
    struct lease *l = claim(b, 1, 500);
    while (l) {
        begin(b);
        for (uint32_t i = 0; i < l->n; i++) {
            bool bad = i % 10 == 9, suppressed;
            struct err e = {0};
            struct outcome o = outcome(b, &l->items[i], i % 2 ? 3 : 4, OUTCOME_END,
                                       bad ? VERDICT_UNKNOWN : VERDICT_ACCEPTED,
                                       bad ? MESSAGE_FAILED : MESSAGE_SENT);
            o.a.reply = bad ? STR("550 Zork plugh") : STR("250 ok");
            o.via_group = i % 4 ? 7 : 8;
            o.route_num = i % 4 ? 0 : 5;
            assert_ok(results_add(b->results, b->p.db, &o, b->now, &suppressed, &e));
        }
        commit(b);
        lease_free(&l);
        b->now += 1000;
        l = claim(b, 1, 500);
    }
}

static void attempts_are_walked_both_ways(void **state)
{
    struct book b;
    book_open(&b);
    book_fill(&b);
    struct report_log newest = {0}, oldest = {.oldest_first = true};
    assert_int_equal(walk(&b, &newest, 1000), PEOPLE);
    assert_int_equal(walk(&b, &newest, 7), PEOPLE);
    assert_int_equal(walk(&b, &oldest, 301), PEOPLE);
    assert_int_equal(ask(b.p.db, "SELECT sum(n) FROM attempt_log"), PEOPLE);
    assert_in_range(ask(b.p.db, "SELECT sum(length(ids)) FROM attempt_log"), PEOPLE, PEOPLE * 3);
    book_close(&b);
}

static void filters_fit(void **state)
{
    struct book b;
    struct err e = {0};
    book_open(&b);
    book_fill(&b);
    struct report_page p = {.limit = 10};
    json_t *out = NULL;
    const struct {
        struct report_log q;
        size_t n;
    } cases[] = {
        {{.server = "s3"}, PEOPLE / 2},
        {{.verdict = VERDICT_UNKNOWN}, PEOPLE / 10},
        {{.verdict = VERDICT_UNKNOWN, .server = "s4"}, 0},
        {{.text = "zORK"}, PEOPLE / 10},
        {{.campaign = "k1", .oldest_first = true}, PEOPLE},
        {{.to = "c17@example.com"}, 1},
        {{.to = "nobody@example.com"}, 0},
        {{.since = NOW_MS + 1000, .until = NOW_MS + 2000}, 1000},
        {{.since = NOW_MS + 3000}, PEOPLE - 1500},
        {{.until = NOW_MS - 1}, 0},
    };
    for (size_t i = 0; i < countof(cases); i++)
        assert_int_equal(walk(&b, &cases[i].q, 400), cases[i].n);
    assert_false(report_log(b.p.db, &(struct report_log){.server = "none"}, &p, &out, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    p.after = "x.y";
    assert_false(report_log(b.p.db, &(struct report_log){0}, &p, &out, &e));
    assert_int_equal(e.code, ERR_INVALID);
    book_close(&b);
}

/* Who asks again behind the cursor gets each attempt once, also when its message is an old one. */
static void following_misses_and_doubles_nothing(void **state)
{
    struct book b;
    struct err e = {0};
    struct report_log q = {.oldest_first = true};
    book_open(&b);
    people(&b, 1, 20);
    server(&b, 3);
    campaign(&b, 1, LANE_BULK);
    json_t *out = page(&b, &q, NULL, 100);
    assert_true(json_is_null(json_object_get(out, "cursor")));
    json_decref(out);
    struct lease *l = claim(&b, 1, 20);
    char cursor[64] = "";
    size_t seen = 0;
    for (uint32_t i = 0; i < l->n; i++) { /* the highest id first */
        bool suppressed;
        struct outcome o =
            outcome(&b, &l->items[l->n - 1 - i], 3, OUTCOME_END, VERDICT_ACCEPTED, MESSAGE_SENT);
        begin(&b);
        assert_ok(results_add(b.results, b.p.db, &o, b.now, &suppressed, &e));
        commit(&b);
        if (i % 3)
            continue;
        out = page(&b, &q, cursor, 100);
        seen += json_array_size(json_object_get(out, "data"));
        assert_int_equal(seen, i + 1);
        snprintf(cursor, sizeof cursor, "%s", json_string_value(json_object_get(out, "cursor")));
        json_decref(out);
    }
    lease_free(&l);
    out = page(&b, &(struct report_log){.oldest_first = true, .server = "s3"}, cursor, 100);
    assert_int_equal(seen + json_array_size(json_object_get(out, "data")), 20);
    json_decref(out);
    book_close(&b);
}

static double share_of(const json_t *rows, const char *key, const char *name, const char *field)
{
    size_t i;
    json_t *one;
    json_array_foreach(rows, i, one)
    {
        if (!strcmp(json_string_value(json_object_get(one, key)), name))
            return json_is_null(json_object_get(one, field))
                       ? -1
                       : json_number_value(json_object_get(one, field));
    }
    fail_msg("no %s", name);
    return 0;
}

static void group(struct book *b, uint32_t num, enum strategy strategy)
{
    sql(b->p.db,
        "INSERT INTO server_group (num, id, name, strategy, at_limit, shares, sticky, created_at) "
        "VALUES (%u, %u, 'g%u', %d, 0, 0, 0, 1)",
        num, num + 9000, num, strategy);
}

static void member(struct book *b, uint32_t group_num, uint16_t server_num, int weight,
                   enum role role)
{
    sql(b->p.db,
        "INSERT INTO membership (group_num, server_num, weight, priority, role) VALUES "
        "(%u, %u, %d, 1, %d)",
        group_num, server_num, weight, role);
}

static json_t *figures(struct book *b, const json_t *plan)
{
    struct err e = {0};
    json_t *out = NULL;
    assert_ok(report_campaign_figures(b->p.db, "k1", NULL, plan, b->now, &out, &e));
    return out;
}

/* A quarter of the audience is routed to g8; server 3 is in both groups. */
static void the_plan_follows_the_routes(void **state)
{
    struct book b;
    book_open(&b);
    book_fill(&b);
    server(&b, 6);
    group(&b, 7, STRATEGY_WEIGHTED);
    group(&b, 8, STRATEGY_ROUND_ROBIN);
    member(&b, 7, 3, 1, ROLE_ACTIVE);
    member(&b, 7, 4, 2, ROLE_ACTIVE);
    member(&b, 7, 6, 9, ROLE_RESERVE);
    member(&b, 8, 3, 50, ROLE_ACTIVE);
    member(&b, 8, 6, 1, ROLE_ACTIVE);
    sql(b.p.db, "UPDATE campaign SET group_num = 7 WHERE num = 1");
    json_t *plan =
        json_pack("[{s:i, s:f}, {s:i, s:f}]", "num", 7, "share", 0.75, "num", 8, "share", 0.25);
    json_t *out = figures(&b, plan), *groups = json_object_get(out, "by_group");
    const json_t *servers = json_object_get(out, "by_server");
    assert_float_equal(share_of(groups, "group", "g8", "planned_share"), 0.25, 1e-9);
    assert_float_equal(share_of(groups, "group", "g7", "share"), 0.7222, 0.0001);
    assert_int_equal((int)share_of(groups, "group", "g8", "sent"), PEOPLE / 4);
    assert_float_equal(share_of(servers, "server", "s3", "planned_share"), 0.375, 1e-9);
    assert_float_equal(share_of(servers, "server", "s4", "planned_share"), 0.5, 1e-9);
    assert_float_equal(share_of(servers, "server", "s6", "planned_share"), 0.125, 1e-9);
    json_decref(out);
    out = figures(&b, NULL);
    servers = json_object_get(out, "by_server");
    assert_float_equal(share_of(servers, "server", "s4", "planned_share"), 0.6667, 1e-9);
    json_decref(out);
    sql(b.p.db, "UPDATE server_group SET strategy = %d WHERE num = 7", STRATEGY_LEAST_LOADED);
    out = figures(&b, plan);
    servers = json_object_get(out, "by_server");
    assert_float_equal(share_of(servers, "server", "s4", "planned_share"), -1, 0);
    assert_float_equal(share_of(servers, "server", "s6", "planned_share"), 0.125, 1e-9);
    json_decref(out);
    json_decref(plan);
    book_close(&b);
}

static size_t tagged(struct book *b, const char *tag)
{
    struct err e = {0};
    struct report_page p = {.limit = 1000};
    json_t *out = NULL;
    assert_ok(report_messages(b->p.db, &(struct report_search){.tag = tag}, &p, &out, &e));
    size_t n = json_array_size(json_object_get(out, "data"));
    json_decref(out);
    return n;
}

static void messages_are_found_by_tag(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 20);
    campaign(&b, 1, LANE_BULK);
    sql(b.p.db, "UPDATE campaign SET tags = 'summer' || char(10) || 'eu' WHERE num = 1");
    struct lease *l = claim(&b, 1, 20);
    lease_free(&l);
    single(&b, ids_next(&b.ids, b.now), LANE_TRANSACTIONAL, b.now);
    sql(b.p.db, "UPDATE message SET tags = 'eu'");
    assert_int_equal(tagged(&b, "summer"), 20);
    assert_int_equal(tagged(&b, "eu"), 21);
    assert_int_equal(tagged(&b, "e"), 0);
    book_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts_are_walked_both_ways),
        cmocka_unit_test(filters_fit),
        cmocka_unit_test(following_misses_and_doubles_nothing),
        cmocka_unit_test(the_plan_follows_the_routes),
        cmocka_unit_test(messages_are_found_by_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
