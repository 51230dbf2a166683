/* What answers mean: the traps by name, transport losses, reply forms, stated delays, the shared
 * corpus of real replies (at least 85 % in a class that counts as right), and robustness against
 * replies cut at every byte and against garbage. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/alloc.h"
#include "feedback/classify.h"
#include "feedback/rules.h"

static void classify_line(struct str line, struct answer *a, struct classification *c)
{
    static char scratch[8192];
    answer_parse_line(line, a, scratch, sizeof(scratch));
    classify_answer(rules_builtin(), a, c);
}

static void traps_are_seen(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum verdict verdict;
        enum fault fault;
        bool permanent;
    } cases[] = {
        {"mail\t454 Throttling failure: Maximum sending rate exceeded.", VERDICT_RATE_LIMITED,
         FAULT_SERVER, false},
        {"auth\t454 4.7.0 Temporary authentication failure", VERDICT_AUTH_CONFIG, FAULT_SERVER,
         false},
        {"dot\t254 4.7.1 Recipient is on the suppression list", VERDICT_ACCEPTED, FAULT_NOBODY,
         false},
        {"dot\t403 The from address does not match a verified Sender Identity", VERDICT_AUTH_CONFIG,
         FAULT_SERVER_FROM, true},
        {"dot\t421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred",
         VERDICT_BLOCKED, FAULT_SERVER_PROVIDER, true},
        {"dot\t421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", VERDICT_BLOCKED,
         FAULT_SERVER_PROVIDER, false},
        {"rcpt\t450 4.2.1 The user you are trying to contact is receiving mail too quickly",
         VERDICT_TRY_LATER, FAULT_RECIPIENT, false},
        {"rcpt\t450 4.2.1 Peak SMTP relay limit exceeded", VERDICT_RATE_LIMITED, FAULT_SERVER,
         false},
        {"dot\t550 5.4.5 Daily user sending limit exceeded", VERDICT_QUOTA, FAULT_SERVER, false},
        {"rcpt\t552 Too many recipients", VERDICT_TRY_LATER, FAULT_RECIPIENT, false},
        {"rcpt\t552 5.2.2 Mailbox full", VERDICT_SOFT_BOUNCE, FAULT_RECIPIENT, true},
        {"rcpt\t452 4.2.2 Mailbox full", VERDICT_SOFT_BOUNCE, FAULT_RECIPIENT, false},
        {"auth\t535 5.7.8 no", VERDICT_AUTH_CONFIG, FAULT_SERVER, true},
        {"rcpt\t554 5.7.1 <a@b.example>: Relay access denied", VERDICT_AUTH_CONFIG, FAULT_SERVER,
         true},
        {"dot\t550 5.7.1 This message looks like spam", VERDICT_CONTENT, FAULT_CAMPAIGN, true},
        {"dot\t550 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org", VERDICT_BLOCKED,
         FAULT_SERVER_PROVIDER, true},
        {"dot\t550 5.7.606 Access denied", VERDICT_BLOCKED, FAULT_SERVER_PROVIDER, true},
        {"dot\t451 4.3.2 Please try again later", VERDICT_FAILOVER, FAULT_SERVER, false},
        {"mail\t550 5.1.8 sender rejected", VERDICT_FAILOVER, FAULT_SERVER_FROM, true},
        {"mail\t451 no", VERDICT_FAILOVER, FAULT_SERVER, false},
        {"greeting\t554 5.7.1 go away", VERDICT_FAILOVER, FAULT_SERVER, false},
        {"rcpt\t550 no words of any meaning", VERDICT_UNKNOWN, FAULT_MESSAGE, true},
        {"rcpt\t550 5.1.1 =HYPERLINK(\"http://evil\",\"x\")", VERDICT_HARD_BOUNCE, FAULT_RECIPIENT,
         true},
        {"rcpt\t450 4.1.1 User unknown", VERDICT_TRY_LATER, FAULT_RECIPIENT, false},
        {"mail\t550 mailbox unavailable", VERDICT_FAILOVER, FAULT_SERVER_FROM, true},
        {"rcpt\t503 5.5.1 bad sequence", VERDICT_PROTOCOL, FAULT_MESSAGE, true},
        {"dot\t354 again", VERDICT_PROTOCOL, FAULT_MESSAGE, false},
        {"rcpt\t251 will forward", VERDICT_ACCEPTED, FAULT_NOBODY, false},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct answer a;
        struct classification c;
        classify_line(str_of(cases[i].line), &a, &c);
        if (c.verdict != cases[i].verdict || c.fault != cases[i].fault ||
            c.permanent != cases[i].permanent)
            fail_msg("%s: %s, %s, permanent %d by %s", cases[i].line, verdict_name(c.verdict),
                     fault_name(c.fault), c.permanent, c.rule);
        assert_int_equal(c.provider_suppressed, str_is(str_of(c.rule), "accepted.suppressed"));
    }
}

static void losses_before_and_after_the_dot(void **state)
{
    (void)state;
    for (int loss = LOSS_TIMEOUT; loss <= LOSS_PROTOCOL; loss++)
        for (int after = 0; after < 2; after++) {
            struct answer a = {.phase = after ? PHASE_DOT : PHASE_MAIL,
                               .loss = (enum loss)loss,
                               .after_dot = after};
            struct classification c;
            classify_answer(rules_builtin(), &a, &c);
            enum verdict want = after                      ? VERDICT_UNCERTAIN
                                : loss == LOSS_CERTIFICATE ? VERDICT_AUTH_CONFIG
                                                           : VERDICT_FAILOVER;
            assert_int_equal(c.verdict, want);
            assert_int_equal(c.fault, after ? FAULT_NOBODY : FAULT_SERVER);
            assert_true(c.rule[0]);
        }
}

static void profiles_decide_what_words_do_not(void **state)
{
    (void)state;
    struct answer a = {
        .phase = PHASE_DOT, .code = 403, .text = STR("Forbidden"), .profile = STR("sendgrid")};
    struct classification c;
    classify_answer(rules_builtin(), &a, &c);
    assert_int_equal(c.verdict, VERDICT_AUTH_CONFIG);
    assert_true(c.permanent);
    a.profile = STR_NONE;
    classify_answer(rules_builtin(), &a, &c);
    assert_int_equal(c.verdict, VERDICT_TRY_LATER);
}

static void replies_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        int code;
        uint8_t e[3];
        const char *text;
    } cases[] = {
        {"550-5.1.1 one\r\n550 5.1.1 two\r\n", 550, {5, 1, 1}, "one two"},
        {"550 two", 550, {0, 0, 0}, "two"},
        {"550", 550, {0, 0, 0}, ""},
        {"550: 5.2.2 full", 550, {5, 2, 2}, "full"},
        {"550 - 5.2.2 full", 550, {5, 2, 2}, "full"},
        {"550 5.7.606 denied", 550, {5, 7, 255}, "5.7.606 denied"},
        {"550 5.1.1.1 is an address", 550, {0, 0, 0}, "5.1.1.1 is an address"},
        {"5501 no code", 0, {0, 0, 0}, "5501 no code"},
        {"host m said: 550 5.1.1 no", 550, {5, 1, 1}, "host m said: 550 5.1.1 no"},
        {"returned '452 4.2.2 x'", 452, {4, 2, 2}, "returned '452 4.2.2 x'"},
        {"#5.1.2 gone", 0, {5, 1, 2}, "#5.1.2 gone"},
        {"we waited 550 minutes at 4.4.4.4", 0, {0, 0, 0}, "we waited 550 minutes at 4.4.4.4"},
        {"", 0, {0, 0, 0}, ""},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct answer a = {0};
        char scratch[256];
        answer_parse_reply(str_of(cases[i].raw), &a, scratch, sizeof(scratch));
        if (a.code != cases[i].code || memcmp(a.enhanced, cases[i].e, 3) != 0 ||
            !str_is(a.text, cases[i].text))
            fail_msg("%s: %d %d.%d.%d `" STR_F "`", cases[i].raw, a.code, a.enhanced[0],
                     a.enhanced[1], a.enhanced[2], STR_A(a.text));
    }
    struct answer a;
    char tiny[4];
    answer_parse_line(STR("dot\t550-5.1.1 one\n550 two"), &a, tiny, sizeof(tiny));
    assert_int_equal(a.phase, PHASE_DOT);
    assert_int_equal(a.code, 550);
    assert_true(a.text.n <= sizeof(tiny));
}

static void delays_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"try again in 5 minutes", 300000},
        {"please retry after 300 seconds", 300000},
        {"Greylisted for 60 seconds", 60000},
        {"Greylisting in action, please come back in 00:04:58", 298000},
        {"come back in 5min", 300000},
        {"try again in 1 hour", 3600000},
        {"retry in 90s", 90000},
        {"wait 2 days before trying", 86400000},
        {"please try again after 10 mins", 600000},
        {"Bitte versuchen Sie es in 15 Minuten erneut", 900000},
        {"Message expired after 840 minutes", 0},
        {"try again later", 0},
        {"try again, id 12345", 0},
        {"5 minutes have passed", 0},
        {"", 0},
    };
    for (size_t i = 0; i < countof(cases); i++)
        if (answer_wait_ms(str_of(cases[i].text)) != cases[i].ms)
            fail_msg("%s: %lld", cases[i].text, (long long)answer_wait_ms(str_of(cases[i].text)));
    assert_int_equal(answer_wait_ms(STR("Message expired after 840 minutes")), 0);
    assert_int_equal(answer_wait_ms(STR("try again, id 12345")), 0);
}

static char *read_file(const char *name, size_t *n_out)
{
    const char *shared = getenv("POSTFLEET_SHARED"), *root = getenv("POSTFLEET_SOURCE_ROOT");
    char path[1024];
    if (shared)
        snprintf(path, sizeof(path), "%s/%s", shared, name);
    else
        snprintf(path, sizeof(path), "%s/../shared/corpora/%s", root ? root : ".", name);
    FILE *f = fopen(path, "rb");
    if (!f && shared) {
        snprintf(path, sizeof(path), "%s/corpora/%s", shared, name);
        f = fopen(path, "rb");
    }
    if (!f)
        return NULL;
    char *data = alloc_bytes(1 << 20);
    *n_out = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

/* Is `verdict` among the blank-separated words that the map gives for `class_`? -1: not scored. */
static int counts_as_right(struct str map, struct str class_, const char *verdict)
{
    struct str line, word;
    while (str_split(&map, '\n', &line)) {
        struct str key, rest = line;
        if (!str_split(&rest, '\t', &key) || !str_eq(key, class_))
            continue;
        while (str_split(&rest, ' ', &word))
            if (str_is(str_trim(word), verdict))
                return 1;
        return 0;
    }
    return -1;
}

