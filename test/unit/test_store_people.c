/* People: import by each policy, duplicates, unsubscribed and suppressed ones, fields; lists and
 * counts; export; suppression with reverts and soft bounces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/fields.h"
#include "store/lists.h"
#include "store/people.h"
#include "store/suppression.h"
#include "store_test.h"

struct town {
    struct place p;
    struct people *people;
    struct arena *arena;
};

static void town_open(struct town *t)
{
    struct err e = {0};
    place_open(&t->p);
    assert_ok(people_open(t->p.db, &t->people, &e));
    t->arena = arena_new(16 << 20);
}

static void town_close(struct town *t)
{
    people_close(&t->people);
    arena_free(&t->arena);
    place_close(&t->p);
}

static uint64_t add_list(struct town *t, const char *name, uint64_t id)
{
    struct err e = {0};
    struct contact_list l = {.id = id, .created_at = 1};
    assert_true(str_copy(str_of(name), l.name, sizeof l.name));
    assert_ok(lists_add(t->p.db, &l, &e));
    return id;
}

/* One row with at most one field. */
static struct people_row import_one(struct town *t, uint64_t list, enum people_policy policy,
                                    const char *key, const char *name, const char *value)
{
    struct err e = {0};
    struct field field = {str_of(name), str_of(value)};
    struct people_counts counts = {0};
    struct people_row row = {.key = str_of(key), .fields = &field, .n_fields = name ? 1 : 0};
    assert_ok(db_begin(t->p.db, &e));
    assert_ok(people_import_rows(t->people, list, policy, &row, 1, 1000, &counts, &e));
    assert_ok(db_commit(t->p.db, &e));
    assert_true(counts.rows == 1 && counts.of[row.verdict] == 1);
    return row;
}

static const char *fields_of(struct town *t, const char *key)
{
    struct err e = {0};
    struct person who;
    bool found = false;
    assert_ok(people_find(t->p.db, str_of(key), t->arena, &who, &found, &e));
    assert_true(found);
    return who.fields.p ? who.fields.p : "";
}

static void policies_decide(void **state)
{
    static const struct {
        enum people_policy policy;
        enum people_verdict verdict;
        const char *fields;
        int members; /* of the second list */
    } cases[] = {
        {PEOPLE_UPDATE, PEOPLE_UPDATED, "{\"name\":\"new\"}", 1},
        {PEOPLE_NEW, PEOPLE_SKIPPED, "{\"name\":\"old\"}", 0},
        {PEOPLE_SKIP, PEOPLE_SKIPPED, "{\"name\":\"old\"}", 1},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct town t;
        town_open(&t);
        uint64_t a = add_list(&t, "a", 10), b = add_list(&t, "b", 20);
        struct people_row row = import_one(&t, a, cases[i].policy, "x@a.example", "name", "old");
        assert_true(row.verdict == PEOPLE_IMPORTED && row.contact_id == 1);
        row = import_one(&t, b, cases[i].policy, "x@a.example", "name", "new");
        assert_true(row.verdict == cases[i].verdict && row.contact_id == 1);
        assert_string_equal(fields_of(&t, "x@a.example"), cases[i].fields);
        assert_int_equal(number(t.p.db, "SELECT members FROM list WHERE id = 20"),
                         cases[i].members);
        assert_int_equal(number(t.p.db, "SELECT count(*) FROM list_member WHERE list_id = 20"),
                         cases[i].members);
        town_close(&t);
    }
}

