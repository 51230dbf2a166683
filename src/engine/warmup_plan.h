/* Plans of warm-up as JSON, as the API shows and the database keeps them: those of
 * rules/warmup.yaml, those the user gives, and back to what fleet/warmup.h reckons with.
 *   {"name","title","curve","caps":[...],"providers":[{"provider","curve","caps":[...]}],
 *    "classes","unknown","hard_bounces","complaints","deferrals"}      rates in per cent
 * Caps are written out, so that a report needs no arithmetic. Runs on any thread. */
#ifndef ENGINE_WARMUP_PLAN_H
#define ENGINE_WARMUP_PLAN_H

#include "base/err.h"
#include "fleet/warmup.h"

#include <jansson.h>

#define WARMUP_PROVIDERS_MAX 16

struct warmup_plan {
    struct warmup_curve curve;
    struct {
        char name[32];
        struct warmup_curve curve;
    } providers[WARMUP_PROVIDERS_MAX];
    size_t n_providers;
    struct warmup_gate gate;
    struct warmup_audience audience;
};

/* All plans of rules/warmup.yaml, an array. The caller's. */
bool warmup_plans_all(json_t **out, struct err *e) MUST_USE;
/* The one of that name; ERR_NOT_FOUND names the others. */
bool warmup_plans_find(const char *name, json_t **out, struct err *e) MUST_USE;
/* A plan without more than its curve, gates at their defaults. */
bool warmup_plan_of_curve(const char *curve, json_t **out, struct err *e) MUST_USE;
/* Sets one more thing, checked: providers ("gmail 40%", "gmail=50,100": added), classes, unknown,
 * hard_bounces, complaints, deferrals, as text. */
bool warmup_plan_set(json_t *plan, const char *field, const char *text, struct err *e) MUST_USE;
/* Heap, the caller frees. ERR_CORRUPT when it is none of ours. */
bool warmup_plan_read(const char *json, struct warmup_plan **out, struct err *e) MUST_USE;

#endif
