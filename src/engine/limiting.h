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

/* How use of the past is read for one window: the length of a span, from when on, whether it is
 * counted at all, and how a span counts: as young as it can be, so that no limit is exceeded. */
int64_t limiting_span_s(enum quota_window w);
int64_t limiting_since(const struct quota *q, enum quota_window w, int64_t now_ms);
bool limiting_counts(const struct quota *q, enum quota_window w);
void limiting_load_span(struct quota *q, enum quota_window w, int64_t now_ms, int64_t start_ms,
                        uint64_t taken);

#endif