static void a_batch_counts_every_row(void **state)
{
    struct town t;
    struct err e = {0};
    struct people_counts counts = {0};
    bool added = false;
    town_open(&t);
    uint64_t list = add_list(&t, "a", 10);
    struct suppression s = {
        .address = STR("s@a.example"), .reason = STR("manual"), .source = STR("user"), .since = 1};
    assert_ok(suppression_add(t.p.db, &s, &added, &e));
    char large[CONTACT_FIELD_VALUE_MAX + 1];
    memset(large, 'x', sizeof large);
    const struct field good = {STR("city"), STR("Wien")}, bad = {STR("City"), STR("Wien")},
                       big = {STR("city"), {large, sizeof large}},
                       zero = {STR("city"), STR("a\0b")}, none = {STR("Bad Name"), STR("")};
    struct people_row rows[] = {
        {.key = STR("a@a.example"), .fields = &good, .n_fields = 1},
        {.key = STR("A2@a.example"), .address = STR("A2@A.example")},
        {.key = STR("a@a.example"), .fields = &good, .n_fields = 1}, /* again, in the same batch */
        {.key = STR("s@a.example")},
        {.key = STR("")},
        {.key = STR("b@a.example"), .fields = &bad, .n_fields = 1},
        {.key = STR("c@a.example"), .fields = &big, .n_fields = 1},
        {.key = STR("d@a.example"), .fields = &zero, .n_fields = 1},
        {.key = STR("e@a.example"), .fields = &none, .n_fields = 1},
    };
    assert_ok(db_begin(t.p.db, &e));
    assert_ok(
        people_import_rows(t.people, list, PEOPLE_UPDATE, rows, countof(rows), 1000, &counts, &e));
    assert_ok(db_commit(t.p.db, &e));
    assert_int_equal(counts.rows, countof(rows));
    assert_int_equal(counts.of[PEOPLE_IMPORTED], 3);
    assert_int_equal(counts.of[PEOPLE_UPDATED], 1);
    assert_int_equal(counts.of[PEOPLE_SUPPRESSED], 1);
    assert_int_equal(counts.of[PEOPLE_INVALID], 4);
    assert_int_equal(counts.of[PEOPLE_SKIPPED], 0);
    for (size_t i = 0; i < countof(rows); i++)
        assert_true((rows[i].verdict == PEOPLE_INVALID) == (rows[i].why != NULL));
    /* The suppressed one is a member; dense ids have no hole. */
    assert_int_equal(number(t.p.db, "SELECT members FROM list"), 4);
    assert_int_equal(number(t.p.db, "SELECT max(id) FROM contact"), 4);
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM contact_field"), 1);
    struct person who;
    bool found = false;
    assert_ok(people_get(t.p.db, 2, t.arena, &who, &found, &e));
    assert_true(found && str_is(who.address, "A2@A.example") && str_is(who.key, "A2@a.example"));
    town_close(&t);
}

static void who_unsubscribed_stays_so(void **state)
{
    struct town t;
    struct err e = {0};
    bool changed = false, member = false, unsubscribed = false;
    struct contact_list l;
    town_open(&t);
    uint64_t list = add_list(&t, "a", 10);
    uint64_t id = import_one(&t, list, PEOPLE_UPDATE, "x@a.example", NULL, NULL).contact_id;
    assert_ok(lists_unsubscribe(t.p.db, list, id, 2000, &changed, &e));
    assert_true(changed);
    assert_ok(lists_unsubscribe(t.p.db, list, id, 2000, &changed, &e));
    assert_false(changed);
    assert_ok(lists_unsubscribe(t.p.db, list, 99, 2000, &changed, &e));
    assert_false(changed);
    import_one(&t, list, PEOPLE_UPDATE, "x@a.example", "a", "b");
    assert_ok(lists_subscribe(t.p.db, list, id, false, 3000, &e));
    assert_ok(lists_has(t.p.db, list, id, &member, &unsubscribed, &e));
    assert_true(member && unsubscribed);
    assert_ok(lists_get(t.p.db, "a", &l, &e));
    assert_true(l.members == 1 && l.unsubscribed == 1);
    assert_ok(lists_subscribe(t.p.db, list, id, true, 4000, &e));
    assert_ok(lists_get_id(t.p.db, list, &l, &e));
    assert_true(l.members == 1 && l.unsubscribed == 0);
    assert_ok(lists_has(t.p.db, list, 99, &member, &unsubscribed, &e));
    assert_false(member);
    town_close(&t);
}

