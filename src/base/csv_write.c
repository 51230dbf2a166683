/* Writing CSV, and the guard against cells that a spreadsheet would run: see csv.h. */
#include "base/csv.h"

/* Full-width forms of = + - @ count too: some spreadsheets fold them. */
static bool begins_formula(struct str v)
{
    static const char *const wide[] = {"\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d",
                                       "\xef\xbc\xa0"};
    if (!v.n)
        return false;
    if (v.p[0] && strchr("=+-@\t\r\n", v.p[0]))
        return true;
    for (size_t i = 0; i < countof(wide); i++)
        if (str_starts(v, str_of(wide[i])))
            return true;
    return false;
}

/* Looks behind apostrophes and blanks, so that putting one more in front changes nothing of the
 * answer: what guard adds, unguard finds. */
static bool is_dangerous(struct str v)
{
    while (v.n && v.p[0] == '\'')
        v = str_from_index(v, 1);
    while (v.n && v.p[0] == ' ')
        v = str_from_index(v, 1);
    return begins_formula(v);
}

static bool needs_quotes(struct str v)
{
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] == '"' || v.p[i] == ',' || v.p[i] == ';' || v.p[i] == '\t' || v.p[i] == '\r' ||
            v.p[i] == '\n')
            return true;
    return v.n && (v.p[0] == ' ' || v.p[v.n - 1] == ' ');
}

bool csv_add_cell(struct buf *b, struct str value, bool first)
{
    bool guard = is_dangerous(value);
    bool ok = first || buf_addc(b, ',');
    if (!guard && !needs_quotes(value))
        return ok && buf_addstr(b, value);
    ok = ok && buf_addc(b, '"') && (!guard || buf_addc(b, '\''));
    while (ok && value.n) {
        ptrdiff_t at = str_chr(value, '"');
        size_t n = at < 0 ? value.n : (size_t)at + 1;
        ok = buf_add(b, value.p, n) && (at < 0 || buf_addc(b, '"'));
        value = str_from_index(value, n);
    }
    return ok && buf_addc(b, '"');
}

bool csv_end_row(struct buf *b)
{
    return buf_adds(b, "\r\n");
}

struct str csv_unguard(struct str value)
{
    return value.n && value.p[0] == '\'' && is_dangerous(value) ? str_from_index(value, 1) : value;
}
