/* The mechanisms against the examples of their RFCs, and against servers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/codec.h"
#include "smtp/auth.h"
#include "smtp/caps.h"

struct dialogue {
    struct smtp_auth a;
    struct secret *password;
    struct buf out;
    struct err e;
};

static void begin(struct dialogue *d, enum smtp_mech m, const char *user, const char *password,
                  const char *nonce)
{
    d->password = secret_new(password, strlen(password));
    buf_init(&d->out, 20000);
    smtp_auth_start(&d->a, m, str_of(user), d->password, str_of(nonce));
}

static void finish(struct dialogue *d)
{
    buf_free(&d->out);
    secret_free(&d->password);
    smtp_auth_wipe(&d->a);
}

static const char *initial(struct dialogue *d)
{
    buf_clear(&d->out);
    assert_true(smtp_auth_initial(&d->a, &d->out, &d->e));
    return buf_cstr(&d->out);
}

/* challenge in plain text; the answer is decoded. NULL: refused. */
static const char *answer(struct dialogue *d, const char *challenge)
{
    static char text[4096];
    struct buf b64, plain;

    buf_init(&b64, 20000);
    buf_init(&plain, 20000);
    buf_clear(&d->out);
    codec_base64_add(&b64, challenge, strlen(challenge));
    bool ok = smtp_auth_answer(&d->a, buf_str(&b64), &d->out, &d->e);
    if (ok && d->out.n > 0)
        assert_true(codec_base64_decode(buf_str(&d->out), &plain));
    snprintf(text, sizeof text, "%.*s", (int)plain.n, plain.p != NULL ? plain.p : "");
    buf_free(&b64);
    buf_free(&plain);
    return ok ? text : NULL;
}

