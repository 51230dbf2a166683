/* Rules of the failure matrix as text: "CONDITION ... -> ACTION". A condition is a code (552, 4xx,
 * 550-559), an enhanced code (5.7.1, 5.7.*), a verdict (content, !content), phase=rcpt,dot, or a
 * text in quotes ('try another', 'quota*exceeded'); lists are parted by commas. All must hold. */
#include "fleet/policy.h"

#include "base/buf.h"

#include <stdio.h>

#define CODE_LEAST 400
#define CODE_MOST  599

void policy_fold(struct str text, char *out, size_t size)
{
    size_t n = 0;
    bool blank = false;
    for (size_t i = 0; i < text.n && i < POLICY_LOOK_MAX && n + 2 < size; i++) {
        char c = text.p[i];
        if (ascii_isspace(c)) {
            blank = n > 0;
            continue;
        }
        if (blank)
            out[n++] = ' ';
        blank = false;
        out[n++] = ascii_lower(c);
    }
    out[n] = 0;
}

/* ---- one condition */

static bool add_verdict(struct policy_rule *r, struct str word, struct err *e)
{
    enum verdict v = VERDICT_NONE;
    bool is_not = str_starts(word, STR("!"));
    uint32_t all = 0;
    if (!verdict_parse(is_not ? str_from_index(word, 1) : word, &v) || v == VERDICT_NONE)
        return err_set(e, ERR_INVALID,
                       "\"" STR_F "\" is no verdict, code or enhanced code; a text stands in "
                       "quotes",
                       STR_A(str_cut(word, 0, 60)));
    if (v == VERDICT_ACCEPTED || v == VERDICT_UNCERTAIN)
        return err_set(e, ERR_INVALID, "verdict %s: no rule may touch it: %s", verdict_name(v),
                       v == VERDICT_ACCEPTED ? "what was accepted is sent"
                                             : "it may have arrived already");
    for (unsigned k = VERDICT_NONE + 1; k < VERDICT_COUNT; k++)
        if (k != VERDICT_ACCEPTED && k != VERDICT_UNCERTAIN)
            all |= 1u << k;
    if (is_not)
        r->verdicts = (r->verdicts ? r->verdicts : all) & ~(1u << v);
    else
        r->verdicts |= 1u << v;
    return true;
}

static bool is_class(struct str w)
{
    return w.n == 3 && ascii_isdigit(w.p[0]) && ascii_lower(w.p[1]) == 'x' &&
           ascii_lower(w.p[2]) == 'x';
}

static bool add_code(struct policy_rule *r, struct str word, struct err *e)
{
    uint64_t lo = 0, hi = 0;
    struct str rest = word, first = STR_NONE, last = STR_NONE;
    bool ok = false;
    if (is_class(word)) {
        lo = (uint64_t)(word.p[0] - '0') * 100;
        hi = lo + 99;
        ok = true;
    } else {
        (void)str_split(&rest, '-', &first);
        ok = str_to_u64(first, 999, &lo);
        hi = lo;
        if (ok && rest.p)
            ok = str_split(&rest, '-', &last) && !rest.p && str_to_u64(last, 999, &hi);
    }
    if (!ok || lo < CODE_LEAST || hi > CODE_MOST || lo > hi)
        return err_set(e, ERR_INVALID,
                       "code \"" STR_F "\": must be a refusal such as 552, 550-559, 4xx or 5xx",
                       STR_A(str_cut(word, 0, 60)));
    if (r->n_codes == POLICY_TESTS_MAX)
        return err_set(e, ERR_INVALID, "code: at most %d in a rule", POLICY_TESTS_MAX);
    r->codes[r->n_codes++] = (struct policy_codes){(uint16_t)lo, (uint16_t)hi};
    return true;
}

static bool add_enhanced(struct policy_rule *r, struct str word, struct err *e)
{
    struct policy_enhanced x = {{POLICY_ANY, POLICY_ANY, POLICY_ANY}};
    struct str rest = word, part;
    size_t n = 0;
    bool ok = true, open = false;
    while (ok && str_split(&rest, '.', &part)) {
        uint64_t v = 0;
        bool star = str_is(part, "*");
        ok = n < 3 && !(open && !star) && (n > 0 || !star) && (star || str_to_u64(part, 999, &v));
        if (ok && !star)
            x.part[n] = (uint16_t)v;
        open = open || star;
        n++;
    }
    ok = ok && (n == 3 || (n == 2 && open)) && (x.part[0] == 4 || x.part[0] == 5);
    if (!ok)
        return err_set(e, ERR_INVALID,
                       "enhanced code \"" STR_F "\": must look like 5.7.1, 5.7.* or 4.*",
                       STR_A(str_cut(word, 0, 60)));
    if (x.part[1] != POLICY_ANY &&
        (x.part[1] > 254 || (x.part[2] != POLICY_ANY && x.part[2] > 254)))
        return err_set(e, ERR_INVALID,
                       "enhanced code \"" STR_F "\": numbers over 254 are told apart by their "
                       "text only: write '" STR_F "' in quotes",
                       STR_A(str_cut(word, 0, 60)), STR_A(str_cut(word, 0, 60)));
    if (r->n_enhanced == POLICY_TESTS_MAX)
        return err_set(e, ERR_INVALID, "enhanced: at most %d in a rule", POLICY_TESTS_MAX);
    r->enhanced[r->n_enhanced++] = x;
    return true;
}

