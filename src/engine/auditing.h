/* What of an operation goes into the audit log. */
#ifndef ENGINE_AUDITING_H
#define ENGINE_AUDITING_H

#include "engine/admin.h"

#define AUDIT_DETAIL_MAX 2000 /* bytes */

/* Writes that c->actor asked for op with these arguments, in the transaction of c. */
bool auditing_note(struct admin_context *c, const char *op, json_t *args, struct err *e) MUST_USE;

#endif
