/* The form of names: see names.h. */
#include "store/names.h"

#include "base/str.h"

static bool char_allowed(unsigned char c)
{
    return c >= 0x20 && c != 0x7f && c != '/' && c != '~' && c != '"';
}

bool names_check(const char *what, const char *name, struct err *e)
{
    struct str s = str_of(name);
    if (!s.n)
        return err_set(e, ERR_INVALID, "a %s needs a name", what);
    if (s.n > NAMES_MAX)
        return err_set(e, ERR_INVALID, "the name of a %s has at most %d bytes", what, NAMES_MAX);
    if (!str_is_utf8(s) || s.p[0] == '-' || str_trim(s).n != s.n)
        return err_set(e, ERR_INVALID,
                       "the name of a %s is UTF-8, begins with no '-' and has no blank at its ends",
                       what);
    for (size_t i = 0; i < s.n; i++)
        if (!char_allowed((unsigned char)s.p[i]))
            return err_set(e, ERR_INVALID,
                           "the name of a %s has no control character, '/', '~' or quote", what);
    return true;
}
