/* engine/admin on lists, contacts, imports and suppressions: counts that add up, cut rows refused,
 * leaving a list, taking back what a sick server suppressed. */
#include "admin_fixture.h"

#include "base/buf.h"
#include "store/accept.h"
#include "store/reports.h"
#include "store/suppression.h"

static void add_text(struct buf *b, const char *s)
{
    size_t n = strlen(s);
    buf_addc(b, (char)(n >> 8));
    buf_addc(b, (char)n);
    buf_add(b, s, n);
}

/* A row with the fields first_name and city; NULL: not there. */
static void add_row(struct buf *b, const char *key, const char *address, const char *first_name,
                    const char *city)
{
    add_text(b, key);
    add_text(b, address);
    buf_addc(b, (char)((first_name != NULL) + (city != NULL)));
    if (first_name) {
        buf_addc(b, 0);
        add_text(b, first_name);
    }
    if (city) {
        buf_addc(b, 1);
        add_text(b, city);
    }
}

static json_t *import_args(const char *list, const char *policy, int n)
{
    return json_pack("{s:s, s:s, s:[s,s], s:i}", "list", list, "policy", policy, "fields",
                     "first_name", "city", "n", n);
}

static void counts_are(json_t *j, int imported, int updated, int skipped, int invalid,
                       int suppressed)
{
    assert_int_equal(number_of(j, "imported"), imported);
    assert_int_equal(number_of(j, "updated"), updated);
    assert_int_equal(number_of(j, "skipped"), skipped);
    assert_int_equal(number_of(j, "invalid"), invalid);
    assert_int_equal(number_of(j, "suppressed"), suppressed);
    assert_int_equal(number_of(j, "rows"), imported + updated + skipped + invalid + suppressed);
}

static void test_import_counts_add_up(void **state)
{
    struct fixture *f = *state;
    struct buf b;
    buf_init(&b, 65536);
    done(f, "list.add", json_pack("{s:s}", "name", "news"));
    done(f, "suppression.add", json_pack("{s:s}", "address", "Gone@Example.com"));
    add_row(&b, "ann@example.com", "Ann@example.com", "Ann", "Graz");
    add_row(&b, "bob@example.com", "", "Bob", NULL);
    add_row(&b, "ann@example.com", "", "Anna", NULL);
    add_row(&b, "gone@example.com", "", NULL, NULL);
    add_row(&b, "", "", NULL, NULL);
    json_t *j = run_tail(f, "people.import_rows", import_args("news", "update", 5), buf_str(&b));
    must(j != NULL, f);
    counts_are(j, 2, 1, 0, 1, 1);
    json_decref(j);
    j = run_tail(f, "people.import_rows", import_args("news", "skip", 5), buf_str(&b));
    must(j != NULL, f);
    counts_are(j, 0, 0, 3, 1, 1);
    json_decref(j);
    must(report_contact(f->db, "ann@example.com", &j, &f->e), f);
    assert_string_equal(text_of(j, "address"), "Ann@example.com");
    assert_string_equal(text_of(json_object_get(j, "fields"), "first_name"), "Anna");
    assert_string_equal(text_of(json_object_get(j, "fields"), "city"), "Graz");
    json_decref(j);
    must(report_list(f->db, "news", &j, &f->e), f);
    assert_int_equal(number_of(j, "contacts"), 3);
    json_decref(j);
    buf_free(&b);
}

/* Every cut of a good tail is refused, and so is a byte too many. */
static void test_import_refuses_cut_rows(void **state)
{
    struct fixture *f = *state;
    struct buf b;
    buf_init(&b, 65536);
    done(f, "list.add", json_pack("{s:s}", "name", "news"));
    add_row(&b, "ann@example.com", "", "Ann", "Graz");
    for (size_t n = 0; n < b.n; n++) {
        json_t *j =
            run_tail(f, "people.import_rows", import_args("news", "update", 1), str_from(b.p, n));
        assert_null(j);
        assert_int_equal(f->e.code, ERR_INVALID);
    }
    buf_addc(&b, 0);
    assert_null(run_tail(f, "people.import_rows", import_args("news", "update", 1), buf_str(&b)));
    refused(f, "people.import_rows", import_args("nowhere", "update", 0), ERR_NOT_FOUND, "nowhere");
    refused(f, "people.import_rows", import_args("news", "merge", 0), ERR_INVALID, "policy:");
    refused(f, "people.import_rows", import_args("news", "update", 20001), ERR_INVALID, "n:");
    refused(f, "people.import_begin", json_pack("{s:s}", "list", "nowhere"), ERR_NOT_FOUND,
            "nowhere");
    buf_free(&b);
}

