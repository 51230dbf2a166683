/* Which addresses may be suppressed: a Bloom filter over table suppression, so that nobody asks the
 * database about an address that is in no doubt. "No" is certain, "maybe" is for the table to
 * answer. What the process writes into the table is noted before its transaction ends; what is
 * taken out stays noted until the next start, and costs a question.
 * Holds for one process that alone writes the table: notes are made by its ledger thread, questions
 * may come from any. */
#ifndef STORE_SUPPRESSION_FILTER_H
#define STORE_SUPPRESSION_FILTER_H

#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

struct suppression_filter;

/* expected: rows of the table; room for twice as many. NULL: too many to keep in memory. */
struct suppression_filter *suppression_filter_new(uint64_t expected) MUST_USE;
void suppression_filter_free(struct suppression_filter **f); /* not while it is followed */
/* From here on what is written is noted there; NULL: nowhere. Before the first load. */
void suppression_filter_follow(struct suppression_filter *f);
/* Reads the next `limit` rows; *done_out: all are in, and it may be believed. */
bool suppression_filter_load(struct suppression_filter *f, struct db *db, size_t limit,
                             bool *done_out, struct err *e) MUST_USE;
/* False: that key is not suppressed. NULL, or one that is not loaded: true. */
bool suppression_filter_may(const struct suppression_filter *f, struct str key);
/* By whoever writes a row, inside the transaction. */
void suppression_note(struct str key);

#endif
