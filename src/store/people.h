/* Contacts: one per address, with fields, under dense ids (1, 2, 3 ...) that are never reused.
 * Addresses come in as keys of mail/addr.h: this room does not parse them. Import takes batches of
 * rows; export walks by id. One struct people, owned by the single writer, knows the next id.
 * Writers call within a transaction of theirs; nothing here is undone in memory by a rollback
 * (ids given out are then simply skipped). */
#ifndef STORE_PEOPLE_H
#define STORE_PEOPLE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "model/contact.h"
#include "store/db.h"

#define PEOPLE_FIELD_NAMES_MAX 250 /* different field names in one database */

struct people;

/* Reads the highest id and the known field names. The handle must outlive it. */
bool people_open(struct db *db, struct people **out, struct err *e) MUST_USE;
void people_close(struct people **p);

enum people_policy {
    PEOPLE_UPDATE = 0, /* new ones are added; fields of known ones are set; all become members */
    PEOPLE_NEW,        /* new ones are added; known ones are left alone and do not become members */
    PEOPLE_SKIP,       /* new ones are added; known ones keep their fields but become members */
};
bool people_policy_parse(const char *s, enum people_policy *out); /* "update" "new" "skip" */

enum people_verdict {
    PEOPLE_IMPORTED = 0,
    PEOPLE_UPDATED,
    PEOPLE_SKIPPED,
    PEOPLE_INVALID,    /* fields out of bounds; rows[i].why says so */
    PEOPLE_SUPPRESSED, /* taken over as the policy says, but it will get no mail */
    PEOPLE_VERDICT_COUNT
};

struct people_row {
    struct str key;     /* key of mail/addr.h; empty: the caller found it invalid, counted so */
    struct str address; /* as given, when it differs from the key; else STR_NONE */
    const struct field *fields;
    size_t n_fields;
    enum people_verdict verdict; /* out */
    uint64_t contact_id;         /* out; 0: none */
    const char *why;             /* out: constant text for PEOPLE_INVALID, else NULL */
};

struct people_counts { /* the five verdicts add up to rows */
    uint64_t rows;
    uint64_t of[PEOPLE_VERDICT_COUNT];
};

/* Imports rows in the caller's transaction: begin, any number of rows, end. Each row gets its
 * verdict at once; end makes the new ones members and adds to *counts. What a row's fields and
 * names point to must live until end. list_id 0: no list. Who has unsubscribed from the list stays
 * so. The same address again, in this batch or an earlier one, is a known contact. Rows sorted by
 * key (memcmp) touch far fewer pages than others. ERR_TOO_BIG: too many different field names. */
bool people_import_begin(struct people *p, uint64_t list_id, enum people_policy policy,
                         int64_t now_ms, struct err *e) MUST_USE;
bool people_import_row(struct people *p, struct people_row *row, struct err *e) MUST_USE;
bool people_import_end(struct people *p, struct people_counts *counts, struct err *e) MUST_USE;
/* All three for an array of rows. */
bool people_import_rows(struct people *p, uint64_t list_id, enum people_policy policy,
                        struct people_row *rows, size_t n, int64_t now_ms,
                        struct people_counts *counts, struct err *e) MUST_USE;

/* A contact as read. fields: the stored JSON (fields_read) or STR_NONE. */
struct person {
    uint64_t id;
    struct str key;
    struct str address; /* as given */
    struct str fields;
    int64_t created_at, updated_at;
    bool unsubscribed; /* of the list asked for */
};

/* *found_out false: none. Slices live in the arena. */
bool people_find(struct db *db, struct str key, struct arena *a, struct person *out,
                 bool *found_out, struct err *e) MUST_USE;
bool people_get(struct db *db, uint64_t id, struct arena *a, struct person *out, bool *found_out,
                struct err *e) MUST_USE;
/* Contacts with an id above `after` in ascending order, at most limit; list_id 0: all contacts,
 * else members of the list, unsubscribed ones only if `all`. The callback borrows p and returns
 * false to stop; it must not use the statements of this header on the same handle. */
bool people_each(struct db *db, uint64_t list_id, bool all, uint64_t after, size_t limit,
                 bool (*each)(void *arg, const struct person *p), void *arg,
                 struct err *e) MUST_USE;
/* The highest id there is: 0 when there is no contact. */
bool people_highest(struct db *db, uint64_t *out, struct err *e) MUST_USE;
/* Field names in the order they were first seen, in the arena. */
bool people_field_names(struct db *db, struct arena *a, struct str **out, size_t *n_out,
                        struct err *e) MUST_USE;
/* Takes the contact and its memberships away; suppression stays. ERR_NOT_FOUND. */
bool people_remove(struct people *p, struct str key, struct err *e) MUST_USE;

/* Export as CSV, guarded against formulas: begin gives the header line, each call of next adds up
 * to `limit` rows to out and moves *after; *done_out when there are no more. Columns: email, then
 * every known field name, then unsubscribed ("yes" or empty) when `all` is asked of a list. */
struct people_export {
    struct db *db;
    uint64_t list_id;
    bool all;
    uint64_t after;
    struct arena *names_arena;
    struct str *names;
    size_t n_names;
};
bool people_export_begin(struct people_export *x, struct db *db, uint64_t list_id, bool all,
                         struct buf *out, struct err *e) MUST_USE;
bool people_export_next(struct people_export *x, size_t limit, struct buf *out, bool *done_out,
                        struct err *e) MUST_USE;
void people_export_end(struct people_export *x);

#endif
