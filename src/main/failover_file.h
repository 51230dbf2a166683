/* A failure matrix in a YAML file, as `failover set --file` takes it. */
#ifndef MAIN_FAILOVER_FILE_H
#define MAIN_FAILOVER_FILE_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"

#define FAILOVER_FILE_MAX (1u << 20)

/* The body of PUT /v1/groups/NAME/failover; rules are checked here, so that an error tells its
 * line. *out is the caller's. */
bool failover_file_read(struct str text, const char *file, json_t **out, struct err *e) MUST_USE;

#endif
