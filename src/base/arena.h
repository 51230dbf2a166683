/* Bump memory for one piece of work, freed as a whole. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"
#include "base/str.h"

struct arena;

/* max: bytes handed out in all; over it arena_alloc gives NULL (bad input, not a bug). */
struct arena *arena_new(size_t max) MUST_USE;
void arena_free(struct arena **a);                     /* frees and sets NULL; NULL is fine */
void arena_reset(struct arena *a);                     /* keeps the first block */
void *arena_alloc(struct arena *a, size_t n) MUST_USE; /* zeroed, 16-byte aligned */
/* Copies; p is NUL-terminated there. STR_NONE (p NULL) over the maximum. */
struct str arena_str(struct arena *a, struct str s) MUST_USE;
char *arena_cstr(struct arena *a, struct str s) MUST_USE;
size_t arena_used(const struct arena *a);

#endif