static void plain_is_rfc4616(void **state)
{
    struct dialogue d;

    begin(&d, SMTP_MECH_PLAIN, "tim", "tanstaaftanstaaf", "x");
    assert_string_equal(initial(&d), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
    assert_non_null(answer(&d, ""));
    assert_string_equal(buf_cstr(&d.out), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
    assert_null(answer(&d, ""));
    finish(&d);
    d.password = secret_new("a\0b", 3);
    smtp_auth_start(&d.a, SMTP_MECH_PLAIN, STR("u"), d.password, STR("x"));
    assert_false(smtp_auth_initial(&d.a, &d.out, &d.e));
    finish(&d);
}

static void login_answers_two_prompts(void **state)
{
    struct dialogue d;

    begin(&d, SMTP_MECH_LOGIN, "joe", "secret", "x");
    assert_string_equal(initial(&d), "");
    assert_string_equal(answer(&d, "Username:"), "joe");
    assert_string_equal(answer(&d, "Password:"), "secret");
    assert_null(answer(&d, "More:"));
    finish(&d);
    begin(&d, SMTP_MECH_LOGIN, "joe", "secret", "x");
    assert_true(smtp_auth_answer(&d.a, STR("Username: please!"), &d.out, &d.e));
    finish(&d);
}

static void cram_md5_is_rfc2195(void **state)
{
    struct dialogue d;

    begin(&d, SMTP_MECH_CRAM_MD5, "tim", "tanstaaftanstaaf", "x");
    assert_string_equal(initial(&d), "");
    assert_string_equal(answer(&d, "<1896.697170952@postoffice.reston.mci.net>"),
                        "tim b913a602c7eda7a495b4e6e7334d3890");
    assert_null(answer(&d, "<again>"));
    finish(&d);
}

static void xoauth2_is_as_its_users_say(void **state)
{
    struct dialogue d;

    begin(&d, SMTP_MECH_XOAUTH2, "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEu",
          "x");
    assert_string_equal(initial(&d),
                        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk"
                        "52YjNSbGNrQmhkSFJoZG1semRHRXUBAQ==");
    assert_string_equal(answer(&d, "{\"status\":\"401\"}"), "");
    finish(&d);
}

#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define FIRST                                                                                      \
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static void scram_is_rfc7677(void **state)
{
    struct dialogue d;

    begin(&d, SMTP_MECH_SCRAM_SHA_256, "user", "pencil", NONCE);
    assert_string_equal(initial(&d), "biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=");
    assert_false(smtp_auth_accepted(&d.a, &d.e));
    assert_string_equal(answer(&d, FIRST),
                        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="
                        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_false(smtp_auth_accepted(&d.a, &d.e));
    assert_string_equal(answer(&d, FINAL), "");
    assert_true(smtp_auth_accepted(&d.a, &d.e));
    assert_null(answer(&d, FINAL));
    finish(&d);
}

static void scram_escapes_the_name(void **state)
{
    struct dialogue d;

    begin(&d, SMTP_MECH_SCRAM_SHA_256, "a=b,c", "pencil", NONCE);
    initial(&d);
    /* An empty challenge asks for the same once more. */
    assert_string_equal(answer(&d, ""), "n,,n=a=3Db=2Cc,r=" NONCE);
    finish(&d);
}

static void scram_refuses_liars(void **state)
{
    static const char *const FIRSTS[] = {
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "m=x,r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=" NONCE "x,s=,i=4096",
        "r=" NONCE "x,s=!!,i=4096",
        "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
        "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1",
        "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=100001",
        "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==",
        "r=" NONCE "x",
        "nonsense",
    };
    static const char *const FINALS[] = {
        "v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        "v=6rri",
        "v=",
        "e=invalid-proof",
        "x",
        "",
    };
    struct dialogue d;

    for (size_t i = 0; i < countof(FIRSTS); i++) {
        begin(&d, SMTP_MECH_SCRAM_SHA_256, "user", "pencil", NONCE);
        initial(&d);
        assert_null(answer(&d, FIRSTS[i]));
        finish(&d);
    }
    for (size_t i = 0; i < countof(FINALS); i++) {
        begin(&d, SMTP_MECH_SCRAM_SHA_256, "user", "pencil", NONCE);
        initial(&d);
        assert_non_null(answer(&d, FIRST));
        assert_null(answer(&d, FINALS[i]));
        assert_false(smtp_auth_accepted(&d.a, &d.e));
        finish(&d);
    }
}

static void endless_challenges_end(void **state)
{
    struct dialogue d;

    for (int m = 1; m < SMTP_MECH_COUNT; m++) {
        int n = 0;
        begin(&d, (enum smtp_mech)m, "user", "pencil", NONCE);
        while (n < 100 && answer(&d, "") != NULL)
            n++;
        assert_true(n <= SMTP_AUTH_CHALLENGES_MAX);
        finish(&d);
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    struct dialogue d;

    begin(&d, SMTP_MECH_CRAM_MD5, "user", "pencil", NONCE);
    assert_false(smtp_auth_answer(&d.a, STR("%%%"), &d.out, &d.e));
    finish(&d);
}

struct choice {
    const char *offered, *wanted;
    bool clear_ok;
    unsigned refused;
    enum smtp_mech expected;
};

static void the_best_is_chosen(void **state)
{
    static const struct choice CHOICES[] = {
        {"AUTH LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2", NULL, true, 0, SMTP_MECH_SCRAM_SHA_256},
        {"AUTH LOGIN PLAIN CRAM-MD5", NULL, true, 0, SMTP_MECH_CRAM_MD5},
        {"AUTH LOGIN PLAIN CRAM-MD5", NULL, true, 1u << SMTP_MECH_CRAM_MD5, SMTP_MECH_PLAIN},
        {"AUTH LOGIN plain", NULL, true, 0, SMTP_MECH_PLAIN},
        {"AUTH LOGIN", NULL, true, 0, SMTP_MECH_LOGIN},
        {"AUTH=LOGIN", NULL, true, 0, SMTP_MECH_LOGIN},
        {"AUTH LOGIN PLAIN", NULL, false, 0, SMTP_MECH_NONE},
        {"AUTH LOGIN PLAIN CRAM-MD5", NULL, false, 0, SMTP_MECH_CRAM_MD5},
        {"AUTH XOAUTH2", NULL, true, 0, SMTP_MECH_NONE},
        {"AUTH PLAIN XOAUTH2", "XOAUTH2", true, 0, SMTP_MECH_XOAUTH2},
        {"AUTH PLAIN", "XOAUTH2", true, 0, SMTP_MECH_NONE},
        {"AUTH XOAUTH2", "XOAUTH2", false, 0, SMTP_MECH_NONE},
        {"AUTH", NULL, true, 0, SMTP_MECH_NONE},
        {"AUTHPLAIN", NULL, true, 0, SMTP_MECH_NONE},
    };

    for (size_t i = 0; i < countof(CHOICES); i++) {
        const struct choice *k = &CHOICES[i];
        struct smtp_caps caps;
        char lines[200];
        snprintf(lines, sizeof lines, "host\n%s", k->offered);
        smtp_caps_read(&caps, str_of(lines));
        assert_int_equal(smtp_mech_choose(&caps, k->wanted, k->clear_ok, k->refused), k->expected);
    }
}

static void capabilities_are_read(void **state)
{
    struct smtp_caps c;

    smtp_caps_read(&c,
                   STR("PIPELINING\nsize 1000\nPipelining\nSTARTTLS\n8BITMIME\nX-FOO bar\n\n DSN"));
    assert_true(c.size && c.pipelining && c.starttls && c.eightbit);
    assert_true(!c.dsn && !c.utf8 && !c.chunking && !c.require_tls && !c.enhanced);
    assert_int_equal(c.size_max, 1000);
    smtp_caps_read(&c,
                   STR("PIPELINING\nSIZE\nSMTPUTF8\nREQUIRETLS\nENHANCEDSTATUSCODES\nCHUNKING"));
    assert_true(!c.pipelining && c.size && c.size_max == 0);
    assert_true(c.utf8 && c.require_tls && c.enhanced && c.chunking);
    smtp_caps_read(&c, STR("x\nSIZE 99999999999999999999999"));
    assert_true(c.size && c.size_max == 0);
    smtp_caps_read(&c, STR_NONE);
    assert_false(c.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_is_rfc4616),
        cmocka_unit_test(login_answers_two_prompts),
        cmocka_unit_test(cram_md5_is_rfc2195),
        cmocka_unit_test(xoauth2_is_as_its_users_say),
        cmocka_unit_test(scram_is_rfc7677),
        cmocka_unit_test(scram_escapes_the_name),
        cmocka_unit_test(scram_refuses_liars),
        cmocka_unit_test(endless_challenges_end),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(the_best_is_chosen),
        cmocka_unit_test(capabilities_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
