/* /livez: this process answers. /readyz: so does core, and sending is up. /metrics: Prometheus text
 * in base units, no address in any label. */
#include "api/inner.h"
#include "api/resources.h"
#include "model/server.h"
#include "base/clock.h"
#include "store/latency.h"
#include "store/reports.h"

#include <stdio.h>

void on_health_live(struct http_request *r)
{
    http_answer_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

void on_health_ready(struct http_request *r)
{
    struct err e;
    json_t *live = NULL;
    if (!call_data(r, "live.status", NULL, STR_NONE, CALL_LOOK_MS, &live, &e)) {
        http_answer_problem(r, 503, "later", e.text);
        return;
    }
    const char *waits = json_string_value(json_object_get(live, "sending_waits"));
    bool full = json_is_true(json_object_get(live, "disk_full"));
    char text[600];
    snprintf(text, sizeof text, "sending waits: %s", waits ? waits : "core says no more");
    if (!json_is_true(json_object_get(live, "ready")))
        http_answer_problem(r, 503, "later", "core is starting or stopping");
    else if (full)
        http_answer_problem(r, 503, "full", text);
    else
        http_answer_json(r, 200,
                         json_pack("{s:s, s:s, s:s, s:s}", "status", "ready", "core", "up",
                                   "listeners", "up", "sending", waits && *waits ? waits : "up"));
    json_decref(live);
}

/* ---- metrics ---- */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_addf(b, "# HELP postfleet_%s %s\n# TYPE postfleet_%s %s\n", name, help, name, type);
}

static void add_label(struct buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            buf_addc(b, '\\');
        buf_addc(b, *text == '\n' ? ' ' : *text);
    }
}

static void sample(struct buf *b, const char *name, const char *label, const char *value, double n)
{
    buf_addf(b, "postfleet_%s{%s=\"", name, label);
    add_label(b, value);
    buf_addf(b, "\"} %.17g\n", n);
}

static void add_messages(struct buf *b, json_t *totals)
{
    const char *state;
    json_t *n;
    head(b, "messages_total", "counter", "Messages by the state they ended in.");
    json_object_foreach(json_object_get(totals, "messages"), state, n)
    {
        sample(b, "messages_total", "state", state, json_number_value(n));
    }
}

static void add_gauge(struct buf *b, const char *name, const char *help, const json_t *v)
{
    double n = json_is_true(v) ? 1 : json_number_value(v);
    head(b, name, "gauge", help);
    buf_addf(b, "postfleet_%s %.17g\n", name, n);
}

static void add_servers(struct buf *b, const json_t *servers, const char *field, const char *name,
                        const char *type, const char *help, double unit)
{
    size_t i;
    json_t *s;
    head(b, name, type, help);
    json_array_foreach(json_object_get(servers, "data"), i, s)
    {
        json_t *v = json_object_get(s, field);
        if (json_is_number(v))
            sample(b, name, "server", json_string_value(json_object_get(s, "name")),
                   json_number_value(v) * unit);
    }
}

static void add_states(struct buf *b, const json_t *servers)
{
    size_t i;
    json_t *s;
    enum oper_state state;
    head(b, "server_state", "gauge",
         "Operational state: 0 healthy, 1 degraded, 2 suspect, 3 open, "
         "4 half_open, 5 ramp, 6 exhausted, 7 misconfigured, "
         "8 quarantined.");
    json_array_foreach(json_object_get(servers, "data"), i, s)
    {
        const char *word = json_string_value(json_object_get(s, "state"));
        if (word && oper_state_parse(word, &state))
            sample(b, "server_state", "server", json_string_value(json_object_get(s, "name")),
                   (double)state);
    }
}

static void add_quotas(struct buf *b, const json_t *servers)
{
    size_t i, k;
    json_t *s, *q;
    head(b, "quota_used_ratio", "gauge", "Use of each limit of a server, 0 to 1.");
    json_array_foreach(json_object_get(servers, "data"), i, s)
    {
        json_array_foreach(json_object_get(s, "quota"), k, q)
        {
            double limit = json_number_value(json_object_get(q, "limit"));
            if (!json_is_number(json_object_get(q, "used")) || !(limit > 0))
                continue;
            buf_adds(b, "postfleet_quota_used_ratio{server=\"");
            add_label(b, json_string_value(json_object_get(s, "name")));
            buf_addf(b, "\",window=\"%s\"} %.6g\n", json_string_value(json_object_get(q, "window")),
                     json_number_value(json_object_get(q, "used")) / limit);
        }
    }
}

static void add_lanes(struct buf *b, const json_t *queue)
{
    size_t i;
    json_t *l;
    head(b, "queue_messages", "gauge", "Messages in the queue by lane.");
    json_array_foreach(json_object_get(queue, "lanes"), i, l)
    {
        sample(b, "queue_messages", "lane", json_string_value(json_object_get(l, "lane")),
               json_number_value(json_object_get(l, "messages")));
    }
    head(b, "queue_oldest_seconds", "gauge", "Age of the oldest queued message by lane.");
    json_array_foreach(json_object_get(queue, "lanes"), i, l)
    {
        sample(b, "queue_oldest_seconds", "lane", json_string_value(json_object_get(l, "lane")),
               json_number_value(json_object_get(l, "oldest_seconds")));
    }
}

