/* The table of mailbox providers, see provider.h. */
#include "feedback/provider.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/map.h"
#include "feedback/builtin.h"
#include "feedback/ruledata.h"
#include <stdlib.h>

enum { DOMAIN_MAX = 255, FOLDED_SIZE = 256 /* whole vectors: else the compiler warns */ };

struct providers {
    char **name; /* name[i] is provider i + 1 */
    size_t count;
    struct map_str *exact; /* domain to number */
    struct map_str *suffix;
    struct map_str *mx; /* suffixes of MX hosts */
};

void providers_free(struct providers **pp)
{
    struct providers *p = *pp;
    *pp = NULL;
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++)
        free(p->name[i]);
    free(p->name);
    map_str_free(&p->exact);
    map_str_free(&p->suffix);
    map_str_free(&p->mx);
    free(p);
}

/* Lower case, no dot at the end; empty when it is no domain's length. */
static struct str fold_domain(struct str domain, char *dst)
{
    if (domain.n && domain.p[domain.n - 1] == '.')
        domain.n--;
    if (domain.n == 0 || domain.n > DOMAIN_MAX)
        return STR_NONE;
    for (size_t i = 0; i < domain.n; i++)
        dst[i] = ascii_lower(domain.p[i]);
    return str_from(dst, domain.n);
}

static bool add_provider(struct providers *p, struct str name, struct err *e)
{
    if (!name.n || name.n > 40 || p->count == PROVIDERS_MAX)
        return err_set(e, ERR_INVALID, "a provider's id has 1 to 40 characters");
    if (provider_known(p, name))
        return err_set(e, ERR_INVALID, "provider `" STR_F "` exists already", STR_A(name));
    p->name = alloc_resize(p->name, (p->count + 1) * sizeof(*p->name));
    p->name[p->count++] = str_dup(name);
    return true;
}

static bool add_domain(struct providers *p, struct map_str *map, struct str word, struct err *e)
{
    char folded[FOLDED_SIZE];
    struct str domain = fold_domain(word, folded);
    if (!domain.n || str_chr(domain, '.') < 0 || str_chr(domain, '@') >= 0)
        return err_set(e, ERR_INVALID, "`" STR_F "` is no domain", STR_A(word));
    if (map_str_get(map, domain))
        return err_set(e, ERR_INVALID, "domain `" STR_F "` is given twice", STR_A(word));
    map_str_set(map, domain, (void *)(uintptr_t)p->count);
    return true;
}

static bool take_field(struct providers *p, const struct ruledata_event *ev, struct err *e)
{
    struct map_str *map = str_is(ev->key, "domains")    ? p->exact
                          : str_is(ev->key, "suffixes") ? p->suffix
                          : str_is(ev->key, "mx")       ? p->mx
                                                        : NULL;
    struct str rest = ev->value, word;
    if (str_is(ev->key, "id"))
        return add_provider(p, ev->value, e);
    if (!map)
        return err_set(e, ERR_INVALID,
                       "field `" STR_F "` is unknown; known: id domains suffixes mx",
                       STR_A(ev->key));
    if (!p->count)
        return err_set(e, ERR_INVALID, "a provider begins with its id");
    while (str_split(&rest, ' ', &word))
        if (word.n && !add_domain(p, map, word, e))
            return false;
    return true;
}

static bool take_event(struct providers *p, const struct ruledata_event *ev, struct err *e)
{
    if (ev->kind == RULEDATA_SECTION && !str_is(ev->key, "providers"))
        return err_set(e, ERR_INVALID, "section `" STR_F "` is unknown; known: providers",
                       STR_A(ev->key));
    bool has_value = ev->kind == RULEDATA_FIELD || ev->kind == RULEDATA_ELEMENT;
    return !has_value || take_field(p, ev, e);
}

bool providers_compile(struct str data, struct providers **out, struct err *e)
{
    struct providers *p = alloc_one(struct providers);
    struct ruledata *reader = alloc_one(struct ruledata);
    struct ruledata_event ev = {.kind = RULEDATA_ERROR};
    p->exact = map_str_new();
    p->suffix = map_str_new();
    p->mx = map_str_new();
    bool ok = ruledata_open(reader, data, e);
    while (ok && ruledata_next(reader, &ev, e) > RULEDATA_END) {
        ok = take_event(p, &ev, e);
        if (!ok)
            (void)err_prefix(e, "line %d", reader->line);
    }
    ok = ok && ev.kind == RULEDATA_END;
    free(reader);
    if (!ok)
        providers_free(&p);
    *out = p;
    return ok;
}

const struct providers *providers_builtin(void)
{
    static struct providers *builtin;
    struct providers *p = __atomic_load_n(&builtin, __ATOMIC_ACQUIRE), *none = NULL;
    if (p)
        return p;
    struct err e = {0};
    check(providers_compile(builtin_providers(), &p, &e));
    /* Two callers may compile at once; one table stays. */
    if (!__atomic_compare_exchange_n(&builtin, &none, p, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        providers_free(&p);
        return none;
    }
    return p;
}

static uintptr_t by_suffix(const struct map_str *m, struct str d)
{
    uintptr_t found = 0;
    while (!found && map_str_count(m) && d.n) {
        found = (uintptr_t)map_str_get(m, d);
        ptrdiff_t dot = str_chr(d, '.');
        d = dot < 0 ? STR_NONE : str_from_index(d, (size_t)dot + 1);
    }
    return found;
}

unsigned provider_of_mx(const struct providers *p, struct str host)
{
    char folded[DOMAIN_MAX];
    return (unsigned)by_suffix(p->mx, fold_domain(host, folded));
}

unsigned provider_of_domain(const struct providers *p, struct str domain)
{
    char folded[FOLDED_SIZE];
    struct str d = fold_domain(domain, folded);
    if (!d.n)
        return PROVIDER_OTHER;
    uintptr_t found = (uintptr_t)map_str_get(p->exact, d);
    return (unsigned)(found ? found : by_suffix(p->suffix, d));
}

const char *provider_name(const struct providers *p, unsigned number)
{
    return number >= 1 && number <= p->count ? p->name[number - 1] : "other";
}

unsigned provider_by_name(const struct providers *p, struct str name)
{
    for (size_t i = 0; i < p->count; i++)
        if (str_is(name, p->name[i]))
            return (unsigned)i + 1;
    return PROVIDER_OTHER;
}

bool provider_known(const struct providers *p, struct str name)
{
    return provider_by_name(p, name) != PROVIDER_OTHER ||
           str_is(name, provider_name(p, PROVIDER_OTHER));
}

size_t providers_count(const struct providers *p)
{
    return p->count;
}
