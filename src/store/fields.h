/* Fields of a contact as one flat JSON object of strings, written and read here only. Also arrays
 * of strings (headers of a server, scopes of a key). Bounded; no allocation but in the arena. */
#ifndef STORE_FIELDS_H
#define STORE_FIELDS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/contact.h"

/* A name as columns give it, made one of ours: lower case, runs of other characters become '_',
 * a letter in front, at most CONTACT_FIELD_NAME_MAX bytes. False when nothing is left of it. */
bool fields_name(struct str column, char out[CONTACT_FIELD_NAME_MAX + 1]);
/* NULL when fields_write takes them, else what is wrong, as a constant text. */
const char *fields_problem(const struct field *fields, size_t n);
/* Empty values are left out; nothing at all when none is left. A NUL in a value, a bad name, over
 * CONTACT_FIELDS_MAX fields or CONTACT_FIELD_VALUE_MAX bytes: false and *e. */
bool fields_write(const struct field *fields, size_t n, struct buf *out, struct err *e) MUST_USE;
/* Reads what fields_write wrote (blanks between tokens are fine). Slices live in the arena or in
 * json. ERR_CORRUPT when it is anything else. */
bool fields_read(struct str json, struct arena *a, struct field **out, size_t *n_out,
                 struct err *e) MUST_USE;
/* The fields of `old` with those of `more` over them: a given, non-empty value replaces. */
bool fields_merge(struct str old, const struct field *more, size_t n, struct arena *a,
                  struct buf *out, struct err *e) MUST_USE;

/* ["a","b"]; nothing for none. */
bool fields_write_strings(char *const *strings, size_t n, struct buf *out);
/* malloc'd array of malloc'd strings, NULL and 0 for STR_NONE. */
bool fields_read_strings(struct str json, size_t max, char ***out, size_t *n_out,
                         struct err *e) MUST_USE;

#endif