static void add_core(struct buf *b, const json_t *core)
{
    static const struct {
        const char *field, *name, *help;
    } counters[] = {
        {"failovers", "failovers_total", "Messages that went to another server at once."},
        {"ledger_transactions", "ledger_transactions_total", "Transactions of the ledger."},
        {"journal_syncs", "journal_syncs_total", "Syncs of the journal."},
        {"journal_bytes", "journal_bytes_total", "Bytes written to the journal."},
        {"db_bytes", "database_bytes_total", "Bytes written to the database."},
    };
    head(b, "up", "gauge", "1 when core answers.");
    buf_addf(b, "postfleet_up %d\n", core != NULL);
    for (size_t i = 0; core && i < countof(counters); i++) {
        head(b, counters[i].name, "counter", counters[i].help);
        buf_addf(b, "postfleet_%s %lld\n", counters[i].name,
                 (long long)json_integer_value(json_object_get(core, counters[i].field)));
    }
    if (core) {
        head(b, "ledger_behind_seconds", "gauge", "Age of the oldest result not yet durable.");
        buf_addf(b, "postfleet_ledger_behind_seconds %.3f\n",
                 json_number_value(json_object_get(core, "ledger_behind_ms")) / 1000);
    }
}

/* Percentiles of the last hour as a summary's quantiles, by stream. */
static void add_latency(struct buf *b, json_t *latency)
{
    static const struct {
        const char *field, *quantile;
    } parts[] = {{"p50_ms", "0.5"}, {"p95_ms", "0.95"}, {"p99_ms", "0.99"}};
    const char *stream;
    json_t *spans;
    head(b, "accept_to_sent_seconds", "gauge",
         "Acceptance of single messages to the 250 of their server, quantiles of the last hour.");
    json_object_foreach(json_object_get(latency, "streams"), stream, spans)
    {
        const json_t *hour = json_object_get(spans, "hour");
        for (size_t i = 0; json_is_object(hour) && i < countof(parts); i++)
            buf_addf(b, "postfleet_accept_to_sent_seconds{lane=\"%s\",quantile=\"%s\"} %.3f\n",
                     stream, parts[i].quantile,
                     json_number_value(json_object_get(hour, parts[i].field)) / 1000);
    }
}

/* Of the database: they hold over restarts. */
static void add_webhooks(struct buf *b, struct db *db)
{
    struct report_page p = {.limit = REPORT_LIMIT_MAX};
    struct err e;
    json_t *all = NULL, *w;
    size_t i;
    if (!report_webhooks(db, &p, &all, &e))
        return;
    head(b, "webhook_deliveries_total", "counter", "Attempts to deliver, by how they went.");
    json_array_foreach(json_object_get(all, "data"), i, w)
    {
        static const char *const results[] = {"delivered", "failed"};
        for (size_t k = 0; k < countof(results); k++) {
            (void)buf_adds(b, "postfleet_webhook_deliveries_total{webhook=\"");
            add_label(b, json_string_value(json_object_get(w, "name")));
            buf_addf(b, "\",result=\"%s\"} %lld\n", results[k],
                     (long long)json_integer_value(json_object_get(w, results[k])));
        }
    }
    head(b, "webhook_waiting", "gauge", "Deliveries that wait to be tried again.");
    json_array_foreach(json_object_get(all, "data"), i, w)
    {
        sample(b, "webhook_waiting", "webhook", json_string_value(json_object_get(w, "name")),
               json_number_value(json_object_get(w, "waiting")));
    }
    json_decref(all);
}

static void write_metrics(struct buf *b, json_t *totals, const json_t *servers, const json_t *queue,
                          json_t *latency, const json_t *core)
{
    add_core(b, core);
    add_messages(b, totals);
    add_gauge(b, "sending_paused", "1 when everything is paused.",
              json_object_get(totals, "paused"));
    add_gauge(b, "campaigns_running", "Campaigns that run.",
              json_object_get(totals, "campaigns_running"));
    add_lanes(b, queue);
    add_states(b, servers);
    add_servers(b, servers, "sent", "server_sent_total", "counter", "Messages a server accepted.",
                1);
    add_servers(b, servers, "connections", "server_connections", "gauge", "Open connections.", 1);
    add_servers(b, servers, "in_flight", "server_in_flight", "gauge", "Messages on the wire.", 1);
    add_servers(b, servers, "latency_ms_p95", "server_latency_p95_seconds", "gauge",
                "95th percentile of the time to an answer.", 0.001);
    add_quotas(b, servers);
    add_latency(b, latency);
}

void on_health_metrics(struct http_request *r)
{
    struct err e;
    struct report_page p = {.limit = REPORT_LIMIT_MAX};
    struct buf b;
    json_t *totals = NULL, *servers = NULL, *queue = NULL, *latency = NULL;
    json_t *fleet = call_live(r, "live.fleet"), *core = call_live(r, "live.status");
    bool ok = report_totals(r->db, &totals, &e) && report_servers(r->db, &p, fleet, &servers, &e) &&
              report_queue(r->db, NULL, 0, &queue, &e) &&
              latency_report_all(r->db, clock_wall_ms(), &latency, &e);
    buf_init(&b, 16u << 20);
    if (ok) {
        write_metrics(&b, totals, servers, queue, latency, core);
        add_webhooks(&b, r->db);
        http_answer_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b));
    } else {
        http_answer_error(r, &e);
    }
    buf_free(&b);
    json_decref(totals);
    json_decref(servers);
    json_decref(queue);
    json_decref(latency);
    json_decref(fleet);
    json_decref(core);
}