static void corpus_is_understood(void **state)
{
    (void)state;
    size_t n = 0, map_n = 0, scored = 0, right = 0;
    char *data = read_file("replies.tsv", &n), *map = read_file("replies-map.tsv", &map_n);
    if (!data || !map) {
        print_message("# SKIP: the shared corpus replies.tsv is not here\n");
        free(data);
        free(map);
        skip();
        return;
    }
    struct str rest = str_from(data, n), line, reply, skipped, class_;
    (void)str_split(&rest, '\n', &line);
    while (str_split(&rest, '\n', &line)) {
        struct answer a;
        struct classification c;
        if (!str_split(&line, '\t', &reply) || !str_split(&line, '\t', &skipped) ||
            !str_split(&line, '\t', &class_))
            continue;
        classify_line(reply, &a, &c);
        int verdict = counts_as_right(str_from(map, map_n), class_, verdict_name(c.verdict));
        scored += verdict >= 0;
        right += verdict == 1;
        if (verdict == 0)
            print_message("# " STR_F " read as %s by %s: " STR_F "\n", STR_A(class_),
                          verdict_name(c.verdict), c.rule, STR_A(str_cut(reply, 0, 120)));
    }
    print_message("# corpus: %zu of %zu right (%.1f %%)\n", right, scored,
                  100.0 * (double)right / (double)(scored ? scored : 1));
    assert_true(scored > 150);
    assert_true(right * 100 >= scored * 85);
    free(data);
    free(map);
}

