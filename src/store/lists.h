/* Lists and their members. Contacts are one per address, lists are memberships; unsubscribing is
 * per list. Counts are kept in the row of the list. Writers call within a transaction of theirs. */
#ifndef STORE_LISTS_H
#define STORE_LISTS_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

struct contact_list {
    uint64_t id;
    char name[68];
    int64_t created_at;
    uint64_t members; /* all, unsubscribed ones included */
    uint64_t unsubscribed;
    uint32_t group_num; /* of its campaigns when they name none; 0: none */
};

/* id and created_at are the caller's. ERR_CONFLICT: name taken. */
bool lists_add(struct db *db, const struct contact_list *l, struct err *e) MUST_USE;
/* Group of its campaigns. */
bool lists_set_group(struct db *db, uint64_t id, uint32_t group_num, struct err *e) MUST_USE;
bool lists_get(struct db *db, const char *name, struct contact_list *out, struct err *e) MUST_USE;
bool lists_get_id(struct db *db, uint64_t id, struct contact_list *out, struct err *e) MUST_USE;
/* In the order of names; the callback returns false to stop. */
bool lists_each(struct db *db, bool (*each)(void *arg, const struct contact_list *l), void *arg,
                struct err *e) MUST_USE;
/* ERR_CONFLICT while a campaign that is not over uses it. Takes at most max memberships away and
 * sets *done_out when the list itself is gone: call again, in a transaction of its own, until
 * then. Contacts stay. */
bool lists_remove(struct db *db, const char *name, size_t max, bool *done_out,
                  struct err *e) MUST_USE;

/* Subscribes; who has unsubscribed before stays so unless `again` (his own wish). */
bool lists_subscribe(struct db *db, uint64_t list_id, uint64_t contact_id, bool again,
                     int64_t now_ms, struct err *e) MUST_USE;
/* *changed_out false: was no member or had unsubscribed already. */
bool lists_unsubscribe(struct db *db, uint64_t list_id, uint64_t contact_id, int64_t now_ms,
                       bool *changed_out, struct err *e) MUST_USE;
/* "" when it is gone. out: NAMES_MAX + 1 bytes. */
bool lists_name(struct db *db, uint64_t list_id, char *out, struct err *e) MUST_USE;
bool lists_has(struct db *db, uint64_t list_id, uint64_t contact_id, bool *member_out,
               bool *unsubscribed_out, struct err *e) MUST_USE;

#endif
