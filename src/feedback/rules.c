/* Rule data to compiled rules: reads fields, checks each, builds the phrase search. Evaluates
 * nothing (classify.c does). Whatever the data holds, compiling ends in a set or in an error that
 * names line and rule. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "feedback/rules.h"
#include "base/alloc.h"
#include "base/check.h"
#include "feedback/builtin.h"
#include "feedback/ruledata.h"
#include <pcre2.h>
#include <stdlib.h>

enum { ARENA_MAX = 8 << 20, REGEX_MAX = 500 };

static const char *const stage_names[STAGE_COUNT] = {"phase", "user",     "profile",
                                                     "text",  "enhanced", "code"};
static const char *const role_names[ROLE_COUNT] = {"any", "all", "not"};

struct compiler {
    struct rules *rules;
    struct rule *rule; /* being read; NULL before the first */
    enum rule_stage stage;
    bool has_stage, user_only;
};

static struct rules *rules_new(void)
{
    struct rules *r = alloc_one(struct rules);
    r->arena = arena_new(ARENA_MAX);
    r->phrases = phrases_new();
    return r;
}

void rules_free(struct rules **rp)
{
    struct rules *r = *rp;
    *rp = NULL;
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        for (unsigned k = 0; k < r->rule[i].regex_count; k++)
            pcre2_code_free(r->rule[i].regexes[k]);
    phrases_free(&r->phrases);
    arena_free(&r->arena);
    free(r->rule);
    free(r->phrase_rule);
    free(r->test);
    free(r);
}

static bool keep(struct rules *r, struct str s, struct str *out, struct err *e)
{
    *out = arena_str(r->arena, s);
    return out->p || err_set(e, ERR_TOO_BIG, "the rules hold over %d bytes of text", ARENA_MAX);
}

static bool start_rule(struct compiler *c, int line, struct err *e)
{
    struct rules *r = c->rules;
    if (!c->has_stage)
        return err_set(e, ERR_INVALID, "a rule before its section");
    if (r->count == RULES_MAX)
        return err_set(e, ERR_TOO_BIG, "over %d rules", RULES_MAX);
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 64;
        r->rule = alloc_resize(r->rule, r->cap * sizeof(*r->rule));
    }
    c->rule = &r->rule[r->count++];
    *c->rule = (struct rule){.line = line, .stage = c->stage};
    return true;
}

static bool add_phases(struct rule *rule, struct str word, struct err *e)
{
    enum phase p;
    if (!phase_parse(word, &p))
        return err_set(e, ERR_INVALID, "phase `" STR_F "` is unknown", STR_A(word));
    rule->phases |= UINT32_C(1) << p;
    return true;
}

/* One digit, or x for any: fills the lowest and the highest number. */
static bool read_code_pattern(struct str w, uint16_t *lo, uint16_t *hi)
{
    if (w.n != 3)
        return false;
    *lo = *hi = 0;
    for (size_t i = 0; i < 3; i++) {
        bool wild = i > 0 && w.p[i] == 'x';
        if (!wild && !ascii_isdigit(w.p[i]))
            return false;
        *lo = (uint16_t)(*lo * 10 + (wild ? 0 : w.p[i] - '0'));
        *hi = (uint16_t)(*hi * 10 + (wild ? 9 : w.p[i] - '0'));
    }
    return *lo >= 200;
}

static bool add_codes(struct rule *rule, struct str word, struct err *e)
{
    struct code_range range = {0, 0};
    ptrdiff_t dash = str_chr(word, '-');
    uint16_t unused;
    bool ok;
    if (str_is(word, "none"))
        ok = true;
    else if (dash < 0)
        ok = read_code_pattern(word, &range.lo, &range.hi);
    else
        ok = read_code_pattern(str_cut(word, 0, (size_t)dash), &range.lo, &unused) &&
             read_code_pattern(str_from_index(word, (size_t)dash + 1), &unused, &range.hi) &&
             range.lo <= range.hi;
    if (!ok || rule->code_count == RULE_RANGES_MAX)
        return err_set(e, ERR_INVALID, "code `" STR_F "` is none of 550, 5xx, 500-504, none",
                       STR_A(word));
    rule->codes[rule->code_count++] = range;
    return true;
}

static bool read_small(struct str s, uint8_t max, uint8_t *out)
{
    uint64_t v = 0;
    if (str_is(s, "x")) {
        *out = RULE_ANY;
        return true;
    }
    bool ok = str_to_u64(s, max, &v);
    *out = (uint8_t)v;
    return ok;
}