static void any_bytes_are_fine(void **state)
{
    (void)state;
    static const char seed[] = "550-5.1.1 <a@example.net>: Recipient address rejected\r\n"
                               "550 5.7.606 try again in 00:05:00 host m said: 450 4.2.1 [TS03]";
    char bytes[9000];
    uint32_t x = 12345;
    for (size_t round = 0; round < 3000; round++) {
        size_t n = round < sizeof(seed) ? round : 1 + x % (sizeof(bytes) - 1);
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            bytes[i] = round < sizeof(seed) ? seed[i]
                       : round % 2          ? (char)(x >> 24)
                                            : seed[(x >> 16) % (sizeof(seed) - 1)];
        }
        char *exact = alloc_bytes(n); /* so that the sanitizer sees a read past the end */
        memcpy(exact, bytes, n);
        struct answer a;
        struct classification c;
        classify_line(str_from(exact, n), &a, &c);
        assert_in_range(c.verdict, VERDICT_ACCEPTED, VERDICT_UNKNOWN);
        assert_true(c.rule[0] && c.wait_ms >= 0 && c.wait_ms <= 86400000);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traps_are_seen),
        cmocka_unit_test(losses_before_and_after_the_dot),
        cmocka_unit_test(profiles_decide_what_words_do_not),
        cmocka_unit_test(replies_are_taken_apart),
        cmocka_unit_test(delays_are_read),
        cmocka_unit_test(corpus_is_understood),
        cmocka_unit_test(any_bytes_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
