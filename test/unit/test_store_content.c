/* What is kept beside servers and people: templates, API keys and events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "store/events.h"
#include "store/keys.h"
#include "store/templates.h"
#include "store_test.h"

static bool note_template(void *arg, const struct stored_template *t)
{
    (void)buf_addf(arg, "%s ", t->name);
    return true;
}

static void templates_are_kept(void **state)
{
    struct place p;
    struct err e = {0};
    struct buf b;
    place_open(&p);
    buf_init(&b, 1000);
    struct stored_template s = {.id = 5,
                                .name = (char *)"welcome",
                                .subject = (char *)"Hi {{ contact.name }}",
                                .html = (char *)"<p>\xc3\xa9</p>",
                                .created_at = 1,
                                .updated_at = 2};
    struct stored_template *back = NULL;
    assert_ok(templates_add(p.db, &s, &e));
    assert_false(templates_add(p.db, &s, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_ok(templates_get(p.db, "welcome", &back, &e));
    assert_true(back->id == 5 && !back->text && !strcmp(back->html, s.html));
    templates_free(&back);
    s.html = NULL;
    assert_false(templates_update(p.db, &s, &e));
    assert_int_equal(e.code, ERR_INVALID);
    s.text = (char *)"hi";
    s.subject = (char *)"a\nBcc: x";
    assert_false(templates_update(p.db, &s, &e));
    s.subject = (char *)"b";
    assert_ok(templates_update(p.db, &s, &e));
    assert_ok(templates_get_id(p.db, 5, &back, &e));
    assert_true(!back->html && !strcmp(back->text, "hi"));
    templates_free(&back);
    s.id = 6;
    s.name = (char *)"again";
    assert_ok(templates_add(p.db, &s, &e));
    assert_ok(templates_each(p.db, note_template, &b, &e));
    assert_string_equal(buf_cstr(&b), "again welcome ");
    assert_ok(db_exec(p.db,
                      "INSERT INTO campaign (num, id, name, list_id, template_id, group_num, lane, "
                      "state, contact_max, cursor, walked, recipients, leased, created_at) VALUES "
                      "(1, 1, 'news', 10, 6, 2, 2, 0, 0, 0, 0, 0, 0, 0)",
                      &e));
    assert_false(templates_remove(p.db, "again", &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_ok(templates_remove(p.db, "welcome", &e));
    assert_false(templates_remove(p.db, "welcome", &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    buf_free(&b);
    place_close(&p);
}

static struct api_key *new_key(const char *name, uint64_t id, bool test)
{
    struct api_key *k = keys_new();
    k->id = id;
    k->name = alloc_copy(name);
    k->test = test;
    k->scopes = alloc_many(char *, 1);
    k->scopes[0] = alloc_copy("messages:send");
    k->n_scopes = 1;
    k->expires_at = 10000;
    return k;
}

static bool note_key(void *arg, const struct api_key *k)
{
    (void)buf_addf(arg, "%s:%d:%zu ", k->name, k->revoked_at != 0, k->n_scopes);
    return true;
}

static void keys_open_doors(void **state)
{
    struct place p;
    struct err e = {0};
    char text[KEYS_TEXT_MAX], other[KEYS_TEXT_MAX];
    struct buf b;
    place_open(&p);
    buf_init(&b, 1000);
    struct api_key *k = new_key("app", 1, false), *back = NULL;
    assert_ok(keys_create(p.db, k, text, &e));
    assert_true(str_starts(str_of(text), STR("pf_live_")) && strlen(text) == 51);
    assert_true(str_starts(str_of(text), str_of(k->hint)) && strlen(k->hint) == 12);
    assert_false(keys_create(p.db, k, other, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_string_equal(other, "");
    keys_free(&k);
    k = new_key("app test", 2, true);
    assert_ok(keys_create(p.db, k, other, &e));
    assert_true(str_starts(str_of(other), STR("pf_test_")));
    keys_free(&k);
    assert_ok(keys_check(p.db, str_of(text), 9999, &back, &e));
    assert_true(back->id == 1 && !back->test && keys_has_scope(back, "messages:send") &&
                !keys_has_scope(back, "admin") && back->n_groups == 0);
    keys_free(&back);
    assert_false(keys_check(p.db, str_of(text), 10000, &back, &e));
    assert_int_equal(e.code, ERR_NOT_ALLOWED);
    text[20] ^= 1;
    assert_false(keys_check(p.db, str_of(text), 1, &back, &e));
    text[20] ^= 1;
    assert_false(keys_check(p.db, STR(""), 1, &back, &e));
    /* The key itself is nowhere in the table. */
    assert_int_equal(number(p.db, "SELECT count(*) FROM api_key WHERE length(hash) = 32"), 2);
    assert_ok(keys_revoke(p.db, "app", 5000, &e));
    assert_false(keys_check(p.db, str_of(text), 1, &back, &e));
    assert_false(keys_revoke(p.db, "app", 5000, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_ok(keys_each(p.db, note_key, &b, &e));
    assert_string_equal(buf_cstr(&b), "app test:0:1 app~1:1:1 ");
    buf_free(&b);
    place_close(&p);
}

static bool note_event(void *arg, const struct event *ev)
{
    return buf_addf(arg, "%llu:" STR_F " ", (unsigned long long)ev->id, STR_A(ev->kind)) &&
           ev->id != 4;
}

static void events_come_in_order(void **state)
{
    struct place p;
    struct err e = {0};
    struct buf b;
    size_t removed = 0;
    place_open(&p);
    buf_init(&b, 1000);
    for (uint64_t id = 1; id <= 5; id++) {
        struct event ev = {.id = id,
                           .at = (int64_t)id * 100,
                           .kind = STR("server.opened"),
                           .subject = id % 2 ? STR("a") : STR("b"),
                           .reason = STR("451 three times")};
        assert_ok(events_append(p.db, &ev, &e));
    }
    assert_ok(events_after(p.db, 2, 10, note_event, &b, &e));
    assert_string_equal(buf_cstr(&b), "3:server.opened 4:server.opened ");
    buf_clear(&b);
    assert_ok(events_latest(p.db, STR("a"), 2, note_event, &b, &e));
    assert_string_equal(buf_cstr(&b), "5:server.opened 3:server.opened ");
    assert_ok(events_trim(p.db, 400, 2, &removed, &e));
    assert_int_equal(removed, 2);
    assert_ok(events_trim(p.db, 400, 10, &removed, &e));
    assert_int_equal(removed, 1);
    buf_clear(&b);
    assert_ok(events_latest(p.db, STR_NONE, 10, note_event, &b, &e));
    assert_string_equal(buf_cstr(&b), "5:server.opened 4:server.opened ");
    buf_free(&b);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_kept),
        cmocka_unit_test(keys_open_doors),
        cmocka_unit_test(events_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
