/* The spool: written whole or not at all, never over another body, read back, swept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"
#include "store/spool.h"
#include "store_test.h"

static void bodies_come_back(void **state)
{
    struct place p;
    struct err e = {0};
    struct spool_body body;
    char dir[128], *large = calloc(1, SPOOL_FROM * 3);
    place_open(&p);
    (void)snprintf(dir, sizeof dir, "%s/spool", p.dir);
    assert_non_null(large);
    memset(large, 'x', SPOOL_FROM * 3);
    assert_false(spool_open(dir, 7, &body, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_ok(spool_write(dir, 7, str_from(large, SPOOL_FROM * 3), &e));
    assert_false(spool_write(dir, 7, STR("other"), &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_ok(spool_write(dir, 8, STR(""), &e));
    assert_ok(spool_open(dir, 7, &body, &e));
    assert_true(str_eq(body.bytes, str_from(large, SPOOL_FROM * 3)));
    spool_close(&body);
    spool_close(&body);
    assert_ok(spool_open(dir, 8, &body, &e));
    assert_int_equal(body.bytes.n, 0);
    spool_close(&body);
    assert_ok(spool_remove(dir, 7, &e));
    assert_ok(spool_remove(dir, 7, &e));
    assert_false(spool_open(dir, 7, &body, &e));
    free(large);
    place_close(&p);
}

static void file_of(const char *dir, uint64_t id, const char *suffix, char *out, size_t size)
{
    uint64_t h = hash_u64(id);
    (void)snprintf(out, size, "%s/%02x/%02x/%llu%s", dir, (unsigned)(h % 64),
                   (unsigned)(h / 64 % 64), (unsigned long long)id, suffix);
}

static bool keep_even(void *arg, uint64_t id)
{
    ++*(int *)arg;
    return id % 2 == 0;
}

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void orphans_are_swept(void **state)
{
    struct place p;
    struct err e = {0};
    char dir[128], path[256];
    size_t removed = 99;
    int asked = 0;
    place_open(&p);
    (void)snprintf(dir, sizeof dir, "%s/spool", p.dir);
    assert_ok(spool_sweep(dir, keep_even, &asked, &removed, &e));
    assert_int_equal(removed, 0);
    for (uint64_t id = 1; id <= 10; id++)
        assert_ok(spool_write(dir, id, STR("body"), &e));
    /* What a crash leaves, and a file of somebody else's. */
    file_of(dir, 9, ".new", path, sizeof path);
    touch(path);
    file_of(dir, 2, "notes.txt", path, sizeof path);
    touch(path);
    assert_ok(spool_sweep(dir, keep_even, &asked, &removed, &e));
    assert_int_equal(asked, 11);
    assert_int_equal(removed, 6);
    assert_int_equal(access(path, F_OK), 0);
    struct spool_body body;
    assert_ok(spool_open(dir, 10, &body, &e));
    spool_close(&body);
    assert_false(spool_open(dir, 9, &body, &e));
    place_close(&p);
}

static int without_rights(const char *dir)
{
    struct err e = {0};
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 10;
    return spool_write(dir, 5, STR("x"), &e) || !strstr(e.text, dir) ? 11 : 0;
}

static void failures_are_told(void **state)
{
    struct place p;
    struct err e = {0};
    char dir[128], path[256];
    struct spool_body body;
    place_open(&p);
    (void)snprintf(dir, sizeof dir, "%s/no/such/spool", p.dir);
    assert_false(spool_write(dir, 5, STR("x"), &e));
    assert_non_null(strstr(e.text, dir));
    (void)snprintf(dir, sizeof dir, "%s/spool", p.dir);
    assert_false(spool_write(dir, 5, str_from("", (size_t)SPOOL_MAX + 1), &e));
    assert_int_equal(e.code, ERR_TOO_BIG);
    assert_ok(spool_write(dir, 4, STR("x"), &e));
    pid_t pid = fork();
    if (pid == 0)
        _exit(without_rights(dir));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    /* A folder where a body should be. */
    file_of(dir, 4, "", path, sizeof path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(spool_open(dir, 4, &body, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_come_back),
        cmocka_unit_test(orphans_are_swept),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
