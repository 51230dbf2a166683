/* What a campaign's report says beyond the counts: how the routes spread its audience (the plan
 * that shares are held against), when it will end by the forecast, and what exact shares cost by
 * the fleet's own simulation. Core reckons it; here it is kept for a while, because reports are
 * asked for twice a second. Without core the fields are null. */
#include "api/inner.h"

#include "base/clock.h"
#include "store/reports.h"

#include <stdio.h>
#include <stdlib.h>

#define KEPT       32
#define KEEP_MS    10000
#define COST_SENDS 2000 /* messages that are simulated */
#define COST_MOST  3    /* groups of a campaign that are */

/* ---- what was reckoned lately ---- */

struct kept {
    char key[160];
    int64_t at; /* boot ms */
    json_t *value;
};

static struct {
    pthread_mutex_t lock;
    struct kept all[KEPT];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A copy; NULL: there is none, or it is too old. */
static json_t *kept_get(const char *kind, const char *name)
{
    char key[160];
    json_t *copy = NULL;
    snprintf(key, sizeof key, "%s %.140s", kind, name);
    pthread_mutex_lock(&kept.lock);
    for (size_t i = 0; i < KEPT; i++)
        if (!strcmp(kept.all[i].key, key) && clock_boot_ms() - kept.all[i].at < KEEP_MS)
            copy = json_deep_copy(kept.all[i].value);
    pthread_mutex_unlock(&kept.lock);
    return copy;
}

static void kept_put(const char *kind, const char *name, const json_t *value)
{
    char key[160];
    snprintf(key, sizeof key, "%s %.140s", kind, name);
    json_t *copy = json_deep_copy(value);
    pthread_mutex_lock(&kept.lock);
    struct kept *at = &kept.all[0];
    for (size_t i = 0; i < KEPT && strcmp(at->key, key) != 0; i++)
        if (!strcmp(kept.all[i].key, key) || kept.all[i].at < at->at)
            at = &kept.all[i];
    json_decref(at->value);
    snprintf(at->key, sizeof at->key, "%s", key);
    at->at = clock_boot_ms();
    at->value = copy;
    pthread_mutex_unlock(&kept.lock);
}

/* ---- the plan ---- */

json_t *outlook_plan(struct http_request *r)
{
    struct err e;
    json_t *facts = NULL, *plan = kept_get("plan", r->params[0]), *groups;
    if (!plan && report_plan_facts(r->db, r->params[0], &facts, &e) && facts &&
        call_data(r, "live.plan", facts, STR_NONE, CALL_LOOK_MS, &plan, &e))
        kept_put("plan", r->params[0], plan);
    groups = json_incref(json_object_get(plan, "groups"));
    json_decref(facts);
    json_decref(plan);
    return groups;
}

/* ---- the end ---- */

static bool is_in(const json_t *report, const char *const *states)
{
    const char *state = json_string_value(json_object_get(report, "state"));
    for (; state && *states; states++)
        if (!strcmp(state, *states))
            return true;
    return false;
}

static json_t *eta_of(struct http_request *r, const json_t *report)
{
    static const char *const at_work[] = {"running", "stalled", NULL};
    static const char *const fields[] = {"finishes_at", "seconds", "ends", "bottleneck"};
    struct err e;
    json_t *f = NULL, *eta = NULL;
    if (!is_in(report, at_work) || !forecast_of(r, CALL_LOOK_MS, &f, &e))
        return json_null();
    eta = json_object();
    for (size_t i = 0; i < countof(fields); i++)
        json_object_set(eta, fields[i], json_object_get(f, fields[i]));
    json_decref(f);
    return eta;
}

/* ---- what exactness costs ---- */

static double number(const json_t *j, const char *field)
{
    return json_number_value(json_object_get(j, field));
}

/* Of a campaign that takes so many seconds, by the pace of this group's servers now. */
static void add_cost(struct http_request *r, const char *group, double seconds, json_t *all)
{
    struct err e;
    json_t *s = NULL, *args = json_pack("{s:s, s:i}", "group", group, "messages", COST_SENDS);
    bool ok = call_data(r, "live.simulate", args, STR_NONE, CALL_LOOK_MS, &s, &e);
    double exact = number(s, "seconds"), sent = number(s, "sent");
    if (ok && json_is_number(json_object_get(s, "elastic_seconds")) && exact > 0 && sent > 0) {
        double share = MAX(1 - number(s, "elastic_seconds") / exact, 0.0);
        json_array_append_new(all,
                              json_pack("{s:s, s:f, s:f, s:O}", "group", group, "costs_seconds",
                                        (double)(int64_t)(share * seconds * 10 + 0.5) / 10,
                                        "costs_share", (double)(int64_t)(share * 1000 + 0.5) / 1000,
                                        "slowest", json_object_get(s, "slowest")));
    }
    json_decref(args);
    json_decref(s);
}

/* From its start to its end, the one that is forecast while it runs. */
static double seconds_of(const json_t *report, const json_t *eta)
{
    int64_t from = 0, to = clock_wall_ms();
    const char *started = json_string_value(json_object_get(report, "started_at"));
    const char *finished = json_string_value(json_object_get(report, "finished_at"));
    if (!started || !clock_parse(started, &from) || (finished && !clock_parse(finished, &to)))
        return 0;
    return (double)(to - from) / 1000 + (finished ? 0 : number(eta, "seconds"));
}

static json_t *costs_of(struct http_request *r, const json_t *report, double seconds)
{
    static const char *const started[] = {"running", "stalled", "paused", "finished", NULL};
    json_t *all = json_array(), *one;
    double recipients = number(report, "recipients");
    size_t i;
    json_array_foreach(json_object_get(report, "by_group"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "group"));
        double messages = MAX(number(one, "sent"), recipients * number(one, "planned_share"));
        if (name && messages >= 1 && i < COST_MOST && is_in(report, started))
            add_cost(r, name, seconds, all);
    }
    return all;
}

void outlook_add(struct http_request *r, json_t *report)
{
    static const char *const at_work[] = {"running", "stalled", NULL};
    json_t *ahead = kept_get("ahead", r->params[0]);
    if (!ahead) {
        json_t *eta = eta_of(r, report);
        ahead = json_pack("{s:o, s:o}", "eta", eta, "exact_shares",
                          costs_of(r, report, seconds_of(report, eta)));
        if (!is_in(report, at_work) || !json_is_null(eta))
            kept_put("ahead", r->params[0], ahead);
    }
    json_object_update(report, ahead);
    if (!is_in(report, at_work))
        json_object_set_new(report, "eta", json_null());
    json_decref(ahead);
}
