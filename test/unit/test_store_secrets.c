/* The key file and what is sealed with it: made once, refused when missing, wrong, open to others
 * or malformed; ciphertexts that were moved, changed or cut do not open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/secrets.h"
#include "store_test.h"

static void write_text(const char *dir, const char *text, mode_t mode)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/" SECRETS_FILE, dir);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct secrets *fresh(struct place *p)
{
    struct err e = {0};
    struct secrets *s = NULL;
    assert_ok(secrets_create(p->dir, &e));
    assert_ok(secrets_load(p->dir, &s, &e));
    return s;
}

static void the_file_is_made_once(void **state)
{
    struct place p;
    struct err e = {0};
    struct secrets *s = NULL;
    struct stat st;
    char path[128];
    place_open(&p);
    assert_false(secrets_load(p.dir, &s, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, p.dir));
    s = fresh(&p);
    (void)snprintf(path, sizeof path, "%s/" SECRETS_FILE, p.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    assert_false(secrets_create(p.dir, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_false(secrets_create("/no/such/folder", &e));
    secrets_free(&s);
    place_close(&p);
}

static void bad_files_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "postfleet-key-1 ",
        "postfleet-key-1 AAAA\n",
        "postfleet-key-2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "postfleet-key-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!=\n"};
    struct place p;
    struct err e = {0};
    struct secrets *s = NULL;
    place_open(&p);
    for (size_t i = 0; i < countof(bad); i++) {
        write_text(p.dir, bad[i], 0400);
        assert_false(secrets_load(p.dir, &s, &e));
        assert_int_equal(e.code, ERR_CORRUPT);
        assert_null(s);
    }
    static const char good[] = "postfleet-key-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    write_text(p.dir, good, 0440);
    assert_false(secrets_load(p.dir, &s, &e));
    assert_int_equal(e.code, ERR_NOT_ALLOWED);
    assert_non_null(strstr(e.text, "chmod 0400"));
    write_text(p.dir, good, 0600);
    assert_ok(secrets_load(p.dir, &s, &e));
    secrets_free(&s);
    place_close(&p);
}

static void a_credential_goes_before_the_file(void **state)
{
    struct place p, q;
    struct err e = {0};
    uint8_t a[SECRETS_KEY_BYTES], b[SECRETS_KEY_BYTES];
    place_open(&p);
    place_open(&q);
    struct secrets *s = fresh(&p), *other = fresh(&q);
    secrets_derive(other, "x", a);
    secrets_free(&s);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", q.dir, 1), 0);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/" SECRETS_FILE, q.dir);
    assert_int_equal(chmod(path, 0440), 0);
    assert_ok(secrets_load(p.dir, &s, &e));
    secrets_derive(s, "x", b);
    assert_memory_equal(a, b, sizeof a);
    secrets_free(&s);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/no/such/folder", 1), 0);
    assert_ok(secrets_load(p.dir, &s, &e));
    secrets_derive(s, "x", b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    secrets_free(&s);
    secrets_free(&other);
    place_close(&q);
    place_close(&p);
}

static void a_wrong_key_is_refused(void **state)
{
    struct place p, q;
    struct err e = {0};
    place_open(&p);
    place_open(&q);
    struct secrets *right = fresh(&p), *wrong = fresh(&q);
    assert_ok(secrets_match(right, p.db, &e));
    assert_ok(secrets_match(right, p.db, &e));
    assert_false(secrets_match(wrong, p.db, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    assert_non_null(strstr(e.text, p.db_path));
    secrets_free(&right);
    secrets_free(&wrong);
    place_close(&q);
    place_close(&p);
}

static void labels_give_different_keys(void **state)
{
    struct place p;
    uint8_t a[SECRETS_KEY_BYTES], b[SECRETS_KEY_BYTES];
    place_open(&p);
    struct secrets *s = fresh(&p);
    secrets_derive(s, SECRETS_LABEL_TOKEN, a);
    secrets_derive(s, SECRETS_LABEL_TOKEN, b);
    assert_memory_equal(a, b, sizeof a);
    secrets_derive(s, "session", b);
    assert_memory_not_equal(a, b, sizeof a);
    secrets_free(&s);
    place_close(&p);
}

static bool opens(const struct secrets *s, const char *table, uint64_t id, const char *column,
                  struct str sealed)
{
    struct err e = {0};
    struct secret *plain = NULL;
    bool ok = secrets_unseal(s, table, id, column, sealed, &plain, &e);
    assert_true(ok == (plain != NULL));
    if (!ok)
        assert_int_equal(e.code, ERR_CORRUPT);
    if (ok)
        assert_true(str_is(secret_reveal(plain), "hunter2"));
    secret_free(&plain);
    return ok;
}

static void sealed_values_stay_in_their_place(void **state)
{
    struct place p, q;
    struct err e = {0};
    struct buf b, twice;
    place_open(&p);
    place_open(&q);
    struct secrets *s = fresh(&p), *other = fresh(&q);
    buf_init(&b, 1000);
    buf_init(&twice, 1000);
    assert_ok(secrets_seal(s, "server", 7, "password", STR("hunter2"), &b, &e));
    assert_ok(secrets_seal(s, "server", 7, "password", STR("hunter2"), &twice, &e));
    assert_false(str_eq(buf_str(&b), buf_str(&twice)));
    assert_true(str_find(buf_str(&b), STR("hunter2")) < 0);
    assert_true(opens(s, "server", 7, "password", buf_str(&b)));
    assert_false(opens(s, "server", 8, "password", buf_str(&b)));
    assert_false(opens(s, "server", 7, "user", buf_str(&b)));
    assert_false(opens(s, "dkim", 7, "password", buf_str(&b)));
    assert_false(opens(other, "server", 7, "password", buf_str(&b)));
    for (size_t n = 0; n < b.n; n++)
        assert_false(opens(s, "server", 7, "password", str_from(b.p, n)));
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 1;
        assert_false(opens(s, "server", 7, "password", buf_str(&b)));
        b.p[i] ^= 1;
    }
    assert_true(opens(s, "server", 7, "password", buf_str(&b)));
    buf_free(&b);
    buf_free(&twice);
    secrets_free(&s);
    secrets_free(&other);
    place_close(&q);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_made_once),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(a_credential_goes_before_the_file),
        cmocka_unit_test(a_wrong_key_is_refused),
        cmocka_unit_test(labels_give_different_keys),
        cmocka_unit_test(sealed_values_stay_in_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
