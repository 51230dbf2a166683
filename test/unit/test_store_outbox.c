/* Leases: nobody twice and nobody left out, in slices of any size and through reopening; the queue
 * by lane, due and place; what a start loads again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "store_test.h"

#include "ledger_test.h"

static void ids_pack_and_unpack(void **state)
{
    static uint64_t ids[LEASE_MAX], back[LEASE_MAX];
    for (uint64_t seed = 1; seed < 300; seed++) {
        uint32_t n = (uint32_t)(hash_u64(seed) % (LEASE_MAX + 1));
        struct buf out;
        buf_init(&out, LEASE_MAX * 10);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t h = hash_u64(seed * 1000 + i);
            ids[i] = seed % 3 == 0 ? h : seed % 3 == 1 ? i * 3 + seed : h & INT64_MAX;
        }
        assert_true(outbox_ids_pack(ids, n, &out));
        assert_int_equal(outbox_ids_unpack(buf_str(&out), back, LEASE_MAX), n);
        assert_memory_equal(ids, back, n * sizeof *ids);
        if (n > 1) { /* cut anywhere: what is whole comes back */
            struct str cut = {buf_str(&out).p, buf_str(&out).n - 1};
            assert_int_equal(outbox_ids_unpack(cut, back, LEASE_MAX), n - 1);
            assert_int_equal(outbox_ids_unpack(buf_str(&out), back, 1), 1);
        }
        buf_free(&out);
    }
    struct buf small;
    buf_init(&small, 3);
    ids[0] = UINT64_MAX / 2;
    assert_false(outbox_ids_pack(ids, 1, &small));
    buf_free(&small);
}

/* Every contact of 1..n but `without` is in exactly one lease. */
static void assert_each_once(const uint8_t *seen, int n)
{
    for (int i = 1; i <= n; i++)
        if (seen[i] != 1)
            fail_msg("contact %d has %d messages", i, seen[i]);
}

static void everybody_once_in_slices_of_any_size(void **state)
{
    static const uint32_t sizes[] = {1, 7, 100, 499, 500, 5000};
    for (size_t k = 0; k < countof(sizes); k++) {
        struct book b;
        static uint8_t seen[1301];
        uint64_t last_id = 0;
        uint32_t slices = 0;
        memset(seen, 0, sizeof seen);
        book_open(&b);
        people(&b, 1, 1300);
        campaign(&b, 1, LANE_BULK);
        for (struct lease *l = claim(&b, 1, sizes[k]); l; l = claim(&b, 1, sizes[k])) {
            assert_true(l->n <= MIN(sizes[k], 500));
            assert_true(l->first_id > last_id); /* ids in table order */
            for (uint32_t i = 0; i < l->n; i++) {
                assert_int_equal(l->items[i].message_id, l->first_id + i);
                assert_int_equal(l->items[i].lane, LANE_BULK);
                seen[l->items[i].contact_id]++;
            }
            last_id = l->first_id + l->n - 1;
            slices++;
            lease_free(&l);
        }
        assert_each_once(seen, 1300);
        assert_int_equal(slices, (1300 + MIN(sizes[k], 500) - 1) / MIN(sizes[k], 500));
        assert_int_equal(ask(b.p.db, "SELECT walked FROM campaign"), 1);
        assert_int_equal(ask(b.p.db, "SELECT leased FROM campaign"), 1300);
        assert_int_equal(ask(b.p.db, "SELECT SUM(n) FROM lease"), 1300);
        book_close(&b);
    }
}

/* The audience is fixed at start; whoever has a message already gets no second one even when the
 * cursor is lost. */
