/* Character references of HTML: numeric ones and the names that mail really uses. */
#include "mail/text.h"

#include "mail/utf8.h"

static const struct {
    const char *name;
    uint32_t c;
} entities[] = {
    {"amp", '&'},       {"lt", '<'},        {"gt", '>'},        {"quot", '"'},
    {"apos", '\''},     {"nbsp", 0xA0},     {"iexcl", 0xA1},    {"cent", 0xA2},
    {"pound", 0xA3},    {"curren", 0xA4},   {"yen", 0xA5},      {"brvbar", 0xA6},
    {"sect", 0xA7},     {"uml", 0xA8},      {"copy", 0xA9},     {"ordf", 0xAA},
    {"laquo", 0xAB},    {"not", 0xAC},      {"shy", 0xAD},      {"reg", 0xAE},
    {"macr", 0xAF},     {"deg", 0xB0},      {"plusmn", 0xB1},   {"sup2", 0xB2},
    {"sup3", 0xB3},     {"acute", 0xB4},    {"micro", 0xB5},    {"para", 0xB6},
    {"middot", 0xB7},   {"cedil", 0xB8},    {"sup1", 0xB9},     {"ordm", 0xBA},
    {"raquo", 0xBB},    {"frac14", 0xBC},   {"frac12", 0xBD},   {"frac34", 0xBE},
    {"iquest", 0xBF},   {"Agrave", 0xC0},   {"Aacute", 0xC1},   {"Acirc", 0xC2},
    {"Atilde", 0xC3},   {"Auml", 0xC4},     {"Aring", 0xC5},    {"AElig", 0xC6},
    {"Ccedil", 0xC7},   {"Egrave", 0xC8},   {"Eacute", 0xC9},   {"Ecirc", 0xCA},
    {"Euml", 0xCB},     {"Igrave", 0xCC},   {"Iacute", 0xCD},   {"Icirc", 0xCE},
    {"Iuml", 0xCF},     {"ETH", 0xD0},      {"Ntilde", 0xD1},   {"Ograve", 0xD2},
    {"Oacute", 0xD3},   {"Ocirc", 0xD4},    {"Otilde", 0xD5},   {"Ouml", 0xD6},
    {"times", 0xD7},    {"Oslash", 0xD8},   {"Ugrave", 0xD9},   {"Uacute", 0xDA},
    {"Ucirc", 0xDB},    {"Uuml", 0xDC},     {"Yacute", 0xDD},   {"THORN", 0xDE},
    {"szlig", 0xDF},    {"agrave", 0xE0},   {"aacute", 0xE1},   {"acirc", 0xE2},
    {"atilde", 0xE3},   {"auml", 0xE4},     {"aring", 0xE5},    {"aelig", 0xE6},
    {"ccedil", 0xE7},   {"egrave", 0xE8},   {"eacute", 0xE9},   {"ecirc", 0xEA},
    {"euml", 0xEB},     {"igrave", 0xEC},   {"iacute", 0xED},   {"icirc", 0xEE},
    {"iuml", 0xEF},     {"eth", 0xF0},      {"ntilde", 0xF1},   {"ograve", 0xF2},
    {"oacute", 0xF3},   {"ocirc", 0xF4},    {"otilde", 0xF5},   {"ouml", 0xF6},
    {"divide", 0xF7},   {"oslash", 0xF8},   {"ugrave", 0xF9},   {"uacute", 0xFA},
    {"ucirc", 0xFB},    {"uuml", 0xFC},     {"yacute", 0xFD},   {"thorn", 0xFE},
    {"yuml", 0xFF},     {"OElig", 0x152},   {"oelig", 0x153},   {"Scaron", 0x160},
    {"scaron", 0x161},  {"Yuml", 0x178},    {"ensp", 0x2002},   {"emsp", 0x2003},
    {"thinsp", 0x2009}, {"zwnj", 0x200C},   {"zwj", 0x200D},    {"lrm", 0x200E},
    {"rlm", 0x200F},    {"ndash", 0x2013},  {"mdash", 0x2014},  {"lsquo", 0x2018},
    {"rsquo", 0x2019},  {"sbquo", 0x201A},  {"ldquo", 0x201C},  {"rdquo", 0x201D},
    {"bdquo", 0x201E},  {"dagger", 0x2020}, {"bull", 0x2022},   {"hellip", 0x2026},
    {"permil", 0x2030}, {"prime", 0x2032},  {"lsaquo", 0x2039}, {"rsaquo", 0x203A},
    {"euro", 0x20AC},   {"trade", 0x2122},  {"larr", 0x2190},   {"uarr", 0x2191},
    {"rarr", 0x2192},   {"darr", 0x2193},   {"minus", 0x2212},  {"infin", 0x221E},
    {"ne", 0x2260},     {"le", 0x2264},     {"ge", 0x2265},     {"hearts", 0x2665},
    {"check", 0x2713},  {"star", 0x2606},   {"starf", 0x2605},  {"lbrace", '{'},
    {"rbrace", '}'},
};

