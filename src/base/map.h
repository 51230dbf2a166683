/* Open-addressing hash maps: from u64 and from byte strings (copied) to a pointer or number. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/base.h"
#include "base/str.h"

struct map_u64;
struct map_str;

struct map_u64 *map_u64_new(void) MUST_USE;
void map_u64_free(struct map_u64 **m);
void map_u64_set(struct map_u64 *m, uint64_t key, void *value); /* value not NULL */
void *map_u64_get(const struct map_u64 *m, uint64_t key);       /* NULL when absent */
void *map_u64_remove(struct map_u64 *m, uint64_t key);          /* the old value or NULL */
size_t map_u64_count(const struct map_u64 *m);
/* Walk: start with *pos = 0; false at the end. No change while walking but removal of the current.
 */
bool map_u64_next(const struct map_u64 *m, size_t *pos, uint64_t *key_out, void **value_out);

struct map_str *map_str_new(void) MUST_USE;
void map_str_free(struct map_str **m);
void map_str_set(struct map_str *m, struct str key, void *value);
void *map_str_get(const struct map_str *m, struct str key);
void *map_str_remove(struct map_str *m, struct str key);
size_t map_str_count(const struct map_str *m);
bool map_str_next(const struct map_str *m, size_t *pos, struct str *key_out, void **value_out);

/* 64-bit hash of bytes (not for secrets). */
uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);
uint64_t hash_u64(uint64_t x);

#endif
