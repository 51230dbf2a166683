/* Server x mailbox provider: what opens a cell, for how long, how it comes back, what the server
 * bears and what the cell, and that cells neither pile up nor stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/cells.h"
#include "fleet/internal.h"
#include "fleet_test.h"

#define GMAIL   7
#define YAHOO   8
#define HOUR_MS 3600000

static struct pick ask(struct bed *b, uint16_t num, uint32_t provider)
{
    return bed_ask(b, &(struct ask){.group_num = 1, .keep_server = num, .provider = provider});
}

static bool reaches(struct bed *b, uint16_t num, uint32_t provider)
{
    struct pick p = ask(b, num, provider);
    if (p.kind != PICK_SEND)
        return false;
    fleet_return(b->f, &p.hold, b->now);
    return p.server_num == num;
}

static void carry(struct bed *b, uint16_t num, uint32_t provider)
{
    struct pick p = ask(b, num, provider);
    assert_int_equal(p.kind, PICK_SEND);
    assert_int_equal(p.server_num, num);
    bed_carry(b, &p.hold, 5);
}

/* The recipient is named, then the server or the way behind it fails. */
static void go_wrong(struct bed *b, uint16_t num, uint32_t provider)
{
    struct pick p = ask(b, num, provider);
    assert_int_equal(p.kind, PICK_SEND);
    assert_int_equal(p.server_num, num);
    bed_said(b, &p.hold, VERDICT_FAILOVER, FAULT_SERVER, PHASE_RCPT);
}

static void block(struct bed *b, uint16_t num, uint32_t provider)
{
    struct pick p = ask(b, num, provider);
    assert_int_equal(p.kind, PICK_SEND);
    bed_said(b, &p.hold, VERDICT_BLOCKED, FAULT_SERVER_PROVIDER, PHASE_RCPT);
}

static struct cell_view view(struct bed *b, uint16_t num, uint32_t provider)
{
    struct cell_view all[FLEET_CELLS_MAX];
    size_t n = fleet_cells(b->f, num, all, FLEET_CELLS_MAX);
    for (size_t i = 0; i < n; i++)
        if (all[i].provider == provider)
            return all[i];
    return (struct cell_view){.provider = provider};
}

/* 1, 2, 4, 4 hours; each time one message tries, and the others keep away. */
static void a_block_closes_the_cell_for_hours(void **state)
{
    (void)state;
    static const int64_t hours[] = {1, 2, 4, 4};
    struct bed b;
    bed_begin(&b, 1);
    struct hold two[2] = {ask(&b, 1, GMAIL).hold, ask(&b, 1, GMAIL).hold};
    for (int k = 0; k < 2; k++) /* two on their way: one closing */
        bed_said(&b, &two[k], VERDICT_BLOCKED, FAULT_SERVER_PROVIDER, PHASE_RCPT);
    for (size_t i = 0; i < countof(hours); i++) {
        assert_int_equal(b.state[1], OPER_HEALTHY);
        assert_int_equal(b.cell[1][GMAIL], OPER_OPEN);
        assert_int_equal(view(&b, 1, GMAIL).until - b.now, hours[i] * HOUR_MS);
        assert_string_equal(view(&b, 1, GMAIL).reason, BED_WORD);
        struct pick p = ask(&b, 0, GMAIL);
        assert_int_equal(p.kind, PICK_WAIT);
        assert_int_equal(p.bound, BOUND_PROVIDER);
        assert_int_equal(p.free_at, b.now + hours[i] * HOUR_MS);
        carry(&b, 1, YAHOO);
        b.now += hours[i] * HOUR_MS - 1;
        bed_tick(&b, 0);
        assert_int_equal(ask(&b, 0, GMAIL).kind, PICK_WAIT);
        b.now += 1;
        bed_tick(&b, 0);
        assert_int_equal(b.cell[1][GMAIL], OPER_HALF_OPEN);
        p = ask(&b, 0, GMAIL);
        assert_int_equal(p.kind, PICK_SEND);
        assert_int_equal(ask(&b, 0, GMAIL).kind, PICK_WAIT); /* one tries */
        bed_said(&b, &p.hold, VERDICT_BLOCKED, FAULT_SERVER_PROVIDER, PHASE_RCPT);
    }
    bed_free(&b);
}

