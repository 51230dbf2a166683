/* Geographic groups: how near is a server's region to a contact's country? A table of regions, each
 * with its countries and the others in the order of nearness (rules/regions.yaml, read by
 * engine/regions.c). Pure; read-only once filled. */
#ifndef FLEET_REGION_H
#define FLEET_REGION_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

#define REGIONS_MAX         64
#define REGION_RANK_UNKNOWN 1000 /* a server without a region, or with one nobody knows */

struct regions;

struct regions *regions_new(void) MUST_USE;
void regions_free(struct regions **r);
/* Words stand in blanks; `near` may name regions that come later. */
bool regions_add(struct regions *r, struct str id, struct str aliases, struct str countries,
                 struct str near, struct err *e) MUST_USE;
/* To be called when all are added: fills the ranks; `near` must name every other region once. */
bool regions_check(struct regions *r, struct err *e) MUST_USE;

/* Two letters of any case; true: the table knows it. */
bool regions_has_country(const struct regions *r, struct str country);
/* 1.. of the region that a server's word means ("eu-west-1" is "eu-west"); 0: unknown. */
uint32_t region_of_word(const struct regions *r, struct str word);
const char *region_name(const struct regions *r, uint32_t region); /* "" for 0 */

/* 0: at home, 1 the nearest other, 2 ...; REGION_RANK_UNKNOWN when the region is 0. A country that
 * is not known ("" too) gives 0 for every region: no preference. */
uint32_t region_rank(const struct regions *r, const char *country, uint32_t region);

#endif
