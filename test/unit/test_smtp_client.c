/* The client's promises that transcripts cannot say well: what is in which write, slices, partial
 * writes, deadlines by the millisecond, ids, and a long life without growth. Dialogues with
 * servers of all kinds are in test/talk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "smtp/client.h"

struct bench {
    struct smtp_client *c;
    struct buf wire; /* all that was sent */
    struct smtp_event e;
    int64_t now;
};

static const char EHLO[] = "220 hi\r\n";
static const char CAPS[] = "250-x\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000\r\n";
static const char CHUNKING[] = "250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n";

static void input(struct bench *b, const char *s)
{
    smtp_client_input(b->c, str_of(s), b->now);
}

/* Writes at most `most` bytes of the next output. */
static size_t write_some(struct bench *b, size_t most)
{
    struct str slices[6];
    size_t n = smtp_client_output(b->c, slices, countof(slices)), taken = 0;

    for (size_t i = 0; i < n && taken < most; i++) {
        size_t part = MIN(slices[i].n, most - taken);
        buf_add(&b->wire, slices[i].p, part);
        taken += part;
    }
    if (taken > 0)
        smtp_client_sent(b->c, taken, b->now);
    return taken;
}

static const char *flush(struct bench *b)
{
    buf_clear(&b->wire);
    while (write_some(b, SIZE_MAX) > 0)
        continue;
    return buf_cstr(&b->wire);
}

static void expect(struct bench *b, enum smtp_event_kind kind, uint64_t id)
{
    assert_true(smtp_client_event(b->c, &b->e));
    assert_int_equal(b->e.kind, kind);
    assert_int_equal(b->e.id, id);
}

static void expect_done(struct bench *b, uint64_t id, enum smtp_end end, int code)
{
    expect(b, SMTP_EVENT_DONE, id);
    assert_int_equal(b->e.end, end);
    assert_int_equal(b->e.code, code);
}

static void expect_end(struct bench *b, enum smtp_end end)
{
    struct smtp_event none;

    expect(b, SMTP_EVENT_END, 0);
    assert_int_equal(b->e.end, end);
    assert_false(smtp_client_event(b->c, &none));
}

static void open_with(struct bench *b, const char *caps)
{
    struct smtp_client_config cfg = {.helo = "me.test",
                                     .ready_deadline = 10000,
                                     .reply_timeout_ms = 2000,
                                     .dot_timeout_ms = 5000,
                                     .transcript_max = 4096};
    *b = (struct bench){.now = 1000};
    buf_init(&b->wire, 16 << 20);
    b->c = smtp_client_new(&cfg, b->now);
    input(b, EHLO);
    assert_string_equal(flush(b), "EHLO me.test\r\n");
    input(b, caps);
    expect(b, SMTP_EVENT_READY, 0);
}

static void close_bench(struct bench *b)
{
    smtp_client_free(&b->c);
    buf_free(&b->wire);
}

static void give(struct bench *b, uint64_t id, struct str body)
{
    struct smtp_envelope e = {.id = id, .from = STR("a@x"), .rcpt = STR("b@y"), .body = body};

    e.has_leading_dot = body.n > 0 && (body.p[0] == '.' || str_find(body, STR("\n.")) >= 0);
    smtp_client_give(b->c, &e, b->now);
}

#define BODY        STR("S: x\r\n\r\nhi\r\n")
#define ENVELOPE_OK "250 ok\r\n250 ok\r\n354 go\r\n"

static void body_and_dot_leave_in_one_write(void **state)
{
    struct bench b;
    struct str slices[6];

    open_with(&b, CAPS);
    assert_int_equal(smtp_client_can_take(b.c), SMTP_TAKE_IDLE);
    give(&b, 7, BODY);
    expect(&b, SMTP_EVENT_BEGUN, 7);
    assert_string_equal(flush(&b), "MAIL FROM:<a@x> SIZE=12\r\nRCPT TO:<b@y>\r\nDATA\r\n");
    input(&b, ENVELOPE_OK);
    expect(&b, SMTP_EVENT_DOT_ASK, 7);
    smtp_client_permit_dot(b.c, 7, b.now);
    assert_false(smtp_client_dot_left(b.c, 7));
    assert_int_equal(smtp_client_output(b.c, slices, 6), 2);
    assert_ptr_equal(slices[0].p, BODY.p);
    assert_int_equal(write_some(&b, 1), 1);
    assert_true(smtp_client_dot_left(b.c, 7));
    assert_string_equal(flush(&b), ": x\r\n\r\nhi\r\n.\r\n");
    input(&b, "250 2.0.0 queued\r\n");
    expect_done(&b, 7, SMTP_END_ACCEPTED, 250);
    assert_int_equal(b.e.enhanced[0], 2);
    assert_memory_equal(b.e.text.p, "queued", 6);
    assert_int_equal(smtp_client_messages(b.c), 1);
    assert_int_equal(smtp_client_can_take(b.c), SMTP_TAKE_IDLE);
    close_bench(&b);
}

