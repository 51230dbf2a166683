/* Tables route and route_term: rules that send messages to groups, in their order. All functions
 * run inside a transaction of the caller. They check names and numbers of rules, not what their
 * conditions mean: engine/admin_routes does. */
#ifndef STORE_ROUTES_H
#define STORE_ROUTES_H

#include "base/base.h"
#include "base/err.h"
#include "model/route.h"
#include "store/db.h"

/* Sets num. before: name of the rule that shall come behind it; NULL: it becomes the last.
 * ERR_CONFLICT: the name is taken; ERR_NOT_FOUND: no such `before`. */
bool route_rows_add(struct db *db, struct route *r, const char *before, int64_t now_ms,
                    struct err *e) MUST_USE;
/* Name, group and terms; its place stays. */
bool route_rows_update(struct db *db, const struct route *r, int64_t now_ms,
                       struct err *e) MUST_USE;
bool route_rows_move(struct db *db, uint32_t num, const char *before, struct err *e) MUST_USE;
bool route_rows_remove(struct db *db, const char *name, struct err *e) MUST_USE;
bool route_rows_get(struct db *db, const char *name, struct route **out, struct err *e) MUST_USE;
/* All, in order; the caller frees rules and array. */
bool route_rows_list(struct db *db, struct route ***out, size_t *n_out, struct err *e) MUST_USE;
void route_rows_free(struct route **list, size_t n);

/* The numbers and names that conditions stand for: of campaigns, lists and credentials (API keys).
 * *value_out 0: there is none of that name. */
bool route_rows_value(struct db *db, enum route_field field, const char *name, uint64_t *value_out,
                      struct err *e) MUST_USE;
/* Every name of that kind, to suggest one; ROUTE_FIELDS: groups. */
bool route_rows_names(struct db *db, enum route_field field,
                      void (*each)(void *arg, const char *name), void *arg, struct err *e) MUST_USE;

/* The groups that lists bring along, for campaigns that name none. */
bool route_rows_of_lists(struct db *db,
                         void (*each)(void *arg, uint64_t list_id, uint32_t group_num), void *arg,
                         struct err *e) MUST_USE;

#endif
