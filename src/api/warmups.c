/* /v1/warmups: the warm-up of servers. Looking is done here, everything else is core's. */
#include "api/inner.h"
#include "api/resources.h"
#include "store/reports.h"

void on_warmups_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_warmups(r->db, &p, &j, &e), &j, &e);
}

void on_warmups_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, report_warmup(r->db, r->params[0], &j, &e), &j, &e);
}

void on_warmups_plans(struct http_request *r)
{
    call_core(r, 200, "warmup.plans", json_object());
}

void on_warmups_start(struct http_request *r)
{
    call_with_body(r, 201, "warmup.start");
}

void on_warmups_stop(struct http_request *r)
{
    call_core(r, 200, "warmup.stop", named_body(r, "server"));
}

void on_warmups_hold(struct http_request *r)
{
    call_core(r, 200, "warmup.hold", named_body(r, "server"));
}

void on_warmups_release(struct http_request *r)
{
    call_core(r, 200, "warmup.release", named_body(r, "server"));
}

void on_warmups_skip(struct http_request *r)
{
    call_core(r, 200, "warmup.skip", named_body(r, "server"));
}
