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

/* Blanks beyond ASCII, marks of direction, joiners: U+00A0 U+1680 U+2000-200F U+2028-202F
 * U+205F-206F U+3000 U+FEFF. */
static bool is_invisible(struct str s, size_t i)
{
    static const struct {
        const char *first, *last;
    } spans[] = {{"\xc2\xa0", "\xc2\xa0"},         {"\xe1\x9a\x80", "\xe1\x9a\x80"},
                 {"\xe2\x80\x80", "\xe2\x80\x8f"}, {"\xe2\x80\xa8", "\xe2\x80\xaf"},
                 {"\xe2\x81\x9f", "\xe2\x81\xaf"}, {"\xe3\x80\x80", "\xe3\x80\x80"},
                 {"\xef\xbb\xbf", "\xef\xbb\xbf"}};
    for (size_t k = 0; k < countof(spans); k++) {
        size_t n = strlen(spans[k].first);
        if (s.n - i >= n && memcmp(s.p + i, spans[k].first, n) >= 0 &&
            memcmp(s.p + i, spans[k].last, n) <= 0)
            return true;
    }
    return false;
}

bool names_check_new(const char *what, const char *name, struct err *e)
{
    struct str s = str_of(name);
    if (!names_check(what, name, e))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ')
            return err_set(e, ERR_INVALID,
                           "%s: \"%s\" has a blank; names are one word: use - or _ instead", what,
                           name);
        if (is_invisible(s, i))
            return err_set(e, ERR_INVALID,
                           "%s: the name has an invisible character at byte %zu; take it out", what,
                           i + 1);
    }
    return true;
}
