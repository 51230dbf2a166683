/* What a name of ours may look like: server, group, list, template, campaign, key. */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

#include "base/base.h"
#include "base/err.h"

#define NAMES_MAX 64 /* bytes */

/* 1 to NAMES_MAX bytes of UTF-8 without control characters, '/', '~' or '"', no blank at either
 * end, no '-' in front. what: "server", for the text of the error (ERR_INVALID). */
bool names_check(const char *what, const char *name, struct err *e) MUST_USE;

/* The same for a new name, which must not have a blank or an invisible character inside either:
 * names stand in lists, options and paths. What is there already under such a name stays good. */
bool names_check_new(const char *what, const char *name, struct err *e) MUST_USE;

#endif
