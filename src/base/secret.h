/* Bytes that must not be logged, printed or swapped: an opaque type with locked memory. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

struct secret;

struct secret *secret_new(const void *p, size_t n) MUST_USE;  /* copies */
struct secret *secret_clone(const struct secret *s) MUST_USE; /* NULL stays NULL */
void secret_free(struct secret **s);                          /* wipes; NULL is fine */
/* The bytes, borrowed, for the one place that must have them. */
struct str secret_reveal(const struct secret *s);
bool secret_equal(const struct secret *a, const struct secret *b); /* constant time */
void secret_wipe(void *p, size_t n);

#endif
