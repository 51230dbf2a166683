/* A failed operation: the function returns false (or NULL) and fills a struct err.
 * The text is for the user: what happened, to what, and what to do next. One line, no newline,
 * no secret. An unwelcome answer of the trade (550, quota full) is no err but a value. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

enum err_code {
    ERR_NONE = 0,
    ERR_FAILED,      /* exit 1, HTTP 500: did not work */
    ERR_INVALID,     /* exit 2, HTTP 400: what was asked for is malformed */
    ERR_NOT_FOUND,   /* exit 3, HTTP 404 */
    ERR_CONFLICT,    /* exit 1, HTTP 409: exists already, or the state does not allow it */
    ERR_REFUSED,     /* exit 5, HTTP 422: policy or quota says no */
    ERR_UNREACHABLE, /* exit 6: daemon or peer not reached */
    ERR_NOT_ALLOWED, /* exit 7, HTTP 401/403 */
    ERR_LATER,       /* exit 75, HTTP 503: try again later */
    ERR_FULL,        /* exit 75, HTTP 507: no space left on the disk */
    ERR_CORRUPT,     /* exit 1, HTTP 500: stored data does not add up */
    ERR_TOO_BIG,     /* exit 2, HTTP 413: over a stated limit */
};

struct err {
    enum err_code code;
    char text[600];
};

/* Fills *e (which may be NULL) and returns false, so that `return err_set(...)` reads well. */
bool err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "context: " before the text of *e; returns false. */
bool err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The stable word of the API for a code: "invalid", "not_found" ... */
const char *err_code_name(enum err_code code);
int err_exit_status(enum err_code code);
int err_http_status(enum err_code code);

#endif
