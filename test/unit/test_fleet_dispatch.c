/* Door one: exact shares, tiers, busy servers, fallbacks, limits, and what speaks against a server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet_test.h"

#define PICKS 2000

static void round_robin_is_exact(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    for (int i = 0; i < 300; i++) {
        uint16_t num = bed_send(&b);
        assert_int_equal(num, i % 3 + 1);
        bed_accept(&b, num);
    }
    bed_free(&b);
}

/* Messages that may not go to A and B take C's turn only: the order stays. */
static void servers_put_aside_keep_their_turn(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    struct ask a = {.group_num = 1, .tried = {1, 2}, .n_tried = 2};
    struct pick p = bed_ask(&b, &a);
    assert_int_equal(p.server_num, 3);
    bed_accept(&b, 3);
    for (uint16_t i = 1; i <= 2; i++) {
        assert_int_equal(bed_send(&b), i);
        bed_accept(&b, i);
    }
    bed_free(&b);
}

/* A server that may not take what comes for long is not flooded when it may again. */
static void what_was_missed_is_not_made_up(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    for (int i = 0; i < 500; i++) {
        struct pick p = bed_ask(&b, &(struct ask){.group_num = 1, .tried = {1}, .n_tried = 1});
        assert_int_equal(p.server_num, 2);
        bed_accept(&b, 2);
    }
    int first = 0;
    for (int i = 0; i < 60; i++) {
        uint16_t num = bed_send(&b);
        first += num == 1;
        bed_accept(&b, num);
    }
    assert_in_range(first, 30, 30 + 11); /* twice its ten connections, at most, and half the rest */
    bed_free(&b);
}

struct flight {
    uint16_t nums[512];
    size_t n;
};

/* One picked message in three ends, in any order. */
static void land(struct bed *b, struct flight *f)
{
    while (f->n && bed_below(b, 3)) {
        size_t i = bed_below(b, f->n);
        bed_accept(b, f->nums[i]);
        f->nums[i] = f->nums[--f->n];
    }
}

static void share(struct bed *b, uint32_t *got)
{
    struct flight f = {.n = 0};
    for (int done = 0; done < PICKS;) {
        struct pick p = bed_pick(b);
        if (p.kind == PICK_SEND) {
            got[p.server_num]++;
            f.nums[f.n++] = p.server_num;
            done++;
        } else {
            assert_int_equal(p.bound, BOUND_BUSY);
            b->now += 1 + (int64_t)bed_below(b, 100);
        }
        land(b, &f);
    }
}

static void weights_are_shares(void **state)
{
    (void)state;
    static const uint32_t weights[] = {10, 5, 5};
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct bed b;
        uint32_t got[4] = {0};
        bed_init(&b);
        b.seed = seed;
        bed_simple(&b, STRATEGY_WEIGHTED, 3, weights);
        share(&b, got);
        if (labs((long)got[1] - 1000) > 3 || labs((long)got[2] - 500) > 3 ||
            labs((long)got[3] - 500) > 3)
            fail_msg("seed %llu: %u %u %u", (unsigned long long)seed, got[1], got[2], got[3]);
        bed_free(&b);
    }
}

static void any_weights_are_shares(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct bed b;
        uint32_t weights[20], got[21] = {0}, sum = 0;
        bed_init(&b);
        b.seed = seed;
        uint16_t n = (uint16_t)(2 + bed_below(&b, 19));
        for (uint16_t i = 0; i < n; i++)
            sum += weights[i] = (uint32_t)(1 + bed_below(&b, 100));
        bed_simple(&b, STRATEGY_WEIGHTED, n, weights);
        bed_warm(&b, 0);
        for (int i = 0; i < PICKS; i++) {
            uint16_t num = bed_send(&b);
            got[num]++;
            bed_accept(&b, num);
        }
        for (uint16_t i = 0; i < n; i++) {
            double want = (double)PICKS * weights[i] / sum;
            if (got[i + 1] > want + 2 || got[i + 1] < want - 2)
                fail_msg("seed %llu: %u of %.1f", (unsigned long long)seed, got[i + 1], want);
        }
        bed_free(&b);
    }
}

