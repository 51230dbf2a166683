/* What webhooks lie on in the database: which outcomes are noted and that none is without a
 * webhook, rollback, events made again from their ids, places, what waits, the log and its bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rand.h"
#include "store_test.h"

#include "ledger_test.h"
#include "store/outcome_log.h"
#include "store/webhook_event.h"
#include "store/webhooks.h"

static struct secrets *keys(struct book *b)
{
    struct secrets *s = NULL;
    struct err e = {0};
    assert_ok(secrets_create(b->p.dir, &e));
    assert_ok(secrets_load(b->p.dir, &s, &e));
    return s;
}

static struct webhook *hook(struct book *b, const struct secrets *s, const char *name,
                            const char *events)
{
    struct err e = {0};
    struct webhook *w = webhook_new();
    uint8_t key[32];
    rand_secret(key, sizeof key);
    w->id = ids_next(&b->ids, b->now);
    w->name = alloc_copy(name);
    w->url = alloc_copy("https://example.com/");
    w->events = alloc_copy(events);
    w->secret = secret_new(key, sizeof key);
    begin(b);
    assert_ok(webhooks_create(b->p.db, s, w, &e));
    commit(b);
    return w;
}

static unsigned wanted(struct book *b)
{
    struct err e = {0};
    unsigned out = 0;
    assert_ok(webhooks_wanted(b->p.db, &out, &e));
    results_want(b->results, out);
    return out;
}

static struct outcome end_of(struct book *b, struct lease *l, uint32_t i, enum verdict v,
                             enum message_state state)
{
    return outcome(b, &l->items[i], 3, OUTCOME_END, v, state);
}

static void nothing_is_noted_without_a_webhook(void **state)
{
    struct book b;
    book_open(&b);
    people(&b, 1, 5);
    campaign(&b, 1, LANE_BULK);
    server(&b, 3);
    struct lease *l = claim(&b, 1, 10);
    assert_int_equal(wanted(&b), 0);
    struct outcome o = end_of(&b, l, 0, VERDICT_ACCEPTED, MESSAGE_SENT);
    assert_true(!post(&b, &o));
    assert_int_equal(number(b.p.db, "SELECT count(*) FROM outcome_log"), 0);
    lease_free(&l);
    book_close(&b);
}

static void only_what_somebody_wants_is_noted(void **state)
{
    struct book b;
    struct err e = {0};
    book_open(&b);
    struct secrets *s = keys(&b);
    people(&b, 1, 5);
    campaign(&b, 1, LANE_BULK);
    server(&b, 3);
    struct lease *l = claim(&b, 1, 10);
    struct webhook *w = hook(&b, s, "one", "message.bounced\nsuppression.*");
    assert_int_equal(wanted(&b), 1u << HOOK_BOUNCED | 1u << HOOK_SUPPRESSION);
    struct outcome sent = end_of(&b, l, 0, VERDICT_ACCEPTED, MESSAGE_SENT);
    struct outcome bounced = end_of(&b, l, 1, VERDICT_HARD_BOUNCE, MESSAGE_BOUNCED);
    bounced.a.hard = true;
    (void)post(&b, &sent);
    (void)post(&b, &bounced);
    struct outcome_log_row *row = alloc_one(struct outcome_log_row);
    bool found = false;
    assert_ok(outcome_log_read(b.p.db, 0, row, &found, &e));
    assert_true(found);
    assert_int_equal(row->n, 2);
    assert_int_equal(row->ids[0], l->items[1].message_id);
    assert_int_equal(outcome_event(row->marks[0]), HOOK_BOUNCED);
    assert_int_equal(outcome_number(row->marks[0]), 1);
    assert_int_equal(outcome_event(row->marks[1]), HOOK_SUPPRESSION);
    /* The address is suppressed already: that is no news. */
    struct outcome again = bounced;
    again.a.n = 2;
    (void)post(&b, &again);
    assert_ok(outcome_log_read(b.p.db, row->seq, row, &found, &e));
    assert_true(found && row->n == 1);
    free(row);
    webhook_free(&w);
    lease_free(&l);
    secrets_free(&s);
    book_close(&b);
}

