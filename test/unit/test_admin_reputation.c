/* Reputation over a real database and virtual hours: built-in rules fire on the hour counters and
 * on signals, servers come back by time, what is too much waits for a word, everything is undone by
 * release. */
#include "admin_fixture.h"

#include "engine/reputation_round.h"
#include "store/hours.h"
#include "store/results.h"

static void add_servers(struct fixture *f, int n)
{
    f->c.wall_ms = INT64_C(500000) * HOUR_MS;
    for (int i = 1; i <= n; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%d", i);
        done(f, "server.add",
             json_pack("{s:s,s:s,s:i,s:s}", "name", name, "host", "127.0.0.1", "port", 2525, "tls",
                       "none"));
    }
}

static void send(struct fixture *f, uint16_t num, const char *provider, enum verdict v, int n)
{
    struct hours *h = hours_new();
    struct outcome o = {.provider = str_of(provider), .took_at = f->c.wall_ms};
    o.a.server_num = num;
    o.a.verdict = v;
    for (int i = 0; i < n; i++)
        hours_count(h, &o);
    must(db_begin(f->db, &f->e) && hours_flush(h, f->db, &f->e) && db_commit(f->db, &f->e), f);
    hours_free(&h);
}

static void pass_hours(struct fixture *f, int n)
{
    f->c.wall_ms += n * HOUR_MS;
}

static json_t *look(struct fixture *f)
{
    json_t *j = run(f, "reputation.check", json_object());
    must(j != NULL, f);
    return j;
}

/* The standing of a server now, after a look at the rules. */
static const char *stage_of(struct fixture *f, const char *server)
{
    static char stage[32];
    json_t *j = look(f), *row;
    size_t i;
    snprintf(stage, sizeof stage, "good");
    json_array_foreach(json_object_get(j, "servers"), i, row)
    {
        if (!strcmp(text_of(row, "server"), server) && !*text_of(row, "provider"))
            snprintf(stage, sizeof stage, "%s", text_of(row, "stage"));
    }
    json_decref(j);
    return stage;
}

static size_t deeds(struct fixture *f, const char *state, char id_out[40])
{
    json_t *j = run(f, "reputation.status", json_object()), *row;
    size_t i, n = 0;
    must(j != NULL, f);
    json_array_foreach(json_object_get(j, "actions"), i, row)
    {
        if (strcmp(text_of(row, "state"), state) != 0)
            continue;
        n++;
        snprintf(id_out, 40, "%s", text_of(row, "id"));
    }
    json_decref(j);
    return n;
}

static void bad_and_good(struct fixture *f)
{
    for (uint16_t i = 1; i <= 3; i++)
        send(f, i, "gmail", VERDICT_ACCEPTED, 2000);
    send(f, 1, "gmail", VERDICT_HARD_BOUNCE, 300);
}

static void test_graded(void **state)
{
    struct fixture *f = *state;
    add_servers(f, 4);
    assert_string_equal(stage_of(f, "s1"), "good");
    bad_and_good(f);
    assert_string_equal(stage_of(f, "s1"), "lowered");
    assert_string_equal(stage_of(f, "s2"), "good");
    assert_string_equal(stage_of(f, "s1"), "lowered"); /* the same figures say nothing new */
    pass_hours(f, 4);
    assert_string_equal(stage_of(f, "s1"), "lowered");
    bad_and_good(f);
    assert_string_equal(stage_of(f, "s1"), "resting");
    pass_hours(f, 13);
    assert_string_equal(stage_of(f, "s1"), "probation");
    pass_hours(f, 25);
    assert_string_equal(stage_of(f, "s1"), "good");
    pass_hours(f, 1);
    assert_string_equal(stage_of(f, "s1"), "good");
}

static void test_volume(void **state)
{
    struct fixture *f = *state;
    add_servers(f, 4);
    send(f, 1, "gmail", VERDICT_ACCEPTED, 500);
    send(f, 1, "gmail", VERDICT_HARD_BOUNCE, 499);
    send(f, 2, "gmail", VERDICT_ACCEPTED, 5000);
    assert_string_equal(stage_of(f, "s1"), "good");
    send(f, 1, "gmail", VERDICT_HARD_BOUNCE, 1);
    assert_string_equal(stage_of(f, "s1"), "lowered");
}

static void test_signal(void **state)
{
    struct fixture *f = *state;
    add_servers(f, 4);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(stage_of(f, "s2"), "good"); /* said once is not confirmed */
        done(f, "signal",
             json_pack("{s:s,s:s,s:s}", "server", "s2", "kind", "dnsbl", "source",
                       "zen.example.org"));
    }
    assert_string_equal(stage_of(f, "s2"), "lowered");
    done(f, "signal",
         json_pack("{s:s,s:s,s:s,s:i}", "server", "s2", "kind", "dnsbl", "source",
                   "zen.example.org", "value", 0));
    pass_hours(f, 7);
    assert_string_equal(stage_of(f, "s2"), "good");
    refused(f, "signal",
            json_pack("{s:s,s:s,s:s}", "server", "s2", "kind", "rumour", "source", "x"),
            ERR_INVALID, "dnsbl");
}