static void lowest_tier_first(void **state)
{
    (void)state;
    static const uint32_t priorities[] = {2, 1, 1, 3};
    struct bed b;
    bed_init(&b);
    for (uint16_t i = 1; i <= 4; i++)
        bed_server(&b, i);
    bed_set_group(
        &b,
        &(struct bed_group){
            .num = 1, .strategy = STRATEGY_PRIORITY, .n = 4, .first = 1, .priorities = priorities});
    for (int i = 0; i < 10; i++) {
        uint16_t num = bed_send(&b);
        assert_true(num == 2 || num == 3);
        bed_accept(&b, num);
    }
    b.servers[2]->admin = b.servers[3]->admin = ADMIN_PAUSED;
    bed_apply(&b, 2);
    bed_apply(&b, 3);
    assert_int_equal(bed_send(&b), 1);
    bed_accept(&b, 1);
    b.servers[1]->admin = ADMIN_DRAINING;
    bed_apply(&b, 1);
    assert_int_equal(bed_send(&b), 4);
    bed_accept(&b, 4);
    b.servers[3]->admin = ADMIN_ACTIVE;
    bed_apply(&b, 3);
    assert_int_equal(bed_send(&b), 3);
    bed_accept(&b, 3);
    bed_free(&b);
}

/* Two servers of one connection each; server 1 gets `n` messages that do not end. */
static void fill_first(struct bed *b, enum shares shares)
{
    bed_init(b);
    for (uint16_t i = 1; i <= 2; i++) {
        bed_server(b, i)->limits.max_connections = i == 1 ? 1 : 10;
        bed_apply(b, i);
    }
    bed_set_group(b, &(struct bed_group){.num = 1, .n = 2, .first = 1, .shares = shares});
    bed_warm(b, 2);
    for (int i = 0; i < 3; i++) { /* its connection and two ahead */
        assert_int_equal(bed_send(b), 1);
        assert_int_equal(bed_send(b), 2);
        bed_accept(b, 2);
    }
}

static void busy_keeps_its_turn_for_250_ms(void **state)
{
    (void)state;
    struct bed b;
    fill_first(&b, SHARES_EXACT);
    struct pick p = bed_pick(&b);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_BUSY);
    assert_int_equal(p.server_num, 1);
    assert_int_equal(p.until, b.now + 250);
    b.now += 249;
    assert_int_equal(bed_pick(&b).kind, PICK_WAIT);
    b.now += 1;
    for (int i = 0; i < 50; i++) { /* passed: the other one takes all */
        assert_int_equal(bed_send(&b), 2);
        bed_accept(&b, 2);
    }
    bed_accept(&b, 1); /* free again: its next turn, and no burst for the fifty it missed */
    uint32_t first = 0;
    for (int i = 0; i < 20; i++) {
        uint16_t num = bed_send(&b);
        first += num == 1;
        bed_accept(&b, num);
    }
    assert_in_range(first, 9, 11);
    bed_free(&b);
}

static void a_turn_kept_in_time_is_used(void **state)
{
    (void)state;
    struct bed b;
    fill_first(&b, SHARES_EXACT);
    assert_int_equal(bed_pick(&b).kind, PICK_WAIT);
    b.now += 200;
    bed_accept(&b, 1);
    assert_int_equal(bed_send(&b), 1);
    bed_free(&b);
}

static void elastic_owes_nothing(void **state)
{
    (void)state;
    struct bed b;
    fill_first(&b, SHARES_ELASTIC);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(bed_send(&b), 2);
        bed_accept(&b, 2);
    }
    bed_accept(&b, 1);
    uint32_t first = 0;
    for (int i = 0; i < 20; i++) {
        uint16_t num = bed_send(&b);
        first += num == 1;
        bed_accept(&b, num);
    }
    assert_in_range(first, 9, 11);
    bed_free(&b);
}

