/* Import of servers: CSV whose columns are the options of `server add`. A server that is there is
 * changed to what the file says. Each row is a call of its own. */
#include "api/import_inner.h"
#include "api/resources.h"
#include "base/alloc.h"

#include <stdlib.h>

struct server_import {
    struct import base;
    char columns[CSV_COLUMNS_MAX][64];
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
    if (s->dry)
        json_object_set_new(args, "dry_run", json_true());
    return args;
}

static void take_warnings(struct server_import *s, const char *name, const json_t *data)
{
    size_t i;
    json_t *w;
    json_array_foreach(json_object_get(data, "warnings"), i, w)
    {
        json_array_append_new(s->warnings, json_sprintf("%s: %s", name, json_string_value(w)));
    }
}

/* One that is there is changed to what the file says. */
static bool on_server(void *arg, const struct csv_row *row, struct err *e)
{
    struct server_import *s = arg;
    struct import *im = &s->base;
    struct err bad;
    json_t *data = NULL;
    if (!im->has_header)
        return read_server_header(s, row, e);
    json_t *args = server_args(s, row);
    const char *name = json_string_value(json_object_get(args, "name"));
    const char *counter = "imported";
    bool ok = call_data(im->r, "server.add", args, STR_NONE, CALL_MS, &data, &bad);
    if (!ok && bad.code == ERR_CONFLICT) {
        counter = "updated";
        ok = call_data(im->r, "server.set", args, STR_NONE, CALL_MS, &data, &bad);
    }
    bool is_fatal =
        !ok && (bad.code == ERR_UNREACHABLE || bad.code == ERR_LATER || bad.code == ERR_FULL);
    import_sum(im, "rows", is_fatal ? 0 : 1);
    import_sum(im, ok ? counter : "invalid", is_fatal ? 0 : 1);
    if (ok)
        take_warnings(s, name ? name : "", data);
    else if (!is_fatal)
        import_wrong_row(im, row->line, str_of(name ? name : ""), bad.text);
    json_decref(data);
    json_decref(args);
    return !is_fatal || err_set(e, bad.code, "%s", bad.text);
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
    s->dry = dry && *dry == '1';
    bool ok = http_queries_known(r, known, &e) && import_feed(&s->base, &e);
    if (ok)
        json_object_set(s->base.sums, "warnings", s->warnings);
    import_answer(&s->base, ok, &e);
    import_close(&s->base);
    json_decref(s->warnings);
    free(s);
}
