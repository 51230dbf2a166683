/* /v1/reputation: rules, standings, actions, and signals from elsewhere. All of it is core's. */
#include "api/inner.h"
#include "api/resources.h"

void on_reputation_rules(struct http_request *r)
{
    call_core(r, 200, "reputation.rules", json_object());
}

void on_reputation_add(struct http_request *r)
{
    call_with_body(r, 201, "reputation.add");
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
    call_with_body(r, 200, "reputation.check");
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
    call_with_body(r, 200, "signal");
}
