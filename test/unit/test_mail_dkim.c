/* mail/dkim*: the vectors of RFC 8463, the canonical forms of RFC 6376 at every cut, what is
 * covered, how the field folds, keys and records. That others accept the signatures is the matter
 * of test/peer/dkim_oracle.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "dkim_keys.h"
#include "mail/dkim.h"
#include "mail/dkim_canon.h"
#include "mail/dkim_key.h"
#include "mail/dkim_record.h"

#define OUT_MAX (1 << 20)

/* ---- RFC 8463, appendix A ---- */

static const struct vector {
    struct dkim_key *(*key)(void);
    const char *field, *signature;
} vectors[] = {
    {ed25519_key,
     "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
     " d=football.example.com; i=@football.example.com;\r\n"
     " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
     " subject : date : message-id : from : subject : date;\r\n"
     " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=",
     "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="},
    {rsa_key,
     "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
     " d=football.example.com; i=@football.example.com;\r\n"
     " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
     " date : message-id : from : subject : date;\r\n"
     " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=",
     "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9"
     "mPYQTnGdaSGsgeefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="},
};

static void test_vectors(void **state)
{
    static const char *const fields[] = {
        "From: Joe SixPack <joe@football.example.com>", "To: Suzie Q <suzie@shopping.example.net>",
        "Subject: Is dinner ready?", "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)",
        "Message-ID: <20030712040037.46341.5F8J@football.example.com>"};
    (void)state;
    for (size_t i = 0; i < countof(vectors); i++) {
        uint8_t hash[DKIM_HASH_BYTES], signature[DKIM_SIGNATURE_MAX];
        size_t n = 0;
        struct err e = {0};
        struct buf b;
        buf_init(&b, OUT_MAX);
        for (size_t k = 0; k < countof(fields); k++)
            assert_true(canon_field(str_of(fields[k]), &b) && buf_adds(&b, "\r\n"));
        assert_true(canon_field(str_of(vectors[i].field), &b));
        assert_int_equal(EVP_Digest(b.p, b.n, hash, NULL, EVP_sha256(), NULL), 1);
        struct dkim_key *k = vectors[i].key();
        assert_non_null(k);
        assert_true(dkim_key_sign(k, hash, signature, &n, &e));
        buf_clear(&b);
        assert_true(codec_base64_add(&b, signature, n));
        assert_string_equal(buf_cstr(&b), vectors[i].signature);
        buf_free(&b);
        dkim_key_free(&k);
    }
}

static void test_body_hash_of_rfc(void **state)
{
    uint8_t hash[DKIM_HASH_BYTES];
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    dkim_body_hash(STR(RFC8463_BODY), hash);
    assert_true(codec_base64_add(&b, hash, sizeof hash));
    assert_string_equal(buf_cstr(&b), "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    buf_clear(&b);
    dkim_body_hash(STR_NONE, hash); /* RFC 6376, 3.4.4 */
    assert_true(codec_base64_add(&b, hash, sizeof hash));
    assert_string_equal(buf_cstr(&b), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    buf_free(&b);
}

/* ---- canonical forms ---- */

static const struct {
    const char *body, *canonical;
} bodies[] = {
    {"", ""},
    {"\r\n", ""},
    {"\r\n\r\n\r\n", ""},
    {" ", ""},
    {" \t\r\n", ""},
    {" \r\n\t\r\n  ", ""},
    {"a", "a\r\n"},
    {"a ", "a\r\n"},
    {"a\r\n", "a\r\n"},
    {"a\r\n\r\n \t \r\n", "a\r\n"},
    {" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"}, /* RFC 6376, 3.4.5 */
    {"\t\ta  b\t\r\n", " a b\r\n"},
    {"a\r\n\r\n\r\nb", "a\r\n\r\n\r\nb\r\n"},
    {"\r\n\r\na\r\n", "\r\n\r\na\r\n"},
    {"a\nb\n", "a\r\nb\r\n"},
    {"a\rb\r", "a\r\nb\r\n"},
    {"a\r\rb", "a\r\n\r\nb\r\n"},
    {"a\n\r\nb", "a\r\n\r\nb\r\n"},
    {"a \r", "a\r\n"},
    {"a\r\n.\r\n..\r\n", "a\r\n.\r\n..\r\n"},
    {"gr\xc3\xbc\xc3\x9f \xff\xa0 x\r\n", "gr\xc3\xbc\xc3\x9f \xff\xa0 x\r\n"},
    {"a\x0b\x0c b\r\n", "a\x0b\x0c b\r\n"},
};

static void collect(void *arg, const char *p, size_t n)
{
    assert_true(buf_add(arg, p, n));
}

static void test_bodies_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(bodies); i++) {
        struct str body = str_of(bodies[i].body);
        for (size_t a = 0; a <= body.n; a++)
            for (size_t z = a; z <= body.n; z++) {
                struct canon_body c;
                struct buf out;
                buf_init(&out, OUT_MAX);
                canon_body_begin(&c, collect, &out);
                canon_body_add(&c, str_cut(body, 0, a));
                canon_body_add(&c, str_cut(body, a, z - a));
                canon_body_add(&c, str_from_index(body, z));
                canon_body_end(&c);
                assert_string_equal(buf_cstr(&out), bodies[i].canonical);
                buf_free(&out);
            }
    }
}

