/* Looking: /v1/top (everything a live screen shows, in one bounded answer), /v1/log/patterns,
 * evidence about a server, and isolation. What needs rules or secrets is asked of core. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/clock.h"
#include "store/reports.h"

#include <stdlib.h>
#include <string.h>

#define TOP_CAMPAIGNS 10
#define TOP_EVENTS    20

static bool set_number(struct http_request *r, json_t *args, const char *field, uint64_t most,
                       struct err *e)
{
    const char *text = http_query(r, field);
    uint64_t n;
    if (!text)
        return true;
    if (!str_to_u64(str_of(text), most, &n))
        return err_set(e, ERR_INVALID, "%s: \"%.40s\" is no number up to %llu", field, text,
                       (unsigned long long)most);
    json_object_set_new(args, field, json_integer((json_int_t)n));
    return true;
}

static void set_text(struct http_request *r, json_t *args, const char *field)
{
    const char *text = http_query(r, field);
    if (text)
        json_object_set_new(args, field, json_string(text));
}

/* ---- top ---- */

/* What a lane's ready messages wait for: the reason that holds most of them. */
static void add_class(json_t *lane, const json_t *class)
{
    const char *bound = json_string_value(json_object_get(class, "limited_by"));
    json_int_t n = json_integer_value(json_object_get(class, "ready"));
    bool waits = bound && strcmp(bound, "none") != 0;
    const char *field = waits ? "waiting" : "ready";
    json_int_t sum = json_integer_value(json_object_get(lane, field)) + n;
    json_object_set_new(lane, field, json_integer(sum));
    if (!waits || n <= json_integer_value(json_object_get(lane, "most")))
        return;
    json_object_set_new(lane, "most", json_integer(n));
    static const char *const kept[] = {"limited_by", "why", "until", "server"};
    for (size_t i = 0; i < countof(kept); i++)
        if (json_object_get(class, kept[i]))
            json_object_set(lane, kept[i], json_object_get(class, kept[i]));
}

static json_t *lane_of(json_t *lanes, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(lanes, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "lane")), name) == 0)
            return one;
    }
    one = json_pack("{s:s,s:i,s:i,s:i,s:i}", "lane", name, "messages", 0, "deferred", 0, "held", 0,
                    "oldest_seconds", 0);
    json_array_append_new(lanes, one);
    return one;
}

static json_t *lanes_json(json_t *queue, const json_t *live)
{
    static const char *const names[] = {"transactional", "priority", "bulk"};
    json_t *lanes = json_array(), *one;
    size_t i;
    json_array_extend(lanes, json_object_get(queue, "lanes"));
    for (i = 0; i < countof(names); i++) {
        json_t *lane = lane_of(lanes, names[i]);
        json_object_set_new(lane, "ready", json_integer(0));
        json_object_set_new(lane, "waiting", json_integer(0));
        json_object_set_new(lane, "limited_by", json_string("none"));
        json_object_set_new(lane, "why", json_string(""));
    }
    json_array_foreach(json_object_get(live, "classes"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "lane"));
        if (name)
            add_class(lane_of(lanes, name), one);
    }
    json_array_foreach(lanes, i, one)
    {
        json_object_del(one, "most");
    }
    return lanes;
}

static bool add_queue(struct http_request *r, json_t *out, struct err *e)
{
    json_t *queue = NULL, *live = call_live(r, "live.queue");
    bool ok = report_queue(r->db, live, clock_wall_ms(), &queue, e);
    if (ok) {
        json_object_set_new(out, "lanes", lanes_json(queue, live));
        json_object_set(out, "to_come", json_object_get(queue, "campaigns"));
        json_object_set(out, "paused", json_object_get(queue, "paused"));
    }
    json_decref(queue);
    json_decref(live);
    return ok;
}

static bool add_campaigns(struct http_request *r, json_t *out, struct err *e)
{
    static const char *const kept[] = {"name",       "state",  "recipients", "pending",
                                       "deferred",   "sent",   "bounced",    "failed",
                                       "rate_per_s", "reason", "started_at"};
    json_t *all = json_array(), *names = NULL, *one, *live = call_live(r, "live.campaigns");
    size_t i;
    bool ok = report_running(r->db, TOP_CAMPAIGNS, &names, e), listed = ok;
    json_array_foreach(listed ? names : NULL, i, one)
    {
        json_t *full = NULL, *line = json_object();
        ok = ok && report_campaign_figures(r->db, json_string_value(one), live, NULL,
                                           clock_wall_ms(), &full, e);
        for (size_t k = 0; k < countof(kept); k++)
            if (json_object_get(full, kept[k]))
                json_object_set(line, kept[k], json_object_get(full, kept[k]));
        json_array_append_new(all, line);
        json_decref(full);
    }
    json_decref(listed ? names : NULL);
    json_decref(live);
    json_object_set_new(out, "campaigns", all);
    return ok;
}

