/* A mail on its way into the queue, and claims of it. Mails are made side by side on desks, so that
 * they are stored in any order: none may be passed over by the claims that come meanwhile. */
#include "admin_fixture.h"

#include "base/map.h"
#include "store/outbox.h"

static bool is_claimed(void *arg, uint64_t id)
{
    struct map_u64 *claimed = arg;
    return map_u64_get(claimed, id) != NULL;
}

/* How many messages a claim at now_ms finds. */
static uint32_t claim(struct fixture *f, struct outbox_place *place, struct map_u64 *claimed,
                      int64_t now_ms)
{
    struct lease *l = NULL;
    must(db_begin(f->db, &f->e), f);
    must(outbox_claim_queue(f->db, &f->ids, LANE_TRANSACTIONAL, now_ms, 1, LEASE_MAX, place,
                            is_claimed, claimed, &l, &f->e),
         f);
    must(db_commit(f->db, &f->e), f);
    uint32_t n = l ? l->n : 0;
    for (uint32_t i = 0; i < n; i++)
        map_u64_set(claimed, l->items[i].message_id, f);
    lease_free(&l);
    return n;
}

static void post_at(struct fixture *f, int64_t wall_ms)
{
    f->c.wall_ms = wall_ms - 10; /* post_message adds it */
    json_t *data = post_message(f,
                                json_pack("{s:s, s:s, s:s, s:s}", "to", "a@b.example", "from",
                                          "c@d.example", "subject", "x", "text", "y"),
                                STR_NONE);
    must(data, f);
    json_decref(data);
}

static void none_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct outbox_place places[LANE_COUNT] = {{0}};
    struct map_u64 *claimed = map_u64_new();
    int64_t t = 1790000100000;
    f->c.places = places;
    post_at(f, t + 20); /* came last, was made first */
    assert_int_equal(claim(f, &places[LANE_TRANSACTIONAL], claimed, t + 30), 1);
    post_at(f, t);
    post_at(f, t + 20);
    assert_int_equal(claim(f, &places[LANE_TRANSACTIONAL], claimed, t + 30), 2);
    post_at(f, t + 10);
    assert_int_equal(claim(f, &places[LANE_TRANSACTIONAL], claimed, t + 30), 1);
    assert_int_equal(claim(f, &places[LANE_TRANSACTIONAL], claimed, t + 1000), 0);
    map_u64_free(&claimed);
}

/* A body that is spooled first takes its id early: claims may have gone on behind it meanwhile. */
static void an_early_id_is_not_passed_over(void **state)
{
    struct fixture *f = *state;
    struct outbox_place places[LANE_COUNT] = {{0}};
    struct map_u64 *claimed = map_u64_new();
    int64_t t = 1790000100000;
    uint64_t early = ids_next(&f->ids, t), id = 0;
    struct composed m;
    const struct outgoing o = {.to = STR("a@b.example"),
                               .from = STR("c@d.example"),
                               .subject = STR("x"),
                               .text = STR("y"),
                               .seed = 1};
    f->c.places = places;
    post_at(f, t);
    assert_int_equal(claim(f, &places[LANE_TRANSACTIONAL], claimed, t), 1);
    must(compose_mail(&o, t, &m, &f->e), f);
    m.spooled_id = early;
    f->c.wall_ms = t;
    must(db_begin(f->db, &f->e) && outgoing_store(&f->c, &m, 0, NULL, &id, &f->e) &&
             db_commit(f->db, &f->e),
         f);
    composed_free(&m);
    assert_true(id == early);
    assert_int_equal(claim(f, &places[LANE_TRANSACTIONAL], claimed, t + 1), 1);
    map_u64_free(&claimed);
}

/* Age counts from when it may be sent, so that a mail for next week is not too old when it comes.
 */
static void age_counts_from_send_at(void **state)
{
    struct fixture *f = *state;
    int64_t t = 1790000100000;
    f->c.wall_ms = t - 10;
    json_t *data = post_message(f,
                                json_pack("{s:s, s:s, s:s, s:s, s:s}", "to", "a@b.example", "from",
                                          "c@d.example", "subject", "x", "text", "y", "send_at",
                                          "2026-10-01T00:00:00Z"),
                                STR_NONE);
    must(data, f);
    json_decref(data);
    struct stmt *s = db_stmt(f->db, "SELECT first_at, due FROM queue", &f->e);
    bool row = false;
    must(s && db_step(s, &row, &f->e) && row, f);
    assert_true(db_i64(s, 0) > t);
    assert_int_equal(db_i64(s, 0), db_i64(s, 1));
    db_reset(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(none_is_passed_over, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(an_early_id_is_not_passed_over, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(age_counts_from_send_at, fixture_set_up,
                                        fixture_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
