/* Whose fault: a relay that refuses or defers everybody is found within 200 recipients and only it;
 * bad lists, greylisting, one dead domain and repeated recipients accuse nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/forecast.h"
#include "fleet/suspect.h"
#include "fleet_test.h"

struct scene {
    struct bed b;
    uint64_t next;           /* recipient */
    uint64_t domains;        /* how many */
    uint32_t n[SERVERS + 1]; /* messages answered, by server */
    uint32_t suspected;      /* servers that ever became it: a bit each */
    int64_t step_ms;
    enum verdict (*says)(struct scene *s, uint16_t num, uint64_t recipient);
};

static void begin(struct scene *s, uint16_t n, const uint32_t *weights)
{
    *s = (struct scene){.domains = 40, .step_ms = 5};
    bed_init(&s->b);
    bed_simple(&s->b, weights ? STRATEGY_WEIGHTED : STRATEGY_ROUND_ROBIN, n, weights);
    for (uint16_t i = 1; i <= n; i++) {
        s->b.servers[i]->limits.max_connections = 50;
        bed_apply(&s->b, i);
    }
}

static uint64_t domain_of(const struct scene *s, uint64_t recipient)
{
    return hash_u64(recipient * 13) % s->domains;
}

static void answer(struct scene *s, uint16_t num, uint64_t recipient, enum verdict v)
{
    bool taken = v == VERDICT_ACCEPTED;
    if (taken)
        assert_true(bed_dot(&s->b, num));
    bed_report(&s->b, &(struct report){.server_num = num,
                                       .is_message = true,
                                       .verdict = v,
                                       .fault = taken ? FAULT_NOBODY : FAULT_RECIPIENT,
                                       .phase = taken ? PHASE_DOT : PHASE_RCPT,
                                       .reply_read = true,
                                       .dot_left = taken,
                                       .dot_at = s->b.now,
                                       .latency_ms = taken ? 5 : -1,
                                       .recipient = hash_u64(recipient) | 1,
                                       .domain = domain_of(s, recipient),
                                       .why = "rcpt: 550 5.1.1 no such user"});
}

/* One message to the next recipient; the server that got it, 0: nobody now. */
static uint16_t send(struct scene *s)
{
    uint16_t num = bed_send(&s->b);
    if (!num) {
        s->b.now += 50;
        bed_tick(&s->b, 0);
        return 0;
    }
    uint64_t to = ++s->next;
    s->n[num]++;
    answer(s, num, to, s->says(s, num, to));
    s->b.now += s->step_ms;
    for (uint16_t i = 1; i < 32; i++)
        s->suspected |= (s->b.state[i] == OPER_SUSPECT) * (1u << i);
    return num;
}

static void send_many(struct scene *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        send(s);
        if (i % 20 == 0)
            bed_tick(&s->b, 0);
    }
}

static bool one_in(uint64_t recipient, uint32_t percent)
{
    return hash_u64(recipient * 7919) % 100 < percent;
}

static enum verdict first_bounces_all(struct scene *s, uint16_t num, uint64_t to)
{
    (void)s;
    return num == 1 || one_in(to, 2) ? VERDICT_HARD_BOUNCE : VERDICT_ACCEPTED;
}

static enum verdict first_defers_all(struct scene *s, uint16_t num, uint64_t to)
{
    (void)s, (void)to;
    return num == 1 ? VERDICT_TRY_LATER : VERDICT_ACCEPTED;
}

static void broken_beside_two(enum verdict (*says)(struct scene *, uint16_t, uint64_t),
                              const char *word)
{
    struct scene s;
    begin(&s, 3, NULL);
    s.says = says;
    send_many(&s, 900);
    struct server_view v = bed_view(&s.b, 1);
    assert_int_equal(v.state, OPER_SUSPECT);
    assert_true(s.n[1] <= 200);
    assert_true(s.n[1] >= 40);
    assert_int_equal(s.suspected, 1u << 1);
    assert_non_null(strstr(v.reason, word));
    assert_non_null(strstr(v.reason, "rest of the group"));
    assert_false(fleet_believes(s.b.f, 1, VERDICT_HARD_BOUNCE));
    assert_true(fleet_believes(s.b.f, 1, VERDICT_ACCEPTED));
    assert_true(fleet_believes(s.b.f, 2, VERDICT_HARD_BOUNCE));
    assert_int_equal(s.n[1] + s.n[2] + s.n[3], 900); /* the others got all the rest */
    bed_free(&s.b);
}

static void bounces_everybody(void **state)
{
    (void)state;
    broken_beside_two(first_bounces_all, "hard_bounce");
}

static void defers_everybody(void **state)
{
    (void)state;
    broken_beside_two(first_defers_all, "try_later");
}

