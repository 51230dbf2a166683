/* A route: a rule that sends a message to a group. Plain data, as the user wrote it; fleet/route.c
 * decides by it. All fields that a rule names must hold; of one field any of its terms may. */
#ifndef MODEL_ROUTE_H
#define MODEL_ROUTE_H

#include "base/base.h"
#include "base/str.h"

#define ROUTES_MAX      10000
#define ROUTE_TERMS_MAX 1000
#define TAG_MAX         64 /* bytes of a tag */
#define TAGS_MAX        16 /* of a message */
#define TAGS_TEXT_MAX   (TAGS_MAX * (TAG_MAX + 1))

enum route_field {
    ROUTE_STREAM = 0, /* low: enum lane */
    ROUTE_CAMPAIGN,   /* low: num */
    ROUTE_LIST,       /* low: id */
    ROUTE_TAG,        /* text */
    ROUTE_FROM_DOMAIN,
    ROUTE_RECIPIENT_DOMAIN, /* text, lower case; "*.d": every domain below d */
    ROUTE_PROVIDER,         /* text: name of a mailbox provider, or "other" */
    ROUTE_COUNTRY,          /* text: two upper-case letters */
    ROUTE_ENGAGEMENT,       /* low..high of 0 (not known) to 7 */
    ROUTE_SIZE,             /* low..high in bytes */
    ROUTE_CREDENTIAL,       /* low: num */
    ROUTE_FIELDS
};

struct route_term {
    enum route_field field;
    uint64_t low, high; /* numbers: both ends belong to it */
    char *text;         /* NULL where a number says it all; size and engagement: as written */
};

struct route {
    uint64_t id;
    uint32_t num, group_num;
    char *name;
    struct route_term *terms;
    size_t n_terms;
};

struct route *route_new(void) MUST_USE;
void route_free(struct route **r);
/* Takes text over. */
void route_add_term(struct route *r, enum route_field field, uint64_t low, uint64_t high,
                    char *text);
void route_drop_field(struct route *r, enum route_field field);

/* "stream" "campaign" ... as in the API; the option is the same with '-' for '_'. */
const char *route_field_name(enum route_field f);
bool route_field_is_text(enum route_field f); /* compared by text */

#endif
