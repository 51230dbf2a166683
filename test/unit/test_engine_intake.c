/* What submission reads of a mail before it is stored: control headers of seven products, what goes
 * on and what is taken out, loops, two From fields; and the networks of credentials. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/envelope.h"
#include "engine/intake_inner.h"

struct reading {
    struct intake_mail m;
    struct err e;
    bool ok;
};

static void read_mail(struct reading *r, const char *mail)
{
    *r = (struct reading){.ok = false};
    buf_init(&r->m.body, 1 << 20);
    buf_init(&r->m.raw, 1 << 20);
    buf_adds(&r->m.body, mail);
    snprintf(r->m.received, sizeof r->m.received, "Received: from x\r\n");
    r->ok = intake_header_read(&r->m, &r->e);
}

static void done_with(struct reading *r)
{
    intake_words_free(&r->m.words);
    buf_free(&r->m.body);
    buf_free(&r->m.raw);
}

static void expect(const char *mail, const char *raw, const char *tags, const char *metadata)
{
    struct reading r;
    read_mail(&r, mail);
    if (!r.ok)
        print_message("%s\n", r.e.text);
    assert_true(r.ok);
    assert_string_equal(buf_cstr(&r.m.raw), raw);
    assert_string_equal(buf_cstr(&r.m.words.tags), tags);
    char *text =
        r.m.words.metadata ? json_dumps(r.m.words.metadata, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    assert_string_equal(text ? text : "", metadata);
    free(text);
    done_with(&r);
}

static void words_are_taken_out(void **state)
{
    (void)state;
    expect("From: a@b.example\r\nSubject: x\r\n y\r\n\r\nbody\r\n",
           "Received: from x\r\nFrom: a@b.example\r\nSubject: x\r\n y\r\n\r\nbody\r\n", "", "");
    expect("x-postfleet-tag: a, b\r\nFrom: a@b.example\r\nX-Postfleet-Campaign: spring\r\n\r\n",
           "Received: from x\r\nFrom: a@b.example\r\n\r\n", "a\nb\nspring", "");
    expect("X-Postfleet-Metadata: {\"a\":1,\r\n \"b\":\"c\"}\r\nX-PM-Metadata-color: red\r\n\r\n",
           "Received: from x\r\n\r\n", "", "{\"a\":1,\"b\":\"c\",\"color\":\"red\"}");
    expect("X-Mailgun-Tag: m\r\nX-Mailgun-Track: no\r\nX-Mailgun-Variables: {\"v\":true}\r\n\r\n",
           "Received: from x\r\n\r\n", "m", "{\"v\":true}");
    expect("X-Postal-Tag: p\r\nX-PM-Tag: q\r\nX-PM-Message-Stream: s\r\n\r\n",
           "Received: from x\r\n\r\n", "p\nq", "");
    expect("X-SES-CONFIGURATION-SET: c\r\nX-SES-MESSAGE-TAGS: a=b, c = d\r\n\r\n",
           "Received: from x\r\n\r\n", "", "{\"a\":\"b\",\"c\":\"d\"}");
    expect("X-SMTPAPI: {\"category\":\"s\",\"unique_args\":{\"u\":\"1\"}}\r\n"
           "X-MSYS-API: {\"campaign_id\":\"k\",\"tags\":[\"t\"],\"metadata\":{\"w\":2}}\r\n\r\n",
           "Received: from x\r\n\r\n", "s\nk\nt", "{\"u\":\"1\",\"w\":2}");
    /* In a body they are words like others; a mail may have no body at all. */
    expect("A: b\r\n\r\nX-Postfleet-Tag: a\r\n",
           "Received: from x\r\nA: b\r\n\r\nX-Postfleet-Tag: a\r\n", "", "");
    expect("A: b\r\n", "Received: from x\r\nA: b\r\n", "", "");
    expect("no field\r\nA: b\r\n\r\n", "Received: from x\r\nno field\r\nA: b\r\n\r\n", "", "");
}

static void words_are_understood(void **state)
{
    (void)state;
    struct reading r;
    read_mail(&r, "X-Postfleet-Group: g\r\nX-Postfleet-Stream: bulk\r\nX-Postfleet-Test: yes\r\n"
                  "X-Postfleet-Send-At: 2026-11-22T00:00:00Z\r\nX-Postfleet-Track: no\r\n"
                  "X-Postfleet-Expires: 2026-11-23T00:00:00Z\r\n"
                  "X-Postfleet-Idempotency-Key: k\r\n\r\n");
    assert_true(r.ok);
    assert_string_equal(r.m.words.group, "g");
    assert_int_equal(r.m.words.lane, LANE_BULK);
    assert_true(r.m.words.is_test && r.m.words.has_lane);
    assert_int_equal(r.m.words.expires_at - r.m.words.send_at, 86400000);
    assert_true(str_is(r.m.words.idempotency, "k"));
    done_with(&r);
}