/* A call whose time is always over: 16 rows a bite, each committed; the answer is the whole. */
static void test_import_in_bites(void **state)
{
    struct fixture *f = *state;
    struct admin_answer a;
    struct buf b;
    int bites = 0;
    char key[64];
    buf_init(&b, 65536);
    done(f, "list.add", json_pack("{s:s}", "name", "news"));
    for (int i = 0; i < 100; i++) { /* each address twice, the second in another bite */
        snprintf(key, sizeof(key), "u%02d@example.com", i % 50);
        add_row(&b, key, "", i < 50 ? "Old" : "New", NULL);
    }
    json_t *args = import_args("news", "update", 100);
    f->c.until_us = 1;
    do {
        must(db_begin(f->db, &f->e), f);
        admin_execute(&f->c, "people.import_rows", args, buf_str(&b), &a);
        assert_true(a.ok);
        must(db_commit(f->db, &f->e), f);
        bites++;
    } while (f->c.again);
    counts_are(a.data, 50, 50, 0, 0, 0);
    assert_int_equal(number_of(a.data, "rows"), 100);
    assert_int_equal(number_of(f->c.so_far, "rows"), 96);
    assert_int_equal(bites, 7);
    json_decref(a.data);
    admin_kept_free(&f->c);
    f->c.until_us = 0;
    must(report_list(f->db, "news", &a.data, &f->e), f);
    assert_int_equal(number_of(a.data, "contacts"), 50);
    json_decref(a.data);
    must(report_contact(f->db, "u07@example.com", &a.data, &f->e), f);
    assert_string_equal(text_of(json_object_get(a.data, "fields"), "first_name"), "New");
    json_decref(a.data);
    json_decref(args);
    buf_free(&b);
}

static void test_single_contacts(void **state)
{
    struct fixture *f = *state;
    done(f, "list.add", json_pack("{s:s}", "name", "news"));
    json_t *j = run(f, "contact.add",
                    json_pack("{s:s, s:s, s:{s:s}}", "email", "Ann@Example.com", "list", "news",
                              "fields", "first_name", "Ann"));
    must(j != NULL, f);
    assert_string_equal(text_of(j, "email"), "ann@example.com");
    json_decref(j);
    refused(f, "contact.add", json_pack("{s:s}", "email", "nobody"), ERR_INVALID, "email:");
    refused(f, "contact.add", json_pack("{s:s}", "email", "a@b.example\r\nBcc: c@d.example"),
            ERR_INVALID, "control character");
    refused(f, "contact.add",
            json_pack("{s:s, s:{s:s}}", "email", "a@b.example", "fields", "First Name", "x"),
            ERR_INVALID, "is no field name");
    refused(f, "contact.add", json_pack("{s:s, s:{s:i}}", "email", "a@b.example", "fields", "n", 1),
            ERR_INVALID, "fields.n: must be a text");
    done(f, "contact.remove", json_pack("{s:s}", "email", "ann@example.com"));
    refused(f, "contact.remove", json_pack("{s:s}", "email", "ann@example.com"), ERR_NOT_FOUND, "");
    refused(f, "list.add", json_pack("{s:s}", "name", "news"), ERR_CONFLICT, "news");
    j = run(f, "list.remove", json_pack("{s:s}", "name", "news"));
    must(j != NULL, f);
    assert_true(json_is_true(json_object_get(j, "removed")));
    json_decref(j);
}

static void test_suppressions(void **state)
{
    struct fixture *f = *state;
    json_t *j = run(f, "suppression.add",
                    json_pack("{s:s, s:s}", "address", "Ann@Example.com", "reason", "complaint"));
    must(j != NULL, f);
    assert_string_equal(text_of(j, "address"), "ann@example.com");
    assert_string_equal(text_of(j, "reason"), "complaint");
    assert_true(json_is_false(json_object_get(j, "provisional")));
    json_decref(j);
    assert_int_equal(f->c.changed.n_suppressed, 1);
    assert_string_equal(f->c.changed.suppressed[0], "ann@example.com");
    refused(f, "suppression.add",
            json_pack("{s:s, s:s}", "address", "a@b.example", "reason", "dislike"), ERR_INVALID,
            "reason:");
    j = run(f, "suppression.import_rows",
            json_pack("{s:[s,s,s], s:b}", "addresses", "a@b.example", "nonsense", "ann@example.com",
                      "dry_run", 1));
    must(j != NULL, f);
    assert_int_equal(number_of(j, "imported"), 1);
    assert_int_equal(number_of(j, "skipped"), 1);
    assert_int_equal(number_of(j, "invalid"), 1);
    json_decref(j);
    assert_int_equal(f->c.changed.n_suppressed, 0);
    assert_false(report_suppression(f->db, "a@b.example", &j, &f->e));
    done(f, "suppression.remove", json_pack("{s:s}", "address", "ANN@example.com"));
    refused(f, "suppression.remove", json_pack("{s:s}", "address", "ann@example.com"),
            ERR_NOT_FOUND, "");
}

