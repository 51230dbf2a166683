/* A message as found in its tables. It is a row of `message` (single ones) or a place in a lease of
 * a campaign; its state is a row of `queue` if there is one, else its last result, else it is
 * queued. For the reports of messages. */
#ifndef STORE_MESSAGE_VIEW_H
#define STORE_MESSAGE_VIEW_H

#include "base/base.h"
#include "base/err.h"
#include "model/message.h"
#include "model/route.h"
#include "store/db.h"

#include <jansson.h>

struct campaign_view { /* of the campaign looked at last */
    int64_t num, group_num, state;
    enum lane lane;
    char name[132], from[600], tags[TAGS_TEXT_MAX];
};

struct message_view { /* a message as found in its tables */
    uint64_t id;
    int64_t campaign_num, contact_id, group_num, server_num, due, tries;
    int64_t via_group, route_num; /* of its last attempt on record; 0: none */
    enum lane lane;
    const char *state;
    enum message_state base;
    bool in_queue, has_result;
};

/* Which message `id` is: of a campaign or single. *found false: there is none. */
bool message_view_find(struct db *db, uint64_t id, struct message_view *v, bool *found,
                       struct err *e) MUST_USE;
/* Fills the rest of *v from its id, campaign and contact. *c keeps the campaign looked at last;
 * zeroed before the first call. */
bool message_view_load(struct db *db, struct message_view *v, struct campaign_view *c,
                       struct err *e) MUST_USE;
/* Its recipient as given; null when nobody knows any more. The caller's. */
json_t *message_view_recipient(struct db *db, const struct message_view *v) MUST_USE;
/* The campaign of a message, kept in *c; the one that *c holds is not read again. */
bool message_view_campaign(struct db *db, int64_t num, struct campaign_view *c,
                           struct err *e) MUST_USE;
/* A group's or route's name; null for 0, "(removed)" for a route that is gone. */
json_t *message_view_group(struct db *db, int64_t num) MUST_USE;
json_t *message_view_route(struct db *db, int64_t num) MUST_USE;
/* A loaded message as it stands in lists. The caller's. */
json_t *message_view_json(struct db *db, const struct message_view *v,
                          const struct campaign_view *c);

#endif
