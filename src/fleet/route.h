/* Routing: the group of a message. Rules in order, the first that matches wins. Compiled once for
 * every configuration, then read-only: each rule lies in one index by its rarest field (recipient
 * domain, campaign, tag ...), so that a message looks at few of them. Rules without such a field
 * are tried in order. Called by the reactor (engine/routing), by the checks of engine/admin_routes
 * and by test/sim. */
#ifndef FLEET_ROUTE_H
#define FLEET_ROUTE_H

#include "base/base.h"
#include "model/message.h"
#include "model/route.h"

struct routes;

struct route_facts { /* what rules look at; strings are borrowed */
    enum lane lane;
    uint32_t campaign_num, credential_num; /* 0: none */
    uint64_t list_id;
    struct str tags;                     /* one a line; as written */
    struct str from_domain, rcpt_domain; /* lower case */
    struct str provider;                 /* of the recipient: "gmail", "other" */
    char country[3];                     /* "" : not known */
    uint32_t engagement;                 /* 0: not known; 1 best .. 7 */
    uint64_t size;                       /* bytes */
};

/* Takes the rules over (the array too), in their order. */
struct routes *routes_new(struct route **list, size_t n) MUST_USE;
void routes_free(struct routes **r);
size_t routes_count(const struct routes *r);

/* The first rule that matches, or NULL. Lives as long as the routes. */
const struct route *routes_find(const struct routes *r, const struct route_facts *f);
/* The same by trying every rule: for tests. */
const struct route *routes_find_slowly(const struct routes *r, const struct route_facts *f);
/* The rule of that number, or NULL. */
const struct route *routes_get(const struct routes *r, uint32_t num);

/* Could a message with these facts match for some recipient? Recipient, provider, country,
 * engagement and size are left open. *always_out: none of them is asked for, so that every one
 * matches. */
bool route_could_take(const struct route *r, const struct route_facts *f, bool *always_out);

/* True when every message that `late` matches is matched by `early` too. */
bool route_covers(const struct route *early, const struct route *late);

/* Groups of rules that name this lane: where its mail is expected before the first has come. Each
 * once, at most max; gives the number. */
size_t route_reaches(const struct routes *r, enum lane lane, uint32_t *groups_out, size_t max);

#endif
