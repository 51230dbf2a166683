/* Import of servers: CSV whose columns are the options of `server add`. A server that is there is
 * changed to what the file says. Rows go to core by the hundred: it reads its servers anew once a
 * call. */
#include "api/import_inner.h"
#include "api/resources.h"
#include "base/alloc.h"

#include <stdlib.h>

#define CALL_ROWS 500

struct server_import {
    struct import base;
    char columns[CSV_COLUMNS_MAX][64];
    json_t *rows; /* of the next call to core */
    uint64_t lines[CALL_ROWS];
    json_t *warnings;
    bool dry;
};

static bool read_server_header(struct server_import *s, const struct csv_row *row, struct err *e)
{
    bool has_name = false;
    s->base.has_header = true;
    s->base.n_columns = row->n;
    for (size_t i = 0; i < row->n; i++) {
        struct str column = str_trim(row->fields[i]);
        if (!str_copy(column, s->columns[i], sizeof(s->columns[i])))
            return err_set(e, ERR_INVALID, "column %zu: its name is too long", i + 1);
        for (char *p = s->columns[i]; *p; p++)
            *p = *p == '-' || *p == ' ' ? '_' : ascii_lower(*p);
        has_name = has_name || !strcmp(s->columns[i], "name");
    }
    return has_name || err_set(e, ERR_INVALID, "the file has no column `name`");
}

/* Cells with several values have one a line. */
static json_t *server_value(const char *column, struct str cell)
{
    static const char *const lists[] = {"group", "groups", "from_domain", "header"};
    struct str part;
    bool is_list = false;
    for (size_t i = 0; i < countof(lists); i++)
        is_list = is_list || !strcmp(lists[i], column);
    if (!is_list)
        return json_stringn(cell.p, cell.n);
    json_t *all = json_array();
    while (str_split(&cell, '\n', &part))
        if (str_trim(part).n)
            json_array_append_new(all, json_stringn(str_trim(part).p, str_trim(part).n));
    return all;
}

static json_t *server_args(struct server_import *s, const struct csv_row *row)
{
    json_t *args = json_object();
    for (size_t i = 0; i < MIN(row->n, s->base.n_columns); i++) {
        struct str cell = csv_unguard(str_trim(row->fields[i]));
        json_t *v = cell.n ? server_value(s->columns[i], cell) : NULL;
        if (v)
            json_object_set_new(args, s->columns[i], v);
    }
    return args;
}

/* Core's reasons come under the lines they belong to. */
static void take_reasons(struct server_import *s, const json_t *why)
{
    json_t *item;
    size_t i;
    json_array_foreach(why, i, item)
    {
        size_t at = (size_t)json_integer_value(json_array_get(item, 0));
        const json_t *row = json_array_get(s->rows, at);
        const char *name = json_string_value(json_object_get(row, "name"));
        if (row)
            import_wrong_row(&s->base, s->lines[at], str_of(name ? name : ""),
                             json_string_value(json_array_get(item, 1)));
    }
}

static bool flush(struct server_import *s, struct err *e)
{
    json_t *data = NULL;
    if (!json_array_size(s->rows))
        return true;
    json_t *args = json_pack("{s:O}", "rows", s->rows);
    if (s->dry)
        json_object_set_new(args, "dry_run", json_true());
    bool ok = call_data(s->base.r, "server.import_rows", args, STR_NONE, CALL_LONG_MS, &data, e);
    json_decref(args);
    if (ok) {
        import_take_counts(&s->base, data);
        take_reasons(s, json_object_get(data, "why"));
        json_array_extend(s->warnings, json_object_get(data, "warnings"));
    }
    json_decref(data);
    json_array_clear(s->rows);
    return ok;
}

/* One that is there is changed to what the file says. */
static bool on_server(void *arg, const struct csv_row *row, struct err *e)
{
    struct server_import *s = arg;
    if (!s->base.has_header)
        return read_server_header(s, row, e);
    s->lines[json_array_size(s->rows)] = row->line;
    json_array_append_new(s->rows, server_args(s, row));
    return json_array_size(s->rows) < CALL_ROWS || flush(s, e);
}

void on_import_servers(struct http_request *r)
{
    static const char *const counters[] = {"rows", "imported", "updated", "invalid", NULL};
    static const char *const known[] = {"dry_run", NULL};
    struct err e;
    struct server_import *s = alloc_one(struct server_import);
    const char *dry = http_query(r, "dry_run");
    import_open(&s->base, r, counters, on_server, s);
    s->warnings = json_array();
    s->rows = json_array();
    s->dry = dry && *dry == '1';
    bool ok = http_queries_known(r, known, &e) && import_feed(&s->base, &e) && flush(s, &e);
    if (ok)
        json_object_set(s->base.sums, "warnings", s->warnings);
    import_answer(&s->base, ok, &e);
    import_close(&s->base);
    json_decref(s->warnings);
    json_decref(s->rows);
    free(s);
}
