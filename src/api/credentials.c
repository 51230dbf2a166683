/* /v1/credentials: logins of applications for SMTP. */
#include "api/inner.h"
#include "api/resources.h"
#include "store/credentials.h"

void on_credentials_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_credentials(r->db, &p, &j, &e), &j, &e);
}

void on_credentials_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, report_credential(r->db, r->params[0], &j, &e), &j, &e);
}

void on_credentials_make(struct http_request *r)
{
    struct err e;
    json_t *body = body_object(r, &e);
    if (body)
        call_core(r, 201, "credential.create", body);
    else
        http_answer_error(r, &e);
}

void on_credentials_test(struct http_request *r)
{
    struct err e;
    json_t *body = body_object(r, &e);
    if (!body) {
        http_answer_error(r, &e);
        return;
    }
    json_object_set_new(body, "name", json_string(r->params[0]));
    call_core(r, 200, "credential.test", body);
}

void on_credentials_remove(struct http_request *r)
{
    call_core(r, 200, "credential.revoke", named_body(r, "name"));
}