/* Well for a long time, then it breaks: the window holds 200 good ones by then. */
static enum verdict breaks_later(struct scene *s, uint16_t num, uint64_t to)
{
    return num == 1 && to > 3000 ? VERDICT_UNKNOWN : first_bounces_all(s, 2, to);
}

static void breaks_in_the_middle(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 2, NULL);
    s.says = breaks_later;
    send_many(&s, 3000);
    assert_int_equal(s.suspected, 0);
    uint32_t before = s.n[1];
    send_many(&s, 1000);
    assert_int_equal(s.suspected, 1u << 1);
    assert_true(s.n[1] - before <= 200);
    bed_free(&s.b);
}

/* Two broken relays of four do not excuse one another. */
static enum verdict two_bounce_all(struct scene *s, uint16_t num, uint64_t to)
{
    return first_bounces_all(s, num <= 2 ? 1 : 2, to);
}

static void two_of_four(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 4, NULL);
    s.says = two_bounce_all;
    send_many(&s, 1200);
    assert_int_equal(s.suspected, 3u << 1);
    assert_true(s.n[1] <= 200 && s.n[2] <= 200);
    bed_free(&s.b);
}

/* ---- nobody is to blame */

static enum verdict bad_list(struct scene *s, uint16_t num, uint64_t to)
{
    (void)s, (void)num; /* a good begin, then 400 dead addresses in a row, then 35 % */
    bool dead = to > 2000 && (to <= 2400 || one_in(to, 35));
    return dead ? VERDICT_HARD_BOUNCE : VERDICT_ACCEPTED;
}

static void a_bad_list_accuses_nobody(void **state)
{
    (void)state;
    static const uint32_t uneven[] = {10, 1, 3};
    const uint32_t *weights[] = {NULL, uneven};
    for (size_t i = 0; i < countof(weights); i++) {
        struct scene s;
        begin(&s, 3, weights[i]);
        s.says = bad_list;
        send_many(&s, 8000);
        assert_int_equal(s.suspected, 0);
        bed_free(&s.b);
    }
}

/* 40 % of the domains greylist: first tries are refused by all of them, whoever comes. */
static enum verdict greylisted(struct scene *s, uint16_t num, uint64_t to)
{
    (void)num;
    return domain_of(s, to) < 16 ? VERDICT_TRY_LATER : VERDICT_ACCEPTED;
}

/* They know the old server, but not the new one. */
static enum verdict greylists_the_new(struct scene *s, uint16_t num, uint64_t to)
{
    return num == 3 ? greylisted(s, num, to) : VERDICT_ACCEPTED;
}

static void greylisting_accuses_nobody(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct scene s;
        begin(&s, 3, NULL);
        s.says = i ? greylists_the_new : greylisted;
        send_many(&s, 4000);
        assert_int_equal(s.suspected, 0);
        bed_free(&s.b);
    }
}

static enum verdict four_domains_gone(struct scene *s, uint16_t num, uint64_t to)
{
    return num == 1 && domain_of(s, to) < 4 ? VERDICT_HARD_BOUNCE : VERDICT_ACCEPTED;
}

static void four_domains_are_too_few(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 2, NULL);
    s.domains = 8;
    s.says = four_domains_gone;
    send_many(&s, 3000);
    assert_int_equal(s.suspected, 0);
    bed_free(&s.b);
}

/* Thirty dead addresses, asked for again and again, are thirty recipients. */
static void the_same_recipient_counts_once(void **state)
{
    (void)state;
    struct scene s;
    struct blame seen[FLEET_SIGHTS_MAX];
    begin(&s, 2, NULL);
    for (uint32_t i = 0; i < 6000; i++) {
        uint16_t num = bed_send(&s.b);
        bool dead = num == 1;
        answer(&s, num, dead ? i / 2 % 30 : 1000 + i, dead ? VERDICT_TRY_LATER : VERDICT_ACCEPTED);
        s.b.now += 5;
        assert_int_equal(s.b.state[1], OPER_HEALTHY);
    }
    assert_int_equal(fleet_sights(s.b.f, 1, seen, FLEET_SIGHTS_MAX), 1);
    assert_int_equal(seen[0].own.n, 30);
    for (uint32_t i = 0; i < 30; i++) /* greylisting: they are taken in the end */
        for (uint16_t num = 0; num != 1;) {
            num = bed_send(&s.b);
            answer(&s, num, num == 1 ? i : 9000 + i, VERDICT_ACCEPTED);
        }
    assert_int_equal(fleet_sights(s.b.f, 1, seen, FLEET_SIGHTS_MAX), 0);
    bed_free(&s.b);
}

/* ---- alone */

