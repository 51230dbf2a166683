/* /v1/groups/NAME/failover: the failure matrix of a group. Core reads, checks and tries it; a dry
 * run goes to core in bites, so that it keeps nobody waiting, until it is done or its time is up.
 */
#include "api/inner.h"
#include "api/resources.h"
#include "base/clock.h"

#define DRY_RUN_MS 60000 /* of one request */

void on_failover_show(struct http_request *r)
{
    call_core(r, 200, "failover.show", json_pack("{s:s}", "name", r->params[0]));
}

void on_failover_set(struct http_request *r)
{
    call_core(r, 200, "failover.set", named_body(r, "name"));
}

/* What goes on to the next bite is between core and here. */
static bool is_done(const json_t *data)
{
    return !data || json_is_true(json_object_get(data, "done"));
}

void on_failover_dry_run(struct http_request *r)
{
    struct err e;
    json_t *data = NULL, *args = named_body(r, "name");
    int64_t end = clock_boot_ms() + DRY_RUN_MS;
    bool ok = true;
    if (!args)
        return;
    json_object_del(args, "state");
    while (ok && (!data || (!is_done(data) && clock_boot_ms() < end))) {
        json_t *next = json_deep_copy(args);
        if (data)
            json_object_set(next, "state", json_object_get(data, "state"));
        json_decref(data);
        data = NULL;
        ok = call_data(r, "failover.dry_run", next, STR_NONE, CALL_MS, &data, &e);
        json_decref(next);
    }
    json_decref(args);
    if (!ok) {
        http_answer_error(r, &e);
        return;
    }
    json_object_set_new(data, "complete", json_boolean(is_done(data)));
    json_object_del(data, "state");
    json_object_del(data, "done");
    http_answer_json(r, 200, data);
}