static void nobody_twice_and_nobody_new(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 300);
    sql(b.p.db, "UPDATE list_member SET unsubscribed_at = 5 WHERE contact_id = 10");
    campaign(&b, 1, LANE_BULK);
    b.now += 1000;
    people(&b, 301, 400); /* behind contact_max */
    sql(b.p.db, "UPDATE list_member SET since = %lld WHERE contact_id = 20", (long long)b.now);
    sql(b.p.db, "UPDATE list_member SET unsubscribed_at = %lld WHERE contact_id = 30",
        (long long)b.now); /* after the start: in it, marked */
    sql(b.p.db, "INSERT INTO suppression (address, reason, source, since) VALUES "
                "('c40@example.com', 'manual', 'user', 1)");
    uint32_t n = 0, marked = 0;
    for (int round = 0; round < 3; round++) {
        for (struct lease *l = claim(&b, 1, 100); l; l = claim(&b, 1, 100)) {
            for (uint32_t i = 0; i < l->n; i++) {
                const struct lease_item *it = &l->items[i];
                assert_true(it->contact_id != 10 && it->contact_id != 20 && it->contact_id <= 300);
                marked += it->suppressed;
                assert_int_equal(it->suppressed, it->contact_id == 30 || it->contact_id == 40);
            }
            n += l->n;
            lease_free(&l);
        }
        assert_int_equal(n, 298);
        assert_int_equal(marked, 2);
        sql(b.p.db, "UPDATE campaign SET cursor = 0, walked = 0");
    }
    assert_int_equal(ask(b.p.db, "SELECT COUNT(*) FROM audience"), 1);
    book_close(&b);
}

static void bitmap_pages_meet(void **state)
{
    struct book b;
    uint32_t n = 0;
    book_open(&b);
    people(&b, 32700, 32850);
    people(&b, 65530, 65540);
    campaign(&b, 1, LANE_BULK);
    for (int round = 0; round < 2; round++) {
        for (struct lease *l = claim(&b, 1, 60); l; l = claim(&b, 1, 60)) {
            n += l->n;
            lease_free(&l);
        }
        assert_int_equal(n, 151 + 11);
        sql(b.p.db, "UPDATE campaign SET cursor = 0, walked = 0");
    }
    assert_int_equal(ask(b.p.db, "SELECT COUNT(*) FROM audience"), 3);
    assert_int_equal(ask(b.p.db, "SELECT SUM(length(bits)) FROM audience"), 3 * 4096);
    book_close(&b);
}

static void only_a_running_campaign_is_walked(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 10);
    campaign(&b, 1, LANE_BULK);
    for (int s = 0; s < 8; s++) {
        sql(b.p.db, "UPDATE campaign SET state = %d", s);
        if (s != 2)
            assert_null(claim(&b, 1, 5));
    }
    assert_null(claim(&b, 77, 5));
    book_close(&b);
}

static void undone_with_its_transaction(void **state)
{
    struct book b;
    struct err e = {0};
    struct lease *l = NULL;
    book_open(&b);
    people(&b, 1, 10);
    campaign(&b, 1, LANE_BULK);
    begin(&b);
    assert_ok(outbox_claim_campaign(b.p.db, &b.ids, 1, 5, b.now, 1, &l, &e));
    uint64_t lost = l->first_id;
    lease_free(&l);
    db_rollback(b.p.db);
    l = claim(&b, 1, 5);
    assert_int_equal(l->n, 5);
    assert_int_equal(l->items[0].contact_id, 1);
    assert_true(l->first_id > lost); /* an id is never given twice */
    lease_free(&l);
    book_close(&b);
}

/* ---- the queue */

struct claimed {
    uint64_t ids[64];
    size_t n;
};

static bool is_in(void *arg, uint64_t id)
{
    const struct claimed *c = arg;
    for (size_t i = 0; i < c->n; i++)
        if (c->ids[i] == id)
            return true;
    return false;
}