/* What comes back after a pause goes on at the group's time. */
static void no_burst_after_a_pause(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    b.servers[1]->admin = ADMIN_PAUSED;
    bed_apply(&b, 1);
    for (int i = 0; i < 1000; i++) {
        uint16_t num = bed_send(&b);
        assert_true(num == 2 || num == 3);
        bed_accept(&b, num);
    }
    b.servers[1]->admin = ADMIN_ACTIVE;
    bed_apply(&b, 1);
    uint32_t first = 0;
    for (int i = 0; i < 30; i++) {
        uint16_t num = bed_send(&b);
        first += num == 1;
        bed_accept(&b, num);
    }
    assert_in_range(first, 9, 11);
    bed_free(&b);
}

static void tried_servers_are_not_asked_again(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 4);
    struct ask a = {.group_num = 1};
    for (uint32_t i = 0; i < 4; i++) {
        struct pick p = bed_ask(&b, &a);
        assert_int_equal(p.kind, PICK_SEND);
        for (uint32_t k = 0; k < a.n_tried; k++)
            assert_int_not_equal(p.server_num, a.tried[k]);
        a.tried[a.n_tried++] = p.server_num;
        bed_accept(&b, p.server_num);
    }
    struct pick p = bed_ask(&b, &a);
    assert_int_equal(p.kind, PICK_GIVE_UP);
    assert_int_equal(p.bound, BOUND_TRIED);
    bed_free(&b);
}

/* More servers that may not send this From than any fixed table would hold. */
static void from_domains_are_kept(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    for (uint16_t i = 1; i <= SERVERS; i++) {
        struct server *s = bed_server(&b, i);
        s->from_domains = alloc_many(char *, 1);
        s->n_from_domains = 1;
        s->from_domains[0] = alloc_copy(i == SERVERS ? "mine.example" : "other.example");
        bed_apply(&b, i);
    }
    bed_set_group(&b, &(struct bed_group){.num = 1, .n = SERVERS, .first = 1});
    for (int i = 0; i < 5; i++) {
        struct pick p =
            bed_ask(&b, &(struct ask){.group_num = 1, .from_domain = STR("mine.example")});
        assert_int_equal(p.server_num, SERVERS);
        bed_accept(&b, SERVERS);
    }
    struct pick p = bed_ask(&b, &(struct ask){.group_num = 1, .from_domain = STR("no.example")});
    assert_int_equal(p.kind, PICK_GIVE_UP);
    assert_int_equal(p.bound, BOUND_FROM);
    bed_free(&b);
}

static void a_kept_server_carries_it_or_anybody(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 3);
    struct ask a = {.group_num = 1, .keep_server = 2};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(bed_ask(&b, &a).server_num, 2);
        bed_accept(&b, 2);
    }
    b.servers[2]->admin = ADMIN_PAUSED;
    bed_apply(&b, 2);
    uint16_t num = bed_ask(&b, &a).server_num;
    assert_true(num == 1 || num == 3);
    bed_accept(&b, num);
    bed_free(&b);
}

static void fallback_groups_in_order(void **state)
{
    (void)state;
    static const uint32_t fallbacks[] = {9, 2, 3};
    struct bed b;
    bed_init(&b);
    for (uint16_t i = 1; i <= 3; i++)
        bed_server(&b, i);
    bed_set_group(&b, &(struct bed_group){
                          .num = 1, .n = 1, .first = 1, .fallbacks = fallbacks, .n_fallbacks = 3});
    bed_set_group(&b, &(struct bed_group){.num = 2, .n = 1, .first = 2});
    bed_set_group(&b, &(struct bed_group){.num = 3, .n = 1, .first = 3});
    struct ask a = {.group_num = 1};
    for (uint16_t i = 1; i <= 3; i++) {
        struct pick p = bed_ask(&b, &a);
        assert_int_equal(p.server_num, i);
        assert_int_equal(p.group_num, i);
        bed_accept(&b, i);
        a.tried[a.n_tried++] = i;
    }
    assert_int_equal(bed_ask(&b, &a).kind, PICK_GIVE_UP);
    a.n_tried = 0;
    b.servers[1]->admin = ADMIN_PAUSED;
    bed_apply(&b, 1);
    assert_int_equal(bed_ask(&b, &a).server_num, 2);
    bed_accept(&b, 2);
    bed_free(&b);
}

