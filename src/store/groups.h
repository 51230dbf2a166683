/* Groups of servers: tables server_group, membership, group_fallback. A group named "default" is
 * always there. Fallbacks never form a circle. Writers call within a transaction of theirs. */
#ifndef STORE_GROUPS_H
#define STORE_GROUPS_H

#include "base/base.h"
#include "base/err.h"
#include "model/server.h"
#include "store/db.h"

#define GROUPS_DEFAULT       "default"
#define GROUPS_FALLBACKS_MAX 16
#define GROUPS_WEIGHT_MAX    1000000

/* Makes the default group (round-robin) under this id when there is none. */
bool groups_ensure_default(struct db *db, uint64_t id, int64_t now_ms, struct err *e) MUST_USE;
/* g->id is the caller's, g->num is set here. Fallbacks are written, members are not looked at.
 * ERR_CONFLICT: name taken; ERR_INVALID: a circle of fallbacks, or an unknown one. */
bool groups_add(struct db *db, struct group *g, int64_t now_ms, struct err *e) MUST_USE;
/* Name, strategy, at_limit, shares, sticky and fallbacks of g->num. The default keeps its name. */
bool groups_update(struct db *db, const struct group *g, struct err *e) MUST_USE;
/* With fallbacks and members; the caller frees *out (group_free). */
bool groups_get(struct db *db, const char *name, struct group **out, struct err *e) MUST_USE;
bool groups_get_num(struct db *db, uint32_t num, struct group **out, struct err *e) MUST_USE;
/* In the order of names. */
bool groups_list(struct db *db, struct group ***out, size_t *n_out, struct err *e) MUST_USE;
void groups_free_list(struct group **list, size_t n);
/* ERR_REFUSED for the default group; ERR_CONFLICT while a campaign that is not over uses it. Its
 * servers stay; it leaves the fallbacks of others. */
bool groups_remove(struct db *db, const char *name, int64_t now_ms, struct err *e) MUST_USE;

/* Makes or changes a membership. weight 1..GROUPS_WEIGHT_MAX, priority 1..1000. */
bool groups_join(struct db *db, uint32_t group_num, const struct membership *m,
                 struct err *e) MUST_USE;
bool groups_leave(struct db *db, uint32_t group_num, uint16_t server_num, struct err *e) MUST_USE;
/* Nums of the groups a server is in, ascending; at most max are stored, *n_out counts all. */
bool groups_of(struct db *db, uint16_t server_num, uint32_t *nums, size_t max, size_t *n_out,
               struct err *e) MUST_USE;

#endif