static void test_leaving_a_list(void **state)
{
    struct fixture *f = *state;
    json_t *j = NULL;
    done(f, "list.add", json_pack("{s:s}", "name", "news"));
    done(f, "contact.add", json_pack("{s:s, s:s}", "email", "ann@example.com", "list", "news"));
    struct db *db = f->db;
    struct stmt *s = db_stmt(db, "SELECT list_id FROM list_member", &f->e);
    bool row = false;
    must(s && db_step(s, &row, &f->e) && row, f);
    json_int_t list = (json_int_t)db_i64(s, 0);
    db_reset(s);
    j = run(f, "public.unsubscribe", json_pack("{s:I, s:i}", "list_id", list, "contact_id", 1));
    must(j != NULL, f);
    assert_true(json_is_true(json_object_get(j, "changed")));
    json_decref(j);
    assert_int_equal(f->c.changed.n_left, 1);
    must(report_subscription(db, (uint64_t)list, 1, &j, &f->e), f);
    assert_true(json_is_true(json_object_get(j, "unsubscribed")));
    json_decref(j);
    assert_false(report_suppression(db, "ann@example.com", &j, &f->e)); /* this list only */
    done(f, "public.unsubscribe",
         json_pack("{s:I, s:i, s:b}", "list_id", list, "contact_id", 1, "everything", 1));
    must(report_suppression(db, "ann@example.com", &j, &f->e), f);
    assert_string_equal(text_of(j, "reason"), "unsubscribe");
    json_decref(j);
    refused(f, "public.unsubscribe", json_pack("{s:I, s:i}", "list_id", list, "contact_id", 99),
            ERR_NOT_FOUND, "contact");
}

/* A server turned out to be sick: what it bounced comes back and is queued again. */
static void test_revert(void **state)
{
    struct fixture *f = *state;
    json_t *j = post_message(f,
                             json_pack("{s:s, s:s, s:s, s:s}", "from", "a@example.com", "to",
                                       "b@x.example", "subject", "s", "text", "t"),
                             STR_NONE);
    must(j != NULL, f);
    json_decref(j);
    done(f, "server.add", json_pack("{s:s, s:s}", "name", "sick", "host", "127.0.0.1"));
    must(db_begin(f->db, &f->e) &&
             db_exec(f->db,
                     "DELETE FROM queue;"
                     "INSERT INTO result (message_id, n, server_num, state, verdict, phase, hard,"
                     " code, at, ms) SELECT id, 1, 1, 4, 8, 9, 1, 550, 1, 1 FROM message;"
                     "INSERT INTO tally (campaign_num, server_num, provider, kind, n)"
                     " VALUES (0, 0, '', 2, 1);"
                     "INSERT INTO suppression (address, reason, source, since, provisional_until,"
                     " server_num, message_id) SELECT rcpt_key, 'hard_bounce', 'message',"
                     " 1780000000000, 1999999999999, 1, id FROM message",
                     &f->e) &&
             db_commit(f->db, &f->e),
         f);
    json_t *args = json_pack("{s:s, s:I}", "server", "sick", "since", (json_int_t)1);
    json_t *dry = json_copy(args);
    json_object_set_new(dry, "dry_run", json_true());
    j = run(f, "suppression.revert", dry);
    must(j != NULL, f);
    assert_int_equal(number_of(j, "queued"), 1);
    json_decref(j);
    j = run(f, "suppression.revert", args);
    must(j != NULL, f);
    assert_int_equal(number_of(j, "reverted"), 1);
    assert_int_equal(number_of(j, "queued"), 1);
    json_decref(j);
    must(report_totals(f->db, &j, &f->e), f);
    assert_int_equal(number_of(j, "queued"), 1);
    assert_int_equal(number_of(json_object_get(j, "messages"), "bounced_hard"), 0);
    json_decref(j);
    refused(f, "suppression.revert", json_pack("{s:s}", "server", "none"), ERR_NOT_FOUND, "none");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_import_counts_add_up),
        TEST(test_import_refuses_cut_rows),
        TEST(test_import_in_bites),
        TEST(test_single_contacts),
        TEST(test_suppressions),
        TEST(test_leaving_a_list),
        TEST(test_revert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