static bool add_enhanced(struct rule *rule, struct str word, struct err *e)
{
    struct str rest = word, a, b, c;
    struct enhanced_range range = {.lo = 0, .hi = 999};
    bool ok = str_split(&rest, '.', &a) && str_split(&rest, '.', &b) && str_split(&rest, '.', &c) &&
              !rest.p && read_small(a, 5, &range.class_) && read_small(b, 99, &range.subject);
    if (ok && !str_is(c, "x")) {
        ptrdiff_t dash = str_chr(c, '-');
        struct str low = dash < 0 ? c : str_cut(c, 0, (size_t)dash);
        struct str high = dash < 0 ? c : str_from_index(c, (size_t)dash + 1);
        uint64_t lo = 0, hi = 0;
        ok = str_to_u64(low, 999, &lo) && str_to_u64(high, 999, &hi) && lo <= hi;
        range.lo = (uint16_t)lo;
        range.hi = (uint16_t)hi;
    }
    if (!ok || rule->enhanced_count == RULE_RANGES_MAX)
        return err_set(e, ERR_INVALID,
                       "enhanced code `" STR_F "` is none of 5.1.1, x.1.1, 5.7.x, 5.7.1-4",
                       STR_A(word));
    rule->enhanced[rule->enhanced_count++] = range;
    return true;
}

/* Every blank-separated word of a value. */
static bool each_word(struct compiler *c, struct str value,
                      bool (*add)(struct rule *, struct str, struct err *), struct err *e)
{
    struct str word;
    while (str_split(&value, ' ', &word))
        if (word.n && !add(c->rule, word, e))
            return false;
    return true;
}

static bool add_profiles(struct compiler *c, struct str value, struct err *e)
{
    struct str word;
    while (str_split(&value, ' ', &word)) {
        if (!word.n)
            continue;
        if (c->rule->profile_count == RULE_PROFILES_MAX)
            return err_set(e, ERR_TOO_BIG, "over %d profiles", RULE_PROFILES_MAX);
        if (!keep(c->rules, word, &c->rule->profiles[c->rule->profile_count++], e))
            return false;
    }
    return true;
}

static bool add_regex(struct rule *rule, struct str pattern, struct err *e)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    if (rule->regex_count == RULE_REGEXES_MAX || pattern.n > REGEX_MAX)
        return err_set(e, ERR_TOO_BIG, "at most %d expressions of %d bytes", RULE_REGEXES_MAX,
                       REGEX_MAX);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n,
                                   PCRE2_CASELESS | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_UTF |
                                       PCRE2_NEVER_BACKSLASH_C,
                                   &code, &at, NULL);
    if (!re) {
        PCRE2_UCHAR text[128] = "";
        (void)pcre2_get_error_message(code, text, sizeof(text));
        return err_set(e, ERR_INVALID, "expression: %s at character %zu", (const char *)text,
                       (size_t)at);
    }
    rule->regexes[rule->regex_count++] = re;
    return true;
}

static bool add_phrase(struct compiler *c, enum phrase_role role, struct str text, struct err *e)
{
    struct rules *r = c->rules;
    struct phrase_span *span = &c->rule->phrases[role];
    unsigned id = 0;
    if (!phrases_add(r->phrases, text, &id, e))
        return false;
    if (id >= r->phrase_cap) {
        r->phrase_cap = r->phrase_cap ? r->phrase_cap * 2 : 256;
        r->phrase_rule = alloc_resize(r->phrase_rule, r->phrase_cap * sizeof(*r->phrase_rule));
    }
    r->phrase_rule[id] = (uint16_t)(r->count - 1);
    if (span->n == 0)
        span->first = (uint16_t)id;
    if (span->first + span->n != id)
        return err_set(e, ERR_INVALID, "`%s` is given twice", role_names[role]);
    span->n++;
    return true;
}

static bool add_test(struct compiler *c, struct str text, bool is_against, int line, struct err *e)
{
    struct rules *r = c->rules;
    struct rule_test t = {.rule = c->rule->id, .is_against = is_against, .line = line};
    struct str profile, reply;
    enum phase phase;
    if (!rule_test_read(text, &profile, &phase, &reply))
        return err_set(e, ERR_INVALID, "an example reads `PHASE| reply` or `PROFILE/PHASE| reply`");
    if (!keep(r, text, &t.text, e))
        return false;
    if (r->tests == r->test_cap) {
        r->test_cap = r->test_cap ? r->test_cap * 2 : 64;
        r->test = alloc_resize(r->test, r->test_cap * sizeof(*r->test));
    }
    r->test[r->tests++] = t;
    return true;
}

