/* Webhooks without a receiver: signatures by the vector of Standard Webhooks and by RFC 4231, the
 * schedule of retries, secrets, names and patterns of events, ids of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "engine/hooks_rules.h"
#include "model/hook.h"
#include "store/webhook_event.h"

#define HOUR INT64_C(3600000)

static struct secret *key_of(const char *text)
{
    struct secret *s = NULL;
    struct err e = {0};
    if (!hooks_secret_parse(str_of(text), &s, &e))
        fail_msg("%s: %s", text, e.text);
    return s;
}

static void signatures_are_those_of_the_specification(void **state)
{
    struct secret *key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    struct buf b;
    buf_init(&b, 1000);
    assert_true(hooks_sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                           STR("{\"test\": 2432232314}"), &b));
    assert_string_equal(buf_cstr(&b), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    struct secret *other = hooks_secret_make();
    assert_true(hooks_sign(other, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                           STR("{\"test\": 2432232314}"), &b));
    assert_true(
        str_starts(buf_str(&b), STR("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,")));
    assert_int_equal(b.n, 2 * 47 + 1);
    secret_free(&key);
    secret_free(&other);
    buf_free(&b);
}

static void a_secret_is_read_as_it_was_written(void **state)
{
    struct err e;
    struct secret *made = hooks_secret_make(), *s = NULL;
    struct buf b;
    buf_init(&b, 200);
    assert_true(hooks_secret_format(made, &b));
    struct secret *read = key_of(buf_cstr(&b));
    assert_true(secret_equal(made, read));
    static const char *const bad[] = {
        "",
        "whsec_",
        "whsec_c2hvcnQ=",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa*w",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < countof(bad); i++)
        assert_false(hooks_secret_parse(str_of(bad[i]), &s, &e));
    secret_free(&made);
    secret_free(&read);
    buf_free(&b);
}

static void retries_go_from_5_s_to_24_h(void **state)
{
    static const int64_t want[] = {5000,      300000,    30 * 60000, 2 * HOUR, 5 * HOUR,
                                   10 * HOUR, 14 * HOUR, 20 * HOUR,  24 * HOUR};
    struct rand r;
    rand_seed(&r, 1);
    assert_int_equal(hooks_attempts(), countof(want) + 1);
    for (unsigned n = 1; n <= countof(want); n++) {
        int64_t least = INT64_MAX, most = 0;
        for (int i = 0; i < 2000; i++) {
            int64_t ms = hooks_retry_ms(n, 0, rand_u64(&r));
            least = MIN(least, ms);
            most = MAX(most, ms);
        }
        assert_true(least >= want[n - 1] * 9 / 10 && least < want[n - 1] * 91 / 100);
        assert_true(most <= want[n - 1] * 11 / 10 && most > want[n - 1] * 109 / 100);
    }
    assert_int_equal(hooks_retry_ms(countof(want) + 1, 0, 1), -1);
    assert_int_equal(hooks_retry_ms(0, 0, 1), -1);
    assert_int_equal(hooks_schedule_ms(), 75 * HOUR + 35 * 60000 + 5000);
}

static void a_receiver_may_ask_for_more_time(void **state)
{
    assert_int_equal(hooks_retry_ms(1, 600, 7), 600000);
    assert_true(hooks_retry_ms(2, 1, 7) >= 270000);
    assert_true(hooks_retry_ms(1, INT64_MAX, 7) == 24 * HOUR);
    assert_true(hooks_retry_ms(1, -5, 7) <= 5500);
}

static void names_and_patterns(void **state)
{
    assert_true(hook_pattern_has(STR("message.*"), STR("message.sent")));
    assert_true(hook_pattern_has(STR("*"), STR("server.opened")));
    assert_true(hook_pattern_has(STR("server.opened"), STR("server.opened")));
    assert_false(hook_pattern_has(STR("message.*"), STR("messages.sent")));
    assert_false(hook_pattern_has(STR("message"), STR("message.sent")));
    assert_false(hook_pattern_has(STR(".*"), STR("message.sent")));
    assert_true(hook_patterns_have(STR_NONE, STR("message.sent")));
    assert_true(hook_patterns_have(STR("a.b\nmessage.sent"), STR("message.sent")));
    assert_false(hook_patterns_have(STR("a.b\nmessage.sent"), STR("message.failed")));
    assert_string_equal(hook_name_of_kind(STR("server.exhausted")), "server.quota_reached");
    assert_string_equal(hook_name_of_kind(STR("campaign.finished")), "campaign.finished");
    assert_null(hook_name_of_kind(STR("server.quota_reached")));
    assert_null(hook_name_of_kind(STR("key.created")));
    for (size_t i = 0; hook_name_at(i); i++) /* sent is never called delivered */
        assert_string_not_equal(hook_name_at(i), "message.delivered");
    for (int v = 0; v < HOOK_EVENTS; v++) {
        enum hook_event back = HOOK_EVENTS;
        assert_true(hook_event_parse(str_of(hook_event_name((enum hook_event)v)), &back));
        assert_int_equal(back, v);
    }
}

static void ids_say_which_event(void **state)
{
    struct hook_ref out;
    for (int i = 0; i < 1000; i++) {
        char text[WEBHOOK_EVENT_MAX];
        struct hook_ref r = {.id = rand_secret_u64() >> 1, .is_message = i % 2 == 0};
        if (r.is_message) {
            r.event = (enum hook_event)(rand_secret_u64() % HOOK_EVENTS);
            r.number = (uint32_t)(rand_secret_u64() % 1000);
        }
        hook_ref_format(&r, text);
        assert_true(hook_ref_parse(text, &out));
        assert_true(out.id == r.id && out.is_message == r.is_message && out.event == r.event &&
                    out.number == r.number);
    }
    static const char *const bad[] = {"",
                                      "evt_",
                                      "evt_nothing",
                                      "msg_0000000000000",
                                      "evt__1",
                                      "evt_0000000000001_15",
                                      "evt_0000000000001_x"};
    for (size_t i = 0; i < countof(bad); i++)
        assert_false(hook_ref_parse(bad[i], &out));
}

static void filters_ask_for_all_kinds_of_facts(void **state)
{
    struct hook_facts f = {.type = "message.bounced", .server = "a", .group = "g", .tags = "x\ny"};
    struct hook_facts none = {.type = "campaign.started"};
    struct webhook w = {.name = (char[]){"w"}};
    assert_true(webhook_wants(&w, &f) && webhook_wants(&w, &none));
    w.servers = (char[]){"b\na"};
    assert_true(webhook_wants(&w, &f));
    assert_false(webhook_wants(&w, &none));
    w.tags = (char[]){"y\nz"};
    assert_true(webhook_wants(&w, &f));
    w.tags = (char[]){"z"};
    assert_false(webhook_wants(&w, &f));
    w.tags = NULL;
    w.groups = (char[]){"h"};
    assert_false(webhook_wants(&w, &f));
    w.groups = NULL;
    w.events = (char[]){"message.sent"};
    assert_false(webhook_wants(&w, &f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_the_specification),
        cmocka_unit_test(a_secret_is_read_as_it_was_written),
        cmocka_unit_test(retries_go_from_5_s_to_24_h),
        cmocka_unit_test(a_receiver_may_ask_for_more_time),
        cmocka_unit_test(names_and_patterns),
        cmocka_unit_test(ids_say_which_event),
        cmocka_unit_test(filters_ask_for_all_kinds_of_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
