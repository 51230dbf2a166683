/* Small facts of the house by name: epoch, node, clock anchor, pause, public_url ... */
#ifndef STORE_SETTINGS_H
#define STORE_SETTINGS_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/db.h"

#define SETTINGS_VALUE_MAX 65536 /* bytes of a value */

/* *found_out false: not set, out is left empty. out is cleared first. */
bool settings_get(struct db *db, const char *key, struct buf *out, bool *found_out,
                  struct err *e) MUST_USE;
/* A malformed number is ERR_CORRUPT; *out is `fallback` when not set. */
bool settings_get_i64(struct db *db, const char *key, int64_t fallback, int64_t *out,
                      struct err *e) MUST_USE;
bool settings_set(struct db *db, const char *key, struct str value, struct err *e) MUST_USE;
bool settings_set_i64(struct db *db, const char *key, int64_t value, struct err *e) MUST_USE;
bool settings_remove(struct db *db, const char *key, struct err *e) MUST_USE; /* absent is fine */

#endif