static bool add_phase(struct policy_rule *r, struct str word, struct err *e)
{
    enum phase p = PHASE_NONE;
    if (!phase_parse(word, &p) || p == PHASE_NONE)
        return err_set(e, ERR_INVALID,
                       "phase \"" STR_F "\": must be one of dns connect tls greeting ehlo "
                       "starttls auth mail rcpt data dot",
                       STR_A(str_cut(word, 0, 60)));
    r->phases |= 1u << p;
    return true;
}

static bool set_text(struct policy_rule *r, struct str text, struct err *e)
{
    char folded[POLICY_TEXT_MAX + 2];
    if (r->text[0])
        return err_set(e, ERR_INVALID, "text: one in a rule; a star stands for anything between");
    if (text.n > POLICY_TEXT_MAX - 1)
        return err_set(e, ERR_INVALID, "text: over %d bytes", POLICY_TEXT_MAX - 1);
    policy_fold(text, folded, sizeof folded);
    bool empty = true;
    for (const char *c = folded; *c; c++)
        empty = empty && (*c == '*' || *c == ' ');
    if (empty)
        return err_set(e, ERR_INVALID, "text: is empty");
    if (strchr(folded, '\'') && strchr(folded, '"'))
        return err_set(e, ERR_INVALID, "text: may hold one kind of quotes only; put * for others");
    (void)str_copy(str_of(folded), r->text, sizeof r->text);
    return true;
}

static bool set_action(struct policy_rule *r, struct str word, struct err *e)
{
    char name[32];
    if (r->action != FAILOVER_DEFAULT)
        return err_set(e, ERR_INVALID, "action: is given twice");
    if (str_copy(word, name, sizeof name) && failover_action_parse(name, &r->action))
        return true;
    return err_set(e, ERR_INVALID,
                   "action \"" STR_F "\": must be one of retry_same next_server defer give_up "
                   "suppress open quarantine",
                   STR_A(str_cut(word, 0, 60)));
}

/* A word that names no field: a digit begins a code, a digit and a dot an enhanced one. */
static bool add_word(struct policy_rule *r, struct str word, struct err *e)
{
    if (word.n && ascii_isdigit(word.p[0]))
        return str_chr(word, '.') >= 0 ? add_enhanced(r, word, e) : add_code(r, word, e);
    enum phase p = PHASE_NONE;
    if (phase_parse(word, &p) && p != PHASE_NONE)
        return add_phase(r, word, e);
    return add_verdict(r, word, e);
}

static bool add_list(struct policy_rule *r, struct str list,
                     bool (*add)(struct policy_rule *r, struct str word, struct err *e),
                     struct err *e)
{
    struct str part;
    while (str_split(&list, ',', &part))
        if (!add(r, str_trim(part), e))
            return false;
    return true;
}

bool policy_rule_set(struct policy_rule *r, struct str field, struct str value, struct err *e)
{
    static const struct {
        const char *name;
        bool (*add)(struct policy_rule *r, struct str word, struct err *e);
    } lists[] = {{"verdict", add_verdict},
                 {"code", add_code},
                 {"enhanced", add_enhanced},
                 {"phase", add_phase}};
    for (size_t i = 0; i < countof(lists); i++)
        if (str_is(field, lists[i].name))
            return add_list(r, value, lists[i].add, e);
    if (str_is(field, "text"))
        return set_text(r, value, e);
    if (str_is(field, "action"))
        return set_action(r, str_trim(value), e);
    return err_set(e, ERR_INVALID,
                   "\"" STR_F "\" is no condition; known: verdict code enhanced phase text",
                   STR_A(str_cut(field, 0, 60)));
}

bool policy_rule_check(const struct policy_rule *r, struct err *e)
{
    if (!r->verdicts && !r->phases && !r->n_codes && !r->n_enhanced && !r->text[0])
        return err_set(e, ERR_INVALID, "needs a condition: a code, verdict, phase or text");
    if (r->action == FAILOVER_DEFAULT)
        return err_set(e, ERR_INVALID, "needs an action behind ->");
    return true;
}

/* ---- a whole rule */

/* The next word, a quoted text as one; what is quoted begins with its quote. */
static bool next_word(struct str *rest, struct str *word_out, struct err *e)
{
    struct str s = str_trim(*rest);
    size_t n = 0;
    char quote = 0;
    while (n < s.n && (quote || !ascii_isspace(s.p[n]))) {
        if (quote && s.p[n] == quote)
            quote = 0;
        else if (!quote && (s.p[n] == '\'' || s.p[n] == '"'))
            quote = s.p[n];
        n++;
    }
    *word_out = str_cut(s, 0, n);
    *rest = str_from_index(s, n);
    return !quote || err_set(e, ERR_INVALID, "the closing %c is missing", quote);
}

