/* Warm-ups over virtual days: the operations, the turn of the day against a real database, what a
 * provider's own line does, idle servers, and a month that never goes above its curve. */
#include "admin_fixture.h"

#include "base/map.h"
#include "engine/warmup_day.h"
#include "engine/warmup_plan.h"
#include "store/hours.h"
#include "store/reports.h"
#include "store/results.h"

#define DAY   INT64_C(86400000)
#define DAY_0 (INT64_C(20700) * DAY)

static void add_server(struct fixture *f, const char *name)
{
    done(f, "server.add",
         json_pack("{s:s,s:s,s:i,s:s}", "name", name, "host", "127.0.0.1", "port", 2525, "tls",
                   "none"));
}

/* Attempts of server 1 on a day. */
static void send(struct fixture *f, int64_t day, const char *provider, enum verdict v, int n)
{
    struct hours *h = hours_new();
    struct outcome o = {.has_attempt = true,
                        .provider = str_of(provider),
                        .took = v == VERDICT_ACCEPTED,
                        .took_at = DAY_0 + day * DAY + DAY / 2};
    o.a.server_num = 1;
    o.a.verdict = v;
    for (int i = 0; i < n; i++)
        hours_count(h, &o);
    must(db_begin(f->db, &f->e) && hours_flush(h, f->db, &f->e) && db_commit(f->db, &f->e), f);
    hours_free(&h);
}

static void turn(struct fixture *f, int64_t day)
{
    struct warmup_turn t = {.db = f->db,
                            .ids = &f->ids,
                            .server_num = 1,
                            .now_ms = DAY_0 + day * DAY + 5,
                            .opened_at = DAY_0 + day * DAY,
                            .closes_at = DAY_0 + (day + 1) * DAY};
    must(db_begin(f->db, &f->e) && warmup_day_turn(&t, &f->e) && db_commit(f->db, &f->e), f);
}

static struct warmup_row row_of(struct fixture *f)
{
    struct warmup_row r;
    bool found = false;
    must(warmup_get(f->db, 1, &r, &found, &f->e), f);
    assert_true(found);
    free(r.plan);
    r.plan = NULL;
    return r;
}

static int64_t events_of(struct fixture *f, const char *kind)
{
    struct stmt *s = db_stmt(f->db, "SELECT COUNT(*) FROM event WHERE kind = $1", &f->e);
    bool row = false;
    must(s != NULL, f);
    db_bind_cstr(s, 1, kind);
    must(db_step(s, &row, &f->e), f);
    int64_t n = db_i64(s, 0);
    db_reset(s);
    return n;
}

static void start(struct fixture *f, const char *curve, const char *provider)
{
    f->c.wall_ms = DAY_0 + DAY / 4;
    add_server(f, "new");
    done(f, "warmup.start",
         json_pack("{s:s,s:s,s:s*}", "server", "new", "curve", curve, "provider", provider));
}

static void test_plans(void **state)
{
    struct fixture *f = *state;
    json_t *answer = run(f, "warmup.plans", json_object()), *plan;
    size_t i;
    must(answer != NULL, f);
    assert_int_equal(json_array_size(json_object_get(answer, "data")), 3);
    json_array_foreach(json_object_get(answer, "data"), i, plan)
    {
        struct warmup_plan *p = NULL;
        char *text = json_dumps(plan, 0);
        must(warmup_plan_read(text, &p, &f->e), f);
        assert_true(p->curve.n >= 14 && *text_of(plan, "title"));
        free(text);
        free(p);
    }
    json_decref(answer);
}

static void test_words(void **state)
{
    struct fixture *f = *state;
    add_server(f, "new");
    refused(f, "warmup.start", json_pack("{s:s}", "server", "new"), ERR_INVALID, "plan");
    refused(f, "warmup.start", json_pack("{s:s,s:s}", "server", "new", "plan", "quick"),
            ERR_NOT_FOUND, "standard-45");
    refused(f, "warmup.start", json_pack("{s:s,s:s}", "server", "old", "plan", "fast-14"),
            ERR_NOT_FOUND, "old");
    refused(f, "warmup.start", json_pack("{s:s,s:s}", "server", "new", "curve", "100,50"),
            ERR_INVALID, "never falling");
    refused(f, "warmup.start",
            json_pack("{s:s,s:s,s:s}", "server", "new", "curve", "50", "provider", "nobody=40%"),
            ERR_INVALID, "nobody");
    refused(f, "warmup.start",
            json_pack("{s:s,s:s,s:i}", "server", "new", "curve", "50,60", "from_day", 3),
            ERR_INVALID, "from_day");
    refused(f, "warmup.hold", json_pack("{s:s}", "server", "new"), ERR_NOT_FOUND, "not warming");
    done(f, "warmup.start", json_pack("{s:s,s:s}", "server", "new", "plan", "conservative-30"));
    assert_int_equal(f->c.changed.bits & ADMIN_CHANGED_SERVERS, ADMIN_CHANGED_SERVERS);
    refused(f, "warmup.start", json_pack("{s:s,s:s}", "server", "new", "plan", "fast-14"),
            ERR_CONFLICT, "already");
    struct warmup_row r = row_of(f);
    assert_int_equal(r.n_lines, 4);
    assert_int_equal(r.lines[0].cap, 50);
    assert_string_equal(r.lines[1].provider, "gmail");
    assert_int_equal(r.lines[1].cap, 20);
    assert_int_equal(r.classes, 0x07); /* no contact has a class: unknown ones may be written to */
    done(f, "warmup.stop", json_pack("{s:s}", "server", "new"));
    refused(f, "warmup.stop", json_pack("{s:s}", "server", "new"), ERR_NOT_FOUND, "not warming");
}

