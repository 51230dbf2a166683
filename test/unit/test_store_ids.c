/* Ids: order, blocks, nodes, a clock that stands still or goes back, seeding from the database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/ids.h"
#include "store/settings.h"
#include "store_test.h"

#define NOON (IDS_EPOCH_MS + INT64_C(12) * 3600 * 1000)

static void ids_only_grow(void **state)
{
    struct ids g;
    ids_init(&g, 5, 0);
    uint64_t last = 0;
    /* Stands still, goes on, goes back an hour, jumps a day. */
    static const int64_t steps[] = {0, 0, 1, 1, -3600000, -3600000, 86400000, 0};
    for (size_t round = 0; round < countof(steps); round++)
        for (int i = 0; i < 40000; i++) {
            uint32_t n = (uint32_t)(i % IDS_BLOCK_MAX) + 1;
            uint64_t first = ids_block(&g, NOON + steps[round], n);
            assert_true(first > last);
            assert_int_equal(ids_node(first), 5);
            assert_int_equal(ids_node(first + n - 1), 5);
            assert_int_equal(ids_time_ms(first), ids_time_ms(first + n - 1));
            last = first + n - 1;
        }
    assert_true(last < INT64_MAX);
}

static void an_id_tells_when_and_where(void **state)
{
    struct ids g;
    ids_init(&g, IDS_NODE_MAX, 0);
    uint64_t id = ids_next(&g, NOON);
    assert_true(ids_time_ms(id) == NOON);
    assert_int_equal(ids_node(id), IDS_NODE_MAX);
    /* A clock before the epoch still gives ids that are not 0. */
    ids_init(&g, 0, 0);
    assert_true(ids_next(&g, 0) > 0);
    assert_true(ids_next(&g, 0) > 1);
}

static void nodes_never_meet(void **state)
{
    struct ids a, b;
    ids_init(&a, 1, 0);
    ids_init(&b, 2, 0);
    uint64_t from_a = ids_block(&a, NOON, 1000), from_b = ids_block(&b, NOON, 1000);
    assert_true(from_a + 1000 <= from_b || from_b + 1000 <= from_a);
}

static void a_start_goes_on_behind_the_greatest(void **state)
{
    struct place p;
    struct err e = {0};
    struct ids g, next;
    place_open(&p);
    assert_ok(ids_load(&g, 3, p.db, &e));
    uint64_t first = ids_block(&g, NOON, 500);
    struct stmt *s = db_stmt(p.db,
                             "INSERT INTO lease (first_id, campaign_num, n, ids, low, high, node, "
                             "epoch, open, created_at) VALUES ($1, 1, 500, $2, 1, 500, 3, 1, 1, 0)",
                             &e);
    db_bind_i64(s, 1, (int64_t)first);
    db_bind_blob(s, 2, STR("x"));
    assert_ok(db_run(s, &e));
    /* The clock went back a day meanwhile. */
    assert_ok(ids_load(&next, 3, p.db, &e));
    assert_true(ids_next(&next, NOON - 86400000) >= first + 500);
    place_close(&p);
}

static void settings_are_kept(void **state)
{
    struct place p;
    struct err e = {0};
    struct buf b;
    bool found = true;
    int64_t n = 0;
    place_open(&p);
    buf_init(&b, 100);
    assert_ok(settings_get(p.db, "public_url", &b, &found, &e));
    assert_false(found);
    assert_ok(settings_set(p.db, "public_url", STR("https://a.example"), &e));
    assert_ok(settings_set(p.db, "public_url", STR("https://b.example"), &e));
    assert_ok(settings_get(p.db, "public_url", &b, &found, &e));
    assert_true(found && str_is(buf_str(&b), "https://b.example"));
    assert_ok(settings_get_i64(p.db, "epoch", 7, &n, &e));
    assert_int_equal(n, 7);
    assert_ok(settings_set_i64(p.db, "epoch", -5, &e));
    assert_ok(settings_get_i64(p.db, "epoch", 7, &n, &e));
    assert_true(n == -5);
    assert_false(settings_get_i64(p.db, "public_url", 7, &n, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    assert_ok(settings_remove(p.db, "epoch", &e));
    assert_ok(settings_remove(p.db, "epoch", &e));
    assert_ok(settings_get_i64(p.db, "epoch", 7, &n, &e));
    assert_int_equal(n, 7);
    buf_free(&b);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_only_grow),     cmocka_unit_test(an_id_tells_when_and_where),
        cmocka_unit_test(nodes_never_meet),  cmocka_unit_test(a_start_goes_on_behind_the_greatest),
        cmocka_unit_test(settings_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