static void a_batch_that_is_undone_notes_nothing(void **state)
{
    struct book b;
    struct err e = {0};
    bool suppressed = false;
    book_open(&b);
    struct secrets *s = keys(&b);
    people(&b, 1, 5);
    campaign(&b, 1, LANE_BULK);
    server(&b, 3);
    struct lease *l = claim(&b, 1, 10);
    struct webhook *w = hook(&b, s, "one", NULL);
    (void)wanted(&b);
    struct outcome o = end_of(&b, l, 0, VERDICT_ACCEPTED, MESSAGE_SENT);
    begin(&b);
    assert_ok(results_add(b.results, b.p.db, &o, b.now, &suppressed, &e));
    db_rollback(b.p.db);
    results_drop(b.results);
    struct outcome p = end_of(&b, l, 1, VERDICT_ACCEPTED, MESSAGE_SENT);
    (void)post(&b, &p);
    struct outcome_log_row *row = alloc_one(struct outcome_log_row);
    bool found = false;
    assert_ok(outcome_log_read(b.p.db, 0, row, &found, &e));
    assert_true(found && row->n == 1 && row->ids[0] == l->items[1].message_id);
    free(row);
    webhook_free(&w);
    lease_free(&l);
    secrets_free(&s);
    book_close(&b);
}

static void an_event_is_made_again_from_its_id(void **state)
{
    struct book b;
    struct err e = {0};
    struct campaign_view view = {0};
    struct hook_facts f;
    json_t *body = NULL;
    bool found = false;
    book_open(&b);
    people(&b, 1, 5);
    campaign(&b, 1, LANE_BULK);
    server(&b, 3);
    struct lease *l = claim(&b, 1, 10);
    struct outcome o = end_of(&b, l, 2, VERDICT_HARD_BOUNCE, MESSAGE_BOUNCED);
    o.a.hard = true;
    o.a.code = 550;
    o.a.reply = STR("no such user");
    (void)post(&b, &o);
    struct hook_ref ref = {
        .id = l->items[2].message_id, .is_message = true, .event = HOOK_BOUNCED, .number = 1};
    assert_ok(webhook_event_make(b.p.db, &ref, &view, &f, &body, &found, &e));
    assert_true(found);
    json_t *data = json_object_get(body, "data");
    assert_string_equal(f.type, "message.bounced");
    assert_string_equal(f.server, "s3");
    assert_string_equal(json_string_value(json_object_get(data, "recipient")), "c3@example.com");
    assert_string_equal(json_string_value(json_object_get(data, "campaign")), "k1");
    assert_string_equal(json_string_value(json_object_get(data, "reply")), "no such user");
    assert_int_equal(json_integer_value(json_object_get(data, "code")), 550);
    assert_string_equal(json_string_value(json_object_get(json_object_get(data, "bounce"), "kind")),
                        "hard");
    json_decref(body);
    ref.id = 12345; /* no such message */
    assert_ok(webhook_event_make(b.p.db, &ref, &view, &f, &body, &found, &e));
    assert_false(found);
    assert_null(body);
    lease_free(&l);
    book_close(&b);
}

static void put_wait(struct book *b, uint64_t id, const char *event, uint32_t attempts, int64_t due,
                     int64_t was_due)
{
    struct err e = {0};
    struct webhook_wait w = {.attempts = attempts, .due = due};
    (void)str_copy(str_of(event), w.event, sizeof w.event);
    begin(b);
    assert_ok(webhook_wait_put(b->p.db, id, &w, was_due, &e));
    commit(b);
}