static void odd_ones_are_refused(void **state)
{
    (void)state;
    static const char *const mails[] = {"X-Postfleet-Nosuch: 1\r\n\r\n",
                                        "X-Postfleet-Stream: fast\r\n\r\n",
                                        "X-Postfleet-Metadata: [1]\r\n\r\n",
                                        "X-Postfleet-Metadata: {\r\n\r\n",
                                        "X-Postfleet-Send-At: soon\r\n\r\n",
                                        "X-Postfleet-Track: yes\r\n\r\n",
                                        "X-Postfleet-Test: perhaps\r\n\r\n",
                                        "X-SMTPAPI: x\r\n\r\n",
                                        "X-Postfleet-Idempotency-Key: \r\n\r\n",
                                        "From: a@b.example\r\nFrom: c@d.example\r\n\r\n",
                                        "X-Postfleet-Metadata: {\"a\":1,\"a\":2}\r\n\r\n"};
    for (size_t i = 0; i < countof(mails); i++) {
        struct reading r;
        read_mail(&r, mails[i]);
        assert_false(r.ok);
        assert_true(r.e.text[0]);
        done_with(&r);
    }
}

static void loops_are_seen(void **state)
{
    (void)state;
    struct reading r;
    struct buf mail;
    for (int n = 50; n <= 51; n++) {
        buf_init(&mail, 1 << 16);
        for (int i = 0; i < n; i++)
            buf_addf(&mail, "Received: from h%d\r\n\tby x\r\n", i);
        buf_adds(&mail, "\r\n");
        read_mail(&r, buf_cstr(&mail));
        assert_int_equal(r.ok, n == 50);
        done_with(&r);
        buf_free(&mail);
    }
}

static void dsn_case(const char *ret, const char *envid, const char *notify, const char *orcpt)
{
    char *text = dsn_pack(str_of(ret), str_of(envid), str_of(notify), str_of(orcpt));
    struct smtp_envelope e = {.id = 1};
    dsn_unpack(str_of(text), &e);
    assert_true(str_is(e.dsn_ret, ret) && str_is(e.dsn_envid, envid));
    assert_true(str_is(e.dsn_notify, notify) && str_is(e.dsn_orcpt, orcpt));
    free(text);
}

static void dsn_parameters_are_kept(void **state)
{
    (void)state;
    struct smtp_envelope e = {.id = 1};
    assert_null(dsn_pack(STR_NONE, STR(""), STR_NONE, STR("")));
    dsn_unpack(STR_NONE, &e); /* of a mail that came without */
    assert_true(e.dsn_ret.n == 0 && e.dsn_orcpt.n == 0);
    dsn_case("HDRS", "a b+c", "SUCCESS,FAILURE", "rfc822;\"x y\"@to.test");
    dsn_case("", "", "NEVER", "");
    dsn_case("FULL", "", "", "");
    dsn_case("", "", "", "utf-8;\303\274@to.test");
    dsn_unpack(STR("FULL"), &e); /* cut short */
    assert_true(str_is(e.dsn_ret, "FULL") && e.dsn_envid.n == 0);
}

static void networks(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool has;
    } cases[] = {{"192.0.2.0/24", "192.0.2.255", true},
                 {"192.0.2.0/24", "192.0.3.0", false},
                 {"192.0.2.128/25", "192.0.2.127", false},
                 {"192.0.2.1", "192.0.2.1", true},
                 {"192.0.2.1", "192.0.2.2", false},
                 {"0.0.0.0/0", "203.0.113.9", true},
                 {"0.0.0.0/0", "::1", false},
                 {"2001:db8::/32", "2001:db8:ffff::1", true},
                 {"2001:db8::/32", "2001:db9::", false},
                 {"::/0", "2001:db8::1", true},
                 {"192.0.2.0/24", "::ffff:192.0.2.7", true},
                 {"::1", "::1", true},
                 {"192.0.2.0/24", "x", false}};
    static const char *const bad[] = {"",          "192.0.2.0/33", "192.0.2.1/24",  "192.0.2",
                                      "a.example", "192.0.2.0/",   "2001:db8::/129"};
    struct network n;
    struct err e;
    for (size_t i = 0; i < countof(cases); i++) {
        assert_true(network_parse(str_of(cases[i].network), &n, &e));
        assert_int_equal(network_has(&n, cases[i].address), cases[i].has);
    }
    for (size_t i = 0; i < countof(bad); i++)
        assert_false(network_parse(str_of(bad[i]), &n, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_taken_out),     cmocka_unit_test(words_are_understood),
        cmocka_unit_test(odd_ones_are_refused),    cmocka_unit_test(loops_are_seen),
        cmocka_unit_test(dsn_parameters_are_kept), cmocka_unit_test(networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
