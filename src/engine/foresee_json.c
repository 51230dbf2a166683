/* Forecasts, see foresee.h: warm-ups as the database has them, and the answer in its fixed form.
 * On a desk: touches nothing of core. */
#include "base/alloc.h"
#include "engine/foresee.h"
#include "engine/warmup_plan.h"

#include <stdlib.h>
#include <time.h>

#define DAY_MS     INT64_C(86400000)
#define LIMITS_MAX 12

/* ---- warm-ups */

static const struct warmup_curve *curve_of(const struct warmup_plan *p, const char *provider)
{
    for (size_t i = 0; i < p->n_providers && *provider; i++)
        if (!strcmp(p->providers[i].name, provider))
            return &p->providers[i].curve;
    return *provider ? NULL : &p->curve;
}

static void add_line(struct foresight *x, const json_t *warmup, const struct warmup_plan *p,
                     const json_t *line)
{
    const char *provider = json_string_value(json_object_get(line, "provider"));
    const struct warmup_curve *curve = provider ? curve_of(p, provider) : NULL;
    if (!curve || !curve->n)
        return;
    uint64_t *caps = alloc_many(uint64_t, curve->n);
    uint32_t *classes = alloc_many(uint32_t, curve->n);
    bool known = json_is_true(json_object_get(warmup, "engagement_known"));
    for (uint32_t i = 0; i < curve->n; i++) {
        caps[i] = curve->caps[i];
        classes[i] = warmup_classes(&p->audience, i + 1, known);
    }
    x->warmups = alloc_resize(x->warmups, (x->n_warmups + 1) * sizeof *x->warmups);
    x->warmups[x->n_warmups++] = (struct forecast_warmup){
        .server_num = (uint16_t)json_integer_value(json_object_get(warmup, "server_num")),
        .provider =
            *provider ? provider_by_name(providers_builtin(), str_of(provider)) : PROVIDER_OTHER,
        .day = (uint32_t)json_integer_value(json_object_get(line, "day")),
        .caps = caps,
        .classes = classes,
        .n = curve->n,
        .closes_at = json_integer_value(json_object_get(warmup, "closes_at")),
        .holds = json_is_true(json_object_get(warmup, "holds"))};
}

static bool is_copied(const struct foresight *x, json_int_t num)
{
    for (size_t i = 0; i < x->n_servers; i++)
        if (x->servers[i].num == num)
            return true;
    return false;
}

void foresee_read_warmups(struct foresight *x)
{
    size_t i, k;
    json_t *warmup, *line;
    struct err e;
    json_array_foreach(json_object_get(x->request->args, "warmups"), i, warmup)
    {
        struct warmup_plan *plan = NULL;
        const char *text = json_string_value(json_object_get(warmup, "plan"));
        if (!is_copied(x, json_integer_value(json_object_get(warmup, "server_num"))) || !text ||
            !warmup_plan_read(text, &plan, &e))
            continue;
        json_array_foreach(json_object_get(warmup, "lines"), k, line)
        {
            add_line(x, warmup, plan, line);
        }
        free(plan);
    }
}

/* ---- the answer */

static json_t *date_of(int64_t day)
{
    char text[32];
    clock_format(day * DAY_MS, text);
    return json_stringn(text, 10);
}

static json_t *days_json(const uint64_t *n, size_t n_days, int64_t first_day)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n_days; i++)
        if (n[i])
            json_array_append_new(list,
                                  json_pack("{s:o, s:I}", "date", date_of(first_day + (int64_t)i),
                                            "n", (json_int_t)n[i]));
    return list;
}

static double rounded(double v)
{
    return (double)(int64_t)(v * 10000 + 0.5) / 10000;
}

static json_t *servers_json(const struct foresight *x, const struct forecast *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_servers; i++) {
        const struct forecast_by_server *b = &r->servers[i];
        double share = r->sent ? (double)b->sent / (double)r->sent : 0;
        json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:f, s:b, s:o}", "server",
                                              x->server_names[i], "sent", (json_int_t)b->sent,
                                              "share", rounded(share), "ms_per_message",
                                              (double)x->servers[i].service_us / 1000, "measured",
                                              (int)x->measured[i], "per_day",
                                              days_json(b->days, b->n_days, r->first_day)));
    }
    return list;
}

static json_t *all_days(const struct forecast *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_servers; i++)
        n = MAX(n, r->servers[i].n_days);
    uint64_t *sum = alloc_many(uint64_t, n + 1);
    for (size_t i = 0; i < r->n_servers; i++)
        for (size_t d = 0; d < r->servers[i].n_days; d++)
            sum[d] += r->servers[i].days[d];
    json_t *list = days_json(sum, n, r->first_day);
    free(sum);
    return list;
}

static json_t *limits_json(const struct forecast *r, int64_t took_ms)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_limits && i < LIMITS_MAX; i++)
        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:f}", "limit", r->limits[i].text, "seconds",
                      (json_int_t)(r->limits[i].ms / 1000), "share",
                      took_ms > 0 ? rounded((double)r->limits[i].ms / (double)took_ms) : 0.0));
    return list;
}

static json_t *time_json(const struct foresight *x, int64_t steady)
{
    char text[32];
    clock_format(steady + x->wall_offset, text);
    return json_string(text);
}

json_t *foresee_answer(const struct foresight *x, const struct forecast *r)
{
    int64_t took = r->finishes_at - x->now;
    json_t *seconds = r->ends ? json_real((double)((took + 50) / 100) / 10) : json_null();
    json_t *j = json_pack(
        "{s:I, s:o, s:o, s:b, s:s, s:o, s:o, s:o}", "pending", (json_int_t)r->recipients, "seconds",
        seconds, "finishes_at", r->ends ? time_json(x, r->finishes_at) : json_null(), "ends",
        (int)r->ends, "bottleneck", r->bottleneck, "by_server", servers_json(x, r), "by_day",
        all_days(r), "limits", limits_json(r, took));
    json_object_set_new(j, "batch", json_integer((json_int_t)r->batch));
    json_object_set_new(j, "error_seconds", json_real((double)(r->error_ms / 100) / 10));
    json_object_set_new(j, "sending_waits", json_string(x->waits));
    json_object_set_new(j, "deadline", x->deadline ? time_json(x, x->deadline) : json_null());
    if (x->deadline) {
        bool meets = r->ends && r->finishes_at <= x->deadline;
        json_object_set_new(j, "meets_deadline", json_boolean(meets));
        json_object_set_new(j, "sent_by_deadline", json_integer((json_int_t)r->by_deadline));
    }
    return j;
}
