/* mail/spf and mail/dmarc: walks over records of a small world, their counts and results; addresses
 * and masks; policies and alignment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/dmarc.h"
#include "mail/spf.h"

static const struct {
    const char *name;
    enum spf_type type;
    const char *value; /* several are cut at '|' */
} world[] = {
    {"plain.dev", SPF_TXT, "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"},
    {"other.dev", SPF_TXT, "hello|v=spf1 a -all|v=spf10 x"},
    {"other.dev", SPF_A, "198.51.100.7"},
    {"incl.dev", SPF_TXT, "v=spf1 -ip4:192.0.2.9 include:plain.dev ~all"},
    {"neg.dev", SPF_TXT, "v=spf1 -include:plain.dev +all"},
    {"redir.dev", SPF_TXT, "v=spf1 redirect=plain.dev"},
    {"both.dev", SPF_TXT, "v=spf1 redirect=plain.dev ?all"},
    {"mx.dev", SPF_TXT, "v=spf1 mx/24 a:h.dev/32//64 -all"},
    {"mx.dev", SPF_MX, "m.dev"},
    {"m.dev", SPF_A, "203.0.113.1"},
    {"h.dev", SPF_AAAA, "2001:db8:1:2::1"},
    {"macro.dev", SPF_TXT, "v=spf1 exists:%{i}.x.dev include:%{d}.y.dev a:%{h} -all"},
    {"bad4.dev", SPF_TXT, "v=spf1 ip4:192.0.2.256 -all"},
    {"bad6.dev", SPF_TXT, "v=spf1 ip6:2001::db8::1 -all"},
    {"badmask.dev", SPF_TXT, "v=spf1 ip4:192.0.2.1/33 -all"},
    {"unknown.dev", SPF_TXT, "v=spf1 foo -all"},
    {"mod.dev", SPF_TXT, "v=spf1 exp=x.dev foo=bar ip4:192.0.2.1 -all"},
    {"case.dev", SPF_TXT, "V=SPF1  IP4:192.0.2.1   INCLUDE:plain.dev -ALL"},
    {"none.dev", SPF_TXT, "v=spf1 include:nothing.dev -all"},
    {"self.dev", SPF_TXT, "v=spf1 include:self.dev -all"},
    {"ptr.dev", SPF_TXT, "v=spf1 ptr -all"},
    {"behind.dev", SPF_TXT, "v=spf1 -all ip4:192.0.2.1"},
};

static struct spf *walk(const char *domain, const char *const *addresses, size_t n)
{
    struct spf_address list[SPF_ADDRESSES_MAX];
    const char *name;
    enum spf_type type;
    for (size_t i = 0; i < n; i++)
        assert_true(spf_address_parse(str_of(addresses[i]), &list[i]));
    struct spf *s = spf_new(domain, list, n);
    while (spf_ask(s, &name, &type)) {
        struct spf_answer a = {.n = 0};
        struct spf_address address;
        const char *texts[4];
        char copy[300];
        for (size_t i = 0; i < countof(world); i++) {
            if (!str_iis(str_of(name), world[i].name) || world[i].type != type)
                continue;
            (void)str_copy(str_of(world[i].value), copy, sizeof copy);
            a.n = 1;
            a.host = copy;
            a.addresses = &address;
            a.texts = texts;
            texts[0] = copy;
            if (type == SPF_A || type == SPF_AAAA)
                assert_true(spf_address_parse(str_of(copy), &address));
            for (char *p = copy; type == SPF_TXT && (p = strchr(p, '|')); texts[a.n++] = p)
                *p++ = 0;
        }
        spf_tell(s, &a);
    }
    return s;
}

static void expect(const char *domain, const char *address, enum spf_result want, unsigned lookups)
{
    struct spf *s = walk(domain, &address, 1);
    if (spf_result_of(s, 0) != want || spf_lookups(s) != lookups)
        fail_msg("%s %s: %s with %u lookups (%s)", domain, address,
                 spf_result_name(spf_result_of(s, 0)), spf_lookups(s), spf_problem(s));
    spf_free(&s);
}

static void test_results(void **state)
{
    (void)state;
    expect("plain.dev", "192.0.2.77", SPF_PASS, 0);
    expect("plain.dev", "192.0.3.77", SPF_FAIL, 0);
    expect("plain.dev", "2001:db8:ffff::1", SPF_PASS, 0);
    expect("plain.dev", "2001:db9::1", SPF_FAIL, 0);
    expect("other.dev", "198.51.100.7", SPF_PASS, 1);
    expect("other.dev", "198.51.100.8", SPF_FAIL, 1);
    expect("incl.dev", "192.0.2.1", SPF_PASS, 1);
    expect("incl.dev", "192.0.2.9", SPF_FAIL, 1);
    expect("incl.dev", "203.0.113.1", SPF_SOFTFAIL, 1); /* a fail inside an include is no match */
    expect("neg.dev", "192.0.2.1", SPF_FAIL, 1);
    expect("neg.dev", "203.0.113.1", SPF_PASS, 1);
    expect("redir.dev", "203.0.113.1", SPF_FAIL, 1);
    expect("both.dev", "192.0.2.1", SPF_NEUTRAL, 0); /* RFC 7208 6.1: `all` ends it */
    expect("mx.dev", "203.0.113.200", SPF_PASS, 2);
    expect("mx.dev", "2001:db8:1:2:3::4", SPF_PASS, 2);
    expect("mx.dev", "2001:db8:1:3::4", SPF_FAIL, 2);
    expect("macro.dev", "192.0.2.1", SPF_FAIL, 3);
    expect("mod.dev", "192.0.2.1", SPF_PASS, 0);
    expect("case.dev", "192.0.2.200", SPF_PASS, 1);
    expect("behind.dev", "192.0.2.1", SPF_FAIL, 0);
    expect("nothing.dev", "192.0.2.1", SPF_NO_RECORD, 0);
    expect("bad4.dev", "192.0.2.1", SPF_PERMERROR, 0);
    expect("bad6.dev", "192.0.2.1", SPF_PERMERROR, 0);
    expect("badmask.dev", "192.0.2.1", SPF_PERMERROR, 0);
    expect("unknown.dev", "192.0.2.1", SPF_PERMERROR, 0);
    expect("none.dev", "192.0.2.1", SPF_PERMERROR, 1);
    expect("self.dev", "192.0.2.1", SPF_PERMERROR, 1);
}