/* What references to 128..159 mean in practice: Windows-1252. */
static const uint16_t windows1252[32] = {
    0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178,
};

static size_t numeric(struct str s, uint32_t *c_out)
{
    bool is_hex = s.n > 2 && (s.p[2] == 'x' || s.p[2] == 'X');
    size_t i = is_hex ? 3 : 2, start = i;
    uint32_t c = 0;
    for (; i < s.n && i < start + 8; i++) {
        char d = ascii_lower(s.p[i]);
        bool letter = is_hex && d >= 'a' && d <= 'f';
        if (!ascii_isdigit(d) && !letter)
            break;
        c = c * (is_hex ? 16 : 10) + (uint32_t)(letter ? d - 'a' + 10 : d - '0');
    }
    if (i == start || i == s.n || s.p[i] != ';')
        return 0;
    if (c >= 0x80 && c < 0xA0)
        c = windows1252[c - 0x80];
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = 0xFFFD;
    *c_out = c;
    return i + 1;
}

size_t text_entity(struct str s, uint32_t *c_out)
{
    if (s.n < 4)
        return 0;
    if (s.p[1] == '#')
        return numeric(s, c_out);
    size_t n = 1;
    while (n < s.n && n < 10 && ascii_isalnum(s.p[n]))
        n++;
    if (n == s.n || s.p[n] != ';')
        return 0;
    struct str name = str_cut(s, 1, n - 1);
    for (size_t i = 0; i < countof(entities); i++) {
        if (entities[i].name[0] == name.p[0] && str_is(name, entities[i].name)) {
            *c_out = entities[i].c;
            return n + 1;
        }
    }
    return 0;
}

size_t text_liquid_length(struct str s)
{
    if (s.n < 4 || (s.p[1] != '{' && s.p[1] != '%'))
        return 0;
    const char close[2] = {s.p[1] == '{' ? '}' : '%', '}'};
    const char *end = memmem(s.p + 2, MIN(s.n - 2, (size_t)2000), close, 2);
    return end ? (size_t)(end - s.p) + 2 : 0;
}

size_t text_tag_length(struct str s)
{
    if (s.n < 2)
        return 0;
    if (s.p[1] == '!' && str_starts(s, STR("<!--"))) {
        ptrdiff_t end = str_find(str_from_index(s, 4), STR("-->"));
        return end < 0 ? s.n : 4 + (size_t)end + 3;
    }
    if (!ascii_isalpha(s.p[1]) && s.p[1] != '/' && s.p[1] != '!' && s.p[1] != '?')
        return 0;
    char quote = 0;
    for (size_t i = 1; i < s.n; i++) {
        char c = s.p[i];
        size_t liquid = c == '{' ? text_liquid_length(str_from_index(s, i)) : 0;
        if (liquid)
            i += liquid - 1;
        else if (quote ? c == quote : c == '"' || c == '\'')
            quote = quote ? 0 : c;
        else if (c == '>' && !quote)
            return i + 1;
    }
    /* A quote that never closes: the first ">" is the end then. */
    ptrdiff_t end = str_chr(s, '>');
    return end < 0 ? s.n : (size_t)end + 1;
}
