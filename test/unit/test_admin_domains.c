/* Domains and DKIM keys over a real database: keys are sealed and bound to their row, the first
 * signs at once, a second waits and takes over, and signing finds the nearest domain. */
#include "admin_fixture.h"

#include "dkim_keys.h"
#include "engine/signing.h"
#include "mail/dkim_record.h"
#include "store/domains.h"
#include "store/reports.h"

static void denied(struct fixture *f, const char *op, json_t *args, const char *word)
{
    json_t *data = run(f, op, args);
    if (data || !strstr(f->e.text, word))
        fail_msg("%s: wanted a refusal with \"%s\", got \"%s\"", op, word, f->e.text);
}

static json_t *given(struct fixture *f, const char *op, json_t *args)
{
    json_t *data = run(f, op, args);
    must(data != NULL, f);
    return data;
}

static const char *state_of(json_t *domain, size_t i)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(domain, "keys"), i), "state"));
}

static void test_names(void **state)
{
    struct fixture *f = *state;
    json_t *d = given(f, "domain.add",
                      json_pack("{s:s,s:s}", "name",
                                "B\xc3\xbc"
                                "cher.Example",
                                "dkim", "none"));
    assert_string_equal(json_string_value(json_object_get(d, "name")), "xn--bcher-kva.example");
    assert_int_equal(json_array_size(json_object_get(d, "keys")), 0);
    json_decref(d);
    denied(f, "domain.add", json_pack("{s:s}", "name", "xn--bcher-kva.example"), "already");
    denied(f, "domain.add", json_pack("{s:s}", "name", "a@b.example"), "no domain");
    denied(f, "domain.add", json_pack("{s:s}", "name", "localhost"), "no domain");
    denied(f, "domain.add", json_pack("{s:s,s:s}", "name", "c.example", "dkim", "dsa"), "none of");
    denied(f, "domain.add", json_pack("{s:s,s:s}", "name", "c.example", "expires", "5m"), "1h");
    denied(f, "domain.add", json_pack("{s:s,s:s}", "name", "c.example", "ttl", "5m"), "ttl");
    denied(f, "dkim.keygen", json_pack("{s:s,s:s}", "domain", "c.example", "selector", "a b"),
           "selector");
    denied(f, "domain.remove", json_pack("{s:s}", "name", "c.example"), "no domain");
}

static void test_keys_take_over(void **state)
{
    struct fixture *f = *state;
    json_decref(
        given(f, "domain.add", json_pack("{s:s,s:s}", "name", "a.example", "dkim", "both")));
    json_t *d =
        given(f, "dkim.keygen", json_pack("{s:s,s:s}", "domain", "a.example", "selector", "Next"));
    assert_int_equal(json_array_size(json_object_get(d, "keys")), 3);
    assert_string_equal(state_of(d, 0), "active");
    assert_string_equal(state_of(d, 1), "active");
    assert_string_equal(state_of(d, 2), "waiting");
    const json_t *record = json_object_get(json_array_get(json_object_get(d, "keys"), 2), "record");
    assert_string_equal(json_string_value(json_object_get(record, "name")),
                        "next._domainkey.a.example");
    assert_true(json_array_size(json_object_get(record, "strings")) == 2);
    json_decref(d);
    d = given(f, "dkim.activate",
              json_pack("{s:s,s:s}", "domain", "a.example", "selector", "next"));
    assert_string_equal(state_of(d, 0), "retired");
    assert_string_equal(state_of(d, 1), "active");
    assert_string_equal(state_of(d, 2), "active");
    json_decref(d);
    denied(f, "dkim.keygen", json_pack("{s:s,s:s}", "domain", "a.example", "selector", "next"),
           "in use");
    denied(f, "dkim.retire", json_pack("{s:s,s:s}", "domain", "a.example", "selector", "x"),
           "no key");
    d = given(f, "dkim.remove", json_pack("{s:s,s:s}", "domain", "a.example", "selector", "next"));
    assert_int_equal(json_array_size(json_object_get(d, "keys")), 2);
    json_decref(d);
    json_decref(given(f, "domain.remove", json_pack("{s:s}", "name", "a.example")));
}

static void test_given_key(void **state)
{
    struct fixture *f = *state;
    json_t *d = given(f, "dkim.keygen",
                      json_pack("{s:s,s:s,s:s}", "domain", "football.example.com", "selector",
                                "test", "private_key", RSA_PEM));
    const json_t *key = json_array_get(json_object_get(d, "keys"), 0);
    assert_string_equal(json_string_value(json_object_get(key, "public")), RSA_PUBLIC);
    char *text = json_dumps(d, 0);
    assert_null(strstr(text, "PRIVATE"));
    free(text);
    json_decref(d);
    denied(f, "dkim.keygen", json_pack("{s:s,s:s}", "domain", "b.example", "private_key", "x"),
           "private_key");
}