static enum verdict two_in_five(struct scene *s, uint16_t num, uint64_t to)
{
    (void)s, (void)num;
    return one_in(to, 40) ? VERDICT_HARD_BOUNCE : VERDICT_ACCEPTED;
}

static void alone_it_is_held(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 1, NULL);
    s.says = two_in_five;
    send_many(&s, 200);
    assert_int_equal(s.b.state[1], OPER_SUSPECT);
    assert_true(s.n[1] <= 110);
    assert_true(fleet_group_stalled(s.b.f, 1, s.b.now));
    assert_int_equal(bed_pick(&s.b).bound, BOUND_HEALTH);
    assert_true(fleet_release(s.b.f, 1, "by the user", s.b.now)); /* the list is like that */
    s.step_ms = 50;
    send_many(&s, 2000);
    assert_int_equal(s.b.state[1], OPER_HEALTHY);
    bed_free(&s.b);
}

static enum verdict one_in_eight(struct scene *s, uint16_t num, uint64_t to)
{
    (void)s, (void)num;
    return one_in(to, 12) ? VERDICT_HARD_BOUNCE : VERDICT_ACCEPTED;
}

static void alone_it_is_given_more_room(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 1, NULL);
    s.says = one_in_eight;
    send_many(&s, 5000);
    assert_int_equal(s.suspected, 0);
    bed_free(&s.b);
}

/* Only the first tier sends: it is held when the list is bad, and let go when the second one that
 * takes over meets the same. */
static void excused_by_the_one_that_takes_over(void **state)
{
    (void)state;
    static const uint32_t priorities[] = {1, 2};
    struct scene s;
    begin(&s, 2, NULL);
    bed_set_group(
        &s.b,
        &(struct bed_group){
            .num = 1, .strategy = STRATEGY_PRIORITY, .n = 2, .first = 1, .priorities = priorities});
    s.says = two_in_five;
    send_many(&s, 110);
    assert_int_equal(s.b.state[1], OPER_SUSPECT);
    s.step_ms = 50;
    send_many(&s, 150);
    assert_true(s.b.state[1] == OPER_RAMP || s.b.state[1] == OPER_HEALTHY);
    assert_int_equal(s.b.state[2], OPER_HEALTHY);
    bed_free(&s.b);
}

/* ---- and back */

static enum verdict well_again(struct scene *s, uint16_t num, uint64_t to)
{
    return s->b.now > START_MS + 850000 ? VERDICT_ACCEPTED : first_bounces_all(s, num, to);
}

static void run_until(struct scene *s, int64_t at)
{
    s->step_ms = 1000;
    while (s->b.now < at) {
        send(s);
        bed_tick(&s->b, 0);
    }
}

static void probation_one_at_a_time(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 2, NULL);
    s.says = well_again;
    send_many(&s, 300);
    assert_int_equal(s.b.state[1], OPER_SUSPECT);
    uint32_t before = s.n[1];
    int64_t until = bed_view(&s.b, 1).until;
    assert_int_equal(until - s.b.now > 800000, 1);
    run_until(&s, until - 2000);
    assert_int_equal(s.n[1], before); /* nothing before its time */
    s.b.now = until;
    bed_tick(&s.b, 0);
    uint16_t first = 0, others = 0;
    for (int i = 0; i < 6; i++) { /* not answered yet: only one for the suspect */
        uint16_t num = bed_send(&s.b);
        first += num == 1;
        others += num == 2;
    }
    assert_int_equal(first, 1);
    assert_int_equal(others, 5);
    answer(&s, 1, 777, VERDICT_HARD_BOUNCE);
    for (int i = 0; i < 5; i++)
        answer(&s, 2, 800 + (uint64_t)i, VERDICT_ACCEPTED);
    run_until(&s, s.b.now + 600000); /* the others of its ten are taken */
    assert_int_equal(s.b.state[1], OPER_HEALTHY);
    bed_free(&s.b);
}

static void still_broken_waits_longer(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 2, NULL);
    s.says = first_bounces_all;
    send_many(&s, 300);
    int64_t wait = 900000;
    for (int i = 0; i < 6; i++) {
        uint32_t before = s.n[1];
        int64_t until = bed_view(&s.b, 1).until;
        run_until(&s, until + 60000);
        assert_int_equal(s.b.state[1], OPER_SUSPECT);
        assert_int_equal(s.n[1] - before, 3); /* three of ten are too many */
        wait = MIN(wait * 2, (int64_t)14400000);
        int64_t next = bed_view(&s.b, 1).until - until;
        assert_true(next >= wait && next < wait + 60000);
    }
    bed_free(&s.b);
}

