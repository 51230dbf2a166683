/* /v1/limits: pace and quotas of groups, campaigns, credentials, mailbox providers, and of a server
 * with a mailbox provider; a server's own are its settings. */
#include "api/inner.h"
#include "api/resources.h"
#include "store/reports.h"

void on_limits_list(struct http_request *r)
{
    struct err e;
    json_t *j = NULL, *live = call_live(r, "live.limits");
    answer_report(r, report_limits(r->db, live, &j, &e), &j, &e);
    json_decref(live);
}

static void change(struct http_request *r, const char *op)
{
    struct err e;
    json_t *body = body_object(r, &e);
    if (body)
        call_core(r, 200, op, body);
    else
        http_answer_error(r, &e);
}

void on_limits_set(struct http_request *r)
{
    change(r, "limit.set");
}

void on_limits_remove(struct http_request *r)
{
    change(r, "limit.remove");
}