static void at_limit_waits_or_spills(void **state)
{
    (void)state;
    static const uint32_t fallbacks[] = {2};
    for (int spill = 0; spill < 2; spill++) {
        struct bed b;
        bed_init(&b);
        for (uint16_t i = 1; i <= 3; i++)
            bed_server(&b, i);
        b.servers[1]->limits.per_hour = b.servers[2]->limits.per_hour = 2;
        bed_apply(&b, 1);
        bed_apply(&b, 2);
        bed_set_group(&b, &(struct bed_group){.num = 1,
                                              .n = 2,
                                              .first = 1,
                                              .at_limit = spill ? AT_LIMIT_SPILL : AT_LIMIT_WAIT,
                                              .fallbacks = fallbacks,
                                              .n_fallbacks = 1});
        bed_set_group(&b, &(struct bed_group){.num = 2, .n = 1, .first = 3});
        for (int i = 0; i < 4; i++) { /* the whole group is looked at: both are used up first */
            uint16_t num = bed_send(&b);
            assert_in_range(num, 1, 2);
            bed_accept(&b, num);
        }
        struct pick p = bed_pick(&b);
        assert_int_equal(p.kind, spill ? PICK_SEND : PICK_WAIT);
        if (spill)
            assert_int_equal(p.server_num, 3);
        else {
            assert_int_equal(p.bound, BOUND_QUOTA);
            assert_string_equal(p.why, "2 of 2 at a limit; 2 in the hour are used");
        }
        b.now += 3600000 + 60000; /* by itself, without any hand */
        if (!spill)
            assert_in_range(bed_send(&b), 1, 2);
        bed_free(&b);
    }
}

/* Asked again within a second, but people are told when the first quota frees. */
static void a_quota_says_when_it_frees(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 2, NULL);
    for (uint16_t i = 1; i <= 2; i++) {
        b.servers[i]->limits.per_hour = i;
        bed_apply(&b, i);
    }
    for (int left = 3; left > 0; left--)
        bed_accept(&b, bed_send(&b));
    struct pick p = bed_pick(&b);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_QUOTA);
    assert_true(p.until <= b.now + 1000);
    assert_in_range(p.free_at, (uint64_t)b.now + 3540 * 1000, (uint64_t)b.now + 3660 * 1000);
    b.servers[1]->admin = b.servers[2]->admin = ADMIN_PAUSED; /* time alone does not help */
    bed_apply(&b, 1);
    bed_apply(&b, 2);
    assert_int_equal(bed_pick(&b).free_at, 0);
    assert_string_equal(bed_pick(&b).why, "2 of 2 paused");
    bed_free(&b);
}

/* A limit that is not the server's own says its own time, not "now". */
static void a_shared_limit_says_when_it_frees(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    struct limit_key key = {.kind = LIMIT_SERVER_PROVIDER, .num = 1};
    char zone[] = "UTC";
    struct limits cap = {.per_day = 1, .calendar = zone, .spread = SPREAD_ASAP};
    int64_t midnight = b.now + 24 * 3600000;
    fleet_set_limit(b.f, &key, &cap, b.now);
    quota_open_calendar(fleet_limit(b.f, &key), QUOTA_DAY, b.now, midnight);
    b.now += 60000;
    assert_int_equal(bed_send(&b), 1);
    bed_accept(&b, 1);
    struct pick p = bed_pick(&b);
    assert_int_equal(p.bound, BOUND_QUOTA);
    assert_true(p.until <= b.now + 1000);
    assert_int_equal(p.free_at, midnight);
    assert_string_equal(p.why, "1 of 1 at a limit; this server for this mailbox provider: 1 in "
                               "the day are used");
    bed_free(&b);
}

