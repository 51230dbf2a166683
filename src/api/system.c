/* The queue, pause and resume, status, events, keys. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/clock.h"
#include "base/codec.h"
#include "store/reports.h"

#include <stdio.h>

void on_system_queue(struct http_request *r)
{
    struct err e;
    json_t *j = NULL, *live = call_live(r, "live.queue");
    answer_report(r, report_queue(r->db, live, clock_wall_ms(), &j, &e), &j, &e);
    json_decref(live);
}

void on_system_pause(struct http_request *r)
{
    call_with_body(r, 200, "system.pause");
}

void on_system_resume(struct http_request *r)
{
    call_with_body(r, 200, "system.resume");
}

void on_system_status(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    char since[40];
    if (!report_totals(r->db, &j, &e)) {
        http_answer_error(r, &e);
        return;
    }
    json_t *core = call_live(r, "live.status");
    json_t *waits = json_object_get(core, "sending_waits");
    clock_format(r->web->started_at, since);
    json_object_set_new(j, "sending_waits", waits ? json_incref(waits) : json_null());
    json_object_set_new(j, "web_since", json_string(since));
    json_object_set_new(j, "core", core ? core : json_null());
    http_answer_json(r, 200, j);
}

/* `after` is an event's id, or the cursor of a page. */
void on_system_events(struct http_request *r)
{
    struct err e;
    struct report_page p;
    char number[32];
    uint64_t id;
    json_t *j = NULL;
    if (!read_page(r, &p))
        return;
    if (p.after && codec_id_parse("evt", str_of(p.after), &id)) {
        snprintf(number, sizeof(number), "%llu", (unsigned long long)id);
        p.after = number;
    }
    answer_report(r, report_events(r->db, &p, &j, &e), &j, &e);
}

void on_keys_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_keys(r->db, &p, &j, &e), &j, &e);
}

/* Who may make keys may make any: the scope keys:write is worth all others. */
void on_keys_make(struct http_request *r)
{
    call_with_body(r, 201, "key.create");
}

void on_keys_remove(struct http_request *r)
{
    call_core(r, 200, "key.revoke", named_body(r, "name"));
}