static bool is_quoted(struct str s)
{
    return s.n >= 2 && (s.p[0] == '\'' || s.p[0] == '"') && s.p[s.n - 1] == s.p[0];
}

static struct str unquoted(struct str s)
{
    return is_quoted(s) ? str_cut(s, 1, s.n - 2) : s;
}

static bool take_word(struct policy_rule *r, struct str word, struct err *e)
{
    ptrdiff_t equals = str_chr(word, '=');
    if (is_quoted(word))
        return set_text(r, unquoted(word), e);
    if (equals > 0)
        return policy_rule_set(r, str_cut(word, 0, (size_t)equals),
                               unquoted(str_from_index(word, (size_t)equals + 1)), e);
    return add_list(r, word, add_word, e);
}

static bool read_rule(struct str text, struct policy_rule *out, struct err *e)
{
    struct str rest = text, word;
    bool arrow = false;
    while (str_trim(rest).n) {
        if (!next_word(&rest, &word, e))
            return false;
        if (!arrow && str_is(word, "->"))
            arrow = true;
        else if (arrow && !set_action(out, word, e))
            return false;
        /* "text 'x'" reads well: the word itself says nothing more */
        else if (!arrow && !str_is(word, "text") && !take_word(out, word, e))
            return false;
    }
    if (!arrow)
        return err_set(e, ERR_INVALID, "must read CONDITION ... -> ACTION");
    return policy_rule_check(out, e);
}

bool policy_rule_parse(struct str text, struct policy_rule *out, struct err *e)
{
    *out = (struct policy_rule){0};
    if (text.n >= FAILOVER_RULE_MAX)
        return err_set(e, ERR_INVALID, "is over %d bytes", FAILOVER_RULE_MAX - 1);
    return read_rule(text, out, e);
}

/* ---- and back */

static void format_enhanced(const struct policy_enhanced *x, struct buf *b)
{
    for (int k = 0; k < 3; k++) {
        bool open = x->part[k] == POLICY_ANY;
        if (open)
            buf_addf(b, "%s*", k ? "." : "");
        else
            buf_addf(b, "%s%u", k ? "." : "", (unsigned)x->part[k]);
        if (open && k == 1)
            return; /* "5.*" */
    }
}

static void format_codes(const struct policy_rule *r, struct buf *b)
{
    for (unsigned i = 0; i < r->n_codes; i++) {
        unsigned lo = r->codes[i].lo, hi = r->codes[i].hi;
        buf_adds(b, i ? "," : b->n ? " " : "");
        if (lo == hi)
            buf_addf(b, "%u", lo);
        else if (lo % 100 == 0 && hi == lo + 99)
            buf_addf(b, "%uxx", lo / 100);
        else
            buf_addf(b, "%u-%u", lo, hi);
    }
    for (unsigned i = 0; i < r->n_enhanced; i++) {
        buf_adds(b, i ? "," : b->n ? " " : "");
        format_enhanced(&r->enhanced[i], b);
    }
}

/* The shorter of "these" and "all but these". */
static void format_verdicts(uint32_t bits, struct buf *b)
{
    unsigned in = 0, all = 0;
    for (unsigned v = VERDICT_NONE + 1; v < VERDICT_COUNT; v++) {
        in += bits >> v & 1;
        all += v != VERDICT_ACCEPTED && v != VERDICT_UNCERTAIN;
    }
    bool is_not = in > all / 2 && in < all, first = true;
    for (unsigned v = VERDICT_NONE + 1; v < VERDICT_COUNT; v++) {
        if (v == VERDICT_ACCEPTED || v == VERDICT_UNCERTAIN || (bits >> v & 1) == is_not)
            continue;
        buf_addf(b, "%s%s%s", first ? "" : ",", is_not ? "!" : "", verdict_name((enum verdict)v));
        first = false;
    }
}

void policy_rule_format(const struct policy_rule *r, char out[FAILOVER_RULE_MAX])
{
    struct buf b;
    buf_init(&b, 4096);
    if (r->verdicts)
        format_verdicts(r->verdicts, &b);
    format_codes(r, &b);
    bool first = true;
    for (unsigned p = PHASE_NONE + 1; p < PHASE_COUNT; p++)
        if (r->phases >> p & 1) {
            buf_addf(&b, "%s%s", first ? b.n ? " phase=" : "phase=" : ",",
                     phase_name((enum phase)p));
            first = false;
        }
    if (r->text[0]) {
        char quote = strchr(r->text, '\'') ? '"' : '\'';
        buf_addf(&b, "%stext %c%s%c", b.n ? " " : "", quote, r->text, quote);
    }
    buf_addf(&b, "%s-> %s", b.n ? " " : "", failover_action_name(r->action));
    (void)str_copy(buf_str(&b), out, FAILOVER_RULE_MAX);
    buf_free(&b);
}