static void test_days(void **state)
{
    struct fixture *f = *state;
    start(f, "50,100,200,400", NULL);
    assert_int_equal(row_of(f).opened_at, 0);
    turn(f, 0);
    assert_int_equal(row_of(f).opened_at, DAY_0);
    assert_int_equal(row_of(f).lines[0].cap, 50);
    turn(f, 0); /* again: nothing happens */
    turn(f, 1); /* nothing was sent: the day does not count */
    assert_int_equal(row_of(f).lines[0].day, 1);
    send(f, 1, "gmail", VERDICT_ACCEPTED, 50);
    turn(f, 2);
    assert_int_equal(row_of(f).lines[0].day, 2);
    assert_int_equal(row_of(f).lines[0].cap, 100);
    send(f, 2, "gmail", VERDICT_ACCEPTED, 90);
    send(f, 2, "other", VERDICT_HARD_BOUNCE, 5);
    turn(f, 3); /* 5 of 95 */
    assert_int_equal(row_of(f).lines[0].day, 2);
    assert_non_null(strstr(row_of(f).lines[0].why, "hard bounces 5.26 %"));
    send(f, 3, "gmail", VERDICT_ACCEPTED, 100);
    turn(f, 4);
    assert_int_equal(row_of(f).lines[0].cap, 200);
    send(f, 4, "gmail", VERDICT_BLOCKED, 2);
    send(f, 4, "gmail", VERDICT_ACCEPTED, 100);
    turn(f, 5); /* two days back */
    assert_int_equal(row_of(f).lines[0].day, 1);
    assert_int_equal(row_of(f).lines[0].cap, 50);
    assert_int_equal(events_of(f, "warmup.advanced"), 2);
    assert_int_equal(events_of(f, "warmup.held"), 1);
    assert_int_equal(events_of(f, "warmup.stepped_back"), 1);
    for (int day = 5; day < 9; day++) {
        send(f, day, "gmail", VERDICT_ACCEPTED, 50);
        turn(f, day + 1);
    }
    assert_int_equal(row_of(f).state, WARMUP_FINISHED);
    assert_int_equal(row_of(f).n_lines, 0);
    assert_int_equal(row_of(f).classes, WARMUP_ALL_CLASSES);
    assert_int_equal(events_of(f, "warmup.finished"), 1);
}

static void test_provider_line(void **state)
{
    struct fixture *f = *state;
    start(f, "100,200,400", "gmail=20,40,80");
    turn(f, 0);
    send(f, 0, "gmail", VERDICT_ACCEPTED, 18);
    send(f, 0, "gmail", VERDICT_BLOCKED, 2);
    send(f, 0, "yahoo", VERDICT_ACCEPTED, 60);
    turn(f, 1); /* gmail's trouble is gmail's: the server goes on */
    struct warmup_row r = row_of(f);
    assert_int_equal(r.lines[0].day, 2);
    assert_int_equal(r.lines[0].cap, 200);
    assert_string_equal(r.lines[1].provider, "gmail");
    assert_int_equal(r.lines[1].day, 1);
    assert_int_equal(r.lines[1].cap, 20);
    send(f, 1, "gmail", VERDICT_ACCEPTED, 20);
    turn(f, 2);
    assert_int_equal(row_of(f).lines[0].day, 3);
    assert_int_equal(row_of(f).lines[1].day, 2);
    json_t *j = NULL;
    must(report_warmup(f->db, "new", &j, &f->e), f);
    assert_int_equal(number_of(j, "day"), 3);
    assert_int_equal(number_of(j, "next_cap"), 400);
    assert_int_equal(json_array_size(json_object_get(j, "past")), 4);
    assert_int_equal(json_array_size(json_object_get(j, "planned")), 3);
    json_decref(j);
}

