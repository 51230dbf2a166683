/* Matching and the index of routes, see route.h. */
#include "fleet/route.h"
#include "base/alloc.h"
#include "base/map.h"

#include <stdlib.h>

struct bucket { /* rules with the same value of the field they are indexed by, in order */
    uint32_t *at;
    uint32_t n, cap;
};

struct routes {
    struct route **list;
    size_t n;
    struct map_u64 *by_number[ROUTE_FIELDS]; /* NULL: no rule is indexed by this field */
    struct map_str *by_text[ROUTE_FIELDS];
    struct map_str *below[ROUTE_FIELDS]; /* domains: those of "*.d" under d */
    struct bucket rest;                  /* rules that no index holds */
    struct map_u64 *by_num;
};

/* By which field a rule is found, the rarest first. */
static const enum route_field index_order[] = {
    ROUTE_RECIPIENT_DOMAIN, ROUTE_CAMPAIGN, ROUTE_CREDENTIAL, ROUTE_LIST, ROUTE_TAG,
    ROUTE_FROM_DOMAIN,      ROUTE_COUNTRY,  ROUTE_PROVIDER};

/* ---- matching ---- */

static bool domain_fits(struct str domain, struct str pattern)
{
    if (!str_starts(pattern, STR("*.")))
        return str_eq(domain, pattern);
    struct str below = str_from_index(pattern, 1);
    return domain.n > below.n && str_ends(domain, below);
}

static bool has_tag(struct str tags, struct str tag)
{
    struct str one;
    while (str_split(&tags, '\n', &one))
        if (str_eq(one, tag))
            return true;
    return false;
}

static uint64_t number_of(const struct route_facts *f, enum route_field field)
{
    switch (field) {
    case ROUTE_STREAM: return f->lane;
    case ROUTE_CAMPAIGN: return f->campaign_num;
    case ROUTE_LIST: return f->list_id;
    case ROUTE_ENGAGEMENT: return f->engagement;
    case ROUTE_SIZE: return f->size;
    case ROUTE_CREDENTIAL: return f->credential_num;
    default: return 0;
    }
}

static bool term_fits(const struct route_term *t, const struct route_facts *f)
{
    switch (t->field) {
    case ROUTE_TAG: return has_tag(f->tags, str_of(t->text));
    case ROUTE_FROM_DOMAIN: return domain_fits(f->from_domain, str_of(t->text));
    case ROUTE_RECIPIENT_DOMAIN: return domain_fits(f->rcpt_domain, str_of(t->text));
    case ROUTE_PROVIDER: return str_is(f->provider, t->text);
    case ROUTE_COUNTRY: return str_is(str_of(f->country), t->text);
    default: break;
    }
    uint64_t v = number_of(f, t->field);
    return v >= t->low && v <= t->high;
}

static bool fits(const struct route *r, const struct route_facts *f)
{
    uint32_t named = 0, held = 0;
    for (size_t i = 0; i < r->n_terms; i++) {
        uint32_t bit = 1u << r->terms[i].field;
        named |= bit;
        if (!(held & bit) && term_fits(&r->terms[i], f))
            held |= bit;
    }
    return named == held;
}

bool route_could_take(const struct route *r, const struct route_facts *f, bool *always_out)
{
    static const uint32_t open = 1u << ROUTE_RECIPIENT_DOMAIN | 1u << ROUTE_PROVIDER |
                                 1u << ROUTE_COUNTRY | 1u << ROUTE_ENGAGEMENT | 1u << ROUTE_SIZE;
    uint32_t named = 0, held = open;
    for (size_t i = 0; i < r->n_terms; i++) {
        uint32_t bit = 1u << r->terms[i].field;
        named |= bit;
        if (!(held & bit) && term_fits(&r->terms[i], f))
            held |= bit;
    }
    *always_out = !(named & open);
    return (named & ~held) == 0;
}

/* ---- the index ---- */

static bool names_field(const struct route *r, enum route_field field)
{
    for (size_t i = 0; i < r->n_terms; i++)
        if (r->terms[i].field == field)
            return true;
    return false;
}