static void without_permit_the_end_is_held(void **state)
{
    struct bench b;

    open_with(&b, CAPS);
    give(&b, 7, STR(".a\r\n.\r\n"));
    flush(&b);
    input(&b, ENVELOPE_OK);
    assert_string_equal(flush(&b), "..a\r\n..");
    assert_false(smtp_client_dot_left(b.c, 7));
    assert_int_equal(smtp_client_deadline(b.c), INT64_MAX);
    smtp_client_permit_dot(b.c, 7, b.now);
    assert_int_equal(write_some(&b, 1), 1);
    assert_true(smtp_client_dot_left(b.c, 7));
    smtp_client_closed(b.c, b.now);
    expect(&b, SMTP_EVENT_BEGUN, 7);
    expect(&b, SMTP_EVENT_DOT_ASK, 7);
    expect_done(&b, 7, SMTP_END_UNCERTAIN, 0);
    expect_end(&b, SMTP_END_LOST);
    close_bench(&b);
}

static void bdat_leaves_in_one_write(void **state)
{
    struct bench b;

    open_with(&b, CHUNKING);
    give(&b, 7, STR(".a\r\n"));
    expect(&b, SMTP_EVENT_BEGUN, 7);
    assert_string_equal(flush(&b), "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n");
    input(&b, "250 ok\r\n250 ok\r\n");
    expect(&b, SMTP_EVENT_DOT_ASK, 7);
    assert_string_equal(flush(&b), "");
    smtp_client_permit_dot(b.c, 7, b.now);
    assert_string_equal(flush(&b), "BDAT 4 LAST\r\n.a\r\n");
    assert_true(smtp_client_dot_left(b.c, 7));
    input(&b, "250 ok\r\n");
    expect_done(&b, 7, SMTP_END_ACCEPTED, 250);
    give(&b, 8, STR(""));
    input(&b, "");
    flush(&b);
    input(&b, "250 ok\r\n250 ok\r\n");
    smtp_client_permit_dot(b.c, 8, b.now);
    assert_string_equal(flush(&b), "BDAT 0 LAST\r\n");
    assert_true(smtp_client_dot_left(b.c, 8));
    close_bench(&b);
}

static void run_message(struct bench *b, uint64_t id)
{
    give(b, id, BODY);
    expect(b, SMTP_EVENT_BEGUN, id);
    flush(b);
    input(b, ENVELOPE_OK);
    expect(b, SMTP_EVENT_DOT_ASK, id);
    smtp_client_permit_dot(b->c, id, b->now);
}

static void the_next_envelope_shares_the_dots_write(void **state)
{
    struct bench b;

    open_with(&b, CAPS);
    run_message(&b, 1);
    assert_int_equal(smtp_client_can_take(b.c), SMTP_TAKE_NO);
    flush(&b);
    input(&b, "250 ok\r\n");
    expect_done(&b, 1, SMTP_END_ACCEPTED, 250);
    run_message(&b, 2);
    assert_int_equal(smtp_client_can_take(b.c), SMTP_TAKE_BEHIND);
    give(&b, 3, BODY);
    assert_int_equal(smtp_client_can_take(b.c), SMTP_TAKE_NO);
    buf_clear(&b.wire);
    write_some(&b, SIZE_MAX);
    assert_string_equal(
        buf_cstr(&b.wire),
        "S: x\r\n\r\nhi\r\n.\r\nMAIL FROM:<a@x> SIZE=12\r\nRCPT TO:<b@y>\r\nDATA\r\n");
    assert_true(smtp_client_dot_left(b.c, 2));
    assert_false(smtp_client_dot_left(b.c, 3));
    expect(&b, SMTP_EVENT_BEGUN, 3);
    input(&b, "250 ok\r\n" ENVELOPE_OK);
    expect_done(&b, 2, SMTP_END_ACCEPTED, 250);
    expect(&b, SMTP_EVENT_DOT_ASK, 3);
    close_bench(&b);
}

