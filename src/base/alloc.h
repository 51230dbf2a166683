/* Memory from the heap. When there is none the process ends with exit status 71 after one log
 * line: the journal makes that as harmless as a kill, and the parent starts a new one.
 * Limits on what comes from outside are not enforced here but by buf, arena and the parsers. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include "base/base.h"

void *alloc_bytes(size_t n) MUST_USE;           /* zeroed; n may be 0 */
void *alloc_resize(void *p, size_t n) MUST_USE; /* new bytes are not zeroed */
char *alloc_copy(const char *cstr) MUST_USE;    /* NULL stays NULL */
#define alloc_one(type)     ((type *)alloc_bytes(sizeof(type)))
#define alloc_many(type, n) ((type *)alloc_array((n), sizeof(type)))
void *alloc_array(size_t n, size_t size) MUST_USE; /* zeroed, checks overflow */

#endif
