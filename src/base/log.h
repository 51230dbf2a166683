/* One line an event with a stable name: text on a terminal, JSON otherwise, on standard error.
 * No bodies, no secrets. Thread-safe. Values: use the LOG_ helpers; the list ends with NULL. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERROR };

void log_setup(const char *process, enum log_level least, int fd);
bool log_level_parse(const char *name, enum log_level *out);
/* event: stable dotted name ("server.opened"); fmt: "key=%s other=%d" style text. Values with
 * blanks are the caller's to quote with %s of log_quote. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
