/* engine/admin on servers, groups and keys: every option in and out, every refusal with its words,
 * passwords never out, memberships as the design says. */
#include "admin_fixture.h"

#include "store/reports.h"
#include "store/servers.h"

static json_t *server(const char *name)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:s}", "name", name, "host", "mail.example.com", "port",
                     587, "tls", "starttls", "from", "News <news@example.com>");
}

static void test_add_shows_what_was_given(void **state)
{
    struct fixture *f = *state;
    json_t *args = server("one");
    json_object_set_new(args, "user", json_string("joe"));
    json_object_set_new(args, "password", json_string("s3cret-word"));
    json_object_set_new(args, "per_hour", json_string("5k"));
    json_object_set_new(args, "pause_between", json_string("250ms"));
    json_object_set_new(args, "connect_timeout", json_integer(5));
    json_object_set_new(args, "header", json_pack("[s]", "X-Fleet: one"));
    json_object_set_new(args, "from_domain", json_string("Example.COM"));
    json_object_set_new(args, "weight", json_integer(10));
    json_object_set_new(args, "calendar", json_string("Europe/Vienna"));
    json_t *j = run(f, "server.add", args);
    must(j != NULL, f);
    assert_string_equal(text_of(j, "name"), "one");
    assert_string_equal(text_of(j, "tls"), "starttls");
    assert_string_equal(text_of(j, "pause_between"), "250ms");
    assert_string_equal(text_of(j, "connect_timeout"), "5000ms");
    assert_int_equal(number_of(j, "per_hour"), 5000);
    assert_int_equal(number_of(j, "max_connections"), 10);
    assert_int_equal(number_of(j, "weight"), 10);
    assert_true(json_is_true(json_object_get(j, "password_set")));
    char *all = json_dumps(j, 0);
    assert_null(strstr(all, "s3cret-word"));
    assert_non_null(strstr(all, "\"groups\": [\"default\"]"));
    assert_non_null(strstr(all, "\"from_domain\": [\"example.com\"]"));
    free(all);
    json_decref(j);
    assert_true(f->c.changed.bits & ADMIN_CHANGED_SERVERS);
    struct server *s = NULL;
    must(servers_get(f->db, f->secrets, "one", &s, &f->e), f);
    assert_true(str_is(secret_reveal(s->password), "s3cret-word"));
    server_free(&s);
}

static void test_add_refuses_with_field_and_remedy(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *field, *json, *words;
    } cases[] = {
        {"port", "0", "port: 0 is outside 1 to 65535"},
        {"port", "\"abc\"", "port: must be a number"},
        {"port", "70000", "port: 70000 is outside"},
        {"host", "\"http://x\"", "host: \"http://x\" is no host name"},
        {"host", "\"a..b\"", "host:"},
        {"host", "\"a\\r\\nX: y\"", "control character"},
        {"tls", "\"ssl\"", "tls: \"ssl\" is none of none, starttls, tls"},
        {"tls_verify", "\"maybe\"", "tls_verify: \"maybe\" is none of full, none"},
        {"from", "\"not an address\"", "from:"},
        {"from", "\"a@b.example\\r\\nBcc: v@x.example\"", "control character"},
        {"return_path", "\"nobody\"", "return_path:"},
        {"per_second", "-1", "per_second:"},
        {"per_second", "\"5 kk\"", "per_second: must be a number"},
        {"max_connections", "0", "max_connections: 0 is outside 1"},
        {"connect_timeout", "\"soon\"", "connect_timeout: must be a duration"},
        {"connect_timeout", "\"1ms\"", "connect_timeout: 1 ms is outside"},
        {"calendar", "\"Mars/Olympus\"", "calendar: \"Mars/Olympus\" is no time zone"},
        {"calendar", "\"../../etc/passwd\"", "is no time zone"},
        {"counts", "\"all\"", "counts: \"all\" is none of"},
        {"ip_type", "\"mine\"", "ip_type:"},
        {"cost_per_1000", "-2", "cost_per_1000:"},
        {"header", "\"no colon\"", "must look like 'Name: value'"},
        {"header", "\"Subject: x\"", "subject is set by Postfleet"},
        {"header", "\"X-A: b\\nBcc: c\"", "control character"},
        {"from_domain", "\"not a domain\"", "from_domain:"},
        {"weight", "0", "weight: 0 is outside"},
        {"priority", "5000", "priority:"},
        {"password", "\"alone\"", "there is no user it belongs to"},
        {"hots", "\"x\"", "hots: there is no such field; did you mean host?"},
        {"helo", "\"a b\"", "helo:"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        json_t *args = server("bad"), *v = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        assert_non_null(v);
        json_object_set_new(args, cases[i].field, v);
        refused(f, "server.add", args, ERR_INVALID, cases[i].words);
    }
    json_t *args = server("bad");
    json_object_del(args, "host");
    refused(f, "server.add", args, ERR_INVALID, "host: is needed");
    args = server("bad");
    json_object_set_new(args, "group", json_string("nowhere"));
    refused(f, "server.add", args, ERR_NOT_FOUND, "nowhere");
    args = server("a/b");
    refused(f, "server.add", args, ERR_INVALID, "name");
    done(f, "server.add", server("one"));
    refused(f, "server.add", server("one"), ERR_CONFLICT, "one");
}

