/* Looking that reads many rows: on a thread of its own with a read-only handle, one at a time,
 * beside the ledger and never on the reactor. Changes nothing. */
#ifndef ENGINE_LOOK_H
#define ENGINE_LOOK_H

#include "base/base.h"
#include "base/err.h"

#include "feedback/shape.h"
#include "store/trouble.h"

#include <jansson.h>

struct core;
struct db;
struct link_request;
struct server_ref;

struct look {
    struct core *core; /* reactor's: not to be touched by `work` */
    struct db *db;
    json_t *args;              /* of the request */
    int64_t now;               /* wall ms */
    struct server_ref *server; /* of args.name where the work needs its settings; else NULL */
};

typedef bool look_work(const struct look *l, json_t **data_out, struct err *e);

/* Answers the request when the work is done. Refused with ERR_LATER when too many wait. server: a
 * reference that is given away; NULL: none. */
void look_start(struct core *c, struct link_request *r, look_work *work, struct server_ref *server);

/* The kinds of looking. */
look_work look_patterns; /* {"since","server","limit"}: replies by shape */
look_work look_audit;    /* {}: is the audit log whole? */
look_work look_evidence; /* {"name","since"}: a bundle about one server */

/* Takes the server's settings, for what must not be shown, and starts look_evidence. */
void evidence_start(struct core *c, struct link_request *r);

/* An attempt as shapes_add (feedback/shape.h) wants it; borrows its texts. */
struct sighting look_sighting(const struct trouble_row *r);
/* "2h" ago, RFC 3339, or the fallback when it is missing. False: neither. */
bool look_since(json_t *args, const char *field, int64_t now, int64_t fallback_ms, int64_t *out,
                struct err *e) MUST_USE;

#endif
