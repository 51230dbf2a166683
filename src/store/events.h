/* What happened to servers, campaigns and the house, with reason and time: append-only. */
#ifndef STORE_EVENTS_H
#define STORE_EVENTS_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

struct event {          /* strings are borrowed */
    uint64_t id;        /* the caller's; ascending */
    int64_t at;         /* wall ms */
    struct str kind;    /* "server.opened" */
    struct str subject; /* name of what it happened to */
    struct str reason;
    struct str data; /* JSON object, or STR_NONE */
};

bool events_append(struct db *db, const struct event *ev, struct err *e) MUST_USE;
/* Those with an id above `after`, oldest first, at most limit; the callback borrows ev and returns
 * false to stop. */
bool events_after(struct db *db, uint64_t after, size_t limit,
                  bool (*each)(void *arg, const struct event *ev), void *arg,
                  struct err *e) MUST_USE;
/* The latest ones, newest first; subject STR_NONE: of all. */
bool events_latest(struct db *db, struct str subject, size_t limit,
                   bool (*each)(void *arg, const struct event *ev), void *arg,
                   struct err *e) MUST_USE;
/* Removes at most limit events older than before_ms; *removed_out tells how many. */
bool events_trim(struct db *db, int64_t before_ms, size_t limit, size_t *removed_out,
                 struct err *e) MUST_USE;

#endif