static bool add_events(struct http_request *r, json_t *out, struct err *e)
{
    struct report_page p = {.limit = TOP_EVENTS};
    json_t *page = NULL;
    if (!report_events(r->db, &p, &page, e))
        return false;
    json_object_set(out, "events", json_object_get(page, "data"));
    json_decref(page);
    return true;
}

static bool read_top(struct http_request *r, json_t *args, struct err *e)
{
    static const char *const known[] = {"limit", "offset", "sort", "filter", NULL};
    static const char *const sorts[] = {"state", "rate", "failures", "name"};
    const char *sort = http_query(r, "sort");
    bool is_known = !sort;
    for (size_t i = 0; sort && i < countof(sorts); i++)
        is_known = is_known || strcmp(sort, sorts[i]) == 0;
    if (!is_known)
        return err_set(e, ERR_INVALID, "sort: \"%.40s\" is none of state, rate, failures, name",
                       sort);
    set_text(r, args, "sort");
    set_text(r, args, "filter");
    return http_queries_known(r, known, e) && set_number(r, args, "limit", 200, e) &&
           set_number(r, args, "offset", 1000000, e);
}

void on_top(struct http_request *r)
{
    struct err e;
    char at[40];
    json_t *args = json_object(), *out = json_object(), *core = NULL;
    bool ok = read_top(r, args, &e);
    if (ok && !call_data(r, "live.top", args, STR_NONE, CALL_LOOK_MS, &core, &e))
        core = NULL; /* without core the rest is shown */
    clock_format(clock_wall_ms(), at);
    json_object_set_new(out, "at", json_string(at));
    json_object_set_new(out, "core", core ? core : json_null());
    ok = ok && add_queue(r, out, &e) && add_campaigns(r, out, &e) && add_events(r, out, &e);
    json_decref(args);
    answer_report(r, ok, &out, &e);
    if (!ok)
        json_decref(out);
}

/* ---- log and evidence ---- */

void on_log_patterns(struct http_request *r)
{
    static const char *const known[] = {"since", "server", "limit", "after", NULL};
    struct err e;
    json_t *args = json_object();
    set_text(r, args, "since");
    set_text(r, args, "server");
    if (http_queries_known(r, known, &e) && set_number(r, args, "limit", INT32_MAX, &e)) {
        call_core(r, 200, "log.patterns", args);
        return;
    }
    json_decref(args);
    http_answer_error(r, &e);
}

void on_servers_evidence(struct http_request *r)
{
    static const char *const known[] = {"since", NULL};
    struct err e;
    json_t *args = json_pack("{s:s}", "name", r->params[0]);
    set_text(r, args, "since");
    if (http_queries_known(r, known, &e)) {
        call_core(r, 200, "server.evidence", args);
        return;
    }
    json_decref(args);
    http_answer_error(r, &e);
}

void on_servers_isolate(struct http_request *r)
{
    static const char *const known[] = {"to", "server", "group", "from", "verbose", NULL};
    struct err e;
    const char *key;
    json_t *v, *body = body_object(r, &e);
    bool ok = body != NULL;
    json_object_foreach(body, key, v)
    {
        bool is_known = false;
        for (size_t i = 0; known[i]; i++)
            is_known = is_known || strcmp(key, known[i]) == 0;
        if (ok && !is_known)
            ok = err_set(&e, ERR_INVALID,
                         "%.60s: unknown field; known: to server group from verbose", key);
    }
    if (ok) {
        call_core(r, 200, "server.isolate", body);
        return;
    }
    json_decref(body);
    http_answer_error(r, &e);
}

void on_servers_quarantine(struct http_request *r)
{
    call_core(r, 200, "server.quarantine", named_body(r, "name"));
}

void on_servers_release(struct http_request *r)
{
    call_core(r, 200, "server.release", named_body(r, "name"));
}