static void comes_back_by_one_message_and_a_ramp(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    block(&b, 1, GMAIL);
    b.now += HOUR_MS;
    struct pick p = ask(&b, 0, GMAIL); /* its time is over, whether there was a tick or not */
    assert_int_equal(p.kind, PICK_SEND);
    assert_int_equal(b.cell[1][GMAIL], OPER_HALF_OPEN);
    fleet_return(b.f, &p.hold, b.now); /* it never went: another one may */
    carry(&b, 1, GMAIL);
    assert_int_equal(b.cell[1][GMAIL], OPER_RAMP);
    struct hold held[10];
    uint32_t early = 0, late = 0;
    for (p = ask(&b, 0, GMAIL); p.kind == PICK_SEND; p = ask(&b, 0, GMAIL))
        held[early++] = p.hold;
    assert_int_equal(early, 1); /* of ten connections */
    assert_true(reaches(&b, 1, YAHOO));
    b.now += 50000;
    for (p = ask(&b, 0, GMAIL); p.kind == PICK_SEND && early + late < 10; p = ask(&b, 0, GMAIL))
        held[early + late++] = p.hold;
    assert_in_range(late, 6, 8);
    for (uint32_t i = 0; i < early + late; i++)
        bed_carry(&b, &held[i], 5);
    b.now += 10000;
    bed_tick(&b, 0);
    assert_int_equal(b.cell[1][GMAIL], OPER_HEALTHY);
    bed_free(&b);
}

/* One sick provider: its messages fail, those of others are answered. The cell opens, not the
 * server, and for 15 s x n^2 like a server. */
static void faults_of_one_provider_are_its_cells(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    for (int64_t n = 1; n <= 4; n++) {
        for (int i = 0; b.cell[1][GMAIL] != OPER_OPEN; i++) {
            assert_true(i < (n == 1 ? 3 : 1)); /* three in a row; behind a half open one: one */
            carry(&b, 1, YAHOO);
            go_wrong(&b, 1, GMAIL);
        }
        int64_t ms = view(&b, 1, GMAIL).until - b.now, plain = 15000 * n * n;
        assert_in_range(ms, plain * 8 / 10, plain * 12 / 10);
        assert_int_equal(b.state[1], OPER_HEALTHY);
        assert_false(reaches(&b, 1, GMAIL));
        b.now += ms;
        bed_tick(&b, 0);
    }
    for (int i = 0; i < 60; i++) { /* not by their sum either */
        carry(&b, 1, YAHOO);
        b.now += 1000;
    }
    assert_int_equal(b.state[1], OPER_HEALTHY);
    bed_free(&b);
}

/* The first three messages are all of the sick provider, and in a row. */
static void a_row_of_one_provider_is_not_the_servers(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    carry(&b, 1, YAHOO);
    for (int i = 0; i < 3; i++)
        go_wrong(&b, 1, GMAIL);
    assert_int_equal(b.cell[1][GMAIL], OPER_OPEN);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    struct hold late = ask(&b, 1, YAHOO).hold; /* the row of the server began anew */
    bed_said(&b, &late, VERDICT_FAILOVER, FAULT_SERVER, PHASE_RCPT);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    bed_free(&b);
}

/* It has answered nobody yet, and refuses the first recipients, all of one provider: the narrower
 * word is tried first. Another provider's fault right behind, and it is the server after all. */
static void on_a_cold_start_the_provider_is_asked_first(void **state)
{
    (void)state;
    for (int sick = 0; sick < 2; sick++) {
        struct bed b;
        bed_init(&b);
        bed_simple(&b, STRATEGY_ROUND_ROBIN, 1, NULL);
        for (int i = 0; i < 3; i++)
            go_wrong(&b, 1, GMAIL);
        assert_int_equal(b.cell[1][GMAIL], OPER_OPEN);
        assert_int_equal(b.state[1], OPER_HEALTHY);
        if (sick)
            go_wrong(&b, 1, YAHOO);
        else
            carry(&b, 1, YAHOO);
        assert_int_equal(b.state[1], sick ? OPER_OPEN : OPER_HEALTHY);
        bed_free(&b);
    }
}

/* Nobody is answered: it is the server, and no cell is blamed. */
static void faults_of_all_are_the_servers(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    b.now += 61000; /* the last answer is long ago */
    go_wrong(&b, 1, GMAIL);
    go_wrong(&b, 1, YAHOO);
    go_wrong(&b, 1, GMAIL);
    assert_int_equal(b.state[1], OPER_OPEN);
    assert_int_equal(b.n_cell_changes, 0);
    bed_free(&b);
    bed_begin(&b, 2); /* and before the recipient is named nothing is a provider's */
    for (int i = 0; i < 3; i++) {
        struct pick p = ask(&b, 1, GMAIL);
        bed_said(&b, &p.hold, VERDICT_FAILOVER, FAULT_SERVER, PHASE_MAIL);
    }
    assert_int_equal(b.state[1], OPER_OPEN);
    assert_int_equal(b.n_cell_changes, 0);
    bed_free(&b);
}