static void one_at_a_time_until_the_canary_is_answered(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    assert_true(fleet_one_at_a_time(b.f, 1));
    assert_int_equal(fleet_connections(b.f, 1, b.now), 1);
    assert_int_equal(bed_send(&b), 1);
    assert_int_equal(bed_send(&b), 0);
    bed_end(&b, 1, VERDICT_TRY_LATER, PHASE_RCPT, true); /* a word, but no dot answered */
    assert_true(fleet_one_at_a_time(b.f, 1));
    assert_int_equal(bed_send(&b), 1);
    bed_accept(&b, 1);
    assert_false(fleet_one_at_a_time(b.f, 1));
    assert_int_equal(fleet_connections(b.f, 1, b.now), 10);
    assert_int_equal(fleet_transactions(b.f, 1, b.now), 10);
    bed_free(&b);
}

static void a_group_of_nobody_waits(void **state)
{
    (void)state;
    struct bed b;
    bed_init(&b);
    struct pick p = bed_pick(&b); /* no such group */
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_NO_SERVER);
    bed_set_group(&b, &(struct bed_group){.num = 1, .n = 0, .first = 1});
    p = bed_pick(&b);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_NO_SERVER);
    assert_true(fleet_group_stalled(b.f, 1, b.now));
    bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
    assert_false(fleet_group_stalled(b.f, 1, b.now));
    fleet_remove_server(b.f, 1, b.now);
    p = bed_pick(&b);
    assert_int_equal(p.kind, PICK_WAIT);
    assert_int_equal(p.bound, BOUND_ADMIN);
    assert_true(fleet_group_stalled(b.f, 1, b.now));
    fleet_remove_group(b.f, 1);
    assert_int_equal(bed_pick(&b).bound, BOUND_NO_SERVER);
    bed_free(&b);
}

/* Settings, groups, picks and reports in any order: never a server twice as deep as it may be. */
static void random_life(struct bed *b)
{
    struct flight f = {.n = 0};
    for (int i = 0; i < 3000; i++) {
        uint16_t num = (uint16_t)(1 + bed_below(b, 6));
        switch (bed_below(b, 14)) {
        case 0:
            b->servers[num]->admin = (enum admin_state)bed_below(b, 3);
            b->servers[num]->updated_at = (int64_t)bed_below(b, 3);
            b->servers[num]->limits.per_hour = bed_below(b, 2) ? 0 : 1 + bed_below(b, 200);
            b->servers[num]->limits.max_connections = 1 + (uint32_t)bed_below(b, 8);
            bed_apply(b, num);
            break;
        case 1:
            bed_set_group(b, &(struct bed_group){.num = 1 + (uint32_t)bed_below(b, 2),
                                                 .strategy = (enum strategy)bed_below(b, 3),
                                                 .n = (uint16_t)(1 + bed_below(b, 6)),
                                                 .first = 1});
            break;
        case 2: bed_tick(b, 0); break;
        case 3: bed_no_connection(b, num, bed_below(b, 2)); break;
        case 4: b->now += (int64_t)bed_below(b, 30000); break;
        case 5: bed_probe(b, num, bed_below(b, 2) ? VERDICT_ACCEPTED : VERDICT_FAILOVER, 0); break;
        default: {
            struct ask a = {.group_num = 1 + (uint32_t)bed_below(b, 2),
                            .provider = (uint32_t)bed_below(b, 3)};
            struct pick p = bed_ask(b, &a);
            if (p.kind == PICK_SEND && f.n < countof(f.nums))
                f.nums[f.n++] = p.server_num;
            else if (p.kind == PICK_SEND)
                bed_return(b, p.server_num);
        }
        }
        while (f.n && bed_below(b, 2)) {
            size_t at = bed_below(b, f.n);
            uint16_t s = f.nums[at];
            f.nums[at] = f.nums[--f.n];
            enum verdict v = (enum verdict)(1 + bed_below(b, VERDICT_COUNT - 1));
            if (bed_below(b, 4) == 0)
                bed_return(b, s);
            else if (v == VERDICT_ACCEPTED)
                bed_accept(b, s);
            else if (v == VERDICT_UNCERTAIN)
                bed_lose(b, s);
            else
                bed_end(b, s, v, (enum phase)(PHASE_CONNECT + bed_below(b, 9)), bed_below(b, 2));
        }
        struct server_view v = bed_view(b, num);
        assert_true(v.in_flight <= 3 * 8 + 1);
        assert_true(v.effective_weight >= 0 && v.effective_weight <= 1);
    }
    while (f.n)
        bed_return(b, f.nums[--f.n]);
}

