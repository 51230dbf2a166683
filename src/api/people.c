/* /v1/lists, /v1/contacts and /v1/suppressions. An address in a path may be written in any form;
 * it is looked up by its key (mail/addr.h). */
#include "api/inner.h"
#include "api/resources.h"
#include "mail/addr.h"
#include "store/lists.h"
#include "store/people.h"
#include "store/reports.h"

#include <errno.h>
#include <unistd.h>

static bool key_of(struct http_request *r, char key[ADDR_MAX + 1])
{
    struct addr a;
    struct err e;
    if (addr_parse(str_of(r->params[0]), &a, &e) && a.n) {
        addr_key(&a, key);
        return true;
    }
    http_answer_error(r, &e);
    return false;
}

/* ---- lists ---- */

void on_lists_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_lists(r->db, &p, &j, &e), &j, &e);
}

void on_lists_add(struct http_request *r)
{
    call_with_body(r, 201, "list.add");
}

void on_lists_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, report_list(r->db, r->params[0], &j, &e), &j, &e);
}

/* A long list goes in bites, so that sending never waits for it. */
void on_lists_set(struct http_request *r)
{
    call_core(r, 200, "list.set", named_body(r, "name"));
}

void on_lists_remove(struct http_request *r)
{
    struct err e;
    json_t *data = NULL, *args = json_pack("{s:s}", "name", r->params[0]);
    bool ok = true, gone = false;
    while (ok && !gone && !r->web->is_stopping) {
        json_decref(data);
        ok = call_data(r, "list.remove", args, STR_NONE, CALL_MS, &data, &e);
        gone = json_is_true(json_object_get(data, "removed"));
    }
    json_decref(args);
    answer_report(r, ok, &data, &e);
}

void on_lists_contacts(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_contacts(r->db, r->params[0], &p, &j, &e), &j, &e);
}

/* ---- contacts ---- */

void on_contacts_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page_with(r, "list", &p))
        answer_report(r, report_contacts(r->db, http_query(r, "list"), &p, &j, &e), &j, &e);
}

void on_contacts_add(struct http_request *r)
{
    call_with_body(r, 201, "contact.add");
}

void on_contacts_show(struct http_request *r)
{
    struct err e;
    char key[ADDR_MAX + 1];
    json_t *j = NULL;
    if (key_of(r, key))
        answer_report(r, report_contact(r->db, key, &j, &e), &j, &e);
}

void on_contacts_remove(struct http_request *r)
{
    call_core(r, 200, "contact.remove", named_body(r, "email"));
}

static bool write_out(int fd, struct buf *b, struct err *e)
{
    while (b->n) {
        ssize_t n = write(fd, b->p, b->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno == ENOSPC ? ERR_FULL : ERR_FAILED, "the export: %s",
                           strerror(errno));
        buf_consume(b, (size_t)n);
    }
    return true;
}

static bool export_to(struct http_request *r, int fd, uint64_t list_id, bool all, struct err *e)
{
    struct people_export x;
    struct buf b;
    bool done = false;
    buf_init(&b, 64u << 20);
    bool ok = people_export_begin(&x, r->db, list_id, all, &b, e);
    bool begun = ok;
    while (ok && !done && !r->web->is_stopping)
        ok = people_export_next(&x, 1000, &b, &done, e) && write_out(fd, &b, e);
    if (begun)
        people_export_end(&x);
    buf_free(&b);
    return ok;
}

/* Goes into a file first: a slow reader holds neither a thread nor a snapshot of the database. */
void on_contacts_export(struct http_request *r)
{
    struct err e;
    struct contact_list l = {0};
    static const char *const known[] = {"list", "all", NULL};
    const char *list = http_query(r, "list"), *all = http_query(r, "all");
    if (!http_queries_known(r, known, &e)) {
        http_answer_error(r, &e);
        return;
    }
    if (list && *list && !lists_get(r->db, list, &l, &e)) {
        http_answer_error(r, &e);
        return;
    }
    int fd = body_temp_file(r->web->config->data_dir, &e);
    if (fd >= 0 && export_to(r, fd, l.id, all && *all == '1', &e)) {
        http_answer_file(r, "text/csv; charset=utf-8", fd, "contacts.csv");
        return;
    }
    if (fd >= 0)
        close(fd);
    http_answer_error(r, &e);
}

/* ---- suppressions ---- */

void on_suppressions_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (!read_page_with(r, "reason", &p))
        return;
    p.filter = http_query(r, "reason");
    answer_report(r, report_suppressions(r->db, &p, &j, &e), &j, &e);
}

void on_suppressions_add(struct http_request *r)
{
    call_with_body(r, 201, "suppression.add");
}

void on_suppressions_show(struct http_request *r)
{
    struct err e;
    char key[ADDR_MAX + 1];
    json_t *j = NULL;
    if (key_of(r, key))
        answer_report(r, report_suppression(r->db, key, &j, &e), &j, &e);
}

void on_suppressions_remove(struct http_request *r)
{
    call_core(r, 200, "suppression.remove", named_body(r, "address"));
}

static json_int_t take(const json_t *data, const char *field)
{
    return json_integer_value(json_object_get(data, field));
}

/* In bites until nothing is left; a trial says what one bite would do. */
void on_suppressions_revert(struct http_request *r)
{
    struct err e;
    json_int_t reverted = 0, queued = 0;
    json_t *body = body_object(r, &e), *data = NULL;
    bool ok = body != NULL, more = true, dry = json_is_true(json_object_get(body, "dry_run"));
    while (ok && more && !r->web->is_stopping) {
        ok = call_data(r, "suppression.revert", body, STR_NONE, CALL_MS, &data, &e);
        reverted += take(data, "reverted");
        queued += take(data, "queued");
        more = !dry && json_is_true(json_object_get(data, "more"));
        json_decref(data);
        data = NULL;
    }
    if (ok)
        http_answer_json(r, 200,
                         json_pack("{s:O, s:I, s:I, s:b}", "server",
                                   json_object_get(body, "server"), "reverted", reverted, "queued",
                                   queued, "dry_run", dry));
    else
        http_answer_error(r, &e);
    json_decref(body);
}