/* What is lost behind the dot counts as it does for a server. */
static void losses_of_one_provider(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            carry(&b, 1, YAHOO);
        struct pick p = ask(&b, 1, GMAIL);
        int64_t when = 0;
        assert_int_equal(p.kind, PICK_SEND);
        assert_true(fleet_dot(b.f, &p.hold, b.now, &when));
        bed_finish(&b, &p.hold, VERDICT_UNCERTAIN, b.now, -1);
    }
    assert_int_equal(b.cell[1][GMAIL], OPER_OPEN);
    assert_int_equal(b.state[1], OPER_HEALTHY);
    assert_false(fleet_one_at_a_time(b.f, 1)); /* the third was the cell's */
    bed_free(&b);
}

static void others_of_the_group_carry_it(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    block(&b, 1, GMAIL);
    for (int i = 0; i < 10; i++) {
        struct pick p = bed_ask(&b, &(struct ask){.group_num = 1, .provider = GMAIL});
        assert_int_equal(p.kind, PICK_SEND);
        assert_int_equal(p.server_num, 2);
        bed_carry(&b, &p.hold, 5);
    }
    struct server_reason r[4];
    struct pick p;
    size_t n = 0;
    fleet_explain(b.f, &(struct ask){.group_num = 1, .lane = LANE_BULK, .provider = GMAIL}, b.now,
                  &p, r, 4, &n);
    assert_int_equal(n, 2);
    assert_int_equal(r[0].bound, BOUND_PROVIDER);
    assert_non_null(strstr(r[0].why, "open for this mailbox provider: " BED_WORD));
    bed_free(&b);
}

static void for_its_reputation(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    fleet_bar_provider(b.f, 1, GMAIL, "resting: dnsbl", b.now + HOUR_MS, b.now);
    assert_int_equal(b.cell[1][GMAIL], OPER_OPEN);
    uint32_t n = b.n_cell_changes;
    for (int i = 0; i < 5; i++) /* said again each minute: kept longer, no news */
        fleet_bar_provider(b.f, 1, GMAIL, "resting: dnsbl", b.now + 2 * HOUR_MS, b.now);
    assert_int_equal(b.n_cell_changes, n);
    b.now += 2 * HOUR_MS;
    bed_tick(&b, 0);
    assert_int_equal(b.cell[1][GMAIL], OPER_HALF_OPEN);
    fleet_bar_provider(b.f, 1, GMAIL, "resting: dnsbl", b.now + HOUR_MS, b.now);
    assert_int_equal(b.cell[1][GMAIL], OPER_OPEN);
    assert_int_equal(view(&b, 1, GMAIL).openings, 0); /* no opening of the breaker */
    bed_free(&b);
}

static void a_changed_setting_forgives(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    struct pick on_its_way = ask(&b, 1, GMAIL);
    block(&b, 1, GMAIL);
    struct pick p = ask(&b, 1, YAHOO);
    assert_int_equal(fleet_cells_closed(b.f), 1);
    b.servers[1]->updated_at++;
    bed_apply(&b, 1);
    assert_int_equal(b.cell[1][GMAIL], OPER_HEALTHY);
    assert_int_equal(fleet_cells_closed(b.f), 0);
    bed_carry(&b, &p.hold, 5);
    block(&b, 1, GMAIL); /* what was on its way belongs to no cell of now */
    bed_carry(&b, &on_its_way.hold, 5);
    assert_int_equal(view(&b, 1, GMAIL).in_flight, 0);
    bed_free(&b);
}

static void restored_it_is_open_as_it_was(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 1);
    fleet_restore_cell(b.f, 1, GMAIL, "rcpt: 550 blocked", b.now + HOUR_MS, 2, b.now);
    fleet_restore_cell(b.f, 9, GMAIL, "of a server that is gone", b.now, 1, b.now);
    assert_int_equal(b.n_cell_changes, 0); /* no news */
    b.cell[1][GMAIL] = OPER_OPEN;
    assert_false(reaches(&b, 1, GMAIL));
    assert_int_equal(view(&b, 1, GMAIL).openings, 2);
    assert_int_equal(fleet_cells_closed(b.f), 1);
    b.now += HOUR_MS;
    carry(&b, 1, GMAIL);
    assert_int_equal(b.cell[1][GMAIL], OPER_RAMP);
    bed_free(&b);
}

