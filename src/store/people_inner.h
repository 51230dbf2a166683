/* Inside of people*.c: what the single writer holds in memory, and the columns they share. */
#ifndef STORE_PEOPLE_INNER_H
#define STORE_PEOPLE_INNER_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/people.h"

#define PEOPLE_FIELDS_JSON_MAX (2u << 20) /* bytes of the JSON of one contact's fields */

struct people {
    struct db *db;
    uint64_t next_id;
    struct buf json;     /* fields of the row at hand */
    struct arena *arena; /* of the row at hand */
};

#endif