static void any_life_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct bed b;
        bed_init(&b);
        b.seed = seed;
        bed_simple(&b, STRATEGY_ROUND_ROBIN, 6, NULL);
        random_life(&b);
        for (uint16_t i = 1; i <= 6; i++) { /* all are well again: everybody sends in the end */
            b.servers[i]->admin = ADMIN_ACTIVE;
            b.servers[i]->limits.per_hour = 0;
            bed_apply(&b, i);
        }
        bed_set_group(&b, &(struct bed_group){.num = 1, .n = 6, .first = 1});
        uint32_t got[7] = {0};
        for (int i = 0; i < 20000; i++) {
            uint16_t nums[64];
            size_t n = fleet_tick(b.f, b.now, nums, 64);
            for (size_t k = 0; k < n; k++)
                bed_probe(&b, nums[k], VERDICT_ACCEPTED, true);
            uint16_t num = bed_send(&b);
            if (num) {
                got[num] += i > 10000;
                if (bed_dot(&b, num))
                    bed_report(&b, &(struct report){.server_num = num,
                                                    .is_message = true,
                                                    .verdict = VERDICT_ACCEPTED,
                                                    .phase = PHASE_DOT,
                                                    .reply_read = true,
                                                    .dot_left = true,
                                                    .dot_at = b.now});
            }
            b.now += 3000;
        }
        for (uint16_t i = 1; i <= 6; i++)
            if (!got[i])
                fail_msg("seed %llu: server %u never sends again: %s, %s", (unsigned long long)seed,
                         i, oper_state_name(b.state[i]), bed_view(&b, i).reason);
        bed_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_is_exact),
        cmocka_unit_test(servers_put_aside_keep_their_turn),
        cmocka_unit_test(what_was_missed_is_not_made_up),
        cmocka_unit_test(weights_are_shares),
        cmocka_unit_test(any_weights_are_shares),
        cmocka_unit_test(lowest_tier_first),
        cmocka_unit_test(busy_keeps_its_turn_for_250_ms),
        cmocka_unit_test(a_turn_kept_in_time_is_used),
        cmocka_unit_test(elastic_owes_nothing),
        cmocka_unit_test(no_burst_after_a_pause),
        cmocka_unit_test(tried_servers_are_not_asked_again),
        cmocka_unit_test(from_domains_are_kept),
        cmocka_unit_test(a_kept_server_carries_it_or_anybody),
        cmocka_unit_test(fallback_groups_in_order),
        cmocka_unit_test(at_limit_waits_or_spills),
        cmocka_unit_test(a_quota_says_when_it_frees),
        cmocka_unit_test(a_shared_limit_says_when_it_frees),
        cmocka_unit_test(one_at_a_time_until_the_canary_is_answered),
        cmocka_unit_test(a_group_of_nobody_waits),
        cmocka_unit_test(any_life_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
