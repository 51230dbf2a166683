/* Failure matrices: see failover.h. */
#include "store/failover.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

static bool read_rules(struct db *db, struct failover *f, struct err *e)
{
    bool row = false;
    char text[FAILOVER_RULE_MAX];
    struct stmt *st =
        db_stmt(db, "SELECT rule FROM failover_rule WHERE group_num = $1 ORDER BY position", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, f->group_num);
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        (void)str_copy(db_text(st, 0), text, sizeof text);
        if (f->n_rules < FAILOVER_RULES_MAX)
            failover_add_rule(f, text);
    }
    return false;
}

static bool read_order(struct db *db, struct failover *f, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db,
                              "SELECT o.server_num FROM failover_server o JOIN server s ON "
                              "s.num = o.server_num WHERE o.group_num = $1 AND "
                              "s.removed_at IS NULL ORDER BY o.position",
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, f->group_num);
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        if (f->n_order < FAILOVER_ORDER_MAX)
            failover_add_server(f, (uint16_t)db_i64(st, 0));
    }
    return false;
}

static void read_settings(struct stmt *st, struct failover *f)
{
    f->group_num = (uint32_t)db_i64(st, 0);
    f->tries_per_round = (uint32_t)MAX(db_i64(st, 1), 0);
    f->tries = (uint32_t)MAX(db_i64(st, 2), 0);
    f->rounds = (uint32_t)MAX(db_i64(st, 3), 0);
    f->deadline_ms = MAX(db_i64(st, 4), 0);
    f->first_delay_ms = MAX(db_i64(st, 5), 0);
    f->max_delay_ms = MAX(db_i64(st, 6), 0);
}

#define COLUMNS                                                                                    \
    "group_num, tries_per_round, tries, rounds, deadline_ms, first_delay_ms, max_delay_ms"

bool failover_load(struct db *db, uint32_t group_num, struct failover **out, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM failover WHERE group_num = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, group_num);
    if (!db_step(st, &row, e))
        return false;
    struct failover *f = failover_new();
    if (row)
        read_settings(st, f);
    f->group_num = group_num;
    db_reset(st);
    if (!row || (read_rules(db, f, e) && read_order(db, f, e))) {
        *out = f;
        return true;
    }
    failover_free(&f);
    return false;
}

bool failover_load_all(struct db *db, struct failover ***out, size_t *n_out, struct err *e)
{
    struct failover **list = NULL;
    size_t n = 0;
    bool row = false, ok = true;
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM failover ORDER BY group_num", e);
    *out = NULL;
    *n_out = 0;
    while (st && (ok = db_step(st, &row, e)) && row) {
        list = alloc_resize(list, (n + 1) * sizeof *list);
        list[n] = failover_new();
        read_settings(st, list[n++]);
    }
    ok = st && ok;
    for (size_t i = 0; ok && i < n; i++)
        ok = read_rules(db, list[i], e) && read_order(db, list[i], e);
    if (!ok) {
        failovers_free_list(list, n);
        return false;
    }
    *out = list;
    *n_out = n;
    return true;
}

void failovers_free_list(struct failover **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        failover_free(&list[i]);
    free(list);
}

static bool clear(struct db *db, uint32_t group_num, struct err *e)
{
    static const char *const sql[] = {"DELETE FROM failover WHERE group_num = $1",
                                      "DELETE FROM failover_rule WHERE group_num = $1",
                                      "DELETE FROM failover_server WHERE group_num = $1"};
    for (size_t i = 0; i < countof(sql); i++) {
        struct stmt *st = db_stmt(db, sql[i], e);
        if (!st)
            return false;
        db_bind_i64(st, 1, group_num);
        if (!db_run(st, e))
            return false;
    }
    return true;
}

static bool write_settings(struct db *db, const struct failover *f, int64_t now_ms, struct err *e)
{
    struct stmt *st = db_stmt(
        db, "INSERT INTO failover (" COLUMNS ", updated_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8)", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, f->group_num);
    db_bind_i64(st, 2, f->tries_per_round);
    db_bind_i64(st, 3, f->tries);
    db_bind_i64(st, 4, f->rounds);
    db_bind_i64(st, 5, f->deadline_ms);
    db_bind_i64(st, 6, f->first_delay_ms);
    db_bind_i64(st, 7, f->max_delay_ms);
    db_bind_i64(st, 8, now_ms);
    return db_run(st, e);
}

bool failover_save(struct db *db, const struct failover *f, int64_t now_ms, struct err *e)
{
    if (!clear(db, f->group_num, e))
        return false;
    if (failover_is_empty(f))
        return true;
    if (!write_settings(db, f, now_ms, e))
        return false;
    for (size_t i = 0; i < f->n_rules; i++) {
        struct stmt *st = db_stmt(
            db, "INSERT INTO failover_rule (group_num, position, rule) VALUES ($1,$2,$3)", e);
        if (!st)
            return false;
        db_bind_i64(st, 1, f->group_num);
        db_bind_i64(st, 2, (int64_t)i);
        db_bind_cstr(st, 3, f->rules[i]);
        if (!db_run(st, e))
            return false;
    }
    for (size_t i = 0; i < f->n_order; i++) {
        struct stmt *st = db_stmt(
            db, "INSERT INTO failover_server (group_num, position, server_num) VALUES ($1,$2,$3)",
            e);
        if (!st)
            return false;
        db_bind_i64(st, 1, f->group_num);
        db_bind_i64(st, 2, (int64_t)i);
        db_bind_i64(st, 3, f->order[i]);
        if (!db_run(st, e))
            return false;
    }
    return true;
}
