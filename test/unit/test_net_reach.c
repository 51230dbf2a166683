/* Which addresses a URL of others may lead to: a table of every special range at both of its ends,
 * of IPv4 inside IPv6, and of hosts as they are written to get around such a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "net/fetch.h"
#include "net/reach.h"

static const char *special(const char *text)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        return reach_special(bytes, 4);
    if (inet_pton(AF_INET6, text, bytes) != 1)
        fail_msg("%s is no address", text);
    return reach_special(bytes, 16);
}

static const char *const inside[] = {"0.0.0.0",
                                     "0.255.255.255",
                                     "10.0.0.0",
                                     "10.255.255.255",
                                     "100.64.0.0",
                                     "100.127.255.255",
                                     "127.0.0.0",
                                     "127.0.0.1",
                                     "127.255.255.255",
                                     "169.254.0.0",
                                     "169.254.169.254",
                                     "169.254.255.255",
                                     "172.16.0.0",
                                     "172.31.255.255",
                                     "192.0.0.0",
                                     "192.0.0.255",
                                     "192.0.2.1",
                                     "192.88.99.1",
                                     "192.168.0.0",
                                     "192.168.255.255",
                                     "198.18.0.0",
                                     "198.19.255.255",
                                     "198.51.100.7",
                                     "203.0.113.9",
                                     "224.0.0.1",
                                     "239.255.255.255",
                                     "240.0.0.1",
                                     "255.255.255.255",
                                     "::",
                                     "::1",
                                     "::127.0.0.1",
                                     "::ffff:127.0.0.1",
                                     "::ffff:10.1.2.3",
                                     "::ffff:169.254.169.254",
                                     "::ffff:0:127.0.0.1",
                                     "64:ff9b::7f00:1",
                                     "64:ff9b::a9fe:a9fe",
                                     "64:ff9b:1::1",
                                     "100::1",
                                     "2001::1",
                                     "2001:2::1",
                                     "2001:10::1",
                                     "2001:2f::1",
                                     "2001:db8::1",
                                     "2002:7f00:1::",
                                     "2002:a00:1::1",
                                     "2002:c0a8:101::1",
                                     "3fff::1",
                                     "3fff:fff::1",
                                     "4000::1",
                                     "fc00::1",
                                     "fd00:ec2::254",
                                     "fdff:ffff::1",
                                     "fe80::1",
                                     "febf::1",
                                     "fec0::1",
                                     "ff02::1",
                                     "ffff::1"};
static const char *const outside[] = {
    "1.0.0.0",        "9.255.255.255",    "11.0.0.0",        "100.63.255.255",
    "100.128.0.0",    "126.255.255.255",  "128.0.0.0",       "169.253.255.255",
    "169.255.0.0",    "172.15.255.255",   "172.32.0.0",      "191.255.255.255",
    "192.0.1.0",      "192.0.3.0",        "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0",       "223.255.255.255", "8.8.8.8",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2000::1",
    "2001:1:ffff::1", "2001:3::1",        "2001:db7::1",     "2001:4860:4860::8888",
    "2600::1",        "3fff:1000::1",     "3ffe::1"};

static void special_ranges_are_known_to_their_ends(void **state)
{
    for (size_t i = 0; i < countof(inside); i++)
        if (!special(inside[i]))
            fail_msg("%s counts as public", inside[i]);
    for (size_t i = 0; i < countof(outside); i++)
        if (special(outside[i]))
            fail_msg("%s counts as %s", outside[i], special(outside[i]));
}

/* Every IPv4 address means the same inside IPv6. */
static void ipv4_inside_ipv6_counts_as_itself(void **state)
{
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            uint8_t ip4[4] = {(uint8_t)a, (uint8_t)b, 0, 1};
            uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = ip4[0], ip4[1], ip4[2], ip4[3]};
            uint8_t nat64[16] = {0, 0x64, 0xff, 0x9b, [12] = ip4[0], ip4[1], ip4[2], ip4[3]};
            uint8_t sixto4[16] = {0x20, 0x02, ip4[0], ip4[1], ip4[2], ip4[3]};
            const char *want = reach_special(ip4, 4);
            assert_ptr_equal(reach_special(mapped, 16), want);
            assert_ptr_equal(reach_special(nat64, 16), want);
            assert_ptr_equal(reach_special(sixto4, 16), want);
        }
}

static void urls_are_refused_in_every_spelling(void **state)
{
    static const struct {
        const char *url;
        enum err_code code; /* ERR_NONE: it may be asked */
    } cases[] = {
        {"https://example.com/hook", ERR_NONE},
        {"http://example.com:8080/hook?a=b", ERR_NONE},
        {"https://93.184.216.34/", ERR_NONE},
        {"https://[2606:2800:220:1::1]/", ERR_NONE},
        {"http://127.0.0.1:1/", ERR_REFUSED},
        {"http://127.1/", ERR_REFUSED},
        {"http://127.0.1/", ERR_REFUSED},
        {"http://0/", ERR_REFUSED},
        {"http://0.0.0.0/", ERR_REFUSED},
        {"http://2130706433/", ERR_REFUSED},
        {"http://0x7f000001/", ERR_REFUSED},
        {"http://0x7f.0x0.0x0.0x1/", ERR_REFUSED},
        {"http://017700000001/", ERR_REFUSED},
        {"http://0177.0.0.1/", ERR_REFUSED},
        {"http://169.254.169.254/latest/", ERR_REFUSED},
        {"http://2852039166/latest/", ERR_REFUSED},
        {"http://10.0.0.1/", ERR_REFUSED},
        {"http://[::1]/", ERR_REFUSED},
        {"http://[::]/", ERR_REFUSED},
        {"http://[::ffff:127.0.0.1]/", ERR_REFUSED},
        {"http://[::ffff:7f00:1]/", ERR_REFUSED},
        {"http://[0:0:0:0:0:ffff:7f00:1]/", ERR_REFUSED},
        {"http://[64:ff9b::127.0.0.1]/", ERR_REFUSED},
        {"http://[fd00::1]/", ERR_REFUSED},
        {"http://[fe80::1%25eth0]/", ERR_INVALID},
        {"file:///etc/passwd", ERR_INVALID},
        {"unix:/run/x", ERR_INVALID},
        {"gopher://example.com/", ERR_INVALID},
        {"ftp://example.com/", ERR_INVALID},
        {"example.com", ERR_INVALID},
        {"//example.com/", ERR_INVALID},
        {"", ERR_INVALID},
        {"https://", ERR_INVALID},
        {"http://user@example.com/", ERR_INVALID},
        {"http://user:pass@example.com/", ERR_INVALID},
        {"http://example.com:99999/", ERR_INVALID},
        {"http://exa mple.com/", ERR_INVALID},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        bool ok = fetch_check_url(cases[i].url, false, &e);
        if (ok != (cases[i].code == ERR_NONE) || (!ok && e.code != cases[i].code))
            fail_msg("%s: %s (%d)", cases[i].url, ok ? "allowed" : e.text, e.code);
        if (cases[i].code == ERR_REFUSED && !fetch_check_url(cases[i].url, true, &e))
            fail_msg("%s: not even when private ones are allowed: %s", cases[i].url, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_ranges_are_known_to_their_ends),
        cmocka_unit_test(ipv4_inside_ipv6_counts_as_itself),
        cmocka_unit_test(urls_are_refused_in_every_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
