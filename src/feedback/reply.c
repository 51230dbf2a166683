/* Raw reply text to code, enhanced code and text; and the delay a text asks for. Takes replies as
 * servers send them, and as mail servers quote them in bounces and logs. Judges nothing. */
#include "feedback/classify.h"

enum { DAY_MS = 24 * 60 * 60 * 1000, TRIGGER_REACH = 60 };

static bool digit_at(struct str s, size_t i)
{
    return i < s.n && ascii_isdigit(s.p[i]);
}

/* Three digits 200 to 599 that no other letter or digit touches; 0: none. */
static int code_at(struct str s, size_t i)
{
    if (!digit_at(s, i) || !digit_at(s, i + 1) || !digit_at(s, i + 2) || s.p[i] < '2' ||
        s.p[i] > '5')
        return 0;
    if ((i > 0 && ascii_isalnum(s.p[i - 1])) || (i + 3 < s.n && ascii_isalnum(s.p[i + 3])))
        return 0;
    return (s.p[i] - '0') * 100 + (s.p[i + 1] - '0') * 10 + (s.p[i + 2] - '0');
}

static size_t number_at(struct str s, size_t i, unsigned *out)
{
    size_t n = 0;
    for (*out = 0; n < 3 && digit_at(s, i + n); n++)
        *out = *out * 10 + (unsigned)(s.p[i + n] - '0');
    return n;
}

/* An enhanced code (RFC 3463: class.subject.detail) at i; its length, 0: none. */
static size_t enhanced_at(struct str s, size_t i, uint8_t out[3], bool *is_wide)
{
    unsigned subject, detail;
    if (i + 1 >= s.n || !memchr("245", s.p[i], 3) || s.p[i + 1] != '.')
        return 0;
    size_t a = number_at(s, i + 2, &subject), at = i + 2 + a;
    if (!a || subject > 255 || at >= s.n || s.p[at] != '.')
        return 0;
    size_t b = number_at(s, at + 1, &detail), end = at + 1 + b;
    bool goes_on =
        end < s.n && (ascii_isalnum(s.p[end]) || (s.p[end] == '.' && digit_at(s, end + 1)));
    if (!b || goes_on)
        return 0;
    out[0] = (uint8_t)(s.p[i] - '0');
    out[1] = (uint8_t)subject;
    out[2] = (uint8_t)MIN(detail, 255U);
    *is_wide = detail > 255;
    return end - i;
}

/* Blanks, and one of ":-" with its blanks, as in "550: 5.1.1 x" and "550 - x". */
static size_t skip_separators(struct str s, size_t i)
{
    while (i < s.n && memchr(" \t:-#(", s.p[i], 6))
        i++;
    return i;
}

struct joiner {
    char *p;
    size_t n, size;
};

static void join(struct joiner *j, struct str s)
{
    s = str_trim(s);
    if (!s.n || j->n + 1 >= j->size)
        return;
    if (j->n)
        j->p[j->n++] = ' ';
    size_t n = MIN(s.n, j->size - j->n);
    memcpy(j->p + j->n, s.p, n);
    j->n += n;
}

/* One line "550-5.1.1 text" of a reply that began with `code`. */
static void take_line(struct str line, struct answer *a, struct joiner *j)
{
    struct str s = str_trim(line);
    int code = code_at(s, 0);
    uint8_t enhanced[3];
    bool is_wide = false;
    if (!code || code != a->code) {
        join(j, s);
        return;
    }
    size_t at = skip_separators(s, 3);
    size_t n = enhanced_at(s, at, enhanced, &is_wide);
    if (n && !a->enhanced[0])
        memcpy(a->enhanced, enhanced, 3);
    join(j, str_from_index(s, n && !is_wide ? at + n : n ? at : MIN(s.n, (size_t)4)));
}

/* A code within prose counts when an enhanced code follows, or punctuation that quotes a reply
 * stands before: `said: 550 no`, `returned '550 no'`, `#550`, `[550 no]`. */
static bool is_quoted_code(struct str s, size_t i)
{
    uint8_t unused[3];
    bool is_wide;
    if (enhanced_at(s, skip_separators(s, i + 3), unused, &is_wide))
        return true;
    if (i + 3 < s.n && !memchr(" -:", s.p[i + 3], 3))
        return false;
    size_t before = i;
    while (before > 0 && s.p[before - 1] == ' ')
        before--;
    return before > 0 && memchr(":'\"#[<(>", s.p[before - 1], 8) != NULL;
}

static void find_quoted(struct str s, struct answer *a)
{
    bool is_wide;
    for (size_t i = 0; i < s.n; i++) {
        int code = code_at(s, i);
        if (!code || code < 400 || !is_quoted_code(s, i))
            continue;
        a->code = code;
        (void)enhanced_at(s, skip_separators(s, i + 3), a->enhanced, &is_wide);
        return;
    }
    for (size_t i = 0; i < s.n; i++)
        if ((i == 0 || !(ascii_isalnum(s.p[i - 1]) || s.p[i - 1] == '.')) &&
            enhanced_at(s, i, a->enhanced, &is_wide))
            return;
}