static void bucket_add(struct bucket *b, uint32_t i)
{
    if (b->n && b->at[b->n - 1] == i)
        return;
    if (b->n == b->cap) {
        b->cap = MAX(b->cap * 2, 4u);
        b->at = alloc_resize(b->at, b->cap * sizeof *b->at);
    }
    b->at[b->n++] = i;
}

static struct bucket *bucket_of_text(struct map_str **m, struct str key)
{
    if (!*m)
        *m = map_str_new();
    struct bucket *b = map_str_get(*m, key);
    if (!b)
        map_str_set(*m, key, b = alloc_one(struct bucket));
    return b;
}

static struct bucket *bucket_of_number(struct map_u64 **m, uint64_t key)
{
    if (!*m)
        *m = map_u64_new();
    struct bucket *b = map_u64_get(*m, key);
    if (!b)
        map_u64_set(*m, key, b = alloc_one(struct bucket));
    return b;
}

static struct bucket *bucket_of_term(struct routes *r, const struct route_term *t)
{
    struct str text = str_of(t->text);
    if (!route_field_is_text(t->field))
        return bucket_of_number(&r->by_number[t->field], t->low);
    bool is_below = t->field <= ROUTE_RECIPIENT_DOMAIN && t->field >= ROUTE_FROM_DOMAIN &&
                    str_starts(text, STR("*."));
    return is_below ? bucket_of_text(&r->below[t->field], str_from_index(text, 2))
                    : bucket_of_text(&r->by_text[t->field], text);
}

static void add_to_index(struct routes *r, uint32_t i)
{
    const struct route *x = r->list[i];
    for (size_t k = 0; k < countof(index_order); k++) {
        if (!names_field(x, index_order[k]))
            continue;
        for (size_t t = 0; t < x->n_terms; t++)
            if (x->terms[t].field == index_order[k])
                bucket_add(bucket_of_term(r, &x->terms[t]), i);
        return;
    }
    bucket_add(&r->rest, i);
}

struct routes *routes_new(struct route **list, size_t n)
{
    struct routes *r = alloc_one(struct routes);
    r->list = list;
    r->n = n;
    r->by_num = map_u64_new();
    for (size_t i = 0; i < n; i++) {
        map_u64_set(r->by_num, list[i]->num, list[i]);
        add_to_index(r, (uint32_t)i);
    }
    return r;
}

static void bucket_free(struct bucket *b)
{
    free(b->at);
    free(b);
}

static void texts_free(struct map_str **m)
{
    size_t pos = 0;
    struct str key;
    void *b = NULL;
    while (*m && map_str_next(*m, &pos, &key, &b))
        bucket_free(b);
    map_str_free(m);
}

static void numbers_free(struct map_u64 **m)
{
    size_t pos = 0;
    uint64_t key;
    void *b = NULL;
    while (*m && map_u64_next(*m, &pos, &key, &b))
        bucket_free(b);
    map_u64_free(m);
}

void routes_free(struct routes **rp)
{
    struct routes *r = *rp;
    *rp = NULL;
    if (!r)
        return;
    for (int f = 0; f < ROUTE_FIELDS; f++) {
        texts_free(&r->by_text[f]);
        texts_free(&r->below[f]);
        numbers_free(&r->by_number[f]);
    }
    map_u64_free(&r->by_num);
    for (size_t i = 0; i < r->n; i++)
        route_free(&r->list[i]);
    free(r->list);
    free(r->rest.at);
    free(r);
}

size_t routes_count(const struct routes *r)
{
    return r ? r->n : 0;
}

const struct route *routes_get(const struct routes *r, uint32_t num)
{
    return r ? map_u64_get(r->by_num, num) : NULL;
}

/* ---- looking up ---- */

struct finding {
    const struct routes *r;
    const struct route_facts *f;
    uint32_t best; /* place of the first match so far; n: none */
};

static void look_at(struct finding *x, const struct bucket *b)
{
    for (uint32_t i = 0; b && i < b->n && b->at[i] < x->best; i++)
        if (fits(x->r->list[b->at[i]], x->f)) {
            x->best = b->at[i];
            return;
        }
}

