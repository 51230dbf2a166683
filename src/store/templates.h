/* Templates as stored: name, subject and bodies. Compiling them is mail/template.h's. */
#ifndef STORE_TEMPLATES_H
#define STORE_TEMPLATES_H

#include "base/base.h"
#include "base/err.h"
#include "store/db.h"

#define TEMPLATES_BODY_MAX    (4u << 20) /* bytes of each body */
#define TEMPLATES_SUBJECT_MAX 998u

struct stored_template { /* strings are malloc'd; NULL: not given */
    uint64_t id;
    char *name, *subject;
    char *html, *text, *markdown;
    int64_t created_at, updated_at;
};

void templates_free(struct stored_template **t);
/* id and times are the caller's. ERR_CONFLICT: name taken; ERR_INVALID: bad name, no body, line
 * break in the subject; ERR_TOO_BIG. */
bool templates_add(struct db *db, const struct stored_template *t, struct err *e) MUST_USE;
/* Writes all of t over the row of t->id. */
bool templates_update(struct db *db, const struct stored_template *t, struct err *e) MUST_USE;
bool templates_get(struct db *db, const char *name, struct stored_template **out,
                   struct err *e) MUST_USE;
bool templates_get_id(struct db *db, uint64_t id, struct stored_template **out,
                      struct err *e) MUST_USE;
/* Calls back for each in the order of names, without bodies (html, text, markdown are NULL or "");
 * the callback borrows t and returns false to stop. */
bool templates_each(struct db *db, bool (*each)(void *arg, const struct stored_template *t),
                    void *arg, struct err *e) MUST_USE;
/* ERR_CONFLICT while a campaign that is not over uses it and has not copied it (not started). */
bool templates_remove(struct db *db, const char *name, struct err *e) MUST_USE;

#endif
