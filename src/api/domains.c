/* /v1/domains: domains that mail is sent from, their DKIM keys with the records to publish, and
 * their check. Changes and checks are core's. */
#include "api/inner.h"
#include "api/resources.h"
#include "mail/dkim_record.h"
#include "store/reports.h"

static void add_records(json_t *page)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(page, "data"), i, one)
    {
        dkim_add_records(one);
    }
}

void on_domains_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (!read_page(r, &p))
        return;
    bool ok = report_domains(r->db, &p, &j, &e);
    add_records(j);
    answer_report(r, ok, &j, &e);
}

void on_domains_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    bool ok = report_domain(r->db, r->params[0], &j, &e);
    dkim_add_records(j);
    answer_report(r, ok, &j, &e);
}

void on_domains_add(struct http_request *r)
{
    call_with_body(r, 201, "domain.add");
}

void on_domains_set(struct http_request *r)
{
    call_core(r, 200, "domain.set", named_body(r, "name"));
}

void on_domains_remove(struct http_request *r)
{
    call_core(r, 200, "domain.remove", named_body(r, "name"));
}

void on_domains_check(struct http_request *r)
{
    json_t *body = named_body(r, "name");
    if (!body || json_object_size(body) == 1) {
        call_core(r, 200, "domain.check", body);
        return;
    }
    http_answer_problem(r, 400, "invalid", "a check takes no fields: the body must be {}");
    json_decref(body);
}

void on_domains_keygen(struct http_request *r)
{
    call_core(r, 201, "dkim.keygen", named_body(r, "domain"));
}

/* The body with domain and selector of the path. */
static json_t *key_body(struct http_request *r)
{
    json_t *body = named_body(r, "domain");
    if (body)
        json_object_set_new(body, "selector", json_string(r->params[1]));
    return body;
}

void on_domains_key_activate(struct http_request *r)
{
    call_core(r, 200, "dkim.activate", key_body(r));
}

void on_domains_key_retire(struct http_request *r)
{
    call_core(r, 200, "dkim.retire", key_body(r));
}

void on_domains_key_remove(struct http_request *r)
{
    call_core(r, 200, "dkim.remove", key_body(r));
}