/* Longer than the stage, with runs longer than the stage. */
static void test_large_body(void **state)
{
    struct buf body, want, got;
    struct canon_body c;
    (void)state;
    buf_init(&body, OUT_MAX);
    buf_init(&want, OUT_MAX);
    buf_init(&got, OUT_MAX);
    for (size_t i = 0; i < 60; i++) {
        for (size_t k = 0; k < i * 200; k++)
            assert_true(buf_addc(&body, 'x') && buf_addc(&want, 'x'));
        assert_true(buf_adds(&body, " \t y \r\n\r\n") && buf_adds(&want, " y\r\n\r\n"));
    }
    want.n -= 2;
    for (size_t step = 1; step < 10000; step = step * 3 + 1) {
        buf_clear(&got);
        canon_body_begin(&c, collect, &got);
        for (size_t at = 0; at < body.n; at += step)
            canon_body_add(&c, str_cut(buf_str(&body), at, step));
        canon_body_end(&c);
        assert_true(str_eq(buf_str(&got), buf_str(&want)));
    }
    buf_free(&body);
    buf_free(&want);
    buf_free(&got);
}

static void test_fields(void **state)
{
    static const struct {
        const char *field, *canonical;
    } cases[] = {
        {"A: X\r\n", "a:X"},
        {"B : Y\t\r\n\tZ  \r\n", "b:Y Z"}, /* RFC 6376, 3.4.5 */
        {"Subject:", "subject:"},
        {"Subject: \t \r\n", "subject:"},
        {"SUBJECT:a\r\n b\r\n\t \r\n  c \r\n", "subject:a b c"},
        {"Subject: a\n b\n", "subject:a b"},
        {"X:  a:b  :c ", "x:a:b :c"},
        {"Subject: gr\xc3\xbc\xc3\x9f\xff\r\n", "subject:gr\xc3\xbc\xc3\x9f\xff"},
        {"no colon\r\n", ""},
    };
    (void)state;
    for (size_t i = 0; i < countof(cases); i++) {
        struct buf b;
        buf_init(&b, 100);
        assert_true(canon_field(str_of(cases[i].field), &b));
        assert_string_equal(buf_cstr(&b), cases[i].canonical);
        buf_free(&b);
    }
}

/* ---- the field ---- */

static char *sign(const struct dkim_key *const *keys, size_t n, struct str mail,
                  const struct dkim_terms *t)
{
    struct err e = {0};
    struct buf out;
    buf_init(&out, OUT_MAX);
    if (!dkim_sign(keys, n, mail, t, &out, &e))
        fail_msg("%s", e.text);
    return buf_steal(&out, NULL);
}

/* The value of a tag without blanks and folds. */
static char *tag_of(const char *field, const char *tag)
{
    struct str rest = str_of(strchr(field, ':') + 1), name, value;
    while (tags_next(&rest, &name, &value)) {
        if (!str_is(name, tag))
            continue;
        char *out = calloc(value.n + 1, 1), *to = out;
        for (size_t i = 0; i < value.n; i++)
            if (!ascii_isspace(value.p[i]))
                *to++ = value.p[i];
        return out;
    }
    return NULL;
}

static void assert_tag(const char *field, const char *tag, const char *want)
{
    char *value = tag_of(field, tag);
    if (!want)
        assert_null(value);
    else
        assert_string_equal(value ? value : "(none)", want);
    free(value);
}