bool rule_test_read(struct str text, struct str *profile_out, enum phase *phase_out,
                    struct str *reply_out)
{
    ptrdiff_t bar = str_chr(text, '|');
    if (bar < 0)
        return false;
    struct str head = str_trim(str_cut(text, 0, (size_t)bar));
    ptrdiff_t slash = str_chr(head, '/');
    *profile_out = slash < 0 ? STR_NONE : str_cut(head, 0, (size_t)slash);
    *reply_out = str_trim(str_from_index(text, (size_t)bar + 1));
    return phase_parse(slash < 0 ? head : str_from_index(head, (size_t)slash + 1), phase_out);
}

static bool parse_fault(struct str s, enum fault *out)
{
    for (int i = 0; i < FAULT_COUNT; i++)
        if (str_is(s, fault_name((enum fault)i))) {
            *out = (enum fault)i;
            return true;
        }
    return false;
}

static bool set_id(struct compiler *c, struct str v, struct err *e)
{
    size_t max = sizeof(((struct classification *)NULL)->rule) - 1;
    if (c->rule->id.n)
        return err_set(e, ERR_INVALID, "`id` is given twice");
    if (v.n == 0 || v.n > max)
        return err_set(e, ERR_INVALID, "an id has 1 to %zu characters", max);
    for (size_t i = 0; i < v.n; i++)
        if (!ascii_isalnum(v.p[i]) && !memchr("._-", v.p[i], 3))
            return err_set(e, ERR_INVALID, "an id is made of letters, digits and . _ -");
    for (size_t i = 0; i + 1 < c->rules->count; i++)
        if (str_eq(c->rules->rule[i].id, v))
            return err_set(e, ERR_INVALID, "rule `" STR_F "` exists already in line %d", STR_A(v),
                           c->rules->rule[i].line);
    return keep(c->rules, v, &c->rule->id, e);
}

static bool set_outcome(struct compiler *c, struct str key, struct str v, struct err *e)
{
    struct rule *rule = c->rule;
    if (str_is(key, "verdict")) {
        rule->has_verdict = verdict_parse(v, &rule->verdict) && rule->verdict != VERDICT_NONE;
        return rule->has_verdict ||
               err_set(e, ERR_INVALID, "verdict `" STR_F "` is unknown", STR_A(v));
    }
    if (str_is(key, "fault")) {
        rule->has_fault = parse_fault(v, &rule->fault);
        return rule->has_fault || err_set(e, ERR_INVALID, "fault `" STR_F "` is unknown", STR_A(v));
    }
    rule->has_permanent = true;
    rule->permanent = str_is(v, "true");
    return rule->permanent || str_is(v, "false") ||
           err_set(e, ERR_INVALID, "`permanent` is true or false");
}

static bool set_field(struct compiler *c, const struct ruledata_event *ev, int line, struct err *e)
{
    struct str key = ev->key, v = ev->value;
    if (str_is(key, "id"))
        return set_id(c, v, e);
    if (!c->rule->id.n)
        return err_set(e, ERR_INVALID, "a rule begins with its id");
    if (str_is(key, "phase"))
        return each_word(c, v, add_phases, e);
    if (str_is(key, "code"))
        return each_word(c, v, add_codes, e);
    if (str_is(key, "enhanced"))
        return each_word(c, v, add_enhanced, e);
    if (str_is(key, "profile"))
        return add_profiles(c, v, e);
    if (str_is(key, "regex"))
        return add_regex(c->rule, v, e);
    if (str_is(key, "verdict") || str_is(key, "fault") || str_is(key, "permanent"))
        return set_outcome(c, key, v, e);
    if (str_is(key, "examples") || str_is(key, "against"))
        return add_test(c, v, str_is(key, "against"), line, e);
    for (int role = 0; role < ROLE_COUNT; role++)
        if (str_is(key, role_names[role]))
            return add_phrase(c, (enum phrase_role)role, v, e);
    return err_set(e, ERR_INVALID,
                   "field `" STR_F "` is unknown; known: id phase code enhanced profile any all "
                   "not regex verdict fault permanent examples against note",
                   STR_A(key));
}

static bool is_conditioned(const struct rule *r)
{
    return r->phases || r->code_count || r->enhanced_count || r->profile_count || r->regex_count ||
           r->phrases[ROLE_ANY].n || r->phrases[ROLE_ALL].n;
}

