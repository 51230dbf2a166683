/* /v1/servers and /v1/groups: lists and records with what core says of them; all changes go to
 * core. Export as CSV in the names of the options, without passwords. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/csv.h"
#include "store/reports.h"

#include <stdlib.h>
#include <unistd.h>

/* Core is asked about those of the answer alone: there may be ten thousand. */
void on_servers_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL, *nums = NULL, *live = NULL;
    if (!read_page(r, &p))
        return;
    bool ok = report_server_nums(r->db, &p, NULL, &nums, &e);
    if (ok)
        live = call_live_servers(r, nums);
    answer_report(r, ok && report_servers(r->db, &p, live, &j, &e), &j, &e);
    json_decref(live);
}

void on_servers_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL, *nums = NULL, *live = NULL;
    bool ok = report_server_nums(r->db, NULL, r->params[0], &nums, &e);
    if (ok)
        live = call_live_servers(r, nums);
    answer_report(r, ok && report_server(r->db, r->params[0], live, &j, &e), &j, &e);
    json_decref(live);
}

void on_servers_add(struct http_request *r)
{
    call_with_body(r, 201, "server.add");
}

static void act(struct http_request *r, const char *op, int status)
{
    call_core(r, status, op, named_body(r, "name"));
}

void on_servers_set(struct http_request *r)
{
    act(r, "server.set", 200);
}

void on_servers_remove(struct http_request *r)
{
    act(r, "server.remove", 200);
}

void on_servers_pause(struct http_request *r)
{
    act(r, "server.pause", 200);
}

void on_servers_resume(struct http_request *r)
{
    act(r, "server.resume", 200);
}

void on_servers_drain(struct http_request *r)
{
    act(r, "server.drain", 200);
}

void on_servers_clone(struct http_request *r)
{
    act(r, "server.clone", 201);
}

void on_servers_test(struct http_request *r)
{
    act(r, "server.test", 200);
}

void on_servers_send_test(struct http_request *r)
{
    act(r, "server.send_test", 200);
}

/* ---- export ---- */

static const char *const columns[] = {"name",
                                      "host",
                                      "port",
                                      "tls",
                                      "tls_verify",
                                      "user",
                                      "from",
                                      "reply_to",
                                      "return_path",
                                      "helo",
                                      "groups",
                                      "weight",
                                      "priority",
                                      "per_second",
                                      "per_minute",
                                      "per_hour",
                                      "per_day",
                                      "per_month",
                                      "calendar",
                                      "pause_between",
                                      "counts",
                                      "max_connections",
                                      "max_messages_per_connection",
                                      "connect_timeout",
                                      "reply_timeout",
                                      "dot_timeout",
                                      "region",
                                      "ip_type",
                                      "cost_per_1000",
                                      "included_per_month",
                                      "spread",
                                      "dkim",
                                      "provider",
                                      "profile",
                                      "from_domain",
                                      "header",
                                      "notes"};

static void add_value(struct buf *cell, const json_t *v)
{
    size_t i;
    json_t *item;
    if (json_is_string(v))
        buf_adds(cell, json_string_value(v));
    else if (json_is_integer(v))
        buf_addf(cell, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        buf_addf(cell, "%g", json_real_value(v));
    json_array_foreach(v, i, item)
    {
        if (i)
            buf_addc(cell, '\n');
        add_value(cell, item);
    }
}

static bool add_server(struct buf *out, const json_t *server)
{
    struct buf cell;
    bool ok = true;
    buf_init(&cell, 65536);
    for (size_t i = 0; ok && i < countof(columns); i++) {
        buf_clear(&cell);
        add_value(&cell, json_object_get(server, columns[i]));
        ok = csv_add_cell(out, buf_str(&cell), i == 0);
    }
    buf_free(&cell);
    return ok && csv_end_row(out);
}

static bool export_page(struct http_request *r, struct report_page *p, struct buf *out, char *after,
                        size_t size, struct err *e)
{
    json_t *page = NULL, *item;
    size_t i;
    bool ok = report_servers(r->db, p, NULL, &page, e);
    json_array_foreach(json_object_get(page, "data"), i, item)
    {
        json_t *full = NULL;
        const char *name = json_string_value(json_object_get(item, "name"));
        ok = ok && name && report_server(r->db, name, NULL, &full, e) &&
             (add_server(out, full) || err_set(e, ERR_TOO_BIG, "the export is too large"));
        json_decref(full);
    }
    const char *next = json_string_value(json_object_get(page, "next"));
    p->after = next && str_copy(str_of(next), after, size) ? after : NULL;
    json_decref(page);
    return ok;
}

void on_servers_export(struct http_request *r)
{
    struct err e;
    struct buf out;
    struct report_page p = {.limit = REPORT_LIMIT_MAX};
    char after[300];
    bool ok = true;
    buf_init(&out, 256u << 20);
    for (size_t i = 0; i < countof(columns); i++)
        csv_add_cell(&out, str_of(columns[i]), i == 0);
    csv_end_row(&out);
    do {
        ok = export_page(r, &p, &out, after, sizeof(after), &e);
    } while (ok && p.after);
    if (ok) {
        http_header(r, "Content-Disposition", "attachment; filename=\"servers.csv\"");
        http_answer_text(r, 200, "text/csv; charset=utf-8", buf_str(&out));
    } else {
        http_answer_error(r, &e);
    }
    buf_free(&out);
}

/* ---- groups ---- */

void on_groups_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (!read_page(r, &p))
        return;
    json_t *live = call_live(r, "live.fleet");
    answer_report(r, report_groups(r->db, &p, live, &j, &e), &j, &e);
    json_decref(live);
}

void on_groups_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL, *live = call_live(r, "live.fleet");
    answer_report(r, report_group(r->db, r->params[0], live, &j, &e), &j, &e);
    json_decref(live);
}

void on_groups_add(struct http_request *r)
{
    call_with_body(r, 201, "group.add");
}

void on_groups_set(struct http_request *r)
{
    act(r, "group.set", 200);
}

void on_groups_remove(struct http_request *r)
{
    act(r, "group.remove", 200);
}
