/* A core without sockets for tests of engine/admin: a temporary SQLite database, keys, ids, and a
 * ledger's manners: each operation in a transaction that is committed or rolled back. */
#ifndef TEST_ADMIN_FIXTURE_H
#define TEST_ADMIN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/admin.h"
#include "engine/admin_outgoing.h"
#include "store/db.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/migrate.h"
#include "store/people.h"
#include "store/secrets.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct fixture {
    char folder[64], path[96], spool[96];
    struct db *db;
    struct secrets *secrets;
    struct ids ids;
    struct people *people;
    uint8_t token_key[32];
    struct admin_context c;
    struct err e; /* of the last operation that failed */
};

#define must(ok, f)                                                                                \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            print_error("%s\n", (f)->e.text);                                                      \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

static inline int fixture_set_up(void **state)
{
    struct fixture *f = alloc_one(struct fixture);
    str_copy(STR("/tmp/pf-admin-XXXXXX"), f->folder, sizeof(f->folder));
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/postfleet.db", f->folder);
    snprintf(f->spool, sizeof(f->spool), "%s/spool", f->folder);
    must(db_open(f->path, DB_READ_WRITE, &f->db, &f->e), f);
    must(migrate_to_latest(f->db, &f->e), f);
    must(secrets_create(f->folder, &f->e) && secrets_load(f->folder, &f->secrets, &f->e), f);
    ids_init(&f->ids, 1, 0);
    must(people_open(f->db, &f->people, &f->e), f);
    must(db_begin(f->db, &f->e) && groups_ensure_default(f->db, ids_next(&f->ids, 1), 1, &f->e) &&
             db_commit(f->db, &f->e),
         f);
    f->c = (struct admin_context){.db = f->db,
                                  .secrets = f->secrets,
                                  .token_key = f->token_key,
                                  .ids = &f->ids,
                                  .people = f->people,
                                  .wall_ms = 1790000000000,
                                  .random = 7,
                                  .spool_dir = f->spool,
                                  .host = "test.example",
                                  .http_url = "http://127.0.0.1:8025",
                                  .actor = "test"};
    *state = f;
    return 0;
}

static inline int fixture_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static inline int fixture_tear_down(void **state)
{
    struct fixture *f = *state;
    admin_changes_free(&f->c.changed);
    people_close(&f->people);
    db_close(&f->db);
    secrets_free(&f->secrets);
    int status = nftw(f->folder, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return status;
}

/* Runs op; args is stolen. NULL: it failed, see f->e. The data is the caller's. */
static inline json_t *run_tail(struct fixture *f, const char *op, json_t *args, struct str tail)
{
    struct admin_answer a;
    f->c.wall_ms += 10;
    admin_changes_free(&f->c.changed);
    must(db_begin(f->db, &f->e), f);
    admin_execute(&f->c, op, args, tail, &a);
    json_decref(args);
    admin_kept_free(&f->c);
    if (!a.ok) {
        f->e = a.error;
        db_rollback(f->db);
        return NULL;
    }
    must(db_commit(f->db, &f->e), f);
    return a.data ? a.data : json_null();
}

static inline json_t *run(struct fixture *f, const char *op, json_t *args)
{
    return run_tail(f, op, args, STR_NONE);
}

/* A message as the API gives it, composed and stored at once; NULL: refused, see f->e. */
static inline json_t *post_message(struct fixture *f, json_t *item, struct str raw)
{
    struct composed m;
    struct arena *a = arena_new(COMPOSE_MAX);
    json_t *data = NULL;
    uint64_t id = 0;
    f->c.wall_ms += 10;
    const struct compose_context cx = {.now_ms = f->c.wall_ms, .random = f->c.random++};
    admin_changes_free(&f->c.changed);
    must(db_begin(f->db, &f->e), f);
    bool ok = compose_item(&cx, item, NULL, raw, 0, a, &m, &f->e) &&
              outgoing_store(&f->c, &m, 0, NULL, &id, &f->e) &&
              (data = outgoing_answer(&m, id, false, &f->e)) != NULL;
    if (ok)
        must(db_commit(f->db, &f->e), f);
    else
        db_rollback(f->db);
    composed_free(&m);
    arena_free(&a);
    json_decref(item);
    return data;
}

/* Runs op, which must work, and drops its data. */
static inline void done(struct fixture *f, const char *op, json_t *args)
{
    json_t *data = run(f, op, args);
    must(data != NULL, f);
    json_decref(data);
}

/* Runs op, which must fail with this code and these words in its text. */
static inline void refused(struct fixture *f, const char *op, json_t *args, enum err_code code,
                           const char *words)
{
    json_t *data = run(f, op, args);
    if (data)
        print_error("%s worked: %s\n", op, json_dumps(data, 0));
    assert_null(data);
    if (f->e.code != code || !strstr(f->e.text, words))
        print_error("%s: code %d, \"%s\", wanted %d, \"%s\"\n", op, f->e.code, f->e.text, code,
                    words);
    assert_int_equal(f->e.code, code);
    assert_non_null(strstr(f->e.text, words));
}

static inline const char *text_of(json_t *j, const char *field)
{
    const char *s = json_string_value(json_object_get(j, field));
    return s ? s : "(none)";
}

static inline int64_t number_of(json_t *j, const char *field)
{
    return json_integer_value(json_object_get(j, field));
}

#endif