static void partial_writes_change_nothing(void **state)
{
    static const char WANT[] = "MAIL FROM:<a@x> SIZE=16\r\nRCPT TO:<b@y>\r\nDATA\r\n"
                               "a\r\n..b\r\n....\r\nc\r\n.\r\n";

    for (size_t step = 1; step < 40; step++) {
        struct bench b;
        open_with(&b, CAPS);
        buf_clear(&b.wire);
        give(&b, 1, STR("a\r\n.b\r\n...\r\nc\r\n"));
        while (write_some(&b, step) > 0)
            continue;
        input(&b, ENVELOPE_OK);
        smtp_client_permit_dot(b.c, 1, b.now);
        while (write_some(&b, step) > 0)
            continue;
        assert_true(str_ends(buf_str(&b.wire), str_of(WANT + 25)));
        input(&b, "250 ok\r\n");
        expect(&b, SMTP_EVENT_BEGUN, 1);
        expect(&b, SMTP_EVENT_DOT_ASK, 1);
        expect_done(&b, 1, SMTP_END_ACCEPTED, 250);
        close_bench(&b);
    }
}

static void a_large_body_goes_in_parts(void **state)
{
    struct bench b;
    size_t n = 1 << 20;
    char *body = malloc(n);

    memset(body, 'x', n);
    memcpy(body + n - 2, "\r\n", 2);
    open_with(&b, CHUNKING);
    give(&b, 1, str_from(body, n));
    flush(&b);
    input(&b, "250 ok\r\n250 ok\r\n");
    smtp_client_permit_dot(b.c, 1, b.now);
    write_some(&b, SIZE_MAX);
    assert_false(smtp_client_dot_left(b.c, 1));
    flush(&b);
    assert_true(smtp_client_dot_left(b.c, 1));
    input(&b, "250 ok\r\n");
    assert_int_equal(smtp_client_messages(b.c), 1);
    close_bench(&b);
    free(body);
}

static void deadlines_are_per_reply(void **state)
{
    struct bench b;

    open_with(&b, CAPS);
    assert_int_equal(smtp_client_deadline(b.c), INT64_MAX);
    b.now = 2000;
    give(&b, 1, BODY);
    assert_int_equal(smtp_client_deadline(b.c), 4000);
    b.now = 2500;
    flush(&b);
    assert_int_equal(smtp_client_deadline(b.c), 4500);
    b.now = 3000;
    input(&b, "250 o");
    assert_int_equal(smtp_client_deadline(b.c), 4500);
    input(&b, "k\r\n");
    assert_int_equal(smtp_client_deadline(b.c), 5000);
    input(&b, "250 ok\r\n354 go\r\n");
    smtp_client_permit_dot(b.c, 1, b.now);
    flush(&b);
    assert_int_equal(smtp_client_deadline(b.c), 8000);
    smtp_client_tick(b.c, 7999);
    assert_int_equal(smtp_client_can_take(b.c), SMTP_TAKE_NO);
    smtp_client_tick(b.c, 8000);
    expect(&b, SMTP_EVENT_BEGUN, 1);
    expect(&b, SMTP_EVENT_DOT_ASK, 1);
    expect_done(&b, 1, SMTP_END_UNCERTAIN, 0);
    expect_end(&b, SMTP_END_TIMEOUT);
    assert_int_equal(b.e.phase, SMTP_PHASE_DOT);
    assert_int_equal(smtp_client_deadline(b.c), INT64_MAX);
    close_bench(&b);
}

static void a_peer_that_takes_nothing_is_left(void **state)
{
    struct bench b;

    open_with(&b, CAPS);
    run_message(&b, 1);
    b.now = 2500;
    write_some(&b, 3);
    assert_int_equal(smtp_client_deadline(b.c), 4500);
    smtp_client_tick(b.c, 4500);
    expect_done(&b, 1, SMTP_END_UNCERTAIN, 0);
    expect_end(&b, SMTP_END_TIMEOUT);
    close_bench(&b);
}

static void an_old_dot_says_nothing_about_a_new_try(void **state)
{
    struct bench b;

    open_with(&b, CAPS);
    run_message(&b, 1);
    flush(&b);
    input(&b, "451 later\r\n");
    expect_done(&b, 1, SMTP_END_REFUSED, 451);
    assert_true(smtp_client_dot_left(b.c, 1));
    give(&b, 1, BODY);
    assert_false(smtp_client_dot_left(b.c, 1));
    assert_true(smtp_client_withdraw(b.c, 1, b.now));
    assert_false(smtp_client_withdraw(b.c, 1, b.now));
    assert_false(smtp_client_withdraw(b.c, 99, b.now));
    close_bench(&b);
}

