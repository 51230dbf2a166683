/* Plans of warm-up: see warmup_plan.h. */
#include "engine/warmup_plan.h"
#include "base/alloc.h"
#include "feedback/provider.h"
#include "feedback/ruledata.h"

#include <stdio.h>
#include <stdlib.h>

extern const unsigned char warmup_yaml[];
extern const size_t warmup_yaml_size;

static json_t *caps_of(const struct warmup_curve *c)
{
    json_t *caps = json_array();
    for (uint32_t i = 0; i < c->n; i++)
        json_array_append_new(caps, json_integer((json_int_t)c->caps[i]));
    return caps;
}

static bool caps_read(const json_t *caps, struct warmup_curve *out, struct err *e)
{
    size_t n = json_array_size(caps);
    if (!n || n > WARMUP_DAYS_MAX)
        return err_set(e, ERR_CORRUPT, "a warm-up plan without caps");
    out->n = (uint32_t)n;
    for (uint32_t i = 0; i < out->n; i++)
        out->caps[i] = (uint64_t)json_integer_value(json_array_get(caps, i));
    return true;
}

static bool set_curve(json_t *plan, const char *text, struct err *e)
{
    struct warmup_curve c;
    if (!warmup_curve_parse(str_of(text), &c, e))
        return false;
    json_object_set_new(plan, "curve", json_string(text));
    json_object_set_new(plan, "caps", caps_of(&c));
    return true;
}

/* ---- a mailbox provider's own curve: "gmail 40%", "gmail=20,40,80" */

static bool provider_curve(const json_t *plan, struct str text, struct warmup_curve *out,
                           struct err *e)
{
    char number[24], *end = NULL;
    struct warmup_curve whole;
    if (!text.n || text.p[text.n - 1] != '%')
        return warmup_curve_parse(text, out, e);
    bool fits = str_copy(str_cut(text, 0, text.n - 1), number, sizeof number);
    double percent = fits ? strtod(number, &end) : 0;
    if (!fits || !*number || *end || !(percent > 0 && percent <= 100))
        return err_set(e, ERR_INVALID, "provider: \"%.*s\" is no share over 0 and up to 100%%",
                       (int)MIN(text.n, (size_t)40), text.p);
    if (!caps_read(json_object_get(plan, "caps"), &whole, e))
        return false;
    warmup_curve_share(&whole, percent, out);
    return true;
}

static void drop_provider(json_t *list, const char *name)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *has = json_string_value(json_object_get(json_array_get(list, i), "provider"));
        if (has && !strcmp(has, name))
            json_array_remove(list, i);
    }
}

static bool add_provider(json_t *plan, const char *text, struct err *e)
{
    struct str t = str_of(text);
    size_t n = 0;
    char name[32];
    struct warmup_curve c;
    while (n < t.n && t.p[n] != ' ' && t.p[n] != '=')
        n++;
    struct str curve = str_trim(str_from_index(t, MIN(n + 1, t.n)));
    if (!n || !curve.n || !str_copy(str_cut(t, 0, n), name, sizeof name))
        return err_set(e, ERR_INVALID,
                       "provider: \"%.60s\" must look like gmail=40%% or gmail=20,40,80", text);
    if (!provider_known(providers_builtin(), str_of(name)))
        return err_set(e, ERR_INVALID,
                       "provider: \"%s\" is no mailbox provider of rules/providers.yaml", name);
    if (!provider_curve(plan, curve, &c, e))
        return err_prefix(e, "provider %s", name);
    json_t *list = json_object_get(plan, "providers");
    drop_provider(list, name);
    if (json_array_size(list) >= WARMUP_PROVIDERS_MAX)
        return err_set(e, ERR_INVALID, "provider: over %d", WARMUP_PROVIDERS_MAX);
    json_array_append_new(list, json_pack("{s:s, s:s%, s:o}", "provider", name, "curve", curve.p,
                                          curve.n, "caps", caps_of(&c)));
    return true;
}

/* ---- the rest of a plan */

static bool set_classes(json_t *plan, const char *text, struct err *e)
{
    struct warmup_audience a;
    if (!warmup_audience_parse(str_of(text), &a, e))
        return false;
    json_object_set_new(plan, "classes", json_string(text));
    return true;
}

static bool set_number(json_t *plan, const char *field, const char *text, double max, struct err *e)
{
    char *end = NULL;
    double v = strtod(text, &end);
    if (!*text || *end || !(v >= 0 && v <= max))
        return err_set(e, ERR_INVALID, "%s: \"%.40s\" is no number from 0 to %g", field, text, max);
    json_object_set_new(plan, field, json_real(v));
    return true;
}

bool warmup_plan_set(json_t *plan, const char *field, const char *text, struct err *e)
{
    if (!strcmp(field, "providers"))
        return add_provider(plan, text, e);
    if (!strcmp(field, "classes"))
        return set_classes(plan, text, e);
    if (!strcmp(field, "unknown")) {
        uint64_t n = 0;
        if (!str_to_u64(str_of(text), WARMUP_CLASSES, &n) || !n)
            return err_set(e, ERR_INVALID, "unknown: \"%.40s\" is no class from 1 to 7", text);
        json_object_set_new(plan, "unknown", json_integer((json_int_t)n));
        return true;
    }
    return set_number(plan, field, text, 100, e);
}

