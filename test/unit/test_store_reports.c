/* Reports: a list that keeps only what is in one state has full pages and leaves nothing out; what
 * a server sent is the sum over all campaigns, read by an index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/campaign.h"
#include "store/reports.h"
#include "store_test.h"

#include "ledger_test.h"

#define CAMPAIGNS 60

/* k101 .. k160: every tenth paused, the rest running. */
static void campaigns(struct book *b)
{
    for (uint32_t i = 0; i < CAMPAIGNS; i++)
        campaign(b, 101 + i, LANE_BULK);
    sql(b->p.db, "UPDATE campaign SET state = %d WHERE num %% 10 = 0", CAMPAIGN_PAUSED);
}

/* The names of all pages, each at most `limit` long, in one text. */
static size_t walk(struct db *db, const char *state, const json_t *live, uint64_t limit,
                   json_t *names)
{
    struct err e = {0};
    char after[64] = "";
    size_t pages = 0;
    bool more = true;
    while (more) {
        struct report_page page = {.after = after, .limit = limit, .filter = state};
        json_t *out = NULL, *one;
        size_t i;
        assert_ok(report_campaigns(db, &page, live, &out, &e));
        const json_t *data = json_object_get(out, "data");
        more = json_is_true(json_object_get(out, "has_more"));
        assert_true(json_array_size(data) == limit || !more);
        json_array_foreach(data, i, one)
        {
            assert_string_equal(json_string_value(json_object_get(one, "state")), state);
            json_array_append(names, json_object_get(one, "name"));
        }
        if (more)
            snprintf(after, sizeof after, "%s", json_string_value(json_object_get(out, "next")));
        json_decref(out);
        pages++;
    }
    return pages;
}

static void a_state_is_looked_for_behind_the_first_page(void **state)
{
    struct book b;
    book_open(&b);
    campaigns(&b);
    json_t *names = json_array();
    assert_int_equal(walk(b.p.db, "paused", NULL, 2, names), 3);
    assert_int_equal(json_array_size(names), 6);
    assert_string_equal(json_string_value(json_array_get(names, 0)), "k110");
    assert_string_equal(json_string_value(json_array_get(names, 5)), "k160");
    json_array_clear(names);
    assert_int_equal(walk(b.p.db, "running", NULL, 10, names), 6);
    assert_int_equal(json_array_size(names), 54);
    json_array_clear(names);
    assert_int_equal(walk(b.p.db, "cancelled", NULL, 10, names), 1);
    assert_int_equal(json_array_size(names), 0);
    json_decref(names);
    book_close(&b);
}

static void stalled_is_what_core_says(void **state)
{
    struct book b;
    book_open(&b);
    campaigns(&b);
    json_t *names = json_array();
    json_t *live = json_pack("{s:[{s:i, s:b}, {s:i, s:b}]}", "campaigns", "num", 157, "stalled", 1,
                             "num", 160, "stalled", 1); /* 160 is paused */
    assert_int_equal(walk(b.p.db, "stalled", live, 10, names), 1);
    assert_int_equal(json_array_size(names), 1);
    assert_string_equal(json_string_value(json_array_get(names, 0)), "k157");
    json_array_clear(names);
    walk(b.p.db, "running", live, 10, names);
    assert_int_equal(json_array_size(names), 53);
    json_decref(names);
    json_decref(live);
    book_close(&b);
}

static void a_server_sent_the_sum_of_all_campaigns(void **state)
{
    struct book b;
    struct err e = {0};
    json_t *out = NULL;
    book_open(&b);
    server(&b, 3);
    server(&b, 4);
    for (int c = 0; c < 50; c++)
        sql(b.p.db,
            "INSERT INTO tally (campaign_num, server_num, provider, kind, n) VALUES"
            " (%d, 3, '', %d, 7), (%d, 3, 'gmail', %d, 5), (%d, 3, '', %d, 11), (%d, 4, '', %d, 2)",
            c, TALLY_SENT, c, TALLY_SENT, c, TALLY_FAILED, c, TALLY_SENT);
    assert_ok(report_server(b.p.db, "s3", NULL, &out, &e));
    assert_int_equal(json_integer_value(json_object_get(out, "sent")), 350);
    json_decref(out);
    struct stmt *s = db_stmt(b.p.db,
                             "EXPLAIN QUERY PLAN SELECT sum(n) FROM tally WHERE server_num = $1"
                             " AND provider = '' AND kind = $2",
                             &e);
    bool row = false;
    assert_non_null(s);
    assert_ok(db_step(s, &row, &e));
    assert_true(row && str_find(db_text(s, 3), STR("tally_server")) >= 0);
    db_reset(s);
    book_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_is_looked_for_behind_the_first_page),
        cmocka_unit_test(stalled_is_what_core_says),
        cmocka_unit_test(a_server_sent_the_sum_of_all_campaigns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