static void test_hand(void **state)
{
    struct fixture *f = *state;
    start(f, "10,20,30,40", "gmail=50%");
    turn(f, 0);
    done(f, "warmup.hold", json_pack("{s:s}", "server", "new"));
    send(f, 0, "other", VERDICT_ACCEPTED, 10);
    turn(f, 1);
    assert_int_equal(row_of(f).lines[0].day, 1);
    done(f, "warmup.release", json_pack("{s:s}", "server", "new"));
    send(f, 1, "other", VERDICT_ACCEPTED, 10);
    turn(f, 2);
    assert_int_equal(row_of(f).lines[0].day, 2);
    done(f, "warmup.skip", json_pack("{s:s,s:i}", "server", "new", "days", 2));
    assert_int_equal(row_of(f).lines[0].cap, 40);
    assert_int_equal(row_of(f).lines[1].cap, 15); /* it sent nothing yet: day 1, then two further */
    assert_int_equal(row_of(f).opened_at, DAY_0 + 2 * DAY);
    refused(f, "warmup.skip", json_pack("{s:s}", "server", "new"), ERR_CONFLICT, "no 1 days");
}

static void test_idle(void **state)
{
    struct fixture *f = *state;
    start(f, "10,20,30,40", NULL);
    turn(f, 0);
    for (int day = 0; day < 2; day++) {
        send(f, day, "other", VERDICT_ACCEPTED, 5);
        turn(f, day + 1);
    }
    for (int day = 3; day < 31; day++)
        turn(f, day);
    assert_int_equal(row_of(f).state, WARMUP_WARMING);
    turn(f, 31);
    assert_int_equal(row_of(f).state, WARMUP_IDLE);
    assert_int_equal(row_of(f).lines[0].day, 3);
    assert_int_equal(row_of(f).lines[0].cap, 10);
    assert_int_equal(events_of(f, "warmup.idle"), 1);
    turn(f, 32);
    assert_int_equal(events_of(f, "warmup.idle"), 1);
    f->c.wall_ms = DAY_0 + 32 * DAY;
    done(f, "warmup.start", json_pack("{s:s,s:s}", "server", "new", "curve", "7,8"));
    assert_int_equal(row_of(f).state, WARMUP_WARMING);
    assert_int_equal(row_of(f).lines[0].cap, 7);
    turn(f, 33);
    assert_int_equal(row_of(f).state, WARMUP_WARMING);
}

/* Finished, then forgotten: asks for a new one, but bars nothing. */
static void test_idle_mature(void **state)
{
    struct fixture *f = *state;
    start(f, "10", NULL);
    turn(f, 0);
    send(f, 0, "other", VERDICT_ACCEPTED, 5);
    turn(f, 1);
    assert_int_equal(row_of(f).state, WARMUP_FINISHED);
    send(f, 4, "other", VERDICT_ACCEPTED, 500);
    for (int day = 2; day < 34; day++)
        turn(f, day);
    assert_int_equal(row_of(f).state, WARMUP_FINISHED);
    turn(f, 34);
    assert_int_equal(row_of(f).state, WARMUP_IDLE);
    assert_int_equal(row_of(f).n_lines, 0);
    done(f, "warmup.release", json_pack("{s:s}", "server", "new"));
    assert_int_equal(row_of(f).state, WARMUP_FINISHED);
}

/* A hundred days with days off, bad days, missed turns: the cap is always the curve's at its day.
 */
static void test_months(void **state)
{
    struct fixture *f = *state;
    struct warmup_curve c;
    uint64_t seed = 3;
    must(warmup_curve_parse(STR("linear:10-500/25"), &c, &f->e), f);
    start(f, "linear:10-500/25", NULL);
    turn(f, 0);
    uint32_t sending_days = 0;
    for (int day = 0; day < 100; day++) {
        struct warmup_row r = row_of(f);
        seed = hash_u64(seed + (uint64_t)day);
        if (r.state == WARMUP_FINISHED)
            break;
        assert_int_equal(r.lines[0].cap, warmup_cap(&c, r.lines[0].day));
        assert_true(r.lines[0].day <= sending_days + 1);
        if (seed % 5) {
            sending_days++;
            send(f, day, "other", VERDICT_ACCEPTED,
                 (int)(r.lines[0].cap * (10 + (seed >> 8) % 91) / 100 + 1));
            if (seed % 11 == 0)
                send(f, day, "other", VERDICT_TRY_LATER, (int)r.lines[0].cap);
        }
        if (seed % 7)
            turn(f, day + 1);
        else
            day++; /* the daemon was down over a midnight */
    }
    assert_int_equal(row_of(f).state, WARMUP_FINISHED);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plans), TEST(test_words), TEST(test_days),        TEST(test_provider_line),
        TEST(test_hand),  TEST(test_idle),  TEST(test_idle_mature), TEST(test_months),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