static bool end_rule(struct compiler *c, struct err *e)
{
    struct rule *r = c->rule;
    c->rule = NULL;
    if (!r)
        return true;
    if (!r->id.n || !r->has_verdict || !is_conditioned(r) ||
        (r->stage == STAGE_PROFILE && !r->profile_count))
        return err_set(e, ERR_INVALID,
                       "line %d: rule `" STR_F "` needs an id, a verdict and at "
                       "least one condition (in section profile: a profile)",
                       r->line, STR_A(r->id));
    return true;
}

static bool start_section(struct compiler *c, struct str key, struct err *e)
{
    for (int i = 0; i < STAGE_COUNT; i++)
        if (str_is(key, stage_names[i]) && (!c->user_only || i == STAGE_USER)) {
            c->stage = (enum rule_stage)i;
            c->has_stage = true;
            return true;
        }
    return err_set(e, ERR_INVALID, "section `" STR_F "` is unknown; known: %s", STR_A(key),
                   c->user_only ? "user" : "phase user profile text enhanced code");
}

static bool take_event(struct compiler *c, const struct ruledata_event *ev, int line, struct err *e)
{
    switch (ev->kind) {
    case RULEDATA_SECTION: return end_rule(c, e) && start_section(c, ev->key, e);
    case RULEDATA_ITEM: return end_rule(c, e) && start_rule(c, line, e);
    case RULEDATA_FIELD:
    case RULEDATA_ELEMENT: return str_is(ev->key, "note") || set_field(c, ev, line, e);
    default: return true;
    }
}

static bool read_data(struct rules *r, struct str data, bool user_only, struct err *e)
{
    struct compiler c = {.rules = r, .user_only = user_only};
    struct ruledata *reader = alloc_one(struct ruledata);
    struct ruledata_event ev = {.kind = RULEDATA_ERROR};
    bool ok = ruledata_open(reader, data, e);
    while (ok && ruledata_next(reader, &ev, e) > RULEDATA_END) {
        struct err inner = {0};
        ok = take_event(&c, &ev, reader->line, &inner);
        if (!ok && c.rule)
            (void)err_set(e, inner.code, "line %d, rule `" STR_F "`: %s", reader->line,
                          STR_A(c.rule->id), inner.text);
        else if (!ok)
            (void)err_set(e, inner.code, "%s", inner.text);
    }
    ok = ok && ev.kind == RULEDATA_END && end_rule(&c, e);
    free(reader);
    return ok;
}

/* Stable sort by stage; phrase_rule follows. */
static void order_rules(struct rules *r)
{
    struct rule *sorted = alloc_many(struct rule, r->count);
    uint16_t *moved = alloc_many(uint16_t, r->count);
    size_t n = 0;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        for (size_t i = 0; i < r->count; i++)
            if ((int)r->rule[i].stage == stage) {
                moved[i] = (uint16_t)n;
                sorted[n++] = r->rule[i];
            }
    for (size_t i = 0; i < phrases_count(r->phrases); i++)
        r->phrase_rule[i] = moved[r->phrase_rule[i]];
    free(r->rule);
    free(moved);
    r->rule = sorted;
    r->cap = r->count;
}

static void seal(struct rules *r)
{
    order_rules(r);
    phrases_seal(r->phrases);
    for (size_t i = 0; i < r->count; i++)
        if (!r->rule[i].phrases[ROLE_ANY].n && !r->rule[i].phrases[ROLE_ALL].n)
            r->untexted[i / 64] |= UINT64_C(1) << (i % 64);
}

static bool compile(struct str user, struct str data, struct rules **out, struct err *e)
{
    struct rules *r = rules_new();
    bool ok = (!user.p || read_data(r, user, true, e)) && read_data(r, data, false, e);
    if (!ok)
        rules_free(&r);
    else
        seal(r);
    *out = r;
    return ok;
}

bool rules_compile(struct str data, struct rules **out, struct err *e)
{
    return compile(STR_NONE, data, out, e);
}

bool rules_compile_with(struct str user, struct rules **out, struct err *e)
{
    return compile(user, builtin_replies(), out, e);
}

const struct rules *rules_builtin(void)
{
    static struct rules *builtin;
    struct rules *r = __atomic_load_n(&builtin, __ATOMIC_ACQUIRE), *none = NULL;
    if (r)
        return r;
    struct err e = {0};
    check(rules_compile(builtin_replies(), &r, &e));
    /* Two callers may compile at once; one set stays. */
    if (!__atomic_compare_exchange_n(&builtin, &none, r, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        rules_free(&r);
        return none;
    }
    return r;
}
