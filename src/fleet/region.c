/* The table of regions, see region.h. */
#include "fleet/region.h"
#include "base/alloc.h"
#include "base/map.h"

#include <stdlib.h>

#define WORD_MAX 64

struct region {
    char *id, *near;
    uint8_t rank[REGIONS_MAX + 1]; /* of the others, by number; filled by regions_check */
};

struct regions {
    struct region at[REGIONS_MAX]; /* number - 1 */
    uint32_t n;
    struct map_str *words; /* id or alias -> number */
    uint8_t home[26 * 26]; /* by country; 0: none */
};

struct regions *regions_new(void)
{
    struct regions *r = alloc_one(struct regions);
    r->words = map_str_new();
    return r;
}

void regions_free(struct regions **rp)
{
    struct regions *r = *rp;
    *rp = NULL;
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n; i++) {
        free(r->at[i].id);
        free(r->at[i].near);
    }
    map_str_free(&r->words);
    free(r);
}

/* -1: no two letters. */
static int index_of(struct str country)
{
    if (country.n != 2 || !ascii_isalpha(country.p[0]) || !ascii_isalpha(country.p[1]))
        return -1;
    return (ascii_lower(country.p[0]) - 'a') * 26 + ascii_lower(country.p[1]) - 'a';
}

static bool add_word(struct regions *r, struct str word, struct err *e)
{
    if (map_str_get(r->words, word))
        return err_set(e, ERR_INVALID, "region `" STR_F "` is named twice", STR_A(word));
    map_str_set(r->words, word, (void *)(uintptr_t)r->n);
    return true;
}

static bool add_country(struct regions *r, struct str country, struct err *e)
{
    int i = index_of(country);
    if (i < 0 || r->home[i])
        return err_set(e, ERR_INVALID, "country `" STR_F "` is %s", STR_A(country),
                       i < 0 ? "no two letters" : "in two regions");
    r->home[i] = (uint8_t)r->n;
    return true;
}

bool regions_add(struct regions *r, struct str id, struct str aliases, struct str countries,
                 struct str near, struct err *e)
{
    struct str word;
    if (r->n == REGIONS_MAX || !id.n)
        return err_set(e, ERR_INVALID, "a region needs an id, and there may be %d", REGIONS_MAX);
    r->at[r->n++] = (struct region){.id = str_dup(id), .near = str_dup(near)};
    bool ok = add_word(r, id, e);
    while (ok && str_split(&aliases, ' ', &word))
        ok = !word.n || add_word(r, word, e);
    while (ok && str_split(&countries, ' ', &word))
        ok = !word.n || add_country(r, word, e);
    return ok;
}

static bool rank_others(struct regions *r, struct region *x, struct err *e)
{
    struct str rest = str_of(x->near), word;
    uint8_t rank = 0;
    while (str_split(&rest, ' ', &word)) {
        uintptr_t other = (uintptr_t)map_str_get(r->words, word);
        if (!word.n)
            continue;
        if (!other || !str_is(word, r->at[other - 1].id) || x->rank[other])
            return err_set(e, ERR_INVALID, "region `%s`: near `" STR_F "` is no region, or twice",
                           x->id, STR_A(word));
        x->rank[other] = ++rank;
    }
    return rank == r->n - 1 ||
           err_set(e, ERR_INVALID, "region `%s`: near must name all others", x->id);
}

bool regions_check(struct regions *r, struct err *e)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (!rank_others(r, &r->at[i], e))
            return false;
    return true;
}

bool regions_has_country(const struct regions *r, struct str country)
{
    int i = index_of(country);
    return i >= 0 && r->home[i];
}

static bool ends_in_number(struct str word)
{
    return word.n && ascii_isdigit(word.p[word.n - 1]);
}

uint32_t region_of_word(const struct regions *r, struct str word)
{
    char folded[WORD_MAX + 1];
    if (!word.n || !str_copy(word, folded, sizeof folded))
        return 0;
    for (char *p = folded; *p; p++)
        *p = *p == '_' || *p == ' ' ? '-' : ascii_lower(*p);
    struct str w = str_of(folded);
    uintptr_t found = (uintptr_t)map_str_get(r->words, w);
    if (found || !ends_in_number(w))
        return (uint32_t)found;
    while (ends_in_number(w))
        w.n--;
    while (w.n && w.p[w.n - 1] == '-')
        w.n--;
    return (uint32_t)(uintptr_t)map_str_get(r->words, w);
}

const char *region_name(const struct regions *r, uint32_t region)
{
    return region >= 1 && region <= r->n ? r->at[region - 1].id : "";
}

uint32_t region_rank(const struct regions *r, const char *country, uint32_t region)
{
    int i = index_of(str_of(country));
    uint32_t home = i < 0 ? 0 : r->home[i];
    if (!home)
        return 0;
    if (!region || region > r->n)
        return REGION_RANK_UNKNOWN;
    return region == home ? 0 : r->at[home - 1].rank[region];
}
