/* To which group does a message go? The one decision that sending and `route explain` share: the
 * message's own group, else the first rule that matches, else the group of its campaign, else of
 * its list, else default. Reactor thread only. */
#ifndef ENGINE_ROUTING_H
#define ENGINE_ROUTING_H

#include "base/map.h"
#include "fleet/route.h"
#include "store/db.h"

#include <jansson.h>

struct core;
struct job;

struct routing { /* as the database has it; replaced as a whole */
    struct routes *routes;
    struct map_u64 *list_groups; /* list id -> group num */
};

/* On the ledger thread. */
bool routing_load(struct db *db, struct routing **out, struct err *e) MUST_USE;
void routing_free(struct routing **r);
/* Takes it over; ready messages follow at once. */
void routing_apply(struct core *c, struct routing *r);

enum route_reason {
    ROUTE_BY_MESSAGE,
    ROUTE_BY_RULE,
    ROUTE_BY_CAMPAIGN,
    ROUTE_BY_LIST,
    ROUTE_BY_DEFAULT
};

struct route_choice {
    uint32_t group_num;
    enum route_reason reason;
    const struct route *rule; /* ROUTE_BY_RULE; lives until the routes change */
};

struct route_groups { /* what a message brings along; 0: none */
    uint32_t own, of_campaign;
};

void routing_choose(const struct core *c, const struct route_facts *f, const struct route_groups *g,
                    struct route_choice *out);
/* "the message names it", "its campaign's" ... */
const char *routing_reason(enum route_reason r);

/* Country and engagement of the contact, once a job. */
void routing_read(struct job *j);
/* Sets the job's group; true: it is another one than before. */
bool routing_job(struct core *c, struct job *j);
/* Ready messages whose group, or whose mailbox provider, is not what it was: to their new class. */
void routing_refresh(struct core *c);

/* A field of a JSON object of texts, as it is stored with a contact; STR_NONE: not there. Numbers
 * are given as their text. No escapes are undone. */
struct str routing_field(struct str fields, const char *name);

/* Lower case domain of a mailbox or an address, in out. */
struct str routing_domain(struct str mailbox, char *out, size_t size);
/* Two letters, upper case; else "". */
void routing_country(struct str given, char out[3]);

/* {"rule","group","server","why","limited_by","provider","rejected":[{"server","group","bound",
 * "why"}]} for the message of args: what report_route_facts gives, and "to". */
bool routing_explain(struct core *c, const json_t *args, json_t **out, struct err *e) MUST_USE;

#endif