static void fields_are_merged(void **state)
{
    struct town t;
    town_open(&t);
    import_one(&t, 0, PEOPLE_UPDATE, "x@a.example", "a", "1 \"q\" \\ \xc3\xa9 \n\x01");
    assert_string_equal(fields_of(&t, "x@a.example"),
                        "{\"a\":\"1 \\\"q\\\" \\\\ \xc3\xa9 \\n\\u0001\"}");
    import_one(&t, 0, PEOPLE_UPDATE, "x@a.example", "b", "2");
    import_one(&t, 0, PEOPLE_UPDATE, "x@a.example", "a", "3");
    assert_string_equal(fields_of(&t, "x@a.example"), "{\"a\":\"3\",\"b\":\"2\"}");
    import_one(&t, 0, PEOPLE_UPDATE, "x@a.example", "a", "");
    assert_string_equal(fields_of(&t, "x@a.example"), "{\"a\":\"3\",\"b\":\"2\"}");
    char name[16];
    for (int i = 0; i < CONTACT_FIELDS_MAX; i++) {
        (void)snprintf(name, sizeof name, "f%d", i);
        struct people_row row = import_one(&t, 0, PEOPLE_UPDATE, "x@a.example", name, "v");
        bool fits = i + 2 < CONTACT_FIELDS_MAX;
        assert_true(row.verdict == (fits ? PEOPLE_UPDATED : PEOPLE_INVALID));
        assert_true(fits == (row.why == NULL));
    }
    town_close(&t);
}

static void too_many_field_names_are_refused(void **state)
{
    struct town t;
    struct err e = {0};
    struct people_counts counts = {0};
    town_open(&t);
    bool ok = true;
    int i = 0;
    for (; ok && i < 300; i++) {
        char name[16], key[32];
        (void)snprintf(name, sizeof name, "f%d", i);
        (void)snprintf(key, sizeof key, "x%d@a.example", i);
        struct field field = {str_of(name), STR("v")};
        struct people_row row = {.key = str_of(key), .fields = &field, .n_fields = 1};
        assert_ok(db_begin(t.p.db, &e));
        ok = people_import_rows(t.people, 0, PEOPLE_UPDATE, &row, 1, 1, &counts, &e);
        if (ok)
            assert_ok(db_commit(t.p.db, &e));
        db_rollback(t.p.db);
    }
    assert_int_equal(i, PEOPLE_FIELD_NAMES_MAX + 1);
    assert_int_equal(e.code, ERR_TOO_BIG);
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM contact"), PEOPLE_FIELD_NAMES_MAX);
    town_close(&t);
}

static void columns_become_field_names(void **state)
{
    static const struct {
        const char *column, *name;
    } cases[] = {{"First Name", "first_name"},
                 {"  E-Mail (work) ", "e_mail_work"},
                 {"2nd", "nd"},
                 {"a__b", "a_b"},
                 {"\xc3\x9c"
                  "ber",
                  "ber"},
                 {"x", "x"},
                 {"", NULL},
                 {"--", NULL},
                 {"123", NULL},
                 {"A9", "a9"}};
    char name[CONTACT_FIELD_NAME_MAX + 1];
    for (size_t i = 0; i < countof(cases); i++) {
        assert_true(fields_name(str_of(cases[i].column), name) == (cases[i].name != NULL));
        if (cases[i].name)
            assert_string_equal(name, cases[i].name);
    }
    char lengthy[500];
    memset(lengthy, 'a', sizeof lengthy);
    assert_true(fields_name(str_from(lengthy, sizeof lengthy), name));
    assert_int_equal(strlen(name), CONTACT_FIELD_NAME_MAX);
}