static void test_tags(void **state)
{
    struct dkim_key *k = ed25519_key();
    const struct dkim_key *keys[] = {k};
    struct dkim_terms t = {.time_s = 1528637909, .lifetime_s = 86400};
    (void)state;
    char *field = sign(keys, 1, STR(RFC8463_MAIL), &t);
    assert_tag(field, "v", "1");
    assert_tag(field, "a", "ed25519-sha256");
    assert_tag(field, "c", "relaxed/relaxed");
    assert_tag(field, "d", "football.example.com");
    assert_tag(field, "s", "brisbane");
    assert_tag(field, "t", "1528637909");
    assert_tag(field, "x", "1528724309");
    assert_tag(field, "bh", "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    assert_tag(field, "l", NULL);
    free(field);
    t.lifetime_s = t.time_s = 0;
    field = sign(keys, 1, STR(RFC8463_MAIL), &t);
    assert_tag(field, "t", NULL);
    assert_tag(field, "x", NULL);
    free(field);
    dkim_key_free(&k);
}

static void test_covered(void **state)
{
    struct dkim_key *k = ed25519_key();
    const struct dkim_key *keys[] = {k};
    struct dkim_terms t = {.time_s = 1};
    (void)state;
    /* Oversigned whether they are there or not; what lists and relays may add only if it is. */
    char *field = sign(keys, 1, STR("From: a@b.example\r\n\r\n"), &t);
    assert_tag(field, "h",
               "from:from:to:cc:reply-to:subject:date:message-id:mime-version:content-type:"
               "content-transfer-encoding");
    free(field);
    field = sign(keys, 1,
                 STR("Received: x\r\nX-Mailer: y\r\nfrom: a@b.example\r\nTO: b@c.example\r\n"
                     "List-Unsubscribe: <https://x.example/u>\r\n"
                     "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
                     "List-ID: <l.example>\r\nReturn-Path: <>\r\nTo: c@c.example\r\n\r\nbody"),
                 &t);
    assert_tag(field, "h",
               "from:from:to:to:to:cc:reply-to:subject:date:message-id:mime-version:content-type:"
               "content-transfer-encoding:list-unsubscribe:list-unsubscribe:list-unsubscribe-post:"
               "list-unsubscribe-post:list-id");
    free(field);
    dkim_key_free(&k);
}

static void test_lines(void **state)
{
    struct dkim_key *ed = ed25519_key(), *rsa = rsa_key();
    const struct dkim_key *keys[] = {rsa, ed};
    struct dkim_terms t = {.time_s = 1700000000, .lifetime_s = 600};
    (void)state;
    char *fields = sign(keys, 2, STR(RFC8463_MAIL), &t);
    struct str rest = str_of(fields), line;
    size_t n = 0;
    assert_true(str_ends(rest, STR("\r\n")));
    assert_non_null(strstr(fields, "\r\nDKIM-Signature: v=1; a=ed25519-sha256;"));
    while (str_split(&rest, '\n', &line) && line.n) {
        assert_int_equal(line.p[line.n - 1], '\r');
        assert_true(line.n <= 78);
        n += str_starts(line, STR("DKIM-Signature:"));
        assert_true(line.p[0] == ' ' || line.p[0] == 'D');
        assert_true(str_trim(line).n > 0);
    }
    assert_int_equal(n, 2);
    free(fields);
    dkim_key_free(&ed);
    dkim_key_free(&rsa);
}

/* What canonicalisation makes equal has one signature; what it does not, another. */
static void test_equal_mails(void **state)
{
    static const struct {
        const char *mail;
        bool equal;
    } cases[] = {
        {"From: a@b.example\r\nSubject: x y\r\n\r\nbody  text\r\n", true},
        {"From:  a@b.example \r\nSubject: x\r\n y\r\n\r\nbody text \r\n\r\n\r\n", true},
        {"From: a@b.example\nSubject: x y\n\nbody text", true},
        {"From: a@b.example\rSubject: x y\r\rbody text\r", true},
        {"Received: z\r\nFrom: a@b.example\r\nX-A: b\r\nSubject: x y\r\n\r\nbody text\r\n", true},
        {"From: a@b.example\r\nSubject: xy\r\n\r\nbody text\r\n", false},
        {"From: a@b.example\r\nSubject: x y\r\n\r\nbodytext\r\n", false},
        {"From: a@b.example\r\nSubject: x y\r\n\r\n\r\nbody text\r\n", false},
        {"From: a@b.example\r\nSubject: X y\r\n\r\nbody text\r\n", false},
    };
    struct dkim_key *k = ed25519_key();
    const struct dkim_key *keys[] = {k};
    struct dkim_terms t = {.time_s = 1700000000};
    (void)state;
    char *first = sign(keys, 1, str_of(cases[0].mail), &t);
    for (size_t i = 0; i < countof(cases); i++) {
        char *other = sign(keys, 1, str_of(cases[i].mail), &t);
        assert_int_equal(strcmp(first, other) == 0, cases[i].equal);
        free(other);
    }
    free(first);
    dkim_key_free(&k);
}

static void test_known_body_hash(void **state)
{
    struct dkim_key *k = ed25519_key();
    const struct dkim_key *keys[] = {k};
    uint8_t hash[DKIM_HASH_BYTES];
    struct dkim_terms t = {.time_s = 1700000000};
    (void)state;
    char *first = sign(keys, 1, STR(RFC8463_MAIL), &t);
    assert_true(str_is(dkim_body_of(STR(RFC8463_MAIL)), RFC8463_BODY));
    assert_null(dkim_body_of(STR("From: a@b.example\r\n")).p);
    dkim_body_hash(dkim_body_of(STR(RFC8463_MAIL)), hash);
    t.body_hash = hash;
    char *again = sign(keys, 1, STR(RFC8463_MAIL), &t);
    assert_string_equal(first, again);
    free(first);
    free(again);
    dkim_key_free(&k);
}

static void test_refused(void **state)
{
    struct dkim_key *k = ed25519_key();
    const struct dkim_key *keys[] = {k};
    struct dkim_terms t = {.time_s = 1};
    struct err e = {0};
    struct buf out, mail;
    (void)state;
    buf_init(&out, OUT_MAX);
    assert_false(dkim_sign(keys, 1, STR("To: a@b.example\r\n\r\nx"), &t, &out, &e));
    assert_non_null(strstr(e.text, "no From"));
    assert_false(dkim_sign(keys, 1, STR(""), &t, &out, &e));
    assert_false(dkim_sign(keys, 1, STR("\r\nFrom: a@b.example\r\n"), &t, &out, &e));
    buf_init(&mail, OUT_MAX);
    for (int i = 0; i <= DKIM_FIELDS_MAX; i++)
        assert_true(buf_adds(&mail, "From: a@b.example\r\n"));
    assert_false(dkim_sign(keys, 1, buf_str(&mail), &t, &out, &e));
    assert_non_null(strstr(e.text, "header fields"));
    buf_consume(&mail, 19);
    buf_clear(&out);
    assert_true(dkim_sign(keys, 1, buf_str(&mail), &t, &out, &e));
    buf_free(&out);
    for (size_t max = 0; max < 700; max += 7) {
        buf_init(&out, max);
        bool ok = dkim_sign(keys, 1, STR(RFC8463_MAIL), &t, &out, &e);
        assert_int_equal(ok, !out.overflow);
        buf_free(&out);
    }
    buf_free(&mail);
    dkim_key_free(&k);
}

/* ---- keys and records ---- */

static void test_keys(void **state)
{
    struct dkim_key *ed = ed25519_key(), *rsa = rsa_key(), *none = NULL;
    struct err e = {0};
    struct buf b;
    (void)state;
    assert_non_null(ed);
    assert_non_null(rsa);
    buf_init(&b, OUT_MAX);
    assert_true(dkim_key_public(ed, &b));
    assert_string_equal(buf_cstr(&b), ED25519_PUBLIC);
    buf_clear(&b);
    assert_true(dkim_key_public(rsa, &b));
    assert_string_equal(buf_cstr(&b), RSA_PUBLIC);
    buf_free(&b);
    struct str der = str_from(ED25519_DER, sizeof ED25519_DER - 1);
    for (size_t n = 0; n < der.n; n++)
        assert_false(dkim_key_new("b.example", "s", str_cut(der, 0, n), &none, &e));
    assert_false(dkim_key_new("b.example", "a b", der, &none, &e));
    assert_non_null(strstr(e.text, "selector"));
    assert_false(dkim_pem_to_der(STR("-----BEGIN PRIVATE KEY-----\nAAAA\n"), &b, &e));
    dkim_key_free(&ed);
    dkim_key_free(&rsa);
    dkim_key_free(&none);
}

static void test_selectors(void **state)
{
    static const char *const good[] = {"a", "pf202611", "2026.mail", "s-1", "a_b"};
    static const char *const bad[] = {"",   ".",   "a.",  ".a",    "a..b",     "-a",
                                      "a-", "a b", "a;b", "a\r\n", "\xc3\xbc", "a=b"};
    struct err e;
    (void)state;
    for (size_t i = 0; i < countof(good); i++)
        assert_true(dkim_selector_check(str_of(good[i]), &e));
    for (size_t i = 0; i < countof(bad); i++)
        assert_false(dkim_selector_check(str_of(bad[i]), &e));
    char longer[DKIM_SELECTOR_MAX + 2] = {0};
    memset(longer, 'a', DKIM_SELECTOR_MAX);
    assert_true(dkim_selector_check(str_of(longer), &e));
    longer[DKIM_SELECTOR_MAX] = 'a';
    assert_false(dkim_selector_check(str_of(longer), &e));
}

static void test_records(void **state)
{
    static const struct {
        const char *text;
        bool ok, matches;
    } cases[] = {
        {"v=DKIM1; k=ed25519; p=" ED25519_PUBLIC, true, true},
        {"k=ed25519;p= 11qYAYKxCrfVS/7TyWQHOg7hcvPa piMlrwIaaPcHURo= ;", true, true},
        {"v=DKIM1; h=sha1:sha256; s=*; t=y:s; n=x; k=ed25519; p=" ED25519_PUBLIC, true, true},
        {"v=DKIM1; k=rsa; p=" ED25519_PUBLIC, true, false},
        {"v=DKIM1; p=" ED25519_PUBLIC, true, false},
        {"v=DKIM1; k=ed25519; p=", true, false},
        {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURp=", true, false},
        {"v=DKIM1; k=ed25519; p=" ED25519_PUBLIC "A", true, false},
        {"v=DKIM2; k=ed25519; p=" ED25519_PUBLIC, false, false},
        {"k=ed25519; v=DKIM1; p=" ED25519_PUBLIC, false, false},
        {"v=DKIM1; k=ec; p=" ED25519_PUBLIC, false, false},
        {"v=DKIM1; h=sha1; k=ed25519; p=" ED25519_PUBLIC, false, false},
        {"v=DKIM1; s=tlsrpt; k=ed25519; p=" ED25519_PUBLIC, false, false},
        {"v=DKIM1; k=ed25519", false, false},
        {"v=spf1 -all", false, false},
        {"", false, false},
    };
    (void)state;
    for (size_t i = 0; i < countof(cases); i++) {
        struct dkim_record r;
        struct err e = {0};
        bool ok = dkim_record_parse(str_of(cases[i].text), &r, &e);
        assert_int_equal(ok, cases[i].ok);
        assert_int_equal(ok && dkim_record_matches(&r, DKIM_ED25519_SHA256, STR(ED25519_PUBLIC)),
                         cases[i].matches);
    }
    struct dkim_record r;
    struct err e;
    assert_true(dkim_record_parse(STR("t=y:s; p="), &r, &e));
    assert_true(r.is_test && r.is_strict && r.is_revoked);
}

static void test_quoted(void **state)
{
    struct buf value, quoted, whole;
    (void)state;
    buf_init(&value, OUT_MAX);
    buf_init(&quoted, OUT_MAX);
    buf_init(&whole, OUT_MAX);
    assert_true(txt_quote(STR(""), &quoted));
    assert_string_equal(buf_cstr(&quoted), "\"\"");
    for (int i = 0; i < 255; i++)
        assert_true(buf_addc(&value, 'a'));
    buf_clear(&quoted);
    assert_true(txt_quote(buf_str(&value), &quoted));
    assert_int_equal(quoted.n, 257);
    assert_true(buf_adds(&value, "b\"c\\"));
    buf_clear(&quoted);
    assert_true(txt_quote(buf_str(&value), &quoted));
    assert_true(str_ends(buf_str(&quoted), STR("a\" \"b\\\"c\\\\\"")));
    buf_free(&value);
    buf_free(&quoted);
    buf_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_body_hash_of_rfc),
        cmocka_unit_test(test_bodies_at_every_cut),
        cmocka_unit_test(test_large_body),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_covered),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_equal_mails),
        cmocka_unit_test(test_known_body_hash),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