static void test_credentials_in_clear_are_warned_of(void **state)
{
    struct fixture *f = *state;
    json_t *args = server("clear");
    json_object_set_new(args, "tls", json_string("none"));
    json_object_set_new(args, "user", json_string("joe"));
    json_object_set_new(args, "password", json_string("x"));
    json_t *j = run(f, "server.add", args);
    must(j != NULL, f);
    const char *w = json_string_value(json_array_get(json_object_get(j, "warnings"), 0));
    assert_non_null(w);
    assert_non_null(strstr(w, "clear"));
    json_decref(j);
}

/* An export has no passwords, so reading it again must work; but nobody shall wonder about 535. */
static void test_a_user_without_password_is_warned_of(void **state)
{
    struct fixture *f = *state;
    json_t *args = server("halfway");
    json_object_set_new(args, "user", json_string("joe"));
    json_t *j = run(f, "server.add", args);
    must(j != NULL, f);
    const char *w = json_string_value(json_array_get(json_object_get(j, "warnings"), 0));
    assert_non_null(w);
    assert_non_null(strstr(w, "server set halfway --password-file"));
    json_decref(j);
    j = run(f, "server.set", json_pack("{s:s, s:s}", "name", "halfway", "password", "x"));
    must(j != NULL, f);
    assert_int_equal(json_array_size(json_object_get(j, "warnings")), 0);
    json_decref(j);
}

static void test_set_changes_only_what_it_names(void **state)
{
    struct fixture *f = *state;
    json_t *args = server("one");
    json_object_set_new(args, "user", json_string("joe"));
    json_object_set_new(args, "password", json_string("keep"));
    json_object_set_new(args, "per_day", json_integer(100));
    done(f, "server.add", args);
    json_t *j = run(f, "server.set",
                    json_pack("{s:s, s:n, s:s, s:i}", "name", "one", "per_day", "helo",
                              "out.example.com", "weight", 3));
    must(j != NULL, f);
    assert_true(json_is_null(json_object_get(j, "per_day")));
    assert_string_equal(text_of(j, "helo"), "out.example.com");
    assert_string_equal(text_of(j, "user"), "joe");
    assert_int_equal(number_of(j, "weight"), 3);
    json_decref(j);
    struct server *s = NULL;
    must(servers_get(f->db, f->secrets, "one", &s, &f->e), f);
    assert_true(str_is(secret_reveal(s->password), "keep"));
    server_free(&s);
    refused(f, "server.set", json_pack("{s:s, s:s}", "name", "one", "host", ""), ERR_INVALID,
            "host: cannot be empty");
    refused(f, "server.set", json_pack("{s:s}", "name", "two"), ERR_NOT_FOUND, "two");
}

static void test_clone_takes_password_and_groups_along(void **state)
{
    struct fixture *f = *state;
    done(f, "group.add", json_pack("{s:s, s:s}", "name", "fast", "strategy", "weighted"));
    json_t *args = server("one");
    json_object_set_new(args, "user", json_string("joe"));
    json_object_set_new(args, "password", json_string("pw"));
    json_object_set_new(args, "group", json_pack("[s]", "fast"));
    json_object_set_new(args, "weight", json_integer(7));
    done(f, "server.add", args);
    json_t *j = run(f, "server.clone",
                    json_pack("{s:s, s:s, s:i}", "name", "one", "new_name", "two", "port", 2525));
    must(j != NULL, f);
    assert_int_equal(number_of(j, "port"), 2525);
    assert_int_equal(number_of(j, "weight"), 7);
    json_decref(j);
    struct server *s = NULL;
    must(servers_get(f->db, f->secrets, "two", &s, &f->e), f);
    assert_true(str_is(secret_reveal(s->password), "pw"));
    server_free(&s);
}

static void test_admin_states(void **state)
{
    struct fixture *f = *state;
    static const char *const moves[][2] = {
        {"server.pause", "paused"}, {"server.drain", "draining"}, {"server.resume", "active"}};
    done(f, "server.add", server("one"));
    for (size_t i = 0; i < countof(moves); i++) {
        json_t *j = run(f, moves[i][0], json_pack("{s:s}", "name", "one"));
        must(j != NULL, f);
        assert_string_equal(text_of(j, "admin_state"), moves[i][1]);
        json_decref(j);
    }
    done(f, "server.remove", json_pack("{s:s}", "name", "one"));
    refused(f, "server.pause", json_pack("{s:s}", "name", "one"), ERR_NOT_FOUND, "one");
    done(f, "server.add", server("one")); /* the name is free again */
}

