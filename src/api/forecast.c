/* GET /v1/campaigns/NAME/forecast, and what it means for a start with a deadline. The database's
 * part is read here, the fleet's by core. */
#include "api/inner.h"
#include "api/resources.h"
#include "store/reports.h"

#include <stdlib.h>

bool forecast_of(struct http_request *r, int timeout_ms, json_t **out, struct err *e)
{
    json_t *facts = NULL;
    *out = NULL;
    if (!report_forecast_facts(r->db, r->params[0], &facts, e))
        return false;
    bool ok = call_data(r, "live.forecast", facts, STR_NONE, timeout_ms, out, e);
    if (ok) {
        json_object_set(*out, "name", json_object_get(facts, "name"));
        json_object_set(*out, "state", json_object_get(facts, "state"));
        json_object_set(*out, "recipients", json_object_get(facts, "recipients"));
    }
    json_decref(facts);
    return ok;
}

void on_campaigns_forecast(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, forecast_of(r, CALL_MS, &j, &e), &j, &e);
}

/* How the next messages of a group would be shared, by the fleet as it is now. */
void on_groups_simulate(struct http_request *r)
{
    static const char *const known[] = {"messages", "stream", NULL};
    struct err e;
    json_t *j = NULL;
    const char *messages = http_query(r, "messages"), *stream = http_query(r, "stream");
    char *end = NULL;
    long long n = messages ? strtoll(messages, &end, 10) : 0;
    if (!http_queries_known(r, known, &e)) {
        http_answer_error(r, &e);
        return;
    }
    if (messages && (*end || n < 1)) {
        err_set(&e, ERR_INVALID, "messages: \"%.40s\" is no count of 1 or more", messages);
        http_answer_error(r, &e);
        return;
    }
    json_t *args = json_pack("{s:s, s:I, s:s?}", "group", r->params[0], "messages", (json_int_t)n,
                             "stream", stream);
    bool ok = call_data(r, "live.simulate", args, STR_NONE, CALL_MS, &j, &e);
    json_decref(args);
    answer_report(r, ok, &j, &e);
}

/* What else hinders a start has the word before the deadline. */
static bool is_ready(struct http_request *r)
{
    struct err e;
    json_t *j = NULL, *args = json_pack("{s:s}", "name", r->params[0]);
    bool ok = call_data(r, "campaign.check", args, STR_NONE, CALL_MS, &j, &e) &&
              json_is_true(json_object_get(j, "ok"));
    json_decref(args);
    json_decref(j);
    return ok;
}

bool forecast_allows(struct http_request *r, struct err *e)
{
    json_t *campaign = NULL, *j = NULL;
    if (!report_campaign(r->db, r->params[0], NULL, &campaign, e))
        return true; /* the start itself says what is wrong */
    const char *state = json_string_value(json_object_get(campaign, "state"));
    bool concerns = json_is_string(json_object_get(campaign, "deadline")) && state &&
                    (!strcmp(state, "draft") || !strcmp(state, "scheduled"));
    json_decref(campaign);
    if (!concerns || !forecast_of(r, CALL_MS, &j, e) ||
        !json_is_false(json_object_get(j, "meets_deadline")) || !is_ready(r)) {
        json_decref(j);
        return true;
    }
    const char *finishes = json_string_value(json_object_get(j, "finishes_at"));
    err_set(e, ERR_REFUSED,
            "campaign \"%s\": its deadline %s cannot be met: of %lld recipients %lld can be sent "
            "by then, the last one %s (%s); more servers or quota, a later deadline, or "
            "`campaign start %s --late` to send what can be",
            r->params[0], json_string_value(json_object_get(j, "deadline")),
            (long long)json_integer_value(json_object_get(j, "pending")),
            (long long)json_integer_value(json_object_get(j, "sent_by_deadline")),
            finishes ? finishes : "never", json_string_value(json_object_get(j, "bottleneck")),
            r->params[0]);
    json_decref(j);
    return false;
}
