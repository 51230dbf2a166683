/* Reads rules/regions.yaml into fleet/region, once a process. */
#include "engine/regions.h"
#include "base/alloc.h"
#include "base/check.h"
#include "feedback/ruledata.h"

#include <stdlib.h>

extern const unsigned char rules_regions_yaml[];
extern const size_t rules_regions_yaml_size;

struct item {
    char *id, *aliases, *countries, *near;
};

static void item_clear(struct item *x)
{
    free(x->id);
    free(x->aliases);
    free(x->countries);
    free(x->near);
    *x = (struct item){0};
}

static bool item_end(struct regions *r, struct item *x, struct err *e)
{
    bool ok = !x->id || regions_add(r, str_of(x->id), str_of(x->aliases), str_of(x->countries),
                                    str_of(x->near), e);
    item_clear(x);
    return ok;
}

static bool item_field(struct item *x, const struct ruledata_event *ev, struct err *e)
{
    char **at = str_is(ev->key, "id")          ? &x->id
                : str_is(ev->key, "aliases")   ? &x->aliases
                : str_is(ev->key, "countries") ? &x->countries
                : str_is(ev->key, "near")      ? &x->near
                                               : NULL;
    if (!at)
        return err_set(e, ERR_INVALID, "field `" STR_F "` is unknown", STR_A(ev->key));
    free(*at);
    *at = str_dup(ev->value);
    return true;
}

static bool compile(struct str data, struct regions *r, struct err *e)
{
    struct ruledata *reader = alloc_one(struct ruledata);
    struct ruledata_event ev = {.kind = RULEDATA_ERROR};
    struct item x = {0};
    bool ok = ruledata_open(reader, data, e);
    while (ok && ruledata_next(reader, &ev, e) > RULEDATA_END) {
        if (ev.kind == RULEDATA_ITEM)
            ok = item_end(r, &x, e);
        else if (ev.kind == RULEDATA_FIELD)
            ok = item_field(&x, &ev, e);
    }
    ok = ok && ev.kind == RULEDATA_END && item_end(r, &x, e) && regions_check(r, e);
    item_clear(&x);
    free(reader);
    return ok;
}

const struct regions *regions_builtin(void)
{
    static struct regions *builtin;
    struct regions *r = __atomic_load_n(&builtin, __ATOMIC_ACQUIRE), *none = NULL;
    struct err e = {0};
    if (r)
        return r;
    r = regions_new();
    check(compile(str_from((const char *)rules_regions_yaml, rules_regions_yaml_size), r, &e));
    /* Two threads may compile at once; one table stays. */
    if (!__atomic_compare_exchange_n(&builtin, &none, r, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        regions_free(&r);
        return none;
    }
    return r;
}