static void queue_by_lane_due_and_place(void **state)
{
    struct book b;
    struct err e = {0};
    struct claimed taken = {.n = 0};
    struct outbox_place at = {.due = INT64_MIN};
    int64_t due = 0;
    book_open(&b);
    for (uint64_t i = 1; i <= 30; i++)
        single(&b, i, i % 2 ? LANE_BULK : LANE_TRANSACTIONAL, b.now - 100 + (int64_t)(i % 5));
    single(&b, 31, LANE_BULK, b.now + 5000);
    single(&b, 32, LANE_BULK, INT64_MAX); /* held */
    taken.ids[taken.n++] = 7;
    uint64_t last = 0;
    int64_t last_due = 0;
    for (uint32_t got = 0; got < 14;) {
        struct lease *l = NULL;
        begin(&b);
        assert_ok(
            outbox_claim_queue(b.p.db, &b.ids, LANE_BULK, b.now, 1, 4, &at, is_in, &taken, &l, &e));
        commit(&b);
        assert_non_null(l);
        for (uint32_t i = 0; i < l->n; i++) {
            const struct lease_item *it = &l->items[i];
            int64_t d = ask(b.p.db, "SELECT due FROM queue WHERE id = %llu",
                            (unsigned long long)it->message_id);
            assert_true(it->message_id % 2 == 1 && it->message_id != 7 && it->in_queue);
            assert_true(d > last_due || (d == last_due && it->message_id > last));
            assert_true(str_is(it->message_id_text, "i1@x") || it->message_id != 1);
            assert_true(it->body.n == 2 && !it->spooled && it->facts == 5);
            last = it->message_id;
            last_due = d;
            taken.ids[taken.n++] = it->message_id;
        }
        got += l->n;
        lease_free(&l);
    }
    struct lease *none = NULL;
    begin(&b);
    assert_ok(
        outbox_claim_queue(b.p.db, &b.ids, LANE_BULK, b.now, 1, 4, &at, is_in, &taken, &none, &e));
    commit(&b);
    assert_null(none);
    assert_ok(outbox_next_due(b.p.db, LANE_BULK, &at, &due, &e));
    assert_int_equal(due, b.now + 5000);
    assert_ok(outbox_next_due(b.p.db, LANE_PRIORITY, &at, &due, &e));
    assert_int_equal(due, INT64_MAX);
    book_close(&b);
}

/* Failovers write results, the queue's row does not know them: after a crash the next attempt must
 * take the next number. */
static void tries_are_those_of_the_results(void **state)
{
    struct book b;
    book_open(&b);
    single(&b, 5, LANE_TRANSACTIONAL, b.now);
    struct lease *l = claim_due(&b, LANE_TRANSACTIONAL, 10);
    assert_int_equal(l->items[0].tries, 0);
    assert_false(l->items[0].was_deferred);
    for (int i = 0; i < 3; i++) {
        struct outcome o =
            outcome(&b, &l->items[0], 1, OUTCOME_ATTEMPT, VERDICT_FAILOVER, MESSAGE_QUEUED);
        post(&b, &o);
    }
    lease_free(&l); /* a crash */
    l = claim_due(&b, LANE_TRANSACTIONAL, 10);
    assert_int_equal(l->items[0].tries, 3);
    assert_false(l->items[0].was_deferred);
    struct outcome o =
        outcome(&b, &l->items[0], 1, OUTCOME_LATER, VERDICT_TRY_LATER, MESSAGE_QUEUED);
    post(&b, &o);
    lease_free(&l);
    b.now += 70000;
    l = claim_due(&b, LANE_TRANSACTIONAL, 10);
    assert_int_equal(l->items[0].tries, 4);
    assert_true(l->items[0].was_deferred);
    post_sent(&b, &l->items[0], 1);
    lease_free(&l);
    assert_int_equal(ask(b.p.db, "SELECT COUNT(*) FROM queue"), 0);
    assert_int_equal(ask(b.p.db, "SELECT SUM(n) FROM tally WHERE server_num = 0 AND kind = 9"), 0);
    book_close(&b);
}

/* A retry looks at the recipient again. */
static void retries_ask_who_still_wants_it(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 4);
    campaign(&b, 1, LANE_BULK);
    struct lease *l = claim(&b, 1, 10);
    for (uint32_t i = 0; i < 4; i++) {
        struct outcome o =
            outcome(&b, &l->items[i], 1, OUTCOME_LATER, VERDICT_TRY_LATER, MESSAGE_QUEUED);
        post(&b, &o);
    }
    close_lease(&b, &l);
    sql(b.p.db, "DELETE FROM contact WHERE id = 2");
    sql(b.p.db, "UPDATE list_member SET unsubscribed_at = 9 WHERE contact_id = 3");
    sql(b.p.db, "INSERT INTO suppression (address, reason, source, since) VALUES "
                "('c4@example.com', 'manual', 'user', 1)");
    b.now += 70000;
    l = claim_due(&b, LANE_BULK, 10);
    assert_int_equal(l->n, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(l->items[i].suppressed, l->items[i].contact_id != 1);
    assert_true(str_is(l->items[0].key, "c1@example.com"));
    assert_true(str_is(l->items[0].fields, "{\"n\":\"1\"}"));
    lease_free(&l);
    book_close(&b);
}