static void what_waits_comes_by_its_time(void **state)
{
    struct book b;
    struct err e = {0};
    struct webhook_wait out[4];
    uint32_t n = 0;
    book_open(&b);
    struct secrets *s = keys(&b);
    struct webhook *w = hook(&b, s, "one", NULL);
    put_wait(&b, w->id, "evt_a", 1, 3000, 0);
    put_wait(&b, w->id, "evt_b", 2, 1000, 0);
    put_wait(&b, w->id, "evt_c", 3, 2000, 0);
    put_wait(&b, w->id, "evt_b", 3, 4000, 1000);
    put_wait(&b, w->id, "evt_c", 4, 9000, 1);   /* asked for by hand meanwhile: stays */
                                                /* again later */
    put_wait(&b, w->id + 1, "evt_x", 1, 10, 0); /* of one that is gone: dropped */
    assert_ok(webhook_wait_first(b.p.db, w->id, 2, out, &n, &e));
    assert_int_equal(n, 2);
    assert_string_equal(out[0].event, "evt_c");
    assert_string_equal(out[1].event, "evt_a");
    assert_ok(webhook_wait_count(b.p.db, w->id, &n, &e));
    assert_int_equal(n, 3);
    assert_ok(webhook_wait_remove(b.p.db, w->id, "evt_a", 2999, &e));
    assert_ok(webhook_wait_count(b.p.db, w->id, &n, &e));
    assert_int_equal(n, 3);
    assert_ok(webhook_wait_hurry(b.p.db, w->id, 500, &e));
    assert_ok(webhook_wait_first(b.p.db, w->id, 4, out, &n, &e));
    assert_true(n == 3 && out[0].due == 500 && out[2].due == 500 && out[1].attempts > 0);
    assert_ok(webhook_wait_restart(b.p.db, w->id, 600, &e));
    assert_ok(webhook_wait_first(b.p.db, w->id, 1, out, &n, &e));
    assert_true(out[0].due == 600 && out[0].attempts == 0);
    assert_ok(webhook_wait_ask(b.p.db, w->id, "evt_a", 700, &e));
    assert_ok(webhook_wait_remove(b.p.db, w->id, "evt_a", 700, &e));
    assert_ok(webhook_wait_count(b.p.db, w->id, &n, &e));
    assert_int_equal(n, 2);
    assert_ok(webhooks_remove(b.p.db, w->id, &e));
    assert_int_equal(number(b.p.db, "SELECT count(*) FROM webhook_wait"), 0);
    webhook_free(&w);
    secrets_free(&s);
    book_close(&b);
}

static void log_line(struct book *b, uint64_t id, int i, bool ok)
{
    struct err e = {0};
    char event[32];
    (void)snprintf(event, sizeof event, "evt_%d", i);
    struct webhook_delivery d = {.webhook_id = id,
                                 .event = event,
                                 .type = "message.sent",
                                 .at = 1000 + i,
                                 .attempt = 1,
                                 .status = ok ? 204 : 500,
                                 .detail = ok ? "" : "HTTP 500",
                                 .reply = STR("said")};
    assert_ok(webhook_log_add(b->p.db, &d, &e));
}

static void the_log_is_bounded_and_sent_again(void **state)
{
    struct book b;
    struct err e = {0};
    uint64_t n = 0;
    book_open(&b);
    struct secrets *s = keys(&b);
    struct webhook *w = hook(&b, s, "one", NULL), *other = hook(&b, s, "two", NULL);
    begin(&b);
    for (int i = 0; i < WEBHOOK_LOG_MAX + 500; i++)
        log_line(&b, w->id, i, i % 10 != 0);
    log_line(&b, other->id, 1, true);
    for (int i = 0; i < 6; i++)
        assert_ok(webhook_log_trim(b.p.db, w->id, 100, &e));
    commit(&b);
    assert_int_equal(ask(b.p.db, "SELECT count(*) FROM webhook_log WHERE webhook_id = %llu",
                         (unsigned long long)w->id),
                     WEBHOOK_LOG_MAX);
    assert_int_equal(ask(b.p.db, "SELECT min(at) FROM webhook_log WHERE webhook_id = %llu",
                         (unsigned long long)w->id),
                     1000 + 500);
    assert_int_equal(number(b.p.db, "SELECT count(*) FROM webhook_log"), WEBHOOK_LOG_MAX + 1);
    assert_ok(webhook_wait_range(b.p.db, w->id, 1000 + 2400, INT64_MAX, true, 5, &n, &e));
    assert_int_equal(n, 10); /* each tenth of the last hundred */
    assert_ok(webhook_wait_range(b.p.db, w->id, 0, INT64_MAX, false, 5, &n, &e));
    assert_int_equal(n, WEBHOOK_RESEND_MAX);
    webhook_free(&w);
    webhook_free(&other);
    secrets_free(&s);
    book_close(&b);
}

