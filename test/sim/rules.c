/* What routes ought to do: a reading of the rules that shares no code with the engine's, and what
 * an edit makes of them. The words that people and rules of this world are made of stand here too.
 */
#include "world.h"

#include <stdlib.h>

#define BIG_IS_OVER 20000 /* bytes, as script_setup.c tells the engine */

const char *const sim_domains[DOMAINS] = {"gmail.com",   "outlook.com", "yahoo.com", "example.net",
                                          "example.com", "icloud.com",  "gmx.de",    "example.org"};
const char *const sim_providers[DOMAINS] = {"gmail", "outlook", "yahoo", "other",
                                            "other", "apple",   "gmx",   "other"};
const char *const sim_countries[4] = {"", "AT", "US", "JP"};
const char *const sim_tags[4] = {"", "news", "receipt", "alarm"};
const char *const sim_lanes[3] = {"transactional", "priority", "bulk"};
const char *const sim_key = "shop";

/* Lane and tag of a campaign's mail are the campaign's. */
static uint32_t lane_of(const struct person *p)
{
    return p->is_single ? p->lane : W->campaigns[p->campaign].is_priority ? 1 : 2;
}

static uint32_t tag_of(const struct person *p)
{
    return p->is_single ? p->tag : W->campaigns[p->campaign].tag;
}

static bool holds(enum cond kind, uint32_t value, uint32_t person)
{
    const struct person *p = &W->people[person];
    uint32_t domain = person % DOMAINS;
    switch (kind) {
    case COND_STREAM: return lane_of(p) == value;
    case COND_TAG: return tag_of(p) == value;
    case COND_PROVIDER: return !strcmp(sim_providers[domain], sim_providers[value]);
    case COND_DOMAIN: return domain == value;
    case COND_COUNTRY: return p->country == value;
    case COND_ENGAGEMENT: return value ? p->engagement && p->engagement <= value : !p->engagement;
    case COND_SIZE: return p->is_big;
    case COND_CAMPAIGN:
    case COND_LIST: return !p->is_single && p->campaign == value;
    case COND_CREDENTIAL: return p->has_key;
    case COND_COUNT: break;
    }
    abort();
}

uint32_t rules_group(const struct vrouting *r, uint32_t person)
{
    const struct person *p = &W->people[person];
    if (p->is_single && p->group != NO_GROUP)
        return p->group;
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t k = 0;
        while (k < r->rules[i].n_conds &&
               holds(r->rules[i].conds[k].kind, r->rules[i].conds[k].value, person))
            k++;
        if (k == r->rules[i].n_conds)
            return r->rules[i].group;
    }
    return p->is_single ? NO_GROUP : W->campaigns[p->campaign].group;
}

void rules_edit(struct vrouting *r, const struct edit *e)
{
    uint32_t at = 0;
    while (at < r->n && strcmp(r->rules[at].name, e->rule) != 0)
        at++;
    if (at == r->n)
        return;
    struct vrule rule = r->rules[at];
    if (e->kind == EDIT_GROUP) {
        r->rules[at].group = e->group;
        return;
    }
    memmove(&r->rules[at], &r->rules[at + 1], (r->n - at - 1) * sizeof rule);
    if (e->kind == EDIT_LAST)
        r->rules[r->n - 1] = rule;
    else
        r->n--;
}