/* ---- after a start */

static void a_lease_is_loaded_without_what_is_settled(void **state)
{
    struct book b;
    struct err e = {0};
    uint64_t *ids = NULL;
    size_t n = 0;
    book_open(&b);
    people(&b, 1, 10);
    campaign(&b, 1, LANE_PRIORITY);
    struct lease *l = claim(&b, 1, 10);
    uint64_t first = l->first_id;
    post_sent(&b, &l->items[0], 1);
    struct outcome later =
        outcome(&b, &l->items[1], 1, OUTCOME_LATER, VERDICT_TRY_LATER, MESSAGE_QUEUED);
    post(&b, &later);
    struct outcome failover =
        outcome(&b, &l->items[2], 1, OUTCOME_ATTEMPT, VERDICT_FAILOVER, MESSAGE_QUEUED);
    post(&b, &failover);
    struct outcome unasked = /* waits in the queue without any attempt */
        outcome(&b, &l->items[3], 0, OUTCOME_LATER, VERDICT_NONE, MESSAGE_QUEUED);
    post(&b, &unasked);
    sql(b.p.db, "DELETE FROM contact WHERE id = 6");
    lease_free(&l);
    assert_ok(outbox_open_leases(b.p.db, &ids, &n, &e));
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], first);
    free(ids);
    assert_ok(outbox_load(b.p.db, first, &l, &e));
    assert_int_equal(l->n, 7);
    assert_int_equal(l->items[0].message_id, first + 2);
    assert_int_equal(l->items[0].tries, 1);
    assert_int_equal(l->items[0].lane, LANE_PRIORITY);
    assert_int_equal(l->items[1].message_id, first + 4);
    assert_int_equal(l->items[1].tries, 0);
    assert_true(l->items[2].suppressed); /* removed meanwhile */
    close_lease(&b, &l);
    assert_ok(outbox_open_leases(b.p.db, &ids, &n, &e));
    assert_int_equal(n, 0);
    free(ids);
    assert_int_equal(ask(b.p.db, "SELECT COUNT(*) FROM lease"), 1); /* leads back to contacts */
    book_close(&b);
}

static void a_lease_of_the_queue_is_loaded_by_its_rows(void **state)
{
    struct book b;
    struct err e = {0};
    book_open(&b);
    for (uint64_t i = 1; i <= 5; i++)
        single(&b, i, LANE_TRANSACTIONAL, b.now);
    struct lease *l = claim_due(&b, LANE_TRANSACTIONAL, 10);
    uint64_t first = l->first_id;
    post_sent(&b, &l->items[0], 1);
    post_sent(&b, &l->items[4], 1);
    lease_free(&l);
    assert_ok(outbox_load(b.p.db, first, &l, &e));
    assert_int_equal(l->n, 3);
    assert_int_equal(l->items[0].message_id, 2);
    close_lease(&b, &l);
    assert_int_equal(ask(b.p.db, "SELECT COUNT(*) FROM lease"), 0);
    assert_ok(outbox_load(b.p.db, 12345, &l, &e)); /* not there: nothing */
    assert_int_equal(l->n, 0);
    lease_free(&l);
    book_close(&b);
}

static void a_message_leads_back_to_its_contact(void **state)
{
    struct book b;
    struct err e = {0};
    uint64_t contact = 0;
    uint32_t num = 0;
    book_open(&b);
    people(&b, 1, 25);
    campaign(&b, 4, LANE_BULK);
    for (struct lease *l = claim(&b, 4, 10); l; l = claim(&b, 4, 10)) {
        for (uint32_t i = 0; i < l->n; i++) {
            assert_ok(outbox_contact_of(b.p.db, l->items[i].message_id, &contact, &num, &e));
            assert_int_equal(contact, l->items[i].contact_id);
            assert_int_equal(num, 4);
        }
        assert_ok(outbox_contact_of(b.p.db, l->first_id + l->n, &contact, &num, &e));
        assert_int_equal(contact, 0);
        lease_free(&l);
        b.now += 10;
    }
    assert_ok(outbox_contact_of(b.p.db, 3, &contact, &num, &e));
    assert_int_equal(contact, 0);
    book_close(&b);
}