static void what_cannot_be_carried_is_said_at_once(void **state)
{
    static const struct smtp_envelope BAD[] = {
        {.from = {"a@x", 3}, .rcpt = {"b@y\r\nDATA", 9}},
        {.from = {"a@x\n", 4}, .rcpt = {"b@y", 3}},
        {.from = {"a@x", 3}, .rcpt = {"b\0@y", 4}},
        {.from = {"a@x", 3}, .rcpt = {"", 0}},
        {.from = {"\303\244@x", 4}, .rcpt = {"b@y", 3}},
        {.from = {"a@x", 3}, .rcpt = {"b@y", 3}, .needs_utf8 = true},
        {.from = {"a@x", 3}, .rcpt = {"b@y", 3}, .require_tls = true},
        {.from = {"a@x", 3}, .rcpt = {"b@y", 3}, .dsn_ret = {"FULL X", 6}},
        {.from = {"a@x", 3}, .rcpt = {"b@y", 3}, .body = {"", 100001}},
    };
    struct bench b;

    open_with(&b, CAPS);
    for (size_t i = 0; i < countof(BAD); i++) {
        struct smtp_envelope e = BAD[i];
        e.id = i + 1;
        smtp_client_give(b.c, &e, b.now);
        expect_done(&b, i + 1, SMTP_END_UNABLE, 0);
        assert_true(b.e.text.n > 0);
    }
    assert_string_equal(flush(&b), "");
    assert_int_equal(smtp_client_can_take(b.c), SMTP_TAKE_IDLE);
    close_bench(&b);
}

static void a_long_life_keeps_its_size(void **state)
{
    struct bench b;
    size_t length = 0;

    open_with(&b, CAPS);
    for (uint64_t id = 1; id <= 2000; id++) {
        run_message(&b, id);
        flush(&b);
        input(&b, "250 ok\r\n");
        expect_done(&b, id, SMTP_END_ACCEPTED, 250);
        size_t n = smtp_client_transcript(b.c).n;
        assert_true(id < 2 || n == length);
        length = n;
    }
    assert_int_equal(smtp_client_messages(b.c), 2000);
    close_bench(&b);
}

static void the_transcript_hides_secrets(void **state)
{
    struct bench b = {.now = 1000};
    struct secret *password = secret_new("tanstaaf", 8);
    struct smtp_client_config cfg = {.helo = "me",
                                     .user = "tim",
                                     .password = password,
                                     .ready_deadline = 10000,
                                     .reply_timeout_ms = 2000,
                                     .transcript_max = 4096};

    buf_init(&b.wire, 10000);
    b.c = smtp_client_new(&cfg, b.now);
    input(&b, EHLO);
    flush(&b);
    input(&b, "250-x\r\n250 AUTH PLAIN\r\n");
    assert_string_equal(flush(&b), "AUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\n");
    input(&b, "235 ok\r\n");
    expect(&b, SMTP_EVENT_READY, 0);
    struct str t = smtp_client_transcript(b.c);
    char *text = str_dup(t);
    assert_string_equal(text, "S: 220 hi\nC: EHLO me\nS: 250-x\nS: 250 AUTH PLAIN\n"
                              "C: AUTH PLAIN ***\nS: 235 ok\n");
    assert_string_equal(smtp_client_caps(b.c)->auth_used, "PLAIN");
    free(text);
    secret_free(&password);
    close_bench(&b);
}

static void a_small_transcript_stays_small(void **state)
{
    for (size_t max = 0; max < 300; max += 7) {
        struct smtp_client_config cfg = {
            .helo = "me", .ready_deadline = 10000, .reply_timeout_ms = 1, .transcript_max = max};
        struct bench b = {.now = 1};
        buf_init(&b.wire, 10000);
        b.c = smtp_client_new(&cfg, b.now);
        input(&b, EHLO);
        flush(&b);
        input(&b, CAPS);
        expect(&b, SMTP_EVENT_READY, 0);
        for (uint64_t id = 1; id < 4; id++) {
            run_message(&b, id);
            flush(&b);
            input(&b, "250 ok\r\n");
            expect_done(&b, id, SMTP_END_ACCEPTED, 250);
            assert_true(smtp_client_transcript(b.c).n <= max);
        }
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_and_dot_leave_in_one_write),
        cmocka_unit_test(without_permit_the_end_is_held),
        cmocka_unit_test(bdat_leaves_in_one_write),
        cmocka_unit_test(the_next_envelope_shares_the_dots_write),
        cmocka_unit_test(partial_writes_change_nothing),
        cmocka_unit_test(a_large_body_goes_in_parts),
        cmocka_unit_test(deadlines_are_per_reply),
        cmocka_unit_test(a_peer_that_takes_nothing_is_left),
        cmocka_unit_test(an_old_dot_says_nothing_about_a_new_try),
        cmocka_unit_test(what_cannot_be_carried_is_said_at_once),
        cmocka_unit_test(a_long_life_keeps_its_size),
        cmocka_unit_test(the_transcript_hides_secrets),
        cmocka_unit_test(a_small_transcript_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