static void look_at_number(struct finding *x, enum route_field field)
{
    const struct map_u64 *m = x->r->by_number[field];
    uint64_t v = number_of(x->f, field);
    if (m && v)
        look_at(x, map_u64_get(m, v));
}

static void look_at_text(struct finding *x, enum route_field field, struct str text)
{
    const struct map_str *m = x->r->by_text[field];
    if (m && text.n)
        look_at(x, map_str_get(m, text));
}

static void look_at_domain(struct finding *x, enum route_field field, struct str domain)
{
    look_at_text(x, field, domain);
    for (ptrdiff_t dot; x->r->below[field] && (dot = str_chr(domain, '.')) >= 0;) {
        domain = str_from_index(domain, (size_t)dot + 1);
        look_at(x, map_str_get(x->r->below[field], domain));
    }
}

const struct route *routes_find(const struct routes *r, const struct route_facts *f)
{
    struct str tags = f->tags, tag;
    if (!r || !r->n)
        return NULL;
    struct finding x = {r, f, (uint32_t)r->n};
    look_at_number(&x, ROUTE_CAMPAIGN);
    look_at_number(&x, ROUTE_LIST);
    look_at_number(&x, ROUTE_CREDENTIAL);
    look_at_text(&x, ROUTE_PROVIDER, f->provider);
    look_at_text(&x, ROUTE_COUNTRY, str_of(f->country));
    while (r->by_text[ROUTE_TAG] && str_split(&tags, '\n', &tag))
        look_at_text(&x, ROUTE_TAG, tag);
    look_at_domain(&x, ROUTE_FROM_DOMAIN, f->from_domain);
    look_at_domain(&x, ROUTE_RECIPIENT_DOMAIN, f->rcpt_domain);
    look_at(&x, &r->rest);
    return x.best < r->n ? r->list[x.best] : NULL;
}

const struct route *routes_find_slowly(const struct routes *r, const struct route_facts *f)
{
    for (size_t i = 0; r && i < r->n; i++)
        if (fits(r->list[i], f))
            return r->list[i];
    return NULL;
}

/* ---- what rules catch ---- */

static bool term_covers(const struct route_term *a, const struct route_term *b)
{
    if (a->field != b->field)
        return false;
    if (!route_field_is_text(a->field))
        return a->low <= b->low && a->high >= b->high;
    bool is_domain = a->field == ROUTE_FROM_DOMAIN || a->field == ROUTE_RECIPIENT_DOMAIN;
    struct str x = str_of(a->text), y = str_of(b->text);
    if (str_eq(x, y))
        return true;
    /* "*.a.com" covers "b.a.com" and "*.b.a.com" */
    return is_domain && str_starts(x, STR("*.")) && y.n > x.n - 1 &&
           str_ends(y, str_from_index(x, 1));
}

bool route_covers(const struct route *early, const struct route *late)
{
    uint32_t covered = 0, named = 0;
    for (size_t i = 0; i < early->n_terms; i++)
        named |= 1u << early->terms[i].field;
    for (size_t k = 0; k < late->n_terms; k++) {
        bool is_inside = false;
        uint32_t bit = 1u << late->terms[k].field;
        for (size_t i = 0; i < early->n_terms && !is_inside; i++)
            is_inside = term_covers(&early->terms[i], &late->terms[k]);
        if (!is_inside && (named & bit))
            return false;
        covered |= is_inside ? bit : 0;
    }
    return (named & ~covered) == 0;
}

static bool names_lane(const struct route *r, enum lane lane)
{
    for (size_t i = 0; i < r->n_terms; i++)
        if (r->terms[i].field == ROUTE_STREAM && r->terms[i].low == (uint64_t)lane)
            return true;
    return false;
}

size_t route_reaches(const struct routes *r, enum lane lane, uint32_t *groups_out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; r && i < r->n && n < max; i++) {
        bool known = !names_lane(r->list[i], lane);
        for (size_t k = 0; k < n && !known; k++)
            known = groups_out[k] == r->list[i]->group_num;
        if (!known)
            groups_out[n++] = r->list[i]->group_num;
    }
    return n;
}
