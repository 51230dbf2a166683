/* Limits beside those of servers, brought to the fleet: set, lifted, opened by their calendars, and
 * loaded with what was used before. Reactor thread, but for the loading at a start. */
#ifndef ENGINE_LIMITING_H
#define ENGINE_LIMITING_H

#include "engine/state.h"
#include "store/limits.h"

/* Takes the rows: those that are new or changed are set, those that are gone are lifted. */
void limiting_apply(struct core *c, struct limit_row *rows, size_t n);
/* At a start: what was used of each, so that none is exceeded over it. */
bool limiting_load_use(struct core *c, struct db *db, struct err *e) MUST_USE;
void limiting_calendars(struct core *c);
struct limit_key limiting_key(const struct limit_row *l);

/* Use of the past: a span's start and what was taken in it; and who reads the spans of a quota. */
typedef void limiting_span(void *arg, int64_t start_ms, uint64_t taken);
typedef bool limiting_read(void *arg, struct db *db, int64_t span_s, int64_t since,
                           limiting_span *each, void *to, struct err *e);
/* Loads every window of a quota that is counted and not pace. */
bool limiting_load_past(struct quota *q, struct db *db, int64_t now_ms, limiting_read *read,
                        void *arg, struct err *e) MUST_USE;

#endif
