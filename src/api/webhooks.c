/* /v1/webhooks: who is told of what, and how the deliveries went. */
#include "api/inner.h"
#include "api/resources.h"
#include "store/reports.h"

void on_webhooks_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_webhooks(r->db, &p, &j, &e), &j, &e);
}

void on_webhooks_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, report_webhook(r->db, r->params[0], &j, &e), &j, &e);
}

void on_webhooks_add(struct http_request *r)
{
    call_with_body(r, 201, "webhook.add");
}

void on_webhooks_set(struct http_request *r)
{
    call_core(r, 200, "webhook.set", named_body(r, "name"));
}

void on_webhooks_rotate(struct http_request *r)
{
    call_core(r, 200, "webhook.rotate", named_body(r, "name"));
}

void on_webhooks_remove(struct http_request *r)
{
    call_core(r, 200, "webhook.remove", named_body(r, "name"));
}

void on_webhooks_resend(struct http_request *r)
{
    call_core(r, 202, "webhook.resend", named_body(r, "name"));
}

void on_webhooks_test(struct http_request *r)
{
    json_t *body = named_body(r, "name");
    if (!body || json_object_size(body) == 1) {
        call_core(r, 200, "webhook.test", body);
        return;
    }
    http_answer_problem(r, 400, "invalid", "a test takes no fields: the body must be {}");
    json_decref(body);
}

void on_webhooks_log(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (!read_page_with(r, "failed", &p))
        return;
    const char *failed = http_query(r, "failed");
    bool only = failed && !strcmp(failed, "yes");
    bool ok = !failed || only || !strcmp(failed, "no") ||
              err_set(&e, ERR_INVALID, "failed: \"%.20s\" is none of yes, no", failed);
    p.filter = only ? "failed" : NULL;
    ok = ok && report_webhook_log(r->db, r->params[0], &p, &j, &e);
    answer_report(r, ok, &j, &e);
}
