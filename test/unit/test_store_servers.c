/* Servers and groups: every column there and back, numbers never reused, names, memberships,
 * fallbacks without circles, what the engine loads, swapped passwords. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "store/groups.h"
#include "store/names.h"
#include "store/secrets.h"
#include "store/servers.h"
#include "store_test.h"

struct house {
    struct place p;
    struct secrets *key;
};

static void house_open(struct house *h)
{
    struct err e = {0};
    place_open(&h->p);
    assert_ok(secrets_create(h->p.dir, &e));
    assert_ok(secrets_load(h->p.dir, &h->key, &e));
    assert_ok(groups_ensure_default(h->p.db, 1, 1000, &e));
}

static void house_close(struct house *h)
{
    secrets_free(&h->key);
    place_close(&h->p);
}

static struct server *simple(const char *name, uint64_t id)
{
    struct server *s = server_new();
    s->id = id;
    s->name = alloc_copy(name);
    s->host = alloc_copy("mx.example");
    s->port = 25;
    s->created_at = 5000;
    return s;
}

static uint16_t add(struct house *h, const char *name, uint64_t id)
{
    struct err e = {0};
    struct server *s = simple(name, id);
    assert_ok(servers_add(h->p.db, h->key, s, &e));
    uint16_t num = s->num;
    server_free(&s);
    return num;
}

static void fill(struct server *s)
{
    s->tls = TLS_MODE_STARTTLS;
    s->tls_verify = false;
    s->user = alloc_copy("me");
    s->password = secret_new("hunter2", 7);
    s->from = alloc_copy("From <a@b.example>");
    s->reply_to = alloc_copy("r@b.example");
    s->return_path = alloc_copy("p@b.example");
    s->helo = alloc_copy("helo.example");
    s->limits = (struct limits){.per_second = 1,
                                .per_minute = 2,
                                .per_hour = 3,
                                .per_day = 4,
                                .per_month = 5,
                                .calendar = alloc_copy("Europe/Vienna"),
                                .pause_between_ms = 6,
                                .max_connections = 7,
                                .max_messages_per_connection = 8,
                                .counts = COUNTS_RECIPIENTS};
    s->connect_timeout_ms = 9;
    s->reply_timeout_ms = 10;
    s->dot_timeout_ms = 11;
    s->chunking_off = true;
    s->region = alloc_copy("eu");
    s->ip_type = alloc_copy("dedicated");
    s->provider = alloc_copy("ses");
    s->profile = alloc_copy("ses");
    s->notes = alloc_copy("zwölf \"Boxkämpfer\"\n");
    s->cost_per_1000 = 0.1;
    s->n_headers = 2;
    s->headers = alloc_many(char *, 2);
    s->headers[0] = alloc_copy("X-A: \"1\" \\ \xc3\xa9");
    s->headers[1] = alloc_copy("X-B: 2");
    s->n_from_domains = 1;
    s->from_domains = alloc_many(char *, 1);
    s->from_domains[0] = alloc_copy("b.example");
    s->admin = ADMIN_DRAINING;
}

static void assert_same(const struct server *a, const struct server *b)
{
    assert_true(a->id == b->id && a->num == b->num && a->port == b->port);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->host, b->host);
    assert_true(a->tls == b->tls && a->tls_verify == b->tls_verify && a->admin == b->admin);
    assert_string_equal(a->user, b->user);
    assert_true(secret_equal(a->password, b->password));
    assert_string_equal(a->from, b->from);
    assert_string_equal(a->reply_to, b->reply_to);
    assert_string_equal(a->return_path, b->return_path);
    assert_string_equal(a->helo, b->helo);
    const struct limits *l = &a->limits, *m = &b->limits;
    assert_true(l->per_second == m->per_second && l->per_minute == m->per_minute &&
                l->per_hour == m->per_hour && l->per_day == m->per_day &&
                l->per_month == m->per_month && l->pause_between_ms == m->pause_between_ms &&
                l->max_connections == m->max_connections && l->counts == m->counts &&
                l->max_messages_per_connection == m->max_messages_per_connection);
    assert_string_equal(l->calendar, m->calendar);
    assert_true(a->connect_timeout_ms == b->connect_timeout_ms &&
                a->reply_timeout_ms == b->reply_timeout_ms &&
                a->dot_timeout_ms == b->dot_timeout_ms && a->chunking_off == b->chunking_off);
    assert_string_equal(a->region, b->region);
    assert_string_equal(a->ip_type, b->ip_type);
    assert_string_equal(a->provider, b->provider);
    assert_string_equal(a->profile, b->profile);
    assert_string_equal(a->notes, b->notes);
    assert_true(a->cost_per_1000 == b->cost_per_1000 && a->created_at == b->created_at);
    assert_true(a->n_headers == b->n_headers && a->n_from_domains == b->n_from_domains);
    assert_string_equal(a->headers[0], b->headers[0]);
    assert_string_equal(a->headers[1], b->headers[1]);
    assert_string_equal(a->from_domains[0], b->from_domains[0]);
}

static void every_column_comes_back(void **state)
{
    struct house h;
    struct err e = {0};
    house_open(&h);
    struct server *s = simple("alpha", 77), *back = NULL;
    fill(s);
    assert_ok(servers_add(h.p.db, h.key, s, &e));
    assert_int_equal(s->num, 1);
    assert_ok(servers_get(h.p.db, h.key, "alpha", &back, &e));
    assert_same(s, back);
    server_free(&back);
    free(s->name);
    s->name = alloc_copy("beta");
    s->port = 2525;
    s->updated_at = 6000;
    assert_ok(servers_update(h.p.db, h.key, s, &e));
    assert_ok(servers_get_num(h.p.db, h.key, 1, &back, &e));
    assert_same(s, back);
    assert_int_equal(back->updated_at, 6000);
    server_free(&back);
    /* Without the key the password stays sealed. */
    assert_ok(servers_get(h.p.db, NULL, "beta", &back, &e));
    assert_null(back->password);
    server_free(&back);
    assert_false(servers_get(h.p.db, h.key, "alpha", &back, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    server_free(&s);
    house_close(&h);
}

static void numbers_are_never_reused(void **state)
{
    struct house h;
    struct err e = {0};
    struct server *s = NULL;
    char name[128];
    house_open(&h);
    assert_int_equal(add(&h, "a", 1), 1);
    assert_int_equal(add(&h, "b", 2), 2);
    assert_ok(groups_join(h.p.db, 1, &(struct membership){2, 1, 1, ROLE_ACTIVE}, &e));
    assert_ok(servers_remove(h.p.db, "b", 9000, &e));
    assert_int_equal(add(&h, "b", 3), 3);
    assert_ok(servers_get(h.p.db, h.key, "b", &s, &e));
    assert_int_equal(s->num, 3);
    server_free(&s);
    assert_false(servers_get_num(h.p.db, h.key, 2, &s, &e));
    assert_ok(servers_name(h.p.db, 2, name, &e));
    assert_string_equal(name, "b");
    assert_int_equal(number(h.p.db, "SELECT count(*) FROM membership"), 0);
    assert_false(servers_remove(h.p.db, "nobody", 9000, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_ok(db_exec(h.p.db, "UPDATE server SET num = 65535 WHERE num = 3", &e));
    s = simple("c", 4);
    assert_false(servers_add(h.p.db, h.key, s, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    server_free(&s);
    house_close(&h);
}

static void names_are_looked_at(void **state)
{
    static const char *const good[] = {"a", "Server 1", "mx-1.example_x", "\xc3\xa9"};
    static const char *const bad[] = {"",     "-a",  " a", "a ",   "a/b",  "a~1",
                                      "a\"b", "a\n", "\t", "\xff", "a\x7f"};
    struct err e = {0};
    for (size_t i = 0; i < countof(good); i++)
        assert_ok(names_check("server", good[i], &e));
    for (size_t i = 0; i < countof(bad); i++) {
        assert_false(names_check("server", bad[i], &e));
        assert_int_equal(e.code, ERR_INVALID);
    }
    char lengthy[NAMES_MAX + 2];
    memset(lengthy, 'x', sizeof lengthy);
    lengthy[NAMES_MAX + 1] = 0;
    assert_false(names_check("server", lengthy, &e));
    assert_false(names_check("server", NULL, &e));
}

static void impossible_servers_are_refused(void **state)
{
    struct house h;
    struct err e = {0};
    house_open(&h);
    add(&h, "a", 1);
    struct server *s = simple("a", 2);
    assert_false(servers_add(h.p.db, h.key, s, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_non_null(strstr(e.text, "named a"));
    s->port = 0;
    assert_false(servers_add(h.p.db, h.key, s, &e));
    assert_int_equal(e.code, ERR_INVALID);
    s->port = 25;
    s->host[0] = '\n';
    assert_false(servers_add(h.p.db, h.key, s, &e));
    s->host[0] = 'm';
    s->limits.per_day = UINT64_MAX;
    assert_false(servers_add(h.p.db, h.key, s, &e));
    s->limits.per_day = 0;
    s->limits.max_connections = 0;
    assert_false(servers_add(h.p.db, h.key, s, &e));
    server_free(&s);
    house_close(&h);
}

/* Ciphertexts exchanged between two rows open in neither; the fleet loads, with both disabled. */
static void swapped_passwords_do_not_open(void **state)
{
    struct house h;
    struct err e = {0};
    struct server *s = NULL, **servers = NULL;
    struct group **groups = NULL;
    size_t n = 0, n_groups = 0;
    house_open(&h);
    for (uint64_t id = 1; id <= 3; id++) {
        s = simple(id == 1 ? "a" : id == 2 ? "b" : "c", id);
        s->user = alloc_copy("me");
        s->password = secret_new("hunter2", 7);
        assert_ok(servers_add(h.p.db, h.key, s, &e));
        server_free(&s);
    }
    assert_ok(db_exec(h.p.db,
                      "CREATE TABLE keep AS SELECT num, password FROM server;"
                      "UPDATE server SET password = (SELECT k.password FROM keep k WHERE "
                      "k.num = 3 - server.num) WHERE num <= 2",
                      &e));
    assert_false(servers_get(h.p.db, h.key, "a", &s, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    assert_non_null(strstr(e.text, "server a"));
    assert_ok(store_load_fleet(h.p.db, h.key, &servers, &n, &groups, &n_groups, &e));
    assert_int_equal(n, 3);
    assert_true(servers[0]->admin == ADMIN_DISABLED && !servers[0]->password);
    assert_true(servers[2]->admin == ADMIN_ACTIVE && servers[2]->password);
    servers_free_list(servers, n);
    groups_free_list(groups, n_groups);
    house_close(&h);
}

static void nonsense_in_a_row_is_told(void **state)
{
    struct house h;
    struct err e = {0};
    struct server *s = NULL;
    house_open(&h);
    add(&h, "a", 1);
    assert_ok(db_exec(h.p.db, "UPDATE server SET tls = 9", &e));
    assert_false(servers_get(h.p.db, h.key, "a", &s, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    assert_ok(db_exec(h.p.db, "UPDATE server SET tls = 0, headers = '[1]'", &e));
    assert_false(servers_get(h.p.db, h.key, "a", &s, &e));
    assert_int_equal(e.code, ERR_CORRUPT);
    house_close(&h);
}

static uint32_t add_group(struct house *h, const char *name, const uint32_t *fallbacks, size_t n)
{
    struct err e = {0};
    struct group *g = group_new();
    g->id = 1000 + (uint64_t)number(h->p.db, "SELECT count(*) FROM server_group");
    g->name = alloc_copy(name);
    g->strategy = STRATEGY_WEIGHTED;
    g->at_limit = AT_LIMIT_SPILL;
    g->shares = SHARES_ELASTIC;
    g->sticky = STICKY_RECIPIENT;
    g->fallbacks = alloc_many(uint32_t, n);
    for (size_t i = 0; i < n; i++)
        g->fallbacks[i] = fallbacks[i];
    g->n_fallbacks = n;
    assert_ok(groups_add(h->p.db, g, 2000, &e));
    uint32_t num = g->num;
    group_free(&g);
    return num;
}

static void groups_keep_members_and_fallbacks(void **state)
{
    struct house h;
    struct err e = {0};
    struct group *g = NULL, **all = NULL;
    uint32_t nums[4];
    size_t n = 0;
    house_open(&h);
    uint16_t a = add(&h, "a", 1), b = add(&h, "b", 2);
    uint32_t first = add_group(&h, "first", NULL, 0);
    uint32_t second = add_group(&h, "second", (uint32_t[]){first, 1}, 2);
    assert_ok(groups_join(h.p.db, second, &(struct membership){a, 10, 1, ROLE_ACTIVE}, &e));
    assert_ok(groups_join(h.p.db, second, &(struct membership){b, 5, 2, ROLE_ACTIVE}, &e));
    assert_ok(groups_join(h.p.db, second, &(struct membership){a, 7, 3, ROLE_ACTIVE}, &e));
    assert_ok(groups_join(h.p.db, first, &(struct membership){a, 1, 1, ROLE_ACTIVE}, &e));
    assert_false(groups_join(h.p.db, first, &(struct membership){a, 0, 1, ROLE_ACTIVE}, &e));
    assert_false(groups_join(h.p.db, first, &(struct membership){a, 1, 0, ROLE_ACTIVE}, &e));
    assert_ok(groups_get(h.p.db, "second", &g, &e));
    assert_true(g->strategy == STRATEGY_WEIGHTED && g->at_limit == AT_LIMIT_SPILL &&
                g->shares == SHARES_ELASTIC && g->sticky == STICKY_RECIPIENT);
    assert_int_equal(g->n_members, 2);
    assert_true(g->members[0].server_num == a && g->members[0].weight == 7 &&
                g->members[0].priority == 3);
    assert_int_equal(g->n_fallbacks, 2);
    assert_true(g->fallbacks[0] == first && g->fallbacks[1] == 1);
    group_free(&g);
    assert_ok(groups_of(h.p.db, a, nums, countof(nums), &n, &e));
    assert_true(n == 2 && nums[0] == first && nums[1] == second);
    assert_ok(groups_leave(h.p.db, second, a, &e));
    assert_ok(groups_list(h.p.db, &all, &n, &e));
    assert_int_equal(n, 3);
    assert_string_equal(all[0]->name, "default");
    assert_int_equal(all[2]->n_members, 1);
    groups_free_list(all, n);
    house_close(&h);
}

static void fallbacks_form_no_circle(void **state)
{
    struct house h;
    struct err e = {0};
    struct group *g = NULL;
    house_open(&h);
    uint32_t a = add_group(&h, "a", NULL, 0);
    uint32_t b = add_group(&h, "b", &a, 1);
    uint32_t c = add_group(&h, "c", &b, 1);
    const uint32_t targets[] = {a, b, c, 999};
    const enum err_code codes[] = {ERR_INVALID, ERR_INVALID, ERR_INVALID, ERR_NOT_FOUND};
    for (size_t i = 0; i < countof(targets); i++) {
        assert_ok(groups_get(h.p.db, "a", &g, &e));
        g->fallbacks[0] = targets[i];
        g->n_fallbacks = 1;
        assert_ok(db_begin(h.p.db, &e));
        assert_false(groups_update(h.p.db, g, &e));
        assert_int_equal(e.code, codes[i]);
        db_rollback(h.p.db);
        group_free(&g);
    }
    assert_ok(groups_get(h.p.db, "c", &g, &e));
    g->fallbacks[1] = b;
    g->n_fallbacks = 2;
    assert_false(groups_update(h.p.db, g, &e));
    g->fallbacks[1] = a;
    assert_ok(groups_update(h.p.db, g, &e));
    group_free(&g);
    house_close(&h);
}

static void groups_in_use_stay(void **state)
{
    struct house h;
    struct err e = {0};
    struct group *g = NULL;
    house_open(&h);
    uint32_t a = add_group(&h, "a", NULL, 0);
    add_group(&h, "b", &a, 1);
    assert_false(groups_remove(h.p.db, "default", 1, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    assert_ok(db_exec(h.p.db,
                      "INSERT INTO campaign (num, id, name, list_id, template_id, group_num, lane, "
                      "state, contact_max, cursor, walked, recipients, leased, created_at) VALUES "
                      "(1, 1, 'news', 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0)",
                      &e));
    assert_false(groups_remove(h.p.db, "a", 1, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_non_null(strstr(e.text, "news"));
    assert_ok(db_exec(h.p.db, "UPDATE campaign SET state = 5", &e));
    assert_ok(groups_remove(h.p.db, "a", 1, &e));
    assert_ok(groups_get(h.p.db, "b", &g, &e));
    assert_int_equal(g->n_fallbacks, 0);
    assert_int_not_equal(add_group(&h, "a", NULL, 0), a);
    free(g->name);
    g->name = alloc_copy("default");
    assert_false(groups_update(h.p.db, g, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    group_free(&g);
    assert_ok(groups_ensure_default(h.p.db, 99, 1, &e));
    assert_int_equal(number(h.p.db, "SELECT count(*) FROM server_group WHERE name = 'default'"), 1);
    house_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_column_comes_back),
        cmocka_unit_test(numbers_are_never_reused),
        cmocka_unit_test(names_are_looked_at),
        cmocka_unit_test(impossible_servers_are_refused),
        cmocka_unit_test(swapped_passwords_do_not_open),
        cmocka_unit_test(nonsense_in_a_row_is_told),
        cmocka_unit_test(groups_keep_members_and_fallbacks),
        cmocka_unit_test(fallbacks_form_no_circle),
        cmocka_unit_test(groups_in_use_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