static void damaged_fields_are_told(void **state)
{
    static const char *const bad[] = {"{",
                                      "{}x",
                                      "[]",
                                      "{\"a\"}",
                                      "{\"a\":1}",
                                      "{\"a\":\"b\",}",
                                      "{\"a\":\"\\x\"}",
                                      "{\"a\":\"\\ud800\"}",
                                      "{\"a\":\"\\udc00\"}",
                                      "{\"a\":\"\\u12\"}",
                                      "{\"a\":\"b}",
                                      "{\"a\":\"\n\"}",
                                      "{\"a\":\"\\",
                                      "{\"a\":\"b\\\"}",
                                      "null"};
    static const char good[] =
        " { \"a\" : \"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\" , \"b\":\"\" } ";
    struct err e = {0};
    struct field *fields = NULL;
    size_t n = 0;
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < countof(bad); i++) {
        assert_false(fields_read(str_of(bad[i]), a, &fields, &n, &e));
        assert_int_equal(e.code, ERR_CORRUPT);
    }
    assert_ok(fields_read(str_of(good), a, &fields, &n, &e));
    assert_int_equal(n, 2);
    assert_true(str_is(fields[0].value, "\xc3\xa9\xf0\x9f\x98\x80/\b\f\n\r\t"));
    arena_free(&a);
}

