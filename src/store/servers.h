/* Servers as configured: table server. Numbers are never reused: a removed server keeps its row
 * for the sake of its results, under another name. Passwords go in and out sealed. Writers call
 * within a transaction of theirs. Names: see names.h. */
#ifndef STORE_SERVERS_H
#define STORE_SERVERS_H

#include "base/base.h"
#include "base/err.h"
#include "model/server.h"
#include "store/db.h"

struct secrets;

/* s->id and s->created_at are the caller's; s->num and s->updated_at are set here.
 * ERR_CONFLICT: the name is taken; ERR_INVALID: the name, the port or a limit is not possible;
 * ERR_REFUSED: all 65,535 numbers are used. */
bool servers_add(struct db *db, const struct secrets *key, struct server *s,
                 struct err *e) MUST_USE;
/* Writes all of s, read with the key, over the row of s->num (the name too). s->updated_at is the
 * caller's. */
bool servers_update(struct db *db, const struct secrets *key, const struct server *s,
                    struct err *e) MUST_USE;
/* The caller frees *out (server_free). key NULL: passwords are left out (NULL). Removed ones are
 * not found. */
bool servers_get(struct db *db, const struct secrets *key, const char *name, struct server **out,
                 struct err *e) MUST_USE;
bool servers_get_num(struct db *db, const struct secrets *key, uint16_t num, struct server **out,
                     struct err *e) MUST_USE;
/* In the order of names; the caller frees with servers_free_list. */
bool servers_list(struct db *db, const struct secrets *key, struct server ***out, size_t *n_out,
                  struct err *e) MUST_USE;
void servers_free_list(struct server **list, size_t n);
/* Leaves all groups; the row stays under "name~num", its password is wiped. */
bool servers_remove(struct db *db, const char *name, int64_t now_ms, struct err *e) MUST_USE;
/* The name for a number, removed ones included (without the suffix); "" when there never was one.
 */
bool servers_name(struct db *db, uint16_t num, char out[128], struct err *e) MUST_USE;

/* All that the engine routes by: servers and groups with members and fallbacks. Free the parts
 * with servers_free_list and groups_free_list. */
bool store_load_fleet(struct db *db, const struct secrets *key, struct server ***servers_out,
                      size_t *n_servers_out, struct group ***groups_out, size_t *n_groups_out,
                      struct err *e) MUST_USE;

#endif
