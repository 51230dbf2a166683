/* /v1/reputation: rules, standings, actions, and signals from elsewhere. All of it is core's. */
#include "api/inner.h"
#include "api/resources.h"

static void post(struct http_request *r, const char *op, int status)
{
    struct err e;
    json_t *body = body_object(r, &e);
    if (body)
        call_core(r, status, op, body);
    else
        http_answer_error(r, &e);
}

void on_reputation_rules(struct http_request *r)
{
    call_core(r, 200, "reputation.rules", json_object());
}

void on_reputation_add(struct http_request *r)
{
    post(r, "reputation.add", 201);
}

void on_reputation_set(struct http_request *r)
{
    call_core(r, 200, "reputation.set", named_body(r, "name"));
}

void on_reputation_remove(struct http_request *r)
{
    call_core(r, 200, "reputation.remove", named_body(r, "name"));
}

void on_reputation_status(struct http_request *r)
{
    call_core(r, 200, "reputation.status", json_object());
}

void on_reputation_check(struct http_request *r)
{
    post(r, "reputation.check", 200);
}

void on_reputation_approve(struct http_request *r)
{
    call_core(r, 200, "reputation.approve", named_body(r, "id"));
}

void on_reputation_release(struct http_request *r)
{
    call_core(r, 200, "reputation.release", named_body(r, "server"));
}

void on_reputation_signal(struct http_request *r)
{
    post(r, "signal", 200);
}