bool warmup_plan_of_curve(const char *curve, json_t **out, struct err *e)
{
    *out = json_pack("{s:s, s:s, s:s, s:[], s:[], s:s, s:i, s:f, s:f, s:f}", "name", "", "title",
                     "", "curve", "", "caps", "providers", "classes", "", "unknown", 4,
                     "hard_bounces", 2.0, "complaints", 0.1, "deferrals", 10.0);
    if (set_curve(*out, curve, e))
        return true;
    json_decref(*out);
    *out = NULL;
    return false;
}

/* ---- rules/warmup.yaml */

static bool take_field(json_t *plan, const char *key, const char *value, struct err *e)
{
    static const char *const settable[] = {"classes",    "unknown",   "hard_bounces",
                                           "complaints", "deferrals", NULL};
    if (!strcmp(key, "title"))
        return json_object_set_new(plan, "title", json_string(value)) == 0;
    if (!strcmp(key, "curve"))
        return set_curve(plan, value, e);
    for (size_t i = 0; settable[i]; i++)
        if (!strcmp(key, settable[i]))
            return warmup_plan_set(plan, key, value, e);
    return err_set(e, ERR_INVALID, "unknown field %.40s", key);
}

static bool take(json_t *plans, const struct ruledata_event *ev, struct err *e)
{
    json_t *plan = json_array_get(plans, json_array_size(plans) - 1);
    char *value = str_dup(ev->value), *key = str_dup(ev->key);
    bool ok = true;
    if (ev->kind == RULEDATA_FIELD && !strcmp(key, "id")) {
        ok = warmup_plan_of_curve("1", &plan, e);
        if (ok) {
            json_object_set_new(plan, "name", json_string(value));
            json_array_append_new(plans, plan);
        }
    } else if (ev->kind == RULEDATA_FIELD) {
        ok = plan ? take_field(plan, key, value, e) : err_set(e, ERR_INVALID, "a field before id");
    } else if (ev->kind == RULEDATA_ELEMENT) {
        ok = plan && add_provider(plan, value, e);
    }
    free(value);
    free(key);
    return ok;
}

bool warmup_plans_all(json_t **out, struct err *e)
{
    struct ruledata *r = alloc_one(struct ruledata);
    struct ruledata_event ev = {0};
    json_t *plans = json_array();
    bool ok = ruledata_open(r, str_from((const char *)warmup_yaml, warmup_yaml_size), e);
    while (ok && ruledata_next(r, &ev, e) != RULEDATA_END) {
        ok = ev.kind != RULEDATA_ERROR && r->line > 0;
        if (ok && !take(plans, &ev, e))
            ok = err_prefix(e, "rules/warmup.yaml, line %d", r->line);
        ev = (struct ruledata_event){0};
    }
    free(r);
    if (ok)
        *out = plans;
    else
        json_decref(plans);
    return ok;
}

bool warmup_plans_find(const char *name, json_t **out, struct err *e)
{
    json_t *plans = NULL, *plan;
    char names[300] = "";
    size_t i, at = 0;
    if (!warmup_plans_all(&plans, e))
        return false;
    *out = NULL;
    json_array_foreach(plans, i, plan)
    {
        const char *has = json_string_value(json_object_get(plan, "name"));
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", has);
        at = MIN(at, sizeof names - 1);
        if (!strcmp(has, name))
            *out = json_incref(plan);
    }
    json_decref(plans);
    return *out ||
           err_set(e, ERR_NOT_FOUND, "plan: there is no \"%.60s\"; there are %s", name, names);
}

/* ---- back from JSON */

static double percent_of(const json_t *plan, const char *field, double otherwise)
{
    const json_t *v = json_object_get(plan, field);
    return json_is_number(v) ? json_number_value(v) / 100 : otherwise;
}

static bool read_plan(const json_t *j, struct warmup_plan *p, struct err *e)
{
    size_t i;
    const json_t *item, *list = json_object_get(j, "providers");
    const char *classes = json_string_value(json_object_get(j, "classes"));
    if (!caps_read(json_object_get(j, "caps"), &p->curve, e))
        return false;
    for (i = 0; i < json_array_size(list) && i < WARMUP_PROVIDERS_MAX; i++) {
        item = json_array_get(list, i);
        str_copy(str_of(json_string_value(json_object_get(item, "provider"))), p->providers[i].name,
                 sizeof p->providers[i].name);
        if (!caps_read(json_object_get(item, "caps"), &p->providers[i].curve, e))
            return false;
        p->n_providers++;
    }
    warmup_gate_defaults(&p->gate);
    p->gate.hard_max = percent_of(j, "hard_bounces", p->gate.hard_max);
    p->gate.complaint_max = percent_of(j, "complaints", p->gate.complaint_max);
    p->gate.deferral_max = percent_of(j, "deferrals", p->gate.deferral_max);
    p->audience.unknown = (uint32_t)json_integer_value(json_object_get(j, "unknown"));
    return warmup_audience_parse(str_of(classes ? classes : ""), &p->audience, e);
}

bool warmup_plan_read(const char *json, struct warmup_plan **out, struct err *e)
{
    json_t *j = json_loads(json, 0, NULL);
    if (!j)
        return err_set(e, ERR_CORRUPT, "a warm-up plan that is no JSON");
    *out = alloc_one(struct warmup_plan);
    bool ok = read_plan(j, *out, e);
    json_decref(j);
    if (!ok) {
        free(*out);
        *out = NULL;
    }
    return ok;
}
