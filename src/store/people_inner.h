/* Inside of people*.c: what the single writer holds in memory, and the columns they share. */
#ifndef STORE_PEOPLE_INNER_H
#define STORE_PEOPLE_INNER_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/people.h"

#define PEOPLE_FIELDS_JSON_MAX (2u << 20) /* bytes of the JSON of one contact's fields */

struct people_batch { /* from people_import_begin to people_import_end */
    uint64_t list_id;
    enum people_policy policy;
    int64_t now_ms;
    bool any_suppressed;                     /* there is a suppression at all */
    uint64_t first_new;                      /* contacts from here on were added by this batch */
    uint64_t joined;                         /* memberships made */
    struct str seen[PEOPLE_FIELD_NAMES_MAX]; /* names of fields met */
    size_t n_seen;
    struct stmt *add, *join;
    struct people_counts counts;
};

struct people {
    struct db *db;
    uint64_t next_id;
    struct buf json;     /* fields of the row at hand */
    struct arena *arena; /* of the row at hand */
    struct people_batch batch;
};

#endif