static void test_groups(void **state)
{
    struct fixture *f = *state;
    done(f, "group.add", json_pack("{s:s, s:s}", "name", "b", "strategy", "priority"));
    json_t *j = run(f, "group.add",
                    json_pack("{s:s, s:s, s:[s], s:s, s:s}", "name", "a", "strategy", "weighted",
                              "fallback", "b", "at_limit", "spill", "shares", "elastic"));
    must(j != NULL, f);
    assert_string_equal(text_of(j, "at_limit"), "spill");
    char *all = json_dumps(j, 0);
    assert_non_null(strstr(all, "\"fallback\": [\"b\"]"));
    free(all);
    json_decref(j);
    refused(f, "group.add", json_pack("{s:s, s:s}", "name", "c", "strategy", "best"), ERR_INVALID,
            "strategy: \"best\" is none of");
    refused(f, "group.add", json_pack("{s:s, s:i}", "name", "c", "rotate_active", 2), ERR_INVALID,
            "say when the set changes");
    refused(f, "group.set", json_pack("{s:s, s:s}", "name", "b", "fallback", "a"), ERR_INVALID, "");
    refused(f, "group.set", json_pack("{s:s, s:s}", "name", "b", "fallback", "z"), ERR_NOT_FOUND,
            "z");
    refused(f, "group.remove", json_pack("{s:s}", "name", "default"), ERR_REFUSED, "default");
    done(f, "group.remove", json_pack("{s:s}", "name", "b"));
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    json_t *j =
        run(f, "key.create",
            json_pack("{s:s, s:[s,s]}", "name", "app", "scope", "messages:send", "messages:read"));
    must(j != NULL, f);
    const char *key = text_of(j, "key");
    assert_int_equal(strncmp(key, "pf_live_", 8), 0);
    json_decref(j);
    refused(f, "key.create", json_pack("{s:s, s:s}", "name", "x", "scope", "everything"),
            ERR_INVALID, "scope:");
    refused(f, "key.create", json_pack("{s:s}", "name", "x"), ERR_INVALID, "scope:");
    refused(f, "key.create", json_pack("{s:s, s:s}", "name", "app", "scope", "*"), ERR_CONFLICT,
            "app");
    done(f, "key.revoke", json_pack("{s:s}", "name", "app"));
    refused(f, "key.revoke", json_pack("{s:s}", "name", "app"), ERR_NOT_FOUND, "app");
}

static void test_system(void **state)
{
    struct fixture *f = *state;
    done(f, "system.pause", json_object());
    assert_true(f->c.changed.bits & ADMIN_CHANGED_PAUSE);
    json_t *j = NULL;
    must(report_totals(f->db, &j, &f->e), f);
    assert_true(json_is_true(json_object_get(j, "paused")));
    json_decref(j);
    done(f, "system.resume", json_object());
    refused(f, "server.fly", json_object(), ERR_NOT_FOUND, "no such operation");
    assert_true(admin_has("server.add"));
    assert_false(admin_has("live.fleet"));
    assert_true(admin_reads_only("campaign.check"));
}

/* Whatever value stands in any field: an error or a success, never an abort. */
static void test_odd_values_in_every_field(void **state)
{
    struct fixture *f = *state;
    static const char *const fields[] = {"name",
                                         "host",
                                         "port",
                                         "tls",
                                         "tls_verify",
                                         "user",
                                         "password",
                                         "from",
                                         "reply_to",
                                         "return_path",
                                         "helo",
                                         "group",
                                         "weight",
                                         "priority",
                                         "per_second",
                                         "calendar",
                                         "pause_between",
                                         "counts",
                                         "max_connections",
                                         "header",
                                         "from_domain",
                                         "notes",
                                         "provider"};
    static const char *const values[] = {"null",
                                         "true",
                                         "\"\"",
                                         "[]",
                                         "{}",
                                         "[null]",
                                         "[[]]",
                                         "1e308",
                                         "-1",
                                         "9223372036854775807",
                                         "\"\\u202e\"",
                                         "\"\\ud83d\\ude00\"",
                                         "\"a\\u2028b\"",
                                         "\"%s%n\"",
                                         "\"' OR 1=1 --\"",
                                         "\"<script>alert(1)</script>\""};
    for (size_t i = 0; i < countof(fields); i++)
        for (size_t k = 0; k < countof(values); k++) {
            char name[32];
            snprintf(name, sizeof(name), "s%zu-%zu", i, k);
            json_t *args = server(name);
            json_object_set_new(args, fields[i], json_loads(values[k], JSON_DECODE_ANY, NULL));
            json_decref(run(f, "server.add", args));
        }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_add_shows_what_was_given),
        TEST(test_add_refuses_with_field_and_remedy),
        TEST(test_credentials_in_clear_are_warned_of),
        TEST(test_a_user_without_password_is_warned_of),
        TEST(test_set_changes_only_what_it_names),
        TEST(test_clone_takes_password_and_groups_along),
        TEST(test_admin_states),
        TEST(test_groups),
        TEST(test_keys),
        TEST(test_system),
        TEST(test_odd_values_in_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
