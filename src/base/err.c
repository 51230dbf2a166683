/* Filling and naming failed operations. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    int exit_status, http_status;
} codes[] = {
    [ERR_NONE] = {"none", 0, 200},
    [ERR_FAILED] = {"failed", 1, 500},
    [ERR_INVALID] = {"invalid", 2, 400},
    [ERR_NOT_FOUND] = {"not_found", 3, 404},
    [ERR_CONFLICT] = {"conflict", 1, 409},
    [ERR_REFUSED] = {"refused", 5, 422},
    [ERR_UNREACHABLE] = {"unreachable", 6, 502},
    [ERR_NOT_ALLOWED] = {"not_allowed", 7, 403},
    [ERR_LATER] = {"later", 75, 503},
    [ERR_FULL] = {"full", 75, 507},
    [ERR_CORRUPT] = {"corrupt", 1, 500},
    [ERR_TOO_BIG] = {"too_big", 2, 413},
};

bool err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (!e)
        return false;
    e->code = code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    return false;
}

bool err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e)
        return false;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->text)
        snprintf(e->text + n, sizeof e->text - (size_t)n, ": %s", old);
    return false;
}

const char *err_code_name(enum err_code code)
{
    return (size_t)code < countof(codes) ? codes[code].name : "failed";
}

int err_exit_status(enum err_code code)
{
    return (size_t)code < countof(codes) ? codes[code].exit_status : 1;
}

int err_http_status(enum err_code code)
{
    return (size_t)code < countof(codes) ? codes[code].http_status : 500;
}
