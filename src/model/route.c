/* New and free of routes, and the words of their fields. */
#include "model/route.h"
#include "base/alloc.h"

#include <stdlib.h>

static const char *const names[ROUTE_FIELDS] = {
    "stream",   "campaign", "list",       "tag",  "from_domain", "recipient_domain",
    "provider", "country",  "engagement", "size", "credential"};

const char *route_field_name(enum route_field f)
{
    return f < ROUTE_FIELDS ? names[f] : "?";
}

bool route_field_is_text(enum route_field f)
{
    return f == ROUTE_TAG || f == ROUTE_FROM_DOMAIN || f == ROUTE_RECIPIENT_DOMAIN ||
           f == ROUTE_PROVIDER || f == ROUTE_COUNTRY;
}

struct route *route_new(void)
{
    return alloc_one(struct route);
}

void route_free(struct route **rp)
{
    struct route *r = *rp;
    *rp = NULL;
    if (!r)
        return;
    for (size_t i = 0; i < r->n_terms; i++)
        free(r->terms[i].text);
    free(r->terms);
    free(r->name);
    free(r);
}

void route_add_term(struct route *r, enum route_field field, uint64_t low, uint64_t high,
                    char *text)
{
    if ((r->n_terms & (r->n_terms - 1)) == 0)
        r->terms = alloc_resize(r->terms, MAX(r->n_terms * 2, (size_t)1) * sizeof *r->terms);
    r->terms[r->n_terms++] = (struct route_term){field, low, high, text};
}

void route_drop_field(struct route *r, enum route_field field)
{
    size_t kept = 0;
    struct route all = *r;
    r->terms = NULL;
    r->n_terms = 0;
    for (size_t i = 0; i < all.n_terms; i++)
        if (all.terms[i].field == field)
            free(all.terms[i].text);
        else
            all.terms[kept++] = all.terms[i];
    for (size_t i = 0; i < kept; i++)
        route_add_term(r, all.terms[i].field, all.terms[i].low, all.terms[i].high,
                       all.terms[i].text);
    free(all.terms);
}