/* A sealed key that is moved to another row opens nowhere, and stops nobody else. */
static void test_sealed(void **state)
{
    struct fixture *f = *state;
    struct domain_key *keys = NULL;
    size_t n = 0;
    json_decref(given(f, "domain.add", json_pack("{s:s}", "name", "one.example")));
    json_decref(
        given(f, "domain.add", json_pack("{s:s,s:s}", "name", "two.example", "dkim", "ed25519")));
    must(domain_keys_load(f->db, f->secrets, &keys, &n, &f->e), f);
    size_t before = n;
    domain_keys_free(keys, n);
    must(
        db_exec(f->db,
                "UPDATE dkim_key SET private = (SELECT private FROM dkim_key k JOIN domain d ON "
                "d.num = k.domain_num WHERE d.name = 'two.example') WHERE domain_num = (SELECT num "
                "FROM domain WHERE name = 'one.example')",
                &f->e),
        f);
    must(domain_keys_load(f->db, f->secrets, &keys, &n, &f->e), f);
    assert_int_equal(n, before - 1);
    domain_keys_free(keys, n);
    struct stmt *s = db_stmt(f->db, "SELECT private FROM dkim_key", &f->e);
    bool row = false;
    while (db_step(s, &row, &f->e) && row) /* nothing of PKCS #8 stands there in clear */
        assert_true(str_find(db_blob(s, 0), str_from("\x30\x0d\x06\x09\x2a\x86\x48", 7)) < 0 &&
                    str_find(db_blob(s, 0), str_from("\x06\x03\x2b\x65\x70", 5)) < 0);
    db_reset(s);
}

static void test_signing(void **state)
{
    struct fixture *f = *state;
    struct signing *s = NULL;
    struct server *server = server_new();
    struct buf mail;
    char domain[DOMAIN_MAX + 1];
    json_decref(given(
        f, "domain.add",
        json_pack("{s:s,s:s,s:s}", "name", "shop.example", "dkim", "both", "expires", "14d")));
    json_decref(given(f, "domain.add", json_pack("{s:s}", "name", "mail.shop.example")));
    must(signing_load(f->db, f->secrets, &s, &f->e), f);
    const struct signer *near = signing_find(s, server, STR("a.mail.shop.example"));
    assert_string_equal(signer_domain(near), "mail.shop.example");
    const struct signer *up = signing_find(s, server, STR("b.shop.example"));
    assert_string_equal(signer_domain(up), "shop.example");
    assert_null(signing_find(s, server, STR("example")));
    assert_null(signing_find(s, server, STR("othershop.example")));
    assert_null(signing_find(s, server, STR_NONE));
    server->dkim = DKIM_USE_OFF;
    assert_null(signing_find(s, server, STR("shop.example")));
    server->dkim = DKIM_USE_AUTO;
    server->profile = alloc_copy("ses");
    assert_null(signing_find(s, server, STR("shop.example")));
    server->dkim = DKIM_USE_ON;
    assert_non_null(signing_find(s, server, STR("shop.example")));
    assert_true(signing_domain_of(STR("\"A, B\" <x@Shop.Example>"), domain));
    assert_string_equal(domain, "shop.example");
    assert_true(signing_domain_of(STR("A <x@a.example>, b@b.example"), domain));
    assert_string_equal(domain, "a.example");
    assert_false(signing_domain_of(STR("nobody"), domain));
    for (size_t room = 0; room <= SIGNING_ROOM; room += SIGNING_ROOM) {
        buf_init(&mail, 100000);
        for (size_t i = 0; i < room; i++)
            assert_true(buf_addc(&mail, '#'));
        assert_true(buf_adds(&mail, RFC8463_MAIL));
        must(signing_put(up, &mail, room, 0, 1700000000000, &f->e), f);
        assert_true(str_starts(buf_str(&mail), STR("DKIM-Signature: v=1; a=rsa-sha256;")));
        assert_true(str_ends(buf_str(&mail), STR("\r\n" RFC8463_MAIL)));
        assert_true(str_find(buf_str(&mail), STR("a=ed25519-sha256;")) > 0);
        assert_true(str_find(buf_str(&mail), STR("x=1701209600;")) > 0);
        assert_true(str_find(buf_str(&mail), STR("#")) < 0);
        buf_free(&mail);
    }
    server_free(&server);
    signing_drop(s);
}

/* A body known by its id is not read again: the hash of the first stands for all. */
static void test_shared_body(void **state)
{
    struct fixture *f = *state;
    struct signing *s = NULL;
    struct server *server = server_new();
    char *signed_mail[3];
    must(signing_load(f->db, f->secrets, &s, &f->e), f);
    const struct signer *up = signing_find(s, server, STR("shop.example"));
    assert_non_null(up);
    for (int i = 0; i < 3; i++) {
        struct buf mail;
        buf_init(&mail, 100000);
        assert_true(buf_adds(&mail, "From: a@shop.example\r\n\r\n"));
        for (int k = 0; k < 20000; k++)
            assert_true(buf_addc(&mail, i == 1 ? 'y' : 'x'));
        must(signing_put(up, &mail, 0, i == 2 ? 0 : 77, 1700000000000, &f->e), f);
        signed_mail[i] = buf_steal(&mail, NULL);
    }
    const char *b0 = strstr(signed_mail[0], "bh="), *b1 = strstr(signed_mail[1], "bh=");
    assert_true(!strncmp(b0, b1, 47)); /* by id, whatever it holds */
    assert_true(!strncmp(b0, strstr(signed_mail[2], "bh="), 47));
    for (int i = 0; i < 3; i++)
        free(signed_mail[i]);
    server_free(&server);
    signing_drop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),     cmocka_unit_test(test_keys_take_over),
        cmocka_unit_test(test_given_key), cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_signing),   cmocka_unit_test(test_shared_body),
    };
    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
