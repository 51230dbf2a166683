/* Import of servers by the row: each is added, or changed when it is there, as `server add` and
 * `server set` do it; one that cannot be is told and undone alone. Core reads its servers anew once
 * a call, so ten thousand rows cost no more than some dozens of them. */
#include "engine/admin_parts.h"
#include "engine/auditing.h"

#include "base/alloc.h"
#include "store/db.h"

#include <stdlib.h>

#define ROWS_MAX 1000

struct adding { /* kept from bite to bite */
    struct admin_kept kept;
    json_t *rows; /* borrowed */
    size_t at;
    json_int_t added, updated, invalid;
    json_t *why, *warnings;
};

static void adding_free(struct admin_kept *k)
{
    struct adding *m = container_of(k, struct adding, kept);
    json_decref(m->why);
    json_decref(m->warnings);
    free(m);
}

static json_t *counts_json(const struct adding *m)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "rows", (json_int_t)m->at, "imported",
                     m->added, "updated", m->updated, "invalid", m->invalid, "why",
                     json_copy(m->why), "warnings", json_copy(m->warnings));
}

static void take_warnings(struct adding *m, const json_t *row, const json_t *data)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    size_t i;
    json_t *w;
    json_array_foreach(json_object_get(data, "warnings"), i, w)
    {
        json_array_append_new(m->warnings,
                              json_sprintf("%s: %s", name ? name : "", json_string_value(w)));
    }
}

/* False: not done, and nothing is left of it; *broken: the database is to blame. */
static bool try_row(struct admin_context *c, const char *op, json_t *row, json_t **data_out,
                    bool *broken, struct err *e)
{
    struct err undo;
    *broken = !db_exec(c->db, "SAVEPOINT server_row", e);
    if (*broken)
        return false;
    bool ok =
        admin_run_part(c, op, row, data_out, e) && (c->is_dry || auditing_note(c, op, row, e));
    bool closed = ok ? db_exec(c->db, "RELEASE server_row", e)
                     : db_exec(c->db, "ROLLBACK TO server_row; RELEASE server_row", &undo);
    *broken = !closed || (!ok && (e->code == ERR_FULL));
    if (!ok || !closed) {
        json_decref(*data_out);
        *data_out = NULL;
    }
    return ok && closed;
}

static bool import_row(struct admin_context *c, struct adding *m, struct err *e)
{
    json_t *row = json_array_get(m->rows, m->at), *data = NULL;
    struct err bad;
    bool broken = false;
    json_int_t *counter = &m->added;
    if (!json_is_object(row))
        return err_set(e, ERR_INVALID, "rows: row %zu is no object", m->at + 1);
    bool ok = try_row(c, "server.add", row, &data, &broken, &bad);
    if (!ok && !broken && bad.code == ERR_CONFLICT) {
        counter = &m->updated;
        ok = try_row(c, "server.set", row, &data, &broken, &bad);
    }
    if (broken)
        return err_set(e, bad.code, "%s", bad.text);
    if (!ok) {
        counter = &m->invalid;
        json_array_append_new(m->why, json_pack("[I, s]", (json_int_t)m->at, bad.text));
    }
    ++*counter;
    take_warnings(m, row, data);
    json_decref(data);
    m->at++;
    return true;
}

static bool open_call(struct admin_context *c, json_t *args, struct err *e)
{
    struct adding *m = alloc_one(struct adding);
    c->kept = &m->kept;
    m->kept.free = adding_free;
    m->why = json_array();
    m->warnings = json_array();
    m->rows = json_object_get(args, "rows");
    if (!args_known(args, (const char *const[]){"rows", NULL}, e))
        return false;
    return (json_is_array(m->rows) && json_array_size(m->rows) <= ROWS_MAX) ||
           err_set(e, ERR_INVALID, "rows: must be an array of at most %d servers", ROWS_MAX);
}

static bool run_import_rows(struct admin_context *c, json_t *args, struct str tail,
                            json_t **data_out, struct err *e)
{
    (void)tail;
    bool is_first = !c->kept;
    if (is_first && !open_call(c, args, e))
        return false;
    struct adding *m = container_of(c->kept, struct adding, kept);
    if (!is_first) {
        json_decref(c->so_far);
        c->so_far = counts_json(m);
    }
    size_t n = json_array_size(m->rows);
    while (m->at < n && !c->again) {
        if (!import_row(c, m, e))
            return false;
        c->again = !c->is_dry && m->at < n && time_is_over(c);
    }
    if (!c->again)
        *data_out = counts_json(m);
    return true;
}

static const struct admin_entry entries[] = {{"server.import_rows", run_import_rows, false, true}};
const struct admin_noun admin_server_rows = {entries, countof(entries)};
