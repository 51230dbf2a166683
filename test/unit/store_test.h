/* What the tests of store/ share: a folder of their own, a migrated database in it. Include after
 * cmocka.h. */
#ifndef STORE_TEST_H
#define STORE_TEST_H

#include "store/db.h"
#include "store/migrate.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char dir[64];
    char db_path[96];
    struct db *db;
};

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, e.text);                                                     \
    } while (0)

static inline void place_open(struct place *p)
{
    struct err e = {0};
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/postfleet-test-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->db_path, sizeof p->db_path, "%s/postfleet.db", p->dir);
    assert_ok(db_open(p->db_path, DB_READ_WRITE, &p->db, &e));
    assert_ok(migrate_to_latest(p->db, &e));
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    return remove(path);
}

static inline void remove_tree(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void place_close(struct place *p)
{
    db_close(&p->db);
    remove_tree(p->dir);
}

static inline int64_t number(struct db *db, const char *sql)
{
    struct err e = {0};
    struct stmt *s = db_stmt(db, sql, &e);
    bool row = false;
    if (!s || !db_step(s, &row, &e) || !row)
        fail_msg("%s: %s", sql, e.text);
    int64_t n = db_i64(s, 0);
    db_reset(s);
    return n;
}

static inline void spoil(const char *path, off_t at, size_t n)
{
    char junk[256];
    memset(junk, 0x5a, sizeof junk);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    while (n > 0) {
        size_t part = MIN(n, sizeof junk);
        assert_int_equal(pwrite(fd, junk, part, at), (ssize_t)part);
        at += (off_t)part;
        n -= part;
    }
    close(fd);
}

#endif