static void rows_are_removed_when_all_have_passed_them(void **state)
{
    struct book b;
    struct err e = {0};
    int64_t through = 0;
    bool found = false;
    book_open(&b);
    struct secrets *s = keys(&b);
    assert_ok(webhook_places_through(b.p.db, &through, &e));
    assert_true(through == INT64_MAX);
    struct webhook *w = hook(&b, s, "one", NULL), *other = hook(&b, s, "two", NULL);
    for (int i = 0; i < 10; i++)
        assert_ok(outcome_log_append(b.p.db, HOOK_CANCELLED, 1, 1, b.now, &e));
    struct webhook_place p;
    assert_ok(webhook_place_get(b.p.db, w->id, &p, &found, &e));
    assert_true(found && p.event_id == w->id && p.message_id == w->id && p.log_seq == 0);
    p.log_seq = 10;
    assert_ok(webhook_place_put(b.p.db, &p, &e));
    p.webhook_id = other->id;
    p.log_seq = 4;
    assert_ok(webhook_place_put(b.p.db, &p, &e));
    assert_ok(webhook_places_through(b.p.db, &through, &e));
    assert_int_equal(through, 4);
    assert_ok(outcome_log_trim(b.p.db, through, 3, &e));
    assert_int_equal(number(b.p.db, "SELECT min(seq) FROM outcome_log"), 4);
    assert_ok(outcome_log_trim(b.p.db, INT64_MAX, 100, &e));
    assert_int_equal(number(b.p.db, "SELECT min(seq) FROM outcome_log"), 10); /* numbers go on */
    webhook_free(&w);
    webhook_free(&other);
    secrets_free(&s);
    book_close(&b);
}

static void secrets_lie_sealed(void **state)
{
    struct book b;
    struct err e = {0};
    struct webhook **all = NULL, *got = NULL;
    size_t n = 0;
    book_open(&b);
    struct secrets *s = keys(&b);
    struct webhook *w = hook(&b, s, "one", NULL);
    struct str key = secret_reveal(w->secret);
    struct stmt *st = db_stmt(b.p.db, "SELECT secret FROM webhook", &e);
    bool row = false;
    assert_ok(db_step(st, &row, &e));
    assert_true(str_find(db_blob(st, 0), str_cut(key, 0, 8)) < 0);
    db_reset(st);
    assert_ok(webhooks_load(b.p.db, s, &all, &n, &e));
    assert_true(n == 1 && secret_equal(all[0]->secret, w->secret) && !all[0]->old_secret);
    assert_ok(webhooks_get(b.p.db, NULL, "one", &got, &e));
    assert_null(got->secret);
    /* Another row's secret does not open in this one. */
    sql(b.p.db, "UPDATE webhook SET id = id + 1");
    webhooks_free_list(all, n);
    assert_ok(webhooks_load(b.p.db, s, &all, &n, &e));
    assert_int_equal(n, 0);
    webhooks_free_list(all, n);
    webhook_free(&got);
    webhook_free(&w);
    secrets_free(&s);
    book_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_noted_without_a_webhook),
        cmocka_unit_test(only_what_somebody_wants_is_noted),
        cmocka_unit_test(a_batch_that_is_undone_notes_nothing),
        cmocka_unit_test(an_event_is_made_again_from_its_id),
        cmocka_unit_test(what_waits_comes_by_its_time),
        cmocka_unit_test(the_log_is_bounded_and_sent_again),
        cmocka_unit_test(rows_are_removed_when_all_have_passed_them),
        cmocka_unit_test(secrets_lie_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