static void test_facts(void **state)
{
    (void)state;
    struct spf *s = walk("incl.dev", NULL, 0);
    assert_int_equal(spf_standing(s), SPF_PASS);
    assert_int_equal(spf_all(s), '~');
    assert_true(spf_includes(s, "plain.dev") && !spf_includes(s, "lain.dev"));
    assert_string_equal(spf_record(s), world[3].value);
    spf_free(&s);
    s = walk("redir.dev", NULL, 0);
    assert_int_equal(spf_all(s), '-');
    spf_free(&s);
    s = walk("ptr.dev", NULL, 0);
    assert_true(spf_has_ptr(s) && spf_lookups(s) == 1);
    spf_free(&s);
    s = walk("mod.dev", NULL, 0);
    assert_false(spf_has_ptr(s));
    spf_free(&s);
    s = spf_new("plain.dev", NULL, 0);
    const char *name;
    enum spf_type type;
    struct spf_answer failed = {.failed = true};
    while (spf_ask(s, &name, &type))
        spf_tell(s, &failed);
    assert_int_equal(spf_standing(s), SPF_TEMPERROR);
    spf_free(&s);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {{"192.0.2.1", true},
                 {"0.0.0.0", true},
                 {"192.0.2", false},
                 {"1.2.3.4.5", false},
                 {"1.2.3.", false},
                 {"1.2.3.256", false},
                 {"::", true},
                 {"::1", true},
                 {"1::", true},
                 {"1:2:3:4:5:6:7:8", true},
                 {"1:2:3:4:5:6:7", false},
                 {"1:2:3:4:5:6:7:8:9", false},
                 {"::ffff:1.2.3.4", true},
                 {"1:2:3:4:5:6:1.2.3.4", true},
                 {"[2001:db8::1]", true},
                 {"1::2::3", false},
                 {"g::1", false},
                 {"12345::", false},
                 {"", false},
                 {":", false},
                 {"mail.example", false},
                 {"1:2:3:4:5:6:7::8", false},
                 {"1.2.3.4::", false}};
    struct spf_address a;
    (void)state;
    for (size_t i = 0; i < countof(cases); i++)
        if (spf_address_parse(str_of(cases[i].text), &a) != cases[i].ok)
            fail_msg("%s", cases[i].text);
}

static void test_dmarc(void **state)
{
    struct dmarc_record r;
    struct err e;
    (void)state;
    assert_true(dmarc_parse(STR("v=DMARC1; p=reject; sp=none; adkim=s; aspf=r; pct=50; "
                                "rua=mailto:a@b.example"),
                            &r, &e));
    assert_true(r.policy == DMARC_REJECT && r.subdomains == DMARC_NONE && r.strict_dkim &&
                !r.strict_spf && r.percent == 50 && r.has_reports);
    assert_true(dmarc_parse(STR("v=DMARC1;p=quarantine"), &r, &e));
    assert_true(r.subdomains == DMARC_QUARANTINE && r.percent == 100 && !r.has_reports);
    assert_false(dmarc_parse(STR("v=DMARC1; rua=mailto:a@b.example"), &r, &e));
    assert_false(dmarc_parse(STR("v=DMARC1; p=maybe"), &r, &e));
    assert_false(dmarc_parse(STR("p=none; v=DMARC1"), &r, &e));
    assert_false(dmarc_parse(STR(""), &r, &e));
    assert_true(dmarc_is_record(STR(" v=DMARC1 ; x")) && !dmarc_is_record(STR("v=DMARC2")));
}

static void test_alignment(void **state)
{
    (void)state;
    assert_true(str_is(dmarc_organization(STR("a.b.example.co.uk")), "example.co.uk"));
    assert_true(str_is(dmarc_organization(STR("example.com")), "example.com"));
    assert_true(str_is(dmarc_organization(STR("co.uk")), "co.uk"));
    assert_true(dmarc_aligned(STR("bounces.example.com"), STR("example.com"), false));
    assert_false(dmarc_aligned(STR("bounces.example.com"), STR("example.com"), true));
    assert_true(dmarc_aligned(STR("Example.com"), STR("example.com"), true));
    assert_false(dmarc_aligned(STR("a.co.uk"), STR("b.co.uk"), false));
    assert_false(dmarc_aligned(STR("badexample.com"), STR("example.com"), false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),   cmocka_unit_test(test_facts),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_dmarc),
        cmocka_unit_test(test_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