/* Who looks ahead while a server is suspect gets an answer: its probation is part of the copy. */
static void a_forecast_goes_past_a_suspect(void **state)
{
    struct bed b;
    struct forecast r;
    struct forecast_class k = {
        .group_num = 1, .provider_name = "other", .lane = LANE_BULK, .from_domain = "", .n = 5000};
    int64_t begins[] = {0, INT64_C(400) * 86400000};
    struct forecast_calendar utc = {begins, begins, 2, 2};
    struct forecast_server servers[] = {{1, "s1", 5000, 0}, {2, "s2", 5000, 0}};
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    assert_true(fleet_suspect(b.f, 1, VERDICT_HARD_BOUNCE, "5.1.1", b.now + 2000, b.now));
    struct fleet *copy = fleet_copy(b.f, (const uint32_t[]){1}, 1, b.now);
    struct forecast_in in = {.fleet = copy,
                             .now_ms = b.now,
                             .classes = &k,
                             .n_classes = 1,
                             .servers = servers,
                             .n_servers = 2,
                             .calendars = &utc,
                             .n_calendars = 1};
    forecast_run(&in, &r);
    assert_true(r.ends);
    assert_int_equal(r.sent, 5000);
    forecast_free(&r);
    fleet_free(&copy);
    bed_free(&b);
}

static void comes_back_suspect_after_a_restart(void **state)
{
    (void)state;
    struct scene s;
    begin(&s, 2, NULL);
    s.says = first_bounces_all;
    assert_true(
        fleet_suspect(s.b.f, 1, VERDICT_HARD_BOUNCE, "as before", s.b.now + 60000, s.b.now));
    assert_int_equal(fleet_suspected_of(s.b.f, 1), VERDICT_HARD_BOUNCE);
    run_until(&s, s.b.now + 59000);
    assert_int_equal(s.n[1], 0);
    run_until(&s, s.b.now + 60000);
    assert_int_equal(s.n[1], 3);
    assert_false(fleet_suspect(s.b.f, 99, VERDICT_HARD_BOUNCE, "none", 0, s.b.now));
    bed_free(&s.b);
}

/* By seed: groups of any size and weights, one broken at any rate over half, a list with up to a
 * tenth of dead addresses. It is found within 200 of its recipients; nobody else ever is. */
static struct {
    uint16_t broken;
    uint32_t rate, list;
    uint64_t seed;
} fate;

static enum verdict by_fate(struct scene *s, uint16_t num, uint64_t to)
{
    (void)s;
    uint64_t roll = hash_u64(to ^ fate.seed) % 100, server = hash_u64(to + fate.seed * 31) % 100;
    if (roll < fate.list)
        return VERDICT_HARD_BOUNCE;
    return num == fate.broken && server < fate.rate ? VERDICT_HARD_BOUNCE : VERDICT_ACCEPTED;
}

static void found_whatever_the_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct scene s;
        uint32_t weights[8];
        uint16_t n = (uint16_t)(2 + hash_u64(seed) % 7);
        for (uint16_t i = 0; i < n; i++)
            weights[i] = (uint32_t)(1 + hash_u64(seed * 64 + i) % 4);
        fate.seed = seed;
        fate.broken = seed % 5 ? (uint16_t)(1 + hash_u64(seed * 3) % n) : 0;
        fate.rate = (uint32_t)(60 + hash_u64(seed * 5) % 41);
        fate.list = (uint32_t)(hash_u64(seed * 9) % 10);
        begin(&s, n, weights);
        s.says = by_fate;
        send_many(&s, 4000);
        if (s.suspected != (fate.broken ? 1u << fate.broken : 0))
            fail_msg("seed %llu: suspected %x, broken %u, rate %u, list %u, n %u",
                     (unsigned long long)seed, s.suspected, fate.broken, fate.rate, fate.list, n);
        if (fate.broken)
            assert_true(s.n[fate.broken] <= 200);
        bed_free(&s.b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounces_everybody),
        cmocka_unit_test(defers_everybody),
        cmocka_unit_test(breaks_in_the_middle),
        cmocka_unit_test(two_of_four),
        cmocka_unit_test(a_bad_list_accuses_nobody),
        cmocka_unit_test(greylisting_accuses_nobody),
        cmocka_unit_test(four_domains_are_too_few),
        cmocka_unit_test(the_same_recipient_counts_once),
        cmocka_unit_test(alone_it_is_held),
        cmocka_unit_test(alone_it_is_given_more_room),
        cmocka_unit_test(excused_by_the_one_that_takes_over),
        cmocka_unit_test(probation_one_at_a_time),
        cmocka_unit_test(still_broken_waits_longer),
        cmocka_unit_test(comes_back_suspect_after_a_restart),
        cmocka_unit_test(a_forecast_goes_past_a_suspect),
        cmocka_unit_test(found_whatever_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