static void ids_are_never_reused(void **state)
{
    struct town t;
    struct err e = {0};
    town_open(&t);
    uint64_t list = add_list(&t, "a", 10);
    import_one(&t, list, PEOPLE_UPDATE, "x@a.example", NULL, NULL);
    import_one(&t, list, PEOPLE_UPDATE, "y@a.example", NULL, NULL);
    assert_ok(people_remove(t.people, STR("y@a.example"), &e));
    assert_false(people_remove(t.people, STR("y@a.example"), &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(number(t.p.db, "SELECT members FROM list"), 1);
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM list_member"), 1);
    people_close(&t.people);
    assert_ok(people_open(t.p.db, &t.people, &e));
    assert_int_equal(import_one(&t, list, PEOPLE_UPDATE, "z@a.example", NULL, NULL).contact_id, 3);
    town_close(&t);
}

static void a_rolled_back_batch_leaves_nothing(void **state)
{
    struct town t;
    struct err e = {0};
    struct people_counts counts = {0};
    town_open(&t);
    uint64_t list = add_list(&t, "a", 10);
    struct field field = {STR("city"), STR("Wien")};
    struct people_row row = {.key = STR("x@a.example"), .fields = &field, .n_fields = 1};
    assert_ok(db_begin(t.p.db, &e));
    assert_ok(people_import_rows(t.people, list, PEOPLE_UPDATE, &row, 1, 1, &counts, &e));
    db_rollback(t.p.db);
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM contact_field"), 0);
    row = import_one(&t, list, PEOPLE_UPDATE, "x@a.example", "city", "Wien");
    assert_true(row.verdict == PEOPLE_IMPORTED);
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM contact_field"), 1);
    assert_int_equal(number(t.p.db, "SELECT members FROM list"), 1);
    row.fields = &field; /* import_one had its own */
    assert_ok(db_begin(t.p.db, &e));
    assert_false(people_import_rows(t.people, 999, PEOPLE_UPDATE, &row, 1, 1, &counts, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    db_rollback(t.p.db);
    town_close(&t);
}

static void lists_go_in_bites(void **state)
{
    struct town t;
    struct err e = {0};
    bool done = false;
    int calls = 0;
    town_open(&t);
    uint64_t list = add_list(&t, "a", 10), other = add_list(&t, "b", 20);
    struct contact_list l = {.id = 30, .name = "a"};
    assert_false(lists_add(t.p.db, &l, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    for (int i = 0; i < 25; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "x%d@a.example", i);
        import_one(&t, list, PEOPLE_UPDATE, key, NULL, NULL);
        import_one(&t, other, PEOPLE_UPDATE, key, NULL, NULL);
    }
    assert_ok(db_exec(t.p.db,
                      "INSERT INTO campaign (num, id, name, list_id, template_id, group_num, lane, "
                      "state, contact_max, cursor, walked, recipients, leased, created_at) VALUES "
                      "(1, 1, 'news', 10, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0)",
                      &e));
    assert_false(lists_remove(t.p.db, "a", 10, &done, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_ok(db_exec(t.p.db, "UPDATE campaign SET state = 6", &e));
    for (; !done; calls++)
        assert_ok(lists_remove(t.p.db, "a", 10, &done, &e));
    assert_int_equal(calls, 3);
    assert_false(lists_get(t.p.db, "a", &l, &e));
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM list_member"), 25);
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM contact"), 25);
    town_close(&t);
}

static void export_is_guarded(void **state)
{
    struct town t;
    struct err e = {0};
    struct buf b;
    struct people_export x;
    bool done = false, changed = false;
    town_open(&t);
    uint64_t list = add_list(&t, "a", 10);
    import_one(&t, list, PEOPLE_UPDATE, "x@a.example", "city", "=1+1");
    import_one(&t, list, PEOPLE_UPDATE, "y@a.example", "name", "a, b");
    import_one(&t, 0, PEOPLE_UPDATE, "z@a.example", NULL, NULL);
    assert_ok(lists_unsubscribe(t.p.db, list, 2, 1, &changed, &e));
    buf_init(&b, 10000);
    assert_ok(people_export_begin(&x, t.p.db, list, true, &b, &e));
    while (!done)
        assert_ok(people_export_next(&x, 1, &b, &done, &e));
    people_export_end(&x);
    assert_string_equal(buf_cstr(&b), "email,city,name,unsubscribed\r\n"
                                      "x@a.example,\"'=1+1\",,\r\n"
                                      "y@a.example,,\"a, b\",yes\r\n");
    buf_clear(&b);
    assert_ok(people_export_begin(&x, t.p.db, list, false, &b, &e));
    assert_ok(people_export_next(&x, 100, &b, &done, &e));
    people_export_end(&x);
    assert_true(done);
    assert_string_equal(buf_cstr(&b), "email,city,name\r\nx@a.example,\"'=1+1\",\r\n");
    buf_clear(&b);
    assert_ok(people_export_begin(&x, t.p.db, 0, false, &b, &e));
    assert_ok(people_export_next(&x, 100, &b, &done, &e));
    people_export_end(&x);
    assert_true(str_ends(buf_str(&b), STR("z@a.example,,\r\n")));
    buf_free(&b);
    town_close(&t);
}

static bool suppressed(struct town *t, const char *address, struct suppression *out)
{
    struct err e = {0};
    bool found = false;
    assert_ok(suppression_check(t->p.db, str_of(address), t->arena, out, &found, &e));
    return found;
}

static void suppress(struct town *t, const char *address, const char *reason, int64_t since,
                     int64_t until, uint16_t server)
{
    struct err e = {0};
    bool added = false;
    struct suppression s = {.address = str_of(address),
                            .reason = str_of(reason),
                            .source = STR("message"),
                            .since = since,
                            .provisional_until = until,
                            .server_num = server,
                            .message_id = 7};
    assert_ok(suppression_add(t->p.db, &s, &added, &e));
}

static bool count_one(void *arg, const struct suppression *s)
{
    ++*(int *)arg;
    return s->message_id == 7;
}

static void settled_wins_over_provisional(void **state)
{
    struct town t;
    struct err e = {0};
    struct suppression s;
    bool added = false;
    uint64_t n = 0;
    town_open(&t);
    suppress(&t, "x@a.example", "hard_bounce", 1000, 5000, 3);
    suppress(&t, "x@a.example", "hard_bounce", 2000, 6000, 4);
    assert_true(suppressed(&t, "x@a.example", &s));
    assert_true(s.since == 1000 && s.server_num == 3 && s.provisional_until == 5000);
    suppress(&t, "x@a.example", "complaint", 3000, 0, 0);
    assert_true(suppressed(&t, "x@a.example", &s));
    assert_true(str_is(s.reason, "complaint") && !s.provisional_until && !s.server_num);
    suppress(&t, "x@a.example", "manual", 4000, 0, 0);
    assert_true(suppressed(&t, "x@a.example", &s) && str_is(s.reason, "complaint"));
    assert_ok(suppression_remove(t.p.db, STR("x@a.example"), &e));
    assert_false(suppression_remove(t.p.db, STR("x@a.example"), &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_false(suppressed(&t, "x@a.example", NULL));
    s = (struct suppression){.address = STR("y@a.example"), .reason = STR("because")};
    assert_false(suppression_add(t.p.db, &s, &added, &e));
    assert_int_equal(e.code, ERR_INVALID);
    assert_ok(suppression_count(t.p.db, &n, &e));
    assert_int_equal(n, 0);
    town_close(&t);
}

static void a_suspect_server_is_taken_back(void **state)
{
    struct town t;
    struct err e = {0};
    bool more = true;
    int seen = 0, calls = 0;
    town_open(&t);
    for (int i = 0; i < 7; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "x%d@a.example", i);
        suppress(&t, address, "hard_bounce", 1000 + i, 5000, 3);
    }
    suppress(&t, "old@a.example", "hard_bounce", 500, 0, 3);
    suppress(&t, "settled@a.example", "hard_bounce", 1500, 0, 3);
    suppress(&t, "other@a.example", "hard_bounce", 1500, 5000, 4);
    suppress(&t, "angry@a.example", "complaint", 1500, 0, 3);
    for (; more; calls++)
        assert_ok(suppression_revert(t.p.db, 3, 1000, true, 2000, 3, count_one, &seen, &more, &e));
    assert_int_equal(seen, 7);
    assert_int_equal(calls, 3);
    assert_int_equal(number(t.p.db, "SELECT count(*) FROM suppression"), 4);
    assert_ok(suppression_revert(t.p.db, 3, 1000, false, 2000, 100, NULL, NULL, &more, &e));
    assert_false(more);
    assert_false(suppressed(&t, "settled@a.example", NULL));
    assert_true(suppressed(&t, "old@a.example", NULL));
    assert_true(suppressed(&t, "other@a.example", NULL));
    assert_true(suppressed(&t, "angry@a.example", NULL));
    more = true;
    assert_ok(suppression_settle(t.p.db, 5000, 100, &more, &e));
    assert_false(more);
    assert_int_equal(
        number(t.p.db, "SELECT count(*) FROM suppression WHERE provisional_until IS NOT NULL"), 0);
    seen = 0;
    assert_ok(suppression_each(t.p.db, STR("b"), 10, count_one, &seen, &e));
    assert_int_equal(seen, 2);
    town_close(&t);
}

static void soft_bounces_count_messages(void **state)
{
    struct town t;
    struct err e = {0};
    uint32_t n = 0;
    const int64_t day = INT64_C(86400000);
    town_open(&t);
    struct str who = STR("x@a.example");
    assert_ok(suppression_soft_bounce(t.p.db, who, 1, 100 * day, &n, &e));
    assert_int_equal(n, 1);
    assert_ok(suppression_soft_bounce(t.p.db, who, 1, 100 * day + 1, &n, &e));
    assert_int_equal(n, 1);
    assert_ok(suppression_soft_bounce(t.p.db, who, 2, 110 * day, &n, &e));
    assert_int_equal(n, 2);
    assert_ok(suppression_soft_bounce(t.p.db, who, 3, 129 * day, &n, &e));
    assert_int_equal(n, SUPPRESSION_SOFT_MESSAGES);
    assert_ok(suppression_soft_bounce(t.p.db, who, 4, 135 * day, &n, &e));
    assert_int_equal(n, 3);
    assert_ok(suppression_soft_bounce(t.p.db, STR("y@a.example"), 4, 135 * day, &n, &e));
    assert_int_equal(n, 1);
    town_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_decide),
        cmocka_unit_test(a_batch_counts_every_row),
        cmocka_unit_test(who_unsubscribed_stays_so),
        cmocka_unit_test(fields_are_merged),
        cmocka_unit_test(too_many_field_names_are_refused),
        cmocka_unit_test(columns_become_field_names),
        cmocka_unit_test(damaged_fields_are_told),
        cmocka_unit_test(ids_are_never_reused),
        cmocka_unit_test(a_rolled_back_batch_leaves_nothing),
        cmocka_unit_test(lists_go_in_bites),
        cmocka_unit_test(export_is_guarded),
        cmocka_unit_test(settled_wins_over_provisional),
        cmocka_unit_test(a_suspect_server_is_taken_back),
        cmocka_unit_test(soft_bounces_count_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