/* No more than its bound, and none when all is well. */
static void cells_do_not_pile_up(void **state)
{
    (void)state;
    struct bed b;
    bed_begin(&b, 2);
    struct fserver *s = fleet_find(b.f, 1);
    assert_null(s->cells);
    for (uint32_t provider = 1; provider < PROVIDERS; provider++) {
        block(&b, 1, provider);
        b.now += 1000;
        assert_true(s->n_cells <= FLEET_CELLS_MAX);
    }
    assert_int_equal(s->n_cells, FLEET_CELLS_MAX);
    assert_int_equal(fleet_cells_closed(b.f), FLEET_CELLS_MAX);
    b.now += 2 * HOUR_MS;
    for (uint32_t provider = 1; provider < PROVIDERS; provider++)
        carry(&b, 1, provider);
    b.now += 61000;
    bed_tick(&b, 0);
    assert_int_equal(fleet_cells_closed(b.f), 0);
    b.now += HOUR_MS; /* openings are remembered so long */
    bed_tick(&b, 0);
    assert_int_equal(s->n_cells, 0);
    assert_null(s->cells);
    go_wrong(&b, 1, GMAIL); /* a single fault is forgotten after a minute */
    assert_int_equal(s->n_cells, 1);
    b.now += 60000;
    bed_tick(&b, 0);
    assert_int_equal(s->n_cells, 0);
    bed_free(&b);
}

/* Anything may happen in any order: the counts of what is in flight stay true. */
static void at_random_nothing_is_left_behind(void **state)
{
    (void)state;
    static const enum verdict ends[] = {VERDICT_ACCEPTED, VERDICT_ACCEPTED,     VERDICT_FAILOVER,
                                        VERDICT_BLOCKED,  VERDICT_RATE_LIMITED, VERDICT_UNCERTAIN,
                                        VERDICT_TRY_LATER};
    struct bed b;
    struct hold held[64];
    uint32_t n = 0;
    bed_begin(&b, 3);
    for (int i = 0; i < 60000; i++) {
        struct pick p = {.kind = PICK_WAIT};
        if (n < countof(held))
            p = bed_ask(&b, &(struct ask){.group_num = 1, .provider = (uint32_t)bed_below(&b, 6)});
        if (p.kind == PICK_SEND)
            held[n++] = p.hold;
        if (n && bed_below(&b, 2)) {
            struct hold h = held[bed_below(&b, n)];
            for (uint32_t k = 0; k < n; k++)
                if (!memcmp(&held[k], &h, sizeof h)) {
                    held[k] = held[--n];
                    break;
                }
            enum verdict v = ends[bed_below(&b, countof(ends))];
            int64_t when = 0;
            if (v == VERDICT_ACCEPTED && fleet_dot(b.f, &h, b.now, &when))
                bed_finish(&b, &h, v, b.now, 5);
            else if (v == VERDICT_ACCEPTED)
                fleet_return(b.f, &h, b.now);
            else
                bed_said(&b, &h, v, v == VERDICT_BLOCKED ? FAULT_SERVER_PROVIDER : FAULT_SERVER,
                         PHASE_DOT);
        }
        b.now += (int64_t)bed_below(&b, 2000);
        uint16_t nums[8];
        size_t probes = fleet_tick(b.f, b.now, nums, 8);
        for (size_t k = 0; k < probes; k++)
            bed_probe(&b, nums[k], VERDICT_ACCEPTED, true);
    }
    while (n)
        fleet_return(b.f, &held[--n], b.now);
    size_t out = 0;
    for (uint16_t num = 1; num <= 3; num++) {
        struct cell_view all[FLEET_CELLS_MAX];
        size_t cells = fleet_cells(b.f, num, all, FLEET_CELLS_MAX);
        for (size_t i = 0; i < cells; i++) {
            assert_int_equal(all[i].in_flight, 0);
            assert_int_equal(all[i].state, b.cell[num][all[i].provider]);
            out += all[i].state == OPER_OPEN || all[i].state == OPER_HALF_OPEN ||
                   all[i].state == OPER_RAMP;
        }
    }
    assert_int_equal(out, fleet_cells_closed(b.f));
    assert_true(b.n_cell_changes > 100);
    bed_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_closes_the_cell_for_hours),
        cmocka_unit_test(comes_back_by_one_message_and_a_ramp),
        cmocka_unit_test(faults_of_one_provider_are_its_cells),
        cmocka_unit_test(a_row_of_one_provider_is_not_the_servers),
        cmocka_unit_test(on_a_cold_start_the_provider_is_asked_first),
        cmocka_unit_test(faults_of_all_are_the_servers),
        cmocka_unit_test(losses_of_one_provider),
        cmocka_unit_test(others_of_the_group_carry_it),
        cmocka_unit_test(for_its_reputation),
        cmocka_unit_test(a_changed_setting_forgives),
        cmocka_unit_test(restored_it_is_open_as_it_was),
        cmocka_unit_test(cells_do_not_pile_up),
        cmocka_unit_test(at_random_nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