void answer_parse_reply(struct str raw, struct answer *a, char *scratch, size_t size)
{
    raw = str_trim(raw);
    a->code = code_at(raw, 0);
    memset(a->enhanced, 0, sizeof(a->enhanced));
    a->text = raw;
    if (!a->code) {
        find_quoted(raw, a);
        return;
    }
    struct joiner j = {scratch, 0, size};
    struct str line;
    while (str_split(&raw, '\n', &line))
        take_line(line, a, &j);
    a->text = str_from(scratch, j.n);
}

void answer_parse_line(struct str line, struct answer *a, char *scratch, size_t size)
{
    *a = (struct answer){.phase = PHASE_NONE};
    ptrdiff_t tab = str_chr(line, '\t');
    if (tab > 0 && phase_parse(str_trim(str_cut(line, 0, (size_t)tab)), &a->phase))
        line = str_from_index(line, (size_t)tab + 1);
    answer_parse_reply(line, a, scratch, size);
}

/* hh:mm:ss or mm:ss at i, not within a longer row of digits and colons. */
static int64_t clock_at(struct str s, size_t i)
{
    unsigned part[3] = {0};
    size_t n = 0, at = i;
    for (; n < 3; n++) {
        size_t digits = number_at(s, at, &part[n]);
        if (digits == 0 || digits > 2)
            return 0;
        at += digits;
        if (at >= s.n || s.p[at] != ':') {
            n++;
            break;
        }
        at++;
    }
    if (n < 2 || digit_at(s, at) || part[n - 1] > 59)
        return 0;
    int64_t seconds = n == 3 ? part[0] * 3600 + part[1] * 60 + part[2] : part[0] * 60 + part[1];
    return seconds * 1000;
}

static int64_t unit_ms(struct str word)
{
    static const struct {
        const char *prefix;
        int64_t ms;
    } units[] = {{"sec", 1000},      {"sek", 1000},     {"seg", 1000},       {"min", 60000},
                 {"hour", 3600000},  {"hr", 3600000},   {"stunde", 3600000}, {"std", 3600000},
                 {"heure", 3600000}, {"hora", 3600000}, {"day", DAY_MS},     {"tag", DAY_MS},
                 {"jour", DAY_MS}};
    if (str_is(word, "s"))
        return 1000;
    if (str_is(word, "m"))
        return 60000;
    if (str_is(word, "h"))
        return 3600000;
    for (size_t i = 0; i < countof(units); i++)
        if (str_istarts(word, str_of(units[i].prefix)))
            return units[i].ms;
    return 0;
}

/* "300 seconds", "5min", "300s" at i; *end_out: behind the unit. */
static int64_t span_at(struct str s, size_t i, size_t *end_out)
{
    uint64_t n = 0;
    size_t at = i;
    while (digit_at(s, at) && at < i + 6)
        n = n * 10 + (uint64_t)(s.p[at++] - '0');
    while (at < s.n && at < i + 8 && (s.p[at] == ' ' || s.p[at] == '-' || s.p[at] == '('))
        at++;
    size_t word = at;
    while (at < s.n && ascii_isalpha(s.p[at]))
        at++;
    *end_out = at;
    int64_t unit = unit_ms(str_cut(s, word, at - word));
    return unit ? (int64_t)n * unit : 0;
}

/* Does the text right before a time speak of coming back? */
static bool has_trigger(struct str before)
{
    static const char *const triggers[] = {
        "try again",   "retry",          "again in",  "come back",   "wait",      "greylist",
        "graylist",    "grey list",      "try later", "back in",     "reconnect", "resend",
        "try after",   "delay",          "defer",     "again after", "later",     "versuch",
        "essayer",     "intente",        "riprova",   "remaining",   "try in",    "expires in",
        "blocked for", "again at least", "throttl"};
    size_t from = before.n > TRIGGER_REACH ? before.n - TRIGGER_REACH : 0;
    struct str near = str_from_index(before, from);
    for (size_t i = 0; i < countof(triggers); i++)
        if (str_ifind(near, str_of(triggers[i])) >= 0)
            return true;
    return false;
}

int64_t answer_wait_ms(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        bool starts = digit_at(text, i) && (i == 0 || memchr(" (=:[\t", text.p[i - 1], 6));
        if (!starts)
            continue;
        size_t end = i;
        int64_t ms = clock_at(text, i);
        if (!ms)
            ms = span_at(text, i, &end);
        if (ms <= 0)
            continue;
        struct str after = str_cut(text, end, 30);
        bool follows = str_ifind(after, STR("again")) >= 0 || str_ifind(after, STR("retry")) >= 0;
        if (follows || has_trigger(str_cut(text, 0, i)))
            return MIN(ms, (int64_t)DAY_MS);
    }
    return 0;
}