static void test_blocks(void **state)
{
    struct fixture *f = *state;
    add_servers(f, 4);
    send(f, 3, "gmail", VERDICT_BLOCKED, 1);
    send(f, 3, "yahoo", VERDICT_BLOCKED, 1);
    assert_string_equal(stage_of(f, "s3"), "good");
    send(f, 3, "outlook", VERDICT_BLOCKED, 1);
    assert_string_equal(stage_of(f, "s3"), "quarantined");
    done(f, "reputation.release", json_pack("{s:s}", "server", "s3"));
    assert_string_equal(stage_of(f, "s3"), "good");
    pass_hours(f, 7); /* its cool-down is over: what was answered already does not count again */
    assert_string_equal(stage_of(f, "s3"), "good");
    refused(f, "reputation.release", json_pack("{s:s}", "server", "s3"), ERR_CONFLICT, "good");
}

static void test_half(void **state)
{
    struct fixture *f = *state;
    char id[40];
    add_servers(f, 2);
    for (uint16_t num = 1; num <= 2; num++) {
        send(f, num, "gmail", VERDICT_BLOCKED, 1);
        send(f, num, "yahoo", VERDICT_BLOCKED, 1);
        send(f, num, "outlook", VERDICT_BLOCKED, 1);
    }
    assert_string_equal(stage_of(f, "s1"), "quarantined"); /* just half of the group */
    assert_string_equal(stage_of(f, "s2"), "good");
    assert_int_equal(deeds(f, "pending", id), 1);
    done(f, "reputation.approve", json_pack("{s:s}", "id", id));
    assert_string_equal(stage_of(f, "s2"), "quarantined");
    refused(f, "reputation.approve", json_pack("{s:s}", "id", id), ERR_CONFLICT, "approved");
    refused(f, "reputation.approve", json_pack("{s:s}", "id", "rep_x"), ERR_INVALID, "id");
}

static void test_rules(void **state)
{
    struct fixture *f = *state;
    char id[40];
    add_servers(f, 4);
    refused(f, "reputation.add", json_pack("{s:s,s:s}", "name", "own", "action", "rest"),
            ERR_INVALID, "when");
    refused(f, "reputation.add",
            json_pack("{s:s,s:s,s:s}", "name", "own", "action", "rest", "when", "x > 1"),
            ERR_INVALID, "metrics");
    refused(f, "reputation.add",
            json_pack("{s:s,s:s,s:s,s:s}", "name", "own", "action", "lower", "when",
                      "block_rate > 1%", "scope", "provider"),
            ERR_INVALID, "provider");
    done(f, "reputation.add",
         json_pack("{s:s,s:s,s:s,s:s,s:i,s:b}", "name", "own", "action", "rest", "when",
                   "unknown_rate > 10%", "for", "2h", "volume", 10, "approval", 1));
    refused(f, "reputation.add",
            json_pack("{s:s,s:s,s:s}", "name", "own", "action", "rest", "when", "block_rate > 1%"),
            ERR_CONFLICT, "own");
    send(f, 4, "gmail", VERDICT_UNKNOWN, 20);
    assert_string_equal(stage_of(f, "s4"), "good");
    assert_int_equal(deeds(f, "pending", id), 1);
    done(f, "reputation.approve", json_pack("{s:s}", "id", id));
    assert_string_equal(stage_of(f, "s4"), "resting");
    done(f, "reputation.remove", json_pack("{s:s}", "name", "own"));
    refused(f, "reputation.remove", json_pack("{s:s}", "name", "dnsbl"), ERR_CONFLICT, "enabled");
    done(f, "reputation.set", json_pack("{s:s,s:b}", "name", "dnsbl", "enabled", 0));
    for (int i = 0; i < 3; i++)
        done(f, "signal",
             json_pack("{s:s,s:s,s:s}", "server", "s1", "kind", "dnsbl", "source",
                       "zen.example.org"));
    assert_string_equal(stage_of(f, "s1"), "good");
    done(f, "reputation.remove", json_pack("{s:s}", "name", "dnsbl")); /* as it came */
    assert_string_equal(stage_of(f, "s1"), "lowered");
}

static void test_provider_and_warmup(void **state)
{
    struct fixture *f = *state;
    add_servers(f, 4);
    done(f, "warmup.start",
         json_pack("{s:s,s:s,s:i,s:s}", "server", "s1", "curve", "10,20,30,40", "from_day", 4,
                   "provider", "gmail=50%"));
    done(f, "reputation.add",
         json_pack("{s:s,s:s,s:s,s:s,s:i}", "name", "slow", "action", "step-back", "when",
                   "deferral_rate > 10%", "scope", "provider", "volume", 10));
    done(f, "reputation.add",
         json_pack("{s:s,s:s,s:s,s:s,s:i}", "name", "shut", "action", "rest", "when",
                   "block_rate > 10%", "scope", "provider", "volume", 10));
    send(f, 1, "gmail", VERDICT_TRY_LATER, 20);
    send(f, 2, "yahoo", VERDICT_BLOCKED, 20);
    json_t *j = look(f), *rows = json_object_get(j, "servers");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(text_of(json_array_get(rows, 0), "provider"), "yahoo");
    assert_string_equal(text_of(json_array_get(rows, 0), "stage"), "resting");
    json_decref(j);
    struct stmt *s = db_stmt(
        f->db, "SELECT day, cap FROM warmup_line WHERE server_num = 1 ORDER BY provider", &f->e);
    bool row = false;
    must(s != NULL && db_step(s, &row, &f->e), f);
    assert_int_equal(db_i64(s, 0), 4); /* the server's own line stays */
    must(db_step(s, &row, &f->e), f);
    assert_int_equal(db_i64(s, 0), 2);
    assert_int_equal(db_i64(s, 1), 10);
    db_reset(s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_graded),
        TEST(test_volume),
        TEST(test_signal),
        TEST(test_blocks),
        TEST(test_half),
        TEST(test_rules),
        TEST(test_provider_and_warmup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
