/* The table of explanations, see explain.h. */
#include "feedback/explain.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/map.h"
#include "feedback/builtin.h"
#include "feedback/ruledata.h"

#include <stdlib.h>

struct line {
    char *means, *advice;
};

struct explain {
    struct map_str *index; /* id -> struct line */
    struct line *last;
};

void explain_free(struct explain **xp)
{
    struct explain *x = *xp;
    size_t pos = 0;
    struct str key;
    void *v;
    *xp = NULL;
    if (!x)
        return;
    while (map_str_next(x->index, &pos, &key, &v)) {
        free(((struct line *)v)->means);
        free(((struct line *)v)->advice);
        free(v);
    }
    map_str_free(&x->index);
    free(x);
}

static bool begin_line(struct explain *x, struct str id, struct err *e)
{
    if (map_str_get(x->index, id))
        return err_set(e, ERR_INVALID, "`" STR_F "` is explained twice", STR_A(id));
    x->last = alloc_one(struct line);
    map_str_set(x->index, id, x->last);
    return true;
}

static bool take_field(struct explain *x, const struct ruledata_event *ev, struct err *e)
{
    bool is_means = str_is(ev->key, "means");
    if (str_is(ev->key, "id"))
        return begin_line(x, ev->value, e);
    if (!is_means && !str_is(ev->key, "do"))
        return err_set(e, ERR_INVALID, "field `" STR_F "` is unknown; known: id means do",
                       STR_A(ev->key));
    if (!x->last)
        return err_set(e, ERR_INVALID, "an explanation begins with its id");
    char **at = is_means ? &x->last->means : &x->last->advice;
    if (*at)
        return err_set(e, ERR_INVALID, "field `" STR_F "` is given twice", STR_A(ev->key));
    *at = str_dup(ev->value);
    return true;
}

static bool take_event(struct explain *x, const struct ruledata_event *ev, struct err *e)
{
    if (ev->kind == RULEDATA_SECTION && !str_is(ev->key, "explain"))
        return err_set(e, ERR_INVALID, "section `" STR_F "` is unknown; known: explain",
                       STR_A(ev->key));
    return ev->kind != RULEDATA_FIELD || take_field(x, ev, e);
}

bool explain_compile(struct str data, struct explain **out, struct err *e)
{
    struct explain *x = alloc_one(struct explain);
    struct ruledata *reader = alloc_one(struct ruledata);
    struct ruledata_event ev = {.kind = RULEDATA_ERROR};
    x->index = map_str_new();
    bool ok = ruledata_open(reader, data, e);
    while (ok && ruledata_next(reader, &ev, e) > RULEDATA_END) {
        ok = take_event(x, &ev, e);
        if (!ok)
            (void)err_prefix(e, "line %d", reader->line);
    }
    ok = ok && ev.kind == RULEDATA_END;
    free(reader);
    if (!ok)
        explain_free(&x);
    *out = x;
    return ok;
}

const struct explain *explain_builtin(void)
{
    static struct explain *builtin;
    struct explain *x = __atomic_load_n(&builtin, __ATOMIC_ACQUIRE), *none = NULL;
    struct err e;
    if (x)
        return x;
    check(explain_compile(builtin_verdicts(), &x, &e));
    if (!__atomic_compare_exchange_n(&builtin, &none, x, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        explain_free(&x);
        x = none;
    }
    return x;
}

struct explanation explain_find(const struct explain *x, struct str rule, enum verdict v)
{
    ptrdiff_t dot = str_chr(rule, '.');
    const struct line *l = rule.n ? map_str_get(x->index, rule) : NULL;
    if (!l && dot > 0)
        l = map_str_get(x->index, str_cut(rule, 0, (size_t)dot));
    if (!l)
        l = map_str_get(x->index, str_of(verdict_name(v)));
    return (struct explanation){l && l->means ? l->means : "", l && l->advice ? l->advice : ""};
}