/* A row of campaign num in the queue, due now. */
static void waiting(struct book *b, uint64_t id, uint32_t num, uint64_t contact)
{
    sql(b->p.db,
        "INSERT INTO queue (id, lane, due, campaign_num, group_num, contact_id, attempts, tries, "
        "resends, server_num, first_at) VALUES (%llu, %d, %lld, %u, 1, %llu, 1, 1, 0, 0, 1)",
        (unsigned long long)id, LANE_BULK, (long long)b->now, num, (unsigned long long)contact);
}

static void rows_of_a_paused_campaign_are_passed_over(void **state)
{
    struct book b;
    struct err e = {0};
    struct lease *l = NULL;
    struct outbox_place at = {0};
    book_open(&b);
    people(&b, 1, 20);
    campaign(&b, 1, LANE_BULK);
    campaign(&b, 2, LANE_BULK);
    for (uint64_t i = 1; i <= 20; i++)
        waiting(&b, i, 1 + i % 2, i);
    sql(b.p.db, "UPDATE campaign SET state = 3 WHERE num = 2");
    begin(&b);
    assert_ok(outbox_claim_queue(b.p.db, &b.ids, LANE_BULK, b.now, 1, 500, &at, never_claimed, NULL,
                                 &l, &e));
    commit(&b);
    assert_int_equal(l->n, 10);
    for (uint32_t i = 0; i < l->n; i++)
        assert_int_equal(l->items[i].campaign_num, 1);
    assert_int_equal(at.id, 20); /* behind all of them: no claim looks at them again */
    close_lease(&b, &l);
    sql(b.p.db, "UPDATE campaign SET state = 2 WHERE num = 2");
    l = claim_due(&b, LANE_BULK, 500);
    assert_int_equal(l->n, 20);
    close_lease(&b, &l);
    book_close(&b);
}

static void a_deadline_is_the_time_of_its_messages(void **state)
{
    struct book b;
    struct err e = {0};
    book_open(&b);
    people(&b, 1, 3);
    campaign(&b, 1, LANE_BULK);
    sql(b.p.db, "UPDATE campaign SET deadline = %lld", (long long)b.now + 5000);
    struct lease *l = claim(&b, 1, 2);
    assert_int_equal(l->items[0].expires_at, b.now + 5000);
    uint64_t first = l->first_id;
    lease_free(&l);
    assert_ok(outbox_load(b.p.db, first, &l, &e));
    assert_int_equal(l->n, 2);
    assert_int_equal(l->items[1].expires_at, b.now + 5000);
    lease_free(&l);
    waiting(&b, 77, 1, 3);
    l = claim_due(&b, LANE_BULK, 10);
    assert_int_equal(l->items[0].expires_at, b.now + 5000);
    close_lease(&b, &l);
    book_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_pack_and_unpack),
        cmocka_unit_test(everybody_once_in_slices_of_any_size),
        cmocka_unit_test(nobody_twice_and_nobody_new),
        cmocka_unit_test(bitmap_pages_meet),
        cmocka_unit_test(only_a_running_campaign_is_walked),
        cmocka_unit_test(undone_with_its_transaction),
        cmocka_unit_test(queue_by_lane_due_and_place),
        cmocka_unit_test(rows_of_a_paused_campaign_are_passed_over),
        cmocka_unit_test(a_deadline_is_the_time_of_its_messages),
        cmocka_unit_test(tries_are_those_of_the_results),
        cmocka_unit_test(retries_ask_who_still_wants_it),
        cmocka_unit_test(a_lease_is_loaded_without_what_is_settled),
        cmocka_unit_test(a_lease_of_the_queue_is_loaded_by_its_rows),
        cmocka_unit_test(a_message_leads_back_to_its_contact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
